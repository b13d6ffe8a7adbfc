//! `pantry dump`: prints every record of every file as people read it, as far as files can be read.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use clap::ArgMatches;

use super::open;
use crate::journal::disk::Disk;
use crate::journal::effect::{Cause, Decoder, Effect};
use crate::journal::files::{Inventory, journal_name, snapshot_name};
use crate::journal::format::{Flaw, Kind, RecordHead};
use crate::journal::record::{Records, Trouble};
use crate::persistence::recover::batches;
use crate::store::restore::{Captured, captured};

pub fn run(matches: &ArgMatches, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let place = open(matches, false)?;
    let inventory = Inventory::of(&*place.disk)?;
    let snapshots = inventory.snapshots.iter().map(|&number| snapshot_name(number));
    let segments = inventory.segments.iter().map(|&number| journal_name(number));
    let mut is_whole = true;
    for name in snapshots.chain(segments) {
        is_whole &= dump(&*place.disk, &name, out)?;
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints one file; `false` if it is damaged.
fn dump(disk: &dyn Disk, name: &str, out: &mut dyn Write) -> anyhow::Result<bool> {
    let mut records = match Records::open(disk, name) {
        Ok(records) => records,
        Err(trouble) => return tell(name, trouble, out),
    };
    let head = records.head;
    let fresh = if head.is_fresh { ", begun anew" } else { "" };
    writeln!(
        out,
        "{name}: {:?} {}, from batch {}, at {} ms{fresh}, {} bytes",
        head.kind,
        head.number,
        head.lsn,
        head.time_ms,
        records.file_len()
    )?;
    loop {
        let offset = records.offset();
        match records.read() {
            Ok(None) => return Ok(true),
            Ok(Some((record, body))) => {
                let RecordHead { kind, body_len, lsn, synced, time_ms, count } = record;
                writeln!(
                    out,
                    "  @{offset} {kind:?} lsn={lsn} count={count} synced={synced} at={time_ms} \
                     bytes={body_len}"
                )?;
                if !contents(&record, body, out)? {
                    return tell(name, Trouble::Damage { offset, flaw: Flaw::Order }, out);
                }
            }
            Err(trouble) => return tell(name, trouble, out),
        }
    }
}

fn tell(name: &str, trouble: Trouble, out: &mut dyn Write) -> anyhow::Result<bool> {
    match trouble {
        Trouble::Io(error) => Err(error.into()),
        Trouble::Damage { offset, flaw } => {
            writeln!(out, "{name}: DAMAGED at offset {offset}: {flaw}")?;
            Ok(false)
        }
    }
}

/// Prints what is in a record; `false` if it is not what it should be.
fn contents(record: &RecordHead, body: &[u8], out: &mut dyn Write) -> std::io::Result<bool> {
    let mut lines = String::new();
    let is_whole = match record.kind {
        Kind::Effects => batches(record, body, |lsn, effects| {
            for decoded in Decoder::new(effects) {
                let (cause, effect) = decoded?;
                let _ = writeln!(lines, "    {lsn} {}", line(cause, effect));
            }
            Ok(())
        }),
        Kind::Names | Kind::LateNames | Kind::LateNamespace | Kind::LatePairs => {
            captured(record.kind, body, &mut |captured| {
                let _ = writeln!(lines, "    {}", captured_line(&captured));
            })
        }
        Kind::Libraries => {
            let _ = writeln!(lines, "    libraries {}", quoted(body));
            Ok(())
        }
        Kind::Limits => {
            for decoded in Decoder::new(body).flatten() {
                let _ = writeln!(lines, "    {}", line(decoded.0, decoded.1));
            }
            Ok(())
        }
        Kind::Continued | Kind::Closed | Kind::Void | Kind::End => Ok(()),
    };
    out.write_all(lines.as_bytes())?;
    Ok(is_whole.is_ok())
}

fn captured_line(captured: &Captured<'_>) -> String {
    match captured {
        Captured::Absent { db, name } => format!("db{db} {} is not there", quoted(name)),
        Captured::String { db, name, value, deadline_ms } => {
            format!("db{db} {} = {}{}", quoted(name), quoted(value), until(*deadline_ms))
        }
        Captured::Namespace { db, name, kept, deadline_ms } => {
            let kept = if *kept { " kept" } else { "" };
            format!("db{db} {}{kept}{}", quoted(name), until(*deadline_ms))
        }
        Captured::Pair { key, value, deadline_ms } => {
            format!("  {} = {}{}", quoted(key), quoted(value), until(*deadline_ms))
        }
    }
}

fn line(cause: Cause, effect: Effect<'_>) -> String {
    let text = match effect {
        Effect::PutPair { db, name, key, value, deadline_ms } => {
            let (name, key, value) = (quoted(name), quoted(key), quoted(value));
            format!("put pair db{db} {name} {key} = {value}{}", until(deadline_ms))
        }
        Effect::DeletePair { db, name, key, is_last } => {
            let last = if is_last { " (the last)" } else { "" };
            format!("delete pair db{db} {} {}{last}", quoted(name), quoted(key))
        }
        Effect::PairDeadline { db, name, key, deadline_ms } => {
            format!("pair deadline db{db} {} {}{}", quoted(name), quoted(key), until(deadline_ms))
        }
        Effect::PutString { db, name, value, deadline_ms } => {
            format!("put string db{db} {} = {}{}", quoted(name), quoted(value), until(deadline_ms))
        }
        Effect::PatchString { db, name, at, bytes } => {
            format!("patch string db{db} {} at {at} = {}", quoted(name), quoted(bytes))
        }
        Effect::DropName { db, name } => format!("drop name db{db} {}", quoted(name)),
        Effect::NameDeadline { db, name, deadline_ms } => {
            format!("name deadline db{db} {}{}", quoted(name), until(deadline_ms))
        }
        Effect::Rename { db, name, to } => {
            format!("rename db{db} {} to {}", quoted(name), quoted(to))
        }
        Effect::Copy { db, name, to_db, to } => {
            format!("copy db{db} {} to db{to_db} {}", quoted(name), quoted(to))
        }
        Effect::Move { db, name, to_db } => format!("move db{db} {} to db{to_db}", quoted(name)),
        Effect::SwapDb { a, b } => format!("swap db{a} and db{b}"),
        Effect::Flush { db } => format!("flush db{db}"),
        Effect::Keep { db, name } => format!("keep db{db} {}", quoted(name)),
        Effect::Library { name, code } => format!("library {} = {}", quoted(name), quoted(code)),
        Effect::Limit { db, name, pairs, bytes } => {
            format!("limit db{db} {} to {pairs} pairs and {bytes} bytes", quoted(name))
        }
        Effect::Libraries { all } => format!("libraries {}", quoted(all)),
    };
    format!("{text} [{}]", cause.event())
}

fn until(deadline_ms: u64) -> String {
    if deadline_ms == u64::MAX { String::new() } else { format!(" until {deadline_ms} ms") }
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
