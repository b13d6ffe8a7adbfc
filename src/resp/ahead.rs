//! Requests of one batch that were found but not run yet.
//!
//! Whoever runs them can see what they will touch and fetch it early. Only requests in the form of
//! arrays are kept; their arguments stay where they arrived.

use super::request::{Args, Limits, SHORT_BULK_MAX_BYTES, Span, short_bulk};

/// Requests that one look ahead holds at most.
pub const AHEAD_MAX: usize = 16;
/// Arguments that a request of the usual form has at most: their number is one digit.
const USUAL_ARGS_MAX: usize = 9;
/// Bytes of the longest one: its header, and of each argument header and line end.
const USUAL_REQUEST_MAX_BYTES: usize = 4 + USUAL_ARGS_MAX * (SHORT_BULK_MAX_BYTES + 7);

/// Some requests of an input, in their order.
#[derive(Debug, Default)]
pub struct Ahead {
    spans: Vec<Span>,
    requests: Vec<Found>,
}

/// Where a request is: its bytes in the input, its arguments in the spans.
#[derive(Debug, Clone, Copy)]
struct Found {
    start: usize,
    end: usize,
    spans_end: usize,
}

impl Ahead {
    /// Forgets all requests; keeps memory for those of usual size.
    pub fn clear(&mut self) {
        const SPANS_KEPT: usize = 64 * AHEAD_MAX;
        self.requests.clear();
        self.spans.clear();
        self.spans.shrink_to(SPANS_KEPT);
    }

    /// Adds the request at `start..end` of the input.
    #[inline]
    pub fn push(&mut self, args: Args<'_>, start: usize, end: usize) {
        self.spans.extend_from_slice(args.spans());
        self.requests.push(Found { start, end, spans_end: self.spans.len() });
    }

    /// Whether requests of the usual form are within these limits, whatever is in them.
    pub fn may_be_usual(limits: &Limits) -> bool {
        limits.args_max >= USUAL_ARGS_MAX
            && limits.bulk_len_max_bytes >= SHORT_BULK_MAX_BYTES
            && limits.request_max_bytes >= USUAL_REQUEST_MAX_BYTES
    }

    /// Adds the request that begins at `start`, if it is complete and of the usual form: a few short
    /// arguments. Returns where it ends; `None`: the parser must look. It would find the same.
    #[inline]
    pub fn push_usual(&mut self, input: &[u8], start: usize) -> Option<usize> {
        let request = input.get(start..)?;
        let &[b'*', count @ b'1'..=b'9', b'\r', b'\n'] = request.first_chunk()? else {
            return None;
        };
        let before = self.spans.len();
        let mut end = 4;
        for _ in b'0'..count {
            let Some(span) = short_bulk(request, end) else {
                self.spans.truncate(before);
                return None;
            };
            self.spans.push(span);
            end = span.range().end + 2;
        }
        let end = start + end;
        self.requests.push(Found { start, end, spans_end: self.spans.len() });
        Some(end)
    }

    /// Adds the request that an input is, if it is of the usual form and nothing follows it.
    #[inline]
    pub fn push_only(&mut self, input: &[u8]) -> bool {
        let before = self.spans.len();
        let Some(end) = self.push_usual(input, 0) else { return false };
        if end != input.len() {
            self.spans.truncate(before);
            self.requests.pop();
            return false;
        }
        true
    }

    /// The arguments of request number `at`, which was found in `input`.
    #[inline]
    pub fn args<'a>(&'a self, at: usize, input: &'a [u8]) -> Args<'a> {
        let found = self.requests[at];
        let spans_start = at.checked_sub(1).map_or(0, |last| self.requests[last].spans_end);
        Args::new(&input[found.start..], &self.spans[spans_start..found.spans_end])
    }

    /// Number of requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The arguments of each request, and where it ends in the input.
    pub fn iter<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = (Args<'a>, usize)> {
        let mut spans_start = 0;
        self.requests.iter().map(move |found| {
            let spans = &self.spans[spans_start..found.spans_end];
            spans_start = found.spans_end;
            (Args::new(&input[found.start..], spans), found.end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::{Parsed, RequestParser};
    use super::*;

    fn request(args: &[&[u8]]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            bytes.extend_from_slice(arg);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    /// What the short way finds, if anything; the parser must find the same.
    fn found(input: &[u8]) -> Option<usize> {
        let mut ahead = Ahead::default();
        let end = ahead.push_usual(input, 0)?;
        let mut parser = RequestParser::new();
        let parsed = parser.parse(input, &Limits::AUTHENTICATED);
        assert_eq!(parsed, Ok(Parsed::Request { consumed: end }), "{}", input.escape_ascii());
        let (args, _) = ahead.iter(input).next()?;
        assert!(args.iter().eq(parser.args(input).iter()), "{}", input.escape_ascii());
        // The same behind a request of another input.
        let mut both = Ahead::default();
        both.push_usual(&request(&[b"HGET", b"space", b"key"]), 0).unwrap();
        both.push_usual(input, 0)?;
        assert!(both.args(1, input).iter().eq(args.iter()), "{}", input.escape_ascii());
        Some(end)
    }

    #[test]
    fn the_short_way_finds_what_the_parser_finds() {
        let long = [b'x'; 120];
        for len in 0..=long.len() {
            let request = request(&[b"HGET", &long[..len], b"key"]);
            assert_eq!(found(&request), (len < 100).then_some(request.len()), "{len}");
        }
        for count in 1..=12 {
            let request = request(&vec![&b"word"[..]; count]);
            assert_eq!(found(&request), (count < 10).then_some(request.len()), "{count}");
        }
    }

    #[test]
    fn an_only_request_is_taken_and_of_two_nothing_is_left() {
        let (one, other) = (request(&[b"HGET", b"space", b"key"]), request(&[b"HLEN", b"space"]));
        let both = [&one[..], &other].concat();
        let mut ahead = Ahead::default();
        assert!(ahead.push_only(&one));
        assert!(!ahead.push_only(&both) && !ahead.push_only(&one[1..]) && !ahead.push_only(b""));
        assert!(ahead.push_only(&other));
        assert_eq!(ahead.len(), 2);
        assert!(ahead.args(0, &one).iter().eq([&b"HGET"[..], b"space", b"key"]));
        assert!(ahead.args(1, &other).iter().eq([&b"HLEN"[..], b"space"]));
    }

    #[test]
    fn what_is_cut_or_spoilt_is_not_found_where_it_is_not() {
        let whole = request(&[b"HSET", b"a name of 18 bytes", b"1", b"value"]);
        for at in 0..whole.len() {
            assert_eq!(found(&whole[..at]), None);
            for byte in b"\r\n$*0123456789:a/\0" {
                let mut spoilt = whole.clone();
                spoilt[at] = *byte;
                found(&spoilt);
            }
        }
    }
}
