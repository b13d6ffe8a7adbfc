//! Captures all names for a snapshot, in slices, while clients go on.
//!
//! A slice copies some names under their stripe's lock, with the LSN up to which they have seen every
//! effect. A later effect is in the journal, so snapshot and journal together give an exact state.
//! What needs care is an effect that carries content from a name to another while one of the two is
//! captured and the other is not: `State::observe` looks at every batch meanwhile, under the locks
//! it was made under, and has such a name captured late: at the end, and besides what was captured of
//! it before, from which what it was until then follows. Large namespaces are captured late too, pair
//! by pair in hash order; if such a name is dropped or replaced half-way, what was captured is void.
//!
//! What the bytes look like is written here and read in [`super::restore`]; files are not its matter.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use parking_lot::Mutex;

use super::name::NameEntry;
use super::packed::PairRef;
use super::pairs::PairsRef;
use super::slice::measured;
use super::spread::{first_hash_after, part_of};
use super::table::NEVER;
use super::{DATABASES, Hasher, Held, STRIPES, Store, stripe_of};
use crate::journal::Lsn;
use crate::journal::effect::{Decoder, Effect};
use crate::journal::varint;
use crate::sabotage::{self, Bug};

/// How much one slice does, so that nobody waits long for its stripe.
#[derive(Debug, Clone, Copy)]
pub struct Slices {
    /// Bytes that it copies, about.
    pub bytes: usize,
    /// Names, of however little, that it looks at.
    pub names: usize,
    /// Namespaces with more bytes of pairs than this are captured in parts.
    pub whole_bytes_max: usize,
}

impl Default for Slices {
    fn default() -> Slices {
        Slices { bytes: 64 * 1024, names: 512, whole_bytes_max: 32 * 1024 }
    }
}

/// How an entry begins: its database and these flags.
pub(super) mod flag {
    pub const STRING: u8 = 1;
    pub const KEPT: u8 = 2;
    pub const RAW: u8 = 4;
    pub const DEADLINE: u8 = 8;
    /// There is no such name.
    pub const ABSENT: u8 = 16;
}

/// What a slice brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Whole names.
    Names,
    /// Whole names that were put off.
    LateNames,
    /// The header of a namespace that was put off; its pairs follow.
    LateNamespace,
    /// Pairs of the namespace that was begun.
    LatePairs,
    /// What was brought of the namespace that was begun is void.
    VoidNamespace,
    /// What was brought since the last [`Piece::StripeBegins`] is void.
    VoidStripe,
    /// Names of another stripe follow.
    StripeBegins,
}

/// How far a capture is, for those who change names meanwhile.
#[derive(Debug, Default)]
pub(super) struct State {
    is_active: AtomicBool,
    progress: Mutex<Progress>,
}

type Place = (usize, Box<[u8]>);

#[derive(Debug, Default)]
struct Progress {
    /// Stripes before this one are captured.
    stripe: usize,
    /// Of this stripe, databases before this one.
    db: usize,
    /// Of this database, names with a smaller hash.
    from: u64,
    /// Databases changed places while the stripe was captured in part.
    is_stripe_void: bool,
    /// To be captured late.
    pending: BTreeSet<Place>,
    /// Being captured in parts.
    current: Option<Place>,
    is_current_void: bool,
}

/// One capture of a store. There may be one at a time.
#[derive(Debug)]
pub struct Capture<'s> {
    store: &'s Store,
    slices: Slices,
    /// Pairs of the current namespace from this hash on are left.
    pairs_from: u64,
    /// Names captured.
    pub names: u64,
}

