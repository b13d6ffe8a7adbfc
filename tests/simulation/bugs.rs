//! Every deliberate bug is noticed: by the simulation, or by what it does to a record or a transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pantry::journal::format::{Kind, RECORD_LEN, RecordHead};
use pantry::journal::{Journal, Lsn};
use pantry::sabotage::{self, Bug};

use crate::support::Harness;

/// The machine that shows each bug; 0: something that is not left to chance does. When the engine or what is
/// generated changes, another one may, which is looked for among the first, and printed. `SIMULATION_SEARCH`
/// says among how many.
const SHOWN_BY: &[(Bug, u64)] = &[
    (Bug::ReplyBeforeWrite, 1),
    (Bug::ReplyBeforeFlush, 1),
    (Bug::ReadPassesGate, 24),
    (Bug::SegmentNameNotFlushed, 4),
    (Bug::SegmentEndNotFlushed, 29),
    (Bug::FailedFlushForgiven, 1),
    (Bug::ShortWriteKept, 4),
    (Bug::SealedForOldSegment, 4),
    (Bug::SnapshotNotFlushed, 1),
    (Bug::SnapshotNameNotFlushed, 0),
    (Bug::SnapshotAheadOfJournal, 6),
    (Bug::CarriedContentMissed, 7),
    (Bug::AppliedTwice, 20),
    (Bug::TornEndKept, 2),
    (Bug::LoadedNotFlushed, 21),
    (Bug::ChecksumIgnored, 3),
    (Bug::LengthNotCovered, 0),
    (Bug::ExpiredComesBack, 5),
    (Bug::TransactionSplit, 0),
];

const SEARCH: u64 = 60;

#[test]
fn every_deliberate_bug_is_noticed() {
    if !cfg!(debug_assertions) {
        println!("SKIPPED: deliberate bugs exist only in builds with debug assertions");
        return;
    }
    let search =
        std::env::var("SIMULATION_SEARCH").map_or(SEARCH, |most| most.parse::<u64>().unwrap());
    let is_unnoticed = |bug: &Bug| {
        let shown = SHOWN_BY.iter().filter(|(shown, _)| shown == bug).map(|(_, seed)| *seed);
        let mut machines = shown.filter(|seed| *seed > 0).chain(1..=search);
        !is_noticed_anyway(*bug) && !machines.any(|seed| is_noticed(*bug, seed))
    };
    let unnoticed: Vec<Bug> = Bug::ALL.into_iter().filter(is_unnoticed).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

/// Whether one of the tests notices it that leave nothing to chance.
fn is_noticed_anyway(bug: Bug) -> bool {
    if sabotage::with(bug, unnoticed_flip).is_some() {
        println!("{bug:?}: a flipped bit of a record's header is not noticed");
        return true;
    }
    let batches = sabotage::with(bug, batches_of_a_transaction);
    if batches != 1 {
        println!("{bug:?}: a transaction is {batches} batches");
        return true;
    }
    let of_names = [Bug::SnapshotNameNotFlushed, Bug::SnapshotNotFlushed];
    let ends = || sabotage::with(bug, crate::captures::end_at_any_operation);
    let is_lost = of_names.contains(&bug) && catch_unwind(AssertUnwindSafe(ends)).is_err();
    if is_lost {
        println!("{bug:?}: the power goes while a snapshot is taken, and data with it");
    }
    is_lost
}

fn is_noticed(bug: Bug, seed: u64) -> bool {
    let run = || sabotage::with(bug, || crate::run(seed));
    let Err(panic) = catch_unwind(AssertUnwindSafe(run)) else { return false };
    let text = panic.downcast_ref::<String>().map_or("", String::as_str);
    let what = text.rsplit_once("-- era").map_or(text, |(_, rest)| rest);
    let mut lines = what.lines().filter(|line| !line.starts_with(|c: char| c.is_ascii_digit()));
    println!("{bug:?}: machine {seed}: {}", lines.next_back().unwrap_or_default());
    true
}

/// The first bit of a record's header whose change goes unnoticed.
fn unnoticed_flip() -> Option<usize> {
    const SALT: u32 = 0x5a17;
    let head =
        RecordHead { kind: Kind::Effects, body_len: 0, lsn: 7, synced: 6, time_ms: 5, count: 1 };
    let record = head.sealed(SALT, b"abc");
    (0..RECORD_LEN * 8).find(|bit| {
        let mut flipped = record.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        RecordHead::decode(&flipped, SALT).is_ok()
    })
}

/// A record that the writer takes between two batches has the first without the second.
fn batches_of_a_transaction() -> usize {
    let mut harness = Harness::new(Journal::remembering(Lsn::MAX));
    for line in ["MULTI", "SET a 1", "HSET shop apples 3 pears 4", "DEL a", "EXEC"] {
        harness.run(line);
    }
    harness.server.store.journal.batches().len()
}

#[test]
fn a_transaction_is_one_batch() {
    assert_eq!(batches_of_a_transaction(), 1);
}

#[test]
fn a_flipped_bit_of_a_header_is_noticed() {
    assert_eq!(unnoticed_flip(), None);
}
