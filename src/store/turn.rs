//! Whose turn it is while a script takes long, or while clients are paused: everyone else waits, or is
//! told so.
//!
//! A script that has used up its slice is *aside*: it holds no stripe while its thread looks after
//! others, and is protected by this instead. Who has taken a stripe must look here before he touches
//! what is in it. Several scripts can be aside at once, since each had its own stripes.
//!
//! A pause (CLIENT PAUSE) is looked at where commands come in, not where stripes are taken: what has
//! begun goes on to its end. While it lasts nothing expires or is evicted, either. Scripts and pause
//! share one word, so that a command that nobody hinders looks at nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Mutex, RwLockReadGuard};
use tokio::sync::Notify;

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

/// What a pause holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pause {
    /// Commands that change something, or that others would hear of.
    Writes,
    /// Every command.
    All,
}

/// What has to be over before a command that waits may run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wait {
    /// The scripts that are aside.
    #[default]
    Script,
    /// Any pause.
    AnyPause,
    /// A pause of everything.
    FullPause,
}

/// Bits of the word for scripts: 0 none, 1 aside, 2 busy.
const SCRIPT_BITS: u8 = 3;
const ASIDE: u8 = 1;
const BUSY: u8 = 2;
/// Clients are paused.
const PAUSED: u8 = 4;
/// And so are those who only read.
const PAUSED_ALL: u8 = 8;

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
    pause_began: Notify,
    pause_ended: Notify,
}

#[derive(Debug, Default)]
struct Aside {
    running: Vec<Arc<Running>>,
    is_busy: bool,
    /// What is paused, and until when, in unix ms.
    pause: Option<(Pause, u64)>,
    /// Who waits, by the number of his client.
    waiting: HashMap<u64, Waker>,
}

impl Turn {
    /// What scripts allow others to do now. Ask after a stripe was taken: what a script did before it
    /// let go of that stripe is known then.
    #[inline]
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) & SCRIPT_BITS {
            0 => State::Free,
            ASIDE => State::Aside,
            _ => State::Busy,
        }
    }

    /// Whether no script is aside.
    #[inline]
    pub fn is_free(&self) -> bool {
        self.state.load(Relaxed) & SCRIPT_BITS == 0
    }

    /// Whether neither a script nor a pause hinders anyone.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.state.load(Relaxed) == 0
    }

    /// Whether clients are paused: then nothing expires, and nothing is evicted.
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.state.load(Relaxed) & PAUSED != 0
    }

    /// Whether this has to be waited for.
    pub fn hinders(&self, wait: Wait) -> bool {
        let state = self.state.load(Acquire);
        match wait {
            Wait::Script => state & SCRIPT_BITS == ASIDE,
            Wait::AnyPause => state & PAUSED != 0,
            Wait::FullPause => state & PAUSED_ALL != 0,
        }
    }

    /// Pauses clients until a moment in unix ms. Of two pauses the longer time and the stricter kind
    /// count.
    pub fn pause(&self, kind: Pause, until_ms: u64) {
        let mut aside = self.aside.lock();
        let (old_kind, old_until_ms) = aside.pause.unwrap_or((kind, until_ms));
        aside.pause = Some((kind.max(old_kind), until_ms.max(old_until_ms)));
        self.publish(&aside);
        self.pause_began.notify_one();
    }

    /// Ends the pause.
    pub fn unpause(&self) {
        let mut aside = self.aside.lock();
        aside.pause = None;
        self.publish(&aside);
        wake(&mut aside);
        self.pause_ended.notify_waiters();
    }

    /// Waits for the end of a pause.
    pub async fn pause_ended(&self) {
        self.pause_ended.notified().await;
    }

    /// Waits until a pause begins or lasts longer.
    pub async fn pause_began(&self) {
        self.pause_began.notified().await;
    }

    /// Ends the pause if its time is over; otherwise, how long it lasts, in ms.
    pub fn pause_left_ms(&self, now_ms: u64) -> Option<u64> {
        let (_, until_ms) = self.aside.lock().pause?;
        if until_ms <= now_ms {
            self.unpause();
            return None;
        }
        Some(until_ms - now_ms)
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

    /// Lets a client wait while this has to be waited for.
    pub fn poll(&self, wait: Wait, client_id: u64, cx: &mut Context<'_>) -> Poll<()> {
        if !self.hinders(wait) {
            return Poll::Ready(());
        }
        let mut aside = self.aside.lock();
        // The word is only changed under this lock.
        if !self.hinders(wait) {
            return Poll::Ready(());
        }
        aside.waiting.insert(client_id, cx.waker().clone());
        Poll::Pending
    }

    /// A client that waited has left.
    pub fn forget(&self, client_id: u64) {
        self.aside.lock().waiting.remove(&client_id);
    }

    /// What who has to wait too long is told.
    pub fn busy(&self) -> Error {
        let is_eval = self.running().is_none_or(|running| running.is_eval);
        let kill = if is_eval { "SCRIPT KILL" } else { "FUNCTION KILL" };
        Error::coded(format!(
            "BUSY Redis is busy running a script. You can only call {kill} or SHUTDOWN NOSAVE."
        ))
    }

    /// What who would have to wait, and can not, is told.
    pub fn refusal(&self, wait: Wait) -> Error {
        match wait {
            Wait::Script => self.busy(),
            Wait::AnyPause | Wait::FullPause => {
                Error::coded("PAUSED Clients are paused for now (CLIENT PAUSE). Try again later.")
            }
        }
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
        let scripts = match (aside.running.is_empty(), aside.is_busy) {
            (true, _) => 0,
            (false, false) => ASIDE,
            (false, true) => BUSY,
        };
        let pause = match aside.pause {
            None => 0,
            Some((Pause::Writes, _)) => PAUSED,
            Some((Pause::All, _)) => PAUSED | PAUSED_ALL,
        };
        self.state.swap(scripts | pause, AcqRel);
    }
}

fn wake(aside: &mut Aside) {
    aside.waiting.drain().for_each(|(_, waker)| waker.wake());
}

impl Store {
    /// One stripe, while no script is aside. The thread waits for that: not for one that serves clients.
    pub(super) fn lock_in_turn(&self, number: usize) -> RwLockReadGuard<'_, Stripe> {
        loop {
            let stripe = self.stripes[number].lock.read();
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
