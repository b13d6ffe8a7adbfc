//! CONFIG: shows and changes what [`crate::config::directive`] names. What a directive does is decided
//! where it is used.

use super::{Command, Family, help};
use crate::config::Config;
use crate::config::directive::{DIRECTIVES, Directive, find};
use crate::config::format::Reason;
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::glob::glob_match;
use crate::reply::Reply;
use crate::resp::request::Args;

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
    Command::session("CONFIG SET", "parameter value [parameter value ...]", set)
        .about("2.0.0", "Changes directives, all or none.")
        .admin()
        .while_loading(),
];

fn get(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let config = context.executor.server.config();
    let is_wanted =
        |name: &str| args.iter().skip(2).any(|pattern| glob_match(pattern, name.as_bytes(), true));
    let wanted: Vec<(&str, &Directive)> = DIRECTIVES
        .iter()
        .flat_map(|directive| directive.names().map(move |name| (name, directive)))
        .filter(|(name, _)| is_wanted(name))
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
    let before = server.config().appendonly;
    server.change_config(|config| {
        for (directive, value) in &changes {
            change(config, directive, value).map_err(|reason| failed(directive, &reason))?;
        }
        config.exposure().map_or(Ok(()), |why| Err(Error::plain(why)))
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

/// What can not be changed may still be set to what it is.
fn change(config: &mut Config, directive: &Directive, value: &[u8]) -> Result<(), Reason> {
    let value = std::str::from_utf8(value).map_err(|_| "argument must be UTF-8")?;
    if directive.is_live {
        return directive.read(config, &[value]);
    }
    let before = directive.show(config);
    let mut changed = config.clone();
    match directive.read(&mut changed, &[value]) {
        Ok(()) if directive.show(&changed) == before => Ok(()),
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
