//! Any command, in the form of Upstash's REST API, so that its clients work.
//!
//! A command is an array of strings; the answer is `{"result":…}` or `{"error":…}`, a pipeline's an array
//! of those. With `Upstash-Encoding: base64` strings in results are base64, but for `OK`. Replies are
//! those of RESP2. What belongs to a connection (MULTI, SELECT, SUBSCRIBE …) has no meaning here and is
//! refused; a transaction has an operation of its own.

use hyper::StatusCode;
use hyper::http::request;
use serde_json::value::RawValue;

use super::ask::Ask;
use super::code::{Code, Refusal};
use super::elements::Elements;
use super::resp::{Part, Parts, error_of};
use super::rows::{self, Text};
use super::{Call, Later, Pending};
use crate::base64;
use crate::command::table;
use crate::config::Config;
use crate::server::http::answer::{self, Answer, write_text};

/// Commands after which others get their turn.
const COMMANDS_AT_ONCE: usize = 256;

/// Commands about a connection, which an HTTP request does not have; whatever they are called here.
const REFUSED: &[&str] = &[
    "AUTH",
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

type Words<'a> = Vec<Text<'a>>;

pub(super) fn one(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let words = words_of(Elements::of(&ask.body))?;
    let mut reply = Vec::new();
    if let Some(refusal) = refusal(&words) {
        reply.extend_from_slice(refusal.as_bytes());
    } else {
        call.connection.run_sent_into(&slices(&words), &mut reply);
    }
    let mut body = Vec::new();
    write_outcome(&mut body, &mut Parts::new(&reply), is_base64(call.head));
    Ok(answer::json(status(&reply), body))
}

/// An answer is whole before it leaves. Commands that would make it longer than a reply may be are not run.
pub(super) fn pipeline(ask: Ask, later: Later<'_>) -> Pending<'_> {
    Box::pin(async move {
        let commands = commands(&ask, later.config)?;
        let (is_base64, bytes_max) = (is_base64(later.head), later.config.client_reply_max_bytes);
        let mut body = vec![b'['];
        let mut reply = Vec::new();
        for (number, words) in commands.iter().enumerate() {
            if number > 0 {
                body.push(b',');
                if number % COMMANDS_AT_ONCE == 0 {
                    later.connection.not_behind().await;
                    tokio::task::yield_now().await;
                }
            }
            reply.clear();
            match refusal(words) {
                Some(refusal) => reply.extend_from_slice(refusal.as_bytes()),
                None if body.len() > bytes_max => reply.extend_from_slice(NOT_RUN),
                None => later.connection.run_sent_into(&slices(words), &mut reply),
            }
            write_outcome(&mut body, &mut Parts::new(&reply), is_base64);
        }
        body.push(b']');
        Ok(answer::json(StatusCode::OK, body))
    })
}

/// Instead of a command's reply.
const NOT_RUN: &[u8] =
    b"-ERR not run: the answer has passed client-reply-max-bytes. Send fewer commands at once\r\n";

pub(super) fn transaction(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let commands = commands(ask, call.config)?;
    let mut reply = Vec::new();
    if let Some(refusal) = commands.iter().find_map(refusal) {
        reply.extend_from_slice(refusal.as_bytes());
    } else {
        let commands: Vec<Vec<&[u8]>> = commands.iter().map(slices).collect();
        call.connection.run_transaction(&commands, &mut reply);
    }
    let is_base64 = is_base64(call.head);
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

fn commands<'a>(ask: &'a Ask, config: &Config) -> Result<Vec<Words<'a>>, Refusal> {
    let most = config.http_bulk_max_rows;
    let all = Elements::<&RawValue>::of(&ask.body).take(most + 1);
    let all: Vec<&RawValue> = all.collect::<Result<_, _>>()?;
    if all.len() > most {
        let text = format!("More commands than http-bulk-max-rows, {most}");
        return Err(Refusal::new(Code::TooManyRows, text));
    }
    all.into_iter().map(|raw| words_of(Elements::of(raw.get().as_bytes()))).collect()
}

fn words_of<'a>(words: Elements<'a, &'a RawValue>) -> Result<Words<'a>, Refusal> {
    let no_word =
        || Refusal::new(Code::InvalidBody, "A command is an array of strings and numbers");
    let word = |raw: Result<&'a RawValue, Refusal>| {
        rows::text_of(raw?).map_err(|error| rows::no_json(&error))?.ok_or_else(no_word)
    };
    let words: Words<'a> = words.map(word).collect::<Result<_, _>>()?;
    if words.is_empty() { Err(no_word()) } else { Ok(words) }
}

fn slices<'w>(words: &'w Words<'_>) -> Vec<&'w [u8]> {
    words.iter().map(|word| &**word).collect()
}

/// Why a command is not run, as a reply.
fn refusal(words: &Words<'_>) -> Option<String> {
    let known = table().find(words.first()?)?.command.name;
    let is_refused = REFUSED.contains(&known);
    is_refused
        .then(|| format!("-ERR {known} is about a connection and can not be used over HTTP\r\n"))
}

fn is_base64(head: &request::Parts) -> bool {
    let wanted = head.headers.get("upstash-encoding");
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
