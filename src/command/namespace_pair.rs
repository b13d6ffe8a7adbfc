//! The NAMESPACE family's commands for one pair.
//!
//! What they make is kept when its last pair goes. Conditions compare digests ([`crate::digest`]), so
//! that a client need not send the old value. Whole namespaces are in `namespace`, several pairs at
//! once in `namespace_many`.

use super::args::{Cursor, integer};
use super::hash::find;
use super::namespace::known;
use crate::digest::{self, has_digest};
use crate::error::{Error, Result};
use crate::journal::effect::Cause;
use crate::number::{self, LongDouble};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::view::Pair;
use crate::store::{NewDeadline, PAIR_DEADLINE_MS_MAX, View};

/// When a pair is changed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    Missing,
    There,
    Equal(&'a [u8]),
    /// Or missing.
    Unequal(&'a [u8]),
}

impl<'a> Condition<'a> {
    fn accept(options: &mut Cursor<'a>) -> Result<Condition<'a>> {
        Ok(if options.accept("IFDEQ") {
            Condition::Equal(options.required()?)
        } else if options.accept("IFDNE") {
            Condition::Unequal(options.required()?)
        } else {
            Condition::Always
        })
    }

    fn is_met(self, pair: Option<Pair<'_>>) -> bool {
        match self {
            Condition::Always => true,
            Condition::Missing => pair.is_none(),
            Condition::There => pair.is_some(),
            Condition::Equal(digest) => pair.is_some_and(|pair| has_digest(pair.value, digest)),
            Condition::Unequal(digest) => pair.is_none_or(|pair| !has_digest(pair.value, digest)),
        }
    }
}

pub(super) fn append(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key, more) = (args.get(2), args.get(3), args.get(4));
    let old = find(view, name, key)?.map_or(&[][..], |pair| pair.value);
    if old.len() + more.len() > view.settings().string_len_max_bytes {
        return Err(Error::plain("string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    let value = [old, more].concat();
    view.check_room(name, [(key, &value[..])].into_iter())?;

    view.keep(name, Cause::Kept)?;
    view.put_pair(name, key, &value, NewDeadline::Keep, Cause::Hset)?;
    reply.count(value.len());
    Ok(())
}

pub(super) fn digest(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pair = known(view, args.get(2))?.get(args.get(3));
    let digest = pair.map(|pair| digest::digest(pair.value));
    reply.bulk_or_null(digest.as_ref().map(|digest| &digest[..]));
    Ok(())
}

pub(super) fn exists(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = known(view, args.get(2))?;
    reply.integer(i64::from(pairs.get(args.get(3)).is_some()));
    Ok(())
}

pub(super) fn get(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = known(view, args.get(2))?;
    reply.value_or_null(pairs.get(args.get(3)).map(|pair| pair.sendable()));
    Ok(())
}

pub(super) fn incrby(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key, increment) = (args.get(2), args.get(3), integer(args.get(4))?);
    let current = match find(view, name, key)? {
        None => 0,
        Some(pair) => {
            number::parse_i64(pair.value).ok_or(Error::plain("value is not an integer"))?
        }
    };
    let sum = current.checked_add(increment);
    let sum = sum.ok_or(Error::plain("increment or decrement would overflow"))?;
    let mut text = itoa::Buffer::new();
    let value = text.format(sum).as_bytes();
    view.check_room(name, [(key, value)].into_iter())?;

    view.keep(name, Cause::Kept)?;
    view.put_pair(name, key, value, NewDeadline::Keep, Cause::Hincrby)?;
    reply.integer(sum);
    Ok(())
}

pub(super) fn incrbyfloat(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key) = (args.get(2), args.get(3));
    let increment = LongDouble::parse(args.get(4)).ok_or(Error::NotAFloat)?;
    let current = match find(view, name, key)? {
        None => LongDouble::ZERO,
        Some(pair) => LongDouble::parse(pair.value).ok_or(Error::plain("value is not a number"))?,
    };
    let sum = current.checked_add(increment).filter(|sum| !sum.is_infinite());
    let sum = sum.ok_or(Error::plain("increment would produce NaN or Infinity"))?.to_text();
    view.check_room(name, [(key, sum.as_bytes())].into_iter())?;

    view.keep(name, Cause::Kept)?;
    view.put_pair(name, key, sum.as_bytes(), NewDeadline::Keep, Cause::Hincrbyfloat)?;
    reply.bulk(sum.as_bytes());
    Ok(())
}

pub(super) fn pair(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = known(view, args.get(2))?;
    show_pair(pairs.get(args.get(3)), reply);
    Ok(())
}

pub(super) fn set(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key, value) = (args.get(2), args.get(3), args.get(4));
    let mut options = Cursor::new(args, 5);
    let condition = if options.accept("NX") {
        Condition::Missing
    } else if options.accept("XX") {
        Condition::There
    } else {
        Condition::accept(&mut options)?
    };
    let deadline = if options.accept("PX") {
        lifetime(view, options.required()?)?
    } else if options.accept("PXAT") {
        instant(options.required()?)?
    } else if options.accept("KEEPTTL") {
        NewDeadline::Keep
    } else {
        NewDeadline::Clear
    };
    options.finish()?;
    if condition != Condition::Always && !condition.is_met(find(view, name, key)?) {
        reply.null();
        return Ok(());
    }
    view.check_room(name, [(key, value)].into_iter())?;

    view.keep(name, Cause::Kept)?;
    put(view, name, key, value, deadline)?;
    reply.ok();
    Ok(())
}

pub(super) fn unset(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key) = (args.get(2), args.get(3));
    let mut options = Cursor::new(args, 4);
    let condition = Condition::accept(&mut options)?;
    options.finish()?;
    let pair = known(view, name)?.get(key);
    if pair.is_some() && !condition.is_met(pair) {
        reply.null();
        return Ok(());
    }

    let was_there = view.delete_pair(name, key, Cause::Hdel)?;
    reply.integer(i64::from(was_there));
    Ok(())
}

