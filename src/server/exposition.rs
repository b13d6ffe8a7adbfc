//! What Prometheus scrapes: one row a metric, read from the counters when it is asked for.
//!
//! The text is written by the `prometheus-client` crate. Nothing is counted here; INFO
//! (`command/info.rs`) shows most of the same numbers under Redis's names.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::histogram::Histogram;
use super::metrics::{Counter, Metrics};
use super::routes::Routes;
use super::{Server, process};
use crate::acl::User;
use crate::command;
use crate::store::{Held, Stats, Taken};

/// The content type of what [`scrape`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the buckets of durations, in seconds.
const BOUNDS_S: [f64; 12] =
    [1e-6, 4e-6, 16e-6, 64e-6, 256e-6, 1e-3, 4e-3, 16e-3, 64e-3, 256e-3, 1.0, 4.0];

/// Names of database 0 up to which its namespaces are shown: all are looked at for that.
const NAMES_LOOKED_AT_MAX: usize = 100_000;
/// Longest name that is shown, if it is UTF-8.
const NAME_BYTES_MAX: usize = 256;

/// All metrics as text; of namespaces those that the user may read. Takes all stripes for a moment, as
/// INFO does.
pub fn scrape(server: &Arc<Server>, user: &Arc<User>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Everything(server.clone(), user.clone())));
    let mut text = String::new();
    // Writing to a string does not fail, and every histogram here has buckets.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

struct Everything(Arc<Server>, Arc<User>);

impl fmt::Debug for Everything {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Everything")
    }
}

/// What a row reads.
struct Facts<'a> {
    server: &'a Server,
    store: Stats,
}

