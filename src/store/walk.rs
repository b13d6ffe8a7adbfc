//! A walk over the pairs of a namespace as they lie there: slices like those of a scan, for less.
//!
//! A scan gives every pair with its hash, in the order of the hashes, and can stop behind any of them.
//! A walk knows neither: slots are sorted by a part of the hash, and it stops where that part changes.
//! So no key is hashed but those that share it with the place where the walk went on, and the pairs of
//! the next slots are on their way to the cache meanwhile.

use std::ops::ControlFlow;

use super::CURSOR_BITS;
use super::heap::Heap;
use super::namespace::{Pair, Pairs, from_cursor};
use super::packed::PairRef;
use super::pairs::PairsRef;
use super::segment::Segment;
use super::table::{Rehash, Table};

/// How many slots ahead entries are fetched.
const SLOTS_AHEAD: usize = 12;

/// Decides where a walk stops.
#[derive(Debug)]
pub(super) struct Stroll {
    left: usize,
    /// Once there were enough: where the entries begin that come together with the last.
    enough: Option<u64>,
    /// The hash to go on with; `None` at the end.
    pub(super) next: Option<u64>,
}

impl Pairs<'_> {
    /// Shows pairs from a cursor on (0: the first), in no order, until about `count` were looked at or
    /// `visit` has enough. Returns the cursor to go on with, 0 at the end. Pairs that stay are shown
    /// exactly once, whatever else comes and goes between calls.
    pub fn walk(&self, cursor: u64, count: usize, mut visit: impl FnMut(Pair<'_>) -> bool) -> u64 {
        let pairs = *self;
        let (hasher, from) = (self.hasher.hasher, from_cursor(cursor));
        let mut stroll = Stroll::new(count);
        let mut show = |pair: PairRef<'_>| pairs.alive(pair).is_none_or(&mut visit);
        // Where it ended is in the stroll.
        let _ = match self.pairs {
            PairsRef::Few(_) => return self.scan_while(cursor, count, visit),
            PairsRef::Many(table) => table.walk(from, hasher, &mut stroll, &mut show),
        };
        stroll.next.map_or(0, |hash| hash >> (64 - CURSOR_BITS))
    }
}

impl Stroll {
    pub(super) fn new(count: usize) -> Stroll {
        Stroll { left: count.max(1), enough: None, next: None }
    }

    /// Before the entries whose hashes begin at `hash`; not called unless there were enough.
    fn stops_before(&mut self, hash: u64) -> bool {
        // Where a cursor can not lead, it goes on.
        let is_place = self.enough != Some(hash) && hash << CURSOR_BITS == 0;
        if is_place {
            self.next = Some(hash);
        }
        is_place
    }
}

impl<H: Heap> Table<H> {
    /// Shows entries whose hash is at least `from`.
    pub(super) fn walk<'t>(
        &'t self,
        from: u64,
        rehash: impl Rehash,
        stroll: &mut Stroll,
        visit: &mut impl FnMut(H::Ref<'t>) -> bool,
    ) -> ControlFlow<()> {
        self.ordered_from(from).try_for_each(|segment| segment.walk(from, rehash, stroll, visit))
    }
}

impl<H: Heap> Segment<H> {
    fn walk<'s>(
        &'s self,
        from: u64,
        rehash: impl Rehash,
        stroll: &mut Stroll,
        visit: &mut impl FnMut(H::Ref<'s>) -> bool,
    ) -> ControlFlow<()> {
        let is_begun = from > self.prefix;
        let first = if is_begun { self.tag(from) } else { 0 };
        let slots = self.slots_from(first);
        for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| !slot.is_empty()) {
            if let Some(ahead) = slots.get(at + SLOTS_AHEAD).filter(|slot| !slot.is_empty()) {
                self.heap.prefetch(ahead.place());
            }
            let (tag, place) = (slot.tag(), slot.place());
            if stroll.enough.is_some() && stroll.stops_before(self.first_hash(tag)) {
                return ControlFlow::Break(());
            }
            // Among those with this tag, some may have been shown.
            let is_shown = is_begun
                && tag <= first
                && (tag < first || rehash.hash(self.heap.key(place)) < from);
            if is_shown {
                continue;
            }
            stroll.left = stroll.left.saturating_sub(1);
            if (!visit(self.heap.get(place)) || stroll.left == 0) && stroll.enough.is_none() {
                stroll.enough = Some(self.first_hash(tag));
            }
        }
        ControlFlow::Continue(())
    }
}
