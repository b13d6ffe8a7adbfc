//! Claims on pairs: how several threads overwrite pairs of one stripe at the same time, each its own.
//!
//! A thread announces the pairs of its batch on a board before it looks at what others have announced. Of two
//! threads that want the same pair at least one sees the other, so at most one goes on: who sees any of its pairs
//! on the board takes his own off again and has the stripe alone instead. What is announced are hashes; two pairs
//! that share one are taken for the same. Claims stand until the effects of the batch have their place in the
//! journal, so its order is that of the changes of every pair.
//!
//! Who may be in a stripe at the same time at all is the matter of [`super::guard`]; how bytes change behind a
//! shared reference, of [`super::chunk`].

use std::cell::Cell;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, fence};

use parking_lot::RwLockReadGuard;

use super::name::{Name, NewDeadline};
use super::view::{Access, Known};
use super::{Stripe, touch};
use crate::error::Error;
use crate::journal::Lsn;

/// Pairs that one thread can claim at once.
pub(super) const CLAIMS_MAX: usize = 16;
/// Threads that can have claims; others have their stripes alone.
const THREADS_MAX: usize = 16;

/// What threads have announced.
#[derive(Debug, Default)]
pub(super) struct Board {
    places: [Place; THREADS_MAX],
}

/// One thread's place on the board, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place {
    is_taken: AtomicBool,
    tags: [AtomicU32; CLAIMS_MAX],
}

/// The name of a pair on the board. No pair has the tag 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u32);

impl Tag {
    /// Of the pair with this key in a namespace with this name, given their hashes.
    #[inline]
    pub fn new(name_hash: u64, key_hash: u64) -> Tag {
        Tag((name_hash.rotate_left(32) ^ key_hash) as u32 | 1)
    }
}

/// The claims of one thread, until they are dropped.
#[derive(Debug)]
pub(super) struct Announced<'b> {
    place: &'b Place,
    /// No other thread had any.
    is_only: bool,
}

impl Board {
    /// Claims pairs for a thread; `None` if another one has any of them, or this thread can not have claims now.
    #[inline]
    pub fn announce(
        &self,
        thread: usize,
        tags: impl Iterator<Item = Tag>,
    ) -> Option<Announced<'_>> {
        let mine = self.places.get(thread)?;
        if mine.is_taken.swap(true, AcqRel) {
            return None;
        }
        let mut announced = Announced { place: mine, is_only: true };
        let mut wanted = [0; CLAIMS_MAX];
        let mut len = 0;
        for tag in tags {
            *wanted.get_mut(len)? = tag.0;
            len += 1;
        }
        for (tag, wanted) in mine.tags.iter().zip(wanted) {
            tag.store(wanted, Release);
        }
        // Both announce before they look: one of the two looks last, and sees what the other has announced.
        fence(SeqCst);
        for (at, other) in self.places.iter().enumerate() {
            if at == thread || !other.is_taken.load(Acquire) {
                continue;
            }
            announced.is_only = false;
            if other.has_any(&wanted[..len]) {
                return None;
            }
        }
        Some(announced)
    }
}

impl Place {
    /// Whether any of these is announced here, which may just have ended. If not, what was done under claims that
    /// have ended is seen.
    #[inline]
    fn has_any(&self, wanted: &[u32]) -> bool {
        let tags = self.tags.each_ref().map(|tag| tag.load(Acquire));
        wanted.iter().any(|wanted| tags.iter().fold(false, |found, tag| found | (tag == wanted)))
    }
}

impl Drop for Announced<'_> {
    #[inline]
    fn drop(&mut self) {
        self.place.is_taken.store(false, Release);
    }
}

/// A stripe shared with others who overwrite pairs, and claims on some.
///
/// The stripe itself is not shown to anyone: who reads a pair that is not claimed could see it change.
#[derive(Debug)]
pub(super) struct Claimed<'s> {
    announced: Announced<'s>,
    /// Where the claim that is needed next stands: mostly they are needed in their order.
    next: Cell<usize>,
    stripe: RwLockReadGuard<'s, Stripe>,
}

/// Says that the pair to be put is claimed.
pub(super) struct Claim<'c> {
    put: &'c Put<'c>,
    now_ms: u64,
}

