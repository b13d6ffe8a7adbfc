//! One namespace as a view shows it: its pairs at one moment. Nothing that has expired is shown.

use std::ops::ControlFlow;

use super::CURSOR_BITS;
use super::hash::KeyHasher;
use super::met::{Met, meet_pair};
use super::name::NameEntry;
use super::packed::PairRef;
use super::pairs::PairsRef;
use super::table::NEVER;
use crate::shared::{Shared, Value};

/// A pair that is alive.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'v> {
    /// Its key (Redis: field).
    pub key: &'v [u8],
    /// Its value.
    pub value: &'v [u8],
    /// When it expires, in unix ms.
    pub deadline_ms: Option<u64>,
    shared: Option<&'v Shared>,
}

impl<'v> Pair<'v> {
    /// Its value, to be sent.
    #[inline]
    pub fn sendable(&self) -> Value<'v> {
        Value { bytes: self.value, shared: self.shared }
    }
}

/// The pairs of one namespace.
#[derive(Clone, Copy)]
pub struct Pairs<'v> {
    pub(super) pairs: PairsRef<'v>,
    pub(super) hasher: KeyHasher<'v>,
    pub(super) now_ms: u64,
    pub(super) entry: &'v NameEntry,
    pub(super) met: &'v Met,
}

impl<'v> Pairs<'v> {
    /// The pair with this key.
    #[inline(always)]
    pub fn get(&self, key: &[u8]) -> Option<Pair<'v>> {
        let pair = self.pairs.get(self.hasher, key)?;
        if pair.deadline_ms <= self.now_ms {
            meet_pair(self.met, self.entry.name(), key);
            return None;
        }
        self.alive(pair)
    }

    /// Whether the pair with this key is there, but has expired.
    pub(super) fn has_expired(&self, key: &[u8]) -> bool {
        self.pairs.get(self.hasher, key).is_some_and(|pair| pair.deadline_ms <= self.now_ms)
    }

    /// Has all pairs freed that have expired.
    pub fn meet_expired(&self) {
        if self.pairs.min_deadline_ms() <= self.now_ms {
            let expired = self.pairs.iter().filter(|pair| pair.deadline_ms <= self.now_ms);
            expired.for_each(|pair| meet_pair(self.met, self.entry.name(), pair.key));
        }
    }

    /// Number of pairs, expired ones that were not reaped included.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.entry.kind().is_none()
    }

    /// Bytes of the pairs and their table.
    pub fn bytes(&self) -> usize {
        self.pairs.bytes()
    }

    /// Whether any pair may have a deadline.
    pub fn has_deadlines(&self) -> bool {
        self.pairs.may_expire()
    }

    /// The header of the name.
    pub fn header(&self) -> &'v NameEntry {
        self.entry
    }

    /// The live pairs: few in the order they came, many in hash order.
    pub fn iter(&self) -> impl Iterator<Item = Pair<'v>> {
        let pairs = *self;
        self.pairs.iter().filter_map(move |pair| pairs.alive(pair))
    }

    /// Shows what [`Pairs::iter`] gives, in less time.
    #[inline]
    pub fn each(&self, mut visit: impl FnMut(Pair<'v>)) {
        self.pairs.each(|pair| {
            if let Some(pair) = self.alive(pair) {
                visit(pair);
            }
        });
    }

    /// Number of live pairs. Walks them if any may have expired.
    pub fn count(&self) -> usize {
        if self.pairs.min_deadline_ms() > self.now_ms { self.len() } else { self.iter().count() }
    }

    /// Shows pairs as [`scan`](super::View::scan) shows names.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Pair<'v>)) -> u64 {
        self.scan_while(cursor, count, |pair| {
            visit(pair);
            true
        })
    }

    /// The same, until `visit` has enough; what must come in one call still does.
    pub fn scan_while(
        &self,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(Pair<'v>) -> bool,
    ) -> u64 {
        let pairs = *self;
        let (hasher, from) = (self.hasher.hasher, from_cursor(cursor));
        let mut walk = Walk::new(count);
        match self.pairs {
            // They come in one call, as Redis does it with a listpack.
            PairsRef::Few(few) => few
                .iter()
                .filter(|pair| from == 0 || hasher.hash(pair.key) >= from)
                .filter_map(|pair| pairs.alive(pair))
                .for_each(|pair| _ = visit(pair)),
            PairsRef::Many(table) => {
                // The walk keeps where it stopped; how the scan ended says no more.
                let _ = table.scan(from, hasher, |hash, pair| {
                    walk.step(hash)?;
                    if pairs.alive(pair).is_some_and(|pair| !visit(pair)) {
                        walk.left = 0;
                    }
                    ControlFlow::Continue(())
                });
            }
        }
        walk.next
    }

    /// The pair with `rank` pairs before it, counting as [`Pairs::len`] does; `None` if it expired.
    pub fn nth(&self, rank: usize) -> Option<Pair<'v>> {
        self.alive(self.pairs.nth(rank)?)
    }

    #[inline(always)]
    pub(super) fn alive(&self, pair: PairRef<'v>) -> Option<Pair<'v>> {
        let PairRef { key, value, deadline_ms, shared } = pair;
        let deadline = (deadline_ms != NEVER).then_some(deadline_ms);
        (deadline_ms > self.now_ms).then_some(Pair { key, value, deadline_ms: deadline, shared })
    }
}

/// Decides where a scan stops. A cursor is the leading bits of a hash; entries that share them come
/// in one call.
pub(super) struct Walk {
    left: usize,
    last: Option<u64>,
    /// Where to go on, 0 at the end.
    pub(super) next: u64,
}

impl Walk {
    pub(super) fn new(count: usize) -> Walk {
        Walk { left: count.max(1), last: None, next: 0 }
    }

    pub(super) fn step(&mut self, hash: u64) -> ControlFlow<()> {
        let position = hash >> (64 - CURSOR_BITS);
        if self.last != Some(position) && self.left == 0 {
            self.next = position;
            return ControlFlow::Break(());
        }
        self.last = Some(position);
        self.left = self.left.saturating_sub(1);
        ControlFlow::Continue(())
    }
}

/// The first hash that a cursor means.
pub(super) fn from_cursor(cursor: u64) -> u64 {
    cursor.checked_shl(64 - CURSOR_BITS).unwrap_or(0)
}
