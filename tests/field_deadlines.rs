//! The commands for deadlines of fields, which Redis 7.0 lacks, against a model: maps whose entries say
//! when they end. Time passes by hand, and reaping happens at any time or not at all.
//!
//! `MODEL_STEPS` says how many commands and makes every run another; `MODEL_SEED` repeats a run.
#![allow(clippy::unwrap_used)]

mod oracle;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use oracle::Random;
use pantry::journal::Journal;
use support::render::{self, Value};
use support::{Harness, START_MS, dump};

const STEPS: usize = 30_000;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const FIELDS: [&str; 6] = ["f", "g", "h", "i", "j", "k"];
/// Options that say when, in what unit, and whether counted from now.
const TIMES: [(&str, u64, bool); 4] =
    [("EX", 1000, true), ("PX", 1, true), ("EXAT", 1000, false), ("PXAT", 1, false)];

#[test]
fn fields_live_as_long_as_they_should() {
    let steps = std::env::var("MODEL_STEPS").map_or(STEPS, |text| text.parse().unwrap());
    let seed = oracle::seed("MODEL_SEED", "MODEL_STEPS");
    let random = Random::new(seed);
    let mut harness = Harness::new(Journal::discarding());
    let mut model = Model { now_ms: START_MS, names: BTreeMap::new() };
    let mut log: Vec<String> = Vec::new();
    let mut names = 0;
    for step in 0..steps {
        if random.below(20) == 0 {
            let by_ms = random.between(1, 700) as u64;
            model.now_ms += by_ms;
            harness.advance(Duration::from_millis(by_ms));
            log.push(format!("clock +{by_ms}ms"));
        }
        // A name of which all fields ran out is there until it is reaped, as in Redis: also when what
        // had not run out was deleted.
        if model.expire() || model.names.len() < names || random.below(50) == 0 {
            harness.reap();
        }
        names = model.names.len();
        let (command, expected) = model.step(&random);
        let words: Vec<Vec<u8>> = command.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let reply = harness.execute("a", &words);
        let mut actual = render::decode(&mut &reply[..]);
        if command.starts_with("HGETALL") {
            render::sort(&mut actual, true);
        }
        log.push(command);
        if log.len() > 200 {
            log.drain(..100);
        }
        let last = &log[log.len().saturating_sub(25)..];
        assert_eq!(actual, expected, "MODEL_SEED={seed} step {step}:\n{}", last.join("\n"));
        if step % 50 == 0 {
            let store = dump(&harness.server.store, model.now_ms);
            assert_eq!(store, model.dump(), "MODEL_SEED={seed} step {step}:\n{}", last.join("\n"));
        }
    }
}

/// What there should be.
struct Model {
    now_ms: u64,
    names: BTreeMap<&'static str, Name>,
}

#[derive(Clone)]
struct Name {
    deadline_ms: Option<u64>,
    value: Content,
}

#[derive(Clone)]
enum Content {
    String(String),
    Fields(BTreeMap<&'static str, Field>),
}

#[derive(Clone)]
struct Field {
    value: String,
    deadline_ms: Option<u64>,
}

/// What HSETEX and HGETEX make of a deadline.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    None,
    Keep,
    Persist,
    At(u64),
}

impl Model {
    /// `true` if a name went with its last field.
    fn expire(&mut self) -> bool {
        let now_ms = self.now_ms;
        let is_over = |deadline_ms: Option<u64>| deadline_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let mut emptied = false;
        self.names.retain(|_, name| {
            if let Content::Fields(fields) = &mut name.value {
                fields.retain(|_, field| !is_over(field.deadline_ms));
                emptied |= fields.is_empty();
            }
            !is_over(name.deadline_ms) && !name.is_empty()
        });
        emptied
    }

    /// A random command, done here, and the reply it should have.
    fn step(&mut self, random: &Random) -> (String, Value) {
        let name = random.pick(&NAMES);
        match random.below(24) {
            0..=3 => self.hset(name, random),
            4..=6 => self.hsetex(name, random),
            7..=11 => self.hexpire(name, random),
            12..=14 => self.deadlines(name, random),
            15 => self.hpersist(name, random),
            16..=17 => self.hgetex(name, random),
            18 => self.take(name, random),
            19..=20 => self.read(name, random),
            21 => self.hincrby(name, random),
            22 => self.whole_name(name, random),
            _ => self.set_at_another(name, random),
        }
    }

