//! The stripes a thread holds. What is seen through them is in [`super::live`].
//!
//! Stripes are taken in ascending order, or without waiting, so threads can not wait for each other in
//! a circle. When they are let go, the effects that happened under them get their LSN first: the
//! journal's order is the order clients saw. A `Held` is never kept across an await.

use std::sync::atomic::Ordering::Relaxed;

use super::claims::{Claimed, Tag};
use super::group::{GROUP_MAX, Group};
use super::guard::{Guard, Hold};
use super::name::{Name, NameEntry};
use super::names::Names as _;
use super::view::Known;
use super::watch::Watched;
use super::{DATABASES, DbStats, STRIPES, Stats, Store, Stripe, stripe_of};
use crate::journal::effect::{Decoder, Effects};
use crate::journal::{Lsn, Seen};
use crate::sabotage::{self, Bug};

/// Locked stripes of a store.
pub struct Held<'s> {
    pub(super) store: &'s Store,
    pub(super) guards: Guards<'s>,
    thread: usize,
    /// What a transaction flushes is not counted among what is freed in the background, as in Redis.
    pub is_in_transaction: bool,
}

#[allow(
    clippy::large_enum_variant,
    reason = "a box for the group would be an allocation for every batch"
)]
pub(super) enum Guards<'s> {
    None,
    One(usize, Guard<'s>),
    /// One stripe, shared with others who overwrite pairs.
    Claimed(usize, Claimed<'s>),
    /// The stripes of a few requests, in the order of those.
    Group(Group<'s>),
    /// Ascending by stripe number.
    Many(Vec<(usize, Guard<'s>)>),
}

impl<'s> Held<'s> {
    /// Holds nothing yet. Will have no claims.
    pub fn new(store: &'s Store) -> Self {
        Held::by(usize::MAX, store)
    }

    /// The same for the thread with this number, which may have claims.
    pub fn by(thread: usize, store: &'s Store) -> Self {
        Held { store, guards: Guards::None, thread, is_in_transaction: false }
    }

    /// Whether the stripe of `name` is held in this way, by itself or for a group of requests. What is
    /// asked for next will be that name.
    #[inline]
    pub fn turn_to(&mut self, name: Name<'_>, hold: Hold) -> bool {
        self.turn_to_stripe(stripe_of(name.hash), hold)
    }

    #[inline]
    pub(super) fn turn_to_stripe(&mut self, wanted: usize, hold: Hold) -> bool {
        match &mut self.guards {
            Guards::One(held, guard) => *held == wanted && guard.allows(hold),
            Guards::Claimed(held, _) => *held == wanted && hold == Hold::Pairs,
            Guards::Group(group) => group.turn_to(wanted, hold),
            Guards::None | Guards::Many(_) => false,
        }
    }

    /// Takes the stripe of one name. Nothing may be held.
    #[inline]
    pub fn lock(&mut self, name: Name<'_>, hold: Hold) {
        self.lock_number(stripe_of(name.hash), hold);
    }

    /// Takes a stripe to put these pairs, together with others who put other pairs if that is possible.
    /// Nothing may be held.
    #[inline]
    pub fn lock_pairs<'k>(&mut self, stripe: usize, pairs: impl Iterator<Item = Known<'k>>) {
        debug_assert!(matches!(self.guards, Guards::None));
        let store = self.store;
        let tags = pairs.filter_map(|pair| Some(Tag::new(pair.name?.hash, pair.key?.1)));
        self.guards = match store.stripes[stripe].lock.take_pairs(&store.claims, self.thread, tags)
        {
            Ok(claimed) => Guards::Claimed(stripe, claimed),
            Err(guard) => Guards::One(stripe, guard),
        };
    }

    /// Takes the stripe of one name alone, because claims on pairs of it were not enough. Nothing may be held.
    #[cold]
    pub fn lock_whole(&mut self, name: Name<'_>) {
        self.lock(name, Hold::Alone);
        self.store.stripes[stripe_of(name.hash)].lock.cool();
    }

    /// Takes as many of the stripes as can be had without waiting for any but the first, and without
    /// holding more than `stripes_max`. Returns how many of those that were asked for that are.
    /// Nothing may be held.
    #[inline]
    pub fn lock_group(
        &mut self,
        mut stripes: impl Iterator<Item = usize>,
        stripes_max: usize,
        hold: Hold,
    ) -> usize {
        let Some(first) = stripes.next() else { return 0 };
        self.lock_number(first, hold);
        let mut locked = 1;
        for stripe in stripes {
            if !self.turn_to_stripe(stripe, hold) && !self.add_to_group(stripe, stripes_max, hold) {
                break;
            }
            locked += 1;
        }
        locked
    }

    /// Takes one more stripe and turns to it, if that needs no waiting: who waits while holding a
    /// higher stripe could wait for ever.
    fn add_to_group(&mut self, stripe: usize, stripes_max: usize, hold: Hold) -> bool {
        if let Guards::One(..) = self.guards
            && stripes_max > 1
            && let Guards::One(number, first) = std::mem::replace(&mut self.guards, Guards::None)
        {
            self.guards = Guards::Group(Group::new(number, first));
        }
        let Guards::Group(group) = &mut self.guards else { return false };
        if group.len() == stripes_max.min(GROUP_MAX) || group.has(stripe) {
            return false;
        }
        let guard = self.store.stripes[stripe].lock.try_take(hold);
        guard.is_some_and(|guard| group.push(stripe, guard))
    }

    /// Takes several names. Nothing may be held.
    pub fn lock_names<'n>(&mut self, names: impl Iterator<Item = Name<'n>>) {
        let mut stripes: Vec<usize> = names.map(|name| stripe_of(name.hash)).collect();
        stripes.sort_unstable();
        stripes.dedup();
        self.lock_stripes(stripes.into_iter());
    }

    /// Takes all stripes. Nothing may be held.
    pub fn lock_all(&mut self) {
        self.lock_stripes(0..STRIPES);
    }

    /// Whether `name` is held.
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
        for (_, stripe) in self.numbered_stripes() {
            for (db, sum) in stripe.dbs.iter().zip(&mut stats.dbs) {
                sum.add(db.counts);
            }
            stats.bytes += stripe.bytes();
        }
        stats.bytes += super::evict::EMPTY_BYTES;
        stats.expired_names = store.expired_names.load(Relaxed);
        stats.expired_pairs = store.expired_pairs.load(Relaxed);
        stats.lazyfree_pending = store.garbage.lock().len();
        stats.lazyfreed = store.lazyfreed.load(Relaxed);
        stats
    }

    /// Pairs of all namespaces in the held stripes, expired ones that were not reaped included.
    pub fn count_pairs(&self) -> usize {
        let mut sum = 0;
        for db in 0..DATABASES {
            self.each_entry(db, |entry| sum += entry.pairs().map_or(0, |pairs| pairs.len()));
        }
        sum
    }

    /// Whether something under the name expired after `since_ms` and was not reaped. The name must be
    /// held.
    pub fn has_expired(&self, db: usize, name: Name<'_>, since_ms: u64, now_ms: u64) -> bool {
        self.get(db, name).is_some_and(|entry| entry.has_expired(since_ms, now_ms))
    }

    /// Whether what was turned to may be changed.
    #[inline]
    pub fn is_alone(&self) -> bool {
        match &self.guards {
            Guards::None | Guards::Claimed(..) => false,
            Guards::One(_, stripe) => stripe.allows(Hold::Alone),
            Guards::Group(group) => group.is_alone(),
            Guards::Many(_) => true,
        }
    }

    /// Whether pairs are claimed and nothing else may be looked at.
    #[inline]
    pub fn is_claimed(&self) -> bool {
        matches!(self.guards, Guards::Claimed(..))
    }

    /// Whether any stripe is held.
    pub fn holds_any(&self) -> bool {
        !matches!(self.guards, Guards::None)
    }

    /// Shows every entry of a database in the held stripes.
    pub(super) fn each_entry(&self, db: usize, mut visit: impl FnMut(&NameEntry)) {
        for (_, stripe) in self.numbered_stripes() {
            stripe.dbs[db].names.iter().for_each(|entry| visit(entry));
        }
    }

    /// Takes one stripe by its number. Nothing may be held.
    #[inline]
    pub(super) fn lock_number(&mut self, stripe: usize, hold: Hold) {
        debug_assert!(matches!(self.guards, Guards::None));
        let guard = self.store.stripes[stripe].lock.take(hold);
        self.guards = Guards::One(stripe, guard);
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
            let clients = effects.clients.max(1);
            touched = match is_heard {
                true => self.store.events.record(effects, |effects| self.append(effects, clients)),
                false => self.append(effects.as_bytes(), clients),
            };
            wrote = touched;
            effects.clear();
            self.store.slices.hear();
            let memory = &self.store.memory;
            let is_limited = memory.is_limited();
            self.each(|stripe| {
                *stripe.lsn.get_mut() = touched;
                if is_limited {
                    memory.account(stripe);
                }
            });
            if let Guards::Claimed(_, claimed) = &self.guards {
                claimed.set_lsn(touched);
            }
        } else if !sabotage::is(Bug::ReadPassesGate) {
            self.each_shown(|stripe| touched = touched.max(stripe.lsn()));
            if let Guards::Claimed(_, claimed) = &self.guards {
                touched = touched.max(claimed.lsn());
            }
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
    fn append(&self, effects: &[u8], clients: u32) -> Lsn {
        let journal = &self.store.journal;
        let lsn = match sabotage::is(Bug::TransactionSplit) {
            true => Decoder::each(effects).map(|one| journal.append(one, 1)).last().unwrap_or(0),
            false => journal.append(effects, clients),
        };
        self.store.capture.observe(effects, self.store.hasher);
        lsn
    }

    /// LSN of the last effect on anything in the stripe of `name`, which must be held.
    #[inline]
    pub fn lsn_of(&self, name: Name<'_>) -> Lsn {
        match &self.guards {
            _ if sabotage::is(Bug::ReadPassesGate) => 0,
            Guards::Claimed(_, claimed) => claimed.lsn(),
            _ => self.stripe(name.hash).lsn(),
        }
    }

    /// The time for what is held: the clock's, but never earlier than these stripes have seen.
    #[inline]
    pub fn settle_now_ms(&mut self, clock_ms: u64) -> u64 {
        if let Guards::Claimed(_, claimed) = &self.guards {
            return claimed.settle_now_ms(clock_ms);
        }
        let mut now_ms = clock_ms;
        self.each_shown(|stripe| now_ms = now_ms.max(stripe.now_ms.load(Relaxed)));
        self.each_shown(|stripe| stripe.set_now_ms(now_ms));
        now_ms
    }

    /// Marks `mark` when `name` changes from what it was at `since_ms`, which is now. The name's stripe
    /// must be held.
    pub fn watch(&mut self, db: usize, name: Name<'_>, since_ms: u64, mark: &Watched) {
        self.store.watchers(name).add(db, name, since_ms, mark);
    }

    /// Ends [`Held::watch`].
    pub fn unwatch(&mut self, name: Name<'_>, mark: &Watched) {
        self.store.watchers(name).remove(name, mark);
    }

    pub(super) fn lock_stripes(&mut self, stripes: impl Iterator<Item = usize>) {
        debug_assert!(matches!(self.guards, Guards::None));
        let lock = |stripe: usize| (stripe, self.store.stripes[stripe].lock.take(Hold::Alone));
        self.guards = Guards::Many(stripes.map(lock).collect());
    }

    /// Shows the held stripes, but none of which only pairs are claimed.
    #[inline]
    pub(super) fn each(&mut self, mut visit: impl FnMut(&mut Stripe)) {
        self.each_numbered(|_, stripe| visit(stripe));
    }

    #[inline]
    pub(super) fn each_numbered(&mut self, mut visit: impl FnMut(usize, &mut Stripe)) {
        match &mut self.guards {
            Guards::None | Guards::Claimed(..) => {}
            Guards::One(number, stripe) => visit(*number, stripe.alone()),
            Guards::Group(group) => group.each(visit),
            Guards::Many(stripes) => {
                stripes.iter_mut().for_each(|(number, stripe)| visit(*number, stripe.alone()));
            }
        }
    }

    #[inline]
    pub(super) fn each_shown(&self, mut visit: impl FnMut(&Stripe)) {
        match &self.guards {
            Guards::None | Guards::Claimed(..) => {}
            Guards::One(_, stripe) => visit(stripe),
            Guards::Group(group) => group.numbered_stripes().for_each(|(_, stripe)| visit(stripe)),
            Guards::Many(stripes) => stripes.iter().for_each(|(_, stripe)| visit(stripe)),
        }
    }

    /// The held stripes.
    pub(super) fn stripes(&self) -> impl Iterator<Item = &Stripe> {
        self.numbered_stripes().map(|(_, stripe)| stripe)
    }

    pub(super) fn numbered_stripes(&self) -> impl Iterator<Item = (usize, &Stripe)> {
        let (one, group, many) = match &self.guards {
            Guards::None | Guards::Claimed(..) => (None, None, &[][..]),
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
        self.stripe_at(stripe_of(hash))
    }

    #[inline]
    pub(super) fn stripe_at(&self, wanted: usize) -> &Stripe {
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
    pub(super) fn stripe_at_mut(&mut self, wanted: usize) -> &mut Stripe {
        match &mut self.guards {
            Guards::One(held, stripe) if *held == wanted => stripe.alone(),
            Guards::Group(group) => match group.get_mut(wanted) {
                Some(stripe) => stripe,
                None => panic!("stripe {wanted} is not held"),
            },
            Guards::Many(stripes) => match stripes.binary_search_by_key(&wanted, |held| held.0) {
                Ok(at) => stripes[at].1.alone(),
                Err(_) => panic!("stripe {wanted} is not held"),
            },
            _ => panic!("stripe {wanted} is not held"),
        }
    }

    /// Lets the reaper know that something of this stripe, which is held, expires at `deadline_ms`.
    #[inline]
    pub(super) fn note_deadline(&self, stripe: usize, deadline_ms: u64) {
        let hint = &self.store.stripes[stripe].min_deadline_ms;
        if deadline_ms < hint.load(Relaxed) {
            hint.store(deadline_ms, Relaxed);
        }
    }
}
