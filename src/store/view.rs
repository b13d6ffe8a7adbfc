//! The waist: what a command can see and do to names and pairs.
//!
//! A [`View`] shows one moment (`now_ms`) of the names a command may touch. Reading is in this file;
//! changes, each recorded as an effect with its cause, are in `edit.rs`. Nothing that has expired is
//! ever shown. Commands know no stripes, locks, tables, clocks or randomness but what is here.

use std::cell::Cell;
use std::ops::ControlFlow;

use super::hash::KeyHasher;
use super::limits::Limits;
use super::met::meet_name;
use super::name::{Kind, Name, NameEntry};
use super::names::Names;
use super::namespace::{Walk, from_cursor};
use super::{Eviction, Held, Overlay, Policy, Usage};
use crate::acl::User;
use crate::error::{Error, Result};
use crate::journal::effect::Effects;
use crate::shared::Value;

pub use super::namespace::{Pair, Pairs};

/// What a command is run with, besides the names it touches.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// The selected database.
    pub db: usize,
    /// The moment, in unix ms.
    pub now_ms: u64,
    /// Source of this command's randomness.
    pub random_seed: u64,
    /// Whether use of a name counts as access (CLIENT NO-TOUCH).
    pub touch: bool,
    /// When names are used, in unix ms. Unlike `now_ms` it does not stand still for a replay.
    pub used_ms: u64,
    /// Limits and thresholds.
    pub settings: &'a Settings,
    /// On whose behalf; `None` for the server's own work, which sees everything.
    pub user: Option<&'a User>,
}

/// What of the configuration concerns names and pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Longest string or value that a command may build.
    pub string_len_max_bytes: usize,
    /// Longest reply that a command may write.
    pub reply_max_bytes: usize,
    /// Pairs up to which OBJECT ENCODING calls a namespace a listpack.
    pub hash_max_listpack_entries: usize,
    /// Bytes of a key or value up to which it does.
    pub hash_max_listpack_value_bytes: usize,
    /// Bytes of a HyperLogLog up to which its layout is sparse.
    pub hll_sparse_max_bytes: usize,
    /// Most pairs of a namespace that has no limit of its own; 0: no limit.
    pub namespace_pairs_max: u64,
    /// What goes when memory is short, and what is remembered of use for that.
    pub eviction: Eviction,
}

impl Access<'static> {
    /// For what is no command: without limits, and no use of the names.
    pub(super) fn of(db: usize, now_ms: u64) -> Access<'static> {
        let (random_seed, touch, settings) = (0, false, &Settings::NONE);
        Access { db, now_ms, random_seed, touch, used_ms: now_ms, settings, user: None }
    }
}

impl Access<'_> {
    /// What a name that is made now remembers of its use.
    pub(super) fn first_use(&self) -> u32 {
        self.settings.eviction.usage.first(self.used_ms)
    }
}

impl Settings {
    /// No limits at all, for replaying what was allowed once.
    pub const NONE: Settings = Settings {
        string_len_max_bytes: usize::MAX,
        reply_max_bytes: usize::MAX,
        hash_max_listpack_entries: usize::MAX,
        hash_max_listpack_value_bytes: usize::MAX,
        hll_sparse_max_bytes: usize::MAX,
        namespace_pairs_max: 0,
        eviction: Eviction { policy: Policy::NoEviction, samples: 1, usage: Usage::Recency },
    };

    /// Call before a reply that can be huge is begun.
    ///
    /// # Errors
    /// If a reply of `bytes` is longer than a command may write; the text says to use `instead`.
    pub fn check_reply_len(&self, bytes: usize, instead: &str) -> Result {
        if bytes <= self.reply_max_bytes {
            return Ok(());
        }
        Err(Error::plain(format!("reply exceeds client-reply-max-bytes, use {instead} instead")))
    }
}

