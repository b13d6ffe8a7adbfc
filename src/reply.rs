//! The typed reply writer: handlers say *what* they answer, this file says how it looks on the wire.
//!
//! One [`Reply`] writes RESP2, RESP3, or a [`Captured`] tree for the HTTP door. It knows no command.
//! A reply is written straight into the connection's output buffer; [`Reply::mark`] and
//! [`Reply::rewind`] take back what a handler wrote before it failed.

mod bulk;
mod header;
mod rows;

pub use rows::Rows;

use bulk::{SHORT_BULK_MAX, bulk, two_bulks};
use header::header;

use crate::error::Error;
use crate::number::format_double;
use crate::output::{self, Output};
use crate::shared::Value;

/// Where replies go, and in which form.
pub struct Reply<'a> {
    sink: Sink<'a>,
    rows: Option<&'a mut dyn Rows>,
}

enum Sink<'a> {
    Resp2(&'a mut Output),
    Resp3(&'a mut Output),
    Capture(&'a mut Capture),
}

/// A place in the output that [`Reply::rewind`] can return to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark(Place);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Output(output::Mark),
    Captured(CaptureMark),
}

/// A reply as a tree, for doors that are not RESP.
#[derive(Debug, Clone, PartialEq)]
pub enum Captured {
    /// No value.
    Null,
    /// A signed integer.
    Integer(i64),
    /// A short status text such as `OK`.
    Simple(String),
    /// A byte string.
    Bulk(Vec<u8>),
    /// A truth value (RESP3) or 0 and 1.
    Boolean(bool),
    /// A floating point number.
    Double(f64),
    /// An error that stands inside an array.
    Error(Error),
    /// Arrays, sets and pushes.
    Array(Vec<Captured>),
    /// Keys and values in turn.
    Map(Vec<(Captured, Captured)>),
}

/// Collects one [`Captured`] reply.
#[derive(Default)]
pub struct Capture {
    done: Vec<Captured>,
    open: Vec<Open>,
}

/// What had been captured.
#[derive(Clone, Copy, PartialEq, Eq)]
struct CaptureMark {
    done: usize,
    open: usize,
    /// Items of the innermost array that was open, and how many it waited for.
    inner: (usize, usize),
}

struct Open {
    left: usize,
    is_map: bool,
    items: Vec<Captured>,
}

impl<'a> Reply<'a> {
    /// Writes RESP into `out`: version 3 if `resp3`, else version 2.
    pub fn resp(out: &'a mut Output, resp3: bool) -> Reply<'a> {
        Reply { sink: if resp3 { Sink::Resp3(out) } else { Sink::Resp2(out) }, rows: None }
    }

    /// Builds a tree in `capture`.
    pub fn capture(capture: &'a mut Capture) -> Reply<'a> {
        Reply { sink: Sink::Capture(capture), rows: None }
    }

    /// Whether the client has RESP3's types.
    pub fn is_resp3(&self) -> bool {
        !matches!(self.sink, Sink::Resp2(_))
    }

    /// Where the output stands now.
    pub fn mark(&self) -> Mark {
        Mark(match &self.sink {
            Sink::Resp2(out) | Sink::Resp3(out) => Place::Output(out.mark()),
            Sink::Capture(capture) => Place::Captured(capture.mark()),
        })
    }

    /// Forgets everything written since `mark`. An array that was open then must be open still.
    pub fn rewind(&mut self, mark: Mark) {
        match (&mut self.sink, mark.0) {
            (Sink::Resp2(out) | Sink::Resp3(out), Place::Output(mark)) => out.rewind(mark),
            (Sink::Capture(capture), Place::Captured(mark)) => capture.rewind(mark),
            (_, _) => unreachable!("a mark is of its own reply"),
        }
    }

    /// Bytes that what was written since `mark` takes in memory; of a tree that is not known.
    pub fn buffered_since(&self, mark: Mark) -> usize {
        match (&self.sink, mark.0) {
            (Sink::Resp2(out) | Sink::Resp3(out), Place::Output(mark)) => out.buffered_since(mark),
            (_, _) => 0,
        }
    }

    /// No value.
    pub fn null(&mut self) {
        match &mut self.sink {
            Sink::Resp2(out) => out.extend_from_slice(b"$-1\r\n"),
            Sink::Resp3(out) => out.extend_from_slice(b"_\r\n"),
            Sink::Capture(capture) => capture.push(Captured::Null),
        }
    }

    /// No array, where RESP2 tells the two apart.
    pub fn null_array(&mut self) {
        match &mut self.sink {
            Sink::Resp2(out) => out.extend_from_slice(b"*-1\r\n"),
            Sink::Resp3(out) => out.extend_from_slice(b"_\r\n"),
            Sink::Capture(capture) => capture.push(Captured::Null),
        }
    }

    /// `OK`.
    pub fn ok(&mut self) {
        self.simple("OK");
    }

    /// A status text; must not hold CR or LF.
    pub fn simple(&mut self, text: &str) {
        match &mut self.sink {
            Sink::Resp2(out) | Sink::Resp3(out) => {
                out.push(b'+');
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Sink::Capture(capture) => capture.push(Captured::Simple(text.to_owned())),
        }
    }

    /// A status of any bytes. Line breaks become blanks, so a reply can not be split.
    pub fn status(&mut self, text: &[u8]) {
        match &mut self.sink {
            Sink::Resp2(out) | Sink::Resp3(out) => line(out, b'+', text),
            Sink::Capture(capture) => {
                capture.push(Captured::Simple(String::from_utf8_lossy(text).into_owned()));
            }
        }
    }

    /// The digits of a number of any size; a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &[u8]) {
        match &mut self.sink {
            Sink::Resp3(out) => line(out, b'(', digits),
            _ => self.bulk(digits),
        }
    }

    /// Bytes and the three letters of their format: a verbatim string in RESP3.
    pub fn verbatim_as(&mut self, format: &[u8], text: &[u8]) {
        match &mut self.sink {
            Sink::Resp3(out) => {
                header(out, b'=', text.len() as i64 + 4);
                let mut letters = *b"   ";
                letters.iter_mut().zip(format).for_each(|(to, from)| *to = *from);
                out.extend_from_slice(&letters);
                out.push(b':');
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            _ => self.bulk(text),
        }
    }

    /// A signed integer.
    pub fn integer(&mut self, n: i64) {
        match &mut self.sink {
            Sink::Resp2(out) | Sink::Resp3(out) => {
                if (0..10).contains(&n) {
                    out.block(&[b':', b'0' + n as u8, b'\r', b'\n'], 4);
                } else {
                    header(out, b':', n);
                }
            }
            Sink::Capture(capture) => capture.push(Captured::Integer(n)),
        }
    }

    /// A count as an integer.
    pub fn count(&mut self, n: usize) {
        self.integer(n as i64);
    }

    /// A byte string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        match &mut self.sink {
            Sink::Resp2(out) | Sink::Resp3(out) => bulk(out, bytes),
            Sink::Capture(capture) => capture.push(Captured::Bulk(bytes.to_vec())),
        }
    }

    /// A byte string, not copied if it is a counted reference.
    #[inline]
    pub fn value(&mut self, value: Value<'_>) {
        match (&mut self.sink, value.shared) {
            (Sink::Resp2(out) | Sink::Resp3(out), Some(shared)) => {
                header(out, b'$', shared.len() as i64);
                out.share(shared);
                out.extend_from_slice(b"\r\n");
            }
            _ => self.bulk(value.bytes),
        }
    }

    /// [`Reply::bulk`] and then [`Reply::value`].
    #[inline]
    pub fn bulk_and_value(&mut self, bytes: &[u8], value: Value<'_>) {
        match &mut self.sink {
            Sink::Resp2(out) | Sink::Resp3(out)
                if bytes.len() <= SHORT_BULK_MAX && value.bytes.len() <= SHORT_BULK_MAX =>
            {
                two_bulks(out, bytes, value.bytes);
            }
            _ => {
                self.bulk(bytes);
                self.value(value);
            }
        }
    }

    /// The same, or null.
    #[inline]
    pub fn value_or_null(&mut self, value: Option<Value<'_>>) {
        match value {
            Some(value) => self.value(value),
            None => self.null(),
        }
    }

    /// A byte string, or null.
    #[inline]
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// Text for people: a verbatim string in RESP3.
    pub fn verbatim(&mut self, text: &str) {
        match &mut self.sink {
            Sink::Resp2(out) => bulk(out, text.as_bytes()),
            Sink::Resp3(out) => {
                header(out, b'=', text.len() as i64 + 4);
                out.extend_from_slice(b"txt:");
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Sink::Capture(capture) => capture.push(Captured::Bulk(text.as_bytes().to_vec())),
        }
    }

    /// A truth value; 0 or 1 in RESP2.
    pub fn boolean(&mut self, yes: bool) {
        match &mut self.sink {
            Sink::Resp2(out) => header(out, b':', i64::from(yes)),
            Sink::Resp3(out) => out.extend_from_slice(if yes { b"#t\r\n" } else { b"#f\r\n" }),
            Sink::Capture(capture) => capture.push(Captured::Boolean(yes)),
        }
    }

    /// A floating point number; a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        match &mut self.sink {
            Sink::Resp2(out) => bulk(out, format_double(value).as_bytes()),
            Sink::Resp3(out) => {
                out.push(b',');
                out.extend_from_slice(format_double(value).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Sink::Capture(capture) => capture.push(Captured::Double(value)),
        }
    }

    /// Begins an array of `n` replies. Nothing may fail until they are written.
    pub fn array(&mut self, n: usize) {
        match &mut self.sink {
            Sink::Resp2(out) | Sink::Resp3(out) => header(out, b'*', n as i64),
            Sink::Capture(capture) => capture.open(n, false),
        }
    }

    /// Begins a map of `n` keys, each followed by its value; a flat array in RESP2.
    pub fn map(&mut self, n: usize) {
        match &mut self.sink {
            Sink::Resp2(out) => header(out, b'*', 2 * n as i64),
            Sink::Resp3(out) => header(out, b'%', n as i64),
            Sink::Capture(capture) => capture.open(2 * n, true),
        }
    }

    /// Begins a set of `n` replies; an array in RESP2.
    pub fn set(&mut self, n: usize) {
        match &mut self.sink {
            Sink::Resp2(out) => header(out, b'*', n as i64),
            Sink::Resp3(out) => header(out, b'~', n as i64),
            Sink::Capture(capture) => capture.open(n, false),
        }
    }

    /// Begins a push of `n` replies: what the client did not ask for; an array in RESP2.
    pub fn push(&mut self, n: usize) {
        match &mut self.sink {
            Sink::Resp2(out) => header(out, b'*', n as i64),
            Sink::Resp3(out) => header(out, b'>', n as i64),
            Sink::Capture(capture) => capture.open(n, false),
        }
    }

    /// Begins an array of `n` pairs: nested arrays in RESP3, flat in RESP2. Call [`Reply::pair`]
    /// before each pair.
    pub fn pairs(&mut self, n: usize) {
        self.array(if self.is_resp3() { n } else { 2 * n });
    }

    /// Begins one pair of [`Reply::pairs`].
    pub fn pair(&mut self) {
        if self.is_resp3() {
            self.array(2);
        }
    }

    /// An error reply. Line breaks in the text become blanks, so a reply can not be split.
    pub fn error(&mut self, error: &Error) {
        match &mut self.sink {
            Sink::Resp2(out) | Sink::Resp3(out) => {
                out.push(b'-');
                // A script may have written the code, too.
                let on_one_line = |b| if b == b'\r' || b == b'\n' { b' ' } else { b };
                out.extend(error.code().bytes().map(on_one_line));
                let text = error.to_string();
                if !text.is_empty() {
                    out.push(b' ');
                }
                out.extend(text.bytes().map(on_one_line));
                out.extend_from_slice(b"\r\n");
            }
            Sink::Capture(capture) => capture.push(Captured::Error(error.clone())),
        }
    }

    /// Copies a reply that is already encoded for this client's protocol. RESP sinks only.
    pub fn encoded(&mut self, bytes: &[u8]) {
        match &mut self.sink {
            Sink::Resp2(out) | Sink::Resp3(out) => out.extend_from_slice(bytes),
            Sink::Capture(_) => {}
        }
    }
}

impl Capture {
    /// The reply that was written, if one was. Nothing of it is left.
    pub fn take(&mut self) -> Option<Captured> {
        self.open.clear();
        let last = self.done.pop();
        self.done.clear();
        last
    }

    fn mark(&self) -> CaptureMark {
        let inner = self.open.last().map_or((0, 0), |open| (open.items.len(), open.left));
        CaptureMark { done: self.done.len(), open: self.open.len(), inner }
    }

    fn rewind(&mut self, mark: CaptureMark) {
        self.done.truncate(mark.done);
        self.open.truncate(mark.open);
        if let Some(open) = self.open.last_mut() {
            open.items.truncate(mark.inner.0);
            open.left = mark.inner.1;
        }
    }

    fn open(&mut self, left: usize, is_map: bool) {
        self.open.push(Open { left, is_map, items: Vec::new() });
        self.close();
    }

    fn push(&mut self, item: Captured) {
        match self.open.last_mut() {
            Some(open) => {
                open.items.push(item);
                open.left -= 1;
                self.close();
            }
            None => self.done.push(item),
        }
    }

    fn close(&mut self) {
        while self.open.last().is_some_and(|open| open.left == 0) {
            let Some(open) = self.open.pop() else { return };
            let whole = if open.is_map { as_map(open.items) } else { Captured::Array(open.items) };
            match self.open.last_mut() {
                Some(outer) => {
                    outer.items.push(whole);
                    outer.left -= 1;
                }
                None => self.done.push(whole),
            }
        }
    }
}

fn as_map(items: Vec<Captured>) -> Captured {
    let mut items = items.into_iter();
    let mut pairs = Vec::with_capacity(items.len() / 2);
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    Captured::Map(pairs)
}

/// One line; breaks in it become blanks.
fn line(out: &mut Output, kind: u8, text: &[u8]) {
    out.push(kind);
    out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}
