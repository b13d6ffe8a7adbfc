//! Numbers as JavaScript prints and reads them: Butler coerces keys, values and TTLs that way.
//!
//! Not for the Redis door, whose numbers have Redis's own forms.

/// `n` as `String(n)` gives it: shortest digits, an exponent from 1e21 on and below 1e-6.
pub(super) fn print(n: f64) -> String {
    if n == 0.0 {
        return "0".to_owned();
    }
    if !n.is_finite() {
        return if n.is_nan() {
            "NaN"
        } else if n > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    // The shortest form says how many digits are needed. Where two such numbers are equally near, it
    // takes the larger, and JavaScript the even one, as rounding to that many digits does.
    let shortest = format!("{:e}", n.abs());
    let places = shortest.find('e').map_or(0, |end| end.saturating_sub(2));
    let scientific = format!("{:.places$e}", n.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    // How many of the digits stand before the point; may be negative or beyond the last digit.
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let sign = if n < 0.0 { "-" } else { "" };
    format!("{sign}{}", place_point(&digits, point))
}

fn place_point(digits: &str, point: i32) -> String {
    let len = digits.len() as i32;
    if (len..=21).contains(&point) {
        return format!("{digits}{}", "0".repeat((point - len) as usize));
    }
    if (1..=21).contains(&point) {
        let (whole, fraction) = digits.split_at(point as usize);
        return format!("{whole}.{fraction}");
    }
    if (-5..=0).contains(&point) {
        return format!("0.{}{digits}", "0".repeat(-point as usize));
    }
    let (first, rest) = digits.split_at(1);
    let dot = if rest.is_empty() { "" } else { "." };
    format!("{first}{dot}{rest}e{:+}", point - 1)
}

/// The number that `Number(text)` gives; `None` for NaN. May be infinite.
pub(super) fn read(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_blank);
    if text.is_empty() {
        return Some(0.0);
    }
    for (prefixes, radix) in [(["0x", "0X"], 16), (["0o", "0O"], 8), (["0b", "0B"], 2)] {
        if let Some(digits) = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            return read_radix(digits, radix);
        }
    }
    match text.strip_prefix(['+', '-']).unwrap_or(text) {
        "Infinity" if text.starts_with('-') => Some(f64::NEG_INFINITY),
        "Infinity" => Some(f64::INFINITY),
        // Rust also reads "inf" and "nan" in any case; JavaScript does not.
        unsigned if unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)) => {
            text.parse().ok()
        }
        _ => None,
    }
}

fn read_radix(digits: &str, radix: u32) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits
        .chars()
        .try_fold(0.0, |sum, c| Some(sum * f64::from(radix) + f64::from(c.to_digit(radix)?)))
}

/// What JavaScript trims: U+FEFF too, but not U+0085.
fn is_blank(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_javascript_prints() {
        for (n, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-12.5, "-12.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e22, "1.5e+22"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (f64::from_bits(0x430f_32f4_a967_cafa), "1097718834198879.2"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (12_345_678_901_234_567_890.0, "12345678901234567000"),
            (123_456.789e3, "123456789"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(print(n), text);
        }
    }

    #[test]
    fn reads_what_javascript_reads() {
        for (text, n) in [
            ("5000", 5000.0),
            (" 5\n", 5.0),
            ("\u{feff}5\u{a0}", 5.0),
            ("", 0.0),
            ("  ", 0.0),
            ("1e3", 1000.0),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("-0x10", f64::NAN),
            ("0x10", 16.0),
            ("0XfF", 255.0),
            ("0o17", 15.0),
            ("0b101", 5.0),
            ("Infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e400", f64::INFINITY),
        ] {
            assert_eq!(read(text).unwrap_or(f64::NAN).to_string(), n.to_string(), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in [
            "abc", "inf", "infinity", "nan", "NaN", "1_000", "1,000", "5ms", ".", "1e", "0x",
            "0xg", "+", "\u{85}5",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_as_the_same_number(n in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            proptest::prop_assert_eq!(read(&print(n)), Some(n));
        }
    }
}
