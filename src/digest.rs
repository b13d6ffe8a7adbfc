//! The digest of a value: XXH3 of 64 bits as sixteen hexadecimal digits, as Redis's DIGEST gives it.
//!
//! It serves as ETag and for compare-and-set. It is no protection against who wants two values to
//! collide: who may write needs no collision.

/// Sixteen lower-case hexadecimal digits.
pub type Digest = [u8; 16];

/// The digest of `value`.
pub fn digest(value: &[u8]) -> Digest {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = xxhash_rust::xxh3::xxh3_64(value);
    std::array::from_fn(|at| DIGITS[(hash >> (60 - 4 * at)) as usize & 15])
}

/// Whether `value` has the digest that a client wrote, in any case.
pub fn has_digest(value: &[u8], wanted: &[u8]) -> bool {
    digest(value).eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_xxh3() {
        assert_eq!(&digest(b""), b"2d06800538d394c2");
        assert_eq!(&digest(b"abc"), b"78af5f94892f3950");
        assert!(has_digest(b"abc", b"78AF5F94892F3950"));
        assert!(!has_digest(b"abc", b"78AF5F94892F395"));
        assert!(!has_digest(b"abd", b"78AF5F94892F3950"));
    }
}
