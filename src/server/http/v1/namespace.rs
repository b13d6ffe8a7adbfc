//! Operations on one namespace as a whole; its pairs are listed in `list`.

use hyper::StatusCode;

use super::ask::Ask;
use super::code::{Code, Refusal};
use super::{Call, limit, show};
use crate::reply::Captured;
use crate::server::http::answer::{self, Answer};

pub(super) fn create(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let namespace = ask.name("namespace")?;
    // First what not everybody may do.
    limit::limit(ask, call, namespace)?;
    let created = call.run(&[b"NAMESPACE", b"CREATE", namespace])? == Captured::Integer(1);
    if !ask.wants_row() {
        return Ok(answer::no_content());
    }
    let mut body = show::object(ask);
    show::bytes(&mut body, "namespace", namespace);
    body.raw("created", if created { "true" } else { "false" });
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn describe(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let namespace = ask.name("namespace")?;
    let facts = call.run(&[b"NAMESPACE", b"INFO", namespace])?.map();
    let number = |name: &str| facts.integer(name).unwrap_or(0);
    let ttl_ms = u64::try_from(number("ttl_ms")).ok();
    let mut body = show::object(ask);
    show::bytes(&mut body, "namespace", namespace);
    body.raw("pairs", &number("pairs").to_string());
    body.raw("bytes", &number("bytes").to_string());
    body.raw("kept", if facts.is_true("kept") { "true" } else { "false" });
    limit::members(&mut body, Some(&facts));
    show::deadline(&mut body, ttl_ms.map(|ttl_ms| ask.now_ms + ttl_ms), ask.now_ms);
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn delete(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let namespace = ask.name("namespace")?;
    if call.run(&[b"NAMESPACE", b"DROP", namespace])? == Captured::Integer(0) {
        return Err(Refusal::new(Code::NamespaceNotFound, "There is no such namespace"));
    }
    if !ask.wants_row() {
        return Ok(answer::no_content());
    }
    let mut body = show::object(ask);
    show::bytes(&mut body, "namespace", namespace);
    body.raw("deleted", "true");
    Ok(answer::json(StatusCode::OK, body.end()))
}
