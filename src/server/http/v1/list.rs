//! Lists: the pairs of a namespace, all namespaces, everything; whole or by pages.
//!
//! A whole list is sent slice by slice, each the reply of one scan: memory holds one slice, no stripe is
//! held longer than for one, and what stays is shown once whatever else comes and goes. A page is a
//! whole answer with a link to the next.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};

use super::ask::{Accepts, Ask, invalid};
use super::code::Refusal;
use super::resp::Parts;
use super::{Call, link, show};
use crate::error::Error;
use crate::journal::Seen;
use crate::server::http::answer::{self, Answer, Source};
use crate::server::http::connection::Connection;

/// Pairs or names in a slice, at most.
const SLICE_ROWS: u64 = 512;
/// Slices after which others get their turn.
const SLICES_AT_ONCE: u32 = 4;
/// Longest page, in rows.
const PAGE_ROWS_MAX: u64 = 10_000;
/// A header whose whole value is the link to the next page.
const NEXT_HREF: HeaderName = HeaderName::from_static("x-kv-next-href");

/// How rows look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    JsonLines,
    Csv,
}

#[derive(Debug, Clone)]
struct Look {
    form: Form,
    has_values: bool,
    guard: bool,
    is_base64: bool,
    pattern: Option<Vec<u8>>,
    now_ms: u64,
}

/// What is listed, and where the list stands.
#[derive(Debug, Clone)]
enum What {
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
    list_pairs(ask, call, form(ask)?)
}

pub(super) fn csv(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    list_pairs(ask, call, Form::Csv)
}

pub(super) fn json_lines(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    list_pairs(ask, call, Form::JsonLines)
}

pub(super) fn namespaces(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let look = look(ask, form(ask)?)?;
    let what = |cursor| What::Names { cursor };
    match ask.number("limit", 1, PAGE_ROWS_MAX)? {
        Some(limit) => page(ask, call, look, what, limit, "/v1/namespaces"),
        None => whole(call, look, what(0)),
    }
}

pub(super) fn export(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let form = if ask.accepts()? == Accepts::Csv { Form::Csv } else { Form::JsonLines };
    let everything = What::Everything { names: VecDeque::new(), cursor: Some(0), inside: None };
    whole(call, look(ask, form)?, everything)
}

fn list_pairs(ask: &Ask, call: &mut Call<'_>, form: Form) -> Result<Answer, Refusal> {
    let namespace = ask.name("namespace")?.to_vec();
    let look = look(ask, form)?;
    let what = |cursor| What::Pairs { namespace: namespace.clone(), cursor };
    match ask.number("limit", 1, PAGE_ROWS_MAX)? {
        Some(limit) => page(ask, call, look, what, limit, "/v1/list"),
        None => whole(call, look, what(0)),
    }
}

fn form(ask: &Ask) -> Result<Form, Refusal> {
    Ok(match ask.accepts()? {
        Accepts::Csv => Form::Csv,
        Accepts::JsonLines => Form::JsonLines,
        Accepts::Any | Accepts::Json | Accepts::Text | Accepts::Events => Form::Json,
    })
}

fn look(ask: &Ask, form: Form) -> Result<Look, Refusal> {
    Ok(Look {
        form,
        has_values: ask.bytes("values").is_none() || ask.flag("values")?,
        guard: ask.flag("guard")?,
        is_base64: ask.is_base64()?,
        pattern: ask.bytes("match").filter(|pattern| *pattern != b"*").map(<[u8]>::to_vec),
        now_ms: ask.now_ms,
    })
}

// ---- whole lists

/// Sends everything. The first slice is made at once, so that what is wrong has its status.
fn whole(call: &mut Call<'_>, look: Look, what: What) -> Result<Answer, Refusal> {
    let form = look.form;
    let connection = call.connection.clone();
    let (slice, seen) = (Vec::new(), Seen::default());
    let mut list = List {
        connection,
        look,
        what,
        slice,
        ready: None,
        seen,
        in_row: 0,
        rows: 0,
        is_done: false,
    };
    list.advance(true)?;
    Ok(answer::stream(content_type(form), Box::new(list)))
}

