//! Operations on one pair.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};

use super::accept::Accepts;
use super::ask::{Ask, invalid, tag};
use super::code::{Code, Refusal};
use super::when::Lifetime;
use super::{Call, show};
use crate::base64;
use crate::digest::digest;
use crate::error::Error;
use crate::reply::Captured;
use crate::server::http::answer::{self, Answer};

/// When the pair expires, beside a bare value.
const EXPIRES_MS: HeaderName = HeaderName::from_static("x-kv-expires-ms");

pub(super) fn get(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (namespace, key) = (ask.name("namespace")?, ask.required("key")?);
    let found = call.run(&[b"NAMESPACE", b"PAIR", namespace, key]);
    let Some((value, deadline_ms)) = value_and_deadline(found, ask)? else {
        return no_value(ask, namespace, key);
    };
    let digest = digest(&value);
    let tag = std::str::from_utf8(&digest).unwrap_or_default();
    if ask.text("if_none_match").is_some_and(|tags| names_tag(tags, tag)) {
        let mut answer = answer::no_content();
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(with_tag(answer, tag));
    }
    if wants_bare(ask) {
        let mut answer = bare(&value, ask.is_base64());
        if let Some(at_ms) = deadline_ms {
            answer.headers_mut().insert(EXPIRES_MS, HeaderValue::from(at_ms));
        }
        return Ok(with_tag(answer, tag));
    }
    let mut body = show::pair_object(ask, namespace, key);
    show::value(&mut body, &value, ask.is_base64());
    body.raw("found", "true");
    show::deadline(&mut body, deadline_ms, ask.now_ms);
    body.text("etag", tag);
    Ok(with_tag(answer::json(StatusCode::OK, body.end()), tag))
}

pub(super) fn set(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (namespace, key) = (ask.name("namespace")?, ask.required("key")?);
    let value = ask.value()?;
    let at_ms;
    let mut args: Vec<&[u8]> = vec![b"NAMESPACE", b"SET", namespace, key, &value];
    condition(ask, &mut args)?;
    match ask.lifetime()? {
        None | Some(Lifetime::Forever) => {}
        Some(Lifetime::Keep) => args.push(b"KEEPTTL"),
        Some(Lifetime::Until(ms)) => {
            at_ms = ms.to_string();
            args.extend([&b"PXAT"[..], at_ms.as_bytes()]);
        }
    }
    if call.run(&args)? == Captured::Null {
        return Err(condition_failed());
    }
    let digest = digest(&value);
    let tag = std::str::from_utf8(&digest).unwrap_or_default();
    if !ask.wants_row() {
        return Ok(with_tag(answer::no_content(), tag));
    }
    let mut body = show::pair_object(ask, namespace, key);
    body.text("etag", tag);
    Ok(with_tag(answer::json(StatusCode::OK, body.end()), tag))
}

pub(super) fn delete(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (namespace, key) = (ask.name("namespace")?, ask.required("key")?);
    if ask.text("if_none_match").is_some_and(|tags| tags.trim() == "*") {
        let is_there =
            call.run(&[b"NAMESPACE", b"EXISTS", namespace, key])? == Captured::Integer(1);
        return Err(if is_there { condition_failed() } else { no_key() });
    }
    let mut args: Vec<&[u8]> = vec![b"NAMESPACE", b"UNSET", namespace, key];
    // Only what is there can be deleted.
    if ask.text("if_match") != Some("*") {
        condition(ask, &mut args)?;
    }
    match call.run(&args)? {
        Captured::Null => Err(condition_failed()),
        Captured::Integer(0) => Err(no_key()),
        _ if !ask.wants_row() => Ok(answer::no_content()),
        _ => {
            let mut body = show::pair_object(ask, namespace, key);
            body.raw("deleted", "true");
            Ok(answer::json(StatusCode::OK, body.end()))
        }
    }
}

