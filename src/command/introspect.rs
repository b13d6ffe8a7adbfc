//! COMMAND: the table as clients read it. Everything shown follows from the rows and their syntax
//! lines; nothing about a single command is known here.

use super::args::Cursor;
use super::redis::{self, Known, Place};
use super::syntax::{self, Item, Kind};
use super::{Command, Family, Run, Spec, help, table};
use crate::acl::catalog;
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::glob::glob_match;
use crate::reply::Reply;
use crate::resp::owned::OwnedRequest;
use crate::resp::request::Args;

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "connection", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::session("COMMAND", "", command)
        .about("2.8.13", "Returns what clients must know about all commands.")
        .any_arguments()
        .while_loading(),
    Command::session("COMMAND COUNT", "", count)
        .about("2.8.13", "Returns the number of commands.")
        .while_loading(),
    Command::session("COMMAND DOCS", "[command-name [command-name ...]]", docs)
        .about("7.0.0", "Returns what people must know about commands.")
        .while_loading(),
    Command::session("COMMAND GETKEYS", "command [arg [arg ...]]", getkeys)
        .about("2.8.13", "Returns the keys of a command.")
        .while_loading(),
    Command::session("COMMAND GETKEYSANDFLAGS", "command [arg [arg ...]]", getkeysandflags)
        .about("7.0.0", "Returns the keys of a command, and what it does with them.")
        .while_loading(),
    Command::session("COMMAND HELP", "", help::help)
        .about("5.0.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("COMMAND INFO", "[command-name [command-name ...]]", info)
        .about("2.8.13", "Returns what clients must know about commands.")
        .while_loading(),
    Command::session(
        "COMMAND LIST",
        "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        list,
    )
    .about("7.0.0", "Returns the names of commands.")
    .while_loading(),
];

fn command(_context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    write_all_infos(reply);
    Ok(())
}

fn count(_context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.count(top_level().count());
    Ok(())
}

fn docs(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let specs: Vec<&Spec> = if args.len() == 2 {
        top_level().collect()
    } else {
        args.iter().skip(2).filter_map(|name| table().find_full(name)).collect()
    };

    reply.map(specs.len());
    for spec in specs {
        reply.bulk(spec.full_name.as_bytes());
        write_docs(spec, reply);
    }
    Ok(())
}

fn getkeys(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let keys = keys_of(args)?;

    reply.array(keys.len());
    keys.iter().for_each(|(at, _)| reply.bulk(args.get(at + 2)));
    Ok(())
}

fn getkeysandflags(
    _context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let keys = keys_of(args)?;

    reply.array(keys.len());
    for (at, flags) in keys {
        reply.array(2);
        reply.bulk(args.get(at + 2));
        write_words(flags.into_iter(), reply);
    }
    Ok(())
}

fn info(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if args.len() == 2 {
        write_all_infos(reply);
        return Ok(());
    }
    reply.array(args.len() - 2);
    for name in args.iter().skip(2) {
        match (table().find_full(name), known_elsewhere(name)) {
            (Some(spec), _) => write_info(spec, reply),
            (None, Some(known)) => write_known_info(known, reply),
            (None, None) => reply.null(),
        }
    }
    Ok(())
}

fn list(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut options = Cursor::new(args, 2);
    let mut specs: Vec<&Spec> = table().specs.iter().collect();
    if options.left() == 3 && options.accept("FILTERBY") {
        let (filter, value) = (options.required()?, options.required()?);
        match filter.to_ascii_uppercase().as_slice() {
            // There are no modules.
            b"MODULE" => specs.clear(),
            b"ACLCAT" => {
                let wanted = String::from_utf8_lossy(value).to_ascii_lowercase();
                specs.retain(|spec| spec.categories().contains(&wanted.as_str()));
            }
            b"PATTERN" => specs.retain(|spec| glob_match(value, spec.full_name.as_bytes(), true)),
            _ => return Err(Error::Syntax),
        }
    }
    options.finish()?;

    reply.array(specs.len());
    specs.iter().for_each(|spec| reply.bulk(spec.full_name.as_bytes()));
    Ok(())
}

fn top_level() -> impl Iterator<Item = &'static Spec> {
    table().specs.iter().filter(|spec| !spec.is_subcommand)
}

