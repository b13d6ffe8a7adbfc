//! A latency histogram: nanoseconds in log-linear buckets, each at most 1/64 wide of what it stands for.

const LINEAR_BITS: u32 = 7;
const HALF: usize = 1 << (LINEAR_BITS - 1);

/// Counts of latencies in nanoseconds.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self { counts: vec![0; bucket(u64::MAX) + 1], total: 0, max_ns: 0 }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
        self.max_ns = 0;
    }

    /// Counts `times` replies that took `latency_ns` each.
    pub fn record(&mut self, latency_ns: u64, times: u64) {
        self.counts[bucket(latency_ns)] += times;
        self.total += times;
        self.max_ns = self.max_ns.max(latency_ns);
    }

    /// The latency that a share of `quantile` (0 to 1) of all replies did not pass; 0 when there were none.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let rank = ((self.total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_ns(index).min(self.max_ns);
            }
        }
        self.max_ns
    }

    /// The longest latency.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }
}

/// Values below 2^7 have a bucket each; each octave above has 2^6.
fn bucket(latency_ns: u64) -> usize {
    let shift = (u64::BITS - latency_ns.leading_zeros()).saturating_sub(LINEAR_BITS);
    shift as usize * HALF + (latency_ns >> shift) as usize
}

/// The largest value of a bucket.
fn upper_ns(index: usize) -> u64 {
    if index < 2 * HALF {
        return index as u64;
    }
    let shift = index / HALF - 1;
    let lower = ((index - shift * HALF) as u64) << shift;
    lower + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_without_gaps_and_narrow() {
        let mut last = bucket(0);
        assert_eq!(last, 0);
        for value in 1..1_000_000_u64 {
            let index = bucket(value);
            assert!(index == last || index == last + 1, "{value}");
            assert!(upper_ns(index) >= value && upper_ns(index) - value <= value / 64, "{value}");
            last = index;
        }
        assert!(upper_ns(bucket(u64::MAX)) == u64::MAX);
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile_ns(0.5), 0);
        histogram.record(10, 98);
        histogram.record(100, 1);
        histogram.record(1_000_000, 1);
        assert_eq!(histogram.quantile_ns(0.5), 10);
        assert_eq!(histogram.quantile_ns(0.99), 100);
        assert_eq!(histogram.quantile_ns(0.999), 1_000_000);
        assert_eq!(histogram.max_ns(), 1_000_000);
        histogram.clear();
        assert_eq!(histogram.max_ns(), 0);
    }
}
