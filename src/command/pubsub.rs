//! Publish and subscribe. Who has subscribed to what is [`crate::push::pubsub`]'s matter, how messages
//! travel [`crate::push`]'s.

use std::sync::atomic::Ordering::Relaxed;

use super::{Command, Family, help};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::push::pubsub::{Kind, Publication};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::client_memory::Kept;
use crate::session::Session;

/// The family.
pub const FAMILY: Family = Family { group: "pubsub", category: "pubsub", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::session("PSUBSCRIBE", "pattern [pattern ...]", psubscribe)
        .about("2.0.0", "Listens for messages to all channels that match the patterns.")
        .while_loading()
        .replies_with_pushes(),
    Command::session("PUBLISH", "channel message", publish)
        .about("2.0.0", "Sends a message to a channel.")
        .fast()
        .may_replicate()
        .while_loading(),
    Command::container("PUBSUB").about("2.8.0", "Has the commands that show subscriptions."),
    Command::session("PUBSUB CHANNELS", "[pattern]", channels)
        .about("2.8.0", "Returns the channels that have subscribers.")
        .while_loading(),
    Command::session("PUBSUB HELP", "", help::help)
        .about("6.2.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("PUBSUB NUMPAT", "", numpat)
        .about("2.8.0", "Returns the number of patterns that have subscribers.")
        .while_loading(),
    Command::session("PUBSUB NUMSUB", "[channel [channel ...]]", numsub)
        .about("2.8.0", "Returns the number of subscribers of each channel.")
        .while_loading(),
    Command::session("PUBSUB SHARDCHANNELS", "[pattern]", shardchannels)
        .about("7.0.0", "Returns the shard channels that have subscribers.")
        .while_loading(),
    Command::session("PUBSUB SHARDNUMSUB", "[shardchannel [shardchannel ...]]", shardnumsub)
        .about("7.0.0", "Returns the number of subscribers of each shard channel.")
        .while_loading(),
    Command::session("PUNSUBSCRIBE", "[pattern [pattern ...]]", punsubscribe)
        .about("2.0.0", "Stops listening for messages to channels that match the patterns.")
        .while_loading()
        .replies_with_pushes(),
    Command::session("SPUBLISH", "shardchannel message", spublish)
        .about("7.0.0", "Sends a message to a shard channel.")
        .fast()
        .may_replicate()
        .while_loading(),
    Command::session("SSUBSCRIBE", "shardchannel [shardchannel ...]", ssubscribe)
        .about("7.0.0", "Listens for messages to shard channels.")
        .while_loading()
        .replies_with_pushes(),
    Command::session("SUBSCRIBE", "channel [channel ...]", subscribe)
        .about("2.0.0", "Listens for messages to channels.")
        .while_loading()
        .replies_with_pushes(),
    Command::session("SUNSUBSCRIBE", "[shardchannel [shardchannel ...]]", sunsubscribe)
        .about("7.0.0", "Stops listening for messages to shard channels.")
        .while_loading()
        .replies_with_pushes(),
    Command::session("UNSUBSCRIBE", "[channel [channel ...]]", unsubscribe)
        .about("2.0.0", "Stops listening for messages to channels.")
        .while_loading()
        .replies_with_pushes(),
];

fn subscribe(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    subscribe_to(Kind::Channel, b"subscribe", context, args, reply)
}

fn psubscribe(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    subscribe_to(Kind::Pattern, b"psubscribe", context, args, reply)
}

fn ssubscribe(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    subscribe_to(Kind::Shard, b"ssubscribe", context, args, reply)
}

fn unsubscribe(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    unsubscribe_from(Kind::Channel, b"unsubscribe", context, args, reply)
}

fn punsubscribe(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    unsubscribe_from(Kind::Pattern, b"punsubscribe", context, args, reply)
}

fn sunsubscribe(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    unsubscribe_from(Kind::Shard, b"sunsubscribe", context, args, reply)
}

fn publish(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    publish_to(false, context, args, reply)
}

fn spublish(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    publish_to(true, context, args, reply)
}

fn channels(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    show_names(Kind::Channel, context, args, reply)
}

fn shardchannels(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    show_names(Kind::Shard, context, args, reply)
}

fn numsub(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    show_counts(Kind::Channel, context, args, reply)
}

fn shardnumsub(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    show_counts(Kind::Shard, context, args, reply)
}

fn numpat(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.count(context.executor.server.pubsub.count(Kind::Pattern));
    Ok(())
}

/// Each name is confirmed by a push of its own, whether the client had subscribed to it or not.
fn subscribe_to(
    kind: Kind,
    word: &[u8],
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let (session, server) = (&mut *context.session, context.executor.server);
    session.is_listening = true;
    for name in args.iter().skip(1) {
        if session.subscriptions.of_mut(kind).insert(name.into()) {
            server.pubsub.subscribe(kind, name, &session.client);
            session.keep(Kept::Subscriptions, name.len());
        }
        confirm(kind, word, Some(name), session, reply);
    }
    Ok(())
}

/// Without names: from all of this kind; if there are none, that is confirmed, too.
fn unsubscribe_from(
    kind: Kind,
    word: &[u8],
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let (session, server) = (&mut *context.session, context.executor.server);
    let all: Vec<Box<[u8]>> = match args.len() {
        1 => session.subscriptions.of(kind).iter().cloned().collect(),
        _ => Vec::new(),
    };
    if args.len() == 1 && all.is_empty() {
        confirm(kind, word, None, session, reply);
    }
    for name in args.iter().skip(1).chain(all.iter().map(|name| &**name)) {
        if session.subscriptions.of_mut(kind).remove(name) {
            server.pubsub.unsubscribe(kind, name, session.client.id);
            session.client.memory.let_go(Kept::Subscriptions, name.len());
        }
        confirm(kind, word, Some(name), session, reply);
    }
    Ok(())
}

/// Says how many subscriptions the client has now. Shard channels are counted for themselves.
fn confirm(kind: Kind, word: &[u8], name: Option<&[u8]>, session: &Session, reply: &mut Reply<'_>) {
    let count = |kind| session.subscriptions.of(kind).len();
    session.client.subscriptions[kind as usize].store(count(kind) as u32, Relaxed);
    reply.push(3);
    reply.bulk(word);
    reply.bulk_or_null(name);
    reply.count(match kind {
        Kind::Shard => count(Kind::Shard),
        Kind::Channel | Kind::Pattern => count(Kind::Channel) + count(Kind::Pattern),
    });
}

/// The message leaves when this batch of commands, or the transaction it is in, is done.
fn publish_to(
    is_shard: bool,
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let (channel, payload) = (args.get(1), args.get(2));
    let receivers = context.executor.server.pubsub.receivers(is_shard, channel);
    if receivers > 0 {
        let (channel, payload) = (channel.to_vec(), payload.to_vec());
        context.executor.publish(Publication { is_shard, channel, payload });
    }
    reply.count(receivers);
    Ok(())
}

fn show_names(
    kind: Kind,
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let pattern = (args.len() == 3).then(|| args.get(2));
    if args.len() > 3 {
        let word = String::from_utf8_lossy(args.get(1));
        return Err(Error::plain(format!(
            "unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB HELP."
        )));
    }
    let names = context.executor.server.pubsub.names(kind, pattern);
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn show_counts(
    kind: Kind,
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    reply.array(2 * (args.len() - 2));
    for name in args.iter().skip(2) {
        reply.bulk(name);
        reply.count(context.executor.server.pubsub.subscribers(kind, name));
    }
    Ok(())
}
