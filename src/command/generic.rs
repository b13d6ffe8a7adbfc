//! Names, whatever they hold: whether they exist, of what type they are, how to find, rename, copy,
//! move and delete them. To all of these an empty namespace does not exist, even when it is kept.
//!
//! When names expire is in `expire`; whole databases are in `keyspace`.

use super::args::{Cursor, database, is};
use super::hash::bulk_bytes;
use super::{Command, Family, help};
use crate::error::{Error, Result};
use crate::glob::{glob_match, is_literal};
use crate::journal::effect::Cause;
use crate::number::{parse_i64, parse_u64};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::{Kind, NameEntry, Usage, View};

/// The family.
pub const FAMILY: Family = Family { group: "generic", category: "keyspace", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::write("COPY", "source destination [DB destination-db] [REPLACE]", copy)
        .about("6.2.0", "Copies a key and its value to another key.")
        .denies_oom(),
    Command::write("DEL", "key [key ...]", del).about("1.0.0", "Deletes keys."),
    Command::read("EXISTS", "key [key ...]", exists)
        .about("1.0.0", "Returns how many of the keys exist.")
        .fast(),
    Command::read("KEYS", "pattern", keys)
        .about("1.0.0", "Returns all keys that match a pattern.")
        .also(&["dangerous"])
        .every_name(),
    Command::write("MOVE", "key db", move_)
        .about("1.0.0", "Moves a key to another database.")
        .fast(),
    Command::container("OBJECT").about("2.2.3", "Has the commands for how values are kept."),
    Command::read("OBJECT ENCODING", "key", object_encoding)
        .about("2.2.3", "Returns what Redis would call the encoding of a key's value."),
    Command::read("OBJECT FREQ", "key", object_freq)
        .about("4.0.0", "Returns how often a key was used, under an LFU policy."),
    Command::session("OBJECT HELP", "", help::help)
        .about("6.2.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::read("OBJECT IDLETIME", "key", object_idletime)
        .about("2.2.3", "Returns the seconds since a key was used."),
    Command::read("OBJECT REFCOUNT", "key", object_refcount)
        .about("2.2.3", "Returns what Redis would call the reference count of a key's value."),
    Command::read("RANDOMKEY", "", randomkey)
        .about("1.0.0", "Returns a random key of the database.")
        .every_name(),
    Command::write("RENAME", "key newkey", rename)
        .about("1.0.0", "Renames a key, over what the new name held."),
    Command::write("RENAMENX", "key newkey", renamenx)
        .about("1.0.0", "Renames a key, if the new name does not exist.")
        .fast(),
    Command::read("SCAN", "cursor [MATCH pattern] [COUNT count] [TYPE type]", scan)
        .about("2.8.0", "Returns some keys of the database and a cursor to go on with.")
        .every_name(),
    Command::read("TOUCH", "key [key ...]", touch)
        .about("3.2.1", "Returns how many of the keys exist, and counts them as used.")
        .fast(),
    Command::read("TYPE", "key", type_).about("1.0.0", "Returns the type of a key's value.").fast(),
    Command::write("UNLINK", "key [key ...]", del)
        .about("4.0.0", "Deletes keys; much memory is freed in the background, as with DEL here.")
        .fast(),
];

fn copy(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, to) = (args.get(1), args.get(2));
    let (mut to_db, mut replace) = (view.db(), false);
    let mut options = Cursor::new(args, 3);
    while options.left() > 0 {
        if options.accept("DB") {
            to_db = database(options.required()?)?;
        } else if options.accept("REPLACE") {
            replace = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    if to_db == view.db() && to == name {
        return Err(SAME_OBJECT);
    }

    let is_free = replace || view.kind_in(to_db, to).is_none();
    if is_free {
        view.check_moved(name, to_db, to)?;
    }
    let is_copied = is_free && view.copy(name, to_db, to);
    reply.integer(i64::from(is_copied));
    Ok(())
}

fn del(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.count(args.iter().skip(1).filter(|name| view.drop_name(name, Cause::Del)).count());
    Ok(())
}

fn exists(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.count(args.iter().skip(1).filter(|name| view.peek_kind(name).is_some()).count());
    Ok(())
}

fn keys(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let pattern = args.get(1);
    let mut names = Vec::new();
    match is_literal(pattern) {
        Some(name) => names.extend(view.peek_kind(name).map(|_| name)),
        None => view.each_name(|entry| {
            if entry.kind().is_some() && matches(pattern, entry.name()) {
                names.push(entry.name());
            }
        }),
    }
    view.settings().check_reply_len(names.iter().map(|name| bulk_bytes(name)).sum(), "SCAN")?;

    reply.array(names.len());
    names.into_iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn move_(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let to_db = database(args.get(2))?;
    if to_db == view.db() {
        return Err(SAME_OBJECT);
    }

    if view.kind_in(to_db, args.get(1)).is_none() {
        view.check_moved(args.get(1), to_db, args.get(1))?;
    }
    let is_moved = view.move_name(args.get(1), to_db);
    reply.integer(i64::from(is_moved));
    Ok(())
}

fn object_encoding(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let encoding = view.header(args.get(2)).map(|entry| encoding(view, entry));
    reply.bulk_or_null(encoding.map(str::as_bytes));
    Ok(())
}

fn object_freq(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let usage = view.settings().eviction.usage;
    match view.header(args.get(2)) {
        None => reply.null(),
        Some(_) if usage == Usage::Recency => {
            return Err(Error::plain(
                "An LFU maxmemory policy is not selected, access frequency not tracked. Please \
                 note that when switching between policies at runtime LRU and LFU data will take \
                 some time to adjust.",
            ));
        }
        Some(entry) => reply.integer(i64::from(entry.frequency(usage, view.now_ms()))),
    }
    Ok(())
}

fn object_idletime(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let usage = view.settings().eviction.usage;
    match view.header(args.get(2)) {
        None => reply.null(),
        Some(_) if usage != Usage::Recency => {
            return Err(Error::plain(
                "An LFU maxmemory policy is selected, idle time not tracked. Please note that \
                 when switching between policies at runtime LRU and LFU data will take some time \
                 to adjust.",
            ));
        }
        Some(entry) => reply.integer(entry.idle_s(usage, view.now_ms()) as i64),
    }
    Ok(())
}

fn object_refcount(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    // Values are not shared here, but Redis shares small integers and says so with this number, unless
    // every value has to remember its own use.
    const SHARED: i64 = i32::MAX as i64;
    let shares = !view.settings().eviction.policy.needs_use();
    match view.header(args.get(2)) {
        Some(entry) => reply.integer(match entry.string().and_then(parse_i64) {
            Some(0..10_000) if shares && !entry.is_raw() => SHARED,
            _ => 1,
        }),
        None => reply.null(),
    }
    Ok(())
}

fn randomkey(view: &View<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.bulk_or_null(view.random_name());
    Ok(())
}

fn rename(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, to) = (args.get(1), args.get(2));
    if view.kind(name).is_none() {
        return Err(Error::NoSuchKey);
    }
    view.check_moved(name, view.db(), to)?;

    if name != to {
        view.rename(name, to);
    }
    reply.ok();
    Ok(())
}

fn renamenx(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, to) = (args.get(1), args.get(2));
    if view.kind(name).is_none() {
        return Err(Error::NoSuchKey);
    }

    let is_free = view.kind(to).is_none();
    if is_free {
        view.check_moved(name, view.db(), to)?;
        view.rename(name, to);
    }
    reply.integer(i64::from(is_free));
    Ok(())
}

/// Redis's types of values; most are not part of this store.
const TYPES: [&str; 6] = ["string", "list", "set", "zset", "hash", "stream"];

fn scan(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let cursor = parse_u64(args.get(1)).ok_or(Error::plain("invalid cursor"))?;
    let (mut pattern, mut count, mut kind) = (&b"*"[..], 10, None);
    let mut options = Cursor::new(args, 2);
    while options.left() > 0 {
        if options.accept("MATCH") {
            pattern = options.required()?;
        } else if options.accept("COUNT") {
            count = options.integer()?;
            if count < 1 {
                return Err(Error::Syntax);
            }
        } else if options.accept("TYPE") {
            let wanted = options.required()?;
            if !TYPES.iter().any(|known| is(wanted, known)) {
                let wanted = String::from_utf8_lossy(wanted);
                return Err(Error::plain(format!("unknown type name '{wanted}'")));
            }
            kind = Some(wanted);
        } else if options.accept("NOVALUES") {
            return Err(Error::plain("NOVALUES option can only be used in HSCAN"));
        } else {
            return Err(Error::Syntax);
        }
    }

    let is_wanted = |entry: &NameEntry| {
        let is_of_kind = kind.is_none_or(|kind| is(kind, type_name(entry.kind())));
        is_of_kind && matches(pattern, entry.name())
    };
    let mut names = Vec::new();
    let cursor = view.scan(cursor, count as usize, is_wanted, |entry| names.push(entry.name()));
    let bytes = names.iter().map(|name| bulk_bytes(name)).sum();
    view.settings().check_reply_len(bytes, "a smaller COUNT")?;
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(cursor).as_bytes());
    reply.array(names.len());
    names.into_iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn touch(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.count(args.iter().skip(1).filter(|name| view.touch(name)).count());
    Ok(())
}

fn type_(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.simple(type_name(view.peek_kind(args.get(1))));
    Ok(())
}

const SAME_OBJECT: Error =
    Error::Plain(std::borrow::Cow::Borrowed("source and destination objects are the same"));

/// Redis's word for what a name holds.
fn type_name(kind: Option<Kind>) -> &'static str {
    match kind {
        None => "none",
        Some(Kind::String) => "string",
        Some(Kind::Namespace) => "hash",
    }
}

/// What Redis would call the encoding of a value. How values are kept here has no such cases.
pub(super) fn encoding(view: &View<'_>, entry: &NameEntry) -> &'static str {
    const EMBEDDED_LEN_MAX_BYTES: usize = 44;
    if let Some(value) = entry.string() {
        return if entry.is_raw() || value.len() > EMBEDDED_LEN_MAX_BYTES {
            "raw"
        } else if parse_i64(value).is_some() {
            "int"
        } else {
            "embstr"
        };
    }
    let settings = view.settings();
    let fits = |bytes: &[u8]| bytes.len() <= settings.hash_max_listpack_value_bytes;
    match view.pairs(entry) {
        Ok(pairs)
            if pairs.len() <= settings.hash_max_listpack_entries
                && pairs.iter().all(|pair| fits(pair.key) && fits(pair.value)) =>
        {
            let has_deadline = pairs.iter().any(|pair| pair.deadline_ms.is_some());
            if has_deadline { "listpackex" } else { "listpack" }
        }
        _ => "hashtable",
    }
}

/// Whether a name matches a pattern. Unlike [`glob_match`], `*` matches the empty name too.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    pattern == b"*" || glob_match(pattern, name, false)
}
