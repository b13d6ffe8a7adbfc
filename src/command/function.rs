//! FCALL and FUNCTION: functions in libraries, which are kept with the data.
//!
//! What a library is, is [`crate::script::library`]'s matter; how a function is run,
//! [`crate::dispatch::script`]'s.

use super::args::{Cursor, is};
use super::scripting::{check_enabled, engine};
use super::{Command, Family, Touches, help};
use crate::dispatch::Context;
use crate::dispatch::script::{Call, Change};
use crate::error::{Error, Result};
use crate::glob::glob_match;
use crate::number::parse_i64;
use crate::rdb::dump::{self as payload, Refused};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::script::engine::Engine;
use crate::script::library::{Libraries, Library};

/// The family.
pub const FAMILY: Family = Family { group: "scripting", category: "scripting", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::session("FCALL", "function numkeys [key [key ...]] [arg [arg ...]]", fcall)
        .about("7.0.0", "Invokes a function.")
        .may_replicate(),
    Command::session("FCALL_RO", "function numkeys [key [key ...]] [arg [arg ...]]", fcall_ro)
        .about("7.0.0", "Invokes a read-only function.")
        .touching(Touches::Reads),
    Command::container("FUNCTION").about("7.0.0", "Has the commands for functions."),
    Command::session("FUNCTION DELETE", "library-name", delete)
        .about("7.0.0", "Deletes a library and its functions.")
        .touching(Touches::Writes),
    Command::session("FUNCTION DUMP", "", dump)
        .about("7.0.0", "Returns all libraries in a form that FUNCTION RESTORE takes."),
    Command::session("FUNCTION FLUSH", "[ASYNC | SYNC]", flush)
        .about("7.0.0", "Deletes all libraries and functions.")
        .touching(Touches::Writes),
    Command::session("FUNCTION HELP", "", help::help)
        .about("7.0.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("FUNCTION KILL", "", kill)
        .about("7.0.0", "Ends the function that is running, if it has changed nothing."),
    Command::session("FUNCTION LIST", "[LIBRARYNAME library-name-pattern] [WITHCODE]", list)
        .about("7.0.0", "Returns information about all libraries."),
    Command::session("FUNCTION LOAD", "[REPLACE] function-code", load)
        .about("7.0.0", "Creates a library.")
        .denies_oom()
        .touching(Touches::Writes),
    Command::session("FUNCTION RESTORE", "serialized-value [FLUSH | APPEND | REPLACE]", restore)
        .about("7.0.0", "Restores libraries from what FUNCTION DUMP returned, here or in Redis.")
        .denies_oom()
        .touching(Touches::Writes),
    Command::session("FUNCTION STATS", "", stats)
        .about("7.0.0", "Returns information about the function that is running."),
];

fn fcall(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    run(context, args, false, reply)
}

fn fcall_ro(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    run(context, args, true, reply)
}

fn run(
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    is_read_only: bool,
    reply: &mut Reply<'_>,
) -> Result {
    check_enabled(context)?;
    let mut engine = engine(context)?;
    let found = engine.by_name(&context.executor.server.store.libraries, args.get(1));
    let found = found.and_then(|compiled| Ok((compiled, keys(args)?)));
    let (compiled, keys) = match found {
        Ok(found) => found,
        Err(error) => {
            engine.put_back();
            return Err(error);
        }
    };
    let call = Call { compiled, args, keys, is_read_only };
    context.executor.run_script(context.session, engine, &call, reply)
}

/// How many of the arguments are names.
fn keys(args: Args<'_>) -> Result<usize> {
    let keys = parse_i64(args.get(2)).ok_or(Error::plain("Bad number of keys provided"))?;
    if keys > args.len() as i64 - 3 {
        return Err(Error::plain("Number of keys can't be greater than number of args"));
    }
    usize::try_from(keys).map_err(|_| Error::plain("Number of keys can't be negative"))
}

fn load(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    check_enabled(context)?;
    let mut options = Cursor::new(args, 2);
    let mut replaces = false;
    while options.left() > 1 {
        if !options.accept("REPLACE") {
            let word = String::from_utf8_lossy(options.required()?);
            return Err(Error::plain(format!("Unknown option given: {word}")));
        }
        replaces = true;
    }
    let code = options.required()?;

    let mut name = String::new();
    context.executor.change_libraries(|engine| {
        let library = engine.load_library(code)?;
        name.clone_from(&library.name);
        engine.libraries.check(&library, replaces, "'")?;
        engine.libraries.insert(library);
        Ok(Change::One(name.clone()))
    })?;
    reply.bulk(name.as_bytes());
    Ok(())
}

fn delete(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = String::from_utf8_lossy(args.get(2));
    context.executor.change_libraries(|engine| match engine.libraries.remove(&name) {
        Some(_) => Ok(Change::One(name.clone().into_owned())),
        None => Err(Error::plain("Library not found")),
    })?;
    reply.ok();
    Ok(())
}

fn flush(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut options = Cursor::new(args, 2);
    let _ = options.accept("SYNC") || options.accept("ASYNC");
    match (args.len(), options.left()) {
        (_, 0) => {}
        (3, _) => return Err(Error::plain("FUNCTION FLUSH only supports SYNC|ASYNC option")),
        _ => return Err(too_many("flush")),
    }

    context.executor.change_libraries(|engine| {
        engine.libraries = Libraries::default();
        Ok(Change::All)
    })?;
    reply.ok();
    Ok(())
}

fn dump(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (_, named) = context.executor.server.store.libraries.all();
    reply.bulk(&payload::libraries(named.iter().map(|(_, code)| &**code)));
    Ok(())
}

fn restore(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    const POLICY: &str =
        "Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.";
    let mut options = Cursor::new(args, 3);
    let flushes = options.accept("FLUSH");
    let replaces = !flushes && options.accept("REPLACE");
    let _ = !flushes && !replaces && options.accept("APPEND");
    match (args.len(), options.left()) {
        (_, 0) => {}
        (4, _) => return Err(Error::plain(POLICY)),
        _ => return Err(too_many("restore")),
    }
    let codes = payload::read_libraries(args.get(2)).map_err(|refused| match refused {
        Refused::Footer => Error::plain("DUMP payload version or checksum are wrong"),
        _ => Error::plain("given type is not a function"),
    })?;

    context.executor.change_libraries(|engine| {
        if flushes {
            engine.libraries = Libraries::default();
        }
        codes.iter().try_for_each(|code| restore_one(engine, code, replaces))?;
        Ok(Change::All)
    })?;
    reply.ok();
    Ok(())
}

fn restore_one(engine: &mut Engine, code: &[u8], replaces: bool) -> Result {
    let library = engine.load_library(code)?;
    engine.libraries.check(&library, replaces, "")?;
    engine.libraries.insert(library);
    Ok(())
}

fn too_many(subcommand: &str) -> Error {
    Error::plain(format!(
        "unknown subcommand or wrong number of arguments for '{subcommand}'. Try FUNCTION HELP."
    ))
}

fn list(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut options = Cursor::new(args, 2);
    let (mut pattern, mut with_code) = (None, false);
    while let Some(word) = options.optional() {
        if !with_code && is(word, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && is(word, "LIBRARYNAME") {
            let text = "library name argument was not given";
            pattern = Some(options.optional().ok_or(Error::plain(text))?);
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(Error::plain(format!("Unknown argument {word}")));
        }
    }

    let engine = synced(context)?;
    let is_shown = |library: &&Library| {
        pattern.is_none_or(|pattern| glob_match(pattern, library.name.as_bytes(), true))
    };
    let shown: Vec<&Library> = engine.libraries.by_name.values().filter(is_shown).collect();
    reply.array(shown.len());
    for library in shown {
        reply.map(if with_code { 4 } else { 3 });
        reply.bulk(b"library_name");
        reply.bulk(library.name.as_bytes());
        reply.bulk(b"engine");
        reply.bulk(b"LUA");
        reply.bulk(b"functions");
        list_functions(library, reply);
        if with_code {
            reply.bulk(b"library_code");
            reply.bulk(&library.code);
        }
    }
    engine.put_back();
    Ok(())
}

fn list_functions(library: &Library, reply: &mut Reply<'_>) {
    reply.array(library.functions.len());
    for (name, function) in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(name.as_bytes());
        reply.bulk(b"description");
        reply.bulk_or_null(function.description.as_deref());
        reply.bulk(b"flags");
        let flags = function.compiled.flags.names();
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
}

/// How many libraries there are, and how many functions. While a function runs its thread's Lua is not
/// there, and functions are not counted; the number of libraries does not change.
pub(super) fn counts(context: &Context<'_, '_>) -> (usize, usize) {
    if context.executor.server.store.libraries.is_empty() {
        return (0, 0);
    }
    match synced(context) {
        Ok(engine) => {
            let counts = (engine.libraries.by_name.len(), engine.libraries.functions());
            engine.put_back();
            counts
        }
        Err(_) => (context.executor.server.store.libraries.len(), 0),
    }
}

fn stats(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    let running = server.store.turn.running();
    if running.as_ref().is_some_and(|running| running.is_eval) {
        return Err(server.store.turn.busy());
    }
    let (libraries, functions) = counts(context);
    reply.map(2);
    reply.bulk(b"running_script");
    match running {
        None => reply.null(),
        Some(running) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(running.name.as_bytes());
            reply.bulk(b"command");
            reply.array(running.command.len());
            running.command.iter().for_each(|word| reply.bulk(word));
            reply.bulk(b"duration_ms");
            let now_ms = server.store.clock.now_ms();
            reply.integer(now_ms.saturating_sub(running.started_ms) as i64);
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.count(libraries);
    reply.bulk(b"functions_count");
    reply.count(functions);
    Ok(())
}

fn kill(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    context.executor.server.store.turn.kill(false)?;
    reply.ok();
    Ok(())
}

/// This thread's Lua, with all libraries loaded that can be.
fn synced(context: &Context<'_, '_>) -> Result<Box<Engine>> {
    let mut engine = engine(context)?;
    let _ = engine.sync(&context.executor.server.store.libraries);
    Ok(engine)
}
