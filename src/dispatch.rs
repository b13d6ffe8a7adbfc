//! The spine: looks a request up, checks it, takes the stripes it needs, runs it and counts it.
//!
//! Both doors come through here, so users, limits, transactions and counters exist once. An
//! [`Executor`] runs the requests of one batch: consecutive commands on one stripe share its lock.
//! It is made for a batch and dropped before any await.

pub mod audit;
mod check;
mod now;
mod overlay;
mod pause;
mod plain;
mod plan;
pub mod redact;
mod rights;
mod row;
pub mod script;
mod stripes;
mod timing;
mod transaction;

use std::sync::atomic::Ordering::Relaxed;

use crate::command::{Run, Spec};
use crate::config::Allowed;
use crate::error::{Error, Result};
use crate::events::notes::Note;
use crate::journal::Seen;
use crate::journal::effect::Effects;
use crate::push::monitor;
use crate::push::pubsub::Publication;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::sabotage::{self, Bug};
use crate::server::Server;
use crate::server::metrics::Metrics;
use crate::session::{ReplyMode, Session};
use crate::store::turn::Wait;
use crate::store::view::{Known, Lookups};
use crate::store::{Access, Freed, Held, Hold, Settings, View};

pub use plain::is_plain_client;
pub use plan::Plan;
pub use rights::remember_refusal;
pub use row::InRow;
pub use timing::Thresholds;
pub use transaction::exec_reply_too_long;

use timing::Stopwatch;

/// What is remembered of the changes of one transaction or script: when it is more, its further commands are
/// refused.
const TRANSACTION_BYTES_MAX: usize = 256 << 20;

/// Runs one batch of requests.
pub struct Executor<'s> {
    /// What all connections share.
    pub server: &'s Server,
    /// The stripes held, if any.
    pub held: Held<'s>,
    effects: Effects,
    settings: &'s Settings,
    metrics: &'s Metrics,
    clock_ms: u64,
    now_ms: u64,
    random: u64,
    under_lock: usize,
    /// Stripes were taken for a whole transaction and stay until it ends.
    is_in_exec: bool,
    over_overlay: bool,
    /// Brief commands need no closer look, see [`plain`].
    is_plain: bool,
    seen: Seen,
    /// Whether somebody is shown all commands, and what is to be shown.
    is_monitored: bool,
    monitored: String,
    is_audited: bool,
    /// What was published and not sent yet.
    outbox: Vec<Publication>,
    /// A command ran that may change something.
    may_have_changed: bool,
    stopwatch: Stopwatch,
    /// The last command did not run: it has to wait.
    pub is_parked: bool,
    /// Whoever gave the last command can not be told later of what came of it.
    is_now: bool,
    /// What for, then.
    pub waits_for: Wait,
}

impl Drop for Executor<'_> {
    /// If a command has panicked: what it and those before it have changed is there to be seen, so the
    /// journal must have it too.
    fn drop(&mut self) {
        if self.held.holds_any() && !self.over_overlay {
            self.release();
        }
    }
}

/// What a command for the connection or the server is run with.
pub struct Context<'c, 's> {
    /// This client.
    pub session: &'c mut Session,
    /// The batch it is in.
    pub executor: &'c mut Executor<'s>,
}

impl Context<'_, '_> {
    /// Whether this client may do what is `allowed` to these.
    pub fn is_allowed(&self, allowed: Allowed) -> bool {
        match allowed {
            Allowed::No => false,
            Allowed::Yes => true,
            Allowed::Local => self.session.client.addr.is_local(),
        }
    }
}

