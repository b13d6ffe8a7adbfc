//! Random commands, made from the syntax lines of the command table: mostly right, sometimes wrong.
//!
//! What a command's arguments are called decides what they are like. A new command is generated as
//! soon as it has a row. Tests nothing itself.
#![allow(dead_code)]

pub mod agree;
pub mod dressed;

use pantry::command::syntax::{self, Item, Kind};
use pantry::command::{Spec, table};
use pantry::rdb::dump;
use pantry::rdb::pairs::PairBuffer;

use crate::oracle::Random;

/// One command: its name and arguments.
pub type Words = Vec<Vec<u8>>;

/// Names and keys are few, so that commands meet.
const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"d",
    b"n1",
    b"n2",
    b"name:3",
    b"",
    b"\x00\xff",
    b"long-name-of-a-namespace",
];
const KEYS: &[&[u8]] = &[b"f", b"g", b"h", b"k1", b"k2", b"k3", b"", b"\r\n", b"key:4"];
/// Names of HyperLogLogs.
pub const COUNTERS: &[&[u8]] = &[b"hll:1", b"hll:2", b"hll:3"];
const WIDTHS: &[&[u8]] =
    &[b"u1", b"u4", b"u8", b"u31", b"u63", b"i1", b"i5", b"i8", b"i33", b"i64", b"u64", b"i0"];
const PATTERNS: &[&[u8]] =
    &[b"*", b"k*", b"?", b"[a-d]", b"[^a-d]*", b"n[12]", b"*e*", b"", b"a", b"\\", b"[", b"k\\1"];
const TYPES: &[&[u8]] = &[b"string", b"hash", b"HASH", b"list"];
const CHANNELS: &[&[u8]] = &[b"news:1", b"news:2", b"shard:1", b""];
/// What stands where it should not.
const JUNK: &[&[u8]] = &[
    b"",
    b"x",
    b"NX",
    b"GET",
    b"nx",
    b"FIELDS",
    // As a lifetime it is neither over soon, nor much as an offset.
    b"600000",
    b"-1",
    b"0",
    b"3.5",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"99999999999999999999",
    b" 1",
    b"+1",
    b"inf",
    b"nan",
    b"EX",
    b"PX",
    b"COUNT",
    b"MATCH",
    b"KEEPTTL",
    b"WITHVALUES",
    b"\x00",
];

/// A clock that moves in steps of this never reaches the very millisecond at which something ends, within which Redis
/// still has a name and pantry has not.
pub const STEP_MS: i64 = 37;

const LARGEST: &[u8] = b"9223372036854775807";

/// How long what is given a lifetime lives.
#[derive(Clone, Copy, PartialEq)]
pub enum Lifetimes {
    /// Longer than any test runs; no two are nearly equal.
    Long,
    /// Some milliseconds.
    Short,
}

/// Makes commands.
pub struct Generator {
    pub random: Random,
    pub lifetimes: Lifetimes,
    /// The moment of absolute times, in unix ms.
    pub now_ms: u64,
    /// Whether payloads for RESTORE have deadlines of fields.
    pub field_deadlines: bool,
    /// How many commands of a hundred are wrong on purpose.
    pub wrong_percent: usize,
    specs: Vec<(&'static Spec, Vec<Item>)>,
    weights: Vec<usize>,
}

impl Generator {
    /// Of commands for which `weight` is not 0.
    pub fn new(seed: u64, lifetimes: Lifetimes, weight: impl Fn(&Spec) -> usize) -> Generator {
        let chosen = || table().specs.iter().filter(|spec| weight(spec) > 0);
        Generator {
            random: Random::new(seed),
            lifetimes,
            now_ms: 0,
            field_deadlines: lifetimes == Lifetimes::Short,
            wrong_percent: 12,
            specs: chosen().map(|spec| (spec, syntax::parse(spec.command.syntax))).collect(),
            weights: chosen().map(&weight).collect(),
        }
    }

    /// Any command.
    pub fn command(&self) -> Words {
        let mut rank = self.random.below(self.weights.iter().sum());
        let mut which = 0;
        while rank >= self.weights[which] {
            rank -= self.weights[which];
            which += 1;
        }
        let (spec, items) = &self.specs[which];
        self.fill(spec, items)
    }

