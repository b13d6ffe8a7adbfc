//! What the golden scripts cannot show of the hash family: replies in RESP3, chance, whole scans,
//! limits of replies, and the causes of effects.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pantry::config::Config;
use pantry::error::Error;
use pantry::journal::Journal;
use pantry::journal::effect::{Cause, Decoder, Effect};
use support::{Harness, START_MS};

fn harness() -> Harness {
    Harness::new(Journal::discarding())
}

/// The reply's bytes.
fn raw(harness: &mut Harness, line: &str) -> String {
    let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    String::from_utf8(harness.execute("a", &words)).unwrap()
}

/// The bulk strings of a RESP2 reply, in order.
fn bulks(harness: &mut Harness, line: &str) -> Vec<String> {
    let reply = raw(harness, line);
    assert!(!reply.starts_with('-'), "{line}: {reply}");
    let mut lines = reply.split("\r\n");
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with('$') && line != "$-1" {
            found.push(lines.next().unwrap().to_owned());
        }
    }
    found
}

/// Fields `f0`, `f1`, ... with themselves as values.
fn fill(harness: &mut Harness, name: &str, fields: std::ops::Range<usize>) {
    let pairs: Vec<String> = fields.map(|i| format!("f{i} f{i}")).collect();
    harness.run(&format!("HSET {name} {}", pairs.join(" ")));
}

