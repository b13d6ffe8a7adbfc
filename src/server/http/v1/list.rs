//! Lists: the pairs of a namespace, all namespaces, everything; whole or by pages.
//!
//! A whole list is sent slice by slice, each what one scan gives: memory holds one slice, no stripe is
//! held longer than for one, after each everybody else on the thread gets his turn, and what stays is
//! shown once whatever else comes and goes. Pages are in `list_page`.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::Bytes;

use super::Call;
use super::accept::Accepts;
use super::ask::Ask;
use super::code::Refusal;
use super::list_page::{PAGE_ROWS_MAX, from, page};
use super::list_rows::{Form, Look, NameRow, Writer, head};
use super::resp::Parts;
use crate::error::Error;
use crate::journal::Seen;
use crate::number;
use crate::reply::Captured;
use crate::server::http::answer::{self, Answer, Source};
use crate::server::http::connection::Connection;

/// Names in a slice, at most.
const SLICE_NAMES: u64 = 512;
/// Pairs that are looked at for a slice, at most, and bytes of rows after which it ends.
const SLICE_PAIRS: u64 = 1024;
const SLICE_BYTES: usize = 64 * 1024;
/// Namespaces in a slice of everything, at most.
const SLICE_NAMESPACES: usize = 32;
/// Room for the row with which a slice ends.
const LAST_ROW_BYTES: usize = 4 * 1024;
/// What is listed, and where the list stands.
#[derive(Debug, Clone)]
pub(super) enum What {
    Pairs {
        namespace: Vec<u8>,
        cursor: u64,
    },
    Names {
        cursor: u64,
    },
    /// The pairs of all namespaces; those without any are rows with nothing but their name.
    Everything {
        names: VecDeque<Vec<u8>>,
        cursor: Option<u64>,
        inside: Option<(Vec<u8>, u64)>,
    },
}

pub(super) fn pairs(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    list_pairs(ask, call, form(ask, FORMS))
}

pub(super) fn csv(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    list_pairs(ask, call, Form::Csv)
}

pub(super) fn json_lines(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    list_pairs(ask, call, Form::JsonLines)
}

pub(super) fn namespaces(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let look = look(ask, form(ask, FORMS));
    let what = |cursor| What::Names { cursor };
    let from = from(ask)?;
    match ask.number("limit", 1, PAGE_ROWS_MAX)? {
        Some(limit) => page((ask, call), look, what, (from, limit), "/v1/namespaces"),
        None => whole(call, look, what(0)),
    }
}

pub(super) fn export(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let form = form(ask, &[Accepts::JsonLines, Accepts::Csv]);
    let everything = What::Everything { names: VecDeque::new(), cursor: Some(0), inside: None };
    whole(call, look(ask, form), everything)
}

fn list_pairs(ask: &Ask, call: &mut Call<'_>, form: Form) -> Result<Answer, Refusal> {
    let namespace = ask.name("namespace")?.to_vec();
    let look = look(ask, form);
    let what = |cursor| What::Pairs { namespace: namespace.clone(), cursor };
    let from = from(ask)?;
    match ask.number("limit", 1, PAGE_ROWS_MAX)? {
        Some(limit) => page((ask, call), look, what, (from, limit), "/v1/list"),
        None => whole(call, look, what(0)),
    }
}

/// Forms of a list.
const FORMS: &[Accepts] = &[Accepts::Json, Accepts::JsonLines, Accepts::Csv];

fn form(ask: &Ask, offered: &[Accepts]) -> Form {
    match ask.accepts(offered) {
        Accepts::Csv => Form::Csv,
        Accepts::JsonLines => Form::JsonLines,
        Accepts::Json | Accepts::Text => Form::Json,
    }
}

fn look(ask: &Ask, form: Form) -> Look {
    Look {
        form,
        has_values: ask.bytes("values").is_none() || ask.flag("values"),
        guard: ask.flag("guard"),
        is_base64: ask.is_base64(),
        pattern: ask.bytes("match").filter(|pattern| *pattern != b"*").map(<[u8]>::to_vec),
        now_ms: ask.now_ms,
    }
}

// ---- whole lists

