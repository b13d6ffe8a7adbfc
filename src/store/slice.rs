//! How long slow work kept a stripe: the longest slice so far, in CPU time of the thread that did it.
//!
//! Only what can take long is measured: a large segment or a table that grows, shrinks or is
//! compacted, and slices of expiry and of snapshots. CPU time says what the work costs; how long
//! the machine let the thread wait meanwhile, it does not say.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock::thread_cpu_ns;

/// Slots a segment must have for work on it to be measured; less is done before a clock is read.
pub(super) const MEASURED_SLOTS_MIN: usize = 256;

thread_local! {
    /// The longest slice of this thread that no gauge has heard of.
    static UNHEARD_NS: Cell<u64> = const { Cell::new(0) };
}

/// Does work of a table and remembers for the next [`Gauge::hear`] how long it took.
pub(super) fn measured<R>(work: impl FnOnce() -> R) -> R {
    let before_ns = thread_cpu_ns();
    let result = work();
    let took_ns = thread_cpu_ns().saturating_sub(before_ns);
    UNHEARD_NS.set(UNHEARD_NS.get().max(took_ns));
    result
}

/// The longest slice of all threads.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    max_ns: AtomicU64,
}

impl Gauge {
    /// Takes over what this thread has measured.
    #[inline]
    pub fn hear(&self) {
        let unheard_ns = UNHEARD_NS.get();
        if unheard_ns > 0 {
            UNHEARD_NS.set(0);
            self.max_ns.fetch_max(unheard_ns, Relaxed);
        }
    }

    /// The longest, in µs, rounded up.
    pub fn max_us(&self) -> u64 {
        self.max_ns.load(Relaxed).div_ceil(1000)
    }

    /// Forgets it.
    pub fn reset(&self) {
        self.max_ns.store(0, Relaxed);
    }
}
