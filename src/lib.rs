//! pantry: a namespaced key-value server with a Redis door and an HTTP door.
//!
//! # The map
//!
//! ```text
//!    TCP 6379                     HTTP 8080
//!  server/resp.rs              server/http/          doors: bytes <-> commands and replies
//!          \                     /
//!        session.rs     dispatch.rs                  the spine: look up, check, lock, run, count
//!                  |
//!             command/                               what the server can do; one family, one file
//!                  |
//!              store/                                the waist: typed operations on names and pairs
//!                  |
//!             journal/                               how a change is remembered, and who orders changes
//! ```
//!
//! - [`acl`]: users, and what they may do.
//! - [`config`]: every setting, and the one table of directives behind flags, file and CONFIG.
//! - [`server`]: what all connections share; [`server::listen`] starts and stops, [`server::worker`]
//!   is one thread's loop, [`server::resp`] and [`server::http`] are the doors.
//! - [`resp`]: bytes to requests. [`reply`]: answers to bytes, RESP2 and RESP3, in an [`output`]
//!   that holds large values, [`shared`] with the store, by reference.
//! - [`session`]: one client's state. [`dispatch`]: from a request to its handler and back.
//! - [`command`]: the command table and the families. To add a command: one row and one function.
//! - [`script`]: Lua: what scripts find and may do; [`dispatch::script`] runs them.
//! - [`store`]: databases, names, namespaces, pairs; [`store::view`] is all that commands see of it.
//! - [`journal`]: effects, their order, and the gate that replies pass.
//! - [`events`]: changes in the journal's order for those who listen. [`push`]: what clients are sent
//!   unasked.
//! - [`persistence`]: the data directory: what a start loads, snapshots, and looking into it.
//! - [`rdb`]: Redis's snapshot format, read and written. [`transfer`]: import and export.
//! - [`hyperloglog`]: counting different things, in Redis's layout.
//! - [`tools`]: `pantry check`, `dump`, `repair`, `import`, `export` and `token`, which work on a directory.
//! - [`base64`], [`clock`], [`digest`], [`error`], [`files`], [`glob`], [`hex`], [`number`], [`log`], [`prefetch`],
//!   [`short`]: small things that several rooms need.
//! - [`sabotage`]: deliberate bugs, in debug builds, that tests must notice.
//!
//! # Invariants
//!
//! - A door knows bytes, arguments and replies; it does not know what a command means.
//! - A command knows its arguments, a view and a reply writer; no protocol, lock, clock or table.
//! - A handler parses everything, then acts. After an array's header nothing may fail.
//! - Every change is an effect in absolute values. Replaying effects gives an equal store.
//! - Stripes are taken in ascending order, or without waiting; never held across an await.
//! - A reply leaves only when what it shows is as safe as the policy promises.
//! - Nothing is reserved because a client declared a length. Every buffer has a limit in [`config`].
//! - An error is answered; only broken framing closes a connection.

pub mod acl;
pub mod base64;
pub mod clock;
pub mod command;
pub mod config;
pub mod digest;
pub mod dispatch;
pub mod error;
pub mod events;
pub mod files;
pub mod glob;
pub mod hex;
pub mod hyperloglog;
pub mod journal;
pub mod log;
pub mod number;
pub mod output;
pub mod persistence;
pub mod prefetch;
pub mod push;
pub mod rdb;
pub mod reply;
pub mod resp;
pub mod sabotage;
pub mod script;
pub mod server;
pub mod session;
pub mod shared;
pub mod short;
pub mod store;
pub mod tls;
pub mod token;
pub mod tools;
pub mod transfer;

use std::sync::Arc;

use anyhow::Result;

use clock::Clock;
use config::Loaded;
use journal::Journal;
use persistence::Persistence;
use server::Server;
use store::Store;

/// Serves with this configuration until the process is asked to stop.
///
/// # Errors
/// When the server can not start.
pub fn run(Loaded { config, file, warnings }: Loaded) -> Result<()> {
    command::rename(&config.renamed_commands)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if config.threads == 0 { cores() } else { config.threads };
    let (journal, clock) = (Journal::discarding(), Clock::system());
    let (store, disk) = if config.appendonly {
        let opened = persistence::open(&config.dir)?;
        (Store::seeded(journal, clock, opened.hasher), Some(opened.disk))
    } else {
        persistence::check_unused(&config.dir)?;
        tracing::warn!("appendonly is no: all data is in memory and ends with the process");
        (Store::new(journal, clock), None)
    };
    let mut server = Server::new(config, store, threads);
    server.load_users()?;
    server.config_file = file;
    let server = Arc::new(server);
    Persistence::start(&server, disk)?;
    server.start_audit()?;
    let served = server::listen::serve(server.clone());
    server.audit.close();
    let closed = server.persistence.close();
    served.and(closed)
}
