//! Every deliberate bug is noticed: by the simulation, or by what it does to a record.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pantry::journal::format::{Kind, RECORD_LEN, RecordHead};
use pantry::sabotage::{self, Bug};

/// The machine that shows each bug. When the engine changes, another one may: `SIMULATION_SEARCH=400
/// cargo test --test simulation bugs -- --nocapture` looks among so many, and prints which.
const SHOWN_BY: &[(Bug, u64)] = &[
    (Bug::ReplyBeforeWrite, 1),
    (Bug::ReplyBeforeFlush, 13),
    (Bug::ReadPassesGate, 3),
    (Bug::SegmentNameNotFlushed, 4),
    (Bug::SegmentEndNotFlushed, 26),
    (Bug::FailedFlushForgiven, 1),
    (Bug::ShortWriteKept, 4),
    (Bug::SnapshotNotFlushed, 1),
    (Bug::SnapshotAheadOfJournal, 4),
    (Bug::CarriedContentMissed, 4),
    (Bug::AppliedTwice, 1),
    (Bug::TornEndKept, 3),
    (Bug::LoadedNotFlushed, 13),
    (Bug::ChecksumIgnored, 3),
    (Bug::LengthNotCovered, 1),
    (Bug::ExpiredComesBack, 5),
];

/// No machine of the first sixty comes where these matter.
const NOT_SHOWN: &[Bug] =
    &[Bug::SealedForOldSegment, Bug::SnapshotNameNotFlushed, Bug::TransactionSplit];

#[test]
fn every_deliberate_bug_is_noticed() {
    if !cfg!(debug_assertions) {
        println!("SKIPPED: deliberate bugs exist only in builds with debug assertions");
        return;
    }
    let search = std::env::var("SIMULATION_SEARCH").ok().map(|most| most.parse::<u64>().unwrap());
    println!("not shown: {NOT_SHOWN:?}");
    assert_eq!(SHOWN_BY.len() + NOT_SHOWN.len(), Bug::ALL.len());
    let is_unnoticed = |bug: &Bug| match search {
        None if NOT_SHOWN.contains(bug) => false,
        Some(most) => !(1..=most).any(|seed| is_noticed(*bug, seed)),
        None => {
            let shown = SHOWN_BY.iter().find(|(shown, _)| shown == bug);
            !shown.is_some_and(|&(_, seed)| is_noticed(*bug, seed))
        }
    };
    let unnoticed: Vec<Bug> = Bug::ALL.into_iter().filter(is_unnoticed).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

fn is_noticed(bug: Bug, seed: u64) -> bool {
    if sabotage::with(bug, unnoticed_flip).is_some() {
        println!("{bug:?}: a flipped bit of a record's header is not noticed");
        return true;
    }
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
        RecordHead { kind: Kind::Effects, body_len: 3, lsn: 7, synced: 6, time_ms: 5, count: 1 };
    let mut record = vec![0; RECORD_LEN];
    record.extend_from_slice(b"abc");
    head.seal(SALT, &mut record);
    (0..RECORD_LEN * 8).find(|bit| {
        let mut flipped = record.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        RecordHead::decode(&flipped, SALT).is_ok()
    })
}

#[test]
fn a_flipped_bit_of_a_header_is_noticed() {
    assert_eq!(unnoticed_flip(), None);
}