    fn hset(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let pairs = some_pairs(random);
        let command = format!("HSET {name} {}", spread(&pairs));
        let reply = self.with_fields(name, |fields, _| {
            let mut created = 0;
            for (key, value) in pairs {
                created += i64::from(!fields.contains_key(key));
                fields.insert(key, Field { value, deadline_ms: None });
            }
            Value::Integer(created)
        });
        (command, reply)
    }

    fn hsetex(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let pairs = some_pairs(random);
        let (condition, must_exist) =
            random.pick(&[("", None), ("", None), (" FNX", Some(false)), (" FXX", Some(true))]);
        let (option, change) =
            self.change(random, &[("", Change::None), (" KEEPTTL", Change::Keep)]);
        let (count, spread) = (pairs.len(), spread(&pairs));
        let command = format!("HSETEX {name}{condition}{option} FIELDS {count} {spread}");
        let reply = self.with_fields(name, |fields, now_ms| {
            if must_exist
                .is_some_and(|must| pairs.iter().any(|(key, _)| fields.contains_key(key) != must))
            {
                return Value::Integer(0);
            }
            for (key, value) in &pairs {
                let old_ms = fields.get(key).and_then(|field| field.deadline_ms);
                let deadline_ms = match change {
                    Change::At(at_ms) => Some(at_ms),
                    Change::Keep => old_ms,
                    Change::None | Change::Persist => None,
                };
                fields.insert(key, Field { value: value.clone(), deadline_ms });
            }
            fields.retain(|_, field| field.deadline_ms.is_none_or(|at_ms| at_ms > now_ms));
            Value::Integer(1)
        });
        (command, reply)
    }

    fn hexpire(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let (option, at_ms, amount) = self.moment(random);
        let command = match option {
            "EX" => "HEXPIRE",
            "PX" => "HPEXPIRE",
            "EXAT" => "HEXPIREAT",
            _ => "HPEXPIREAT",
        };
        let condition = random.pick(&["", "", " NX", " XX", " GT", " LT"]);
        let keys = some_keys(random);
        let words = format!(
            "{command} {name} {amount}{condition} FIELDS {} {}",
            keys.len(),
            keys.join(" ")
        );
        let reply = self.each_key(name, &keys, |fields, key, now_ms| {
            let Some(field) = fields.get_mut(key) else { return -2 };
            let old_ms = field.deadline_ms;
            let is_met = match condition {
                " NX" => old_ms.is_none(),
                " XX" => old_ms.is_some(),
                " GT" => old_ms.is_some_and(|old_ms| at_ms > old_ms),
                " LT" => old_ms.is_none_or(|old_ms| at_ms < old_ms),
                _ => true,
            };
            if !is_met {
                return 0;
            }
            field.deadline_ms = Some(at_ms);
            if at_ms > now_ms {
                return 1;
            }
            fields.remove(key);
            2
        });
        (words, reply)
    }

    fn deadlines(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let command = random.pick(&["HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME"]);
        let keys = some_keys(random);
        let words = format!("{command} {name} FIELDS {} {}", keys.len(), keys.join(" "));
        let reply = self.each_key(name, &keys, |fields, key, now_ms| {
            let Some(field) = fields.get(key) else { return -2 };
            let Some(at_ms) = field.deadline_ms else { return -1 };
            let ms = if command.ends_with("TTL") { at_ms - now_ms } else { at_ms };
            let is_in_ms = command.starts_with("HP");
            (if is_in_ms { ms } else { ms.div_ceil(1000) }) as i64
        });
        (words, reply)
    }

    fn hpersist(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let keys = some_keys(random);
        let words = format!("HPERSIST {name} FIELDS {} {}", keys.len(), keys.join(" "));
        let reply = self.each_key(name, &keys, |fields, key, _| match fields.get_mut(key) {
            None => -2,
            Some(field) => field.deadline_ms.take().map_or(-1, |_| 1),
        });
        (words, reply)
    }

