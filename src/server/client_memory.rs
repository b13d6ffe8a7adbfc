//! What clients take in memory, and which of them go when that is too much (maxmemory-clients).
//!
//! A client's own numbers are kept where they change, by its thread or by who puts messages into its
//! mailbox. The sum over all clients follows in steps of some KiB, and only for clients that hold
//! something: one that asks, is answered and reads costs nothing here. A message is counted for each
//! client that still has to read it; against `maxmemory` only if that client does not read, since
//! otherwise telling clients that names were evicted would evict more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::clients::{Client, Clients};

/// What a connection takes whatever it does: its task, its session, its places in tables.
pub const CONNECTION_BYTES: usize = 2048;
/// What a place in the tables of subscriptions, watched names or prefixes takes beside the name.
pub const PLACE_BYTES: usize = 96;
/// A client's part of the sum is up to date but for so much.
const STEP_BYTES: usize = 4096;
/// Output up to this size has a place in every client's buffer in Redis: it is not part of `omem`, and
/// not limited.
pub const REPLY_BUFFER_BYTES: usize = 16 * 1024;

/// What a client keeps in the server's tables.
#[derive(Debug, Clone, Copy)]
pub enum Kept {
    /// Subscriptions.
    Subscriptions,
    /// Names that it watches.
    Watched,
    /// Prefixes of client-side caching.
    Prefixes,
}

/// One client's numbers, in bytes.
#[derive(Debug, Default)]
pub struct ClientMemory {
    /// Received, and no whole argument yet.
    pub query: AtomicUsize,
    /// Room behind that.
    pub query_free: AtomicUsize,
    /// Whole arguments of a request that is not complete.
    pub args: AtomicUsize,
    /// Of its output, what was not sent yet.
    pub output: AtomicUsize,
    /// Commands queued by MULTI.
    pub queued: AtomicUsize,
    kept: [AtomicUsize; 3],
    /// Its socket takes nothing more for now.
    pub is_stuck: AtomicBool,
    /// Its parts of the sums; `None` when it is gone.
    counted: Mutex<Option<Share>>,
    /// The same, to be looked at without a lock.
    noted: [AtomicUsize; 2],
}

/// A client's part of what is limited.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    /// By `maxmemory-clients`.
    clients: usize,
    /// By `maxmemory`.
    all: usize,
}

/// The sum over all clients, and its limit.
#[derive(Debug, Default)]
pub(super) struct Total {
    bytes: AtomicUsize,
    /// What of it counts as the store's memory does.
    others_bytes: Arc<AtomicUsize>,
    /// 0: there is none.
    limit_bytes: AtomicU64,
    evicted: AtomicU64,
}

impl ClientMemory {
    /// Says that so many names of so many bytes together were added to what is kept for the client.
    pub fn keep(&self, what: Kept, name_bytes: usize) {
        self.kept[what as usize].fetch_add(name_bytes + PLACE_BYTES, Relaxed);
    }

    /// Takes one name back.
    pub fn let_go(&self, what: Kept, name_bytes: usize) {
        self.kept[what as usize].fetch_sub(name_bytes + PLACE_BYTES, Relaxed);
    }

    /// Takes all names back.
    pub fn let_all_go(&self, what: Kept) {
        self.kept[what as usize].store(0, Relaxed);
    }

    /// What waits to be sent, unless it has a place in every client's buffer.
    pub fn output_list(&self) -> usize {
        match self.output.load(Relaxed) {
            0..=REPLY_BUFFER_BYTES => 0,
            bytes => bytes,
        }
    }

    fn noted(&self) -> Share {
        let [clients, all] = self.noted.each_ref().map(|bytes| bytes.load(Relaxed));
        Share { clients, all }
    }

    fn note(&self, share: Share) {
        self.noted[0].store(share.clients, Relaxed);
        self.noted[1].store(share.all, Relaxed);
    }

    /// What comes and goes with requests and replies.
    fn passing(&self) -> usize {
        let parts = [&self.query, &self.query_free, &self.args, &self.output, &self.queued];
        parts.into_iter().map(|bytes| bytes.load(Relaxed)).sum()
    }

