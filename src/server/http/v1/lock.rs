//! Locks for reload chains. What a lock is, and how Redis clients see it, stands at NAMESPACE LOCK.

use hyper::StatusCode;

use super::ask::{Ask, invalid};
use super::code::{Code, Refusal};
use super::when::Lifetime;
use super::{Call, show};
use crate::error::Error;
use crate::reply::Captured;
use crate::server::http::answer::{self, Answer, Object};

/// Where locks are, unless the client names another namespace.
const NAMESPACE: &[u8] = b"locks";

pub(super) fn acquire(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let ttl_ms = ttl_ms(ask)?.to_string();
    let owner = ask.bytes("owner").unwrap_or_default();
    let lock = ask.name("lock")?;
    let args: [&[u8]; 6] = [b"NAMESPACE", b"LOCK", namespace(ask), lock, ttl_ms.as_bytes(), owner];
    let Captured::Integer(token) = call.run(&args)? else {
        return Err(Refusal::new(Code::Locked, "Somebody else holds this lock"));
    };
    let mut body = object(ask, lock);
    body.raw("held", "true");
    body.text("token", &token.to_string());
    body.raw("ttl_ms", &ttl_ms);
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn renew(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let ttl_ms = ttl_ms(ask)?.to_string();
    let (lock, token) = (ask.name("lock")?, ask.required("token")?);
    let args: [&[u8]; 6] = [b"NAMESPACE", b"RENEW", namespace(ask), lock, ttl_ms.as_bytes(), token];
    held(call.run(&args)?)?;
    let mut body = object(ask, lock);
    body.raw("held", "true");
    body.raw("ttl_ms", &ttl_ms);
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn release(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let (lock, token) = (ask.name("lock")?, ask.required("token")?);
    held(call.run(&[b"NAMESPACE", b"UNLOCK", namespace(ask), lock, token])?)?;
    let mut body = object(ask, lock);
    body.raw("held", "false");
    Ok(answer::json(StatusCode::OK, body.end()))
}

/// The token is not shown: who has it can release the lock.
pub(super) fn describe(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let lock = ask.name("lock")?;
    let pair = match call.run(&[b"NAMESPACE", b"PAIR", namespace(ask), lock]) {
        Err(Error::NoSuchNamespace) => Captured::Null,
        pair => pair?,
    };
    let mut body = object(ask, lock);
    let (owner, deadline_ms) = match pair {
        Captured::Array(items) => match <[Captured; 2]>::try_from(items) {
            Ok([Captured::Bulk(value), Captured::Integer(at_ms)]) => {
                let blank = value.iter().position(|&byte| byte == b' ');
                let owner = blank.map_or_else(Vec::new, |at| value[at + 1..].to_vec());
                (Some(owner), u64::try_from(at_ms).ok())
            }
            _ => (None, None),
        },
        _ => (None, None),
    };
    body.raw("held", if owner.is_some() { "true" } else { "false" });
    show::bytes(&mut body, "owner", &owner.unwrap_or_default());
    show::deadline(&mut body, deadline_ms, ask.now_ms);
    Ok(answer::json(StatusCode::OK, body.end()))
}

fn namespace(ask: &Ask) -> &[u8] {
    ask.bytes("namespace").unwrap_or(NAMESPACE)
}

fn object(ask: &Ask, lock: &[u8]) -> Object {
    let mut object = show::object(ask);
    show::bytes(&mut object, "lock", lock);
    object
}

fn ttl_ms(ask: &Ask) -> Result<u64, Refusal> {
    ask.required("ttl")?;
    match ask.lifetime()? {
        Some(Lifetime::Until(at_ms)) => Ok(at_ms - ask.now_ms),
        _ => Err(invalid("ttl", "must say how long: a lock that its holder forgets must end")),
    }
}

fn held(reply: Captured) -> Result<(), Refusal> {
    if reply == Captured::Integer(1) {
        return Ok(());
    }
    Err(Refusal::new(Code::NotHeld, "The token does not hold this lock, or not any more"))
}