/// One moment of the names a command may touch.
pub struct View<'a> {
    pub(super) names: &'a mut dyn Names,
    pub(super) effects: &'a mut Effects,
    pub(super) hasher: KeyHasher<'a>,
    pub(super) access: Access<'a>,
    random: Cell<u64>,
    lookups: Cell<Lookups>,
    /// Whether listeners are told of names that are not there.
    notes_misses: bool,
    /// The name that was hashed to find the stripe, so that it is not hashed twice.
    known: Option<Name<'a>>,
    pub(super) limits: &'a Limits,
    /// Whether anything limits what namespaces may hold.
    pub(super) is_limited: bool,
    /// Whether changes are made at once.
    pub(super) is_live: bool,
}

/// What was hashed before the command runs, so that it is not hashed twice.
#[derive(Debug, Default, Clone, Copy)]
pub struct Known<'a> {
    /// The name whose stripe was taken.
    pub name: Option<Name<'a>>,
    /// The key of a pair that was looked at ahead, and its hash.
    pub key: Option<(&'a [u8], u64)>,
}

/// How often names that were asked for were there.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lookups {
    /// They were.
    pub hits: u32,
    /// They were not.
    pub misses: u32,
}

impl<'a> View<'a> {
    /// Over the live store, edited in place. The names must be held.
    #[inline]
    pub fn live(
        held: &'a mut Held<'_>,
        effects: &'a mut Effects,
        access: Access<'a>,
        known: Known<'a>,
    ) -> View<'a> {
        let hasher = KeyHasher { hasher: held.store.hasher, known: known.key };
        let limits = &held.store.limits;
        View::new(held, effects, hasher, access, known.name, limits)
    }

    /// Over an overlay, which collects changes and touches nothing.
    pub fn overlay(
        overlay: &'a mut Overlay<'_, '_>,
        effects: &'a mut Effects,
        access: Access<'a>,
    ) -> View<'a> {
        let hasher = KeyHasher { hasher: overlay.hasher(), known: None };
        let limits = overlay.limits();
        View { is_live: false, ..View::new(overlay, effects, hasher, access, None, limits) }
    }

    #[inline]
    fn new(
        names: &'a mut dyn Names,
        effects: &'a mut Effects,
        hasher: KeyHasher<'a>,
        access: Access<'a>,
        known: Option<Name<'a>>,
        limits: &'a Limits,
    ) -> View<'a> {
        // What is replayed was allowed once.
        let is_limited = access.user.is_some()
            && (access.settings.namespace_pairs_max > 0 || limits.are_there());
        let random = Cell::new(access.random_seed);
        View {
            names,
            effects,
            hasher,
            access,
            random,
            lookups: Cell::default(),
            notes_misses: false,
            known,
            limits,
            is_limited,
            is_live: true,
        }
    }

    /// Lets listeners know of every name that is looked for in vain.
    #[inline]
    pub fn note_misses(&mut self) {
        self.notes_misses = self.effects.notes.are_taken();
    }

    /// How often names that were asked for were there, so far.
    pub fn lookups(&self) -> Lookups {
        self.lookups.get()
    }

    /// Limits and thresholds.
    pub fn settings(&self) -> &Settings {
        self.access.settings
    }

    /// Whether the user may know of a name: it may read it.
    pub fn may_show(&self, name: &[u8]) -> bool {
        self.access.user.is_none_or(|user| user.may_read(name))
    }

    /// The selected database.
    pub fn db(&self) -> usize {
        self.access.db
    }

    /// The moment that deadlines are compared with, in unix ms.
    pub fn now_ms(&self) -> u64 {
        self.access.now_ms
    }

    /// A random number below `bound`, which must not be 0.
    pub fn random_below(&self, bound: usize) -> usize {
        // splitmix64: state steps by a constant, output is a mix of it.
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * bound as u128) >> 64) as usize
    }

    /// Lets listeners know that a command has looked for a name to read it, in vain. Commands that only
    /// read need not do this.
    pub fn note_miss(&self, name: &[u8]) {
        self.effects.miss(self.access.db, name);
    }

    /// What the name holds, for Redis clients: an empty namespace does not exist.
    pub fn kind(&self, name: &[u8]) -> Option<Kind> {
        self.kind_in(self.access.db, name)
    }

    /// [`View::kind`] in another database.
    pub fn kind_in(&self, db: usize, name: &[u8]) -> Option<Kind> {
        self.entry(db, name).and_then(NameEntry::kind)
    }

    /// Whether the name exists for Redis clients; counts as access even if the client's others do not.
    pub fn touch(&self, name: &[u8]) -> bool {
        let entry = self.look_up(self.access.db, name).filter(|entry| entry.kind().is_some());
        entry.inspect(|entry| entry.access(&self.access)).is_some()
    }

    /// [`View::kind`] without counting as access.
    pub fn peek_kind(&self, name: &[u8]) -> Option<Kind> {
        self.header(name).and_then(NameEntry::kind)
    }

    /// The string a name holds.
    #[inline]
    pub fn string(&self, name: &[u8]) -> Result<Option<&[u8]>> {
        Ok(self.sendable_string(name)?.map(|string| string.bytes))
    }

    /// The same, to be sent.
    #[inline]
    pub fn sendable_string(&self, name: &[u8]) -> Result<Option<Value<'_>>> {
        match self.entry(self.access.db, name) {
            None => Ok(None),
            Some(entry) => match entry.sendable_string() {
                None if entry.kind().is_some() => Err(Error::WrongType),
                string => Ok(string),
            },
        }
    }

    /// The pairs of a namespace that Redis clients can see.
    #[inline(always)]
    pub fn namespace(&self, name: &[u8]) -> Result<Option<Pairs<'_>>> {
        Ok(self.kept_namespace(name)?.filter(|pairs| !pairs.is_empty()))
    }

    /// The pairs of a namespace, of an empty one that is kept too.
    #[inline(always)]
    pub fn kept_namespace(&self, name: &[u8]) -> Result<Option<Pairs<'_>>> {
        self.entry(self.access.db, name).map(|entry| self.pairs(entry)).transpose()
    }

    /// The pairs under a header.
    #[inline(always)]
    pub fn pairs<'v>(&'v self, entry: &'v NameEntry) -> Result<Pairs<'v>> {
        Ok(Pairs {
            pairs: entry.pairs()?,
            hasher: self.hasher,
            now_ms: self.access.now_ms,
            entry,
            met: &self.effects.met,
        })
    }

    /// The header of a name that exists for Redis clients, without counting as access.
    pub fn header(&self, name: &[u8]) -> Option<&NameEntry> {
        self.look_up(self.access.db, name).filter(|entry| entry.kind().is_some())
    }

    /// Bytes that a name of the selected database takes with all it holds, and its place in the
    /// table of names.
    pub fn bytes(&self, entry: &NameEntry) -> usize {
        entry.bytes()
    }

    /// The header of a name, even if it has expired, for who looks into the store itself.
    pub fn unreaped(&self, name: &[u8]) -> Option<&NameEntry> {
        self.names.get(self.access.db, self.name(name)).filter(|entry| entry.kind().is_some())
    }

    /// When the name expires, in unix ms: `None` without a name, `Some(None)` without a deadline.
    /// Does not count as access.
    pub fn deadline_ms(&self, name: &[u8]) -> Option<Option<u64>> {
        self.header(name).map(NameEntry::deadline_ms)
    }

    /// Names of the selected database that exist for Redis clients, expired ones that were not
    /// reaped included.
    pub fn len(&self) -> usize {
        self.names.visible(self.access.db)
    }

    /// Whether [`View::len`] is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows names that exist for Redis clients and are wanted in hash order, from a cursor on (0: the
    /// first), until about `count` entries were looked at. Returns the cursor to go on with, 0 at the
    /// end. Names that stay are shown exactly once, whatever else comes and goes between calls. Of what
    /// has expired, that which is wanted is met.
    pub fn scan<'v>(
        &'v self,
        cursor: u64,
        count: usize,
        is_wanted: impl Fn(&NameEntry) -> bool,
        visit: impl FnMut(&'v NameEntry),
    ) -> u64 {
        let is_wanted = |entry: &NameEntry| entry.kind().is_some() && is_wanted(entry);
        self.scan_wanted(cursor, count, is_wanted, visit)
    }

    /// [`View::scan`] of everything, with empty kept namespaces.
    pub fn scan_all<'v>(
        &'v self,
        cursor: u64,
        count: usize,
        visit: impl FnMut(&'v NameEntry),
    ) -> u64 {
        self.scan_wanted(cursor, count, |_| true, visit)
    }

    fn scan_wanted<'v>(
        &'v self,
        cursor: u64,
        count: usize,
        is_wanted: impl Fn(&NameEntry) -> bool,
        mut visit: impl FnMut(&'v NameEntry),
    ) -> u64 {
        let now_ms = self.access.now_ms;
        let mut walk = Walk::new(count);
        self.names.scan(self.access.db, from_cursor(cursor), &mut |hash, entry| {
            walk.step(hash)?;
            match (is_wanted(entry), entry.is_expired(now_ms)) {
                (true, false) => visit(entry),
                (true, true) => meet_name(&self.effects.met, entry.name()),
                (false, _) => {}
            }
            ControlFlow::Continue(())
        });
        walk.next
    }

    /// Shows every live name, of empty kept namespaces too, in hash order.
    pub fn each_name<'v>(&'v self, mut visit: impl FnMut(&'v NameEntry)) {
        let now_ms = self.access.now_ms;
        self.names.scan(self.access.db, 0, &mut |_, entry| {
            if !entry.is_expired(now_ms) {
                visit(entry);
            }
            ControlFlow::Continue(())
        });
    }

    /// A random name that exists for Redis clients.
    pub fn random_name(&self) -> Option<&[u8]> {
        const TRIES: usize = 100;
        let (db, now_ms) = (self.access.db, self.access.now_ms);
        let entries = self.names.entries(db);
        if entries == 0 || self.is_empty() {
            return None;
        }
        let is_alive = |entry: &&NameEntry| entry.kind().is_some() && !entry.is_expired(now_ms);
        let draw = |_| self.names.nth(db, self.random_below(entries)).filter(is_alive);
        let drawn = (0..TRIES).find_map(draw);
        // Among very many expired or empty names, the first that is alive will do.
        drawn
            .or_else(|| (0..entries).find_map(|rank| self.names.nth(db, rank).filter(is_alive)))
            .map(NameEntry::name)
    }

    #[inline(always)]
    pub(super) fn name<'n>(&self, bytes: &'n [u8]) -> Name<'n> {
        match self.known {
            Some(known) if std::ptr::eq(known.bytes, bytes) => Name { bytes, hash: known.hash },
            _ => Name { bytes, hash: self.hasher.hasher.hash(bytes) },
        }
    }

    #[inline(always)]
    fn entry(&self, db: usize, name: &[u8]) -> Option<&NameEntry> {
        let entry = self.look_up(db, name)?;
        if self.access.touch {
            entry.access(&self.access);
        }
        Some(entry)
    }

    /// The live entry of a name; counts whether Redis clients find it.
    #[inline(always)]
    fn look_up(&self, db: usize, name: &[u8]) -> Option<&NameEntry> {
        let mut lookups = self.lookups.get();
        let entry = self.peek(db, name);
        match entry.and_then(NameEntry::kind) {
            Some(_) => lookups.hits += 1,
            None => {
                lookups.misses += 1;
                if self.notes_misses {
                    self.miss(db, name);
                }
            }
        }
        self.lookups.set(lookups);
        entry
    }

    #[inline(always)]
    pub(super) fn peek(&self, db: usize, name: &[u8]) -> Option<&NameEntry> {
        let entry = self.names.get(db, self.name(name))?;
        if !entry.is_expired(self.access.now_ms) {
            return Some(entry);
        }
        if db == self.access.db {
            meet_name(&self.effects.met, name);
        }
        None
    }
}
