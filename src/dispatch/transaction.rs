//! MULTI's queue, EXEC, and the names that WATCH remembers.
//!
//! A transaction's commands run as all others do, by [`Executor::call`], but under stripes that were taken
//! for all of them.

use std::sync::atomic::Ordering::Relaxed;

use super::Executor;
use crate::command::{Keys, Spec};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::client_memory::Kept;
use crate::session::{Queued, Session, Watch};
use crate::store::view::Known;

/// The reply of EXEC when it is longer than it may be. Doors say so where they copy what others share.
pub fn exec_reply_too_long() -> Error {
    Error::plain("the transaction was executed, but its reply exceeds client-reply-max-bytes")
}

impl Executor<'_> {
    /// Runs a transaction's commands: under the stripes of them all, as one batch of effects.
    pub fn exec(&mut self, session: &mut Session, reply: &mut Reply<'_>) -> Result {
        let transaction = session.transaction.take().unwrap_or_default();
        let watch = session.watch.take();
        self.lock_for(session, &transaction.queue, watch.as_deref());
        if let Err(error) = self.check_turn() {
            (session.transaction, session.watch) = (Some(transaction), watch);
            return Err(error);
        }
        session.take_transaction();
        let is_dirty = watch.as_deref().is_some_and(|watch| self.is_dirty(watch));
        if let Some(watch) = watch {
            self.forget(&watch);
            session.client.watching.store(0, Relaxed);
            session.client.memory.let_all_go(Kept::Watched);
        }
        if transaction.is_aborted {
            self.release();
            return Err(Error::ExecAbort(" previous errors.".into()));
        }
        let mut is_too_long = false;
        if is_dirty {
            reply.null_array();
        } else {
            let begin = reply.mark();
            reply.array(transaction.queue.len());
            (self.is_in_exec, self.held.is_in_transaction) = (true, true);
            for queued in &transaction.queue {
                let args = queued.request.args();
                if !session.identity.is_free(&self.server.acl)
                    && let Err(error) = self.check_queued_rights(session, queued.spec, args)
                {
                    self.metrics.rejected[queued.spec.index].add(1);
                    self.metrics.total_error_replies.add(1);
                    reply.error(&error);
                    continue;
                }
                self.call(session, queued.spec, args, Known::default(), reply);
                is_too_long |= reply.buffered_since(begin) > self.settings.reply_max_bytes;
                if is_too_long {
                    reply.rewind(begin);
                }
            }
            (self.is_in_exec, self.held.is_in_transaction) = (false, false);
        }
        self.release();
        match is_too_long {
            false => Ok(()),
            true => Err(exec_reply_too_long()),
        }
    }

    /// Ends WATCH.
    pub fn unwatch(&mut self, session: &mut Session) {
        if let Some(watch) = session.watch.take() {
            self.release();
            let store = &self.server.store;
            self.held.lock_names(watch.names.iter().map(|(_, name, _)| store.name(name)));
            self.forget(&watch);
            self.release();
            session.client.watching.store(0, Relaxed);
            session.client.memory.let_all_go(Kept::Watched);
        }
    }

    pub(super) fn queue(
        &mut self,
        session: &mut Session,
        spec: &'static Spec,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) {
        let refusal = if spec.command.flags.no_multi {
            Some(Error::plain("Command not allowed inside a transaction"))
        } else if !session.queue(spec, args) {
            Some(Error::plain("transaction too large: run EXEC or DISCARD"))
        } else {
            None
        };
        match refusal {
            None => reply.simple("QUEUED"),
            Some(error) => {
                session.abort_transaction();
                self.metrics.rejected[spec.index].add(1);
                self.metrics.count_error(error.code());
                reply.error(&error);
            }
        }
    }

    pub(super) fn lock_for(&mut self, session: &Session, queue: &[Queued], watch: Option<&Watch>) {
        self.release();
        let store = &self.server.store;
        // An overlay replays under all stripes, so it must not hold any.
        let needs_all = queue.iter().any(|queued| {
            queued.spec.keys == Keys::Every || queued.spec.family.group == "scripting"
        });
        if needs_all {
            self.held.lock_all();
        } else {
            let queued = queue.iter().flat_map(|queued| {
                let args = queued.request.args();
                queued.spec.keys.positions(args.len()).map(move |at| args.get(at))
            });
            let watched = watch.into_iter().flat_map(|watch| &watch.names);
            let names = queued.chain(watched.map(|(_, name, _)| &**name));
            self.held.lock_names(names.map(|name| store.name(name)));
        }
        self.now_ms = self.held.settle_now_ms(self.clock_ms);
        session.client.active_ms.store(self.clock_ms, Relaxed);
    }

    pub(super) fn is_dirty(&self, watch: &Watch) -> bool {
        let store = &self.server.store;
        watch.mark.is_dirty()
            || watch.names.iter().any(|(db, name, since_ms)| {
                self.held.has_expired(*db, store.name(name), *since_ms, self.now_ms)
            })
    }

    pub(super) fn forget(&mut self, watch: &Watch) {
        for (_, name, _) in &watch.names {
            let name = self.server.store.name(name);
            self.held.unwatch(name, &watch.mark);
        }
    }
}