    /// The command with this name (upper case), which must be among those generated.
    pub fn command_named(&self, name: &str) -> Words {
        let found = self.specs.iter().find(|(spec, _)| spec.command.name == name);
        let (spec, items) = found.expect("not generated");
        self.fill(spec, items)
    }

    /// The same, now and then inside a script or an ACL DRYRUN; or a script instead.
    pub fn dressed(&self, command: Words) -> Words {
        let random = &self.random;
        match random.below(100) {
            0..=5 => dressed::in_script(random, command),
            6..=8 => dressed::script(random, random.pick(NAMES), [self.value(), self.value()]),
            9 => dressed::dry_run(random, command),
            _ => command,
        }
    }

    fn fill(&self, spec: &Spec, items: &[Item]) -> Words {
        let mut words: Words = spec.command.name.split(' ').map(|word| self.cased(word)).collect();
        self.sequence(items, &mut words);
        self.count_fields(spec, &mut words);
        self.adjust(spec, &mut words);
        if self.random.below(100) < self.wrong_percent {
            let fixed = spec.command.name.split(' ').count();
            self.spoil(fixed, &mut words);
        }
        // Redis adds this to the time without looking whether it fits.
        if spec.command.name == "RESTORE" && words.get(2).is_some_and(|ttl| ttl == LARGEST) {
            words[2] = number(0);
        }
        words
    }

    fn sequence(&self, items: &[Item], words: &mut Words) {
        for item in items {
            if item.is_optional && self.random.below(100) >= 35 {
                continue;
            }
            let times = if item.is_multiple { 1 + self.random.below(4) } else { 1 };
            for time in 0..times {
                if let Some(token) = item.token.filter(|_| time == 0 || item.repeats_token) {
                    words.push(self.cased(token));
                }
                match &item.kind {
                    Kind::Argument(name) => words.push(self.argument(name)),
                    Kind::Token => {}
                    Kind::OneOf(choices) => {
                        let choice = self.random.below(choices.len());
                        self.sequence(&choices[choice..=choice], words);
                    }
                    Kind::Block(items) => self.sequence(items, words),
                }
            }
        }
    }

    /// Mostly as it is.
    fn cased(&self, word: &str) -> Vec<u8> {
        match self.random.below(10) {
            0 => word.to_ascii_lowercase(),
            1 => word
                .chars()
                .map(|c| if self.random.below(2) == 0 { c.to_ascii_lowercase() } else { c })
                .collect(),
            _ => word.to_owned(),
        }
        .into_bytes()
    }

    /// `numfields` says how many fields follow.
    fn count_fields(&self, spec: &Spec, words: &mut Words) {
        let Some(at) = words.iter().position(|word| word == b"numfields") else { return };
        let width = if spec.command.syntax.contains("field value") { 2 } else { 1 };
        let count = (words.len() - at - 1) / width;
        words[at] = count.to_string().into_bytes();
    }

    /// What the words' names do not say.
    fn adjust(&self, spec: &Spec, words: &mut Words) {
        match spec.family.group {
            // Their counts are kept in the value, and runs may be laid out differently: no other command
            // is to see them.
            "hyperloglog" => {
                let names = 1..if spec.command.name == "PFADD" { 2 } else { words.len() };
                for word in names {
                    words[word] = self.random.pick(COUNTERS).to_vec();
                }
            }
            "bitmap" if spec.command.name == "SETBIT" => {
                words[3] = number(self.random.between(0, 1))
            }
            _ => {}
        }
    }

    fn argument(&self, name: &str) -> Vec<u8> {
        let random = &self.random;
        match name {
            "key" | "key1" | "key2" | "newkey" | "source" | "destination" | "destkey"
            | "sourcekey" | "namespace" => random.pick(NAMES).to_vec(),
            "element" => self.value(),
            "encoding" => random.pick(WIDTHS).to_vec(),
            "bit" => number(random.between(0, 1)),
            "min-match-len" => number(random.between(-1, 4)),
            "field" => random.pick(KEYS).to_vec(),
            "numfields" => b"numfields".to_vec(),
            "value" | "message" => self.value(),
            "channel" | "shardchannel" => random.pick(CHANNELS).to_vec(),
            "increment" | "decrement" => self.increment(),
            "serialized-value" => self.payload(),
            "ttl" if random.below(2) == 0 => number(0),
            "ttl" => number(self.lifetime_ms()),
            "seconds" => number(self.lifetime_ms() / 1000),
            "milliseconds" => number(self.lifetime_ms()),
            "unix-time-seconds" => number(self.unix_time_s()),
            "unix-time-milliseconds" => number(self.now_ms as i64 + self.lifetime_ms()),
            "start" | "end" => number(random.between(-12, 12)),
            "offset" => number(random.between(0, 90)),
            "count" => number(random.between(-12, 20)),
            "cursor" => b"0".to_vec(),
            "pattern" => random.pick(PATTERNS).to_vec(),
            "type" => random.pick(TYPES).to_vec(),
            "index" | "index1" | "index2" | "db" | "destination-db" => {
                number([0, 0, 0, 1, 1, 2, 15][random.below(7)])
            }
            _ => random.pick(JUNK).to_vec(),
        }
    }

