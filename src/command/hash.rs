//! The hash family without expiry: a Redis hash is a namespace, its fields are the namespace's keys.
//!
//! Expiry of fields is in `hash_expiry`, random fields in `hash_random`; namespaces with Butler's
//! semantics are in `namespace`.

use super::args::{Cursor, integer};
use super::hash_random::hrandfield;
use super::{Command, Family};
use crate::error::{Error, Result};
use crate::glob::glob_match;
use crate::journal::effect::Cause;
use crate::number::{self, LongDouble};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::shared::Value;
use crate::store::view::{Pair, Pairs};
use crate::store::{NewDeadline, View};

/// The family.
pub const FAMILY: Family = Family { group: "hash", category: "hash", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::write("HDEL", "key field [field ...]", hdel)
        .about("2.0.0", "Deletes fields of a hash, and the hash with its last field.")
        .fast(),
    Command::read("HEXISTS", "key field", hexists)
        .about("2.0.0", "Determines whether a field exists in a hash.")
        .fast(),
    Command::read("HGET", "key field", hget)
        .about("2.0.0", "Returns the value of a field in a hash.")
        .fast(),
    Command::read("HGETALL", "key", hgetall)
        .about("2.0.0", "Returns all fields and values in a hash."),
    Command::write("HINCRBY", "key field increment", hincrby)
        .about("2.0.0", "Adds to the integer value of a field, which is 0 if there is none.")
        .fast()
        .denies_oom(),
    Command::write("HINCRBYFLOAT", "key field increment", hincrbyfloat)
        .about("2.6.0", "Adds to the floating point value of a field, which is 0 if there is none.")
        .fast()
        .denies_oom(),
    Command::read("HKEYS", "key", hkeys).about("2.0.0", "Returns all fields in a hash."),
    Command::read("HLEN", "key", hlen)
        .about("2.0.0", "Returns the number of fields in a hash.")
        .fast(),
    Command::read("HMGET", "key field [field ...]", hmget)
        .about("2.0.0", "Returns the values of the given fields in a hash.")
        .fast(),
    Command::write("HMSET", "key field value [field value ...]", hmset)
        .about("2.0.0", "Sets the values of multiple fields.")
        .fast()
        .denies_oom()
        .puts_pairs(),
    Command::read("HRANDFIELD", "key [count [WITHVALUES]]", hrandfield)
        .about("6.2.0", "Returns one or more random fields from a hash."),
    Command::read("HSCAN", "key cursor [MATCH pattern] [COUNT count] [NOVALUES]", hscan)
        .about("2.8.0", "Iterates over fields and values of a hash."),
    Command::write("HSET", "key field value [field value ...]", hset)
        .about("2.0.0", "Creates or modifies the values of fields in a hash.")
        .fast()
        .denies_oom()
        .puts_pairs(),
    Command::write("HSETNX", "key field value", hsetnx)
        .about("2.0.0", "Sets the value of a field in a hash only when the field doesn't exist.")
        .fast()
        .denies_oom(),
    Command::read("HSTRLEN", "key field", hstrlen)
        .about("3.2.0", "Returns the length of the value of a field.")
        .fast(),
    Command::read("HVALS", "key", hvals).about("2.0.0", "Returns all values in a hash."),
];

fn hdel(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let mut deleted = 0;
    for key in args.iter().skip(2) {
        deleted += i64::from(view.delete_pair(name, key, Cause::Hdel)?);
    }
    reply.integer(deleted);
    Ok(())
}

fn hexists(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pair = find(view, args.get(1), args.get(2))?;
    reply.integer(i64::from(pair.is_some()));
    Ok(())
}

fn hget(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pair = find(view, args.get(1), args.get(2))?;
    reply.value_or_null(pair.map(|pair| pair.sendable()));
    Ok(())
}

fn hgetall(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let Some(pairs) = view.namespace(args.get(1))? else {
        reply.map(0);
        return Ok(());
    };
    check_all_fit(view, &pairs, |pair| bulk_bytes(pair.key) + bulk_bytes(pair.value))?;

    reply.map(pairs.count());
    pairs.each(|pair| reply.bulk_and_value(pair.key, pair.sendable()));
    Ok(())
}

