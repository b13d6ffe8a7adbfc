//! Runs scripts: the stripes they need, the commands they call, and the time they take.
//!
//! A script holds the stripes of the names it declared, or all if it was seen to touch others. What it
//! changes is one batch of effects. When its slice is over it is put aside: its stripes are let go,
//! a [`Turn`](crate::store::turn::Turn) protects what it has changed, and its thread looks after others; see
//! [`crate::store::turn`]. What Lua is to it is [`crate::script::engine`]'s matter.

mod call;
mod library;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use mlua::Value;

use super::stripes::COMMANDS_PER_LOCK_MAX;
use super::{Context, Executor};
use crate::command::{self, Spec};
use crate::error::{Error, Result};
use crate::journal::effect::Effects;
use crate::output::Output;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::script::convert;
use crate::script::engine::{Compiled, Engine};
use crate::script::flags::Flags;
use crate::script::host::{Answer, Ask};
use crate::session::Session;
use crate::store::Hold;
use crate::store::turn::{Running, State, Wait};

pub use library::Change;

/// Words of a client's command that FUNCTION STATS shows.
const COMMAND_SHOWN_MAX: usize = 32;

thread_local! {
    /// The script of this thread that is aside.
    static ASIDE: RefCell<Option<Box<Script>>> = const { RefCell::new(None) };
}

/// A script to be run.
pub struct Call<'a> {
    /// What was compiled.
    pub compiled: Rc<Compiled>,
    /// The client's command.
    pub args: Args<'a>,
    /// How many of its arguments, from the fourth on, are names.
    pub keys: usize,
    /// It came with a command that must not change anything.
    pub is_read_only: bool,
}

/// A script that runs.
struct Script {
    engine: Box<Engine>,
    compiled: Rc<Compiled>,
    session: Session,
    flags: Flags,
    is_read_only: bool,
    /// Memory was used up when it began.
    is_short_of_memory: bool,
    began: Instant,
    /// As others see it, once they have to.
    running: Option<Arc<Running>>,
    has_written: bool,
    /// In unix ms.
    started_ms: u64,
    /// It is aside, or was: it holds stripes only while a command runs.
    is_aside: bool,
    /// The stripes it had when it was put aside.
    stripes: Vec<usize>,
    /// What it has done so far, while it is aside.
    effects: Effects,
    /// It touched a name that it had not declared, and can not have all stripes now.
    is_stray: bool,
}

/// How running a script ended.
enum Progress {
    Done,
    Aside,
}

