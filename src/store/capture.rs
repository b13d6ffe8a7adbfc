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
//! A namespace that gets another name or database meanwhile goes on being captured there, so that no
//! number of renames holds a snapshot up; so does a stripe that is void again and again, at once.
//!
//! What the bytes look like is said in [`super::captured`]; files are not its matter.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use parking_lot::{Mutex, RwLockReadGuard};

use super::captured::Body;
use super::name::NameEntry;
use super::pairs::PairsRef;
use super::slice::measured;
use super::{DATABASES, Hasher, Held, STRIPES, Store, Stripe, stripe_of};
use crate::journal::Lsn;
use crate::journal::effect::{Decoder, Effect};
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

/// What a slice brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Whole names.
    Names,
    /// The same; they are all of their stripe, and the next one begins.
    WholeStripe,
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

/// A stripe that was void so often is captured in one slice. After so many namespaces that were void, nobody
/// changes the next ones until they are captured, if one lock is enough for that: who copies large
/// namespaces over one another all the time holds up others by that as long as by this.
const VOIDS_MAX: usize = 3;

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
    /// How often that was so.
    stripe_voids: usize,
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
    /// Namespaces that were void, and the stripe of the current one if nobody may change it any more.
    voids: usize,
    holding: Option<RwLockReadGuard<'s, Stripe>>,
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
        Some(Capture { store, slices, pairs_from: 0, voids: 0, holding: None, names: 0 })
    }

    /// Whether a stripe is held until its namespace is captured: nobody may be waited for meanwhile.
    pub fn is_holding(&self) -> bool {
        self.holding.is_some()
    }

    /// Waits until whatever has been changed by now has its LSN.
    pub fn settle(&self) {
        Held::new(self.store).lock_all_in_turn();
    }

    /// Appends the next piece's bytes to `to`. Every effect up to the LSN is in them. `None` at the
    /// end.
    pub fn slice(&mut self, to: &mut Body) -> Option<(Piece, Lsn)> {
        let slice = measured(|| self.next_slice(to));
        self.store.slices.hear();
        slice
    }

    fn next_slice(&mut self, to: &mut Body) -> Option<(Piece, Lsn)> {
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

    /// Some names of one stripe; all of them, if it was void too often.
    fn stripe_slice(&mut self, number: usize, to: &mut Body) -> (Piece, Lsn) {
        let stripe = self.store.lock_in_turn(number);
        let mut progress = self.store.capture.progress.lock();
        if std::mem::take(&mut progress.is_stripe_void) {
            (progress.db, progress.from) = (0, 0);
            progress.stripe_voids += 1;
            return (Piece::VoidStripe, stripe.lsn());
        }
        if progress.stripe_voids == VOIDS_MAX {
            for db in 0..DATABASES {
                let all = Slices { bytes: usize::MAX, names: usize::MAX, ..self.slices };
                (progress.db, progress.from) = (db, 0);
                self.names_slice(&stripe, &mut progress, all, to);
            }
            progress.next_stripe();
            return (Piece::WholeStripe, stripe.lsn());
        }
        if progress.db == DATABASES {
            progress.next_stripe();
            return (Piece::StripeBegins, stripe.lsn());
        }
        self.names_slice(&stripe, &mut progress, self.slices, to);
        (Piece::Names, stripe.lsn())
    }

    /// Some names of one database of a stripe.
    fn names_slice(
        &mut self,
        stripe: &Stripe,
        progress: &mut Progress,
        slices: Slices,
        to: &mut Body,
    ) {
        let db = progress.db;
        let mut left = slices.names;
        let mut last = None;
        let scanned = stripe.dbs[db].names.scan(progress.from, self.store.hasher, |hash, entry| {
            let is_enough = left == 0 || to.len() >= slices.bytes;
            if is_enough && last != Some(hash) {
                progress.from = hash;
                return ControlFlow::Break(());
            }
            left = left.saturating_sub(1);
            last = Some(hash);
            if self.is_large(entry) {
                progress.pending.insert((db, entry.name().into()));
            } else {
                to.push_entry(db, entry);
                self.names += 1;
            }
            ControlFlow::Continue(())
        });
        if scanned.is_continue() {
            progress.db += 1;
            progress.from = 0;
        }
    }

    /// A name that was put off: all of it, or the beginning.
    fn pending_slice(&mut self, to: &mut Body) -> Option<(Piece, Lsn)> {
        let place = self.store.capture.progress.lock().pending.first().cloned()?;
        let (db, bytes) = &place;
        let store = self.store;
        let name = store.name(bytes);
        let stripe = store.lock_in_turn(stripe_of(name.hash));
        let lsn = stripe.lsn();
        let mut progress = store.capture.progress.lock();
        // It may have got another name before its stripe was taken.
        if !progress.pending.remove(&place) {
            return Some((Piece::LateNames, lsn));
        }
        let entry = stripe.dbs[*db].names.get(name.hash, name.bytes);
        self.names += u64::from(entry.is_some());
        let piece = match entry {
            None => {
                to.push_absent(*db, bytes);
                Piece::LateNames
            }
            Some(entry) if self.is_large(entry) => {
                to.push_header(*db, entry);
                let len = entry.pairs().map_or(0, |pairs| pairs.len());
                to.push_number(len as u64);
                progress.is_current_void = false;
                progress.current = Some(place);
                self.pairs_from = 0;
                if self.voids >= VOIDS_MAX {
                    self.holding = Some(stripe);
                    return Some((Piece::LateNamespace, lsn));
                }
                Piece::LateNamespace
            }
            Some(entry) => {
                to.push_entry(*db, entry);
                Piece::LateNames
            }
        };
        Some((piece, lsn))
    }

    fn is_large(&self, entry: &NameEntry) -> bool {
        match entry.pairs() {
            Ok(PairsRef::Many(table)) => table.bytes() > self.slices.whole_bytes_max,
            _ => false,
        }
    }

    /// Some pairs of the current namespace.
    fn pairs_slice(&mut self, place: Place, to: &mut Body) -> (Piece, Lsn) {
        let store = self.store;
        let (db, name) = (place.0, store.name(&place.1));
        let held = self.holding.take();
        let is_held = held.is_some();
        let stripe = held.unwrap_or_else(|| store.lock_in_turn(stripe_of(name.hash)));
        let lsn = stripe.lsn();
        let mut progress = store.capture.progress.lock();
        if progress.current.as_ref() != Some(&place) {
            // It got another name before its stripe was taken.
            return (Piece::LatePairs, lsn);
        }
        if std::mem::take(&mut progress.is_current_void) {
            progress.current = None;
            self.names -= 1;
            self.voids += 1;
            return (Piece::VoidNamespace, lsn);
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
                    to.push_pair(&pair);
                    ControlFlow::Continue(())
                })
            }
            Some(PairsRef::Few(few)) => {
                few.iter().for_each(|pair| to.push_pair(&pair));
                ControlFlow::Continue(())
            }
            None => ControlFlow::Continue(()),
        };
        if scanned.is_continue() {
            progress.current = None;
        } else if is_held {
            self.holding = Some(stripe);
        }
        (Piece::LatePairs, lsn)
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
                self.moved((usize::from(db), name), (usize::from(db), to), hasher);
            }
            Effect::Move { db, name, to_db } => {
                self.moved((usize::from(db), name), (usize::from(to_db), name), hasher);
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
            | Effect::PatchString { .. }
            | Effect::PairDeadline { .. }
            | Effect::NameDeadline { .. }
            | Effect::Libraries { .. }
            | Effect::Library { .. }
            | Effect::Limit { .. } => {}
        }
    }

    fn next_stripe(&mut self) {
        self.stripe += 1;
        (self.db, self.from, self.stripe_voids) = (0, 0, 0);
    }

    /// A name got another name or database.
    fn moved(&mut self, from: (usize, &[u8]), to: (usize, &[u8]), hasher: Hasher) {
        if from == to {
            return;
        }
        self.carried(from, to, hasher);
        // That nothing is there any more is seen when the effect is redone.
        self.pending.remove(&(from.0, from.1.into()));
        if self.is_current(from) {
            // What was captured of it is as good as before: redoing the effect moves that, too.
            let to: Place = (to.0, to.1.into());
            self.pending.remove(&to);
            self.current = Some(to);
        }
    }

    /// Content went from a name to another.
    fn carried(&mut self, from: (usize, &[u8]), to: (usize, &[u8]), hasher: Hasher) {
        // What is captured of a stripe in part may be void yet.
        let is_safe = stripe_of(hasher.hash(from.1)) < self.stripe;
        let is_source_captured =
            is_safe && self.is_captured(from, hasher) && !self.is_current(from);
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

    /// Whether it is being captured in parts, and what was captured of it counts.
    fn is_current(&self, (db, name): (usize, &[u8])) -> bool {
        !self.is_current_void
            && self.current.as_ref().is_some_and(|current| current.0 == db && *current.1 == *name)
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
        let other = |db: usize| match db {
            _ if db == a => b,
            _ if db == b => a,
            _ => db,
        };
        // What was captured of it is as good as before, as when it is renamed.
        if let Some(current) = self.current.as_mut().filter(|_| !self.is_current_void) {
            current.0 = other(current.0);
        }
        let pending = std::mem::take(&mut self.pending);
        self.pending = pending.into_iter().map(|(db, name)| (other(db), name)).collect();
        self.is_stripe_void |= (self.db, self.from) != (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is captured of a stripe in part may be void yet, and be captured again at a later moment: then
    /// what was copied from there does not follow from it.
    #[test]
    fn what_comes_from_a_stripe_that_is_captured_in_part_is_captured_late() {
        let hasher = Hasher::seeded([1, 2]);
        let in_stripe = |stripe| {
            let names = (0..).map(|number: u32| number.to_string().into_bytes());
            let mut such = names.filter(|name| stripe_of(hasher.hash(name)) == stripe);
            such.next().unwrap_or_default()
        };
        let (name, to) = (in_stripe(3), in_stripe(2));
        for (stripe, db, is_late) in [(3, 1, true), (4, 0, false)] {
            let mut progress = Progress { stripe, db, ..Progress::default() };
            progress.see(Effect::Copy { db: 0, name: &name, to_db: 0, to: &to }, hasher);
            assert_eq!(progress.pending.contains(&(0, to[..].into())), is_late, "{stripe}");
        }
    }
}
