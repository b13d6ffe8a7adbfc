//! What scripts can not show of the commands for strings and names: walks that last while names come
//! and go, chance, limits, what counts as a hit.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use pantry::config::Config;
use pantry::journal::Journal;
use std::sync::atomic::Ordering::Relaxed;
use support::Harness;
use support::render::{Value, decode};

/// Cursors must survive clients that read them as doubles.
const CURSOR_MAX: u64 = 1 << 53;

#[test]
fn a_walk_shows_every_name_that_stays_exactly_once() {
    // More names than come in a call are shown in it, else a walk might not end.
    const GROWING_CALLS: usize = 20;
    for count in [1, 7, 100] {
        let mut server = Harness::new(Journal::discarding());
        for i in 0..2000 {
            server.run(&format!("SET stays:{i} 1"));
        }
        let (mut seen, mut cursor, mut calls) = (BTreeMap::new(), 0, 0);
        loop {
            let (next, names) = scan(&mut server, &format!("SCAN {cursor} COUNT {count}"));
            names.into_iter().for_each(|name| *seen.entry(name).or_insert(0) += 1);
            // The store grows to several times its size, and then shrinks again.
            for i in 0..2000 / GROWING_CALLS {
                match calls / GROWING_CALLS {
                    0 => server.run(&format!("SET comes:{}:{i} 1", calls)),
                    1 => server.run(&format!("DEL comes:{}:{i}", calls - GROWING_CALLS)),
                    _ => break,
                };
            }
            (cursor, calls) = (next, calls + 1);
            assert!(cursor < CURSOR_MAX);
            if cursor == 0 {
                break;
            }
        }
        for i in 0..2000 {
            assert_eq!(seen.get(&format!("stays:{i}")), Some(&1), "stays:{i} by {count}");
        }
    }
}

#[test]
fn every_name_comes_up_at_random() {
    let mut server = Harness::new(Journal::discarding());
    (0..10).for_each(|i| drop(server.run(&format!("SET {i} 1"))));
    (10..20).for_each(|i| drop(server.run(&format!("SET {i} 1 PXAT 1"))));
    (20..30).for_each(|i| drop(server.run(&format!("NAMESPACE CREATE {i}"))));
    let mut times = [0; 30];
    for _ in 0..1000 {
        let name = server.run("RANDOMKEY");
        times[name.trim_matches('"').parse::<usize>().unwrap()] += 1;
    }
    assert!(times[..10].iter().all(|&times| (50..200).contains(&times)), "{times:?}");
    assert!(times[10..].iter().all(|&times| times == 0), "{times:?}");
}

#[test]
fn what_would_be_too_large_is_refused_before_it_begins() {
    let mut server = configured(|config| {
        config.client_reply_max_bytes = 2000;
        config.proto_max_bulk_len_bytes = 100;
    });
    (0..100).for_each(|i| drop(server.run(&format!("SET a-name-of-twenty-one-{i:02} 1"))));
    let too_large = |instead| {
        format!("(error) ERR reply exceeds client-reply-max-bytes, use {instead} instead")
    };
    assert_eq!(server.run("KEYS *"), too_large("SCAN"));
    assert_eq!(server.run("SCAN 0 COUNT 1000"), too_large("a smaller COUNT"));
    assert!(server.run("SCAN 0 COUNT 10").starts_with("1) "));
    server.run(&format!("SET long {}", "x".repeat(100)));
    let mut mget = |count| server.run(&format!("MGET {}", vec!["long"; count].join(" ")));
    assert_eq!(mget(18), too_large("several MGET"));
    assert_eq!(mget(17).lines().count(), 17);
    // What stands around a short name counts, too.
    server.run("FLUSHALL");
    (0..200).for_each(|i| drop(server.run(&format!("SET {i} 1"))));
    assert_eq!(server.run("KEYS *"), too_large("SCAN"));
    assert_eq!(server.run("SCAN 0 COUNT 1000"), too_large("a smaller COUNT"));
    server.run(&format!("SET long {}", "x".repeat(100)));

    let too_long = "(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    assert_eq!(server.run("APPEND long x"), too_long);
    assert_eq!(server.run("SETRANGE long 100 x"), too_long);
    assert_eq!(server.run("SETRANGE new 100 x"), too_long);
    assert_eq!(server.run("SETRANGE long 99 y"), "(integer) 100");
    assert_eq!(server.run("EXISTS new"), "(integer) 0");
}

