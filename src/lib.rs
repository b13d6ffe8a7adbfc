//! pantry: a namespaced key-value server with a Redis door and an HTTP door.

pub mod clock;
pub mod command;
pub mod config;
pub mod dispatch;
pub mod error;
pub mod glob;
pub mod journal;
pub mod number;
pub mod reply;
pub mod resp;
pub mod server;
pub mod session;
pub mod store;

use std::sync::Arc;

use anyhow::Result;

use clock::Clock;
use config::Config;
use journal::Journal;
use server::Server;
use store::Store;

/// Serves with this configuration until the process is asked to stop.
///
/// # Errors
/// When the server can not start.
pub fn run(config: Config) -> Result<()> {
    if config.appendonly {
        tracing::warn!("this version keeps data in memory only: nothing survives a restart");
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if config.threads == 0 { cores() } else { config.threads };
    let store = Store::new(Journal::discarding(), Clock::system());
    server::listen::serve(Arc::new(Server::new(config, store, threads)))
}