/// One metric without labels.
struct Row {
    name: &'static str,
    help: &'static str,
    is_counter: bool,
    read: fn(&Facts<'_>) -> f64,
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Facts<'_>) -> f64) -> Row {
    Row { name, help, is_counter: true, read }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Facts<'_>) -> f64) -> Row {
    Row { name, help, is_counter: false, read }
}

const ROWS: &[Row] = &[
    gauge("pantry_up_since_seconds", "When the process started, in unix seconds", |facts| {
        facts.server.started_ms as f64 / 1000.0
    }),
    gauge("pantry_ready", "1 when it serves, 0 while it loads", |facts| {
        f64::from(u8::from(facts.server.is_ready.load(Relaxed)))
    }),
    gauge("pantry_clients", "Connections of both doors", |facts| facts.server.clients.len() as f64),
    gauge("pantry_clients_max", "Most connections, maxclients", |facts| {
        facts.server.config().maxclients as f64
    }),
    counter("pantry_connections", "Connections taken", |facts| {
        facts.sum(|of| &of.total_connections_received)
    }),
    counter("pantry_connections_rejected", "Connections refused", |facts| {
        facts.sum(|of| &of.rejected_connections)
    }),
    counter("pantry_net_input_bytes", "Bytes read from Redis clients", |facts| {
        facts.sum(|of| &of.total_net_input_bytes)
    }),
    counter("pantry_net_output_bytes", "Bytes written to Redis clients", |facts| {
        facts.sum(|of| &of.total_net_output_bytes)
    }),
    counter("pantry_commands", "Commands run", |facts| {
        facts.sum(|of| &of.total_commands_processed)
    }),
    counter("pantry_error_replies", "Error replies", |facts| {
        facts.sum(|of| &of.total_error_replies)
    }),
    counter("pantry_audit_lines", "Lines written to the audit log", |facts| {
        facts.server.audit.counts()[0] as f64
    }),
    counter("pantry_audit_lines_lost", "Lines of the audit log that were lost", |facts| {
        facts.server.audit.counts()[1] as f64
    }),
    counter("pantry_keyspace_hits", "Reads of names that were there", |facts| {
        facts.sum(|of| &of.keyspace_hits)
    }),
    counter("pantry_keyspace_misses", "Reads of names that were not", |facts| {
        facts.sum(|of| &of.keyspace_misses)
    }),
    counter("pantry_http_requests", "HTTP requests", |facts| facts.sum(|of| &of.http_requests)),
    gauge("pantry_memory_used_bytes", "Bytes of names, pairs, values and tables", |facts| {
        facts.store.bytes as f64
    }),
    gauge("pantry_memory_max_bytes", "maxmemory; 0 for no limit", |facts| {
        facts.server.config().maxmemory_bytes as f64
    }),
    gauge("pantry_memory_resident_bytes", "Memory that the process takes", |_| {
        process::resident_bytes().map_or(f64::NAN, |bytes| bytes as f64)
    }),
    counter("pantry_expired_names", "Names freed because their deadline passed", |facts| {
        facts.store.expired_names as f64
    }),
    counter("pantry_expired_pairs", "Pairs freed because their deadline passed", |facts| {
        facts.store.expired_pairs as f64
    }),
    counter("pantry_evicted_names", "Names evicted at the memory limit", |facts| {
        facts.server.store.evicted_names() as f64
    }),
    gauge("pantry_lazyfree_pending", "Large values that wait to be freed", |facts| {
        facts.store.lazyfree_pending as f64
    }),
    gauge("pantry_slice_seconds_max", "Longest time that slow work kept a stripe", |facts| {
        facts.server.store.slice_us_max() as f64 / 1e6
    }),
    gauge("pantry_journal_enabled", "1 when changes are kept", |facts| {
        f64::from(u8::from(facts.server.store.journal.keeps()))
    }),
    gauge("pantry_journal_refuses", "1 while changes are refused because of the disk", |facts| {
        f64::from(u8::from(facts.server.store.journal.is_failing()))
    }),
    counter("pantry_journal_batches", "Batches of changes", |facts| {
        facts.server.store.journal.last() as f64
    }),
    counter("pantry_journal_records", "Records written", |facts| {
        facts.server.store.journal.status().records.load(Relaxed) as f64
    }),
    counter("pantry_journal_fsyncs", "Flushes to the disk", |facts| {
        facts.server.store.journal.status().fsyncs.load(Relaxed) as f64
    }),
    counter("pantry_journal_stalls", "Times that workers waited for the disk", |facts| {
        facts.server.store.journal.status().stalls.load(Relaxed) as f64
    }),
    gauge("pantry_journal_queued_bytes", "Bytes not handed to the system yet", |facts| {
        facts.server.store.journal.queued_bytes() as f64
    }),
    gauge("pantry_journal_unsynced_bytes", "Bytes handed to the system and not flushed", |facts| {
        facts.server.store.journal.status().unsynced_bytes.load(Relaxed) as f64
    }),
    gauge("pantry_journal_bytes", "Bytes of the journal since the last snapshot", |facts| {
        facts.server.store.journal.status().journal_bytes.load(Relaxed) as f64
    }),
    gauge("pantry_snapshot_bytes", "Bytes of the last snapshot", |facts| {
        facts.server.store.journal.status().base_bytes.load(Relaxed) as f64
    }),
    counter("pantry_snapshots", "Snapshots done", |facts| {
        facts.server.store.journal.status().snapshots.load(Relaxed) as f64
    }),
    gauge("pantry_snapshot_failed", "1 when the last snapshot failed", |facts| {
        let has_failed = &facts.server.store.journal.status().snapshot_failed;
        f64::from(u8::from(has_failed.load(Relaxed)))
    }),
];

impl Facts<'_> {
    fn sum(&self, counter: fn(&Metrics) -> &Counter) -> f64 {
        self.server.sum(counter) as f64
    }
}

