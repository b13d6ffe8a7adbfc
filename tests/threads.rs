//! Threads that work on one namespace, and what carries it elsewhere or ends it meanwhile.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use pantry::acl::Identity;
use pantry::clock::Clock;
use pantry::dispatch::{Executor, Plan};
use pantry::journal::Journal;
use pantry::journal::effect::Effects;
use pantry::reply::Reply;
use pantry::resp::owned::OwnedRequest;
use pantry::server::Server;
use pantry::session::Session;
use pantry::store::{Settings, Store};
use support::{Harness, START_MS, client, dump};

const THREADS: usize = 2;

fn harness() -> Harness {
    let store = Store::new(Journal::remembering(u64::MAX), Clock::manual(START_MS));
    Harness::of_threads(store, THREADS)
}

/// A client on a thread of its own.
struct Caller<'s> {
    server: &'s Server,
    number: usize,
    session: Session,
    random: u64,
}

impl<'s> Caller<'s> {
    fn new(server: &'s Server, number: usize) -> Caller<'s> {
        let session = Session::new(client(), Identity::new(&server.acl));
        Caller { server, number, session, random: 1 + number as u64 }
    }

    /// Runs some commands as one batch.
    fn batch(&mut self, lines: &[String]) -> Vec<String> {
        self.random += 2;
        let metrics = &self.server.metrics[self.number];
        let mut executor =
            Executor::new(self.server, metrics, &Settings::NONE, Effects::default(), self.random);
        let replies = lines.iter().map(|line| {
            let mut out = pantry::output::Output::new();
            let request = OwnedRequest::new(line.split(' ').map(str::as_bytes));
            executor.execute(&mut self.session, request.args(), &mut Reply::resp(&mut out, false));
            support::render::render(&out.to_vec())
        });
        let replies = replies.collect();
        executor.finish(&mut self.session);
        replies
    }

    fn run(&mut self, line: &str) -> String {
        self.batch(&[line.to_owned()]).remove(0)
    }

    /// Runs some commands as one batch that is looked at ahead, as those of a pipeline are.
    fn pipeline(&mut self, lines: &[String]) -> Vec<String> {
        let metrics = &self.server.metrics[self.number];
        let mut executor =
            Executor::new(self.server, metrics, &Settings::NONE, Effects::default(), 1);
        let request = |line: &String| OwnedRequest::new(line.split(' ').map(str::as_bytes));
        let requests: Vec<OwnedRequest> = lines.iter().map(request).collect();
        let store = &self.server.store;
        let plans: Vec<Plan<'_>> =
            requests.iter().map(|request| Plan::new(store, request.args())).collect();
        executor.look_ahead(&self.session, &plans);
        let replies = requests.iter().zip(&plans).map(|(request, plan)| {
            let mut out = pantry::output::Output::new();
            let reply = &mut Reply::resp(&mut out, false);
            executor.execute_planned(&mut self.session, request.args(), plan, reply);
            support::render::render(&out.to_vec()).trim().to_owned()
        });
        let replies = replies.collect();
        executor.finish(&mut self.session);
        replies
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.random >> 33) % bound
    }
}

fn fill(harness: &mut Harness, name: &str, pairs: usize) {
    for index in 0..pairs {
        harness.run(&format!("HSET {name} key-{index} 0"));
    }
}

/// One client works in turns; another looks again and again meanwhile. There are `turns` at least, in whole rounds
/// of eight, and more if `look` says that it has not seen enough.
fn meanwhile(
    server: &Server,
    turns: usize,
    mut work: impl FnMut(&mut Caller<'_>, usize) + Send,
    mut look: impl FnMut(&mut Caller<'_>) -> bool + Send,
) {
    const TIMES_MAX: usize = 1000;
    let (has_seen, is_over) = (&AtomicBool::new(false), &AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut caller = Caller::new(server, 0);
            let is_left = |turn: &usize| match *turn {
                turn if turn % 8 != 0 || turn < turns => true,
                turn => turn < TIMES_MAX * turns && !has_seen.load(SeqCst),
            };
            (0..).take_while(is_left).for_each(|turn| work(&mut caller, turn));
            is_over.store(true, SeqCst);
        });
        scope.spawn(move || {
            let mut caller = Caller::new(server, 1);
            while !is_over.load(SeqCst) {
                has_seen.store(look(&mut caller), SeqCst);
            }
        });
    });
}

#[test]
fn each_pair_is_changed_by_one_thread_at_a_time() {
    const INCREMENTS: u64 = 4000;
    let mut harness = harness();
    fill(&mut harness, "n", 100);
    let server = &*harness.server;
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn(move || {
                let mut caller = Caller::new(server, number);
                for _ in 0..INCREMENTS / 8 {
                    let lines: Vec<String> =
                        (0..8).map(|_| format!("HINCRBY n key-{} 1", caller.below(100))).collect();
                    caller.batch(&lines);
                }
            });
        }
    });
    let values: u64 =
        (0..100).map(|index| number(&harness.run(&format!("HGET n key-{index}")))).sum();
    assert_eq!(values, INCREMENTS * THREADS as u64);
    same_as_replayed(&harness);
}

