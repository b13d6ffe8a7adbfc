//! Builds a store from what a snapshot captured, and then from the journal's effects.
//!
//! What is captured late is put in its place when the effects before it are redone, which `redo.rs`
//! does. What the captured bytes are is said in [`super::captured`]; files, checksums and order are the
//! matter of [`crate::persistence`].

use std::collections::BTreeMap;

use super::captured::flag;
use super::gathered::Gathered;
use super::hash::KeyHasher;
use super::name::{NameEntry, NewDeadline};
use super::names::Names as _;
use super::{DATABASES, Held, NEVER, Settings, Store};
use crate::journal::Lsn;
use crate::journal::effect::{Damaged, Effect, Effects};
use crate::journal::format::Kind;
use crate::journal::varint;

/// Bytes of effects after which others may take the stripes for a moment.
const TURN_BYTES: usize = 4 << 20;

/// A store that is being built. Clients must not change it meanwhile.
pub struct Restore<'s> {
    pub(super) store: &'s Store,
    pub(super) held: Held<'s>,
    pub(super) recorded: Effects,
    /// What each record of the snapshot has seen, by its number. Entries point here, from 1 on, in
    /// the place where they remember their use.
    pub(super) seen: Vec<SeenBy>,
    /// No effect after this is in the snapshot.
    pub(super) end: Lsn,
    /// Names by the LSN from which on they are this.
    pub(super) late: BTreeMap<Lsn, Vec<Late>>,
    /// Where in `late` the namespace is last that pairs belong to.
    current: Option<Lsn>,
    turn_bytes: usize,
    /// Effects that are redone together.
    pub(super) gathered: Gathered,
    /// See [`Restore::misplaced`].
    pub(super) misplaced: Option<Lsn>,
    /// Pairs and strings put so far.
    pub pairs: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct SeenBy {
    pub(super) lsn: Lsn,
    /// Its parts have seen more, each something else.
    pub(super) is_in_parts: bool,
}

