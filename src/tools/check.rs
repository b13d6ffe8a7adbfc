//! `pantry check`: does what a start does, in memory, and tells what it saw.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use clap::ArgMatches;

use super::open;
use crate::journal::Lsn;
use crate::journal::format::Kind;
use crate::persistence::recover::{Cut, recover};
use crate::store::Held;

/// What one file holds.
#[derive(Default)]
struct Seen {
    records: u64,
    bytes: u64,
    first: Option<Lsn>,
    last: Lsn,
    end: Option<Kind>,
}

pub fn run(matches: &ArgMatches, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let place = open(matches, false)?;
    let mut files: BTreeMap<String, Seen> = BTreeMap::new();
    let recovered = recover(&*place.disk, &place.store, false, &mut |name, record, body| {
        let seen = files.entry(name.to_owned()).or_default();
        seen.records += 1;
        seen.bytes += body.len() as u64;
        seen.end = Some(record.kind);
        if record.kind == Kind::Effects {
            seen.first.get_or_insert(record.lsn);
            seen.last = record.lsn + u64::from(record.count) - 1;
        }
        Ok(())
    });
    for (name, seen) in &files {
        let Seen { records, bytes, first, last, end } = seen;
        let batches = first.map_or(String::new(), |first| format!(", batches {first} to {last}"));
        let end = match end {
            Some(Kind::Closed) => ", closed in order",
            Some(Kind::Continued) => ", continued",
            _ => "",
        };
        writeln!(out, "{name}: {records} records, {bytes} bytes{batches}{end}")?;
    }
    let recovered = recovered?;
    if let Some(cut) = &recovered.cut {
        let Cut { file, offset, bytes, flaw, kept } = cut;
        writeln!(
            out,
            "{file}: torn at offset {offset}, as by a crash ({flaw}): a start cuts {bytes} bytes off, \
             and keeps them in {kept}"
        )?;
    }
    let mut held = Held::new(&place.store);
    held.lock_all();
    let stats = held.stats();
    let names: usize = stats.dbs.iter().map(|db| db.names).sum();
    let pairs = held.count_pairs();
    writeln!(out, "{names} names, {pairs} pairs in them; the last batch is {}", recovered.last)?;
    writeln!(out, "ok")?;
    Ok(ExitCode::SUCCESS)
}
