//! FUNCTION: libraries of functions that are kept with the data.

use super::args::Cursor;
use super::{Command, Family, Touches, help};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;

/// The family.
pub const FAMILY: Family = Family { group: "scripting", category: "scripting", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::container("FUNCTION").about("7.0.0", "Has the commands for functions."),
    Command::session("FUNCTION FLUSH", "[ASYNC | SYNC]", flush)
        .about("7.0.0", "Deletes all libraries and functions.")
        .touching(Touches::Writes),
    Command::session("FUNCTION HELP", "", help::help)
        .about("7.0.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("FUNCTION KILL", "", kill)
        .about("7.0.0", "Ends the function that is running, if it has changed nothing."),
];

fn flush(_: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut options = Cursor::new(args, 2);
    let _ = options.accept("SYNC") || options.accept("ASYNC");
    if options.left() > 0 {
        return Err(Error::plain("FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }

    reply.ok();
    Ok(())
}

fn kill(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    context.executor.server.store.turn.kill(false)?;
    reply.ok();
    Ok(())
}
