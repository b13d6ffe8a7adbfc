//! The memory limit: how much the store takes, and which names go when that is too much.
//!
//! A name is chosen as Redis does it: some are sampled, the best candidates of the last samples are
//! kept, the best of all goes. No stripe is held from one step to the next. What the limit and the
//! policy are is the configuration's matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::usage::Usage;
use super::view::{Known, View};
use super::{
    Access, DATABASES, Db, Held, Hold, NEVER, NameEntry, Padded, STRIPES, Store, Stripe, stripe_of,
};
use crate::journal::effect::Effects;

/// Names that one call evicts at most, so that a command does not wait for very many.
const EVICTIONS_AT_ONCE_MAX: usize = 64;
/// Candidates kept from one sample to the next.
const POOL_LEN_MAX: usize = 16;
/// Names looked at for each one that is sampled, once there is a candidate at all.
const LOOKS_PER_SAMPLE: usize = 16;
/// What the stripes take when nothing is in them.
pub(super) const EMPTY_BYTES: usize = STRIPES * (size_of::<Padded>() + DATABASES * size_of::<Db>());

/// Which names go when memory is short (maxmemory-policy).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// None: writes are refused.
    NoEviction,
    /// Those not used for longest.
    AllkeysLru,
    /// Those used least often.
    AllkeysLfu,
    /// Any.
    AllkeysRandom,
    /// Of those with a deadline, those not used for longest.
    VolatileLru,
    /// Of those with a deadline, those used least often.
    VolatileLfu,
    /// Of those with a deadline, any.
    VolatileRandom,
    /// Those whose deadline comes first.
    VolatileTtl,
}

impl Policy {
    /// Whether use is counted, instead of when it was last.
    pub fn counts_use(self) -> bool {
        matches!(self, Policy::AllkeysLfu | Policy::VolatileLfu)
    }

    /// Whether it looks at how names are used.
    pub fn needs_use(self) -> bool {
        self.counts_use() || matches!(self, Policy::AllkeysLru | Policy::VolatileLru)
    }

    fn spares_lasting(self) -> bool {
        use Policy::{VolatileLfu, VolatileLru, VolatileRandom, VolatileTtl};
        matches!(self, VolatileLru | VolatileLfu | VolatileRandom | VolatileTtl)
    }

    fn allows(self, entry: &NameEntry) -> bool {
        entry.kind().is_some() && (!self.spares_lasting() || entry.deadline_ms != NEVER)
    }

    fn allowed_in(self, db: &Db) -> usize {
        if self.spares_lasting() { db.counts.with_deadline } else { db.counts.names }
    }

    /// The higher, the sooner it goes.
    fn score(self, entry: &NameEntry, usage: Usage, now_ms: u64) -> u64 {
        match self {
            Policy::AllkeysLru | Policy::VolatileLru => entry.idle_s(usage, now_ms),
            Policy::AllkeysLfu | Policy::VolatileLfu => {
                u64::from(u8::MAX - entry.frequency(usage, now_ms))
            }
            Policy::VolatileTtl => NEVER - entry.deadline_ms,
            Policy::AllkeysRandom | Policy::VolatileRandom | Policy::NoEviction => 0,
        }
    }
}

/// How names are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eviction {
    /// Which names may go, and which first.
    pub policy: Policy,
    /// Names looked at for each that goes (maxmemory-samples).
    pub samples: usize,
    /// How their use is remembered.
    pub usage: Usage,
}

/// The limit, and what is counted against it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// 0: there is none, and nothing is counted.
    limit_bytes: AtomicUsize,
    used_bytes: AtomicIsize,
    /// What is no data but counts, too.
    others_bytes: Arc<AtomicUsize>,
    evicted_names: AtomicU64,
    pool: Mutex<Pool>,
}

/// The best candidates so far, the best at the end.
#[derive(Debug, Default)]
struct Pool {
    policy: Option<Policy>,
    candidates: Vec<Candidate>,
}

#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    score: u64,
    db: usize,
    name: Box<[u8]>,
}

impl Store {
    /// What an empty store takes.
    pub const EMPTY_BYTES: usize = EMPTY_BYTES;

    /// Sets the limit of memory in bytes; 0: none.
    pub fn limit_memory(&self, bytes: usize) {
        self.memory.limit_bytes.store(bytes, Relaxed);
        if bytes != 0 {
            self.stripes.iter().for_each(|padded| self.memory.account(&mut padded.lock.write()));
        }
    }

    /// Where others count what they take beside the data: clients' buffers.
    pub fn others_bytes(&self) -> Arc<AtomicUsize> {
        self.memory.others_bytes.clone()
    }

    /// Whether more memory is used than the limit allows.
    #[inline]
    pub fn is_over_limit(&self) -> bool {
        let limit_bytes = self.memory.limit_bytes.load(Relaxed);
        limit_bytes != 0 && self.memory.used() > limit_bytes
    }

    /// Names evicted so far.
    pub fn evicted_names(&self) -> u64 {
        self.memory.evicted_names.load(Relaxed)
    }

    pub(super) fn forget_evictions(&self) {
        self.memory.evicted_names.store(0, Relaxed);
    }

