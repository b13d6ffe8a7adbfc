//! One thread's Lua: compiles scripts, and runs one at a time on a stack of its own.
//!
//! What scripts can reach is `sandbox`'s matter; locks and commands are the executor's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use mlua::chunk::ChunkMode;
use mlua::state::{GcIncParams, GcMode};
use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};

use super::api::message;
use super::flags::Flags;
use super::host::{Answer, Ask, Host, Job, LEAVE, Limited, Stored};
use super::library::{self, Libraries, Library};
use super::{Habits, Script, Scripts, Sha, api, flags, sandbox};
use crate::clock;
use crate::error::{Error, Result};
use crate::store::libraries::Kept;

/// Bytes of a script's own stack. Lua nests at most 200 calls through Rust, each of a few KiB.
const STACK_BYTES: usize = 4 << 20;
/// Instructions between two looks at the clock.
const INSTRUCTIONS: u32 = 10_000;
/// How large this Lua becomes before garbage is collected again, in percent of what was in use.
const GC_PAUSE_PERCENT: i32 = 140;
/// How much faster than memory is taken the collector works, in percent: it is soon done.
const GC_STEP_PERCENT: i32 = 1000;
/// What user code is called in errors, behind the sign that it is a name.
const CHUNK: &str = "@user_script";
/// The same for libraries.
const LIBRARY_CHUNK: &str = "@user_function";

thread_local! {
    static ENGINE: RefCell<Slot> = const { RefCell::new(Slot::Unmade) };
}

enum Slot {
    Unmade,
    Idle(Box<Engine>),
    /// A script is running, or aside.
    Taken,
}

/// One thread's Lua.
pub struct Engine {
    /// What a running script shares with its thread.
    pub host: Rc<Host>,
    stack: Coroutine<Answer, Ask, ()>,
    lua: Lua,
    /// By text, for EVAL.
    by_text: HashMap<Box<[u8]>, Rc<Compiled>, foldhash::fast::RandomState>,
    /// By name, for EVALSHA.
    by_sha: HashMap<Sha, Rc<Compiled>, foldhash::fast::RandomState>,
    /// See [`Scripts::forgotten`]: what was forgotten before is not here any more.
    forgotten: u64,
    /// See [`Scripts::flushes`].
    flushes: u64,
    run: Function,
    /// Libraries that are loaded here, and their functions.
    pub libraries: Libraries,
    /// Lets code see what libraries find while they are loaded, or not.
    set_loading: Function,
}

/// A script or function that this thread can run.
pub struct Compiled {
    /// What it is called in errors: its SHA-1, or the function's name.
    pub name: Box<str>,
    /// What it says of itself.
    pub flags: Flags,
    /// What was learned of it.
    pub habits: Arc<Habits>,
    /// What all threads know of it, if it is a script.
    pub script: Option<Arc<Script>>,
    pub(super) function: Stored,
}

impl Compiled {
    fn is_alive(&self) -> bool {
        self.script.as_ref().is_some_and(|script| script.is_alive())
    }
}

impl Engine {
    /// Takes the calling thread's engine, to be given back with [`Engine::put_back`]. `None` while a
    /// script runs or is aside, or without memory for one.
    pub fn take() -> Option<Box<Engine>> {
        ENGINE.with_borrow_mut(|slot| match std::mem::replace(slot, Slot::Taken) {
            Slot::Idle(engine) => Some(engine),
            Slot::Unmade => match Engine::new() {
                Ok(engine) => Some(Box::new(engine)),
                Err(error) => {
                    tracing::error!("no Lua for scripts: {error}");
                    *slot = Slot::Unmade;
                    None
                }
            },
            Slot::Taken => None,
        })
    }

    /// Gives the engine back to its thread.
    pub fn put_back(self: Box<Engine>) {
        ENGINE.with_borrow_mut(|slot| *slot = Slot::Idle(self));
    }

    /// Bytes that this Lua takes, with all that scripts have left in it.
    pub fn bytes(&self) -> usize {
        self.lua.used_memory()
    }

