//! How much a namespace may hold: limits by name, and the check that comes before every change.
//!
//! A limit belongs to a name, not to what is there: it stays when the namespace is dropped, renamed or
//! flushed away, so that who may write can not get rid of it. It goes along when databases change places. Who is over a limit that came later may
//! still shrink. Limits that hold for every namespace are in [`Settings`]; what is replayed was allowed
//! once and is not checked again.
//!
//! [`Settings`]: super::Settings

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::RwLock;

use super::view::{Pairs, View};
use super::{DATABASES, claims};
use crate::error::{Error, Result};
use crate::journal::effect::{Cause, Damaged, Decoder, Effect, Effects};

/// Names that may have a limit of their own.
pub const LIMITED_NAMES_MAX: usize = 100_000;

/// Most pairs and bytes of a namespace; 0: no limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Pairs.
    pub pairs: u64,
    /// Bytes, as NAMESPACE INFO counts them.
    pub bytes: u64,
}

/// The limits that names have.
#[derive(Debug, Default)]
pub struct Limits {
    dbs: RwLock<[ByName; DATABASES]>,
    /// How many there are, so that who has none pays for none.
    count: AtomicUsize,
}

/// Names of one database.
type ByName = BTreeMap<Box<[u8]>, Limit>;

/// A key and the value that it shall have.
type Put<'p> = (&'p [u8], &'p [u8]);

/// What a change adds.
#[derive(Debug, Default, Clone, Copy)]
struct Growth {
    pairs: i64,
    bytes: i64,
}

impl Limit {
    /// Whether it limits nothing.
    pub fn is_none(self) -> bool {
        self == Limit::default()
    }
}

impl Limits {
    /// The limit of a name.
    pub fn get(&self, db: usize, name: &[u8]) -> Limit {
        if !self.are_there() {
            return Limit::default();
        }
        self.dbs.read()[db].get(name).copied().unwrap_or_default()
    }

    /// Each name of a database that has a limit, in their order.
    pub fn of_database(&self, db: usize) -> Vec<(Box<[u8]>, Limit)> {
        self.dbs.read()[db].iter().map(|(name, limit)| (name.clone(), *limit)).collect()
    }

    /// Applies an effect, if it is one of limits.
    ///
    /// # Errors
    /// When it is not such as could have happened.
    pub fn apply(&self, effect: Effect<'_>) -> Result<(), Damaged> {
        let Effect::Limit { db, name, pairs, bytes } = effect else { return Ok(()) };
        let limit = Limit { pairs, bytes };
        let mut dbs = self.dbs.write();
        let names = dbs.get_mut(usize::from(db)).ok_or(Damaged)?;
        match limit.is_none() {
            true => names.remove(name),
            false => names.insert(name.into(), limit),
        };
        self.count.store(dbs.iter().map(BTreeMap::len).sum(), Relaxed);
        Ok(())
    }

    /// All of them, as effects.
    pub fn encoded(&self) -> Vec<u8> {
        let mut effects = Effects::default();
        for (db, names) in (0..).zip(&*self.dbs.read()) {
            for (name, &Limit { pairs, bytes }) in names {
                effects.push(Cause::Limited, Effect::Limit { db, name, pairs, bytes });
            }
        }
        effects.take()
    }

    /// Takes in what [`Limits::encoded`] gave.
    ///
    /// # Errors
    /// If it is something else.
    pub fn restore(&self, encoded: &[u8]) -> Result<(), Damaged> {
        for decoded in Decoder::new(encoded) {
            let (_, effect @ Effect::Limit { .. }) = decoded? else { return Err(Damaged) };
            self.apply(effect)?;
        }
        Ok(())
    }

    /// Whether any name has one.
    #[inline]
    pub(super) fn are_there(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    fn has_room_for(&self, db: usize, name: &[u8]) -> bool {
        self.count.load(Relaxed) < LIMITED_NAMES_MAX || self.dbs.read()[db].contains_key(name)
    }
}

impl View<'_> {
    /// The limit of a name of the selected database, without what holds for every namespace.
    pub fn limit(&self, name: &[u8]) -> Limit {
        self.limits.get(self.db(), name)
    }

    /// The same, with what holds for every namespace.
    pub fn limit_in_force(&self, name: &[u8]) -> Limit {
        self.limit_of(self.db(), name)
    }

    /// Limits a name; nothing limited: it has no limit any more.
    ///
    /// # Errors
    /// When too many names have one.
    pub fn set_limit(&mut self, name: &[u8], limit: Limit) -> Result {
        if !limit.is_none() && !self.limits.has_room_for(self.db(), name) {
            let text = format!("{LIMITED_NAMES_MAX} names have a limit already");
            return Err(Error::plain(text));
        }
        self.put_limit(self.db(), name, limit);
        Ok(())
    }

    /// Gives each of two databases the limits of the other, name by name: effects have absolute values.
    pub fn swap_limits(&mut self, a: usize, b: usize) {
        let [of_a, of_b] = [a, b].map(|db| self.limits.of_database(db));
        for ((db, other), names) in [((a, b), &of_a), ((b, a), &of_b)] {
            for (name, limit) in names {
                let others = if db == a { &of_b } else { &of_a };
                if others.binary_search_by(|(known, _)| known.cmp(name)).is_err() {
                    self.put_limit(db, name, Limit::default());
                }
                self.put_limit(other, name, *limit);
            }
        }
    }

