//! Large namespaces, spread over several locks so that several threads can work on one of them.
//!
//! A namespace with more than [`Store::spread_above`] pairs lies in parts, by the leading bits of its
//! keys' hashes. Behind the stripes of names there is one stripe for each part; there the part is found
//! by the namespace's name, as an entry that has its pairs and a copy of its header. The entry in
//! the name's own stripe has only the header. So
//! - a command on a few pairs takes the stripes of their parts and nothing else: that it finds the
//!   parts there says that the namespace is, and is spread. It must not change the header, and must
//!   leave a pair in each part that has one, because only who holds all can tell which is the last;
//! - every other command takes the name's stripe and then those of all parts: it alone may change the
//!   header, end the namespace or carry it elsewhere, which costs the same for any size;
//! - locks, order, expiry and accounting are those of stripes.
//!
//! When few pairs are left, the next who holds all puts them together again.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::group::GROUP_MAX;
use super::guard::{Guard, Hold};
use super::held::{Guards, Held};
use super::name::{Name, NameEntry, NewDeadline};
use super::names::{Key, Names as _};
use super::packed::{Packed, PairRef};
use super::shelf::Parts;
use super::table::{NEVER, Table};
use super::watch::Watchers;
use super::{Garbage, KeyHasher, PART_BITS, PARTS, Padded, STRIPES, Store, Usage, stripe_of};

/// With fewer pairs than this, a namespace is put together again.
const TOGETHER_BELOW: usize = 1024;

/// Names that are remembered to be spread.
const HINTS: usize = 256;

/// The stripe of a key's part.
#[inline]
pub(super) fn part_of(hash: u64) -> usize {
    STRIPES + (hash >> (64 - PART_BITS)) as usize
}

/// The first hash that belongs to the part behind the one in this stripe.
pub(super) fn first_hash_after(stripe: usize) -> Option<u64> {
    let next = (stripe + 1).checked_sub(STRIPES).filter(|next| *next < PARTS)?;
    Some((next as u64) << (64 - PART_BITS))
}

/// Which names are spread, to be looked at without a lock. May be wrong either way.
#[derive(Debug)]
pub(super) struct Hints {
    spread: AtomicUsize,
    hashes: Box<[AtomicU64]>,
}