/// Sends everything. The first slice is made at once, so that what is wrong has its status.
fn whole(call: &mut Call<'_>, look: Look, what: What) -> Result<Answer, Refusal> {
    let form = look.form;
    let connection = call.connection.clone();
    let seen = Seen::default();
    let mut list = List {
        connection,
        look,
        what,
        ready: None,
        seen,
        is_tired: false,
        rows: 0,
        is_done: false,
    };
    list.advance(true)?;
    Ok(answer::stream(content_type(form), Box::new(list)))
}

pub(super) fn content_type(form: Form) -> &'static str {
    match form {
        Form::Json => "application/json; charset=utf-8",
        Form::JsonLines => "application/x-ndjson; charset=utf-8",
        Form::Csv => "text/csv; charset=utf-8; header=present",
    }
}

/// A list that is being sent.
struct List {
    connection: Arc<Connection>,
    look: Look,
    what: What,
    /// What is sent next, once what it shows is safe.
    ready: Option<Bytes>,
    seen: Seen,
    /// Others have not had their turn since the last slice.
    is_tired: bool,
    rows: u64,
    is_done: bool,
}

impl List {
    /// Makes the next piece.
    fn advance(&mut self, is_first: bool) -> Result<(), Error> {
        let mut out = Vec::with_capacity(if is_first { 0 } else { SLICE_BYTES + LAST_ROW_BYTES });
        if is_first {
            head(&mut out, &self.look, self.what.is_names());
        }
        let more = self.what.write_more(&self.connection, &self.look, self.rows, &mut out);
        self.seen = self.seen.max(self.connection.take_seen());
        match more {
            Ok(rows) => self.rows = rows,
            // What was there when the list began may be gone now.
            Err(Error::NoSuchNamespace) if !is_first => self.what.end(),
            Err(failed) => return Err(failed),
        }
        self.is_done = self.what.is_done();
        if self.is_done && self.look.form == Form::Json {
            out.extend_from_slice(b"]\n");
        }
        self.ready = Some(Bytes::from(out));
        Ok(())
    }
}

impl Source for List {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if let Some(ready) = self.ready.take() {
                match self.connection.poll_passed(self.seen, cx) {
                    Poll::Pending => {
                        self.ready = Some(ready);
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(failed)) => {
                        return Poll::Ready(Some(Err(io::Error::other(failed))));
                    }
                    Poll::Ready(Ok(())) if ready.is_empty() => continue,
                    Poll::Ready(Ok(())) => return Poll::Ready(Some(Ok(ready))),
                }
            }
            if self.is_done {
                return Poll::Ready(None);
            }
            if std::mem::take(&mut self.is_tired) {
                return give_way(cx);
            }
            self.is_tired = true;
            if let Err(failed) = self.advance(false) {
                return Poll::Ready(Some(Err(io::Error::other(failed))));
            }
        }
    }
}

/// Comes back when all tasks that are ready have run, and those whose sockets became ready meanwhile. Who
/// only wakes itself is asked again before the runtime looks at any socket.
fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    let yielding = pin!(tokio::task::yield_now());
    let _is_first: Poll<()> = yielding.poll(cx);
    Poll::Pending
}

impl What {
    pub(super) fn is_names(&self) -> bool {
        matches!(self, What::Names { .. })
    }

    /// Writes the rows of the next slice behind those `before`, and moves on; returns how many there are
    /// now.
    fn write_more(
        &mut self,
        connection: &Connection,
        look: &Look,
        before: u64,
        out: &mut Vec<u8>,
    ) -> Result<u64, Error> {
        match self {
            What::Names { cursor } => {
                let mut slice = Vec::new();
                scan_names(connection, look, *cursor, SLICE_NAMES, &mut slice);
                let mut parts = Parts::new(&slice);
                *cursor = parts.cursor()?;
                let mut writer = Writer::new(out, look, b"", before);
                while let Some(name) = NameRow::read(&mut parts) {
                    writer.name(&name);
                }
                Ok(writer.rows)
            }
            What::Pairs { namespace, cursor } => {
                let mut writer = Writer::new(out, look, namespace, before).up_to(SLICE_BYTES);
                let pattern = look.pattern.as_deref();
                *cursor = walk_pairs(connection, look, (namespace, *cursor, pattern), &mut writer)?;
                Ok(writer.rows)
            }
            What::Everything { .. } => {
                let mut rows = before;
                for _ in 0..SLICE_NAMESPACES {
                    rows = self.write_namespace(connection, look, rows, out)?;
                    if out.len() >= SLICE_BYTES || self.is_done() {
                        break;
                    }
                }
                Ok(rows)
            }
        }
    }

