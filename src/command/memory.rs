//! MEMORY: what values and the server take.

use super::args::Cursor;
use super::{Command, Family, help};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::process;
use crate::store::{Store, View};

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::container("MEMORY").about("4.0.0", "Has the commands for the use of memory."),
    Command::session("MEMORY DOCTOR", "", doctor)
        .about("4.0.0", "Returns what people should know of the use of memory.")
        .every_name(),
    Command::session("MEMORY HELP", "", help::help)
        .about("4.0.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("MEMORY MALLOC-STATS", "", malloc_stats)
        .about("4.0.0", "Returns what the system says of the allocator's memory.")
        .every_name(),
    Command::session("MEMORY PURGE", "", purge)
        .about("4.0.0", "Does nothing: freed memory goes back to the system by itself."),
    Command::session("MEMORY STATS", "", stats)
        .about("4.0.0", "Returns what names, pairs and clients take.")
        .every_name(),
    Command::read("MEMORY USAGE", "key [SAMPLES count]", usage)
        .about("4.0.0", "Returns the bytes that a key and its value take."),
];

/// A resident size that is no matter of a few pages.
const SMALL_BYTES: u64 = 64 << 20;
/// How much more may be resident than is used before it is worth a word.
const FRAGMENTATION_MAX: f64 = 2.0;

fn doctor(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let used = context.executor.held.stats().bytes as u64;
    let resident = process::resident_bytes().unwrap_or(used);
    let text = if resident < SMALL_BYTES {
        "This server uses little memory; there is nothing to be said about it.\n".to_owned()
    } else if resident as f64 > used as f64 * FRAGMENTATION_MAX {
        format!(
            "Names and pairs take {used} bytes, but {resident} are resident. If much was deleted \
             lately, the rest goes back to the system soon; otherwise clients' buffers take it.\n"
        )
    } else {
        "Nothing is wrong with the use of memory.\n".to_owned()
    };
    reply.verbatim(&text);
    Ok(())
}

fn malloc_stats(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let used = context.executor.held.stats().bytes;
    let resident = process::resident_bytes().unwrap_or(0);
    reply.verbatim(&format!("jemalloc\nused by names and pairs: {used}\nresident: {resident}\n"));
    Ok(())
}

fn purge(_context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.ok();
    Ok(())
}

fn stats(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    let store = context.executor.held.stats();
    let names: usize = store.dbs.iter().map(|db| db.names).sum();
    let used = store.bytes + server.clients.bytes();
    let buffers = server.clients.bytes();
    let peak = server.peak_bytes(used);
    let numbers = [
        ("peak.allocated", peak),
        ("total.allocated", used),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", buffers),
        ("cluster.links", 0),
        ("aof.buffer", server.store.journal.queued_bytes()),
        ("keys.count", names),
        ("keys.bytes-per-key", store.bytes / names.max(1)),
        ("dataset.bytes", store.bytes.saturating_sub(Store::EMPTY_BYTES)),
    ];
    reply.map(numbers.len() + 2);
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.count(number);
    }
    reply.bulk(b"dataset.percentage");
    let dataset = store.bytes.saturating_sub(Store::EMPTY_BYTES) as f64;
    reply.double(dataset * 100.0 / (used - Store::EMPTY_BYTES).max(1) as f64);
    reply.bulk(b"peak.percentage");
    reply.double(used as f64 * 100.0 / peak.max(1) as f64);
    Ok(())
}

fn usage(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut options = Cursor::new(args, 3);
    while options.accept("SAMPLES") {
        // Nothing is sampled here: the sums are kept. So any number will do.
        if options.integer()? < 0 {
            return Err(Error::Syntax);
        }
    }
    options.finish()?;

    match view.header(args.get(2)) {
        Some(entry) => reply.count(view.bytes(entry)),
        None => reply.null(),
    }
    Ok(())
}
