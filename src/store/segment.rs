//! One segment of a [`super::table::Table`]: slots sorted by hash, and a heap with the entries.
//!
//! A slot is four bytes: sixteen bits of the hash, those after the bits that all entries here share,
//! and the entry's place in the heap. A slot stands at its home or to the right of it, with no empty
//! one between; homes are proportional to the hash, and nothing wraps around: a tail behind the last
//! home takes what is displaced. A segment knows not its neighbours or the directory.

use super::heap::{Heap, NOWHERE, Place};
use super::table::{NEVER, Rehash};
use crate::prefetch::prefetch;

/// Home slots of the largest segment; more entries split it.
pub(super) const HOMES_MAX: usize = 1024;
const HOMES_MIN: usize = 4;
const TAIL: usize = 4;
const TAG_BITS: u32 = 16;

/// Sixteen bits of hash above sixteen bits of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u32);

impl Slot {
    /// Higher than any that leads to an entry, since no entry lies [`NOWHERE`].
    const EMPTY: Slot = Slot(u32::MAX);

    #[inline]
    fn new(tag: u16, place: Place) -> Slot {
        Slot(u32::from(tag) << TAG_BITS | u32::from(place))
    }

    #[inline]
    pub fn tag(self) -> u16 {
        (self.0 >> TAG_BITS) as u16
    }

    #[inline]
    pub fn place(self) -> Place {
        self.0 as Place
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.place() == NOWHERE
    }

    /// Whether it leads to an entry, and has the tag of `first`, the lowest slot with that tag.
    #[inline]
    fn is_like(self, first: Slot) -> bool {
        self.0.wrapping_sub(first.0) < u32::from(NOWHERE)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Segment<H> {
    /// The leading hash bits that all entries here share, and 0 after them.
    pub prefix: u64,
    /// How many those are.
    pub prefix_bits: u8,
    pub len: usize,
    homes: usize,
    /// Nothing here expires earlier; may be too early, never too late.
    pub min_deadline_ms: u64,
    pub slots: Vec<Slot>,
    pub heap: H,
}

impl<H: Heap> Segment<H> {
    pub fn new(prefix: u64, prefix_bits: u8) -> Self {
        Segment {
            prefix,
            prefix_bits,
            len: 0,
            homes: 0,
            min_deadline_ms: NEVER,
            slots: Vec::new(),
            heap: H::default(),
        }
    }

    /// One without entries that has slots for so many.
    pub fn prepared(prefix: u64, prefix_bits: u8, len: usize) -> Self {
        let mut segment = Segment::new(prefix, prefix_bits);
        segment.place(&[], len + len / 4);
        segment
    }

    /// Bytes of memory it takes, with its entries, but for itself.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.heap.bytes()
    }

    /// Places of the entries, in the order of their hashes; among equal tags in no order.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.slots.iter().filter(|slot| !slot.is_empty()).map(|slot| slot.place())
    }