fn content_type(form: Form) -> &'static str {
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
    /// The reply of the last scan.
    slice: Vec<u8>,
    /// What is sent next, once what it shows is safe.
    ready: Option<Bytes>,
    seen: Seen,
    /// Slices since others had their turn.
    in_row: u32,
    rows: u64,
    is_done: bool,
}

impl List {
    /// Makes the next piece.
    fn advance(&mut self, is_first: bool) -> Result<(), Error> {
        let mut out = Vec::with_capacity(self.slice.len() + self.slice.len() / 2 + 256);
        if is_first {
            head(&mut out, &self.look, &self.what);
        }
        let more = self.what.scan(&self.connection, &self.look, SLICE_ROWS, &mut self.slice);
        self.seen = self.seen.max(self.connection.take_seen());
        match more {
            Ok(()) => self.rows += self.what.write(&self.slice, &self.look, self.rows, &mut out)?,
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
            self.in_row += 1;
            if self.in_row > SLICES_AT_ONCE {
                self.in_row = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Err(failed) = self.advance(false) {
                return Poll::Ready(Some(Err(io::Error::other(failed))));
            }
        }
    }
}

impl What {
    /// Runs the next scan; its reply is in `slice`.
    fn scan(
        &mut self,
        connection: &Connection,
        look: &Look,
        count: u64,
        slice: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if let What::Everything { names, cursor, inside } = self {
            if inside.is_none() {
                *inside = names.pop_front().map(|name| (name, 0));
            }
            if inside.is_none()
                && let Some(at) = *cursor
            {
                slice.clear();
                scan_names(connection, look, at, count, slice);
                let mut parts = Parts::new(slice);
                *cursor = Some(parts.cursor()?).filter(|&cursor| cursor != 0);
                while let Some(name) = parts.bulk() {
                    names.push_back(name.to_vec());
                    (0..4).for_each(|_| _ = parts.next());
                }
                *inside = names.pop_front().map(|name| (name, 0));
            }
        }
        slice.clear();
        match self {
            What::Names { cursor } => scan_names(connection, look, *cursor, count, slice),
            What::Pairs { namespace, cursor } => {
                let pattern = look.pattern.as_deref();
                scan_pairs(connection, look, (namespace, *cursor, count), pattern, slice);
            }
            What::Everything { inside: Some((namespace, cursor)), .. } => {
                scan_pairs(connection, look, (namespace, *cursor, count), None, slice);
            }
            What::Everything { inside: None, .. } => return Ok(()),
        }
        Ok(())
    }