pub(super) fn exists(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (namespace, key) = (ask.name("namespace")?, ask.required("key")?);
    let exists = match call.run(&[b"NAMESPACE", b"EXISTS", namespace, key]) {
        Ok(reply) => reply == Captured::Integer(1),
        Err(Error::NoSuchNamespace) => false,
        Err(failed) => return Err(failed.into()),
    };
    let mut body = show::pair_object(ask, namespace, key);
    body.raw("exists", if exists { "true" } else { "false" });
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn take(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (namespace, key) = (ask.name("namespace")?, ask.required("key")?);
    let value = match call.run(&[b"HGETDEL", namespace, b"FIELDS", b"1", key])? {
        Captured::Array(mut items) => items.pop(),
        _ => None,
    };
    let Some(Captured::Bulk(value)) = value else { return no_value(ask, namespace, key) };
    if wants_bare(ask) {
        return Ok(bare(&value, ask.is_base64()));
    }
    let mut body = show::pair_object(ask, namespace, key);
    show::value(&mut body, &value, ask.is_base64());
    body.raw("found", "true");
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn increment(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (namespace, key) = (ask.name("namespace")?, ask.required("key")?);
    let by = ask.text("by").unwrap_or("1").trim().as_bytes();
    let is_integer = crate::number::parse_i64(by).is_some();
    let verb: &[u8] = if is_integer { b"INCRBY" } else { b"INCRBYFLOAT" };
    let sum = match call.run(&[b"NAMESPACE", verb, namespace, key, by])? {
        Captured::Integer(sum) => sum.to_string().into_bytes(),
        Captured::Bulk(sum) => sum,
        _ => Vec::new(),
    };
    let mut body = show::pair_object(ask, namespace, key);
    show::value(&mut body, &sum, false);
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn append(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (namespace, key) = (ask.name("namespace")?, ask.required("key")?);
    let reply = call.run(&[b"NAMESPACE", b"APPEND", namespace, key, &ask.value()?])?;
    let Captured::Integer(len) = reply else { return Err(Error::plain("no length").into()) };
    let mut body = show::pair_object(ask, namespace, key);
    body.raw("bytes", &len.to_string());
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn touch(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (namespace, key) = (ask.name("namespace")?, ask.required("key")?);
    let at_ms;
    let (args, deadline_ms): (Vec<&[u8]>, _) = match ask.lifetime()? {
        None => {
            ask.required("ttl")?;
            return Err(invalid("ttl", "is missing"));
        }
        Some(Lifetime::Keep) => return Err(invalid("ttl", "must say how long, or none")),
        Some(Lifetime::Forever) => (vec![b"HPERSIST", namespace, b"FIELDS", b"1", key], None),
        Some(Lifetime::Until(ms)) => {
            at_ms = ms.to_string();
            (vec![b"HPEXPIREAT", namespace, at_ms.as_bytes(), b"FIELDS", b"1", key], Some(ms))
        }
    };
    const NO_FIELD: Captured = Captured::Integer(-2);
    match call.run(&args)? {
        Captured::Array(items) if items.first().is_some_and(|it| *it != NO_FIELD) => {
            let mut body = show::pair_object(ask, namespace, key);
            show::deadline(&mut body, deadline_ms, ask.now_ms);
            Ok(answer::json(StatusCode::OK, body.end()))
        }
        _ => Err(no_key()),
    }
}

/// A pair's value and deadline in unix ms.
type Value = (Vec<u8>, Option<u64>);

/// What NAMESPACE PAIR answered. With a default, a missing namespace is a missing pair.
fn value_and_deadline(reply: Result<Captured, Error>, ask: &Ask) -> Result<Option<Value>, Refusal> {
    match reply {
        Ok(Captured::Array(items)) => match <[Captured; 2]>::try_from(items) {
            Ok([Captured::Bulk(value), Captured::Integer(at_ms)]) => {
                Ok(Some((value, u64::try_from(at_ms).ok())))
            }
            _ => Ok(None),
        },
        Ok(_) => Ok(None),
        Err(Error::NoSuchNamespace) if ask.bytes("default").is_some() => Ok(None),
        Err(failed) => Err(failed.into()),
    }
}

/// Whether the value alone is wanted.
fn wants_bare(ask: &Ask) -> bool {
    ask.accepts(&[Accepts::Json, Accepts::Text]) == Accepts::Text
}

/// The default, or an error.
fn no_value(ask: &Ask, namespace: &[u8], key: &[u8]) -> Result<Answer, Refusal> {
    let Some(default) = ask.bytes("default") else { return Err(no_key()) };
    if wants_bare(ask) {
        return Ok(bare(default, false));
    }
    let mut body = show::pair_object(ask, namespace, key);
    show::value(&mut body, default, false);
    body.raw("found", "false");
    show::deadline(&mut body, None, ask.now_ms);
    body.raw("etag", "null");
    Ok(answer::json(StatusCode::OK, body.end()))
}

/// Nothing but the value.
fn bare(value: &[u8], is_base64: bool) -> Answer {
    let body = if is_base64 {
        Cow::Owned(base64::encode(value).into_bytes())
    } else {
        Cow::Borrowed(value)
    };
    let is_text = std::str::from_utf8(&body).is_ok();
    let content_type =
        if is_text { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    answer::plain(content_type, body.into_owned())
}

/// Adds what the command needs to check `only_if`, `if_match` and `if_none_match`.
fn condition<'a>(ask: &'a Ask, args: &mut Vec<&'a [u8]>) -> Result<(), Refusal> {
    let given: Vec<(&'static str, &'a str)> = ["only_if", "if_match", "if_none_match"]
        .into_iter()
        .filter_map(|name| ask.text(name).map(|text| (name, text.trim())))
        .collect();
    match *given {
        [] => {}
        [("only_if", "missing") | ("if_none_match", "*")] => args.push(b"NX"),
        [("only_if", "exists") | ("if_match", "*")] => args.push(b"XX"),
        [("only_if", _)] => return Err(invalid("only_if", "must be missing or exists")),
        [(name, text)] => {
            let bare = tag(text).unwrap_or_default();
            let word: &[u8] = if name == "if_match" { b"IFDEQ" } else { b"IFDNE" };
            args.extend([word, bare.as_bytes()]);
        }
        _ => return Err(invalid(given[1].0, "excludes other conditions")),
    }
    Ok(())
}

/// Whether `tag` is in a list of ETags, weak or not.
fn names_tag(tags: &str, tag: &str) -> bool {
    tags.split(',').map(str::trim).any(|one| {
        let one = one.strip_prefix("W/").unwrap_or(one);
        one == "*" || one.trim_matches('"') == tag
    })
}

fn with_tag(mut answer: Answer, tag: &str) -> Answer {
    let quoted = ["\"", tag, "\""].concat();
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(quoted)) {
        answer.headers_mut().insert(header::ETAG, value);
    }
    answer
}

fn no_key() -> Refusal {
    Refusal::new(Code::KeyNotFound, "There is no such key in this namespace")
}

fn condition_failed() -> Refusal {
    Refusal::new(Code::ConditionFailed, "The pair is not as the condition says")
}
