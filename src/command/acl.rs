//! ACL: users and their rights, as rules. What rules mean is in [`crate::acl`], where a command is
//! checked in [`crate::dispatch`].

use super::args::{integer, is};
use super::{Command, Family, help};
use crate::acl::catalog::{CATEGORIES, category};
use crate::acl::selector::Selector;
use crate::acl::{DEFAULT_USER, Denied, User, catalog, is_plain};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::hex::random_word;
use crate::reply::Reply;
use crate::resp::owned::OwnedRequest;
use crate::resp::request::Args;
use crate::server::Server;

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

/// Longest password that ACL GENPASS makes.
const GENPASS_BITS_MAX: i64 = 4096;
/// Entries that ACL LOG shows without a number.
const LOG_SHOWN: usize = 10;

const COMMANDS: &[Command] = &[
    Command::container("ACL").about("6.0.0", "Has the commands for users and their rights."),
    Command::session("ACL CAT", "[categoryname]", cat)
        .about("6.0.0", "Returns the categories, or the commands of one.")
        .while_loading(),
    Command::session("ACL DELUSER", "username [username ...]", deluser)
        .about("6.0.0", "Removes users and closes their connections.")
        .admin()
        .while_loading(),
    Command::session("ACL DRYRUN", "username command [arg [arg ...]]", dryrun)
        .about("7.0.0", "Says whether a user may run a command, without running it.")
        .admin()
        .while_loading(),
    Command::session("ACL GENPASS", "[bits]", genpass)
        .about("6.0.0", "Returns a random password.")
        .while_loading(),
    Command::session("ACL GETUSER", "username", getuser)
        .about("6.0.0", "Returns the rules of a user.")
        .admin()
        .while_loading(),
    Command::session("ACL HELP", "", help::help)
        .about("6.0.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("ACL LIST", "", list)
        .about("6.0.0", "Returns all users as lines of a file.")
        .admin()
        .while_loading(),
    Command::session("ACL LOAD", "", load)
        .about("6.0.0", "Reads the users of the file again.")
        .admin()
        .while_loading(),
    Command::session("ACL LOG", "[count | RESET]", log)
        .about("6.0.0", "Returns what was refused, or forgets it.")
        .admin()
        .while_loading(),
    Command::session("ACL SAVE", "", save)
        .about("6.0.0", "Writes the users to the file.")
        .admin()
        .while_loading(),
    Command::session("ACL SETUSER", "username [rule [rule ...]]", setuser)
        .about("6.0.0", "Makes a user, or changes it by rules.")
        .admin()
        .while_loading(),
    Command::session("ACL USERS", "", users)
        .about("6.0.0", "Returns the names of all users.")
        .admin()
        .while_loading(),
    Command::session("ACL WHOAMI", "", whoami)
        .about("6.0.0", "Returns the name of this connection's user.")
        .while_loading(),
];

fn cat(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    match args.len() {
        2 => {
            reply.array(CATEGORIES.len());
            CATEGORIES.iter().for_each(|name| reply.bulk(name.as_bytes()));
        }
        3 => {
            let wanted = category(args.get(2)).ok_or_else(|| {
                let name = args.get(2);
                let name = String::from_utf8_lossy(&name[..name.len().min(128)]);
                Error::plain(format!("Unknown category '{name}'"))
            })?;
            let commands: Vec<usize> = catalog().of(wanted).collect();
            reply.array(commands.len());
            for at in commands {
                reply.bulk(catalog().entries[at].name.as_bytes());
            }
        }
        _ => return Err(wrong_form("CAT")),
    }
    Ok(())
}

fn deluser(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if args.iter().skip(2).any(|name| name == DEFAULT_USER.as_bytes()) {
        return Err(Error::plain("The 'default' user cannot be removed"));
    }

    let names = args.iter().skip(2).filter_map(|name| std::str::from_utf8(name).ok());
    let names: Vec<&str> = names.collect();
    // While their tokens can not be ended, users stay.
    revoke_tokens(context, &names)?;
    let acl = &context.executor.server.acl;
    let removed = names.iter().filter(|name| acl.remove(name)).count();
    close_strangers(context);
    // Those that were made meanwhile; who makes one now finds no such user.
    revoke_tokens(context, &names)?;
    reply.count(removed);
    Ok(())
}

fn dryrun(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = String::from_utf8_lossy(args.get(2));
    let user = context.executor.server.acl.user(&name);
    let user = user.ok_or_else(|| Error::plain(format!("User '{name}' not found")))?;
    let request = OwnedRequest::new(args.iter().skip(3));
    let command = request.args();
    let shown = String::from_utf8_lossy(command.get(0));
    let at = catalog().find_in(command);
    let at = at.ok_or_else(|| Error::plain(format!("Command '{shown}' not found")))?;
    let entry = &catalog().entries[at];
    if !entry.accepts(command.len()) {
        return Err(Error::arity(&entry.name));
    }

    let access = |at: usize, what: &str| {
        let object = String::from_utf8_lossy(command.get(at));
        format!("User {name} has no permissions to access the '{object}' {what}")
    };
    match user.check(entry, command) {
        Ok(()) => reply.ok(),
        Err(Denied::Command) => {
            let command = &entry.name;
            let text = format!("User {name} has no permissions to run the '{command}' command");
            reply.bulk(text.as_bytes());
        }
        Err(Denied::Key(at)) => reply.bulk(access(at, "key").as_bytes()),
        Err(Denied::Channel(at)) => reply.bulk(access(at, "channel").as_bytes()),
    }
    Ok(())
}

fn genpass(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let bits = match args.len() {
        2 => 256,
        3 => integer(args.get(2))?,
        _ => return Err(wrong_form("GENPASS")),
    };
    if !(1..=GENPASS_BITS_MAX).contains(&bits) {
        return Err(Error::plain(format!(
            "ACL GENPASS argument must be the number of bits for the output password, a positive \
             number up to {GENPASS_BITS_MAX}"
        )));
    }

    let word = random_word((bits as usize).div_ceil(4));
    let word = word.map_err(|_| Error::plain("the system has no random numbers"))?;
    reply.bulk(word.as_bytes());
    Ok(())
}

fn getuser(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let user = std::str::from_utf8(args.get(2)).ok();
    let Some(user) = user.and_then(|name| context.executor.server.acl.user(name)) else {
        reply.null();
        return Ok(());
    };

    reply.map(6);
    reply.bulk(b"flags");
    let flags = user.flags();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    let hashes = user.password_hashes();
    reply.array(hashes.len());
    hashes.for_each(|hash| reply.bulk(hash.as_bytes()));
    write_selector(user.own(), reply);
    reply.bulk(b"selectors");
    reply.array(user.others().len());
    for selector in user.others() {
        reply.map(3);
        write_selector(selector, reply);
    }
    Ok(())
}

fn write_selector(selector: &Selector, reply: &mut Reply<'_>) {
    reply.bulk(b"commands");
    reply.bulk(selector.describe_commands().as_bytes());
    reply.bulk(b"keys");
    reply.bulk(&selector.describe_keys());
    reply.bulk(b"channels");
    reply.bulk(&selector.describe_channels());
}

fn list(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let users = context.executor.server.acl.all();
    reply.array(users.len());
    users.iter().for_each(|user| reply.bulk(&user.describe()));
    Ok(())
}

/// Connections of users that are not in the file are closed, and their tokens end.
fn load(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    let config = server.config();
    check_file(&config.aclfile)?;

    let before = server.acl.all();
    let loaded = server.acl.load(config.aclfile.as_ref(), config.acl_pubsub_default);
    loaded.map_err(|errors| Error::plain(errors.replace(['\r', '\n'], " ")))?;
    close_strangers(context);
    before.iter().for_each(|user| close_subscribers(context, user));
    let names = before.iter().map(|user| &*user.name);
    let gone: Vec<&str> = names.filter(|name| server.acl.user(name).is_none()).collect();
    revoke_tokens(context, &gone)?;
    reply.ok();
    Ok(())
}

fn log(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let now_ms = context.executor.now_ms();
    let mut log = context.executor.server.acl.log.lock();
    let count = match args.len() {
        2 => LOG_SHOWN,
        3 if is(args.get(2), "RESET") => {
            log.clear();
            reply.ok();
            return Ok(());
        }
        3 => usize::try_from(integer(args.get(2))?).unwrap_or(0),
        _ => return Err(wrong_form("LOG")),
    };

    let entries = log.newest(count);
    reply.array(entries.len());
    for entry in entries {
        reply.map(10);
        reply.bulk(b"count");
        reply.integer(entry.count as i64);
        for (name, value) in [
            ("reason", entry.reason.as_bytes()),
            ("context", entry.context.as_bytes()),
            ("object", &entry.object),
            ("username", &entry.username),
        ] {
            reply.bulk(name.as_bytes());
            reply.bulk(value);
        }
        reply.bulk(b"age-seconds");
        reply.double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(entry.client.as_bytes());
        for (name, value) in [
            ("entry-id", entry.id),
            ("timestamp-created", entry.created_ms),
            ("timestamp-last-updated", entry.updated_ms),
        ] {
            reply.bulk(name.as_bytes());
            reply.integer(value as i64);
        }
    }
    Ok(())
}

fn save(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    let config = server.config();
    check_file(&config.aclfile)?;

    server.acl.save(config.aclfile.as_ref()).map_err(|error| {
        tracing::warn!(%error, file = config.aclfile, "ACL SAVE");
        Error::plain(
            "There was an error trying to save the ACLs. Please check the server logs for more \
             information",
        )
    })?;
    reply.ok();
    Ok(())
}

fn setuser(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = std::str::from_utf8(args.get(2)).ok().filter(|name| is_plain(name.as_bytes()));
    let name = name.ok_or(Error::plain("Usernames can't contain spaces or null characters"))?;
    let server = context.executor.server;
    let all_channels = server.config().acl_pubsub_default;
    let rules: Vec<&[u8]> = args.iter().skip(3).collect();

    let before = server.acl.user(name);
    server.acl.change(name, &rules, all_channels).map_err(Error::plain)?;
    if let Some(before) = before {
        close_subscribers(context, &before);
    }
    reply.ok();
    Ok(())
}

fn users(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let users = context.executor.server.acl.all();
    reply.array(users.len());
    users.iter().for_each(|user| reply.bulk(user.name.as_bytes()));
    Ok(())
}

fn whoami(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.bulk(context.session.identity.user().name.as_bytes());
    Ok(())
}

/// Closes the connections whose user is not there any more; this one when it has read the reply.
fn close_strangers(context: &mut Context<'_, '_>) {
    close(context, |server, _, user| server.acl.user(user).is_none());
}

/// Closes the connections of a user that have subscribed to what the user may not hear any more.
fn close_subscribers(context: &mut Context<'_, '_>, before: &User) {
    let Some(now) = context.executor.server.acl.user(&before.name) else { return };
    close(context, |server, id, user| {
        user == before.name
            && server
                .pubsub
                .of_client(id)
                .iter()
                .any(|(name, is_pattern)| !now.may_use_channel(name, *is_pattern))
    });
}

fn close(context: &mut Context<'_, '_>, is_to_go: impl Fn(&Server, u64, &str) -> bool) {
    let server = context.executor.server;
    for client in server.clients.list() {
        let user = client.names.lock().user.clone();
        if !is_to_go(server, client.id, &user) {
            continue;
        }
        if client.id == context.session.client.id {
            context.session.should_close = true;
        } else {
            client.kill();
        }
    }
}

/// A user that is made again under a name must not be reached by tokens of its forerunner.
fn revoke_tokens(context: &mut Context<'_, '_>, users: &[&str]) -> Result {
    context.executor.server.tokens.revoke_of(users).map_err(|error| {
        tracing::warn!("tokens of removed users: {error:#}");
        Error::plain(format!("the users' tokens can not be revoked: {error:#}"))
    })
}

fn check_file(aclfile: &str) -> Result {
    if !aclfile.is_empty() {
        return Ok(());
    }
    Err(Error::plain(
        "This Redis instance is not configured to use an ACL file. You may want to specify users via \
         the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis \
         configuration file set) in order to store users in the Redis configuration.",
    ))
}

/// The subcommand does not take so many arguments.
fn wrong_form(subcommand: &str) -> Error {
    Error::plain(format!(
        "unknown subcommand or wrong number of arguments for '{subcommand}'. Try ACL HELP."
    ))
}
