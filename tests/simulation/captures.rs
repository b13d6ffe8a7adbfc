//! A snapshot ends, and is exact, whatever clients do to what it captures between any two of its slices:
//! they rename a large namespace again and again, move it, let databases change places, and write into
//! large values.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use pantry::clock::Clock;
use pantry::journal::Journal;
use pantry::journal::disk::Disk;
use pantry::persistence::snapshot;
use pantry::store::capture::Slices;
use pantry::store::{Hasher, Store};

use crate::disk::{Crash, MemoryDisk, Plan};
use crate::support::{Harness, START_MS, dump};
use crate::world::{SLICES, load};

/// A capture takes at most so many times the slices that it takes when nobody does anything.
const TIMES_MAX: usize = 4;

/// Takes a snapshot, runs the next line after each slice, and loads what is there then.
fn capture(lines: &[&str]) {
    let undisturbed = slices_of(&["PING"], usize::MAX);
    slices_of(lines, TIMES_MAX * undisturbed);
}

/// The slices that it takes; no more than so many.
fn slices_of(lines: &[&str], slices_max: usize) -> usize {
    let disk = MemoryDisk::new(1);
    let hasher = Hasher::seeded([1, 2]);
    let store = Store::seeded(Journal::discarding(), Clock::manual(START_MS), hasher);
    let (journal, seeds) = (store.journal.clone(), store.seeds());
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let writer = journal.keep(shared, 1, 0, false, seeds, START_MS).unwrap();
    let (harness, writer) = (RefCell::new(Harness::of(store)), RefCell::new(writer));
    for name in ["big", "other"] {
        let pairs: String = (0..500).map(|n| format!(" key{n} {name}{n}")).collect();
        harness.borrow_mut().run(&format!("HSET {name}{pairs}"));
    }
    for name in ["long", "longer"] {
        harness.borrow_mut().run(&format!("SETRANGE {name} 40000 x"));
        harness.borrow_mut().run(&format!("HSET values {name} {}", "x".repeat(20_000)));
    }
    let number = writer.borrow_mut().rotate(START_MS).unwrap();
    let server = harness.borrow().server.clone();
    let slices = Cell::new(0);
    let between = || {
        let line = lines[slices.get() % lines.len()];
        slices.set(slices.get() + 1);
        let reply = harness.borrow_mut().run(line);
        assert!(!reply.starts_with("(error)"), "{line}: {reply}");
        slices.get() > slices_max
    };
    let mut make_safe = |_| {
        writer.borrow_mut().step(START_MS)?;
        writer.borrow_mut().flusher.flush()
    };
    let taken = snapshot::take(&server.store, &disk, number, SLICES, &between, &mut make_safe);
    assert!(taken.is_ok(), "{lines:?}: {taken:?} after {} slices", slices.get());
    for line in lines {
        // What it has done may be done already.
        harness.borrow_mut().run(line);
    }
    make_safe(0).unwrap();
    let (loaded, recovered) = load(&disk, START_MS, 3);
    recovered.unwrap();
    assert_eq!(dump(&loaded, 0), dump(&server.store, 0), "{lines:?}");
    slices.get()
}

#[test]
fn a_namespace_that_is_renamed_again_and_again_is_captured() {
    capture(&["RENAME big a", "RENAME a b", "HSET b key7 new", "RENAME b big"]);
    capture(&["RENAME big tmp", "RENAME other big", "RENAME tmp other"]);
    capture(&["MOVE big 1", "SELECT 1", "HDEL big key3", "MOVE big 0", "SELECT 0"]);
}

#[test]
fn databases_that_change_places_again_and_again_are_captured() {
    capture(&["SWAPDB 0 1"]);
    capture(&["SWAPDB 0 1", "HSET big key9 x", "SWAPDB 1 2", "SWAPDB 2 0", "RENAME big big"]);
}

#[test]
fn what_is_copied_over_or_made_anew_again_and_again_is_captured() {
    capture(&["COPY big copy REPLACE", "HSET copy key1 x", "RENAME copy big"]);
    capture(&["DEL big", "HSET big a b", "COPY other big REPLACE"]);
}

#[test]
fn large_values_that_change_are_captured() {
    capture(&[
        "SETRANGE long 100 abc",
        "SETBIT longer 8000 1",
        "APPEND long tail",
        "SETBIT longer 9 0",
    ]);
    capture(&["HSET values long y", "GETRANGE longer 0 1", "SETRANGE longer 7 abc"]);
}

/// Power losses at each operation of a snapshot, on so many disks.
const DISKS: u64 = 10;

#[test]
fn a_snapshot_may_end_at_any_operation() {
    end_at_any_operation();
}

/// The power goes at one operation of a snapshot after the other: what was safe before it is loaded.
pub fn end_at_any_operation() {
    for seed in 1..=DISKS {
        let is_through = (1..100).any(|operation| end_at(seed, operation));
        assert!(is_through, "a snapshot of so little does no more");
    }
}

/// `true` if the snapshot came to its end before.
fn end_at(seed: u64, operation: u64) -> bool {
    let disk = MemoryDisk::new(seed * 1000 + operation);
    let hasher = Hasher::seeded([seed, !seed]);
    let store = Store::seeded(Journal::discarding(), Clock::manual(START_MS), hasher);
    let (journal, seeds) = (store.journal.clone(), store.seeds());
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut writer = journal.keep(shared, 1, 0, false, seeds, START_MS).unwrap();
    let mut harness = Harness::of(store);
    let server = harness.server.clone();
    let mut take = |harness: &mut Harness, line: &str, crash_at: u64| {
        harness.run(line);
        writer.step(START_MS).unwrap();
        writer.flusher.flush().unwrap();
        disk.plan(Plan { crash_at, ..Plan::default() });
        let number = writer.rotate(START_MS)?;
        let safe = &mut |_| writer.flusher.flush();
        snapshot::take(&server.store, &disk, number, Slices::default(), &|| false, safe)
    };
    take(&mut harness, "SET first snapshot", u64::MAX).unwrap();
    let is_through = take(&mut harness, "SET second snapshot", operation).is_ok();
    disk.come_up(Crash::Power);
    let (loaded, recovered) = load(&disk, START_MS, seed);
    recovered.unwrap_or_else(|error| panic!("disk {seed}, operation {operation}: {error:#}"));
    assert_eq!(dump(&loaded, 0), dump(&server.store, 0), "disk {seed}, operation {operation}");
    is_through
}
