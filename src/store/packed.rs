//! A heap of pairs: key, value and optional deadline as bytes, one after the other, in small chunks.
//!
//! An entry, laid out by [`super::layout`], begins at a multiple of two bytes. What takes more than [`INLINE_LEN_MAX`] has an allocation of its own, and its
//! place leads there; a large value is a counted reference then. Removed entries leave holes; moving all others to a new heap closes them.

use super::chunk::{Chunk, Overwritten};
use super::claims::Claim;
use super::heap::{Heap, NOWHERE, Place};
pub(super) use super::layout::{Layout, NewPair, PairRef};
use super::layout::{form, form_in, is_short, short_pair};
use super::table::NEVER;
use crate::prefetch::{CACHE_LINE_BYTES, prefetch};
use crate::shared::{OVERHEAD_BYTES, SHARED_BYTES_MIN, Shared};
use crate::short::same;

/// Bytes of a chunk. The first one grows up to it, so that a few pairs take little. Two of them are a
/// page, so that pages come free when chunks do.
const CHUNK_LEN: usize = 2048;
const GRANULE_LEN: usize = 2;
const GRANULES_PER_CHUNK: usize = CHUNK_LEN / GRANULE_LEN;
/// The last place is [`NOWHERE`].
const CHUNKS_MAX: usize = (NOWHERE as usize) / GRANULES_PER_CHUNK;
/// New entries leave this much unused: the same entries in another order can need more chunks.
const CHUNKS_FOR_NEW_MAX: usize = CHUNKS_MAX / 4 * 3;
/// What a chunk has at first when it is not the only one.
const LATER_LEN: usize = CHUNK_LEN / 2;
const INLINE_LEN_MAX: usize = 512;
/// Bytes that lead to an entry with an allocation of its own.
const ELSEWHERE_LEN: usize = 8;
/// An entry that begins on one cache line and ends behind the next is fetched in part only.
const ENTRY_USUAL_BYTES_MAX: usize = 60;
/// Of an entry with an allocation of its own, so many lines at most are fetched ahead: those of sixteen fit the cache.
const LINES_FETCHED_MAX: usize = 32;
/// The first chunk grows in steps of at least this.
const FIRST_STEP_LEN: usize = 64;

/// The pairs of one segment.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    chunks: Vec<Chunk>,
    /// Bytes used of the last chunk.
    last_len: usize,
    /// Bytes of entries that are gone.
    hole_bytes: usize,
    /// Bytes at the ends of chunks, into which nothing fitted. Moving entries wins none of them.
    end_bytes: usize,
    large: Vec<Option<Large>>,
    large_bytes: usize,
}

/// An entry with an allocation of its own.
#[derive(Debug, Clone)]
pub(super) enum Large {
    /// The bytes that would lie in a chunk.
    Own(Box<[u8]>),
    /// A large value, behind its key. The deadline can change while somebody else holds it.
    Shared { pair: Shared, deadline_ms: u64 },
}

impl Large {
    /// Fetches its first bytes, or what leads to them.
    pub(super) fn prefetch(&self) {
        match self {
            Large::Own(bytes) => {
                for line in bytes.chunks(CACHE_LINE_BYTES).take(LINES_FETCHED_MAX) {
                    prefetch(&line[0]);
                }
            }
            Large::Shared { pair, .. } => pair.prefetch_way(),
        }
    }

    /// Fetches the key, if [`Large::prefetch`] has only fetched what leads to it.
    pub(super) fn prefetch_key(&self) {
        if let Large::Shared { pair, .. } = self {
            pair.front().first().into_iter().for_each(prefetch);
        }
    }

    /// Bytes of memory it takes outside its place.
    fn bytes(&self) -> usize {
        match self {
            Large::Own(bytes) => super::allocated(bytes.len()),
            Large::Shared { pair, .. } => {
                super::allocated(OVERHEAD_BYTES) + super::allocated(pair.whole_len())
            }
        }
    }
}