impl<'s> Executor<'s> {
    /// For one batch. `effects` must be empty; [`Executor::finish`] gives it back. `random` seeds
    /// the commands' randomness.
    pub fn new(
        server: &'s Server,
        metrics: &'s Metrics,
        settings: &'s Settings,
        effects: Effects,
        random: u64,
    ) -> Executor<'s> {
        let at_ns = server.store.clock.monotonic_ns();
        Executor::at(at_ns, server, metrics, settings, effects, random)
    }

    /// The same for who has just read the clock.
    pub fn at(
        at_ns: u64,
        server: &'s Server,
        metrics: &'s Metrics,
        settings: &'s Settings,
        effects: Effects,
        random: u64,
    ) -> Executor<'s> {
        let clock_ms = server.store.clock.ms_at(at_ns);
        let mut effects = effects;
        effects.notes.begin(server.store.events.is_heard());
        Executor {
            server,
            held: Held::by(metrics.thread, &server.store),
            effects,
            settings,
            metrics,
            clock_ms,
            now_ms: clock_ms,
            random,
            under_lock: 0,
            is_in_exec: false,
            over_overlay: false,
            is_plain: false,
            seen: Seen::default(),
            is_monitored: server.monitors.are_there(),
            monitored: String::new(),
            is_audited: server.audit.is_on(),
            outbox: Vec::new(),
            may_have_changed: false,
            stopwatch: Stopwatch::start(&server.thresholds, at_ns),
            is_parked: false,
            is_now: false,
            waits_for: Wait::default(),
        }
    }

    /// Says whose commands these are.
    #[inline]
    pub fn set_client(&mut self, id: u64) {
        self.effects.notes.set_client(id);
    }

    /// Runs commands over an overlay and then replays their effects, instead of editing in place.
    pub fn over_overlay(mut self) -> Self {
        self.over_overlay = true;
        self
    }

    /// Ends the batch: stripes are let go, and the session knows what its replies depend on.
    pub fn finish(&mut self, session: &mut Session) -> Effects {
        self.count_group();
        self.release();
        if self.may_have_changed {
            // That nothing was there to be changed is as much of an answer as a change.
            self.seen.wrote = self.seen.touched;
        }
        session.seen = session.seen.max(self.seen);
        self.send_outbox(session);
        std::mem::take(&mut self.effects)
    }

    /// When the clock was read last.
    pub fn read_at_ns(&self) -> u64 {
        self.stopwatch.at_ns()
    }

    /// Whether a transaction's or a script's commands are run.
    pub fn is_in_transaction(&self) -> bool {
        self.is_in_exec
    }

    /// Sends a message when nothing is held any more, between what earlier and what later commands do is heard of.
    pub fn publish(&mut self, publication: Publication) {
        if self.is_in_exec && self.effects.notes.are_taken() {
            let at = self.effects.as_bytes().len();
            self.effects.notes.add(at, || Note::Published(publication));
        } else {
            self.outbox.push(publication);
        }
    }

    /// Sends what was published so far, and lets listeners hear what has happened so far.
    pub fn send(&mut self, session: &Session) {
        if !self.is_in_exec {
            self.release();
            self.send_outbox(session);
        }
    }

    fn send_outbox(&mut self, session: &Session) {
        if !self.outbox.is_empty() {
            let lsn = session.seen.max(self.seen).touched;
            self.server.pubsub.publish(lsn, self.clock_ms, &self.outbox);
            self.outbox.clear();
        }
        if !self.monitored.is_empty() {
            let lsn = session.seen.max(self.seen).touched;
            self.server.monitors.show(lsn, self.clock_ms, &self.monitored);
            self.monitored.clear();
        }
    }

    /// The batch's moment, in unix ms.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Runs one request and writes its reply.
    #[inline]
    pub fn execute(&mut self, session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) {
        let plan = Plan::new(&self.server.store, args);
        self.execute_single(session, args, &plan, reply);
    }

    /// Runs a request that is not one of several.
    fn execute_single(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        plan: &Plan<'_>,
        reply: &mut Reply<'_>,
    ) {
        self.execute_planned(session, args, plan, reply);
        self.lap(session, std::iter::once(args));
    }

    /// The same for a request that was looked at ahead.
    #[inline]
    pub fn execute_planned(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        plan: &Plan<'_>,
        reply: &mut Reply<'_>,
    ) {
        if let Some(spec) = self.plain(args, plan) {
            return self.call_plain(session, spec, args, plan, reply);
        }
        self.execute_closely(session, args, plan, reply);
        self.is_plain = self.finds_plain(session);
    }

    /// Runs a request that may be of any kind, from any client.
    fn execute_closely(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        plan: &Plan<'_>,
        reply: &mut Reply<'_>,
    ) {
        let mark = reply.mark();
        if !self.outbox.is_empty() && !plan.is_publish() {
            self.send(session);
        }
        if !self.server.store.turn.is_open() {
            match self.takes_turn(plan.subcommand(args)) {
                Ok(true) if self.is_paused(session, args, plan) => return,
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.refuse(session, args, error, reply),
            }
        }
        match self.resolve(session, args, plan) {
            Err(error) => self.refuse(session, args, error, reply),
            Ok(spec) if self.server.store.is_over_limit() && !self.has_room(session, spec) => {
                self.metrics.rejected[spec.index].add(1);
                self.refuse(session, args, Error::OutOfMemory, reply);
            }
            Ok(spec) if session.transaction.is_some() && !spec.command.flags.not_queued => {
                self.queue(session, spec, args, reply);
            }
            Ok(spec) => self.call(session, spec, args, plan.known, reply),
        }
        if session.is_listening && !plan.is("CLIENT") {
            session.end_caching();
        }
        if session.reply_mode != ReplyMode::On
            && !plan.spec.is_some_and(|spec| spec.command.flags.pushes)
        {
            match session.reply_mode {
                ReplyMode::SkipNext => session.reply_mode = ReplyMode::Skip,
                ReplyMode::Skip => {
                    session.reply_mode = ReplyMode::On;
                    reply.rewind(mark);
                }
                ReplyMode::Off => reply.rewind(mark),
                ReplyMode::On => {}
            }
        }
    }

    /// Runs a command that was looked up and checked.
    pub fn call(
        &mut self,
        session: &mut Session,
        spec: &'static Spec,
        args: Args<'_>,
        known: Known<'_>,
        reply: &mut Reply<'_>,
    ) {
        session.client.last_command.store(spec.index as u32, Relaxed);
        let mark = reply.mark();
        let is_grouped = self.stopwatch.groups(spec);
        let (began_ns, shown_at) = match is_grouped {
            true => (0, None),
            false => (self.begin_timed(spec), self.show_first(session, spec, args)),
        };
        let result = self.run(session, spec, args, known, reply);
        if let Err(error) = &result {
            if self.is_parked {
                if let Some(at) = shown_at {
                    self.monitored.truncate(at);
                }
                return;
            }
            self.fail(spec, error, mark, reply);
        }
        if is_grouped {
            self.ran_in_group(spec);
        } else {
            self.end_timed(session, spec, args, began_ns);
        }
        if let (Some(mode), Run::Read(_)) = (&session.tracking, spec.command.run)
            && mode.remembers()
        {
            let names = spec.keys.positions(args.len()).map(|at| args.get(at));
            // What this batch has changed before was no change of what is read now.
            match self.effects.is_empty() || !self.effects.notes.are_taken() {
                true => self.server.tracking.remember(session.client.id, names),
                false => self.effects.read(session.client.id, names),
            }
        }
        if self.is_monitored && shown_at.is_none() {
            self.show(session, spec, args);
        }
        if self.is_audited {
            audit::ran(self.server, session, spec, args, &result);
        }
        self.effects.end_command();
    }

    /// Shows a command before it runs if it runs a script, whose own commands are shown behind it.
    #[inline]
    fn show_first(&mut self, session: &Session, spec: &Spec, args: Args<'_>) -> Option<usize> {
        let is_first = self.is_monitored && spec.family.group == "scripting";
        is_first.then(|| self.show(session, spec, args))
    }

    /// Shows a command to who has said MONITOR. Returns where its line begins.
    #[cold]
    fn show(&mut self, session: &Session, spec: &Spec, args: Args<'_>) -> usize {
        let at = self.monitored.len();
        let now_us = self.server.store.clock.now_us();
        monitor::add_line(&mut self.monitored, session, spec, args, now_us);
        at
    }

    #[inline]
    fn run(
        &mut self,
        session: &mut Session,
        spec: &'static Spec,
        args: Args<'_>,
        known: Known<'_>,
        reply: &mut Reply<'_>,
    ) -> Result {
        if let (Run::Read(_) | Run::Write(_), true) = (spec.command.run, self.over_overlay) {
            return self.run_over_overlay(session, spec, args, reply);
        }
        if self.is_in_exec && self.effects.recorded_bytes() > TRANSACTION_BYTES_MAX {
            return Err(Error::plain("the transaction or script changes too much at once"));
        }
        let known = Known { name: self.lock(spec, args, known)?, ..known };
        let access = self.access(session, session.db);
        let panics = sabotage::is(Bug::CommandPanics) && args.get(args.len() - 1) == b"panic";
        match spec.command.run {
            Run::Read(handler) => {
                let mut view = View::live(&mut self.held, &mut self.effects, access, known);
                if !spec.is_subcommand {
                    view.note_misses();
                }
                let result = handler(&view, args, reply);
                assert!(!panics, "sabotage");
                let Lookups { hits, misses } = view.lookups();
                self.metrics.keyspace_hits.add(u64::from(hits));
                self.metrics.keyspace_misses.add(u64::from(misses));
                if view.has_met_expired() {
                    self.free_met(access, known);
                }
                result
            }
            Run::Write(handler) => {
                self.may_have_changed = true;
                let result = self.write(handler, access, known, args, reply);
                assert!(!panics, "sabotage");
                match result {
                    Err(_) if self.held.is_claimed() => {
                        self.write_alone(session, handler, known, args, reply)
                    }
                    result => result,
                }
            }
            Run::Session(handler) => handler(&mut Context { session, executor: self }, args, reply),
            Run::Container => Err(Error::arity(&spec.full_name)),
        }
    }

    /// Frees what a command that reads has met: alone, if it did not read so.
    #[cold]
    fn free_met(&mut self, access: Access<'_>, known: Known<'_>) {
        if let (false, Some(name)) = (self.held.is_alone(), known.name) {
            self.release();
            self.held.lock(name, Hold::Alone);
            self.held.settle_now_ms(access.now_ms);
        }
        let turn = &self.server.store.turn;
        let may_free = turn.is_free() && !turn.is_paused();
        let mut view = View::live(&mut self.held, &mut self.effects, access, known);
        let freed = view.free_met(may_free);
        self.count_expired(freed);
    }

    #[cold]
    fn count_expired(&mut self, freed: Freed) {
        self.may_have_changed = true;
        self.server.store.count_expired(freed);
    }

    /// What a view needs besides the stripes. Each command gets a seed of its own.
    #[inline]
    fn access<'a>(&mut self, session: &'a Session, db: usize) -> Access<'a>
    where
        's: 'a,
    {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        Access {
            db,
            now_ms: self.now_ms,
            random_seed: self.random,
            touch: !session.client.no_touch.load(Relaxed),
            used_ms: self.now_ms,
            settings: self.settings,
            user: Some(session.identity.user()),
        }
    }

    /// All names of a database, for a handler for sessions whose row says that it touches every name.
    pub fn view<R>(
        &mut self,
        db: usize,
        session: &Session,
        work: impl FnOnce(&mut View<'_>) -> R,
    ) -> R {
        self.may_have_changed = true;
        let access = self.access(session, db);
        let (held, effects) = (&mut self.held, &mut self.effects);
        let result = work(&mut View::live(held, effects, access, Known::default()));
        // It is the reaper's: what comes next may hold other stripes.
        self.effects.met.clear();
        result
    }
}
