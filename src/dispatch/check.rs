//! What is checked before a command runs, and what is answered when it does not.
//!
//! Who may do what is [`super::rights`]' matter.

use std::sync::atomic::Ordering::Relaxed;

use super::Executor;
use super::plan::Plan;
use crate::command::args::is;
use crate::command::{self, Spec};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::session::Session;

impl Executor<'_> {
    /// Looks the command up and checks what can be checked before it runs.
    #[inline]
    pub(super) fn resolve(
        &self,
        session: &mut Session,
        args: Args<'_>,
        plan: &Plan<'_>,
    ) -> Result<&'static Spec> {
        let Some(mut spec) = plan.spec else { return Err(Error::unknown_command(args.iter())) };
        if !spec.subcommands.is_empty() && args.len() > 1 {
            spec = match command::table().find_subcommand(spec, args.get(1)) {
                Some(subcommand) => subcommand,
                None => return Err(Error::unknown_subcommand(spec.command.name, args.get(1))),
            };
        }
        if !spec.accepts(args.len()) {
            self.metrics.rejected[spec.index].add(1);
            return Err(Error::arity(&spec.full_name));
        }
        if !session.identity.is_free(&self.server.acl)
            && let Err(error) = self.check_rights(session, spec, args)
        {
            self.metrics.rejected[spec.index].add(1);
            return Err(error);
        }
        if session.is_listening && !session.resp3 {
            check_subscribed(session, spec)?;
        }
        if self.server.store.journal.refuses() && self.changes(session, spec) {
            self.metrics.rejected[spec.index].add(1);
            return Err(self.server.store.journal.refusal());
        }
        if !spec.command.flags.loading && !self.server.is_ready.load(Relaxed) {
            self.metrics.rejected[spec.index].add(1);
            return Err(Error::Loading);
        }
        Ok(spec)
    }

    /// Whether the command, or one that EXEC runs, changes something.
    #[cold]
    pub(super) fn changes(&self, session: &Session, spec: &'static Spec) -> bool {
        let is_exec = spec.command.name == "EXEC";
        let mut queue = session.transaction.iter().flat_map(|transaction| &transaction.queue);
        spec.is_write() || (is_exec && queue.any(|queued| queued.spec.is_write()))
    }

    /// Makes room for a command that may need memory; `false` if there is none to be had.
    #[cold]
    pub(super) fn has_room(&mut self, session: &Session, spec: &'static Spec) -> bool {
        let queue = session.transaction.iter().flat_map(|transaction| &transaction.queue);
        let is_exec = spec.command.name == "EXEC";
        let needs_memory = spec.command.flags.denyoom
            || (is_exec && queue.into_iter().any(|queued| queued.spec.command.flags.denyoom));
        self.release();
        let has_room = self.server.store.make_room(&self.settings.eviction, self.random);
        !needs_memory || has_room
    }

    /// Evicts names if memory is used up, as every command does that comes then; `false` if it is not.
    pub fn evict(&mut self, session: &Session) -> bool {
        let store = &self.server.store;
        if !store.is_over_limit() || session.is_in_script {
            return false;
        }
        self.release();
        store.make_room(&self.settings.eviction, self.random);
        true
    }

    /// Answers what can not be run. A transaction is then discarded by EXEC, or by its own refusal.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        error: Error,
        reply: &mut Reply<'_>,
    ) {
        if !is(args.get(0), "EXEC") {
            self.metrics.count_error(error.code());
            session.abort_transaction();
            reply.error(&error);
            return;
        }
        self.metrics.count_error("EXECABORT");
        session.take_transaction();
        self.unwatch(session);
        let code = Some(error.code()).filter(|&code| code != "ERR");
        let cause = format!(": {}{}{error}", code.unwrap_or(""), code.map_or("", |_| " "));
        reply.error(&Error::ExecAbort(cause.into()));
    }
}

/// A RESP2 client that has subscribed can not tell replies from messages.
#[cold]
fn check_subscribed(session: &Session, spec: &'static Spec) -> Result {
    if spec.command.flags.subscribed || !session.client.is_subscriber() {
        return Ok(());
    }
    let name = &spec.full_name;
    Err(Error::plain(format!(
        "Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
         allowed in this context"
    )))
}
