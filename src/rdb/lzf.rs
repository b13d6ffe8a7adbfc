//! Decompresses LZF, the form in which Redis writes long strings that repeat themselves. Nothing is compressed here:
//! every reader of RDB takes strings as they are.

/// What `compressed` stands for; `None` unless that is exactly `len` bytes. Memory grows with what is decompressed, not
/// with `len`, which only someone said.
///
/// A control byte below 32 is followed by one byte more than it says, to be taken as they are. Any other refers back: its
/// upper three bits are the length less 2 (7: one more byte adds to it), its lower five and the next byte the distance
/// less 1.
pub fn decompress(mut compressed: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let [control, rest @ ..] = compressed {
        let control = usize::from(*control);
        if control < 32 {
            let (literal, rest) = rest.split_at_checked(control + 1)?;
            out.extend_from_slice(literal);
            compressed = rest;
        } else {
            let (more, rest) = if control >> 5 == 7 { rest.split_first()? } else { (&0, rest) };
            let (low, rest) = rest.split_first()?;
            let repeated = (control >> 5) + usize::from(*more) + 2;
            let distance = ((control & 0x1f) << 8) + usize::from(*low) + 1;
            copy_back(&mut out, distance, repeated)?;
            compressed = rest;
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

/// Appends `len` bytes that begin `distance` before the end; they may reach into themselves.
fn copy_back(out: &mut Vec<u8>, distance: usize, len: usize) -> Option<()> {
    let from = out.len().checked_sub(distance)?;
    if distance >= len {
        out.extend_from_within(from..from + len);
    } else {
        (from..from + len).for_each(|at| out.push(out[at]));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn literals_and_references() {
        // "ab" as it is; then 2 + 6 bytes from 2 back.
        assert_eq!(
            decompress(&[1, b'a', b'b', 6 << 5, 1], 10).as_deref(),
            Some(&b"ababababab"[..])
        );
        // One "x", then 2 + 7 + 3 more from 1 back.
        assert_eq!(decompress(&[0, b'x', 7 << 5, 3, 0], 13).as_deref(), Some(&[b'x'; 13][..]));
        assert_eq!(decompress(&[], 0), Some(Vec::new()));
    }

    #[test]
    fn what_does_not_fit() {
        let whole = [1, b'a', b'b', 6 << 5, 1];
        for cut in 0..whole.len() {
            assert_eq!(decompress(&whole[..cut], 10), None);
        }
        assert_eq!(decompress(&whole, 9), None);
        assert_eq!(decompress(&whole, 11), None);
        assert_eq!(
            decompress(&[0, b'a', 1 << 5, 1], 4),
            None,
            "refers to what is before the start"
        );
    }
}
