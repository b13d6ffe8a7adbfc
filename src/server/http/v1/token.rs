//! Operations on tokens. What a token is stands in [`crate::token`], who may make one for whom at TOKEN
//! CREATE.

use hyper::StatusCode;

use super::ask::{Ask, invalid};
use super::code::{Code, Refusal};
use super::reply_map::ReplyMap;
use super::when::{self, Lifetime};
use super::{Call, show};
use crate::reply::Captured;
use crate::server::http::answer::{self, Answer, Object};

pub(super) fn create(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let name = ask.name("name")?;
    let mut args: Vec<&[u8]> = vec![b"TOKEN", b"CREATE", name];
    if let Some(user) = ask.bytes("user") {
        args.extend([&b"USER"[..], user]);
    }
    let expires_ms = match ask.lifetime()? {
        None | Some(Lifetime::Forever) => None,
        Some(Lifetime::Until(at_ms)) => Some(at_ms.to_string()),
        Some(Lifetime::Keep) => return Err(invalid("ttl", "can not be kept: the token is new")),
    };
    if let Some(expires_ms) = &expires_ms {
        args.extend([&b"PXAT"[..], expires_ms.as_bytes()]);
    }
    let made = call.run(&args)?.map();
    let mut body = show::object(ask);
    body.text("secret", made.text("token"));
    members(&mut body, &made);
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn list(_ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let tokens = call.run(&[b"TOKEN", b"LIST"])?.rows();
    let mut body = Vec::new();
    answer::write_array(&mut body, &tokens, |out, token| {
        let mut object = Object::default();
        members(&mut object, token);
        out.append(&mut object.end());
    });
    Ok(answer::json(StatusCode::OK, body))
}

pub(super) fn revoke(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let id = ask.name("id")?;
    if call.run(&[b"TOKEN", b"REVOKE", id])? == Captured::Integer(0) {
        return Err(Refusal::new(Code::TokenNotFound, "There is no token with this id"));
    }
    if !ask.wants_row() {
        return Ok(answer::no_content());
    }
    let mut body = show::object(ask);
    show::bytes(&mut body, "id", id);
    body.raw("revoked", "true");
    Ok(answer::json(StatusCode::OK, body.end()))
}

fn members(body: &mut Object, token: &ReplyMap) {
    for name in ["id", "name", "user"] {
        body.text(name, token.text(name));
    }
    let times = [
        ("created_at", "created_ms"),
        ("expires_at", "expires_ms"),
        ("last_used_at", "last_used_ms"),
    ];
    for (member, field) in times {
        let out = body.open(member);
        match token.integer(field).and_then(|at_ms| u64::try_from(at_ms).ok()) {
            None => out.extend_from_slice(b"null"),
            Some(at_ms) => {
                out.push(b'"');
                when::show(out, at_ms);
                out.push(b'"');
            }
        }
    }
}
