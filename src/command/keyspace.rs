//! Whole databases: their size, emptying them, making two change places.
//!
//! Commands for the server itself are not here, nor those for single names (`generic`).

use super::args::{Cursor, database, integer};
use super::{Command, Family};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::{DATABASES, View};

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "keyspace", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::read("DBSIZE", "", dbsize)
        .about("1.0.0", "Returns the number of keys in the database.")
        .fast()
        .every_name(),
    Command::write("FLUSHALL", "[ASYNC | SYNC]", flushall)
        .about("1.0.0", "Removes all keys of all databases.")
        .also(&["dangerous"])
        .every_name(),
    Command::write("FLUSHDB", "[ASYNC | SYNC]", flushdb)
        .about("1.0.0", "Removes all keys of the database.")
        .also(&["dangerous"])
        .every_name(),
    Command::write("SWAPDB", "index1 index2", swapdb)
        .about("4.0.0", "Makes two databases change places.")
        .fast()
        .also(&["dangerous"])
        .every_name(),
];

fn dbsize(view: &View<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.count(view.len());
    Ok(())
}

fn flushall(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    parse_mode(args)?;

    (0..DATABASES).for_each(|db| view.flush(db));
    reply.ok();
    Ok(())
}

fn flushdb(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    parse_mode(args)?;

    view.flush(view.db());
    reply.ok();
    Ok(())
}

fn swapdb(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    for (arg, which) in [(args.get(1), "first"), (args.get(2), "second")] {
        if integer(arg).ok().and_then(|number| i32::try_from(number).ok()).is_none() {
            return Err(Error::plain(format!("invalid {which} DB index")));
        }
    }
    let (a, b) = (database(args.get(1))?, database(args.get(2))?);

    if a != b {
        view.swap_dbs(a, b);
        view.swap_limits(a, b);
    }
    reply.ok();
    Ok(())
}

/// ASYNC or SYNC. They make no difference: what is much is always freed later, in slices.
fn parse_mode(args: Args<'_>) -> Result {
    let mut options = Cursor::new(args, 1);
    let _given = options.accept("ASYNC") || options.accept("SYNC");
    options.finish()
}
