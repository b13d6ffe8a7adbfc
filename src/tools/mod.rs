//! The tools for data directories: subcommands of the binary that serve nobody.
//!
//! Each opens the directory as a server does, so it must not belong to a running one; a copy of its
//! files may be looked at. What they find out is [`crate::persistence`]'s and [`crate::transfer`]'s work.

mod check;
mod dump;
mod moving;
mod repair;
mod token;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Arg, ArgMatches, Command, value_parser};

use crate::clock::Clock;
use crate::journal::Journal;
use crate::journal::disk::Disk;
use crate::persistence;
use crate::store::Store;

/// Runs the tool that the first argument names; `None` if it names none.
pub fn run(args: &[OsString]) -> Option<ExitCode> {
    let name = args.get(1)?.to_str()?;
    let tool = TOOLS.iter().find(|tool| tool.name == name)?;
    let matches = match command_line(tool).try_get_matches_from(&args[1..]) {
        Ok(matches) => matches,
        Err(error) => return Some(crate::config::report(&error.into())),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = (tool.run)(&matches, &mut out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    Some(result.unwrap_or_else(|error| {
        // Who closed the pipe has seen enough.
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        drop(out);
        let _ = writeln!(io::stderr(), "pantry {name}: {error:#}");
        ExitCode::FAILURE
    }))
}

struct Tool {
    name: &'static str,
    about: &'static str,
    args: fn() -> Vec<Arg>,
    run: fn(&ArgMatches, &mut dyn Write) -> anyhow::Result<ExitCode>,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "check",
        about: "Verifies a data directory, and tells what is in it. Changes nothing",
        args: Vec::new,
        run: check::run,
    },
    Tool {
        name: "dump",
        about: "Prints every record of a data directory. Changes nothing",
        args: Vec::new,
        run: dump::run,
    },
    Tool {
        name: "repair",
        about: "Tells what would be lost by cutting a damaged journal, and cuts it with --yes",
        args: repair::args,
        run: repair::run,
    },
    Tool {
        name: "import",
        about: "Puts an RDB file, append-only file or directory, JSON Lines or CSV into a data directory",
        args: moving::import_args,
        run: moving::import,
    },
    Tool {
        name: "export",
        about: "Writes what a data directory holds as RDB, JSON Lines or CSV",
        args: moving::export_args,
        run: moving::export,
    },
    Tool {
        name: "token",
        about: "Lists tokens of the HTTP door, makes and revokes them. A server may be running",
        args: token::args,
        run: token::run,
    },
];

fn command_line(tool: &Tool) -> Command {
    let directory = Arg::new("DIR")
        .help("The data directory; no server may be running on it")
        .required(true)
        .value_parser(value_parser!(PathBuf));
    Command::new(tool.name)
        .bin_name(format!("pantry {}", tool.name))
        .about(tool.about)
        .arg(directory)
        .args((tool.args)())
}

/// A data directory that was opened, and an empty store for what it holds.
struct Place {
    disk: std::sync::Arc<dyn Disk>,
    store: Store,
}

/// Opens the directory that the arguments name. Unless it `may_be_new` it must be there.
fn open(matches: &ArgMatches, may_be_new: bool) -> anyhow::Result<Place> {
    let path = path(matches, "DIR");
    if !may_be_new && !path.is_dir() {
        bail!("{} is no directory", path.display());
    }
    let opened = persistence::open(path)?;
    let store = Store::seeded(Journal::discarding(), Clock::system(), opened.hasher);
    Ok(Place { disk: opened.disk, store })
}

fn path<'m>(matches: &'m ArgMatches, name: &str) -> &'m Path {
    matches.get_one::<PathBuf>(name).map_or(Path::new(""), PathBuf::as_path)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
