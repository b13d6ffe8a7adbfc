//! The lock of one stripe while it is held: alone, or shared with others that only read.
//!
//! Which stripes are held, and how they are taken, is in [`super::held`].

use std::ops::Deref;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Stripe;

/// What may be done to a stripe that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing is changed, and others may look at the same time.
    Shared,
    /// Nobody else is there.
    Alone,
}

/// How often who waits looks again before it sleeps.
const SPINS: usize = 400;

pub(super) enum Guard<'s> {
    Shared(RwLockReadGuard<'s, Stripe>),
    Alone(RwLockWriteGuard<'s, Stripe>),
}

impl<'s> Guard<'s> {
    #[inline]
    pub fn take(stripe: &'s RwLock<Stripe>, hold: Hold) -> Guard<'s> {
        if let Some(guard) = Guard::try_take(stripe, hold) {
            return guard;
        }
        Guard::wait(stripe, hold)
    }

    /// Whoever holds it has it for a few µs: to sleep and to be woken would take longer than that.
    #[cold]
    fn wait(stripe: &'s RwLock<Stripe>, hold: Hold) -> Guard<'s> {
        for _ in 0..SPINS {
            std::hint::spin_loop();
            let is_taken = match hold {
                Hold::Shared => stripe.is_locked_exclusive(),
                Hold::Alone => stripe.is_locked(),
            };
            if !is_taken && let Some(guard) = Guard::try_take(stripe, hold) {
                return guard;
            }
        }
        match hold {
            Hold::Shared => Guard::Shared(stripe.read()),
            Hold::Alone => Guard::Alone(stripe.write()),
        }
    }

    /// The same without waiting.
    #[inline]
    pub fn try_take(stripe: &'s RwLock<Stripe>, hold: Hold) -> Option<Guard<'s>> {
        match hold {
            Hold::Shared => stripe.try_read().map(Guard::Shared),
            Hold::Alone => stripe.try_write().map(Guard::Alone),
        }
    }

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
        let is_free = |hold| Guard::try_take(&store.stripes[number].stripe, hold).is_some();
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
