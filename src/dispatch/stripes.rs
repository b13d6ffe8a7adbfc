//! Which stripes are held while a command runs, and for how long.
//!
//! How they are taken without threads waiting for each other in a circle is [`crate::store::Held`]'s matter.

use super::Executor;
use crate::command::{Keys, Spec, Writes};
use crate::error::Result;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::session::Session;
use crate::store::turn::Wait;
use crate::store::view::Known;
use crate::store::{Access, Name, View};

/// Commands that may run under one acquisition of a stripe, so that others get their turn.
pub(super) const COMMANDS_PER_LOCK_MAX: usize = 16;

impl Executor<'_> {
    /// Takes the stripes a command needs, unless they are held. Returns the one name if it is one.
    #[inline]
    pub(super) fn lock<'a>(
        &mut self,
        spec: &Spec,
        args: Args<'a>,
        known: Known<'a>,
    ) -> Result<Option<Name<'a>>> {
        let store = &self.server.store;
        let keys = spec.keys;
        match keys {
            Keys::One(at) => {
                let name = known.name.unwrap_or_else(|| store.name(args.get(at)));
                let hold = spec.hold(args.len());
                if !self.is_in_exec {
                    self.under_lock += 1;
                    if self.under_lock > COMMANDS_PER_LOCK_MAX || !self.held.turn_to(name, hold) {
                        self.release();
                        self.held.lock(name, hold);
                        self.check_turn()?;
                        self.now_ms = self.held.settle_now_ms(self.clock_ms);
                        self.under_lock = 1;
                    }
                }
                return Ok(Some(name));
            }
            _ if self.is_in_exec => {}
            Keys::None => self.release(),
            Keys::Every => {
                self.release();
                self.held.lock_all();
                self.check_turn()?;
                self.now_ms = self.held.settle_now_ms(self.clock_ms);
            }
            Keys::Range { .. } => {
                self.release();
                let positions = keys.positions(args.len());
                self.held.lock_names(positions.map(|at| store.name(args.get(at))));
                self.check_turn()?;
                self.now_ms = self.held.settle_now_ms(self.clock_ms);
            }
        }
        Ok(None)
    }

    /// Runs a command on stripes that are held.
    #[inline]
    pub(super) fn write(
        &mut self,
        handler: Writes,
        access: Access<'_>,
        known: Known<'_>,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result {
        let mut view = View::live(&mut self.held, &mut self.effects, access, known);
        let result = handler(&mut view, args, reply);
        if view.has_met_expired() {
            let freed = view.free_met(!self.server.store.turn.is_paused());
            self.count_expired(freed);
        }
        result
    }

    /// Runs a command again for which claims were not enough: alone.
    #[cold]
    pub(super) fn write_alone(
        &mut self,
        session: &Session,
        handler: Writes,
        known: Known<'_>,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result {
        self.release();
        if let Some(name) = known.name {
            self.held.lock_whole(name);
        }
        self.check_turn()?;
        self.now_ms = self.held.settle_now_ms(self.clock_ms);
        self.under_lock = 1;
        let access = self.access(session, session.db);
        self.write(handler, access, known, args, reply)
    }

    /// Takes some names for `work` alone, for a handler for sessions that must not hold anything
    /// before and afterwards.
    pub fn with_names<R>(
        &mut self,
        session: &Session,
        names: &[&[u8]],
        work: impl FnOnce(&mut View<'_>) -> R,
    ) -> Result<R> {
        self.release();
        let store = &self.server.store;
        self.held.lock_names(names.iter().map(|name| store.name(name)));
        self.check_turn()?;
        self.now_ms = self.held.settle_now_ms(self.clock_ms);
        let result = self.view(session.db, session, work);
        self.release();
        Ok(result)
    }

    /// Lets all stripes go, unless a transaction needs them.
    pub fn let_others(&mut self) {
        if !self.is_in_exec {
            self.release();
        }
    }

    #[inline]
    pub(super) fn release(&mut self) {
        self.seen = self.seen.max(self.held.release(&mut self.effects));
    }

    /// Stripes were just taken: if a script is aside, they are let go, and the command waits.
    #[inline]
    pub(super) fn check_turn(&mut self) -> Result {
        if self.server.store.turn.is_free() {
            return Ok(());
        }
        self.park()
    }

    #[cold]
    pub(super) fn park(&mut self) -> Result {
        self.release();
        (self.is_parked, self.waits_for) = (true, Wait::Script);
        Err(self.server.store.turn.busy())
    }
}