impl<'s> Capture<'s> {
    /// Begins one; `None` if there is one.
    pub fn begin(store: &'s Store, slices: Slices) -> Option<Capture<'s>> {
        // Nobody may change anything unseen after its stripe was captured.
        let mut held = Held::new(store);
        held.lock_all_in_turn();
        if store.capture.is_active.swap(true, SeqCst) {
            return None;
        }
        *store.capture.progress.lock() = Progress::default();
        Some(Capture { store, slices, pairs_from: 0, names: 0 })
    }

    /// Appends the next piece's bytes to `to`. Every effect up to the LSN is in them. `None` at the
    /// end.
    pub fn slice(&mut self, to: &mut Vec<u8>) -> Option<(Piece, Lsn)> {
        let slice = measured(|| self.next_slice(to));
        self.store.slices.hear();
        slice
    }

    fn next_slice(&mut self, to: &mut Vec<u8>) -> Option<(Piece, Lsn)> {
        let (stripe, current) = {
            let progress = self.store.capture.progress.lock();
            (progress.stripe, progress.current.clone())
        };
        if stripe < STRIPES {
            return Some(self.stripe_slice(stripe, to));
        }
        match current {
            Some(place) => Some(self.pairs_slice(place, to)),
            None => self.pending_slice(to),
        }
    }

    /// Some names of one stripe.
    fn stripe_slice(&mut self, number: usize, to: &mut Vec<u8>) -> (Piece, Lsn) {
        let stripe = self.store.lock_in_turn(number);
        let mut progress = self.store.capture.progress.lock();
        if std::mem::take(&mut progress.is_stripe_void) {
            (progress.db, progress.from) = (0, 0);
            return (Piece::VoidStripe, stripe.lsn);
        }
        if progress.db == DATABASES {
            progress.stripe += 1;
            (progress.db, progress.from) = (0, 0);
            return (Piece::StripeBegins, stripe.lsn);
        }
        let db = progress.db;
        let mut left = self.slices.names;
        let mut last = None;
        let scanned = stripe.dbs[db].names.scan(progress.from, self.store.hasher, |hash, entry| {
            let is_enough = left == 0 || to.len() >= self.slices.bytes;
            if is_enough && last != Some(hash) {
                progress.from = hash;
                return ControlFlow::Break(());
            }
            left = left.saturating_sub(1);
            last = Some(hash);
            if self.is_large(entry) {
                progress.pending.insert((db, entry.name().into()));
            } else {
                put_entry(db, entry, to);
                self.names += 1;
            }
            ControlFlow::Continue(())
        });
        if scanned.is_continue() {
            progress.db += 1;
            progress.from = 0;
        }
        (Piece::Names, stripe.lsn)
    }

    /// A name that was put off: all of it, or the beginning.
    fn pending_slice(&mut self, to: &mut Vec<u8>) -> Option<(Piece, Lsn)> {
        let place = self.store.capture.progress.lock().pending.first().cloned()?;
        let (db, bytes) = &place;
        let name = self.store.name(bytes);
        let stripe = self.store.lock_in_turn(stripe_of(name.hash));
        let is_spread = stripe.entry(*db, name).is_some_and(NameEntry::is_spread);
        let len_of_parts = if is_spread { self.store.len_of_parts(*db, name) } else { 0 };
        // Those who hold parts take this, too: it comes last.
        let mut progress = self.store.capture.progress.lock();
        // SWAPDB may have added its twin, but nothing takes it out again.
        progress.pending.remove(&place);
        let entry = stripe.dbs[*db].names.get(name.hash, name.bytes);
        self.names += u64::from(entry.is_some());
        let piece = match entry {
            None => {
                put_front(*db, flag::ABSENT, bytes, NEVER, to);
                Piece::LateNames
            }
            Some(entry) if self.is_large(entry) => {
                put_header(*db, entry, to);
                let len = entry.pairs().map_or(0, |pairs| pairs.len()) + len_of_parts;
                varint::push(len as u64, to);
                progress.is_current_void = false;
                progress.current = Some(place);
                self.pairs_from = 0;
                Piece::LateNamespace
            }
            Some(entry) => {
                put_entry(*db, entry, to);
                Piece::LateNames
            }
        };
        Some((piece, stripe.lsn))
    }

    fn is_large(&self, entry: &NameEntry) -> bool {
        match entry.pairs() {
            Ok(PairsRef::Many(table)) => table.bytes() > self.slices.whole_bytes_max,
            _ => entry.is_spread(),
        }
    }

    /// Some pairs of the current namespace.
    fn pairs_slice(&mut self, place: Place, to: &mut Vec<u8>) -> (Piece, Lsn) {
        let name = self.store.name(&place.1);
        let mut number = stripe_of(name.hash);
        let mut stripe = self.store.lock_in_turn(number);
        let db = place.0;
        while stripe.entry(db, name).is_some_and(NameEntry::is_spread) {
            drop(stripe);
            number = part_of(self.pairs_from);
            stripe = self.store.lock_in_turn(number);
            if stripe.entry(db, name).is_none() {
                // It was put together, or is gone.
                drop(stripe);
                number = stripe_of(name.hash);
                stripe = self.store.lock_in_turn(number);
            }
        }
        let mut progress = self.store.capture.progress.lock();
        if std::mem::take(&mut progress.is_current_void) {
            progress.current = None;
            self.names -= 1;
            return (Piece::VoidNamespace, stripe.lsn);
        }
        let pairs = stripe.entry(db, name).and_then(|entry| entry.pairs().ok());
        let scanned = match pairs {
            Some(PairsRef::Many(table)) => {
                let mut last = None;
                table.scan(self.pairs_from, self.store.hasher, |hash, pair| {
                    if to.len() >= self.slices.bytes && last != Some(hash) {
                        self.pairs_from = hash;
                        return ControlFlow::Break(());
                    }
                    last = Some(hash);
                    put_pair(&pair, to);
                    ControlFlow::Continue(())
                })
            }
            Some(PairsRef::Few(few)) => {
                few.iter().for_each(|pair| put_pair(&pair, to));
                ControlFlow::Continue(())
            }
            Some(PairsRef::Parts(_)) | None => ControlFlow::Continue(()),
        };
        if scanned.is_continue() {
            match first_hash_after(number) {
                Some(hash) if number >= STRIPES => self.pairs_from = hash,
                _ => progress.current = None,
            }
        }
        (Piece::LatePairs, stripe.lsn)
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        self.store.capture.is_active.store(false, SeqCst);
        *self.store.capture.progress.lock() = Progress::default();
    }
}

impl State {
    /// Looks at the effects of a batch while its stripes are still held.
    #[inline]
    pub fn observe(&self, effects: &[u8], hasher: Hasher) {
        if self.is_active.load(SeqCst) && !sabotage::is(Bug::CarriedContentMissed) {
            self.look_at(effects, hasher);
        }
    }

