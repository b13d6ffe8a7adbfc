//! Errors as values, and as the JSON that Fastify gives them.
//!
//! What went wrong is decided elsewhere; here is what it looks like. Fastify writes four forms: what a
//! handler throws, a route that is not there, a target that can not be decoded, and what its HTTP
//! parser refused.

use std::borrow::Cow;

use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};

use super::answer::{self, Answer, Object};
use crate::error::Error;

/// Why a request is not served.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: Option<&'static str>,
    message: Cow<'static, str>,
    form: Form,
    ends_connection: bool,
    retry_after_s: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Thrown,
    NoRoute,
    Early,
}

impl Problem {
    /// What a handler throws.
    pub(super) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Problem {
        let message = message.into();
        let (form, ends_connection) = (Form::Thrown, false);
        Problem { status, code: None, message, form, ends_connection, retry_after_s: None }
    }

    /// The client asks too often; in so many seconds it may ask again.
    pub(super) fn too_many_requests(retry_after_s: u64) -> Problem {
        let message = format!("Rate limit exceeded, retry in {retry_after_s} s");
        let retry_after_s = Some(retry_after_s);
        Problem { retry_after_s, ..Problem::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    /// In how many seconds the client may ask again, if it asked too often.
    pub(super) fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// What Fastify itself throws, with its code.
    pub(super) fn coded(status: StatusCode, code: &'static str, message: &'static str) -> Problem {
        Problem { code: Some(code), ..Problem::new(status, message) }
    }

    /// 400, from a handler.
    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, message)
    }

    /// What the schema validator refuses.
    pub(super) fn invalid(message: &'static str) -> Problem {
        Problem::coded(StatusCode::BAD_REQUEST, "FST_ERR_VALIDATION", message)
    }

    /// No route for this method and target.
    pub(super) fn no_route(method: &Method, target: &str) -> Problem {
        let message = format!("Route {method}:{target} not found");
        Problem { form: Form::NoRoute, ..Problem::new(StatusCode::NOT_FOUND, message) }
    }

    /// An escape in the target that means no text.
    pub(super) fn bad_url(target: &str) -> Problem {
        let message = format!("'{target}' is not a valid url component");
        let code = Some("FST_ERR_BAD_URL");
        Problem { code, form: Form::Early, ..Problem::bad_request(message) }
    }

    /// What Node's parser would not have let through.
    pub(super) fn client_error() -> Problem {
        Problem { form: Form::Early, ..Problem::bad_request("Client Error") }
    }

    /// The status it has.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the connection ends behind it.
    pub(super) fn ends_connection(&self) -> bool {
        self.ends_connection
    }

    /// Ends the connection behind the answer: where the next request begins is not known.
    pub(super) fn ending_connection(self) -> Problem {
        Problem { ends_connection: true, ..self }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Problem {
    /// The error of a command, with the status that says the same.
    fn from(failed: Error) -> Problem {
        let status = StatusCode::from_u16(failed.http_status());
        Problem::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), failed.to_string())
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Answer {
        let Problem { status, code, message, form, ends_connection, retry_after_s } = problem;
        let error = status.canonical_reason().unwrap_or_default();
        let mut body = Object::default();
        match form {
            Form::Thrown => {
                body.raw("statusCode", status.as_str());
                body.optional_text("code", code);
                body.text("error", error);
                body.text("message", &message);
            }
            Form::NoRoute => {
                body.text("message", &message);
                body.text("error", error);
                body.raw("statusCode", status.as_str());
            }
            Form::Early => {
                body.text("error", error);
                body.optional_text("code", code);
                body.text("message", &message);
                body.raw("statusCode", status.as_str());
            }
        }
        let mut answer = answer::json(status, body.end());
        let headers = answer.headers_mut();
        if form == Form::Early {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Basic realm=\"pantry\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(retry_after_s) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
        }
        if ends_connection {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_fail_with_the_status_that_says_the_same() {
        for (failed, status) in [
            (Error::WrongType, 400),
            (Error::NoAuth, 401),
            (Error::NoPerm("no".into()), 403),
            (Error::Loading, 503),
            (Error::Misconf("no".into()), 503),
            (Error::OutOfMemory, 507),
        ] {
            let answer = Answer::from(Problem::from(failed));
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.headers().contains_key(header::WWW_AUTHENTICATE), status == 401);
        }
    }
}
