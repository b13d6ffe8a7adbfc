//! A worker thread: one event loop that serves connections of both doors, and reaps its stripes.
//!
//! What connections on one thread can share without a lock is in [`Worker`]: buffers, a copy of the
//! configuration, counters. It is only reachable while nothing is awaited.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Server;
use super::metrics::Metrics;
use crate::config::Config;
use crate::dispatch::Executor;
use crate::journal::effect::Effects;
use crate::reply::{Capture, Captured, Reply};
use crate::resp::ahead::Ahead;
use crate::resp::request::{Args, Limits};
use crate::session::Session;
use crate::store::{Eviction, Settings, Usage};

/// How often a worker looks for what has expired.
const REAP_INTERVAL: Duration = Duration::from_millis(50);
/// Bytes read from a socket at once.
pub const INPUT_BYTES: usize = 64 * 1024;
/// Memory an idle output buffer may keep.
const OUTPUT_KEPT_BYTES: usize = 1 << 20;

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// What the connections of one thread share.
pub struct Worker {
    /// The server this thread works for.
    pub server: Arc<Server>,
    /// This thread's counters.
    pub metrics: Arc<Metrics>,
    /// This thread's copy of the configuration.
    pub config: Config,
    /// Limits of a Redis client that is authenticated.
    pub limits: Limits,
    /// Where sockets are read into; requests are parsed in place.
    pub input: Vec<u8>,
    /// Where replies are written before they are sent.
    pub output: Vec<u8>,
    /// Requests that were found but not run yet.
    pub ahead: Ahead,
    settings: Settings,
    effects: Effects,
    config_version: u64,
    random: u64,
}

impl Worker {
    /// Makes the calling thread worker number `index`.
    pub fn install(server: Arc<Server>, index: usize) {
        let config = Config::clone(&server.config());
        let worker = Worker {
            metrics: server.metrics[index].clone(),
            limits: limits(&config),
            settings: settings(&config),
            config_version: server.config_version(),
            input: vec![0; INPUT_BYTES],
            output: Vec::new(),
            ahead: Ahead::default(),
            effects: Effects::default(),
            random: random_seed(),
            config,
            server,
        };
        WORKER.with_borrow_mut(|slot| *slot = Some(worker));
    }

    /// Runs `work` with this thread's worker. Must not be nested.
    ///
    /// # Panics
    /// On a thread that is no worker.
    #[inline]
    pub fn with<R>(work: impl FnOnce(&mut Worker) -> R) -> R {
        WORKER.with_borrow_mut(|slot| match slot {
            Some(worker) => work(worker),
            None => panic!("not a worker thread"),
        })
    }

    /// Runs `batch` with an executor, and settles what it did.
    #[inline]
    pub fn run<R>(
        &mut self,
        session: &mut Session,
        batch: impl FnOnce(&mut Executor<'_>, &mut Session, &Limits) -> R,
    ) -> R {
        self.refresh();
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let effects = std::mem::take(&mut self.effects);
        let mut executor =
            Executor::new(&self.server, &self.metrics, &self.settings, effects, self.random);
        session.client.active_ms.store(executor.now_ms(), Relaxed);
        let result = batch(&mut executor, session, &self.limits);
        self.effects = executor.finish(session);
        result
    }

    /// Runs one command for a door that is not RESP. `None` if it writes no reply.
    pub fn capture(&mut self, session: &mut Session, args: Args<'_>) -> Option<Captured> {
        let mut capture = Capture::default();
        self.run(session, |executor, session, _| {
            executor.execute(session, args, &mut Reply::capture(&mut capture));
        });
        capture.take()
    }

    /// Empties the output buffer; gives memory back if it had grown large.
    pub fn clear_output(&mut self) {
        self.output.clear();
        self.output.shrink_to(OUTPUT_KEPT_BYTES);
    }

    #[inline]
    fn refresh(&mut self) {
        let version = self.server.config_version();
        if version != self.config_version {
            self.config_version = version;
            self.config = Config::clone(&self.server.config());
            self.limits = limits(&self.config);
            self.settings = settings(&self.config);
        }
    }
}

/// Frees what has expired in every `workers`-th stripe from `index` on, and what was dropped, until
/// the server stops. Lets other tasks run between slices.
pub async fn reap(server: Arc<Server>, index: usize, workers: usize) {
    let store = &server.store;
    loop {
        tokio::select! {
            () = server.stop.cancelled() => return,
            () = tokio::time::sleep(REAP_INTERVAL) => {}
        }
        if server.active_expire.load(Relaxed) {
            for stripe in (index..store.stripes()).step_by(workers) {
                let now_ms = store.clock.now_ms();
                while store.is_due(stripe, now_ms) && store.reap_slice(stripe, now_ms) {
                    tokio::task::yield_now().await;
                }
            }
        }
        // A limit that was lowered is kept without waiting for a write.
        if index == 0 && store.is_over_limit() {
            store.make_room(&eviction(&server.config()), random_seed());
        }
        while store.free_slice() {
            tokio::task::yield_now().await;
        }
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        bulk_len_max_bytes: config.proto_max_bulk_len_bytes,
        request_max_bytes: config.client_query_buffer_limit_bytes,
        ..Limits::AUTHENTICATED
    }
}

/// What of the configuration concerns names and pairs.
pub fn settings(config: &Config) -> Settings {
    Settings {
        string_len_max_bytes: config.proto_max_bulk_len_bytes,
        reply_max_bytes: config.client_reply_max_bytes,
        hash_max_listpack_entries: config.hash_max_listpack_entries,
        hash_max_listpack_value_bytes: config.hash_max_listpack_value_bytes,
        eviction: eviction(config),
    }
}

fn eviction(config: &Config) -> Eviction {
    let usage = match config.maxmemory_policy.counts_use() {
        false => Usage::Recency,
        true => Usage::Frequency {
            log_factor: config.lfu_log_factor,
            decay_minutes: config.lfu_decay_time_minutes,
        },
    };
    Eviction { policy: config.maxmemory_policy, samples: config.maxmemory_samples, usage }
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u64)
}