    /// What DUMP may return.
    fn payload(&self) -> Vec<u8> {
        if self.random.below(2) == 0 {
            return dump::string(&self.value());
        }
        let mut pairs = PairBuffer::default();
        for key in &KEYS[..1 + self.random.below(KEYS.len() - 1)] {
            let has_deadline = self.field_deadlines && self.random.below(4) == 0;
            let deadline_ms = has_deadline.then(|| self.now_ms + self.random.below(2000) as u64);
            pairs.push(key, &self.value(), deadline_ms);
        }
        dump::hash(&pairs)
    }

    fn value(&self) -> Vec<u8> {
        let random = &self.random;
        match random.below(12) {
            0..=3 => random.between(-20, 10_010).to_string().into_bytes(),
            4 => random.pick(&[i64::MAX, i64::MIN, i64::MAX - 5, 1 << 53]).to_string().into_bytes(),
            5 => format!("{}.{}", random.between(-99, 99), random.below(1000)).into_bytes(),
            6 => random.pick(JUNK).to_vec(),
            7 => random.bytes(&(0..=255).collect::<Vec<u8>>(), random.below(20)),
            8 => random.bytes(b"long", 30 + random.below(60)),
            _ => random.bytes(b"abcxyz", 1 + random.below(8)),
        }
    }

    fn increment(&self) -> Vec<u8> {
        let random = &self.random;
        match random.below(8) {
            0..=4 => random.between(-50, 50).to_string(),
            5 => format!("{}.{}", random.between(-9, 9), random.below(100)),
            6 => format!("{}e{}", random.between(-9, 9), random.between(-4, 20)),
            _ => random.pick(&[i64::MAX, i64::MIN]).to_string(),
        }
        .into_bytes()
    }

    /// None that a step of the clock meets: at that very moment Redis still shows what ends then.
    fn unix_time_s(&self) -> i64 {
        let seconds = (self.now_ms as i64 + self.lifetime_ms()) / 1000;
        let left_ms = seconds.saturating_mul(1000).saturating_sub(self.now_ms as i64);
        seconds + i64::from(left_ms % STEP_MS == 0)
    }

    fn lifetime_ms(&self) -> i64 {
        let random = &self.random;
        match (self.lifetimes, random.below(20)) {
            (_, 0) => random.between(-5000, 0),
            (_, 1) => random.pick(&[i64::MAX, i64::MIN, i64::MAX / 1000]) / 2,
            (Lifetimes::Long, _) => random.between(20_000_000, 90_000_000_000),
            (Lifetimes::Short, 2..=11) => {
                let ms = random.between(1, 60);
                ms + i64::from(ms % STEP_MS == 0)
            }
            (Lifetimes::Short, _) => random.between(1, 4) * 1000,
        }
    }

    /// Makes it wrong, perhaps; `fixed` words at the start stay.
    fn spoil(&self, fixed: usize, words: &mut Words) {
        let random = &self.random;
        for _ in 0..=random.below(2) {
            let len = words.len();
            let at = fixed + random.below(len - fixed + 1);
            match random.below(5) {
                0 if at < len => drop(words.remove(at)),
                1 if at < len => words.insert(at, words[at].clone()),
                2 if at < len => words[at] = random.pick(JUNK).to_vec(),
                3 => words.insert(at, random.pick(JUNK).to_vec()),
                _ => words.push(random.pick(JUNK).to_vec()),
            }
        }
    }
}

fn number(n: i64) -> Vec<u8> {
    n.to_string().into_bytes()
}
