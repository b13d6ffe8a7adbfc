//! The string family: plain values of names, their parts, and the numbers in them.
//!
//! A value is bytes and nothing else; that Redis keeps some as integers shows in OBJECT ENCODING only.
//! Names themselves and when they expire are in `generic` and `expire`.

use super::args::{Cursor, integer};
use super::deadline::{Expiry, TimeForm};
use super::hash::bulk_bytes;
use super::{Command, Family};
use crate::error::{Error, Result};
use crate::journal::effect::Cause;
use crate::number::{FloatError, incr_by_float};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::shared::Value;
use crate::store::{NewDeadline, View};

/// The family.
pub const FAMILY: Family = Family { group: "string", category: "string", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::write("APPEND", "key value", append)
        .about("2.0.0", "Appends to the string of a key, which is created if it doesn't exist.")
        .fast()
        .denies_oom(),
    Command::write("DECR", "key", decr)
        .about("1.0.0", "Subtracts one from the integer of a key; 0 if it doesn't exist.")
        .fast()
        .denies_oom(),
    Command::write("DECRBY", "key decrement", decrby)
        .about("1.0.0", "Subtracts a number from the integer of a key; 0 if it doesn't exist.")
        .fast()
        .denies_oom(),
    Command::read("GET", "key", get).about("1.0.0", "Returns the string of a key.").fast(),
    Command::write("GETDEL", "key", getdel)
        .about("6.2.0", "Returns the string of a key and deletes the key.")
        .fast(),
    Command::write(
        "GETEX",
        "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
         PXAT unix-time-milliseconds | PERSIST]",
        getex,
    )
    .about("6.2.0", "Returns the string of a key and sets or clears its expiration time.")
    .fast(),
    Command::read("GETRANGE", "key start end", getrange)
        .about("2.4.0", "Returns a part of the string of a key."),
    Command::write("GETSET", "key value", getset)
        .about("1.0.0", "Returns the string of a key and sets it to a new value.")
        .fast()
        .denies_oom(),
    Command::write("INCR", "key", incr)
        .about("1.0.0", "Adds one to the integer of a key; 0 if it doesn't exist.")
        .fast()
        .denies_oom(),
    Command::write("INCRBY", "key increment", incrby)
        .about("1.0.0", "Adds a number to the integer of a key; 0 if it doesn't exist.")
        .fast()
        .denies_oom(),
    Command::write("INCRBYFLOAT", "key increment", incrbyfloat)
        .about("2.6.0", "Adds to the floating point number of a key; 0 if it doesn't exist.")
        .fast()
        .denies_oom(),
    Command::read("MGET", "key [key ...]", mget)
        .about("1.0.0", "Returns the strings of several keys.")
        .fast(),
    Command::write("MSET", "key value [key value ...]", mset)
        .about("1.0.1", "Sets the strings of several keys at once.")
        .denies_oom(),
    Command::write("MSETNX", "key value [key value ...]", msetnx)
        .about("1.0.1", "Sets the strings of several keys at once, if none of them exists.")
        .denies_oom(),
    Command::write("PSETEX", "key milliseconds value", psetex)
        .about("2.6.0", "Sets the string of a key and its expiration time in milliseconds.")
        .denies_oom(),
    Command::write(
        "SET",
        "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
         PXAT unix-time-milliseconds | KEEPTTL]",
        set,
    )
    .about("1.0.0", "Sets the string of a key, whatever it held.")
    .denies_oom(),
    Command::write("SETEX", "key seconds value", setex)
        .about("2.0.0", "Sets the string of a key and its expiration time in seconds.")
        .denies_oom(),
    Command::write("SETNX", "key value", setnx)
        .about("1.0.0", "Sets the string of a key if the key doesn't exist.")
        .fast()
        .denies_oom(),
    Command::write("SETRANGE", "key offset value", setrange)
        .about("2.2.0", "Overwrites a part of the string of a key; zero bytes fill a gap.")
        .denies_oom(),
    Command::read("STRLEN", "key", strlen)
        .about("2.2.0", "Returns the length of the string of a key.")
        .fast(),
    Command::read("SUBSTR", "key start end", getrange)
        .about("1.0.0", "Returns a part of the string of a key; an old name of GETRANGE."),
];

fn append(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, value) = (args.get(1), args.get(2));
    let Some(old) = view.string(name)? else {
        view.put_string(name, value, NewDeadline::Clear, Cause::Append);
        reply.count(value.len());
        return Ok(());
    };
    let old_len = old.len();
    let len = check_len(view, old_len, value.len())?;

    view.patch_string(name, old_len, value, Cause::Append);
    reply.count(len);
    Ok(())
}

fn decr(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    add(view, args.get(1), -1, reply)
}

