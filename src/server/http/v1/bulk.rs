//! Operations on many pairs, which the rows of a body name.
//!
//! All or nothing is one command: NAMESPACE MSET or MUNSET, which checks everything before it changes
//! anything. With `atomic=0` each row is a command of its own and has a result of its own.

use std::borrow::Cow;

use hyper::StatusCode;

use super::ask::Ask;
use super::code::{Code, Refusal};
use super::resp::{Part, Parts, error_of};
use super::rows::Row;
use super::when::Lifetime;
use super::{Later, Pending, show};
use crate::error::Error;
use crate::reply::Captured;
use crate::server::http::answer::{self, Answer};
use crate::server::http::connection::Connection;

/// Rows after which others get their turn.
const ROWS_AT_ONCE: usize = 256;

pub(super) fn set(ask: Ask, later: Later<'_>) -> Pending<'_> {
    Box::pin(async move {
        let rows = rows(&ask, &later)?;
        if !is_atomic(&ask) {
            return one_by_one(&ask, &later, &rows, "set", set_one).await;
        }
        let deadlines: Vec<Cow<'_, [u8]>> =
            rows.iter().map(|row| deadline(row, ask.now_ms)).collect::<Result<_, _>>()?;
        let mut args: Vec<&[u8]> = Vec::with_capacity(2 + 4 * rows.len());
        args.extend([&b"NAMESPACE"[..], b"MSET"]);
        for (row, deadline) in rows.iter().zip(&deadlines) {
            let (namespace, key) = names(&ask, row)?;
            args.extend([namespace, key, required(row.value.as_deref(), "value")?, deadline]);
        }
        if !rows.is_empty() {
            later.connection.run(&args)?;
        }
        Ok(count(&ask, "set", rows.len()))
    })
}

pub(super) fn delete(ask: Ask, later: Later<'_>) -> Pending<'_> {
    Box::pin(async move {
        let rows = rows(&ask, &later)?;
        if !is_atomic(&ask) {
            return one_by_one(&ask, &later, &rows, "deleted", delete_one).await;
        }
        let mut args: Vec<&[u8]> = Vec::with_capacity(2 + 2 * rows.len());
        args.extend([&b"NAMESPACE"[..], b"MUNSET"]);
        for row in &rows {
            let (namespace, key) = names(&ask, row)?;
            args.extend([namespace, key]);
        }
        let deleted = match rows.is_empty() {
            true => 0,
            false => match later.connection.run(&args)? {
                Captured::Array(each) => {
                    each.iter().filter(|it| **it == Captured::Integer(1)).count()
                }
                _ => 0,
            },
        };
        Ok(count(&ask, "deleted", deleted))
    })
}

pub(super) fn get(ask: Ask, later: Later<'_>) -> Pending<'_> {
    Box::pin(async move {
        let (rows, is_base64) = (rows(&ask, &later)?, ask.is_base64());
        let bytes_max = later.config.client_reply_max_bytes;
        let mut out = vec![b'['];
        let mut reply = Vec::new();
        for (number, rows) in rows.chunks(ROWS_AT_ONCE).enumerate() {
            let mut args: Vec<&[u8]> = vec![b"NAMESPACE", b"MGET"];
            for row in rows {
                let (namespace, key) = names(&ask, row)?;
                args.extend([namespace, key]);
            }
            reply.clear();
            later.connection.run_into(&args, &mut reply);
            let mut parts = Parts::new(&reply);
            if let Some(Part::Error(text)) = parts.next() {
                return Err(error_of(text).into());
            }
            for (at, row) in rows.iter().enumerate() {
                if number > 0 || at > 0 {
                    out.extend_from_slice(b",\n");
                }
                let (namespace, key) = names(&ask, row)?;
                write_found(&mut out, namespace, key, &mut parts, (is_base64, ask.now_ms));
            }
            if out.len() > bytes_max {
                let text = "The answer would pass client-reply-max-bytes; ask for fewer rows";
                return Err(Refusal::new(Code::TooManyRows, text));
            }
            tokio::task::yield_now().await;
        }
        out.push(b']');
        Ok(answer::json(StatusCode::OK, out))
    })
}

fn write_found(
    out: &mut Vec<u8>,
    namespace: &[u8],
    key: &[u8],
    parts: &mut Parts<'_>,
    (is_base64, now_ms): (bool, u64),
) {
    out.push(b'{');
    show::append_bytes(out, "namespace", namespace, false);
    out.push(b',');
    show::append_bytes(out, "key", key, false);
    out.push(b',');
    let is_found = matches!(parts.next(), Some(Part::Array(_)));
    let (value, deadline) = match is_found {
        true => (parts.bulk(), parts.integer()),
        false => (None, None),
    };
    match value {
        Some(value) => show::append_bytes(out, "value", value, is_base64),
        None => out.extend_from_slice(b"\"value\":null"),
    }
    out.extend_from_slice(if is_found { b",\"found\":true," } else { b",\"found\":false," });
    out.extend_from_slice(b"\"ttl_ms\":");
    show::append_deadline(out, deadline.and_then(|at_ms| u64::try_from(at_ms).ok()), now_ms);
    out.push(b'}');
}

/// Runs a command for each row; the answer has a result for each.
async fn one_by_one(
    ask: &Ask,
    later: &Later<'_>,
    rows: &[Row<'_>],
    done: &'static str,
    run: fn(&Connection, &Ask, &Row<'_>) -> Result<bool, Refusal>,
) -> Result<Answer, Refusal> {
    let mut out = vec![b'['];
    for (number, row) in rows.iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(b",\n");
            if number % ROWS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        let result = run(later.connection, ask, row);
        let namespace = row.namespace.as_deref().or(ask.bytes("namespace"));
        let mut object = answer::Object::default();
        show::bytes(&mut object, "namespace", namespace.unwrap_or_default());
        show::bytes(&mut object, "key", row.key.as_deref().unwrap_or_default());
        match result {
            Ok(was_done) => {
                object.raw(done, if was_done { "true" } else { "false" });
                object.raw("ok", "true");
                object.raw("status", "200");
                object.raw("error", "null");
                object.raw("message", "null");
            }
            Err(Refusal { code, message, .. }) => {
                object.raw(done, "false");
                object.raw("ok", "false");
                object.raw("status", &code.status().to_string());
                object.text("error", code.word());
                object.text("message", &message);
            }
        }
        out.extend_from_slice(&object.end());
    }
    out.push(b']');
    Ok(answer::json(StatusCode::OK, out))
}

fn set_one(connection: &Connection, ask: &Ask, row: &Row<'_>) -> Result<bool, Refusal> {
    let (namespace, key) = names(ask, row)?;
    let value = required(row.value.as_deref(), "value")?;
    let deadline = deadline(row, ask.now_ms)?;
    connection.run(&[b"NAMESPACE", b"MSET", namespace, key, value, &deadline])?;
    Ok(true)
}

fn delete_one(connection: &Connection, ask: &Ask, row: &Row<'_>) -> Result<bool, Refusal> {
    let (namespace, key) = names(ask, row)?;
    match connection.run(&[b"NAMESPACE", b"UNSET", namespace, key]) {
        Ok(reply) => Ok(reply == Captured::Integer(1)),
        Err(Error::NoSuchNamespace) => Ok(false),
        Err(failed) => Err(failed.into()),
    }
}

fn rows<'a>(ask: &'a Ask, later: &Later<'_>) -> Result<Vec<Row<'a>>, Refusal> {
    let most = later.config.http_bulk_max_rows;
    let rows = ask.rows(most)?;
    if rows.len() > most {
        let text = format!("More rows than http-bulk-max-rows, {most}; import takes any number");
        return Err(Refusal::new(Code::TooManyRows, text));
    }
    Ok(rows)
}

fn is_atomic(ask: &Ask) -> bool {
    ask.bytes("atomic").is_none() || ask.flag("atomic")
}

/// The namespace of a row, or that of the whole request, and the key.
fn names<'a>(ask: &'a Ask, row: &'a Row<'_>) -> Result<(&'a [u8], &'a [u8]), Refusal> {
    let namespace = row.namespace.as_deref().or(ask.bytes("namespace"));
    let namespace = required(namespace.filter(|name| !name.is_empty()), "namespace")?;
    Ok((namespace, required(row.key.as_deref(), "key")?))
}

pub(super) fn required<'a>(column: Option<&'a [u8]>, name: &str) -> Result<&'a [u8], Refusal> {
    let missing = || Refusal::new(Code::MissingParameter, format!("A row has no {name}"));
    column.ok_or_else(missing)
}

/// A row's deadline as NAMESPACE MSET reads it.
pub(super) fn deadline(row: &Row<'_>, now_ms: u64) -> Result<Cow<'static, [u8]>, Refusal> {
    Ok(match row.lifetime(now_ms)? {
        Lifetime::Forever => Cow::Borrowed(b"-"),
        Lifetime::Keep => Cow::Borrowed(b"KEEPTTL"),
        Lifetime::Until(at_ms) => Cow::Owned(at_ms.to_string().into_bytes()),
    })
}

fn count(ask: &Ask, done: &'static str, count: usize) -> Answer {
    let mut body = show::object(ask);
    body.raw(done, &count.to_string());
    answer::json(StatusCode::OK, body.end())
}
