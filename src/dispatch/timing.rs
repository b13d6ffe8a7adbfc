//! How long commands take: for commandstats, latency histograms, the slow log and the latency monitor.
//!
//! Reading a clock costs a few per cent of what a short command costs. So commands that are brief by
//! nature are counted and timed together, at most [`GROUP_MAX`] that were sent together, and each counts as its
//! share; all others are timed one by one. When a group is slow, the one of it with the longest
//! request stands for it, and for the next second every command is timed by itself, as it is when
//! `slowlog-log-slower-than` is below [`GROUPS_FROM_NS`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::Executor;
use super::redact::secrets;
use crate::command::{self, Spec};
use crate::config::Config;
use crate::resp::request::Args;
use crate::server::slowlog::{Entry, shortened};
use crate::session::Session;

/// Brief commands that are timed together.
const GROUP_MAX: usize = 32;
/// Slow is what takes at least this long, or groups would hide it.
const GROUPS_FROM_NS: u64 = 1_000_000;
/// How long every command is timed after a group was slow.
const EACH_FOR_NS: u64 = 1_000_000_000;

/// What is slow.
#[derive(Debug)]
pub struct Thresholds {
    /// Commands that take as long are looked at closer; `u64::MAX`: none.
    slow_ns: AtomicU64,
    /// Until then every command is timed by itself.
    each_until_ns: AtomicU64,
    /// `latency-tracking`.
    in_histogram: AtomicBool,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            slow_ns: AtomicU64::new(u64::MAX),
            each_until_ns: AtomicU64::new(0),
            in_histogram: AtomicBool::new(true),
        }
    }
}

impl Thresholds {
    /// Follows a change of the configuration.
    pub fn follow(&self, config: &Config) {
        let slowlog_ns = u64::try_from(config.slowlog_log_slower_than_us)
            .map_or(u64::MAX, |us| us.saturating_mul(1000));
        let monitor_ns = match config.latency_monitor_threshold_ms {
            0 => u64::MAX,
            ms => ms.saturating_mul(1_000_000),
        };
        self.slow_ns.store(slowlog_ns.min(monitor_ns), Relaxed);
        self.in_histogram.store(config.latency_tracking, Relaxed);
    }
}

/// The stopwatch of one batch.
pub(super) struct Stopwatch {
    /// When the clock was last read.
    at_ns: u64,
    /// Commands that ran since then, by place in the command table.
    group: [u16; GROUP_MAX],
    len: usize,
    slow_ns: u64,
    /// Whether every command is timed by itself.
    times_each: bool,
    in_histogram: bool,
}

impl Stopwatch {
    pub(super) fn start(thresholds: &Thresholds, at_ns: u64) -> Stopwatch {
        let slow_ns = thresholds.slow_ns.load(Relaxed);
        Stopwatch {
            at_ns,
            group: [0; GROUP_MAX],
            len: 0,
            slow_ns,
            times_each: slow_ns < GROUPS_FROM_NS || at_ns < thresholds.each_until_ns.load(Relaxed),
            in_histogram: thresholds.in_histogram.load(Relaxed),
        }
    }

    /// When the clock was last read.
    pub(super) fn at_ns(&self) -> u64 {
        self.at_ns
    }

    /// Whether every command is timed by itself.
    pub(super) fn times_each(&self) -> bool {
        self.times_each
    }

    /// Whether a command is timed with those next to it.
    #[inline]
    pub(super) fn groups(&self, spec: &Spec) -> bool {
        spec.is_brief && !self.times_each
    }
}

impl<'s> Executor<'s> {
    /// A command of a group has run.
    #[inline]
    pub(super) fn ran_in_group(&mut self, spec: &Spec) {
        let stopwatch = &mut self.stopwatch;
        stopwatch.group[stopwatch.len] = spec.index as u16;
        stopwatch.len += 1;
        if stopwatch.len == GROUP_MAX {
            self.end_group();
        }
    }

