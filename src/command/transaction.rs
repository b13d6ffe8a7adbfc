//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. How a transaction is run is [`crate::dispatch`]'s matter.

use std::sync::atomic::Ordering::Relaxed;

use super::{Command, Family};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::client_memory::Kept;
use crate::session::Transaction;

/// The family.
pub const FAMILY: Family =
    Family { group: "transactions", category: "transaction", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::session("DISCARD", "", discard)
        .about("2.0.0", "Discards a transaction.")
        .fast()
        .not_queued()
        .while_loading(),
    Command::session("EXEC", "", exec)
        .about("1.2.0", "Executes all commands in a transaction.")
        .not_queued()
        .while_loading(),
    Command::session("MULTI", "", multi)
        .about("1.2.0", "Starts a transaction.")
        .fast()
        .not_queued()
        .while_loading(),
    Command::session("UNWATCH", "", unwatch)
        .about("2.2.0", "Forgets about watched keys of a transaction.")
        .fast()
        .while_loading(),
    Command::session("WATCH", "key [key ...]", watch)
        .about("2.2.0", "Monitors changes to keys to determine the execution of a transaction.")
        .fast()
        .not_queued()
        .while_loading(),
];

fn multi(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if context.session.transaction.is_some() {
        return Err(Error::plain("MULTI calls can not be nested"));
    }
    context.session.transaction = Some(Box::<Transaction>::default());
    context.session.client.queued.store(0, Relaxed);
    reply.ok();
    Ok(())
}

fn exec(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if context.session.transaction.is_none() {
        return Err(Error::plain("EXEC without MULTI"));
    }
    context.executor.exec(context.session, reply)
}

fn discard(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if context.session.take_transaction().is_none() {
        return Err(Error::plain("DISCARD without MULTI"));
    }
    context.executor.unwatch(context.session);
    reply.ok();
    Ok(())
}

fn watch(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if context.session.transaction.is_some() {
        return Err(Error::plain("WATCH inside MULTI is not allowed"));
    }
    let (session, executor) = (&mut *context.session, &mut *context.executor);
    let (store, db, now_ms) = (&executor.server.store, session.db, executor.now_ms());
    let watch = session.watch.get_or_insert_default();
    for bytes in args.iter().skip(1) {
        if watch.names.iter().any(|(at, name, _)| *at == db && **name == *bytes) {
            continue;
        }
        executor.held.watch(db, store.name(bytes), now_ms, &watch.mark);
        watch.names.push((db, bytes.into(), now_ms));
        session.client.memory.keep(Kept::Watched, bytes.len());
    }
    session.client.watching.store(watch.names.len() as u32, Relaxed);
    session.is_heavy = true;
    reply.ok();
    Ok(())
}

fn unwatch(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    context.executor.unwatch(context.session);
    reply.ok();
    Ok(())
}
