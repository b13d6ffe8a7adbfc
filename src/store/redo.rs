//! Redoes the journal's effects over what a snapshot captured.
//!
//! While the snapshot was taken clients went on, so its parts show different moments. An effect from
//! that time is applied only to what was captured before it; afterwards every effect is. What effects
//! make of a name that was not captured before them may be vague: it lacks what is not known of it. But
//! it is only there while the name was there, and kept only while that was, so that whatever made the
//! name go takes it away too: a name that was captured when it was gone is in no snapshot. So what is
//! carried to a name from one that is not known replaces what was there by nothing. How captured names
//! are read is in [`super::restore`].

use super::hash::KeyHasher;
use super::name::{Name, NameEntry, NewDeadline};
use super::names::Names as _;
use super::restore::Restore;
use super::view::{Known, View};
use super::{Access, NEVER, Settings};
use crate::journal::Lsn;
use crate::journal::effect::{Cause, Damaged, Decoder, Effect};
use crate::sabotage::{self, Bug};

/// Effects that are looked at ahead of being applied.
pub(super) const AHEAD: usize = 16;

/// In the place of the number of the record that an entry was captured by.
const CAPTURED_NEVER: u32 = 0;

/// A pair that is put.
#[derive(Clone, Copy)]
pub(super) struct PairPut<'e> {
    pub db: usize,
    pub name: Name<'e>,
    pub key: &'e [u8],
    /// That of the key.
    pub hash: u64,
    pub value: &'e [u8],
    pub deadline: NewDeadline,
}

/// A database and a name in it.
type Place<'e> = (usize, &'e [u8]);

/// What an effect carries from a name to another.
struct Carried<'e> {
    from: Place<'e>,
    to: Place<'e>,
    /// It is not there any more.
    leaves: bool,
}

