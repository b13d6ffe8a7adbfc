//! Between a script and the thread that runs it: requests and replies pass here, on one thread.
//!
//! A script has a stack of its own. [`Host::call`] and [`Host::tick`] are used on that stack and leave
//! it; they return when the thread goes on with the script.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use corosensei::Yielder;
use mlua::{Function, Lua, Table, Value};

use super::library::Registered;

use crate::output::Output;
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
    /// Whether the script's client may run the command in [`Host::request`]; goes to [`Host::allowed`].
    Allowed,
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
pub struct Host {
    /// What to run next.
    pub job: RefCell<Option<Job>>,
    /// What came of it.
    pub outcome: RefCell<Option<mlua::Result<(bool, Value)>>>,
    /// The command that a script calls.
    pub request: RefCell<OwnedRequest>,
    /// Whether the client may run the command that was asked for; `None`: there is no such command.
    pub allowed: Cell<Option<bool>>,
    /// What it answered.
    pub reply: RefCell<Output>,
    /// The script has asked for RESP3's types.
    pub is_resp3: Cell<bool>,
    /// What the library that is being loaded has registered.
    pub loading: RefCell<Option<Vec<Registered>>>,
    /// The script must end.
    pub is_ended: Cell<bool>,
    /// The client's command, or its beginning.
    pub command: RefCell<OwnedRequest>,
    slice_began: Cell<Instant>,
    /// A script's stack is the one that runs. Lua is used on the thread's own, too.
    pub is_on_stack: Cell<bool>,
    /// Functions that are kept for later.
    pub functions: Functions,
}

/// A Lua function to run, with its arguments.
pub struct Job {
    /// Takes the arguments; returns whether all went well, and a value or an error.
    pub run: Function,
    /// The script, and a function's keys and arguments.
    pub args: Vec<Value>,
}

/// Functions that are kept: in a table of Lua's, since mlua can refer to some thousand values only. That table
/// is in another one, so that it can be replaced.
#[derive(Clone)]
pub struct Functions(Rc<(Table, RefCell<Free>)>);

#[derive(Default)]
struct Free {
    places: Vec<usize>,
    end: usize,
}

/// One of [`Functions`].
pub struct Stored {
    functions: Functions,
    place: usize,
}

/// Where the table of functions is in its holder.
const HELD: &str = "functions";

impl Functions {
    fn new(lua: &Lua) -> mlua::Result<Functions> {
        let holder = lua.create_table()?;
        holder.raw_set(HELD, lua.create_table()?)?;
        Ok(Functions(Rc::new((holder, RefCell::default()))))
    }

    /// The table whose field `functions` is the table that they are in.
    pub fn holder(&self) -> &Table {
        &self.0.0
    }

    /// Keeps a function.
    ///
    /// # Errors
    /// When memory is used up.
    pub fn store(&self, function: Function) -> mlua::Result<Stored> {
        let (holder, free) = &*self.0;
        let place = {
            let mut free = free.borrow_mut();
            free.places.pop().unwrap_or_else(|| {
                free.end += 1;
                free.end
            })
        };
        holder.raw_get::<Table>(HELD)?.raw_set(place, function)?;
        Ok(Stored { functions: self.clone(), place })
    }

    /// Gives back the room of functions that are not kept any more: a table of Lua's does not become smaller
    /// by itself.
    ///
    /// # Errors
    /// When memory is used up.
    pub fn shrink(&self, lua: &Lua) -> mlua::Result<()> {
        let (holder, free) = &*self.0;
        let (old, new) = (holder.raw_get::<Table>(HELD)?, lua.create_table()?);
        let (end, mut last) = (free.borrow().end, 0);
        let mut places = Vec::new();
        for place in 1..=end {
            match old.raw_get::<Value>(place)? {
                function @ Value::Function(_) => {
                    new.raw_set(place, function)?;
                    last = place;
                }
                _ => places.push(place),
            }
        }
        holder.raw_set(HELD, new)?;
        places.retain(|&place| place < last);
        *free.borrow_mut() = Free { places, end: last };
        Ok(())
    }
}

