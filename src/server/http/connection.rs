//! One HTTP connection: hyper's loop with its limits, and the way of one request through the door.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::answer::{self, Answer, Object};
use super::problem::Problem;
use super::stall::Stall;
use super::{Door, Rules, auth, body, host, target, v4};
use crate::error::Error;
use crate::reply::Captured;
use crate::server::clients::Client;
use crate::session::Session;

/// Longest request line and headers together; hyper takes at most 100 headers.
const HEAD_MAX_BYTES: usize = 32 * 1024;
/// What hyper may read ahead of what was asked for.
const READ_AHEAD_MAX_BYTES: usize = 64 * 1024;

const METHOD_OVERRIDE: &str = "x-http-method-override";

/// What is said to one connection too many.
const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
    content-type: application/json; charset=utf-8\r\ncontent-length: 95\r\n\r\n\
    {\"statusCode\":503,\"error\":\"Service Unavailable\",\"message\":\"max number of clients reached\"}";

struct Connection {
    door: Rc<Door>,
    local: SocketAddr,
    session: RefCell<Session>,
}

/// Takes the client out of the registry, however its connection ends.
struct Registered {
    door: Rc<Door>,
    client: Arc<Client>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.door.server.clients.disconnect(&self.client);
    }
}

/// Serves `stream` until it ends.
pub(super) async fn serve(door: Rc<Door>, mut stream: TcpStream) {
    door.metrics.total_connections_received.add(1);
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let (config, now_ms) = (door.server.config(), door.server.store.clock.now_ms());
    let client = door.server.clients.connect((peer, local), 0, now_ms, config.maxclients);
    let Some(client) = client else {
        door.metrics.rejected_connections.add(1);
        // Best effort: whoever does not read it is not waited for.
        let _ = stream.try_write(REFUSAL.as_bytes());
        let _ = stream.shutdown().await;
        return;
    };
    let _registered = Registered { door: door.clone(), client: client.clone() };
    let _ = stream.set_nodelay(true);
    let connection = Rc::new(Connection {
        door: door.clone(),
        local,
        session: RefCell::new(Session::new(client.clone(), false)),
    });
    let service = service_fn(move |request| {
        let connection = connection.clone();
        async move { Ok::<_, Infallible>(connection.answer(request).await) }
    });
    let stalled = Duration::from_millis(config.http_body_timeout_ms);
    let io = Stall::new(TokioIo::new(stream), stalled);
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.http_header_timeout_ms))
        .max_header_size(HEAD_MAX_BYTES)
        .max_buf_size(READ_AHEAD_MAX_BYTES)
        .pipeline_flush(true)
        .serve_connection(io, service);
    drive(http, &door, &client).await;
}

/// Polls the connection until it ends, is killed, or has answered its last request.
async fn drive(
    http: http1::Connection<
        Stall,
        impl hyper::service::HttpService<Incoming, ResBody = answer::Whole, Error = Infallible>,
    >,
    door: &Door,
    client: &Client,
) {
    let mut http = pin!(http);
    let mut stop = pin!(door.server.stop.cancelled());
    let (mut is_stopping, mut has_waker) = (false, false);
    let ended = std::future::poll_fn(|cx| {
        if !has_waker {
            client.set_waker(cx.waker());
            has_waker = true;
        }
        if client.is_killed() {
            return Poll::Ready(Ok(()));
        }
        if !is_stopping && stop.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            http.as_mut().graceful_shutdown();
        }
        http.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(client = client.id, %error, "http connection ended");
    }
}

