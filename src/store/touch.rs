//! Bringing what a few requests will need into the processor's cache, all at once.
//!
//! Every name and pair lies behind a chain of places in memory. Run one by one, requests wait for
//! each link in turn; here the same link is read for all of them before the next, so that the
//! processor waits for memory about once and not for each. What is read says nothing of the data.

use super::heap::Heap;
use super::held::Held;
use super::name::{Name, NameEntry};
use super::view::Known;

/// Requests that are touched at once at most.
const TOUCHED_MAX: usize = 16;
const CACHE_LINE_BYTES: usize = 64;
/// Of a name's own bytes, so much at most.
const BODY_BYTES_MAX: usize = 4 * CACHE_LINE_BYTES;

type Entries<'h> = [Option<&'h NameEntry>; TOUCHED_MAX];

impl Held<'_> {
    /// Reads where these names and pairs lie. Their stripes must be held.
    #[inline]
    ///
    /// Each comes with the number of its stripe.
    pub fn touch<'k>(&self, db: usize, known: impl Iterator<Item = (usize, Known<'k>)> + Clone) {
        let place = |(stripe, known): (usize, Known<'k>)| Some((stripe, known.name?));
        let mut names = known.clone().filter_map(place);
        let Some((stripe, first)) = names.next() else { return };
        let (entries, mut seen) = if names.all(|(it, name)| it == stripe && name.hash == first.hash)
        {
            ([self.stripe_at(stripe).entry(db, first); TOUCHED_MAX], 0)
        } else {
            self.touch_names(db, known.clone().map(place))
        };
        seen ^= touch_pairs(known.map(|(_, known)| known.key), &entries);
        std::hint::black_box(seen);
    }

    /// The stripe in which a pair lies for who holds all.
    pub(super) fn stripe_of(&self, known: &Known<'_>) -> usize {
        self.store.stripe_for(known.name, known.key.map(|(_, hash)| hash))
    }

    /// Finds the entries that the names most likely have.
    fn touch_names<'k>(
        &self,
        db: usize,
        names: impl Iterator<Item = Option<(usize, Name<'k>)>> + Clone,
    ) -> (Entries<'_>, u64) {
        let mut seen = 0;
        let mut entries = [None; TOUCHED_MAX];
        let mut segments = [None; TOUCHED_MAX];
        for (name, segment) in names.clone().zip(&mut segments) {
            let Some((stripe, name)) = name else { continue };
            let Some(db) = self.stripe_at(stripe).dbs.get(db) else { continue };
            *segment = db.names.segment(name.hash);
            seen ^= segment.map_or(0, |segment| segment.touch_slot(name.hash));
        }
        for ((name, segment), entry) in names.zip(&segments).zip(&mut entries) {
            let Some((stripe, name)) = name else { continue };
            let Some(segment) = segment else {
                *entry = self.stripe_at(stripe).parts.get(db, name);
                continue;
            };
            *entry = segment.guess(name.hash).map(|place| &**segment.heap.get(place));
        }
        for entry in entries.iter().flatten() {
            seen ^= entry.deadline_ms;
        }
        for entry in entries.iter().flatten() {
            let body = entry.body();
            let body = &body[..body.len().min(BODY_BYTES_MAX)];
            let lines = body.iter().step_by(CACHE_LINE_BYTES).chain(body.last());
            seen ^= lines.fold(0, |seen, &byte| seen ^ u64::from(byte));
        }
        (entries, seen)
    }
}

/// Reads where pairs lie that have a table of their own.
fn touch_pairs<'k>(
    keys: impl Iterator<Item = Option<(&'k [u8], u64)>> + Clone,
    entries: &Entries<'_>,
) -> u64 {
    let mut seen = 0;
    let mut segments = [None; TOUCHED_MAX];
    for ((key, entry), segment) in keys.clone().zip(entries).zip(&mut segments) {
        let (Some((_, hash)), Some(NameEntry { many: Some(pairs), .. })) = (key, entry) else {
            continue;
        };
        *segment = pairs.segment(hash);
        seen ^= segment.map_or(0, |segment| segment.touch_slot(hash));
    }
    for (key, segment) in keys.zip(&segments) {
        let (Some((_, hash)), Some(segment)) = (key, segment) else { continue };
        seen ^= segment.guess(hash).map_or(0, |place| segment.heap.touch(place));
    }
    seen
}
