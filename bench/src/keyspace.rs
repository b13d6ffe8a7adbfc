//! The data that every server holds while it is measured, and the random numbers that choose from it.
//!
//! Keys and values have one length each, so that requests and replies have one length too, and hold neither `*` nor anything that
//! JSON or a URL would escape.

/// The namespace (a hash, to Redis) that HGET, HSET and REST work on.
pub const NAMESPACE: &str = "bench";
/// Pairs in [`NAMESPACE`], and plain keys beside it.
pub const PAIRS: u64 = 100_000;
/// The namespace that HGETALL reads.
pub const SMALL_NAMESPACE: &str = "small";
/// Pairs in [`SMALL_NAMESPACE`].
pub const SMALL_PAIRS: u64 = 100;
/// Bytes of every value.
pub const VALUE_BYTES: usize = 32;

/// Key `index` of the big keyspace: 16 bytes.
pub fn key(index: u64) -> String {
    format!("key-{index:012}")
}

/// Key `index` of the small namespace: 8 bytes.
pub fn small_key(index: u64) -> String {
    format!("k{index:07}")
}

/// A value of 32 hexadecimal digits. Equal seeds give equal values.
pub fn value(seed: u64) -> String {
    let mut random = Random::new(seed);
    format!("{:016x}{:016x}", random.next(), random.next())
}

/// SplitMix64: small, and the same on every machine.
pub struct Random(u64);

impl Random {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`. The bias of the remainder is below one in 10^14 here.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_the_declared_ones() {
        for index in [0, 7, PAIRS - 1] {
            assert_eq!(key(index).len(), 16);
            assert_eq!(small_key(index % SMALL_PAIRS).len(), 8);
            assert_eq!(value(index).len(), VALUE_BYTES);
        }
        assert_ne!(value(1), value(2));
    }
}
