//! The NAMESPACE family: namespaces with Butler's semantics, for the HTTP door and for Redis clients.
//!
//! Unlike hashes, a namespace made here is kept when its last pair goes, and an unknown namespace is
//! told from an unknown key. The other commands on namespaces are in `hash` and `hash_expiry`.

use super::args::{Cursor, integer};
use super::hash::{bulk_bytes, check_all_fit};
use super::{Command, Family, help};
use crate::error::{Error, Result};
use crate::journal::effect::Cause;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::view::Pairs;
use crate::store::{NewDeadline, PAIR_DEADLINE_MS_MAX, View};

/// The family.
pub const FAMILY: Family = Family { group: "namespace", category: "hash", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::container("NAMESPACE").about("0.1.0", "Has the commands with Butler's semantics."),
    Command::write("NAMESPACE CREATE", "namespace", create)
        .about("0.1.0", "Makes a namespace that stays until it is dropped, even when empty.")
        .fast()
        .denies_oom(),
    Command::write("NAMESPACE DROP", "namespace", drop)
        .about("0.1.0", "Removes a namespace and its pairs; 0 if there is none.")
        .fast(),
    Command::read("NAMESPACE EXISTS", "namespace key", exists)
        .about("0.1.0", "Whether a pair exists; an error if the namespace does not.")
        .fast(),
    Command::read("NAMESPACE GET", "namespace key", get)
        .about("0.1.0", "The value of a pair, or null; an error if the namespace does not exist.")
        .fast(),
    Command::session("NAMESPACE HELP", "", help::help)
        .about("0.1.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::read("NAMESPACE INFO", "namespace", info)
        .about("0.1.0", "Pairs, bytes, kept mark and remaining lifetime of a namespace.")
        .fast(),
    Command::read("NAMESPACE KEYS", "namespace", keys)
        .about("0.1.0", "The keys of a namespace; an error if it does not exist."),
    Command::read("NAMESPACE LIST", "", list)
        .about("0.1.0", "All namespaces of the database, empty ones that are kept included.")
        .every_name(),
    Command::write("NAMESPACE SET", "namespace key value [PX milliseconds]", set)
        .about("0.1.0", "Sets a pair of a namespace that stays until it is dropped.")
        .fast()
        .denies_oom(),
    Command::write("NAMESPACE UNSET", "namespace key", unset)
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

fn exists(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = known(view, args.get(2))?;
    reply.integer(i64::from(pairs.get(args.get(3)).is_some()));
    Ok(())
}

fn get(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = known(view, args.get(2))?;
    reply.value_or_null(pairs.get(args.get(3)).map(|pair| pair.sendable()));
    Ok(())
}

fn info(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pairs = known(view, args.get(2))?;
    let header = pairs.header();

    reply.map(4);
    reply.bulk(b"pairs");
    reply.count(pairs.count());
    reply.bulk(b"bytes");
    reply.count(pairs.bytes());
    reply.bulk(b"kept");
    reply.boolean(header.is_kept());
    reply.bulk(b"ttl_ms");
    reply.integer(header.deadline_ms().map_or(-1, |at| (at - view.now_ms()) as i64));
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
        if entry.is_namespace() {
            names.push(entry.name());
        }
    });
    let bytes = names.iter().map(|name| bulk_bytes(name)).sum();
    view.settings().check_reply_len(bytes, "SCAN")?;

    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn set(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key, value) = (args.get(2), args.get(3), args.get(4));
    let mut options = Cursor::new(args, 5);
    let deadline = if options.accept("PX") {
        lifetime(view, options.required()?)?
    } else {
        NewDeadline::Clear
    };
    options.finish()?;

    view.keep(name, Cause::Kept)?;
    view.put_pair(name, key, value, deadline, Cause::Hset)?;
    reply.ok();
    Ok(())
}

fn unset(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key) = (args.get(2), args.get(3));
    known(view, name)?;

    let was_there = view.delete_pair(name, key, Cause::Hdel)?;
    reply.integer(i64::from(was_there));
    Ok(())
}

fn known<'v>(view: &'v View<'_>, name: &[u8]) -> Result<Pairs<'v>> {
    view.kept_namespace(name)?.ok_or(Error::NoSuchNamespace)
}

fn lifetime(view: &View<'_>, arg: &[u8]) -> Result<NewDeadline> {
    let ms = integer(arg)?;
    let ms = u64::try_from(ms).ok().filter(|&ms| ms > 0);
    let at = ms.map(|ms| view.now_ms().saturating_add(ms));
    let at = at.filter(|&at| at <= PAIR_DEADLINE_MS_MAX);
    at.map(NewDeadline::At).ok_or(Error::InvalidExpire("namespace|set"))
}
