//! The pairs of one namespace: few in the bytes of the name's entry, many in a table of their own.
//!
//! Few pairs stand one after the other in the order they came, without an index: to look at all of
//! them costs less than an index would. A namespace that outgrew that has a table for as long as it
//! has pairs. What a command or an effect is does not concern this file.

use super::hash::{Hasher, KeyHasher};
use super::heap::Heap as _;
use super::name::{Form, NameEntry, NewDeadline};
use super::packed::{Layout, NewPair, Packed, PairRef};
use super::segment::Slot;
use super::table::{NEVER, Table};
use crate::short::same;

/// More pairs than this, or bytes of pairs, have a table.
const FEW_PAIRS_MAX: usize = 64;
const FEW_BYTES_MAX: usize = 1024;

/// The pairs under a name, to read.
#[derive(Clone, Copy)]
pub(super) enum PairsRef<'e> {
    Few(Few<'e>),
    Many(&'e Table<Packed>),
}

/// Pairs without an index.
#[derive(Clone, Copy)]
pub(super) struct Few<'e> {
    pub bytes: &'e [u8],
    pub len: usize,
    /// If not, none of them has a deadline.
    pub may_expire: bool,
}

impl<'e> Few<'e> {
    /// Pairs in the order they came, each with where it begins.
    fn places(self) -> impl Iterator<Item = (usize, PairRef<'e>)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let bytes = self.bytes.get(at..).filter(|bytes| !bytes.is_empty())?;
            let layout = Layout::of(bytes);
            let place = at;
            at += layout.len();
            Some((place, layout.pair(bytes)))
        })
    }

    pub fn iter(self) -> impl Iterator<Item = PairRef<'e>> {
        self.places().map(|(_, pair)| pair)
    }

    #[inline]
    fn find(self, key: &[u8]) -> Option<(usize, PairRef<'e>)> {
        self.places().find(|(_, pair)| same(pair.key, key))
    }

    fn min_deadline_ms(self) -> u64 {
        if !self.may_expire {
            return NEVER;
        }
        self.iter().map(|pair| pair.deadline_ms).min().unwrap_or(NEVER)
    }
}

