//! A heap of values that own their memory, such as names: a slab with a list of free places.

use super::heap::{Heap, NOWHERE, Place};
use crate::prefetch::prefetch;
use crate::short::same;

/// What a [`Boxed`] heap can hold.
pub trait Entry {
    /// The bytes it is found by.
    fn key(&self) -> &[u8];
    /// The earliest unix time in ms at which something in it expires, or [`super::NEVER`].
    fn deadline_ms(&self) -> u64;
    /// Bytes it owns outside its place.
    fn heap_bytes(&self) -> usize;
    /// The part of [`Entry::heap_bytes`] that a change of the entry can change.
    fn value_bytes(&self) -> usize {
        self.heap_bytes()
    }
}

/// Entries by place.
#[derive(Debug, Clone)]
pub struct Boxed<T> {
    places: Vec<Option<T>>,
    free: Vec<Place>,
    pub(super) entry_bytes: usize,
}

impl<T> Default for Boxed<T> {
    fn default() -> Self {
        Boxed { places: Vec::new(), free: Vec::new(), entry_bytes: 0 }
    }
}

impl<T: Entry> Boxed<T> {
    /// Changes an entry, and keeps the sum of bytes right. `change` must keep its key.
    #[inline]
    pub(super) fn update<R>(&mut self, place: Place, change: impl FnOnce(&mut T) -> R) -> R {
        let entry = occupied_mut(&mut self.places, place);
        let before = entry.value_bytes();
        let result = change(entry);
        self.entry_bytes = self.entry_bytes + entry.value_bytes() - before;
        result
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: Place) -> &mut T {
        occupied_mut(&mut self.places, place)
    }

    /// Fetches what leads to an entry.
    #[inline]
    pub(super) fn prefetch_way(&self, place: Place) {
        self.places.get(usize::from(place)).into_iter().for_each(prefetch);
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = T> {
        self.places.into_iter().flatten()
    }
}

impl<T: Entry + Clone + std::fmt::Debug> Heap for Boxed<T> {
    type Ref<'h>
        = &'h T
    where
        T: 'h;
    type New<'n> = T;
    type Taken = T;

    #[inline]
    fn get(&self, place: Place) -> &T {
        match &self.places[usize::from(place)] {
            Some(entry) => entry,
            None => unreachable!("a slot leads to a free place"),
        }
    }

    #[inline]
    fn prefetch(&self, place: Place) {
        self.prefetch_way(place);
    }

    #[inline]
    fn key(&self, place: Place) -> &[u8] {
        self.get(place).key()
    }

    #[inline]
    fn get_if(&self, place: Place, key: &[u8]) -> Option<&T> {
        let entry = self.get(place);
        same(entry.key(), key).then_some(entry)
    }

    fn deadline_ms(&self, place: Place) -> u64 {
        self.get(place).deadline_ms()
    }

    fn new_deadline_ms(entry: &T) -> u64 {
        entry.deadline_ms()
    }

    fn put<'n>(&mut self, entry: Self::New<'n>) -> Result<Place, Self::New<'n>> {
        if self.free.is_empty() && self.places.len() == usize::from(NOWHERE) {
            return Err(entry);
        }
        self.entry_bytes += entry.heap_bytes();
        if let Some(place) = self.free.pop() {
            self.places[usize::from(place)] = Some(entry);
            return Ok(place);
        }
        if self.places.len() == self.places.capacity() {
            self.places.reserve_exact(self.places.len() / 4 + 1);
        }
        self.places.push(Some(entry));
        Ok((self.places.len() - 1) as Place)
    }

    fn take(&mut self, place: Place) -> T {
        let Some(entry) = self.places[usize::from(place)].take() else {
            unreachable!("a slot leads to a free place")
        };
        self.entry_bytes -= entry.heap_bytes();
        self.free.push(place);
        entry
    }

    fn transfer(&mut self, place: Place, to: &mut Self) -> Option<Place> {
        let entry = self.take(place);
        to.put(entry).ok()
    }

    fn bytes(&self) -> usize {
        self.entry_bytes
            + self.places.capacity() * size_of::<Option<T>>()
            + self.free.capacity() * size_of::<Place>()
    }

    fn is_sparse(&self) -> bool {
        self.free.len() > self.places.len() / 2
    }

    fn fits_with(&self, other: &Self) -> bool {
        let used = |heap: &Self| heap.places.len() - heap.free.len();
        used(self) + used(other) < usize::from(NOWHERE) / 2
    }
}

#[inline]
fn occupied_mut<T>(places: &mut [Option<T>], place: Place) -> &mut T {
    match &mut places[usize::from(place)] {
        Some(entry) => entry,
        None => unreachable!("a slot leads to a free place"),
    }
}
