//! Exact values rounded to a binary floating point format, to nearest and ties to even. Knows no text and no arithmetic.

use super::bigint::BigUint;
use super::literal::Decimal;

/// The finite numbers of a binary format: `significand * 2^exponent`.
pub(super) struct Format {
    /// Bits of a full significand, at most 64.
    pub(super) precision_bits: u32,
    /// The exponent of the subnormals and of the least normals.
    pub(super) exponent_min: i32,
    /// The exponent of the greatest numbers.
    pub(super) exponent_max: i32,
}

/// A magnitude in a format: the significand is full, or the exponent is the format's least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rounded {
    pub(super) significand: u64,
    pub(super) exponent: i32,
}

/// What x87 calls extended precision and C on x86-64 `long double`.
pub(super) const EXTENDED: Format =
    Format { precision_bits: 64, exponent_min: -16_445, exponent_max: 16_320 };

/// `f64`
pub(super) const DOUBLE: Format =
    Format { precision_bits: 53, exponent_min: -1074, exponent_max: 971 };

impl Format {
    /// Rounds `significand * 2^exponent`, plus less than one unit of that significand when `sticky`. `None` when the
    /// result is beyond the format's greatest number.
    ///
    /// A sticky significand must have more bits than the format; what is below them could not be rounded otherwise.
    pub(super) fn round(&self, significand: u128, exponent: i64, sticky: bool) -> Option<Rounded> {
        let exponent_min = i64::from(self.exponent_min);
        if significand == 0 {
            return Some(Rounded { significand: 0, exponent: self.exponent_min });
        }
        let bits = u128::BITS - significand.leading_zeros();
        let surplus = i64::from(bits) - i64::from(self.precision_bits);
        let dropped = surplus.max(exponent_min - exponent);
        let exponent = exponent + dropped;
        let kept = if dropped <= 0 {
            significand << -dropped
        } else {
            round_shift(significand, dropped, sticky)
        };
        // Rounding up can reach the next power of two, which has one bit more and zeros below it.
        let carried = kept >> self.precision_bits != 0;
        let exponent = exponent + i64::from(carried);
        let significand = (kept >> u32::from(carried)) as u64;
        let in_range = exponent <= i64::from(self.exponent_max);
        in_range.then_some(Rounded { significand, exponent: exponent as i32 })
    }

    /// Rounds a decimal number. `None` when the result is beyond the format's greatest number. The time grows with the
    /// square of the number of digits.
    pub(super) fn round_decimal(&self, decimal: &Decimal) -> Option<Rounded> {
        // No format here reaches 10^4933, nor half of its least number 10^-4951.
        const MAGNITUDES: std::ops::RangeInclusive<i64> = -4951..=4933;
        let magnitude = decimal.digit_count() as i64 + decimal.exponent;
        if decimal.digit_count() == 0 || magnitude < *MAGNITUDES.start() {
            return self.round(0, 0, false);
        }
        if magnitude > *MAGNITUDES.end() {
            return None;
        }
        if decimal.digit_count() <= 19 && decimal.exponent.unsigned_abs() <= 27 {
            self.round_small_decimal(decimal)
        } else {
            self.round_any_decimal(decimal)
        }
    }

    /// For what fits 128 bits on the way: up to 19 digits and exponents of up to ±27.
    fn round_small_decimal(&self, decimal: &Decimal) -> Option<Rounded> {
        let digits = decimal.digits().fold(0, |value, digit| value * 10 + u128::from(digit));
        let power = 5u128.pow(decimal.exponent.unsigned_abs() as u32);
        if decimal.exponent >= 0 {
            return self.round(digits * power, decimal.exponent, false);
        }
        // With the dividend's highest bit set the quotient has 65 bits or more: one more than any format.
        let shift = digits.leading_zeros();
        let dividend = digits << shift;
        let exponent = decimal.exponent - i64::from(shift);
        self.round(dividend / power, exponent, dividend % power != 0)
    }

    fn round_any_decimal(&self, decimal: &Decimal) -> Option<Rounded> {
        let mut digits = BigUint::from_digits(decimal.digits());
        let power = decimal.exponent.unsigned_abs() as u32;
        if decimal.exponent >= 0 {
            digits.multiply_power_of_five(power);
            let (top, above, sticky) = digits.top_bits();
            return self.round(top, decimal.exponent + i64::from(above), sticky);
        }
        let mut divisor = BigUint::power_of_five(power);
        let (dividend_bits, divisor_bits) = (digits.bit_len(), divisor.bit_len());
        digits.shift_left(divisor_bits.saturating_sub(dividend_bits));
        divisor.shift_left(dividend_bits.saturating_sub(divisor_bits));
        // Both have the same length now, so the quotient is below 2 and its first bits are these.
        const QUOTIENT_BITS: u32 = 67;
        let mut quotient = 0u128;
        for _ in 0..QUOTIENT_BITS {
            quotient = quotient << 1 | u128::from(digits.subtract_if_fits(&divisor));
            digits.shift_left(1);
        }
        let shift =
            i64::from(dividend_bits) - i64::from(divisor_bits) - i64::from(QUOTIENT_BITS - 1);
        self.round(quotient, decimal.exponent + shift, !digits.is_zero())
    }
}

/// `value / 2^bits` for a positive number of bits, rounded to nearest, ties to even. With `sticky` the value is a little
/// more than it says.
pub(super) fn round_shift(value: u128, bits: i64, sticky: bool) -> u128 {
    if bits > i64::from(u128::BITS) {
        return 0;
    }
    let kept = value.checked_shr(bits as u32).unwrap_or(0);
    let half = 1u128 << (bits - 1);
    let below_half = value & (half - 1) != 0 || sticky;
    let up = value & half != 0 && (below_half || kept & 1 == 1);
    kept + u128::from(up)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::literal::{Literal, Magnitude};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_ways_to_round_a_decimal_agree(digits: u64, exponent in -27i64..=27) {
            let text = format!("{}e{exponent}", digits % 10u64.pow(19));
            let Magnitude::Decimal(decimal) = Literal::parse(text.as_bytes()).unwrap().magnitude else {
                panic!("{text} is no decimal")
            };
            prop_assume!(decimal.exponent.abs() <= 27);
            for format in [&EXTENDED, &DOUBLE] {
                prop_assert_eq!(format.round_small_decimal(&decimal), format.round_any_decimal(&decimal));
            }
        }

        #[test]
        fn decimals_round_as_the_standard_library_rounds_them(digits in "[0-9]{1,40}", exponent in -340i64..=300) {
            let text = format!("{digits}e{exponent}");
            let Magnitude::Decimal(decimal) = Literal::parse(text.as_bytes()).unwrap().magnitude else {
                panic!("{text} is no decimal")
            };
            let expected: f64 = text.parse().unwrap();
            match DOUBLE.round_decimal(&decimal) {
                None => prop_assert!(expected.is_infinite()),
                Some(rounded) => {
                    let (significand, exponent) = (rounded.significand as f64, rounded.exponent);
                    // In two steps, because 2^-1074 alone is reached only through a subnormal.
                    let scale = |exponent: i32| 2f64.powi(exponent);
                    prop_assert_eq!(significand * scale(exponent / 2) * scale(exponent - exponent / 2), expected);
                }
            }
        }
    }
}
