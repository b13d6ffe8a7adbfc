//! Runs the commands of append-only files, in a store of their own, and moves what comes of it into the store.
//!
//! The commands may empty databases or rename names, which must concern only what the files hold; hence the store of its
//! own, and memory for all of it a second time. In it no time passes, as in Redis while it loads: what expired was
//! deleted by a command then. Absolute deadlines keep, and lifetimes that count from their command are made absolute.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};

use super::aof::{Aof, Entry};
use super::import::{
    Existing, Facts, ImportReport, Options, OtherName, OtherTypes, feed, refuse_others,
};
use super::load::Loader;
use super::relative::absolute;
use super::{manifest, walk};
use crate::acl::Identity;
use crate::clock::Clock;
use crate::command::args::database;
use crate::command::{self, Run};
use crate::config::Config;
use crate::dispatch::Executor;
use crate::journal::Journal;
use crate::journal::effect::Effects;
use crate::rdb::Input;
use crate::reply::{Capture, Captured, Reply};
use crate::resp::request::Args;
use crate::server::Server;
use crate::server::clients::Client;
use crate::server::worker::settings;
use crate::session::Session;
use crate::store::{DATABASES, Store};

/// No deadline lies before this moment, in unix ms, so nothing expires.
const STANDSTILL_MS: u64 = 1;

/// Different names or texts that a report lists; more are counted together.
const LISTED_MAX: usize = 1000;

/// What may be run beside commands that change names.
const STEERING: [&str; 4] = ["SELECT", "MULTI", "EXEC", "DISCARD"];
const OF_LIBRARIES: [&str; 4] =
    ["FUNCTION DELETE", "FUNCTION FLUSH", "FUNCTION LOAD", "FUNCTION RESTORE"];

/// What there is to say of append-only files.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct AofReport {
    /// Commands that were run.
    pub commands: u64,
    /// Commands that are unknown here, or change no names: how often each was passed over.
    pub passed_over: BTreeMap<String, u64>,
    /// Commands that failed, each with its error: how often. They may be about names of other types.
    pub failed: BTreeMap<String, u64>,
    /// Lifetimes that count from their command, whose moment the file may not tell.
    pub relative_lifetimes: u64,
    /// The file that ends in the middle of a command or transaction, and where that begins.
    pub cut: Option<(PathBuf, u64)>,
}

impl fmt::Display for AofReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "commands: {}", self.commands)?;
        for (name, count) in &self.passed_over {
            writeln!(
                f,
                "{count} times {name} was passed over: it is not known here, or changes nothing"
            )?;
        }
        for (error, count) in &self.failed {
            writeln!(f, "{count} times failed: {error}")?;
        }
        if self.relative_lifetimes > 0 {
            let count = self.relative_lifetimes;
            writeln!(
                f,
                "{count} lifetimes were relative: they count from the last #TS, or from now"
            )?;
        }
        if let Some((path, offset)) = &self.cut {
            let path = path.display();
            writeln!(
                f,
                "{path} ends in the middle of what begins at byte {offset}; that was left out"
            )?;
        }
        Ok(())
    }
}

/// Imports a directory with a manifest, a manifest, or one append-only file.
pub(super) fn import(
    path: &Path,
    store: &Store,
    options: &mut Options<'_>,
) -> Result<ImportReport> {
    let is_manifest = path.extension().is_some_and(|extension| extension == "manifest");
    let files = match path.is_dir() || is_manifest {
        true => manifest::files(path)?,
        false => vec![path.to_owned()],
    };
    let staging = Store::new(Journal::discarding(), Clock::manual(STANDSTILL_MS));
    let server = Server::new(Config::default(), staging, 1);
    let mut replay = Replay {
        server: &server,
        session: session(&server),
        now_ms: store.clock.now_ms(),
        facts: Facts::default(),
        report: AofReport::default(),
        multi_offset: None,
    };
    for (number, file) in files.iter().enumerate() {
        let is_last = number + 1 == files.len();
        replay
            .file(file, is_last, options.on_other)
            .with_context(|| format!("{}", file.display()))?;
    }
    let Replay { facts, report: aof, .. } = replay;
    refuse_others(options.other_types, &facts)?;
    if options.other_types == OtherTypes::Refuse && !aof.passed_over.is_empty() {
        let names: Vec<&str> = aof.passed_over.keys().map(String::as_str).collect();
        bail!("it has commands that can not be run here: {}", names.join(", "));
    }

    let mut loader = Loader::new(store, options.existing);
    walk::walk(&server.store, &mut loader)?;
    let mut report = loader.report;
    facts.add_to(&mut report);
    report.aof = Some(aof);
    Ok(report)
}

/// A client that may do everything.
fn session(server: &Server) -> Session {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Session::new(
        Arc::new(Client::new(1, (nowhere, nowhere), 2, STANDSTILL_MS)),
        Identity::new(&server.acl),
    )
}

