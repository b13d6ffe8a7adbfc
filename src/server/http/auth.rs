//! Whose request it is: `Authorization: Basic` with a user and a password, or `Bearer` with a token or the
//! password of the default user; `X-API-Key` with a token. Without any the request is the default user's,
//! if that needs no password, or that of its certificate. A word that looks like a token is never taken for a password.
//!
//! Connectors that know no headers send `Basic` with the user name `default` or none. Passwords are
//! compared in constant time and never logged.

use hyper::header::{self, HeaderMap, HeaderValue};

use crate::acl::{Acl, DEFAULT_USER, Identity};
use crate::base64;
use crate::token::{self, Holder};

const API_KEY: &str = "x-api-key";

/// Whether a request shows nothing of whose it is.
pub(super) fn is_anonymous(headers: &HeaderMap) -> bool {
    headers.keys().all(|name| name != header::AUTHORIZATION && name.as_str() != API_KEY)
}

/// Somebody who is let in.
pub(super) struct Who {
    pub(super) identity: Identity,
    /// The token that he has shown.
    pub(super) token: Option<Holder>,
}

/// Whose request it is. `holder_of` knows tokens; `certified` is the user of the client's certificate, who
/// it is if it shows nothing else.
///
/// # Errors
/// If that was not shown: as whom it was tried, if it was.
pub(super) fn who(
    headers: &HeaderMap,
    acl: &Acl,
    holder_of: impl FnOnce(&[u8]) -> Option<Holder>,
    certified: Option<&str>,
) -> Result<Who, Option<Vec<u8>>> {
    let enabled = |name: &str| acl.user(name).filter(|user| user.is_enabled);
    if let Some(token) = token_of(headers) {
        let holder = token.and_then(holder_of).ok_or_else(|| Some(b"(token)".to_vec()))?;
        let user = enabled(&holder.user).ok_or_else(|| Some(holder.user.clone().into_bytes()))?;
        return Ok(Who { identity: Identity::of(acl, user), token: Some(holder) });
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let credentials = match (values.next(), values.next()) {
        (Some(value), None) => credentials(value.as_bytes()),
        _ => None,
    };
    let identity = match (credentials, certified.and_then(enabled)) {
        (Some((user, password)), _) => {
            let is_text =
                std::str::from_utf8(&user).is_ok() && std::str::from_utf8(&password).is_ok();
            let found = acl.authenticate(&user, &password).or_else(|| {
                if is_text {
                    None
                } else {
                    acl.authenticate(&as_latin_1(&user), &as_latin_1(&password))
                }
            });
            Identity::of(acl, found.ok_or(Some(user))?)
        }
        (None, Some(user)) => Identity::of(acl, user),
        (None, None) => Identity::new(acl),
    };
    if !identity.is_authenticated() {
        return Err(None);
    }
    Ok(Who { identity, token: None })
}

/// The token among the credentials, if there is one; `Some(None)` if there is more than that.
fn token_of(headers: &HeaderMap) -> Option<Option<&[u8]>> {
    let bearer = |value: &'_ HeaderValue| {
        let (scheme, _) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(7)
    };
    let authorization = headers.get_all(header::AUTHORIZATION).iter();
    let words = authorization.filter_map(|v| Some(v.as_bytes()[bearer(v)?..].trim_ascii()));
    let keys = headers.get_all(API_KEY).iter().map(|value| value.as_bytes().trim_ascii());
    let token = words.chain(keys).find(|word| word.starts_with(token::PREFIX.as_bytes()))?;
    let shown = headers.get_all(header::AUTHORIZATION).iter().count()
        + headers.get_all(API_KEY).iter().count();
    Some((shown == 1).then_some(token))
}

/// What is no UTF-8 was meant as Latin-1: .NET's clients send it so, whatever the challenge says.
fn as_latin_1(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes()
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
    use super::*;

    fn admits(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers
                .append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        who(&headers, &Acl::new("sécret:1"), |_| None, None).is_ok()
    }

    #[test]
    fn the_password_is_wanted() {
        // default:sécret:1, :sécret:1
        assert!(admits(&["Basic ZGVmYXVsdDpzw6ljcmV0OjE="]));
        assert!(admits(&["bASIC  OnPDqWNyZXQ6MQ=="]));
        assert!(admits(&["Bearer sécret:1"]));
        // default:sécret:1 in Latin-1
        assert!(admits(&["Basic ZGVmYXVsdDpz6WNyZXQ6MQ=="]));
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
            let who = who(&headers, &acl, |_| None, None).ok();
            who.map(|who| who.identity.user().name.clone())
        };
        assert_eq!(user(None).as_deref(), Some("default"));
        assert_eq!(user(Some("Bearer whatever")).as_deref(), Some("default"));
        // root:sécret:1, root:x
        assert_eq!(user(Some("Basic cm9vdDpzw6ljcmV0OjE=")).as_deref(), Some("root"));
        assert_eq!(user(Some("Basic cm9vdDp4")), None);
        assert_eq!(user(Some("Digest x")).as_deref(), Some("default"));
    }

    #[test]
    fn a_token_acts_as_its_user() {
        let acl = Acl::new("");
        acl.change("ci", &[b"on", b"+@read"], false).unwrap();
        acl.change("gone", &[b"off"], false).unwrap();
        let holder = |user: &str| Holder { user: user.into(), id: "1".into(), name: "n".into() };
        let holder_of = |token: &[u8]| match token {
            b"pt_ci" => Some(holder("ci")),
            b"pt_off" => Some(holder("gone")),
            b"pt_none" => Some(holder("nobody")),
            _ => None,
        };
        let user = |shown: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in shown {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let who = who(&headers, &acl, holder_of, None).ok();
            who.map(|who| who.identity.user().name.clone())
        };
        assert_eq!(user(&[("authorization", "bearer  pt_ci")]).as_deref(), Some("ci"));
        assert_eq!(user(&[("x-api-key", "pt_ci")]).as_deref(), Some("ci"));
        for word in ["pt_", "pt_x", "pt_off", "pt_none"] {
            assert_eq!(user(&[("x-api-key", word)]), None, "{word}");
        }
        // The default user takes any password, but no token.
        assert_eq!(user(&[("authorization", "Bearer pt_x")]), None);
        assert_eq!(user(&[("x-api-key", "pt_ci"), ("x-api-key", "pt_ci")]), None);
        assert_eq!(user(&[("authorization", "Bearer pt_ci"), ("x-api-key", "other")]), None);
        assert_eq!(user(&[("x-api-key", "other")]).as_deref(), Some("default"));
    }

    #[test]
    fn a_certificate_counts_where_nothing_else_is_shown() {
        let acl = Acl::new("secret");
        acl.change("till", &[b"on", b"+@read"], false).unwrap();
        acl.change("gone", &[b"off"], false).unwrap();
        let user = |certified: Option<&str>, authorization: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = authorization {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            let who = who(&headers, &acl, |_| None, certified);
            who.map(|who| who.identity.user().name.clone())
        };
        assert_eq!(user(Some("till"), None).as_deref(), Ok("till"));
        assert_eq!(user(Some("till"), Some("Bearer secret")).as_deref(), Ok("default"));
        assert_eq!(user(Some("till"), Some("Bearer wrong")), Err(Some(b"default".to_vec())));
        assert_eq!(user(Some("gone"), None), Err(None));
        assert_eq!(user(Some("nobody"), None), Err(None));
        assert_eq!(user(None, None), Err(None));
    }
}
