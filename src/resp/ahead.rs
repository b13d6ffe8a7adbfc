//! Requests of one batch that were found but not run yet.
//!
//! Whoever runs them can see what they will touch and fetch it early. Only requests in the form of
//! arrays are kept; their arguments stay where they arrived.

use super::request::{Args, Span};

/// Requests that one look ahead holds at most.
pub const AHEAD_MAX: usize = 16;

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