impl Executor<'_> {
    /// Runs a script and writes its reply; or puts it aside, to be gone on with by
    /// [`Executor::go_on`].
    ///
    /// # Errors
    /// When the script may not run.
    pub fn run_script(
        &mut self,
        session: &mut Session,
        mut engine: Box<Engine>,
        call: &Call<'_>,
        reply: &mut Reply<'_>,
    ) -> Result {
        let prepared = self.prepare(session, &mut engine, call);
        let is_short_of_memory = match prepared {
            Ok(is_short) => is_short,
            Err(error) => {
                engine.put_back();
                return Err(error);
            }
        };
        if !self.is_in_exec
            && !self.over_overlay
            && let Err(error) = self.lock_for_script(call)
        {
            engine.put_back();
            return Err(error);
        }
        let began = engine.host.slice_began();
        let mut inner = Session::new(session.client.clone(), session.identity.clone());
        inner.is_script = true;
        inner.tracking.clone_from(&session.tracking);
        inner.db = session.db;
        let script = Script {
            engine,
            compiled: call.compiled.clone(),
            session: inner,
            flags: call.compiled.flags,
            is_read_only: call.is_read_only,
            is_short_of_memory,
            began,
            running: None,
            has_written: false,
            started_ms: self.clock_ms,
            is_aside: false,
            stripes: Vec::new(),
            effects: Effects::default(),
            is_stray: false,
        };
        self.drive(session, Box::new(script), reply);
        Ok(())
    }

    /// Goes on with the script of this session that is aside, for a slice.
    pub fn go_on(&mut self, session: &mut Session, reply: &mut Reply<'_>) {
        let script = ASIDE.with_borrow_mut(Option::take);
        session.is_in_script = false;
        if let Some(script) = script {
            script.engine.host.begin_slice();
            self.drive(session, script, reply);
        }
    }

    fn drive(&mut self, session: &mut Session, mut script: Box<Script>, reply: &mut Reply<'_>) {
        let was_in_exec = std::mem::replace(&mut self.is_in_exec, true);
        let progress = self.advance(&mut script, !was_in_exec && !self.is_now);
        self.is_in_exec = was_in_exec;
        match progress {
            Progress::Aside => {
                session.is_in_script = true;
                ASIDE.set(Some(script));
            }
            Progress::Done => self.conclude(session, script, reply),
        }
    }

    /// Runs the script until it is done, or has to be put aside.
    fn advance(&mut self, script: &mut Script, may_leave: bool) -> Progress {
        let mut answer = script.next_answer();
        loop {
            match script.engine.go(answer) {
                Ask::Job => return Progress::Done,
                Ask::Call => self.call_from_script(script),
                Ask::Allowed => {
                    let host = script.engine.host.clone();
                    let request = host.request.borrow();
                    host.allowed.set(self.may_run(&mut script.session, request.args()));
                }
                Ask::Tick => {
                    self.put_aside(script);
                    if may_leave {
                        return Progress::Aside;
                    }
                    self.end_if_busy(script);
                    script.engine.host.begin_slice();
                }
            }
            answer = script.next_answer();
        }
    }

    /// Writes what came of a script, and lets everyone go on.
    fn conclude(&mut self, session: &mut Session, mut script: Box<Script>, reply: &mut Reply<'_>) {
        session.client.db.store(session.db as u32, Relaxed);
        let outcome = script.engine.outcome();
        let is_resp3 = script.engine.host.is_resp3.get();
        if script.is_aside {
            self.held.lock_again(&script.stripes);
            self.effects = std::mem::take(&mut script.effects);
            if !self.is_in_exec {
                self.release();
            }
            self.server.store.turn.leave(&script.running());
        }
        let compiled = script.compiled.clone();
        if script.is_stray && self.effects.is_empty() && !self.is_in_exec {
            // Nothing was changed: it runs again, with all stripes.
            self.release();
            script.engine.put_back();
            (self.is_parked, self.waits_for) = (true, Wait::Script);
            return;
        }
        compiled.habits.is_known.store(true, Relaxed);
        let mark = reply.mark();
        let written = match outcome {
            Ok(value) => {
                if let Some(text) = convert::error_of(&value) {
                    self.script_failed(&script, &text, convert::is_counted(&value));
                }
                convert::to_reply(&value, is_resp3, self.settings, reply)
            }
            Err(error) => {
                let text = explain(&error, &compiled.name);
                self.script_failed(&script, &text, convert::is_counted(&error));
                reply.error(&Error::coded(text));
                Ok(())
            }
        };
        if let Err(error) = written {
            reply.rewind(mark);
            reply.error(&error);
        }
        self.put_back(script.engine);
    }

    /// Gives this thread's Lua back; what it takes is known then.
    fn put_back(&self, engine: Box<Engine>) {
        self.metrics.lua_bytes.store(engine.bytes(), Relaxed);
        engine.put_back();
    }

    /// Counts a script whose reply is an error; the error itself unless the command that it came from has
    /// counted it.
    #[cold]
    fn script_failed(&self, script: &Script, text: &str, is_counted: bool) {
        if !is_counted {
            self.metrics.count_error(text.split(' ').next().unwrap_or_default());
        }
        let command = script.engine.host.command.borrow();
        if let Some(spec) = command::table().find(command.args().get(0)) {
            self.metrics.failed[spec.index].add(1);
        }
    }

    /// Checks whether a script may run, and prepares Lua. Returns whether memory is used up.
    fn prepare(&mut self, _: &Session, engine: &mut Engine, call: &Call<'_>) -> Result<bool> {
        let flags = call.compiled.flags;
        let store = &self.server.store;
        if flags.is_declared && !flags.no_writes {
            if store.journal.refuses() {
                return Err(store.journal.refusal());
            }
            if call.is_read_only {
                let text = "Can not execute a script with write flag using *_ro command.";
                return Err(Error::plain(text));
            }
        }
        let mut is_short_of_memory = false;
        if store.is_over_limit() && !self.is_in_exec {
            self.release();
            is_short_of_memory = !store.make_room(&self.settings.eviction, self.random);
        }
        let may_be_short = !flags.is_declared || flags.allow_oom || flags.no_writes;
        if is_short_of_memory && !may_be_short {
            return Err(Error::coded(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > \
                 'maxmemory'",
            ));
        }
        let keys = call.args.iter().skip(3).take(call.keys);
        let args = call.args.iter().skip(3 + call.keys);
        engine.prepare(&call.compiled, Sized(keys, call.keys), Sized(args, call.others()))?;
        let mut command = engine.host.command.borrow_mut();
        command.clear();
        call.args.iter().take(COMMAND_SHOWN_MAX).for_each(|word| command.push(word));
        Ok(is_short_of_memory)
    }

    /// Takes the stripes that a script needs.
    fn lock_for_script(&mut self, call: &Call<'_>) -> Result {
        let habits = &call.compiled.habits;
        let store = &self.server.store;
        let needs_all = habits.strays.load(Relaxed) || !habits.is_known.load(Relaxed);
        match (needs_all, call.keys) {
            (true, _) => {
                self.release();
                self.held.lock_all();
            }
            (false, 0) => self.release(),
            (false, 1) => {
                let name = store.name(call.args.get(3));
                self.under_lock += 1;
                if self.under_lock > COMMANDS_PER_LOCK_MAX || !self.held.turn_to(name, Hold::Alone)
                {
                    self.release();
                    self.held.lock(name, Hold::Alone);
                    self.under_lock = 1;
                }
                if !self.held.holds(name) {
                    self.release();
                    self.held.lock_names(std::iter::once(name));
                }
            }
            (false, keys) => {
                self.release();
                let names = call.args.iter().skip(3).take(keys);
                self.held.lock_names(names.map(|name| store.name(name)));
            }
        }
        self.check_turn()?;
        self.now_ms = self.held.settle_now_ms(self.clock_ms);
        Ok(())
    }

    /// The slice is over.
    fn put_aside(&mut self, script: &mut Script) {
        if !script.is_aside {
            script.is_aside = true;
            script.stripes = self.held.numbers();
            self.server.store.turn.enter(script.running());
            self.let_go(script);
        }
        let threshold_ms = self.server.config().busy_reply_threshold_ms;
        let is_busy = script.began.elapsed().as_millis() >= u128::from(threshold_ms);
        if threshold_ms != 0 && is_busy {
            self.server.store.turn.grow_busy();
        }
    }

    /// Ends a script that keeps its thread from serving others, as SCRIPT KILL would.
    fn end_if_busy(&self, script: &mut Script) {
        let is_busy = self.server.store.turn.state() == State::Busy;
        if self.is_now && is_busy && !script.has_written {
            script.running().is_killed.store(true, Relaxed);
        }
    }

    /// Lets the stripes of a script go that is aside, without giving its effects a number yet.
    fn let_go(&mut self, script: &mut Script) {
        script.effects = std::mem::take(&mut self.effects);
        self.release();
    }

    /// What happens to a client's command while a script is aside. `true` if it may run.
    #[cold]
    pub(super) fn takes_turn(&mut self, spec: Option<&'static Spec>) -> Result<bool> {
        let turn = &self.server.store.turn;
        if spec.is_some_and(|spec| spec.is_allowed_while_busy) {
            return Ok(true);
        }
        match turn.state() {
            State::Free => Ok(true),
            State::Aside => {
                (self.is_parked, self.waits_for) = (true, Wait::Script);
                Ok(false)
            }
            State::Busy => Err(turn.busy()),
        }
    }
}