    /// Shows all entries whose hash is at least `from` in the order of their hashes.
    pub fn scan<'s, B>(
        &'s self,
        from: u64,
        rehash: impl Rehash,
        visit: &mut impl FnMut(u64, H::Ref<'s>) -> std::ops::ControlFlow<B>,
    ) -> std::ops::ControlFlow<B> {
        let first = if from > self.prefix { self.tag(from) } else { 0 };
        let mut run: Vec<(u64, Place)> = Vec::new();
        let mut slots = self.slots.iter().copied().filter(|slot| !slot.is_empty()).peekable();
        while let Some(slot) = slots.next() {
            if slot.tag() < first {
                continue;
            }
            let hash = rehash.hash(self.heap.key(slot.place()));
            if slots.peek().is_none_or(|next| next.tag() != slot.tag()) {
                if hash >= from {
                    visit(hash, self.heap.get(slot.place()))?;
                }
                continue;
            }
            run.clear();
            run.push((hash, slot.place()));
            while let Some(next) = slots.next_if(|next| next.tag() == slot.tag()) {
                run.push((rehash.hash(self.heap.key(next.place())), next.place()));
            }
            run.sort_unstable();
            for &(hash, place) in run.iter().filter(|(hash, _)| *hash >= from) {
                visit(hash, self.heap.get(place))?;
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    /// The slot of the entry with this hash and key.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.find_entry(hash, key).map(|(at, _)| at)
    }

    /// The entry with this hash and key, and its slot.
    #[inline(always)]
    pub fn find_entry(&self, hash: u64, key: &[u8]) -> Option<(usize, H::Ref<'_>)> {
        self.find_by(hash, |place| self.heap.get_if(place, key))
    }

    /// The first of what `look` says, given the places of entries that may have this hash; and the slot.
    #[inline(always)]
    pub fn find_by<T>(
        &self,
        hash: u64,
        mut look: impl FnMut(Place) -> Option<T>,
    ) -> Option<(usize, T)> {
        let tag = self.tag(hash);
        let (home, first) = (self.home(tag), Slot::new(tag, 0));
        for (distance, slot) in self.slots.get(home..)?.iter().enumerate() {
            if slot.0 < first.0 {
                continue;
            }
            if !slot.is_like(first) {
                return None;
            }
            if let Some(found) = look(slot.place()) {
                return Some((home + distance, found));
            }
        }
        None
    }

    /// Fetches the slot where entries with this hash begin.
    #[inline]
    pub fn prefetch_slot(&self, hash: u64) {
        if let Some(slot) = self.slots.get(self.home(self.tag(hash))) {
            prefetch(slot);
        }
    }

    /// Where an entry with this hash most likely is, if there is one. Looks at no entry.
    #[inline]
    pub fn guess(&self, hash: u64) -> Option<Place> {
        let tag = self.tag(hash);
        let slots = self.slots.get(self.home(tag)..)?;
        let first = Slot::new(tag, 0);
        let slot = slots.iter().find(|slot| slot.0 >= first.0)?;
        slot.is_like(first).then(|| slot.place())
    }

    /// Whether one more entry with this hash has a slot: then where, and how far away the next empty
    /// one is.
    fn gap(&self, tag: u16) -> Option<(usize, usize)> {
        if self.len >= self.homes - self.homes / 8 {
            return None;
        }
        let mut at = self.home(tag);
        while !self.slots.get(at)?.is_empty() && self.slots[at].tag() <= tag {
            at += 1;
        }
        Some((at, self.slots[at..].iter().position(|slot| slot.is_empty())?))
    }

    /// Adds an entry that is not here yet; hands it back when there is no room.
    pub fn insert<'n>(&mut self, hash: u64, entry: H::New<'n>) -> Result<(), Full<H::New<'n>>> {
        let tag = self.tag(hash);
        let Some((at, gap)) = self.gap(tag) else { return Err(Full::Slots(entry)) };
        let deadline_ms = H::new_deadline_ms(&entry);
        let place = self.heap.put(entry).map_err(Full::Heap)?;
        self.slots.copy_within(at..at + gap, at + 1);
        self.slots[at] = Slot::new(tag, place);
        self.len += 1;
        self.min_deadline_ms = self.min_deadline_ms.min(deadline_ms);
        Ok(())
    }

    /// Gives the slot's entry another place.
    pub fn set_place(&mut self, at: usize, place: Place) {
        self.slots[at] = Slot::new(self.slots[at].tag(), place);
    }

    /// Takes an entry out, and moves those it displaced back towards their homes.
    pub fn remove(&mut self, at: usize) -> H::Taken {
        let taken = self.heap.take(self.slots[at].place());
        let is_displaced =
            |(i, slot): &(usize, &Slot)| !slot.is_empty() && self.home(slot.tag()) <= at + i;
        let displaced = self.slots[at + 1..].iter().enumerate().take_while(is_displaced).count();
        self.slots.copy_within(at + 1..at + 1 + displaced, at);
        self.slots[at + displaced] = Slot::EMPTY;
        self.len -= 1;
        taken
    }

    /// Whether it has as many slots as a segment should have.
    pub fn is_large(&self) -> bool {
        self.homes >= self.homes_max()
    }

    /// More slots, or a heap without holes if that is what was full.
    pub fn grow(&mut self) {
        let homes = (self.homes + self.homes.div_ceil(4)).max(HOMES_MIN);
        let limit = self.homes_max();
        self.resize(if self.homes < limit { homes.min(limit) } else { homes });
    }

    /// Gives memory back if much of it is not needed. `true` if it did.
    pub fn shrink(&mut self) -> bool {
        let has_shrunk = self.homes_enough() < self.homes / 2;
        if has_shrunk {
            self.resize(self.homes_enough());
        }
        if self.heap.is_sparse() {
            self.compact();
        }
        has_shrunk
    }

    /// Whether [`Segment::shrink`] would do something.
    #[inline]
    pub fn has_room_to_spare(&self) -> bool {
        self.homes_enough() < self.homes / 2 || self.heap.is_sparse()
    }

    #[inline]
    fn homes_enough(&self) -> usize {
        (self.len + self.len / 2).max(HOMES_MIN)
    }

    /// Moves all entries to a new heap, which closes the holes.
    pub fn compact(&mut self) {
        let mut heap = H::default();
        for slot in self.slots.iter_mut().filter(|slot| !slot.is_empty()) {
            match self.heap.transfer(slot.place(), &mut heap) {
                Some(place) => *slot = Slot::new(slot.tag(), place),
                None => unreachable!("a heap without holes holds less than one with holes"),
            }
        }
        self.heap = heap;
    }

