//! Active expiry and background freeing, in slices that hold one stripe for a bounded time.
//!
//! A slice frees what has expired in one stripe until its budget is used up, and records each as an
//! effect. Who calls, how often and on which thread is the server's matter.

use std::sync::atomic::Ordering::Relaxed;

use super::Freed;
use super::boxed::Boxed;
use super::name::{Name, NameEntry};
use super::slice::measured;
use super::{Garbage, Hasher, Held, Hold, STRIPES, Store};
use crate::journal::effect::{Cause, Effect, Effects};

/// Slots of tables that one slice looks at.
const SLICE_SLOTS: isize = 4096;

impl Store {
    /// Number of stripes, for those who share the reaping.
    pub fn stripes(&self) -> usize {
        STRIPES
    }

    /// Whether something in the stripe has expired. Takes no lock; may say yes in vain.
    pub fn is_due(&self, stripe: usize, now_ms: u64) -> bool {
        self.stripes[stripe].min_deadline_ms.load(Relaxed) <= now_ms
    }

    /// Frees expired pairs and names of one stripe. `true` if there may be more.
    pub fn reap_slice(&self, stripe: usize, now_ms: u64) -> bool {
        let min_deadline_ms = measured(|| self.reap_held(stripe, now_ms));
        self.slices.hear();
        min_deadline_ms <= now_ms
    }

    /// Returns the earliest deadline that is left.
    fn reap_held(&self, stripe: usize, now_ms: u64) -> u64 {
        let mut effects = Effects::default();
        let mut held = Held::new(self);
        held.lock_number(stripe, Hold::Alone);
        if !self.turn.is_free() {
            return super::NEVER;
        }
        let now_ms = held.settle_now_ms(now_ms);
        let mut slice = Slice {
            now_ms,
            hasher: self.hasher,
            effects: &mut effects,
            freed: Freed::default(),
            budget: SLICE_SLOTS,
        };
        let min_deadline_ms = held.reap(&mut slice);
        self.count_expired(slice.freed);
        self.stripes[stripe].min_deadline_ms.store(min_deadline_ms, Relaxed);
        held.release(&mut effects);
        min_deadline_ms
    }

    /// Counts what was freed because it had expired.
    pub fn count_expired(&self, freed: Freed) {
        self.expired_pairs.fetch_add(freed.pairs, Relaxed);
        self.expired_names.fetch_add(freed.names, Relaxed);
    }

    /// Frees a part of what was dropped. `true` if there is more.
    pub fn free_slice(&self) -> bool {
        let Some(mut garbage) = self.garbage.lock().pop() else { return false };
        let has_more = match &mut garbage {
            Garbage::Name(entry) => entry.free_part(),
            Garbage::Names(names) => {
                let entries = names.pop_segment();
                let has_more = entries.is_some();
                entries
                    .into_iter()
                    .flat_map(Boxed::into_entries)
                    .for_each(|entry| self.discard(Garbage::Name(entry)));
                has_more
            }
        };
        if has_more {
            self.garbage.lock().push(garbage);
        }
        true
    }
}

/// What one slice works with and counts.
pub(super) struct Slice<'e> {
    now_ms: u64,
    hasher: Hasher,
    effects: &'e mut Effects,
    freed: Freed,
    budget: isize,
}

impl super::Stripe {
    /// Reaps until the budget is used up; returns the earliest deadline that is left.
    pub(super) fn reap(&mut self, store: &Store, slice: &mut Slice<'_>) -> u64 {
        for (number, db) in self.dbs.iter_mut().enumerate() {
            if db.names.min_deadline_ms() > slice.now_ms {
                continue;
            }
            let counts = &mut db.counts;
            let mut budget = slice.budget;
            db.names.sweep(
                slice.now_ms,
                &mut budget,
                &mut |names, place, budget| {
                    names.update(place, |entry| {
                        counts.subtract(entry.counts());
                        let is_over = slice.reap_entry(number, entry, store, budget);
                        if !is_over {
                            counts.add(entry.counts());
                        }
                        is_over
                    })
                },
                &mut |entry| store.discard(Garbage::Name(entry)),
            );
            slice.budget = budget;
        }
        let names = self.dbs.iter().map(|db| db.names.min_deadline_ms());
        names.min().unwrap_or(super::NEVER)
    }
}

impl Slice<'_> {
    /// Frees what has expired of one name; `true` if the name goes too.
    fn reap_entry(
        &mut self,
        db: usize,
        entry: &mut NameEntry,
        store: &Store,
        budget: &mut isize,
    ) -> bool {
        let hash = self.hasher.hash(entry.name());
        if entry.deadline_ms <= self.now_ms {
            let name = entry.name();
            self.freed.names += 1;
            self.effects.push(Cause::Expired, Effect::DropName { db: db as u8, name });
            let name = Name { bytes: name, hash };
            store.watchers(name).touch(db, name, entry.deadline_ms);
            return true;
        }
        if entry.pairs().is_err() {
            return false;
        }
        let (effects, count) = (&mut *self.effects, &mut self.freed.pairs);
        let expired_ms = entry.sweep_pairs(self.now_ms, budget, |name, key| {
            *count += 1;
            let db = db as u8;
            effects.push(Cause::Hexpired, Effect::DeletePair { db, name, key, is_last: false });
        });
        let name = Name { bytes: entry.name(), hash };
        store.watchers(name).touch(db, name, expired_ms);
        let name = entry.name();
        let is_empty = entry.kind().is_none();
        let db = db as u8;
        match (is_empty, entry.kept) {
            (true, false) => self.effects.push(Cause::Del, Effect::DropName { db, name }),
            // That it is empty now is said like this, too: the pairs' effects do not say it.
            (true, true) => self.effects.push(Cause::Emptied, Effect::Keep { db, name }),
            (false, _) => {}
        }
        is_empty && !entry.kept
    }
}
