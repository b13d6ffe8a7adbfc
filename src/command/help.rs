//! HELP of every command that has subcommands: what the table says of them.

use super::table;
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;

/// The handler of all HELP subcommands.
pub fn help(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let table = table();
    let container = table.find(args.get(0)).ok_or(Error::Syntax)?;
    let name = container.command.name;

    reply.array(1 + 2 * container.subcommands.len());
    reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for &index in &container.subcommands {
        let command = table.specs[index].command;
        let line = format!("{} {}", &command.name[name.len() + 1..], command.syntax);
        reply.simple(line.trim_end());
        reply.simple(&format!("    {}", command.about));
    }
    Ok(())
}
