//! What a client's own names must hold: a small model of the commands that these tests send.
//!
//! Each client has names of its own, so that its commands alone, in its order, say what they hold.

use std::collections::BTreeMap;

use crate::client::{Reply, push_request};
use crate::machine::Random;

/// Strings, namespaces and keys of each client.
const STRINGS: u64 = 3;
const HASHES: u64 = 3;
const KEYS: u64 = 6;
/// The name that all clients count in together.
pub const SHARED: &str = "shared";
/// How far a server's clock may be from ours.
const CLOCK_SLACK_MS: u64 = 20;
/// A deadline that does not pass in a test.
const FAR_MS: u64 = 1_000_000_000;
/// Deadlines that pass in a test are no further away than this.
const NEAR_MS: u64 = 300;

/// A command of one client. Names are told by their numbers.
#[derive(Debug, Clone)]
pub enum Op {
    Set { name: String, value: String },
    Incr { name: String },
    Hset { name: String, pairs: Vec<(String, String)> },
    Hsetex { name: String, deadline_ms: u64, pairs: Vec<(String, String)> },
    Hdel { name: String, key: String },
    Hpersist { name: String, key: String },
    Del { name: String },
    Deadline { name: String, deadline_ms: u64 },
    Rename { name: String, to: String },
    Copy { name: String, to: String },
    Transaction(Vec<Op>),
}