/// Brings the script of this session that is aside to its end, for a client who has left: at once if it
/// has changed nothing, else what it does is done whole. When the server stops it is not waited for
/// longer than others wait before they are told that it is busy; then nothing of it is kept.
pub fn abandon(context: &mut Context<'_, '_>) {
    let server = context.executor.server;
    let threshold_ms = u128::from(server.config().busy_reply_threshold_ms);
    let mut out = Output::new();
    while context.session.is_in_script {
        ASIDE.with_borrow_mut(|script| {
            let Some(script) = script else { return };
            let is_given_up =
                server.stop.is_cancelled() && script.began.elapsed().as_millis() >= threshold_ms;
            if is_given_up {
                script.effects = Effects::default();
            }
            if is_given_up || !script.has_written {
                script.running().is_killed.store(true, Relaxed);
            }
        });
        out.clear();
        context.executor.go_on(context.session, &mut Reply::resp(&mut out, false));
    }
}

impl Script {
    fn next_answer(&self) -> Answer {
        let is_killed = self.running.as_ref().is_some_and(|it| it.is_killed.load(Relaxed));
        if is_killed { Answer::End } else { Answer::Go }
    }

    /// What others see of it.
    fn running(&mut self) -> Arc<Running> {
        let running = self.running.get_or_insert_with(|| {
            let command = self.engine.host.command.borrow();
            Arc::new(Running {
                name: self.compiled.name.clone(),
                command: command.args().iter().map(<[u8]>::to_vec).collect(),
                is_eval: self.compiled.script.is_some(),
                started_ms: self.started_ms,
                has_written: AtomicBool::new(self.has_written),
                is_killed: AtomicBool::new(false),
            })
        });
        running.clone()
    }
}

impl Call<'_> {
    fn others(&self) -> usize {
        self.args.len() - 3 - self.keys
    }
}

/// What a client is told of the error that ended a script.
fn explain(error: &Value, name: &str) -> String {
    let Some(table) = error.as_table() else {
        return convert::error_text(&lossy(error).unwrap_or_default());
    };
    let text = |field: &str| match table.raw_get::<Value>(field) {
        Ok(Value::Nil) | Err(_) => None,
        Ok(value) => lossy(&value),
    };
    let error = text("err").unwrap_or_else(|| "ERR unknown error".to_owned());
    match (text("source"), text("line")) {
        (Some(source), Some(line)) => {
            format!("{error} script: {name}, on {source}:{line}.")
        }
        _ => error,
    }
}

/// A value as text; what is no UTF-8 in it is replaced.
fn lossy(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(String::from_utf8_lossy(&text.as_bytes()).into_owned()),
        other => other.to_string().ok(),
    }
}

/// An iterator that says how long it is.
struct Sized<I>(I, usize);

impl<I: Iterator> Iterator for Sized<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.1, Some(self.1))
    }
}

impl<I: Iterator> ExactSizeIterator for Sized<I> {}
