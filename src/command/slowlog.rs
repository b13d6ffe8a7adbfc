//! SLOWLOG: the commands that took long. What is slow, and how it is timed, is in [`crate::dispatch`].

use super::{Command, Family, help};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::number::parse_i64;
use crate::reply::Reply;
use crate::resp::request::Args;

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

/// Entries that are returned when nobody says how many.
const COUNT: usize = 10;

const COMMANDS: &[Command] = &[
    Command::container("SLOWLOG").about("2.2.12", "Has the commands for the slow log."),
    Command::session("SLOWLOG GET", "[count]", get)
        .about("2.2.12", "Returns the newest entries of the slow log; all if the count is -1.")
        .admin()
        .while_loading(),
    Command::session("SLOWLOG HELP", "", help::help)
        .about("6.2.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("SLOWLOG LEN", "", len)
        .about("2.2.12", "Returns the number of entries in the slow log.")
        .admin()
        .while_loading(),
    Command::session("SLOWLOG RESET", "", reset)
        .about("2.2.12", "Clears the slow log.")
        .admin()
        .while_loading(),
];

fn get(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if args.len() > 3 {
        let word = String::from_utf8_lossy(args.get(1));
        return Err(Error::plain(format!(
            "unknown subcommand or wrong number of arguments for '{word}'. Try SLOWLOG HELP."
        )));
    }
    let count = match args.iter().nth(2).map(parse_i64) {
        None => COUNT,
        Some(Some(-1)) => usize::MAX,
        Some(count) => count
            .and_then(|count| usize::try_from(count).ok())
            .ok_or(Error::plain("count should be greater than or equal to -1"))?,
    };

    let entries = context.executor.server.slowlog.newest(count);
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.at_s as i64);
        reply.integer(entry.took_us as i64);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.client_addr.as_bytes());
        reply.bulk(&entry.client_name);
    }
    Ok(())
}

fn len(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.count(context.executor.server.slowlog.len());
    Ok(())
}

fn reset(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    context.executor.server.slowlog.clear();
    reply.ok();
    Ok(())
}
