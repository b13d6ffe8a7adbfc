//! The memory limit: what goes under each policy, what is refused, and that the count is exact.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use pantry::journal::Journal;
use support::Harness;

const OOM: &str = "(error) OOM command not allowed when used memory > 'maxmemory'.";

fn harness(policy: &str) -> Harness {
    let mut harness = Harness::new(Journal::remembering(u64::MAX));
    harness.run(&format!("CONFIG SET maxmemory-policy {policy}"));
    harness
}

fn info(harness: &mut Harness, field: &str) -> u64 {
    let info = harness.run("INFO");
    let (_, after) = info.split_once(&format!("\\n{field}:")).unwrap();
    after.split('\\').next().unwrap().parse().unwrap()
}

/// Sets the limit to what is used now and so much more.
fn limit(harness: &mut Harness, more_bytes: u64) {
    let used = info(harness, "used_memory");
    harness.run(&format!("CONFIG SET maxmemory {}", used + more_bytes));
}

fn exists(harness: &mut Harness, name: &str) -> bool {
    harness.run(&format!("EXISTS {name}")) == "(integer) 1"
}

#[test]
fn without_eviction_writes_are_refused_and_the_rest_goes_on() {
    let mut harness = harness("noeviction");
    harness.run("SET a 1");
    harness.run("CONFIG SET maxmemory 1");
    assert_eq!(harness.run("SET b 1"), OOM);
    assert_eq!(harness.run("HSET n k v"), OOM);
    assert_eq!(harness.run("NAMESPACE SET n k v"), OOM);
    assert_eq!(harness.run("GET a"), "\"1\"");
    assert_eq!(harness.run("DEL a"), "(integer) 1");

    harness.run("MULTI");
    assert_eq!(harness.run("SET b 1"), OOM);
    assert!(harness.run("EXEC").starts_with("(error) EXECABORT"), "a refused command ends it");

    harness.run("CONFIG SET maxmemory 0");
    harness.run("MULTI");
    assert_eq!(harness.run("SET b 1"), "QUEUED");
    harness.run("CONFIG SET maxmemory 0");
    assert_eq!(harness.run("DISCARD"), "OK");
    assert_eq!(harness.run("SET b 1"), "OK");
    assert_eq!(info(&mut harness, "evicted_keys"), 0);
}

#[test]
fn exec_is_refused_when_memory_ran_short_meanwhile() {
    let mut harness = harness("noeviction");
    harness.run("MULTI");
    assert_eq!(harness.run("SET b 1"), "QUEUED");
    harness.execute("other", &["CONFIG", "SET", "maxmemory", "1"].map(|word| word.into()));
    let reply = harness.run("EXEC");
    assert!(reply.contains("EXECABORT") && reply.contains("OOM"), "{reply}");
    assert!(!exists(&mut harness, "b"));
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let mut harness = harness("allkeys-lru");
    for n in 0..200 {
        harness.run(&format!("SET name:{n} {}", "v".repeat(500)));
        harness.advance(Duration::from_secs(1));
    }
    for n in 0..100 {
        harness.run(&format!("GET name:{n}"));
    }
    limit(&mut harness, 0);
    harness.advance(Duration::from_secs(1));
    for n in 200..260 {
        assert_eq!(harness.run(&format!("SET name:{n} {}", "v".repeat(500))), "OK");
    }
    let left = |harness: &mut Harness, from: u32, to: u32| {
        (from..to).filter(|n| exists(harness, &format!("name:{n}"))).count()
    };
    let (used, unused) = (left(&mut harness, 0, 100), left(&mut harness, 100, 200));
    assert!(used >= 90 && unused <= 60, "{used} of those used are left, {unused} of the others");
    assert!(info(&mut harness, "evicted_keys") >= 50);
}