#[test]
fn hits_and_misses_are_those_of_reads() {
    let mut server = Harness::new(Journal::discarding());
    server.run("SET a 1");
    server.run("NAMESPACE CREATE empty");
    let counters = |server: &Harness| {
        let metrics = &server.server.metrics[0];
        (metrics.keyspace_hits.get(), metrics.keyspace_misses.get())
    };
    let mut counted = |command: &str| {
        let before = counters(&server);
        server.run(command);
        let after = counters(&server);
        (after.0 - before.0, after.1 - before.1)
    };
    for read in ["GET a", "STRLEN a", "TYPE a", "TTL a", "EXISTS a", "OBJECT ENCODING a"] {
        assert_eq!(counted(read), (1, 0), "{read}");
    }
    assert_eq!(counted("MGET a nothing a"), (2, 1));
    assert_eq!(counted("EXISTS nothing empty"), (0, 2));
    assert_eq!(counted("SET a 2"), (0, 0));
}

#[test]
fn a_client_that_does_not_touch_leaves_idle_times_alone() {
    let mut server = Harness::new(Journal::discarding());
    server.run("SET a 1");
    server.advance(std::time::Duration::from_secs(5));
    server.session("a").unwrap().client.no_touch.store(true, Relaxed);
    server.run("GET a");
    assert_eq!(server.run("OBJECT IDLETIME a"), "(integer) 5");
    server.session("a").unwrap().client.no_touch.store(false, Relaxed);
    server.run("GET a");
    assert_eq!(server.run("OBJECT IDLETIME a"), "(integer) 0");
}

#[test]
fn memory_usage_follows_what_is_there() {
    let mut server = Harness::new(Journal::discarding());
    let mut usage = |command: &str, name: &str| -> usize {
        server.run(command);
        let reply = server.run(&format!("MEMORY USAGE {name}"));
        reply.strip_prefix("(integer) ").unwrap().parse().unwrap()
    };
    let small = usage("SET a 1", "a");
    let large = usage(&format!("SET a {}", "x".repeat(10_000)), "a");
    assert!(small < 300 && (10_000..12_000).contains(&large), "{small} {large}");
    let value = "x".repeat(100);
    let one = usage(&format!("HSET shop 0 {value}"), "shop");
    let pairs = (1..100).map(|i| usage(&format!("HSET shop {i} {value}"), "shop"));
    let hundred = pairs.last().unwrap();
    assert!(one < 1000 && (10_000..20_000).contains(&hundred), "{one} {hundred}");
}

fn configured(change: impl FnOnce(&mut Config)) -> Harness {
    let server = Harness::new(Journal::discarding());
    server
        .server
        .change_config(|config| {
            change(config);
            Ok::<_, std::convert::Infallible>(())
        })
        .unwrap();
    server
}

/// The cursor and the names that SCAN answers with.
fn scan(server: &mut Harness, command: &str) -> (u64, Vec<String>) {
    let words: Vec<Vec<u8>> = command.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let Value::Array(reply) = decode(&mut &server.execute("a", &words)[..]) else { panic!() };
    let [Value::Bulk(cursor), Value::Array(names)] = &reply[..] else { panic!("{reply:?}") };
    let name = |name: &Value| match name {
        Value::Bulk(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{other:?}"),
    };
    (std::str::from_utf8(cursor).unwrap().parse().unwrap(), names.iter().map(name).collect())
}
