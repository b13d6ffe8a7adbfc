//! How long a connection waits for its next request, and when that is too long.
//!
//! hyper can limit it too, with a timer that it sets anew for every request. Here one timer for each
//! connection looks now and then how long the wait has been; a request costs a look at the clock.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

/// What a connection does, said by those who do it.
#[derive(Debug)]
pub(super) struct Pulse {
    /// Since when a request is waited for; none while one is answered.
    waits_since: Mutex<Option<Instant>>,
    /// Whether the peer takes nothing at the moment.
    is_unread: AtomicBool,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Pulse>);

impl Pulse {
    /// Waits for the first request.
    pub(super) fn new() -> Arc<Pulse> {
        let waits_since = Mutex::new(Some(Instant::now()));
        Arc::new(Pulse { waits_since, is_unread: AtomicBool::new(false) })
    }

    /// A request has come.
    pub(super) fn busy(self: &Arc<Pulse>) -> Busy {
        *self.waits_since.lock() = None;
        Busy(self.clone())
    }

    /// The peer takes nothing, or something again.
    pub(super) fn unread(&self, is_unread: bool) {
        if self.is_unread.swap(is_unread, Relaxed) && !is_unread {
            self.waits_since.lock().iter_mut().for_each(|since| *since = Instant::now());
        }
    }

    /// How long a request has been waited for.
    fn waited(&self) -> Duration {
        let since = self.waits_since.lock().filter(|_| !self.is_unread.load(Relaxed));
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.waits_since.lock() = Some(Instant::now());
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

    #[test]
    fn only_waiting_counts() {
        let pulse = Pulse::new();
        let nap = || std::thread::sleep(Duration::from_millis(2));
        nap();
        assert!(pulse.waited() > Duration::ZERO);
        let busy = pulse.busy();
        nap();
        assert_eq!(pulse.waited(), Duration::ZERO);
        drop(busy);
        nap();
        let waited = pulse.waited();
        assert!(waited > Duration::ZERO);
        // An answer that is taken slowly is no wait; it begins anew behind it.
        pulse.unread(true);
        nap();
        assert_eq!(pulse.waited(), Duration::ZERO);
        let before = *pulse.waits_since.lock();
        pulse.unread(false);
        assert!(*pulse.waits_since.lock() > before);
    }
}
