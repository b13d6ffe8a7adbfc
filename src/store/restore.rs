//! Builds a store from what a snapshot captured, and then from the journal's effects.
//!
//! While the snapshot was taken clients went on, so its parts show different moments. An effect from
//! that time is applied only to what was captured before it; afterwards every effect is. What the
//! captured bytes are is said in [`super::capture`]; files, checksums and order are the matter of
//! [`crate::persistence`].

use super::hash::KeyHasher;
use super::name::{NameEntry, NewDeadline};
use super::names::Names as _;
use super::view::{Known, View};
use super::{Access, DATABASES, Held, NEVER, Settings, Store, capture::flag};
use crate::journal::Lsn;
use crate::journal::effect::{Cause, Damaged, Decoder, Effect, Effects};
use crate::journal::varint;

/// Effects that are looked at ahead of being applied.
const AHEAD: usize = 16;
/// Bytes of effects after which others may take the stripes for a moment.
const TURN_BYTES: usize = 4 << 20;

/// A store that is being built. Clients must not change it meanwhile.
pub struct Restore<'s> {
    store: &'s Store,
    held: Held<'s>,
    recorded: Effects,
    /// What each record of the snapshot has seen, by its number. Entries point here, from 1 on, in
    /// the place where they remember their use.
    seen: Vec<SeenBy>,
    /// No effect after this is in the snapshot.
    end: Lsn,
    /// The namespace that pairs belong to.
    current: Option<(usize, Box<[u8]>)>,
    turn_bytes: usize,
    /// Pairs and strings put so far.
    pub pairs: u64,
}

#[derive(Debug, Clone, Copy)]
struct SeenBy {
    lsn: Lsn,
    /// Its parts have seen more, each something else.
    is_in_parts: bool,
}

