//! `pantry import` and `pantry export`: data of a directory to and from other forms.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::{open, path};
use crate::config::Fsync;
use crate::journal::threads::Threads;
use crate::persistence::recover::recover;
use crate::rdb::writer::Version;
use crate::transfer::export::{Format, export_file};
use crate::transfer::import::{self as source, Existing, Options, OtherTypes};

/// The names of the formats, and the endings of the files that have them.
const FORMATS: &[(&str, &str, Format)] = &[
    ("rdb", "rdb", Format::Rdb(Version::Redis7_0)),
    ("rdb-7.4", "", Format::Rdb(Version::Redis7_4)),
    ("jsonl", "jsonl", Format::JsonLines),
    ("csv", "csv", Format::Csv),
];

pub fn import_args() -> Vec<Arg> {
    vec![
        Arg::new("SOURCE")
            .help("An RDB file, an append-only file, directory or manifest, JSON Lines or CSV")
            .required(true)
            .value_parser(value_parser!(PathBuf)),
        Arg::new("replace")
            .long("replace")
            .help("Names that are there already are replaced; else they stay as they are")
            .action(ArgAction::SetTrue),
        Arg::new("skip-other-types")
            .long("skip-other-types")
            .help("Names of types that can not be kept here are listed and passed over; else nothing is imported")
            .action(ArgAction::SetTrue),
    ]
}

pub fn import(matches: &ArgMatches, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let place = open(matches, true)?;
    let (store, disk) = (&place.store, &place.disk);
    let recovered = recover(&**disk, store, true, &mut |_, _, _| Ok(()))?;
    store.clock.at_least(recovered.time_ms);
    let journal = &store.journal;
    journal.set_policy(Fsync::No);
    let (number, last) = (recovered.next_number, recovered.last);
    let writer = journal
        .keep(disk.clone(), number, last, false, store.seeds(), store.clock.now_ms())
        .context("can not begin a segment of the journal")?;
    let threads = Threads::start(journal.clone(), writer, store.clock.clone())?;
    let pick = |flag: &str| matches.get_flag(flag);
    let mut options = Options {
        existing: if pick("replace") { Existing::Replace } else { Existing::Keep },
        other_types: match pick("skip-other-types") {
            true => OtherTypes::Skip,
            false => OtherTypes::Refuse,
        },
        on_other: &mut |other| {
            let name = other.name.escape_ascii();
            // The report has the numbers, should nobody read this.
            let _ =
                writeln!(io::stderr(), "passed over: db{} \"{name}\" ({})", other.db, other.kind);
        },
    };
    let imported = source::import(path(matches, "SOURCE"), store, &mut options);
    let closed = threads.close().context("can not write the journal to its end");
    let report = imported?;
    closed?;
    write!(out, "{report}")?;
    Ok(ExitCode::SUCCESS)
}

pub fn export_args() -> Vec<Arg> {
    vec![
        Arg::new("FILE").help("What is written").required(true).value_parser(value_parser!(PathBuf)),
        Arg::new("format")
            .long("format")
            .help("rdb (for Redis 7.0 and later, without deadlines of pairs), rdb-7.4 (with them), jsonl or csv; else the file's ending says it"),
    ]
}

pub fn export(matches: &ArgMatches, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let file = path(matches, "FILE");
    let format = format_of(matches.get_one::<String>("format").map(String::as_str), file)?;
    let place = open(matches, false)?;
    recover(&*place.disk, &place.store, false, &mut |_, _, _| Ok(()))?;
    let report = export_file(&place.store, format, file)?;
    write!(out, "{report}")?;
    Ok(ExitCode::SUCCESS)
}

fn format_of(named: Option<&str>, file: &Path) -> anyhow::Result<Format> {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let found = FORMATS.iter().find(|(name, its_ending, _)| match named {
        Some(named) => *name == named,
        None => !ending.is_empty() && *its_ending == ending,
    });
    let Some((_, _, format)) = found else {
        bail!("say with --format what to write: rdb, rdb-7.4, jsonl or csv");
    };
    Ok(*format)
}