    fn new() -> anyhow::Result<Engine> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::new()).map_err(anyhow_of)?;
        let host = Rc::new(Host::new(&lua).map_err(anyhow_of)?);
        let build = || {
            let loading = library::redis(&lua, &host)?;
            sandbox::build(&lua, api::redis(&lua, &host)?, loading, host.functions.holder())
        };
        let sandbox = build().map_err(anyhow_of)?;
        set_hook(&lua, &host).map_err(anyhow_of)?;
        keep_small(&lua).map_err(anyhow_of)?;
        let stack = DefaultStack::new(STACK_BYTES)?;
        Ok(Engine {
            stack: Coroutine::with_stack(stack, stack_of(lua.clone(), host.clone())),
            host,
            lua,
            by_text: HashMap::default(),
            by_sha: HashMap::default(),
            forgotten: 0,
            flushes: 0,
            run: sandbox.run,
            libraries: Libraries::default(),
            set_loading: sandbox.set_loading,
        })
    }

    /// The script with this text, compiled.
    ///
    /// # Errors
    /// When it can not be compiled.
    pub fn by_text(&mut self, scripts: &Scripts, text: &[u8]) -> Result<Rc<Compiled>> {
        if let Some(compiled) = self.by_text.get(text).filter(|it| it.is_alive()) {
            return Ok(compiled.clone());
        }
        self.forget_dead(scripts);
        let script = scripts.add(text, false)?;
        self.compile(scripts, script)
    }

    /// The script with this name, compiled.
    ///
    /// # Errors
    /// When there is none.
    pub fn by_sha(&mut self, scripts: &Scripts, sha: &Sha) -> Result<Rc<Compiled>> {
        if let Some(compiled) = self.by_sha.get(sha).filter(|it| it.is_alive()) {
            return Ok(compiled.clone());
        }
        self.forget_dead(scripts);
        let script = scripts.find(sha).ok_or_else(super::no_script)?;
        self.compile(scripts, script)
    }

    /// Remembers a text until SCRIPT FLUSH, if it can be compiled.
    ///
    /// # Errors
    /// When it can not be compiled.
    pub fn load(&mut self, scripts: &Scripts, text: &[u8]) -> Result<Sha> {
        let script = scripts.add(text, true)?;
        let sha = script.sha;
        self.compile(scripts, script).map(|_| sha)
    }

    fn compile(&mut self, scripts: &Scripts, script: Arc<Script>) -> Result<Rc<Compiled>> {
        let chunk = self.lua.load(script.code()).set_name(CHUNK).set_mode(ChunkMode::Text);
        let function = chunk.into_function().map_err(|error| {
            scripts.remove(&script);
            let text = format!("Error compiling script (new function): {}", message(&error));
            Error::plain(text)
        })?;
        let compiled = Rc::new(Compiled {
            name: String::from_utf8_lossy(&script.sha).into(),
            flags: script.flags,
            habits: script.habits.clone(),
            script: Some(script.clone()),
            function: self
                .host
                .functions
                .store(function)
                .map_err(|error| Error::plain(message(&error)))?,
        });
        self.by_text.insert(script.text.clone(), compiled.clone());
        self.by_sha.insert(script.sha, compiled.clone());
        Ok(compiled)
    }

    fn forget_dead(&mut self, scripts: &Scripts) {
        if std::mem::replace(&mut self.forgotten, scripts.forgotten()) == self.forgotten {
            return;
        }
        self.by_text.retain(|_, compiled| compiled.is_alive());
        self.by_sha.retain(|_, compiled| compiled.is_alive());
        if std::mem::replace(&mut self.flushes, scripts.flushes()) != self.flushes {
            self.renew();
        }
    }

    /// Gives back all that is not in use: begins anew if there are no libraries, which may have state.
    fn renew(&mut self) {
        if self.libraries.by_name.is_empty()
            && let Ok(new) = Engine::new()
        {
            let (version, seen) = (self.libraries.version, (self.forgotten, self.flushes));
            *self = new;
            self.libraries.version = version;
            (self.forgotten, self.flushes) = seen;
            return;
        }
        // Without memory for a smaller table the larger one stays.
        let _ = self.host.functions.shrink(&self.lua);
        // Lua's table of strings becomes at most half as large each time.
        for _ in 0..usize::BITS {
            let before = self.bytes();
            // Whatever can not be collected stays.
            let _ = self.lua.gc_collect();
            if self.bytes() >= before {
                break;
            }
        }
    }

    /// Prepares a script to be run by the next [`Engine::go`].
    ///
    /// # Errors
    /// When memory is used up.
    pub fn prepare<'a>(
        &mut self,
        compiled: &Compiled,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result {
        let prepared = || -> mlua::Result<Vec<Value>> {
            let lists = [list(&self.lua, keys)?, list(&self.lua, args)?];
            let [keys, args] = lists.map(Value::Table);
            let place = Value::Number(compiled.function.place() as f64);
            Ok(vec![place, keys, args, Value::Boolean(compiled.script.is_some())])
        };
        let args = prepared().map_err(|error| Error::plain(message(&error)))?;
        self.begin(args);
        Ok(())
    }

    fn begin(&mut self, args: Vec<Value>) {
        *self.host.job.borrow_mut() = Some(Job { run: self.run.clone(), args });
        self.host.is_resp3.set(false);
        self.host.is_ended.set(false);
        self.host.begin_slice();
    }

    /// Brings this thread's libraries up to date.
    ///
    /// # Errors
    /// When one can not be loaded; those that can are.
    pub fn sync(&mut self, kept: &Kept) -> Result {
        if self.libraries.version == kept.version() {
            return Ok(());
        }
        let (version, named) = kept.all();
        let mut old = std::mem::take(&mut self.libraries);
        self.libraries.version = version;
        let mut result = Ok(());
        for (name, code) in named {
            let loaded = match old.take(&name, &code) {
                Some(library) => Ok(library),
                None => self.load_library(&code),
            };
            result = result.and(loaded.map(|library| self.libraries.insert(library)));
        }
        result
    }

    /// The function with this name, compiled.
    ///
    /// # Errors
    /// When there is none.
    pub fn by_name(&mut self, kept: &Kept, name: &[u8]) -> Result<Rc<Compiled>> {
        // One that can not be loaded leaves the others.
        let synced = self.sync(kept);
        match self.libraries.find(name) {
            Some(compiled) => Ok(compiled),
            None => synced.and(Err(Error::plain("Function not found"))),
        }
    }

    /// Runs a library's code, which registers its functions. They are not to be called yet.
    ///
    /// # Errors
    /// When its first line or its code is wrong.
    pub fn load_library(&mut self, code: &[u8]) -> Result<Library> {
        const TIME_MAX: Duration = Duration::from_millis(500);
        let name = library::name_of(code)?;
        let body = &code[flags::shebang_len(code)..];
        let chunk = self.lua.load(body).set_name(LIBRARY_CHUNK);
        let function = chunk.set_mode(ChunkMode::Text).into_function().map_err(|error| {
            Error::plain(format!("Error compiling function: {}", message(&error)))
        })?;
        let swapped = self.set_loading.call::<()>(true);
        swapped.map_err(|error| Error::plain(message(&error)))?;
        *self.host.loading.borrow_mut() = Some(Vec::new());
        self.begin(vec![Value::Function(function)]);
        let began = clock::instant();
        let mut answer = Answer::Go;
        while self.go(answer) != Ask::Job {
            answer = if began.elapsed() > TIME_MAX { Answer::End } else { Answer::Go };
        }
        let is_late = answer == Answer::End;
        let outcome = self.outcome();
        let registered = self.host.loading.borrow_mut().take().unwrap_or_default();
        let _ = self.set_loading.call::<()>(false);
        match outcome {
            Err(_) if is_late => Err(registering("ERR FUNCTION LOAD timeout")),
            Err(error) => Err(registering(&library::error_text(&error))),
            Ok(_) if registered.is_empty() => Err(Error::plain("No functions registered")),
            Ok(_) => Ok(Library::new(name, code, registered)),
        }
    }

    /// Runs the prepared script, or goes on with it, until it asks for something.
    pub fn go(&mut self, answer: Answer) -> Ask {
        self.host.is_on_stack.set(true);
        let left = self.stack.resume(answer);
        self.host.is_on_stack.set(false);
        match left {
            CoroutineResult::Yield(ask) => ask,
            // The stack never ends by itself.
            CoroutineResult::Return(()) => Ask::Job,
        }
    }

    /// What the script returned, once [`Engine::go`] says [`Ask::Job`]: a value, or the error that
    /// ended it.
    pub fn outcome(&mut self) -> Result<Value, Value> {
        if self.host.is_ended.replace(false) {
            // Its hook looks at every line now.
            let _ = set_hook(&self.lua, &self.host);
        }
        match self.host.outcome.borrow_mut().take() {
            Some(Ok((true, value))) => Ok(value),
            Some(Ok((false, error))) => Err(error),
            Some(Err(error)) => Err(Value::Error(Box::new(error))),
            None => Ok(Value::Nil),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // What runs is ended; without a job the stack is left for good then.
        *self.host.job.borrow_mut() = None;
        self.host.is_ended.set(true);
        while !self.stack.done() {
            self.stack.resume(Answer::End);
        }
        let _ = ENGINE.try_with(|slot| slot.replace(Slot::Unmade));
    }
}

