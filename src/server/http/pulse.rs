//! How long a connection waits for its next request, and when that is too long.
//!
//! hyper can limit it too, with a timer that it sets anew for every request. Here one timer for each
//! connection looks now and then how long the wait has been. Times are the server's clock's, in ns; a
//! request that is answered at once brings the time along, since it was read for it anyway.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::server::Server;

/// In the place of a time: a request is being answered.
const BUSY: u64 = u64::MAX;

/// What a connection does, said by those who do it; all of them run on its thread.
#[derive(Debug)]
pub(super) struct Pulse {
    server: Arc<Server>,
    /// Since when a request is waited for.
    waits_since_ns: AtomicU64,
    /// Whether the peer takes nothing at the moment.
    is_unread: AtomicBool,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Pulse>);

impl Pulse {
    /// Waits for the first request.
    pub(super) fn new(server: Arc<Server>) -> Arc<Pulse> {
        let waits_since_ns = AtomicU64::new(server.store.clock.monotonic_ns());
        Arc::new(Pulse { server, waits_since_ns, is_unread: AtomicBool::new(false) })
    }

    /// A request has come.
    pub(super) fn busy(self: &Arc<Pulse>) -> Busy {
        self.waits_since_ns.store(BUSY, Relaxed);
        Busy(self.clone())
    }

    /// A request has come and was answered, without a pause between.
    pub(super) fn answered(&self, at_ns: u64) {
        self.waits_since_ns.store(at_ns, Relaxed);
    }

    /// The peer takes nothing, or something again.
    pub(super) fn unread(&self, is_unread: bool) {
        let was_unread = self.is_unread.swap(is_unread, Relaxed);
        if was_unread && !is_unread && self.waits_since_ns.load(Relaxed) != BUSY {
            self.answered(self.now_ns());
        }
    }

    /// How long a request has been waited for.
    fn waited(&self) -> Duration {
        match self.waits_since_ns.load(Relaxed) {
            BUSY => Duration::ZERO,
            _ if self.is_unread.load(Relaxed) => Duration::ZERO,
            since_ns => Duration::from_nanos(self.now_ns().saturating_sub(since_ns)),
        }
    }

    fn now_ns(&self) -> u64 {
        self.server.store.clock.monotonic_ns()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.answered(self.0.now_ns());
    }
}

/// Looks after a [`Pulse`].
pub(super) struct Watchdog {
    pulse: Arc<Pulse>,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    is_set: bool,
}

impl Watchdog {
    /// Lets a connection wait for `patience`.
    pub(super) fn new(pulse: Arc<Pulse>, patience: Duration) -> Watchdog {
        let timer = Box::pin(tokio::time::sleep(patience));
        Watchdog { pulse, patience, timer, is_set: false }
    }

    /// Ready when the connection has waited too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A timer that was asked once calls by itself; asking is dear.
        if self.is_set && !self.timer.is_elapsed() {
            return Poll::Pending;
        }
        self.is_set = true;
        while self.timer.as_mut().poll(cx).is_ready() {
            let left = self.patience.saturating_sub(self.pulse.waited());
            if left.is_zero() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(Instant::now() + left);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::journal::Journal;
    use crate::store::Store;

    #[test]
    fn only_waiting_counts() {
        let store = Store::new(Journal::discarding(), Clock::manual(1_000));
        let server = Arc::new(Server::new(Config::default(), store, 1));
        let pulse = Pulse::new(server.clone());
        let pass = |ms| server.store.clock.advance(Duration::from_millis(ms));
        let waited_ms = || pulse.waited().as_millis();
        pass(2);
        assert_eq!(waited_ms(), 2);
        let busy = pulse.busy();
        pass(3);
        assert_eq!(waited_ms(), 0);
        drop(busy);
        pass(4);
        assert_eq!(waited_ms(), 4);
        pulse.answered(server.store.clock.monotonic_ns());
        assert_eq!(waited_ms(), 0);
        // An answer that is taken slowly is no wait; it begins anew behind it.
        pass(5);
        pulse.unread(true);
        pass(6);
        assert_eq!(waited_ms(), 0);
        pulse.unread(false);
        pass(7);
        assert_eq!(waited_ms(), 7);
        // Nor is one that is taken slowly while it is made.
        let busy = pulse.busy();
        pulse.unread(true);
        pulse.unread(false);
        pass(8);
        assert_eq!(waited_ms(), 0);
        drop(busy);
    }
}
