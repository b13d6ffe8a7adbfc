//! The hash table under names and pairs: entries in hash order, in small segments.
//!
//! A directory maps the top bits of the hash to a segment of about `HOMES_MAX` home slots. In a
//! segment an entry's home slot is proportional to the rest of its hash, and slots are kept sorted
//! by hash (linear probing, displaced to the right, shifted back on removal). So
//! - iteration is in hash order whatever grew or shrank meanwhile: a cursor is a hash;
//! - growth moves one segment at a time, never the table;
//! - each segment knows the earliest deadline in it, so expiry needs no index of its own.
//!
//! It knows nothing of names, values or commands; what it stores lies in a [`Heap`].

use std::ops::ControlFlow;

use super::blocks::Blocks;
use super::boxed::{Boxed, Entry};
use super::heap::{Heap, Place};
use super::segment::{Full, HOMES_MAX, Segment};
use super::slice::{MEASURED_SLOTS_MIN, measured};

/// The deadline of what never expires.
pub const NEVER: u64 = u64::MAX;

/// Entries there must be for each place of the directory before it doubles, so that it stays small
/// however alike their hashes are.
const ENTRIES_PER_PLACE_MIN: usize = 64;

/// Entries at most for which a segment is prepared.
const PREPARED_ENTRIES: usize = HOMES_MAX / 4 * 3;

/// Makes the hash of a key anew: slots keep a part of it only.
pub trait Rehash: Copy {
    /// The hash that the key was put in with.
    fn hash(self, key: &[u8]) -> u64;
}

/// Entries by hash and key, in hash order.
#[derive(Debug)]
pub struct Table<H> {
    /// Leading hash bits that are the same for every entry, because they chose this table.
    pub(super) skip_bits: u8,
    /// `log2` of the directory's length.
    pub(super) depth: u8,
    pub(super) len: usize,
    /// Bytes of the segments' slots and heaps.
    pub(super) segment_bytes: usize,
    pub(super) min_deadline_ms: u64,
    pub(super) directory: Vec<u32>,
    pub(super) segments: Blocks<Segment<H>>,
    free: Vec<u32>,
}

impl<H: Heap> Table<H> {
    /// An empty table, for hashes that agree in their first `skip_bits` bits. Allocates nothing.
    pub fn new(skip_bits: u8) -> Self {
        Table {
            skip_bits,
            depth: 0,
            len: 0,
            segment_bytes: 0,
            min_deadline_ms: NEVER,
            directory: Vec::new(),
            segments: Blocks::new(),
            free: Vec::new(),
        }
    }

    /// An empty table that `len` entries will be put into in the order of their hashes: growing would
    /// find the segment that is filled too small again and again.
    pub fn prepared(skip_bits: u8, len: usize) -> Self {
        let mut table = Table::new(skip_bits);
        let segments = len.div_ceil(PREPARED_ENTRIES).next_power_of_two();
        table.depth = segments.trailing_zeros() as u8;
        for number in 0..segments {
            let prefix = match table.depth {
                0 => 0,
                depth => (number as u64) << (64 - depth) >> skip_bits,
            };
            let bits = skip_bits + table.depth;
            table.segments.push(Segment::prepared(prefix, bits, len / segments));
            table.directory.push(number as u32);
        }
        table.segment_bytes = table.segments.iter().map(Segment::bytes).sum();
        table
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the entries, of the slots that lead to them, and of room to grow.
    pub fn bytes(&self) -> usize {
        self.segment_bytes
            + self.segments.capacity() * size_of::<Segment<H>>()
            + self.directory.capacity() * size_of::<u32>()
    }

    /// No entry expires before this unix time in ms. Never too late, sometimes too early.
    pub fn min_deadline_ms(&self) -> u64 {
        self.min_deadline_ms
    }

    /// The entry with this key.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<H::Ref<'_>> {
        self.segment(hash)?.find_entry(hash, key).map(|(_, entry)| entry)
    }

    /// The segment for entries with this hash.
    #[inline]
    pub(super) fn segment(&self, hash: u64) -> Option<&Segment<H>> {
        self.segments.get(self.segment_of(hash)?)
    }

    /// Adds an entry whose key is not in the table.
    pub fn insert(&mut self, hash: u64, entry: H::New<'_>, rehash: impl Rehash) {
        self.len += 1;
        self.min_deadline_ms = self.min_deadline_ms.min(H::new_deadline_ms(&entry));
        if self.segments.is_empty() {
            let prefix = match self.skip_bits {
                0 => 0,
                bits => hash >> (64 - bits) << (64 - bits),
            };
            self.segments.push(Segment::new(prefix, self.skip_bits));
            self.directory = vec![0];
        }
        let mut entry = entry;
        while let Some(index) = self.segment_of(hash) {
            let result = self.resized(index, |segment| segment.insert(hash, entry));
            let is_heap_full = match result {
                Ok(()) => return,
                Err(Full::Slots(back)) => {
                    entry = back;
                    false
                }
                Err(Full::Heap(back)) => {
                    entry = back;
                    true
                }
            };
            self.slow(index, |table| table.make_room(index, is_heap_full, rehash));
        }
    }