fn decrby(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let by = integer(args.get(2))?.checked_neg();
    let by = by.ok_or(Error::plain("decrement would overflow"))?;
    add(view, args.get(1), by, reply)
}

fn get(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.value_or_null(view.sendable_string(args.get(1))?);
    Ok(())
}

fn getdel(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let old = view.sendable_string(name)?;
    reply.value_or_null(old);

    match old {
        Some(_) => {
            view.drop_name(name, Cause::Del);
        }
        None => view.note_miss(name),
    }
    Ok(())
}

fn getex(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let mut expiry = Expiry::None;
    let mut options = Cursor::new(args, 2);
    while expiry.accept(&mut options)? {}
    options.finish()?;
    if expiry == Expiry::Keep {
        return Err(Error::Syntax);
    }
    // As in Redis, the amount is not looked at when there is no value.
    let Some(value) = view.sendable_string(name)? else {
        view.note_miss(name);
        reply.null();
        return Ok(());
    };
    let deadline_ms = match expiry {
        Expiry::At(form, amount) => Some(form.deadline_ms(amount, view.now_ms(), "getex")?),
        _ => None,
    };

    reply.value(value);
    if deadline_ms.is_some() {
        view.set_deadline(name, deadline_ms, Cause::Expire);
    } else if expiry == Expiry::Persist && view.deadline_ms(name).flatten().is_some() {
        view.set_deadline(name, None, Cause::Persist);
    }
    Ok(())
}

fn getrange(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (start, end) = (integer(args.get(2))?, integer(args.get(3))?);
    let value = view.string(args.get(1))?.unwrap_or_default();

    reply.bulk(part(value, start, end));
    Ok(())
}

fn getset(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, value) = (args.get(1), args.get(2));
    let old = view.sendable_string(name)?;
    reply.value_or_null(old);
    if old.is_none() {
        view.note_miss(name);
    }

    view.put_string(name, value, NewDeadline::Clear, Cause::Set);
    Ok(())
}

fn incr(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    add(view, args.get(1), 1, reply)
}

fn incrby(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    add(view, args.get(1), integer(args.get(2))?, reply)
}

fn incrbyfloat(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let sum = incr_by_float(view.string(name)?, args.get(2)).map_err(|error| match error {
        FloatError::NotAFloat => Error::NotAFloat,
        FloatError::NanOrInfinity => Error::plain("increment would produce NaN or Infinity"),
    })?;

    view.put_string(name, sum.as_bytes(), NewDeadline::Keep, Cause::Incrbyfloat);
    reply.bulk(sum.as_bytes());
    Ok(())
}

fn mget(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let values: Vec<Option<Value<'_>>> =
        args.iter().skip(1).map(|name| view.sendable_string(name).ok().flatten()).collect();
    let bytes = values.iter().map(|value| bulk_bytes(value.map_or(&[], |value| value.bytes))).sum();
    view.settings().check_reply_len(bytes, "several MGET")?;

    reply.array(values.len());
    values.into_iter().for_each(|value| reply.value_or_null(value));
    Ok(())
}

fn mset(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = named_values(args, "mset")?;

    put_all(view, pairs);
    reply.ok();
    Ok(())
}

fn msetnx(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = named_values(args, "msetnx")?;
    let is_free = pairs.clone().all(|(name, _)| view.kind(name).is_none());

    if is_free {
        put_all(view, pairs);
    }
    reply.integer(i64::from(is_free));
    Ok(())
}

fn psetex(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let deadline_ms = TimeForm::MILLISECONDS.deadline_ms(args.get(2), view.now_ms(), "psetex")?;

    view.put_string(args.get(1), args.get(3), NewDeadline::At(deadline_ms), Cause::Setex);
    reply.ok();
    Ok(())
}

fn set(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, value) = (args.get(1), args.get(2));
    let SetOptions { condition, get, deadline } = SetOptions::parse(args, view.now_ms())?;
    let old = if get { view.sendable_string(name)? } else { None };
    if get && old.is_none() {
        view.note_miss(name);
    }

    let is_met = match condition {
        Condition::None => true,
        Condition::Nx => view.kind(name).is_none(),
        Condition::Xx => view.kind(name).is_some(),
    };
    match (get, is_met) {
        (true, _) => reply.value_or_null(old),
        (false, true) => reply.ok(),
        (false, false) => reply.null(),
    }
    if is_met {
        let is_dated = matches!(deadline, NewDeadline::At(_));
        let cause = if is_dated { Cause::Setex } else { Cause::Set };
        view.put_string(name, value, deadline, cause);
    }
    Ok(())
}

fn setex(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let deadline_ms = TimeForm::SECONDS.deadline_ms(args.get(2), view.now_ms(), "setex")?;

    view.put_string(args.get(1), args.get(3), NewDeadline::At(deadline_ms), Cause::Setex);
    reply.ok();
    Ok(())
}

