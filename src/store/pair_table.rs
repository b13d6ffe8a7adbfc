//! A table of pairs: how one is overwritten where it lies, or replaced.
//!
//! The table itself, and what it does with any entries, is in [`super::table`].

use super::chunk::Overwritten;
use super::claims::Claim;
use super::heap::{Heap as _, Place};
use super::packed::{NewPair, Packed};
use super::segment::Segment;
use super::table::{Rehash, Table};

impl Table<Packed> {
    /// Overwrites a pair where it lies: `write` does it and returns the new deadline, which is not an
    /// earlier one, or `None` if nothing was changed; it is given the old one.
    #[inline]
    pub fn overwrite(
        &mut self,
        hash: u64,
        key: &[u8],
        write: impl FnOnce(&mut Packed, Place, u64) -> Option<u64>,
    ) -> Option<u64> {
        let index = self.segment_of(hash)?;
        let segment = &mut self.segments[index];
        let (at, pair) = segment.find_entry(hash, key)?;
        let deadline_ms = pair.deadline_ms;
        write(&mut segment.heap, segment.slots[at].place(), deadline_ms)
    }

    /// The same for a claimed pair, while others overwrite other pairs.
    #[inline]
    pub fn overwrite_claimed(&self, claim: &Claim<'_>) -> Option<u64> {
        let hash = claim.put().key_hash;
        let segment = self.segment(hash)?;
        let overwrite = |place| match segment.heap.overwrite(claim, place) {
            Overwritten::Another => None,
            done => Some(done),
        };
        match segment.find_by(hash, overwrite)?.1 {
            Overwritten::Done(deadline_ms) => Some(deadline_ms),
            Overwritten::No | Overwritten::Another => None,
        }
    }

    /// Replaces value and deadline of the pair with this key by what `change` makes of its deadline,
    /// and returns what `change` does. `None` if there is no such pair.
    pub fn set(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        change: impl FnOnce(u64) -> (bool, u64),
        rehash: impl Rehash,
    ) -> Option<(bool, u64)> {
        let index = self.segment_of(hash)?;
        let segment = &mut self.segments[index];
        let (at, pair) = segment.find_entry(hash, key)?;
        let (created, deadline_ms) = change(pair.deadline_ms);
        let place = segment.slots[at].place();
        if segment.heap.set_in_place(place, value, deadline_ms) {
            segment.min_deadline_ms = segment.min_deadline_ms.min(deadline_ms);
            self.min_deadline_ms = self.min_deadline_ms.min(deadline_ms);
        } else {
            self.replace(index, at, hash, NewPair { key, value, deadline_ms }, rehash);
        }
        Some((created, deadline_ms))
    }

    /// Gives the pair with this key another deadline, if `is_wanted` says so of the one it has.
    pub fn set_deadline(
        &mut self,
        hash: u64,
        key: &[u8],
        deadline_ms: u64,
        is_wanted: impl FnOnce(u64) -> bool,
        rehash: impl Rehash,
    ) -> bool {
        let Some(index) = self.segment_of(hash) else { return false };
        let segment = &mut self.segments[index];
        let Some((at, pair)) = segment.find_entry(hash, key) else { return false };
        if !is_wanted(pair.deadline_ms) {
            return false;
        }
        let place = segment.slots[at].place();
        if segment.heap.set_deadline_in_place(place, deadline_ms) {
            segment.min_deadline_ms = segment.min_deadline_ms.min(deadline_ms);
            self.min_deadline_ms = self.min_deadline_ms.min(deadline_ms);
            return true;
        }
        let pair = segment.heap.get(place);
        // A deadline more or less moves the value: it is carried over.
        let value = pair.value.to_vec();
        self.set(hash, key, &value, |_| (false, deadline_ms), rehash).is_some()
    }

    fn replace(
        &mut self,
        index: usize,
        at: usize,
        hash: u64,
        pair: NewPair<'_>,
        rehash: impl Rehash,
    ) {
        self.min_deadline_ms = self.min_deadline_ms.min(pair.deadline_ms);
        let put = self.resized(index, |segment| {
            let old = segment.slots[at].place();
            let place = segment.heap.put(pair).ok()?;
            segment.heap.take(old);
            segment.set_place(at, place);
            segment.min_deadline_ms = segment.min_deadline_ms.min(pair.deadline_ms);
            Some(())
        });
        if put.is_none() {
            self.remove(hash, pair.key);
            self.insert(hash, pair, rehash);
        } else if self.segments[index].heap.is_sparse() {
            self.slow(index, |table| table.resized(index, Segment::compact));
        }
    }
}
