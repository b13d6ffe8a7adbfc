//! Whether two servers' replies to the same command say the same, although they are not the same bytes.
//!
//! Replies without an order are compared sorted, random ones by their shape, times with a tolerance.

use pantry::rdb::dump;

use super::Words;
use super::dressed::{is_script, undressed};
use crate::support::render::{self, Value};

/// What a client has queued since MULTI.
#[derive(Default)]
pub struct Queue(pub Option<Vec<Words>>);

impl Queue {
    /// Keeps account of a command and its reply.
    pub fn follow(&mut self, command: &Words, reply: &Value) {
        let is_ok = *reply == Value::Simple("OK".to_owned());
        match (name_of(command).as_str(), &mut self.0) {
            ("MULTI", None) if is_ok => self.0 = Some(Vec::new()),
            ("EXEC" | "RESET", _) => self.0 = None,
            ("DISCARD", _) if is_ok => self.0 = None,
            (_, Some(queue)) if *reply == Value::Simple("QUEUED".to_owned()) => {
                queue.push(command.clone());
            }
            _ => {}
        }
    }

    /// Whether two replies say the same. Call before [`Queue::follow`].
    pub fn agree(&self, command: &Words, one: &Value, other: &Value, tolerance_ms: i64) -> bool {
        match (name_of(command).as_str(), one, other, &self.0) {
            ("EXEC", Value::Array(one), Value::Array(other), Some(queue)) => {
                let both = one.iter().zip(other).zip(queue);
                one.len() == queue.len()
                    && other.len() == queue.len()
                    && both.into_iter().all(|((one, other), command)| {
                        one == other || agree(command, one, other, tolerance_ms)
                    })
            }
            ("EXEC", ..) => false,
            _ => agree(command, one, other, tolerance_ms),
        }
    }
}

fn agree(command: &Words, one: &Value, other: &Value, tolerance_ms: i64) -> bool {
    if is_script(command) && is_beyond(one) && matches!(other, Value::Integer(i64::MAX | 0)) {
        return true;
    }
    let command = &undressed(command);
    let same_time = |tolerance: i64| match (one, other) {
        (&Value::Integer(a), &Value::Integer(b)) => a > 0 && b > 0 && (a - b).abs() <= tolerance,
        _ => false,
    };
    match name_of(command).as_str() {
        // Each writes the pairs in its own order, and Redis small ones in one piece.
        "DUMP" => dumped(one).is_some() && dumped(one) == dumped(other),
        "KEYS" | "HKEYS" | "HVALS" => sorted(one, false) == sorted(other, false),
        "ACL" => dry_runs_agree(command, one, other),
        "PUBSUB" => sorted(one, false) == sorted(other, false),
        "NAMESPACE" => sorted(one, false) == sorted(other, false),
        "HGETALL" => sorted(one, true) == sorted(other, true),
        "PTTL" | "PEXPIRETIME" => same_time(tolerance_ms),
        "TTL" | "EXPIRETIME" => same_time(tolerance_ms / 1000),
        // Redis's small integers are one object for all names, which was last used at any time.
        "OBJECT" => matches!((one, other), (Value::Integer(_), Value::Integer(_))),
        // Names that have run out are counted until they are freed, each in its time.
        "DBSIZE" if tolerance_ms > 0 => {
            matches!((one, other), (Value::Integer(a), Value::Integer(b)) if a.abs_diff(*b) < 4)
        }
        "DBSIZE" => matches!((one, other), (Value::Integer(_), Value::Integer(_))),
        // Redis 7.0 looks at the range only if there is a string.
        "BITCOUNT" | "BITPOS" => {
            matches!((one, other), (Value::Integer(_) | Value::Error(_), Value::Error(_)))
        }
        // Redis 7.0 gives the first byte when the end lies before it.
        "GETRANGE" | "SUBSTR" => match (one, other) {
            (Value::Bulk(one), Value::Bulk(other)) => one.len() == 1 && other.is_empty(),
            _ => false,
        },
        "RANDOMKEY" => matches!((one, other), (Value::Bulk(_), Value::Bulk(_))),
        "HRANDFIELD" => shape(one) == shape(other),
        "SCAN" | "HSCAN" => scans_agree(command, one, other),
        _ => match (one, other) {
            // Redis's texts end at a zero byte, and pantry's hold no bytes that are no text.
            (Value::Error(one), Value::Error(other)) => {
                other.split('\0').next().is_some_and(|start| one.starts_with(start))
            }
            _ => false,
        },
    }
}