impl<'s> Restore<'s> {
    /// Begins with an empty store.
    pub fn new(store: &'s Store) -> Restore<'s> {
        Restore {
            store,
            held: Held::new(store),
            recorded: Effects::default(),
            seen: Vec::new(),
            end: 0,
            current: None,
            turn_bytes: 0,
            pairs: 0,
        }
    }

    /// Adds whole names that have seen every effect up to `lsn`.
    ///
    /// # Errors
    /// If `body` is not what a capture writes.
    pub fn names(&mut self, lsn: Lsn, mut body: &[u8]) -> Result<(), Damaged> {
        let used = self.begin_record(lsn, false)?;
        while !body.is_empty() {
            let front = Front::read(&mut body)?;
            self.clear(front.db, front.name);
            if front.flags & flag::ABSENT != 0 {
                continue;
            }
            let mut entry = front.entry(used);
            if front.flags & flag::STRING != 0 {
                entry.set_string(field(&mut body)?);
                self.pairs += 1;
            } else {
                let count = varint::read(&mut body).ok_or(Damaged)?;
                self.pairs += count;
                for _ in 0..count {
                    self.put_captured(&mut entry, &mut body)?;
                }
            }
            self.held.insert(front.db, self.store.name(front.name), entry);
        }
        self.end_turn(0);
        Ok(())
    }

    /// Begins a namespace whose header has seen every effect up to `lsn`.
    ///
    /// # Errors
    /// As [`Restore::names`].
    pub fn namespace(&mut self, lsn: Lsn, mut body: &[u8]) -> Result<(), Damaged> {
        let used = self.begin_record(lsn, true)?;
        let front = Front::read(&mut body)?;
        if !body.is_empty() || front.flags & (flag::STRING | flag::ABSENT) != 0 {
            return Err(Damaged);
        }
        self.clear(front.db, front.name);
        self.held.insert(front.db, self.store.name(front.name), front.entry(used));
        self.current = Some((front.db, front.name.into()));
        Ok(())
    }

    /// Adds pairs to the namespace that was begun.
    ///
    /// # Errors
    /// As [`Restore::names`].
    pub fn pairs(&mut self, lsn: Lsn, mut body: &[u8]) -> Result<(), Damaged> {
        self.begin_record(lsn, true)?;
        let (db, name) = self.current.clone().ok_or(Damaged)?;
        let len = body.len();
        let mut held = std::mem::replace(&mut self.held, Held::new(self.store));
        let mut result = Ok(());
        let is_there = held.update(db, self.store.name(&name), &mut |entry| {
            while result.is_ok() && !body.is_empty() {
                result = self.put_captured(entry, &mut body);
                self.pairs += 1;
            }
        });
        self.held = held;
        self.end_turn(len);
        if is_there { result } else { Err(Damaged) }
    }

    /// What was captured from record number `first` on is void.
    ///
    /// # Errors
    /// If the number is not that of a record.
    pub fn void_from(&mut self, lsn: Lsn, first: u64) -> Result<(), Damaged> {
        let used = self.begin_record(lsn, false)?;
        let first = u32::try_from(first + 1).map_err(|_| Damaged)?;
        if first > used {
            return Err(Damaged);
        }
        for db in 0..DATABASES {
            for name in self.names_that(db, |entry| entry.used() >= first) {
                self.clear(db, &name);
            }
        }
        self.current = None;
        Ok(())
    }

    /// The snapshot is complete: it has seen no effect after `end`.
    pub fn snapshot_ends(&mut self, end: Lsn) {
        self.end = end;
        self.current = None;
    }

    /// Applies one batch of effects, the one with this LSN.
    ///
    /// # Errors
    /// If `effects` are none, or not such as could have happened.
    pub fn batch(&mut self, lsn: Lsn, effects: &[u8]) -> Result<(), Damaged> {
        self.take();
        let mut decoder = Decoder::new(effects);
        let mut ahead = Vec::with_capacity(AHEAD);
        loop {
            ahead.clear();
            for decoded in decoder.by_ref().take(AHEAD) {
                let (cause, effect) = decoded?;
                ahead.push((cause, effect, 0));
            }
            if ahead.is_empty() {
                break;
            }
            self.look_ahead(&mut ahead);
            for (cause, effect, hash) in &ahead {
                self.apply(lsn, *cause, *effect, *hash)?;
            }
        }
        self.end_turn(effects.len());
        Ok(())
    }

    /// All is there.
    pub fn finish(mut self) {
        self.take();
        let used = Settings::NONE.eviction.usage.first(self.store.clock.now_ms());
        for db in 0..DATABASES {
            self.held.each_entry(db, |entry| entry.set_used(used));
        }
    }

    /// Notes a record of the snapshot; returns what its entries are marked with.
    fn begin_record(&mut self, lsn: Lsn, is_in_parts: bool) -> Result<u32, Damaged> {
        self.take();
        self.seen.push(SeenBy { lsn, is_in_parts });
        u32::try_from(self.seen.len()).map_err(|_| Damaged)
    }

    fn take(&mut self) {
        if !self.held.holds_any() {
            self.held.lock_all();
        }
    }

    /// Lets others take the stripes after enough was done.
    fn end_turn(&mut self, bytes: usize) {
        self.turn_bytes += bytes.max(1024);
        if self.turn_bytes >= TURN_BYTES {
            self.turn_bytes = 0;
            self.held = Held::new(self.store);
        }
    }

    fn put_captured(&self, entry: &mut NameEntry, body: &mut &[u8]) -> Result<(), Damaged> {
        let key_len = varint::read(body).ok_or(Damaged)?;
        let value_len = varint::read(body).ok_or(Damaged)?;
        let deadline =
            if key_len & 1 == 1 { NewDeadline::At(number(body)?) } else { NewDeadline::Clear };
        let key = take(body, key_len >> 1)?;
        let value = take(body, value_len)?;
        entry.put_pair(self.hasher(None), key, value, deadline, 0);
        Ok(())
    }

    fn hasher<'k>(&self, known: Option<(&'k [u8], u64)>) -> KeyHasher<'k> {
        KeyHasher { hasher: self.store.hasher, known }
    }

    fn clear(&mut self, db: usize, name: &[u8]) {
        self.held.remove(db, self.store.name(name));
    }

    /// Names of a database whose entries are such.
    fn names_that(&self, db: usize, is_such: impl Fn(&NameEntry) -> bool) -> Vec<Box<[u8]>> {
        let mut names = Vec::new();
        self.held.scan(db, 0, &mut |_, entry| {
            if is_such(entry) {
                names.push(entry.name().into());
            }
            std::ops::ControlFlow::Continue(())
        });
        names
    }

    /// Hashes keys, and brings what will be needed into the processor's cache.
    fn look_ahead(&self, effects: &mut [(Cause, Effect<'_>, u64)]) {
        let mut known = [Known::default(); AHEAD];
        let mut len = 0;
        let mut first = None;
        for (_, effect, hash) in effects.iter_mut() {
            let Effect::PutPair { db, name, key, .. } = *effect else { continue };
            *hash = self.store.key_hash(key);
            if *first.get_or_insert(db) == db {
                known[len] = Known { name: Some(self.store.name(name)), key: Some((key, *hash)) };
                len += 1;
            }
        }
        if let Some(db) = first {
            self.held.touch(usize::from(db) % DATABASES, known[..len].iter().copied());
        }
    }

    fn apply(
        &mut self,
        lsn: Lsn,
        cause: Cause,
        effect: Effect<'_>,
        hash: u64,
    ) -> Result<(), Damaged> {
        if !effect.is_possible() {
            return Err(Damaged);
        }
        if lsn <= self.end && !self.is_news(lsn, effect) {
            return Ok(());
        }
        match effect {
            Effect::PutPair { db, name, key, value, deadline_ms } => {
                self.pairs += 1;
                let deadline = match deadline_ms {
                    NEVER => NewDeadline::Clear,
                    at => NewDeadline::At(at),
                };
                self.put_pair(lsn, usize::from(db), name, (key, hash), value, deadline)
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
            other => self.apply_to_names(cause, other),
        }
    }

    fn put_pair(
        &mut self,
        lsn: Lsn,
        db: usize,
        name: &[u8],
        (key, hash): (&[u8], u64),
        value: &[u8],
        deadline: NewDeadline,
    ) -> Result<(), Damaged> {
        let hashed = self.store.name(name);
        let hasher = self.hasher(Some((key, hash)));
        let (seen, end) = (&self.seen, self.end);
        let mut is_string = false;
        let is_there = self.held.update(db, hashed, &mut |entry| match entry.pairs() {
            Err(_) => is_string = true,
            Ok(pairs) => {
                let by = seen.get((entry.used() as usize).wrapping_sub(1));
                let is_in_parts = lsn <= end && by.is_some_and(|by| by.is_in_parts);
                // It only seems empty if pairs were captured after they were deleted.
                if pairs.is_empty() && !is_in_parts {
                    entry.deadline_ms = NEVER;
                }
                entry.put_pair(hasher, key, value, deadline, 0);
            }
        });
        if !is_there {
            let mut entry = Box::new(NameEntry::new(name, 0));
            entry.put_pair(hasher, key, value, deadline, 0);
            self.held.insert(db, hashed, entry);
        }
        if is_string { Err(Damaged) } else { Ok(()) }
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
                is_over = is_last && !entry.kept;
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
        };
        let mut view = View::live(&mut self.held, &mut self.recorded, access, Known::default());
        let applied = view.apply(cause, effect).map_err(|_| Damaged);
        self.recorded.clear();
        applied
    }

    /// Whether what the effect is about was captured before it. One that carries content from name to
    /// name is applied if both were; if only its source was, the source is gone from there.
    fn is_news(&mut self, lsn: Lsn, effect: Effect<'_>) -> bool {
        let (from, to, leaves) = match effect {
            Effect::Rename { db, name, to } => ((db, name), (db, to), true),
            Effect::Move { db, name, to_db } => ((db, name), (to_db, name), true),
            Effect::Copy { db, name, to_db, to } => ((db, name), (to_db, to), false),
            Effect::SwapDb { .. } | Effect::Flush { .. } => return true,
            Effect::PutPair { db, name, .. }
            | Effect::DeletePair { db, name, .. }
            | Effect::PairDeadline { db, name, .. }
            | Effect::PutString { db, name, .. }
            | Effect::DropName { db, name }
            | Effect::NameDeadline { db, name, .. }
            | Effect::Keep { db, name } => {
                let entry = self.entry(db, name);
                return entry.is_none_or(|entry| !self.has_seen(entry, lsn));
            }
        };
        let Some(source) = self.entry(from.0, from.1) else { return false };
        if self.has_seen(source, lsn) {
            return false;
        }
        let is_target_newer =
            self.entry(to.0, to.1).is_some_and(|target| self.has_seen(target, lsn));
        if is_target_newer && leaves {
            self.clear(usize::from(from.0), from.1);
        }
        !is_target_newer
    }

    fn entry(&self, db: u8, name: &[u8]) -> Option<&NameEntry> {
        self.held.get(usize::from(db), self.store.name(name))
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
            let name = self.store.name(entry.name()).hash;
            let bytes: Box<[u8]> = entry.name().into();
            let name = super::Name { bytes: &bytes, hash: name };
            // What is there was captured later, and is what came of it.
            if self.held.get(to, name).is_none() {
                self.held.insert(to, name, entry);
            }
        }
    }
}

