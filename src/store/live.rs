//! The live store as [`Names`]: the names in the stripes that a thread holds.
//!
//! A name whose stripe is not held is a mistake in a command's row, and ends the command. Which stripes
//! are held, and how they are taken, is in [`super::held`].

use std::sync::atomic::Ordering::Relaxed;

use super::boxed::Entry;
use super::held::{Guards, Held};
use super::name::{Name, NameEntry};
use super::names::{Key, Names, Visit, Whole};
use super::pairs::PairsRef;
use super::view::Access;
use super::{Db, Garbage, STRIPES, part_of, stripe_of};

impl Names for Held<'_> {
    #[inline]
    fn get(&self, db: usize, name: Name<'_>) -> Option<&NameEntry> {
        self.stripe(name.hash).entry(db, name)
    }

    #[inline]
    fn overwrite(
        &mut self,
        db: usize,
        name: Name<'_>,
        change: &mut dyn FnMut(&mut NameEntry) -> bool,
    ) -> bool {
        if self.at >= STRIPES {
            return self.overwrite_part(db, name, change);
        }
        let names = &mut self.stripe_at_mut(stripe_of(name.hash)).dbs[db].names;
        names.get_mut(name.hash, name.bytes).is_some_and(|entry| change(entry))
    }

    #[inline]
    fn update(
        &mut self,
        db: usize,
        name: Name<'_>,
        pair: Option<Key<'_>>,
        change: &mut dyn FnMut(&mut NameEntry),
    ) -> bool {
        let number = self.number_of(name.hash);
        if number >= STRIPES {
            let number = match (&self.guards, pair) {
                (Guards::Many(_), Some((hasher, key))) => part_of(hasher.hash(key)),
                _ => number,
            };
            return self.update_part(number, db, name, change);
        }
        let spread_above = self.store.spread_above;
        let mut header = None;
        let mut is_outgrown = false;
        let place = &mut self.stripe_at_mut(number).dbs[db];
        let found = place.update(name, &mut |entry| {
            if entry.is_spread() {
                header = Some(entry.shared());
                if pair.is_some() {
                    return;
                }
            }
            change(entry);
            is_outgrown = entry.is_larger_than(spread_above);
        });
        let deadline_ms = place.names.min_deadline_ms();
        self.note_deadline(number, deadline_ms);
        if let Some(header) = header {
            return self.update_spread(db, name, header, pair, change);
        }
        if is_outgrown {
            self.spread(db, name);
        }
        found
    }

    fn is_emptied(&mut self, db: usize, name: Name<'_>) -> bool {
        self.close_spread(db, name)
    }

    fn insert(&mut self, db: usize, name: Name<'_>, whole: Whole) {
        let Whole { entry, parts } = whole;
        let deadline_ms = Entry::deadline_ms(&entry);
        let is_outgrown = entry.is_larger_than(self.store.spread_above);
        let hasher = self.store.hasher;
        let number = self.number_of(name.hash);
        self.stripe_at_mut(number).dbs[db].insert(name, entry, hasher);
        self.note_deadline(number, deadline_ms);
        if !parts.is_empty() {
            self.put_parts(db, name, parts);
        } else if is_outgrown {
            self.spread(db, name);
        }
    }

    fn remove(&mut self, db: usize, name: Name<'_>) -> Option<Whole> {
        let number = self.number_of(name.hash);
        let entry = self.stripe_at_mut(number).dbs[db].remove(name)?;
        let parts = if entry.is_spread() { self.take_parts(db, name) } else { Vec::new() };
        Some(Whole { entry, parts })
    }

    fn copied(&self, db: usize, entry: &NameEntry, name: &[u8], used: u32) -> Whole {
        let parts = match entry.is_spread() {
            true => self.parts(db, entry).tables().cloned().collect(),
            false => Vec::new(),
        };
        Whole { entry: entry.copied(name, used), parts }
    }

    fn pairs<'n>(&'n self, db: usize, entry: &'n NameEntry) -> PairsRef<'n> {
        match (&self.guards, entry.pairs()) {
            (Guards::One(..) | Guards::Group(_), Ok(pairs)) if entry.is_part() => pairs,
            _ => PairsRef::Parts(self.parts(db, entry)),
        }
    }

    fn bytes(&self, db: usize, entry: &NameEntry) -> usize {
        let parts = match entry.is_spread() {
            true => self.parts(db, entry).entries().map(NameEntry::bytes).sum(),
            false => 0,
        };
        entry.bytes() + parts
    }

    fn gather_use(&self, db: usize, entry: &NameEntry, access: &Access<'_>) {
        let usage = access.settings.eviction.usage;
        let parts = self.parts(db, entry);
        let words = parts.entries().map(NameEntry::used);
        let more = |a, b| usage.more(a, b, access.used_ms);
        entry.set_used(words.fold(entry.used(), more));
    }

    fn scan<'n>(&'n self, db: usize, from: u64, visit: &mut Visit<'_, 'n>) {
        let first = stripe_of(from);
        let stripes = self.numbered_stripes();
        for (number, stripe) in stripes.filter(|(number, _)| (first..STRIPES).contains(number)) {
            let from = if number == first { from } else { 0 };
            let table = &stripe.dbs[db].names;
            if table.scan(from, self.store.hasher, |hash, entry| visit(hash, entry)).is_break() {
                return;
            }
        }
    }

    fn visible(&self, db: usize) -> usize {
        self.stripes().map(|stripe| stripe.dbs[db].counts.names).sum()
    }

    fn entries(&self, db: usize) -> usize {
        self.stripes().map(|stripe| stripe.dbs[db].names.len()).sum()
    }

    fn nth(&self, db: usize, mut rank: usize) -> Option<&NameEntry> {
        for stripe in self.stripes() {
            let names = &stripe.dbs[db].names;
            if rank < names.len() {
                return names.nth(rank).map(|entry| &**entry);
            }
            rank -= names.len();
        }
        None
    }

    fn flush(&mut self, db: usize) {
        let store = self.store;
        let mut names = 0;
        self.each_numbered(|number, stripe| {
            let parts = stripe.parts.take_db(db);
            if !parts.is_empty() {
                store.garbage.lock().push(Garbage::Parts(parts));
            }
            if number >= STRIPES {
                return;
            }
            let watchers = &store.stripes[number].watchers;
            watchers.touch_those(db, |name, since_ms| stripe.dbs[db].shows(name, since_ms));
            let old = std::mem::replace(&mut stripe.dbs[db], Db::new());
            stripe.spread.retain(|&(its_db, hash)| {
                if its_db == db {
                    store.spread.remove(hash);
                }
                its_db != db
            });
            names += old.counts.names as u64;
            store.discard(Garbage::Names(old.names));
        });
        if !self.is_in_transaction {
            store.lazyfreed.fetch_add(names, Relaxed);
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        let store = self.store;
        self.each_numbered(|number, stripe| {
            stripe.parts.swap_dbs(a, b);
            if number >= STRIPES {
                return;
            }
            for (from, to) in [(a, b), (b, a)] {
                store.stripes[number].watchers.touch_those(from, |name, since_ms| {
                    stripe.dbs[from].shows(name, since_ms)
                        || stripe.dbs[to].shows(name, stripe.now_ms.load(Relaxed))
                });
            }
            stripe.dbs.swap(a, b);
            for (db, _) in &mut stripe.spread {
                *db = if *db == a {
                    b
                } else if *db == b {
                    a
                } else {
                    *db
                };
            }
        });
    }

    #[inline]
    fn touched(&mut self, db: usize, name: Name<'_>, expired_ms: u64) {
        self.store.watchers(name).touch(db, name, expired_ms);
    }

    fn discard(&mut self, whole: Whole) {
        self.store.discard(Garbage::Name(whole.entry));
        self.store.discard(Garbage::Parts(whole.parts));
    }
}
