//! SAVE, BGSAVE, BGREWRITEAOF and LASTSAVE: asking for a snapshot, which is all of these here; BACKUP.
//!
//! A snapshot makes the journal before it superfluous, so saving and rewriting are one thing. How one
//! is taken is [`crate::persistence`]'s matter.

use std::sync::atomic::Ordering::Relaxed;

use super::args::Cursor;
use super::{Command, Family};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::session("BACKUP", "", backup)
        .about(
            "0.1.0",
            "Makes a backup on the disk, and returns the directory that is to be copied.",
        )
        .admin()
        .no_multi(),
    Command::session("BGREWRITEAOF", "", bgrewriteaof)
        .about("1.0.0", "Takes a snapshot in the background, which shortens the journal.")
        .admin(),
    Command::session("BGSAVE", "[SCHEDULE]", bgsave)
        .about("1.0.0", "Takes a snapshot in the background.")
        .admin(),
    Command::session("LASTSAVE", "", lastsave)
        .about("1.0.0", "Returns when the last snapshot was done, in unix seconds.")
        .also(&["admin", "dangerous"])
        .fast()
        .while_loading(),
    Command::session("SAVE", "", save)
        .about("1.0.0", "Takes a snapshot and waits for it; so do the clients of this thread.")
        .admin()
        .no_multi(),
];

fn bgsave(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut options = Cursor::new(args, 1);
    let is_scheduled = options.accept("SCHEDULE");
    if options.left() > 0 {
        return Err(Error::Syntax);
    }

    check_kept(context)?;
    match context.executor.server.persistence.request_snapshot() {
        true => reply.simple("Background saving started"),
        false if is_scheduled => reply.simple("Background saving scheduled"),
        false => return Err(Error::plain("Background save already in progress")),
    }
    Ok(())
}

fn bgrewriteaof(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    check_kept(context)?;
    if !context.executor.server.persistence.request_snapshot() {
        let text = "Background append only file rewriting already in progress";
        return Err(Error::plain(text));
    }
    reply.simple("Background append only file rewriting started");
    Ok(())
}

fn save(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    check_kept(context)?;
    context.executor.server.persistence.snapshot_now().map_err(Error::plain)?;
    reply.ok();
    Ok(())
}

fn backup(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    check_kept(context)?;
    let path = context.executor.server.persistence.backup().map_err(Error::plain)?;
    reply.bulk(path.to_string_lossy().as_bytes());
    Ok(())
}

fn lastsave(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    let done_ms = server.store.journal.status().snapshot_done_ms.load(Relaxed);
    let at_ms = if done_ms == 0 { server.started_ms } else { done_ms };
    reply.integer((at_ms / 1000) as i64);
    Ok(())
}

fn check_kept(context: &Context<'_, '_>) -> Result {
    if context.executor.server.persistence.is_running() {
        return Ok(());
    }
    Err(Error::plain(
        "appendonly is no, so nothing is kept on disk: CONFIG SET appendonly yes begins to keep it",
    ))
}
