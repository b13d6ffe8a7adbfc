//! The NAMESPACE family: namespaces with Butler's semantics, for the HTTP door and for Redis clients.
//!
//! Unlike hashes, a namespace made here is kept when its last pair goes, and an unknown namespace is
//! told from an unknown key. Whole namespaces are here; one pair is in `namespace_pair`, several are in
//! `namespace_many`, locks in `namespace_lock`, limits in `namespace_limit`, and Redis's own commands in
//! `hash` and `hash_expiry`.

use super::args::Cursor;
use super::hash::{ScanOptions, bulk_bytes, check_all_fit};
use super::namespace_limit::{self, limit, limits};
use super::namespace_lock::{lock, renew, unlock};
use super::namespace_many::{mget, mset, munset, scan};
use super::namespace_pair::{append, digest, exists, get, incrby, incrbyfloat, pair, set, unset};
use super::{Command, Family, Touches, help};
use crate::error::{Error, Result};
use crate::glob::glob_match;
use crate::journal::effect::Cause;
use crate::number;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::View;
use crate::store::view::Pairs;

/// The family.
pub const FAMILY: Family = Family { group: "namespace", category: "hash", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::container("NAMESPACE").about("0.1.0", "Has the commands with Butler's semantics."),
    Command::write("NAMESPACE APPEND", "namespace key value", append)
        .like("HSETEX")
        .about("0.1.0", "Appends to a value, which is empty if there is none; its length then.")
        .fast()
        .denies_oom(),
    Command::write("NAMESPACE CREATE", "namespace", create)
        .like("HSETEX")
        .about("0.1.0", "Makes a namespace that stays until it is dropped, even when empty.")
        .fast()
        .denies_oom(),
    Command::read("NAMESPACE DIGEST", "namespace key", digest)
        .like("HGET")
        .about("0.1.0", "The digest of a value, which IFDEQ and IFDNE compare, or null.")
        .fast(),
    Command::write("NAMESPACE DROP", "namespace", drop)
        .like("DEL")
        .about("0.1.0", "Removes a namespace and its pairs; 0 if there is none.")
        .fast(),
    Command::read("NAMESPACE EXISTS", "namespace key", exists)
        .like("HEXISTS")
        .about("0.1.0", "Whether a pair exists; an error if the namespace does not.")
        .fast(),
    Command::read("NAMESPACE GET", "namespace key", get)
        .like("HGET")
        .about("0.1.0", "The value of a pair, or null; an error if the namespace does not exist.")
        .fast(),
    Command::session("NAMESPACE HELP", "", help::help)
        .about("0.1.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::write("NAMESPACE INCRBY", "namespace key increment", incrby)
        .like("HINCRBY")
        .about("0.1.0", "Adds to an integer, which is 0 if there is none; the TTL stays.")
        .fast()
        .denies_oom(),
    Command::write("NAMESPACE INCRBYFLOAT", "namespace key increment", incrbyfloat)
        .like("HINCRBYFLOAT")
        .about("0.1.0", "Adds to a number, which is 0 if there is none; the TTL stays.")
        .fast()
        .denies_oom(),
    Command::read("NAMESPACE INFO", "namespace", info)
        .like("HLEN")
        .about("0.1.0", "Pairs, bytes, kept mark, remaining lifetime and limits of a namespace.")
        .fast(),
    Command::read("NAMESPACE KEYS", "namespace", keys)
        .like("HKEYS")
        .about("0.1.0", "The keys of a namespace; an error if it does not exist."),
    Command::write("NAMESPACE LIMIT", "namespace [PAIRS pairs] [BYTES bytes]", limit)
        .like("CONFIG|SET")
        .about("0.1.0", "Limits what a namespace may hold, now or when there is one; 0: no limit.")
        .admin()
        .fast(),
    Command::session("NAMESPACE LIMITS", "", limits)
        .like("CONFIG|GET")
        .about("0.1.0", "All names of the database that have a limit.")
        .admin()
        .touching(Touches::Reads),
    Command::read("NAMESPACE LIST", "", list)
        .like("SCAN")
        .about("0.1.0", "All namespaces that the user may read, empty ones that are kept included.")
        .every_name(),
    Command::write("NAMESPACE LOCK", "namespace key milliseconds [owner]", lock)
        .like("HSETEX")
        .about("0.1.0", "Takes a lock for so long; its fencing token, or null if it is taken.")
        .fast()
        .denies_oom(),
    Command::read("NAMESPACE MGET", "namespace key [namespace key ...]", mget)
        .like("HMGET")
        .about("0.1.0", "Value and deadline (unix ms, -1 for none) of each pair, or null.")
        .fast(),
    Command::write(
        "NAMESPACE MSET",
        "namespace key value deadline [namespace key value deadline ...]",
        mset,
    )
    .like("HSETEX")
    .about("0.1.0", "Sets all of the pairs; a deadline is unix ms, - for none or KEEPTTL.")
    .fast()
    .denies_oom(),
    Command::write("NAMESPACE MUNSET", "namespace key [namespace key ...]", munset)
        .like("HDEL")
        .about("0.1.0", "Deletes pairs; for each whether it was there.")
        .fast(),
    Command::read("NAMESPACE NAMES", "cursor [MATCH pattern] [COUNT count]", names)
        .like("SCAN")
        .about(
            "0.1.0",
            "Iterates over what LIST shows: name, pairs, bytes, kept mark, deadline and limits.",
        )
        .every_name(),
    Command::read("NAMESPACE PAIR", "namespace key", pair)
        .like("HGET")
        .about("0.1.0", "Value and deadline (unix ms, -1 for none) of a pair, or null.")
        .fast(),
    Command::write("NAMESPACE RENEW", "namespace key milliseconds token", renew)
        .like("HSETEX")
        .about("0.1.0", "Holds a lock for so long from now; 0 if the token does not hold it.")
        .fast(),
    Command::read(
        "NAMESPACE SCAN",
        "namespace cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        scan,
    )
    .like("HSCAN")
    .about("0.1.0", "Iterates over keys, values and deadlines; an error without the namespace."),
    Command::write(
        "NAMESPACE SET",
        "namespace key value [NX | XX | IFDEQ digest | IFDNE digest] \
         [PX milliseconds | PXAT unix-time-milliseconds | KEEPTTL]",
        set,
    )
    .like("HSETEX")
    .about("0.1.0", "Sets a pair of a namespace that stays until it is dropped.")
    .fast()
    .denies_oom(),
    Command::write("NAMESPACE UNLOCK", "namespace key token", unlock)
        .like("HDEL")
        .about("0.1.0", "Gives a lock back; 0 if the token does not hold it.")
        .fast(),
    Command::write("NAMESPACE UNSET", "namespace key [IFDEQ digest | IFDNE digest]", unset)
        .like("HDEL")
        .about("0.1.0", "Deletes a pair; 0 if there is none, an error without the namespace.")
        .fast(),
];

fn create(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let created = view.keep(args.get(2), Cause::Kept)?;

    reply.integer(i64::from(created));
    Ok(())
}

fn drop(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(2);
    let existed = view.kept_namespace(name)?.is_some();

    view.drop_name(name, Cause::Del);
    reply.integer(i64::from(existed));
    Ok(())
}

fn info(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = known(view, args.get(2))?;
    let (header, limit) = (pairs.header(), view.limit_in_force(args.get(2)));

    reply.map(4 + namespace_limit::FIELDS);
    reply.bulk(b"pairs");
    reply.count(pairs.count());
    reply.bulk(b"bytes");
    reply.count(pairs.bytes());
    reply.bulk(b"kept");
    reply.boolean(header.is_kept());
    reply.bulk(b"ttl_ms");
    reply.integer(header.deadline_ms().map_or(-1, |at| (at - view.now_ms()) as i64));
    namespace_limit::show(limit, reply);
    Ok(())
}

fn keys(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = known(view, args.get(2))?;
    check_all_fit(view, &pairs, |pair| bulk_bytes(pair.key))?;

    reply.array(pairs.count());
    pairs.iter().for_each(|pair| reply.bulk(pair.key));
    Ok(())
}

fn list(view: &View<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut names = Vec::new();
    view.each_name(|entry| {
        if entry.is_namespace() && view.may_show(entry.name()) {
            names.push(entry.name());
        }
    });
    let bytes = names.iter().map(|name| bulk_bytes(name)).sum();
    view.settings().check_reply_len(bytes, "SCAN")?;

    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn names(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let cursor = number::parse_u64(args.get(2)).ok_or(Error::plain("invalid cursor"))?;
    let options = ScanOptions::parse(Cursor::new(args, 3))?;

    let mut found = Vec::new();
    let next = view.scan_all(cursor, options.count, |entry| {
        let is_wanted = |pattern| glob_match(pattern, entry.name(), false);
        let is_shown = entry.is_namespace() && view.may_show(entry.name());
        if is_shown && options.pattern.is_none_or(is_wanted) {
            found.push(entry);
        }
    });
    let bytes = found.iter().map(|entry| bulk_bytes(entry.name()) + 6 * bulk_bytes(b"")).sum();
    view.settings().check_reply_len(bytes, "a smaller COUNT")?;

    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(7 * found.len());
    for entry in found {
        let pairs = view.pairs(entry).ok();
        reply.bulk(entry.name());
        reply.count(pairs.map_or(0, |pairs| pairs.len()));
        reply.count(pairs.map_or(0, |pairs| pairs.bytes()));
        reply.integer(i64::from(entry.is_kept()));
        reply.integer(entry.deadline_ms().map_or(-1, |at_ms| at_ms as i64));
        let limit = view.limit_in_force(entry.name());
        reply.integer(limit.pairs as i64);
        reply.integer(limit.bytes as i64);
    }
    Ok(())
}

/// The pairs of a namespace, which must exist.
pub(super) fn known<'v>(view: &'v View<'_>, name: &[u8]) -> Result<Pairs<'v>> {
    view.kept_namespace(name)?.ok_or(Error::NoSuchNamespace)
}
