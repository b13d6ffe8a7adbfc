//! DEBUG: what tests need to look into the server or to hold it up. Off unless `enable-debug-command`
//! allows it. What could only be answered by Redis's own insides is not here.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::args::{integer, is};
use super::dump::{dump_name, put};
use super::generic::encoding;
use super::{Command, Family};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::journal::effect::Cause;
use crate::number::parse_f64;
use crate::rdb::dump;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::{DATABASES, Kind, NewDeadline, View};

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

/// Longest DEBUG SLEEP.
const SLEEP_MAX_S: f64 = 10.0;
/// Most names that DEBUG POPULATE makes, and the longest value of each.
const POPULATE_NAMES_MAX: i64 = 10_000_000;
const POPULATE_BYTES_MAX: i64 = 1 << 20;

const COMMANDS: &[Command] = &[Command::session("DEBUG", "subcommand [argument ...]", debug)
    .about("1.0.0", "Has what tests need to look into the server.")
    .admin()
    .every_name()
    .while_loading()];

/// What DEBUG can do.
struct Subcommand {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    /// Its arguments, from the third word on.
    args_min: usize,
    args_max: usize,
    run: fn(&mut Context<'_, '_>, Args<'_>, &mut Reply<'_>) -> Result,
}

const fn sub(
    name: &'static str,
    arguments: &'static str,
    (args_min, args_max): (usize, usize),
    run: fn(&mut Context<'_, '_>, Args<'_>, &mut Reply<'_>) -> Result,
    about: &'static str,
) -> Subcommand {
    Subcommand { name, arguments, about, args_min, args_max, run }
}

const SUBCOMMANDS: &[Subcommand] = &[
    sub("DIGEST", "", (0, 0), digest, "Returns a number that stands for all data."),
    sub(
        "DIGEST-VALUE",
        "key [key ...]",
        (1, usize::MAX),
        digest_value,
        "Returns a number for each value, the same for equal values.",
    ),
    sub("ERROR", "message", (1, 1), error, "Replies with an error."),
    sub("HELP", "", (0, 0), help, "Returns what the subcommands do."),
    sub("LISTPACK", "key", (1, 1), listpack, "Writes the pairs of a small namespace to the log."),
    sub("LOADAOF", "", (0, 0), reload, "Does what RELOAD does."),
    sub("LOG", "message", (1, 1), log, "Writes a message to the server's log."),
    sub("OBJECT", "key", (1, 1), object, "Returns how a value is kept."),
    sub("PAUSE-CRON", "<0 | 1>", (1, 1), pause_cron, "Stops what is done in the background."),
    sub(
        "POPULATE",
        "count [prefix [size]]",
        (1, 3),
        populate,
        "Makes strings named prefix:0 and so on, unless they are there.",
    ),
    sub("PROTOCOL", "type", (1, 1), protocol, "Replies with a value of a type of the protocol."),
    sub(
        "RELOAD",
        "[MERGE] [NOFLUSH] [NOSAVE]",
        (0, 3),
        reload,
        "Writes every value as a snapshot would, and reads it again.",
    ),
    sub(
        "REPLYBUFFER",
        "<RESIZING <0 | 1> | PEAK-RESET-TIME ms>",
        (2, 2),
        replybuffer,
        "Does nothing: no client keeps a buffer for its replies.",
    ),
    sub(
        "SET-ACTIVE-EXPIRE",
        "<0 | 1>",
        (1, 1),
        set_active_expire,
        "Sets whether what has expired is freed in the background.",
    ),
    sub(
        "SET-DISABLE-DENY-SCRIPTS",
        "<0 | 1>",
        (1, 1),
        set_disable_deny_scripts,
        "Sets whether scripts may call every command.",
    ),
    sub(
        "SLEEP",
        "seconds",
        (1, 1),
        sleep,
        "Keeps this connection's thread from working, for 10 seconds at most.",
    ),
];

fn debug(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if !context.is_allowed(context.executor.server.config().enable_debug_command) {
        return Err(Error::plain(
            "DEBUG command not allowed. If the enable-debug-command option is set to \"local\", \
             you can run it from a local connection, otherwise you need to set this option in the \
             configuration file, and then restart the server.",
        ));
    }
    let given = args.len() - 2;
    let fits =
        |of: &&Subcommand| is(args.get(1), of.name) && (of.args_min..=of.args_max).contains(&given);
    match SUBCOMMANDS.iter().find(fits) {
        Some(subcommand) => (subcommand.run)(context, args, reply),
        None => {
            let name = String::from_utf8_lossy(&args.get(1)[..args.get(1).len().min(128)]);
            Err(Error::plain(format!(
                "unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP."
            )))
        }
    }
}

