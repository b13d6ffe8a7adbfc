//! Byte strings as RESP has them: short ones, which most are, in blocks of a fixed size.
//!
//! Copying a block whose size is known takes a few instructions, where a call would take more than the
//! work. Which bytes are sent is the matter of [`super::Reply`].

use super::header::header;
use crate::output::Output;

/// `$<len>` with its line end, for lengths of one and two digits.
static BULK_HEADERS: [[u8; BULK_HEADER_BYTES]; SHORT_BULK_MAX + 1] = {
    let mut headers = [[0; BULK_HEADER_BYTES]; SHORT_BULK_MAX + 1];
    let mut len = 0;
    while len <= SHORT_BULK_MAX {
        let digits = [b'0' + (len / 10) as u8, b'0' + (len % 10) as u8];
        headers[len] = match len {
            0..10 => [b'$', digits[1], b'\r', b'\n', 0, 0, 0, 0],
            _ => [b'$', digits[0], digits[1], b'\r', b'\n', 0, 0, 0],
        };
        len += 1;
    }
    headers
};

/// Of a header and what fills it up: one that is copied at once.
const BULK_HEADER_BYTES: usize = 8;
/// Longest bulk that is written as a block of this size.
pub(super) const SHORT_BULK_MAX: usize = 64;
const SHORT_BULK_BYTES: usize = BULK_HEADER_BYTES + SHORT_BULK_MAX + 2;

#[inline]
pub(super) fn bulk(out: &mut Output, bytes: &[u8]) {
    if bytes.len() > SHORT_BULK_MAX {
        return long_bulk(out, bytes);
    }
    let end = write_short(out.room::<SHORT_BULK_BYTES>(), 0, bytes);
    out.commit(end);
}

/// Two bulks of at most [`SHORT_BULK_MAX`] bytes.
#[inline(always)]
pub(super) fn two_bulks(out: &mut Output, first: &[u8], second: &[u8]) {
    let room = out.room::<{ 2 * SHORT_BULK_BYTES }>();
    let middle = write_short(room, 0, first);
    let end = write_short(room, middle, second);
    out.commit(end);
}

/// Writes a bulk to a place behind which there is room for [`SHORT_BULK_BYTES`]. Returns where it ends.
#[inline(always)]
fn write_short<const N: usize>(room: &mut [u8; N], at: usize, bytes: &[u8]) -> usize {
    let len = bytes.len();
    put(room, at, &BULK_HEADERS[len]);
    let at = at + "$0\r\n".len() + usize::from(len >= 10);
    match len {
        33..=SHORT_BULK_MAX => halves::<32, N>(room, at, bytes),
        16..=32 => halves::<16, N>(room, at, bytes),
        8..=15 => halves::<8, N>(room, at, bytes),
        4..=7 => halves::<4, N>(room, at, bytes),
        _ => room[at..at + len].copy_from_slice(bytes),
    }
    put(room, at + len, b"\r\n");
    at + len + 2
}

/// Copies `H` to `2 * H` bytes as two halves that may overlap, which is cheaper than a call.
#[inline(always)]
fn halves<const H: usize, const N: usize>(room: &mut [u8; N], at: usize, bytes: &[u8]) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<H>(), bytes.last_chunk::<H>()) {
        put(room, at, first);
        put(room, at + bytes.len() - H, last);
    }
}

/// Copies a block whose size is known.
#[inline(always)]
fn put<const B: usize, const N: usize>(room: &mut [u8; N], at: usize, block: &[u8; B]) {
    match room[at..].first_chunk_mut() {
        Some(to) => *to = *block,
        None => unreachable!("there is room for a short bulk"),
    }
}

fn long_bulk(out: &mut Output, bytes: &[u8]) {
    header(out, b'$', bytes.len() as i64);
    out.extend_from_slice(bytes);
    out.block(b"\r\n", 2);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Reply;
    use crate::shared::Value;

    #[test]
    fn bulks_of_every_short_length_are_what_they_should_be() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 0..=200 {
            let mut out = Output::new();
            out.extend_from_slice(b"before");
            Reply::resp(&mut out, false).bulk(&bytes[..len]);
            let head = format!("before${len}\r\n");
            assert_eq!(out.to_vec(), [head.as_bytes(), &bytes[..len], b"\r\n"].concat(), "{len}");
        }
    }

    #[test]
    fn two_bulks_at_once_are_two_bulks() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (first, second) in
            (0..100).flat_map(|first| (0..100).map(move |second| (first, second)))
        {
            let (first, second) = (&bytes[..first], &bytes[..second]);
            let (mut at_once, mut in_turn) = (Output::new(), Output::new());
            let value = Value { bytes: second, shared: None };
            Reply::resp(&mut at_once, false).bulk_and_value(first, value);
            let mut reply = Reply::resp(&mut in_turn, false);
            reply.bulk(first);
            reply.bulk(second);
            assert_eq!(at_once.to_vec(), in_turn.to_vec());
        }
    }
}
