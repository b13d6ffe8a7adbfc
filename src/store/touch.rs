//! Bringing what a few requests will need into the processor's cache, all at once.
//!
//! Every name and pair lies behind a chain of places in memory. Run one by one, requests wait for
//! each link in turn; here the same link is fetched for all of them before the next, so that the
//! processor waits for memory about once and not for each. What is fetched says nothing of the data.

use super::heap::{Heap, Place};
use super::held::{Guards, Held};
use super::name::{Name, NameEntry};
use super::packed::{Large, Packed};
use super::view::Known;
use crate::prefetch::{CACHE_LINE_BYTES, prefetch};

/// Requests that are touched at once at most.
const TOUCHED_MAX: usize = 16;
/// Of a name's own bytes, so much at most.
const BODY_BYTES_MAX: usize = 4 * CACHE_LINE_BYTES;

type Entries<'h> = [Option<&'h NameEntry>; TOUCHED_MAX];

impl Held<'_> {
    /// Fetches these names and pairs. Their stripes must be held; each comes with the number of its own.
    #[inline]
    pub fn touch<'k>(&self, db: usize, known: impl Iterator<Item = (usize, Known<'k>)> + Clone) {
        let place = |(stripe, known): (usize, Known<'k>)| Some((stripe, known.name?));
        let mut names = known.clone().filter_map(place);
        let Some((stripe, first)) = names.next() else { return };
        let keys = known.clone().map(|(_, known)| known.key);
        if let Guards::Claimed(_, claimed) = &self.guards {
            return claimed.touch(db, known.map(|(_, known)| known));
        }
        if names.all(|(it, name)| it == stripe && name.hash == first.hash) {
            let entry = self.stripe_at(stripe).entry(db, first);
            touch_pairs(keys.map(|key| (entry, key)), true);
        } else {
            let entries = self.touch_names(db, known.map(place));
            touch_pairs(entries.iter().copied().zip(keys), true);
        }
    }

    /// Fetches stripes that are going to be taken.
    #[inline]
    pub fn touch_stripes(&self, stripes: &[usize]) {
        // One stripe for all of them is taken at once anyway.
        if stripes.iter().any(|stripe| *stripe != stripes[0]) {
            stripes.iter().for_each(|&stripe| prefetch(&self.store.stripes[stripe]));
        }
    }

    /// Finds the entries that the names most likely have.
    fn touch_names<'k>(
        &self,
        db: usize,
        names: impl Iterator<Item = Option<(usize, Name<'k>)>> + Clone,
    ) -> Entries<'_> {
        let mut dbs = [None; TOUCHED_MAX];
        for (name, found) in names.clone().zip(&mut dbs) {
            let Some((stripe, _)) = name else { continue };
            *found = self.stripe_at(stripe).dbs.get(db);
            if let Some(db) = *found {
                prefetch(db);
            }
        }
        let mut segments = [None; TOUCHED_MAX];
        for ((name, db), segment) in names.clone().zip(&dbs).zip(&mut segments) {
            let Some(((_, name), db)) = name.zip(*db) else { continue };
            *segment = db.names.segment(name.hash);
            if let Some(segment) = *segment {
                segment.prefetch_slot(name.hash);
            }
        }
        let mut places = [None; TOUCHED_MAX];
        for ((name, segment), place) in names.clone().zip(&segments).zip(&mut places) {
            let Some(((_, name), segment)) = name.zip(*segment) else { continue };
            *place = segment.guess(name.hash).map(|place| (&segment.heap, place));
            if let Some((heap, place)) = *place {
                heap.prefetch_way(place);
            }
        }
        let mut entries = [None; TOUCHED_MAX];
        for (place, entry) in places.iter().zip(&mut entries) {
            *entry = place.map(|(heap, place)| &**heap.get(place));
            if let Some(entry) = *entry {
                prefetch(entry);
            }
        }
        for entry in entries.iter().flatten() {
            let body = entry.body();
            let body = &body[..body.len().min(BODY_BYTES_MAX)];
            body.iter().step_by(CACHE_LINE_BYTES).chain(body.last()).for_each(prefetch);
        }
        entries
    }
}

/// Fetches pairs that have a table of their own; where nothing of them may be read, less of the large ones.
#[inline]
pub(super) fn touch_pairs<'k, 'h>(
    pairs: impl Iterator<Item = (Option<&'h NameEntry>, Option<(&'k [u8], u64)>)>,
    may_read: bool,
) {
    let mut segments = [None; TOUCHED_MAX];
    let mut len = 0;
    for (entry, key) in pairs.take(TOUCHED_MAX) {
        let (Some((_, hash)), Some(NameEntry { many: Some(pairs), .. })) = (key, entry) else {
            continue;
        };
        let Some(segment) = pairs.segment(hash) else { continue };
        segment.prefetch_slot(hash);
        segments[len] = Some((segment, hash));
        len += 1;
    }
    let mut places = [None; TOUCHED_MAX];
    for (&(segment, hash), place) in segments[..len].iter().flatten().zip(&mut places) {
        *place = segment.guess(hash).map(|place| (&segment.heap, place));
        if let Some((heap, place)) = *place {
            heap.prefetch_way(place);
        }
    }
    let mut has_large = false;
    for (heap, place) in places[..len].iter().flatten() {
        heap.prefetch(*place);
        has_large |= heap.has_large();
    }
    if has_large && may_read {
        touch_large(&places[..len]);
    }
}

/// Fetches the pairs among these that have an allocation of their own. Apart, so that it costs the others nothing.
#[inline(never)]
fn touch_large(places: &[Option<(&Packed, Place)>]) {
    let mut found = [None; TOUCHED_MAX];
    for ((heap, place), large) in places.iter().flatten().zip(&mut found) {
        *large = heap.large(*place);
        if let Some(large) = *large {
            prefetch(large);
        }
    }
    let found = found.iter().flatten().filter_map(|large| large.as_ref());
    found.clone().for_each(Large::prefetch);
    found.for_each(Large::prefetch_key);
}
