//! Where the parts of large namespaces lie, and how those of one are read together.
//!
//! Why there are parts, and who may take which, is in [`super::spread`].

use std::ops::ControlFlow;

use super::hash::Hasher;
use super::held::Held;
use super::name::{Name, NameEntry};
use super::packed::{Packed, PairRef};
use super::table::{NEVER, Table};
use super::{STRIPES, part_of};

/// The parts in one stripe, ordered by their names' hashes.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    hash: u64,
    db: usize,
    entry: NameEntry,
}

impl Shelf {
    #[inline]
    fn position(&self, db: usize, name: Name<'_>) -> Option<usize> {
        let first = match self.parts.len() {
            0 | 1 => 0,
            _ => self.parts.partition_point(|part| part.hash < name.hash),
        };
        let same = self.parts[first..].iter().take_while(|part| part.hash == name.hash);
        let is_it = |part: &Part| part.db == db && part.entry.name() == name.bytes;
        same.enumerate().find(|(_, part)| is_it(part)).map(|(at, _)| first + at)
    }

    #[inline]
    pub fn get(&self, db: usize, name: Name<'_>) -> Option<&NameEntry> {
        self.position(db, name).map(|at| &self.parts[at].entry)
    }

    #[inline]
    pub fn get_mut(&mut self, db: usize, name: Name<'_>) -> Option<&mut NameEntry> {
        self.position(db, name).map(|at| &mut self.parts[at].entry)
    }

    pub fn put(&mut self, db: usize, name: Name<'_>, entry: NameEntry) {
        let at = self.parts.partition_point(|part| part.hash < name.hash);
        self.parts.reserve_exact(1);
        self.parts.insert(at, Part { hash: name.hash, db, entry });
    }

    pub fn take(&mut self, db: usize, name: Name<'_>) -> Option<NameEntry> {
        let at = self.position(db, name)?;
        let part = self.parts.remove(at);
        self.parts.shrink_to_fit();
        Some(part.entry)
    }

    pub fn of_db(&self, db: usize) -> impl Iterator<Item = &NameEntry> {
        self.parts.iter().filter(move |part| part.db == db).map(|part| &part.entry)
    }

    pub fn take_db(&mut self, db: usize) -> Vec<Table<Packed>> {
        let taken: Vec<Part> = self.parts.extract_if(.., |part| part.db == db).collect();
        self.parts.shrink_to_fit();
        taken.into_iter().filter_map(|part| part.entry.many).map(|pairs| *pairs).collect()
    }

    pub fn swap_dbs(&mut self, a: usize, b: usize) {
        for Part { db, .. } in &mut self.parts {
            *db = if *db == a {
                b
            } else if *db == b {
                a
            } else {
                *db
            };
        }
    }

    pub fn entries_mut(&mut self) -> impl Iterator<Item = (usize, &mut NameEntry)> {
        self.parts.iter_mut().map(|part| (part.db, &mut part.entry))
    }

    pub fn bytes(&self) -> usize {
        let entries: usize = self.parts.iter().map(|part| part.entry.value_bytes()).sum();
        self.parts.capacity() * size_of::<Part>() + entries
    }

    pub fn min_deadline_ms(&self) -> u64 {
        self.parts.iter().map(|part| part.entry.min_pair_deadline_ms()).min().unwrap_or(NEVER)
    }
}

/// The parts of one namespace that are held.
#[derive(Clone, Copy)]
pub(super) struct Parts<'e> {
    pub held: &'e Held<'e>,
    pub db: usize,
    pub name: Name<'e>,
}

impl<'e> Parts<'e> {
    /// The part for keys with this hash. It must be held.
    #[inline]
    pub fn of(self, hash: u64) -> Option<&'e Table<Packed>> {
        self.held.part_at(part_of(hash), self.db, self.name)?.many.as_deref()
    }

    /// In the order of the hashes.
    pub fn tables(self) -> impl Iterator<Item = &'e Table<Packed>> {
        self.entries().filter_map(|entry| entry.many.as_deref())
    }

    pub fn entries(self) -> impl Iterator<Item = &'e NameEntry> {
        self.held.parts_of(self.db, self.name)
    }

    pub fn nth(self, mut rank: usize) -> Option<PairRef<'e>> {
        for table in self.tables() {
            if rank < table.len() {
                return table.nth(rank);
            }
            rank -= table.len();
        }
        None
    }

    /// As [`Table::scan`].
    pub fn scan(
        self,
        from: u64,
        hasher: Hasher,
        visit: &mut impl FnMut(u64, PairRef<'e>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.each_from(from, |table, from| table.scan(from, hasher, &mut *visit))
    }

    /// Shows the tables from the one for this hash on, and with which hash each begins.
    pub fn each_from(
        self,
        from: u64,
        mut visit: impl FnMut(&'e Table<Packed>, u64) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let first = part_of(from) - STRIPES;
        for (number, table) in self.tables().enumerate().skip(first) {
            visit(table, if number == first { from } else { 0 })?;
        }
        ControlFlow::Continue(())
    }
}
