//! Bytes as lower-case hexadecimal digits, and back; and random words of such digits.
//!
//! The words are for what others must not guess: tokens, passwords, the name of a run. What only has
//! to look random has cheaper numbers.

/// Two digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|&byte| [byte >> 4, byte & 15]).map(digit).collect()
}

/// The bytes of which these are the digits, in either case.
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let byte = |pair: &[u8]| match *pair {
        [high, low] => Some(value(high)? << 4 | value(low)?),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

/// So many random digits.
///
/// # Errors
/// When the system has no random numbers.
pub fn random_word(digits: usize) -> Result<String, getrandom::Error> {
    let mut bytes = vec![0; digits.div_ceil(2)];
    getrandom::fill(&mut bytes)?;
    let mut word = hex(&bytes);
    word.truncate(digits);
    Ok(word)
}

fn digit(value: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_as_they_are_written() {
        let all: Vec<u8> = (0..=255).collect();
        let digits = hex(&all);
        assert!(digits.starts_with("000102") && digits.ends_with("fdfeff"), "{digits}");
        assert_eq!(unhex(digits.as_bytes()), Some(all.clone()));
        assert_eq!(unhex(digits.to_uppercase().as_bytes()), Some(all));
        for wrong in ["0", "abc", "0g", "+1", "é0"] {
            assert_eq!(unhex(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn random_words_are_as_long_as_asked_and_differ() {
        for digits in [0, 1, 7, 40, 64] {
            assert_eq!(random_word(digits).unwrap().len(), digits);
        }
        assert_ne!(random_word(40).unwrap(), random_word(40).unwrap());
    }
}