impl<'e> PairsRef<'e> {
    #[inline(always)]
    pub fn get(self, hasher: KeyHasher<'_>, key: &[u8]) -> Option<PairRef<'e>> {
        match self {
            PairsRef::Few(few) => few.find(key).map(|(_, pair)| pair),
            PairsRef::Many(table) => table.get(hasher.hash(key), key),
        }
    }

    #[inline]
    pub fn len(self) -> usize {
        match self {
            PairsRef::Few(few) => few.len,
            PairsRef::Many(table) => table.len(),
        }
    }

    /// Bytes of the pairs, and of the table if they have one.
    pub fn bytes(self) -> usize {
        match self {
            PairsRef::Few(few) => few.bytes.len(),
            PairsRef::Many(table) => table_bytes(table),
        }
    }

    /// Whether any of them may have a deadline.
    pub fn may_expire(self) -> bool {
        match self {
            PairsRef::Few(few) => few.may_expire,
            _ => self.min_deadline_ms() != NEVER,
        }
    }

    /// None of them expires before this unix time in ms.
    pub fn min_deadline_ms(self) -> u64 {
        match self {
            PairsRef::Few(few) => few.min_deadline_ms(),
            PairsRef::Many(table) => table.min_deadline_ms(),
        }
    }

    /// Few in the order they came, many in the order of their hashes.
    pub fn iter(self) -> impl Iterator<Item = PairRef<'e>> {
        let (few, many) = match self {
            PairsRef::Few(few) => (Some(few.iter()), None),
            PairsRef::Many(table) => (None, Some(table.iter())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }

    /// Shows them in the order of [`PairsRef::iter`]. `visit` is called in one place, and becomes a part
    /// of the loop.
    #[inline]
    pub fn each(self, mut visit: impl FnMut(PairRef<'e>)) {
        let (mut few, table) = match self {
            PairsRef::Few(few) => (few.bytes, None),
            PairsRef::Many(table) => (&[][..], Some(table)),
        };
        let mut segments = table.into_iter().flat_map(Table::ordered);
        let mut current: Option<(&Packed, std::slice::Iter<'_, Slot>)> = None;
        loop {
            let pair = if let Some((heap, slots)) = &mut current
                && let Some(slot) = slots.find(|slot| !slot.is_empty())
            {
                heap.get(slot.place())
            } else if let Some(segment) = segments.next() {
                current = Some((&segment.heap, segment.slots.iter()));
                continue;
            } else if !few.is_empty() {
                let layout = Layout::of(few);
                let pair = layout.pair(few);
                few = &few[layout.len()..];
                pair
            } else {
                return;
            };
            visit(pair);
        }
    }

    pub fn nth(self, rank: usize) -> Option<PairRef<'e>> {
        match self {
            PairsRef::Few(few) => few.iter().nth(rank),
            PairsRef::Many(table) => table.nth(rank),
        }
    }
}

impl NameEntry {
    /// Puts a pair; `true` if there was none that is alive at `now_ms`. Returns its deadline too.
    /// The entry must be a namespace.
    pub(super) fn put_pair(
        &mut self,
        hasher: KeyHasher<'_>,
        key: &[u8],
        value: &[u8],
        deadline: NewDeadline,
        now_ms: u64,
    ) -> (bool, u64) {
        let change = |old_ms| {
            let created = old_ms <= now_ms;
            (created, deadline.of_pair(if created { NEVER } else { old_ms }))
        };
        let Some(table) = &mut self.many else {
            return self.put_few(hasher.hasher, key, value, change);
        };
        let hash = hasher.hash(key);
        table.set(hash, key, value, change, hasher.hasher).unwrap_or_else(|| {
            let (created, deadline_ms) = change(0);
            table.insert(hash, NewPair { key, value, deadline_ms }, hasher.hasher);
            (created, deadline_ms)
        })
    }

    /// Overwrites a pair of a namespace, alive at `now_ms`, where it lies: if that needs no other room
    /// and brings nothing forward. Returns its deadline; `None` if nothing was changed.
    #[inline]
    pub(super) fn overwrite_pair(
        &mut self,
        hasher: &KeyHasher<'_>,
        key: &[u8],
        value: &[u8],
        deadline: NewDeadline,
        now_ms: u64,
    ) -> Option<u64> {
        let change = |old_ms| deadline.in_place(old_ms, now_ms);
        if !self.is_namespace() {
            return None;
        }
        if let Some(table) = &mut self.many {
            return table.overwrite(hasher.hash(key), key, |pairs, place, old_ms| {
                let deadline_ms = change(old_ms)?;
                pairs.set_in_place(place, value, deadline_ms).then_some(deadline_ms)
            });
        }
        let (at, pair) = self.few().find(key)?;
        let deadline_ms = change(pair.deadline_ms)?;
        let bytes = &mut self.value_mut()[at..];
        Layout::of(bytes).set(value, deadline_ms, bytes).then_some(deadline_ms)
    }

    /// Makes an empty namespace ready for `len` pairs in the order of their hashes.
    pub(super) fn prepare_pairs(&mut self, len: usize) {
        if len > FEW_PAIRS_MAX {
            self.many = Some(Box::new(Table::prepared(0, len)));
        }
    }

    /// A table that has no pairs goes.
    pub(super) fn end_of_pairs(&mut self) {
        self.many.take_if(|table| table.is_empty());
    }

    /// Takes a pair out; returns its deadline.
    pub(super) fn remove_pair(&mut self, hasher: KeyHasher<'_>, key: &[u8]) -> Option<u64> {
        if let Some(table) = &mut self.many {
            let deadline_ms = table.remove(hasher.hash(key), key)?;
            self.end_of_pairs();
            return Some(deadline_ms);
        }
        let (at, pair) = self.few().find(key)?;
        let deadline_ms = pair.deadline_ms;
        self.splice(at, true, None);
        if deadline_ms != NEVER {
            self.look_for_deadlines();
        }
        Some(deadline_ms)
    }

    /// Gives a pair that is alive at `now_ms` another deadline. `false` if there is none.
    pub(super) fn set_pair_deadline(
        &mut self,
        hasher: KeyHasher<'_>,
        key: &[u8],
        deadline_ms: u64,
        now_ms: u64,
    ) -> bool {
        let is_alive = |old_ms| old_ms > now_ms;
        if let Some(table) = &mut self.many {
            let hash = hasher.hash(key);
            return table.set_deadline(hash, key, deadline_ms, is_alive, hasher.hasher);
        }
        let Some((_, pair)) = self.few().find(key) else { return false };
        if !is_alive(pair.deadline_ms) {
            return false;
        }
        // A deadline more or less moves the value: it is carried over.
        let value = pair.value.to_vec();
        self.put_few(hasher.hasher, key, &value, |_| (false, deadline_ms));
        true
    }

    /// Takes out what is due at `now_ms` and shows each with the name; returns the latest deadline of
    /// those. `budget`, in pairs looked at, bounds the work.
    pub(super) fn sweep_pairs(
        &mut self,
        now_ms: u64,
        budget: &mut isize,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> u64 {
        let mut expired_ms = 0;
        if self.many.is_none() {
            *budget -= self.few().len as isize;
            let (name, few) = (self.name(), self.few());
            let (due, left): (Vec<_>, Vec<_>) =
                few.iter().partition(|pair| pair.deadline_ms <= now_ms);
            for pair in &due {
                visit(name, pair.key);
                expired_ms = expired_ms.max(pair.deadline_ms);
            }
            if !due.is_empty() {
                let mut entry = NameEntry::new(name, 0);
                left.iter().for_each(|pair| entry.add_few(pair));
                self.take_few(entry);
            }
            return expired_ms;
        }
        let (name, many) = self.name_and_many();
        if let Some(table) = many {
            let mut note = |pairs: &mut Packed, place, _: &mut isize| {
                visit(name, pairs.key(place));
                true
            };
            table.sweep(now_ms, budget, &mut note, &mut |deadline_ms| {
                expired_ms = expired_ms.max(deadline_ms);
            });
        }
        self.end_of_pairs();
        expired_ms
    }

    /// Frees up to one segment of many pairs; `false` when none is left.
    pub(super) fn free_part(&mut self) -> bool {
        self.many.as_mut().is_some_and(|table| table.pop_segment().is_some())
    }

    fn put_few(
        &mut self,
        hasher: Hasher,
        key: &[u8],
        value: &[u8],
        change: impl FnOnce(u64) -> (bool, u64),
    ) -> (bool, u64) {
        let found = self.few().find(key).map(|(at, pair)| (at, pair.deadline_ms));
        let (created, deadline_ms) = change(found.map_or(0, |(_, old_ms)| old_ms));
        self.may_expire |= deadline_ms != NEVER;
        let loses_deadline =
            deadline_ms == NEVER && found.is_some_and(|(_, old_ms)| old_ms != NEVER);
        if let Some((at, _)) = found {
            let bytes = &mut self.value_mut()[at..];
            if Layout::of(bytes).set(value, deadline_ms, bytes) {
                if loses_deadline {
                    self.look_for_deadlines();
                }
                return (created, deadline_ms);
            }
        }
        let new = NewPair { key, value, deadline_ms };
        let at = found.map_or(self.few().bytes.len(), |(at, _)| at);
        let len = Layout::for_new(&new).1.len();
        let is_few =
            self.few().len < FEW_PAIRS_MAX && self.few().bytes.len() + len <= FEW_BYTES_MAX;
        if is_few {
            self.splice(at, found.is_some(), Some(&new));
            if loses_deadline {
                self.look_for_deadlines();
            }
        } else {
            if found.is_some() {
                self.splice(at, true, None);
            }
            self.make_many(hasher).insert(hasher.hash(key), new, hasher);
        }
        (created, deadline_ms)
    }

    /// Moves few pairs to a table.
    fn make_many(&mut self, hasher: Hasher) -> &mut Table<Packed> {
        let mut table = Table::new(0);
        for PairRef { key, value, deadline_ms, .. } in self.few().iter() {
            table.insert(hasher.hash(key), NewPair { key, value, deadline_ms }, hasher);
        }
        self.set_value(Form::Namespace, &[]);
        self.few_len = 0;
        self.may_expire = false;
        self.many.insert(Box::new(table))
    }

    fn add_few(&mut self, pair: &PairRef<'_>) {
        let PairRef { key, value, deadline_ms, .. } = *pair;
        self.may_expire |= deadline_ms != NEVER;
        self.splice(self.few().bytes.len(), false, Some(&NewPair { key, value, deadline_ms }));
    }

    fn take_few(&mut self, other: NameEntry) {
        self.set_value(Form::Namespace, other.few().bytes);
        self.few_len = other.few_len;
        self.may_expire = other.may_expire;
    }

    /// Replaces the pair at `at`, if it `is_there`, by `new`.
    fn splice(&mut self, at: usize, is_there: bool, new: Option<&NewPair<'_>>) {
        let old_len = if is_there { Layout::of(&self.few().bytes[at..]).len() } else { 0 };
        let new = new.map(|pair| (pair, Layout::for_new(pair)));
        let new_len = new.as_ref().map_or(0, |(_, (_, layout))| layout.len());
        let bytes = self.replace_in_value(at, old_len, new_len);
        if let Some((pair, (head, layout))) = &new {
            layout.write(*head, pair, bytes);
        }
        self.few_len = self.few_len + u16::from(new.is_some()) - u16::from(is_there);
        self.may_expire &= self.few_len > 0;
    }

    /// A pair has lost its deadline, or is gone with it: there may be no other one.
    fn look_for_deadlines(&mut self) {
        let is_there = self.few().iter().any(|pair| pair.deadline_ms != NEVER);
        self.may_expire &= is_there;
    }
}

/// Bytes of a table that has an allocation of its own.
pub(super) fn table_bytes(table: &Table<Packed>) -> usize {
    super::allocated(size_of::<Table<Packed>>()) + table.bytes()
}
