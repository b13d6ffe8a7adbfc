//! The spine: looks a request up, checks it, takes the stripes it needs, runs it and counts it.
//!
//! Both doors come through here, so users, limits, transactions and counters exist once. An
//! [`Executor`] runs the requests of one batch: consecutive commands on one stripe share its lock.
//! It is made for a batch and dropped before any await.

mod plan;
pub mod redact;
mod rights;
pub mod script;
mod timing;

use std::sync::atomic::Ordering::Relaxed;

use crate::command::args::is;
use crate::command::{self, Keys, Run, Spec};
use crate::config::Allowed;
use crate::error::{Error, Result};
use crate::journal::Seen;
use crate::journal::effect::Effects;
use crate::push::monitor;
use crate::push::pubsub::Publication;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::Server;
use crate::server::metrics::Metrics;
use crate::session::{ReplyMode, Session};
use crate::store::view::{Known, Lookups};
use crate::store::{Access, Held, Name, Need, Overlay, Settings, View};

pub use plan::Plan;
pub use timing::Thresholds;

use timing::Stopwatch;

/// Commands that may run under one acquisition of a stripe, so that others get their turn.
const COMMANDS_PER_LOCK_MAX: usize = 16;

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
    seen: Seen,
    /// Whether somebody is shown all commands, and what is to be shown.
    is_monitored: bool,
    monitored: String,
    /// What was published and not sent yet.
    outbox: Vec<Publication>,
    /// A command ran that may change something.
    may_have_changed: bool,
    stopwatch: Stopwatch,
    /// The last command did not run: it has to wait for a script that takes long.
    pub is_parked: bool,
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
        let (clock_ms, at_ns) = server.store.clock.moment();
        let mut effects = effects;
        effects.notes.begin(server.store.events.is_heard());
        Executor {
            server,
            held: Held::new(&server.store),
            effects,
            settings,
            metrics,
            clock_ms,
            now_ms: clock_ms,
            random,
            under_lock: 0,
            is_in_exec: false,
            over_overlay: false,
            seen: Seen::default(),
            is_monitored: server.monitors.are_there(),
            monitored: String::new(),
            outbox: Vec::new(),
            may_have_changed: false,
            stopwatch: Stopwatch::start(&server.thresholds, at_ns),
            is_parked: false,
        }
    }

    /// Says whose commands these are.
    #[must_use]
    pub fn of_client(mut self, id: u64) -> Self {
        self.effects.notes.set_client(id);
        self
    }

    /// Runs commands over an overlay and then replays their effects, instead of editing in place.
    pub fn over_overlay(mut self) -> Self {
        self.over_overlay = true;
        self
    }

    /// Ends the batch: stripes are let go, and the session knows what its replies depend on.
    pub fn finish(mut self, session: &mut Session) -> Effects {
        self.release();
        if self.may_have_changed {
            // That nothing was there to be changed is as much of an answer as a change.
            self.seen.wrote = self.seen.touched;
        }
        session.seen = session.seen.max(self.seen);
        self.send_outbox(session);
        self.effects
    }

    /// Whether a transaction's or a script's commands are run.
    pub fn is_in_transaction(&self) -> bool {
        self.is_in_exec
    }

    /// Sends a message when nothing is held any more, and before what later commands do is heard of.
    pub fn publish(&mut self, publication: Publication) {
        self.outbox.push(publication);
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
        self.execute_planned(session, args, &plan, reply);
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
        let mark = reply.mark();
        if !self.outbox.is_empty() && !plan.is_publish() {
            self.send(session);
        }
        if !self.server.store.turn.is_free() {
            match self.takes_turn(plan.subcommand(args)) {
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
        self.metrics.total_commands_processed.add(1);
        self.metrics.calls[spec.index].add(1);
        session.client.last_command.store(spec.index as u32, Relaxed);
        let mark = reply.mark();
        let is_grouped = self.stopwatch.groups(spec);
        let began_ns = if is_grouped { 0 } else { self.begin_timed() };
        if let Err(error) = self.run(session, spec, args, known, reply) {
            if self.is_parked {
                return;
            }
            reply.rewind(mark);
            reply.error(&error);
            self.metrics.failed[spec.index].add(1);
            self.metrics.count_error(error.code());
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
            self.server.tracking.remember(session.client.id, names);
        }
        if self.is_monitored {
            let now_us = self.server.store.clock.now_us();
            monitor::add_line(&mut self.monitored, session, spec, args, now_us);
        }
        self.effects.end_command();
    }

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
        }
        if transaction.is_aborted {
            self.release();
            return Err(Error::ExecAbort(" previous errors.".into()));
        }
        if is_dirty {
            reply.null_array();
        } else {
            reply.array(transaction.queue.len());
            self.is_in_exec = true;
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
            }
            self.is_in_exec = false;
        }
        self.release();
        Ok(())
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
        }
    }

    /// Looks the command up and checks what can be checked before it runs.
    #[inline]
    fn resolve(
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
    fn changes(&self, session: &Session, spec: &'static Spec) -> bool {
        let is_exec = spec.command.name == "EXEC";
        let mut queue = session.transaction.iter().flat_map(|transaction| &transaction.queue);
        spec.is_write() || (is_exec && queue.any(|queued| queued.spec.is_write()))
    }

    /// Makes room for a command that may need memory; `false` if there is none to be had.
    #[cold]
    fn has_room(&mut self, session: &Session, spec: &'static Spec) -> bool {
        let queue = session.transaction.iter().flat_map(|transaction| &transaction.queue);
        let is_exec = spec.command.name == "EXEC";
        let needs_memory = spec.command.flags.denyoom
            || (is_exec && queue.into_iter().any(|queued| queued.spec.command.flags.denyoom));
        self.release();
        !needs_memory || self.server.store.make_room(&self.settings.eviction, self.random)
    }

    /// Answers what can not be run. A transaction is then discarded by EXEC, or by its own refusal.
    #[cold]
    fn refuse(
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

    fn queue(
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
        let known = Known { name: self.lock(session.db, spec, args, known)?, ..known };
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let access = Access {
            db: session.db,
            now_ms: self.now_ms,
            random_seed: self.random,
            touch: !session.client.no_touch.load(Relaxed),
            used_ms: self.now_ms,
            settings: self.settings,
            user: Some(session.identity.user()),
        };
        match spec.command.run {
            Run::Read(handler) => {
                let mut view = View::live(&mut self.held, &mut self.effects, access, known);
                if !spec.is_subcommand() {
                    view = view.noting_misses();
                }
                let result = handler(&view, args, reply);
                let Lookups { hits, misses } = view.lookups();
                self.metrics.keyspace_hits.add(u64::from(hits));
                self.metrics.keyspace_misses.add(u64::from(misses));
                result
            }
            Run::Write(handler) => {
                self.may_have_changed = true;
                let mut view = View::live(&mut self.held, &mut self.effects, access, known);
                handler(&mut view, args, reply)
            }
            Run::Session(handler) => handler(&mut Context { session, executor: self }, args, reply),
            Run::Container => Err(Error::arity(&spec.full_name)),
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
        let access = Access {
            db,
            now_ms: self.now_ms,
            random_seed: self.random,
            touch: !session.client.no_touch.load(Relaxed),
            used_ms: self.now_ms,
            settings: self.settings,
            user: Some(session.identity.user()),
        };
        let (held, effects) = (&mut self.held, &mut self.effects);
        work(&mut View::live(held, effects, access, Known::default()))
    }

    /// Lets all stripes go, unless a transaction needs them.
    pub fn let_others(&mut self) {
        if !self.is_in_exec {
            self.release();
        }
    }

    /// Takes the stripes a command needs, unless they are held. Returns the one name if it is one.
    #[inline]
    fn lock<'a>(
        &mut self,
        db: usize,
        spec: &Spec,
        args: Args<'a>,
        known: Known<'a>,
    ) -> Result<Option<Name<'a>>> {
        let store = &self.server.store;
        let keys = spec.keys;
        match keys {
            Keys::One(at) => {
                let name = known.name.unwrap_or_else(|| store.name(args.get(at)));
                if !self.is_in_exec {
                    self.under_lock += 1;
                    if store.may_be_spread(name) {
                        self.lock_spread(db, spec, args, name, known)?;
                        return Ok(Some(name));
                    }
                    if self.under_lock > COMMANDS_PER_LOCK_MAX || !self.held.turn_to(name) {
                        self.release();
                        self.held.lock(name);
                        self.check_turn()?;
                        self.now_ms = self.held.settle_now_ms(self.clock_ms);
                        self.under_lock = 1;
                    }
                    if self.held.is_spread(name) {
                        self.lock_spread(db, spec, args, name, known)?;
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

    /// Stripes were just taken: if a script is aside, they are let go, and the command waits.
    #[inline]
    fn check_turn(&mut self) -> Result {
        if self.server.store.turn.is_free() {
            return Ok(());
        }
        self.park()
    }

    #[cold]
    fn park(&mut self) -> Result {
        self.release();
        self.is_parked = true;
        Err(self.server.store.turn.busy())
    }

    /// Takes of a name that may be spread what a command needs, unless it is held.
    #[inline(never)]
    fn lock_spread(
        &mut self,
        db: usize,
        spec: &Spec,
        args: Args<'_>,
        name: Name<'_>,
        known: Known<'_>,
    ) -> Result {
        let store = &self.server.store;
        let hash = |at| match known.key {
            Some((key, hash)) if std::ptr::eq(key, args.get(at)) => hash,
            _ => store.key_hash(args.get(at)),
        };
        let hashes = spec.pair_keys.positions(args).map(hash);
        let need = Need::pairs(hashes, spec.is_write(), spec.keeps);
        let is_first_turn = self.under_lock <= COMMANDS_PER_LOCK_MAX && self.held.holds_any();
        for is_alone in [false, true] {
            if is_alone {
                self.release();
                self.under_lock = 1;
            } else if !is_first_turn {
                continue;
            }
            if let Some(now_ms) = self.held.lock_parts(db, name, need, self.clock_ms) {
                self.now_ms = now_ms;
                return self.check_turn();
            }
        }
        self.release();
        self.held.lock_whole(name);
        self.check_turn()?;
        self.held.tidy(db, name);
        self.now_ms = self.held.settle_now_ms(self.clock_ms);
        Ok(())
    }

    #[inline]
    fn release(&mut self) {
        self.seen = self.seen.max(self.held.release(&mut self.effects));
    }

    fn lock_for(
        &mut self,
        session: &Session,
        queue: &[crate::session::Queued],
        watch: Option<&crate::session::Watch>,
    ) {
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

    fn is_dirty(&self, watch: &crate::session::Watch) -> bool {
        let store = &self.server.store;
        watch.mark.is_dirty()
            || watch.names.iter().any(|(db, name, since_ms)| {
                self.held.has_expired(*db, store.name(name), *since_ms, self.now_ms)
            })
    }

    fn forget(&mut self, watch: &crate::session::Watch) {
        for (_, name, _) in &watch.names {
            let name = self.server.store.name(name);
            self.held.unwatch(name, &watch.mark);
        }
    }

    #[cold]
    fn run_over_overlay(
        &mut self,
        session: &Session,
        spec: &'static Spec,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result {
        self.release();
        self.held.lock_all();
        self.now_ms = self.held.settle_now_ms(self.clock_ms);
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let access = Access {
            db: session.db,
            now_ms: self.now_ms,
            random_seed: self.random,
            touch: !session.client.no_touch.load(Relaxed),
            used_ms: self.now_ms,
            settings: self.settings,
            user: Some(session.identity.user()),
        };
        let mut effects = Effects::default();
        effects.notes.begin(self.effects.notes.are_taken());
        let mut overlay = Overlay::new(&self.held);
        let mut view = View::overlay(&mut overlay, &mut effects, access);
        let result = match spec.command.run {
            Run::Read(handler) if spec.is_subcommand() => handler(&view, args, reply),
            Run::Read(handler) => handler(&view.noting_misses(), args, reply),
            Run::Write(handler) => handler(&mut view, args, reply),
            Run::Session(_) | Run::Container => Ok(()),
        };
        self.release();
        effects.notes.set_client(session.client.id);
        let notes = std::mem::take(&mut effects.notes);
        let replayed = self.server.store.replay_noting(notes, effects.as_bytes());
        replayed.map_err(|_| Error::plain("damaged effect"))?;
        result
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
