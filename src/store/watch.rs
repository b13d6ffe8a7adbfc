//! WATCH: who wants to know that a name changed. One registry per stripe, skipped when empty.
//!
//! Names are added while they are held whole, and looked for by who holds them or a part of them. The
//! registry's own lock is the last one that is taken.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use super::name::Name;

/// Set when a watched name changes; shared by a session and the stripes it watches.
#[derive(Debug, Default, Clone)]
pub struct Watched(Arc<AtomicBool>);

impl Watched {
    /// Whether anything that is watched with this mark has changed.
    pub fn is_dirty(&self) -> bool {
        self.0.load(Relaxed)
    }

    fn is(&self, other: &Watched) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Debug, Default)]
pub(super) struct Watchers {
    is_used: AtomicBool,
    by_hash: Mutex<HashMap<u64, Vec<Watcher>>>,
}

#[derive(Debug)]
struct Watcher {
    db: usize,
    name: Box<[u8]>,
    /// When it began to watch: what had expired by then was gone to it.
    since_ms: u64,
    mark: Watched,
}

impl Watchers {
    pub fn add(&self, db: usize, name: Name<'_>, since_ms: u64, mark: &Watched) {
        let watcher = Watcher { db, name: name.bytes.into(), since_ms, mark: mark.clone() };
        self.by_hash.lock().entry(name.hash).or_default().push(watcher);
        self.is_used.store(true, Relaxed);
    }

    pub fn remove(&self, name: Name<'_>, mark: &Watched) {
        let mut by_hash = self.by_hash.lock();
        if let Some(watchers) = by_hash.get_mut(&name.hash) {
            watchers.retain(|watcher| !watcher.mark.is(mark));
            if watchers.is_empty() {
                by_hash.remove(&name.hash);
            }
        }
        self.is_used.store(!by_hash.is_empty(), Relaxed);
    }

    /// A name has changed. If the change only freed what expired at `expired_ms`, it is none to those
    /// who began to watch later; else that is [`super::NEVER`].
    #[inline]
    pub fn touch(&self, db: usize, name: Name<'_>, expired_ms: u64) {
        if self.is_used.load(Relaxed) {
            self.mark(db, name, expired_ms);
        }
    }

    /// Every watched name of `db` of which `is_changed`, told since when it is watched, says so.
    pub fn touch_those(&self, db: usize, is_changed: impl Fn(Name<'_>, u64) -> bool) {
        for (&hash, watchers) in &*self.by_hash.lock() {
            for watcher in watchers.iter().filter(|watcher| watcher.db == db) {
                if is_changed(Name { bytes: &watcher.name, hash }, watcher.since_ms) {
                    watcher.mark.0.store(true, Relaxed);
                }
            }
        }
    }

    fn mark(&self, db: usize, name: Name<'_>, expired_ms: u64) {
        for watcher in self.by_hash.lock().get(&name.hash).into_iter().flatten() {
            let concerns = watcher.db == db && *watcher.name == *name.bytes;
            if concerns && watcher.since_ms < expired_ms {
                watcher.mark.0.store(true, Relaxed);
            }
        }
    }
}