impl Collector for Everything {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let server = &*self.0;
        let mut held = Held::new(&server.store);
        held.lock_all();
        let facts = Facts { server, store: held.stats() };
        drop(held);
        for row in ROWS {
            let value = (row.read)(&facts);
            let kind = if row.is_counter { MetricType::Counter } else { MetricType::Gauge };
            let metric = encoder.encode_descriptor(row.name, row.help, None, kind)?;
            write(metric, row.is_counter, value)?;
        }
        build_info(&mut encoder)?;
        cpu(&mut encoder)?;
        databases(&mut encoder, &facts.store)?;
        errors(&mut encoder, server)?;
        commands(&mut encoder, server)?;
        routes(&mut encoder, server)?;
        namespaces(&mut encoder, server, &facts.store, &self.1)
    }
}

fn write(mut metric: MetricEncoder<'_>, is_counter: bool, value: f64) -> fmt::Result {
    match is_counter {
        true => metric.encode_counter::<[(&str, &str); 0], _, u64>(&value, None),
        false => metric.encode_gauge(&value),
    }
}

/// A metric with one label.
fn labelled<'v>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    is_counter: bool,
    label: &str,
    values: impl Iterator<Item = (&'v str, f64)>,
) -> fmt::Result {
    let kind = if is_counter { MetricType::Counter } else { MetricType::Gauge };
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (text, value) in values {
        write(metric.encode_family(&[(label, text)])?, is_counter, value)?;
    }
    Ok(())
}

fn build_info(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let about = ("pantry_build", "1, with the version as its label");
    labelled(encoder, about, false, "version", [(env!("CARGO_PKG_VERSION"), 1.0)].into_iter())
}

fn cpu(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let seconds = process::cpu_seconds();
    let (system, user) = seconds.unwrap_or((f64::NAN, f64::NAN));
    let about = ("pantry_cpu_seconds", "CPU time of the process");
    labelled(encoder, about, true, "mode", [("system", system), ("user", user)].into_iter())
}

fn databases(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
    let numbers: Vec<String> = (0..stats.dbs.len()).map(|db| db.to_string()).collect();
    let used =
        || stats.dbs.iter().zip(&numbers).filter(|(of, number)| of.names > 0 || *number == "0");
    let names = used().map(|(of, db)| (db.as_str(), of.names as f64));
    labelled(encoder, ("pantry_names", "Names of a database"), false, "db", names)?;
    let expiring = used().map(|(of, db)| (db.as_str(), of.with_deadline as f64));
    let about = ("pantry_names_expiring", "Names of a database that have a deadline");
    labelled(encoder, about, false, "db", expiring)
}

fn errors(encoder: &mut DescriptorEncoder<'_>, server: &Server) -> fmt::Result {
    let mut sums = std::collections::BTreeMap::new();
    for metrics in &server.metrics {
        for (code, count) in &*metrics.errors.lock() {
            *sums.entry(code.clone()).or_insert(0) += count;
        }
    }
    let values = sums.iter().map(|(code, count)| (&**code, *count as f64));
    labelled(encoder, ("pantry_errors", "Error replies by their code"), true, "code", values)
}

/// Of commands that were called: how often, with which end, and how long they took.
fn commands(encoder: &mut DescriptorEncoder<'_>, server: &Server) -> fmt::Result {
    let specs = &command::table().specs;
    let sum = |of: fn(&Metrics) -> &Vec<Counter>, at: usize| {
        server.metrics.iter().map(|metrics| of(metrics)[at].get()).sum::<u64>() as f64
    };
    let all = |of: fn(&Metrics) -> &Vec<Counter>| {
        let counted = specs.iter().map(move |spec| (spec.full_name.as_str(), sum(of, spec.index)));
        counted.filter(|&(_, count)| count > 0.0)
    };
    let about = ("pantry_command_calls", "Calls of a command");
    labelled(encoder, about, true, "command", all(|metrics| &metrics.calls))?;
    let about = ("pantry_command_failures", "Calls that ended with an error");
    labelled(encoder, about, true, "command", all(|metrics| &metrics.failed))?;
    let about = ("pantry_command_rejections", "Calls refused before they ran");
    labelled(encoder, about, true, "command", all(|metrics| &metrics.rejected))?;

    let (name, help) = ("pantry_command_duration_seconds", "How long calls of a command took");
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for spec in specs {
        let times = || server.metrics.iter().map(|metrics| &metrics.times[spec.index]);
        let histogram = Histogram::sum(times());
        let sum_ns: u64 = times().map(|times| times.sum_ns.get()).sum();
        durations(&mut metric, &[("command", spec.full_name.as_str())], sum_ns, &histogram)?;
    }
    Ok(())
}

