//! The log: structured lines on standard output, at Redis's levels. Nothing is logged per command.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::LogLevel;

static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Starts the log. Once per process; later calls only set the level.
pub fn init(level: LogLevel) {
    let (filter, handle) = reload::Layer::new(filter(level));
    if LEVEL.set(handle).is_err() {
        set_level(level);
        return;
    }
    // A log whose reader is gone must not end the server.
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(std::io::stdout().is_terminal())
        .log_internal_errors(false);
    // Tests may have a log of their own.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

/// Changes what is logged from now on.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = LEVEL.get() {
        // Fails only when the log is gone.
        let _ = handle.reload(filter(level));
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}