/// Puts a pair. A deadline that has passed deletes it, as in HSETEX.
pub(super) fn put(
    view: &mut View<'_>,
    name: &[u8],
    key: &[u8],
    value: &[u8],
    deadline: NewDeadline,
) -> Result {
    let cause = if matches!(deadline, NewDeadline::At(_)) { Cause::Hsetex } else { Cause::Hset };
    let is_over = matches!(deadline, NewDeadline::At(at_ms) if at_ms <= view.now_ms());
    view.put_pair(name, key, value, if is_over { NewDeadline::Clear } else { deadline }, cause)?;
    if is_over {
        view.delete_pair(name, key, Cause::Hdel)?;
    }
    Ok(())
}

/// Value and deadline, or null.
pub(super) fn show_pair(pair: Option<Pair<'_>>, reply: &mut Reply<'_>) {
    let Some(pair) = pair else { return reply.null() };
    reply.array(2);
    reply.bulk(pair.value);
    reply.integer(pair.deadline_ms.map_or(-1, |at_ms| at_ms as i64));
}

fn lifetime(view: &View<'_>, arg: &[u8]) -> Result<NewDeadline> {
    let ms = u64::try_from(integer(arg)?).ok().filter(|&ms| ms > 0);
    let at_ms = ms.map(|ms| view.now_ms().saturating_add(ms));
    let at_ms = at_ms.filter(|&at_ms| at_ms <= PAIR_DEADLINE_MS_MAX);
    at_ms.map(NewDeadline::At).ok_or(Error::InvalidExpire("namespace|set"))
}

/// A deadline, perhaps one that has passed.
pub(super) fn instant(arg: &[u8]) -> Result<NewDeadline> {
    let at_ms = u64::try_from(integer(arg)?).ok().filter(|&at_ms| at_ms <= PAIR_DEADLINE_MS_MAX);
    at_ms.map(NewDeadline::At).ok_or(Error::InvalidExpire("namespace|set"))
}
