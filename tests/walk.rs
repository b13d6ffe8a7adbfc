//! Pairs handed to who writes them himself, slice by slice: each that stays comes once, whatever comes
//! and goes between the slices, however the namespace lies in memory.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use pantry::acl::Identity;
use pantry::clock::Clock;
use pantry::dispatch::Executor;
use pantry::journal::Journal;
use pantry::journal::effect::Effects;
use pantry::number::parse_u64;
use pantry::reply::{Capture, Captured, Reply, Rows};
use pantry::resp::owned::OwnedRequest;
use pantry::session::Session;
use pantry::store::{Settings, Store};
use support::{Harness, START_MS, client};

const DEADLINE_MS: u64 = START_MS + 60_000;

/// What was shown, and how many pairs of a slice are enough.
#[derive(Default)]
struct Shown {
    pairs: Vec<(Vec<u8>, Vec<u8>, Option<u64>)>,
    enough: usize,
}

impl Rows for Shown {
    fn pair(&mut self, key: &[u8], value: &[u8], deadline_ms: Option<u64>) -> bool {
        self.pairs.push((key.to_vec(), value.to_vec(), deadline_ms));
        self.pairs.len() < self.enough
    }
}

/// One slice of the namespace `n`: what it has, and where to go on.
fn slice(
    harness: &Harness,
    cursor: u64,
    count: &str,
    enough: usize,
    more: &[&str],
) -> (Shown, u64) {
    let cursor = cursor.to_string();
    let words = [&["NAMESPACE", "SCAN", "n", &cursor, "COUNT", count], more].concat();
    let request = OwnedRequest::new(words.iter().map(|word| word.as_bytes()));
    let mut session = Session::new(client(), Identity::new(&harness.server.acl));
    let metrics = &harness.server.metrics[0];
    let mut executor =
        Executor::new(&harness.server, metrics, &Settings::NONE, Effects::default(), 1);
    let (mut shown, mut capture) = (Shown { enough, ..Shown::default() }, Capture::default());
    let mut reply = Reply::with_rows(&mut capture, &mut shown);
    executor.execute_now(&mut session, request.args(), &mut reply);
    executor.finish(&mut session);
    match capture.take() {
        Some(Captured::Bulk(next)) => (shown, parse_u64(&next).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn harness() -> Harness {
    Harness::of_threads(Store::new(Journal::discarding(), Clock::manual(START_MS)), 2)
}

/// Keys `stays-0` and so on; every third has a deadline.
fn fill(harness: &mut Harness, pairs: usize) -> BTreeMap<Vec<u8>, Option<u64>> {
    let mut filled = BTreeMap::new();
    for number in 0..pairs {
        let key = format!("stays-{number}");
        harness.run(&format!("HSET n {key} value-of-{key}"));
        let deadline_ms = number.is_multiple_of(3).then_some(DEADLINE_MS);
        if deadline_ms.is_some() {
            harness.run(&format!("HPEXPIREAT n {DEADLINE_MS} FIELDS 1 {key}"));
        }
        filled.insert(key.into_bytes(), deadline_ms);
    }
    filled
}

#[test]
fn what_stays_is_shown_once() {
    for pairs in [1, 50, 3000] {
        let mut harness = harness();
        let mut awaited = fill(&mut harness, pairs);
        let (mut cursor, mut seen, mut round) = (0, BTreeSet::new(), 0);
        loop {
            round += 1;
            let (shown, next) = slice(&harness, cursor, "97", 41, &[]);
            assert!(next == 0 || shown.pairs.len() >= 41, "a slice of {}", shown.pairs.len());
            for (key, value, deadline_ms) in shown.pairs {
                assert_eq!(value, [b"value-of-", &key[..]].concat());
                assert!(seen.insert(key.clone()), "{} twice", key.escape_ascii());
                if key.starts_with(b"stays") {
                    assert_eq!(awaited.remove(&key), Some(deadline_ms));
                }
            }
            if next == 0 {
                break;
            }
            cursor = next;
            // The table grows, then shrinks.
            for number in 0..60 {
                let key = format!("goes-{round}-{number}");
                harness.run(&format!("HSET n {key} value-of-{key}"));
                if round % 4 != 1 {
                    harness.run(&format!("HDEL n goes-{}-{number}", round - 1));
                }
            }
        }
        assert!(awaited.is_empty(), "{} of {pairs} pairs were not shown", awaited.len());
    }
}

#[test]
fn patterns_and_counts_end_slices_too() {
    let mut harness = harness();
    fill(&mut harness, 2000);
    let (shown, next) = slice(&harness, 0, "100", usize::MAX, &["MATCH", "none-*"]);
    assert!(shown.pairs.is_empty() && next != 0);
    let (mut cursor, mut matching) = (0, 0);
    loop {
        let (shown, next) = slice(&harness, cursor, "100", usize::MAX, &["MATCH", "stays-1?"]);
        matching += shown.pairs.len();
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(matching, 10);
}

#[test]
fn what_has_expired_is_not_shown() {
    let mut harness = harness();
    let filled = fill(&mut harness, 300);
    harness.advance(std::time::Duration::from_millis(DEADLINE_MS - START_MS));
    let (shown, _) = slice(&harness, 0, "100000", usize::MAX, &[]);
    assert_eq!(shown.pairs.len(), filled.values().filter(|deadline| deadline.is_none()).count());
}
