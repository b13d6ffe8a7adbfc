//! One HTTP connection: hyper's loop with its limits, and the way of one request through the door.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderName};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::{HeaderMap, Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;

use super::answer::{self, Answer, Object};
use super::cors::Cors;
use super::door::Door;
use super::problem::Problem;
use super::pulse::{Pulse, Watchdog};
use super::stall::Stall;
use super::{body, documentation, host, run, target, v1, v4};
use crate::acl::Identity;
use crate::config::Config;
use crate::error::Error;
use crate::events::feed::Feed;
use crate::journal::{Passage, Seen};
use crate::reply::Captured;
use crate::server::certificate;
use crate::server::clients::{Address, Client};
use crate::server::routes::{NO_ROUTE, Route};
use crate::server::stream::Stream;
use crate::server::worker::Worker;
use crate::server::{Server, exposition};
use crate::session::{HttpRequest, Session};
use crate::store::turn::Wait;

/// Longest request line and headers together; hyper takes at most 100 headers.
const HEAD_MAX_BYTES: usize = 32 * 1024;
/// What hyper may read ahead of what was asked for.
const READ_AHEAD_MAX_BYTES: usize = 64 * 1024;

/// Digits of the run id that tell one process from the next.
const GENERATION_DIGITS: usize = 8;

const METHOD_OVERRIDE: &str = "x-http-method-override";

/// What the requests of one connection share.
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    pub(super) client: Arc<Client>,
    local: SocketAddr,
    usual_host: host::Usual,
    /// Whether it is under TLS.
    pub(super) is_tls: bool,
    /// The user that its certificate names.
    pub(super) certified: Option<String>,
    /// Never locked across an await, nor by two.
    pub(super) session: Mutex<Session>,
    /// One more than the version of the users with which the session was found to be nobody's in
    /// particular; 0: it is somebody's.
    pub(super) anonymous_as_of: AtomicU64,
    pub(super) pulse: Arc<Pulse>,
}

/// What else there is to know of an answer that was made at once.
pub(super) struct AtOnce {
    /// What it depends on.
    pub(super) seen: Seen,
    /// When it was made, on the server's clock.
    pub(super) ended_ns: u64,
}

