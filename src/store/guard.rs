//! The lock of one stripe, and a stripe while it is held: alone, or shared with others that only read.
//!
//! Those who only overwrite pairs can share a stripe with one another, too, but not with readers. So a stripe is
//! *divided* or it is not, which changes under the lock alone: while it is, the lock is shared by those who have
//! claims on pairs (see [`super::claims`]); who comes to read makes it whole again. It is divided when those who
//! overwrite pairs are in each other's way, and whole again when that does not help them, or only one is left.
//!
//! Which stripes are held, and how they are taken, is in [`super::held`].

use std::ops::Deref;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI32};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::claims::{Board, Claimed, Tag};
use super::{Name, Store, Stripe, stripe_of};

/// What may be done to a stripe that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing is changed, and others may look at the same time.
    Shared,
    /// Pairs are put and nothing else is looked at: others may do the same to other pairs. Who can not have that
    /// is alone.
    Pairs,
    /// Nobody else is there.
    Alone,
}

/// How often who waits looks again before it sleeps.
const SPINS: usize = 400;

/// A stripe is divided at this heat. It loses one each time somebody puts pairs and nobody else does, and is whole at
/// 0 again.
const HEAT_DIVIDED: i32 = 64;
/// What it gains when one who puts pairs has to wait for others.
const HEAT_OF_WAITING: i32 = 8;
/// What it loses when claims are refused, or are not enough.
const HEAT_OF_REFUSAL: i32 = 16;
/// That of a stripe that was made whole because it did not help: it is not divided again soon.
const HEAT_REFUSED: i32 = -512;

/// A stripe and its lock.
#[derive(Debug)]
pub(super) struct Lock {
    stripe: RwLock<Stripe>,
    /// Who shares the lock has claims, and does not read. Changed by who is alone.
    is_divided: AtomicBool,
    /// How much those who put pairs are in each other's way.
    heat: AtomicI32,
}

impl Lock {
    pub fn new(stripe: Stripe) -> Lock {
        let (is_divided, heat) = (AtomicBool::new(false), AtomicI32::new(0));
        Lock { stripe: RwLock::new(stripe), is_divided, heat }
    }

    #[inline]
    pub fn take(&self, hold: Hold) -> Guard<'_> {
        if let Some(guard) = self.try_take(hold) {
            return guard;
        }
        self.wait(hold)
    }

    /// The same without waiting.
    #[inline]
    pub fn try_take(&self, hold: Hold) -> Option<Guard<'_>> {
        match hold {
            Hold::Shared => {
                let stripe = self.stripe.try_read()?;
                (!self.is_divided()).then_some(Guard::Shared(stripe))
            }
            Hold::Pairs | Hold::Alone => self.stripe.try_write().map(Guard::Alone),
        }
    }

    /// To be read by a thread that may sleep.
    pub fn read(&self) -> RwLockReadGuard<'_, Stripe> {
        let stripe = self.stripe.read();
        if !self.is_divided() {
            return stripe;
        }
        drop(stripe);
        let stripe = self.write();
        self.make_whole(HEAT_REFUSED);
        RwLockWriteGuard::downgrade(stripe)
    }

    /// To be changed by a thread that may sleep.
    pub fn write(&self) -> RwLockWriteGuard<'_, Stripe> {
        self.stripe.write()
    }

    /// Shares the stripe with those who overwrite other pairs, if it is divided and no other thread has claims on
    /// these; otherwise takes it alone.
    #[inline]
    pub fn take_pairs<'s>(
        &'s self,
        board: &'s Board,
        thread: usize,
        tags: impl Iterator<Item = Tag>,
    ) -> Result<Claimed<'s>, Guard<'s>> {
        if self.is_divided() {
            return self.claim(board, thread, tags);
        }
        if let Some(stripe) = self.stripe.try_write() {
            let heat = self.heat.load(Relaxed);
            self.heat.store(heat - i32::from(heat > 0), Relaxed);
            return Err(Guard::Alone(stripe));
        }
        let guard = self.wait(Hold::Alone);
        let heat = self.heat.load(Relaxed) + HEAT_OF_WAITING;
        self.heat.store(heat.min(HEAT_DIVIDED), Relaxed);
        self.is_divided.store(heat >= HEAT_DIVIDED, Relaxed);
        Err(guard)
    }

    /// Divides it, to be shared by those who have claims.
    pub fn divide(&self) {
        let _alone = self.write();
        self.heat.store(HEAT_DIVIDED, Relaxed);
        self.is_divided.store(true, Relaxed);
    }

    /// Claims have not been enough. The lock must be held alone.
    #[cold]
    pub fn cool(&self) {
        let heat = self.heat.load(Relaxed) - HEAT_OF_REFUSAL;
        match heat > 0 {
            true => self.heat.store(heat, Relaxed),
            false => self.make_whole(HEAT_REFUSED),
        }
    }

    fn claim<'s>(
        &'s self,
        board: &'s Board,
        thread: usize,
        tags: impl Iterator<Item = Tag>,
    ) -> Result<Claimed<'s>, Guard<'s>> {
        if self.heat.load(Relaxed) <= 0 {
            let guard = self.take(Hold::Alone);
            self.make_whole(0);
            return Err(guard);
        }
        let stripe = spin(|| self.stripe.try_read()).unwrap_or_else(|| self.stripe.read());
        let stripe = Some(stripe).filter(|_| self.is_divided());
        if let Some(claimed) = stripe.and_then(|stripe| Claimed::new(stripe, board, thread, tags)) {
            if claimed.is_only() {
                self.heat.fetch_sub(1, Relaxed);
            } else if self.heat.load(Relaxed) < HEAT_DIVIDED {
                self.heat.store(HEAT_DIVIDED, Relaxed);
            }
            return Ok(claimed);
        }
        let guard = self.take(Hold::Alone);
        if self.is_divided() {
            self.cool();
        }
        Err(guard)
    }

    /// Whoever holds it has it for a few µs: to sleep and to be woken would take longer than that.
    #[cold]
    fn wait(&self, hold: Hold) -> Guard<'_> {
        if hold == Hold::Shared && self.is_divided() {
            return Guard::Shared(self.read());
        }
        let taken = spin(|| match hold {
            Hold::Shared if self.stripe.is_locked_exclusive() => None,
            Hold::Pairs | Hold::Alone if self.stripe.is_locked() => None,
            hold => self.try_take(hold),
        });
        taken.unwrap_or_else(|| match hold {
            Hold::Shared => Guard::Shared(self.read()),
            Hold::Pairs | Hold::Alone => Guard::Alone(self.write()),
        })
    }

    #[inline]
    fn is_divided(&self) -> bool {
        self.is_divided.load(Relaxed)
    }

    /// The lock must be held alone.
    fn make_whole(&self, heat: i32) {
        self.heat.store(heat, Relaxed);
        self.is_divided.store(false, Relaxed);
    }
}

