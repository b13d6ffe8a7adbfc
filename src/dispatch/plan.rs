//! What is known of a request before it runs, and what is done for several of them at once.
//!
//! A request is looked up and hashed once, here. Requests of one batch that stand next to each other
//! and are brief take their stripes together, and what they need is brought into the processor's
//! cache for all of them at once. Running them is [`super::Executor`]'s matter.

use super::Executor;
use crate::command::{self, Keys, Spec};
use crate::resp::ahead::AHEAD_MAX;
use crate::resp::request::Args;
use crate::server::Server;
use crate::session::Session;
use crate::short::same;
use crate::store::view::Known;
use crate::store::{Held, Hold, Name, Store};

/// Where a script's names begin among the arguments; their number stands before them.
const FIRST_DECLARED: usize = 3;

/// What is known of a request before it runs.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// What stands at its command's place.
    word: &'a [u8],
    /// Its command, not the subcommand; `None` if there is no such command.
    pub(super) spec: Option<&'static Spec>,
    pub(super) known: Known<'a>,
    /// Where the key of a pair is, if it has one.
    key_at: usize,
    /// How it holds the stripe of its one name.
    hold: Hold,
    /// The first name that a script was given.
    declared: Option<Name<'a>>,
}

impl<'a> Plan<'a> {
    /// Nothing is known.
    pub const UNKNOWN: Plan<'static> = Plan {
        word: &[],
        spec: None,
        known: Known { name: None, key: None },
        key_at: 0,
        hold: Hold::Shared,
        declared: None,
    };

    /// Looks a request up and hashes what it names.
    #[inline]
    pub fn new(store: &Store, args: Args<'a>) -> Plan<'a> {
        Plan::after(&Plan::UNKNOWN, store, args)
    }

    /// The same for a request that the server itself makes: its command has the name of its row, whatever
    /// clients call it, if they may call it at all.
    pub fn own(store: &Store, args: Args<'a>) -> Plan<'a> {
        let word = args.get(0);
        let known = Plan { word, spec: command::table().find_own(word), ..Plan::UNKNOWN };
        Plan::after(&known, store, args)
    }

    /// The same for the request behind another one, with which it often shares command and name.
    #[inline]
    pub fn after(last: &Plan<'a>, store: &Store, args: Args<'a>) -> Plan<'a> {
        let word = args.get(0);
        let spec = match last.spec {
            Some(spec) if same(last.word, word) => Some(spec),
            _ => command::table().find(word),
        };
        let Some(one @ Spec { keys: Keys::One(at), pair_key, .. }) = spec else {
            let is_named = |spec: &&Spec| {
                spec.numbers_names
                    && args.len() > FIRST_DECLARED
                    && args.get(FIRST_DECLARED - 1) != b"0"
            };
            let declared = spec.filter(is_named).map(|_| store.name(args.get(FIRST_DECLARED)));
            let hold = spec.map_or(Hold::Shared, |spec| spec.hold(args.len()));
            return Plan { word, spec, hold, declared, ..Plan::UNKNOWN };
        };
        let name = (*at < args.len()).then(|| match (last.known.name, args.get(*at)) {
            (Some(last), bytes) if same(last.bytes, bytes) => last.at(bytes),
            (_, bytes) => store.name(bytes),
        });
        let key_at = pair_key.place(args, last.key_at);
        let key = key_at.map(|at| args.get(at)).map(|key| (key, store.key_hash(key)));
        let (known, key_at) = (Known { name, key }, key_at.unwrap_or(0));
        Plan { word, spec, known, key_at, hold: one.hold(args.len()), declared: None }
    }

    /// Whether its command has this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.spec.is_some_and(|spec| spec.command.name == name)
    }

    /// Whether it may add to what is published, and does nothing else.
    pub(super) fn is_publish(&self) -> bool {
        self.spec.is_some_and(|spec| spec.family.group == "pubsub")
    }

    /// Its command, or the subcommand that the second argument names.
    pub(super) fn subcommand(&self, args: Args<'_>) -> Option<&'static Spec> {
        let spec = self.spec?;
        match args.len() > 1 && !spec.subcommands.is_empty() {
            true => command::table().find_subcommand(spec, args.get(1)),
            false => Some(spec),
        }
    }

    /// Whether it may change what it names.
    pub fn changes(&self) -> bool {
        self.hold != Hold::Shared
    }

    fn is_brief(&self) -> bool {
        self.known.name.is_some() && self.spec.is_some_and(|spec| spec.is_brief)
    }
}