fn setnx(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, value) = (args.get(1), args.get(2));
    let is_free = view.kind(name).is_none();

    if is_free {
        view.put_string(name, value, NewDeadline::Clear, Cause::Set);
    }
    reply.integer(i64::from(is_free));
    Ok(())
}

fn setrange(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, value) = (args.get(1), args.get(3));
    let offset = usize::try_from(integer(args.get(2))?)
        .map_err(|_| Error::plain("offset is out of range"))?;
    let old = view.string(name)?.unwrap_or_default();
    if value.is_empty() {
        reply.count(old.len());
        return Ok(());
    }
    let end = check_len(view, offset, value.len())?;

    let len = old.len().max(end);
    view.patch_string(name, offset, value, Cause::Setrange);
    reply.count(len);
    Ok(())
}

fn strlen(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.count(view.string(args.get(1))?.map_or(0, <[u8]>::len));
    Ok(())
}

/// When SET does nothing.
#[derive(Clone, Copy, PartialEq)]
enum Condition {
    /// Never.
    None,
    /// If the name exists.
    Nx,
    /// If it does not.
    Xx,
}

struct SetOptions {
    condition: Condition,
    get: bool,
    deadline: NewDeadline,
}

impl SetOptions {
    fn parse(args: Args<'_>, now_ms: u64) -> Result<SetOptions> {
        let (mut condition, mut get, mut expiry) = (Condition::None, false, Expiry::None);
        let mut options = Cursor::new(args, 3);
        while options.left() > 0 {
            if condition != Condition::Xx && options.accept("NX") {
                condition = Condition::Nx;
            } else if condition != Condition::Nx && options.accept("XX") {
                condition = Condition::Xx;
            } else if options.accept("GET") {
                get = true;
            } else if !expiry.accept(&mut options)? {
                return Err(Error::Syntax);
            }
        }
        let deadline = match expiry {
            Expiry::None => NewDeadline::Clear,
            Expiry::Keep => NewDeadline::Keep,
            Expiry::Persist => return Err(Error::Syntax),
            Expiry::At(form, amount) => NewDeadline::At(form.deadline_ms(amount, now_ms, "set")?),
        };
        Ok(SetOptions { condition, get, deadline })
    }
}

/// INCR and its relatives.
fn add(view: &mut View<'_>, name: &[u8], by: i64, reply: &mut Reply<'_>) -> Result {
    let old = view.string(name)?.map_or(Ok(0), integer)?;
    let sum = old.checked_add(by);
    let sum = sum.ok_or(Error::plain("increment or decrement would overflow"))?;

    let text = &mut itoa::Buffer::new();
    view.put_string(name, text.format(sum).as_bytes(), NewDeadline::Keep, Cause::Incrby);
    reply.integer(sum);
    Ok(())
}

/// The length of a string that ends `added` bytes behind `len`, if it may be that long.
fn check_len(view: &View<'_>, len: usize, added: usize) -> Result<usize> {
    let sum = len.checked_add(added).filter(|&sum| sum <= view.settings().string_len_max_bytes);
    sum.ok_or(Error::plain("string exceeds maximum allowed size (proto-max-bulk-len)"))
}

/// From byte `start` to byte `end`, both included; negative ones are counted from behind.
fn part(value: &[u8], start: i64, end: i64) -> &[u8] {
    let len = value.len() as i64;
    let place = |at: i64| if at < 0 { len + at } else { at };
    let (start, end) = (place(start).max(0), place(end).min(len - 1));
    if start > end { &[] } else { &value[start as usize..=end as usize] }
}

/// The names and values of MSET, in their order.
fn named_values<'a>(
    args: Args<'a>,
    command: &str,
) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone> {
    if args.len().is_multiple_of(2) {
        return Err(Error::arity(command));
    }
    Ok((1..args.len()).step_by(2).map(move |at| (args.get(at), args.get(at + 1))))
}

fn put_all<'a>(view: &mut View<'_>, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    pairs.for_each(|(name, value)| {
        view.put_string(name, value, NewDeadline::Clear, Cause::Set);
    });
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn a_part_is_what_slicing_gives() {
        let value = b"0123456789";
        let places = || [i64::MIN, i64::MAX].into_iter().chain(-25..25);
        for (start, end) in places().flat_map(|start| places().map(move |end| (start, end))) {
            let from_front = |at: i64| if at < 0 { at.saturating_add(10) } else { at };
            let (first, last) = (from_front(start).max(0), from_front(end));
            let bytes =
                value.iter().enumerate().filter(|&(at, _)| (first..=last).contains(&(at as i64)));
            let expected: Vec<u8> = bytes.map(|(_, &byte)| byte).collect();
            assert_eq!(part(value, start, end), expected, "{start} {end}");
            assert_eq!(part(b"", start, end), b"");
        }
    }
}
