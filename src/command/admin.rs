//! Commands for whoever runs the server: SHUTDOWN, TIME. CONFIG and INFO have files of their own.

use super::args::Cursor;
use super::{Command, Family};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::clients::Flag;
use crate::store::turn::State;

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

const COMMANDS: &[Command] = &[
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
    let now_us = || context.executor.server.store.clock.now_us();
    // In a script time stands still, unless it lasts so long that it may be waiting for time to pass.
    let is_busy = context.executor.server.store.turn.state() == State::Busy;
    let now_us = match context.session.is_script && !is_busy {
        true => *context.session.script_time_us.get_or_insert_with(now_us),
        false => now_us(),
    };
    reply.array(2);
    reply.bulk((now_us / 1_000_000).to_string().as_bytes());
    reply.bulk((now_us % 1_000_000).to_string().as_bytes());
    Ok(())
}
