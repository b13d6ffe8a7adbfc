//! INFO: what the server says of itself, in Redis's sections and fields. A field of Redis's that has
//! no meaning here is left out, unless clients are known to need it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{Command, Family, REDIS_VERSION, table};
use crate::dispatch::Context;
use crate::error::Result;
use crate::journal::Journal;
use crate::push::pubsub::Kind;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::client_memory::ClientMemory;
use crate::server::clients::Flag;
use crate::server::metrics::{Counter, Metrics};
use crate::server::{Server, process};
use crate::store::{Stats, Store};

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

const COMMANDS: &[Command] = &[Command::session("INFO", "[section [section ...]]", info)
    .about("1.0.0", "Returns what the server says of itself.")
    .also(&["dangerous"])
    .every_name()
    .while_loading()];

/// A part of INFO.
struct Section {
    title: &'static str,
    /// Whether it is shown when no section is named.
    is_default: bool,
    write: fn(&mut Fields, &Facts<'_>),
}

const SECTIONS: &[Section] = &[
    Section { title: "Server", is_default: true, write: server },
    Section { title: "Clients", is_default: true, write: clients },
    Section { title: "Memory", is_default: true, write: memory },
    Section { title: "Persistence", is_default: true, write: persistence },
    Section { title: "Stats", is_default: true, write: stats },
    Section { title: "Replication", is_default: true, write: replication },
    Section { title: "CPU", is_default: true, write: cpu },
    Section { title: "Modules", is_default: true, write: |_, _| {} },
    Section { title: "Commandstats", is_default: false, write: commandstats },
    Section { title: "Errorstats", is_default: true, write: errorstats },
    Section { title: "Latencystats", is_default: false, write: latencystats },
    Section { title: "Cluster", is_default: true, write: cluster },
    Section { title: "Keyspace", is_default: true, write: keyspace },
    Section { title: "Pantry", is_default: true, write: pantry },
];

/// What sections are written from.
struct Facts<'a> {
    server: &'a Server,
    store: &'a Stats,
    /// Counts libraries of functions, and functions, which may have to be loaded for that.
    functions: &'a dyn Fn() -> (usize, usize),
    now_us: u64,
}

#[derive(Default)]
struct Fields(String);

fn info(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let server = context.executor.server;
    let stats = context.executor.held.stats();
    let functions = || super::function::counts(context);
    let facts =
        Facts { server, store: &stats, functions: &functions, now_us: server.store.clock.now_us() };
    let mut fields = Fields::default();
    for section in SECTIONS.iter().filter(|section| section.is_wanted(args)) {
        if !fields.0.is_empty() {
            fields.0.push_str("\r\n");
        }
        let _ = write!(fields.0, "# {}\r\n", section.title);
        (section.write)(&mut fields, &facts);
    }
    reply.verbatim(&fields.0);
    Ok(())
}

impl Section {
    fn is_wanted(&self, args: Args<'_>) -> bool {
        let names = |arg: &[u8]| match arg.to_ascii_lowercase().as_slice() {
            b"all" | b"everything" => true,
            b"default" => self.is_default,
            arg => arg.eq_ignore_ascii_case(self.title.as_bytes()),
        };
        if args.len() == 1 { self.is_default } else { args.iter().skip(1).any(names) }
    }
}

