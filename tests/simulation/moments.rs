//! A snapshot is exact whatever the moment at which each part is captured: few names, in two databases,
//! change in every way that there is between its slices, and what is loaded is compared with what is there.
//!
//! Nothing crashes here; that makes a case so cheap that thousands are tried. `MOMENTS_SEED` repeats one
//! (with `MOMENTS_RUNS=1`), `MOMENTS_RUNS` says how many there are.

use std::cell::RefCell;
use std::sync::Arc;

use pantry::clock::Clock;
use pantry::journal::Journal;
use pantry::journal::disk::Disk;
use pantry::persistence::snapshot;
use pantry::store::{Hasher, Store};

use crate::disk::MemoryDisk;
use crate::number;
use crate::oracle::Random;
use crate::support::{Harness, START_MS, dump};
use crate::world::{SLICES, load};

const RUNS: u64 = 150;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const DATABASES: [&str; 2] = ["0", "1"];
/// Lines before the snapshot.
const LINES: usize = 30;
/// So many pairs are captured in parts.
const PAIRS: i64 = 120;

#[test]
fn a_snapshot_is_exact_whatever_the_moments() {
    let first = number("MOMENTS_SEED").unwrap_or(1);
    for seed in first..first + number("MOMENTS_RUNS").unwrap_or(RUNS) {
        take(seed);
    }
}

/// Takes one snapshot, and loads what is there then.
fn take(seed: u64) {
    let random = Random::new(seed);
    let disk = MemoryDisk::new(seed);
    let hasher = Hasher::seeded([seed, !seed]);
    let store = Store::seeded(Journal::discarding(), Clock::manual(START_MS), hasher);
    let (journal, seeds) = (store.journal.clone(), store.seeds());
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let writer = RefCell::new(journal.keep(shared, 1, 0, false, seeds, START_MS).unwrap());
    let harness = RefCell::new(Harness::of(store));
    let server = harness.borrow().server.clone();
    let log = RefCell::new(Vec::new());
    let act = || {
        let line = line(&random);
        let reply = harness.borrow_mut().run(&line);
        let shown: String = line.chars().take(60).collect();
        log.borrow_mut().push(format!("{} {shown}: {}", journal.last(), reply.trim_end()));
    };
    (0..LINES).for_each(|_| act());
    let number = writer.borrow_mut().rotate(START_MS).unwrap();
    let per_mille = random.pick(&[3, 10, 30, 300]);
    log.borrow_mut().push("-- the snapshot begins".to_owned());
    let between = || {
        while random.below(1000) < per_mille {
            act();
        }
        false
    };
    let mut make_safe = |_| {
        writer.borrow_mut().step(START_MS)?;
        writer.borrow_mut().flusher.flush()
    };
    snapshot::take(&server.store, &disk, number, SLICES, &between, &mut make_safe).unwrap();
    log.borrow_mut().push("-- the snapshot ends".to_owned());
    (0..random.below(LINES)).for_each(|_| act());
    make_safe(0).unwrap();
    let (loaded, recovered) = load(&disk, START_MS, seed + 1);
    let log = || format!("MOMENTS_SEED={seed} MOMENTS_RUNS=1\n{}", log.borrow().join("\n"));
    recovered.unwrap_or_else(|error| panic!("{}\n{error:#}", log()));
    let (expected, found) = (dump(&server.store, 0), dump(&loaded, 0));
    let lacks = |of: &[String], in_this: &[String]| -> Vec<String> {
        of.iter().filter(|line| !in_this.contains(line)).cloned().collect()
    };
    let (missing, wrong) = (lacks(&expected, &found), lacks(&found, &expected));
    assert!(expected == found, "{}\nmissing: {missing:#?}\nwrong: {wrong:#?}", log());
}

/// Something that changes one of the names, or more.
fn line(random: &Random) -> String {
    let name = random.pick(&NAMES);
    let other = random.pick(&NAMES);
    let db = random.pick(&DATABASES);
    let pairs = |first: i64, count: i64| -> String {
        (first..first + count).map(|n| format!(" k{n} v{}", random.below(100))).collect()
    };
    let keys = |count: i64| -> String { (0..count).map(|n| format!(" k{n}")).collect() };
    let key = random.below(3);
    let at_ms = START_MS + 1_000_000 + random.below(1000) as u64;
    match random.below(37) {
        34..=36 | 0..=2 => format!("HSET {name}{}", pairs(random.between(0, 3), 1)),
        3 => format!("HSET {name}{}", pairs(0, PAIRS)),
        4 => format!("HDEL {name}{}", keys(random.between(1, PAIRS))),
        5..=6 => format!("HDEL {name}{}", keys(PAIRS)),
        7 => format!("HDEL {name} k{key}"),
        8..=11 => format!("RENAME {name} {other}"),
        12 => format!("RENAMENX {name} {other}"),
        13..=15 => format!("COPY {name} {other} DB {db} REPLACE"),
        16 => format!("MOVE {name} {db}"),
        17..=18 => format!("SWAPDB {} {}", random.pick(&DATABASES), db),
        19..=21 => format!("SELECT {db}"),
        22 => format!("DEL {name}"),
        23 => format!("SET {name} string{}", random.below(100)),
        24..=25 => format!("NAMESPACE CREATE {name}"),
        26 => format!("NAMESPACE SET {name} k{key} kept"),
        27..=28 => format!("PEXPIREAT {name} {at_ms}"),
        29 => format!("PERSIST {name}"),
        30 => format!("HPEXPIREAT {name} {at_ms} FIELDS 1 k{key}"),
        31 => format!("NAMESPACE LIMIT {name} PAIRS {}", random.below(3) * 200),
        32 => format!("APPEND {name} tail"),
        _ if random.below(4) == 0 => "FLUSHDB".to_owned(),
        _ => format!("HSETEX {name} PXAT {at_ms} FIELDS 1 k{key} x"),
    }
}
