//! The HELP subcommand of every container, written from the rows of its subcommands.

use super::{Spec, table};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;

/// Handler of `CLIENT HELP`, `CONFIG HELP` and so on.
pub(super) fn help(
    _context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let Some(container) = table().find(args.get(0)) else { return Err(Error::Syntax) };

    let lines = lines(container);
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.simple(line));
    Ok(())
}

fn lines(container: &Spec) -> Vec<String> {
    let name = container.command.name;
    let title = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let mut lines = vec![title];
    for &index in &container.subcommands {
        let row = table().specs[index].command;
        let subcommand = &row.name[name.len() + 1..];
        lines.push(format!("{subcommand} {}", row.syntax).trim_end().to_owned());
        lines.push(format!("    {}", row.about));
    }
    lines
}