impl Fields {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    fn add_some(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// Bytes, and the same for people.
    fn add_bytes(&mut self, name: &str, bytes: u64) {
        self.add(name, bytes);
        self.add(&format!("{name}_human"), human(bytes));
    }
}

fn server(fields: &mut Fields, facts: &Facts<'_>) {
    let (server, config) = (facts.server, facts.server.config());
    let uptime_s = (facts.now_us / 1000).saturating_sub(server.started_ms) / 1000;
    let path = |path: std::path::PathBuf| path.display().to_string();
    fields.add("redis_version", REDIS_VERSION);
    fields.add("pantry_version", env!("CARGO_PKG_VERSION"));
    fields.add("redis_mode", "standalone");
    fields.add("os", process::system());
    fields.add("arch_bits", usize::BITS);
    fields.add("multiplexing_api", process::MULTIPLEXING_API);
    fields.add("process_id", std::process::id());
    let supervised = crate::config::directive::find("supervised");
    fields.add_some("process_supervised", supervised.map(|directive| directive.show(&config)));
    fields.add("run_id", &server.run_id);
    fields.add("tcp_port", config.port);
    fields.add("http_port", config.http_port);
    fields.add("worker_threads", server.metrics.len());
    fields.add("server_time_usec", facts.now_us);
    fields.add("uptime_in_seconds", uptime_s);
    fields.add("uptime_in_days", uptime_s / (24 * 60 * 60));
    fields.add_some("executable", std::env::current_exe().ok().map(path));
    fields.add("config_file", server.config_file.clone().map(path).unwrap_or_default());
}

fn clients(fields: &mut Fields, facts: &Facts<'_>) {
    let all = facts.server.clients.list();
    let watching = all.iter().map(|client| client.watching.load(Relaxed));
    fields.add("connected_clients", all.len());
    let http = all.iter().filter(|client| client.resp.load(Relaxed) == 0);
    fields.add("http_connected_clients", http.count());
    fields.add("maxclients", facts.server.config().maxclients);
    let blocked = all.iter().filter(|client| client.has(Flag::Paused));
    fields.add("blocked_clients", blocked.count());
    fields.add("tracking_clients", facts.server.tracking.counts().clients);
    fields.add("pubsub_clients", all.iter().filter(|client| client.is_subscriber()).count());
    fields.add("watching_clients", watching.clone().filter(|&names| names > 0).count());
    fields.add("total_watched_keys", watching.map(u64::from).sum::<u64>());
    let largest = |of: fn(&ClientMemory) -> &AtomicUsize| {
        all.iter().map(|client| of(&client.memory).load(Relaxed)).max().unwrap_or(0)
    };
    fields.add("client_recent_max_input_buffer", largest(|memory| &memory.query));
    fields.add("client_recent_max_output_buffer", largest(|memory| &memory.output));
    fields.add("clients_in_timeout_table", 0);
    fields.add("total_blocking_keys", 0);
}

fn memory(fields: &mut Fields, facts: &Facts<'_>) {
    let clients = facts.server.clients.bytes();
    let used = (facts.store.bytes + clients) as u64;
    let resident = process::resident_bytes();
    fields.add_bytes("used_memory", used);
    if let Some(resident) = resident {
        fields.add_bytes("used_memory_rss", resident);
    }
    let peak = facts.server.peak_bytes(used as usize) as u64;
    fields.add_bytes("used_memory_peak", peak);
    fields.add("used_memory_peak_perc", percent(used, peak));
    let startup = Store::EMPTY_BYTES;
    fields.add("used_memory_overhead", startup + clients);
    fields.add("used_memory_startup", startup);
    let dataset = facts.store.bytes.saturating_sub(startup) as u64;
    fields.add("used_memory_dataset", dataset);
    fields.add("used_memory_dataset_perc", percent(dataset, used - startup as u64));
    // One Lua of each thread runs scripts and functions.
    let lua_bytes = facts.server.metrics.iter().map(|of| of.lua_bytes.load(Relaxed)).sum::<usize>();
    fields.add_bytes("used_memory_lua", lua_bytes as u64);
    fields.add_bytes("used_memory_vm_total", lua_bytes as u64);
    let ((scripts, eval_bytes), libraries_bytes) =
        (facts.server.scripts.size(), facts.server.store.libraries.bytes());
    fields.add("used_memory_scripts_eval", eval_bytes);
    fields.add("used_memory_functions", libraries_bytes);
    fields.add_bytes("used_memory_scripts", (eval_bytes + libraries_bytes) as u64);
    if let Some(bytes) = process::machine_bytes() {
        fields.add_bytes("total_system_memory", bytes);
    }
    let config = facts.server.config();
    let policy = crate::config::directive::find("maxmemory-policy");
    fields.add_bytes("maxmemory", config.maxmemory_bytes as u64);
    fields.add_some("maxmemory_policy", policy.map(|policy| policy.show(&config)));
    let ratio = resident.map(|resident| format!("{:.2}", resident as f64 / used.max(1) as f64));
    fields.add_some("mem_fragmentation_ratio", ratio);
    let beyond = resident.map(|resident| resident as i64 - used as i64);
    fields.add_some("mem_fragmentation_bytes", beyond);
    fields.add("mem_allocator", "jemalloc");
    fields.add("mem_clients_normal", clients);
    fields.add("mem_clients_slaves", 0);
    fields.add("mem_not_counted_for_evict", 0);
    fields.add("lazyfree_pending_objects", facts.store.lazyfree_pending);
    fields.add("lazyfreed_objects", facts.store.lazyfreed);
    fields.add("number_of_cached_scripts", scripts);
    let (libraries, functions) = (facts.functions)();
    fields.add("number_of_libraries", libraries);
    fields.add("number_of_functions", functions);
}

fn persistence(fields: &mut Fields, facts: &Facts<'_>) {
    fields.add("loading", u8::from(!facts.server.is_ready.load(Relaxed)));
    let journal = &facts.server.store.journal;
    let status = journal.status();
    let (now_ms, last) = (facts.now_us / 1000, journal.last());
    let is_snapshotting = status.is_snapshotting.load(Relaxed);
    let ok = |is_bad: bool| if is_bad { "err" } else { "ok" };
    let took_s = match status.snapshot_took_ms.load(Relaxed) {
        _ if status.snapshots.load(Relaxed) == 0 => -1,
        took_ms => took_ms / 1000,
    };
    let running_s = match is_snapshotting {
        true => (now_ms.saturating_sub(status.snapshot_started_ms.load(Relaxed)) / 1000) as i64,
        false => -1,
    };
    let last_save_ms = match status.snapshot_done_ms.load(Relaxed) {
        0 => facts.server.started_ms,
        done_ms => done_ms,
    };
    loading(fields, facts);
    fields.add("rdb_changes_since_last_save", last - status.snapshot_lsn.load(Relaxed).min(last));
    fields.add("rdb_bgsave_in_progress", u8::from(is_snapshotting));
    fields.add("rdb_last_save_time", last_save_ms / 1000);
    fields.add("rdb_last_bgsave_status", ok(status.snapshot_failed.load(Relaxed)));
    fields.add("rdb_last_bgsave_time_sec", took_s);
    fields.add("rdb_current_bgsave_time_sec", running_s);
    fields.add("rdb_saves", status.snapshots.load(Relaxed));
    fields.add("aof_enabled", u8::from(journal.keeps()));
    fields.add("aof_rewrite_in_progress", u8::from(is_snapshotting));
    fields.add("aof_rewrite_scheduled", 0);
    fields.add("aof_last_rewrite_time_sec", took_s);
    fields.add("aof_current_rewrite_time_sec", running_s);
    fields.add("aof_last_bgrewrite_status", ok(status.snapshot_failed.load(Relaxed)));
    fields.add("aof_last_write_status", ok(journal.is_failing()));
    journal_of(fields, journal);
    fields.add_some("journal_error", status.error());
}

/// How far loading is, until it is done.
fn loading(fields: &mut Fields, facts: &Facts<'_>) {
    if facts.server.is_ready.load(Relaxed) {
        return;
    }
    let status = facts.server.store.journal.status();
    let (total, loaded) =
        (status.loading_total_bytes.load(Relaxed), status.loading_loaded_bytes.load(Relaxed));
    let started_ms = status.loading_started_ms.load(Relaxed);
    let took_ms = (facts.now_us / 1000).saturating_sub(started_ms);
    fields.add("loading_start_time", started_ms / 1000);
    fields.add("loading_total_bytes", total);
    fields.add("loading_loaded_bytes", loaded);
    let percent = loaded as f64 * 100.0 / total.max(1) as f64;
    fields.add("loading_loaded_perc", format_args!("{percent:.2}"));
    let left_ms = took_ms * total.saturating_sub(loaded) / loaded.max(1);
    fields.add("loading_eta_seconds", left_ms / 1000);
}

/// The journal, if what is appended is kept.
fn journal_of(fields: &mut Fields, journal: &Journal) {
    if !journal.keeps() {
        return;
    }
    let status = journal.status();
    let (journal_bytes, base_bytes) =
        (status.journal_bytes.load(Relaxed), status.base_bytes.load(Relaxed));
    let (written, synced) = journal.progress();
    fields.add("aof_current_size", journal_bytes + base_bytes);
    fields.add("aof_base_size", base_bytes);
    fields.add("aof_pending_rewrite", 0);
    fields.add("aof_buffer_length", journal.queued_bytes());
    fields.add("aof_pending_bio_fsync", u8::from(status.unsynced_bytes.load(Relaxed) > 0));
    fields.add("aof_delayed_fsync", status.delayed_fsyncs.load(Relaxed));
    fields.add("journal_batches", journal.last());
    fields.add("journal_batches_written", written);
    fields.add("journal_batches_synced", synced);
    fields.add("journal_unsynced_bytes", status.unsynced_bytes.load(Relaxed));
    fields.add("journal_records", status.records.load(Relaxed));
    fields.add("journal_fsyncs", status.fsyncs.load(Relaxed));
    fields.add("journal_flush_us_max", status.flush_us_max.load(Relaxed));
    fields.add("journal_stalls", status.stalls.load(Relaxed));
}

fn stats(fields: &mut Fields, facts: &Facts<'_>) {
    let server = facts.server;
    let sum = |counter: fn(&Metrics) -> &Counter| server.sum(counter);
    fields.add("total_connections_received", sum(|of| &of.total_connections_received));
    fields.add("total_commands_processed", sum(|of| &of.total_commands_processed));
    fields.add("instantaneous_ops_per_sec", server.rate.per_second());
    let [input, output] = server.net_rates.each_ref().map(|rate| rate.per_second() as f64 / 1024.0);
    fields.add("instantaneous_input_kbps", format_args!("{input:.2}"));
    fields.add("instantaneous_output_kbps", format_args!("{output:.2}"));
    fields.add("total_net_input_bytes", sum(|of| &of.total_net_input_bytes));
    fields.add("total_net_output_bytes", sum(|of| &of.total_net_output_bytes));
    fields.add("rejected_connections", sum(|of| &of.rejected_connections));
    fields.add("expired_keys", facts.store.expired_names);
    // MIGRATE keeps no connection.
    fields.add("migrate_cached_sockets", 0);
    fields.add("expired_subkeys", facts.store.expired_pairs);
    fields.add("evicted_keys", server.store.evicted_names());
    fields.add("evicted_clients", server.clients.evicted());
    fields.add("keyspace_hits", sum(|of| &of.keyspace_hits));
    fields.add("keyspace_misses", sum(|of| &of.keyspace_misses));
    fields.add("evicted_scripts", server.scripts.evicted.load(Relaxed));
    fields.add("total_forks", 0);
    fields.add("latest_fork_usec", 0);
    fields.add("pubsub_channels", server.pubsub.count(Kind::Channel));
    fields.add("pubsub_patterns", server.pubsub.count(Kind::Pattern));
    fields.add("pubsubshard_channels", server.pubsub.count(Kind::Shard));
    let tracking = server.tracking.counts();
    fields.add("tracking_total_keys", tracking.names);
    fields.add("tracking_total_items", tracking.items);
    fields.add("tracking_total_prefixes", tracking.prefixes);
    let disconnections = server.post.disconnections.load(Relaxed);
    fields.add("client_output_buffer_limit_disconnections", disconnections);
    let too_large = server.clients.too_large_queries.load(Relaxed);
    fields.add("client_query_buffer_limit_disconnections", too_large);
    for (reason, count) in server.acl.denied() {
        let field = match reason {
            "command" => "cmd",
            "tls-cert" => "tls_cert",
            other => other,
        };
        fields.add(&format!("acl_access_denied_{field}"), count);
    }
    let [audited, lost] = server.audit.counts();
    fields.add("audit_log_lines", audited);
    fields.add("audit_log_lost_lines", lost);
    fields.add("total_error_replies", sum(|of| &of.total_error_replies));
    fields.add("http_requests", sum(|of| &of.http_requests));
}

/// A server by itself, whose offset is the number of its last change.
fn replication(fields: &mut Fields, facts: &Facts<'_>) {
    fields.add("role", "master");
    fields.add("connected_slaves", 0);
    fields.add("master_failover_state", "no-failover");
    fields.add("master_replid", &facts.server.run_id);
    fields.add("master_repl_offset", facts.server.store.journal.last());
    fields.add("second_repl_offset", -1);
    fields.add("repl_backlog_active", 0);
}

fn cpu(fields: &mut Fields, _facts: &Facts<'_>) {
    if let Some((user_s, system_s)) = process::cpu_seconds() {
        fields.add("used_cpu_sys", format_args!("{system_s:.6}"));
        fields.add("used_cpu_user", format_args!("{user_s:.6}"));
    }
}

/// Short commands are timed together with those next to them; see [`crate::dispatch`].
fn commandstats(fields: &mut Fields, facts: &Facts<'_>) {
    for spec in &table().specs {
        let sum = |counters: fn(&Metrics) -> &[Counter]| -> u64 {
            facts.server.metrics.iter().map(|of| counters(of)[spec.index].get()).sum()
        };
        let (calls, failed) = (sum(|of| &of.calls), sum(|of| &of.failed));
        let rejected = sum(|of| &of.rejected);
        if calls + rejected > 0 {
            let times = facts.server.metrics.iter().map(|of| of.times[spec.index].sum_ns.get());
            let usec = times.sum::<u64>() / 1000;
            let per_call = usec as f64 / calls.max(1) as f64;
            let line = format_args!(
                "calls={calls},usec={usec},usec_per_call={per_call:.2},rejected_calls={rejected},\
                 failed_calls={failed}"
            );
            fields.add(&format!("cmdstat_{}", spec.full_name), line);
        }
    }
}

fn errorstats(fields: &mut Fields, facts: &Facts<'_>) {
    let mut errors = BTreeMap::<Box<str>, u64>::new();
    for metrics in &facts.server.metrics {
        for (code, count) in &*metrics.errors.lock() {
            *errors.entry(code.clone()).or_default() += count;
        }
    }
    for (code, count) in errors {
        fields.add(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latencystats(fields: &mut Fields, facts: &Facts<'_>) {
    let config = facts.server.config();
    if !config.latency_tracking {
        return;
    }
    for spec in &table().specs {
        let times = super::latency::times(facts.server, spec);
        if times.total() > 0 {
            let percentiles = config.latency_tracking_info_percentiles.iter();
            let parts = percentiles.map(|&p| format!("p{p}={:.3}", times.percentile_us(p)));
            let name = format!("latency_percentiles_usec_{}", spec.full_name);
            fields.add(&name, parts.collect::<Vec<_>>().join(","));
        }
    }
}

fn cluster(fields: &mut Fields, _facts: &Facts<'_>) {
    fields.add("cluster_enabled", 0);
}

fn keyspace(fields: &mut Fields, facts: &Facts<'_>) {
    for (db, of) in facts.store.dbs.iter().enumerate().filter(|(_, of)| of.names > 0) {
        let (keys, expires, subexpiry) = (of.names, of.with_deadline, of.with_pair_deadlines);
        let line = format_args!("keys={keys},expires={expires},avg_ttl=0,subexpiry={subexpiry}");
        fields.add(&format!("db{db}"), line);
    }
}

/// What Redis has no field for.
fn pantry(fields: &mut Fields, facts: &Facts<'_>) {
    fields.add("slice_us_max", facts.server.store.slice_us_max());
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.2}%", part as f64 * 100.0 / whole.max(1) as f64)
}

/// A number of bytes as Redis writes it for people: `1.50K`.
fn human(bytes: u64) -> String {
    let units = [(1u64 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
    match units.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.2}{unit}", bytes as f64 / *size as f64),
        None => format!("{bytes}B"),
    }
}
