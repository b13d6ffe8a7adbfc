//! The same random commands to pantry and to a real redis-server: the same replies, byte for byte.
//!
//! Replies without an order are compared sorted, random ones by what they may be, times with some
//! tolerance. SKIPPED when there is no redis-server. `DIFFERENTIAL_COMMANDS` says how many commands,
//! `DIFFERENTIAL_SEED` repeats a run.
#![allow(clippy::unwrap_used)]

mod generate;
mod oracle;
mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use generate::agree::{Queue, name_of, shown, whole_scan, words};
use generate::{COUNTERS, Generator, Lifetimes, Words};
use oracle::{Connection, Oracle};
use pantry::clock::Clock;
use pantry::command::Spec;
use pantry::journal::Journal;
use support::Harness;
use support::render::{self, Value};

const COMMANDS: usize = 400_000;
/// Commands that one client sends before the other has its turn.
const BATCH: usize = 40;
/// Two replies about remaining time may differ by this: pantry is asked later than Redis.
const TOLERANCE_MS: i64 = 20_000;
/// Differences after which the rest is not worth reading.
const SHOWN_MAX: usize = 25;

/// `a` speaks RESP2, `b` RESP3.
const CLIENTS: [&str; 2] = ["a", "b"];

#[test]
fn pantry_answers_as_redis_does() {
    let Some(mut oracle) = Oracle::start() else { return };
    let number = |variable: &str| std::env::var(variable).ok().map(|text| text.parse().unwrap());
    let commands = number("DIFFERENTIAL_COMMANDS").unwrap_or(COMMANDS as u64) as usize;
    let seed = number("DIFFERENTIAL_SEED").unwrap_or_else(|| Clock::system().now_us());
    eprintln!("DIFFERENTIAL_SEED={seed} DIFFERENTIAL_COMMANDS={commands}");
    let known = known_to(&mut oracle);
    let mut pitted = Pitted::new(&oracle, seed, |spec| weight(spec, &known));
    while pitted.commands < commands && pitted.differences.len() < SHOWN_MAX {
        pitted.play_batch();
    }
    pitted.compare_stores();
    let differences = pitted.differences.join("\n");
    assert!(pitted.differences.is_empty(), "DIFFERENTIAL_SEED={seed}\n{differences}");
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
        _ => 0,
    }
}

/// Both servers, and what each client is up to.
struct Pitted {
    clock: Clock,
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
    fn new(oracle: &Oracle, seed: u64, weight: impl Fn(&Spec) -> usize) -> Pitted {
        let clock = Clock::system();
        let start_ms = clock.now_ms();
        let mut pitted = Pitted {
            clock,
            generator: Generator::new(seed, Lifetimes::Long, weight),
            pantry: Harness::starting_at(start_ms, Journal::discarding()),
            redis: CLIENTS.map(|_| oracle.connect()).into(),
            queues: Default::default(),
            commands: 0,
            log: Vec::new(),
            differences: Vec::new(),
        };
        pitted.generator.now_ms = start_ms;
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
            is_queueing = match name_of(&command).as_str() {
                "MULTI" => true,
                "EXEC" | "DISCARD" | "RESET" => false,
                _ => is_queueing,
            };
            let resets = name_of(&command) == "RESET";
            batch.push(whole_scan(command, self.generator.random.below(10) < 8));
            if resets {
                break;
            }
        }
        let behind_ms = self.clock.now_ms() - self.pantry.server.store.clock.now_ms();
        self.pantry.advance(Duration::from_millis(behind_ms));
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
        if !is_same {
            self.report(command, redis, &pantry);
        }
        is_same
    }

    /// Whether replies that are not the same bytes say the same.
    fn agree(&mut self, who: usize, command: &Words, redis: &Value, pantry: &Value) -> bool {
        let name = name_of(command);
        let may_be = match (name.as_str(), redis, pantry) {
            ("DBSIZE", ..) => {
                self.pantry.reap();
                self.asks(who, &[b"DBSIZE"]) == *redis
            }
            ("RANDOMKEY", Value::Bulk(redis), Value::Bulk(pantry)) => {
                let mut exists = |key| self.asks(who, &[b"EXISTS", key]) == Value::Integer(1);
                exists(redis) && exists(pantry)
            }
            ("HRANDFIELD", ..) => {
                let Value::Array(pairs) = self.asks(who, &[b"HGETALL", &command[1]]) else {
                    return false;
                };
                are_drawn(redis, &pairs, command) && are_drawn(pantry, &pairs, command)
            }
            _ => true,
        };
        may_be && self.queues[who].agree(command, redis, pantry, TOLERANCE_MS)
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
        // Begins anew, so that one difference does not bring others.
        for (who, client) in CLIENTS.into_iter().enumerate() {
            for command in [words(&[b"RESET"]), words(&[b"FLUSHALL"])] {
                self.redis[who].pipeline(std::slice::from_ref(&command));
                self.pantry.execute(client, &command);
            }
        }
        self.queues = Default::default();
        self.greet();
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
