//! Between a script and the thread that runs it: requests and replies pass here, on one thread.
//!
//! A script has a stack of its own. [`Host::call`] and [`Host::tick`] are used on that stack and leave
//! it; they return when the thread goes on with the script.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use corosensei::Yielder;
use mlua::{Function, Value};

use super::library::Registered;

use crate::resp::owned::OwnedRequest;

/// Time a script may run before its thread looks after others.
pub const SLICE: Duration = Duration::from_millis(5);

/// Why a script's stack was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// It is done, or was never begun: [`Host::job`] is what it would do next.
    Job,
    /// The command in [`Host::request`] is to be run, its reply written to [`Host::reply`].
    Call,
    /// The slice is over.
    Tick,
}

/// How it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// As it asked for.
    Go,
    /// It must end; no code of it may run any more.
    End,
}

/// What scripts of one thread share with it.
#[derive(Default)]
pub struct Host {
    /// What to run next.
    pub job: RefCell<Option<Job>>,
    /// What came of it.
    pub outcome: RefCell<Option<mlua::Result<(bool, Value)>>>,
    /// The command that a script calls.
    pub request: RefCell<OwnedRequest>,
    /// What it answered.
    pub reply: RefCell<Vec<u8>>,
    /// The script has asked for RESP3's types.
    pub is_resp3: Cell<bool>,
    /// What the library that is being loaded has registered.
    pub loading: RefCell<Option<Vec<Registered>>>,
    /// The script must end.
    pub is_ended: Cell<bool>,
    slice_end: Cell<Option<Instant>>,
}

/// A Lua function to run, with its arguments.
pub struct Job {
    /// Takes the arguments; returns whether all went well, and a value or an error.
    pub run: Function,
    /// The script, and a function's keys and arguments.
    pub args: Vec<Value>,
}

/// What leaves a script's stack.
pub type Leave = Yielder<Answer, Ask>;

scoped_tls::scoped_thread_local!(pub(super) static LEAVE: Leave);

impl Host {
    /// Begins a slice of the thread's time.
    pub fn begin_slice(&self) {
        self.slice_end.set(Some(Instant::now() + SLICE));
    }

    /// Has the command in [`Host::request`] run. On a script's stack only.
    pub fn call(&self) -> Answer {
        self.leave(Ask::Call)
    }

    /// Lets others have their turn if the slice is over. On a script's stack only.
    pub fn tick(&self) -> Answer {
        if self.is_ended.get() {
            return Answer::End;
        }
        match self.slice_end.get() {
            Some(end) if Instant::now() >= end => self.leave(Ask::Tick),
            _ => Answer::Go,
        }
    }

    fn leave(&self, ask: Ask) -> Answer {
        let answer = LEAVE.with(|leave| leave.suspend(ask));
        if answer == Answer::End {
            self.is_ended.set(true);
        }
        answer
    }
}
