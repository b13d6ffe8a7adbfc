//! Every deliberate bug is noticed: by the simulation, or by what it does to a record.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pantry::journal::format::{Kind, RECORD_LEN, RecordHead};
use pantry::sabotage::{self, Bug};

/// So many machines may pass before one shows the bug.
const MACHINES_MAX: u64 = 400;

#[test]
fn every_deliberate_bug_is_noticed() {
    if !cfg!(debug_assertions) {
        println!("SKIPPED: deliberate bugs exist only in builds with debug assertions");
        return;
    }
    let unnoticed: Vec<Bug> = Bug::ALL.into_iter().filter(|&bug| !is_noticed(bug)).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

fn is_noticed(bug: Bug) -> bool {
    if sabotage::with(bug, unnoticed_flip).is_some() {
        println!("{bug:?}: a flipped bit of a record's header is not noticed");
        return true;
    }
    for seed in 1..=MACHINES_MAX {
        let run = || sabotage::with(bug, || crate::run(seed));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            let text = panic.downcast_ref::<String>().map_or("", String::as_str);
            let what = text.rsplit_once("-- era").map_or(text, |(_, rest)| rest);
            let lines = what.lines().filter(|line| !line.starts_with(|c: char| c.is_ascii_digit()));
            let line = lines.last().unwrap_or_default();
            println!("{bug:?}: machine {seed}: {line}");
            return true;
        }
    }
    false
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
