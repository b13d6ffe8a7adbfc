//! Integers from byte strings, by Redis's two rules: the strict one of values and arguments, and the lenient one of
//! cursors.

/// Reads a signed integer as Redis reads every integer argument and every value that INCR works on.
///
/// The text must be the one that printing the number gives: no `+`, no blanks, no leading zero, no `-0`, nothing empty,
/// nothing outside of `i64`. Anything else is `None`.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [digit @ b'0'..=b'9'] => return Some(i64::from(digit - b'0')),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let magnitude = parse_digits(digits)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Reads an unsigned integer as Redis reads the cursors of SCAN and HSCAN.
///
/// More lenient than [`parse_i64`]: blanks before the number, one `+` and leading zeros are accepted. `None` for what is
/// empty, negative (`-0` too), followed by anything, or above `u64::MAX`.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let blanks = text.iter().take_while(|byte| is_c_blank(**byte)).count();
    let unsigned = &text[blanks..];
    parse_digits(unsigned.strip_prefix(b"+").unwrap_or(unsigned))
}

/// What C's `isspace` calls a blank; unlike `u8::is_ascii_whitespace` it has the vertical tab.
fn is_c_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The value of a non-empty run of ASCII digits; `None` when there is anything else, or when it passes `u64::MAX`.
fn parse_digits(digits: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    // Any 19 digits fit a u64, so only what is longer pays for overflow checks.
    if digits.len() <= 19 {
        for &byte in digits {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit(byte)?));
        }
        return (!digits.is_empty()).then_some(value);
    }
    for &byte in digits {
        value = value.checked_mul(10)?.checked_add(u64::from(digit(byte)?))?;
    }
    Some(value)
}

fn digit(byte: u8) -> Option<u8> {
    let value = byte.wrapping_sub(b'0');
    (value <= 9).then_some(value)
}