/// What runs on a script's stack: one job after the other.
fn stack_of(lua: Lua, host: Rc<Host>) -> impl FnOnce(&super::host::Leave, Answer) {
    move |leave, _| {
        LEAVE.set(leave, || {
            loop {
                let Some(job) = host.job.borrow_mut().take() else { return };
                let outcome = {
                    let _limited = Limited::new(&lua);
                    job.run.call(mlua::MultiValue::from_vec(job.args))
                };
                *host.outcome.borrow_mut() = Some(outcome);
                leave.suspend(Ask::Job);
            }
        });
    }
}

/// Has the clock looked at now and then, and ends what must end: at every line then, so that no code
/// can go on by catching the error.
fn set_hook(lua: &Lua, host: &Rc<Host>) -> mlua::Result<()> {
    let host = host.clone();
    let triggers = HookTriggers::new().every_nth_instruction(INSTRUCTIONS);
    lua.set_global_hook(triggers, move |lua, _| match host.tick() {
        Answer::Go => Ok(VmState::Continue),
        Answer::End => {
            lua.set_hook(HookTriggers::EVERY_LINE, |_, _| Err(api::ended()))?;
            Err(api::ended())
        }
    })
}

/// Removes what building has left, and has garbage collected before it is as much as what is in use.
fn keep_small(lua: &Lua) -> mlua::Result<()> {
    let params = GcIncParams::default().pause(GC_PAUSE_PERCENT).step_multiplier(GC_STEP_PERCENT);
    lua.gc_set_mode(GcMode::Incremental(params));
    lua.gc_collect()
}

fn list<'a>(lua: &Lua, items: impl ExactSizeIterator<Item = &'a [u8]>) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(items.len(), 0)?;
    for item in items {
        // Text goes to Lua without a reference to it on the way.
        match std::str::from_utf8(item) {
            Ok(text) => table.raw_push(text)?,
            Err(_) => table.raw_push(lua.create_string(item)?)?,
        }
    }
    Ok(table)
}

fn registering(text: &str) -> Error {
    Error::plain(format!("Error registering functions: {text}"))
}

fn anyhow_of(error: mlua::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::host::SLICE;

    #[test]
    fn a_thread_that_uses_lua_itself_does_not_leave() {
        let mut engine = Engine::take().expect("nothing runs on this thread");
        let code = b"#!lua name=lib\nredis.register_function('f', function() end)";
        assert!(engine.load_library(code).is_ok());
        std::thread::sleep(SLICE * 2);
        assert_eq!(engine.host.tick(), Answer::Go);
        engine.put_back();
    }
}
