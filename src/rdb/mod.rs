//! RDB, the format of Redis's snapshots and of DUMP: read and written, as a stream of bytes.
//!
//! - [`reader`] reads whole files of Redis up to 8.6 (RDB 13) and of Valkey 9 (RDB 80), name by name, pair by pair.
//! - [`writer`] writes files that Redis 7.0 and later read.
//! - [`dump`] is one value by itself, as DUMP gives it and RESTORE takes it.
//!
//! Nothing here knows a store; [`crate::transfer`] moves names in and out of one. Only strings and hashes are read as
//! values; names of every other type are stepped over and shown as such.
//!
//! The format has no specification of its own. It was taken from the comments and constants in `rdb.h`, `rdb.c`,
//! `listpack.c`, `ziplist.c`, `zipmap.c` and `lzf_d.c` of Redis (7.4) and Valkey (8, 9), and from the discussions of
//! redis/librdb (RDB 13). What a stream of RDB 13 keeps of its producers could not be confirmed; it is refused.

pub mod crc64;
pub mod dump;
mod input;
mod lzf;
mod packed;
pub mod pairs;
pub mod reader;
mod skip;
mod types;
pub mod writer;

use std::fmt;

pub use input::Input;
pub use types::{Dialect, OtherKind};

/// The longest string that is read or written, in bytes, as Redis has it by default.
pub const STRING_LEN_MAX_BYTES: usize = 512 << 20;

/// The latest RDB version of Redis that is read.
pub const REDIS_VERSION_MAX: u32 = 13;

/// The RDB version of Valkey that is read.
pub const VALKEY_VERSION: u32 = 80;

/// What reading gives.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why something could not be read.
#[derive(Debug)]
pub enum Error {
    /// The source failed.
    Io {
        /// Bytes read before.
        offset: u64,
        /// How.
        error: std::io::Error,
    },
    /// The bytes are not RDB, or not any more.
    Damaged {
        /// Bytes read up to where that was seen.
        offset: u64,
        /// What is wrong with them.
        what: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { offset, error } => write!(f, "can not be read at byte {offset}: {error}"),
            Error::Damaged { offset, what } => write!(f, "damaged at byte {offset}: {what}"),
        }
    }
}

impl std::error::Error for Error {}
