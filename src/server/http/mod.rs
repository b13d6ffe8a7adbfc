//! The HTTP door: HTTP/1.1 on hyper, in front of the same commands as the Redis door.
//!
//! A request passes, in this order: `connection` (hyper, time limits, CLIENT KILL, shutdown), CORS,
//! what every request must have (`Host`, framing, `Expect`), health, the password, the method
//! override, its body, its route. The override comes before routing, so routes know nothing of it.
//! `v4` is Butler's API, `v1` our own. Each of their routes is one command of the NAMESPACE family, or
//! some, run inside the connection's task; no lock is held across an await.
//!
//! Every answer is JSON, but for what hyper refuses before there is a request: a bad request line or
//! header (400), headers over their limits (431), too long a target (414). Those, a Redis frame and a
//! TLS hello among them, are answered without a body and closed. TE and Content-Length together are
//! read as TE, and the connection is closed behind the answer.
//!
//! `documentation` shows what both say of themselves in a browser.
//!
//! The parser is hyper's. The routing of `v4` is by hand, because Butler's router decodes, compares and
//! limits path segments in ways of its own; that of `v1` follows from its table of operations.

mod answer;
mod auth;
mod body;
mod connection;
mod cors;
mod documentation;
mod door;
mod gate;
mod host;
mod number;
mod openapi;
mod pair;
mod plain;
mod problem;
mod pulse;
mod run;
mod stall;
mod target;
mod v1;
mod v4;
mod v4_paths;

pub use connection::serve;