fn help(_context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.array(1 + 2 * SUBCOMMANDS.len());
    reply.simple("DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for of in SUBCOMMANDS {
        reply.simple(format!("{} {}", of.name, of.arguments).trim_end());
        reply.simple(&format!("    {}", of.about));
    }
    Ok(())
}

fn digest(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut whole = [0; 20];
    for db in 0..DATABASES {
        context.executor.view(db, context.session, |view| {
            let mut names = Vec::new();
            view.each_name(|entry| names.push((entry.name().to_vec(), entry.deadline_ms())));
            for (name, deadline_ms) in names {
                let value = value_digest(view, &name);
                let deadline = deadline_ms.unwrap_or(0).to_le_bytes();
                mix(&mut whole, &[&db.to_le_bytes(), &name, &deadline, &value]);
            }
        });
    }
    reply.simple(&hex(&whole));
    Ok(())
}

fn digest_value(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let db = context.session.db;
    let digests: Vec<String> = context.executor.view(db, context.session, |view| {
        args.iter().skip(2).map(|name| hex(&value_digest(view, name))).collect()
    });
    reply.array(digests.len());
    digests.iter().for_each(|digest| reply.simple(digest));
    Ok(())
}

/// The message begins with the error's code.
fn error(_context: &mut Context<'_, '_>, args: Args<'_>, _reply: &mut Reply<'_>) -> Result {
    Err(Error::coded(String::from_utf8_lossy(args.get(2))))
}

fn listpack(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (db, name) = (context.session.db, args.get(2));
    context.executor.view(db, context.session, |view| {
        let header = view.unreaped(name).ok_or(Error::NoSuchKey)?;
        if !encoding(view, header).starts_with("listpack") {
            return Err(Error::plain("Not a listpack encoded object."));
        }
        for pair in view.pairs(header)?.iter() {
            let shown = |bytes| String::from_utf8_lossy(bytes).into_owned();
            tracing::info!(key = shown(pair.key), value = shown(pair.value), pair.deadline_ms);
        }
        Ok(())
    })?;
    reply.simple("Listpack structure printed on stdout");
    Ok(())
}

fn log(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    tracing::warn!("DEBUG LOG: {}", args.get(2).escape_ascii());
    reply.ok();
    Ok(())
}

fn object(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (db, name) = (context.session.db, args.get(2));
    let now_ms = context.executor.now_ms();
    let shown = context.executor.view(db, context.session, |view| {
        let entry = view.unreaped(name).ok_or(Error::NoSuchKey)?;
        let idle_s = entry.idle_s(view.settings().eviction.usage, now_ms);
        let len = dump_name(view, name)?.map_or(0, |payload| payload.len());
        let (lru, encoding) = ((now_ms / 1000).saturating_sub(idle_s), encoding(view, entry));
        Ok(format!(
            "Value at:{entry:p} refcount:1 encoding:{encoding} serializedlength:{len} lru:{lru} \
             lru_seconds_idle:{idle_s}"
        ))
    });
    reply.simple(&shown?);
    Ok(())
}

fn pause_cron(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let is_paused = flag(args.get(2))?;
    context.executor.server.cron_is_paused.store(is_paused, Relaxed);
    reply.ok();
    Ok(())
}

fn populate(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let within = |number: i64, max: i64| {
        (0..=max).contains(&number).then_some(number).ok_or(Error::plain("value is out of range"))
    };
    let count = within(integer(args.get(2))?, POPULATE_NAMES_MAX)?;
    let prefix = args.iter().nth(3).unwrap_or(b"key");
    let size = args.iter().nth(4).map(integer).transpose()?;
    let size = size.map(|size| within(size, POPULATE_BYTES_MAX)).transpose()?;

    let db = context.session.db;
    context.executor.view(db, context.session, |view| {
        for number in 0..count {
            let name = [prefix, format!(":{number}").as_bytes()].concat();
            if view.peek_kind(&name).is_none() {
                let mut value = format!("value:{number}").into_bytes();
                size.into_iter().for_each(|size| value.resize(size as usize, 0));
                view.put_string(&name, &value, NewDeadline::Clear, Cause::Set);
            }
        }
    });
    reply.ok();
    Ok(())
}

