//! One thread's Lua: compiles scripts, and runs one at a time on a stack of its own.
//!
//! What scripts can reach is [`super::sandbox`]'s matter; locks and commands are the executor's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use mlua::{Function, HookTriggers, Lua, LuaOptions, LuaString, StdLib, Table, Value, VmState};

use super::host::{Answer, Ask, Host, Job, LEAVE};
use super::{Script, Scripts, Sha, api, sandbox};
use crate::error::{Error, Result};

/// Bytes of a script's own stack. Lua nests at most 200 calls through Rust, each of a few KiB.
const STACK_BYTES: usize = 4 << 20;
/// Bytes that all that scripts of one thread have made may take.
const MEMORY_MAX_BYTES: usize = 256 << 20;
/// Instructions between two looks at the clock.
const INSTRUCTIONS: u32 = 10_000;
/// What user code is called in errors, behind the sign that it is a name.
const CHUNK: &str = "@user_script";

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
    run: Function,
    globals: Table,
    keys: LuaString,
    argv: LuaString,
}

/// A script that this thread can run.
pub struct Compiled {
    /// What all threads know of it.
    pub script: Arc<Script>,
    function: Function,
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

    fn new() -> anyhow::Result<Engine> {
        let host = Rc::<Host>::default();
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::new()).map_err(anyhow_of)?;
        let sandbox = api::redis(&lua, &host)
            .and_then(|redis| sandbox::build(&lua, redis))
            .map_err(anyhow_of)?;
        set_hook(&lua, &host).map_err(anyhow_of)?;
        lua.set_memory_limit(MEMORY_MAX_BYTES).map_err(anyhow_of)?;
        let names = [lua.create_string("KEYS"), lua.create_string("ARGV")];
        let [keys, argv] = names.map(|name| name.map_err(anyhow_of));
        let stack = DefaultStack::new(STACK_BYTES)?;
        Ok(Engine {
            stack: Coroutine::with_stack(stack, stack_of(host.clone())),
            host,
            lua,
            by_text: HashMap::default(),
            by_sha: HashMap::default(),
            run: sandbox.run,
            globals: sandbox.globals,
            keys: keys?,
            argv: argv?,
        })
    }

    /// The script with this text, compiled.
    ///
    /// # Errors
    /// When it can not be compiled.
    pub fn by_text(&mut self, scripts: &Scripts, text: &[u8]) -> Result<Rc<Compiled>> {
        if let Some(compiled) = self.by_text.get(text).filter(|it| it.script.is_alive()) {
            return Ok(compiled.clone());
        }
        self.forget_dead();
        let script = scripts.add(text, false)?;
        self.compile(scripts, script)
    }

    /// The script with this name, compiled.
    ///
    /// # Errors
    /// When there is none.
    pub fn by_sha(&mut self, scripts: &Scripts, sha: &Sha) -> Result<Rc<Compiled>> {
        if let Some(compiled) = self.by_sha.get(sha).filter(|it| it.script.is_alive()) {
            return Ok(compiled.clone());
        }
        self.forget_dead();
        let script = scripts.find(sha).ok_or_else(super::no_script)?;
        self.compile(scripts, script)
    }

    /// Remembers a text until SCRIPT FLUSH, if it can be compiled.
    ///
    /// # Errors
    /// When it can not be compiled.
    pub fn load(&mut self, scripts: &Scripts, text: &[u8]) -> Result<Sha> {
        let script = scripts.add(text, true)?;
        self.compile(scripts, script).map(|compiled| compiled.script.sha)
    }

    fn compile(&mut self, scripts: &Scripts, script: Arc<Script>) -> Result<Rc<Compiled>> {
        let chunk =
            self.lua.load(script.code()).set_name(CHUNK).set_mode(mlua::chunk::ChunkMode::Text);
        let function = chunk.into_function().map_err(|error| {
            scripts.remove(&script);
            let text = format!("Error compiling script (new function): {}", message(&error));
            Error::plain(text)
        })?;
        let compiled = Rc::new(Compiled { script: script.clone(), function });
        self.by_text.insert(script.text.clone(), compiled.clone());
        self.by_sha.insert(script.sha, compiled.clone());
        Ok(compiled)
    }

    fn forget_dead(&mut self) {
        self.by_text.retain(|_, compiled| compiled.script.is_alive());
        self.by_sha.retain(|_, compiled| compiled.script.is_alive());
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
        let prepared = || -> mlua::Result<()> {
            self.globals.raw_set(&self.keys, list(&self.lua, keys)?)?;
            self.globals.raw_set(&self.argv, list(&self.lua, args)?)
        };
        prepared().map_err(|error| Error::plain(message(&error)))?;
        let args = vec![Value::Function(compiled.function.clone())];
        *self.host.job.borrow_mut() = Some(Job { run: self.run.clone(), args });
        self.host.is_resp3.set(false);
        self.host.is_ended.set(false);
        self.host.begin_slice();
        Ok(())
    }

    /// Runs the prepared script, or goes on with it, until it asks for something.
    pub fn go(&mut self, answer: Answer) -> Ask {
        match self.stack.resume(answer) {
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
fn stack_of(host: Rc<Host>) -> impl FnOnce(&super::host::Leave, Answer) {
    move |leave, _| {
        LEAVE.set(leave, || {
            loop {
                let Some(job) = host.job.borrow_mut().take() else { return };
                let outcome = job.run.call(mlua::MultiValue::from_vec(job.args));
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

fn list<'a>(lua: &Lua, items: impl ExactSizeIterator<Item = &'a [u8]>) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(items.len(), 0)?;
    for item in items {
        table.raw_push(lua.create_string(item)?)?;
    }
    Ok(table)
}

/// The text of an error that is not a script's own.
fn message(error: &mlua::Error) -> String {
    match error {
        mlua::Error::SyntaxError { message, .. } | mlua::Error::RuntimeError(message) => {
            message.clone()
        }
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        error => error.to_string(),
    }
}

fn anyhow_of(error: mlua::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}
