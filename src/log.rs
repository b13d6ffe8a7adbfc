//! The log: structured lines on standard output or in a file, at Redis's levels. Nothing is logged per
//! command.
//!
//! A file that was moved away is begun anew: at once on SIGHUP, within a second without it. So it can be
//! rotated by whatever rotates files.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::LogLevel;
use crate::files;

static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();
static FILE: OnceLock<LogFile> = OnceLock::new();

struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

/// Starts the log, in the file at `path` or, if that is empty, on standard output. Once per process;
/// later calls only set the level.
///
/// # Errors
/// When the file can not be opened.
pub fn init(level: LogLevel, path: &str) -> io::Result<()> {
    let (filter, handle) = reload::Layer::new(filter(level));
    if LEVEL.set(handle).is_err() {
        set_level(level);
        return Ok(());
    }
    let (writer, is_terminal) = if path.is_empty() {
        (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal())
    } else {
        let path = std::path::absolute(path)?;
        let file = Mutex::new(files::append(&path)?);
        let log = FILE.get_or_init(|| LogFile { path, file });
        (BoxMakeWriter::new(move || ToFile(log)), false)
    };
    // A log whose reader is gone must not end the server.
    let lines = fmt::layer()
        .with_target(false)
        .with_writer(writer)
        .with_ansi(is_terminal)
        .log_internal_errors(false);
    // Tests may have a log of their own.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(())
}

/// Changes what is logged from now on.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = LEVEL.get() {
        // Fails only when the log is gone.
        let _ = handle.reload(filter(level));
    }
}

/// Opens the file again, under its name.
pub fn reopen() {
    let Some(log) = FILE.get() else { return };
    // Without a new file the old one goes on.
    if let Ok(file) = files::append(&log.path) {
        *log.file.lock() = file;
    }
}

/// The same, if its name has come to mean another file or none.
pub fn reopen_if_moved() {
    let Some(log) = FILE.get() else { return };
    let is_moved = !files::is_at(&log.file.lock(), &log.path);
    if is_moved {
        reopen();
    }
}

struct ToFile(&'static LogFile);

impl io::Write for ToFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *self.0.file.lock(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(&mut *self.0.file.lock())
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