/// Places of the keys of the command that stands in the arguments from the third on, and words for what
/// it does with them. Any of Redis's commands will do, also one that this server does not have.
fn keys_of(args: Args<'_>) -> Result<Vec<(usize, Vec<&'static str>)>> {
    let command = OwnedRequest::new(args.iter().skip(2));
    let command = command.args();
    let at = match table().find(command.get(0)) {
        Some(spec) if spec.subcommands.is_empty() || command.len() == 1 => Some(spec.index),
        Some(spec) => table().find_subcommand(spec, command.get(1)).map(|spec| spec.index),
        None => catalog().find_in(command),
    };
    let at = at.ok_or(Error::plain("Invalid command specified"))?;
    let entry = &catalog().entries[at];
    if !entry.has_keys() {
        return Err(Error::plain("The command has no key arguments"));
    }
    if !entry.accepts(command.len()) {
        return Err(Error::plain("Invalid number of arguments specified for command"));
    }
    let wrong = Error::plain("Invalid arguments specified for command");
    entry.flagged_keys_in(command).ok_or(wrong)
}

fn write_all_infos(reply: &mut Reply<'_>) {
    reply.array(top_level().count());
    top_level().for_each(|spec| write_info(spec, reply));
}

fn write_info(spec: &Spec, reply: &mut Reply<'_>) {
    let (first, last, step) = spec.keys.range();
    reply.array(10);
    reply.bulk(spec.full_name.as_bytes());
    reply.integer(spec.arity.into());
    write_words(spec.flag_names().into_iter(), reply);
    reply.integer(first);
    reply.integer(last);
    reply.integer(step);
    let categories: Vec<String> = spec.categories().iter().map(|of| format!("@{of}")).collect();
    write_words(categories.iter().map(String::as_str), reply);
    // Tips for clients of clusters.
    reply.set(0);
    write_key_specs(spec, reply);
    reply.array(spec.subcommands.len());
    spec.subcommands.iter().for_each(|&at| write_info(&table().specs[at], reply));
}

/// A command of Redis's that is not this server's, not even one that was renamed.
fn known_elsewhere(name: &[u8]) -> Option<&'static Known> {
    let known = redis::find(&String::from_utf8_lossy(name).to_ascii_lowercase())?;
    let is_here = table().specs.iter().any(|spec| spec.full_name == known.name);
    (!is_here).then_some(known)
}

/// Of a command of Redis's that this server does not have: clients and proxies that are told of it find
/// its keys nevertheless.
fn write_known_info(known: &Known, reply: &mut Reply<'_>) {
    let (first, last, step) = known.key_range();
    reply.array(10);
    reply.bulk(known.name.as_bytes());
    reply.integer(known.arity.into());
    write_words(known.shown_flags().into_iter(), reply);
    reply.integer(first);
    reply.integer(last);
    reply.integer(step);
    let categories: Vec<String> = known.categories.split(' ').map(|of| format!("@{of}")).collect();
    write_words(categories.iter().map(String::as_str), reply);
    reply.set(0);
    write_known_key_specs(known, reply);
    reply.array(0);
}

fn write_known_key_specs(known: &Known, reply: &mut Reply<'_>) {
    reply.set(known.keys.len());
    known.keys.iter().for_each(|key| write_key_spec(key.flags.split(' '), &key.place, reply));
}

fn write_key_specs(spec: &Spec, reply: &mut Reply<'_>) {
    if let Some(known) = redis::find(&spec.full_name) {
        return write_known_key_specs(known, reply);
    }
    let Some(place) = Place::of(spec.keys) else { return reply.set(0) };
    reply.set(1);
    write_key_spec(key_flags(spec).iter().copied(), &place, reply);
}

fn write_key_spec<'a>(flags: impl Iterator<Item = &'a str>, place: &Place, reply: &mut Reply<'_>) {
    let flags: Vec<&str> = flags.collect();
    reply.map(3);
    reply.bulk(b"flags");
    write_words(flags.into_iter(), reply);
    reply.bulk(b"begin_search");
    match *place {
        Place::Range { first, .. } | Place::Counted(first) => {
            write_search("index", &[("index", first as i64)], reply);
        }
        Place::After { word, from, .. } => {
            reply.map(2);
            write_text("type", "keyword", reply);
            reply.bulk(b"spec");
            reply.map(2);
            write_text("keyword", word, reply);
            reply.bulk(b"startfrom");
            reply.integer(from.into());
        }
        Place::Unknown => write_search("unknown", &[], reply),
    }
    reply.bulk(b"find_keys");
    match *place {
        Place::Range { last, step, .. } => write_range(last, step, 0, reply),
        Place::After { last, step, limit, .. } => write_range(last, step, limit, reply),
        Place::Counted(_) => {
            let spec = [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
            write_search("keynum", &spec, reply);
        }
        Place::Unknown => write_search("unknown", &[], reply),
    }
}