impl<'e> Carried<'e> {
    fn by(effect: Effect<'e>) -> Option<Carried<'e>> {
        let (from, to, leaves) = match effect {
            Effect::Rename { db, name, to } => ((db, name), (db, to), true),
            Effect::Move { db, name, to_db } => ((db, name), (to_db, name), true),
            Effect::Copy { db, name, to_db, to } => ((db, name), (to_db, to), false),
            _ => return None,
        };
        let place = |(db, name): (u8, &'e [u8])| (usize::from(db), name);
        Some(Carried { from: place(from), to: place(to), leaves })
    }
}

impl Restore<'_> {
    /// Applies one batch of effects, the one with this LSN.
    ///
    /// # Errors
    /// If `effects` are none, or not such as could have happened.
    pub fn batch(&mut self, lsn: Lsn, effects: &[u8]) -> Result<(), Damaged> {
        if !self.late.is_empty() {
            self.take();
            self.install(lsn);
        }
        let mut decoder = Decoder::new(effects);
        while decoder.left() > 0 {
            let at = effects.len() - decoder.left();
            let (cause, effect) = decoder.next().ok_or(Damaged)??;
            let encoded = &effects[at..effects.len() - decoder.left()];
            if lsn > self.end && self.gather(lsn, effect, encoded)? {
                continue;
            }
            self.redo_gathered()?;
            self.take();
            self.apply(lsn, cause, effect)?;
            self.end_turn(encoded.len());
        }
        Ok(())
    }

    /// The batch that could not be redone, if that is one before the last.
    pub fn misplaced(&self) -> Option<Lsn> {
        self.misplaced
    }

    /// Brings what will be needed into the processor's cache.
    pub(super) fn touch(&self, puts: &[PairPut<'_>]) {
        let Some(PairPut { db, .. }) = puts.first() else { return };
        let known = puts.iter().filter(|put| put.db == *db).map(|put| {
            let known = Known { name: Some(put.name), key: Some((put.key, put.hash)) };
            (put.name.stripe(), known)
        });
        self.held.touch(*db, known);
    }

    fn apply(&mut self, lsn: Lsn, cause: Cause, effect: Effect<'_>) -> Result<(), Damaged> {
        if !effect.is_possible() {
            return Err(Damaged);
        }
        if lsn <= self.end && !self.is_news(lsn, effect) && !sabotage::is(Bug::AppliedTwice) {
            return Ok(());
        }
        if let Some(carried) = Carried::by(effect).filter(|_| lsn <= self.end) {
            self.carry(lsn, carried);
            return Ok(());
        }
        match effect {
            // The last one counts, whatever the snapshot has seen.
            Effect::Libraries { .. } | Effect::Library { .. } => self.store.libraries.apply(effect),
            Effect::Limit { .. } => self.store.limits.apply(effect),
            Effect::PutPair { db, name, key, value, deadline_ms } => {
                self.pairs += 1;
                let deadline = self.deadline(deadline_ms);
                let (db, hash) = (usize::from(db), self.store.key_hash(key));
                let name = self.store.name(name);
                self.put_pairs(lsn, &[PairPut { db, name, key, hash, value, deadline }])
            }
            Effect::DeletePair { db, name, key, is_last } => {
                self.delete_pair(usize::from(db), name, key, is_last)
            }
            Effect::SwapDb { a, b } if lsn <= self.end => {
                self.swap_seen(lsn, usize::from(a), usize::from(b));
                Ok(())
            }
            Effect::Flush { db } if lsn <= self.end => {
                let db = usize::from(db);
                for name in self.names_that(db, |entry| !self.has_seen(entry, lsn)) {
                    self.clear(db, &name);
                }
                Ok(())
            }
            // It may only seem empty, which has no deadline to clients.
            Effect::NameDeadline { db, name, deadline_ms } if lsn <= self.end => {
                let set = &mut |entry: &mut NameEntry| entry.deadline_ms = deadline_ms;
                self.held.update(usize::from(db), self.store.name(name), set);
                Ok(())
            }
            other => {
                let applied = match self.apply_to_names(cause, other) {
                    Err(Damaged) if lsn <= self.end => Ok(()),
                    applied => applied,
                };
                if let (Cause::Emptied, Effect::Keep { db, name }) = (cause, other) {
                    let emptied = &mut |entry: &mut NameEntry| entry.set_used(CAPTURED_NEVER);
                    self.held.update(usize::from(db), self.store.name(name), emptied);
                }
                applied
            }
        }
    }

    pub(super) fn deadline(&self, deadline_ms: u64) -> NewDeadline {
        match deadline_ms {
            NEVER => NewDeadline::Clear,
            at if sabotage::is(Bug::ExpiredComesBack) && at <= self.store.clock.now_ms() => {
                NewDeadline::Clear
            }
            at => NewDeadline::At(at),
        }
    }

    /// Puts pairs into one namespace.
    pub(super) fn put_pairs(&mut self, lsn: Lsn, puts: &[PairPut<'_>]) -> Result<(), Damaged> {
        let Some(&PairPut { db, name, .. }) = puts.first() else { return Ok(()) };
        let store = self.store;
        let put_all = |entry: &mut NameEntry| {
            for &PairPut { key, hash, value, deadline, .. } in puts {
                let hasher = KeyHasher { hasher: store.hasher, known: Some((key, hash)) };
                entry.put_pair(hasher, key, value, deadline, 0);
            }
        };
        let (seen, end) = (&self.seen, self.end);
        let mut is_string = false;
        let is_there = self.held.update(db, name, &mut |entry| match entry.pairs() {
            Err(_) => is_string = true,
            Ok(_) => {
                let by = seen.get((entry.used() as usize).wrapping_sub(1));
                let is_in_parts = lsn <= end && by.is_some_and(|by| by.is_in_parts);
                // It only seems empty if pairs were captured after they were deleted.
                if entry.kind().is_none() && !is_in_parts {
                    entry.deadline_ms = NEVER;
                }
                put_all(entry);
            }
        });
        let is_vague = is_string && lsn <= end;
        if is_vague {
            self.clear(db, name.bytes);
        }
        if !is_there || is_vague {
            let mut entry = Box::new(NameEntry::new(name.bytes, 0));
            put_all(&mut entry);
            self.held.insert(db, name, entry);
        }
        if is_string && !is_vague { Err(Damaged) } else { Ok(()) }
    }

    fn delete_pair(
        &mut self,
        db: usize,
        name: &[u8],
        key: &[u8],
        is_last: bool,
    ) -> Result<(), Damaged> {
        let hashed = self.store.name(name);
        let hasher = self.hasher(None);
        let mut is_over = false;
        self.held.update(db, hashed, &mut |entry| {
            if entry.is_namespace() {
                entry.remove_pair(hasher, key);
            }
            is_over = is_last && !(entry.is_namespace() && entry.kept);
            if is_last {
                // It is empty, and does not only seem so.
                entry.set_used(CAPTURED_NEVER);
            }
        });
        if is_over {
            self.clear(db, name);
        }
        Ok(())
    }

    fn apply_to_names(&mut self, cause: Cause, effect: Effect<'_>) -> Result<(), Damaged> {
        let access = Access {
            db: effect.db(),
            now_ms: 0,
            random_seed: 0,
            touch: false,
            used_ms: 0,
            settings: &Settings::NONE,
            user: None,
        };
        let mut view = View::live(&mut self.held, &mut self.recorded, access, Known::default());
        let applied = view.apply(cause, effect).map_err(|_| Damaged);
        self.recorded.clear();
        applied
    }

    /// Whether what the effect is about was captured before it; of one about several names, that is seen
    /// name by name.
    fn is_news(&self, lsn: Lsn, effect: Effect<'_>) -> bool {
        let (db, name) = match effect {
            Effect::Rename { .. } | Effect::Move { .. } | Effect::Copy { .. } => return true,
            Effect::SwapDb { .. } | Effect::Flush { .. } => return true,
            Effect::Libraries { .. } | Effect::Library { .. } | Effect::Limit { .. } => {
                return true;
            }
            Effect::PutPair { db, name, .. }
            | Effect::DeletePair { db, name, .. }
            | Effect::PairDeadline { db, name, .. }
            | Effect::PutString { db, name, .. }
            | Effect::PatchString { db, name, .. }
            | Effect::DropName { db, name }
            | Effect::NameDeadline { db, name, .. }
            | Effect::Keep { db, name } => (db, name),
        };
        !self.is_seen(lsn, (usize::from(db), name))
    }

    /// Carries what a name held to another one, each only if it was captured before that.
    fn carry(&mut self, lsn: Lsn, Carried { from, to, leaves }: Carried<'_>) {
        if from == to {
            return;
        }
        let source = match () {
            () if self.is_seen(lsn, from) => None,
            () if leaves => self.held.remove(from.0, self.store.name(from.1)),
            () => {
                let source = self.held.get(from.0, self.store.name(from.1));
                source.map(|source| source.copied(to.1, CAPTURED_NEVER))
            }
        };
        if self.is_seen(lsn, to) {
            return;
        }
        self.clear(to.0, to.1);
        if let Some(mut entry) = source {
            if entry.name() != to.1 {
                entry.rename(to.1);
            }
            self.held.insert(to.0, self.store.name(to.1), entry);
        }
    }

    /// Whether what is under a name was captured after an effect.
    fn is_seen(&self, lsn: Lsn, (db, name): Place<'_>) -> bool {
        let entry = self.held.get(db, self.store.name(name));
        entry.is_some_and(|entry| self.has_seen(entry, lsn))
    }

    fn has_seen(&self, entry: &NameEntry, lsn: Lsn) -> bool {
        let by = (entry.used() as usize).checked_sub(1).and_then(|number| self.seen.get(number));
        by.is_some_and(|by| by.lsn >= lsn)
    }

    /// Databases changed places when only a part of the names was captured: those do.
    fn swap_seen(&mut self, lsn: Lsn, a: usize, b: usize) {
        if a == b {
            return;
        }
        let old = |db| self.names_that(db, |entry| !self.has_seen(entry, lsn));
        let moved = [(old(a), a, b), (old(b), b, a)];
        let mut taken = Vec::new();
        for (names, from, to) in moved {
            for name in names {
                let entry = self.held.remove(from, self.store.name(&name));
                taken.extend(entry.map(|entry| (to, entry)));
            }
        }
        for (to, entry) in taken {
            let bytes: Box<[u8]> = entry.name().into();
            let name = self.store.name(&bytes);
            // What is there was captured later, and is what came of it.
            if self.held.get(to, name).is_none() {
                self.held.insert(to, name, entry);
            }
        }
    }
}