    /// Writes the rows of a slice and moves on; returns how many.
    fn write(
        &mut self,
        slice: &[u8],
        look: &Look,
        before: u64,
        out: &mut Vec<u8>,
    ) -> Result<u64, Error> {
        let mut parts = Parts::new(slice);
        match self {
            What::Names { cursor } => {
                *cursor = parts.cursor()?;
                let mut writer = Writer::new(out, look, b"", before);
                while let Some(name) = NameRow::read(&mut parts) {
                    writer.name(&name);
                }
                Ok(writer.rows - before)
            }
            What::Pairs { namespace, cursor } => {
                *cursor = parts.cursor()?;
                Ok(write_pairs(&mut parts, look, namespace, before, out))
            }
            What::Everything { inside, .. } => {
                let Some((namespace, cursor)) = inside else { return Ok(0) };
                let was_first = *cursor == 0;
                let next = match parts.cursor() {
                    // It is gone, or holds something else now.
                    Err(Error::NoSuchNamespace | Error::WrongType) => 0,
                    next => next?,
                };
                let mut rows = write_pairs(&mut parts, look, namespace, before, out);
                if rows == 0 && was_first && next == 0 && !slice.starts_with(b"-") {
                    let mut writer = Writer::new(out, look, namespace, before);
                    writer.empty();
                    rows = 1;
                }
                *cursor = next;
                if next == 0 {
                    *inside = None;
                }
                Ok(rows)
            }
        }
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

fn scan_names(connection: &Connection, look: &Look, cursor: u64, count: u64, slice: &mut Vec<u8>) {
    let (cursor, count) = (cursor.to_string(), count.to_string());
    let mut args: Vec<&[u8]> =
        vec![b"NAMESPACE", b"NAMES", cursor.as_bytes(), b"COUNT", count.as_bytes()];
    if let Some(pattern) = &look.pattern {
        args.extend([&b"MATCH"[..], pattern]);
    }
    connection.run_into(&args, slice);
}

fn scan_pairs(
    connection: &Connection,
    look: &Look,
    (namespace, cursor, count): (&[u8], u64, u64),
    pattern: Option<&[u8]>,
    slice: &mut Vec<u8>,
) {
    let (cursor, count) = (cursor.to_string(), count.to_string());
    let mut args: Vec<&[u8]> =
        vec![b"NAMESPACE", b"SCAN", namespace, cursor.as_bytes(), b"COUNT", count.as_bytes()];
    if let Some(pattern) = pattern {
        args.extend([&b"MATCH"[..], pattern]);
    }
    if !look.has_values {
        args.push(b"NOVALUES");
    }
    connection.run_into(&args, slice);
}

// ---- pages

/// Sends a page of `limit` rows. `next` is a cursor, and behind a dot the last key that was shown of the
/// entries that a scan gives in one piece.
fn page(
    ask: &Ask,
    call: &mut Call<'_>,
    look: Look,
    what: impl Fn(u64) -> What,
    limit: u64,
    path: &str,
) -> Result<Answer, Refusal> {
    let Some((mut cursor, mut after)) = read_next(ask.text("next").unwrap_or("0")) else {
        return Err(invalid("next", "must be what an answer gave"));
    };
    let mut rows = Vec::new();
    let mut written = 0;
    let mut slice = Vec::new();
    let next = loop {
        let mut at = what(cursor);
        at.scan(call.connection, &look, limit - written, &mut slice)?;
        let mut parts = Parts::new(&slice);
        let following = parts.cursor()?;
        let mut found: Vec<Entry<'_>> =
            std::iter::from_fn(|| Entry::read(&mut parts, &at, &look)).collect();
        found.sort_unstable_by_key(Entry::name);
        found.retain(|entry| after.as_deref().is_none_or(|after| entry.name() > after));
        let room = usize::try_from(limit - written).unwrap_or(usize::MAX);
        let namespace = if let What::Pairs { namespace, .. } = &at { namespace } else { &[][..] };
        let mut writer = Writer::new(&mut rows, &look, namespace, written);
        found.iter().take(room).for_each(|entry| writer.entry(entry));
        written = writer.rows;
        if found.len() > room {
            break Some((cursor, Some(found[room - 1].name().to_vec())));
        }
        (cursor, after) = (following, None);
        if cursor == 0 {
            break None;
        }
        if written == limit {
            break Some((cursor, None));
        }
    };
    let href = next.map(|(cursor, after)| {
        let token = write_next(cursor, after.as_deref());
        link::next(call.config, call.head, ask, path, &token)
    });
    Ok(page_answer(&look, &what(0), &rows, href.as_deref()))
}

fn page_answer(look: &Look, what: &What, rows: &[u8], href: Option<&str>) -> Answer {
    let mut body = Vec::with_capacity(rows.len() + 256);
    if look.form == Form::Json {
        body.extend_from_slice(b"{\"data\":");
    }
    head(&mut body, look, what);
    body.extend_from_slice(rows);
    if look.form == Form::Json {
        body.extend_from_slice(b"],\"links\":{");
        if let Some(href) = href {
            body.extend_from_slice(b"\"next\":{\"href\":");
            answer::write_text(&mut body, href);
            body.push(b'}');
        }
        body.extend_from_slice(b"}}");
    }
    let mut answer = answer::plain(content_type(look.form), body);
    *answer.status_mut() = StatusCode::OK;
    if let Some(value) = href.and_then(|href| HeaderValue::from_str(href).ok()) {
        answer.headers_mut().insert(NEXT_HREF, value);
    }
    answer
}

fn write_next(cursor: u64, after: Option<&[u8]>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match after {
        None => cursor.to_string(),
        Some(after) => format!("{cursor}.{}", hex(after)),
    }
}

fn read_next(token: &str) -> Option<(u64, Option<Vec<u8>>)> {
    let (cursor, after) = token.split_once('.').map_or((token, None), |(c, a)| (c, Some(a)));
    let unhex = |text: &str| {
        let digits = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        digits.map(byte).collect::<Option<Vec<u8>>>()
    };
    let cursor = crate::number::parse_u64(cursor.as_bytes())?;
    match after {
        None => Some((cursor, None)),
        Some(after) => Some((cursor, Some(unhex(after)?))),
    }
}

// ---- rows

/// One entry of a scan.
enum Entry<'a> {
    Pair { key: &'a [u8], value: Option<&'a [u8]>, deadline_ms: Option<u64> },
    Name(NameRow<'a>),
}

struct NameRow<'a> {
    name: &'a [u8],
    pairs: i64,
    bytes: i64,
    is_kept: bool,
    deadline_ms: Option<u64>,
}

impl<'a> NameRow<'a> {
    fn read(parts: &mut Parts<'a>) -> Option<NameRow<'a>> {
        Some(NameRow {
            name: parts.bulk()?,
            pairs: parts.integer()?,
            bytes: parts.integer()?,
            is_kept: parts.integer()? == 1,
            deadline_ms: u64::try_from(parts.integer()?).ok(),
        })
    }
}

impl<'a> Entry<'a> {
    fn read(parts: &mut Parts<'a>, what: &What, look: &Look) -> Option<Entry<'a>> {
        if matches!(what, What::Names { .. }) {
            return NameRow::read(parts).map(Entry::Name);
        }
        let key = parts.bulk()?;
        let value = if look.has_values { Some(parts.bulk()?) } else { None };
        Some(Entry::Pair { key, value, deadline_ms: u64::try_from(parts.integer()?).ok() })
    }

    fn name(&self) -> &'a [u8] {
        match self {
            Entry::Pair { key, .. } => key,
            Entry::Name(row) => row.name,
        }
    }
}

/// What comes before the rows.
fn head(out: &mut Vec<u8>, look: &Look, what: &What) {
    match look.form {
        Form::Json => out.push(b'['),
        Form::JsonLines => {}
        Form::Csv => {
            out.extend_from_slice(match what {
                What::Names { .. } => {
                    b"namespace,pairs,bytes,kept,ttl_ms,expires_ms,expires_at,base64\r\n"
                }
                _ if look.has_values => {
                    b"namespace,key,value,ttl_ms,expires_ms,expires_at,base64\r\n"
                }
                _ => &b"namespace,key,ttl_ms,expires_ms,expires_at,base64\r\n"[..],
            });
        }
    }
}

fn write_pairs(
    parts: &mut Parts<'_>,
    look: &Look,
    namespace: &[u8],
    before: u64,
    out: &mut Vec<u8>,
) -> u64 {
    let mut writer = Writer::new(out, look, namespace, before);
    while let Some(key) = parts.bulk() {
        let value = if look.has_values { parts.bulk() } else { None };
        let deadline_ms = parts.integer().and_then(|at_ms| u64::try_from(at_ms).ok());
        writer.pair(key, value, deadline_ms);
    }
    writer.rows - before
}

/// Writes rows of one namespace.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    look: &'o Look,
    /// What each row begins with: the namespace.
    prefix: Vec<u8>,
    is_text: bool,
    rows: u64,
}

impl<'o> Writer<'o> {
    fn new(out: &'o mut Vec<u8>, look: &'o Look, namespace: &[u8], rows: u64) -> Writer<'o> {
        let mut prefix = Vec::new();
        let is_text = std::str::from_utf8(namespace).is_ok();
        if look.form != Form::Csv {
            prefix.push(b'{');
            show::append_bytes(&mut prefix, "namespace", namespace, false);
        } else {
            field(&mut prefix, namespace, false, look.guard);
        }
        prefix.push(b',');
        Writer { out, look, prefix, is_text, rows }
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Pair { key, value, deadline_ms } => self.pair(key, *value, *deadline_ms),
            Entry::Name(row) => self.name(row),
        }
    }

