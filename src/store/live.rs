//! The live store as [`Names`]: the names in the stripes that a thread holds.
//!
//! A name whose stripe is not held is a mistake in a command's row, and ends the command. Which stripes
//! are held, and how they are taken, is in [`super::held`].

use std::sync::atomic::Ordering::Relaxed;

use super::boxed::Entry;
use super::claims::Put;
use super::held::{Guards, Held};
use super::name::{Name, NameEntry};
use super::names::{Names, Visit};
use super::view::Access;
use super::{Db, Garbage, stripe_of};

impl Names for Held<'_> {
    #[inline]
    fn get(&self, db: usize, name: Name<'_>) -> Option<&NameEntry> {
        self.stripe(name.hash).entry(db, name)
    }

    #[inline]
    fn get_to_overwrite(&mut self, db: usize, name: Name<'_>) -> Option<&mut NameEntry> {
        if self.is_claimed() {
            return None;
        }
        let names = &mut self.stripe_at_mut(stripe_of(name.hash)).dbs[db].names;
        names.get_mut(name.hash, name.bytes).map(|entry| &mut **entry)
    }

    #[inline]
    fn are_claimed(&self) -> bool {
        self.is_claimed()
    }

    fn overwrite_claimed(&self, access: &Access<'_>, name: Name<'_>, put: &Put<'_>) -> Option<u64> {
        match &self.guards {
            Guards::Claimed(number, claimed) if *number == stripe_of(name.hash) => {
                claimed.overwrite(access, name, put)
            }
            _ => None,
        }
    }

    #[inline]
    fn update(
        &mut self,
        db: usize,
        name: Name<'_>,
        change: &mut dyn FnMut(&mut NameEntry),
    ) -> bool {
        let number = stripe_of(name.hash);
        let place = &mut self.stripe_at_mut(number).dbs[db];
        let found = place.update(name, change);
        let deadline_ms = place.names.min_deadline_ms();
        self.note_deadline(number, deadline_ms);
        found
    }

    fn insert(&mut self, db: usize, name: Name<'_>, entry: Box<NameEntry>) {
        let deadline_ms = Entry::deadline_ms(&entry);
        let (hasher, number) = (self.store.hasher, stripe_of(name.hash));
        self.stripe_at_mut(number).dbs[db].insert(name, entry, hasher);
        self.note_deadline(number, deadline_ms);
    }

    fn remove(&mut self, db: usize, name: Name<'_>) -> Option<Box<NameEntry>> {
        self.stripe_at_mut(stripe_of(name.hash)).dbs[db].remove(name)
    }

    fn scan<'n>(&'n self, db: usize, from: u64, visit: &mut Visit<'_, 'n>) {
        let first = stripe_of(from);
        let stripes = self.numbered_stripes();
        for (number, stripe) in stripes.filter(|(number, _)| *number >= first) {
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
            let watchers = &store.stripes[number].watchers;
            watchers.touch_those(db, |name, since_ms| stripe.dbs[db].shows(name, since_ms));
            let old = std::mem::replace(&mut stripe.dbs[db], Db::new());
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
            for (from, to) in [(a, b), (b, a)] {
                store.stripes[number].watchers.touch_those(from, |name, since_ms| {
                    stripe.dbs[from].shows(name, since_ms)
                        || stripe.dbs[to].shows(name, stripe.now_ms.load(Relaxed))
                });
            }
            stripe.dbs.swap(a, b);
        });
    }

    #[inline]
    fn touched(&mut self, db: usize, name: Name<'_>, expired_ms: u64) {
        self.store.watchers(name).touch(db, name, expired_ms);
    }

    fn discard(&mut self, entry: Box<NameEntry>) {
        self.store.discard(Garbage::Name(entry));
    }
}