/// Mostly they overwrite different pairs where they lie, for which they share the namespace; but also the same ones,
/// such as are not there yet or get a longer value, and what does not hold pairs.
#[test]
fn pairs_that_are_put_side_by_side_are_put_as_one_by_one() {
    const BATCHES: usize = 1500;
    let mut harness = harness();
    fill(&mut harness, "n", 300);
    harness.run("SET string v");
    let server = &*harness.server;
    let created: Vec<usize> = std::thread::scope(|scope| {
        let work = move |thread: usize| {
            let mut caller = Caller::new(server, thread);
            let mut created = 0;
            for batch in 0..BATCHES {
                if batch % 3 == 0 {
                    server.store.divide(server.store.name(b"n"));
                }
                let lines: Vec<String> = (0..16)
                    .map(|_| match (caller.below(300), caller.below(10)) {
                        (0, digit) => format!("HSET n key-{digit} longer-{batch}"),
                        (1, digit) => format!("HSET n new-{batch}-{digit} v"),
                        (2, digit) => format!("HMSET n key-{digit} {digit}"),
                        (3, _) => "HSET string key v".to_owned(),
                        (4, digit) => format!("HSET n key-{digit} 1 key-1 2"),
                        (key, digit) => format!("HSET n key-{key} {digit}"),
                    })
                    .collect();
                for (reply, line) in caller.pipeline(&lines).iter().zip(&lines) {
                    match line {
                        line if line.contains("string") => {
                            assert!(reply.contains("WRONGTYPE"), "{line}: {reply}");
                        }
                        line if line.starts_with("HMSET") => assert_eq!(reply, "OK", "{line}"),
                        line if line.contains("new-") => created += number(reply) as usize,
                        line => assert_eq!(reply, "(integer) 0", "{line}"),
                    }
                }
            }
            created
        };
        let threads: Vec<_> = (0..THREADS).map(|t| scope.spawn(move || work(t))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let created: usize = created.iter().sum();
    assert!(created > 0);
    assert_eq!(number(&harness.run("HLEN n")), 300 + created as u64);
    same_as_replayed(&harness);
}

#[test]
fn commands_on_several_pairs_are_seen_whole() {
    let mut harness = harness();
    fill(&mut harness, "n", 100);
    let mut seen = BTreeSet::new();
    meanwhile(
        &harness.server,
        4000,
        |caller, turn| {
            match turn % 4 {
                0 => caller.run(&format!("HSET n key-1 {turn} key-2 {turn} key-3 {turn}")),
                1 => caller.run("HDEL n key-1 key-2 key-3"),
                2 => {
                    caller.run(&format!("HSETEX n FIELDS 3 key-3 {turn} key-1 {turn} key-2 {turn}"))
                }
                _ => caller.run("HGETDEL n FIELDS 3 key-2 key-1 key-3"),
            };
        },
        |caller| {
            let reply = caller.run("HMGET n key-1 key-2 key-3");
            let lines: Vec<&str> =
                reply.lines().map(|line| line.split_once(") ").unwrap().1).collect();
            assert!(lines.iter().all(|line| *line == lines[0]), "{reply}");
            seen.insert(lines[0].to_owned());
            seen.len() > 1
        },
    );
    assert!(seen.len() > 1, "nothing happened meanwhile");
    same_as_replayed(&harness);
}

#[test]
fn what_carries_a_namespace_elsewhere_takes_all_of_it() {
    let mut harness = harness();
    fill(&mut harness, "n", 200);
    meanwhile(
        &harness.server,
        600,
        |caller, turn| {
            let line = match turn % 8 {
                0 | 4 => "RENAME n m",
                1 | 5 => "RENAME m n",
                2 => "COPY n copy REPLACE",
                3 => "DEL copy",
                6 => "MOVE n 1",
                _ => "SWAPDB 0 1",
            };
            caller.run(line);
            if turn % 8 == 7 {
                caller.run("MOVE n 0");
            }
        },
        |caller| {
            let key = caller.below(200);
            let reply = caller.run(&format!("HGET n key-{key}"));
            assert!(matches!(reply.trim(), "(nil)" | "\"0\""), "{reply}");
            let reply = caller.run("HLEN n");
            assert!(matches!(number(&reply), 0 | 200), "{reply}");
            true
        },
    );
    same_as_replayed(&harness);
}

#[test]
fn no_fencing_token_is_given_twice() {
    const LOCKS: usize = 500;
    let mut harness = harness();
    harness.run("NAMESPACE CREATE n");
    fill(&mut harness, "n", 1000);
    let server = &*harness.server;
    let tokens: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let take = |thread: usize| {
            let mut caller = Caller::new(server, thread);
            let lock = |index| format!("NAMESPACE LOCK n lock-{thread}-{index} 60000");
            (0..LOCKS).map(|index| number(&caller.run(&lock(index)))).collect()
        };
        let threads: Vec<_> = (0..THREADS).map(|t| scope.spawn(move || take(t))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(tokens.iter().all(|tokens| tokens.is_sorted()));
    let different: BTreeSet<u64> = tokens.into_iter().flatten().collect();
    assert_eq!(different.len(), LOCKS * THREADS);
    same_as_replayed(&harness);
}

#[test]
fn a_limit_holds_whoever_writes() {
    let mut harness = harness();
    fill(&mut harness, "n", 100);
    harness.run("NAMESPACE LIMIT n PAIRS 110");
    let server = &*harness.server;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let mut caller = Caller::new(server, thread);
                for index in 0..20 {
                    caller.run(&format!("HSET n more-{thread}-{index} v"));
                }
            });
        }
    });
    assert_eq!(number(&harness.run("HLEN n")), 110);
    same_as_replayed(&harness);
}

