//! Requests of a door that can not wait meanwhile: what would have to wait is refused, and a script runs to its
//! end.

use super::{Executor, Plan};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::session::Session;

impl Executor<'_> {
    /// Runs one request of a client's.
    pub fn execute_now(&mut self, session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) {
        let plan = Plan::new(&self.server.store, args);
        self.execute_planned_now(session, args, &plan, reply);
    }

    /// Runs one request that the door itself makes for a client.
    pub fn execute_own(&mut self, session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) {
        let plan = Plan::own(&self.server.store, args);
        self.execute_planned_now(session, args, &plan, reply);
    }

    fn execute_planned_now(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        plan: &Plan<'_>,
        reply: &mut Reply<'_>,
    ) {
        self.is_now = true;
        self.execute_single(session, args, plan, reply);
        self.is_now = false;
        if std::mem::take(&mut self.is_parked) {
            reply.error(&self.server.store.turn.refusal(self.waits_for));
        }
    }
}
