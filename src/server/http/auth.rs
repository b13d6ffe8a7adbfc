//! `Authorization`: the password of `requirepass`, as `Basic` or as `Bearer`.
//!
//! Connectors that know no headers send `Basic` with the user name `default` or none; scripts may
//! send the password as a bearer token. Passwords are compared in constant time and never logged.

use hyper::header::{self, HeaderMap};
use subtle::ConstantTimeEq as _;

use crate::base64;

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
    let credentials = base64::decode(token)?;
    let colon = credentials.iter().position(|&b| b == b':')?;
    matches!(&credentials[..colon], b"" | b"default").then(|| credentials[colon + 1..].to_vec())
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
}
