//! Brief requests of several clients that run in a row: the clock is read once, and stripes are taken
//! together, as for the requests of one client.
//!
//! An answer depends on what its own request has touched and on nothing else in the row: who only reads
//! must not wait until the disk has what another client wrote, nor be refused when it fails.

use std::sync::atomic::Ordering::Relaxed;

use super::plan::brief;
use super::{Executor, Plan};
use crate::journal::Seen;
use crate::journal::effect::Effects;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::session::Session;

/// What became of a request in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InRow {
    /// It did not run: it needs a closer look, or has to wait.
    Left,
    /// It has its answer, and the session knows what that depends on.
    Done,
    /// It has its answer, which depends on what [`Executor::end_hold`] says.
    Owed,
}

impl Executor<'_> {
    /// Begins a row for clients that are plain, see [`super::is_plain_client`]. `false`: there can be none now.
    #[inline]
    pub fn begin_row(&mut self) -> bool {
        self.is_plain = self.finds_calm();
        self.is_plain
    }

    /// Looks at requests that will be run next. None of them changes anything, or all may.
    #[inline]
    pub fn look_ahead_in_row(&mut self, db: usize, plans: &[Plan<'_>]) {
        let plans = brief(plans);
        if plans.len() > 1 {
            self.hold_ahead(db, plans);
        }
    }

    /// Runs the request of one client of a row.
    #[inline]
    pub fn execute_in_row(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        plan: &Plan<'_>,
        reply: &mut Reply<'_>,
    ) -> InRow {
        let (Some(spec), Some(name)) = (self.plain(args, plan), plan.known.name) else {
            return InRow::Left;
        };
        if self.effects.notes.are_taken() {
            // What is heard together is one client's.
            self.release();
        }
        self.set_client(session.client.id);
        session.client.active_ms.store(self.clock_ms, Relaxed);
        self.may_have_changed = false;
        self.call_plain(session, spec, args, plan, reply);
        if std::mem::take(&mut self.is_parked) {
            return InRow::Left;
        }
        if self.may_have_changed || !self.effects.is_empty() {
            self.effects.clients += u32::from(!self.effects.is_empty());
            return InRow::Owed;
        }
        let seen = Seen { touched: self.held.lsn_of(name), wrote: 0 };
        session.seen = session.seen.max(seen);
        InRow::Done
    }

    /// Ends the row, when nothing is held any more.
    #[inline]
    pub fn end_row(&mut self) -> Effects {
        debug_assert!(!self.held.holds_any() && self.outbox.is_empty());
        self.count_group();
        std::mem::take(&mut self.effects)
    }

    /// A command of the row has panicked. What it has changed until then stays, here and in the journal.
    #[cold]
    pub fn panicked_in_row(&mut self) {
        self.effects.met.clear();
    }

    /// Lets go what is held. Returns what those answers depend on that changed something, or may have.
    #[inline]
    pub fn end_hold(&mut self) -> Seen {
        self.release();
        let touched = std::mem::take(&mut self.seen).touched;
        Seen { touched, wrote: touched }
    }
}