    /// Ends the group of brief commands that have run, if there are any. `requests` are those among
    /// which they were.
    #[inline]
    pub fn lap<'a>(&mut self, session: &Session, requests: impl Iterator<Item = Args<'a>>) {
        self.lap_of_many(requests.map(|args| (session, args)));
    }

    /// The same for requests of several clients.
    #[inline]
    pub fn lap_of_many<'a>(&mut self, requests: impl Iterator<Item = (&'a Session, Args<'a>)>) {
        if self.stopwatch.len > 0 {
            let took_ns = self.end_group();
            if took_ns >= self.stopwatch.slow_ns {
                self.group_was_slow(requests, took_ns);
            }
        }
    }

    /// Begins a command that is counted and timed by itself; returns when.
    #[inline]
    pub(super) fn begin_timed(&mut self, spec: &Spec) -> u64 {
        self.count_group();
        self.metrics.total_commands_processed.add(1);
        self.metrics.calls[spec.index].add(1);
        self.stopwatch.at_ns
    }

    /// Counts those of a group that have run so far.
    #[inline]
    pub(super) fn count_group(&mut self) {
        if self.stopwatch.len > 0 {
            self.end_group();
        }
    }

    /// Ends it.
    #[inline]
    pub(super) fn end_timed(
        &mut self,
        session: &Session,
        spec: &'static Spec,
        args: Args<'_>,
        began_ns: u64,
    ) {
        self.end_group();
        let took_ns = self.stopwatch.at_ns.saturating_sub(began_ns);
        self.metrics.times[spec.index].add(took_ns, 1, self.stopwatch.in_histogram);
        if took_ns >= self.stopwatch.slow_ns {
            self.was_slow(session, spec, args, took_ns);
        }
    }

    /// Reads the clock, counts the commands of the group, and gives each its share. Returns their time.
    fn end_group(&mut self) -> u64 {
        let now_ns = self.server.store.clock.monotonic_ns();
        let Stopwatch { at_ns, group, len, in_histogram, .. } = &mut self.stopwatch;
        let took_ns = now_ns.saturating_sub(*at_ns);
        let each_ns = took_ns / (*len).max(1) as u64;
        self.metrics.total_commands_processed.add(*len as u64);
        for same in group[..*len].chunk_by(|a, b| a == b) {
            let (index, count) = (usize::from(same[0]), same.len() as u64);
            self.metrics.calls[index].add(count);
            self.metrics.times[index].add(each_ns, count, *in_histogram);
        }
        (*at_ns, *len) = (now_ns, 0);
        took_ns
    }

    /// Which of a group was slow is not known: the longest request stands for it, and those that follow
    /// are timed one by one.
    #[cold]
    fn group_was_slow<'a>(
        &mut self,
        requests: impl Iterator<Item = (&'a Session, Args<'a>)>,
        took_ns: u64,
    ) {
        let until_ns = self.stopwatch.at_ns.saturating_add(EACH_FOR_NS);
        self.server.thresholds.each_until_ns.store(until_ns, Relaxed);
        self.stopwatch.times_each = true;
        let table = command::table();
        let brief = requests.filter_map(|(session, args)| {
            let spec = table.find(args.get(0)).filter(|spec| spec.is_brief)?;
            Some((session, spec, args))
        });
        let bytes = |args: &Args<'_>| args.iter().map(<[u8]>::len).sum::<usize>();
        if let Some((session, spec, args)) = brief.max_by_key(|(_, _, args)| bytes(args)) {
            self.was_slow(session, spec, args, took_ns);
        }
    }

    /// Writes a command down.
    #[cold]
    fn was_slow(&self, session: &Session, spec: &Spec, args: Args<'_>, took_ns: u64) {
        // What EXEC runs is written down by itself.
        if spec.command.name == "EXEC" {
            return;
        }
        let config = self.server.config();
        let at_s = self.server.store.clock.now_ms() / 1000;
        let (took_us, took_ms) = (took_ns / 1000, took_ns / 1_000_000);
        if u64::try_from(config.slowlog_log_slower_than_us).is_ok_and(|slow_us| took_us >= slow_us)
        {
            let client = &session.client;
            let entry = Entry {
                id: 0,
                at_s,
                took_us,
                args: shortened(args, secrets(spec, args)),
                client_addr: client.addr.to_string(),
                client_name: client.names.lock().name.clone().into(),
            };
            self.server.slowlog.push(entry, config.slowlog_max_len);
        }
        let threshold_ms = config.latency_monitor_threshold_ms;
        if threshold_ms > 0 && took_ms >= threshold_ms {
            let event = if spec.command.flags.fast { "fast-command" } else { "command" };
            self.server.latency.add(event, at_s, took_ms);
        }
    }
}
