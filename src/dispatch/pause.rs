//! CLIENT PAUSE: which requests wait for its end. How they wait is their door's matter, and what else
//! stands still meanwhile the store's; see [`crate::store::turn`].

use super::{Executor, Plan};
use crate::command::Spec;
use crate::resp::request::Args;
use crate::script::engine::Engine;
use crate::script::flags::{self, Flags};
use crate::script::{Sha, sha_named};
use crate::session::Session;
use crate::store::turn::Wait;

impl Executor<'_> {
    /// Whether a request has to wait for the end of a pause; then nothing of it has happened. What
    /// would be refused anyway does not wait.
    #[cold]
    pub(super) fn is_paused(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        plan: &Plan<'_>,
    ) -> bool {
        let turn = &self.server.store.turn;
        if !turn.is_paused() || turn.pause_left_ms(self.clock_ms).is_none() {
            return false;
        }
        let is_full = turn.hinders(Wait::FullPause);
        let Ok(spec) = self.resolve(session, args, plan) else { return false };
        if !is_full && !self.may_replicate(session, spec, args) {
            return false;
        }
        self.is_parked = true;
        self.waits_for = if is_full { Wait::FullPause } else { Wait::AnyPause };
        true
    }

    /// Whether the request, or one that EXEC runs, may change something.
    fn may_replicate(&self, session: &Session, spec: &'static Spec, args: Args<'_>) -> bool {
        if spec.command.name == "EXEC" {
            let mut queue = session.transaction.iter().flat_map(|transaction| &transaction.queue);
            return queue.any(|queued| self.may_change(queued.spec, queued.request.args()));
        }
        self.may_change(spec, args)
    }

    /// A script that says that it changes nothing does not.
    fn may_change(&self, spec: &'static Spec, args: Args<'_>) -> bool {
        let flags = match spec.command.name {
            _ if !spec.may_replicate() => return false,
            "EVAL" => flags::of_script(args.get(1)).ok(),
            "EVALSHA" => sha_named(args.get(1)).and_then(|sha| self.script_flags(&sha)),
            "FCALL" => self.function_flags(args.get(1)),
            _ => return true,
        };
        !flags.is_some_and(|flags| flags.no_writes)
    }

    fn script_flags(&self, sha: &Sha) -> Option<Flags> {
        self.server.scripts.find(sha).map(|script| script.flags)
    }

    fn function_flags(&self, name: &[u8]) -> Option<Flags> {
        let mut engine = Engine::take()?;
        let compiled = engine.by_name(&self.server.store.libraries, name);
        engine.put_back();
        compiled.ok().map(|compiled| compiled.flags)
    }
}
