//! `Authorization`: whose request it is: `Basic` with a user and a password, or `Bearer` with the
//! password of the default user. Without it the request is the default user's, if that needs no password.
//!
//! Connectors that know no headers send `Basic` with the user name `default` or none. Passwords are
//! compared in constant time and never logged.

use hyper::header::{self, HeaderMap};

use crate::acl::{Acl, DEFAULT_USER, Identity};
use crate::base64;

/// Whose request it is; `None` if that was not shown.
pub(super) fn identity(headers: &HeaderMap, acl: &Acl) -> Option<Identity> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let credentials = match (values.next(), values.next()) {
        (Some(value), None) => credentials(value.as_bytes()),
        _ => None,
    };
    let Some((user, password)) = credentials else {
        return Some(Identity::new(acl)).filter(Identity::is_authenticated);
    };
    Some(Identity::of(acl, acl.authenticate(&user, &password)?))
}

/// User and password in a header's value.
fn credentials(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let default = || DEFAULT_USER.as_bytes().to_vec();
    let space = value.iter().position(|&b| b == b' ')?;
    let (scheme, token) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some((default(), token.to_vec()));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let credentials = base64::decode(token)?;
    let colon = credentials.iter().position(|&b| b == b':')?;
    let (user, password) = (&credentials[..colon], &credentials[colon + 1..]);
    let user = if user.is_empty() { default() } else { user.to_vec() };
    Some((user, password.to_vec()))
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
        identity(&headers, &Acl::new("sécret:1")).is_some()
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
    fn a_request_is_its_users() {
        let acl = Acl::new("");
        acl.change("root", &[b"on", b">s\xc3\xa9cret:1", b"+@read"], false).unwrap();
        let user = |value: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            identity(&headers, &acl).map(|identity| identity.user().name.clone())
        };
        assert_eq!(user(None).as_deref(), Some("default"));
        assert_eq!(user(Some("Bearer whatever")).as_deref(), Some("default"));
        // root:sécret:1, root:x
        assert_eq!(user(Some("Basic cm9vdDpzw6ljcmV0OjE=")).as_deref(), Some("root"));
        assert_eq!(user(Some("Basic cm9vdDp4")), None);
        assert_eq!(user(Some("Digest x")).as_deref(), Some("default"));
    }
}
