//! LATENCY: how long commands take, and the moments at which something took too long.

use std::fmt::Write as _;

use super::{Command, Family, Spec, help, table};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::Server;
use crate::server::histogram::Histogram;
use crate::server::latency::Event;

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

/// Rows of a graph, and moments that fit beside each other.
const GRAPH_ROWS: u64 = 4;
const GRAPH_COLUMNS: usize = 80;

const COMMANDS: &[Command] = &[
    Command::container("LATENCY").about("2.8.13", "Has the commands for what took long."),
    Command::session("LATENCY DOCTOR", "", doctor)
        .about("2.8.13", "Returns what people should know of what took long.")
        .admin()
        .while_loading(),
    Command::session("LATENCY GRAPH", "event", graph)
        .about("2.8.13", "Returns how long an event took, as a graph of text.")
        .admin()
        .while_loading(),
    Command::session("LATENCY HELP", "", help::help)
        .about("2.8.13", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("LATENCY HISTOGRAM", "[command [command ...]]", histogram)
        .about("7.0.0", "Returns how long commands took: how many within each of some times.")
        .admin()
        .while_loading(),
    Command::session("LATENCY HISTORY", "event", history)
        .about("2.8.13", "Returns when an event took long, and how long.")
        .admin()
        .while_loading(),
    Command::session("LATENCY LATEST", "", latest)
        .about("2.8.13", "Returns the last and the longest time of every event.")
        .admin()
        .while_loading(),
    Command::session("LATENCY RESET", "[event [event ...]]", reset)
        .about("2.8.13", "Forgets events; all if none is named.")
        .admin()
        .while_loading(),
];

fn doctor(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    let threshold_ms = server.config().latency_monitor_threshold_ms;
    let events = server.latency.events();
    let mut text = match (threshold_ms, events.is_empty()) {
        (0, true) => "Latency monitoring is off. To turn it on: CONFIG SET \
                      latency-monitor-threshold <milliseconds>.\n"
            .to_owned(),
        (_, true) => format!("Nothing has taken {threshold_ms} ms or longer.\n"),
        _ => "What has taken long:\n".to_owned(),
    };
    for (name, event) in &events {
        let times = event.moments.iter().map(|moment| moment.took_ms);
        let mean_ms = times.clone().sum::<u64>() / (event.moments.len() as u64).max(1);
        let (count, max_ms) = (event.moments.len(), event.max_ms);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "- {name}: in {count} different seconds, {mean_ms} ms on average, {max_ms} ms at most. {}",
            advice(name)
        );
    }
    reply.verbatim(&text);
    Ok(())
}

fn graph(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    let shown = String::from_utf8_lossy(args.get(2)).into_owned();
    let event = server.latency.event(args.get(2));
    let none = || Error::plain(format!("No samples available for event '{shown}'"));
    let (name, event) = event.ok_or_else(none)?;

    reply.verbatim(&drawn(name, &event, server.store.clock.now_ms() / 1000));
    Ok(())
}

fn histogram(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let specs: Vec<&Spec> = if args.len() == 2 {
        table().specs.iter().collect()
    } else {
        args.iter().skip(2).flat_map(with_subcommands).collect()
    };

    let server = context.executor.server;
    let histograms = specs.iter().map(|spec| (spec, times(server, spec)));
    let shown: Vec<_> = histograms.filter(|(_, times)| times.total() > 0).collect();
    reply.map(shown.len());
    for (spec, times) in shown {
        let bounds_us = times.bounds_us();
        reply.bulk(spec.full_name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(times.total() as i64);
        reply.bulk(b"histogram_usec");
        reply.map(bounds_us.len());
        for (bound_us, count) in bounds_us {
            reply.integer(bound_us as i64);
            reply.integer(count as i64);
        }
    }
    Ok(())
}

fn history(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let event = context.executor.server.latency.event(args.get(2));
    let moments = event.map(|(_, event)| event.moments).unwrap_or_default();
    reply.array(moments.len());
    for moment in moments {
        reply.array(2);
        reply.integer(moment.at_s as i64);
        reply.integer(moment.took_ms as i64);
    }
    Ok(())
}

fn latest(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let events = context.executor.server.latency.events();
    reply.array(events.len());
    for (name, event) in events {
        let last = event.moments.back();
        reply.array(4);
        reply.bulk(name.as_bytes());
        reply.integer(last.map_or(0, |moment| moment.at_s as i64));
        reply.integer(last.map_or(0, |moment| moment.took_ms as i64));
        reply.integer(event.max_ms as i64);
    }
    Ok(())
}

fn reset(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let is_named =
        |name: &str| args.iter().skip(2).any(|event| event.eq_ignore_ascii_case(name.as_bytes()));
    let forgotten =
        context.executor.server.latency.forget(|name| args.len() == 2 || is_named(name));
    reply.count(forgotten);
    Ok(())
}

/// The times of a command, of all threads together.
pub(super) fn times(server: &Server, spec: &Spec) -> Histogram {
    Histogram::sum(server.metrics.iter().map(|metrics| &metrics.times[spec.index]))
}

/// A command by its full name, and its subcommands if it is a container.
fn with_subcommands(name: &[u8]) -> Vec<&'static Spec> {
    let table = table();
    let Some(spec) = table.find_full(name) else { return Vec::new() };
    let subcommands = spec.subcommands.iter().map(|&at| &table.specs[at]);
    std::iter::once(spec).chain(subcommands).collect()
}

fn advice(event: &str) -> &'static str {
    match event {
        "expire-cycle" => "Many names or pairs ran out at once.",
        "fast-command" => {
            "These commands are fast by nature: the machine may be short of CPU or memory."
        }
        _ => "SLOWLOG GET shows which commands were slow.",
    }
}

/// One column for each moment, the higher the longer; below it how long ago that was.
fn drawn(name: &str, event: &Event, now_s: u64) -> String {
    let skipped = event.moments.len().saturating_sub(GRAPH_COLUMNS);
    let moments: Vec<_> = event.moments.iter().skip(skipped).collect();
    let times = || moments.iter().map(|moment| moment.took_ms);
    let (high, low) = (times().max().unwrap_or(0), times().min().unwrap_or(0));
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        event.max_ms,
        "-".repeat(GRAPH_COLUMNS)
    );
    let height = |took_ms: u64| (took_ms - low) * (GRAPH_ROWS - 1) / (high - low).max(1);
    for row in (0..GRAPH_ROWS).rev() {
        let mark = |took_ms: u64| match height(took_ms) {
            top if top == row => {
                if row == 0 {
                    '_'
                } else {
                    '#'
                }
            }
            top if top > row => '|',
            _ => ' ',
        };
        text.push_str(times().map(mark).collect::<String>().trim_end());
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<String> = moments.iter().map(|moment| age(now_s, moment.at_s)).collect();
    for line in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        let letters = ages.iter().map(|age| age.as_bytes().get(line).map_or(' ', |&b| b as char));
        text.push_str(letters.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

fn age(now_s: u64, at_s: u64) -> String {
    match now_s.saturating_sub(at_s) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