    fn make_room(&mut self, index: usize, is_heap_full: bool, rehash: impl Rehash) {
        if is_heap_full && self.segments[index].heap.is_sparse() {
            self.resized(index, Segment::compact);
        } else if is_heap_full || self.can_split(index) {
            self.split(index, rehash);
        } else {
            self.resized(index, Segment::grow);
        }
    }

    /// Does what can take long; how long is noted, if the segment is large.
    pub(super) fn slow<R>(&mut self, index: usize, work: impl FnOnce(&mut Self) -> R) -> R {
        match self.segments[index].slots.len() < MEASURED_SLOTS_MIN {
            true => work(self),
            false => measured(|| work(self)),
        }
    }

    /// Takes the entry with this key out.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<H::Taken> {
        let index = self.segment_of(hash)?;
        let at = self.segments[index].find(hash, key)?;
        let taken = self.resized(index, |segment| segment.remove(at));
        self.len -= 1;
        if self.len == 0 || self.segments[index].has_room_to_spare() {
            self.slow(index, |table| table.shrink(index));
        }
        Some(taken)
    }

    /// All entries, in the order of their hashes but for those that share their first bits.
    pub fn iter(&self) -> impl Iterator<Item = H::Ref<'_>> {
        self.ordered().flat_map(|segment| segment.places().map(|place| segment.heap.get(place)))
    }

    /// Shows entries in hash order, from the first whose hash is at least `from`.
    pub fn scan<'t>(
        &'t self,
        from: u64,
        rehash: impl Rehash,
        mut visit: impl FnMut(u64, H::Ref<'t>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.ordered_from(from).try_for_each(|segment| segment.scan(from, rehash, &mut visit))
    }

    /// The entry that has `rank` entries before it in the order of [`Table::iter`].
    pub fn nth(&self, mut rank: usize) -> Option<H::Ref<'_>> {
        for segment in self.ordered() {
            if rank < segment.len {
                return segment.places().nth(rank).map(|place| segment.heap.get(place));
            }
            rank -= segment.len;
        }
        None
    }

    /// Takes out one segment of entries, in no order; for freeing a table in slices.
    pub fn pop_segment(&mut self) -> Option<H> {
        let segment = self.segments.pop()?;
        self.directory.clear();
        self.len -= segment.len;
        self.segment_bytes -= segment.bytes();
        Some(segment.heap)
    }

    /// Visits entries whose deadline is at most `now_ms`; those for which `visit` says `true` are
    /// removed and handed to `removed`. Stops when `budget`, counted in slots looked at, is used up;
    /// then [`Table::min_deadline_ms`] still says that there is work.
    pub fn sweep(
        &mut self,
        now_ms: u64,
        budget: &mut isize,
        visit: &mut dyn FnMut(&mut H, Place, &mut isize) -> bool,
        removed: &mut dyn FnMut(H::Taken),
    ) {
        let mut next = 0;
        // Freeing the last entry empties the table, so the bound is read anew each time.
        while next < self.segments.len() {
            let index = next;
            next += 1;
            let segment = &self.segments[index];
            if segment.min_deadline_ms > now_ms {
                continue;
            }
            if *budget <= 0 {
                return;
            }
            let (slots, len) = (segment.slots.len(), segment.len);
            self.resized(index, |segment| {
                segment.sweep(now_ms, &mut |heap, place| visit(heap, place, budget), removed);
            });
            self.len -= len - self.segments[index].len;
            // Charged last: the first segment gets its turn however large it is.
            *budget -= slots as isize;
            self.shrink(index);
        }
        let left = self.segments.iter().map(|segment| segment.min_deadline_ms).min();
        self.min_deadline_ms = left.unwrap_or(NEVER);
    }

    #[inline]
    fn directory_index(&self, hash: u64) -> usize {
        // In two steps: no shift is by all 64 bits.
        let rest = hash.wrapping_shl(u32::from(self.skip_bits)) >> 1;
        rest.wrapping_shr(63u32.wrapping_sub(u32::from(self.depth))) as usize
    }

    #[inline]
    pub(super) fn segment_of(&self, hash: u64) -> Option<usize> {
        self.directory.get(self.directory_index(hash)).map(|&index| index as usize)
    }

    /// Segments in hash order, each once.
    pub(super) fn ordered(&self) -> impl Iterator<Item = &Segment<H>> {
        self.ordered_from(0)
    }

    /// The same, from the one for entries with this hash on.
    pub(super) fn ordered_from(&self, hash: u64) -> impl Iterator<Item = &Segment<H>> {
        let directory = self.directory.get(self.directory_index(hash)..).unwrap_or_default();
        (0..directory.len())
            .filter(move |&i| i == 0 || directory[i] != directory[i - 1])
            .map(move |i| &self.segments[directory[i] as usize])
    }

    /// The part of the directory that leads to segments with this prefix.
    fn range(&self, prefix_bits: u8, prefix: u64) -> std::ops::Range<usize> {
        let width = 1usize << (self.depth - (prefix_bits - self.skip_bits));
        let first = self.directory_index(prefix) & !(width - 1);
        first..first + width
    }

    /// Changes a segment, and keeps the sum of bytes right.
    #[inline]
    pub(super) fn resized<R>(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut Segment<H>) -> R,
    ) -> R {
        let segment = &mut self.segments[index];
        let before = segment.bytes();
        let result = change(segment);
        self.segment_bytes = self.segment_bytes + segment.bytes() - before;
        result
    }

    /// Whether the segment is large, and the directory has room for two in its place or may grow.
    fn can_split(&self, index: usize) -> bool {
        let segment = &self.segments[index];
        let has_place = segment.prefix_bits - self.skip_bits < self.depth;
        segment.is_large()
            && (has_place || self.directory.len() * ENTRIES_PER_PLACE_MIN <= self.len)
    }

    /// Makes two segments of one: the lower half of its hashes stays, the upper half moves.
    fn split(&mut self, index: usize, rehash: impl Rehash) {
        let Segment { prefix, prefix_bits, .. } = self.segments[index];
        if prefix_bits - self.skip_bits == self.depth {
            self.directory =
                self.directory.iter().flat_map(|&segment| [segment, segment]).collect();
            self.depth += 1;
        }
        let upper = self.resized(index, |segment| segment.split(rehash));
        self.segment_bytes += upper.bytes();
        let upper_index = match self.free.pop() {
            Some(free) => {
                self.segments[free as usize] = upper;
                free
            }
            None => {
                self.segments.push(upper);
                self.segments.len() as u32 - 1
            }
        };
        let range = self.range(prefix_bits, prefix);
        let middle = range.start + range.len() / 2;
        self.directory[middle..range.end].fill(upper_index);
    }

    /// Gives memory back after removals: a smaller segment, or one of two.
    fn shrink(&mut self, index: usize) {
        if self.len == 0 {
            *self = Table::new(self.skip_bits);
        } else if self.segments[index].has_room_to_spare() && self.resized(index, Segment::shrink) {
            self.merge(index);
        }
    }

    fn merge(&mut self, index: usize) {
        let segment = &self.segments[index];
        let (prefix_bits, prefix) = (segment.prefix_bits, segment.prefix);
        if prefix_bits == self.skip_bits {
            return;
        }
        let range = self.range(prefix_bits - 1, prefix);
        let (lower, upper) = (self.directory[range.start], self.directory[range.end - 1]);
        let buddy = &self.segments[if lower as usize == index { upper } else { lower } as usize];
        if buddy.prefix_bits != prefix_bits
            || segment.len + buddy.len > HOMES_MAX / 2
            || !segment.heap.fits_with(&buddy.heap)
        {
            return;
        }
        let taken = std::mem::replace(&mut self.segments[upper as usize], Segment::new(0, 0));
        self.segment_bytes -= taken.bytes();
        self.resized(lower as usize, |segment| segment.absorb(taken));
        self.free.push(upper);
        self.directory[range].fill(lower);
    }
}

