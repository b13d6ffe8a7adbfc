//! The HyperLogLog family: how many different elements there are, about. How they are laid out and
//! counted is in [`crate::hyperloglog`].
//!
//! PFCOUNT uses the count that stands in a value, but writes none: it only reads. A count that had to
//! be made is made again the next time.

use super::args::is;
use super::{Command, Family};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::hyperloglog::{self, HyperLogLog, Layout, Runs, Unreadable};
use crate::journal::effect::Cause;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::{NewDeadline, View};

/// The family.
pub const FAMILY: Family =
    Family { group: "hyperloglog", category: "hyperloglog", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::write("PFADD", "key [element [element ...]]", pfadd)
        .about("2.8.9", "Adds elements to a HyperLogLog, which is created if it doesn't exist.")
        .fast()
        .denies_oom(),
    Command::read("PFCOUNT", "key [key ...]", pfcount)
        .about("2.8.9", "Returns about how many different elements HyperLogLogs have seen.")
        .may_replicate(),
    Command::write("PFDEBUG", "subcommand key", pfdebug)
        .about("2.8.9", "Looks into a HyperLogLog, for tests.")
        .admin()
        .denies_oom(),
    Command::write("PFMERGE", "destkey [sourcekey [sourcekey ...]]", pfmerge)
        .about("2.8.9", "Merges HyperLogLogs into one.")
        .denies_oom(),
    Command::session("PFSELFTEST", "", pfselftest)
        .about("2.8.9", "Tests how well HyperLogLogs count.")
        .admin(),
];

/// Elements that PFSELFTEST adds, and how far a count may be off: four standard errors.
const SELF_TEST_ELEMENTS: u64 = 100_000;
const SELF_TEST_ERROR: f64 = 4.0 * 1.04 / 128.0;

fn pfadd(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let old = view.string(name)?;
    if let Some(bytes) = old
        && hyperloglog::layout(bytes).map_err(unreadable)? == Layout::Dense
    {
        let change = hyperloglog::dense_change(bytes, args.iter().skip(2));
        if let Some((at, bytes)) = &change {
            view.patch_string(name, *at, bytes, Cause::Pfadd);
        }
        reply.integer(i64::from(change.is_some()));
        return Ok(());
    }
    let mut counter = old.map_or(Ok(HyperLogLog::default()), read)?;

    let mut has_changed = old.is_none();
    for element in args.iter().skip(2) {
        has_changed |= counter.add(element);
    }
    if has_changed {
        let bytes = counter.write(view.settings().hll_sparse_max_bytes);
        view.put_string(name, &bytes, NewDeadline::Keep, Cause::Pfadd);
    }
    reply.integer(i64::from(has_changed));
    Ok(())
}

fn pfcount(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let count = if args.len() == 2 {
        match view.string(args.get(1))? {
            None => 0,
            Some(bytes) => {
                hyperloglog::layout(bytes).map_err(unreadable)?;
                match hyperloglog::known_count(bytes) {
                    Some(count) => count,
                    None => read(bytes)?.count(),
                }
            }
        }
    } else {
        union(view, args, 1)?.count()
    };
    reply.integer(count as i64);
    Ok(())
}

fn pfmerge(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let whole = union(view, args, 1)?;

    let bytes = whole.write(view.settings().hll_sparse_max_bytes);
    view.put_string(args.get(1), &bytes, NewDeadline::Keep, Cause::Pfadd);
    reply.ok();
    Ok(())
}

fn pfdebug(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (what, name) = (args.get(1), args.get(2));
    let bytes = view.string(name)?.ok_or(Error::plain("The specified key does not exist"))?;
    let mut counter = read(bytes)?;

    if is(what, "GETREG") {
        reply.array(hyperloglog::REGISTERS);
        counter.registers().iter().for_each(|&register| reply.integer(register.into()));
    } else if is(what, "ENCODING") {
        reply.simple(match counter.layout {
            Layout::Dense => "dense",
            Layout::Sparse => "sparse",
        });
    } else if is(what, "DECODE") {
        if counter.layout == Layout::Dense {
            return Err(Error::plain("HLL encoding is not sparse"));
        }
        let runs: Vec<String> = Runs::of(bytes).flatten().map(shown_run).collect();
        reply.bulk(runs.join(" ").as_bytes());
    } else if is(what, "TODENSE") {
        let was_sparse = counter.layout == Layout::Sparse;
        if was_sparse {
            counter.layout = Layout::Dense;
            let dense = counter.write(0);
            view.put_string(name, &dense, NewDeadline::Keep, Cause::Pfadd);
        }
        reply.integer(i64::from(was_sparse));
    } else {
        let what = String::from_utf8_lossy(what);
        return Err(Error::plain(format!("Unknown PFDEBUG subcommand '{what}'")));
    }
    Ok(())
}

fn pfselftest(_context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut counter = HyperLogLog::default();
    for element in 1..=SELF_TEST_ELEMENTS {
        counter.add(&element.to_le_bytes());
        if element.is_power_of_two() || element == SELF_TEST_ELEMENTS {
            let dense = read(&counter.write(0))?.count();
            let off = (dense as f64 - element as f64).abs() / element as f64;
            if off > SELF_TEST_ERROR || dense != counter.count() {
                return Err(Error::plain(format!("TESTFAILED: {dense} for {element}")));
            }
        }
    }
    reply.ok();
    Ok(())
}

/// What the names from argument `first` on have seen together.
fn union(view: &View<'_>, args: Args<'_>, first: usize) -> Result<HyperLogLog> {
    let mut whole = HyperLogLog::default();
    for name in args.iter().skip(first) {
        if let Some(bytes) = view.string(name)? {
            whole.merge(&read(bytes)?);
        }
    }
    Ok(whole)
}

fn read(bytes: &[u8]) -> Result<HyperLogLog> {
    HyperLogLog::read(bytes).map_err(unreadable)
}

fn unreadable(why: Unreadable) -> Error {
    match why {
        Unreadable::Other => Error::NotHyperLogLog,
        Unreadable::Corrupt => Error::CorruptHyperLogLog,
    }
}

/// As PFDEBUG DECODE shows it: `z` for zeros, `Z` for many, `v` for a value.
fn shown_run((value, len): (u8, usize)) -> String {
    match value {
        0 if len <= 64 => format!("z:{len}"),
        0 => format!("Z:{len}"),
        value => format!("v:{value},{len}"),
    }
}
