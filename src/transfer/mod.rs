//! Moving names in and out of a store: Redis's RDB and AOF files, JSON Lines and CSV.
//!
//! - [`import`] puts what a file or directory holds into a store, [`export`] writes what a store holds.
//! - [`aof`] reads append-only files, one command after the other; `manifest` says which files there are; `replay` runs
//!   them. [`peer`] is another server. [`rows`] is the form of a line of JSON Lines or CSV.
//! - `walk` shows a live store in small steps; `load` puts names into one. Both speak of names as a `Target` takes them. `spool`
//!   keeps pairs until their number is known.
//!
//! Nothing here knows the command line. How an RDB file looks is in [`crate::rdb`].
//!
//! A store is not stopped while it is walked or loaded: no stripe is held for more than some pairs. So an export of a
//! store that changes meanwhile is no picture of one moment; each name that stays is in it once, and each of its pairs
//! that stays is, too.

pub mod aof;
pub mod export;
pub mod import;
mod load;
mod manifest;
pub mod peer;
mod relative;
mod replay;
pub mod rows;
mod spool;
mod walk;

use anyhow::Result;

use crate::rdb::pairs::PairBuffer;
use crate::store::Limit;

/// Pairs that are handled at once: so long is a stripe held.
const PAIRS_AT_ONCE: usize = 256;
/// And bytes of them.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// A name and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub db: usize,
    pub name: Vec<u8>,
    /// When it expires, in unix ms.
    pub deadline_ms: Option<u64>,
}

/// What takes names, one after the other.
pub(crate) trait Target {
    /// A library of functions with this code. `false` if it is passed over.
    fn library(&mut self, code: &[u8]) -> Result<bool>;

    /// A name that holds a string.
    fn string(&mut self, header: &Header, value: &[u8]) -> Result<()>;

    /// Some pairs of a namespace, and whether these were the last.
    fn pairs(&mut self, header: &Header, pairs: &PairBuffer, is_last: bool) -> Result<()>;

    /// A namespace stays when it is empty. Its pairs came before, if it has any.
    fn kept(&mut self, header: &Header) -> Result<()>;

    /// What a namespace may hold, whether or not there is one.
    fn limit(&mut self, header: &Header, limit: Limit) -> Result<()>;
}

/// Whether that many pairs are enough for one step.
fn is_full(pairs: &PairBuffer) -> bool {
    pairs.len() >= PAIRS_AT_ONCE || pairs.heap_bytes() >= BYTES_AT_ONCE
}