    /// Evicts names until the limit is kept, or some that this call may evict are gone; none while
    /// clients are paused. `false` if nothing may be evicted. No stripe may be held.
    pub fn make_room(&self, eviction: &Eviction, mut random: u64) -> bool {
        // What others take meanwhile, such as messages about evicted names, is not made up for here.
        let limit_bytes = self.memory.limit_bytes.load(Relaxed);
        let surplus_bytes = self.memory.used().saturating_sub(limit_bytes);
        let goal_bytes = self.memory.data().saturating_sub(surplus_bytes);
        for _ in 0..EVICTIONS_AT_ONCE_MAX {
            let is_enough = !self.is_over_limit() || self.memory.data() <= goal_bytes;
            if is_enough || self.turn.is_paused() {
                break;
            }
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x9e37_79b9);
            if !self.evict_one(eviction, random) {
                return false;
            }
        }
        true
    }

    fn evict_one(&self, eviction: &Eviction, random: u64) -> bool {
        if eviction.policy == Policy::NoEviction {
            return false;
        }
        let now_ms = self.clock.now_ms();
        let sampled = self.sample(eviction, random, now_ms);
        self.memory.pool.lock().add(eviction.policy, sampled);
        // What was a candidate may be gone by now; then the next best goes.
        loop {
            let Some(best) = self.memory.pool.lock().candidates.pop() else { return false };
            if self.evict(eviction.policy, &best, now_ms) {
                self.memory.evicted_names.fetch_add(1, Relaxed);
                return true;
            }
        }
    }

    /// Looks at names from a random place on, in as many stripes as it takes to find some.
    fn sample(&self, eviction: &Eviction, random: u64, now_ms: u64) -> Vec<Candidate> {
        let mut sampled = Vec::new();
        let first = stripe_of(random);
        for number in (first..STRIPES).chain(0..first) {
            let stripe = self.stripes[number].lock.read();
            for (db, names) in stripe.dbs.iter().enumerate() {
                if eviction.policy.allowed_in(names) == 0 {
                    continue;
                }
                let begin = (number as u64) << (64 - super::STRIPE_BITS);
                let within = random << super::STRIPE_BITS >> super::STRIPE_BITS;
                let before = sampled.len();
                for from in [begin | within, begin] {
                    let looks = self.look(names, eviction, from, &mut |entry| {
                        sampled.push(Candidate {
                            score: eviction.policy.score(entry, eviction.usage, now_ms),
                            db,
                            name: entry.name().into(),
                        });
                    });
                    if looks || sampled.len() - before >= eviction.samples {
                        break;
                    }
                }
            }
            if sampled.len() >= eviction.samples {
                break;
            }
        }
        sampled
    }

    /// Shows names that may go, from one place on. `true` if there were enough of them.
    fn look(
        &self,
        db: &Db,
        eviction: &Eviction,
        from: u64,
        visit: &mut dyn FnMut(&NameEntry),
    ) -> bool {
        let (mut looks, mut found) = (0, 0);
        let ended = db.names.scan(from, self.hasher, |_, entry| {
            looks += 1;
            if eviction.policy.allows(entry) {
                found += 1;
                visit(entry);
            }
            match found >= eviction.samples
                || (found > 0 && looks >= eviction.samples * LOOKS_PER_SAMPLE)
            {
                true => std::ops::ControlFlow::Break(()),
                false => std::ops::ControlFlow::Continue(()),
            }
        });
        ended.is_break()
    }

    fn evict(&self, policy: Policy, candidate: &Candidate, now_ms: u64) -> bool {
        let name = self.name(&candidate.name);
        let mut held = Held::new(self);
        held.lock(name, Hold::Alone);
        if !self.turn.is_free() {
            return false;
        }
        let now_ms = held.settle_now_ms(now_ms);
        let mut effects = Effects::default();
        let access = Access::of(candidate.db, now_ms);
        let known = Known { name: Some(name), key: None };
        let mut view = View::live(&mut held, &mut effects, access, known);
        let is_there = view.header(&candidate.name).is_some_and(|entry| policy.allows(entry));
        if is_there {
            view.evict(&candidate.name);
        }
        held.release(&mut effects);
        is_there
    }
}

impl Memory {
    /// Whether what changes must be counted.
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.limit_bytes.load(Relaxed) != 0
    }

    /// Counts what a stripe takes now.
    pub fn account(&self, stripe: &mut Stripe) {
        let bytes = stripe.bytes();
        let grown = bytes as isize - stripe.counted_bytes as isize;
        stripe.counted_bytes = bytes;
        self.used_bytes.fetch_add(grown, Relaxed);
    }

    fn used(&self) -> usize {
        self.data().saturating_add(self.others_bytes.load(Relaxed))
    }

    fn data(&self) -> usize {
        EMPTY_BYTES.saturating_add_signed(self.used_bytes.load(Relaxed))
    }
}

impl Pool {
    fn add(&mut self, policy: Policy, sampled: Vec<Candidate>) {
        if self.policy.replace(policy) != Some(policy) {
            self.candidates.clear();
        }
        for new in sampled {
            let is_same = |old: &&mut Candidate| old.db == new.db && old.name == new.name;
            match self.candidates.iter_mut().find(is_same) {
                Some(old) => old.score = new.score,
                None => self.candidates.push(new),
            }
        }
        self.candidates.sort_by_key(|candidate| candidate.score);
        let surplus = self.candidates.len().saturating_sub(POOL_LEN_MAX);
        self.candidates.drain(..surplus);
    }
}
