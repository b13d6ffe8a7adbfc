//! `Authorization`: the password of `requirepass`, as `Basic` or as `Bearer`.
//!
//! Connectors that know no headers send `Basic` with the user name `default` or none; scripts may
//! send the password as a bearer token. Passwords are compared in constant time and never logged.

use hyper::header::{self, HeaderMap};
use subtle::ConstantTimeEq as _;

/// Whether the request may run commands: no password is needed, or the right one is given.
pub(super) fn is_authenticated(headers: &HeaderMap, requirepass: &str) -> bool {
    if requirepass.is_empty() {
        return true;
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    password(value.as_bytes()).is_some_and(|given| given.ct_eq(requirepass.as_bytes()).into())
}

/// The password in a header's value, if the user is the default one.
fn password(value: &[u8]) -> Option<Vec<u8>> {
    let space = value.iter().position(|&b| b == b' ')?;
    let (scheme, token) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(token.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let credentials = decode_base64(token)?;
    let colon = credentials.iter().position(|&b| b == b':')?;
    matches!(&credentials[..colon], b"" | b"default").then(|| credentials[colon + 1..].to_vec())
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let unpadded = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) || unpadded.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in unpadded.chunks(4) {
        let mut bits = 0;
        for &symbol in group {
            bits = bits << 6 | u32::from(base64_value(symbol)?);
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

fn base64_value(symbol: u8) -> Option<u8> {
    Some(match symbol {
        b'A'..=b'Z' => symbol - b'A',
        b'a'..=b'z' => symbol - b'a' + 26,
        b'0'..=b'9' => symbol - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn admits(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers
                .append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        is_authenticated(&headers, "sécret:1")
    }

    #[test]
    fn the_password_is_wanted() {
        // default:sécret:1, :sécret:1
        assert!(admits(&["Basic ZGVmYXVsdDpzw6ljcmV0OjE="]));
        assert!(admits(&["bASIC  OnPDqWNyZXQ6MQ=="]));
        assert!(admits(&["Bearer sécret:1"]));
        // root:sécret:1, default:secret
        for value in [
            "Basic cm9vdDpzw6ljcmV0OjE=",
            "Basic ZGVmYXVsdDpzZWNyZXQ=",
            "Bearer",
            "Bearer ",
            "Basic",
            "",
        ] {
            assert!(!admits(&[value]), "{value}");
        }
        for value in
            ["Basic ====", "Basic Og", "Basic O===", "Basic !!!!", "Digest x", "Basic \u{ff}"]
        {
            assert!(!admits(&[value]), "{value}");
        }
        assert!(!admits(&[]));
        assert!(!admits(&["Bearer sécret:1", "Bearer sécret:1"]));
    }

    #[test]
    fn base64_round_trips() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob")]
        {
            assert_eq!(decode_base64(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
    }
}