impl Stored {
    /// Where it is in the table.
    pub fn place(&self) -> usize {
        self.place
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        let (holder, free) = &*self.functions.0;
        if holder.weak_lua().try_upgrade().is_none() {
            return;
        }
        // It would only stay longer.
        let removed = holder.raw_get::<Table>(HELD).map(|table| table.raw_set(self.place, false));
        drop(removed);
        free.borrow_mut().places.push(self.place);
    }
}

/// Bytes that all that scripts of one thread have made may take.
const MEMORY_MAX_BYTES: usize = 256 << 20;

/// While it lives, Lua may not use more memory than that. Only code of scripts is limited: where memory
/// can not run out, mlua need not be careful.
pub struct Limited<'a>(&'a Lua);

impl<'a> Limited<'a> {
    /// From now on.
    pub fn new(lua: &'a Lua) -> Limited<'a> {
        // It is our own allocator, so it can be limited.
        let _ = lua.set_memory_limit(MEMORY_MAX_BYTES);
        Limited(lua)
    }
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        let _ = self.0.set_memory_limit(0);
    }
}

/// Bytes that the server makes in Lua of one byte of a reply, of JSON or of MessagePack, at most: an
/// empty table, and its place in a table that grows.
const BYTES_FROM_ONE_MAX: usize = 128;

/// Bytes that scripts of this thread may still take.
pub fn memory_left(lua: &Lua) -> usize {
    MEMORY_MAX_BYTES.saturating_sub(lua.used_memory())
}

/// While it lives, Lua is not limited, for what the server itself makes of an input so short that the
/// limit can not be passed. With a longer one memory can run out, and Lua stays limited.
pub struct Unlimited<'a>(&'a Lua);

impl<'a> Unlimited<'a> {
    /// From now on, for an input of so many bytes.
    pub fn for_input(lua: &'a Lua, bytes: usize) -> Unlimited<'a> {
        if bytes.saturating_mul(BYTES_FROM_ONE_MAX) <= memory_left(lua) {
            let _ = lua.set_memory_limit(0);
        }
        Unlimited(lua)
    }
}

impl Drop for Unlimited<'_> {
    fn drop(&mut self) {
        let _ = self.0.set_memory_limit(MEMORY_MAX_BYTES);
    }
}

/// What leaves a script's stack.
pub type Leave = Yielder<Answer, Ask>;

scoped_tls::scoped_thread_local!(pub(super) static LEAVE: Leave);

impl Host {
    /// For one Lua.
    ///
    /// # Errors
    /// When memory is used up.
    pub fn new(lua: &Lua) -> mlua::Result<Host> {
        Ok(Host {
            job: RefCell::default(),
            outcome: RefCell::default(),
            request: RefCell::default(),
            reply: RefCell::default(),
            allowed: Cell::default(),
            is_resp3: Cell::default(),
            loading: RefCell::default(),
            is_ended: Cell::default(),
            command: RefCell::default(),
            slice_began: Cell::new(crate::clock::instant()),
            is_on_stack: Cell::default(),
            functions: Functions::new(lua)?,
        })
    }

    /// Begins a slice of the thread's time.
    pub fn begin_slice(&self) {
        self.slice_began.set(crate::clock::instant());
    }

    /// When the slice began.
    pub fn slice_began(&self) -> Instant {
        self.slice_began.get()
    }

    /// Has the command in [`Host::request`] run. On a script's stack only.
    pub fn call(&self) -> Answer {
        self.leave(Ask::Call)
    }

    /// Asks whether the client may run the command in [`Host::request`]. On a script's stack only.
    pub fn ask_allowed(&self) -> Answer {
        self.leave(Ask::Allowed)
    }

    /// Lets others have their turn if the slice is over, and this is a script's stack.
    pub fn tick(&self) -> Answer {
        if self.is_ended.get() {
            return Answer::End;
        }
        if !self.is_on_stack.get() {
            return Answer::Go;
        }
        match self.slice_began.get().elapsed() >= SLICE {
            true => self.leave(Ask::Tick),
            false => Answer::Go,
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