/// What a client's names hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    names: BTreeMap<String, Held>,
    /// How often this client has counted in [`SHARED`].
    pub counted: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Held {
    /// 0: none.
    deadline_ms: u64,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    String(String),
    Pairs(BTreeMap<String, Pair>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    value: String,
    /// 0: none.
    deadline_ms: u64,
}

impl Default for Content {
    fn default() -> Self {
        Content::Pairs(BTreeMap::new())
    }
}

fn string_name(client: usize, number: u64) -> String {
    format!("{client}:string:{number}")
}

fn hash_name(client: usize, number: u64) -> String {
    format!("{client}:hash:{number}")
}

/// Holds pairs with deadlines that pass.
fn brief_name(client: usize) -> String {
    format!("{client}:brief")
}

fn count_name(client: usize) -> String {
    format!("{client}:count")
}

fn key(number: u64) -> String {
    format!("key-{number}")
}

impl Op {
    /// A command that the client may send, the `number`th. What it writes tells the number.
    pub fn random(client: usize, number: u64, now_ms: u64, random: &mut Random) -> Op {
        if random.below(6) > 0 {
            return Op::single(client, number, now_ms, random);
        }
        let mut ops = vec![Op::Incr { name: SHARED.to_owned() }];
        // Two writes of the same number in different names: all of it is there, or nothing.
        ops.push(Op::Set { name: string_name(client, 0), value: value(client, number, random) });
        ops.extend((0..1 + random.below(3)).map(|_| Op::single(client, number, now_ms, random)));
        let pairs = vec![(key(0), value(client, number, random))];
        ops.push(Op::Hset { name: hash_name(client, 0), pairs });
        Op::Transaction(ops)
    }

    fn single(client: usize, number: u64, now_ms: u64, random: &mut Random) -> Op {
        let number_of_name = random.below(HASHES);
        let name = hash_name(client, number_of_name);
        let other = hash_name(client, (number_of_name + 1 + random.below(HASHES - 1)) % HASHES);
        let key_of = |random: &mut Random| key(random.below(KEYS));
        match random.below(20) {
            0..5 => {
                let name = string_name(client, random.below(STRINGS));
                Op::Set { name, value: value(client, number, random) }
            }
            5..10 => {
                let pair = |n| (key(n), value(client, number, random));
                let pairs = [0, 2, 3].into_iter().take(1 + number as usize % 3).map(pair).collect();
                Op::Hset { name, pairs }
            }
            10 => Op::Incr { name: count_name(client) },
            11 => Op::Hdel { name, key: key_of(random) },
            12 => Op::Hpersist { name, key: key_of(random) },
            13 => {
                let deadline_ms = now_ms + FAR_MS + random.below(FAR_MS);
                let pairs = vec![(key_of(random), value(client, number, random))];
                Op::Hsetex { name, deadline_ms, pairs }
            }
            14..16 => {
                let deadline_ms = now_ms + random.below(NEAR_MS);
                let pairs = vec![(key_of(random), value(client, number, random))];
                Op::Hsetex { name: brief_name(client), deadline_ms, pairs }
            }
            16 => Op::Deadline { name, deadline_ms: now_ms + FAR_MS + random.below(FAR_MS) },
            17 => Op::Rename { name, to: other },
            18 => Op::Copy { name, to: other },
            _ if random.below(3) == 0 => Op::Del { name },
            _ => Op::Hdel { name, key: key_of(random) },
        }
    }

    /// Appends its requests; returns how many replies they get.
    pub fn push_requests(&self, to: &mut Vec<u8>) -> usize {
        let Op::Transaction(ops) = self else {
            push_request(&self.words().split(' ').collect::<Vec<_>>(), to);
            return 1;
        };
        push_request(&["MULTI"], to);
        let queued: usize = ops.iter().map(|op| op.push_requests(to)).sum();
        push_request(&["EXEC"], to);
        queued + 2
    }

    fn words(&self) -> String {
        let flat = |pairs: &[(String, String)]| -> String {
            pairs.iter().map(|(key, value)| format!(" {key} {value}")).collect()
        };
        match self {
            Op::Set { name, value } => format!("SET {name} {value}"),
            Op::Incr { name } => format!("INCR {name}"),
            Op::Hset { name, pairs } => format!("HSET {name}{}", flat(pairs)),
            Op::Hsetex { name, deadline_ms, pairs } => {
                format!("HSETEX {name} PXAT {deadline_ms} FIELDS {}{}", pairs.len(), flat(pairs))
            }
            Op::Hdel { name, key } => format!("HDEL {name} {key}"),
            Op::Hpersist { name, key } => format!("HPERSIST {name} FIELDS 1 {key}"),
            Op::Del { name } => format!("DEL {name}"),
            Op::Deadline { name, deadline_ms } => format!("PEXPIREAT {name} {deadline_ms}"),
            Op::Rename { name, to } => format!("RENAME {name} {to}"),
            Op::Copy { name, to } => format!("COPY {name} {to} REPLACE"),
            Op::Transaction(_) => panic!("a transaction is several requests"),
        }
    }
}

/// A value that tells who wrote it, and with which of his commands.
fn value(client: usize, number: u64, random: &mut Random) -> String {
    let len = if random.below(50) == 0 { 5000 } else { random.below(40) as usize };
    format!("{client}.{number}.{}", "x".repeat(len))
}

/// Who wrote this value, and with which of his commands.
pub fn written_by(value: &str) -> (usize, u64) {
    let mut parts = value.split('.');
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
    match (number(), number()) {
        (Some(client), Some(number)) => (client as usize, number),
        _ => panic!("nobody wrote this: {value:?}"),
    }
}

/// A request for a value that some client of `clients` may have written.
pub fn random_read(clients: usize, random: &mut Random) -> String {
    let client = random.below(clients as u64) as usize;
    match random.below(2) {
        0 => format!("GET {}", string_name(client, random.below(STRINGS))),
        _ => format!("HGET {} {}", hash_name(client, random.below(HASHES)), key(0)),
    }
}

impl State {
    /// Does what the command does.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Set { name, value } => {
                let held = Held { deadline_ms: 0, content: Content::String(value.clone()) };
                self.names.insert(name.clone(), held);
            }
            Op::Incr { name } if name == SHARED => self.counted += 1,
            Op::Incr { name } => {
                let held = self.names.entry(name.clone()).or_default();
                let before = match &held.content {
                    Content::String(text) => text.parse::<i64>().unwrap(),
                    Content::Pairs(_) => 0,
                };
                held.content = Content::String((before + 1).to_string());
            }
            Op::Hset { name, pairs } => self.put(name, pairs, 0),
            Op::Hsetex { name, deadline_ms, pairs } => self.put(name, pairs, *deadline_ms),
            Op::Hdel { name, key } => {
                if let Some(Content::Pairs(pairs)) = self.content(name) {
                    pairs.remove(key);
                    if pairs.is_empty() {
                        self.names.remove(name);
                    }
                }
            }
            Op::Hpersist { name, key } => {
                if let Some(Content::Pairs(pairs)) = self.content(name)
                    && let Some(pair) = pairs.get_mut(key)
                {
                    pair.deadline_ms = 0;
                }
            }
            Op::Del { name } => drop(self.names.remove(name)),
            Op::Deadline { name, deadline_ms } => {
                if let Some(held) = self.names.get_mut(name) {
                    held.deadline_ms = *deadline_ms;
                }
            }
            Op::Rename { name, to } => {
                if let Some(held) = self.names.remove(name) {
                    self.names.insert(to.clone(), held);
                }
            }
            Op::Copy { name, to } => {
                if let Some(held) = self.names.get(name).cloned() {
                    self.names.insert(to.clone(), held);
                }
            }
            Op::Transaction(ops) => ops.iter().for_each(|op| self.apply(op)),
        }
    }

    fn content(&mut self, name: &str) -> Option<&mut Content> {
        self.names.get_mut(name).map(|held| &mut held.content)
    }

    fn put(&mut self, name: &str, pairs: &[(String, String)], deadline_ms: u64) {
        let held = self.names.entry(name.to_owned()).or_default();
        let Content::Pairs(all) = &mut held.content else { panic!("{name} holds pairs") };
        for (key, value) in pairs {
            all.insert(key.clone(), Pair { value: value.clone(), deadline_ms });
        }
    }

    /// The requests whose replies [`State::seen`] reads.
    pub fn questions(client: usize) -> Vec<String> {
        let keys: Vec<String> = (0..KEYS).map(key).collect();
        let keys = keys.join(" ");
        let mut questions = Vec::new();
        for name in strings(client) {
            questions.extend([format!("GET {name}"), format!("PEXPIRETIME {name}")]);
        }
        for name in hashes(client) {
            questions.extend([
                format!("HMGET {name} {keys}"),
                format!("HPEXPIRETIME {name} FIELDS {KEYS} {keys}"),
                format!("PEXPIRETIME {name}"),
                format!("HLEN {name}"),
            ]);
        }
        questions
    }

    /// What a server says that the client's names hold.
    pub fn seen(client: usize, answers: &[Reply]) -> State {
        let mut state = State::default();
        let mut answers = answers.iter();
        let mut next = || answers.next().unwrap();
        for name in strings(client) {
            let (value, deadline) = (next(), next());
            if let Some(value) = value.bulk() {
                let content = Content::String(value.to_owned());
                state.names.insert(name, Held { deadline_ms: deadline_of(deadline), content });
            }
        }
        for name in hashes(client) {
            let (values, deadlines, deadline, len) = (next(), next(), next(), next().integer());
            let found = values.array().iter().zip(deadlines.array()).zip((0..KEYS).map(key));
            let pairs: BTreeMap<String, Pair> = found
                .filter_map(|((value, deadline), key)| {
                    let value = value.bulk()?.to_owned();
                    Some((key, Pair { value, deadline_ms: deadline_of(deadline) }))
                })
                .collect();
            // HLEN counts what has expired until it is reaped, as Redis does.
            let may_expire = name == brief_name(client);
            assert!(may_expire || len == pairs.len() as i64, "{name}: {len} pairs, but {pairs:?}");
            if !pairs.is_empty() {
                let content = Content::Pairs(pairs);
                state.names.insert(name, Held { deadline_ms: deadline_of(deadline), content });
            }
        }
        state
    }

    /// Whether a server that was asked between these moments may have said `seen`: what expires
    /// meanwhile may be there or not.
    pub fn agrees(&self, seen: &State, from_ms: u64, to_ms: u64) -> bool {
        let names = self.names.keys().chain(seen.names.keys());
        names.into_iter().all(|name| match (self.names.get(name), seen.names.get(name)) {
            (Some(Held { content: Content::Pairs(expected), deadline_ms }), found) => {
                let none = BTreeMap::new();
                let pairs = match found {
                    None => &none,
                    Some(Held { content: Content::Pairs(pairs), deadline_ms: found }) => {
                        if found != deadline_ms {
                            return false;
                        }
                        pairs
                    }
                    Some(_) => return false,
                };
                let keys = expected.keys().chain(pairs.keys());
                keys.into_iter()
                    .all(|key| may_be(expected.get(key), pairs.get(key), from_ms, to_ms))
            }
            (expected, found) => expected == found,
        })
    }

    /// All names that may be there.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.names.keys()
    }
}

fn may_be(expected: Option<&Pair>, found: Option<&Pair>, from_ms: u64, to_ms: u64) -> bool {
    let Some(pair) = expected else { return found.is_none() };
    let is_over = pair.deadline_ms > 0 && pair.deadline_ms + CLOCK_SLACK_MS < from_ms;
    let is_there = pair.deadline_ms == 0 || pair.deadline_ms > to_ms + CLOCK_SLACK_MS;
    match found {
        Some(found) => found == pair && !is_over,
        None => !is_there,
    }
}

/// 0 for none, or nothing to have one.
fn deadline_of(reply: &Reply) -> u64 {
    u64::try_from(reply.integer()).unwrap_or(0)
}

fn strings(client: usize) -> impl Iterator<Item = String> {
    let numbered = (0..STRINGS).map(move |number| string_name(client, number));
    numbered.chain([count_name(client)])
}

fn hashes(client: usize) -> impl Iterator<Item = String> {
    (0..HASHES).map(move |number| hash_name(client, number)).chain([brief_name(client)])
}