fn hincrby(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key, increment) = (args.get(1), args.get(2), integer(args.get(3))?);
    let current = match find(view, name, key)? {
        None => 0,
        Some(pair) => {
            number::parse_i64(pair.value).ok_or(Error::plain("hash value is not an integer"))?
        }
    };
    let sum = current.checked_add(increment);
    let sum = sum.ok_or(Error::plain("increment or decrement would overflow"))?;

    let mut text = itoa::Buffer::new();
    let value = text.format(sum).as_bytes();
    view.put_pair(name, key, value, NewDeadline::Keep, Cause::Hincrby)?;
    reply.integer(sum);
    Ok(())
}

fn hincrbyfloat(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key) = (args.get(1), args.get(2));
    let increment = LongDouble::parse(args.get(3)).ok_or(Error::NotAFloat)?;
    if increment.is_infinite() {
        return Err(Error::plain("value is NaN or Infinity"));
    }
    let current = match find(view, name, key)? {
        None => LongDouble::ZERO,
        Some(pair) => {
            LongDouble::parse(pair.value).ok_or(Error::plain("hash value is not a float"))?
        }
    };
    let sum = current.checked_add(increment);
    let sum = sum.ok_or(Error::plain("increment would produce NaN or Infinity"))?.to_text();

    view.put_pair(name, key, sum.as_bytes(), NewDeadline::Keep, Cause::Hincrbyfloat)?;
    reply.bulk(sum.as_bytes());
    Ok(())
}

fn hkeys(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    one_of_each(view, args.get(1), reply, |pair| Value { bytes: pair.key, shared: None })
}

fn hlen(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = view.namespace(args.get(1))?;
    reply.count(pairs.map_or(0, |pairs| pairs.len()));
    Ok(())
}

fn hmget(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = view.namespace(args.get(1))?;
    let keys = args.iter().skip(2);
    check_values_fit(view, pairs.as_ref(), keys.clone(), "several HMGET")?;

    reply.array(keys.len());
    for key in keys {
        let pair = pairs.and_then(|pairs| pairs.get(key));
        reply.value_or_null(pair.map(|pair| pair.sendable()));
    }
    Ok(())
}

fn hmset(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    put_pairs(view, args, "hmset")?;
    reply.ok();
    Ok(())
}

fn hscan(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let cursor = number::parse_u64(args.get(2)).ok_or(Error::plain("invalid cursor"))?;
    // As in Redis, options are not looked at when there is nothing to scan.
    let Some(pairs) = view.namespace(args.get(1))? else {
        reply.array(2);
        reply.bulk(b"0");
        reply.array(0);
        return Ok(());
    };
    let options = ScanOptions::parse(Cursor::new(args, 3))?;

    let mut found = Vec::new();
    let mut bytes = 0;
    let next = pairs.scan(cursor, options.count, |pair| {
        if options.pattern.is_none_or(|pattern| glob_match(pattern, pair.key, false)) {
            let value_bytes = if options.has_values { bulk_bytes(pair.value) } else { 0 };
            bytes += bulk_bytes(pair.key) + value_bytes;
            found.push(pair);
        }
    });
    view.settings().check_reply_len(bytes, "a smaller COUNT")?;

    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(if options.has_values { 2 * found.len() } else { found.len() });
    for pair in found {
        reply.bulk(pair.key);
        if options.has_values {
            reply.value(pair.sendable());
        }
    }
    Ok(())
}

fn hset(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let created = put_pairs(view, args, "hset")?;
    reply.count(created);
    Ok(())
}

fn hsetnx(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key, value) = (args.get(1), args.get(2), args.get(3));
    let is_there = find(view, name, key)?.is_some();

    if !is_there {
        view.put_pair(name, key, value, NewDeadline::Clear, Cause::Hset)?;
    }
    reply.integer(i64::from(!is_there));
    Ok(())
}

fn hstrlen(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pair = find(view, args.get(1), args.get(2))?;
    reply.count(pair.map_or(0, |pair| pair.value.len()));
    Ok(())
}

