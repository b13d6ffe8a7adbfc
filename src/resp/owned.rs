//! Requests that do not stand in a connection's buffer: queued by MULTI, made by the HTTP door, or a
//! line of a file.

use super::inline;
use super::request::{Args, Span};

/// Room for a request that is no larger than most.
const USUAL_BYTES: usize = 128;
const USUAL_ARGS: usize = 8;
/// Room that a request keeps for the next one, for arguments and for where they stand.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// One request with its own memory.
#[derive(Debug, Clone, Default)]
pub struct OwnedRequest {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedRequest {
    /// A copy of arguments, the command's name first.
    pub fn new<'a>(args: impl IntoIterator<Item = &'a [u8]>) -> OwnedRequest {
        let mut request = OwnedRequest {
            bytes: Vec::with_capacity(USUAL_BYTES),
            spans: Vec::with_capacity(USUAL_ARGS),
        };
        args.into_iter().for_each(|arg| request.push(arg));
        request
    }

    /// Forgets the arguments; keeps some room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.spans.clear();
        self.spans.shrink_to(KEPT_BYTES_MAX / size_of::<Span>());
    }

    /// Adds an argument.
    pub fn push(&mut self, arg: &[u8]) {
        self.spans.push(Span::new(self.bytes.len(), arg.len()));
        self.bytes.extend_from_slice(arg);
    }

    /// The words of a line, quoted as in inline commands and redis.conf; `None` if a quote stays open
    /// or a closing one is not followed by a blank.
    pub fn from_line(line: &[u8]) -> Option<OwnedRequest> {
        let mut request = OwnedRequest::default();
        inline::split_words(line, &mut request.bytes, &mut request.spans).ok()?;
        Some(request)
    }

    /// The arguments.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }

    /// Bytes of all arguments together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes it takes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}
