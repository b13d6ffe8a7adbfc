//! How long each command took: a sum and a histogram, written by one worker and read by anyone.
//!
//! A histogram has sixteen buckets for every doubling, so what is read from it is at most 6.25 % too
//! long. It is made when its command first runs. What is timed, and how exactly, is decided in
//! [`crate::dispatch`].

use std::sync::OnceLock;

use super::metrics::Counter;

/// Times below 2^8 ns are as good as that, times of 2^37 ns (two minutes) and more likewise.
const SHORTEST_LOG2: u32 = 8;
const LONGEST_LOG2: u32 = 37;
const STEPS_LOG2: u32 = 4;
const BUCKETS: usize = ((LONGEST_LOG2 - SHORTEST_LOG2) << STEPS_LOG2) as usize;
/// The first bound that LATENCY HISTOGRAM shows, in ns; each further one is twice the one before.
const FIRST_BOUND_LOG2: u32 = 10;

/// The times of one command on one worker.
#[derive(Debug, Default)]
pub struct Times {
    /// Their sum, in ns.
    pub sum_ns: Counter,
    histogram: OnceLock<Box<[Counter; BUCKETS]>>,
}

/// The times of one command on all workers.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    total: u64,
}

impl Times {
    /// Adds `count` times of `each_ns`. Only the owning worker may call this.
    #[inline]
    pub fn add(&self, each_ns: u64, count: u64, in_histogram: bool) {
        self.sum_ns.add(each_ns * count);
        if in_histogram {
            let histogram = self
                .histogram
                .get_or_init(|| Box::new(std::array::from_fn(|_| Counter::default())));
            histogram[bucket(each_ns)].add(count);
        }
    }

    /// Back to zero (CONFIG RESETSTAT).
    pub fn reset(&self) {
        self.sum_ns.reset();
        self.histogram.get().into_iter().for_each(|all| all.iter().for_each(Counter::reset));
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: [0; BUCKETS], total: 0 }
    }
}

impl Histogram {
    /// Of all these.
    pub fn sum<'t>(of: impl Iterator<Item = &'t Times>) -> Histogram {
        let mut whole = Histogram::default();
        of.for_each(|times| whole.add(times));
        whole
    }

    /// Adds these.
    pub fn add(&mut self, times: &Times) {
        let Some(histogram) = times.histogram.get() else { return };
        for (count, more) in self.counts.iter_mut().zip(histogram.iter()) {
            *count += more.get();
            self.total += more.get();
        }
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The time that `percent` of them did not pass, in µs.
    pub fn percentile_us(&self, percent: f64) -> f64 {
        let rank = ((percent / 100.0 * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(0.0, |bucket| end_ns(bucket) as f64 / 1000.0)
    }

    /// How many took no longer than this; those of a bucket that ends beyond it do not count.
    pub fn within_ns(&self, bound_ns: u64) -> u64 {
        let is_within = |&(bucket, _): &(usize, &u64)| end_ns(bucket) <= bound_ns;
        self.counts.iter().enumerate().take_while(is_within).map(|(_, count)| count).sum()
    }

    /// Bounds in µs, each with how many did not pass it; only those that more passed than the one before.
    pub fn bounds_us(&self) -> Vec<(u64, u64)> {
        let mut bounds = Vec::new();
        let (mut bucket, mut seen) = (0, 0);
        for log2 in FIRST_BOUND_LOG2..=LONGEST_LOG2 {
            let before = seen;
            while bucket < BUCKETS && end_ns(bucket) < 1 << log2 {
                seen += self.counts[bucket];
                bucket += 1;
            }
            if seen > before {
                bounds.push(((1 << log2) / 1000, seen));
            }
        }
        bounds
    }
}

#[inline]
fn bucket(ns: u64) -> usize {
    let ns = ns.clamp(1 << SHORTEST_LOG2, (1 << LONGEST_LOG2) - 1);
    let log2 = ns.ilog2();
    let step = ns >> (log2 - STEPS_LOG2) & ((1 << STEPS_LOG2) - 1);
    (((log2 - SHORTEST_LOG2) << STEPS_LOG2) as u64 + step) as usize
}

/// The longest time of a bucket.
fn end_ns(bucket: usize) -> u64 {
    let log2 = SHORTEST_LOG2 + (bucket >> STEPS_LOG2) as u32;
    let step = (bucket & ((1 << STEPS_LOG2) - 1)) as u64;
    (1 << log2) + ((step + 1) << (log2 - STEPS_LOG2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_bucket_that_ends_after_it() {
        let mut ns = 1 << SHORTEST_LOG2;
        while ns < 1 << (LONGEST_LOG2 - 1) {
            let bucket = bucket(ns);
            assert!(end_ns(bucket) >= ns && (end_ns(bucket) - ns) * 16 <= ns, "{ns}");
            assert!(bucket == 0 || end_ns(bucket - 1) < ns, "{ns}");
            ns += ns / 37 + 1;
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn percentiles_and_bounds_count_what_was_added() {
        let (one, other) = (Times::default(), Times::default());
        one.add(1_500, 98, true);
        other.add(1_000_000, 2, true);
        other.add(1_000_000, 50, false);
        let both = Histogram::sum([&one, &other].into_iter());
        assert_eq!(both.total(), 100);
        assert!((1.5..1.6).contains(&both.percentile_us(50.0)));
        assert!((1000.0..1063.0).contains(&both.percentile_us(99.0)));
        assert_eq!(both.bounds_us(), [(2, 98), (1048, 100)]);
        assert_eq!(other.sum_ns.get(), 52_000_000);
        other.reset();
        assert_eq!(Histogram::sum([&other].into_iter()).total(), 0);
    }
}
