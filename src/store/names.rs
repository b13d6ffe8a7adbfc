//! Where a view's names live: the seam between commands and what orders their changes.
//!
//! The live store edits in place under locks ([`super::held::Held`]); an overlay collects changes
//! over a store it may only read ([`super::overlay::Overlay`]). Both hold whole entries; what an edit
//! means is written once, in [`super::edit`].

use std::ops::ControlFlow;

use super::hash::KeyHasher;
use super::name::{Name, NameEntry};
use super::packed::Packed;
use super::pairs::PairsRef;
use super::table::Table;
use super::view::Access;

/// Is shown entries with their hashes, until it breaks off.
pub(super) type Visit<'v, 'n> = dyn FnMut(u64, &'n NameEntry) -> ControlFlow<()> + 'v;

/// A key of a pair, and how to hash it.
pub(super) type Key<'k> = (KeyHasher<'k>, &'k [u8]);

/// An entry that stands in no table, with all its pairs.
#[derive(Debug)]
pub(super) struct Whole {
    pub entry: Box<NameEntry>,
    /// Its parts, if it is spread.
    pub parts: Vec<Table<Packed>>,
}

impl From<Box<NameEntry>> for Whole {
    fn from(entry: Box<NameEntry>) -> Whole {
        Whole { entry, parts: Vec::new() }
    }
}

pub(super) trait Names {
    fn get(&self, db: usize, name: Name<'_>) -> Option<&NameEntry>;

    /// Changes an entry in a way that is counted nowhere: no sizes, no deadline to an earlier one, not
    /// what clients see of the name. `false` if there is none, or `change` says that it did nothing.
    /// Names that only collect changes always say so.
    fn overwrite(
        &mut self,
        _db: usize,
        _name: Name<'_>,
        _change: &mut dyn FnMut(&mut NameEntry) -> bool,
    ) -> bool {
        false
    }

    /// The pairs of an entry that is spread, or of a part.
    fn pairs<'n>(&'n self, db: usize, entry: &'n NameEntry) -> PairsRef<'n>;

    /// Bytes of an entry and of all it holds.
    fn bytes(&self, db: usize, entry: &NameEntry) -> usize;

    /// Brings what an entry that is spread remembers of its use up to date.
    fn gather_use(&self, db: usize, entry: &NameEntry, access: &Access<'_>);

    /// Changes an entry; `false` if there is none. `change` must keep its name. If it changes no
    /// more than the pair with this key, it is shown the part that the pair belongs to.
    fn update(
        &mut self,
        db: usize,
        name: Name<'_>,
        pair: Option<Key<'_>>,
        change: &mut dyn FnMut(&mut NameEntry),
    ) -> bool;

    /// After a pair was taken out that was the last one where it lay: whether none is left at all.
    fn is_emptied(&mut self, db: usize, name: Name<'_>) -> bool;

    /// Adds an entry that is not there.
    fn insert(&mut self, db: usize, name: Name<'_>, whole: Whole);

    fn remove(&mut self, db: usize, name: Name<'_>) -> Option<Whole>;

    /// The same value and deadline for another name, without the kept mark.
    fn copied(&self, db: usize, entry: &NameEntry, name: &[u8], used: u32) -> Whole;

    /// Shows entries in hash order, from the first whose hash is at least `from`.
    fn scan<'n>(&'n self, db: usize, from: u64, visit: &mut Visit<'_, 'n>);

    /// Names that Redis clients can see.
    fn visible(&self, db: usize) -> usize;

    /// All entries, and the one with `rank` entries before it.
    fn entries(&self, db: usize) -> usize;
    fn nth(&self, db: usize, rank: usize) -> Option<&NameEntry>;

    /// Empties a database; who watches a name in it learns that it changed.
    fn flush(&mut self, db: usize);

    /// Makes two databases change places, as [`Names::flush`] says.
    fn swap(&mut self, a: usize, b: usize);

    /// Who watches the name learns that it changed. If the change only freed what expired at
    /// `expired_ms`, those do who watched it then; else that is [`super::NEVER`].
    fn touched(&mut self, db: usize, name: Name<'_>, expired_ms: u64);

    /// Frees what an edit took out.
    fn discard(&mut self, whole: Whole);
}