impl<H: Heap> Clone for Table<H> {
    fn clone(&self) -> Self {
        let segments = self.segments.clone();
        // A copy has no room to grow, so it takes less.
        let segment_bytes = segments.iter().map(Segment::bytes).sum();
        let (directory, free) = (self.directory.clone(), self.free.clone());
        Table { segments, segment_bytes, directory, free, ..*self }
    }
}

impl<T: Entry + Clone + std::fmt::Debug> Table<Boxed<T>> {
    /// The entry with this key. Its sizes and deadline must stay as they are, but for a later deadline.
    #[inline]
    pub fn get_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut T> {
        let index = self.segment_of(hash)?;
        let segment = &mut self.segments[index];
        let at = segment.find(hash, key)?;
        Some(segment.heap.get_mut(segment.slots[at].place()))
    }

    /// Changes the entry with this key. `change` must keep its key.
    pub fn update<R>(
        &mut self,
        hash: u64,
        key: &[u8],
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let index = self.segment_of(hash)?;
        let segment = &mut self.segments[index];
        let place = segment.slots[segment.find(hash, key)?].place();
        let before = segment.heap.entry_bytes;
        let result = segment.heap.update(place, change);
        self.segment_bytes = self.segment_bytes + segment.heap.entry_bytes - before;
        let deadline = segment.heap.deadline_ms(place);
        segment.min_deadline_ms = segment.min_deadline_ms.min(deadline);
        self.min_deadline_ms = self.min_deadline_ms.min(deadline);
        Some(result)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