/// How a captured name begins.
struct Front<'b> {
    db: usize,
    flags: u8,
    name: &'b [u8],
    deadline_ms: u64,
}

impl<'b> Front<'b> {
    fn read(body: &mut &'b [u8]) -> Result<Front<'b>, Damaged> {
        let &[db, flags] = take(body, 2)? else { return Err(Damaged) };
        let name = field(body)?;
        let deadline_ms = if flags & flag::DEADLINE != 0 { number(body)? } else { NEVER };
        let db = usize::from(db);
        if db >= DATABASES {
            return Err(Damaged);
        }
        Ok(Front { db, flags, name, deadline_ms })
    }

    fn entry(&self, used: u32) -> Box<NameEntry> {
        let mut entry = Box::new(NameEntry::new(self.name, used));
        entry.deadline_ms = self.deadline_ms;
        entry.kept = self.flags & flag::KEPT != 0;
        entry.raw = self.flags & flag::RAW != 0;
        entry
    }
}

fn take<'b>(body: &mut &'b [u8], len: u64) -> Result<&'b [u8], Damaged> {
    let len = usize::try_from(len).map_err(|_| Damaged)?;
    let (taken, rest) = body.split_at_checked(len).ok_or(Damaged)?;
    *body = rest;
    Ok(taken)
}

fn field<'b>(body: &mut &'b [u8]) -> Result<&'b [u8], Damaged> {
    let len = varint::read(body).ok_or(Damaged)?;
    take(body, len)
}

fn number(body: &mut &[u8]) -> Result<u64, Damaged> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(take(body, 8)?);
    Ok(u64::from_le_bytes(bytes))
}
