//! The seeded hash of names and keys: whoever chooses keys can not choose collisions.

use std::hash::{BuildHasher, Hasher as _, RandomState};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use super::table::Rehash;

/// Hashes byte strings with a secret.
#[derive(Debug, Clone, Copy)]
pub struct Hasher {
    seed: u64,
    shared: &'static SharedSeed,
}

/// Hashes keys of pairs; one that was hashed ahead is not hashed again.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyHasher<'a> {
    pub hasher: Hasher,
    pub known: Option<(&'a [u8], u64)>,
}

impl KeyHasher<'_> {
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        match self.known {
            Some((known, hash)) if std::ptr::eq(known, key) => hash,
            _ => self.hasher.hash(key),
        }
    }
}

impl Rehash for Hasher {
    #[inline]
    fn hash(self, key: &[u8]) -> u64 {
        Hasher::hash(self, key)
    }
}

impl Hasher {
    /// A hash function chosen by the operating system's randomness. Lives as long as the process.
    pub fn random() -> Hasher {
        let shared = SharedSeed::from_u64(RandomState::new().hash_one(0u64));
        Hasher { seed: RandomState::new().hash_one(1u64), shared: Box::leak(Box::new(shared)) }
    }

    /// The hash of `bytes`.
    #[inline]
    pub fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = SeedableRandomState::with_seed(self.seed, self.shared).build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}
