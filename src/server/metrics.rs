//! Counters of one worker thread: written by that thread alone, read by anyone who sums them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::histogram::Times;
use super::routes::Routes;
use crate::command;

/// A number that one thread counts up and others may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the thread that owns the counter may call this: it is no atomic addition.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Back to zero. A concurrent [`Counter::add`] may undo it.
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// What one worker counts. Names are those of INFO's fields.
#[derive(Debug)]
pub struct Metrics {
    /// The number of the thread.
    pub thread: usize,
    /// Commands run.
    pub total_commands_processed: Counter,
    /// Connections taken, both doors.
    pub total_connections_received: Counter,
    /// Connections refused because of `maxclients`.
    pub rejected_connections: Counter,
    /// Bytes read from Redis clients.
    pub total_net_input_bytes: Counter,
    /// Bytes written to Redis clients.
    pub total_net_output_bytes: Counter,
    /// Reads of names that were there.
    pub keyspace_hits: Counter,
    /// Reads of names that were not.
    pub keyspace_misses: Counter,
    /// Error replies.
    pub total_error_replies: Counter,
    /// Calls by place in the command table.
    pub calls: Vec<Counter>,
    /// How long calls took, likewise.
    pub times: Vec<Times>,
    /// Calls that ended with an error, likewise.
    pub failed: Vec<Counter>,
    /// Calls refused before they ran, likewise.
    pub rejected: Vec<Counter>,
    /// HTTP requests.
    pub http_requests: Counter,
    /// The same by route.
    pub http_routes: Routes,
    /// Bytes that the thread's Lua took when a script last ended.
    pub lua_bytes: AtomicUsize,
    /// Error replies by their code.
    pub errors: Mutex<BTreeMap<Box<str>, u64>>,
    /// Whether they are counted: too many different ones end it.
    counts_codes: AtomicBool,
}

/// So many per second, over the time between the last two samples.
#[derive(Debug, Default)]
pub struct Rate {
    total: AtomicU64,
    at_ms: AtomicU64,
    per_second: AtomicU64,
}

impl Rate {
    /// Takes a sample: so many in all, at `now_ms`. One thread does this about once a second.
    pub fn sample(&self, total: u64, now_ms: u64) {
        let since_ms = now_ms.saturating_sub(self.at_ms.swap(now_ms, Relaxed)).max(1);
        // CONFIG RESETSTAT makes the total smaller.
        let more = total.saturating_sub(self.total.swap(total, Relaxed));
        self.per_second.store(more.saturating_mul(1000) / since_ms, Relaxed);
    }

    /// The rate.
    pub fn per_second(&self) -> u64 {
        self.per_second.load(Relaxed)
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        let per_command = || command::table().specs.iter().map(|_| Counter::default()).collect();
        Metrics {
            thread: 0,
            total_commands_processed: Counter::default(),
            total_connections_received: Counter::default(),
            rejected_connections: Counter::default(),
            total_net_input_bytes: Counter::default(),
            total_net_output_bytes: Counter::default(),
            keyspace_hits: Counter::default(),
            keyspace_misses: Counter::default(),
            total_error_replies: Counter::default(),
            calls: per_command(),
            times: command::table().specs.iter().map(|_| Times::default()).collect(),
            failed: per_command(),
            rejected: per_command(),
            http_requests: Counter::default(),
            http_routes: Routes::default(),
            lua_bytes: AtomicUsize::new(0),
            errors: Mutex::default(),
            counts_codes: AtomicBool::new(true),
        }
    }
}

/// Codes of errors that are counted apart; a script can make up any number of them.
const ERROR_CODES_MAX: usize = 128;
/// What is shown in their stead when there were more.
const DISABLED: &str = "ERRORSTATS_DISABLED";

impl Metrics {
    /// Those of the thread with this number.
    pub fn of_thread(thread: usize) -> Metrics {
        Metrics { thread, ..Metrics::default() }
    }

    /// Counts an error reply.
    #[cold]
    pub fn count_error(&self, code: &str) {
        self.total_error_replies.add(1);
        if !self.counts_codes.load(Relaxed) {
            return;
        }
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
        } else if errors.len() < ERROR_CODES_MAX {
            errors.insert(code.into(), 1);
        } else {
            let known = errors.keys().map(|code| code.to_string()).collect::<Vec<_>>().join(", ");
            tracing::warn!(
                "Errorstats stopped adding new errors because the number of errors reached the limit, \
                 may be misuse of lua error_reply, please check INFO ERRORSTATS, this can be re-enabled \
                 via CONFIG RESETSTAT."
            );
            tracing::warn!("Current errors code list: {known}");
            errors.clear();
            errors.insert(DISABLED.into(), 1);
            self.counts_codes.store(false, Relaxed);
        }
    }

    /// Back to zero (CONFIG RESETSTAT).
    pub fn reset(&self) {
        let single = [
            &self.total_commands_processed,
            &self.total_connections_received,
            &self.rejected_connections,
            &self.total_net_input_bytes,
            &self.total_net_output_bytes,
            &self.keyspace_hits,
            &self.keyspace_misses,
            &self.total_error_replies,
            &self.http_requests,
        ];
        let per_command = self.calls.iter().chain(&self.failed).chain(&self.rejected);
        single.into_iter().chain(per_command).for_each(Counter::reset);
        self.times.iter().for_each(Times::reset);
        self.http_routes.reset();
        self.errors.lock().clear();
        self.counts_codes.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_interval() {
        let rate = Rate::default();
        rate.sample(100, 1_000);
        rate.sample(600, 3_000);
        assert_eq!(rate.per_second(), 250);
        rate.sample(10, 4_000);
        assert_eq!(rate.per_second(), 0, "after CONFIG RESETSTAT");
        rate.sample(40, 4_000);
        assert_eq!(rate.per_second(), 30_000, "an interval of nothing counts as a millisecond");
    }
}
