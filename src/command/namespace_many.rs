//! The NAMESPACE family's commands for several pairs, of several namespaces too.
//!
//! Each is all or nothing: it checks every namespace before it changes the first pair. One pair is in
//! `namespace_pair`; slices of a whole namespace are here too (SCAN).

use super::args::{Cursor, is};
use super::hash::{ScanOptions, bulk_bytes};
use super::namespace::known;
use super::namespace_pair::{instant, put, show_pair};
use crate::error::{Error, Result};
use crate::glob::glob_match;
use crate::journal::effect::Cause;
use crate::number;
use crate::reply::{Reply, Rows};
use crate::resp::request::Args;
use crate::store::view::Pairs;
use crate::store::{NewDeadline, View};

/// Bytes of pairs after which a slice ends, however many pairs were asked for.
const SLICE_BYTES: usize = 64 * 1024;

pub(super) fn mget(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    check_whole(args, 2, "namespace|mget")?;
    let mut bytes = 0;
    for (name, key) in rows::<2>(args).map(|[name, key]| (name, key)) {
        let pair = view.namespace(name)?.and_then(|pairs| pairs.get(key));
        bytes += pair.map_or(0, |pair| bulk_bytes(pair.value)) + bulk_bytes(b"");
    }
    view.settings().check_reply_len(bytes, "several MGET")?;

    reply.array((args.len() - 2) / 2);
    for [name, key] in rows(args) {
        let pairs = view.namespace(name).ok().flatten();
        show_pair(pairs.and_then(|pairs| pairs.get(key)), reply);
    }
    Ok(())
}

pub(super) fn mset(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    check_whole(args, 4, "namespace|mset")?;
    let mut last: &[u8] = &[];
    for (at, [name, _, _, deadline]) in rows(args).enumerate() {
        self::deadline(deadline)?;
        // Rows of one namespace mostly come together.
        if at == 0 || name != last {
            view.kept_namespace(name)?;
            last = name;
        }
    }
    view.check_room_in_each(rows(args).map(|[name, key, value, _]| (name, key, value)))?;

    for (at, [name, key, value, deadline]) in rows(args).enumerate() {
        if at == 0 || name != last {
            view.keep(name, Cause::Kept)?;
            last = name;
        }
        put(view, name, key, value, self::deadline(deadline)?)?;
    }
    reply.ok();
    Ok(())
}

pub(super) fn munset(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    check_whole(args, 2, "namespace|munset")?;
    for [name, _] in rows(args) {
        view.kept_namespace(name)?;
    }

    let mut deleted = Vec::with_capacity(args.len() / 2);
    for [name, key] in rows(args) {
        deleted.push(view.delete_pair(name, key, Cause::Hdel)?);
    }
    reply.array(deleted.len());
    deleted.into_iter().for_each(|was_there| reply.integer(i64::from(was_there)));
    Ok(())
}

pub(super) fn scan(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let cursor = number::parse_u64(args.get(3)).ok_or(Error::plain("invalid cursor"))?;
    let options = ScanOptions::parse(Cursor::new(args, 4))?;
    let pairs = known(view, args.get(2))?;
    if let Some(rows) = reply.rows() {
        let next = hand_out(view, &pairs, cursor, &options, rows)?;
        reply.bulk(itoa::Buffer::new().format(next).as_bytes());
        return Ok(());
    }

    let (mut found, mut bytes) = (Vec::new(), 0);
    let next = pairs.scan_while(cursor, options.count, |pair| {
        if options.pattern.is_none_or(|pattern| glob_match(pattern, pair.key, false)) {
            let value_bytes = if options.has_values { bulk_bytes(pair.value) } else { 0 };
            bytes += bulk_bytes(pair.key) + value_bytes + bulk_bytes(b"");
            found.push(pair);
        }
        bytes < SLICE_BYTES
    });
    view.settings().check_reply_len(bytes, "a smaller COUNT")?;

    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(found.len() * if options.has_values { 3 } else { 2 });
    for pair in found {
        reply.bulk(pair.key);
        if options.has_values {
            reply.bulk(pair.value);
        }
        reply.integer(pair.deadline_ms.map_or(-1, |at_ms| at_ms as i64));
    }
    Ok(())
}

/// Gives a slice of pairs to who writes them; he knows when he has enough.
fn hand_out(
    view: &View<'_>,
    pairs: &Pairs<'_>,
    cursor: u64,
    options: &ScanOptions<'_>,
    rows: &mut dyn Rows,
) -> Result<u64> {
    let mut longest = 0;
    let next = pairs.walk(cursor, options.count, |pair| {
        if options.pattern.is_some_and(|pattern| !glob_match(pattern, pair.key, false)) {
            return true;
        }
        longest = longest.max(pair.value.len());
        rows.pair(pair.key, pair.value, pair.deadline_ms)
    });
    view.settings().check_reply_len(longest, "NAMESPACE GET")?;
    Ok(next)
}

/// What follows the command's two words, `N` arguments a row.
fn rows<'a, const N: usize>(args: Args<'a>) -> impl Iterator<Item = [&'a [u8]; N]> {
    let starts = (2..args.len()).step_by(N);
    starts.map(move |at| std::array::from_fn(|more| args.get(at + more)))
}

fn check_whole(args: Args<'_>, width: usize, command: &str) -> Result {
    let is_whole = (args.len() - 2).is_multiple_of(width);
    if is_whole { Ok(()) } else { Err(Error::arity(command)) }
}

fn deadline(arg: &[u8]) -> Result<NewDeadline> {
    match arg {
        b"-" => Ok(NewDeadline::Clear),
        _ if is(arg, "KEEPTTL") => Ok(NewDeadline::Keep),
        _ => instant(arg),
    }
}