#[test]
fn resp3_has_maps_and_nested_pairs() {
    let mut harness = harness();
    harness.run("HSET h a 1");
    harness.session("a").unwrap().resp3 = true;
    for (line, reply) in [
        ("HGETALL h", "%1\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("HGETALL none", "%0\r\n"),
        ("HKEYS h", "*1\r\n$1\r\na\r\n"),
        ("HVALS none", "*0\r\n"),
        ("HGET h b", "_\r\n"),
        ("HMGET h a b", "*2\r\n$1\r\n1\r\n_\r\n"),
        ("HGETEX h FIELDS 2 a b", "*2\r\n$1\r\n1\r\n_\r\n"),
        ("HEXISTS h a", ":1\r\n"),
        ("HINCRBYFLOAT h f 0.5", "$3\r\n0.5\r\n"),
        ("HGETDEL h FIELDS 1 f", "*1\r\n$3\r\n0.5\r\n"),
        ("HSCAN h 0", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("HRANDFIELD none", "_\r\n"),
        ("HRANDFIELD h 2", "*1\r\n$1\r\na\r\n"),
        ("HRANDFIELD h 2 WITHVALUES", "*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        (
            "HRANDFIELD h -2 WITHVALUES",
            "*2\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n",
        ),
    ] {
        assert_eq!(raw(&mut harness, line), reply, "{line}");
    }
}

#[test]
fn hrandfield_draws_every_field_equally_often() {
    const DRAWS: usize = 6000;
    let mut harness = harness();
    fill(&mut harness, "h", 0..6);
    let (mut drawn, mut drawn_first) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..DRAWS {
        *drawn.entry(bulks(&mut harness, "HRANDFIELD h").remove(0)).or_insert(0) += 1;
        *drawn_first.entry(bulks(&mut harness, "HRANDFIELD h 2").remove(0)).or_insert(0) += 1;
    }
    let mut repeated = BTreeMap::new();
    for field in bulks(&mut harness, &format!("HRANDFIELD h -{DRAWS}")) {
        *repeated.entry(field).or_insert(0) += 1;
    }

    for counts in [drawn, drawn_first, repeated] {
        assert_eq!(counts.values().sum::<usize>(), DRAWS);
        assert_eq!(counts.len(), 6);
        // Seven standard deviations.
        assert!(counts.values().all(|count| count.abs_diff(1000) < 200), "{counts:?}");
    }
}

#[test]
fn hrandfield_draws_different_fields_that_are_alive() {
    for expired in [0, 500, 1990] {
        let mut harness = harness();
        fill(&mut harness, "h", 0..2000);
        let fields: Vec<String> = (0..expired).map(|i| format!("f{i}")).collect();
        if expired > 0 {
            harness.run(&format!("HPEXPIRE h 10 FIELDS {expired} {}", fields.join(" ")));
            harness.advance(Duration::from_millis(10));
        }
        let alive = 2000 - expired;
        for count in [1, 2, 10, 500, 600, 1500, 5000] {
            let drawn = bulks(&mut harness, &format!("HRANDFIELD h {count} WITHVALUES"));
            assert!(drawn.chunks(2).all(|pair| pair[0] == pair[1]));
            let different: BTreeSet<String> = drawn.iter().cloned().collect();
            assert_eq!(drawn.len(), 2 * different.len(), "{count} of {alive}");
            assert_eq!(different.len(), count.min(alive), "{count} of {alive}");
            assert!(fields.iter().all(|field| !different.contains(field)), "{count} of {alive}");

            let repeated = bulks(&mut harness, &format!("HRANDFIELD h -{count}"));
            assert_eq!(repeated.len(), count);
            assert!(fields.iter().all(|field| !repeated.contains(field)), "{count} of {alive}");
        }
        assert!(!fields.contains(&bulks(&mut harness, "HRANDFIELD h")[0]));
    }
}

#[test]
fn hscan_shows_once_what_stays_while_others_come_and_go() {
    for count in [1, 10, 333, 10_000] {
        let mut harness = harness();
        fill(&mut harness, "h", 0..1000);
        harness.run("HPEXPIRE h 1 FIELDS 2 f1 f2");
        harness.advance(Duration::from_millis(1));
        let (mut cursor, mut step) = ("0".to_owned(), 0);
        let mut seen = Vec::new();
        loop {
            let mut found =
                bulks(&mut harness, &format!("HSCAN h {cursor} COUNT {count} NOVALUES"));
            cursor = found.remove(0);
            seen.append(&mut found);
            if cursor == "0" {
                break;
            }
            step += 1;
            // Growth must end some time, or a scan in small steps would not.
            if step <= 50 {
                let more = 1000 + 20 * step;
                fill(&mut harness, "h", more..more + 20);
                harness.run(&format!("HDEL h f{} f{}", more - 1, 900 + step));
            }
        }
        let mut times = BTreeMap::new();
        seen.iter().for_each(|field| *times.entry(field.as_str()).or_insert(0) += 1);
        assert_eq!((times.get("f1"), times.get("f2")), (None, None));
        for i in (0..900).filter(|&i| i != 1 && i != 2) {
            assert_eq!(times.get(format!("f{i}").as_str()), Some(&1), "f{i} with COUNT {count}");
        }
    }
}

#[test]
fn hscan_matches_and_pages_large_hashes() {
    let mut harness = harness();
    fill(&mut harness, "h", 0..1000);
    let first = bulks(&mut harness, "HSCAN h 0 NOVALUES");
    assert_ne!(first[0], "0");
    assert!(first.len() > 10 && first.len() < 20, "about COUNT's default of 10: {}", first.len());
    let found = bulks(&mut harness, "HSCAN h 0 MATCH f99* COUNT 1000");
    assert_eq!((found[0].as_str(), found.len()), ("0", 1 + 2 * 11));
}

#[test]
fn replies_that_would_be_too_large_are_errors_and_change_nothing() {
    const LIMIT_BYTES: usize = 20_000;
    let mut harness = harness();
    let limit = |config: &mut Config| {
        config.client_reply_max_bytes = LIMIT_BYTES;
        Ok::<(), Error>(())
    };
    harness.server.change_config(limit).unwrap();
    let value = "x".repeat(LIMIT_BYTES / 2);
    harness.run(&format!("HSET h a {value} b {value} c {value}"));
    let refused = |instead: &str| {
        format!("-ERR reply exceeds client-reply-max-bytes, use {instead} instead\r\n")
    };
    for (line, instead) in [
        ("HGETALL h", "HSCAN"),
        ("HVALS h", "HSCAN"),
        ("HRANDFIELD h 3 WITHVALUES", "HSCAN"),
        ("HRANDFIELD h 2 WITHVALUES", "a smaller count"),
        ("HRANDFIELD h -2 WITHVALUES", "a smaller count"),
        ("HRANDFIELD h -20000", "a smaller count"),
        ("HSCAN h 0", "a smaller COUNT"),
        ("HMGET h a a", "several HMGET"),
        ("HGETEX h PERSIST FIELDS 2 a b", "several HGETEX"),
        ("HGETEX h PX 0 FIELDS 2 a b", "several HGETEX"),
        ("HGETDEL h FIELDS 2 a b", "several HGETDEL"),
    ] {
        assert_eq!(raw(&mut harness, line), refused(instead), "{line}");
    }
    for (line, bulk_count) in [
        ("HKEYS h", 3),
        ("HMGET h a d d d d d", 1),
        ("HRANDFIELD h 3", 3),
        ("HRANDFIELD h -700", 700),
        ("HRANDFIELD h -1 WITHVALUES", 2),
        ("HSCAN h 0 NOVALUES", 4),
        ("HGETDEL h FIELDS 2 a x", 1),
    ] {
        assert_eq!(bulks(&mut harness, line).len(), bulk_count, "{line}");
    }
    assert_eq!(harness.run("HLEN h"), "(integer) 2");
}

#[test]
fn effects_carry_the_cause_that_clients_hear_of() {
    use Cause::{Hdel, Hexpire, Hexpired, Hincrby, Hincrbyfloat, Hpersist, Hset, Hsetex};
    let mut harness = Harness::new(Journal::remembering(u64::MAX));
    let mut seen = 0;
    for (line, expected) in [
        ("HSET h a 1 b 2", &[Hset, Hset][..]),
        ("HMSET h a 1", &[Hset]),
        ("HSETNX h a 1", &[]),
        ("HSETNX h c 3", &[Hset]),
        ("HINCRBY h a 1", &[Hincrby]),
        ("HINCRBY h a x", &[]),
        ("HINCRBYFLOAT h a 1", &[Hincrbyfloat]),
        ("HEXPIRE h 10 FIELDS 2 a x", &[Hexpire]),
        ("HEXPIRE h 10 NX FIELDS 1 a", &[]),
        ("HPERSIST h FIELDS 3 a b x", &[Hpersist]),
        ("HPEXPIRE h 0 FIELDS 2 a x", &[Hdel]),
        ("HGETEX h FIELDS 1 b", &[]),
        ("HGETEX h PERSIST FIELDS 1 b", &[]),
        ("HGETEX h PX 10 FIELDS 2 b x", &[Hexpire]),
        ("HGETEX h PERSIST FIELDS 1 b", &[Hpersist]),
        ("HGETEX h PXAT 1 FIELDS 1 b", &[Hdel]),
        ("HGETDEL h FIELDS 2 c x", &[Hdel]),
        ("HDEL h c", &[]),
        ("HSETEX h FIELDS 1 a 1", &[Hset]),
        ("HSETEX h PX 10 FIELDS 2 a 1 b 2", &[Hsetex, Hsetex]),
        ("HSETEX h KEEPTTL FIELDS 1 a 2", &[Hset]),
        ("HSETEX h FNX FIELDS 1 a 2", &[]),
        ("HSETEX h EX 0 FIELDS 2 c 1 d 2", &[Hset, Hset, Hdel, Hdel]),
        ("HDEL h a b", &[Hdel, Hdel]),
        ("HSETEX h PX 10 FIELDS 3 a 1 b 2 c 3", &[Hsetex, Hsetex, Hsetex]),
    ] {
        harness.run(line);
        assert_eq!(causes(&harness, &mut seen), expected, "{line}");
    }
    harness.advance(Duration::from_millis(10));
    for (line, expected) in [
        ("HGET h a", &[Hexpired][..]),
        ("HDEL h a", &[]),
        ("HGETEX h FIELDS 1 b", &[Hexpired]),
        ("HGETDEL h FIELDS 1 c", &[Hexpired]),
    ] {
        harness.run(line);
        assert_eq!(causes(&harness, &mut seen), expected, "{line}");
    }
    assert_eq!(harness.run("EXISTS h"), "(integer) 0");
}

/// The causes of effects since the batch `seen`.
fn causes(harness: &Harness, seen: &mut usize) -> Vec<Cause> {
    let batches = harness.server.store.journal.batches();
    let effects = batches[*seen..].iter().flat_map(|batch| Decoder::new(batch));
    let causes = effects.map(|effect| effect.unwrap().0).collect();
    *seen = batches.len();
    causes
}

#[test]
fn hincrby_and_keepttl_journal_the_deadline_they_keep() {
    let mut harness = Harness::new(Journal::remembering(u64::MAX));
    for line in ["HSETEX h PX 10 FIELDS 1 a 1", "HINCRBY h a 1", "HSETEX h KEEPTTL FIELDS 1 a 3"] {
        harness.run(line);
        let batches = harness.server.store.journal.batches();
        let last = Decoder::new(batches.last().unwrap()).last().unwrap().unwrap().1;
        let Effect::PutPair { deadline_ms, .. } = last else { panic!("{line}: {last:?}") };
        assert_eq!(deadline_ms, START_MS + 10, "{line}");
    }
}