fn hvals(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    one_of_each(view, args.get(1), reply, |pair| pair.sendable())
}

/// The pair with this key, if there is one.
#[inline(always)]
pub(super) fn find<'v>(view: &'v View<'_>, name: &[u8], key: &[u8]) -> Result<Option<Pair<'v>>> {
    Ok(view.namespace(name)?.and_then(|pairs| pairs.get(key)))
}

/// Checks that a reply with something of each pair is not too large.
pub(super) fn check_all_fit(
    view: &View<'_>,
    pairs: &Pairs<'_>,
    bytes: impl Fn(Pair<'_>) -> usize,
) -> Result {
    // Pairs take more bytes in memory than in a reply, so few namespaces have to be walked over.
    if pairs.bytes() <= view.settings().reply_max_bytes {
        return Ok(());
    }
    view.settings().check_reply_len(pairs.iter().map(bytes).sum(), "HSCAN")
}

/// The same for the values of some keys, one of them perhaps many times.
pub(super) fn check_values_fit<'k>(
    view: &View<'_>,
    pairs: Option<&Pairs<'_>>,
    keys: impl ExactSizeIterator<Item = &'k [u8]>,
    instead: &str,
) -> Result {
    let Some(pairs) = pairs else { return Ok(()) };
    if keys.len().saturating_mul(pairs.bytes()) <= view.settings().reply_max_bytes {
        return Ok(());
    }
    let values = keys.filter_map(|key| pairs.get(key)).map(|pair| bulk_bytes(pair.value));
    view.settings().check_reply_len(values.sum(), instead)
}

/// Bytes of a bulk string in a reply, at most.
pub(super) fn bulk_bytes(bytes: &[u8]) -> usize {
    const FRAMING_BYTES_MAX: usize = 16;
    bytes.len() + FRAMING_BYTES_MAX
}

#[inline(always)]
fn put_pairs(view: &mut View<'_>, args: Args<'_>, command: &str) -> Result<usize> {
    if args.len() % 2 == 1 {
        return Err(Error::arity(command));
    }
    let name = args.get(1);
    let pairs = || (2..args.len()).step_by(2).map(|at| (args.get(at), args.get(at + 1)));
    view.check_room(name, pairs())?;

    let (mut created, mut at) = (0, 2);
    while at < args.len() {
        let (key, value) = (args.get(at), args.get(at + 1));
        let is_new = view.put_pair(name, key, value, NewDeadline::Clear, Cause::Hset)?;
        created += usize::from(is_new);
        at += 2;
    }
    Ok(created)
}

fn one_of_each(
    view: &View<'_>,
    name: &[u8],
    reply: &mut Reply<'_>,
    part: impl for<'p> Fn(Pair<'p>) -> Value<'p>,
) -> Result {
    let Some(pairs) = view.namespace(name)? else {
        reply.array(0);
        return Ok(());
    };
    check_all_fit(view, &pairs, |pair| bulk_bytes(part(pair).bytes))?;

    reply.array(pairs.count());
    pairs.each(|pair| reply.value(part(pair)));
    Ok(())
}

/// HSCAN's options.
pub(super) struct ScanOptions<'a> {
    pub pattern: Option<&'a [u8]>,
    pub count: usize,
    pub has_values: bool,
}

impl<'a> ScanOptions<'a> {
    pub fn parse(mut options: Cursor<'a>) -> Result<ScanOptions<'a>> {
        const COUNT_DEFAULT: usize = 10;
        let mut parsed = ScanOptions { pattern: None, count: COUNT_DEFAULT, has_values: true };
        while options.left() > 0 {
            if options.accept("COUNT") {
                let count = options.integer()?;
                parsed.count =
                    usize::try_from(count).ok().filter(|&n| n > 0).ok_or(Error::Syntax)?;
            } else if options.accept("MATCH") {
                // Only "*" alone matches the empty key, too.
                parsed.pattern = Some(options.required()?).filter(|&pattern| pattern != b"*");
            } else if options.accept("NOVALUES") {
                parsed.has_values = false;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(parsed)
    }
}