    #[cold]
    fn look_at(&self, effects: &[u8], hasher: Hasher) {
        let mut progress = self.progress.lock();
        for (_, effect) in Decoder::new(effects).flatten() {
            progress.see(effect, hasher);
        }
    }
}

impl Progress {
    fn see(&mut self, effect: Effect<'_>, hasher: Hasher) {
        match effect {
            Effect::Rename { db, name, to } => {
                self.carried((usize::from(db), name), (usize::from(db), to), hasher);
                self.replaced(usize::from(db), name);
            }
            Effect::Move { db, name, to_db } => {
                self.carried((usize::from(db), name), (usize::from(to_db), name), hasher);
                self.replaced(usize::from(db), name);
            }
            Effect::Copy { db, name, to_db, to } => {
                self.carried((usize::from(db), name), (usize::from(to_db), to), hasher);
            }
            Effect::DropName { db, name }
            | Effect::PutString { db, name, .. }
            | Effect::Keep { db, name }
            | Effect::DeletePair { db, name, is_last: true, .. } => {
                self.replaced(usize::from(db), name);
            }
            Effect::Flush { db } => self.lost_database(usize::from(db)),
            Effect::SwapDb { a, b } => self.swapped(usize::from(a), usize::from(b)),
            Effect::DeletePair { .. }
            | Effect::PutPair { .. }
            | Effect::PairDeadline { .. }
            | Effect::NameDeadline { .. }
            | Effect::Libraries { .. }
            | Effect::Library { .. }
            | Effect::Limit { .. } => {}
        }
    }

