//! What the journal and the snapshots tell of themselves: counters and the last error, for INFO.
//!
//! Nothing is decided from these.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// Counters of one data directory.
#[derive(Debug, Default)]
pub struct Status {
    /// Records written.
    pub records: AtomicU64,
    /// Batches in them.
    pub batches: AtomicU64,
    /// Flushes to the disk.
    pub fsyncs: AtomicU64,
    /// How long the longest flush took, in µs; CONFIG RESETSTAT forgets it.
    pub flush_us_max: AtomicU64,
    /// Times the writer had to wait for a flush.
    pub delayed_fsyncs: AtomicU64,
    /// Bytes of the journal since the last snapshot.
    pub journal_bytes: AtomicU64,
    /// Those bytes when the last snapshot was done, and its own.
    pub base_bytes: AtomicU64,
    /// Bytes written but not flushed.
    pub unsynced_bytes: AtomicU64,
    /// Times that workers had to wait, because the disk was behind.
    pub stalls: AtomicU64,
    /// A snapshot is being taken.
    pub is_snapshotting: AtomicBool,
    /// When the one that is being taken was begun, in unix ms.
    pub snapshot_started_ms: AtomicU64,
    /// Names in the one that is being taken.
    pub snapshot_names: AtomicU64,
    /// When the last one was done, in unix ms; 0: never.
    pub snapshot_done_ms: AtomicU64,
    /// How long it took, in ms; -1: none was taken.
    pub snapshot_took_ms: AtomicI64,
    /// The last one failed.
    pub snapshot_failed: AtomicBool,
    /// Snapshots done.
    pub snapshots: AtomicU64,
    /// Batches up to the last snapshot, to tell how many came since.
    pub snapshot_lsn: AtomicU64,
    /// Bytes of the files that are being loaded, and how many of them are done.
    pub loading_total_bytes: AtomicU64,
    /// See [`Status::loading_total_bytes`].
    pub loading_loaded_bytes: AtomicU64,
    /// When loading began, in unix ms.
    pub loading_started_ms: AtomicU64,
    /// Pairs and strings loaded.
    pub loaded_pairs: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Status {
    /// Why the disk does not take what is written, while that is so.
    pub fn error(&self) -> Option<String> {
        self.error.lock().clone()
    }

    pub(super) fn set_error(&self, error: Option<String>) {
        *self.error.lock() = error;
    }

    /// Adds to a counter.
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }
}
