//! Request bodies: read whole, within limits of size and time, and parsed by their declared type.
//!
//! What is accepted and in which words the rest is refused is Fastify's; see `v4` for the
//! differences.

use std::pin::Pin;
use std::time::Duration;

pub(super) use hyper::body::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::pair;
use super::problem::Problem;
use crate::config::Config;

/// What an unread body may still send, so that its sender gets to read the answer.
const DISCARDED_BYTES_MAX: u64 = 16 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the body of a request. `method` is the one that will be routed. `None`: there is no body,
/// or none that a route could take. An error may leave the body half read; see [`discard`].
pub(super) async fn read(
    method: &Method,
    headers: &HeaderMap,
    body: &mut Incoming,
    config: &Config,
) -> Result<Option<Value>, Problem> {
    let declared =
        headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    if declared.is_none() && body.is_end_stream() {
        return Ok(None);
    }
    let is_json = match media_type(declared.unwrap_or_default()).as_str() {
        "application/json" => true,
        "text/plain" => false,
        _ => {
            let (status, text) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type");
            return Err(Problem::coded(status, "FST_ERR_CTP_INVALID_MEDIA_TYPE", text));
        }
    };
    let bytes = whole(body, config, config.http_body_max_bytes).await?;
    if is_json { parse_json(method, &bytes) } else { Ok(None) }
}

/// A whole body of at most `bytes_max`, if it arrives in time.
pub(super) async fn whole(
    body: &mut Incoming,
    config: &Config,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let patience = Duration::from_millis(config.http_body_timeout_ms);
    let collected = tokio::time::timeout(patience, collect(body, bytes_max)).await;
    collected.unwrap_or_else(|_| Err(late()))
}

/// The next piece of a body of any length, if it arrives in time; `None` at its end.
pub(super) async fn piece(body: &mut Incoming, config: &Config) -> Result<Option<Bytes>, Problem> {
    let patience = Duration::from_millis(config.http_body_timeout_ms);
    let piece = tokio::time::timeout(patience, next(body)).await.map_err(|_| late())?;
    piece.transpose().map_err(|_| Problem::client_error().ending_connection())
}

fn late() -> Problem {
    let text = "The body did not arrive in time";
    Problem::new(StatusCode::REQUEST_TIMEOUT, text).ending_connection()
}

/// Reads on, within limits, in the background: a connection closed with unread bytes is reset, and
/// the answer could be lost. Not for who waits for 100 Continue: those send nothing.
pub(super) fn discard(headers: &HeaderMap, mut body: Incoming) {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    tokio::spawn(tokio::time::timeout(DISCARD_TIMEOUT, async move {
        let mut left = DISCARDED_BYTES_MAX;
        while let Some(Ok(bytes)) = next(&mut body).await {
            left = left.saturating_sub(bytes.len() as u64);
            if left == 0 {
                break;
            }
        }
    }));
}

fn media_type(declared: &str) -> String {
    declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn parse_json(method: &Method, bytes: &[u8]) -> Result<Option<Value>, Problem> {
    let refuse = |code, text| Err(Problem::coded(StatusCode::BAD_REQUEST, code, text));
    if bytes.is_empty() {
        if matches!(*method, Method::DELETE | Method::GET | Method::HEAD) {
            return Ok(None);
        }
        let text = "Body cannot be empty when content-type is set to 'application/json'";
        return refuse("FST_ERR_CTP_EMPTY_JSON_BODY", text);
    }
    if std::str::from_utf8(bytes).is_err() {
        // Misleading, but Butler's: decoding changes the length there.
        let text = "Request body size did not match Content-Length";
        return refuse("FST_ERR_CTP_INVALID_CONTENT_LENGTH", text);
    }
    match pair::parse(bytes) {
        Some(value) => Ok(Some(value)),
        None => {
            let text = "Body is not valid JSON but content-type is set to 'application/json'";
            refuse("FST_ERR_CTP_INVALID_JSON_BODY", text)
        }
    }
}

async fn collect(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let (status, text) = (StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large");
        Problem::coded(status, "FST_ERR_CTP_BODY_TOO_LARGE", text)
    };
    let broken = |_| Problem::client_error().ending_connection();
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let Some(first) = next(body).await.transpose().map_err(broken)? else {
        return Ok(Bytes::new());
    };
    if body.is_end_stream() && first.len() <= bytes_max {
        // Most bodies come in one piece, which is not copied.
        return Ok(first);
    }
    let mut whole = first.to_vec();
    while whole.len() <= bytes_max {
        match next(body).await.transpose().map_err(broken)? {
            Some(more) => whole.extend_from_slice(&more),
            None => return Ok(Bytes::from(whole)),
        }
    }
    Err(too_large())
}

/// The next piece of data; trailers are skipped.
async fn next(body: &mut Incoming) -> Option<hyper::Result<Bytes>> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_trailers)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}