/// Redis 7.0 does not say which user, its texts end at a zero byte, and where PFMERGE has no source it looks at no key.
fn dry_runs_agree(command: &Words, one: &Value, other: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::Bulk(text) => {
            let text = String::from_utf8_lossy(text);
            text.split_once(" has no ").map(|(_, rest)| rest.to_owned())
        }
        _ => None,
    };
    match (text(one), text(other)) {
        (Some(one), Some(other)) => {
            let is_whole = !other.contains('\0');
            one == other || !is_whole && one.contains("the '' key")
        }
        (None, Some(_)) => command[3..].len() == 2 && command[3].eq_ignore_ascii_case(b"PFMERGE"),
        _ => false,
    }
}

/// What Redis makes of a script's number that is beyond an integer, or none: C leaves it open, and the processor decides.
fn is_beyond(value: &Value) -> bool {
    *value == Value::Integer(i64::MIN)
}

/// What a payload holds, sorted.
fn dumped(value: &Value) -> Option<Vec<String>> {
    let Value::Bulk(payload) = value else { return None };
    let mut lines = match dump::read(payload).ok()? {
        dump::Value::String(string) => vec![string.escape_ascii().to_string()],
        dump::Value::Hash(pairs) => pairs.iter().map(|pair| format!("{pair:?}")).collect(),
    };
    lines.sort();
    Some(lines)
}

fn scans_agree(command: &Words, one: &Value, other: &Value) -> bool {
    // Redis 7.0 takes any word for a type.
    let unknown_type =
        |value: &Value| matches!(value, Value::Error(text) if text.contains("unknown type name"));
    if unknown_type(other) {
        return true;
    }
    let in_pairs = name_of(command) == "HSCAN";
    let cursor = &command[if in_pairs { 2 } else { 1 }];
    // Redis 7.0 has no NOVALUES, and reads what is no number as a cursor in a way of its own.
    let is_number = cursor.first().is_some_and(u8::is_ascii_digit);
    if !is_number || command.iter().any(|arg| arg.eq_ignore_ascii_case(b"NOVALUES")) {
        return true;
    }
    let parts = |value: &Value| match value {
        Value::Array(parts) if parts.len() == 2 => {
            Some((parts[0].clone(), sorted(&parts[1], in_pairs)))
        }
        _ => None,
    };
    let (Some(one), Some(other)) = (parts(one), parts(other)) else { return false };
    let is_all = |reply: &Value| cursor == b"0" && *reply == Value::Bulk(b"0".to_vec());
    // A part of the whole may be any part.
    !(is_all(&one.0) && is_all(&other.0)) || one.1 == other.1
}

fn sorted(value: &Value, in_pairs: bool) -> Value {
    let mut value = value.clone();
    render::sort(&mut value, in_pairs);
    value
}

/// What a reply is made of, without the strings.
fn shape(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(shape).collect::<String>()),
        Value::Bulk(_) => "b".to_owned(),
        other => format!("{other:?}"),
    }
}

/// In upper case, without the subcommand.
pub fn name_of(command: &Words) -> String {
    String::from_utf8_lossy(&command[0]).to_uppercase()
}

/// A command from its words.
pub fn words(words: &[&[u8]]) -> Words {
    words.iter().map(|word| word.to_vec()).collect()
}

/// A command as people read it.
pub fn shown(command: &Words) -> String {
    let word = |word: &Vec<u8>| format!("\"{}\"", word.escape_ascii());
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A scan that gets everything in one call, mostly: its parts are each server's own matter.
pub fn whole_scan(mut command: Words, is_whole: bool) -> Words {
    if is_whole && matches!(name_of(&command).as_str(), "SCAN" | "HSCAN") {
        command.extend([b"COUNT".to_vec(), b"100000".to_vec()]);
    }
    command
}
