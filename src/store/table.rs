//! The hash table under names and pairs: entries in hash order, in small segments.
//!
//! A directory maps the top bits of the hash to a segment of at most `HOMES_MAX` home slots. In a
//! segment an entry's home slot is proportional to the rest of its hash, and entries are kept sorted
//! by hash (linear probing, displaced to the right, shifted back on removal). So
//! - iteration is in hash order whatever grew or shrank meanwhile: a cursor is a hash;
//! - growth moves one segment at a time, never the table;
//! - each segment knows the earliest deadline in it, so expiry needs no index of its own.
//!
//! It knows nothing of names, values or commands; what it stores is an [`Entry`].

use std::ops::ControlFlow;

use super::segment::{HOMES_MAX, Segment, Slot};

/// The deadline of what never expires.
pub const NEVER: u64 = u64::MAX;

/// Entries there must be for each place of the directory before it doubles, so that it stays small
/// however alike their hashes are.
const ENTRIES_PER_PLACE_MIN: usize = 64;

/// What a [`Table`] can hold.
pub trait Entry {
    /// The bytes it is found by.
    fn key(&self) -> &[u8];
    /// The earliest unix time in ms at which something in it expires, or [`NEVER`].
    fn deadline_ms(&self) -> u64;
    /// Bytes it owns outside its slot.
    fn heap_bytes(&self) -> usize;
    /// The part of [`Entry::heap_bytes`] that a change of the entry can change.
    fn value_bytes(&self) -> usize {
        self.heap_bytes()
    }
    /// Reads its ends, to have them in the cache.
    fn touch(&self) -> u64;
}

/// Entries by hash and key, in hash order.
#[derive(Debug, Clone)]
pub struct Table<T> {
    /// Leading hash bits that are the same for every entry, because they chose this table.
    skip_bits: u8,
    /// `log2` of the directory's length.
    depth: u8,
    len: usize,
    entry_bytes: usize,
    slots: usize,
    min_deadline_ms: u64,
    directory: Vec<u32>,
    segments: Vec<Segment<T>>,
    free: Vec<u32>,
}

impl<T: Entry> Table<T> {
    /// An empty table, for hashes that agree in their first `skip_bits` bits. Allocates nothing.
    pub fn new(skip_bits: u8) -> Self {
        Table {
            skip_bits,
            depth: 0,
            len: 0,
            entry_bytes: 0,
            slots: 0,
            min_deadline_ms: NEVER,
            directory: Vec::new(),
            segments: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the entries and of the slots that hold them.
    pub fn bytes(&self) -> usize {
        self.entry_bytes
            + self.slots * size_of::<Option<Slot<T>>>()
            + self.segments.len() * size_of::<Segment<T>>()
            + self.directory.len() * size_of::<u32>()
    }

    /// No entry expires before this unix time in ms. Never too late, sometimes too early.
    pub fn min_deadline_ms(&self) -> u64 {
        self.min_deadline_ms
    }

    /// The entry with this key.
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&T> {
        let segment = &self.segments[self.segment_of(hash)?];
        let at = segment.find(hash, key)?;
        segment.slots[at].as_ref().map(|slot| &slot.entry)
    }

    /// Reads the slot where entries with this hash begin, to have it in the cache.
    #[inline]
    pub(super) fn touch_slot(&self, hash: u64) -> u64 {
        self.segment_of(hash).map_or(0, |segment| self.segments[segment].touch_slot(hash))
    }

    /// Reads an entry with this hash, to have it in the cache.
    #[inline]
    pub(super) fn touch_entry(&self, hash: u64) -> u64 {
        self.segment_of(hash).map_or(0, |segment| self.segments[segment].touch_entry(hash))
    }

    /// Changes the entry with this key, and keeps the sums right. `change` must keep its key.
    pub fn update<R>(
        &mut self,
        hash: u64,
        key: &[u8],
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let index = self.segment_of(hash)?;
        let segment = &mut self.segments[index];
        let at = segment.find(hash, key)?;
        let entry = &mut segment.slots[at].as_mut()?.entry;
        let before = entry.value_bytes();
        let result = change(entry);
        let deadline = entry.deadline_ms();
        self.entry_bytes = self.entry_bytes + entry.value_bytes() - before;
        segment.min_deadline_ms = segment.min_deadline_ms.min(deadline);
        self.min_deadline_ms = self.min_deadline_ms.min(deadline);
        Some(result)
    }

    /// Adds an entry whose key is not in the table.
    pub fn insert(&mut self, hash: u64, entry: T) {
        self.len += 1;
        self.entry_bytes += entry.heap_bytes();
        self.min_deadline_ms = self.min_deadline_ms.min(entry.deadline_ms());
        if self.segments.is_empty() {
            self.segments.push(Segment::new(self.skip_bits));
            self.directory.push(0);
        }
        let mut slot = Slot { hash, entry };
        while let Some(index) = self.segment_of(hash) {
            let segment = &mut self.segments[index];
            match segment.insert(slot) {
                Ok(()) => return,
                Err(back) => slot = back,
            }
            if self.can_split(index) {
                self.split(index);
            } else {
                let homes = self.segments[index].grown();
                self.resize(index, homes);
            }
        }
    }

    /// Takes the entry with this key out.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<T> {
        let index = self.segment_of(hash)?;
        let segment = &mut self.segments[index];
        let at = segment.find(hash, key)?;
        let entry = segment.remove(at)?;
        self.len -= 1;
        self.entry_bytes -= entry.heap_bytes();
        self.shrink(index);
        Some(entry)
    }

    /// All entries, in hash order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.ordered().flat_map(Segment::entries)
    }