/// Looks some times.
#[inline]
fn spin<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..SPINS {
        if let Some(found) = look() {
            return Some(found);
        }
        std::hint::spin_loop();
    }
    None
}

impl Store {
    /// Lets threads overwrite pairs under a name side by side at once, as they come to when they have to wait for each
    /// other: for tests of that.
    pub fn divide(&self, name: Name<'_>) {
        self.stripes[stripe_of(name.hash)].lock.divide();
    }
}

pub(super) enum Guard<'s> {
    Shared(RwLockReadGuard<'s, Stripe>),
    Alone(RwLockWriteGuard<'s, Stripe>),
}

impl Guard<'_> {
    /// Whether this may be done.
    #[inline]
    pub fn allows(&self, hold: Hold) -> bool {
        hold == Hold::Shared || matches!(self, Guard::Alone(_))
    }

    /// To be changed. Who shares it must not.
    #[inline]
    pub fn alone(&mut self) -> &mut Stripe {
        match self {
            Guard::Alone(stripe) => stripe,
            Guard::Shared(_) => panic!("a stripe that is shared is to be changed"),
        }
    }
}

impl Deref for Guard<'_> {
    type Target = Stripe;

    #[inline]
    fn deref(&self) -> &Stripe {
        match self {
            Guard::Shared(stripe) => stripe,
            Guard::Alone(stripe) => stripe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::journal::Journal;
    use crate::journal::effect::Effects;
    use crate::store::{Held, Store};

    #[test]
    fn who_only_reads_shares_a_stripe_and_who_changes_is_alone() {
        let store = Store::new(Journal::discarding(), Clock::system());
        let name = store.name(b"shared");
        let number = crate::store::stripe_of(name.hash);
        let is_free = |hold| store.stripes[number].lock.try_take(hold).is_some();
        let mut held = Held::new(&store);
        held.lock(name, Hold::Shared);
        assert!(held.turn_to(name, Hold::Shared) && !held.turn_to(name, Hold::Alone));
        assert!(!held.is_alone() && is_free(Hold::Shared) && !is_free(Hold::Alone));
        held.release(&mut Effects::default());
        held.lock(name, Hold::Alone);
        assert!(held.turn_to(name, Hold::Shared) && held.turn_to(name, Hold::Alone));
        assert!(held.is_alone() && !is_free(Hold::Shared) && !is_free(Hold::Alone));
        held.release(&mut Effects::default());
        assert!(!held.is_alone() && is_free(Hold::Alone));
    }
}