/// Serves one client until it leaves, is killed, or the server stops. A request in flight is answered
/// even then.
pub async fn serve(stream: Stream, client: Arc<Client>, server: Arc<Server>) {
    let Address::Inet(local) = client.laddr else { return };
    let config = server.config();
    let pulse = Pulse::new(server.clone());
    let connection = Arc::new(Connection {
        is_tls: stream.is_tls(),
        certified: certificate::user(&stream, &client, &server).map(|user| user.name.clone()),
        server: server.clone(),
        client: client.clone(),
        local,
        usual_host: host::Usual::new(),
        session: Mutex::new(Session::new(client.clone(), Identity::new(&server.acl))),
        anonymous_as_of: AtomicU64::new(0),
        pulse: pulse.clone(),
    });
    let patience = Duration::from_millis(config.http_header_timeout_ms);
    let mut watchdog = Watchdog::new(pulse.clone(), patience);
    let patience = Duration::from_millis(config.http_body_timeout_ms);
    // Not `pipeline_flush`: with it, hyper closes without sending what it answers to a bad request.
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        // The watchdog does this for less.
        .header_read_timeout(None)
        // Who closes its half behind its last request still gets the answer.
        .half_close(true)
        .max_header_size(HEAD_MAX_BYTES)
        .max_buf_size(READ_AHEAD_MAX_BYTES)
        .serve_connection(Stall::new(TokioIo::new(stream), patience, pulse), Door(connection));
    let mut http = pin!(http);
    let (mut has_waker, mut is_stopping) = (false, false);
    let ended = std::future::poll_fn(|cx| {
        if !std::mem::replace(&mut has_waker, true) {
            client.set_waker(cx.waker());
        }
        if client.is_killed() && !is_stopping {
            if !server.stop.is_cancelled() {
                return Poll::Ready(Ok(()));
            }
            is_stopping = true;
            http.as_mut().graceful_shutdown();
        }
        match http.as_mut().poll(cx) {
            Poll::Pending => watchdog.poll(cx).map(Ok),
            ended => ended,
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(client = client.id, %error, "http connection ended");
    }
}

impl Connection {
    pub(super) async fn answer(self: Arc<Self>, head: Parts, mut body: Incoming) -> Answer {
        let config = self.server.config();
        if let Some(answer) = Cors(&config.http_cors_origins).preflight(&head.method, &head.headers)
        {
            return answer;
        }
        let began_ns = self.server.store.clock.monotonic_ns();
        let answer = if v1::is_here(&head.method, head.uri.path(), &head.headers) {
            let answer = self.respond_v1(&config, &head, &mut body).await;
            answer.unwrap_or_else(|refusal| v1::refused(&head, refusal))
        } else {
            self.respond(&config, &head, &mut body).await.unwrap_or_else(Answer::from)
        };
        body::discard(&head.headers, body);
        let answer = marked(&config, &head, answer);
        self.count_answer(answer.status(), began_ns, self.taken_route());
        answer
    }

    /// Answers a request without a body that needs no pause. What it shows may not leave yet.
    pub(super) fn answer_at_once(self: &Arc<Self>, head: &Parts) -> (Answer, AtOnce) {
        let config = self.server.config();
        let began_ns = self.server.store.clock.monotonic_ns();
        let answer = if v1::is_here(&head.method, head.uri.path(), &head.headers) {
            let admitted = self.check(&config, head).and_then(|()| self.admit(&config, head));
            let answer = admitted
                .and_then(|()| overridden(&head.method, &head.headers))
                .map_err(v1::Refusal::from)
                .and_then(|method| v1::respond_at_once(self, &config, head, &method));
            answer.unwrap_or_else(|refusal| v1::refused(head, refusal))
        } else {
            let answer = self.before_body(&config, head).and_then(|step| match step {
                Step::Answer(answer) => Ok(answer),
                Step::Route(method) => self.route(head, &method, None),
            });
            answer.unwrap_or_else(Answer::from)
        };
        let answer = marked(&config, head, answer);
        let (route, seen) = {
            let mut session = self.session.lock();
            let route = session.http.as_ref().and_then(|http| http.route);
            (route, std::mem::take(&mut session.seen))
        };
        let ended_ns = self.count_answer(answer.status(), began_ns, route);
        (answer, AtOnce { seen, ended_ns })
    }

    /// The answer when what was done may be lost.
    pub(super) fn refused(&self, head: &Parts, failed: Error) -> Answer {
        let answer = match v1::is_here(&head.method, head.uri.path(), &head.headers) {
            true => v1::refused(head, failed.into()),
            false => Answer::from(Problem::from(failed)),
        };
        marked(&self.server.config(), head, answer)
    }

    /// Counts a request that is about to be answered; when that is.
    fn count_answer(&self, status: StatusCode, began_ns: u64, route: Option<Route>) -> u64 {
        let ended_ns = self.server.store.clock.monotonic_ns();
        Worker::with(|worker| {
            let metrics = &worker.metrics;
            metrics.http_requests.add(1);
            let taken_ns = ended_ns.saturating_sub(began_ns);
            metrics.http_routes.add(route.unwrap_or(NO_ROUTE), status.as_u16(), taken_ns);
        });
        ended_ns
    }

    /// Where the request leads, if that is known yet.
    fn taken_route(&self) -> Option<Route> {
        self.session.lock().http.as_ref().and_then(|http| http.route)
    }

    async fn respond(
        &self,
        config: &Config,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Answer, Problem> {
        let method = match self.before_body(config, head)? {
            Step::Answer(answer) => return Ok(answer),
            Step::Route(method) => method,
        };
        let takes_body = matches!(head.method, Method::POST | Method::PUT | Method::DELETE);
        if !takes_body && !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(Problem::no_route(&method, target_of(head)));
        }
        target::segments(head.uri.path()).map_err(|_| Problem::bad_url(target_of(head)))?;
        let body = match takes_body {
            true => body::read(&method, &head.headers, body, config).await?,
            false => None,
        };
        self.turn_comes(&method, config).await;
        let answer = self.route(head, &method, body);
        self.passed().await?;
        answer
    }

    /// Everything that needs no body; the method to route if that is not all.
    fn before_body(&self, config: &Config, head: &Parts) -> Result<Step, Problem> {
        self.check(config, head)?;
        if let Some(answer) = self.health(head) {
            return Ok(Step::Answer(answer));
        }
        self.admit(config, head)?;
        let method = overridden(&head.method, &head.headers)?;
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let answer = match head.uri.path() {
            path if !is_read || path.starts_with("/v4/") => None,
            "/metrics" => Some(self.metrics()),
            path => {
                documentation::respond(path).inspect(|_| self.takes_route("GET", "/documentation"))
            }
        };
        Ok(answer.map_or(Step::Route(method), Step::Answer))
    }

    fn route(
        &self,
        head: &Parts,
        method: &Method,
        body: Option<serde_json::Value>,
    ) -> Result<Answer, Problem> {
        let target = target_of(head);
        let segments = target::segments(head.uri.path()).map_err(|_| Problem::bad_url(target))?;
        let query = head.uri.query().unwrap_or_default();
        let request = v4::Request { method, target, segments: &segments, query, body };
        v4::respond(request, &mut Commands(self))
    }

    async fn respond_v1(
        self: &Arc<Self>,
        config: &Config,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Answer, v1::Refusal> {
        self.check(config, head)?;
        self.admit(config, head)?;
        let method = overridden(&head.method, &head.headers)?;
        self.turn_comes(&method, config).await;
        let answer = v1::respond(self, config, head, &method, body).await;
        self.passed().await?;
        answer
    }

    /// Notes what is known of a request, in the place of the one before it.
    pub(super) fn begin(&self, request: Option<HttpRequest>) {
        self.session.lock().http = request;
    }

    /// Notes where the request leads.
    pub(super) fn takes_route(&self, method: &'static str, path: &'static str) {
        self.session.lock().http.get_or_insert_default().route = Some((method, path));
    }

    /// The clock, in unix ms.
    pub(super) fn now_ms(&self) -> u64 {
        self.server.store.clock.now_ms()
    }

    /// Runs one command, atomically; its reply.
    pub(super) fn run(&self, args: &[&[u8]]) -> Result<Captured, Error> {
        let mut session = self.session.lock();
        run::answered(Worker::with(|worker| worker.capture(&mut session, args)))
    }

    /// What the replies so far depend on, for who waits for it himself.
    pub(super) fn take_seen(&self) -> Seen {
        std::mem::take(&mut self.session.lock().seen)
    }

    /// Whether what depends on this may leave.
    pub(super) fn poll_passed(&self, seen: Seen, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Worker::with(|worker| worker.poll_passage(seen, cx)).map(|passage| match passage {
            Passage::Failed => Err(self.server.store.journal.outcome_unknown()),
            Passage::Open | Passage::Wait => Ok(()),
        })
    }

    /// The same, for who does not wait.
    pub(super) fn has_passed(&self, seen: Seen) -> bool {
        self.server.store.journal.passage(seen) == Passage::Open
    }

    /// Whether commands may run now: no script takes long, and nobody has paused clients.
    pub(super) fn turn_is_open(&self) -> bool {
        self.server.store.turn.is_open()
    }

    /// What happens, for who watches.
    pub(super) fn feed(&self) -> &Feed {
        &self.server.feed
    }

    /// Names this process among all that serve this data, one after the other.
    pub(super) fn generation(&self) -> &str {
        self.server.run_id.get(..GENERATION_DIGITS).unwrap_or_default()
    }

    /// Whether the server is about to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.server.stop.is_cancelled()
    }

    /// Waits until the journal's writer has caught up enough to execute more.
    pub(super) async fn not_behind(&self) {
        std::future::poll_fn(|cx| Worker::with(|worker| worker.poll_not_behind(cx))).await;
    }

    /// Checks what every request must have. Without that, nothing is known of it.
    fn check(&self, config: &Config, head: &Parts) -> Result<(), Problem> {
        self.looks_right(config, head).inspect_err(|_| self.begin(None))
    }

    fn looks_right(&self, config: &Config, head: &Parts) -> Result<(), Problem> {
        let Parts { version, uri, headers, .. } = head;
        let names = &config.http_allowed_hosts;
        host::check(&self.usual_host, self.local, names, *version, uri, headers)?;
        // Most requests have neither.
        let is_usual =
            |name: &HeaderName| name != header::TRANSFER_ENCODING && name != header::EXPECT;
        if headers.keys().all(is_usual) {
            return Ok(());
        }
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
        let is_ready = self.server.is_ready.load(Relaxed);
        let (path, status, text) = match head.uri.path() {
            _ if !matches!(head.method, Method::GET | Method::HEAD) => return None,
            "/health/live" => ("/health/live", StatusCode::OK, "live"),
            "/health/ready" if is_ready => ("/health/ready", StatusCode::OK, "ready"),
            "/health/ready" => ("/health/ready", StatusCode::SERVICE_UNAVAILABLE, "loading"),
            _ => return None,
        };
        self.begin(Some(HttpRequest { route: Some(("GET", path)), token: None, address: None }));
        let mut body = Object::default();
        body.text("status", text);
        Some(answer::json(status, body.end()))
    }

    /// What Prometheus asks for.
    fn metrics(&self) -> Answer {
        self.takes_route("GET", "/metrics");
        let user = self.session.lock().identity.user().clone();
        answer::text(exposition::CONTENT_TYPE, exposition::scrape(&self.server, &user))
    }

    /// Waits while a script takes long or clients are paused, so long as for a body; what can not run
    /// even then is refused. A request that only reads does not wait for a pause of writes.
    async fn turn_comes(&self, method: &Method, config: &Config) {
        let turn = &self.server.store.turn;
        if turn.is_open() {
            return;
        }
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let pause = if is_read { Wait::FullPause } else { Wait::AnyPause };
        let client_id = self.session.lock().client.id;
        let comes = std::future::poll_fn(|cx| {
            ready!(turn.poll(Wait::Script, client_id, cx));
            turn.poll(pause, client_id, cx)
        });
        let most = Duration::from_millis(config.http_body_timeout_ms);
        let _ = tokio::time::timeout(most, comes).await;
    }

    /// Waits until nothing that was shown can be lost in a crash.
    async fn passed(&self) -> Result<(), Error> {
        let seen = self.take_seen();
        std::future::poll_fn(|cx| self.poll_passed(seen, cx)).await
    }
}

/// Runs a route's commands in the connection's session.
struct Commands<'a>(&'a Connection);

impl v4::Commands for Commands<'_> {
    fn run(&mut self, args: &[&[u8]]) -> Result<Captured, Error> {
        self.0.run(args)
    }

    fn takes_route(&mut self, method: &'static str, path: &'static str) {
        self.0.takes_route(method, path);
    }
}

/// What is known of a request before its body.
enum Step {
    Answer(Answer),
    Route(Method),
}

/// An answer that the requesting page may read, if it may.
fn marked(config: &Config, head: &Parts, mut answer: Answer) -> Answer {
    Cors(&config.http_cors_origins).mark(&head.headers, &mut answer);
    answer
}

/// Path and query as they were sent.
fn target_of(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("/", |target| target.as_str())
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
    if *method == Method::GET {
        return Ok(Method::GET);
    }
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