/// Of routes that requests took: how they were answered, and how long that took.
fn routes(encoder: &mut DescriptorEncoder<'_>, server: &Server) -> fmt::Result {
    let routes = Routes::sum(server.metrics.iter().map(|metrics| &metrics.http_routes));
    let (name, help) =
        ("pantry_http_route_requests", "HTTP requests of a route; without one, nothing fits");
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for ((method, route), sum) in &routes {
        for (status, count) in &sum.statuses {
            let status = status.to_string();
            let labels = [("method", *method), ("route", *route), ("status", status.as_str())];
            write(metric.encode_family(&labels)?, true, *count as f64)?;
        }
    }
    let (name, help) =
        ("pantry_http_request_duration_seconds", "How long answers of a route took to begin");
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for ((method, route), sum) in &routes {
        let labels = [("method", *method), ("route", *route)];
        durations(&mut metric, &labels, sum.sum_ns, &sum.histogram)?;
    }
    Ok(())
}

/// Pairs and bytes of the largest namespaces, unless there are very many to look at.
fn namespaces(
    encoder: &mut DescriptorEncoder<'_>,
    server: &Server,
    stats: &Stats,
    user: &User,
) -> fmt::Result {
    let most = server.config().http_metrics_namespaces;
    if most == 0 || stats.dbs[0].names > NAMES_LOOKED_AT_MAX {
        return Ok(());
    }
    let is_label = |name: &[u8]| name.len() <= NAME_BYTES_MAX && std::str::from_utf8(name).is_ok();
    let largest = server.store.largest(0, most, user, is_label);
    let label = |taken: &Taken| String::from_utf8_lossy(&taken.name).into_owned();
    let names: Vec<String> = largest.iter().map(label).collect();
    let with_names = || names.iter().map(String::as_str).zip(&largest);
    let pairs = with_names().map(|(name, taken)| (name, taken.pairs as f64));
    let about = ("pantry_namespace_pairs", "Pairs of a namespace, of the largest ones");
    labelled(encoder, about, false, "namespace", pairs)?;
    let bytes = with_names().map(|(name, taken)| (name, taken.bytes as f64));
    let about = ("pantry_namespace_bytes", "Bytes of a namespace, of the largest ones");
    labelled(encoder, about, false, "namespace", bytes)
}

/// One histogram, unless it is empty.
fn durations(
    metric: &mut MetricEncoder<'_>,
    labels: &[(&str, &str)],
    sum_ns: u64,
    histogram: &Histogram,
) -> fmt::Result {
    if histogram.total() == 0 {
        return Ok(());
    }
    let (sum_s, buckets) = (sum_ns as f64 / 1e9, buckets(histogram));
    let mut metric = metric.encode_family(&labels)?;
    metric.encode_histogram::<[(&str, &str); 0]>(sum_s, histogram.total(), &buckets, None)
}

/// Each bound with how many lie between it and the one before.
fn buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    let mut before = 0;
    let bounded = BOUNDS_S.into_iter().map(|bound_s| {
        let within = histogram.within_ns((bound_s * 1e9) as u64);
        (bound_s, within - std::mem::replace(&mut before, within))
    });
    let mut buckets: Vec<(f64, u64)> = bounded.collect();
    buckets.push((f64::INFINITY, histogram.total() - before));
    buckets
}