fn write_range(last: i32, step: usize, limit: usize, reply: &mut Reply<'_>) {
    let spec = [("lastkey", last.into()), ("keystep", step as i64), ("limit", limit as i64)];
    write_search("range", &spec, reply);
}

fn write_search(kind: &str, spec: &[(&str, i64)], reply: &mut Reply<'_>) {
    reply.map(2);
    write_text("type", kind, reply);
    reply.bulk(b"spec");
    reply.map(spec.len());
    for (name, value) in spec {
        reply.bulk(name.as_bytes());
        reply.integer(*value);
    }
}

/// What a command may do to the names it is given.
fn key_flags(spec: &Spec) -> &'static [&'static str] {
    match spec.command.run {
        Run::Write(_) => &["RW", "access", "update"],
        Run::Read(_) | Run::Session(_) | Run::Container => &["RO", "access"],
    }
}

fn write_docs(spec: &Spec, reply: &mut Reply<'_>) {
    let items = syntax::parse(spec.command.syntax);
    let subcommands = &spec.subcommands;
    reply.map(3 + usize::from(!items.is_empty()) + usize::from(!subcommands.is_empty()));
    write_text("summary", spec.command.about, reply);
    write_text("since", spec.command.since, reply);
    write_text("group", spec.family.group, reply);
    if !items.is_empty() {
        reply.bulk(b"arguments");
        let types = Types { is_name: syntax::names_in(&items), command: spec.command.name };
        types.write(&items, reply);
    }
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        for spec in subcommands.iter().map(|&at| &table().specs[at]) {
            reply.bulk(spec.full_name.as_bytes());
            write_docs(spec, reply);
        }
    }
}

/// Knows the types of one command's arguments by their names.
struct Types {
    is_name: fn(&str) -> bool,
    command: &'static str,
}

impl Types {
    fn write(&self, items: &[Item], reply: &mut Reply<'_>) {
        reply.array(items.len());
        items.iter().for_each(|item| self.write_item(item, reply));
    }

    fn write_item(&self, item: &Item, reply: &mut Reply<'_>) {
        let kind = self.kind_of(item);
        let name = item.name();
        let flags = flags_of(item);
        let is_key = kind == "key";
        let optional_fields = [is_key, item.token.is_some(), !flags.is_empty()];
        reply.map(3 + optional_fields.iter().filter(|is_there| **is_there).count());
        write_text("name", &name, reply);
        write_text("type", kind, reply);
        match &item.kind {
            Kind::OneOf(items) | Kind::Block(items) => {
                reply.bulk(b"arguments");
                self.write(items, reply);
            }
            Kind::Argument(_) | Kind::Token => write_text("display_text", &name, reply),
        }
        if is_key {
            reply.bulk(b"key_spec_index");
            reply.integer(0);
        }
        if let Some(token) = item.token {
            write_text("token", token, reply);
        }
        if !flags.is_empty() {
            reply.bulk(b"flags");
            write_words(flags.into_iter(), reply);
        }
    }

    fn kind_of(&self, item: &Item) -> &'static str {
        let name = match &item.kind {
            Kind::Token => return "pure-token",
            Kind::OneOf(_) => return "oneof",
            Kind::Block(_) => return "block",
            Kind::Argument(name) => *name,
        };
        match name {
            _ if (self.is_name)(name) => "key",
            "pattern" => "pattern",
            "increment" if self.command.ends_with("BYFLOAT") => "double",
            "seconds" if self.command == "DEBUG SLEEP" => "double",
            _ if name.starts_with("unix-time") => "unix-time",
            "seconds" | "milliseconds" | "count" | "cursor" | "numfields" | "numkeys" | "index"
            | "offset" | "start" | "end" | "length" | "db" | "destination-db" | "increment"
            | "decrement" | "client-id" | "maxage" | "protover" => "integer",
            _ => "string",
        }
    }
}

fn flags_of(item: &Item) -> Vec<&'static str> {
    let flags = [
        (item.is_optional, "optional"),
        (item.is_multiple, "multiple"),
        (item.repeats_token, "multiple_token"),
    ];
    flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect()
}

fn write_words<'a>(words: impl ExactSizeIterator<Item = &'a str>, reply: &mut Reply<'_>) {
    reply.set(words.len());
    words.for_each(|word| reply.simple(word));
}

fn write_text(key: &str, value: &str, reply: &mut Reply<'_>) {
    reply.bulk(key.as_bytes());
    reply.bulk(value.as_bytes());
}
