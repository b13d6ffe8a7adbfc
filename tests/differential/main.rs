//! The same random commands to pantry and to a real redis-server: the same replies, byte for byte.
//!
//! Replies without an order are compared sorted, random ones by what they may be, times with some
//! tolerance. What a listener is told is compared as well. SKIPPED when there is no redis-server.
//! `DIFFERENTIAL_COMMANDS` says how many commands and makes every run another; `DIFFERENTIAL_SEED`
//! repeats a run.
#![allow(clippy::unwrap_used)]

mod ear;
#[path = "../generate/mod.rs"]
mod generate;
#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use ear::Ear;
use generate::agree::{Queue, name_of, shown, whole_scan, words};
use generate::dressed::{USERS, undressed};
use generate::{COUNTERS, Generator, Lifetimes, STEP_MS, Words};
use oracle::clock::SetClock;
use oracle::{Connection, Oracle};
use pantry::clock::Clock;
use pantry::command::Spec;
use pantry::journal::Journal;
use support::render::{self, Value};
use support::scratch::Scratch;
use support::{Harness, START_MS};

const COMMANDS: usize = 120_000;
/// Commands that one client sends before the other has its turn.
const BATCH: usize = 40;
/// Two replies about remaining time may differ by this: pantry is asked later than Redis.
const TOLERANCE_MS: i64 = 20_000;
/// Names that have run out, and that Redis, which removes them when it comes past, may count for a while.
const UNFREED_MAX: i64 = 3;
/// Differences after which the rest is not worth reading.
const SHOWN_MAX: usize = 25;

/// `a` speaks RESP2, `b` RESP3.
const CLIENTS: [&str; 2] = ["a", "b"];

/// Lifetimes outlast the test, so that it does not matter that time passes.
#[test]
fn pantry_answers_as_redis_does() {
    let Some(oracle) = Oracle::start() else { return };
    play(oracle, Time::Passing(Clock::system()), COMMANDS);
}