    /// Content went from a name to another.
    fn carried(&mut self, from: (usize, &[u8]), to: (usize, &[u8]), hasher: Hasher) {
        let is_source_captured = self.is_captured(from, hasher) && !self.is_current(from);
        self.replaced(to.0, to.1);
        if !is_source_captured && self.is_captured(to, hasher) {
            self.pending.insert((to.0, to.1.into()));
        }
    }

    fn is_captured(&self, (db, name): (usize, &[u8]), hasher: Hasher) -> bool {
        let hash = hasher.hash(name);
        let here = (stripe_of(hash), db, hash);
        here < (self.stripe, self.db, self.from) && !self.pending.contains(&(db, name.into()))
    }

    fn is_current(&self, (db, name): (usize, &[u8])) -> bool {
        self.current.as_ref().is_some_and(|current| current.0 == db && *current.1 == *name)
    }

    /// What the name held is not there any more.
    fn replaced(&mut self, db: usize, name: &[u8]) {
        if self.is_current((db, name)) {
            self.is_current_void = true;
            self.pending.insert((db, name.into()));
        }
    }

    fn lost_database(&mut self, db: usize) {
        if let Some(current) = self.current.clone().filter(|current| current.0 == db) {
            self.replaced(current.0, &current.1);
        }
    }

    fn swapped(&mut self, a: usize, b: usize) {
        self.lost_database(a);
        self.lost_database(b);
        let twins: Vec<Place> = self
            .pending
            .iter()
            .filter(|(db, _)| *db == a || *db == b)
            .map(|(db, name)| (if *db == a { b } else { a }, name.clone()))
            .collect();
        self.pending.extend(twins);
        self.is_stripe_void |= (self.db, self.from) != (0, 0);
    }
}

fn put_entry(db: usize, entry: &NameEntry, to: &mut Vec<u8>) {
    put_header(db, entry, to);
    match entry.pairs() {
        Err(_) => {
            let string = entry.string().unwrap_or_default();
            varint::push(string.len() as u64, to);
            to.extend_from_slice(string);
        }
        Ok(pairs) => {
            varint::push(pairs.len() as u64, to);
            pairs.iter().for_each(|pair| put_pair(&pair, to));
        }
    }
}

fn put_header(db: usize, entry: &NameEntry, to: &mut Vec<u8>) {
    let flags = [
        (entry.string().is_some(), flag::STRING),
        (entry.kept, flag::KEPT),
        (entry.raw, flag::RAW),
    ];
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, bit)| all | bit);
    put_front(db, flags, entry.name(), entry.deadline_ms, to);
}

fn put_front(db: usize, flags: u8, name: &[u8], deadline_ms: u64, to: &mut Vec<u8>) {
    let has_deadline = deadline_ms != NEVER;
    to.extend_from_slice(&[db as u8, flags | if has_deadline { flag::DEADLINE } else { 0 }]);
    varint::push(name.len() as u64, to);
    to.extend_from_slice(name);
    if has_deadline {
        to.extend_from_slice(&deadline_ms.to_le_bytes());
    }
}

fn put_pair(pair: &PairRef<'_>, to: &mut Vec<u8>) {
    let has_deadline = pair.deadline_ms != NEVER;
    varint::push((pair.key.len() as u64) << 1 | u64::from(has_deadline), to);
    varint::push(pair.value.len() as u64, to);
    if has_deadline {
        to.extend_from_slice(&pair.deadline_ms.to_le_bytes());
    }
    to.extend_from_slice(pair.key);
    to.extend_from_slice(pair.value);
}
