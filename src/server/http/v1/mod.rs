//! `/v1`: the HTTP API for load scripts, extensions and everyone with `curl`.
//!
//! - [`table`]: the operations, with their [`params`]; [`route`] and the OpenAPI description follow from it.
//! - [`ask`]: one request's parameters, from path, query, headers or body. [`rows`]: rows in a body.
//!   [`accept`]: the form of the answer. [`when`]: TTLs and times. [`code`]: errors.
//! - [`pair`], [`namespace`], [`list`], [`bulk`], [`import`], [`limit`], [`lock`], [`token`], [`command`], [`watch`], [`describe`] and
//!   [`files`] are the operations. Each is one command of the table in [`crate::command`], or some.
//! - [`link`]: absolute links for paging. [`show`] and [`list_rows`]: how pairs look in answers. [`resp`] and [`reply_map`]: read
//!   replies. [`elements`]: reads arrays.
//!
//! Answers about one thing are one flat object, about many an array of them; names are never members
//! of JSON. A write that a browser page of another origin could send without asking is refused.

mod accept;
mod ask;
mod bulk;
mod code;
mod command;
mod describe;
mod elements;
mod files;
mod import;
mod limit;
mod link;
mod list;
mod list_page;
mod list_rows;
mod lock;
mod namespace;
mod pair;
mod params;
mod reply_map;
mod resp;
mod route;
mod rows;
mod show;
mod table;
mod table_admin;
mod token;
mod watch;
mod when;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::Method;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;

use super::answer::Answer;
use super::body;
use super::connection::Connection;
use super::target;
use crate::config::Config;
use crate::error::Error;
use crate::reply::Captured;

use ask::{Ask, Media, Sources};
use code::Code;
use route::Found;
use table::{Input, Run};

pub(super) use ask::asks_softly;
pub(super) use code::Refusal;
pub(super) use describe::{command_error_schema, error_codes, error_schema, paths};

/// What an operation that is run at once has besides what was asked.
struct Call<'c> {
    connection: &'c Arc<Connection>,
    config: &'c Config,
    head: &'c Parts,
}

/// What one that is run with pauses has.
struct Later<'c> {
    connection: &'c Arc<Connection>,
    config: &'c Config,
    head: &'c Parts,
    body: &'c mut Incoming,
}

/// The rest of such an operation.
type Pending<'c> = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send + 'c>>;

impl Call<'_> {
    /// One command, atomically; its reply.
    fn run(&mut self, args: &[&[u8]]) -> Result<Captured, Error> {
        self.connection.run(args)
    }
}

/// Whether this API answers for the path.
pub(super) fn is_here(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let is_upstash = || {
        let json = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        *method == Method::POST && json.is_some_and(|it| it.starts_with(b"application/json"))
    };
    match path {
        "/" => is_upstash(),
        "/pipeline" | "/multi-exec" => true,
        _ => path == "/v1" || path.starts_with("/v1/"),
    }
}

/// Answers a request. `method` is the one to route.
pub(super) async fn respond(
    connection: &Arc<Connection>,
    config: &Config,
    head: &Parts,
    method: &Method,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let has_body = !incoming.is_end_stream();
    let (mut ask, media) = match begin(connection, config, head, method, has_body)? {
        Begun::Ask(ask, media) => (*ask, media),
        Begun::Answer(answer) => return Ok(answer),
    };
    let operation = ask.operation;
    if operation.input == Input::Stream && matches!(media, Media::JsonLines | Media::Csv) {
        ask.take_body(media, body::Bytes::new())?;
    } else if !has_body {
        // Nothing, but it may say what it is.
        if matches!(operation.input, Input::Rows | Input::Stream) {
            ask.take_body(media, body::Bytes::new())?;
        }
    } else {
        let is_large = matches!(operation.input, Input::Rows | Input::Commands | Input::Stream);
        let bytes_max =
            if is_large { config.http_bulk_max_bytes } else { config.http_body_max_bytes };
        let whole = body::whole(incoming, config, bytes_max).await?;
        ask.take_body(media, whole)?;
    }
    match operation.run {
        Run::Now(run) => run(&ask, &mut Call { connection, config, head }),
        Run::Later(run) => run(ask, Later { connection, config, head, body: incoming }).await,
    }
}

/// Answers a request without a body for a path that [`may_pause`] does not know.
pub(super) fn respond_at_once(
    connection: &Arc<Connection>,
    config: &Config,
    head: &Parts,
    method: &Method,
) -> Result<Answer, Refusal> {
    match begin(connection, config, head, method, false)? {
        Begun::Answer(answer) => Ok(answer),
        Begun::Ask(ask, _) => match ask.operation.run {
            Run::Now(run) => run(&ask, &mut Call { connection, config, head }),
            Run::Later(_) => Err(Refusal::new(Code::Internal, "The operation pauses")),
        },
    }
}

/// Whether what is read at this path may take a while.
pub(super) fn may_pause(path: &str) -> bool {
    path.starts_with("/v1/") && route::PAUSING.iter().any(|end| path.ends_with(end))
}

/// A refusal as it was asked for.
pub(super) fn refused(head: &Parts, refusal: Refusal) -> Answer {
    refusal.answer(asks_softly(head.uri.query().unwrap_or_default(), &head.headers))
}

/// A request, read but for its body.
enum Begun {
    Ask(Box<Ask>, Media),
    Answer(Answer),
}

fn begin(
    connection: &Arc<Connection>,
    config: &Config,
    head: &Parts,
    method: &Method,
    has_body: bool,
) -> Result<Begun, Refusal> {
    check_origin(config, &head.method, &head.headers)?;
    let bad_path = |_| Refusal::new(Code::BadRequest, "A percent escape in the path means no text");
    let segments = target::segments(head.uri.path()).map_err(bad_path)?;
    let (operation, path) = match route::find(method, &segments) {
        Found::Operation(operation, path, (name, template)) => {
            connection.takes_route(name, template);
            (operation, path)
        }
        Found::OtherMethods(methods) => return Ok(Begun::Answer(other_methods(&methods, head))),
        Found::Nothing => return Err(Refusal::new(Code::NotFound, "There is no such path")),
    };
    let query = head.uri.query().unwrap_or_default();
    let from = Sources { path, query, headers: &head.headers, method: &head.method };
    let ask = Ask::new(operation, &from, connection.now_ms())?;
    Ok(Begun::Ask(Box::new(ask), Media::of(&head.headers, has_body)?))
}

fn other_methods(methods: &[&str], head: &Parts) -> Answer {
    let is_soft = asks_softly(head.uri.query().unwrap_or_default(), &head.headers);
    let text = "The path exists, but not with this method";
    let mut answer = Refusal::new(Code::MethodNotAllowed, text).answer(is_soft);
    if let Ok(value) = HeaderValue::from_str(&methods.join(", ")) {
        answer.headers_mut().insert(header::ALLOW, value);
    }
    answer
}

/// A page of any site may make a browser send a simple POST. It says so in `Origin`; only those that
/// CORS lets in, and pages that this server itself sent, may change anything.
fn check_origin(config: &Config, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().map_or(Cow::Borrowed("null"), Cow::Borrowed);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_own = origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host));
    let is_named = config.http_cors_origins.iter().any(|it| it == "*" || *it == *origin);
    if is_own || is_named {
        return Ok(());
    }
    let text = "Pages of this origin may not write; see http-cors-origin";
    Err(Refusal::new(Code::OriginNotAllowed, text))
}
