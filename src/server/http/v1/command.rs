//! Any command, in the form of Upstash's REST API, so that its clients work.
//!
//! A command is an array of strings; the answer is `{"result":…}` or `{"error":…}`, a pipeline's an array
//! of those. With `Upstash-Encoding: base64` strings in results are base64, but for `OK`. Replies are
//! those of RESP2. What belongs to a connection (MULTI, SELECT, SUBSCRIBE …) has no meaning here and is
//! refused; a transaction has an operation of its own.

use hyper::StatusCode;
use serde_json::value::RawValue;

use super::ask::Ask;
use super::code::{Code, Refusal};
use super::resp::{Part, Parts, error_of};
use super::{Call, rows};
use crate::base64;
use crate::server::http::answer::{self, Answer, write_text};

/// Commands about a connection, which an HTTP request does not have.
const REFUSED: &[&str] = &[
    "AUTH",
    "BLPOP",
    "CLIENT",
    "DISCARD",
    "EXEC",
    "HELLO",
    "MONITOR",
    "MULTI",
    "PSUBSCRIBE",
    "PSYNC",
    "PUNSUBSCRIBE",
    "QUIT",
    "REPLCONF",
    "RESET",
    "SELECT",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SUNSUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WAIT",
    "WAITAOF",
    "WATCH",
];

type Words = Vec<Vec<u8>>;

pub(super) fn one(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let words = serde_json::from_slice(&ask.body).map_err(|error| rows::no_json(&error))?;
    let words = words_of(words)?;
    let mut reply = Vec::new();
    if let Some(refusal) = refusal(&words) {
        reply.extend_from_slice(refusal.as_bytes());
    } else {
        call.connection.run_into(&slices(&words), &mut reply);
    }
    let mut body = Vec::new();
    write_outcome(&mut body, &mut Parts::new(&reply), is_base64(call));
    Ok(answer::json(status(&reply), body))
}

pub(super) fn pipeline(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let commands = commands(ask)?;
    let is_base64 = is_base64(call);
    let mut body = Vec::new();
    let mut reply = Vec::new();
    answer::write_array(&mut body, &commands, |out, words| {
        reply.clear();
        match refusal(words) {
            Some(refusal) => reply.extend_from_slice(refusal.as_bytes()),
            None => call.connection.run_into(&slices(words), &mut reply),
        }
        write_outcome(out, &mut Parts::new(&reply), is_base64);
    });
    Ok(answer::json(StatusCode::OK, body))
}

pub(super) fn transaction(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let commands = commands(ask)?;
    let mut reply = Vec::new();
    if let Some(refusal) = commands.iter().find_map(refusal) {
        reply.extend_from_slice(refusal.as_bytes());
    } else {
        let commands: Vec<Vec<&[u8]>> = commands.iter().map(slices).collect();
        call.connection.run_transaction(&commands, &mut reply);
    }
    let is_base64 = is_base64(call);
    let mut parts = Parts::new(&reply);
    let mut body = Vec::new();
    match parts.clone().next() {
        Some(Part::Array(len)) => {
            parts.next();
            answer::write_array(&mut body, 0..len, |out, _| {
                write_outcome(out, &mut parts, is_base64)
            });
        }
        _ => write_outcome(&mut body, &mut parts, is_base64),
    }
    Ok(answer::json(status(&reply), body))
}

fn commands(ask: &Ask) -> Result<Vec<Words>, Refusal> {
    let all: Vec<Vec<&RawValue>> =
        serde_json::from_slice(&ask.body).map_err(|error| rows::no_json(&error))?;
    all.into_iter().map(words_of).collect()
}

fn words_of(words: Vec<&RawValue>) -> Result<Words, Refusal> {
    let no_word =
        || Refusal::new(Code::InvalidBody, "A command is an array of strings and numbers");
    let word = |raw: &RawValue| {
        let text = rows::text_of(raw).map_err(|error| rows::no_json(&error))?;
        text.map(std::borrow::Cow::into_owned).ok_or_else(no_word)
    };
    if words.is_empty() {
        return Err(no_word());
    }
    words.into_iter().map(word).collect()
}

fn slices(words: &Words) -> Vec<&[u8]> {
    words.iter().map(Vec::as_slice).collect()
}

/// Why a command is not run, as a reply.
fn refusal(words: &Words) -> Option<String> {
    let name = words.first()?;
    let known = REFUSED.iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes()))?;
    Some(format!("-ERR {known} is about a connection and can not be used over HTTP\r\n"))
}

fn is_base64(call: &Call<'_>) -> bool {
    let wanted = call.head.headers.get("upstash-encoding");
    wanted.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"base64"))
}

fn status(reply: &[u8]) -> StatusCode {
    match Parts::new(reply).next() {
        Some(Part::Error(text)) => {
            StatusCode::from_u16(error_of(text).http_status()).unwrap_or(StatusCode::BAD_REQUEST)
        }
        _ => StatusCode::OK,
    }
}

/// Writes `{"result":…}` or `{"error":…}` for the next reply.
fn write_outcome(out: &mut Vec<u8>, parts: &mut Parts<'_>, is_base64: bool) {
    if let Some(Part::Error(text)) = parts.clone().next() {
        parts.next();
        out.extend_from_slice(b"{\"error\":");
        write_text(out, text);
    } else {
        out.extend_from_slice(b"{\"result\":");
        write_reply(out, parts, is_base64);
    }
    out.push(b'}');
}

/// Our own replies nest a few levels deep, never as deep as a client says.
fn write_reply(out: &mut Vec<u8>, parts: &mut Parts<'_>, is_base64: bool) {
    match parts.next() {
        None | Some(Part::Bulk(None)) => out.extend_from_slice(b"null"),
        Some(Part::Integer(number)) => out.extend_from_slice(number.to_string().as_bytes()),
        Some(Part::Simple("OK")) => out.extend_from_slice(b"\"OK\""),
        Some(Part::Simple(text)) => write_string(out, text.as_bytes(), is_base64),
        Some(Part::Error(text)) => write_string(out, text.as_bytes(), is_base64),
        Some(Part::Bulk(Some(bytes))) => write_string(out, bytes, is_base64),
        Some(Part::Array(len)) => {
            answer::write_array(out, 0..len, |out, _| write_reply(out, parts, is_base64));
        }
    }
}

fn write_string(out: &mut Vec<u8>, bytes: &[u8], is_base64: bool) {
    if is_base64 {
        write_text(out, &base64::encode(bytes));
    } else {
        write_text(out, &String::from_utf8_lossy(bytes));
    }
}