struct Replay<'s> {
    server: &'s Server,
    session: Session,
    /// The moment from which relative lifetimes count: the file's last timestamp, or now. In unix ms.
    now_ms: u64,
    facts: Facts,
    report: AofReport,
    /// Where the transaction that is open begins.
    multi_offset: Option<u64>,
}

impl Replay<'_> {
    fn file(
        &mut self,
        path: &Path,
        is_last: bool,
        on_other: &mut dyn FnMut(OtherName<'_>),
    ) -> Result<()> {
        let input = if begins_with_rdb(path)? {
            let mut loader = Loader::new(&self.server.store, Existing::Replace);
            feed(File::open(path)?, &mut loader, &mut self.facts, on_other)?
        } else {
            Input::new(File::open(path)?)
        };
        // Redis begins each file in database 0.
        self.session.select(0);
        let cut = self.commands(Aof::behind(input))?;
        if let Some(offset) = cut {
            ensure!(
                is_last,
                "ends in the middle of what begins at byte {offset}, and is not the last file"
            );
            self.report.cut = Some((path.to_owned(), offset));
        }
        Ok(())
    }

    /// Runs all commands of a file. Returns where it is cut, if it is.
    fn commands<R: std::io::Read>(&mut self, mut aof: Aof<R>) -> Result<Option<u64>> {
        let server = self.server;
        let settings = settings(&server.config());
        let metrics = &server.metrics[0];
        let mut executor = Executor::new(server, metrics, &settings, Effects::default(), 0);
        loop {
            let offset = aof.offset();
            match aof.next_entry()? {
                None => break,
                Some(Entry::Timestamp(seconds)) => self.now_ms = seconds.saturating_mul(1000),
                Some(Entry::Command(args)) => self.command(&mut executor, args, offset)?,
            }
        }
        executor.finish(&mut self.session);
        while server.store.free_slice() {}
        // A transaction without its end did not happen.
        let open = self.multi_offset.take().filter(|_| self.session.take_transaction().is_some());
        Ok(open.or_else(|| aof.is_cut().then(|| aof.offset())))
    }

    fn command(&mut self, executor: &mut Executor<'_>, args: Args<'_>, offset: u64) -> Result<()> {
        let name = String::from_utf8_lossy(args.get(0)).to_uppercase();
        if !is_replayed(args) {
            count(&mut self.report.passed_over, name);
            return Ok(());
        }
        match name.as_str() {
            "MULTI" => self.multi_offset = Some(offset),
            "EXEC" | "DISCARD" => self.multi_offset = None,
            // What follows must not be done to another database.
            "SELECT" if args.len() == 2 => {
                let is_there = database(args.get(1));
                is_there.with_context(|| {
                    format!("SELECT at byte {offset}; there are {DATABASES} databases here")
                })?;
            }
            _ => {}
        }
        let rewritten = absolute(args, self.now_ms);
        self.report.relative_lifetimes += u64::from(rewritten.is_some());
        let args = rewritten.as_ref().map_or(args, |request| request.args());
        let mut capture = Capture::default();
        executor.execute(&mut self.session, args, &mut Reply::capture(&mut capture));
        self.report.commands += 1;
        let reply = capture.take();
        reply.iter().for_each(|reply| note_errors(reply, &name, &mut self.report.failed));
        Ok(())
    }
}

fn begins_with_rdb(path: &Path) -> Result<bool> {
    use std::io::Read as _;
    let mut first = Vec::new();
    File::open(path)?.take(6).read_to_end(&mut first)?;
    Ok(first.starts_with(b"REDIS") || first.starts_with(b"VALKEY"))
}

/// Whether a command is known here, and may change names or says which are meant.
fn is_replayed(args: Args<'_>) -> bool {
    let table = command::table();
    let Some(spec) = table.find(args.get(0)) else { return false };
    let subcommand = match spec.subcommands.is_empty() || args.len() < 2 {
        true => Some(spec),
        false => table.find_subcommand(spec, args.get(1)),
    };
    subcommand.is_some_and(|spec| {
        matches!(spec.command.run, Run::Write(_))
            || STEERING.contains(&spec.command.name)
            || OF_LIBRARIES.contains(&spec.command.name)
    })
}

fn note_errors(reply: &Captured, name: &str, failed: &mut BTreeMap<String, u64>) {
    match reply {
        Captured::Error(error) => count(failed, format!("{name}: {error}")),
        Captured::Array(replies) => {
            replies.iter().for_each(|reply| note_errors(reply, name, failed));
        }
        _ => {}
    }
}

fn count(counts: &mut BTreeMap<String, u64>, what: String) {
    let is_listed = counts.len() < LISTED_MAX || counts.contains_key(&what);
    let what = if is_listed { what } else { "(others)".to_owned() };
    *counts.entry(what).or_default() += 1;
}
