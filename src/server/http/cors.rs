//! Cross-origin requests: which web pages may read our answers from a browser.
//!
//! Off unless origins are named. Credentials in the browser's sense (cookies) are never allowed; a
//! page that needs a password sends it in `Authorization`. A page on the internet may reach a server
//! on a private network only if its origin is named, not through `*`.
//!
//! Pages of other origins can not write either: every write needs a content type, a header or a method
//! for which a browser asks first.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use super::answer::{self, Answer};

const PREFLIGHT_MAX_AGE_S: &str = "600";
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
/// What pages may read of an answer besides the headers that every page may read.
const EXPOSED: &str = "ETag, Retry-After, X-KV-Expires-Ms, X-KV-Next-Href";
const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// The origins that may read answers: as browsers write them (`https://qlik.example`), or `*` for
/// all. No origins: no CORS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cors<'a>(pub(super) &'a [String]);

impl Cors<'_> {
    /// The answer to a preflight request; `None` if this is no preflight that may be answered.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Answer> {
        let asked = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if *method != Method::OPTIONS || !asked || self.allowed(headers).is_none() {
            return None;
        }
        let mut answer = answer::no_content();
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let out = answer.headers_mut();
        out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        out.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE_S));
        if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        if headers.contains_key(REQUEST_PRIVATE_NETWORK) && self.is_named(headers) {
            out.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        self.mark(headers, &mut answer);
        Some(answer)
    }

    /// Lets the requesting page read `answer`, if it may. `request` are the request's headers.
    pub(super) fn mark(&self, request: &HeaderMap, answer: &mut Answer) {
        if self.0.is_empty() {
            return;
        }
        let out = answer.headers_mut();
        if let Some(origin) = self.allowed(request) {
            out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            out.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
        if !self.is_any() {
            out.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }

    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        if self.is_any() {
            return Some(HeaderValue::from_static("*"));
        }
        self.is_named(request).then(|| origin.clone())
    }

    fn is_any(&self) -> bool {
        self.0.iter().any(|origin| origin == "*")
    }

    fn is_named(&self, request: &HeaderMap) -> bool {
        let origin = request.get(header::ORIGIN).map(HeaderValue::as_bytes);
        self.0.iter().any(|named| Some(named.as_bytes()) == origin)
    }
}