impl Connection {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let rules = self.door.rules();
        self.door.metrics.http_requests.add(1);
        let (head, mut body) = request.into_parts();
        if let Some(answer) = rules.cors.preflight(&head.method, &head.headers) {
            return answer;
        }
        let answer = self.respond(&rules, &head, &mut body).await;
        body::discard(&head.headers, body);
        let mut answer = answer.unwrap_or_else(Answer::from);
        rules.cors.mark(&head.headers, &mut answer);
        answer
    }

    async fn respond(
        &self,
        rules: &Rules,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Answer, Problem> {
        self.check(rules, head)?;
        if let Some(answer) = self.health(head) {
            return Ok(answer);
        }
        let is_authenticated = auth::is_authenticated(&head.headers, &rules.config.requirepass);
        self.session.borrow_mut().is_authenticated = is_authenticated;
        if !is_authenticated {
            return Err(Error::NoAuth.into());
        }
        let method = overridden(&head.method, &head.headers)?;
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let takes_body = matches!(head.method, Method::POST | Method::PUT | Method::DELETE);
        if !takes_body && !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(Problem::no_route(&method, target));
        }
        let segments = target::segments(head.uri.path()).map_err(|_| Problem::bad_url(target))?;
        let body = match takes_body {
            true => body::read(&method, &head.headers, body, rules.body).await?,
            false => None,
        };
        let query = head.uri.query().unwrap_or_default();
        let request = v4::Request { method: &method, target, segments: &segments, query, body };
        let answer = v4::respond(request, &mut Batch { connection: self, rules });
        self.passed().await;
        answer
    }

    /// Checks what every request must have.
    fn check(&self, rules: &Rules, head: &Parts) -> Result<(), Problem> {
        let Parts { version, uri, headers, .. } = head;
        host::check(self.local, &rules.config.http_allowed_hosts, *version, uri, headers)?;
        if !is_framing_plain(headers) {
            return Err(Problem::client_error().ending_connection());
        }
        let mut expected = headers.get_all(header::EXPECT).iter();
        if expected.any(|it| !it.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            let text = "Only 100-continue can be expected";
            return Err(Problem::new(StatusCode::EXPECTATION_FAILED, text));
        }
        Ok(())
    }

    /// Whether the process runs, and whether it can serve. Tells nothing about data, asks for no
    /// password.
    fn health(&self, head: &Parts) -> Option<Answer> {
        let is_ready = self.door.server.is_ready.load(Relaxed);
        let (status, text) = match head.uri.path() {
            _ if !matches!(head.method, Method::GET | Method::HEAD) => return None,
            "/health/live" => (StatusCode::OK, "live"),
            "/health/ready" if is_ready => (StatusCode::OK, "ready"),
            "/health/ready" => (StatusCode::SERVICE_UNAVAILABLE, "loading"),
            _ => return None,
        };
        let mut body = Object::default();
        body.text("status", text);
        Some(answer::json(status, body.end()))
    }

    /// Waits until nothing that was shown can be lost in a crash.
    async fn passed(&self) {
        let touched = self.session.borrow().touched;
        let journal = &self.door.server.store.journal;
        if !journal.has_passed(touched) {
            journal.passed(touched).await;
        }
    }
}

/// Runs a route's commands in the connection's session.
struct Batch<'a> {
    connection: &'a Connection,
    rules: &'a Rules,
}

impl v4::Commands for Batch<'_> {
    fn run(&mut self, args: &[&[u8]]) -> Result<Captured, Error> {
        let mut session = self.connection.session.borrow_mut();
        self.connection.door.run(self.rules, &mut session, args)
    }
}

/// Whether the end of the body is beyond doubt: `chunked` is the only coding, and named once.
fn is_framing_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let only = codings.next();
    only.is_none_or(|it| it.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// The method to route: that of the request, or the one a POST names in its override header, in any
/// case; nothing there means GET, as it does behind Butler's proxy.
fn overridden(method: &Method, headers: &HeaderMap) -> Result<Method, Problem> {
    let mut named = headers.get_all(METHOD_OVERRIDE).iter();
    let routed = match (named.next(), named.next()) {
        (None, _) => method.clone(),
        _ if *method != Method::POST => method.clone(),
        (Some(name), None) if name.is_empty() => Method::GET,
        (Some(name), None) => Method::from_bytes(&name.as_bytes().to_ascii_uppercase())
            .map_err(|_| Problem::client_error())?,
        (Some(_), Some(_)) => return Err(Problem::client_error()),
    };
    if v4::is_known(&routed) { Ok(routed) } else { Err(Problem::client_error()) }
}
