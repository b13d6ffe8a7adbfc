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

/// The namespace whose pairs have a deadline each, as many as in [`NAMESPACE`].
pub const TIMED_NAMESPACE: &str = "timed";
/// Small namespaces that HSET is spread over.
pub const WIDE_NAMESPACES: u64 = 1_000_000;
/// Pairs in each of them.
pub const WIDE_PAIRS: u64 = 4;

/// A namespace of large values, few enough that all of them take some 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Large {
    /// The namespace.
    pub namespace: &'static str,
    /// Bytes of every value.
    pub value_bytes: usize,
}

/// Values of 1 KiB.
pub const LARGE_1K: Large = Large { namespace: "large-1k", value_bytes: 1 << 10 };
/// Values of 16 KiB.
pub const LARGE_16K: Large = Large { namespace: "large-16k", value_bytes: 16 << 10 };
/// Values of 64 KiB.
pub const LARGE_64K: Large = Large { namespace: "large-64k", value_bytes: 64 << 10 };

impl Large {
    /// Pairs in the namespace.
    pub fn pairs(self) -> u64 {
        (16 << 20) / self.value_bytes as u64
    }
}

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

/// A value of `len` bytes, a multiple of [`VALUE_BYTES`].
pub fn large_value(seed: u64, len: usize) -> String {
    value(seed).repeat(len / VALUE_BYTES)
}

/// Name `index` of the small namespaces that HSET is spread over: 10 bytes.
pub fn wide_namespace(index: u64) -> String {
    format!("ns-{index:07}")
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
        assert_eq!(wide_namespace(WIDE_NAMESPACES - 1).len(), wide_namespace(0).len());
        for large in [LARGE_1K, LARGE_16K, LARGE_64K] {
            assert_eq!(large_value(1, large.value_bytes).len(), large.value_bytes);
        }
    }
}