/// An entry, wherever it lies.
enum Found<'h> {
    /// As these bytes begin.
    Bytes(&'h [u8]),
    Shared(&'h Shared, u64),
}

impl Packed {
    /// Fetches the pointer that leads to an entry.
    #[inline]
    pub(super) fn prefetch_way(&self, place: Place) {
        if let Some(chunk) = self.chunks.get(usize::from(place) / GRANULES_PER_CHUNK) {
            prefetch(chunk);
        }
    }

    /// Whether entries may have allocations of their own.
    #[inline]
    pub(super) fn has_large(&self) -> bool {
        !self.large.is_empty()
    }

    /// Where an entry with an allocation of its own leads; `None` if it has none.
    #[inline]
    pub(super) fn large(&self, place: Place) -> Option<&Option<Large>> {
        let chunk = self.chunks.get(usize::from(place) / GRANULES_PER_CHUNK)?;
        let bytes = &chunk[start(place)..];
        if is_elsewhere(bytes) { self.large.get(index_in(bytes)) } else { None }
    }

    /// Replaces value and deadline where the entry lies, if they take as much room as before and
    /// nobody else holds the value. `false` if nothing was changed.
    #[inline(always)]
    pub(super) fn set_in_place(&mut self, place: Place, value: &[u8], deadline_ms: u64) -> bool {
        let mut bytes = &mut self.chunks[usize::from(place) / GRANULES_PER_CHUNK][start(place)..];
        if is_elsewhere(bytes) {
            match &mut self.large[index_in(bytes)] {
                Some(Large::Own(own)) => bytes = own,
                Some(Large::Shared { pair, deadline_ms: old_ms }) => {
                    let old = pair.value_mut().filter(|old| old.len() == value.len());
                    return old.is_some_and(|old| {
                        old.copy_from_slice(value);
                        *old_ms = deadline_ms;
                        true
                    });
                }
                None => unreachable!("a place leads to nothing"),
            }
        }
        Layout::of(bytes).set(value, deadline_ms, bytes)
    }

    /// [`Chunk::overwrite`] for the pair at this place.
    #[inline]
    pub(super) fn overwrite(&self, claim: &Claim<'_>, place: Place) -> Overwritten {
        self.chunks[usize::from(place) / GRANULES_PER_CHUNK].overwrite(claim, start(place))
    }

    /// A large value where it lies, unless somebody else holds it.
    pub(super) fn value_in_place(&mut self, place: Place) -> Option<&mut [u8]> {
        let bytes = &self.chunks[usize::from(place) / GRANULES_PER_CHUNK][start(place)..];
        match is_elsewhere(bytes).then(|| &mut self.large[index_in(bytes)]) {
            Some(Some(Large::Shared { pair, .. })) => pair.value_mut(),
            _ => None,
        }
    }

    /// Replaces the deadline where the entry lies, if there is room for it. `false` if nothing was
    /// changed.
    pub(super) fn set_deadline_in_place(&mut self, place: Place, deadline_ms: u64) -> bool {
        let mut bytes = &mut self.chunks[usize::from(place) / GRANULES_PER_CHUNK][start(place)..];
        if is_elsewhere(bytes) {
            match &mut self.large[index_in(bytes)] {
                Some(Large::Own(own)) => bytes = own,
                Some(Large::Shared { deadline_ms: old_ms, .. }) => {
                    *old_ms = deadline_ms;
                    return true;
                }
                None => unreachable!("a place leads to nothing"),
            }
        }
        let layout = Layout::of(bytes);
        let has_room = layout.has_deadline == (deadline_ms != NEVER);
        if has_room && layout.has_deadline {
            layout.write_deadline(deadline_ms, bytes);
        }
        has_room
    }

    #[inline(always)]
    fn find(&self, place: Place) -> Found<'_> {
        let bytes = &self.chunks[usize::from(place) / GRANULES_PER_CHUNK][start(place)..];
        if is_elsewhere(bytes) { self.find_large(index_in(bytes)) } else { Found::Bytes(bytes) }
    }

    fn get_long(&self, place: Place) -> PairRef<'_> {
        match self.find(place) {
            Found::Bytes(bytes) => Layout::of(bytes).pair(bytes),
            Found::Shared(pair, deadline_ms) => {
                PairRef { key: pair.front(), value: pair, deadline_ms, shared: Some(pair) }
            }
        }
    }

    fn find_large(&self, index: usize) -> Found<'_> {
        match &self.large[index] {
            Some(Large::Own(bytes)) => Found::Bytes(bytes),
            Some(Large::Shared { pair, deadline_ms }) => Found::Shared(pair, *deadline_ms),
            None => unreachable!("a place leads to nothing"),
        }
    }

    /// Room for `len` bytes at the end.
    fn room(&mut self, len: usize, chunks_max: usize) -> Option<(Place, &mut [u8])> {
        let len = len.next_multiple_of(GRANULE_LEN);
        let is_full = match self.chunks.last() {
            None => true,
            Some(last) if self.last_len + len <= last.len() => false,
            Some(_) if self.last_len + len <= CHUNK_LEN => {
                self.grow_last(self.last_len + len);
                false
            }
            Some(_) => true,
        };
        if is_full {
            self.add_chunk(len, chunks_max)?;
        }
        let chunk = self.chunks.len() - 1;
        let at = self.last_len;
        self.last_len += len;
        let place = chunk * GRANULES_PER_CHUNK + at / GRANULE_LEN;
        Some((place as Place, &mut self.chunks[chunk][at..at + len]))
    }

    fn add_chunk(&mut self, len: usize, chunks_max: usize) -> Option<()> {
        if self.chunks.len() >= chunks_max {
            return None;
        }
        if let Some(last) = self.chunks.last()
            && last.len() < CHUNK_LEN
        {
            self.grow_last(CHUNK_LEN);
        }
        let chunk_len = if self.chunks.is_empty() { len } else { LATER_LEN };
        if !self.chunks.is_empty() {
            self.end_bytes += CHUNK_LEN - self.last_len;
        }
        if self.chunks.len() == self.chunks.capacity() {
            self.chunks.reserve_exact(self.chunks.len() / 4 + 1);
        }
        self.chunks.push(Chunk::zeroed(chunk_len));
        self.last_len = 0;
        Some(())
    }

    /// Makes the last chunk longer: the only one by little, a later one to its whole length.
    fn grow_last(&mut self, len: usize) {
        let is_only = self.chunks.len() == 1;
        let Some(last) = self.chunks.last_mut() else { return };
        let mut bytes = Vec::from(std::mem::take(last));
        let step = (bytes.len() / 8).max(FIRST_STEP_LEN);
        let len = if is_only { len.max(bytes.len() + step).min(CHUNK_LEN) } else { CHUNK_LEN };
        bytes.reserve_exact(len - bytes.len());
        bytes.resize(len, 0);
        *last = bytes.into();
    }

    fn put_large(&mut self, large: Large, chunks_max: usize) -> Option<Place> {
        let index = match self.large.iter().position(Option::is_none) {
            Some(free) => free,
            None => self.large.len(),
        };
        let (place, room) = self.room(ELSEWHERE_LEN, chunks_max)?;
        room[0] = form::ELSEWHERE << 1;
        room[4..].copy_from_slice(&(index as u32).to_le_bytes());
        if index == self.large.len() {
            self.large.push(None);
        }
        self.large_bytes += large.bytes();
        self.large[index] = Some(large);
        Some(place)
    }

    /// Bytes an entry takes in its chunk.
    fn len_in_chunk(&self, place: Place) -> usize {
        let bytes = &self.chunks[usize::from(place) / GRANULES_PER_CHUNK][start(place)..];
        match is_elsewhere(bytes) {
            true => ELSEWHERE_LEN,
            false => Layout::of(bytes).len().next_multiple_of(GRANULE_LEN),
        }
    }

    /// Leaves a hole where an entry was; what it had elsewhere is handed out.
    fn leave(&mut self, place: Place) -> Option<Large> {
        self.hole_bytes += self.len_in_chunk(place);
        let bytes = &self.chunks[usize::from(place) / GRANULES_PER_CHUNK][start(place)..];
        if !is_elsewhere(bytes) {
            return None;
        }
        let large = self.large[index_in(bytes)].take()?;
        self.large_bytes -= large.bytes();
        Some(large)
    }

    /// Bytes of chunks that entries have been put in, holes included.
    fn used_bytes(&self) -> usize {
        self.chunks.len().saturating_sub(1) * CHUNK_LEN + self.last_len
    }
}

