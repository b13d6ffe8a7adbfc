//! Commands for the connection itself: who the client is, which protocol, which database. What CLIENT
//! shows and changes is in [`super::client`].

use std::sync::atomic::Ordering::Relaxed;

use super::args::{Cursor, database, integer};
use super::client::checked_name;
use super::{Command, Family, REDIS_VERSION};
use crate::acl::{DEFAULT_USER, Identity};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::session::{ReplyMode, Session};

/// The family.
pub const FAMILY: Family =
    Family { group: "connection", category: "connection", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::session("AUTH", "[username] password", auth)
        .about("1.0.0", "Authenticates the connection.")
        .fast()
        .no_auth()
        .while_loading(),
    Command::session("ECHO", "message", echo)
        .about("1.0.0", "Returns the given text.")
        .fast()
        .while_loading(),
    Command::session("HELLO", "[protover [AUTH username password] [SETNAME clientname]]", hello)
        .about("6.0.0", "Agrees on the protocol's version, and says what server this is.")
        .fast()
        .no_auth()
        .while_loading(),
    Command::session("PING", "[message]", ping)
        .about("1.0.0", "Returns PONG, or the given text.")
        .fast()
        .while_subscribed(),
    Command::session("QUIT", "", quit)
        .about("1.0.0", "Closes the connection.")
        .fast()
        .while_subscribed()
        .no_auth()
        .not_queued()
        .any_arguments()
        .while_loading(),
    Command::session("RESET", "", reset)
        .about("6.2.0", "Puts the connection back to the state of a new one.")
        .fast()
        .while_subscribed()
        .no_auth()
        .not_queued()
        .while_loading(),
    Command::session("SELECT", "index", select)
        .about("1.0.0", "Changes the selected database.")
        .fast()
        .while_loading(),
];

fn auth(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (user, password) = match args.len() {
        2 => (DEFAULT_USER.as_bytes(), args.get(1)),
        3 => (args.get(1), args.get(2)),
        _ => return Err(Error::Syntax),
    };
    if args.len() == 2 && context.executor.server.acl.default_user().needs_no_password {
        return Err(Error::plain(
            "AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        ));
    }

    authenticate(context, args.get(0), user, password)?;
    reply.ok();
    Ok(())
}

fn echo(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.bulk(args.get(1));
    Ok(())
}

/// Inside a transaction the replies that follow keep the protocol that EXEC began with.
fn hello(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut options = Cursor::new(args, 1);
    let resp3 = options.optional().map(protocol).transpose()?;
    let (mut credentials, mut name) = (None, None);
    while let Some(option) = options.optional() {
        match option.to_ascii_uppercase().as_slice() {
            b"AUTH" if options.left() >= 2 => {
                credentials = Some((options.required()?, options.required()?));
            }
            b"SETNAME" if options.left() >= 1 => name = Some(checked_name(options.required()?)?),
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(Error::plain(format!("Syntax error in HELLO option '{option}'")));
            }
        }
    }

    if let Some((user, password)) = credentials {
        authenticate(context, args.get(0), user, password)?;
    }
    let session = &mut *context.session;
    if !session.identity.is_authenticated() {
        return Err(Error::NoAuthHello);
    }
    if let Some(name) = name {
        session.client.names.lock().name = name;
    }
    speak(session, resp3.unwrap_or(session.resp3));
    let mut greeting = Output::new();
    greet(session, &mut Reply::resp(&mut greeting, session.resp3));
    reply.encoded(&greeting.to_vec());
    Ok(())
}

/// A RESP2 client that has subscribed gets it in the form of a message.
fn ping(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    match args.len() {
        len @ 1..=2 if !context.session.resp3 && context.session.client.is_subscriber() => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(if len == 2 { args.get(1) } else { b"" });
        }
        1 => reply.simple("PONG"),
        2 => reply.bulk(args.get(1)),
        _ => return Err(Error::arity("ping")),
    }
    Ok(())
}

fn quit(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    context.session.should_close = true;
    reply.ok();
    Ok(())
}

fn reset(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let session = &mut *context.session;
    session.take_transaction();
    context.executor.unwatch(session);
    session.stop_listening(context.executor.server);
    speak(session, false);
    session.select(0);
    session.become_user(Identity::new(&context.executor.server.acl));
    session.reply_mode = ReplyMode::On;
    session.client.names.lock().name.clear();
    session.client.no_evict.store(false, Relaxed);
    session.client.no_touch.store(false, Relaxed);
    reply.simple("RESET");
    Ok(())
}

fn select(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let db = database(args.get(1))?;

    context.session.select(db);
    reply.ok();
    Ok(())
}

fn authenticate(
    context: &mut Context<'_, '_>,
    command: &[u8],
    user: &[u8],
    password: &[u8],
) -> Result {
    let acl = &context.executor.server.acl;
    let Some(user) = acl.authenticate(user, password) else {
        let place = if context.session.transaction.is_some() { "multi" } else { "toplevel" };
        context.executor.log_refusal(context.session, "auth", place, command, user);
        return Err(Error::WrongPass);
    };
    context.session.become_user(Identity::of(acl, user));
    Ok(())
}

/// Whether `protover` asks for RESP3.
fn protocol(protover: &[u8]) -> Result<bool> {
    match integer(protover) {
        Ok(version @ 2..=3) => Ok(version == 3),
        Ok(_) => Err(Error::NoProto),
        Err(_) => Err(Error::plain("Protocol version is not an integer or out of range")),
    }
}

fn speak(session: &mut Session, resp3: bool) {
    session.resp3 = resp3;
    session.client.resp.store(if resp3 { 3 } else { 2 }, Relaxed);
}

fn greet(session: &Session, reply: &mut Reply<'_>) {
    reply.map(7);
    text(reply, "server", "redis");
    text(reply, "version", REDIS_VERSION);
    reply.bulk(b"proto");
    reply.integer(if session.resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(session.client.id as i64);
    text(reply, "mode", "standalone");
    text(reply, "role", "master");
    reply.bulk(b"modules");
    reply.array(0);
}

fn text(reply: &mut Reply<'_>, key: &str, value: &str) {
    reply.bulk(key.as_bytes());
    reply.bulk(value.as_bytes());
}
