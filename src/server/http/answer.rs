//! Answers: the response body type, and how JSON is written.
//!
//! Knows no route and no command; errors are in `problem`. An answer is whole before its first byte
//! leaves and has a `Content-Length`, but for lists and events, which are made while they are sent; each
//! says that it must not be cached, taken for HTML or framed.

use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::plain::is_json;
use super::pulse::Busy;

const JSON: &str = "application/json; charset=utf-8";
/// What an answer in JSON says of itself. A copy costs less than adding one after the other.
static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderValue::from_static("frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers
});

/// Why no JSON can be made: never, since it is written to memory.
const IN_MEMORY: &str = "writing JSON to memory";

/// A response body.
pub(super) enum Body {
    /// All of it, or nothing.
    Whole(Option<Bytes>),
    /// Piece by piece, and who must know that it is not over yet.
    Pieces(Box<dyn Source>, Option<Busy>),
}

/// Makes the pieces of a body when there is room for them.
pub(super) trait Source: Send {
    /// The next piece, `None` at the end. An error ends the connection, so that nobody takes a part
    /// for the whole.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>>;
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Pieces(source, _) => {
                source.poll_piece(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Body::Pieces(..) => SizeHint::default(),
        }
    }
}

/// What every handler returns.
pub(super) type Answer = Response<Body>;

/// `body`, which is JSON already.
pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Answer {
    let mut answer = plain(JSON, body);
    *answer.status_mut() = status;
    answer
}

/// 200 with a body of this type.
pub(super) fn plain(content_type: &'static str, body: Vec<u8>) -> Answer {
    with_headers(content_type, Body::Whole(Some(Bytes::from(body))))
}

/// 200 with a body that is made while it is sent.
pub(super) fn stream(content_type: &'static str, source: Box<dyn Source>) -> Answer {
    with_headers(content_type, Body::Pieces(source, None))
}

fn with_headers(content_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.clone_from(&HEADERS);
    if content_type != JSON {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    answer
}

/// Text of this kind.
pub(super) fn text(kind: &'static str, body: String) -> Answer {
    let mut answer = json(StatusCode::OK, body.into_bytes());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// 204.
pub(super) fn no_content() -> Answer {
    let mut answer = Response::new(Body::Whole(None));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// Writes a JSON object, member by member, in the order of the calls.
#[derive(Debug)]
pub(super) struct Object(Vec<u8>);

impl Default for Object {
    fn default() -> Object {
        // Most answers fit.
        Object(Vec::with_capacity(256))
    }
}

impl Object {
    /// A member whose value is JSON already.
    pub(super) fn raw(&mut self, name: &'static str, value: &str) {
        self.name(name);
        self.0.extend_from_slice(value.as_bytes());
    }

    /// A string member.
    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        write_text(&mut self.0, value);
    }

    /// A string member, if there is one.
    pub(super) fn optional_text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A string member from bytes that a Redis client may have written: what is not UTF-8 becomes
    /// U+FFFD.
    pub(super) fn bytes(&mut self, name: &'static str, value: &[u8]) {
        if is_json(value) {
            self.name(name);
            return write_quoted(&mut self.0, value);
        }
        self.text(name, &String::from_utf8_lossy(value));
    }

    /// A member whose value the caller appends.
    pub(super) fn open(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.name(name);
        &mut self.0
    }

    /// The whole object.
    pub(super) fn end(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }

    fn name(&mut self, name: &'static str) {
        self.0.extend_from_slice(if self.0.is_empty() { b"{\"" } else { b",\"" });
        // Names are words.
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}

/// Appends a JSON string. The escapes are those of JavaScript's `JSON.stringify`; most texts need none.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    if !needs_escapes(text.as_bytes()) {
        return write_quoted(out, text.as_bytes());
    }
    serde_json::to_writer(out, text).expect(IN_MEMORY);
}

/// Appends a JSON string that needs no escapes.
fn write_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// Looks at all bytes, without a branch for each.
fn needs_escapes(text: &[u8]) -> bool {
    text.iter().fold(false, |any, &byte| any | (byte < b' ') | (byte == b'"') | (byte == b'\\'))
}

/// Appends an array, one element per item.
pub(super) fn write_array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}
