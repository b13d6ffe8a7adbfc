//! The store: every name of every database, in stripes that worker threads share.
//!
//! This file has the stripes and what they hold. Around it: [`view`] and its edits are the waist that
//! commands see; `held` takes stripes' locks; `claims` let threads overwrite pairs of one stripe side by side; `direct` is for those that are no commands; `overlay` lets a command run without touching the
//! store; `reap` frees what expired; [`limits`] says what a namespace may hold; `table`, `packed` and `name` are how things lie in memory.
//! Commands and doors never see a stripe, a lock or a table.

mod blocks;
mod boxed;
pub mod capture;
pub mod captured;
mod chunk;
mod claims;
#[cfg(test)]
mod claims_tests;
mod direct;
mod edit;
mod evict;
mod gathered;
mod group;
mod guard;
mod hash;
mod heap;
mod held;
mod largest;
mod layout;
pub mod libraries;
pub mod limits;
mod live;
mod met;
mod name;
mod names;
mod namespace;
mod overlay;
mod packed;
mod pair_table;
mod pairs;
mod reap;
mod redo;
#[cfg(test)]
mod redo_tests;
mod replay;
pub mod restore;
mod segment;
mod slice;
mod table;
mod touch;
pub mod turn;
mod usage;
pub mod view;
mod walk;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

pub use evict::{Eviction, Policy};
pub use guard::Hold;
pub use hash::Hasher;
pub use held::Held;
pub use largest::Taken;
pub use limits::Limit;
pub use met::{Freed, Met};
pub use name::{Kind, Name, NameEntry, NewDeadline};
pub use overlay::Overlay;
pub use table::NEVER;
pub use usage::Usage;
pub use view::{Access, Settings, View};
pub use watch::Watched;

use crate::clock::Clock;
use crate::events::Events;
use crate::journal::{Journal, Lsn};
use boxed::{Boxed, Entry as _};
use pairs::PairsRef;
use table::Table;
use watch::Watchers;

/// Number of databases (SELECT).
pub const DATABASES: usize = 16;

/// `log2` of the number of stripes: leading hash bits that choose one.
const STRIPE_BITS: u8 = 8;
const STRIPES: usize = 1 << STRIPE_BITS;

/// The latest deadline of a pair, in unix ms: the year 10889. It is kept in six bytes.
pub const PAIR_DEADLINE_MS_MAX: u64 = (1 << 48) - 1;

/// Cursors have this many bits, so that clients which parse them as doubles lose nothing.
const CURSOR_BITS: u32 = 53;

/// What takes more memory than this is freed in slices, away from the command that dropped it.
const FREE_AT_ONCE_BYTES_MAX: usize = 64 * 1024;

/// All data, shared by all threads.
#[derive(Debug)]
pub struct Store {
    hasher: Hasher,
    stripes: Box<[Padded]>,
    claims: claims::Board,
    /// Orders and remembers what happens here.
    pub journal: Journal,
    /// The time all deadlines are compared with.
    pub clock: Arc<Clock>,
    /// Tells of what happens here.
    pub events: Arc<Events>,
    /// Whose turn it is while a script takes long.
    pub turn: turn::Turn,
    /// Functions, which are kept with the names.
    pub libraries: libraries::Kept,
    /// What namespaces may hold.
    pub limits: limits::Limits,
    garbage: Mutex<Vec<Garbage>>,
    memory: evict::Memory,
    capture: capture::State,
    slices: slice::Gauge,
    expired_pairs: AtomicU64,
    expired_names: AtomicU64,
    lazyfreed: AtomicU64,
}

/// A stripe on cache lines of its own, with what may be read without its lock.
#[derive(Debug)]
#[repr(align(128))]
struct Padded {
    /// Nothing in the stripe expires earlier; may be too early, never too late.
    min_deadline_ms: AtomicU64,
    watchers: Watchers,
    lock: guard::Lock,
}

/// The names of all databases whose hash begins with the stripe's number.
#[derive(Debug)]
struct Stripe {
    dbs: Vec<Db>,
    /// See [`Stripe::lsn`].
    lsn: AtomicU64,
    /// Time never runs backwards for what lives here.
    now_ms: AtomicU64,
    /// What is counted against the memory limit, if there is one.
    counted_bytes: usize,
}

