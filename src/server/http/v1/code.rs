//! Error codes of `/v1`, and the errors that carry them.
//!
//! A code is a promise: clients compare it, so it never changes. The message beside it is for people
//! and may. Errors of `/v4` are in `problem`.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use super::super::answer::{self, Answer, Object};
use super::super::problem::Problem;
use crate::error::Error;

macro_rules! codes {
    ($($variant:ident $status:literal $word:literal $about:literal,)*) => {
        /// What went wrong, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in super::super) enum Code { $(#[doc = $about] $variant,)* }

        impl Code {
            /// All codes.
            pub(super) const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The word in an answer's `error`.
            pub(super) fn word(self) -> &'static str {
                match self { $(Code::$variant => $word,)* }
            }

            /// What it means, for the documentation.
            pub(super) fn about(self) -> &'static str {
                match self { $(Code::$variant => $about,)* }
            }

            /// The HTTP status it comes with.
            pub(super) fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)* }
            }
        }
    };
}

codes! {
    BadRequest 400 "bad_request" "The request is not valid HTTP, or not in a way that is understood.",
    MissingParameter 400 "missing_parameter" "A parameter that is needed is in none of path, query, header and body.",
    UnknownParameter 400 "unknown_parameter" "The operation has no parameter of this name.",
    RepeatedParameter 400 "repeated_parameter" "A parameter is given twice, with different values.",
    InvalidParameter 400 "invalid_parameter" "A parameter's value is not one it can have.",
    InvalidBody 400 "invalid_body" "The body is not what its content type says.",
    InvalidArgument 400 "invalid_argument" "The command refused an argument; the message is Redis's.",
    Unauthorized 401 "unauthorized" "No password or token, or a wrong one.",
    Forbidden 403 "forbidden" "The user may not do this.",
    OriginNotAllowed 403 "origin_not_allowed" "A page of another origin may not write; see http-cors-origin.",
    NotFound 404 "not_found" "There is no such path.",
    NamespaceNotFound 404 "namespace_not_found" "There is no such namespace.",
    KeyNotFound 404 "key_not_found" "The namespace has no such key.",
    TokenNotFound 404 "token_not_found" "There is no token with this id.",
    MethodNotAllowed 405 "method_not_allowed" "The path exists, but not with this method.",
    BodyTimeout 408 "body_timeout" "The body did not arrive in time.",
    WrongType 409 "wrong_type" "The name holds a string of a Redis client, not a namespace.",
    NotHeld 409 "lock_not_held" "The token does not hold this lock, or not any more.",
    Locked 409 "locked" "Somebody else holds this lock.",
    ConditionFailed 412 "condition_failed" "The pair is not as the condition says.",
    BodyTooLarge 413 "body_too_large" "The body is longer than http-body-max-bytes or, for rows, http-bulk-max-bytes.",
    TooManyRows 413 "too_many_rows" "More rows or commands than http-bulk-max-rows in one call.",
    UnsupportedMediaType 415 "unsupported_media_type" "The operation does not read bodies of this content type.",
    ExpectationFailed 417 "expectation_failed" "Only 100-continue can be expected.",
    HostNotServed 421 "host_not_served" "This host name is not served here; see http-allowed-host.",
    RateLimited 429 "rate_limited" "More requests than http-rate-limit or http-token-rate-limit; Retry-After says when to come again.",
    Internal 500 "internal" "The server is at fault.",
    Busy 503 "busy" "A script takes long, or clients are paused; nothing was done. Come again.",
    Loading 503 "loading" "The server is still loading its data.",
    DiskFailed 503 "disk_failed" "The journal can not be written; the message says what is known of the outcome.",
    OutOfMemory 507 "out_of_memory" "The memory limit is reached.",
    LimitReached 507 "limit_reached" "The namespace has as many pairs or bytes as it may have.",
}

/// Why a request is not served.
#[derive(Debug)]
pub(in super::super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: Cow<'static, str>,
    ends_connection: bool,
    retry_after_s: Option<u64>,
}

impl Refusal {
    /// An error with a message for people.
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Refusal {
        let (ends_connection, retry_after_s) = (false, None);
        Refusal { code, message: message.into(), ends_connection, retry_after_s }
    }

    /// Ends the connection behind the answer: where the next request begins is not known.
    pub(super) fn ending_connection(self) -> Refusal {
        Refusal { ends_connection: true, ..self }
    }

    /// As an answer; `is_soft` makes its status 200.
    pub(in super::super) fn answer(self, is_soft: bool) -> Answer {
        let status = self.code.status().to_string();
        let mut body = Object::default();
        body.raw("ok", "false");
        body.raw("status", &status);
        body.text("error", self.code.word());
        body.text("message", &self.message);
        let real = StatusCode::from_u16(self.code.status());
        let shown = if is_soft { Ok(StatusCode::OK) } else { real };
        let mut answer =
            answer::json(shown.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body.end());
        let headers = answer.headers_mut();
        if self.code == Code::Unauthorized {
            let scheme = HeaderValue::from_static("Basic realm=\"pantry\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(retry_after_s) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
        }
        if self.ends_connection {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl From<Error> for Refusal {
    fn from(failed: Error) -> Refusal {
        let code = match &failed {
            Error::NoSuchNamespace => Code::NamespaceNotFound,
            Error::WrongType => Code::WrongType,
            Error::NoAuth | Error::NoAuthHello | Error::WrongPass => Code::Unauthorized,
            Error::NoPerm(_) => Code::Forbidden,
            Error::Loading => Code::Loading,
            Error::Misconf(_) => Code::DiskFailed,
            Error::OutOfMemory => Code::OutOfMemory,
            Error::LimitReached { .. } => Code::LimitReached,
            Error::Coded(_) if failed.http_status() == 503 => Code::Busy,
            _ => Code::InvalidArgument,
        };
        Refusal::new(code, failed.to_string())
    }
}

impl From<Problem> for Refusal {
    /// What was found before the route was known.
    fn from(problem: Problem) -> Refusal {
        let code = match problem.status().as_u16() {
            401 => Code::Unauthorized,
            403 => Code::Forbidden,
            408 => Code::BodyTimeout,
            413 => Code::BodyTooLarge,
            417 => Code::ExpectationFailed,
            421 => Code::HostNotServed,
            429 => Code::RateLimited,
            503 => Code::DiskFailed,
            _ => Code::BadRequest,
        };
        let (message, ends_connection) = (problem.to_string(), problem.ends_connection());
        let retry_after_s = problem.retry_after_s();
        Refusal { code, message: message.into(), ends_connection, retry_after_s }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Code;

    #[test]
    fn codes_are_words_of_their_own() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.word()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.word().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(code.about().ends_with('.') && (400..600).contains(&code.status()));
        }
    }
}