#[test]
fn what_has_expired_is_not_shown_and_goes_with_the_reaper() {
    let mut harness = harness();
    for index in 0..30 {
        harness.run(&format!("HSETEX n PX 100 FIELDS 1 key-{index} v"));
    }
    harness.advance(std::time::Duration::from_millis(100));
    for index in 0..30 {
        assert_eq!(harness.run(&format!("HGET n key-{index}")).trim(), "(nil)");
    }
    harness.reap();
    assert_eq!(number(&harness.run("EXISTS n")), 0);
    assert_eq!(number(&harness.run("DBSIZE")), 0);
    same_as_replayed(&harness);
}

#[test]
fn a_namespace_that_is_emptied_pair_by_pair_is_gone() {
    let mut harness = harness();
    for name in ["n", "kept"] {
        fill(&mut harness, name, 300);
    }
    assert_eq!(harness.run("NAMESPACE CREATE kept").trim(), "(integer) 0");
    let server = &*harness.server;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let mut caller = Caller::new(server, thread);
                for index in (0..300).filter(|index| index % THREADS == thread) {
                    caller.run(&format!("HDEL n key-{index}"));
                    caller.run(&format!("NAMESPACE UNSET kept key-{index}"));
                }
            });
        }
    });
    assert_eq!(number(&harness.run("EXISTS n kept")), 0);
    assert_eq!(number(&harness.run("DBSIZE")), 0);
    assert!(harness.run("NAMESPACE LIST").contains("kept"));
    same_as_replayed(&harness);
}

#[test]
fn all_that_expires_is_freed_and_counted() {
    let mut harness = harness();
    let empty = harness.server.store.slice_us_max();
    assert_eq!(empty, 0);
    for index in 0..300 {
        harness.run(&format!("HSETEX n PX {} FIELDS 1 key-{index} v", 100 + index));
        harness.run(&format!("HSET whole key-{index} v"));
    }
    harness.run("PEXPIRE whole 250");
    for _ in 0..50 {
        harness.advance(std::time::Duration::from_millis(10));
        harness.reap();
    }
    assert_eq!(number(&harness.run("DBSIZE")), 0);
    assert!(harness.run("INFO stats").contains("expired_keys:1"));
    same_as_replayed(&harness);
}

#[test]
fn a_scan_shows_what_stays_exactly_once_while_the_namespace_grows_and_shrinks() {
    let mut harness = harness();
    for index in 0..10 {
        harness.run(&format!("HSET n stays-{index} v"));
    }
    let (mut cursor, mut seen, mut turn) = (0, BTreeMap::new(), 0);
    // It grows and shrinks between calls of one scan.
    for round in 0..20 {
        loop {
            for step in 0..20 {
                let key = (turn * 7 + step) % 400;
                let line = match (turn / 10) % 2 {
                    0 => format!("HSET n other-{key} v"),
                    _ => format!("HDEL n other-{key}"),
                };
                harness.run(&line);
            }
            turn += 1;
            let reply = harness.run(&format!("HSCAN n {cursor} COUNT 3 NOVALUES"));
            let mut words = reply.split('"').skip(1).step_by(2);
            cursor = words.next().unwrap().parse::<u64>().unwrap();
            assert!(cursor < 1 << 53);
            for key in words.filter(|key| key.starts_with("stays")) {
                *seen.entry(key.to_owned()).or_insert(0) += 1;
            }
            if cursor == 0 {
                break;
            }
        }
        let is_once = seen.values().all(|times| *times == 1);
        assert!(is_once && seen.len() == 10, "round {round}: {seen:?}");
        seen.clear();
    }
}

fn number(reply: &str) -> u64 {
    let digits: String = reply.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// What the journal says is what there is.
fn same_as_replayed(harness: &Harness) {
    let store = &harness.server.store;
    let now_ms = store.clock.now_ms();
    assert_eq!(dump(&harness.replayed(), now_ms), dump(store, now_ms));
}