#[derive(Debug)]
struct Db {
    names: Table<Boxed<Box<NameEntry>>>,
    counts: DbStats,
}

#[derive(Debug)]
enum Garbage {
    Name(Box<NameEntry>),
    Names(Table<Boxed<Box<NameEntry>>>),
}

/// What is in one database.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct DbStats {
    /// Names that exist for Redis clients.
    pub names: usize,
    /// Those with a deadline.
    pub with_deadline: usize,
    /// Namespaces in which a pair may have a deadline.
    pub with_pair_deadlines: usize,
}

/// Sums over the whole store.
#[derive(Debug, Default, Clone)]
pub struct Stats {
    /// Per database.
    pub dbs: Vec<DbStats>,
    /// Bytes of names, pairs, values and tables.
    pub bytes: usize,
    /// Names freed because their deadline passed.
    pub expired_names: u64,
    /// Pairs freed because their deadline passed.
    pub expired_pairs: u64,
    /// Large values waiting to be freed in the background.
    pub lazyfree_pending: usize,
    /// Names flushed, and large values freed in the background.
    pub lazyfreed: u64,
}

impl Store {
    /// An empty store.
    pub fn new(journal: Journal, clock: Clock) -> Store {
        Store::seeded(journal, clock, Hasher::random())
    }

    /// An empty store that hashes as another did.
    pub fn seeded(journal: Journal, clock: Clock, hasher: Hasher) -> Store {
        let stripe = |_| Padded {
            min_deadline_ms: AtomicU64::new(NEVER),
            watchers: Watchers::default(),
            lock: guard::Lock::new(Stripe {
                dbs: (0..DATABASES).map(|_| Db::new()).collect(),
                lsn: AtomicU64::new(0),
                now_ms: AtomicU64::new(0),
                counted_bytes: 0,
            }),
        };
        Store {
            hasher,
            stripes: (0..STRIPES).map(stripe).collect(),
            claims: claims::Board::default(),
            journal,
            clock: Arc::new(clock),
            events: Arc::default(),
            turn: turn::Turn::default(),
            libraries: libraries::Kept::default(),
            limits: limits::Limits::default(),
            garbage: Mutex::default(),
            memory: evict::Memory::default(),
            capture: capture::State::default(),
            slices: slice::Gauge::default(),
            expired_pairs: AtomicU64::new(0),
            expired_names: AtomicU64::new(0),
            lazyfreed: AtomicU64::new(0),
        }
    }

    /// Hashes a key of a pair.
    #[inline]
    pub fn key_hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// Hashes a name.
    #[inline]
    pub fn name<'a>(&self, bytes: &'a [u8]) -> Name<'a> {
        Name { bytes, hash: self.hasher.hash(bytes) }
    }

    /// What [`Hasher::again`] needs to make another store hash as this one.
    pub fn seeds(&self) -> [u64; 3] {
        self.hasher.seeds()
    }

    /// The longest time that slow work (growth, expiry, a snapshot) kept a stripe, in µs of its
    /// thread's CPU time.
    pub fn slice_us_max(&self) -> u64 {
        self.slices.max_us()
    }

    /// Forgets the counts of names and pairs that expired, were evicted or freed in the background, the
    /// longest slice and the longest flush.
    pub fn reset_stats(&self) {
        self.slices.reset();
        self.journal.status().flush_us_max.store(0, Relaxed);
        self.expired_names.store(0, Relaxed);
        self.expired_pairs.store(0, Relaxed);
        self.lazyfreed.store(0, Relaxed);
        self.forget_evictions();
    }

    fn watchers(&self, name: Name<'_>) -> &Watchers {
        &self.stripes[stripe_of(name.hash)].watchers
    }

    /// Frees an entry: small ones at once, others later in slices.
    fn discard(&self, garbage: Garbage) {
        let bytes = match &garbage {
            Garbage::Name(entry) => entry.heap_bytes(),
            Garbage::Names(names) => names.bytes(),
        };
        if bytes > FREE_AT_ONCE_BYTES_MAX {
            if let Garbage::Name(_) = garbage {
                self.lazyfreed.fetch_add(1, Relaxed);
            }
            self.garbage.lock().push(garbage);
        }
    }
}

