//! Whose turn it is while a script takes long: everyone else waits, or is told so.
//!
//! A script that has used up its slice is *aside*: it holds no stripe while its thread looks after
//! others, and is protected by this instead. Who has taken a stripe must look here before he touches
//! what is in it. Several scripts can be aside at once, since each had its own stripes.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::{Held, Store, Stripe};
use crate::error::Error;

/// Time between two looks of a thread that has to wait.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What others may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything.
    Free,
    /// Wait.
    Aside,
    /// Be told that a script is busy.
    Busy,
}

/// A script that takes long, as others see it.
#[derive(Debug)]
pub struct Running {
    /// Its SHA-1, or the name of the function.
    pub name: Box<str>,
    /// Its client's command, for FUNCTION STATS.
    pub command: Vec<Vec<u8>>,
    /// Whether it came with EVAL, not FCALL.
    pub is_eval: bool,
    /// When it began, in unix ms.
    pub started_ms: u64,
    /// It has changed something.
    pub has_written: AtomicBool,
    /// Someone has asked that it end.
    pub is_killed: AtomicBool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Turn {
    state: AtomicU8,
    aside: Mutex<Aside>,
}

#[derive(Debug, Default)]
struct Aside {
    running: Vec<Arc<Running>>,
    is_busy: bool,
    waiting: Vec<Waker>,
}

impl Turn {
    /// What others may do now. Ask after a stripe was taken: what a script did before it let go of
    /// that stripe is known then.
    #[inline]
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            0 => State::Free,
            1 => State::Aside,
            _ => State::Busy,
        }
    }

    /// Whether everything may be done.
    #[inline]
    pub fn is_free(&self) -> bool {
        self.state.load(Relaxed) == 0
    }

    /// Puts a script aside. Its stripes must be held.
    pub fn enter(&self, running: Arc<Running>) {
        let mut aside = self.aside.lock();
        aside.running.push(running);
        self.publish(&aside);
    }

    /// The script is done.
    pub fn leave(&self, running: &Arc<Running>) {
        let mut aside = self.aside.lock();
        aside.running.retain(|other| !Arc::ptr_eq(other, running));
        if aside.running.is_empty() {
            aside.is_busy = false;
        }
        self.publish(&aside);
        wake(&mut aside);
    }

    /// From now on, others are told that a script is busy.
    pub fn grow_busy(&self) {
        let mut aside = self.aside.lock();
        if !std::mem::replace(&mut aside.is_busy, true) {
            self.publish(&aside);
            wake(&mut aside);
        }
    }

    /// Whether this script is the only one that is aside.
    pub fn is_alone(&self, running: &Arc<Running>) -> bool {
        self.aside.lock().running.iter().all(|other| Arc::ptr_eq(other, running))
    }

    /// The script that others are told of.
    pub fn running(&self) -> Option<Arc<Running>> {
        self.aside.lock().running.first().cloned()
    }

    /// Waits while others have to wait.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.load(Acquire) != 1 {
            return Poll::Ready(());
        }
        let mut aside = self.aside.lock();
        if aside.running.is_empty() || aside.is_busy {
            return Poll::Ready(());
        }
        aside.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// What who has to wait too long is told.
    pub fn busy(&self) -> Error {
        let is_eval = self.running().is_none_or(|running| running.is_eval);
        let kill = if is_eval { "SCRIPT KILL" } else { "FUNCTION KILL" };
        Error::coded(format!(
            "BUSY Redis is busy running a script. You can only call {kill} or SHUTDOWN NOSAVE."
        ))
    }

    /// SCRIPT KILL (`is_eval`) and FUNCTION KILL.
    ///
    /// # Errors
    /// When there is none, it is of the other kind, or it has changed something.
    pub fn kill(&self, is_eval: bool) -> Result<(), Error> {
        let Some(running) = self.running() else {
            return Err(Error::coded("NOTBUSY No scripts in execution right now."));
        };
        if running.has_written.load(Relaxed) {
            return Err(Error::coded(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. \
                 You can either wait the script termination or kill the server in a hard way using \
                 the SHUTDOWN NOSAVE command.",
            ));
        }
        if running.is_eval != is_eval {
            return Err(self.busy());
        }
        running.is_killed.store(true, Release);
        Ok(())
    }

    fn publish(&self, aside: &Aside) {
        let state = match (aside.running.is_empty(), aside.is_busy) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        self.state.swap(state, AcqRel);
    }
}

fn wake(aside: &mut Aside) {
    aside.waiting.drain(..).for_each(Waker::wake);
}

impl Store {
    /// One stripe, while no script is aside. The thread waits for that: not for one that serves clients.
    pub(super) fn lock_in_turn(&self, number: usize) -> MutexGuard<'_, Stripe> {
        loop {
            let stripe = self.stripes[number].stripe.lock();
            if self.turn.is_free() {
                return stripe;
            }
            drop(stripe);
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Held<'_> {
    /// [`Held::lock_all`] while no script is aside. The thread waits for that: not for one that serves
    /// clients.
    pub fn lock_all_in_turn(&mut self) {
        loop {
            self.lock_all();
            if self.store.turn.is_free() {
                return;
            }
            *self = Held::new(self.store);
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}
