//! The one source of time: wall clock at start plus monotonic time, or a clock that tests move.
//!
//! Deadlines are compared with this clock only. It never runs backwards; when the system's wall clock
//! is set, it is followed slowly, so a jump neither kills nor revives pairs at once.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The share of a difference to the wall clock that one [`Clock::slew`] makes up for: 1/64.
const SLEW_SHIFT: u32 = 6;

/// Tells the unix time in ms.
#[derive(Debug)]
pub struct Clock(Kind);

#[derive(Debug)]
enum Kind {
    System { start_ns: u64, start_us: u64, offset_us: AtomicI64 },
    Manual { now_ms: AtomicU64 },
}

impl Clock {
    /// The system's time.
    pub fn system() -> Clock {
        Clock(Kind::System {
            start_ns: monotonic_ns(),
            start_us: wall_us(),
            offset_us: AtomicI64::new(0),
        })
    }

    /// A clock that stands at `now_ms` until [`Clock::advance`].
    pub fn manual(now_ms: u64) -> Clock {
        Clock(Kind::Manual { now_ms: AtomicU64::new(now_ms) })
    }

    /// Unix time in ms.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    /// Unix time in µs.
    #[inline]
    pub fn now_us(&self) -> u64 {
        match &self.0 {
            Kind::System { start_ns, start_us, offset_us } => {
                let since_us = monotonic_ns().saturating_sub(*start_ns) / 1000;
                (start_us + since_us).saturating_add_signed(offset_us.load(Relaxed))
            }
            Kind::Manual { now_ms } => now_ms.load(Relaxed) * 1000,
        }
    }

    /// Time that only runs on, in ns since the clock was made.
    #[inline]
    pub fn monotonic_ns(&self) -> u64 {
        match &self.0 {
            Kind::System { start_ns, .. } => monotonic_ns().saturating_sub(*start_ns),
            Kind::Manual { now_ms } => now_ms.load(Relaxed) * 1_000_000,
        }
    }

    /// [`Clock::now_ms`] and [`Clock::monotonic_ns`] of one moment.
    #[inline]
    pub fn moment(&self) -> (u64, u64) {
        let monotonic_ns = self.monotonic_ns();
        (self.ms_at(monotonic_ns), monotonic_ns)
    }

    /// [`Clock::now_ms`] when [`Clock::monotonic_ns`] was this.
    #[inline]
    pub fn ms_at(&self, monotonic_ns: u64) -> u64 {
        match &self.0 {
            Kind::System { start_us, offset_us, .. } => {
                let now_us = start_us + monotonic_ns / 1000;
                now_us.saturating_add_signed(offset_us.load(Relaxed)) / 1000
            }
            Kind::Manual { now_ms } => now_ms.load(Relaxed),
        }
    }

    /// Runs on from `now_ms` if it stands before that: time that was seen does not come again.
    pub fn at_least(&self, at_ms: u64) {
        match &self.0 {
            Kind::System { offset_us, .. } => {
                let behind_us = at_ms.saturating_mul(1000).saturating_sub(self.now_us());
                offset_us.fetch_add(i64::try_from(behind_us).unwrap_or(0), Relaxed);
            }
            Kind::Manual { now_ms } => {
                now_ms.fetch_max(at_ms, Relaxed);
            }
        }
    }

    /// Moves a manual clock. The system's clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual { now_ms } = &self.0 {
            now_ms.fetch_add(by.as_millis() as u64, Relaxed);
        }
    }

    /// Comes a little nearer to the system's wall clock. Call once a second: then the clock runs at
    /// most a few per cent fast or slow while it follows a jump, and never backwards between calls.
    pub fn slew(&self) {
        self.slew_to(wall_us());
    }

    fn slew_to(&self, wall_us: u64) {
        if let Kind::System { offset_us, .. } = &self.0 {
            const STEP_US_MAX: i64 = 20_000;
            let behind_us = wall_us as i64 - self.now_us() as i64;
            let step_us = (behind_us >> SLEW_SHIFT).clamp(-STEP_US_MAX, STEP_US_MAX);
            offset_us.fetch_add(step_us, Relaxed);
        }
    }
}

/// CPU time the calling thread has used, in ns; 0 where the system does not tell.
pub fn thread_cpu_ns() -> u64 {
    #[cfg(unix)]
    {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
    }
    #[cfg(not(unix))]
    0
}

/// The time of a clock that only runs on, in ns since some moment before the process began.
#[inline]
fn monotonic_ns() -> u64 {
    #[cfg(unix)]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
    }
    #[cfg(not(unix))]
    {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(instant);
        START.elapsed().as_nanos() as u64
    }
}

/// Now, to measure how long something takes.
#[inline]
#[allow(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
pub fn instant() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
fn wall_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: u64 = 24 * 3600 * 1_000_000;

    /// Whatever the wall clock says, one step moves the clock by hundredths of a second.
    #[test]
    fn a_jump_of_the_wall_clock_is_followed_slowly() {
        const STEP_MS_MAX: u64 = 20;
        let clock = Clock::system();
        let now_us = clock.now_us();
        for wall_us in
            [now_us + DAY_US, now_us - DAY_US, 0, i64::MAX as u64, now_us + 3_600_000_000]
        {
            let (before_ms, before_ns) = clock.moment();
            clock.slew_to(wall_us);
            let (after_ms, after_ns) = clock.moment();
            let passed_ms = (after_ns - before_ns) / 1_000_000;
            assert!(after_ms >= before_ms.saturating_sub(STEP_MS_MAX), "{wall_us}");
            assert!(after_ms <= before_ms + passed_ms + STEP_MS_MAX + 1, "{wall_us}");
        }
    }

    #[test]
    fn time_that_was_seen_does_not_come_again() {
        for clock in [Clock::system(), Clock::manual(1_000)] {
            let later_ms = clock.now_ms() + 90_000_000;
            clock.at_least(later_ms);
            assert!(clock.now_ms() >= later_ms);
            clock.at_least(later_ms - 1);
            clock.at_least(0);
            assert!(clock.now_ms() >= later_ms);
        }
    }
}
