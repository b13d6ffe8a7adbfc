//! The request parser: finds the arguments of one command in the bytes that a connection has received.
//! It works in place and remembers where it stopped; it copies no argument (inline commands apart), runs nothing
//! and reads no socket.
//!
//! A request is a flat array of bulks or an inline line, so nothing here recurses, and memory grows with the bytes
//! received, never with a length that a client only declares. The outcome depends on the bytes alone: however they are
//! cut into reads, the same requests and the same error come out.
//!
//! Where it differs from Redis 7:
//! - a bulk must end with CRLF, and CR in a header line must be followed by LF (Redis skips any two bytes);
//! - a wrong type byte where a bulk must begin is refused at once, not when its line is complete;
//! - a line over its limit is refused even when its end has arrived in the same read;
//! - NUL in an inline command is a byte like any other (Redis stops reading there and waits);
//! - RESP3 aggregates, TLS and every HTTP request line are refused (Redis takes most of them for inline commands).

use std::ops::{Index, Range};

use memchr::memchr;

use super::inline::split_words;
pub use super::limits::{Limits, ProtocolError};

/// A header line (`*3`, `$4`) is searched this far for its CR, and not further.
const HEADER_LINE_MAX_BYTES: usize = 64 * 1024;
/// No header line that is a number is longer: type byte, sign, 19 digits, CR.
const HEADER_LINE_USUAL_BYTES: usize = 22;
/// No bulk that is read the fast way is longer.
pub(super) const SHORT_BULK_MAX_BYTES: usize = 99;
/// A span's fields are 32 bits wide; the parser looks at no byte beyond.
const POSITION_MAX: usize = u32::MAX as usize;
/// Spans and inline bytes whose memory an idle parser may keep.
const IDLE_SPANS_MAX: usize = 64;
const IDLE_INLINE_MAX_BYTES: usize = 1024;

/// The place of one argument: relative to the slice that was parsed, or to the parser's own bytes if it came inline.
/// [`RequestParser::args`] knows which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Both numbers must be at most `POSITION_MAX`, as every position in a clipped buffer is.
    #[inline]
    pub(super) fn new(start: usize, len: usize) -> Span {
        Span { start: start as u32, len: len as u32 }
    }

    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

/// The arguments of one request, the command's name first.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { bytes, spans }
    }

    pub(super) fn spans(&self) -> &'a [Span] {
        self.spans
    }

    /// The number of arguments; never 0 after [`Parsed::Request`].
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Never true after [`Parsed::Request`].
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `i`, which lives as long as the request's bytes (indexing borrows from `self`).
    ///
    /// # Panics
    /// When there are `i` arguments or fewer, as indexing does.
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        &self.bytes[self.spans[i].range()]
    }

    /// The arguments in order.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |span| &bytes[span.range()])
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, i: usize) -> &[u8] {
        self.get(i)
    }
}

/// What [`RequestParser::parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// One whole request; [`RequestParser::args`] has its arguments until the next call of `parse`.
    Request {
        /// Bytes from the start of the slice to the end of the request, blank lines and empty arrays before it included.
        consumed: usize,
    },
    /// The request is not complete.
    Incomplete {
        /// Blank lines and empty arrays at the start of the slice, in bytes; the next call's slice begins behind them.
        consumed: usize,
        /// At least so many more bytes are needed, 1 or more. It comes from a length that the client declared: good
        /// for the size of the next read within the caller's own bounds, never for a reservation.
        need_at_least: usize,
    },
}

/// The state of one connection's requests: nothing but a few numbers and small buffers between two requests.
///
/// `parse` is always given the bytes from the start of the current request on: after [`Parsed::Incomplete`] the same
/// bytes (less `consumed`) and more behind them, after [`Parsed::Request`] what follows it. It goes on where it stopped,
/// so the work is linear in the bytes, however they arrive. A caller that parses until it gets `Incomplete`, also when
/// nothing is left to parse, leaves no large buffer behind in an idle parser. After an error the parser is of no
/// further use.
#[derive(Debug, Default)]
pub struct RequestParser {
    spans: Vec<Span>,
    /// The words of an inline command, unquoted.
    inline: Vec<u8>,
    /// Arguments of the current array that are still to come; 0: no array is open.
    args_left: u32,
    /// Where the next argument's header begins, while an array is open.
    at: u32,
    /// Bytes at the start of the current line that hold no line end.
    scanned: u32,
    is_inline: bool,
}

