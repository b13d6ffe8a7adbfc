//! The stripes a thread holds, and through them the live store as [`Names`].
//!
//! Stripes are taken in ascending order, or without waiting, so threads can not wait for each other in
//! a circle. When they are let go, the effects that happened under them get their LSN first: the
//! journal's order is the order clients saw. A `Held` is never kept across an await.

use std::sync::atomic::Ordering::Relaxed;

use parking_lot::MutexGuard;

use super::boxed::Entry;
use super::group::{GROUP_MAX, Group};
use super::name::{Name, NameEntry};
use super::names::{Names, Visit};
use super::watch::Watched;
use super::{DATABASES, Db, DbStats, Garbage, STRIPES, Stats, Store, Stripe, stripe_of};
use crate::journal::effect::{Decoder, Effects};
use crate::journal::{Lsn, Seen};
use crate::sabotage::{self, Bug};

/// Locked stripes of a store.
pub struct Held<'s> {
    pub(super) store: &'s Store,
    guards: Guards<'s>,
    /// What a transaction flushes is not counted among what is freed in the background, as in Redis.
    pub is_in_transaction: bool,
}

enum Guards<'s> {
    None,
    One(usize, MutexGuard<'s, Stripe>),
    /// The stripes of a few requests, in the order of those.
    Group(Group<'s>),
    /// Ascending by stripe number.
    Many(Vec<(usize, MutexGuard<'s, Stripe>)>),
}

impl<'s> Held<'s> {
    /// Holds nothing yet.
    pub fn new(store: &'s Store) -> Self {
        Held { store, guards: Guards::None, is_in_transaction: false }
    }

    /// Whether the stripe of `name` is held, alone or for a group of requests. What is asked for next
    /// will be that name.
    #[inline]
    pub fn turn_to(&mut self, name: Name<'_>) -> bool {
        let wanted = stripe_of(name.hash);
        match &mut self.guards {
            Guards::One(held, _) => *held == wanted,
            Guards::Group(group) => group.turn_to(wanted),
            Guards::None | Guards::Many(_) => false,
        }
    }

    /// Takes the stripe of one name. Nothing may be held.
    #[inline]
    pub fn lock(&mut self, name: Name<'_>) {
        debug_assert!(matches!(self.guards, Guards::None));
        let stripe = stripe_of(name.hash);
        self.guards = Guards::One(stripe, self.store.stripes[stripe].stripe.lock());
    }

    /// Takes the stripes of as many of `names` as can be had without waiting for any but the first,
    /// and without holding more than `stripes_max`. Returns how many names that are. Nothing may be
    /// held.
    #[inline]
    pub fn lock_group<'n>(
        &mut self,
        mut names: impl Iterator<Item = Name<'n>>,
        stripes_max: usize,
    ) -> usize {
        let Some(first) = names.next() else { return 0 };
        self.lock(first);
        let mut locked = 1;
        for name in names {
            if !self.turn_to(name) && !self.add_to_group(stripe_of(name.hash), stripes_max) {
                break;
            }
            locked += 1;
        }
        locked
    }

    /// Takes one more stripe, if that needs no waiting: who waits while holding a higher stripe could
    /// wait for ever.
    fn add_to_group(&mut self, stripe: usize, stripes_max: usize) -> bool {
        if let Guards::One(..) = self.guards
            && stripes_max > 1
            && let Guards::One(number, first) = std::mem::replace(&mut self.guards, Guards::None)
        {
            self.guards = Guards::Group(Group::new(number, first));
        }
        let Guards::Group(group) = &mut self.guards else { return false };
        if group.len() == stripes_max.min(GROUP_MAX) {
            return false;
        }
        let guard = self.store.stripes[stripe].stripe.try_lock();
        guard.is_some_and(|guard| group.push(stripe, guard))
    }

    /// Takes the stripes of several names. Nothing may be held.
    pub fn lock_names<'n>(&mut self, names: impl Iterator<Item = Name<'n>>) {
        debug_assert!(matches!(self.guards, Guards::None));
        let mut stripes: Vec<usize> = names.map(|name| stripe_of(name.hash)).collect();
        stripes.sort_unstable();
        stripes.dedup();
        self.lock_stripes(stripes.into_iter());
    }

    /// Takes all stripes. Nothing may be held.
    pub fn lock_all(&mut self) {
        debug_assert!(matches!(self.guards, Guards::None));
        self.lock_stripes(0..STRIPES);
    }

    /// Whether the stripe of `name` is held.
    pub fn holds(&self, name: Name<'_>) -> bool {
        let wanted = stripe_of(name.hash);
        self.numbered_stripes().any(|(number, _)| number == wanted)
    }

    /// Whether all stripes are held.
    pub fn holds_all(&self) -> bool {
        matches!(&self.guards, Guards::Many(stripes) if stripes.len() == STRIPES)
    }

    /// Numbers of the held stripes, to take the same ones later with [`Held::lock_again`].
    pub fn numbers(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = self.numbered_stripes().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Takes stripes that were held before, by their numbers in ascending order. Nothing may be held.
    pub fn lock_again(&mut self, numbers: &[usize]) {
        debug_assert!(matches!(self.guards, Guards::None));
        self.lock_stripes(numbers.iter().copied());
    }

    /// Sums over the whole store. All stripes must be held.
    pub fn stats(&self) -> Stats {
        let store = self.store;
        let mut stats = Stats { dbs: vec![DbStats::default(); DATABASES], ..Stats::default() };
        for stripe in self.stripes() {
            for (db, sum) in stripe.dbs.iter().zip(&mut stats.dbs) {
                sum.add(db.counts);
                stats.bytes += db.names.bytes();
            }
        }
        stats.bytes += super::evict::EMPTY_BYTES;
        stats.expired_names = store.expired_names.load(Relaxed);
        stats.expired_pairs = store.expired_pairs.load(Relaxed);
        stats.lazyfree_pending = store.garbage.lock().len();
        stats.lazyfreed = store.lazyfreed.load(Relaxed);
        stats
    }

    /// Pairs of all namespaces in the held stripes, expired ones that were not reaped included.
    pub fn pairs(&self) -> usize {
        let dbs = self.stripes().flat_map(|stripe| &stripe.dbs);
        let entries = dbs.flat_map(|db| db.names.iter());
        entries.filter_map(|entry| entry.pairs().ok()).map(|pairs| pairs.len()).sum()
    }

    /// Whether something under the name expired after `since_ms` and was not reaped. The name must be
    /// held.
    pub fn has_expired(&self, db: usize, name: Name<'_>, since_ms: u64, now_ms: u64) -> bool {
        self.get(db, name).is_some_and(|entry| entry.has_expired(since_ms, now_ms))
    }

    /// Whether any stripe is held.
    pub(super) fn holds_any(&self) -> bool {
        !matches!(self.guards, Guards::None)
    }

    /// Shows every entry of a database in the held stripes.
    pub(super) fn each_entry(&self, db: usize, mut visit: impl FnMut(&NameEntry)) {
        let names = self.stripes().flat_map(|stripe| stripe.dbs[db].names.iter());
        names.for_each(|entry| visit(entry));
    }

    /// Takes one stripe by its number. Nothing may be held.
    pub(super) fn lock_number(&mut self, stripe: usize) {
        self.lock_stripes(stripe..stripe + 1);
    }

    /// Reaps the one stripe that is held.
    pub(super) fn reap(&mut self, slice: &mut super::reap::Slice<'_>) -> u64 {
        let store = self.store;
        let mut min_deadline_ms = super::NEVER;
        self.each(|stripe| min_deadline_ms = min_deadline_ms.min(stripe.reap(store, slice)));
        min_deadline_ms
    }

    /// Lets go; the effects get their LSN and are cleared. Returns what replies that show any of what
    /// was held depend on.
    #[inline]
    pub fn release(&mut self, effects: &mut Effects) -> Seen {
        let mut touched = 0;
        let mut wrote = 0;
        let mut is_heard = false;
        if !effects.is_empty() {
            is_heard = self.store.events.is_heard();
            touched = match is_heard {
                true => self.store.events.record(effects, |effects| self.append(effects)),
                false => self.append(effects.as_bytes()),
            };
            wrote = touched;
            effects.clear();
            self.store.slices.hear();
            let memory = &self.store.memory;
            let is_limited = memory.is_limited();
            self.each(|stripe| {
                stripe.lsn = touched;
                if is_limited {
                    memory.account(stripe);
                }
            });
        } else if !sabotage::is(Bug::ReadPassesGate) {
            self.each(|stripe| touched = touched.max(stripe.lsn));
        }
        if !effects.notes.is_empty() {
            is_heard = true;
            self.store.events.record(effects, |_| touched);
        }
        self.guards = Guards::None;
        if is_heard {
            self.store.events.deliver();
        }
        Seen { touched, wrote }
    }

    /// Gives effects their LSN.
    #[inline]
    fn append(&self, effects: &[u8]) -> Lsn {
        let lsn = match sabotage::is(Bug::TransactionSplit) {
            true => {
                Decoder::each(effects).map(|one| self.store.journal.append(one)).last().unwrap_or(0)
            }
            false => self.store.journal.append(effects),
        };
        self.store.capture.observe(effects, self.store.hasher);
        lsn
    }

    /// The time for what is held: the clock's, but never earlier than these stripes have seen.
    #[inline]
    pub fn settle_now_ms(&mut self, clock_ms: u64) -> u64 {
        let mut now_ms = clock_ms;
        self.each(|stripe| now_ms = now_ms.max(stripe.now_ms));
        self.each(|stripe| stripe.now_ms = now_ms);
        now_ms
    }

    /// Marks `mark` when `name` changes from what it was at `since_ms`, which is now. The name's stripe
    /// must be held.
    pub fn watch(&mut self, db: usize, name: Name<'_>, since_ms: u64, mark: &Watched) {
        self.stripe_mut(name.hash).watchers.add(db, name, since_ms, mark);
    }

    /// Ends [`Held::watch`].
    pub fn unwatch(&mut self, name: Name<'_>, mark: &Watched) {
        self.stripe_mut(name.hash).watchers.remove(name, mark);
    }

    fn lock_stripes(&mut self, stripes: impl Iterator<Item = usize>) {
        let lock = |stripe: usize| (stripe, self.store.stripes[stripe].stripe.lock());
        self.guards = Guards::Many(stripes.map(lock).collect());
    }

    #[inline]
    fn each(&mut self, mut visit: impl FnMut(&mut Stripe)) {
        match &mut self.guards {
            Guards::None => {}
            Guards::One(_, stripe) => visit(stripe),
            Guards::Group(group) => group.each(visit),
            Guards::Many(stripes) => stripes.iter_mut().for_each(|(_, stripe)| visit(stripe)),
        }
    }

    fn stripes(&self) -> impl Iterator<Item = &Stripe> {
        self.numbered_stripes().map(|(_, stripe)| stripe)
    }

    fn numbered_stripes(&self) -> impl Iterator<Item = (usize, &Stripe)> {
        let (one, group, many) = match &self.guards {
            Guards::None => (None, None, &[][..]),
            Guards::One(number, stripe) => (Some((*number, &**stripe)), None, &[][..]),
            Guards::Group(group) => (None, Some(group), &[][..]),
            Guards::Many(stripes) => (None, None, &stripes[..]),
        };
        let group = group.into_iter().flat_map(Group::numbered_stripes);
        one.into_iter().chain(group).chain(many.iter().map(|(number, stripe)| (*number, &**stripe)))
    }

    /// The held stripe of a hash. A name whose stripe is not held is a mistake in the command's
    /// row; it must not read or change anything unlocked.
    #[inline(always)]
    pub(super) fn stripe(&self, hash: u64) -> &Stripe {
        let wanted = stripe_of(hash);
        match &self.guards {
            Guards::One(held, stripe) if *held == wanted => stripe,
            Guards::Group(group) => match group.get(wanted) {
                Some(stripe) => stripe,
                None => panic!("stripe {wanted} is not held"),
            },
            Guards::Many(stripes) => match stripes.binary_search_by_key(&wanted, |held| held.0) {
                Ok(at) => &stripes[at].1,
                Err(_) => panic!("stripe {wanted} is not held"),
            },
            _ => panic!("stripe {wanted} is not held"),
        }
    }

    #[inline(always)]
    fn stripe_mut(&mut self, hash: u64) -> &mut Stripe {
        let wanted = stripe_of(hash);
        match &mut self.guards {
            Guards::One(held, stripe) if *held == wanted => stripe,
            Guards::Group(group) => match group.get_mut(wanted) {
                Some(stripe) => stripe,
                None => panic!("stripe {wanted} is not held"),
            },
            Guards::Many(stripes) => match stripes.binary_search_by_key(&wanted, |held| held.0) {
                Ok(at) => &mut stripes[at].1,
                Err(_) => panic!("stripe {wanted} is not held"),
            },
            _ => panic!("stripe {wanted} is not held"),
        }
    }

    /// Lets the reaper know that something of this stripe expires at `deadline_ms`.
    #[inline]
    fn note_deadline(&self, hash: u64, deadline_ms: u64) {
        let hint = &self.store.stripes[stripe_of(hash)].min_deadline_ms;
        if deadline_ms < hint.load(Relaxed) {
            hint.store(deadline_ms, Relaxed);
        }
    }
}

impl Names for Held<'_> {
    #[inline]
    fn get(&self, db: usize, name: Name<'_>) -> Option<&NameEntry> {
        self.stripe(name.hash).dbs[db].names.get(name.hash, name.bytes).map(|entry| &**entry)
    }

    #[inline]
    fn overwrite(
        &mut self,
        db: usize,
        name: Name<'_>,
        change: &mut dyn FnMut(&mut NameEntry) -> bool,
    ) -> bool {
        let names = &mut self.stripe_mut(name.hash).dbs[db].names;
        names.get_mut(name.hash, name.bytes).is_some_and(|entry| change(entry))
    }

    #[inline]
    fn update(
        &mut self,
        db: usize,
        name: Name<'_>,
        change: &mut dyn FnMut(&mut NameEntry),
    ) -> bool {
        let db = &mut self.stripe_mut(name.hash).dbs[db];
        let found = db.update(name, change);
        let deadline_ms = db.names.min_deadline_ms();
        self.note_deadline(name.hash, deadline_ms);
        found
    }

    fn insert(&mut self, db: usize, name: Name<'_>, entry: Box<NameEntry>) {
        let deadline_ms = Entry::deadline_ms(&entry);
        let hasher = self.store.hasher;
        self.stripe_mut(name.hash).dbs[db].insert(name, entry, hasher);
        self.note_deadline(name.hash, deadline_ms);
    }

    fn remove(&mut self, db: usize, name: Name<'_>) -> Option<Box<NameEntry>> {
        self.stripe_mut(name.hash).dbs[db].remove(name)
    }

    fn scan<'n>(&'n self, db: usize, from: u64, visit: &mut Visit<'_, 'n>) {
        let first = stripe_of(from);
        for (number, stripe) in self.numbered_stripes().filter(|(number, _)| *number >= first) {
            let from = if number == first { from } else { 0 };
            let table = &stripe.dbs[db].names;
            if table.scan(from, self.store.hasher, |hash, entry| visit(hash, entry)).is_break() {
                return;
            }
        }
    }

    fn visible(&self, db: usize) -> usize {
        self.stripes().map(|stripe| stripe.dbs[db].counts.names).sum()
    }

    fn entries(&self, db: usize) -> usize {
        self.stripes().map(|stripe| stripe.dbs[db].names.len()).sum()
    }

    fn nth(&self, db: usize, mut rank: usize) -> Option<&NameEntry> {
        for stripe in self.stripes() {
            let names = &stripe.dbs[db].names;
            if rank < names.len() {
                return names.nth(rank).map(|entry| &**entry);
            }
            rank -= names.len();
        }
        None
    }

    fn flush(&mut self, db: usize) {
        let store = self.store;
        let mut names = 0;
        self.each(|stripe| {
            stripe.watchers.touch_those(db, |name, since_ms| stripe.dbs[db].shows(name, since_ms));
            let old = std::mem::replace(&mut stripe.dbs[db], Db::new());
            names += old.counts.names as u64;
            store.discard(Garbage::Names(old.names));
        });
        if !self.is_in_transaction {
            store.lazyfreed.fetch_add(names, Relaxed);
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.each(|stripe| {
            for (from, to) in [(a, b), (b, a)] {
                stripe.watchers.touch_those(from, |name, since_ms| {
                    stripe.dbs[from].shows(name, since_ms)
                        || stripe.dbs[to].shows(name, stripe.now_ms)
                });
            }
            stripe.dbs.swap(a, b);
        });
    }

    #[inline]
    fn touched(&mut self, db: usize, name: Name<'_>, expired_ms: u64) {
        self.stripe(name.hash).watchers.touch(db, name, expired_ms);
    }

    fn discard(&mut self, entry: Box<NameEntry>) {
        self.store.discard(Garbage::Name(entry));
    }
}
