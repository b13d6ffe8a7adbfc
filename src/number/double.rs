//! `f64` from and to text as Redis reads and writes doubles. Not for INCRBYFLOAT, which computes in `long double`.

use super::literal::{Literal, Magnitude};
use super::rounding::DOUBLE;

/// Reads what C's `strtod` reads, rounded to nearest: decimal and hexadecimal numbers, `inf` and `infinity`. Takes time
/// in proportion to the text.
///
/// `None` for anything else: blanks or other bytes around the number, NaN, what is too great for an `f64`, and what is
/// not zero but would become it.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let Literal { negative, magnitude } = Literal::parse(text)?;
    let (is_zero, value) = match magnitude {
        Magnitude::Infinite => (false, f64::INFINITY),
        // The grammar is checked, and the standard library rounds decimals as exactly.
        Magnitude::Decimal(decimal) => {
            let value = std::str::from_utf8(text).ok()?.parse::<f64>().ok()?.abs();
            (decimal.digit_count() == 0, Some(value).filter(|value| value.is_finite())?)
        }
        Magnitude::Hex { significand, exponent, sticky } => {
            let rounded = DOUBLE.round(significand, exponent, sticky)?;
            (significand == 0, from_parts(rounded.significand, rounded.exponent))
        }
    };
    let underflow = value == 0.0 && !is_zero;
    (!underflow).then_some(if negative { -value } else { value })
}

/// Writes a double as Redis 8 does in replies: `3`, `0.1`, `1.5e-7`, `1e+20`, `inf`, `-inf`, `nan`, `-0`. The shortest
/// digits that read back as the same number; at most 25 bytes.
pub fn format_double(value: f64) -> String {
    const INTEGER_MAX: f64 = (i64::MAX / 2) as f64;
    if value.is_nan() {
        return "nan".to_string();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_string();
    }
    if value.trunc() == value && value.abs() <= INTEGER_MAX && value != 0.0 {
        return (value as i64).to_string();
    }
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let sign = if value.is_sign_negative() { "-" } else { "" };
    format!("{sign}{}", lay_out(&digits, exponent))
}

/// Sets the point or the exponent for a number of the form `d.ddd * 10^exponent`.
fn lay_out(digits: &str, exponent: i32) -> String {
    let count = digits.len() as i32;
    // The place of the last digit: 0 for the ones, -1 for the tenths.
    let last = exponent - (count - 1);
    if (0..8).contains(&last) {
        return format!("{digits}{}", "0".repeat(last as usize));
    }
    if last < 0 && (last > -7 || exponent.abs() < 4) {
        if exponent < 0 {
            return format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize));
        }
        let (integer, fraction) = digits.split_at((exponent + 1) as usize);
        return format!("{integer}.{fraction}");
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{first}{point}{rest}e{exponent:+}")
}

/// `significand * 2^exponent` with a full significand, or any and the exponent of the subnormals.
fn from_parts(significand: u64, exponent: i32) -> f64 {
    const FRACTION_BITS: u32 = DOUBLE.precision_bits - 1;
    if significand >> FRACTION_BITS == 0 {
        return f64::from_bits(significand);
    }
    let biased = (exponent - DOUBLE.exponent_min + 1) as u64;
    f64::from_bits(biased << FRACTION_BITS | significand & ((1 << FRACTION_BITS) - 1))
}