    fn own(&self) -> usize {
        self.passing() + self.kept.iter().map(|bytes| bytes.load(Relaxed)).sum::<usize>()
    }
}

impl Client {
    /// Whether something waits to be sent to it.
    pub fn has_output(&self) -> bool {
        self.memory.output.load(Relaxed) + self.mailbox.bytes() > 0
    }

    /// Whether it takes more than it does at rest, so that its part of the sum is going to change.
    pub fn is_heavy(&self) -> bool {
        self.memory.passing() + self.mailbox.bytes() > 0
    }

    /// All that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.share().clients
    }

    fn share(&self) -> Share {
        let (own, mail) = (CONNECTION_BYTES + self.memory.own(), self.mailbox.bytes());
        let is_stuck = self.memory.is_stuck.load(Relaxed);
        Share { clients: own + mail, all: own + if is_stuck { mail } else { 0 } }
    }
}

impl Total {
    pub(super) fn new(others_bytes: Arc<AtomicUsize>) -> Total {
        Total { others_bytes, ..Total::default() }
    }

    fn replace(&self, before: Share, now: Share) {
        // Wraps around where it shrinks; the sum does not.
        self.bytes.fetch_add(now.clients.wrapping_sub(before.clients), Relaxed);
        self.others_bytes.fetch_add(now.all.wrapping_sub(before.all), Relaxed);
    }

    /// Begins to count a client.
    pub(super) fn begin(&self, client: &Client) {
        let share = client.share();
        *client.memory.counted.lock() = Some(share);
        client.memory.note(share);
        self.replace(Share::default(), share);
    }

    /// Ends it.
    pub(super) fn end(&self, client: &Client) {
        let counted = client.memory.counted.lock().take();
        self.replace(counted.unwrap_or_default(), Share::default());
    }

    fn is_over(&self) -> bool {
        let limit_bytes = self.limit_bytes.load(Relaxed);
        limit_bytes > 0 && self.bytes.load(Relaxed) as u64 > limit_bytes
    }
}

impl Clients {
    /// What all clients take.
    pub fn bytes(&self) -> usize {
        self.total.bytes.load(Relaxed)
    }

    /// Clients closed because all together took too much.
    pub fn evicted(&self) -> u64 {
        self.total.evicted.load(Relaxed)
    }

    /// Forgets how many were closed.
    pub fn reset_stats(&self) {
        self.total.evicted.store(0, Relaxed);
        self.too_large_queries.store(0, Relaxed);
    }

    /// Sets how much all clients may take; `None`: any amount.
    pub fn limit_memory(&self, bytes: Option<u64>) {
        self.total.limit_bytes.store(bytes.unwrap_or(0), Relaxed);
        self.keep_limit();
    }

    /// Brings the sum up to date after a client's numbers have changed, and keeps the limit.
    pub fn count(&self, client: &Client) {
        let (now, noted) = (client.share(), client.memory.noted());
        let is_near = |now: usize, noted: usize| now.abs_diff(noted) < STEP_BYTES;
        if is_near(now.clients, noted.clients) && is_near(now.all, noted.all) {
            return;
        }
        let mut counted = client.memory.counted.lock();
        let Some(before) = counted.as_mut() else { return };
        self.total.replace(std::mem::replace(before, now), now);
        client.memory.note(now);
        drop(counted);
        if now.clients > noted.clients {
            self.keep_limit();
        }
    }

    /// Closes clients, those that take most first, until all together take no more than the limit.
    pub fn keep_limit(&self) {
        if !self.total.is_over() {
            return;
        }
        let may_go =
            |client: &Arc<Client>| client.resp.load(Relaxed) != 0 && !client.no_evict.load(Relaxed);
        let mut clients: Vec<(usize, Arc<Client>)> = self
            .list()
            .into_iter()
            .filter(may_go)
            .map(|client| (client.memory.noted().clients, client))
            .collect();
        clients.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, client) in clients {
            if !self.total.is_over() {
                return;
            }
            tracing::info!(id = client.id, addr = %client.addr, bytes, "client evicted");
            self.total.evicted.fetch_add(1, Relaxed);
            self.close(&client);
        }
    }
}
