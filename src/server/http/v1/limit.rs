//! Operations on the limits of namespaces. What a limit is stands at NAMESPACE LIMIT.

use hyper::StatusCode;

use super::ask::Ask;
use super::code::{Code, Refusal};
use super::reply_map::ReplyMap;
use super::table_admin::{BYTES_MAX, PAIRS_MAX};
use super::{Call, show};
use crate::server::http::answer::{self, Answer, Object};

pub(super) fn set(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let namespace = ask.name("namespace")?;
    if !limit(ask, call, namespace)? {
        let text = "Required parameter 'pairs_max' or 'bytes_max' is missing";
        return Err(Refusal::new(Code::MissingParameter, text));
    }
    if !ask.wants_row() {
        return Ok(answer::no_content());
    }
    let limits = call.run(&[b"NAMESPACE", b"LIMITS"])?.rows();
    let own = limits.iter().find(|row| row.bytes("namespace") == Some(namespace));
    let mut body = show::object(ask);
    show::bytes(&mut body, "namespace", namespace);
    members(&mut body, own);
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn list(_ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let limits = call.run(&[b"NAMESPACE", b"LIMITS"])?.rows();
    let mut body = Vec::new();
    answer::write_array(&mut body, &limits, |out, row| {
        let mut object = Object::default();
        show::bytes(&mut object, "namespace", row.bytes("namespace").unwrap_or_default());
        members(&mut object, Some(row));
        out.append(&mut object.end());
    });
    Ok(answer::json(StatusCode::OK, body))
}

/// Sets the limits that are asked for; `false` if none is.
pub(super) fn limit(ask: &Ask, call: &mut Call<'_>, namespace: &[u8]) -> Result<bool, Refusal> {
    let mut args: Vec<Vec<u8>> = Vec::new();
    for (param, word) in [(PAIRS_MAX, "PAIRS"), (BYTES_MAX, "BYTES")] {
        if let Some(most) = ask.number(param.name, 0, i64::MAX as u64)? {
            args.extend([word.as_bytes().to_vec(), most.to_string().into_bytes()]);
        }
    }
    let is_asked = !args.is_empty();
    if is_asked {
        let command: [&[u8]; 3] = [b"NAMESPACE", b"LIMIT", namespace];
        let all: Vec<&[u8]> = command.into_iter().chain(args.iter().map(Vec::as_slice)).collect();
        call.run(&all)?;
    }
    Ok(is_asked)
}

/// The members about limits; 0 for none.
pub(super) fn members(body: &mut Object, limits: Option<&ReplyMap>) {
    for name in ["pairs_max", "bytes_max"] {
        let most = limits.and_then(|limits| limits.integer(name)).unwrap_or(0);
        body.raw(name, &most.to_string());
    }
}
