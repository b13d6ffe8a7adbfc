//! `pantry repair`: cuts a damaged journal at the damage, so that what is left is what once was.
//!
//! It invents nothing and deletes nothing: what it cuts off or sets aside is kept in `.broken` files.
//! A damaged snapshot can not be repaired, since everything after it builds upon all of it.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches};

use super::{Place, open};
use crate::clock::Clock;
use crate::journal::Journal;
use crate::journal::disk::Disk;
use crate::journal::files::{Inventory, broken_name, journal_name, snapshot_name};
use crate::journal::format::{Flaw, HEAD_LEN, Kind};
use crate::journal::record::{Records, Trouble};
use crate::persistence::recover::{Cut, mend, recover};
use crate::store::Store;

pub fn args() -> Vec<Arg> {
    let yes =
        Arg::new("yes").long("yes").help("Does what is told without it").action(ArgAction::SetTrue);
    vec![yes]
}

/// What is to be done.
struct Plan {
    /// What is cut, if anything of the segment is kept.
    cut: Option<Cut>,
    /// Files that are set aside as a whole.
    aside: Vec<String>,
}

pub fn run(matches: &ArgMatches, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Place { disk, store } = open(matches, false)?;
    let why = match recover(&*disk, &store, false, &mut |_, _, _| Ok(())) {
        Ok(recovered) => {
            writeln!(out, "nothing to repair: a start loads it up to batch {}", recovered.last)?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => error,
    };
    writeln!(out, "{why:#}\n")?;
    let plan = plan(&*disk)?;
    if let Some(cut) = &plan.cut {
        let Cut { file, offset, bytes, kept, .. } = cut;
        writeln!(out, "{file}: {bytes} bytes from offset {offset} on would go to {kept}")?;
    }
    for file in &plan.aside {
        writeln!(out, "{file}: would become {}", broken_name(&*disk, file)?)?;
    }
    writeln!(out, "Every change from there on would be lost.")?;
    if !matches.get_flag("yes") {
        writeln!(
            out,
            "Nothing was changed. Keep a copy of the directory, then repeat with --yes."
        )?;
        return Ok(ExitCode::FAILURE);
    }
    if let Some(cut) = &plan.cut {
        mend(&*disk, cut).with_context(|| format!("can not cut {}", cut.file))?;
    }
    for file in &plan.aside {
        disk.rename(file, &broken_name(&*disk, file)?)?;
    }
    disk.sync()?;
    let store = Store::new(Journal::discarding(), Clock::system());
    let recovered = recover(&*disk, &store, false, &mut |_, _, _| Ok(()))
        .context("it can not be loaded even so; what was cut is in the .broken files")?;
    writeln!(out, "done: a start loads it up to batch {}", recovered.last)?;
    Ok(ExitCode::SUCCESS)
}

/// Finds the first damage of the journal.
fn plan(disk: &dyn Disk) -> anyhow::Result<Plan> {
    let inventory = Inventory::of(disk)?;
    if let Some(number) = inventory.snapshot() {
        let name = snapshot_name(number);
        if let Some((offset, flaw)) = first_damage(disk, &name)?.damage {
            bail!(
                "{name} is damaged at offset {offset} ({flaw}), and what comes after builds upon all of \
                 it: nothing exact can be made of this. Use a backup"
            );
        }
    }
    let segments: Vec<u64> = inventory.live_segments().collect();
    let mut next = None;
    for (at, &number) in segments.iter().enumerate() {
        let name = journal_name(number);
        let seen = first_damage(disk, &name)?;
        let later = || segments[at + 1..].iter().map(|&number| journal_name(number));
        if next.is_some_and(|next| seen.first != Some(next)) {
            // A segment is missing before this one.
            return Ok(Plan { cut: None, aside: std::iter::once(name).chain(later()).collect() });
        }
        if let Some((offset, flaw)) = seen.damage {
            if offset < HEAD_LEN as u64 {
                return Ok(Plan {
                    cut: None,
                    aside: std::iter::once(name).chain(later()).collect(),
                });
            }
            let bytes = disk.read(&name)?.1 - offset;
            let kept = broken_name(disk, &name)?;
            let cut = Some(Cut { file: name, offset, bytes, flaw, kept });
            return Ok(Plan { cut, aside: later().collect() });
        }
        next = Some(seen.next);
    }
    bail!(
        "the records are whole, but do not fit together: nothing exact can be made of this. Use a backup"
    )
}

/// A file, read up to what is damaged.
struct Seen {
    first: Option<u64>,
    next: u64,
    damage: Option<(u64, Flaw)>,
}

fn first_damage(disk: &dyn Disk, name: &str) -> anyhow::Result<Seen> {
    let mut seen = Seen { first: None, next: 0, damage: None };
    let mut records = match Records::open(disk, name) {
        Ok(records) => records,
        Err(Trouble::Damage { offset, flaw }) => {
            seen.damage = Some((offset, flaw));
            return Ok(seen);
        }
        Err(Trouble::Io(error)) => return Err(error.into()),
    };
    (seen.first, seen.next) = (Some(records.head.lsn), records.head.lsn);
    loop {
        match records.read() {
            Ok(None) => return Ok(seen),
            Ok(Some((record, _))) if record.kind == Kind::Effects => {
                seen.next = record.lsn + u64::from(record.count);
            }
            Ok(Some(_)) => {}
            Err(Trouble::Damage { offset, flaw }) => {
                seen.damage = Some((offset, flaw));
                return Ok(seen);
            }
            Err(Trouble::Io(error)) => return Err(error.into()),
        }
    }
}