/// How the first line of a request was read.
enum First<'b> {
    /// `count` bulks begin at `rest`; the request began at `frame`.
    Array {
        frame: usize,
        count: u32,
        rest: &'b [u8],
    },
    Done(Parsed),
}

impl RequestParser {
    /// A parser for a new connection. It allocates nothing.
    pub fn new() -> RequestParser {
        RequestParser::default()
    }

    /// Looks for one request at the start of `buf`.
    ///
    /// # Errors
    /// Every [`ProtocolError`]; the connection must be closed, after the error's reply if it has one.
    #[inline]
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        let buf = &buf[..buf.len().min(POSITION_MAX)];
        if self.args_left > 0 {
            let rest = buf.get(self.at as usize..).unwrap_or_default();
            return self.bulks(buf, 0, self.args_left, rest, limits);
        }
        match self.first_line(buf, limits)? {
            First::Array { frame, count, rest } => self.bulks(buf, frame, count, rest, limits),
            First::Done(parsed) => Ok(parsed),
        }
    }

    /// The arguments of the request that `parse` has just found in `buf`.
    #[inline]
    pub fn args<'a>(&'a self, buf: &'a [u8]) -> Args<'a> {
        Args { bytes: if self.is_inline { &self.inline } else { buf }, spans: &self.spans }
    }

    /// Whether the request that `parse` has just found came inline: its arguments are the parser's then.
    #[inline]
    pub fn is_inline(&self) -> bool {
        self.is_inline
    }

    /// Whether no request is begun.
    #[inline]
    pub fn is_at_rest(&self) -> bool {
        self.args_left == 0 && self.scanned == 0
    }

    /// Of an incomplete request, which is all of `buf`: the bytes of its whole arguments, and of the
    /// header of the one that is arriving.
    pub fn parsed_bytes(&self, buf: &[u8]) -> usize {
        if self.args_left == 0 {
            return 0;
        }
        let at = (self.at as usize).min(buf.len());
        let header = &buf[at..buf.len().min(at + HEADER_LINE_USUAL_BYTES)];
        at + memchr(b'\n', header).map_or(0, |end| end + 1)
    }

    /// Forgets an incomplete request; the next slice begins with its first byte again.
    pub fn forget(&mut self) {
        *self = RequestParser::new();
    }

    /// The heap memory that the parser holds, in bytes: 8 per argument, rounded up by the vector's growth, and the
    /// words of an inline command. At most 1.5 KiB when idle.
    pub fn heap_bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.inline.capacity()
    }

    #[inline]
    fn first_line<'b>(
        &mut self,
        buf: &'b [u8],
        limits: &Limits,
    ) -> Result<First<'b>, ProtocolError> {
        self.spans.clear();
        self.is_inline = false;
        let mut rest = buf;
        loop {
            let frame = buf.len() - rest.len();
            match rest {
                [b'*', digit @ b'1'..=b'9', b'\r', b'\n', bulks @ ..]
                    if usize::from(digit - b'0') <= limits.args_max =>
                {
                    return Ok(First::Array { frame, count: u32::from(digit - b'0'), rest: bulks });
                }
                [] => return Ok(First::Done(self.incomplete(frame, 1))),
                [b'*', ..] => match self.array_header(rest, limits)? {
                    None => return Ok(First::Done(self.incomplete(frame, 1))),
                    Some((0, tail)) => rest = tail,
                    Some((count, bulks)) => return Ok(First::Array { frame, count, rest: bulks }),
                },
                _ => match self.inline_line(rest, limits)? {
                    None => return Ok(First::Done(self.incomplete(frame, 1))),
                    Some(tail) if self.spans.is_empty() => rest = tail,
                    Some(tail) => {
                        self.is_inline = true;
                        return Ok(First::Done(Parsed::Request {
                            consumed: buf.len() - tail.len(),
                        }));
                    }
                },
            }
        }
    }

    /// Reads `left` bulks from `rest`, the tail of `buf`; the request began at `frame`.
    #[inline]
    fn bulks(
        &mut self,
        buf: &[u8],
        frame: usize,
        mut left: u32,
        rest: &[u8],
        limits: &Limits,
    ) -> Result<Parsed, ProtocolError> {
        let end_max = frame.saturating_add(limits.request_max_bytes.min(POSITION_MAX));
        // What lies within the limit as a whole needs no other look at it.
        let within = &buf[..buf.len().min(end_max)];
        let mut at = buf.len() - rest.len();
        while left > 0 && limits.bulk_len_max_bytes >= SHORT_BULK_MAX_BYTES {
            let Some(span) = short_bulk(within, at) else { break };
            self.spans.push(span);
            at = span.range().end + 2;
            left -= 1;
        }
        let mut rest = &buf[at..];
        while left > 0 {
            let Some((len, body)) = self.bulk_header(rest)? else {
                return Ok(self.suspend(frame, left, buf.len() - rest.len(), 1));
            };
            if len > limits.bulk_len_max_bytes {
                return Err(limits.bulk_error(len));
            }
            let start = buf.len() - body.len();
            if len.saturating_add(start + 2) > end_max {
                return Err(ProtocolError::TooBigRequest);
            }
            match body.split_at_checked(len) {
                Some((_, [b'\r', b'\n', tail @ ..])) => {
                    self.spans.push(Span::new(start, len));
                    rest = tail;
                    left -= 1;
                }
                Some((_, [_, _, ..])) => return Err(ProtocolError::ExpectedBulkEnd),
                _ => {
                    return Ok(self.suspend(
                        frame,
                        left,
                        buf.len() - rest.len(),
                        len + 2 - body.len(),
                    ));
                }
            }
        }
        self.args_left = 0;
        Ok(Parsed::Request { consumed: buf.len() - rest.len() })
    }

    /// Keeps what is known of an incomplete array, relative to its own start.
    #[cold]
    fn suspend(&mut self, frame: usize, args_left: u32, at: usize, need_at_least: usize) -> Parsed {
        for span in &mut self.spans {
            span.start -= frame as u32;
        }
        self.args_left = args_left;
        self.at = (at - frame) as u32;
        self.incomplete(frame, need_at_least)
    }

    /// Waits for more; what a larger request before needed is given back here.
    fn incomplete(&mut self, consumed: usize, need_at_least: usize) -> Parsed {
        let spans_kept = IDLE_SPANS_MAX.max(self.spans.len() * 4);
        if self.spans.capacity() > spans_kept {
            self.spans.shrink_to(spans_kept);
        }
        if self.inline.capacity() > IDLE_INLINE_MAX_BYTES {
            self.inline = Vec::new();
        }
        Parsed::Incomplete { consumed, need_at_least }
    }

    /// `*<count>`: the count (0 for negative ones) and what follows the line; `None`: the line is incomplete.
    fn array_header<'b>(
        &mut self,
        rest: &'b [u8],
        limits: &Limits,
    ) -> Result<Option<(u32, &'b [u8])>, ProtocolError> {
        let header = self.header(
            rest,
            ProtocolError::TooBigMbulkCount,
            ProtocolError::InvalidMultibulkLength,
        )?;
        let Some((count, tail)) = header else { return Ok(None) };
        match u32::try_from(count.max(0)) {
            Ok(args) if args as usize <= limits.args_max => Ok(Some((args, tail))),
            _ => Err(limits.multibulk_error(count)),
        }
    }

    /// `$<len>`: the length and what follows the line; `None`: the line is incomplete.
    fn bulk_header<'b>(
        &mut self,
        rest: &'b [u8],
    ) -> Result<Option<(usize, &'b [u8])>, ProtocolError> {
        match rest.first() {
            None | Some(b'$') => {}
            Some(&got) => return Err(ProtocolError::ExpectedBulk(got)),
        }
        let header =
            self.header(rest, ProtocolError::TooBigBulkCount, ProtocolError::InvalidBulkLength)?;
        let Some((len, tail)) = header else { return Ok(None) };
        let len = usize::try_from(len).map_err(|_| ProtocolError::InvalidBulkLength)?;
        Ok(Some((len, tail)))
    }

    /// The number behind the type byte that `rest` begins with, and what follows its line.
    fn header<'b>(
        &mut self,
        rest: &'b [u8],
        too_big: ProtocolError,
        invalid: ProtocolError,
    ) -> Result<Option<(i64, &'b [u8])>, ProtocolError> {
        let usual = &rest[..rest.len().min(HEADER_LINE_USUAL_BYTES)];
        let cr = match usual.iter().position(|&byte| byte == b'\r') {
            Some(cr) => cr,
            // A short line leaves `scanned` alone: when complete it may be read where `scanned` is not looked at.
            None if rest.len() <= HEADER_LINE_USUAL_BYTES => return Ok(None),
            None => match self.find_in_line(b'\r', rest, HEADER_LINE_MAX_BYTES, too_big)? {
                Some(cr) => cr,
                None => return Ok(None),
            },
        };
        let (line, end) = rest.split_at(cr);
        match end {
            [_, b'\n', tail @ ..] => {
                self.scanned = 0;
                Ok(Some((parse_integer(&line[1..]).ok_or(invalid)?, tail)))
            }
            [_, _, ..] => Err(invalid),
            _ => Ok(None),
        }
    }

    /// Finds `end` among the first `line_max_bytes` bytes of `rest` and the one behind them, from where the last search
    /// ended. `None`: it is still to come.
    fn find_in_line(
        &mut self,
        end: u8,
        rest: &[u8],
        line_max_bytes: usize,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let line = &rest[..rest.len().min(line_max_bytes.saturating_add(1))];
        let scanned = (self.scanned as usize).min(line.len());
        if let Some(found) = memchr(end, &line[scanned..]) {
            self.scanned = (scanned + found) as u32;
            return Ok(Some(scanned + found));
        }
        self.scanned = line.len() as u32;
        if line.len() > line_max_bytes { Err(too_big) } else { Ok(None) }
    }

    /// Splits the line at the start of `rest` into spans, none for a blank line, and gives what follows the line.
    fn inline_line<'b>(
        &mut self,
        rest: &'b [u8],
        limits: &Limits,
    ) -> Result<Option<&'b [u8]>, ProtocolError> {
        match rest {
            [0x16, 0x03, ..] => return Err(ProtocolError::Tls),
            [kind @ (b'%' | b'~' | b'>' | b'|'), b'0'..=b'9', ..] => {
                return Err(ProtocolError::ExpectedArray(*kind));
            }
            _ => {}
        }
        let Some(lf) =
            self.find_in_line(b'\n', rest, limits.inline_max_bytes, ProtocolError::TooBigInline)?
        else {
            return Ok(None);
        };
        self.scanned = 0;
        self.inline.clear();
        split_words(&rest[..lf], &mut self.inline, &mut self.spans)
            .map_err(|_| ProtocolError::UnbalancedQuotes)?;
        if is_http(&Args { bytes: &self.inline, spans: &self.spans }) {
            return Err(ProtocolError::Http);
        }
        Ok(Some(&rest[lf + 1..]))
    }
}

