//! Bytes that pairs lie in: changed by who has them alone, or pair by pair through a claim.
//!
//! This is the one place of the store with `unsafe` in it. Usually a chunk is what it looks like, a slice:
//! `&Chunk` reads, `&mut Chunk` writes. Beside that, several threads may each overwrite another pair of one
//! chunk at the same time ([`Chunk::overwrite`]), which needs bytes that change behind a shared reference.
//! What that brings is in bench/README.md, "Threads on one namespace".
//!
//! # Why it is sound
//!
//! - Two kinds of threads reach a chunk through a shared reference, and never at the same time. *Readers* have
//!   their stripe shared with readers, or alone. *Claimants* have it shared with claimants; each has a [`Claim`]
//!   on every pair it overwrites. [`super::guard`] keeps readers from claimants, [`super::claims`] claimants from
//!   one another, and both order what one thread writes before what the next reads.
//! - A claimant does nothing to a chunk but [`Chunk::overwrite`] and [`Chunk::prefetch`]: [`super::claims::Claimed`]
//!   keeps the stripe to itself, and nothing else makes a [`Claim`].
//! - [`Chunk::overwrite`] leaves the lengths and the key of every pair as they are, and writes to no other pair
//!   than the claimed one. So heads, lengths and keys can be read while others overwrite, and before it is
//!   known whose pair it is nothing else is read: not the value, not the deadline, not what is behind the pair.

#![allow(unsafe_code, reason = "see above")]

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut, Range};

use super::claims::{Claim, Put};
use super::layout::{Layout, deadline_in, head_len, put_deadline};
use super::table::NEVER;
use crate::prefetch::prefetch;
use crate::short::{put, same};

/// Some bytes on the heap.
#[derive(Default)]
pub(super) struct Chunk(Box<[UnsafeCell<u8>]>);

// SAFETY: see the module. Through a shared reference bytes are changed by `overwrite` alone, which takes a claim.
unsafe impl Sync for Chunk {}

/// What became of a pair that was to be overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overwritten {
    /// It has the new value, and this deadline.
    Done(u64),
    /// There is another pair.
    Another,
    /// Nothing was changed: it takes more than overwriting the pair where it lies.
    No,
}

impl Chunk {
    /// So many zeros.
    pub fn zeroed(len: usize) -> Chunk {
        vec![0; len].into()
    }

    /// Asks for the cache line with this byte, if there is one.
    #[inline]
    pub fn prefetch(&self, at: usize) {
        if let Some(byte) = self.0.get(at) {
            prefetch(byte);
        }
    }

    /// Overwrites the pair that begins `at`, if it is the claimed one, lies here, and value and deadline take as much
    /// room as before.
    #[inline]
    pub fn overwrite(&self, claim: &Claim<'_>, at: usize) -> Overwritten {
        let &Put { key, value, .. } = claim.put();
        let Some(head_len) = head_len(self.fixed(at..at + 1)[0]) else { return Overwritten::No };
        let layout = Layout::of(self.fixed(at..at + head_len));
        if !same(self.fixed(shifted(layout.key_place(), at)), key) {
            return Overwritten::Another;
        }
        let deadline = self.claimed(claim, shifted(layout.deadline_place(), at));
        let old_ms = if deadline.is_empty() { NEVER } else { deadline_in(deadline) };
        let place = shifted(layout.value_place(), at);
        let has_room =
            |new_ms: &u64| place.len() == value.len() && deadline.is_empty() == (*new_ms == NEVER);
        let Some(new_ms) = claim.deadline_ms(old_ms).filter(has_room) else {
            return Overwritten::No;
        };
        if !deadline.is_empty() {
            put_deadline(new_ms, deadline);
        }
        put(self.claimed(claim, place), value);
        Overwritten::Done(new_ms)
    }

    /// Bytes that overwriting leaves as they are: heads, lengths and keys.
    #[inline]
    fn fixed(&self, place: Range<usize>) -> &[u8] {
        let cells = &self.0[place];
        // SAFETY: nobody writes to these bytes while there is a shared reference to the chunk; see the module.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
    }

    /// The deadline or the value of the claimed pair. Both are taken once.
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "that is what the claim is for")]
    fn claimed(&self, _claim: &Claim<'_>, place: Range<usize>) -> &mut [u8] {
        let cells = &self.0[place];
        // SAFETY: no reader is there, no other claimant has this pair, and without a claim on a pair nobody reads its
        // deadline or value; see the module.
        unsafe { std::slice::from_raw_parts_mut(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) }
    }
}

#[inline]
fn shifted(place: Range<usize>, by: usize) -> Range<usize> {
    place.start + by..place.end + by
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Chunk {
        Chunk(bytes.into_iter().map(UnsafeCell::new).collect())
    }
}

impl From<Chunk> for Vec<u8> {
    fn from(chunk: Chunk) -> Vec<u8> {
        chunk.0.into_vec().into_iter().map(UnsafeCell::into_inner).collect()
    }
}

impl Deref for Chunk {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: who comes here is a reader, so there is no claimant; see the module. The cells are the bytes.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len()) }
    }
}

impl DerefMut for Chunk {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the reference is the only one.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len()) }
    }
}

impl Clone for Chunk {
    fn clone(&self) -> Chunk {
        self.to_vec().into()
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}
