//! The HTTP door: HTTP/1.1 on hyper, in front of the same commands as the Redis door.
//!
//! A request passes, in this order: `connection` (hyper, time limits, CLIENT KILL, shutdown), CORS,
//! what every request must have (`Host`, framing, `Expect`), health, the password, the method
//! override, its body, its route. The override comes before routing, so routes know nothing of it.
//! `v4` is Butler's API. Each of its routes is one command of the NAMESPACE family, run inside the
//! connection's task; no lock is held across an await.
//!
//! Every answer is JSON, but for what hyper refuses before there is a request: a bad request line or
//! header (400), headers over their limits (431), too long a target (414). Those, a Redis frame and a
//! TLS hello among them, are answered without a body and closed. TE and Content-Length together are
//! read as TE, and the connection is closed behind the answer.
//!
//! The parser is hyper's; the routing is by hand, because Butler's router decodes, compares and
//! limits path segments in ways of its own. An API with a description of its own gets an axum router
//! beside `v4`, chosen by the first path segment.

mod answer;
mod auth;
mod body;
mod connection;
mod cors;
mod host;
mod number;
mod pair;
mod problem;
mod stall;
mod target;
mod v4;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::config::Config;
use crate::dispatch::Executor;
use crate::error::{Error, Result};
use crate::journal::effect::Effects;
use crate::reply::{Capture, Captured, Reply};
use crate::resp::owned::OwnedRequest;
use crate::server::Server;
use crate::server::metrics::Metrics;
use crate::session::Session;
use crate::store::Settings;
use cors::Cors;

/// What the connections of one worker thread share.
#[derive(Debug)]
pub struct Door {
    server: Arc<Server>,
    metrics: Arc<Metrics>,
    rules: RefCell<Rc<Rules>>,
    /// Kept between commands for its memory.
    effects: RefCell<Effects>,
}

/// What the configuration says, in the form in which requests need it.
#[derive(Debug)]
struct Rules {
    config: Arc<Config>,
    config_version: u64,
    settings: Settings,
    cors: Cors,
    body: body::Limits,
}

impl Door {
    /// The door of worker `worker` (its place in [`Server::metrics`]).
    pub fn new(server: Arc<Server>, worker: usize) -> Door {
        let metrics = server.metrics[worker].clone();
        let rules = RefCell::new(Rc::new(Rules::new(&server)));
        Door { server, metrics, rules, effects: RefCell::default() }
    }

    /// Serves one connection until it ends. When the server stops, the request in flight is answered.
    /// Needs a tokio runtime; runs on the thread that calls it.
    pub async fn serve(self: Rc<Self>, stream: TcpStream) {
        connection::serve(self, stream).await;
    }

    fn rules(&self) -> Rc<Rules> {
        let mut rules = self.rules.borrow_mut();
        if rules.config_version != self.server.config_version() {
            *rules = Rc::new(Rules::new(&self.server));
        }
        rules.clone()
    }

    /// Runs one command to its end, as its own batch.
    fn run(&self, rules: &Rules, session: &mut Session, args: &[&[u8]]) -> Result<Captured> {
        let request = OwnedRequest::new(args.iter().copied());
        let mut capture = Capture::default();
        // No command behind a route draws random numbers.
        let random = 0;
        let effects = self.effects.take();
        let mut executor =
            Executor::new(&self.server, &self.metrics, &rules.settings, effects, random);
        executor.execute(session, request.args(), &mut Reply::capture(&mut capture));
        *self.effects.borrow_mut() = executor.finish(session);
        match capture.take() {
            Some(Captured::Error(error)) => Err(error),
            Some(reply) => Ok(reply),
            None => Err(Error::plain("no reply")),
        }
    }
}

impl Rules {
    fn new(server: &Server) -> Rules {
        // Read first: a change in between makes the next request look again.
        let config_version = server.config_version();
        let config = server.config();
        Rules {
            config_version,
            settings: Settings {
                string_len_max_bytes: config.proto_max_bulk_len_bytes,
                reply_max_bytes: config.client_reply_max_bytes,
                hash_max_listpack_entries: config.hash_max_listpack_entries,
                hash_max_listpack_value_bytes: config.hash_max_listpack_value_bytes,
            },
            cors: Cors::new(&config.http_cors_origins),
            body: body::Limits {
                bytes_max: config.http_body_max_bytes,
                timeout: Duration::from_millis(config.http_body_timeout_ms),
            },
            config,
        }
    }
}