impl Heap for Packed {
    type Ref<'h> = PairRef<'h>;
    type New<'n> = NewPair<'n>;
    /// The deadline.
    type Taken = u64;

    #[inline(always)]
    fn get(&self, place: Place) -> PairRef<'_> {
        let bytes = &self.chunks[usize::from(place) / GRANULES_PER_CHUNK][start(place)..];
        match *bytes {
            [head, ..] if form_in(head) == form::SHORT => {
                match short_pair(bytes, usize::from(head >> 3)) {
                    Some(pair) => pair,
                    None => unreachable!("an entry ends in its chunk"),
                }
            }
            _ => self.get_long(place),
        }
    }

    #[inline]
    fn prefetch(&self, place: Place) {
        let Some(chunk) = self.chunks.get(usize::from(place) / GRANULES_PER_CHUNK) else { return };
        // Most pairs lie on no more than two cache lines.
        chunk.prefetch(start(place));
        chunk.prefetch(start(place) + ENTRY_USUAL_BYTES_MAX);
    }

    #[inline]
    fn key(&self, place: Place) -> &[u8] {
        self.get(place).key
    }

    #[inline]
    fn get_if(&self, place: Place, key: &[u8]) -> Option<PairRef<'_>> {
        let bytes = &self.chunks[usize::from(place) / GRANULES_PER_CHUNK][start(place)..];
        match *bytes {
            [head, ..] if is_short(head, key.len()) => {
                short_pair(bytes, key.len()).filter(|pair| same(pair.key, key))
            }
            [head, ..] if form_in(head) == form::SHORT => None,
            _ => Some(self.get_long(place)).filter(|pair| same(pair.key, key)),
        }
    }

    fn deadline_ms(&self, place: Place) -> u64 {
        self.get(place).deadline_ms
    }

    fn new_deadline_ms(entry: &NewPair<'_>) -> u64 {
        entry.deadline_ms
    }

    fn put<'n>(&mut self, entry: Self::New<'n>) -> Result<Place, Self::New<'n>> {
        let (head, layout) = Layout::for_new(&entry);
        if entry.value.len() >= SHARED_BYTES_MIN {
            let pair = Shared::new(entry.key, entry.value);
            let large = Large::Shared { pair, deadline_ms: entry.deadline_ms };
            return self.put_large(large, CHUNKS_FOR_NEW_MAX).ok_or(entry);
        }
        if layout.len() > INLINE_LEN_MAX {
            let mut bytes = vec![0; layout.len()].into_boxed_slice();
            layout.write(head, &entry, &mut bytes);
            return self.put_large(Large::Own(bytes), CHUNKS_FOR_NEW_MAX).ok_or(entry);
        }
        let Some((place, room)) = self.room(layout.len(), CHUNKS_FOR_NEW_MAX) else {
            return Err(entry);
        };
        layout.write(head, &entry, room);
        Ok(place)
    }

    fn take(&mut self, place: Place) -> u64 {
        let deadline_ms = self.deadline_ms(place);
        self.leave(place);
        deadline_ms
    }

    fn transfer(&mut self, place: Place, to: &mut Self) -> Option<Place> {
        let chunk = &self.chunks[usize::from(place) / GRANULES_PER_CHUNK];
        let bytes = &chunk[start(place)..start(place) + self.len_in_chunk(place)];
        if is_elsewhere(bytes) {
            let large = self.leave(place)?;
            return to.put_large(large, CHUNKS_MAX);
        }
        let (moved, room) = to.room(bytes.len(), CHUNKS_MAX)?;
        room.copy_from_slice(bytes);
        self.leave(place);
        Some(moved)
    }

    fn bytes(&self) -> usize {
        let chunks = match &self.chunks[..] {
            [] => 0,
            [others @ .., last] => others.len() * CHUNK_LEN + super::allocated(last.len()),
        };
        chunks
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.large.capacity() * size_of::<Option<Large>>()
            + self.large_bytes
    }

    fn is_sparse(&self) -> bool {
        self.hole_bytes > self.used_bytes() / 8 + FIRST_STEP_LEN
    }

    fn fits_with(&self, other: &Self) -> bool {
        let live = |heap: &Self| heap.used_bytes().saturating_sub(heap.hole_bytes + heap.end_bytes);
        live(self) + live(other) < CHUNKS_MAX * CHUNK_LEN / 2
    }
}

#[inline]
fn start(place: Place) -> usize {
    usize::from(place) % GRANULES_PER_CHUNK * GRANULE_LEN
}

#[inline]
fn is_elsewhere(bytes: &[u8]) -> bool {
    form_in(bytes[0]) == form::ELSEWHERE
}

#[inline]
fn index_in(bytes: &[u8]) -> usize {
    u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize
}

#[cfg(test)]
#[path = "packed_tests.rs"]
mod tests;
