//! The journal: orders batches of effects, and says how far they are safe.
//!
//! This journal keeps nothing (or, for tests, everything in memory): it hands out log sequence
//! numbers and its mark is always satisfied. It does not know what an effect means; see [`effect`].

pub mod effect;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Log sequence number: the place of a batch of effects in the one order that all clients saw.
pub type Lsn = u64;

/// Orders effects and lets replies wait until they are safe.
#[derive(Debug)]
pub struct Journal {
    last: Alone<AtomicU64>,
    /// Replies that depend on an LSN above the mark are held back.
    mark: AtomicU64,
    moved: Notify,
    remembered: Option<Mutex<Vec<Vec<u8>>>>,
}

/// On cache lines of its own, so that who writes it does not slow down who reads its neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone<T>(T);

impl Journal {
    /// A journal that keeps nothing. Its gate is always open.
    pub fn discarding() -> Journal {
        Self::new(Lsn::MAX, None)
    }

    /// A journal that remembers every batch in memory, for tests; its gate starts at `mark`.
    pub fn remembering(mark: Lsn) -> Journal {
        Self::new(mark, Some(Mutex::default()))
    }

    fn new(mark: Lsn, remembered: Option<Mutex<Vec<Vec<u8>>>>) -> Journal {
        Journal {
            last: Alone::default(),
            mark: AtomicU64::new(mark),
            moved: Notify::new(),
            remembered,
        }
    }

    /// Takes the effects of one batch. Called while every stripe of the batch is held, so that the
    /// journal's order is the order clients saw; must not block.
    pub fn append(&self, effects: &[u8]) -> Lsn {
        match &self.remembered {
            None => self.last.0.fetch_add(1, Ordering::Relaxed) + 1,
            Some(remembered) => {
                let mut batches = remembered.lock();
                batches.push(effects.to_vec());
                self.last.0.fetch_add(1, Ordering::Relaxed) + 1
            }
        }
    }

    /// The last LSN that was handed out.
    pub fn last(&self) -> Lsn {
        self.last.0.load(Ordering::Relaxed)
    }

    /// Whether a reply that shows the state at `lsn` may leave.
    #[inline]
    pub fn has_passed(&self, lsn: Lsn) -> bool {
        self.mark.load(Ordering::Acquire) >= lsn
    }

    /// Waits until [`Journal::has_passed`].
    pub async fn passed(&self, lsn: Lsn) {
        loop {
            let moved = self.moved.notified();
            if self.has_passed(lsn) {
                return;
            }
            moved.await;
        }
    }

    /// Moves the mark forward: everything up to `lsn` is as safe as the policy promises.
    pub fn advance(&self, lsn: Lsn) {
        self.mark.fetch_max(lsn, Ordering::Release);
        self.moved.notify_waiters();
    }

    /// All batches so far, if this journal remembers them.
    pub fn batches(&self) -> Vec<Vec<u8>> {
        self.remembered.as_ref().map(|batches| batches.lock().clone()).unwrap_or_default()
    }
}