impl<'c> Claim<'c> {
    /// For a test that has the pair alone.
    #[cfg(test)]
    pub fn granted(put: &'c Put<'c>, now_ms: u64) -> Self {
        Claim { put, now_ms }
    }

    /// The pair.
    #[inline]
    pub fn put(&self) -> &'c Put<'c> {
        self.put
    }

    /// The deadline of the pair that had this one; `None` if it can not be overwritten where it lies.
    #[inline]
    pub fn deadline_ms(&self, old_ms: u64) -> Option<u64> {
        self.put.deadline.in_place(old_ms, self.now_ms)
    }
}

/// A pair as it is to be.
pub(super) struct Put<'p> {
    pub key: &'p [u8],
    pub key_hash: u64,
    pub value: &'p [u8],
    pub deadline: NewDeadline,
}

/// What a command fails with for which its claim is not enough. It is run again by who has the stripe alone.
#[cold]
pub(super) fn refused() -> Error {
    Error::coded("TRYAGAIN Others are writing to the namespace.")
}

impl<'s> Claimed<'s> {
    /// Claims pairs of a stripe that nobody reads while this is kept. Gives the stripe back if another thread has
    /// claimed any of them.
    #[inline]
    pub fn new(
        stripe: RwLockReadGuard<'s, Stripe>,
        board: &'s Board,
        thread: usize,
        tags: impl Iterator<Item = Tag>,
    ) -> Option<Claimed<'s>> {
        let announced = board.announce(thread, tags)?;
        Some(Claimed { announced, next: Cell::new(0), stripe })
    }

    /// Whether no other thread had any claims when these were made.
    #[inline]
    pub fn is_only(&self) -> bool {
        self.announced.is_only
    }

    /// Overwrites a pair, alive now, where it lies, if it is claimed, that needs no other room and brings nothing
    /// forward. Returns its deadline; `None` if nothing was changed.
    pub fn overwrite(&self, access: &Access<'_>, name: Name<'_>, put: &Put<'_>) -> Option<u64> {
        let claim = self.claim(name, put, access.now_ms)?;
        let entry = self.stripe.entry(access.db, name)?;
        if entry.is_expired(access.now_ms) || !entry.is_namespace() {
            return None;
        }
        let deadline_ms = entry.many.as_ref()?.overwrite_claimed(&claim)?;
        if access.touch {
            entry.access(access);
        }
        Some(deadline_ms)
    }

    /// Brings pairs into the processor's cache.
    #[inline]
    pub fn touch<'k>(&self, db: usize, pairs: impl Iterator<Item = Known<'k>>) {
        let mut last = (0, None);
        let pairs = pairs.map(|Known { name, key }| {
            if let Some(name) = name.filter(|name| name.hash != last.0) {
                last = (name.hash, self.stripe.entry(db, name));
            }
            (last.1, key)
        });
        touch::touch_pairs(pairs, false);
    }

    /// See [`Stripe::now_ms`] and [`Stripe::set_now_ms`].
    #[inline]
    pub fn settle_now_ms(&self, clock_ms: u64) -> u64 {
        let now_ms = clock_ms.max(self.stripe.now_ms.load(Relaxed));
        self.stripe.set_now_ms(now_ms);
        now_ms
    }

    /// LSN of the last effect on anything in the stripe.
    #[inline]
    pub fn lsn(&self) -> Lsn {
        self.stripe.lsn()
    }

    /// What was changed has this LSN.
    #[inline]
    pub fn set_lsn(&self, lsn: Lsn) {
        self.stripe.lsn.fetch_max(lsn, Relaxed);
    }

    #[inline]
    fn claim<'c>(&self, name: Name<'_>, put: &'c Put<'c>, now_ms: u64) -> Option<Claim<'c>> {
        let wanted = Tag::new(name.hash, put.key_hash);
        let next = self.next.get();
        let places = (next..CLAIMS_MAX).chain(0..next);
        let mut tags = places.map(|at| (at, &self.announced.place.tags[at]));
        let (at, _) = tags.find(|(_, tag)| tag.load(Relaxed) == wanted.0)?;
        self.next.set((at + 1) % CLAIMS_MAX);
        Some(Claim { put, now_ms })
    }
}