fn protocol(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    match args.get(2).to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        // What Redis shows as a double; not a coarse pi.
        b"double" => reply.double(3141.0 / 1000.0),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.integer(n);
                reply.boolean(n == 1);
            }
        }
        b"attrib" => {
            if reply.is_resp3() {
                reply.encoded(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if reply.is_resp3() => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
        }
        b"push" => return Err(Error::plain("RESP2 is not supported by this command")),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim("This is a verbatim\nstring"),
        b"bignum" => reply.big_number(b"1234567999999999999999999999999999999"),
        _ => {
            return Err(Error::plain(
                "Wrong protocol type name. Please use one of the following: \
                 string|integer|double|null|array|set|map|attrib|push|verbatim|true|false|bignum",
            ));
        }
    }
    Ok(())
}

fn replybuffer(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    match args.get(2) {
        word if is(word, "RESIZING") => drop(flag(args.get(3))?),
        word if is(word, "PEAK-RESET-TIME") => match args.get(3) {
            word if is(word, "NEVER") || is(word, "RESET") => {}
            ms => drop(integer(ms)?),
        },
        _ => return Err(Error::Syntax),
    }
    reply.ok();
    Ok(())
}

/// Loads nothing from the disk: what stands in memory goes through the snapshot's format and back.
fn reload(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let is_option = |arg: &[u8]| ["MERGE", "NOFLUSH", "NOSAVE"].iter().any(|word| is(arg, word));
    if !args.iter().skip(2).all(is_option) {
        return Err(Error::plain(
            "DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
        ));
    }
    let has = |word: &str| args.iter().skip(2).any(|arg| is(arg, word));
    if has("NOFLUSH") && !has("MERGE") && !is_empty(context) {
        return Err(Error::plain("Error trying to load the RDB dump, check server logs."));
    }
    for db in 0..DATABASES {
        context.executor.view(db, context.session, |view| {
            let mut names = Vec::new();
            view.each_name(|entry| {
                names.push((entry.name().to_vec(), entry.deadline_ms(), entry.is_kept()));
            });
            for (name, deadline_ms, is_kept) in names {
                let Some(payload) = dump_name(view, &name)? else { continue };
                let value = dump::read(&payload).map_err(|_| Error::plain("Bad data format"))?;
                let deadline = deadline_ms.map_or(NewDeadline::Clear, NewDeadline::At);
                put(view, &name, &value, deadline)?;
                if is_kept {
                    view.keep(&name, Cause::Kept)?;
                }
            }
            Ok::<(), Error>(())
        })?;
    }
    reply.ok();
    Ok(())
}

/// Whether there is nothing that what is read could meet.
fn is_empty(context: &mut Context<'_, '_>) -> bool {
    let (_, libraries) = context.executor.server.store.libraries.all();
    let mut dbs = 0..DATABASES;
    libraries.is_empty()
        && dbs.all(|db| context.executor.view(db, context.session, |view| view.is_empty()))
}

fn set_disable_deny_scripts(
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let may_call_all = integer(args.get(2))? != 0;
    context.executor.server.scripts.may_call_all.store(may_call_all, Relaxed);
    reply.ok();
    Ok(())
}

fn set_active_expire(
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let is_active = flag(args.get(2))?;
    context.executor.server.active_expire.store(is_active, Relaxed);
    reply.ok();
    Ok(())
}

/// Holds no stripe, except in a transaction, but all connections of this thread wait.
fn sleep(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let seconds = parse_f64(args.get(2)).ok_or(Error::NotAFloat)?;

    context.executor.let_others();
    std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, SLEEP_MAX_S)));
    reply.ok();
    Ok(())
}

fn flag(arg: &[u8]) -> Result<bool> {
    match arg {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(Error::Syntax),
    }
}

/// Stands for a value, whatever the order of its pairs is; zeros for none.
fn value_digest(view: &View<'_>, name: &[u8]) -> [u8; 20] {
    let mut whole = [0; 20];
    match view.peek_kind(name) {
        Some(Kind::String) => {
            mix(&mut whole, &[b"string", view.string(name).ok().flatten().unwrap_or_default()]);
        }
        Some(Kind::Namespace) => {
            for pair in view.namespace(name).ok().flatten().iter().flat_map(|pairs| pairs.iter()) {
                let deadline = pair.deadline_ms.unwrap_or(0).to_le_bytes();
                mix(&mut whole, &[b"pair", pair.key, pair.value, &deadline]);
            }
        }
        None => {}
    }
    whole
}

/// Adds some parts, in an order of their own, to what has no order.
fn mix(whole: &mut [u8; 20], parts: &[&[u8]]) {
    let mut sha = sha1_smol::Sha1::new();
    for part in parts {
        sha.update(&part.len().to_le_bytes());
        sha.update(part);
    }
    whole.iter_mut().zip(sha.digest().bytes()).for_each(|(byte, more)| *byte ^= more);
}
