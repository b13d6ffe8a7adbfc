//! The short way of a brief command when nothing is special: neither about its client nor the server.
//!
//! What [`Executor::execute_planned`] looks at for each command is looked at once for the requests that
//! were found together. It can not change while brief commands run: they touch one name and nothing
//! else. What other threads change in that moment counts from the next requests on.

use std::sync::atomic::Ordering::Relaxed;

use super::{Executor, Plan};
use crate::command::Spec;
use crate::error::Error;
use crate::reply::{Mark, Reply};
use crate::resp::request::Args;
use crate::server::Server;
use crate::session::{ReplyMode, Session};

/// Whether brief commands of this client need no closer look for its own sake.
#[inline]
pub fn is_plain_client(session: &Session, server: &Server) -> bool {
    session.transaction.is_none()
        && !session.is_listening
        && session.tracking.is_none()
        && session.reply_mode == ReplyMode::On
        && session.identity.is_free(&server.acl)
}

impl Executor<'_> {
    /// Whether brief commands of this client need no closer look: it may do everything, it is not in a
    /// transaction, nobody listens to it or has to be told of what it reads, and the server takes writes.
    pub(super) fn finds_plain(&self, session: &Session) -> bool {
        is_plain_client(session, self.server) && self.finds_calm()
    }

    /// The same for what is so of all clients.
    pub(super) fn finds_calm(&self) -> bool {
        let server = self.server;
        let is_server_plain = server.is_ready.load(Relaxed)
            && !server.store.journal.refuses()
            && !server.store.is_over_limit()
            && server.store.turn.is_open();
        let is_batch_plain = !self.over_overlay
            && !self.is_monitored
            && !self.is_audited
            && !self.is_in_exec
            && self.outbox.is_empty()
            && !self.stopwatch.times_each();
        is_server_plain && is_batch_plain
    }

    /// The command to run the short way, if this request may be.
    #[inline]
    pub(super) fn plain(&self, args: Args<'_>, plan: &Plan<'_>) -> Option<&'static Spec> {
        let is_plain = |spec: &&Spec| self.is_plain && spec.is_brief && spec.accepts(args.len());
        plan.spec.filter(is_plain)
    }

    /// Runs it.
    #[inline]
    pub(super) fn call_plain(
        &mut self,
        session: &mut Session,
        spec: &'static Spec,
        args: Args<'_>,
        plan: &Plan<'_>,
        reply: &mut Reply<'_>,
    ) {
        session.client.last_command.store(spec.index as u32, Relaxed);
        let mark = reply.mark();
        if let Err(error) = self.run(session, spec, args, plan.known, reply) {
            if self.is_parked {
                return;
            }
            self.fail(spec, &error, mark, reply);
        }
        self.ran_in_group(spec);
        self.effects.end_command();
    }

    /// Answers with an error, in the place of what was written since `mark`.
    #[cold]
    pub(super) fn fail(&self, spec: &Spec, error: &Error, mark: Mark, reply: &mut Reply<'_>) {
        reply.rewind(mark);
        reply.error(error);
        self.metrics.failed[spec.index].add(1);
        self.metrics.count_error(error.code());
    }
}