/// Brings the names that scripts were given into the processor's cache.
fn fetch_declared(server: &Server, db: usize, plans: &[Plan<'_>]) {
    let mut named = [Plan::UNKNOWN; AHEAD_MAX];
    let names = plans.iter().map_while(|plan| plan.declared);
    let mut len = 0;
    for (name, plan) in names.zip(&mut named) {
        plan.known.name = Some(name);
        len += 1;
    }
    let mut held = Held::new(&server.store);
    take(&mut held, server, &named[..len], Hold::Shared).touch(&held, db);
}

/// Those at the beginning that are brief.
pub(super) fn brief<'p, 'a>(plans: &'p [Plan<'a>]) -> &'p [Plan<'a>] {
    &plans[..plans.iter().take_while(|plan| plan.is_brief()).count()]
}

/// Whether each puts one pair, all in one stripe.
fn puts_in_one(plans: &[Plan<'_>]) -> bool {
    let stripe = |plan: &Plan<'_>| plan.known.name.map(|name| name.stripe());
    let first = stripe(&plans[0]);
    plans.iter().all(|plan| plan.hold == Hold::Pairs && stripe(plan) == first)
}

/// Takes the stripes of brief requests: as many as can be had without waiting for any but the first.
fn take<'p, 'a>(
    held: &mut Held<'_>,
    server: &Server,
    plans: &'p [Plan<'a>],
    hold: Hold,
) -> Taken<'p, 'a> {
    // So that others find few stripes taken, however many threads do this.
    let stripes_max = (AHEAD_MAX / server.metrics.len()).max(1);
    let mut stripes = [0; AHEAD_MAX];
    for (plan, stripe) in plans.iter().zip(&mut stripes) {
        *stripe = plan.known.name.map_or(0, |name| name.stripe());
    }
    if hold == Hold::Pairs {
        held.lock_pairs(stripes[0], plans.iter().map(|plan| plan.known));
        return Taken { plans, stripes };
    }
    let of_plans = &stripes[..plans.len()];
    held.touch_stripes(of_plans);
    let locked = held.lock_group(of_plans.iter().copied(), stripes_max, hold);
    Taken { plans: &plans[..locked], stripes }
}

/// Requests whose stripes are held.
struct Taken<'p, 'a> {
    plans: &'p [Plan<'a>],
    stripes: [usize; AHEAD_MAX],
}

impl Taken<'_, '_> {
    /// Brings what they need into the processor's cache.
    fn touch(&self, held: &Held<'_>, db: usize) {
        let touched = self.stripes.iter().zip(self.plans);
        held.touch(db, touched.map(|(&stripe, plan)| (stripe, plan.known)));
    }
}

impl Executor<'_> {
    /// Looks at requests that will be run next: takes the stripes of the first ones, and brings what
    /// they need into the processor's cache.
    pub fn look_ahead(&mut self, session: &Session, plans: &[Plan<'_>]) {
        self.is_plain = self.finds_plain(session);
        if session.transaction.is_some() || self.over_overlay {
            return;
        }
        if plans.len() > 1 && plans[0].declared.is_some() {
            self.release();
            return fetch_declared(self.server, session.db, plans);
        }
        let plans = brief(plans);
        if plans.len() < 2 {
            return;
        }
        self.hold_ahead(session.db, plans);
    }

    /// Takes the stripes of the first of some brief requests, and brings what they need into the
    /// processor's cache.
    pub(super) fn hold_ahead(&mut self, db: usize, plans: &[Plan<'_>]) {
        self.release();
        let hold = match plans.iter().any(Plan::changes) {
            true if puts_in_one(plans) => Hold::Pairs,
            true => Hold::Alone,
            false => Hold::Shared,
        };
        let taken = take(&mut self.held, self.server, plans, hold);
        if !self.server.store.turn.is_free() {
            self.release();
            return;
        }
        self.now_ms = self.held.settle_now_ms(self.clock_ms);
        self.under_lock = 0;
        taken.touch(&self.held, db);
    }
}
