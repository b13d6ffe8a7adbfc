//! The commands that a script calls: whether it may, the stripes they need, and their running. What the
//! script makes of their replies is [`crate::script::convert`]'s matter.

use std::sync::atomic::Ordering::Relaxed;

use super::super::Executor;
use super::Script;
use crate::command::{self, Run, Spec};
use crate::error::{Error, Result};
use crate::output::Output;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::turn::Turn;
use crate::store::view::Known;

/// What the buffer of a command's reply may keep for the next.
const REPLY_KEPT_BYTES: usize = 64 * 1024;

impl Executor<'_> {
    /// Runs the command that a script has called.
    pub(super) fn call_from_script(&mut self, script: &mut Script) {
        let host = script.engine.host.clone();
        let (request, mut out) = (host.request.borrow(), host.reply.borrow_mut());
        out.clear();
        if out.capacity() > REPLY_KEPT_BYTES {
            *out = Output::new();
        }
        let args = request.args();
        let reply = &mut Reply::resp(&mut out, host.is_resp3.get());
        let result = self.check_call(script, args).and_then(|spec| {
            self.check_script_rights(&mut script.session, spec, args)?;
            if script.is_aside {
                self.held.lock_again(&script.stripes);
                self.effects = std::mem::take(&mut script.effects);
            }
            let result = self.reach(script, spec, args);
            if result.is_ok() {
                if spec.is_write() {
                    script.has_written = true;
                    if let Some(running) = &script.running {
                        running.has_written.store(true, Relaxed);
                    }
                }
                self.call(&mut script.session, spec, args, Known::default(), reply);
            }
            if script.is_aside {
                self.let_go(script);
            }
            result
        });
        if let Err(error) = result {
            self.metrics.count_error(error.code());
            reply.error(&error);
        }
    }

    /// Looks a command up and checks what may be called.
    fn check_call(&mut self, script: &Script, args: Args<'_>) -> Result<&'static Spec> {
        const UNKNOWN: &str = "Unknown Redis command called from script";
        let mut spec = command::table().find(args.get(0)).ok_or(Error::plain(UNKNOWN))?;
        if !spec.subcommands.is_empty() && args.len() > 1 {
            let subcommand = command::table().find_subcommand(spec, args.get(1));
            spec = subcommand.ok_or(Error::plain(UNKNOWN))?;
        }
        if !spec.accepts(args.len()) || matches!(spec.command.run, Run::Container) {
            return Err(Error::plain("Wrong number of args calling Redis command from script"));
        }
        if spec.is_refused_in_scripts && !self.server.scripts.may_call_all.load(Relaxed) {
            return Err(Error::plain("This Redis command is not allowed from script"));
        }
        let refuse = |error| {
            self.metrics.rejected[spec.index].add(1);
            Err(error)
        };
        let is_read_only = script.is_read_only || script.flags.no_writes;
        if is_read_only && spec.may_replicate() {
            let text = "Write commands are not allowed from read-only scripts.";
            return refuse(Error::plain(text));
        }
        if !spec.is_write() {
            return Ok(spec);
        }
        if !script.has_written {
            let journal = &self.server.store.journal;
            if journal.refuses() {
                return refuse(journal.refusal());
            }
            let denies = spec.command.flags.denyoom && !script.flags.allow_oom;
            if denies && script.is_short_of_memory {
                return refuse(Error::OutOfMemory);
            }
        }
        Ok(spec)
    }

    /// Makes sure that the stripes of a command are held.
    fn reach(&mut self, script: &mut Script, spec: &Spec, args: Args<'_>) -> Result {
        let store = &self.server.store;
        let is_held = match spec.keys {
            // Over an overlay each command takes all stripes for itself.
            _ if self.over_overlay || self.held.holds_all() => true,
            command::Keys::Every => false,
            command::Keys::None => return Ok(()),
            keys => keys.positions(args.len()).all(|at| self.held.holds(store.name(args.get(at)))),
        };
        if is_held {
            return Ok(());
        }
        script.compiled.habits.strays.store(true, Relaxed);
        self.expand(script)
    }

    /// Takes all stripes, although some are held. They are protected while they are let go for that.
    fn expand(&mut self, script: &mut Script) -> Result {
        let turn: &'_ Turn = &self.server.store.turn;
        let was_aside = script.is_aside;
        let running = script.running();
        if !was_aside {
            turn.enter(running.clone());
        }
        if !turn.is_alone(&running) {
            if !was_aside {
                turn.leave(&running);
            }
            return Err(self.stray(script));
        }
        let before = self.held.numbers();
        let effects = std::mem::take(&mut self.effects);
        self.release();
        self.held.lock_all();
        // One that was running may have been put aside meanwhile.
        let is_alone = turn.is_alone(&running);
        if !is_alone {
            self.release();
            self.held.lock_again(&before);
        }
        self.effects = effects;
        script.stripes = self.held.numbers();
        if !was_aside {
            turn.leave(&running);
        }
        if is_alone { Ok(()) } else { Err(self.stray(script)) }
    }

    /// What happens to a script that needs stripes of another one: it ends, and runs again later if it
    /// has changed nothing.
    fn stray(&self, script: &mut Script) -> Error {
        script.is_stray = true;
        script.running().is_killed.store(self.effects.is_empty(), Relaxed);
        Error::coded("BUSY Another script holds what this one needs, try again.")
    }
}
