//! The `pantry` binary: runs a tool, or reads the configuration, starts the log and runs the server.

use std::process::ExitCode;

#[cfg(not(target_env = "msvc"))]
mod allocator;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if let Some(exit) = pantry::tools::run(&args) {
        return exit;
    }
    let loaded = match pantry::config::load(args) {
        Ok(loaded) => loaded,
        Err(error) => return pantry::config::report(&error),
    };
    let started = pantry::log::init(loaded.config.loglevel, &loaded.config.logfile)
        .map_err(|error| anyhow::anyhow!("can't open the log file: {error}"));
    match started.and_then(|()| pantry::run(loaded)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not `eprintln!`, which panics when nobody reads.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("pantry: {error:#}\n"),
            );
            ExitCode::FAILURE
        }
    }
}
