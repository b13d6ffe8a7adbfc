//! A view's names as a layer of changes over a store that is only read.
//!
//! A command that runs over an overlay leaves the store as it was; its effects say what it would have
//! done, and replaying them does it. This is how an engine that must ask others before a change
//! holds (a distributed one) can run the same commands. An entry is copied when it is first changed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::DATABASES;
use super::hash::Hasher;
use super::held::Held;
use super::limits::Limits;
use super::name::{Name, NameEntry};
use super::names::{Names, Visit};

type Place = (usize, u64, Box<[u8]>);

/// Changes over held stripes.
pub struct Overlay<'h, 's> {
    base: &'h Held<'s>,
    /// Where the databases' names come from, after SWAPDB.
    dbs: [usize; DATABASES],
    /// Databases whose names in the store are hidden, after FLUSHDB.
    flushed: [bool; DATABASES],
    /// By database of the store, hash and name: what is there now, if anything.
    changed: BTreeMap<Place, Option<Box<NameEntry>>>,
}

impl<'h, 's> Overlay<'h, 's> {
    /// No changes over `base`.
    pub fn new(base: &'h Held<'s>) -> Self {
        Overlay {
            base,
            dbs: std::array::from_fn(|db| db),
            flushed: [false; DATABASES],
            changed: BTreeMap::new(),
        }
    }

    pub(super) fn hasher(&self) -> Hasher {
        self.base.store.hasher
    }

    pub(super) fn limits(&self) -> &'s Limits {
        &self.base.store.limits
    }

    fn place(&self, db: usize, name: Name<'_>) -> Place {
        (self.dbs[db], name.hash, name.bytes.into())
    }

    fn set(&mut self, db: usize, name: Name<'_>, entry: Option<Box<NameEntry>>) {
        let place = self.place(db, name);
        self.changed.insert(place, entry);
    }

    /// Entries in hash order: the store's that were not changed, and the changed ones.
    fn each<'n>(&'n self, db: usize, from: u64, visit: &mut Visit<'_, 'n>) -> ControlFlow<()> {
        let db = self.dbs[db];
        let mut changed = self
            .changed
            .range((db, from, Box::default())..(db + 1, 0, Box::default()))
            .filter_map(|((_, hash, _), entry)| Some((*hash, entry.as_deref()?)))
            .peekable();
        let mut flow = ControlFlow::Continue(());
        if !self.flushed[db] {
            self.base.scan(db, from, &mut |hash, entry| {
                while let Some((its_hash, mine)) = changed.next_if(|(mine, _)| *mine < hash) {
                    flow = visit(its_hash, mine);
                    flow?;
                }
                if !self.changed.contains_key(&(db, hash, entry.name().into())) {
                    flow = visit(hash, entry);
                }
                flow
            });
            flow?;
        }
        changed.try_for_each(|(hash, entry)| visit(hash, entry))
    }
}

impl Names for Overlay<'_, '_> {
    fn get(&self, db: usize, name: Name<'_>) -> Option<&NameEntry> {
        match self.changed.get(&self.place(db, name)) {
            Some(entry) => entry.as_deref(),
            None if self.flushed[self.dbs[db]] => None,
            None => self.base.get(self.dbs[db], name),
        }
    }

    fn update(
        &mut self,
        db: usize,
        name: Name<'_>,
        change: &mut dyn FnMut(&mut NameEntry),
    ) -> bool {
        let Some(entry) = self.get(db, name) else { return false };
        let mut entry = Box::new(entry.clone());
        change(&mut entry);
        self.set(db, name, Some(entry));
        true
    }

    fn insert(&mut self, db: usize, name: Name<'_>, entry: Box<NameEntry>) {
        self.set(db, name, Some(entry));
    }

    fn remove(&mut self, db: usize, name: Name<'_>) -> Option<Box<NameEntry>> {
        let entry = Box::new(self.get(db, name)?.clone());
        self.set(db, name, None);
        Some(entry)
    }

    fn scan<'n>(&'n self, db: usize, from: u64, visit: &mut Visit<'_, 'n>) {
        // Where the scan ended is known to the visitor.
        let _ = self.each(db, from, visit);
    }

    fn visible(&self, db: usize) -> usize {
        let mut visible = 0;
        self.scan(db, 0, &mut |_, entry| {
            visible += usize::from(entry.kind().is_some());
            ControlFlow::Continue(())
        });
        visible
    }

    fn entries(&self, db: usize) -> usize {
        let mut entries = 0;
        self.scan(db, 0, &mut |_, _| {
            entries += 1;
            ControlFlow::Continue(())
        });
        entries
    }

    fn nth(&self, db: usize, rank: usize) -> Option<&NameEntry> {
        let mut left = rank;
        let mut found = None;
        self.scan(db, 0, &mut |_, entry| {
            if left == 0 {
                found = Some(entry);
                return ControlFlow::Break(());
            }
            left -= 1;
            ControlFlow::Continue(())
        });
        found
    }

    fn flush(&mut self, db: usize) {
        let db = self.dbs[db];
        self.flushed[db] = true;
        self.changed.retain(|(changed, ..), _| *changed != db);
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.dbs.swap(a, b);
    }

    /// Nothing has changed for those who watch.
    fn touched(&mut self, _db: usize, _name: Name<'_>, _expired_ms: u64) {}

    fn discard(&mut self, _entry: Box<NameEntry>) {}
}