/// A name that was captured late.
pub(super) struct Late {
    db: usize,
    name: Box<[u8]>,
    /// What is there, if anything.
    entry: Option<Box<NameEntry>>,
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
            late: BTreeMap::new(),
            current: None,
            turn_bytes: 0,
            gathered: Gathered::default(),
            misplaced: None,
            pairs: 0,
        }
    }

    /// Adds whole names that have seen every effect up to `lsn`.
    ///
    /// # Errors
    /// If `body` is not what a capture writes.
    pub fn names(&mut self, lsn: Lsn, mut body: &[u8]) -> Result<(), Damaged> {
        self.begin_record(lsn, false)?;
        self.take();
        let len = body.len();
        while !body.is_empty() {
            let Late { db, name, entry } = self.read_name(&mut body)?;
            let (entry, name) = (entry.ok_or(Damaged)?, self.store.name(&name));
            if self.held.get(db, name).is_some() {
                return Err(Damaged);
            }
            self.held.insert(db, name, entry);
        }
        self.end_turn(len);
        Ok(())
    }

    /// Adds names that are this from `lsn` on.
    ///
    /// # Errors
    /// As [`Restore::names`].
    pub fn late_names(&mut self, lsn: Lsn, mut body: &[u8]) -> Result<(), Damaged> {
        self.begin_record(lsn, false)?;
        while !body.is_empty() {
            let late = self.read_name(&mut body)?;
            self.late.entry(lsn).or_default().push(late);
        }
        Ok(())
    }

    /// Begins a namespace whose header is this from `lsn` on.
    ///
    /// # Errors
    /// As [`Restore::names`].
    pub fn late_namespace(&mut self, lsn: Lsn, mut body: &[u8]) -> Result<(), Damaged> {
        let used = self.begin_record(lsn, true)?;
        let front = Front::read(&mut body)?;
        let count = varint::read(&mut body).ok_or(Damaged)?;
        if !body.is_empty() || front.flags & (flag::STRING | flag::ABSENT) != 0 {
            return Err(Damaged);
        }
        let mut entry = front.entry(used);
        entry.prepare_pairs(usize::try_from(count).map_err(|_| Damaged)?);
        let (db, name) = (front.db, front.name.into());
        self.late.entry(lsn).or_default().push(Late { db, name, entry: Some(entry) });
        self.current = Some(lsn);
        Ok(())
    }

    /// Adds pairs to the namespace that was begun.
    ///
    /// # Errors
    /// As [`Restore::names`].
    pub fn late_pairs(&mut self, lsn: Lsn, mut body: &[u8]) -> Result<(), Damaged> {
        self.begin_record(lsn, true)?;
        let hasher = self.hasher(None);
        let begun = self.current.and_then(|lsn| self.late.get_mut(&lsn)?.last_mut());
        let entry = begun.and_then(|late| late.entry.as_mut()).ok_or(Damaged)?;
        while !body.is_empty() {
            put_captured(hasher, entry, &mut body)?;
            self.pairs += 1;
        }
        Ok(())
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
        self.take();
        for db in 0..DATABASES {
            for name in self.names_that(db, |entry| entry.used() >= first) {
                self.clear(db, &name);
            }
        }
        let is_void = |late: &Late| late.entry.as_ref().is_some_and(|entry| entry.used() >= first);
        self.late.values_mut().for_each(|lates| lates.retain(|late| !is_void(late)));
        self.current = None;
        Ok(())
    }

    /// Sets all libraries of functions.
    ///
    /// # Errors
    /// As [`Restore::names`].
    pub fn libraries(&mut self, lsn: Lsn, body: &[u8]) -> Result<(), Damaged> {
        self.begin_record(lsn, false)?;
        self.store.libraries.apply(Effect::Libraries { all: body })
    }

    /// Sets the limits of names.
    ///
    /// # Errors
    /// As [`Restore::names`].
    pub fn limits(&mut self, lsn: Lsn, body: &[u8]) -> Result<(), Damaged> {
        self.begin_record(lsn, false)?;
        self.store.limits.restore(body)
    }

    /// The snapshot is complete: it has seen no effect after `end`.
    pub fn snapshot_ends(&mut self, end: Lsn) {
        self.end = end;
        self.current = None;
    }

    /// All is there, and nothing waits to be redone.
    pub fn finish(mut self) {
        debug_assert!(!self.has_gathered(), "what was gathered is redone before the end");
        self.take();
        self.install(Lsn::MAX);
        let used = Settings::NONE.eviction.usage.first(self.store.clock.now_ms());
        for db in 0..DATABASES {
            self.held.each_entry(db, |entry| entry.set_used(used));
        }
    }

    /// Notes a record of the snapshot; returns what its entries are marked with.
    fn begin_record(&mut self, lsn: Lsn, is_in_parts: bool) -> Result<u32, Damaged> {
        self.seen.push(SeenBy { lsn, is_in_parts });
        u32::try_from(self.seen.len()).map_err(|_| Damaged)
    }

    pub(super) fn take(&mut self) {
        if !self.held.holds_any() {
            self.held.lock_all();
        }
    }

    /// Lets others take the stripes after enough was done.
    pub(super) fn end_turn(&mut self, bytes: usize) {
        self.turn_bytes += bytes.max(1024);
        if self.turn_bytes >= TURN_BYTES {
            self.turn_bytes = 0;
            self.held = Held::new(self.store);
        }
    }

    /// Reads a name and what it holds.
    fn read_name(&mut self, body: &mut &[u8]) -> Result<Late, Damaged> {
        let used = self.seen.len() as u32;
        let front = Front::read(body)?;
        let (db, name) = (front.db, front.name.into());
        if front.flags & flag::ABSENT != 0 {
            return Ok(Late { db, name, entry: None });
        }
        let mut entry = front.entry(used);
        if front.flags & flag::STRING != 0 {
            entry.set_string(field(body)?);
            self.pairs += 1;
        } else {
            let count = varint::read(body).ok_or(Damaged)?;
            self.pairs += count;
            for _ in 0..count {
                put_captured(self.hasher(None), &mut entry, body)?;
            }
        }
        Ok(Late { db, name, entry: Some(entry) })
    }

    /// Makes names what they were captured as late, as far as that was before `lsn`.
    pub(super) fn install(&mut self, lsn: Lsn) {
        while let Some(first) = self.late.first_entry().filter(|first| *first.key() < lsn) {
            for Late { db, name, entry } in first.remove() {
                self.clear(db, &name);
                if let Some(mut entry) = entry {
                    entry.end_of_pairs();
                    self.held.insert(db, self.store.name(&name), entry);
                }
            }
        }
    }

    pub(super) fn hasher<'k>(&self, known: Option<(&'k [u8], u64)>) -> KeyHasher<'k> {
        KeyHasher { hasher: self.store.hasher, known }
    }

    pub(super) fn clear(&mut self, db: usize, name: &[u8]) {
        self.held.remove(db, self.store.name(name));
    }

    /// Names of a database whose entries are such.
    pub(super) fn names_that(
        &self,
        db: usize,
        is_such: impl Fn(&NameEntry) -> bool,
    ) -> Vec<Box<[u8]>> {
        let mut names = Vec::new();
        self.held.scan(db, 0, &mut |_, entry| {
            if is_such(entry) {
                names.push(entry.name().into());
            }
            std::ops::ControlFlow::Continue(())
        });
        names
    }
}

