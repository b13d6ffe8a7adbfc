//! The arithmetic of INCRBYFLOAT and HINCRBYFLOAT: C's 80-bit `long double` of x86-64 in integers, so that 0.1 + 0.2
//! prints as 0.3 here too. Only what these commands need: read, add, print.

use super::bigint::BigUint;
use super::literal::{Literal, Magnitude};
use super::rounding::{EXTENDED, Rounded, round_shift};

/// The longest text that [`LongDouble::parse`] reads.
pub const LONG_DOUBLE_TEXT_LEN_MAX_BYTES: usize = 5 * 1024 - 1;

/// How many digits after the point are printed at most.
const FRACTION_DIGITS: u32 = 17;

/// Why a float could not be incremented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatError {
    /// The current value or the increment is not a number.
    NotAFloat,
    /// The sum would be NaN or an infinity.
    NanOrInfinity,
}

/// A number with a significand of 64 bits and an exponent of 15, or an infinity; never NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    /// `None` is infinity.
    magnitude: Option<Rounded>,
}

/// What INCRBYFLOAT stores and answers: `current` (0 when there is none) plus `increment`, as text.
///
/// HINCRBYFLOAT has different error texts for each of its operands; it takes [`LongDouble`]'s steps one by one.
pub fn incr_by_float(current: Option<&[u8]>, increment: &[u8]) -> Result<String, FloatError> {
    let current = current.map_or(Some(LongDouble::ZERO), LongDouble::parse);
    let current = current.ok_or(FloatError::NotAFloat)?;
    let increment = LongDouble::parse(increment).ok_or(FloatError::NotAFloat)?;
    let sum = current.checked_add(increment).ok_or(FloatError::NanOrInfinity)?;
    Ok(sum.to_text())
}

impl LongDouble {
    /// 0
    pub const ZERO: LongDouble = LongDouble {
        negative: false,
        magnitude: Some(Rounded { significand: 0, exponent: EXTENDED.exponent_min }),
    };

    /// Reads what C's `strtold` reads, rounded to nearest: decimal and hexadecimal numbers, `inf` and `infinity`.
    ///
    /// `None` for anything else: blanks or other bytes around the number, NaN, what is too great for the format, what is
    /// not zero but would become it, and texts longer than [`LONG_DOUBLE_TEXT_LEN_MAX_BYTES`].
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() > LONG_DOUBLE_TEXT_LEN_MAX_BYTES {
            return None;
        }
        let Literal { negative, magnitude } = Literal::parse(text)?;
        let (is_zero, rounded) = match magnitude {
            Magnitude::Infinite => return Some(LongDouble { negative, magnitude: None }),
            Magnitude::Decimal(decimal) => {
                (decimal.digit_count() == 0, EXTENDED.round_decimal(&decimal)?)
            }
            Magnitude::Hex { significand, exponent, sticky } => {
                (significand == 0, EXTENDED.round(significand, exponent, sticky)?)
            }
        };
        let underflow = rounded.significand == 0 && !is_zero;
        (!underflow).then_some(LongDouble { negative, magnitude: Some(rounded) })
    }

    /// Whether this is one of the infinities.
    pub fn is_infinite(self) -> bool {
        self.magnitude.is_none()
    }

    /// The sum, rounded to nearest with ties to even. `None` when it would be NaN or an infinity.
    pub fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        let (a, b) = (self.magnitude?, other.magnitude?);
        let a_is_greater = (a.exponent, a.significand) >= (b.exponent, b.significand);
        let (great, small) = if a_is_greater { (a, b) } else { (b, a) };
        let negative = if a_is_greater { self.negative } else { other.negative };
        // Two bits stay free above for the carry; below there is room for far more than the rounding needs to see.
        const ROOM_BITS: u32 = 62;
        let great_bits = u128::from(great.significand) << ROOM_BITS;
        let small_bits = u128::from(small.significand) << ROOM_BITS;
        let distance = great.exponent.abs_diff(small.exponent);
        let shifted = small_bits.checked_shr(distance).unwrap_or(0);
        // What is shifted out leaves its trace in the lowest bit: far below the place where rounding looks, but not 0.
        let lost = small_bits != 0 && small_bits.trailing_zeros() < distance;
        let shifted = shifted | u128::from(lost);
        let sum = if self.negative == other.negative {
            great_bits + shifted
        } else {
            great_bits - shifted
        };
        let exponent = i64::from(great.exponent) - i64::from(ROOM_BITS);
        let magnitude = EXTENDED.round(sum, exponent, false)?;
        Some(LongDouble { negative: negative && sum != 0, magnitude: Some(magnitude) })
    }

    /// The decimal text that Redis stores: never an exponent, at most 17 digits after the point, rounded to nearest with
    /// ties to even, no zeros at the end, no `-0`. At most 4934 bytes for a number; `inf` and `-inf` for the infinities.
    pub fn to_text(self) -> String {
        let digits = match self.magnitude {
            None => "inf".to_string(),
            Some(Rounded { significand, exponent: exponent @ 1.. }) => {
                BigUint::from_binary(significand, exponent.unsigned_abs()).into_decimal()
            }
            Some(Rounded { significand, exponent }) => {
                fixed_point(significand, exponent.unsigned_abs())
            }
        };
        if self.negative && digits != "0" { format!("-{digits}") } else { digits }
    }
}

/// Prints `significand / 2^shift`.
fn fixed_point(significand: u64, shift: u32) -> String {
    const SCALE: u128 = 10u128.pow(FRACTION_DIGITS);
    let exact = u128::from(significand) * SCALE;
    let scaled = if shift == 0 { exact } else { round_shift(exact, i64::from(shift), false) };
    let (integer, fraction) = (scaled / SCALE, scaled % SCALE);
    if fraction == 0 {
        return integer.to_string();
    }
    let text = format!("{integer}.{fraction:0width$}", width = FRACTION_DIGITS as usize);
    text.trim_end_matches('0').to_string()
}
