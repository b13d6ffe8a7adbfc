//! How a name's use is remembered: when it was last used, or about how often.
//!
//! Both fit into one word of the name's entry; the memory policy says which of them it is. After a
//! change of policy a word is read as what it was not, until the name is used again: as in Redis.

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// The second it was last used in.
    Recency,
    /// A counter up to 255 that grows ever more slowly and decays, above it the minute it was last
    /// brought up to date.
    Frequency {
        /// The larger, the more uses the counter's next step takes (lfu-log-factor).
        log_factor: u32,
        /// Minutes in which the counter loses one (lfu-decay-time); 0: it never does.
        decay_minutes: u32,
    },
}

/// What a new name starts from, so that it is not the first to go.
const COUNTER_AT_FIRST: u32 = 5;
const COUNTER_BITS: u32 = 8;
const MINUTE_MS: u64 = 60_000;
const MINUTES_MASK: u32 = u32::MAX >> COUNTER_BITS;

impl Usage {
    /// The word of a name that is made now.
    pub fn first(self, now_ms: u64) -> u32 {
        match self {
            Usage::Recency => (now_ms / 1000) as u32,
            Usage::Frequency { .. } => minutes(now_ms) << COUNTER_BITS | COUNTER_AT_FIRST,
        }
    }

    /// The word after one more use; `random` decides whether the counter grows.
    #[inline]
    pub fn next(self, word: u32, now_ms: u64, random: u64) -> u32 {
        let Usage::Frequency { log_factor, .. } = self else { return (now_ms / 1000) as u32 };
        let counter = u32::from(self.frequency(word, now_ms));
        let base = u64::from(counter.saturating_sub(COUNTER_AT_FIRST));
        let is_one_more = random.is_multiple_of(base * u64::from(log_factor) + 1);
        let counter = (counter + u32::from(is_one_more)).min(u32::from(u8::MAX));
        minutes(now_ms) << COUNTER_BITS | counter
    }

    /// The word of a name that was last used so many seconds ago; `None` if that is not remembered.
    pub fn idle_since(self, idle_s: u64, now_ms: u64) -> Option<u32> {
        let used_s = (now_ms / 1000).saturating_sub(idle_s);
        (self == Usage::Recency).then(|| u32::try_from(used_s).unwrap_or(u32::MAX))
    }

    /// The word of a name with this counter; `None` if counters are not remembered.
    pub fn used_often(self, frequency: u8, now_ms: u64) -> Option<u32> {
        (self != Usage::Recency).then(|| minutes(now_ms) << COUNTER_BITS | u32::from(frequency))
    }

    /// The counter as it is now. Means nothing under [`Usage::Recency`].
    pub fn frequency(self, word: u32, now_ms: u64) -> u8 {
        let counter = word as u8;
        match self {
            Usage::Frequency { decay_minutes: 0, .. } | Usage::Recency => counter,
            Usage::Frequency { decay_minutes, .. } => {
                let passed = minutes(now_ms).wrapping_sub(word >> COUNTER_BITS) & MINUTES_MASK;
                counter.saturating_sub(u8::try_from(passed / decay_minutes).unwrap_or(u8::MAX))
            }
        }
    }

    /// Seconds since the last use. Means nothing under [`Usage::Frequency`].
    pub fn idle_s(self, word: u32, now_ms: u64) -> u64 {
        (now_ms / 1000).saturating_sub(u64::from(word))
    }
}

fn minutes(now_ms: u64) -> u32 {
    (now_ms / MINUTE_MS) as u32 & MINUTES_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const LFU: Usage = Usage::Frequency { log_factor: 10, decay_minutes: 1 };

    #[test]
    fn a_counter_grows_ever_more_slowly_and_stays_below_256() {
        let uses = |times: u64| {
            let mut random = 1u64;
            let word = (0..times).fold(LFU.first(NOW_MS), |word, _| {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                LFU.next(word, NOW_MS, random >> 20)
            });
            LFU.frequency(word, NOW_MS)
        };
        assert_eq!(uses(0), 5);
        assert!((6..30).contains(&uses(100)), "{}", uses(100));
        assert!((100..200).contains(&uses(100_000)), "{}", uses(100_000));
        assert_eq!(uses(10_000_000), 255);
    }

    #[test]
    fn a_counter_decays_by_the_minute() {
        let word = LFU.first(NOW_MS);
        assert_eq!(LFU.frequency(word, NOW_MS + 2 * MINUTE_MS), 3);
        assert_eq!(LFU.frequency(word, NOW_MS + 10_000 * MINUTE_MS), 0);
        let steady = Usage::Frequency { log_factor: 10, decay_minutes: 0 };
        assert_eq!(steady.frequency(word, NOW_MS + 10_000 * MINUTE_MS), 5);
    }

    #[test]
    fn recency_is_the_second_of_the_last_use() {
        let word = Usage::Recency.next(0, NOW_MS, 1);
        assert_eq!(Usage::Recency.idle_s(word, NOW_MS + 7_000), 7);
        assert_eq!(Usage::Recency.first(NOW_MS), word);
    }
}
