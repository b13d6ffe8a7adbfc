//! Data directories that are not as they were written: what is loaded is what once was, or nothing is.
//! And the tools that look into them, as people run them.
//!
//! `DIRECTORY_BYTES=65536` makes the journal that is cut at every byte so long.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use pantry::clock::Clock;
use pantry::config::Fsync;
use pantry::journal::disk::{Directory, Disk, DiskFile};
use pantry::journal::format::{Flaw, HEAD_LEN, Head, Kind, RECORD_LEN, RecordHead, VERSION};
use pantry::journal::{Journal, Lsn};
use pantry::persistence::recover::{Recovered, recover};
use pantry::persistence::snapshot;
use pantry::store::capture::Slices;
use pantry::store::{Hasher, Store};
use support::scratch::Scratch;
use support::{Harness, START_MS, dump};

/// Zeros at the end of a segment that is still written.
const ZEROS: usize = 8;

/// Files that can be read, and nothing else.
#[derive(Debug, Clone)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Disk for Files {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let bytes = self.0.get(name).ok_or(io::ErrorKind::NotFound)?.clone();
        let len = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), len))
    }

    fn create(&self, _name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn truncate(&self, _name: &str, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// A directory, and what the store held after each batch.
struct Made {
    files: Files,
    states: BTreeMap<Lsn, Vec<String>>,
}

/// Makes a directory: a snapshot, a segment that is continued, and one that is or is not closed.
/// Every kind of effect is in it; that of a part of a string if there are enough filler bytes.
fn make(path: &Path, is_closed: bool, filler_bytes: usize) -> Made {
    let disk: Arc<dyn Disk> = Arc::new(Directory::open(path).unwrap());
    let hasher = Hasher::seeded([1, 2]);
    let store = Store::seeded(Journal::discarding(), Clock::manual(START_MS), hasher);
    let journal = store.journal.clone();
    journal.set_policy(Fsync::Always);
    let mut writer = journal.keep(disk.clone(), 1, 0, false, store.seeds(), START_MS).unwrap();
    let mut harness = Harness::of(store);
    let mut states = BTreeMap::from([(0, Vec::new())]);
    let lines = [
        "SET color red PX 5000",
        "HSET shop apples 3 pears 4",
        "HPEXPIRE shop 90000 FIELDS 1 pears",
        "NAMESPACE CREATE kept",
        "library redis.register_function('a', function() end)",
        "make long",
        "NAMESPACE LIMIT shop PAIRS 9",
        "NAMESPACE LIMIT later PAIRS 9 BYTES 1000",
        "rotate",
        "PEXPIRE shop 80000",
        "SELECT 1",
        "SET other 1",
        "snapshot",
        "MOVE other 0",
        "SELECT 0",
        "RENAME other third",
        "COPY shop copy",
        "NAMESPACE LIMIT shop BYTES 90000",
        "NAMESPACE LIMIT later PAIRS 0 BYTES 0",
        "HDEL copy apples pears",
        "DEL color",
        "SWAPDB 0 2",
        "SELECT 2",
        "rotate",
        "HSET shop plums 9",
        "SELECT 3",
        "SET gone 1",
        "FLUSHDB",
        "APPEND text more",
        "SELECT 2",
        "SETRANGE long 5 part",
        "library redis.register_function('b', function() end)",
        "FUNCTION FLUSH",
        "SELECT 3",
    ];
    let filler = format!("SET filler {}", "x".repeat(filler_bytes));
    for line in lines.into_iter().chain([&*filler, "HSET last key value"]) {
        match line {
            "rotate" => drop(writer.rotate(START_MS).unwrap()),
            "snapshot" => {
                let number = writer.rotate(START_MS).unwrap();
                let server = harness.server.clone();
                let never = || false;
                let mut safe = |_| Ok(());
                let slices = Slices::default();
                snapshot::take(&server.store, &*disk, number, slices, &never, &mut safe).unwrap();
            }
            line => {
                let reply = match line.split_once(' ') {
                    Some(("library", code)) => load_library(&mut harness, code),
                    Some(("make", name)) => {
                        harness.run(&format!("SETRANGE {name} {filler_bytes} x"))
                    }
                    _ => harness.run(line),
                };
                assert!(!reply.starts_with("(error)"), "{line}: {reply}");
                writer.step(START_MS).unwrap();
                states.insert(journal.last(), dump(&harness.server.store, 0));
            }
        }
    }
    if is_closed {
        writer.close(START_MS).unwrap();
    }
    let files = disk.list().unwrap().into_iter().filter(|name| name.ends_with(".pantry"));
    let content = |name: String| {
        let mut bytes = Vec::new();
        disk.read(&name).unwrap().0.read_to_end(&mut bytes).unwrap();
        // Of the zeros that lie ahead of what is written a few do.
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
        bytes.truncate(used + ZEROS);
        (name, bytes)
    };
    Made { files: Files(files.map(content).collect()), states }
}

fn load_library(harness: &mut Harness, code: &str) -> String {
    let code = format!("#!lua name=a\n{code}");
    let words = ["FUNCTION", "LOAD", "REPLACE", &code].map(|word| word.as_bytes().to_vec());
    String::from_utf8(harness.execute("a", &words)).unwrap().replace('-', "(error)")
}

fn load(files: &Files) -> (Store, anyhow::Result<Recovered>) {
    let store =
        Store::seeded(Journal::discarding(), Clock::manual(START_MS), Hasher::seeded([3, 4]));
    let recovered = recover(files, &store, false, &mut |_, _, _| Ok(()));
    (store, recovered)
}

impl Made {
    fn last(&self) -> Lsn {
        *self.states.keys().last().unwrap()
    }

    /// What is loaded once was, if anything is; returns up to which batch.
    fn check(&self, files: &Files, what: &dyn Fn() -> String) -> Option<(Lsn, bool)> {
        let (store, recovered) = load(files);
        let recovered = recovered.ok()?;
        assert_eq!(dump(&store, 0), self.states[&recovered.last], "{}", what());
        Some((recovered.last, recovered.cut.is_some()))
    }
}

#[test]
fn a_directory_is_loaded_as_it_was_written() {
    for is_closed in [true, false] {
        let scratch = Scratch::new("whole");
        let made = make(scratch.path(), is_closed, 5000);
        assert_eq!(made.check(&made.files, &|| "whole".into()), Some((made.last(), false)));
        assert!(made.files.0.len() == 3, "{:?}", made.files.0.keys());
    }
}

/// Every bit, in every file: never a wrong value, and no batch is lost but those of the last record.
#[test]
fn a_flipped_bit_is_refused_or_costs_the_torn_end() {
    let (mut refused, mut cut) = (0, 0);
    for is_closed in [true, false] {
        let scratch = Scratch::new("flips");
        let made = make(scratch.path(), is_closed, 10);
        for (name, bytes) in &made.files.0 {
            for bit in 0..bytes.len() * 8 {
                let mut files = made.files.clone();
                files.0.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
                let what = || format!("{name}: bit {bit}, closed: {is_closed}");
                match made.check(&files, &what) {
                    None => refused += 1,
                    Some((last, is_cut)) => {
                        let least = if is_closed { made.last() } else { made.last() - 1 };
                        assert!(is_cut && last >= least, "{}: {last}", what());
                        cut += 1;
                    }
                }
            }
        }
    }
    println!("{refused} refused, {cut} cut at the end, 0 wrong");
    assert!(refused > 1000 && cut > 0);
}

/// Blocks of a file as a disk mixes them up: never a wrong value, and what is lost is reported.
#[test]
fn a_block_that_is_not_what_was_written_is_refused_or_costs_the_torn_end() {
    let (mut refused, mut cut) = (0, 0);
    for is_closed in [true, false] {
        let scratch = Scratch::new("blocks");
        let made = make(scratch.path(), is_closed, 20_000);
        for (name, bytes) in &made.files.0 {
            let others = made.files.0.iter().filter(|(other, _)| *other != name);
            let others: Vec<&Vec<u8>> = others.map(|(_, bytes)| bytes).collect();
            for block_bytes in [512, 4096] {
                for at in (0..bytes.len()).step_by(block_bytes) {
                    for (how, damaged) in mixed_up(bytes, at, block_bytes, &others) {
                        if damaged == *bytes {
                            continue;
                        }
                        let mut files = made.files.clone();
                        files.0.insert(name.clone(), damaged);
                        let what =
                            || format!("{name}: {how}, {block_bytes} at {at}, closed: {is_closed}");
                        match made.check(&files, &what) {
                            None => refused += 1,
                            Some((_, is_cut)) => {
                                assert!(is_cut, "{}", what());
                                cut += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{refused} refused, {cut} cut at the end, 0 wrong");
    assert!(refused > 100 && cut > 0);
}

/// What a file may look like when the block at `at` went wrong.
fn mixed_up(
    bytes: &[u8],
    at: usize,
    block_bytes: usize,
    others: &[&Vec<u8>],
) -> Vec<(&'static str, Vec<u8>)> {
    let end = (at + block_bytes).min(bytes.len());
    let with = |block: &[u8]| {
        let mut damaged = bytes.to_vec();
        let len = block.len().min(end - at);
        damaged[at..at + len].copy_from_slice(&block[..len]);
        damaged
    };
    let mut all = vec![("zeros", with(&vec![0; block_bytes]))];
    let before = at.checked_sub(block_bytes);
    if let Some(before) = before {
        all.push(("the block before twice", with(&bytes[before..at])));
    }
    if end == at + block_bytes && end + block_bytes <= bytes.len() {
        let next = &bytes[end..end + block_bytes];
        all.push(("the block behind twice", with(next)));
        let mut swapped = with(next);
        swapped[end..end + block_bytes].copy_from_slice(&bytes[at..end]);
        all.push(("changed places with the next", swapped));
        all.push(("not there", [&bytes[..at], &bytes[end..]].concat()));
    }
    all.push(("there twice", [&bytes[..end], &bytes[at..]].concat()));
    let same_place = others.iter().filter_map(|other| other.get(at..end));
    all.extend(same_place.map(|block| ("that of another file", with(block))));
    all
}

/// A journal without a snapshot, cut at every byte: what is left is what was there after some batch.
#[test]
fn a_journal_that_is_cut_anywhere_is_loaded_up_to_there() {
    let filler = std::env::var("DIRECTORY_BYTES").map_or(1500, |text| text.parse().unwrap());
    let scratch = Scratch::new("cuts");
    let made = make(scratch.path(), false, filler);
    let (name, bytes) = made.files.0.iter().rfind(|(name, _)| name.starts_with("journal")).unwrap();
    let mut lasts = Vec::new();
    for len in 0..bytes.len() - ZEROS {
        let mut files = made.files.clone();
        files.0.get_mut(name).unwrap().truncate(len);
        // The segment before says that this one is there, and a head is safe before that is said.
        let Some((last, _)) = made.check(&files, &|| format!("{len} bytes")) else {
            assert!(len < HEAD_LEN, "{len}");
            continue;
        };
        lasts.push(last);
    }
    assert!(lasts.is_sorted(), "the longer the journal, the more is there");
    assert_eq!(lasts.last(), Some(&(made.last() - 1)));
}

#[test]
fn a_missing_file_is_noticed() {
    let scratch = Scratch::new("missing");
    let made = make(scratch.path(), true, 10);
    for name in made.files.0.keys() {
        let mut files = made.files.clone();
        files.0.remove(name);
        let error = load(&files).1.unwrap_err().to_string();
        assert!(error.contains("another copy") || error.contains("missing"), "{name}: {error}");
    }
}

/// With right checksums: a version and a kind that a later program may have.
#[test]
fn what_a_newer_program_wrote_is_refused() {
    let scratch = Scratch::new("newer");
    let made = make(scratch.path(), true, 10);
    let (name, bytes) = made.files.0.iter().rfind(|(name, _)| name.starts_with("journal")).unwrap();
    let mut newer = bytes.clone();
    let version = VERSION + 1;
    newer[8] = version as u8;
    // A head's checksum has no salt.
    let crc = crc32fast::hash(&newer[..HEAD_LEN - 4]);
    newer[HEAD_LEN - 4..HEAD_LEN].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Head::decode(&newer), Err(Flaw::Newer(version)));
    let mut files = made.files.clone();
    files.0.insert(name.clone(), newer);
    let error = load(&files).1.unwrap_err().to_string();
    assert!(error.contains(&format!("version {version}")) && error.contains("newer"), "{error}");

    let head = Head::decode(bytes).unwrap();
    let lsn = made.last() + 1;
    let end = RecordHead { kind: Kind::End, body_len: 0, lsn, synced: lsn, time_ms: 0, count: 0 };
    let mut strange = bytes.clone();
    // In the place of the record that closes it.
    strange.truncate(bytes.len() - RECORD_LEN - 4);
    strange.extend_from_slice(&end.sealed(head.salt, &[]));
    files.0.insert(name.clone(), strange);
    assert!(load(&files).1.is_err(), "a record of a snapshot in a journal");
}

fn pantry(args: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_pantry")).args(args).output().unwrap();
    let text = [stdout, stderr].concat();
    (status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn the_tools_tell_what_is_there_and_mend_what_can_be() {
    let scratch = Scratch::new("tools");
    let path = scratch.path().join("data");
    let made = make(&path, true, 10);
    let dir = path.to_str().unwrap();
    let (is_ok, text) = pantry(&["check", dir]);
    assert!(is_ok && text.ends_with("ok\n") && text.contains("closed in order"), "{text}");
    let (is_ok, text) = pantry(&["dump", dir]);
    assert!(is_ok && text.contains("put pair db3 \"last\" \"key\" = \"value\" [hset]"), "{text}");
    assert!(text.contains("\"shop\" until") && text.contains("\"apples\" = \"3\""), "{text}");
    let (is_ok, text) = pantry(&["repair", dir]);
    assert!(is_ok && text.starts_with("nothing to repair"), "{text}");

    // Damage in the middle of the last segment.
    let (name, bytes) = made.files.0.iter().rfind(|(name, _)| name.starts_with("journal")).unwrap();
    let mut damaged = bytes.clone();
    damaged[HEAD_LEN + RECORD_LEN + 3] ^= 1;
    std::fs::write(path.join(name), &damaged).unwrap();
    let (is_ok, text) = pantry(&["check", dir]);
    assert!(!is_ok && text.contains(&format!("{name} is damaged at offset {HEAD_LEN}")), "{text}");
    let (is_ok, text) = pantry(&["dump", dir]);
    assert!(!is_ok && text.contains("DAMAGED at offset"), "{text}");
    let (is_ok, text) = pantry(&["repair", dir]);
    assert!(!is_ok && text.contains("Nothing was changed"), "{text}");
    assert_eq!(std::fs::read(path.join(name)).unwrap(), damaged);
    let earlier = path.join(format!("{name}.broken"));
    std::fs::write(&earlier, "of an earlier damage").unwrap();
    let (is_ok, text) = pantry(&["repair", dir, "--yes"]);
    assert!(is_ok && text.contains("done"), "{text}");
    let kept = std::fs::read(path.join(format!("{name}.broken-2"))).unwrap();
    assert_eq!(kept, damaged[HEAD_LEN..], "what was cut off is kept");
    assert_eq!(std::fs::read_to_string(earlier).unwrap(), "of an earlier damage");
    assert!(pantry(&["check", dir]).0);

    for (file, format) in [("o.jsonl", "jsonl"), ("o.csv", "csv"), ("o.rdb", "rdb-7.4")] {
        let file = scratch.path().join(file);
        let file = file.to_str().unwrap();
        let (is_ok, text) = pantry(&["export", dir, file, "--format", format]);
        assert!(is_ok, "{text}");
        let copy = scratch.path().join(format!("copy-{format}"));
        let copy = copy.to_str().unwrap();
        let (is_ok, text) = pantry(&["import", copy, file]);
        assert!(is_ok, "{text}");
        let again = scratch.path().join(format!("again.{format}"));
        let again = again.to_str().unwrap();
        assert!(pantry(&["export", copy, again, "--format", "jsonl"]).0);
        let first = scratch.path().join("o.jsonl");
        let lines = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(Path::new(again)), lines(&first), "{format}");
    }
    let (is_ok, text) = pantry(&["check", "/nowhere/at/all"]);
    assert!(!is_ok && text.contains("is no directory"), "{text}");
}

#[test]
fn a_directory_has_one_owner() {
    let scratch = Scratch::new("owner");
    let made = make(scratch.path(), true, 10);
    assert!(made.last() > 0);
    let dir = scratch.path().to_str().unwrap();
    let owner = Directory::open(scratch.path()).unwrap();
    let (is_ok, text) = pantry(&["check", dir]);
    assert!(!is_ok && text.contains("belongs to another running pantry"), "{text}");
    let (is_ok, text) = pantry(&["--port", "0", "--http-port", "0", "--dir", dir]);
    assert!(!is_ok && text.contains("belongs to another running pantry"), "{text}");
    drop(owner);
    let (is_ok, text) =
        pantry(&["--port", "0", "--http-port", "0", "--appendonly", "no", "--dir", dir]);
    assert!(!is_ok && text.contains("holds data"), "{text}");
}

/// What a server wrote that was killed, for each version of the format when that was the newest.
#[test]
fn every_version_is_read() {
    for version in 1..=VERSION {
        let kept = format!("tests/data/directory-{version}");
        let scratch = Scratch::new("versions");
        let path = scratch.path().join("data");
        std::fs::create_dir(&path).unwrap();
        for entry in std::fs::read_dir(&kept).unwrap() {
            let entry = entry.unwrap();
            let bytes = std::fs::read(entry.path()).unwrap();
            assert_eq!(bytes[8..12], version.to_le_bytes(), "{entry:?}");
            std::fs::write(path.join(entry.file_name()), bytes).unwrap();
        }
        let (dir, to) = (path.to_str().unwrap(), scratch.path().join("all.jsonl"));
        let (is_ok, text) = pantry(&["export", dir, to.to_str().unwrap()]);
        assert!(is_ok, "{text}");
        let text = std::fs::read_to_string(to).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let expected = std::fs::read_to_string(format!("{kept}.jsonl")).unwrap();
        assert_eq!(lines, expected.lines().collect::<Vec<_>>());
    }
}
