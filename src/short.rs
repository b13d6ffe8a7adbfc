//! Comparing and copying byte strings that are short, mostly: without a call, which would take longer
//! than the work.

/// Whether two byte strings are the same.
#[inline(always)]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    #[inline(always)]
    fn ends<const N: usize>(bytes: &[u8]) -> Option<([u8; N], [u8; N])> {
        Some((*bytes.first_chunk()?, *bytes.last_chunk()?))
    }
    a.len() == b.len()
        && match a.len() {
            4..=7 => ends::<4>(a) == ends::<4>(b),
            8..=16 => ends::<8>(a) == ends::<8>(b),
            _ => a == b,
        }
}

/// Appends bytes.
#[inline(always)]
pub fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        4..=7 => halves::<4>(out, bytes),
        8..=16 => halves::<8>(out, bytes),
        17..=32 => halves::<16>(out, bytes),
        33..=64 => halves::<32>(out, bytes),
        _ => out.extend_from_slice(bytes),
    }
}

/// Appends `N` to `2 * N` bytes as two halves that may overlap.
#[inline(always)]
fn halves<const N: usize>(out: &mut Vec<u8>, bytes: &[u8]) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) {
        let last_at = out.len() + bytes.len() - N;
        out.extend_from_slice(first);
        out.truncate(last_at);
        out.extend_from_slice(last);
    }
}

/// Writes bytes to the start of `room`, which must be as long at least.
#[inline(always)]
pub fn put(room: &mut [u8], bytes: &[u8]) {
    #[inline(always)]
    fn halves<const N: usize>(room: &mut [u8], bytes: &[u8]) {
        let room = &mut room[..bytes.len()];
        if let (Some(to), Some(first)) = (room.first_chunk_mut::<N>(), bytes.first_chunk()) {
            *to = *first;
        }
        if let (Some(to), Some(last)) = (room.last_chunk_mut::<N>(), bytes.last_chunk()) {
            *to = *last;
        }
    }
    match bytes.len() {
        4..=7 => halves::<4>(room, bytes),
        8..=16 => halves::<8>(room, bytes),
        17..=32 => halves::<16>(room, bytes),
        33..=64 => halves::<32>(room, bytes),
        len => room[..len].copy_from_slice(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_length_is_compared_and_appended_whole() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 0..=200 {
            let mut out = b"before".to_vec();
            append(&mut out, &bytes[..len]);
            assert_eq!(out, [b"before", &bytes[..len]].concat(), "{len}");
            let mut room = [7; 201];
            put(&mut room, &bytes[..len]);
            assert!(room[..len] == bytes[..len] && room[len..].iter().all(|&byte| byte == 7));
            assert!(same(&bytes[..len], &bytes.clone()[..len]));
            for at in 0..len {
                let mut other = bytes[..len].to_vec();
                other[at] ^= 1;
                assert!(!same(&bytes[..len], &other), "{len} {at}");
            }
        }
    }
}
