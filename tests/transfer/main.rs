//! Import and export: what goes out comes in again, what Redis wrote comes in, and what does not is told.
#![allow(clippy::unwrap_used)]

mod aof;
mod aof_redis;
mod formats;
mod live;
#[path = "../oracle/mod.rs"]
mod oracle;
mod refusals;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use anyhow::Result;
use pantry::clock::Clock;
use pantry::journal::Journal;
use pantry::store::Store;
use pantry::transfer::import::{Existing, ImportReport, Options, OtherTypes, import};
use support::scratch::Scratch;
use support::{Harness, START_MS, dump};

/// An empty store at the moment every test begins at.
fn store() -> Store {
    Store::new(Journal::discarding(), Clock::manual(START_MS))
}

/// Imports, passes other types over, and tells their names.
fn import_with(
    path: &Path,
    store: &Store,
    existing: Existing,
    other_types: OtherTypes,
) -> (Result<ImportReport>, Vec<String>) {
    let mut others = Vec::new();
    let mut on_other = |other: pantry::transfer::import::OtherName<'_>| {
        others.push(format!("{} {} {}", other.db, other.name.escape_ascii(), other.kind));
    };
    let mut options = Options { existing, other_types, on_other: &mut on_other };
    let report = import(path, store, &mut options);
    (report, others)
}

fn imported(path: &Path, store: &Store) -> ImportReport {
    let (report, _) = import_with(path, store, Existing::Replace, OtherTypes::Skip);
    report.unwrap_or_else(|error| panic!("{error:#}"))
}

/// Why an import failed; then it must have changed nothing.
fn refused(path: &Path) -> String {
    let store = store();
    let (report, _) = import_with(path, &store, Existing::Replace, OtherTypes::Refuse);
    assert!(dump(&store, START_MS).is_empty());
    format!("{:#}", report.unwrap_err())
}

fn file(scratch: &Scratch, name: &str, content: &[u8]) -> PathBuf {
    let path = scratch.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A server after these commands.
fn after(commands: &[&str]) -> Harness {
    let mut harness = Harness::new(Journal::discarding());
    for command in commands {
        let reply = harness.run(command);
        assert!(!reply.contains("(error)"), "{command}: {reply}");
    }
    harness
}
