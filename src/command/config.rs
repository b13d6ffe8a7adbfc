//! CONFIG: shows, changes and writes down what [`crate::config::directive`] names. What a directive does
//! is decided where it is used.

use std::sync::atomic::Ordering::Relaxed;

use super::{Command, Family, help};
use crate::config::Config;
use crate::config::directive::{DIRECTIVES, Directive, find};
use crate::config::format::Reason;
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::glob::glob_match;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::{Server, signals};

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::container("CONFIG").about("2.0.0", "Has the commands for the configuration."),
    Command::session("CONFIG GET", "parameter [parameter ...]", get)
        .about("2.0.0", "Returns the directives that match patterns.")
        .admin()
        .while_loading(),
    Command::session("CONFIG HELP", "", help::help)
        .about("5.0.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("CONFIG RESETSTAT", "", resetstat)
        .about("2.0.0", "Sets the counters of INFO back to 0.")
        .admin()
        .while_loading(),
    Command::session("CONFIG REWRITE", "", rewrite)
        .about("2.8.0", "Writes the directives as they are now into the configuration file.")
        .admin()
        .while_loading(),
    Command::session("CONFIG SET", "parameter value [parameter value ...]", set)
        .about("2.0.0", "Changes directives, all or none.")
        .admin()
        .while_loading(),
];

fn get(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let config = context.executor.server.config();
    let is_wanted = |name: &str, is_hidden: bool| {
        args.iter().skip(2).any(|pattern| match is_hidden {
            true => pattern.eq_ignore_ascii_case(name.as_bytes()),
            false => glob_match(pattern, name.as_bytes(), true),
        })
    };
    let wanted: Vec<(&str, &Directive)> = DIRECTIVES
        .iter()
        .flat_map(|directive| directive.names().map(move |name| (name, directive)))
        .filter(|(name, directive)| is_wanted(name, directive.is_hidden))
        .collect();

    reply.map(wanted.len());
    for (name, directive) in wanted {
        reply.bulk(name.as_bytes());
        reply.bulk(directive.show(&config).as_bytes());
    }
    Ok(())
}

fn resetstat(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    server.metrics.iter().for_each(|metrics| metrics.reset());
    server.store.reset_stats();
    server.clients.reset_stats();
    server.post.disconnections.store(0, Relaxed);
    reply.ok();
    Ok(())
}

fn rewrite(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    let Some(path) = &server.config_file else {
        return Err(Error::plain("The server is running without a config file"));
    };
    let failed = |error: std::io::Error| Error::plain(format!("Rewriting config file: {error}"));
    let old = std::fs::read(path).map_err(failed)?;

    let config = server.config();
    let users = match config.aclfile.is_empty() {
        true => Some(
            server
                .acl
                .lines(&config.requirepass)
                .map_err(|why| Error::plain(format!("Rewriting config file: {why}")))?,
        ),
        false => None,
    };
    let new = crate::config::rewrite::rewrite(&old, &config, users.as_deref());
    crate::files::replace(path, &new).map_err(failed)?;
    reply.ok();
    Ok(())
}

fn set(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if !args.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    let mut changes: Vec<(&Directive, &[u8])> = Vec::new();
    for at in (2..args.len()).step_by(2) {
        let name = String::from_utf8_lossy(args.get(at));
        let directive = find(&name).ok_or_else(|| unknown(&name))?;
        if changes.iter().any(|(known, _)| known.name == directive.name) {
            return Err(failed(directive, &"duplicate parameter".into()));
        }
        changes.push((directive, args.get(at + 1)));
    }

    let server = context.executor.server;
    let may_change_protected = context.is_allowed(server.config().enable_protected_configs);
    let before = server.config().appendonly;
    server.change_config(|config| {
        for (directive, value) in &changes {
            change(config, directive, value, may_change_protected)
                .map_err(|reason| failed(directive, &reason))?;
        }
        allow_clients(config, &changes)?;
        let is_renewed = renew_tls(server, config, &changes)?;
        move_door(server, config, &changes).inspect_err(|_| {
            // It could be used until now; what has become of its files since is told in the log.
            if is_renewed && let Err(error) = server.tls.load(&server.config()) {
                tracing::warn!("{error:#}");
            }
        })
    })?;
    let appendonly = server.config().appendonly;
    if appendonly != before
        && let Err(why) = server.persistence.switch(appendonly)
    {
        server.change_config(|config| {
            config.appendonly = before;
            Ok::<_, Error>(())
        })?;
        return Err(find("appendonly").map_or(Error::Syntax, |row| failed(row, &why.into())));
    }
    reply.ok();
    Ok(())
}

/// Refuses more clients than the system has room for; what can be had is had.
fn allow_clients(config: &Config, changes: &[(&Directive, &[u8])]) -> Result {
    let Some((directive, _)) = changes.iter().find(|(it, _)| it.name == "maxclients") else {
        return Ok(());
    };
    match signals::allow_clients(config.maxclients) {
        allowed if allowed < config.maxclients => {
            let text = format!(
                "The operating system is not able to handle the specified number of clients, try with \
                 {allowed}"
            );
            Err(failed(directive, &text.into()))
        }
        _ => Ok(()),
    }
}

/// Follows what concerns TLS, which is not always changed alone. `false` if nothing does.
fn renew_tls(server: &Server, config: &Config, changes: &[(&Directive, &[u8])]) -> Result<bool> {
    let mut changed = changes.iter().map(|(directive, _)| *directive);
    let Some(directive) = changed.find(|directive| directive.name.contains("tls-")) else {
        return Ok(false);
    };
    server.tls.load(config).map(|()| true).map_err(|error| {
        tracing::warn!("{error:#}");
        failed(directive, &"Unable to update TLS configuration. Check server logs.".into())
    })
}

/// Follows `port`, `tls-port` and `bind`, which are not always changed alone.
fn move_door(server: &Server, config: &Config, changes: &[(&Directive, &[u8])]) -> Result {
    let is_changed = |name| changes.iter().find(|(directive, _)| directive.name == name);
    let door = ["port", "tls-port", "bind"].into_iter().find_map(is_changed);
    let Some((directive, _)) = door else { return Ok(()) };
    server.doors.move_redis(config).map_err(|error| {
        tracing::warn!("{error:#}");
        let what = if directive.name == "bind" { "the addresses" } else { "this port" };
        failed(directive, &format!("Unable to listen on {what}. Check server logs.").into())
    })
}

/// What can not be changed may still be set to what it is.
fn change(
    config: &mut Config,
    directive: &Directive,
    value: &[u8],
    may_change_protected: bool,
) -> Result<(), Reason> {
    let value = std::str::from_utf8(value).map_err(|_| "argument must be UTF-8")?;
    let is_protected = directive.is_protected && !may_change_protected;
    if directive.is_live && !is_protected {
        return directive.read(config, &[value]);
    }
    let before = directive.show(config);
    let mut changed = config.clone();
    match directive.read(&mut changed, &[value]) {
        Ok(()) if directive.show(&changed) == before => Ok(()),
        _ if is_protected => Err("can't set protected config".into()),
        _ => Err("can't set immutable config".into()),
    }
}

fn unknown(name: &str) -> Error {
    let text = "Unknown option or number of arguments for CONFIG SET";
    Error::plain(format!("{text} - '{name}'"))
}

fn failed(directive: &Directive, reason: &Reason) -> Error {
    let name = directive.name;
    Error::plain(format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
}
