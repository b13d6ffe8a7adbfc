//! The seeded hash of names and keys: whoever chooses keys can not choose collisions.

use std::hash::{BuildHasher, Hasher as _, RandomState};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use super::table::Rehash;

/// Long enough to take every path of the hash function for medium inputs.
const CHECKED: &[u8] = b"pantry: is this still the same hash function?";

/// Hashes byte strings with a secret.
#[derive(Debug, Clone, Copy)]
pub struct Hasher {
    seeds: [u64; 2],
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
    /// A hash function chosen by the operating system's randomness.
    pub fn random() -> Hasher {
        Hasher::seeded([0u64, 1].map(|n| RandomState::new().hash_one(n)))
    }

    /// The hash function that was chosen before, if this program still has it; see
    /// [`Hasher::seeds`].
    pub fn again([first, second, check]: [u64; 3]) -> Option<Hasher> {
        let hasher = Hasher::seeded([first, second]);
        (hasher.hash(CHECKED) == check).then_some(hasher)
    }

    /// What [`Hasher::again`] needs: the seeds, and a hash to know the function by.
    pub fn seeds(self) -> [u64; 3] {
        [self.seeds[0], self.seeds[1], self.hash(CHECKED)]
    }

    /// The hash function with these seeds. It lives as long as the process.
    pub fn seeded(seeds: [u64; 2]) -> Hasher {
        Hasher { seeds, shared: Box::leak(Box::new(SharedSeed::from_u64(seeds[0]))) }
    }

    /// The hash of `bytes`.
    #[inline]
    pub fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = SeedableRandomState::with_seed(self.seeds[1], self.shared).build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}
