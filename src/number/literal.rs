//! The grammar of a floating point number as C's `strtod` family has it in the C locale, without its leading blanks:
//! decimal and hexadecimal numbers and the infinities. What the numbers are worth in a binary format is not decided here.

/// Exponents are held within ±2^40, far beyond where any text of possible length still matters.
const EXPONENT_MAX: i64 = 1 << 40;

/// One number as it was written.
pub(super) struct Literal<'a> {
    pub(super) negative: bool,
    pub(super) magnitude: Magnitude<'a>,
}

/// A number without its sign.
pub(super) enum Magnitude<'a> {
    /// `inf` or `infinity`.
    Infinite,
    Decimal(Decimal<'a>),
    /// `significand * 2^exponent`, and a little more when `sticky`; then the significand has more than 120 bits.
    Hex {
        significand: u128,
        exponent: i64,
        sticky: bool,
    },
}

/// `digits * 10^exponent`, where the digits begin and end with one that is not zero.
pub(super) struct Decimal<'a> {
    /// The digits stand in two parts, because a point may have stood between them.
    leading: &'a [u8],
    trailing: &'a [u8],
    pub(super) exponent: i64,
}

impl<'a> Literal<'a> {
    /// Reads the whole text as one number. `None` when it is not one, and for every spelling of NaN.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let magnitude = match unsigned {
            [b'0', b'x' | b'X', rest @ ..] => parse_hex(rest)?,
            [b'i' | b'I', ..] if is_infinity(unsigned) => Magnitude::Infinite,
            rest => Magnitude::Decimal(parse_decimal(rest)?),
        };
        Some(Literal { negative, magnitude })
    }
}

impl<'a> Decimal<'a> {
    /// `<integer>.<fraction>e<exponent>`
    fn new(integer: &'a [u8], fraction: &'a [u8], exponent: i64) -> Self {
        let leading = trim_start_zeros(integer);
        let trailing = if leading.is_empty() { trim_start_zeros(fraction) } else { fraction };
        let (trailing, trailing_zeros) = trim_end_zeros(trailing);
        let (leading, leading_zeros) =
            if trailing.is_empty() { trim_end_zeros(leading) } else { (leading, 0) };
        let places = trailing_zeros + leading_zeros - fraction.len() as i64;
        Decimal { leading, trailing, exponent: exponent + places }
    }

    /// The digits, most significant first.
    pub(super) fn digits(&self) -> impl Iterator<Item = u8> {
        self.leading.iter().chain(self.trailing).map(|byte| byte - b'0')
    }

    /// The number of digits; 0 for zero.
    pub(super) fn digit_count(&self) -> usize {
        self.leading.len() + self.trailing.len()
    }
}

fn trim_start_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|byte| **byte == b'0').count()..]
}

fn trim_end_zeros(digits: &[u8]) -> (&[u8], i64) {
    let zeros = digits.iter().rev().take_while(|byte| **byte == b'0').count();
    (&digits[..digits.len() - zeros], zeros as i64)
}

fn is_infinity(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity")
}

fn parse_decimal(text: &[u8]) -> Option<Decimal<'_>> {
    let (mantissa, exponent) = split_exponent(text, b'e')?;
    let (integer, fraction) = split_point(mantissa);
    let all_digits = integer.iter().chain(fraction).all(u8::is_ascii_digit);
    (all_digits && integer.len() + fraction.len() > 0)
        .then(|| Decimal::new(integer, fraction, exponent))
}

/// Reads what follows `0x`.
fn parse_hex(text: &[u8]) -> Option<Magnitude<'_>> {
    let (mantissa, mut exponent) = split_exponent(text, b'p')?;
    let (integer, fraction) = split_point(mantissa);
    if integer.len() + fraction.len() == 0 {
        return None;
    }
    exponent -= 4 * fraction.len() as i64;
    let (mut significand, mut sticky) = (0u128, false);
    for &byte in integer.iter().chain(fraction) {
        let digit = char::from(byte).to_digit(16)?;
        if significand >> 124 == 0 {
            significand = significand << 4 | u128::from(digit);
        } else {
            sticky |= digit != 0;
            exponent += 4;
        }
    }
    Some(Magnitude::Hex { significand, exponent, sticky })
}

/// Splits the exponent off, 0 when there is none. `None` when the marker is there and no number behind it.
fn split_exponent(text: &[u8], marker: u8) -> Option<(&[u8], i64)> {
    let Some(at) = text.iter().position(|byte| byte.to_ascii_lowercase() == marker) else {
        return Some((text, 0));
    };
    let (negative, digits) = match &text[at + 1..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent =
        digits.iter().fold(0, |value, byte| EXPONENT_MAX.min(value * 10 + i64::from(byte - b'0')));
    Some((&text[..at], if negative { -exponent } else { exponent }))
}

fn split_point(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b'.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}
