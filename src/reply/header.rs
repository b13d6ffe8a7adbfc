//! The first line of a reply: its type, a number and the line end.
//!
//! Nearly all numbers have four digits at most; those are written as one block of a fixed size. Short byte
//! strings have a form of their own, see [`super::bulk`].

use crate::output::Output;

/// Numbers below have four digits at most.
const SHORT_END: u16 = 10_000;

/// A type byte, a number and the line end.
#[inline]
pub(super) fn header(out: &mut Output, kind: u8, n: i64) {
    match u16::try_from(n) {
        Ok(n @ 0..SHORT_END) => {
            let (block, len) = short_header(kind, n);
            out.block(&block, len);
        }
        _ => long_header(out, kind, n),
    }
}

/// The same for a number below [`SHORT_END`]: a block, and how much of it counts. Without a branch or a loop.
#[inline]
fn short_header(kind: u8, n: u16) -> ([u8; 8], usize) {
    const LINE_END: u64 = u16::from_le_bytes(*b"\r\n") as u64;
    let n = u32::from(n);
    let zeros = u32::from(n < 10) + u32::from(n < 100) + u32::from(n < 1000);
    let digits = (n / 1000) | ((n / 100 % 10) << 8) | ((n / 10 % 10) << 16) | ((n % 10) << 24);
    let digits = u64::from((digits | u32::from_le_bytes(*b"0000")) >> (8 * zeros));
    let word = u64::from(kind) | (digits << 8) | (LINE_END << (8 * (5 - zeros)));
    (word.to_le_bytes(), 7 - zeros as usize)
}

fn long_header(out: &mut Output, kind: u8, n: i64) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_length_are_what_they_should_be() {
        for n in (0..20_000).chain([-1, -12_345, 65_536 + 7, i64::MIN, i64::MAX]) {
            let mut out = Output::new();
            header(&mut out, b'*', n);
            assert_eq!(out.to_vec(), format!("*{n}\r\n").as_bytes());
        }
    }
}
