//! Where a view's names live: the seam between commands and what orders their changes.
//!
//! The live store edits in place under locks ([`super::held::Held`]); an overlay collects changes
//! over a store it may only read ([`super::overlay::Overlay`]). Both hold whole entries; what an edit
//! means is written once, in [`super::edit`].

use std::ops::ControlFlow;

use super::claims::Put;
use super::name::{Name, NameEntry};
use super::view::Access;

/// Is shown entries with their hashes, until it breaks off.
pub(super) type Visit<'v, 'n> = dyn FnMut(u64, &'n NameEntry) -> ControlFlow<()> + 'v;

pub(super) trait Names {
    fn get(&self, db: usize, name: Name<'_>) -> Option<&NameEntry>;

    /// An entry that may be changed in a way that is counted nowhere: no sizes, no deadline to an earlier
    /// one, not what clients see of the name. Names that only collect changes give none,
    /// nor do those of which only pairs are claimed.
    fn get_to_overwrite(&mut self, _db: usize, _name: Name<'_>) -> Option<&mut NameEntry> {
        None
    }

    /// Whether pairs are claimed and nothing else may be looked at.
    fn are_claimed(&self) -> bool {
        false
    }

    /// Overwrites a claimed pair where it lies. Returns its deadline; `None` if nothing was changed.
    fn overwrite_claimed(
        &self,
        _access: &Access<'_>,
        _name: Name<'_>,
        _put: &Put<'_>,
    ) -> Option<u64> {
        None
    }

    /// Changes an entry; `false` if there is none. `change` must keep its name.
    fn update(&mut self, db: usize, name: Name<'_>, change: &mut dyn FnMut(&mut NameEntry))
    -> bool;

    /// Adds an entry that is not there.
    fn insert(&mut self, db: usize, name: Name<'_>, entry: Box<NameEntry>);

    fn remove(&mut self, db: usize, name: Name<'_>) -> Option<Box<NameEntry>>;

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
    fn discard(&mut self, entry: Box<NameEntry>);
}
