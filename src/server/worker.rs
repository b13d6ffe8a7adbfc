//! A worker thread: one event loop that serves connections of both doors, and reaps its stripes.
//!
//! What connections on one thread can share without a lock is in [`Worker`]: buffers, a copy of the
//! configuration, counters. It is only reachable while nothing is awaited.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::Server;
use super::metrics::Metrics;
use super::resp::{self, TOGETHER_BYTES_MAX};
use crate::config::{Class, Config, Fsync, OutputLimit};
use crate::dispatch::Executor;
use crate::journal::effect::Effects;
use crate::journal::gate::Gate;
use crate::journal::{Passage, Seen};
use crate::output::Output;
use crate::reply::{Capture, Captured, Reply};
use crate::resp::ahead::Ahead;
use crate::resp::owned::OwnedRequest;
use crate::resp::request::Limits;
use crate::session::Session;
use crate::store::{Eviction, Settings, Usage};

/// How often a worker looks for what has expired.
const REAP_INTERVAL: Duration = Duration::from_millis(50);
/// Bytes read from a socket at once.
pub const INPUT_BYTES: usize = 128 * 1024;
/// Output buffers that are kept for the next connections, and memory that each of them may keep; as
/// many are kept for input.
const OUTPUTS_KEPT_MAX: usize = 64;
const OUTPUT_KEPT_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// What the connections of one thread share.
pub struct Worker {
    /// The server this thread works for.
    pub server: Arc<Server>,
    /// Its number.
    pub index: usize,
    /// This thread's counters.
    pub metrics: Arc<Metrics>,
    /// This thread's copy of the configuration.
    pub config: Config,
    /// Limits of a Redis client that is authenticated.
    pub limits: Limits,
    /// Whether replies are limited by client-output-buffer-limit.
    pub limits_output: bool,
    /// Where sockets are read into; requests are parsed in place.
    pub input: Vec<u8>,
    /// Where replies are written before they are sent.
    pub output: Output,
    outputs_kept: Vec<Output>,
    inputs_kept: Vec<Vec<u8>>,
    /// Requests that were found but not run yet.
    pub ahead: Ahead,
    /// Where the request and the reply of another door's command stand, kept for the next.
    captured: (OwnedRequest, Capture),
    settings: Settings,
    effects: Effects,
    gate: Arc<Gate>,
    /// Who waits at the gate, and for what; `None`: until the journal is not behind any more.
    waiting: Vec<(Option<Seen>, Waker)>,
    /// Calls the journal's writer when those who are ready now have had their turn.
    call: Arc<Notify>,
    is_called: bool,
    has_porter: bool,
    /// Batches run in a row: where one ends, the next begins, and the clock need not be read again.
    is_in_row: bool,
    /// When the last batch of the row ended.
    ended_ns: Option<u64>,
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
            limits_output: limits_output(&config),
            settings: settings(&config),
            config_version: server.config_version(),
            input: vec![0; INPUT_BYTES],
            output: Output::new(),
            outputs_kept: Vec::new(),
            inputs_kept: Vec::new(),
            ahead: Ahead::default(),
            captured: Default::default(),
            effects: Effects::default(),
            gate: server.store.journal.gate(),
            waiting: Vec::new(),
            call: Arc::default(),
            is_called: false,
            has_porter: false,
            is_in_row: false,
            ended_ns: None,
            index,
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
        let before = session.seen.wrote;
        self.with_executor(|executor, limits| {
            executor.set_client(session.client.id);
            session.client.active_ms.store(executor.now_ms(), Relaxed);
            let result = batch(executor, session, limits);
            (result, executor.finish(session), session.seen.wrote != before)
        })
    }

    /// Runs `row` with an executor for several clients; it says whether it has changed anything.
    #[inline]
    pub fn run_row(&mut self, row: impl FnOnce(&mut Executor<'_>) -> bool) {
        self.with_executor(|executor, _| {
            let has_changed = row(executor);
            ((), executor.end_row(), has_changed)
        });
    }

    #[inline]
    fn with_executor<R>(
        &mut self,
        work: impl FnOnce(&mut Executor<'_>, &Limits) -> (R, Effects, bool),
    ) -> R {
        self.refresh();
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let effects = std::mem::take(&mut self.effects);
        let ended_ns = self.ended_ns.take();
        let at_ns = ended_ns.unwrap_or_else(|| self.server.store.clock.monotonic_ns());
        let (server, metrics, settings) = (&self.server, &self.metrics, &self.settings);
        let (result, has_changed) = {
            let mut executor = Executor::at(at_ns, server, metrics, settings, effects, self.random);
            let (result, effects, has_changed) = work(&mut executor, &self.limits);
            self.effects = effects;
            self.ended_ns = self.is_in_row.then(|| executor.read_at_ns());
            (result, has_changed)
        };
        if has_changed && self.server.store.journal.keeps() {
            self.call_writer();
        }
        result
    }

    /// Begins a row of batches with nothing but batches between them, or ends it.
    pub fn row(&mut self, is_in_row: bool) {
        (self.is_in_row, self.ended_ns) = (is_in_row, None);
    }

    /// Whether replies that depend on this may leave. If not, who asks is woken when it may be so.
    #[inline]
    pub fn poll_passage(&mut self, seen: Seen, cx: &mut Context<'_>) -> Poll<Passage> {
        // What is sent now takes time that is no command's.
        self.ended_ns = None;
        match self.server.store.journal.passage(seen) {
            Passage::Wait => self.wait(Some(seen), cx),
            passage => Poll::Ready(passage),
        }
    }

    /// Whether replies that depend on this wait for a flush that has not begun.
    #[inline]
    pub fn must_wait(&self, seen: Seen) -> bool {
        let journal = &self.server.store.journal;
        journal.policy() == Fsync::Always && journal.passage(seen) == Passage::Wait
    }

    /// Whether the journal's writer has caught up enough to execute more. If not, who asks is woken.
    #[inline]
    pub fn poll_not_behind(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.server.store.journal.is_behind() {
            return Poll::Ready(());
        }
        self.wait(None, cx).map(|_| ())
    }

    fn wait(&mut self, seen: Option<Seen>, cx: &mut Context<'_>) -> Poll<Passage> {
        self.employ_porter();
        self.gate.expect();
        // The mark may have moved before it was expected to.
        if let Some(passage) = self.look(seen) {
            return Poll::Ready(passage);
        }
        self.waiting.push((seen, cx.waker().clone()));
        Poll::Pending
    }

    /// What who waits for this is told, if it need not wait any more.
    fn look(&self, seen: Option<Seen>) -> Option<Passage> {
        let journal = &self.server.store.journal;
        let passage = match seen {
            Some(seen) => journal.passage(seen),
            None if journal.is_behind() => Passage::Wait,
            None => Passage::Open,
        };
        (passage != Passage::Wait).then_some(passage)
    }

    fn open_gate(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.gate.expect();
        for (seen, waker) in std::mem::take(&mut self.waiting) {
            match self.look(seen) {
                Some(_) => waker.wake(),
                None => self.waiting.push((seen, waker)),
            }
        }
    }

    /// Has the journal's writer called when those who are ready have had their turn.
    pub fn call_writer(&mut self) {
        if !std::mem::replace(&mut self.is_called, true) {
            self.employ_porter();
            self.call.notify_one();
        }
    }

    /// Starts the tasks that mind this thread's gate and its bell, and let its clients go on together;
    /// tests without an event loop need none.
    pub fn employ_porter(&mut self) {
        if self.has_porter {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.has_porter = true;
            let (gate, call) = (self.gate.clone(), self.call.clone());
            runtime.spawn(mind_doors(self.server.clone(), self.index, gate, call));
            runtime.spawn(resp::run_together(self.server.clone()));
        }
    }

    /// Runs one command that a door which is not RESP makes for a client. `None` if it writes no reply.
    pub fn capture(&mut self, session: &mut Session, args: &[&[u8]]) -> Option<Captured> {
        let (mut request, mut capture) = std::mem::take(&mut self.captured);
        args.iter().for_each(|arg| request.push(arg));
        self.run(session, |executor, session, _| {
            executor.execute_own(session, request.args(), &mut Reply::capture(&mut capture));
        });
        let reply = capture.take();
        request.clear();
        self.captured = (request, capture);
        reply
    }

    /// Hands out what was written to the output buffer.
    #[inline]
    pub fn take_output(&mut self) -> Output {
        let spare = self.spare_output();
        std::mem::replace(&mut self.output, spare)
    }

    /// Hands out an empty output buffer.
    #[inline]
    pub fn spare_output(&mut self) -> Output {
        self.outputs_kept.pop().unwrap_or_default()
    }

    /// Keeps a buffer that was handed out for its next use, if it did not grow large.
    #[inline]
    pub fn keep_output(&mut self, mut output: Output) {
        if self.outputs_kept.len() < OUTPUTS_KEPT_MAX && output.capacity() <= OUTPUT_KEPT_BYTES_MAX
        {
            output.clear();
            self.outputs_kept.push(output);
        }
    }

    /// Hands out an empty buffer for what has arrived and is run later.
    #[inline]
    pub fn take_input(&mut self) -> Vec<u8> {
        self.inputs_kept.pop().unwrap_or_else(|| Vec::with_capacity(TOGETHER_BYTES_MAX))
    }

    /// Keeps a buffer of the usual size for its next use.
    #[inline]
    pub fn keep_input(&mut self, mut input: Vec<u8>) {
        if self.inputs_kept.len() < OUTPUTS_KEPT_MAX && input.capacity() == TOGETHER_BYTES_MAX {
            input.clear();
            self.inputs_kept.push(input);
        }
    }

    #[inline]
    fn refresh(&mut self) {
        let version = self.server.config_version();
        if version != self.config_version {
            self.config_version = version;
            self.config = Config::clone(&self.server.config());
            self.limits = limits(&self.config);
            self.limits_output = limits_output(&self.config);
            self.settings = settings(&self.config);
        }
    }
}

/// Wakes this thread's clients when the journal's mark has moved or when they have mail, and calls the
/// journal's writer once for all that its clients have changed in one turn of the loop.
async fn mind_doors(server: Arc<Server>, index: usize, gate: Arc<Gate>, call: Arc<Notify>) {
    loop {
        tokio::select! {
            biased;
            () = gate.moved() => Worker::with(Worker::open_gate),
            () = server.post.rung(index) => server.post.wake(index),
            () = call.notified() => {
                Worker::with(|worker| worker.is_called = false);
                server.store.journal.kick(server.store.clock.now_ms());
            }
        }
    }
}

/// Frees what has expired in every `workers`-th stripe from `index` on, what was dropped, and what is
/// remembered beyond its limit, until the server stops. Lets other tasks run between slices.
pub async fn reap(server: Arc<Server>, index: usize, workers: usize) {
    let store = &server.store;
    loop {
        tokio::select! {
            () = server.stop.cancelled() => return,
            () = tokio::time::sleep(REAP_INTERVAL) => {}
            () = store.turn.pause_ended() => {}
        }
        if server.cron_is_paused.load(Relaxed) {
            continue;
        }
        if index == 0 {
            server.tracking.forget_some();
        }
        // Without a disk that takes it, and while clients are paused, nothing may be changed.
        let is_stopped = store.journal.is_failing() || store.turn.is_paused();
        let may_change = server.is_ready.load(Relaxed) && !is_stopped;
        if may_change && server.active_expire.load(Relaxed) {
            for stripe in (index..store.stripes()).step_by(workers) {
                let now_ms = store.clock.now_ms();
                while store.is_due(stripe, now_ms) && store.reap_slice(stripe, now_ms) {
                    tokio::task::yield_now().await;
                    std::future::poll_fn(|cx| Worker::with(|worker| worker.poll_not_behind(cx)))
                        .await;
                }
            }
        }
        // A limit that was lowered is kept without waiting for a write.
        if may_change && index == 0 && store.is_over_limit() {
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

fn limits_output(config: &Config) -> bool {
    config.client_output_buffer_limit.of(Class::Normal) != OutputLimit::default()
}

/// What of the configuration concerns names and pairs.
pub fn settings(config: &Config) -> Settings {
    Settings {
        string_len_max_bytes: config.proto_max_bulk_len_bytes,
        reply_max_bytes: config.client_reply_max_bytes,
        hash_max_listpack_entries: config.hash_max_listpack_entries,
        hash_max_listpack_value_bytes: config.hash_max_listpack_value_bytes,
        hll_sparse_max_bytes: config.hll_sparse_max_bytes,
        namespace_pairs_max: config.max_keys_per_namespace,
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
