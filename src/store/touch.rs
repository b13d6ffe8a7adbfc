//! Bringing what a few requests will need into the processor's cache, all at once.
//!
//! Every name and pair lies behind a chain of places in memory. Run one by one, requests wait for
//! each link in turn; here the same link is read for all of them before the next, so that the
//! processor waits for memory about once and not for each. What is read says nothing of the data.

use super::held::Held;
use super::name::NameEntry;
use super::view::Known;

/// Requests that are touched at once at most.
const TOUCHED_MAX: usize = 16;
const CACHE_LINE_BYTES: usize = 64;
/// Of a name's own bytes, so much at most.
const BODY_BYTES_MAX: usize = 4 * CACHE_LINE_BYTES;

impl Held<'_> {
    /// Reads where these names and pairs lie. Their stripes must be held.
    pub fn touch(&self, db: usize, known: &[Known<'_>]) {
        let known = &known[..known.len().min(TOUCHED_MAX)];
        let mut entries = [None; TOUCHED_MAX];
        let mut seen = match known {
            [Known { name: Some(first), .. }, others @ ..]
                if others
                    .iter()
                    .all(|other| other.name.is_some_and(|it| it.hash == first.hash)) =>
            {
                let names = &self.stripe(first.hash).dbs[db].names;
                let entry = names.get(first.hash, first.bytes).map(|entry| &**entry);
                entries = [entry; TOUCHED_MAX];
                0
            }
            _ => self.touch_names(db, known, &mut entries),
        };
        seen ^= touch_pairs(known, &entries);
        std::hint::black_box(seen);
    }

    /// Finds the entries these names most likely have.
    fn touch_names<'h>(
        &'h self,
        db: usize,
        known: &[Known<'_>],
        entries: &mut [Option<&'h NameEntry>; TOUCHED_MAX],
    ) -> u64 {
        let mut seen = 0;
        let mut segments = [None; TOUCHED_MAX];
        for (name, segment) in known.iter().zip(&mut segments) {
            let Some(name) = name.name else { continue };
            *segment = self.stripe(name.hash).dbs[db].names.segment(name.hash);
            seen ^= segment.map_or(0, |segment| segment.touch_slot(name.hash));
        }
        for ((name, segment), entry) in known.iter().zip(&segments).zip(&mut *entries) {
            let Some((name, segment)) = name.name.zip(*segment) else { continue };
            let place = segment.guess(name.hash);
            *entry = place.map(|place| &**super::heap::Heap::get(&segment.heap, place));
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
        seen
    }
}

/// Reads where pairs lie that have a table of their own.
fn touch_pairs(known: &[Known<'_>], entries: &[Option<&NameEntry>; TOUCHED_MAX]) -> u64 {
    let mut seen = 0;
    let mut segments = [None; TOUCHED_MAX];
    for ((known, entry), segment) in known.iter().zip(entries).zip(&mut segments) {
        let Some((_, hash)) = known.key else { continue };
        let Some(pairs) = entry.and_then(|entry| entry.many.as_deref()) else { continue };
        *segment = pairs.segment(hash);
        seen ^= segment.map_or(0, |segment| segment.touch_slot(hash));
    }
    for (known, segment) in known.iter().zip(&segments) {
        let (Some((_, hash)), Some(segment)) = (known.key, segment) else { continue };
        seen ^= segment.guess(hash).map_or(0, |place| segment.heap.touch(place));
    }
    seen
}
