//! Where the clients of one thread wait for the journal's mark.
//!
//! The thread is woken once for all of its clients that wait. Who may leave, and in what order, is
//! decided on that thread.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// One thread's place to wait.
#[derive(Debug, Default)]
pub struct Gate {
    has_waiters: AtomicBool,
    moved: Notify,
}

impl Gate {
    /// Says that somebody is going to wait. Look at the mark once more after this.
    pub fn expect(&self) {
        self.has_waiters.store(true, Ordering::SeqCst);
    }

    /// Waits until the mark has moved since [`Gate::expect`].
    pub async fn moved(&self) {
        self.moved.notified().await;
    }

    /// The mark has moved.
    pub(super) fn open(&self) {
        if self.has_waiters.swap(false, Ordering::SeqCst) {
            self.moved.notify_one();
        }
    }
}