#[test]
fn what_is_used_least_goes_first() {
    let mut harness = harness("allkeys-lfu");
    for n in 0..200 {
        harness.run(&format!("SET name:{n} {}", "v".repeat(500)));
    }
    for _ in 0..50 {
        (0..100).for_each(|n| drop(harness.run(&format!("GET name:{n}"))));
    }
    let reply = harness.run("OBJECT FREQ name:1");
    let frequency: u32 = reply.trim_start_matches("(integer) ").parse().unwrap();
    assert!(frequency > 5, "{frequency}");
    assert!(harness.run("OBJECT IDLETIME name:1").contains("An LFU maxmemory policy is selected"));
    limit(&mut harness, 0);
    for n in 200..260 {
        assert_eq!(harness.run(&format!("SET name:{n} {}", "v".repeat(500))), "OK");
    }
    let used = (0..100).filter(|n| exists(&mut harness, &format!("name:{n}"))).count();
    assert!(used >= 95, "{used} of those used are left");
}

#[test]
fn volatile_policies_spare_what_has_no_deadline() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let mut harness = harness(policy);
        for n in 0..50 {
            harness.run(&format!("SET lasting:{n} {}", "v".repeat(500)));
            harness.run(&format!("SET passing:{n} {} EX {}", "v".repeat(500), 1000 + n));
        }
        limit(&mut harness, 0);
        let mut refused = 0;
        for n in 0..60 {
            let reply = harness.run(&format!("SET new:{n} {}", "v".repeat(500)));
            refused += usize::from(reply == OOM);
        }
        let left = |harness: &mut Harness, kind: &str| {
            (0..50).filter(|n| exists(harness, &format!("{kind}:{n}"))).count()
        };
        assert_eq!(left(&mut harness, "lasting"), 50, "{policy}");
        assert_eq!(left(&mut harness, "passing"), 0, "{policy}");
        assert!(refused > 0, "{policy}: nothing was left to evict");
    }
}

#[test]
fn the_deadline_that_comes_first_goes_first() {
    let mut harness = harness("volatile-ttl");
    for n in 0..100 {
        harness.run(&format!("SET name:{n} {} EX {}", "v".repeat(500), 1000 + 10 * n));
    }
    limit(&mut harness, 0);
    for n in 0..30 {
        harness.run(&format!("HSET new:{n} k {}", "v".repeat(500)));
    }
    let late = (70..100).filter(|n| exists(&mut harness, &format!("name:{n}"))).count();
    assert!(late >= 28, "{late} of the last thirty are left");
}

#[test]
fn any_name_of_any_database_may_go_and_a_kept_one_stays_empty() {
    let mut harness = harness("allkeys-random");
    for db in [0, 5, 15] {
        harness.run(&format!("SELECT {db}"));
        for n in 0..40 {
            harness.run(&format!("HSET namespace:{n} k {}", "v".repeat(500)));
        }
    }
    harness.run(&format!("NAMESPACE SET shop apples {}", "v".repeat(500)));
    harness.run("CONFIG SET maxmemory 1");
    assert_eq!(harness.run("SET a 1"), "OK", "what is asked for waits for some, not for all");
    while harness.run("SET a 1") != OOM {}
    for db in [0, 5, 15] {
        harness.run(&format!("SELECT {db}"));
        assert_eq!(harness.run("DBSIZE"), "(integer) 0");
    }
    assert_eq!(harness.run("NAMESPACE EXISTS shop apples"), "(integer) 0");

    let replayed = support::dump(&harness.replayed(), support::START_MS);
    assert_eq!(replayed, support::dump(&harness.server.store, support::START_MS));
}

#[test]
fn what_is_counted_against_the_limit_is_what_info_shows() {
    let mut harness = harness("allkeys-lru");
    harness.run("CONFIG SET maxmemory 3mb");
    for n in 0..3000 {
        harness.run(&format!("HSET big k{n} {}", "v".repeat(n % 700)));
        harness.run(&format!("SET name:{} {}", n % 500, "v".repeat(n % 900)));
        harness.run(&format!("HSETEX few:{} EX 100 FIELDS 1 k{} v", n % 40, n % 90));
        if n % 3 == 0 {
            harness.run(&format!("HDEL big k{}", n / 2));
        }
    }
    harness.advance(Duration::from_secs(200));
    harness.reap();
    let used = info(&mut harness, "used_memory");
    harness.run(&format!("CONFIG SET maxmemory {used}"));
    assert!(!harness.server.store.is_over_limit());
    harness.run(&format!("CONFIG SET maxmemory {}", used - 1));
    assert!(harness.server.store.is_over_limit());
    assert!(used <= 3 << 20, "{used}");
}
