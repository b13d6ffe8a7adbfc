//! Numbers in as few bytes as they need: seven bits a byte, the lowest first (LEB128).
//!
//! Each number has one encoding, the shortest; another is refused. What is counted is not its matter.

/// Most bytes a number takes.
pub const LEN_MAX: usize = 10;

/// Writes a number to the start of `to`, which has room for it; returns how many bytes it took.
#[inline]
pub fn write(mut number: u64, to: &mut [u8]) -> usize {
    let mut at = 0;
    while number >= 0x80 {
        to[at] = number as u8 | 0x80;
        number >>= 7;
        at += 1;
    }
    to[at] = number as u8;
    at + 1
}

/// Appends a number.
#[inline]
pub fn push(number: u64, to: &mut Vec<u8>) {
    let mut bytes = [0; LEN_MAX];
    let len = write(number, &mut bytes);
    to.extend_from_slice(&bytes[..len]);
}

/// Takes a number from the start of `from`; `None` if there is none.
#[inline]
pub fn read(from: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = from.split_first()?;
    if first < 0x80 {
        *from = rest;
        return Some(u64::from(first));
    }
    let len = from.iter().take(LEN_MAX).position(|byte| byte & 0x80 == 0)? + 1;
    let (bytes, rest) = from.split_at(len);
    let last = bytes[len - 1];
    if last == 0 || (len == LEN_MAX && last > 1) {
        return None;
    }
    *from = rest;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_have_one_encoding() {
        let edges = (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1, u64::MAX >> bit]);
        for number in edges {
            let mut bytes = Vec::new();
            push(number, &mut bytes);
            let mut rest = &bytes[..];
            assert_eq!(read(&mut rest), Some(number));
            assert!(rest.is_empty());
            assert_eq!(read(&mut &bytes[..bytes.len() - 1]), None, "cut short");
        }
        assert_eq!(read(&mut &[0x80, 0][..]), None, "zero in two bytes");
        assert_eq!(read(&mut &[0xff; 11][..]), None, "no end");
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(read(&mut &too_large[..]), None, "more than 64 bits");
    }
}