    fn hgetex(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let keys = some_keys(random);
        let (option, change) =
            self.change(random, &[("", Change::None), (" PERSIST", Change::Persist)]);
        let words = format!("HGETEX {name}{option} FIELDS {} {}", keys.len(), keys.join(" "));
        let reply = self.with_fields(name, |fields, now_ms| {
            let each = keys.iter().map(|key| {
                let Some(field) = fields.get_mut(key) else { return Value::Null };
                match change {
                    Change::At(at_ms) => field.deadline_ms = Some(at_ms),
                    Change::Persist => field.deadline_ms = None,
                    Change::None | Change::Keep => {}
                }
                let value = bulk(&field.value);
                if field.deadline_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                    fields.remove(key);
                }
                value
            });
            Value::Array(each.collect())
        });
        (words, reply)
    }

    fn take(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let keys = some_keys(random);
        if random.below(2) == 0 {
            let words = format!("HGETDEL {name} FIELDS {} {}", keys.len(), keys.join(" "));
            let reply = self.with_fields(name, |fields, _| {
                let take = |key: &&'static str| {
                    fields.remove(*key).map_or(Value::Null, |field| bulk(&field.value))
                };
                Value::Array(keys.iter().map(take).collect())
            });
            return (words, reply);
        }
        let words = format!("HDEL {name} {}", keys.join(" "));
        let reply = self.with_fields(name, |fields, _| {
            Value::Integer(keys.iter().filter(|key| fields.remove(**key).is_some()).count() as i64)
        });
        (words, reply)
    }

    fn read(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let keys = some_keys(random);
        match random.below(3) {
            0 => {
                let reply = self.with_fields(name, |fields, _| {
                    let pair = |(key, field): (&&str, &Field)| [bulk(key), bulk(&field.value)];
                    Value::Array(fields.iter().flat_map(pair).collect())
                });
                (format!("HGETALL {name}"), reply)
            }
            1 => {
                let reply = self.with_fields(name, |fields, _| {
                    let get = |key: &&str| {
                        fields.get(key).map_or(Value::Null, |field| bulk(&field.value))
                    };
                    Value::Array(keys.iter().map(get).collect())
                });
                (format!("HMGET {name} {}", keys.join(" ")), reply)
            }
            _ => {
                let reply = self.with_fields(name, |fields, _| {
                    Value::Integer(i64::from(fields.contains_key(keys[0])))
                });
                (format!("HEXISTS {name} {}", keys[0]), reply)
            }
        }
    }

    /// Keeps the deadline; that only "n" holds numbers keeps it simple.
    fn hincrby(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let by = random.between(-9, 9);
        let reply = self.with_fields(name, |fields, _| {
            let field =
                fields.entry("n").or_insert(Field { value: "0".to_owned(), deadline_ms: None });
            let sum = field.value.parse::<i64>().unwrap() + by;
            field.value = sum.to_string();
            Value::Integer(sum)
        });
        (format!("HINCRBY {name} n {by}"), reply)
    }

    fn whole_name(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let now_ms = self.now_ms;
        match random.below(6) {
            0 => {
                let existed = self.names.remove(name).is_some();
                (format!("DEL {name}"), Value::Integer(i64::from(existed)))
            }
            1 => {
                let ms = random.between(1, 3000);
                let entry = self.names.get_mut(name);
                let is_there =
                    entry.map(|entry| entry.deadline_ms = Some(now_ms + ms as u64)).is_some();
                (format!("PEXPIRE {name} {ms}"), Value::Integer(i64::from(is_there)))
            }
            2 => {
                let had = self.names.get_mut(name).and_then(|entry| entry.deadline_ms.take());
                (format!("PERSIST {name}"), Value::Integer(i64::from(had.is_some())))
            }
            3..=4 => {
                let reply = match self.names.get(name).map(|entry| entry.deadline_ms) {
                    None => -2,
                    Some(None) => -1,
                    Some(Some(at_ms)) => (at_ms - now_ms) as i64,
                };
                (format!("PTTL {name}"), Value::Integer(reply))
            }
            _ => {
                let value = Content::String("text".to_owned());
                self.names.insert(name, Name { deadline_ms: None, value });
                (format!("SET {name} text"), Value::Simple("OK".to_owned()))
            }
        }
    }

    fn set_at_another(&mut self, name: &'static str, random: &Random) -> (String, Value) {
        let to = random.pick(&NAMES);
        let is_copy = random.below(2) == 0 && name != to;
        let entry = self.names.get(name).cloned();
        let is_there = entry.is_some();
        if let Some(entry) = entry {
            if !is_copy {
                self.names.remove(name);
            }
            self.names.insert(to, entry);
        }
        if is_copy {
            return (format!("COPY {name} {to} REPLACE"), Value::Integer(i64::from(is_there)));
        }
        let no_such = Value::Error("ERR no such key".to_owned());
        let reply = if is_there { Value::Simple("OK".to_owned()) } else { no_such };
        (format!("RENAME {name} {to}"), reply)
    }

    /// A moment, mostly to come, as an option and its amount.
    fn moment(&self, random: &Random) -> (&'static str, u64, u64) {
        let (option, unit_ms, is_relative) = random.pick(&TIMES);
        let base_ms = if is_relative { 0 } else { self.now_ms };
        let amount = match random.below(12) {
            0 => base_ms / unit_ms,
            1 if !is_relative => (base_ms - 1000) / unit_ms,
            _ => (base_ms + random.between(1, 4000) as u64) / unit_ms,
        };
        let from_ms = if is_relative { self.now_ms } else { 0 };
        (option, from_ms + amount * unit_ms, amount)
    }

    /// One of `others`, or an option that sets a deadline.
    fn change(&self, random: &Random, others: &[(&str, Change)]) -> (String, Change) {
        if random.below(2) == 0 {
            let (option, change) = random.pick(others);
            return (option.to_owned(), change);
        }
        let (option, at_ms, amount) = self.moment(random);
        (format!(" {option} {amount}"), Change::At(at_ms))
    }

    fn each_key(
        &mut self,
        name: &'static str,
        keys: &[&'static str],
        mut act: impl FnMut(&mut BTreeMap<&'static str, Field>, &'static str, u64) -> i64,
    ) -> Value {
        self.with_fields(name, |fields, now_ms| {
            Value::Array(keys.iter().map(|key| Value::Integer(act(fields, key, now_ms))).collect())
        })
    }

    /// Acts on the fields of a name; none, if there is no such name.
    fn with_fields(
        &mut self,
        name: &'static str,
        act: impl FnOnce(&mut BTreeMap<&'static str, Field>, u64) -> Value,
    ) -> Value {
        let new = || Name { deadline_ms: None, value: Content::Fields(BTreeMap::new()) };
        let entry = self.names.entry(name).or_insert_with(new);
        let Content::Fields(fields) = &mut entry.value else {
            let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
            return Value::Error(text.to_owned());
        };
        let reply = act(fields, self.now_ms);
        if fields.is_empty() {
            self.names.remove(name);
        }
        reply
    }

    /// As [`dump`] shows it.
    fn dump(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, entry) in &self.names {
            let deadline_ms = entry.deadline_ms;
            match &entry.value {
                Content::String(text) => {
                    lines.push(format!("0 {name} = {text} {:?}", Some(deadline_ms)))
                }
                Content::Fields(fields) => {
                    lines.push(format!("0 {name} {deadline_ms:?} kept=false"));
                    lines.extend(fields.iter().map(|(key, field)| {
                        format!("0 {name} / {key} = {} {:?}", field.value, field.deadline_ms)
                    }));
                }
            }
        }
        lines.sort();
        lines
    }
}

impl Name {
    fn is_empty(&self) -> bool {
        matches!(&self.value, Content::Fields(fields) if fields.is_empty())
    }
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

fn some_keys(random: &Random) -> Vec<&'static str> {
    (0..=random.below(3)).map(|_| random.pick(&FIELDS)).collect()
}

fn some_pairs(random: &Random) -> Vec<(&'static str, String)> {
    some_keys(random).into_iter().map(|key| (key, format!("v{}", random.below(1000)))).collect()
}

fn spread(pairs: &[(&'static str, String)]) -> String {
    pairs.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(" ")
}
