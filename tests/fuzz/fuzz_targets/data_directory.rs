//! Whatever the bodies of records say, and whatever bytes stand in a file, a start refuses or loads it, and
//! never panics; what it loads it loads again as it was. It does not judge whether that is right;
//! tests/data_directory.rs and tests/simulation do.
#![no_main]

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use pantry::clock::Clock;
use pantry::journal::Journal;
use pantry::journal::disk::{Disk, DiskFile};
use pantry::journal::files::{journal_name, snapshot_name};
use pantry::journal::format::{FileKind, Head, Kind, RecordHead};
use pantry::persistence::recover::recover;
use pantry::store::{Hasher, Held, Store};

const NOW_MS: u64 = 1_700_000_000_000;
const SALT: u32 = 7;
const KINDS: [Kind; 11] = [
    Kind::Effects,
    Kind::Continued,
    Kind::Closed,
    Kind::Names,
    Kind::LateNames,
    Kind::LateNamespace,
    Kind::LatePairs,
    Kind::Void,
    Kind::End,
    Kind::Libraries,
    Kind::Limits,
];

/// Files that can be read, and nothing else.
#[derive(Debug)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Disk for Files {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }
    fn create(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn read(&self, name: &str) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let bytes = self.0.get(name).ok_or(io::ErrorKind::NotFound)?.clone();
        let len = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), len))
    }
    fn truncate(&self, _: &str, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn head(kind: FileKind) -> Vec<u8> {
    let seeds = [1, 2, 3];
    Head {
        kind,
        number: 1,
        lsn: u64::from(kind == FileKind::Journal),
        time_ms: NOW_MS,
        is_fresh: false,
        seeds,
        salt: SALT,
    }
    .encode()
    .to_vec()
}

/// Records with right checksums; each is a byte with its kind and the batches in it, the length of its
/// body, and that.
fn records(mut input: &[u8], file: &mut Vec<u8>, is_journal: bool) {
    let (mut lsn, mut number) = (u64::from(is_journal), 0);
    while let [what, len, rest @ ..] = input {
        let (body, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        input = rest;
        let kind = KINDS[usize::from(what & 15) % KINDS.len()];
        let count = if is_journal { u32::from(what >> 4) } else { number };
        let head = RecordHead { kind, body_len: 0, lsn, synced: 0, time_ms: NOW_MS, count };
        file.extend_from_slice(&head.sealed(SALT, body));
        number += 1;
        lsn += if is_journal { u64::from(count) } else { 1 };
    }
}

/// The last batch, and how many pairs there are.
fn load(files: &Files) -> Option<(u64, usize)> {
    let store = Store::seeded(Journal::discarding(), Clock::manual(NOW_MS), Hasher::seeded([3, 4]));
    let recovered = recover(files, &store, false, &mut |_, _, _| Ok(())).ok()?;
    let mut held = Held::new(&store);
    held.lock_all();
    Some((recovered.last, held.count_pairs()))
}

// The input: a byte that says which files there are and how they are made, then what is in them.
fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    let mut files = Files(BTreeMap::new());
    let (kind, name) = match how & 1 {
        0 => (FileKind::Journal, journal_name(1)),
        _ => (FileKind::Snapshot, snapshot_name(1)),
    };
    let mut file = if how & 2 == 0 { head(kind) } else { Vec::new() };
    match how & 4 {
        0 => records(rest, &mut file, kind == FileKind::Journal),
        _ => file.extend_from_slice(rest),
    }
    files.0.insert(name, file);
    assert_eq!(load(&files), load(&files));
});
