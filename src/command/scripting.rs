//! EVAL and its relatives, and SCRIPT. How scripts are run is [`crate::dispatch::script`]'s matter.

use std::rc::Rc;

use super::args::{Cursor, is};
use super::{Command, Family, Touches, help};
use crate::dispatch::Context;
use crate::dispatch::script::Call;
use crate::error::{Error, Result};
use crate::number::parse_i64;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::script::engine::{Compiled, Engine};
use crate::script::{Scripts, no_script, sha_named};

/// The family.
pub const FAMILY: Family = Family { group: "scripting", category: "scripting", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::session("EVAL", "script numkeys [key [key ...]] [arg [arg ...]]", eval)
        .about("2.6.0", "Executes a server-side Lua script.")
        .may_replicate(),
    Command::session("EVALSHA", "sha1 numkeys [key [key ...]] [arg [arg ...]]", evalsha)
        .about("2.6.0", "Executes a server-side Lua script by SHA1 digest.")
        .may_replicate(),
    Command::session("EVALSHA_RO", "sha1 numkeys [key [key ...]] [arg [arg ...]]", evalsha_ro)
        .about("7.0.0", "Executes a read-only server-side Lua script by SHA1 digest.")
        .touching(Touches::Reads),
    Command::session("EVAL_RO", "script numkeys [key [key ...]] [arg [arg ...]]", eval_ro)
        .about("7.0.0", "Executes a read-only server-side Lua script.")
        .touching(Touches::Reads),
    Command::container("SCRIPT").about("2.6.0", "Has the commands for scripts."),
    Command::session("SCRIPT DEBUG", "<YES | SYNC | NO>", debug)
        .about("3.2.0", "Sets the debug mode of scripts; here, NO is the only one."),
    Command::session("SCRIPT EXISTS", "sha1 [sha1 ...]", exists)
        .about("2.6.0", "Determines whether scripts are remembered."),
    Command::session("SCRIPT FLUSH", "[ASYNC | SYNC]", flush)
        .about("2.6.0", "Forgets all scripts."),
    Command::session("SCRIPT HELP", "", help::help)
        .about("5.0.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("SCRIPT KILL", "", kill)
        .about("2.6.0", "Ends the script that is running, if it has changed nothing."),
    Command::session("SCRIPT LOAD", "script", load)
        .about("2.6.0", "Remembers a script, without executing it."),
];

/// Commands, containers of commands and subcommands that scripts may not call.
const REFUSED_IN_SCRIPTS: &[&str] = &[
    "ACL",
    "AUTH",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLIENT",
    "CLUSTER RESET",
    "CONFIG",
    "DEBUG",
    "DISCARD",
    "EVAL",
    "EVALSHA",
    "EVALSHA_RO",
    "EVAL_RO",
    "EXEC",
    "FAILOVER",
    "FCALL",
    "FCALL_RO",
    "FUNCTION",
    "HELLO",
    "LATENCY",
    "MODULE",
    "MIGRATE",
    "MONITOR",
    "MULTI",
    "PSUBSCRIBE",
    "PSYNC",
    "PUNSUBSCRIBE",
    "QUIT",
    "REPLCONF",
    "REPLICAOF",
    "RESET",
    "ROLE",
    "SAVE",
    "SCRIPT",
    "SHUTDOWN",
    "SLAVEOF",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SUNSUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WATCH",
];

/// Commands that run while a script is busy.
const ALLOWED_WHILE_BUSY: &[&str] = &[
    "AUTH",
    "DISCARD",
    "FUNCTION KILL",
    "FUNCTION STATS",
    "HELLO",
    "MULTI",
    "QUIT",
    "REPLCONF",
    "RESET",
    "SCRIPT KILL",
    "SHUTDOWN",
    "UNWATCH",
    "WATCH",
];

/// Whether scripts may not call the command of this name.
pub fn is_refused_in_scripts(name: &str) -> bool {
    let container = name.split(' ').next().unwrap_or(name);
    let is_help = name.ends_with(" HELP");
    !is_help && (REFUSED_IN_SCRIPTS.contains(&name) || REFUSED_IN_SCRIPTS.contains(&container))
}

/// Whether the command of this name runs while a script is busy.
pub fn is_allowed_while_busy(name: &str) -> bool {
    ALLOWED_WHILE_BUSY.contains(&name)
}

fn eval(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    run(context, args, false, reply, |engine, scripts| engine.by_text(scripts, args.get(1)))
}

fn eval_ro(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    run(context, args, true, reply, |engine, scripts| engine.by_text(scripts, args.get(1)))
}

fn evalsha(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let sha = sha_named(args.get(1)).ok_or_else(no_script)?;
    run(context, args, false, reply, |engine, scripts| engine.by_sha(scripts, &sha))
}

fn evalsha_ro(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let sha = sha_named(args.get(1)).ok_or_else(no_script)?;
    run(context, args, true, reply, |engine, scripts| engine.by_sha(scripts, &sha))
}

fn run(
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    is_read_only: bool,
    reply: &mut Reply<'_>,
    find: impl FnOnce(&mut Engine, &Scripts) -> Result<Rc<Compiled>>,
) -> Result {
    check_enabled(context)?;
    let keys = keys(args)?;
    let mut engine = engine(context)?;
    let compiled = match find(&mut engine, &context.executor.server.scripts) {
        Ok(compiled) => compiled,
        Err(error) => {
            engine.put_back();
            return Err(error);
        }
    };
    if let Some(script) = &compiled.script {
        context.executor.server.scripts.touch(script);
    }
    let call = Call { compiled, args, keys, is_read_only };
    context.executor.run_script(context.session, engine, &call, reply)
}

fn exists(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let scripts = &context.executor.server.scripts;
    reply.array(args.len() - 2);
    for name in args.iter().skip(2) {
        let is_there = sha_named(name).is_some_and(|sha| scripts.find(&sha).is_some());
        reply.integer(i64::from(is_there));
    }
    Ok(())
}

fn flush(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut options = Cursor::new(args, 2);
    let _ = options.accept("SYNC") || options.accept("ASYNC");
    if options.left() > 0 {
        return Err(Error::plain("SCRIPT FLUSH only support SYNC|ASYNC option"));
    }

    context.executor.server.scripts.flush();
    reply.ok();
    Ok(())
}

fn load(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    check_enabled(context)?;
    let mut engine = engine(context)?;
    let loaded = engine.load(&context.executor.server.scripts, args.get(2));
    engine.put_back();
    reply.bulk(&loaded?);
    Ok(())
}

fn kill(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    context.executor.server.store.turn.kill(true)?;
    reply.ok();
    Ok(())
}

fn debug(_: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    match args.get(2) {
        mode if is(mode, "NO") => reply.ok(),
        mode if is(mode, "YES") || is(mode, "SYNC") => {
            return Err(Error::plain("scripts can not be debugged on this server"));
        }
        _ => return Err(Error::plain("Use SCRIPT DEBUG YES/SYNC/NO")),
    }
    Ok(())
}

/// Refuses if `enable-scripting` says so.
pub(super) fn check_enabled(context: &Context<'_, '_>) -> Result {
    match context.executor.server.scripts.is_enabled {
        true => Ok(()),
        false => Err(Error::plain("scripting is turned off by enable-scripting")),
    }
}

/// This thread's Lua.
pub(super) fn engine(context: &Context<'_, '_>) -> Result<Box<Engine>> {
    Engine::take().ok_or_else(|| context.executor.server.store.turn.busy())
}

/// How many of the arguments are names.
fn keys(args: Args<'_>) -> Result<usize> {
    let keys = parse_i64(args.get(2)).ok_or(Error::NotAnInteger)?;
    let keys = usize::try_from(keys);
    let keys = keys.map_err(|_| Error::plain("Number of keys can't be negative"))?;
    if keys > args.len() - 3 {
        return Err(Error::plain("Number of keys can't be greater than number of args"));
    }
    Ok(keys)
}