/// Both servers have a clock that the test sets: names run out between any two commands.
#[test]
fn names_run_out_as_in_redis() {
    let directory = Scratch::new("set-clock");
    let Some(clock) = SetClock::build(directory.path(), START_MS) else { return };
    let arguments = ["--appendonly", "no", "--save", "", "--enable-debug-command", "yes"];
    let oracle = Oracle::start_with(directory.path(), &arguments, &clock.environment());
    let Some(mut oracle) = oracle else { return };
    oracle.run(&[b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0"]);
    play(oracle, Time::Set { clock, now_ms: START_MS }, COMMANDS / 2);
}

fn play(mut oracle: Oracle, time: Time, commands: usize) {
    let number = |variable: &str| std::env::var(variable).ok().map(|text| text.parse().unwrap());
    let commands = number("DIFFERENTIAL_COMMANDS").unwrap_or(commands as u64) as usize;
    let seed = oracle::seed("DIFFERENTIAL_SEED", "DIFFERENTIAL_COMMANDS");
    eprintln!("DIFFERENTIAL_SEED={seed} DIFFERENTIAL_COMMANDS={commands}");
    let known = known_to(&mut oracle);
    let is_set = matches!(time, Time::Set { .. });
    let mut pitted = Pitted::new(oracle, time, seed, |spec| match spec.command.name {
        // Redis counts what has run out and is still there as something that it replaces or removes.
        "RESTORE" | "BITOP" if is_set => 0,
        _ => weight(spec, &known),
    });
    while pitted.commands < commands && pitted.differences.len() < SHOWN_MAX {
        pitted.play_batch();
    }
    pitted.compare_stores();
    let differences = pitted.differences.join("\n");
    assert!(pitted.differences.is_empty(), "DIFFERENTIAL_SEED={seed}\n{differences}");
}

/// Where both servers have the time from.
enum Time {
    /// It passes, and pantry's clock follows: the same up to a tolerance.
    Passing(Clock),
    /// It is what the test says, to the millisecond.
    Set { clock: SetClock, now_ms: u64 },
}

/// Names of the commands this Redis has, in upper case.
fn known_to(oracle: &mut Oracle) -> BTreeSet<String> {
    let oracle::Reply::Array(names) = oracle.run(&[b"COMMAND", b"LIST"]) else { panic!("no list") };
    let name = |reply: &oracle::Reply| match reply {
        oracle::Reply::Bulk(Some(name)) => String::from_utf8(name.clone()).unwrap(),
        other => panic!("{other:?}"),
    };
    names.iter().map(|reply| name(reply).to_uppercase().replace('|', " ")).collect()
}

/// How often a command is generated; 0 if its replies can not be compared.
fn weight(spec: &Spec, known: &BTreeSet<String>) -> usize {
    let is_of = |groups: &[&str]| groups.contains(&spec.family.group);
    match spec.command.name {
        name if !known.contains(name) => 0,
        // They say what server this is, close the connection, or are about how values are laid out.
        "HELLO" | "QUIT" | "MEMORY" | "MEMORY USAGE" => 0,
        // It asks another server.
        "MIGRATE" => 0,
        // Redis's answer is about its own.
        "PFSELFTEST" | "PFDEBUG" => 0,
        "OBJECT" | "OBJECT ENCODING" | "OBJECT REFCOUNT" => 0,
        name if name.ends_with(" HELP") => 0,
        "CLIENT GETNAME" | "CLIENT SETNAME" | "CLIENT NO-EVICT" => 2,
        "FLUSHALL" | "FLUSHDB" | "SWAPDB" | "RESET" => 2,
        "SELECT" | "AUTH" => 6,
        "MULTI" | "EXEC" | "WATCH" => 20,
        "SET" | "HSET" => 60,
        "DEL" | "UNLINK" => 8,
        "DBSIZE" => 10,
        name if name.starts_with("CLIENT") => 0,
        _ if is_of(&["string", "bitmap", "hyperloglog", "hash", "generic", "transactions"]) => 20,
        _ if is_of(&["connection"]) => 4,
        "PUBLISH" | "SPUBLISH" => 6,
        name if name.starts_with("PUBSUB ") => 3,
        _ => 0,
    }
}

/// Both servers, and what each client is up to.
struct Pitted {
    time: Time,
    tolerance_ms: i64,
    oracle: Oracle,
    ear: Ear,
    generator: Generator,
    pantry: Harness,
    redis: Vec<Connection>,
    queues: [Queue; 2],
    commands: usize,
    /// The last commands and replies, to be shown with a difference.
    log: Vec<String>,
    differences: Vec<String>,
}

impl Pitted {
    fn new(mut oracle: Oracle, time: Time, seed: u64, weight: impl Fn(&Spec) -> usize) -> Pitted {
        let (start_ms, tolerance_ms, lifetimes) = match &time {
            Time::Passing(clock) => (clock.now_ms(), TOLERANCE_MS, Lifetimes::Long),
            Time::Set { now_ms, .. } => (*now_ms, 0, Lifetimes::Short),
        };
        let mut pantry = Harness::starting_at(start_ms, Journal::discarding());
        let mut pitted = Pitted {
            time,
            tolerance_ms,
            ear: Ear::new(&mut oracle, &mut pantry),
            generator: Generator::new(seed, lifetimes, weight),
            pantry,
            redis: CLIENTS.map(|_| oracle.connect()).into(),
            oracle,
            queues: Default::default(),
            commands: 0,
            log: Vec::new(),
            differences: Vec::new(),
        };
        pitted.generator.now_ms = start_ms;
        pitted.generator.field_deadlines = false;
        for (user, rules) in USERS {
            let mut command = vec![&b"ACL"[..], b"SETUSER", user.as_bytes()];
            command.extend(rules.iter().map(|rule| rule.as_bytes()));
            pitted.oracle.run(&command);
            pitted.pantry.execute(CLIENTS[0], &words(&command));
        }
        pitted.greet();
        pitted
    }

    fn greet(&mut self) {
        let hello = vec![b"HELLO".to_vec(), b"3".to_vec()];
        self.redis[1].pipeline(std::slice::from_ref(&hello));
        self.pantry.execute(CLIENTS[1], &hello);
    }

    fn play_batch(&mut self) {
        let who = self.generator.random.below(2);
        let mut batch: Vec<Words> = Vec::new();
        let mut is_queueing = self.queues[who].0.is_some();
        while batch.len() < BATCH {
            let command = match self.generator.random.below(100) {
                0..=9 if is_queueing => self.generator.command_named("EXEC"),
                10..=12 if is_queueing => self.generator.command_named("DISCARD"),
                _ => self.generator.command(),
            };
            let steers =
                matches!(name_of(&command).as_str(), "MULTI" | "EXEC" | "DISCARD" | "RESET");
            if steers {
                is_queueing = name_of(&command) == "MULTI";
            }
            let resets = name_of(&command) == "RESET";
            let command = whole_scan(command, self.generator.random.below(10) < 8);
            batch.push(if steers { command } else { self.generator.dressed(command) });
            if resets {
                break;
            }
        }
        self.pass_time();
        let replies = self.redis[who].pipeline(&batch);
        for (command, redis) in batch.iter().zip(replies) {
            if !self.play(who, command, &redis) {
                // What Redis did with the rest of the batch was undone.
                return;
            }
        }
        if who == 1 && batch.last().is_some_and(|command| name_of(command) == "RESET") {
            self.greet();
        }
        if let Some((redis, pantry)) = self.ear.difference(&mut self.oracle, &mut self.pantry) {
            self.report_heard(&redis, &pantry);
        }
    }

    fn pass_time(&mut self) {
        let pantry_ms = self.pantry.server.store.clock.now_ms();
        let now_ms = match &mut self.time {
            Time::Passing(clock) => clock.now_ms(),
            Time::Set { clock, now_ms } => {
                *now_ms += STEP_MS as u64 * self.generator.random.below(4) as u64;
                clock.set(*now_ms);
                self.generator.now_ms = *now_ms;
                *now_ms
            }
        };
        self.pantry.advance(Duration::from_millis(now_ms - pantry_ms));
    }

    /// `false` if there is a difference; then both begin anew.
    fn play(&mut self, who: usize, command: &Words, redis: &[u8]) -> bool {
        self.commands += 1;
        let pantry = self.pantry.execute(CLIENTS[who], command);
        self.log.push(format!("{} {}", CLIENTS[who], shown(command)));
        if self.log.len() > 400 {
            self.log.drain(..200);
        }
        let (mut expected, mut actual) = (redis, &pantry[..]);
        let (expected, actual) = (render::decode(&mut expected), render::decode(&mut actual));
        let is_same = redis == pantry || self.agree(who, command, &expected, &actual);
        self.queues[who].follow(command, &actual);
        if !is_same && self.is_untold_bitfield(command, &expected, &actual) {
            self.begin_anew();
        } else if !is_same {
            self.report(command, redis, &pantry);
        }
        is_same
    }

    /// Redis makes or lengthens a string for a BITFIELD that then fails by OVERFLOW FAIL, and does not tell who
    /// watches it. Here it is a change like any other, so EXEC is not run.
    fn is_untold_bitfield(&self, command: &Words, redis: &Value, pantry: &Value) -> bool {
        let fails = |line: &String| {
            let line = line.to_uppercase();
            line.contains("BITFIELD") && line.contains("FAIL")
        };
        let is_one = name_of(command) == "EXEC"
            && matches!(redis, Value::Array(_))
            && !matches!(pantry, Value::Array(_));
        is_one && self.log.iter().rev().take(2 * BATCH).any(fails)
    }

    /// Whether replies that are not the same bytes say the same.
    fn agree(&mut self, who: usize, command: &Words, redis: &Value, pantry: &Value) -> bool {
        let inner = &undressed(command);
        let name = name_of(inner);
        let may_be = match (name.as_str(), redis, pantry) {
            ("DBSIZE", ..) => {
                self.pantry.reap();
                // With a clock that is set, Redis removes nothing by itself.
                let Value::Integer(ours) = self.asks(who, &[b"DBSIZE"]) else { return false };
                let may_be = ours..=ours + UNFREED_MAX;
                self.tolerance_ms == 0
                    || matches!(redis, Value::Integer(theirs) if may_be.contains(theirs))
            }
            ("RANDOMKEY", Value::Bulk(redis), Value::Bulk(pantry)) => {
                let mut exists = |key| self.asks(who, &[b"EXISTS", key]) == Value::Integer(1);
                exists(redis) && exists(pantry)
            }
            ("HRANDFIELD", ..) => {
                let Value::Array(pairs) = self.asks(who, &[b"HGETALL", &inner[1]]) else {
                    return false;
                };
                are_drawn(redis, &pairs, inner) && are_drawn(pantry, &pairs, inner)
            }
            _ => true,
        };
        may_be && self.queues[who].agree(command, redis, pantry, self.tolerance_ms)
    }

    /// Asks pantry in a client's database, over a connection of its own.
    fn asks(&mut self, who: usize, command: &[&[u8]]) -> Value {
        let db = self.pantry.session(CLIENTS[who]).unwrap().db.to_string();
        self.pantry.execute("asking", &words(&[b"SELECT", db.as_bytes()]));
        render::decode(&mut &self.pantry.execute("asking", &words(command))[..])
    }

    fn report(&mut self, command: &Words, redis: &[u8], pantry: &[u8]) {
        let mut text = format!(
            "\nafter {} commands: {}\n  redis:  {}\n  pantry: {}\n",
            self.commands,
            shown(command),
            redis.escape_ascii(),
            pantry.escape_ascii()
        );
        let is_exec = name_of(command) == "EXEC";
        let shown = if is_exec { 60 } else { 12 };
        for line in self
            .log
            .iter()
            .rev()
            .skip(1)
            .filter(|line| is_exec || concerns(line, command))
            .take(shown)
        {
            writeln!(text, "    before: {}", &line[..line.len().min(300)]).unwrap();
        }
        self.differences.push(text);
        self.begin_anew();
    }

    fn report_heard(&mut self, redis: &[Value], pantry: &[Value]) {
        let at = redis.iter().zip(pantry).take_while(|(redis, pantry)| redis == pantry).count();
        let mut text = format!("\nafter {} commands, heard:\n", self.commands);
        for (who, all) in [("redis", redis), ("pantry", pantry)] {
            let next: Vec<String> = all.iter().skip(at).take(3).map(render::text).collect();
            writeln!(text, "  {who}: {}", next.join(" / ").replace('\n', " ")).unwrap();
        }
        for line in self.log.iter().rev().take(BATCH) {
            writeln!(text, "    before: {}", &line[..line.len().min(300)]).unwrap();
        }
        self.differences.push(text);
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        // So that one difference does not bring others.
        for (who, client) in CLIENTS.into_iter().enumerate() {
            for command in [words(&[b"RESET"]), words(&[b"FLUSHALL"])] {
                self.redis[who].pipeline(std::slice::from_ref(&command));
                self.pantry.execute(client, &command);
            }
        }
        self.queues = Default::default();
        self.greet();
        self.ear.difference(&mut self.oracle, &mut self.pantry);
    }

    /// Everything there is in both.
    fn compare_stores(&mut self) {
        self.queues = Default::default();
        for (who, client) in CLIENTS.into_iter().enumerate() {
            self.redis[who].pipeline(&[words(&[b"RESET"])]);
            self.pantry.execute(client, &words(&[b"RESET"]));
        }
        for db in 0..16 {
            self.both(words(&[b"SELECT", db.to_string().as_bytes()]));
            self.both(words(&[b"DBSIZE"]));
            let Value::Array(names) = self.both(words(&[b"KEYS", b"*"])) else { continue };
            for name in names {
                let Value::Bulk(name) = name else { panic!("a name") };
                if COUNTERS.contains(&name.as_slice()) {
                    self.both(words(&[b"PFCOUNT", &name]));
                    continue;
                }
                for command in ["TYPE", "GET", "HGETALL", "PTTL", "HLEN", "STRLEN"] {
                    self.both(words(&[command.as_bytes(), &name]));
                }
            }
        }
    }

    fn both(&mut self, command: Words) -> Value {
        let redis = self.redis[0].pipeline(std::slice::from_ref(&command)).remove(0);
        self.play(0, &command, &redis);
        render::decode(&mut &redis[..])
    }
}

fn leaves(value: &Value) -> Vec<Vec<u8>> {
    match value {
        Value::Array(items) => items.iter().flat_map(leaves).collect(),
        Value::Bulk(bytes) => vec![bytes.clone()],
        _ => Vec::new(),
    }
}

/// Whether a reply to HRANDFIELD has nothing but what is in the hash.
fn are_drawn(reply: &Value, pairs: &[Value], command: &Words) -> bool {
    let pairs: BTreeSet<Vec<Vec<u8>>> =
        pairs.chunks(2).map(|pair| pair.iter().flat_map(leaves).collect()).collect();
    let drawn = leaves(reply);
    if command.len() < 4 {
        drawn.iter().all(|key| pairs.iter().any(|pair| pair[0] == *key))
    } else {
        drawn.chunks(2).all(|pair| pairs.contains(pair))
    }
}

/// Whether an earlier command may have to do with this one.
fn concerns(line: &str, command: &Words) -> bool {
    let names = command.iter().skip(1).take(2);
    let whole = ["FLUSH", "SWAPDB", "SELECT", "MULTI", "EXEC", "DISCARD", "RESET"];
    let upper = line.to_uppercase();
    whole.iter().any(|word| upper.contains(word))
        || names.into_iter().any(|name| line.contains(&format!("\"{}\"", name.escape_ascii())))
}