    fn put_limit(&mut self, db: usize, name: &[u8], Limit { pairs, bytes }: Limit) {
        let effect = Effect::Limit { db: db as u8, name, pairs, bytes };
        if self.is_live {
            // It was made here, so it can be applied.
            let _ = self.limits.apply(effect);
        }
        self.effects.push(Cause::Limited, effect);
    }

    /// Call before the first change of a command that puts these pairs, unless it puts only one and
    /// changes nothing else.
    ///
    /// # Errors
    /// When the namespace would hold more than it may.
    #[inline]
    pub fn check_room<'p>(&self, name: &[u8], pairs: impl Iterator<Item = Put<'p>>) -> Result {
        if self.is_limited { self.check_room_for(name, &mut { pairs }) } else { Ok(()) }
    }

    /// The same for the pairs of several namespaces: name, key and value of each.
    ///
    /// # Errors
    /// As [`View::check_room`].
    #[inline]
    pub fn check_room_in_each<'p>(
        &self,
        rows: impl Iterator<Item = (&'p [u8], &'p [u8], &'p [u8])>,
    ) -> Result {
        if !self.is_limited {
            return Ok(());
        }
        let mut by_name: HashMap<&[u8], Vec<Put<'_>>> = HashMap::new();
        for (name, key, value) in rows {
            by_name.entry(name).or_default().push((key, value));
        }
        by_name
            .into_iter()
            .try_for_each(|(name, pairs)| self.check_room_for(name, &mut pairs.into_iter()))
    }

    /// Call before these pairs take the place of whatever `name` holds.
    ///
    /// # Errors
    /// As [`View::check_room`].
    pub fn check_whole<'p>(&self, name: &[u8], pairs: impl Iterator<Item = Put<'p>>) -> Result {
        if !self.is_limited {
            return Ok(());
        }
        let mut all = Growth::default();
        for (key, value) in pairs {
            all = all.and(Growth { pairs: 1, bytes: (key.len() + value.len()) as i64 });
        }
        self.check_growth(self.limit_of(self.db(), name), None, all)
    }

    /// Call before what `name` holds goes to another place.
    ///
    /// # Errors
    /// As [`View::check_room`].
    pub fn check_moved(&self, name: &[u8], to_db: usize, to: &[u8]) -> Result {
        if !self.is_limited || (to_db == self.db() && name == to) {
            return Ok(());
        }
        let entry = self.peek(self.db(), name);
        let Some(pairs) = entry.and_then(|entry| self.pairs(entry).ok()) else { return Ok(()) };
        let all = Growth { pairs: pairs.count() as i64, bytes: pairs.bytes() as i64 };
        self.check_growth(self.limit_of(to_db, to), None, all)
    }

    /// The check of one pair; only where something is limited.
    #[cold]
    pub(super) fn check_room_for_one(&self, name: &[u8], key: &[u8], value: &[u8]) -> Result {
        self.check_room_for(name, &mut std::iter::once((key, value)))
    }

    #[cold]
    fn check_room_for<'p>(&self, name: &[u8], new: &mut dyn Iterator<Item = Put<'p>>) -> Result {
        let limit = self.limit_of(self.db(), name);
        if limit.is_none() {
            return Ok(());
        }
        if self.names.are_claimed() {
            return Err(claims::refused());
        }
        let entry = self.peek(self.db(), name);
        let pairs = entry.and_then(|entry| self.pairs(entry).ok());
        let Some(first) = new.next() else { return Ok(()) };
        let Some(second) = new.next() else {
            return self.check_growth(limit, pairs, growth(pairs.as_ref(), first));
        };
        // Of a key that comes several times, the last counts.
        let new: HashMap<&[u8], &[u8]> = [first, second].into_iter().chain(new).collect();
        let all = new.into_iter().map(|pair| growth(pairs.as_ref(), pair));
        self.check_growth(limit, pairs, all.fold(Growth::default(), Growth::and))
    }

    fn check_growth(&self, limit: Limit, pairs: Option<Pairs<'_>>, growth: Growth) -> Result {
        let over = |now: usize, more: i64, most: u64| {
            most > 0 && more > 0 && now as u64 + more as u64 > most
        };
        let len = pairs.map_or(0, |pairs| pairs.len());
        // Counting those that have not expired may be a walk: only if it matters.
        if over(len, growth.pairs, limit.pairs)
            && over(pairs.map_or(0, |pairs| pairs.count()), growth.pairs, limit.pairs)
        {
            return Err(Error::LimitReached { what: "pairs", most: limit.pairs });
        }
        if over(pairs.map_or(0, |pairs| pairs.bytes()), growth.bytes, limit.bytes) {
            return Err(Error::LimitReached { what: "bytes", most: limit.bytes });
        }
        Ok(())
    }

    /// The limit of a name: its own, or else that of every namespace.
    fn limit_of(&self, db: usize, name: &[u8]) -> Limit {
        let own = self.limits.get(db, name);
        let pairs = if own.pairs > 0 { own.pairs } else { self.settings().namespace_pairs_max };
        Limit { pairs, ..own }
    }
}

impl Growth {
    fn and(self, more: Growth) -> Growth {
        Growth { pairs: self.pairs + more.pairs, bytes: self.bytes + more.bytes }
    }
}

fn growth(pairs: Option<&Pairs<'_>>, (key, value): Put<'_>) -> Growth {
    match pairs.and_then(|pairs| pairs.get(key)) {
        Some(old) => Growth { pairs: 0, bytes: value.len() as i64 - old.value.len() as i64 },
        None => Growth { pairs: 1, bytes: (key.len() + value.len()) as i64 },
    }
}
