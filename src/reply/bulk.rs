//! Byte strings as RESP has them: short ones, which most are, in blocks of a fixed size.
//!
//! Copying a block whose size is known takes a few instructions, where a call would take more than the
//! work. Which bytes are sent is the matter of [`super::Reply`].

use super::header;
use crate::output::Output;

/// `$<len>` with its line end, for lengths of one and two digits.
static BULK_HEADERS: [[u8; BULK_HEADER_BYTES]; 100] = {
    let mut headers = [*b"$00\r\n"; 100];
    let mut len = 0;
    while len < 100 {
        headers[len] = match len {
            0..10 => [b'$', b'0' + len as u8, b'\r', b'\n', 0],
            _ => [b'$', b'0' + (len / 10) as u8, b'0' + (len % 10) as u8, b'\r', b'\n'],
        };
        len += 1;
    }
    headers
};

const BULK_HEADER_BYTES: usize = 5;
/// Longest bulk that is written as a block of this size.
pub(super) const SHORT_BULK_MAX: usize = 64;
const SHORT_BULK_BYTES: usize = BULK_HEADER_BYTES + SHORT_BULK_MAX + 2;

#[inline]
pub(super) fn bulk(out: &mut Output, bytes: &[u8]) {
    let len = bytes.len();
    if len > SHORT_BULK_MAX {
        return long_bulk(out, bytes);
    }
    let end = write_short(out.room::<SHORT_BULK_BYTES>(), bytes);
    out.commit(end);
}

/// Two bulks of at most [`SHORT_BULK_MAX`] bytes.
#[inline]
pub(super) fn two_bulks(out: &mut Output, first: &[u8], second: &[u8]) {
    let room = out.room::<{ 2 * SHORT_BULK_BYTES }>();
    let middle = write_short(room, first);
    let end = middle + write_short(&mut room[middle..], second);
    out.commit(end);
}

/// Writes a bulk to where there is room for [`SHORT_BULK_BYTES`]. Returns where it ends.
#[inline(always)]
fn write_short(room: &mut [u8], bytes: &[u8]) -> usize {
    let len = bytes.len();
    room[..BULK_HEADER_BYTES].copy_from_slice(&BULK_HEADERS[len]);
    let at = if len < 10 { BULK_HEADER_BYTES - 1 } else { BULK_HEADER_BYTES };
    let (place, end) = room[at..].split_at_mut(len);
    match len {
        33..=SHORT_BULK_MAX => halves::<32>(place, bytes),
        16..=32 => halves::<16>(place, bytes),
        8..=15 => halves::<8>(place, bytes),
        4..=7 => halves::<4>(place, bytes),
        _ => place.copy_from_slice(bytes),
    }
    end[..2].copy_from_slice(b"\r\n");
    at + len + 2
}

/// Copies `N` to `2 * N` bytes as two halves that may overlap, which is cheaper than a call.
#[inline(always)]
fn halves<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = *from;
    }
}

fn long_bulk(out: &mut Output, bytes: &[u8]) {
    header(out, b'$', bytes.len() as i64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
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