    /// Keeps the entries of the lower half of the hash range, returns the others.
    pub fn split(&mut self, rehash: impl Rehash) -> Segment<H> {
        self.prefix_bits += 1;
        let bit = 1u64 << (64 - self.prefix_bits);
        let mut upper = Segment::new(self.prefix | bit, self.prefix_bits);
        let mut lower = Segment::new(self.prefix, self.prefix_bits);
        let (mut upper_slots, mut lower_slots) = (Vec::new(), Vec::new());
        for place in self.slots.iter().filter(|slot| !slot.is_empty()).map(|slot| slot.place()) {
            let hash = rehash.hash(self.heap.key(place));
            let (half, slots) = match hash & bit != 0 {
                true => (&mut upper, &mut upper_slots),
                false => (&mut lower, &mut lower_slots),
            };
            match self.heap.transfer(place, &mut half.heap) {
                Some(place) => slots.push(Slot::new(half.tag(hash), place)),
                None => unreachable!("a half holds no more than the whole"),
            }
        }
        for (half, mut slots) in [(&mut upper, upper_slots), (&mut lower, lower_slots)] {
            // Among equal tags the sixteenth bit was not known.
            slots.sort_unstable_by_key(|slot| slot.tag());
            let homes = slots.len() + slots.len() / 4;
            half.place(&slots, homes);
            half.min_deadline_ms = half.earliest_ms();
        }
        *self = lower;
        upper
    }

    /// Takes the entries of the segment with the next higher hashes.
    pub fn absorb(&mut self, upper: Segment<H>) {
        let lower = std::mem::replace(self, Segment::new(self.prefix, self.prefix_bits - 1));
        self.min_deadline_ms = lower.min_deadline_ms.min(upper.min_deadline_ms);
        let mut slots = Vec::with_capacity(lower.len + upper.len);
        for (half, mut from) in [(0, lower), (1u16 << 15, upper)] {
            for slot in from.slots.iter().filter(|slot| !slot.is_empty()) {
                match from.heap.transfer(slot.place(), &mut self.heap) {
                    Some(place) => slots.push(Slot::new(half | slot.tag() >> 1, place)),
                    None => unreachable!("merged segments fit into one heap"),
                }
            }
        }
        let homes = slots.len() + slots.len() / 4;
        self.place(&slots, homes);
    }

    /// Visits what is due; removes those for which `visit` says so and hands them to `removed`.
    pub fn sweep(
        &mut self,
        now_ms: u64,
        visit: &mut dyn FnMut(&mut H, Place) -> bool,
        removed: &mut dyn FnMut(H::Taken),
    ) {
        let mut kept = Vec::with_capacity(self.len);
        for slot in self.slots.iter().filter(|slot| !slot.is_empty()) {
            let place = slot.place();
            if self.heap.deadline_ms(place) <= now_ms && visit(&mut self.heap, place) {
                removed(self.heap.take(place));
            } else {
                kept.push(*slot);
            }
        }
        if kept.len() < self.len {
            self.place(&kept, self.homes);
        }
        self.min_deadline_ms = self.earliest_ms();
    }

    fn earliest_ms(&self) -> u64 {
        self.places().map(|place| self.heap.deadline_ms(place)).min().unwrap_or(NEVER)
    }

    fn resize(&mut self, homes: usize) {
        let slots: Vec<Slot> = self.slots.iter().copied().filter(|slot| !slot.is_empty()).collect();
        self.place(&slots, homes);
    }

    /// Lays out `slots`, which are sorted, over `homes` home slots.
    fn place(&mut self, slots: &[Slot], homes: usize) {
        self.homes = homes.max(HOMES_MIN);
        self.len = slots.len();
        let mut placed = Vec::with_capacity(self.homes + TAIL + self.homes / 16);
        for slot in slots {
            placed.resize(placed.len().max(self.home(slot.tag())), Slot::EMPTY);
            placed.push(*slot);
        }
        let whole = placed.capacity().max(placed.len() + 1);
        placed.resize(whole, Slot::EMPTY);
        self.slots = placed;
    }

    /// Where segments split differs from one to the next, so that not all are half empty at once.
    fn homes_max(&self) -> usize {
        let mixed = self.prefix.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        HOMES_MAX * (12 + mixed as usize) / 16
    }

    /// Slots from the first that may lead to an entry with this tag, or a higher one.
    #[inline]
    pub(super) fn slots_from(&self, tag: u16) -> &[Slot] {
        self.slots.get(self.home(tag)..).unwrap_or_default()
    }

    /// The lowest hash that has this tag here.
    #[inline]
    pub(super) fn first_hash(&self, tag: u16) -> u64 {
        self.prefix | (u64::from(tag) << (64 - TAG_BITS)).wrapping_shr(u32::from(self.prefix_bits))
    }

    #[inline]
    pub(super) fn tag(&self, hash: u64) -> u16 {
        (hash.wrapping_shl(u32::from(self.prefix_bits)) >> (64 - TAG_BITS)) as u16
    }

    #[inline]
    fn home(&self, tag: u16) -> usize {
        (usize::from(tag) * self.homes) >> TAG_BITS
    }
}

/// Why an entry was handed back.
pub(super) enum Full<E> {
    /// There is no slot for it.
    Slots(E),
    /// There is no room for it in the heap.
    Heap(E),
}