    /// A row begins.
    fn begin(&mut self) {
        if self.look.form == Form::Json && self.rows > 0 {
            self.out.extend_from_slice(b",\n");
        }
        self.rows += 1;
    }

    fn pair(&mut self, key: &[u8], value: Option<&[u8]>, deadline_ms: Option<u64>) {
        self.begin();
        self.out.extend_from_slice(&self.prefix);
        let Look { is_base64, now_ms, .. } = *self.look;
        if self.look.form == Form::Csv {
            return self.pair_fields(key, value, deadline_ms);
        }
        show::append_bytes(self.out, "key", key, false);
        if let Some(value) = value {
            self.out.push(b',');
            show::append_bytes(self.out, "value", value, is_base64);
        }
        self.out.extend_from_slice(b",\"ttl_ms\":");
        show::append_deadline(self.out, deadline_ms, now_ms);
        self.out.push(b'}');
        self.end_line();
    }

    fn pair_fields(&mut self, key: &[u8], value: Option<&[u8]>, deadline_ms: Option<u64>) {
        let Look { is_base64, guard, now_ms, .. } = *self.look;
        let key_is_text = field(self.out, key, false, guard);
        let value_is_text = value.is_none_or(|value| {
            self.out.push(b',');
            field(self.out, value, is_base64, guard)
        });
        self.out.push(b',');
        show::append_deadline_fields(self.out, deadline_ms, now_ms);
        self.end_fields([
            (self.is_text, "namespace"),
            (key_is_text, "key"),
            (value_is_text, "value"),
        ]);
    }