/// A complete bulk whose length has one or two digits, the case that must be fast; all others are `bulk_header`'s, and
/// so is the last one of a buffer if it is the shortest that there can be.
#[inline(always)]
pub(super) fn short_bulk(buf: &[u8], at: usize) -> Option<Span> {
    /// `$`, then one digit or two, CR and LF; the bytes from the lowest of a word on.
    const ONE_DIGIT: [u64; 2] = [0x0a0d_0024, 0xffff_00ff];
    const TWO_DIGITS: [u64; 2] = [0x0a_0d00_0024, 0xff_ff00_00ff];
    let head = u64::from_le_bytes(*buf.get(at..)?.first_chunk()?);
    let digit = |at: u32| ((head >> (8 * at)) as u8).wrapping_sub(b'0');
    let (start, len) = if head & ONE_DIGIT[1] == ONE_DIGIT[0] && digit(1) <= 9 {
        (at + 4, usize::from(digit(1)))
    // No digit may follow a leading zero.
    } else if head & TWO_DIGITS[1] == TWO_DIGITS[0] && (1..=9).contains(&digit(1)) && digit(2) <= 9
    {
        (at + 5, usize::from(digit(1)) * 10 + usize::from(digit(2)))
    } else {
        return None;
    };
    let end = buf.get(start + len..)?.first_chunk()?;
    (end == b"\r\n").then(|| Span::new(start, len))
}

/// The words that Redis takes for an attack through a browser, and a whole HTTP request line, which no command is.
fn is_http(args: &Args<'_>) -> bool {
    const METHODS: [&[u8]; 9] =
        [b"GET", b"HEAD", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI"];
    let Some(first) = args.iter().next() else { return false };
    first.eq_ignore_ascii_case(b"POST")
        || first.eq_ignore_ascii_case(b"Host:")
        || (args.len() == 3 && METHODS.contains(&first) && args[2].starts_with(b"HTTP/"))
}

/// A decimal number as Redis's `string2ll` wants it: no `+`, no leading zero, no `-0`, no blank, within 64 bits.
fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Counted downwards, because the smallest number has no positive counterpart.
    let below_zero = digits.iter().try_fold(0i64, |sum, &byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_sub(i64::from(byte - b'0')),
        _ => None,
    })?;
    if negative { Some(below_zero) } else { below_zero.checked_neg() }
}