impl Default for Hints {
    fn default() -> Hints {
        Hints {
            spread: AtomicUsize::new(0),
            hashes: (0..HINTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Hints {
    #[inline]
    fn place(&self, hash: u64) -> &AtomicU64 {
        &self.hashes[hash as usize % HINTS]
    }

    fn add(&self, hash: u64) {
        self.spread.fetch_add(1, Relaxed);
        self.place(hash).store(hash, Relaxed);
    }

    pub(super) fn remove(&self, hash: u64) {
        self.spread.fetch_sub(1, Relaxed);
        if self.place(hash).load(Relaxed) == hash {
            self.place(hash).store(0, Relaxed);
        }
    }
}

/// What of one name a command needs, if that is spread.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// A bit for each part; none for the whole.
    parts: u64,
    /// How many pairs it names.
    pairs: usize,
    /// It may change them.
    may_change: bool,
    /// It makes the namespace one that is kept.
    keeps: bool,
}

impl Need {
    /// All of it.
    pub const WHOLE: Need = Need { parts: 0, pairs: 0, may_change: true, keeps: false };

    /// The same for one pair.
    #[inline]
    pub fn pair(hash: u64, may_change: bool, keeps: bool) -> Need {
        Need { parts: 1 << (part_of(hash) - STRIPES), pairs: 1, may_change, keeps }
    }

    /// The pairs whose keys have these hashes, to read or to change; `keeps` if the namespace will be
    /// one that is kept.
    pub fn pairs(hashes: impl Iterator<Item = u64>, may_change: bool, keeps: bool) -> Need {
        let none = Need { parts: 0, pairs: 0, may_change, keeps };
        hashes.fold(none, |need, hash| Need {
            parts: need.parts | 1 << (part_of(hash) - STRIPES),
            pairs: need.pairs + 1,
            ..need
        })
    }

    fn stripes(self) -> impl Iterator<Item = usize> {
        (0..PARTS).filter(move |part| self.parts >> part & 1 == 1).map(|part| STRIPES + part)
    }
}

impl Store {
    /// Whether the name may be spread. A hint: it may have been, or not be remembered.
    #[inline]
    pub fn may_be_spread(&self, name: Name<'_>) -> bool {
        self.spread.spread.load(Relaxed) > 0
            && self.spread.place(name.hash).load(Relaxed) == name.hash
    }

    /// The stripe that a command on one pair of a name needs, as far as that can be told without a
    /// lock.
    #[inline]
    pub fn stripe_for(&self, name: Option<Name<'_>>, key_hash: Option<u64>) -> usize {
        match (name, key_hash) {
            (Some(name), Some(hash)) if self.may_be_spread(name) => part_of(hash),
            (name, _) => name.map_or(0, |name| stripe_of(name.hash)),
        }
    }

    /// Brings what an entry that is spread remembers of its use up to date. Its stripe may be held, but
    /// none of parts.
    pub(super) fn gather_use(&self, db: usize, entry: &NameEntry, usage: Usage, now_ms: u64) {
        let name = self.name(entry.name());
        for stripe in &self.stripes[STRIPES..] {
            let stripe = stripe.stripe.read();
            let used = stripe.entry(db, name).map_or(0, NameEntry::used);
            entry.set_used(usage.more(entry.used(), used, now_ms));
        }
    }

    /// About how many pairs its parts have. Its stripe may be held, but none of parts.
    pub(super) fn len_of_parts(&self, db: usize, name: Name<'_>) -> usize {
        let len = |stripe: &Padded| {
            let stripe = stripe.stripe.read();
            stripe.entry(db, name).and_then(NameEntry::len_of_part).unwrap_or(0)
        };
        self.stripes[STRIPES..].iter().map(len).sum()
    }

    pub(super) fn watchers(&self, name: Name<'_>) -> &Watchers {
        &self.stripes[stripe_of(name.hash)].watchers
    }
}

impl<'s> Held<'s> {
    /// Whether a name whose stripe was turned to is spread, in any database, and what is held of it may not be enough.
    #[inline]
    pub fn is_spread(&self, name: Name<'_>) -> bool {
        let stripe = self.stripe(name.hash);
        stripe.spread.iter().any(|(_, hash)| *hash == name.hash)
    }

    /// Whether any name of the stripe that was turned to is spread.
    pub(super) fn has_spread(&self) -> bool {
        self.at < STRIPES && !self.stripe_at(self.at).spread.is_empty()
    }

    /// Takes the parts that are needed, and returns the time for what is held. `None` if they can not be
    /// had besides what is held, or do not do: then the whole is needed.
    pub fn lock_parts(
        &mut self,
        db: usize,
        name: Name<'_>,
        need: Need,
        clock_ms: u64,
    ) -> Option<u64> {
        let hold = if need.may_change { Hold::Alone } else { Hold::Shared };
        match need.parts.count_ones() {
            0 => return None,
            1 => {
                let stripe = STRIPES + need.parts.trailing_zeros() as usize;
                if !self.turn_to_stripe(stripe, hold) && !self.add_to_group(stripe, GROUP_MAX, hold)
                {
                    if self.holds_any() {
                        return None;
                    }
                    self.lock_number(stripe, hold);
                }
            }
            _ if self.holds_any() => return None,
            _ => {
                self.lock_stripes(need.stripes());
                self.at = STRIPES + need.parts.trailing_zeros() as usize;
            }
        }
        let now_ms = match self.guards {
            Guards::Group(_) => self.settle_here(clock_ms),
            _ => self.settle_now_ms(clock_ms),
        };
        let is_enough = need.stripes().all(|stripe| {
            self.part_at(stripe, db, name).is_some_and(|part| part.is_enough(need, now_ms))
        });
        is_enough.then_some(now_ms)
    }

    /// [`Held::lock_parts`] for one part that is held, if it is and does.
    #[inline]
    pub fn turn_to_part(
        &mut self,
        db: usize,
        name: Name<'_>,
        need: Need,
        clock_ms: u64,
    ) -> Option<u64> {
        let stripe = STRIPES + need.parts.trailing_zeros() as usize;
        let hold = if need.may_change { Hold::Alone } else { Hold::Shared };
        if !self.turn_to_stripe(stripe, hold) {
            return None;
        }
        let now_ms = self.settle_here(clock_ms);
        self.part_at(stripe, db, name)?.is_enough(need, now_ms).then_some(now_ms)
    }

    /// As [`Held::settle_now_ms`], for the stripe that was turned to.
    #[inline]
    fn settle_here(&mut self, clock_ms: u64) -> u64 {
        let stripe = self.stripe_at(self.at);
        stripe.set_now_ms(clock_ms);
        stripe.now_ms.load(Relaxed)
    }

    /// Takes a name with all it holds. Nothing may be held.
    pub fn lock_whole(&mut self, name: Name<'_>) {
        self.lock(name, Hold::Alone);
        if !self.is_spread(name) {
            return;
        }
        self.store.spread.place(name.hash).store(name.hash, Relaxed);
        self.add_parts();
    }

    /// Puts a name that is held whole together again, if little is left of it.
    pub fn tidy(&mut self, db: usize, name: Name<'_>) {
        if !self.get(db, name).is_some_and(NameEntry::is_spread) {
            return;
        }
        let len: usize = self.parts_of(db, name).filter_map(NameEntry::len_of_part).sum();
        if len < TOGETHER_BELOW.min(self.store.spread_above) {
            self.put_together(db, name);
        }
    }

    /// Takes all parts besides stripes of names. `false` if some are held already, so that to wait for
    /// the others could be for ever.
    pub(super) fn add_parts(&mut self) -> bool {
        let numbers = self.numbered_stripes().map(|(number, _)| number);
        match numbers.filter(|number| *number >= STRIPES).count() {
            0 => {}
            PARTS => return true,
            _ => return false,
        }
        let mut guards = match std::mem::replace(&mut self.guards, Guards::None) {
            Guards::None => Vec::new(),
            Guards::One(number, guard) => vec![(number, guard)],
            Guards::Group(group) => group.into_sorted(),
            Guards::Many(guards) => guards,
        };
        let stripes = &self.store.stripes;
        let take = |part: usize| (part, Guard::take(&stripes[part].stripe, Hold::Alone));
        guards.extend((STRIPES..STRIPES + PARTS).map(take));
        self.guards = Guards::Many(guards);
        let mut now_ms = 0;
        self.each_shown(|stripe| now_ms = now_ms.max(stripe.now_ms.load(Relaxed)));
        self.each_shown(|stripe| stripe.set_now_ms(now_ms));
        true
    }

    #[inline]
    pub(super) fn part_at(&self, stripe: usize, db: usize, name: Name<'_>) -> Option<&NameEntry> {
        self.stripe_at(stripe).entry(db, name)
    }

    /// The parts of a name that are held, in the order of their keys' hashes.
    pub(super) fn parts_of(&self, db: usize, name: Name<'_>) -> impl Iterator<Item = &NameEntry> {
        let stripes = self.numbered_stripes().filter(|(number, _)| *number >= STRIPES);
        stripes.filter_map(move |(_, stripe)| stripe.entry(db, name))
    }

    pub(super) fn parts<'e>(&'e self, db: usize, entry: &'e NameEntry) -> Parts<'e> {
        Parts { held: self, db, name: self.store.name(entry.name()) }
    }

    /// How many namespaces of a database that are spread have pairs that may expire.
    pub(super) fn spread_with_deadlines(&self, db: usize) -> usize {
        let stripes = self.numbered_stripes().filter(|(number, _)| *number >= STRIPES);
        let parts = stripes.flat_map(|(_, stripe)| stripe.parts.of_db(db));
        let expiring = parts.filter(|part| part.pairs().is_ok_and(super::PairsRef::may_expire));
        expiring.map(|part| part.name()).collect::<std::collections::HashSet<_>>().len()
    }

    /// Keys of pairs that have expired and were left because each is the last of its part; all parts
    /// must be held.
    pub(super) fn last_expired(&self, db: usize, name: Name<'_>, now_ms: u64) -> Vec<Box<[u8]>> {
        let tables = self.parts_of(db, name).filter_map(|part| part.many.as_deref());
        let lone = tables.filter(|table| table.len() == 1).filter_map(|table| table.nth(0));
        lone.filter(|pair| pair.deadline_ms <= now_ms).map(|pair| pair.key.into()).collect()
    }

    /// Spreads a namespace that has become large. Not now, if other parts than all are held.
    #[cold]
    pub(super) fn spread(&mut self, db: usize, name: Name<'_>) {
        if !self.add_parts() {
            return;
        }
        self.level_lsn();
        let (number, hasher) = (stripe_of(name.hash), self.store.hasher);
        let mut pairs = None;
        let db_at = &mut self.stripe_at_mut(number).dbs[db];
        db_at.update(name, &mut |entry| {
            entry.make_table(hasher);
            pairs = entry.set_spread(true);
        });
        if let Some(pairs) = pairs {
            let parts = super::slice::measured(|| pairs.divide(PART_BITS, hasher));
            self.put_parts(db, name, parts);
        }
    }

    /// Puts the parts of a namespace in their places; its header is in place.
    pub(super) fn put_parts(&mut self, db: usize, name: Name<'_>, parts: Vec<Table<Packed>>) {
        let has_all = self.add_parts();
        debug_assert!(has_all, "parts come from where all were held");
        let (store, number) = (self.store, stripe_of(name.hash));
        self.stripe_at_mut(number).spread.push((db, name.hash));
        store.spread.add(name.hash);
        for (index, pairs) in parts.into_iter().enumerate() {
            let Some(part) = self.part_header(db, name, pairs) else { return };
            let stripe = STRIPES + index;
            self.note_deadline(stripe, part.min_pair_deadline_ms());
            self.stripe_at_mut(stripe).parts.put(db, name, part);
        }
    }

    fn part_header(&self, db: usize, name: Name<'_>, pairs: Table<Packed>) -> Option<NameEntry> {
        let header = self.stripe_at(stripe_of(name.hash)).entry(db, name);
        header.map(|entry| entry.part(pairs))
    }

    /// Takes the parts of a namespace out of their places; all must be held.
    pub(super) fn take_parts(&mut self, db: usize, name: Name<'_>) -> Vec<Table<Packed>> {
        let number = stripe_of(name.hash);
        let spread = &mut self.stripe_at_mut(number).spread;
        if let Some(at) = spread.iter().position(|it| *it == (db, name.hash)) {
            spread.swap_remove(at);
            self.store.spread.remove(name.hash);
        }
        let take = |part| self.stripe_at_mut(part).parts.take(db, name)?.many;
        let parts = (STRIPES..STRIPES + PARTS).filter_map(take);
        parts.map(|pairs| *pairs).collect()
    }

    #[inline]
    pub(super) fn update_part(
        &mut self,
        stripe: usize,
        db: usize,
        name: Name<'_>,
        change: &mut dyn FnMut(&mut NameEntry),
    ) -> bool {
        let Some(part) = self.stripe_at_mut(stripe).parts.get_mut(db, name) else { return false };
        change(part);
        let deadline_ms = part.min_pair_deadline_ms();
        self.note_deadline(stripe, deadline_ms);
        true
    }

    /// [`super::names::Names::overwrite`] for the part that was turned to, if it is the only one.
    pub(super) fn overwrite_part(
        &mut self,
        db: usize,
        name: Name<'_>,
        change: &mut dyn FnMut(&mut NameEntry) -> bool,
    ) -> bool {
        let is_one = !matches!(self.guards, Guards::Many(_));
        is_one && self.stripe_at_mut(self.at).parts.get_mut(db, name).is_some_and(change)
    }

    /// What [`super::names::Names::update`] does to a namespace that is spread. `before` is what its
    /// parts had copies of when its header was changed, if that was.
    #[cold]
    pub(super) fn update_spread(
        &mut self,
        db: usize,
        name: Name<'_>,
        before: (u64, bool, u32),
        pair: Option<Key<'_>>,
        change: &mut dyn FnMut(&mut NameEntry),
    ) -> bool {
        if let Some((hasher, key)) = pair {
            return self.update_part(part_of(hasher.hash(key)), db, name, change);
        }
        let Some(entry) = self.get(db, name) else { return true };
        let after = entry.shared();
        if !entry.is_spread() {
            let parts = self.take_parts(db, name);
            self.store.discard(Garbage::Parts(parts));
        } else if before != after {
            for part in STRIPES..STRIPES + PARTS {
                self.update_part(part, db, name, &mut |part| {
                    (part.deadline_ms, part.kept) = (after.0, after.1);
                    if before.2 != after.2 {
                        part.set_used(after.2);
                    }
                });
            }
        }
        true
    }

    /// After a pair was taken out that was the last one where it lay: if there is none at all, its name
    /// is an ordinary empty one again, and that is `true`.
    pub(super) fn close_spread(&mut self, db: usize, name: Name<'_>) -> bool {
        if self.at >= STRIPES {
            return false;
        }
        let Some(entry) = self.get(db, name) else { return true };
        if !entry.is_spread() {
            return true;
        }
        if self.parts(db, entry).tables().any(|table| !table.is_empty()) {
            return false;
        }
        self.put_together(db, name);
        true
    }

    /// What moves from stripe to stripe must not seem older than it is.
    fn level_lsn(&mut self) {
        let mut lsn = 0;
        self.each_numbered(|_, stripe| lsn = lsn.max(stripe.lsn));
        self.each_numbered(|_, stripe| stripe.lsn = lsn);
    }

    fn put_together(&mut self, db: usize, name: Name<'_>) {
        self.level_lsn();
        let number = stripe_of(name.hash);
        let parts = self.take_parts(db, name);
        let hasher = KeyHasher { hasher: self.store.hasher, known: None };
        let db_at = &mut self.stripe_at_mut(number).dbs[db];
        db_at.update(name, &mut |entry| {
            entry.set_spread(false);
            for PairRef { key, value, deadline_ms, .. } in parts.iter().flat_map(Table::iter) {
                let deadline = match deadline_ms {
                    NEVER => NewDeadline::Clear,
                    at => NewDeadline::At(at),
                };
                entry.put_pair(hasher, key, value, deadline, 0);
            }
        });
        let deadline_ms = db_at.names.min_deadline_ms();
        self.note_deadline(number, deadline_ms);
    }
}

impl NameEntry {
    #[inline]
    pub(super) fn min_pair_deadline_ms(&self) -> u64 {
        self.many.as_ref().map_or(NEVER, |pairs| pairs.min_deadline_ms())
    }

    fn len_of_part(&self) -> Option<usize> {
        self.many.as_ref().map(|pairs| pairs.len())
    }

    /// Whether a command that needs a part can do with it, or needs the whole.
    fn is_enough(&self, need: Need, now_ms: u64) -> bool {
        let len = self.len_of_part().unwrap_or(0);
        let leaves_some = len == 0 || len > need.pairs;
        // Who only reads frees what he meets that has expired.
        let may_free = need.may_change || self.min_pair_deadline_ms() <= now_ms;
        let is_kept = self.is_kept() || !need.keeps;
        (leaves_some || !may_free) && (is_kept || !need.may_change) && !self.is_expired(now_ms)
    }
}