fn put_captured(
    hasher: KeyHasher<'_>,
    entry: &mut NameEntry,
    body: &mut &[u8],
) -> Result<(), Damaged> {
    let CapturedPair { key, value, deadline_ms } = CapturedPair::read(body)?;
    let deadline = match deadline_ms {
        NEVER => NewDeadline::Clear,
        at => NewDeadline::At(at),
    };
    entry.put_pair(hasher, key, value, deadline, 0);
    Ok(())
}

/// What a record of a snapshot says, for who only looks. A namespace is followed by its pairs.
#[allow(missing_docs, reason = "the fields say what they are")]
pub enum Captured<'b> {
    /// There is no such name.
    Absent { db: usize, name: &'b [u8] },
    /// A string.
    String { db: usize, name: &'b [u8], value: &'b [u8], deadline_ms: u64 },
    /// A namespace.
    Namespace { db: usize, name: &'b [u8], kept: bool, deadline_ms: u64 },
    /// A pair of the namespace before.
    Pair { key: &'b [u8], value: &'b [u8], deadline_ms: u64 },
}

/// Shows what is in the body of a snapshot's record.
///
/// # Errors
/// If it is not what a capture writes.
pub fn captured<'b>(
    kind: Kind,
    mut body: &'b [u8],
    show: &mut dyn FnMut(Captured<'b>),
) -> Result<(), Damaged> {
    while !body.is_empty() {
        let mut count = 1;
        if kind != Kind::LatePairs {
            let Front { db, flags, name, deadline_ms } = Front::read(&mut body)?;
            let kept = flags & flag::KEPT != 0;
            count = match flags {
                flags if flags & flag::ABSENT != 0 => {
                    show(Captured::Absent { db, name });
                    0
                }
                flags if flags & flag::STRING != 0 => {
                    show(Captured::String { db, name, value: field(&mut body)?, deadline_ms });
                    0
                }
                _ => {
                    show(Captured::Namespace { db, name, kept, deadline_ms });
                    varint::read(&mut body).ok_or(Damaged)?
                }
            };
            if kind == Kind::LateNamespace {
                continue;
            }
        }
        for _ in 0..count {
            let CapturedPair { key, value, deadline_ms } = CapturedPair::read(&mut body)?;
            show(Captured::Pair { key, value, deadline_ms });
        }
    }
    Ok(())
}

/// A pair as it was captured.
struct CapturedPair<'b> {
    key: &'b [u8],
    value: &'b [u8],
    deadline_ms: u64,
}

impl<'b> CapturedPair<'b> {
    #[inline]
    fn read(body: &mut &'b [u8]) -> Result<CapturedPair<'b>, Damaged> {
        let key_len = varint::read(body).ok_or(Damaged)?;
        let value_len = varint::read(body).ok_or(Damaged)?;
        let deadline_ms = if key_len & 1 == 1 { number(body)? } else { NEVER };
        let key = take(body, key_len >> 1)?;
        Ok(CapturedPair { key, value: take(body, value_len)?, deadline_ms })
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