    /// A namespace without pairs, for import.
    fn empty(&mut self) {
        self.begin();
        self.out.extend_from_slice(&self.prefix);
        if self.look.form == Form::Csv {
            self.out.extend_from_slice(b",,,,");
            // It has no key, not an empty one.
            self.end_fields([(self.is_text, "namespace"), (false, "none"), (true, "")]);
            return;
        }
        self.out.extend_from_slice(b"\"key\":null,\"value\":null,\"ttl_ms\":");
        show::append_deadline(self.out, None, self.look.now_ms);
        self.out.push(b'}');
        self.end_line();
    }

    fn name(&mut self, row: &NameRow<'_>) {
        self.begin();
        let Look { guard, now_ms, .. } = *self.look;
        if self.look.form == Form::Csv {
            let is_text = field(self.out, row.name, false, guard);
            for number in [row.pairs, row.bytes, i64::from(row.is_kept)] {
                self.out.push(b',');
                show::number(self.out, number as u64);
            }
            self.out.push(b',');
            show::append_deadline_fields(self.out, row.deadline_ms, now_ms);
            return self.end_fields([(is_text, "namespace"), (true, ""), (true, "")]);
        }
        self.out.push(b'{');
        show::append_bytes(self.out, "namespace", row.name, false);
        self.out.extend_from_slice(b",\"pairs\":");
        show::number(self.out, row.pairs as u64);
        self.out.extend_from_slice(b",\"bytes\":");
        show::number(self.out, row.bytes as u64);
        self.out.extend_from_slice(if row.is_kept {
            b",\"kept\":true,"
        } else {
            b",\"kept\":false,"
        });
        self.out.extend_from_slice(b"\"ttl_ms\":");
        show::append_deadline(self.out, row.deadline_ms, now_ms);
        self.out.push(b'}');
        self.end_line();
    }

    fn end_line(&mut self) {
        if self.look.form == Form::JsonLines {
            self.out.push(b'\n');
        }
    }

    /// Names the fields that are base64.
    fn end_fields(&mut self, are_text: [(bool, &str); 3]) {
        self.out.push(b',');
        let mut encoded = are_text.iter().filter(|(is_text, _)| !is_text).map(|(_, name)| name);
        if let Some(first) = encoded.next() {
            self.out.extend_from_slice(first.as_bytes());
        }
        for name in encoded {
            self.out.push(b' ');
            self.out.extend_from_slice(name.as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

/// A field, as base64 if it must be; whether it stands as itself.
fn field(out: &mut Vec<u8>, bytes: &[u8], is_base64: bool, guard: bool) -> bool {
    let is_text = !is_base64 && std::str::from_utf8(bytes).is_ok();
    if is_text {
        show::append_field(out, bytes, guard);
    } else {
        out.extend_from_slice(crate::base64::encode(bytes).as_bytes());
    }
    is_text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_a_list_are_read_again() {
        for (cursor, after) in [(0, None), (17, None), (17, Some(&b"a.\xff"[..])), (3, Some(b""))] {
            let token = write_next(cursor, after);
            assert_eq!(read_next(&token), Some((cursor, after.map(<[u8]>::to_vec))), "{token}");
        }
        for token in ["", "x", "-1", "1.0", "1.0g", "1.+1", "18446744073709551616", "1.é"] {
            assert_eq!(read_next(token), None, "{token}");
        }
    }
}
