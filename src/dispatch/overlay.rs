//! Running a command without editing in place: its effects are replayed, as after a restart.
//!
//! Tests let all commands run so, which shows that effects say all that a command does.

use super::Executor;
use crate::command::{Run, Spec};
use crate::error::{Error, Result};
use crate::journal::effect::Effects;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::session::Session;
use crate::store::{Overlay, View};

impl Executor<'_> {
    #[cold]
    pub(super) fn run_over_overlay(
        &mut self,
        session: &Session,
        spec: &'static Spec,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result {
        self.release();
        self.held.lock_all();
        self.now_ms = self.held.settle_now_ms(self.clock_ms);
        let access = self.access(session, session.db);
        let mut effects = Effects::default();
        effects.notes.begin(self.effects.notes.are_taken());
        let mut overlay = Overlay::new(&self.held);
        let mut view = View::overlay(&mut overlay, &mut effects, access);
        if matches!(spec.command.run, Run::Read(_)) && !spec.is_subcommand {
            view.note_misses();
        }
        let result = match spec.command.run {
            Run::Read(handler) => handler(&view, args, reply),
            Run::Write(handler) => handler(&mut view, args, reply),
            Run::Session(_) | Run::Container => Ok(()),
        };
        if view.has_met_expired() {
            let store = &self.server.store;
            store.count_expired(view.free_met(!store.turn.is_paused()));
        }
        self.release();
        effects.notes.set_client(session.client.id);
        let notes = std::mem::take(&mut effects.notes);
        let replayed = self.server.store.replay_noting(notes, effects.as_bytes());
        replayed.map_err(|_| Error::plain("damaged effect"))?;
        result
    }
}
