//! Which bytes stand as themselves in an answer. Nearly all do, so this looks at many at once. How the others are
//! written is the matter of those who ask.

/// Whether it is a field of CSV as it stands: ASCII, without comma, quote, line end, and without a
/// blank at either end.
#[inline]
pub(super) fn is_field(text: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    !is_blank(text.first())
        && !is_blank(text.last())
        && !any(text, |byte| {
            (byte >= 0x80) | (byte == b',') | (byte == b'"') | (byte == b'\r') | (byte == b'\n')
        })
}

/// Whether it is the inside of a JSON string as it stands: ASCII without escapes.
#[inline]
pub(super) fn is_json(text: &[u8]) -> bool {
    !any(text, |byte| !(b' '..0x80).contains(&byte) | (byte == b'"') | (byte == b'\\'))
}

/// Whether any byte is such; in blocks, of which the last two may overlap.
#[inline(always)]
fn any(text: &[u8], is_such: impl Fn(u8) -> bool + Copy) -> bool {
    match text.len() {
        0..4 => text.iter().any(|&byte| is_such(byte)),
        4..8 => in_ends::<4>(text, is_such),
        8..16 => in_ends::<8>(text, is_such),
        16..=32 => in_ends::<16>(text, is_such),
        _ => {
            let (blocks, _) = text.as_chunks::<32>();
            blocks.iter().any(|block| in_block(block, is_such))
                || text.last_chunk::<32>().is_some_and(|block| in_block(block, is_such))
        }
    }
}

#[inline(always)]
fn in_ends<const N: usize>(text: &[u8], is_such: impl Fn(u8) -> bool + Copy) -> bool {
    match (text.first_chunk::<N>(), text.last_chunk::<N>()) {
        (Some(first), Some(last)) => in_block(first, is_such) | in_block(last, is_such),
        _ => false,
    }
}

/// Without a branch for each byte.
#[inline(always)]
fn in_block<const N: usize>(block: &[u8; N], is_such: impl Fn(u8) -> bool) -> bool {
    block.iter().fold(0, |any, &byte| any | u8::from(is_such(byte))) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that matter, and their neighbours.
    const BYTES: &[u8] = b"\0\t\n\x0b\r\x1f !\"#+,-[\\]az\x7f\x80\xc3\xff";

    #[test]
    fn one_byte_anywhere_is_seen() {
        for len in 0..=100 {
            let text = vec![b'a'; len];
            assert!(is_field(&text) && is_json(&text), "{len}");
            for at in 0..len {
                for &byte in BYTES {
                    let mut text = text.clone();
                    text[at] = byte;
                    let is_at_end = at == 0 || at == len - 1;
                    let is_blank = is_at_end && byte.is_ascii_whitespace();
                    let field = byte.is_ascii() && !b",\"\r\n".contains(&byte) && !is_blank;
                    assert_eq!(is_field(&text), field, "{len} {at} {byte}");
                    let json = byte.is_ascii() && byte >= b' ' && !b"\"\\".contains(&byte);
                    assert_eq!(is_json(&text), json, "{len} {at} {byte}");
                }
            }
        }
    }
}
