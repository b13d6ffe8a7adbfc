//! Commands for whoever runs the server: DEBUG, SHUTDOWN, TIME. CONFIG and INFO have files of their own.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::args::Cursor;
use super::{Command, Family, help};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::number::parse_f64;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::clients::Flag;

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

/// Longest DEBUG SLEEP.
const SLEEP_MAX_S: f64 = 10.0;

const COMMANDS: &[Command] = &[
    Command::container("DEBUG")
        .about("1.0.0", "Has the commands for tests of the server.")
        .admin()
        .while_loading(),
    Command::session("DEBUG HELP", "", debug_help)
        .about("1.0.0", "Returns what the subcommands do.")
        .admin()
        .while_loading(),
    Command::session("DEBUG SET-ACTIVE-EXPIRE", "<0 | 1>", set_active_expire)
        .about("1.0.0", "Sets whether what has expired is freed in the background.")
        .admin()
        .while_loading(),
    Command::session("DEBUG SLEEP", "seconds", sleep)
        .about("1.0.0", "Keeps this connection's thread from working, for 10 seconds at most.")
        .admin()
        .no_multi()
        .while_loading(),
    Command::session("MONITOR", "", monitor)
        .about("1.0.0", "Shows every command that is run.")
        .admin()
        .while_loading(),
    Command::session("SHUTDOWN", "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]", shutdown)
        .about("1.0.0", "Stops the server.")
        .admin()
        .no_multi()
        .while_loading(),
    Command::session("TIME", "", time)
        .about("2.6.0", "Returns the server's time: unix seconds, and microseconds.")
        .fast()
        .while_loading(),
];

fn debug_help(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    check_enabled(context)?;
    help::help(context, args, reply)
}

fn set_active_expire(
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    check_enabled(context)?;
    let is_active = match args.get(2) {
        b"0" => false,
        b"1" => true,
        _ => return Err(Error::Syntax),
    };

    context.executor.server.active_expire.store(is_active, Relaxed);
    reply.ok();
    Ok(())
}

/// Holds no stripe, but all connections of this thread wait.
fn sleep(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    check_enabled(context)?;
    let seconds = parse_f64(args.get(2)).ok_or(Error::NotAFloat)?;

    std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, SLEEP_MAX_S)));
    reply.ok();
    Ok(())
}

/// Commands from the next batch on are shown.
fn monitor(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if context.executor.is_in_transaction() {
        return Err(Error::plain("MONITOR isn't allowed for DENY BLOCKING client"));
    }
    let session = &mut *context.session;
    if !session.client.has(Flag::Monitor) {
        session.is_listening = true;
        session.client.set(Flag::Monitor, true);
        context.executor.server.monitors.add(&session.client);
    }
    reply.ok();
    Ok(())
}

/// Answers nothing: the connection ends. SAVE and NOSAVE make no difference, since the journal is all
/// there is to be saved, and it is always complete; NOW and FORCE neither, since nothing is waited for.
fn shutdown(context: &mut Context<'_, '_>, args: Args<'_>, _reply: &mut Reply<'_>) -> Result {
    let mut options = Cursor::new(args, 1);
    if options.left() == 1 && options.accept("ABORT") {
        return Err(Error::plain("No shutdown in progress."));
    }
    let (mut save, mut no_save) = (false, false);
    while options.left() > 0 {
        match () {
            () if options.accept("SAVE") => save = true,
            () if options.accept("NOSAVE") => no_save = true,
            () if options.accept("NOW") || options.accept("FORCE") => {}
            () => return Err(Error::Syntax),
        }
    }
    if save && no_save {
        return Err(Error::Syntax);
    }

    context.session.should_close = true;
    context.executor.server.stop.cancel();
    Ok(())
}

fn time(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let now_us = context.executor.server.store.clock.now_us();
    reply.array(2);
    reply.bulk((now_us / 1_000_000).to_string().as_bytes());
    reply.bulk((now_us % 1_000_000).to_string().as_bytes());
    Ok(())
}

fn check_enabled(context: &Context<'_, '_>) -> Result {
    if context.is_allowed(context.executor.server.config().enable_debug_command) {
        return Ok(());
    }
    Err(Error::plain(
        "DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
         run it from a local connection, otherwise you need to set this option in the \
         configuration file, and then restart the server.",
    ))
}