    /// The same for the next slice of one namespace, if this is everything.
    fn write_namespace(
        &mut self,
        connection: &Connection,
        look: &Look,
        before: u64,
        out: &mut Vec<u8>,
    ) -> Result<u64, Error> {
        let What::Everything { names, cursor, inside } = self else { return Ok(before) };
        if inside.is_none() {
            *inside = next_name(connection, look, names, cursor)?.map(|name| (name, 0));
        }
        let Some((namespace, at)) = inside else { return Ok(before) };
        let was_first = *at == 0;
        let mut writer = Writer::new(out, look, namespace, before).up_to(SLICE_BYTES);
        let next = match walk_pairs(connection, look, (namespace, *at, None), &mut writer) {
            Ok(next) => {
                if was_first && next == 0 && writer.rows == before {
                    writer.empty();
                }
                next
            }
            // It is gone, or holds something else now.
            Err(Error::NoSuchNamespace | Error::WrongType) => 0,
            Err(failed) => return Err(failed),
        };
        let rows = writer.rows;
        *at = next;
        if next == 0 {
            *inside = None;
        }
        Ok(rows)
    }

    fn is_done(&self) -> bool {
        match self {
            What::Pairs { cursor, .. } | What::Names { cursor } => *cursor == 0,
            What::Everything { names, cursor, inside } => {
                names.is_empty() && cursor.is_none() && inside.is_none()
            }
        }
    }

    fn end(&mut self) {
        if let What::Pairs { cursor, .. } = self {
            *cursor = 0;
        }
    }
}

pub(super) fn scan_names(
    connection: &Connection,
    look: &Look,
    cursor: u64,
    count: u64,
    slice: &mut Vec<u8>,
) {
    let (cursor, count) = (cursor.to_string(), count.to_string());
    let mut args: Vec<&[u8]> =
        vec![b"NAMESPACE", b"NAMES", cursor.as_bytes(), b"COUNT", count.as_bytes()];
    if let Some(pattern) = &look.pattern {
        args.extend([&b"MATCH"[..], pattern]);
    }
    connection.run_into(&args, slice);
}

/// The next namespace of all: of those that were found, or of the next that are.
fn next_name(
    connection: &Connection,
    look: &Look,
    names: &mut VecDeque<Vec<u8>>,
    cursor: &mut Option<u64>,
) -> Result<Option<Vec<u8>>, Error> {
    if let (true, Some(at)) = (names.is_empty(), *cursor) {
        let mut slice = Vec::new();
        scan_names(connection, look, at, SLICE_NAMES, &mut slice);
        let mut parts = Parts::new(&slice);
        *cursor = Some(parts.cursor()?).filter(|&cursor| cursor != 0);
        while let Some(row) = NameRow::read(&mut parts) {
            names.push_back(row.name.to_vec());
        }
    }
    Ok(names.pop_front())
}

/// Gives the pairs of the next slice to the writer; the cursor behind them.
fn walk_pairs(
    connection: &Connection,
    look: &Look,
    (namespace, cursor, pattern): (&[u8], u64, Option<&[u8]>),
    writer: &mut Writer<'_>,
) -> Result<u64, Error> {
    let (cursor, count) = (cursor.to_string(), SLICE_PAIRS.to_string());
    let cursor = (cursor.as_bytes(), count.as_bytes());
    let args = pairs_args(namespace, cursor, pattern, look.has_values);
    match connection.run_rows(&args, writer)? {
        Captured::Bulk(next) => number::parse_u64(&next).ok_or(Error::plain("not a cursor")),
        _ => Err(Error::plain("not the reply of a scan")),
    }
}

pub(super) fn pairs_args<'a>(
    namespace: &'a [u8],
    (cursor, count): (&'a [u8], &'a [u8]),
    pattern: Option<&'a [u8]>,
    has_values: bool,
) -> Vec<&'a [u8]> {
    let mut args: Vec<&[u8]> = vec![b"NAMESPACE", b"SCAN", namespace, cursor, b"COUNT", count];
    if let Some(pattern) = pattern {
        args.extend([&b"MATCH"[..], pattern]);
    }
    if !has_values {
        args.push(b"NOVALUES");
    }
    args
}