    /// Shows entries in hash order, from the first whose hash is at least `from`.
    pub fn scan<'t>(
        &'t self,
        from: u64,
        mut visit: impl FnMut(u64, &'t T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(first) = self.directory_index(from) else { return ControlFlow::Continue(()) };
        let mut last = None;
        for &index in &self.directory[first..] {
            if last.replace(index) == Some(index) {
                continue;
            }
            for slot in self.segments[index as usize].slots.iter().flatten() {
                if slot.hash >= from {
                    visit(slot.hash, &slot.entry)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The entry that has `rank` entries before it in hash order.
    pub fn nth(&self, mut rank: usize) -> Option<&T> {
        for segment in self.ordered() {
            if rank < segment.len {
                return segment.entries().nth(rank);
            }
            rank -= segment.len;
        }
        None
    }

    /// Takes out up to one segment of entries, in no order; for freeing a table in slices.
    pub fn pop_segment(&mut self) -> Option<Vec<T>> {
        let segment = self.segments.pop()?;
        self.directory.clear();
        self.len -= segment.len;
        Some(segment.slots.into_iter().flatten().map(|slot| slot.entry).collect())
    }

    /// Visits entries whose deadline is at most `now_ms`; those for which `visit` says `true` are
    /// removed and handed to `removed`. Stops when `budget`, counted in slots looked at, is used up;
    /// then [`Table::min_deadline_ms`] still says that there is work.
    pub fn sweep(
        &mut self,
        now_ms: u64,
        budget: &mut isize,
        visit: &mut dyn FnMut(&mut T, &mut isize) -> bool,
        removed: &mut dyn FnMut(T),
    ) {
        let mut next = 0;
        // Freeing the last entry empties the table, so the bound is read anew each time.
        while next < self.segments.len() {
            let index = next;
            next += 1;
            let segment = &mut self.segments[index];
            if segment.min_deadline_ms > now_ms {
                continue;
            }
            if *budget <= 0 {
                return;
            }
            let slots = segment.slots.len();
            self.entry_bytes -= segment.entries().map(Entry::heap_bytes).sum::<usize>();
            let gone = segment.sweep(now_ms, budget, visit);
            self.entry_bytes += segment.entries().map(Entry::heap_bytes).sum::<usize>();
            self.slots = self.slots + segment.slots.len() - slots;
            self.len -= gone.len();
            // Charged last: the first segment gets its turn however large it is.
            *budget -= slots as isize;
            gone.into_iter().for_each(&mut *removed);
            self.shrink(index);
        }
        let left = self.segments.iter().map(|segment| segment.min_deadline_ms).min();
        self.min_deadline_ms = left.unwrap_or(NEVER);
    }

    fn directory_index(&self, hash: u64) -> Option<usize> {
        match (self.directory.len(), self.depth) {
            (0, _) => None,
            (_, 0) => Some(0),
            (_, depth) => Some(((hash << self.skip_bits) >> (64 - depth)) as usize),
        }
    }

    #[inline]
    fn segment_of(&self, hash: u64) -> Option<usize> {
        self.directory_index(hash).map(|index| self.directory[index] as usize)
    }

    /// Segments in hash order, each once.
    fn ordered(&self) -> impl Iterator<Item = &Segment<T>> {
        let directory = &self.directory;
        (0..directory.len())
            .filter(move |&i| i == 0 || directory[i] != directory[i - 1])
            .map(move |i| &self.segments[directory[i] as usize])
    }

    /// The part of the directory that leads to segments with this prefix.
    fn range(&self, prefix_bits: u8, hash: u64) -> std::ops::Range<usize> {
        let width = 1usize << (self.depth - (prefix_bits - self.skip_bits));
        let first = self.directory_index(hash).unwrap_or(0) & !(width - 1);
        first..first + width
    }

    fn resize(&mut self, index: usize, homes: usize) {
        let segment = &mut self.segments[index];
        let before = segment.slots.len();
        segment.resize(homes);
        self.slots = self.slots + segment.slots.len() - before;
    }

    /// Whether the segment is large, and the directory has room for two in its place or may grow.
    fn can_split(&self, index: usize) -> bool {
        let segment = &self.segments[index];
        let has_place = segment.prefix_bits - self.skip_bits < self.depth;
        segment.homes >= HOMES_MAX
            && (has_place || self.directory.len() * ENTRIES_PER_PLACE_MIN <= self.len)
    }

    /// Makes two segments of one: the lower half of its hashes stays, the upper half moves.
    fn split(&mut self, index: usize) {
        let prefix_bits = self.segments[index].prefix_bits;
        let Some(hash) = self.segments[index].some_hash() else { return };
        if prefix_bits - self.skip_bits == self.depth {
            self.directory =
                self.directory.iter().flat_map(|&segment| [segment, segment]).collect();
            self.depth += 1;
        }
        let before = self.segments[index].slots.len();
        let upper = self.segments[index].split();
        self.slots = self.slots + self.segments[index].slots.len() + upper.slots.len() - before;
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
        let range = self.range(prefix_bits, hash);
        let middle = range.start + range.len() / 2;
        self.directory[middle..range.end].fill(upper_index);
    }

    /// Gives memory back after removals: a smaller segment, or one of two.
    fn shrink(&mut self, index: usize) {
        let segment = &self.segments[index];
        if self.len == 0 {
            *self = Table::new(self.skip_bits);
        } else if let Some(homes) = segment.shrunk() {
            self.resize(index, homes);
            self.merge(index);
        }
    }

    fn merge(&mut self, index: usize) {
        let segment = &self.segments[index];
        let (prefix_bits, len) = (segment.prefix_bits, segment.len);
        let Some(hash) = segment.some_hash() else { return };
        if prefix_bits == self.skip_bits {
            return;
        }
        let range = self.range(prefix_bits - 1, hash);
        let (lower, upper) = (self.directory[range.start], self.directory[range.end - 1]);
        let buddy = if lower as usize == index { upper } else { lower } as usize;
        if self.segments[buddy].prefix_bits != prefix_bits
            || len + self.segments[buddy].len > HOMES_MAX / 2
        {
            return;
        }
        let (lower_slots, upper_slots) =
            (self.segments[lower as usize].slots.len(), self.segments[upper as usize].slots.len());
        let taken = std::mem::replace(&mut self.segments[upper as usize], Segment::new(0));
        self.segments[lower as usize].absorb(taken);
        self.slots =
            self.slots + self.segments[lower as usize].slots.len() - lower_slots - upper_slots;
        self.free.push(upper);
        self.directory[range].fill(lower);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
