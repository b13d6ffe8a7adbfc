//! Replication and clusters, of which there are none: what a server by itself answers.

use super::args::{Cursor, integer, is};
use super::{Command, Family, cluster};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

/// A copy of the data is BACKUP's and `pantry export`'s matter.
const NO_REPLICAS: Error =
    Error::Plain(std::borrow::Cow::Borrowed("this server can not have replicas"));

const COMMANDS: &[Command] = &[
    Command::session("ASKING", "", asking)
        .about("3.0.0", cluster::REFUSED)
        .fast()
        .also(&["connection"]),
    Command::session("FAILOVER", "[TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]", failover)
        .about("6.2.0", "Is refused: there are no replicas.")
        .admin(),
    Command::session("PSYNC", "replicationid offset", psync)
        .about("2.8.0", "Is refused: this server has no replicas.")
        .admin()
        .no_multi(),
    Command::session("READONLY", "", asking)
        .about("3.0.0", cluster::REFUSED)
        .fast()
        .also(&["connection"])
        .while_loading(),
    Command::session("READWRITE", "", asking)
        .about("3.0.0", cluster::REFUSED)
        .fast()
        .also(&["connection"])
        .while_loading(),
    Command::session("REPLCONF", "", replconf)
        .about("3.0.0", "Is refused: this server has no replicas.")
        .any_arguments()
        .admin()
        .while_loading(),
    Command::session("REPLICAOF", "<host port | NO ONE>", replicaof)
        .about("5.0.0", "Accepts NO ONE; this server can not be a replica.")
        .admin(),
    Command::session("ROLE", "", role)
        .about("2.8.12", "Returns that this server is a master without replicas.")
        .fast()
        .also(&["admin", "dangerous"])
        .while_loading(),
    Command::session("SLAVEOF", "<host port | NO ONE>", replicaof)
        .about("1.0.0", "Accepts NO ONE; an old name of REPLICAOF.")
        .admin(),
    Command::session("SYNC", "", psync)
        .about("1.0.0", "Is refused: this server has no replicas.")
        .admin()
        .no_multi(),
    Command::session("WAIT", "numreplicas timeout", wait)
        .about("3.0.0", "Returns at once that no replica has what was written: there is none.")
        .also(&["connection"]),
    Command::session("WAITAOF", "numlocal numreplicas timeout", waitaof).about(
        "7.2.0",
        "Returns at once whether all that was written is on the disk, and that no replica has it.",
    ),
];

fn failover(_context: &mut Context<'_, '_>, args: Args<'_>, _reply: &mut Reply<'_>) -> Result {
    Err(Error::plain(if args.len() == 2 && is(args.get(1), "ABORT") {
        "No failover in progress."
    } else {
        "FAILOVER requires connected replicas."
    }))
}

fn replicaof(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut words = Cursor::new(args, 1);
    if !(words.accept("NO") && words.accept("ONE")) {
        return Err(Error::plain("this server can not be a replica"));
    }
    reply.ok();
    Ok(())
}

fn psync(_context: &mut Context<'_, '_>, _args: Args<'_>, _reply: &mut Reply<'_>) -> Result {
    Err(NO_REPLICAS)
}

fn replconf(_context: &mut Context<'_, '_>, _args: Args<'_>, _reply: &mut Reply<'_>) -> Result {
    Err(NO_REPLICAS)
}

fn role(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(context.executor.server.store.journal.last() as i64);
    reply.array(0);
    Ok(())
}

fn asking(_context: &mut Context<'_, '_>, _args: Args<'_>, _reply: &mut Reply<'_>) -> Result {
    Err(cluster::DISABLED)
}

fn wait(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    integer(args.get(1))?;
    check_timeout(args.get(2))?;
    reply.integer(0);
    Ok(())
}

fn waitaof(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let within = |number: i64, max: i64| {
        let wrong = || Error::plain(format!("value is out of range, must be between 0 and {max}"));
        (0..=max).contains(&number).then_some(number).ok_or_else(wrong)
    };
    let local = within(integer(args.get(1))?, 1)?;
    within(integer(args.get(2))?, i64::MAX)?;
    check_timeout(args.get(3))?;
    let journal = &context.executor.server.store.journal;
    if local > 0 && !journal.keeps() {
        let text = "WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
        return Err(Error::plain(text));
    }

    let (_, synced) = journal.progress();
    reply.array(2);
    reply.integer(i64::from(journal.keeps() && synced >= journal.last()));
    reply.integer(0);
    Ok(())
}

fn check_timeout(timeout: &[u8]) -> Result {
    match integer(timeout) {
        Ok(0..) => Ok(()),
        Ok(_) => Err(Error::plain("timeout is negative")),
        Err(_) => Err(Error::plain("timeout is not an integer or out of range")),
    }
}