impl Stripe {
    /// The entry of a name.
    #[inline]
    fn entry(&self, db: usize, name: Name<'_>) -> Option<&NameEntry> {
        self.dbs[db].names.get(name.hash, name.bytes).map(|entry| &**entry)
    }

    /// LSN of the last effect on anything here.
    #[inline]
    fn lsn(&self) -> Lsn {
        self.lsn.load(Relaxed)
    }

    /// Time for what is here is not earlier than this.
    #[inline]
    fn set_now_ms(&self, now_ms: u64) {
        // A cache line that is only read can be in the caches of all threads.
        if self.now_ms.load(Relaxed) < now_ms {
            self.now_ms.fetch_max(now_ms, Relaxed);
        }
    }

    /// What it takes, without itself.
    fn bytes(&self) -> usize {
        self.dbs.iter().map(|db| db.names.bytes()).sum()
    }
}

impl Db {
    fn new() -> Db {
        Db { names: Table::new(STRIPE_BITS), counts: DbStats::default() }
    }

    /// Whether Redis clients can see something under the name at `now_ms`.
    fn shows(&self, name: Name<'_>, now_ms: u64) -> bool {
        self.names.get(name.hash, name.bytes).is_some_and(|entry| entry.is_alive(now_ms))
    }

    fn update(&mut self, name: Name<'_>, change: &mut dyn FnMut(&mut NameEntry)) -> bool {
        let counts = &mut self.counts;
        let updated = self.names.update(name.hash, name.bytes, |entry| {
            let before = entry.shown();
            change(entry);
            let after = entry.shown();
            if before != after {
                counts.subtract(before.counts());
                counts.add(after.counts());
            }
        });
        updated.is_some()
    }

    fn insert(&mut self, name: Name<'_>, entry: Box<NameEntry>, hasher: Hasher) {
        self.counts.add(entry.counts());
        self.names.insert(name.hash, entry, hasher);
    }

    fn remove(&mut self, name: Name<'_>) -> Option<Box<NameEntry>> {
        let entry = self.names.remove(name.hash, name.bytes)?;
        self.counts.subtract(entry.counts());
        Some(entry)
    }
}

impl DbStats {
    fn add(&mut self, other: DbStats) {
        self.names += other.names;
        self.with_deadline += other.with_deadline;
        self.with_pair_deadlines += other.with_pair_deadlines;
    }

    fn subtract(&mut self, other: DbStats) {
        self.names -= other.names;
        self.with_deadline -= other.with_deadline;
        self.with_pair_deadlines -= other.with_pair_deadlines;
    }
}

impl NameEntry {
    /// What it adds to its database's counts.
    fn counts(&self) -> DbStats {
        self.shown().counts()
    }

    #[inline]
    fn shown(&self) -> Shown {
        let visible = self.kind().is_some();
        let pairs = self.pairs();
        Shown {
            visible,
            has_deadline: visible && self.deadline_ms != NEVER,
            may_expire: visible && pairs.is_ok_and(PairsRef::may_expire),
        }
    }
}

/// What of a name is counted: nothing if Redis clients can not see it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shown {
    visible: bool,
    has_deadline: bool,
    may_expire: bool,
}

impl Shown {
    fn counts(self) -> DbStats {
        DbStats {
            names: usize::from(self.visible),
            with_deadline: usize::from(self.has_deadline),
            with_pair_deadlines: usize::from(self.may_expire),
        }
    }
}

/// The stripe of a name's hash.
#[inline]
fn stripe_of(hash: u64) -> usize {
    (hash >> (64 - STRIPE_BITS)) as usize
}

/// Bytes the allocator takes for a request of `len` bytes: about what its size classes round to.
fn allocated(len: usize) -> usize {
    match len {
        0 => 0,
        1..=128 => len.next_multiple_of(16),
        _ => len.next_multiple_of(len.next_power_of_two() / 8),
    }
}
