//! TOKEN: tokens for the HTTP door, made, listed and revoked by those who administer.
//!
//! What a token is and where it is kept is [`crate::token`]'s matter.

use super::args::Cursor;
use super::deadline::TimeForm;
use super::{Command, Family, help};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::owned::OwnedRequest;
use crate::resp::request::Args;
use crate::token::{NewToken, Token};

/// The family.
pub const FAMILY: Family = Family { group: "token", category: "", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::container("TOKEN").about("0.1.0", "Has the commands about tokens of the HTTP door."),
    Command::session(
        "TOKEN CREATE",
        "name [USER username] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
         PXAT unix-time-milliseconds]",
        create,
    )
    .about(
        "0.1.0",
        "Makes a token that acts as its maker, or as USER, and returns it: the only time.",
    )
    .admin()
    .no_multi(),
    Command::session("TOKEN HELP", "", help::help)
        .about("0.1.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("TOKEN LIST", "", list)
        .about("0.1.0", "Returns what is known of all tokens, but not the tokens.")
        .admin(),
    Command::session("TOKEN REVOKE", "id", revoke)
        .about("0.1.0", "Ends a token at once; 0 if there is none with this id.")
        .admin()
        .no_multi(),
];

fn create(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let now_ms = context.executor.now_ms();
    let mut options = Cursor::new(args, 2);
    let name = text(options.required()?)?;
    let mut user = None;
    let mut expires_ms = None;
    while options.left() > 0 {
        if user.is_none() && options.accept("USER") {
            user = Some(text(options.required()?)?);
        } else if let (None, Some(form)) = (expires_ms, TimeForm::accept(&mut options)) {
            let amount = options.required()?;
            expires_ms = Some(form.deadline_ms(amount, now_ms, "token|create")?);
        } else {
            return Err(Error::Syntax);
        }
    }
    let own = context.session.identity.user().name.clone();
    let user = user.unwrap_or_else(|| own.clone());
    if user != own && !may_become(context, &user) {
        let text = "a token for another user needs the right to run ACL SETUSER";
        return Err(Error::NoPerm(text.into()));
    }
    if context.executor.server.acl.user(&user).is_none() {
        return Err(Error::plain("there is no such user"));
    }

    let server = context.executor.server;
    let new = NewToken { name, user, expires_ms };
    let (word, token) = server.tokens.create(new, now_ms).map_err(failed)?;
    if server.acl.user(&token.user).is_none() {
        // It was removed meanwhile, and its tokens with it; but for this one.
        server.tokens.revoke(&token.id).map_err(failed)?;
        return Err(Error::plain("there is no such user"));
    }
    reply.map(FIELDS + 1);
    reply.bulk(b"token");
    reply.bulk(word.as_bytes());
    describe(&token, reply);
    Ok(())
}

fn list(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    server.tokens.refresh(context.executor.now_ms()).map_err(failed)?;
    let tokens = server.tokens.list();

    reply.array(tokens.len());
    for token in &tokens {
        reply.map(FIELDS);
        describe(token, reply);
    }
    Ok(())
}

fn revoke(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let id = text(args.get(2))?;

    let was_there = context.executor.server.tokens.revoke(&id).map_err(failed)?;
    reply.integer(i64::from(was_there));
    Ok(())
}

/// Whether this client could act as the user anyway, by giving it another password. Else a token would
/// give rights that its maker does not have.
fn may_become(context: &mut Context<'_, '_>, user: &str) -> bool {
    let wanted = OwnedRequest::new([&b"ACL"[..], b"SETUSER", user.as_bytes()]);
    context.executor.may_run(context.session, wanted.args()) == Some(true)
}

/// Fields that [`describe`] writes.
const FIELDS: usize = 6;

fn describe(token: &Token, reply: &mut Reply<'_>) {
    for (name, value) in [("id", &token.id), ("name", &token.name), ("user", &token.user)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    let times = [
        ("created_ms", Some(token.created_ms)),
        ("expires_ms", token.expires_ms),
        ("last_used_ms", token.last_used_ms),
    ];
    for (name, at_ms) in times {
        reply.bulk(name.as_bytes());
        match at_ms {
            Some(at_ms) => reply.integer(at_ms as i64),
            None => reply.null(),
        }
    }
}

fn text(arg: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(arg).map_err(|_| Error::plain("not UTF-8"))?;
    Ok(text.to_owned())
}

fn failed(error: anyhow::Error) -> Error {
    Error::plain(format!("{error:#}"))
}
