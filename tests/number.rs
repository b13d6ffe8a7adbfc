//! Numbers: tables and properties. The comparison with a real Redis is in number_redis.rs.
#![allow(clippy::unwrap_used)]

use pantry::number::{
    FloatError, LONG_DOUBLE_TEXT_LEN_MAX_BYTES, LongDouble, format_double, incr_by_float,
    parse_f64, parse_i64, parse_u64,
};
use proptest::prelude::*;

#[test]
fn integers_are_strict() {
    for text in [
        "0",
        "1",
        "-1",
        "10",
        "9223372036854775807",
        "-9223372036854775808",
        "-1000000000000000000",
    ] {
        assert_eq!(parse_i64(text.as_bytes()), Some(text.parse().unwrap()), "{text}");
    }
    let refused = [
        "",
        "-",
        "+",
        "+1",
        "-0",
        "00",
        "01",
        "-01",
        " 1",
        "1 ",
        "1\n",
        "1\0",
        "0x1",
        "1.0",
        "1e3",
        "--1",
        "abc",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999",
        "٣",
        "100000000000000000000000000000000000000000",
    ];
    for text in refused {
        assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn cursors_are_lenient() {
    let accepted = [
        ("0", 0),
        ("17", 17),
        ("007", 7),
        ("+7", 7),
        (" \t\n\x0b\x0c\r7", 7),
        ("18446744073709551615", u64::MAX),
        ("000000000000000000000000018446744073709551615", u64::MAX),
    ];
    for (text, value) in accepted {
        assert_eq!(parse_u64(text.as_bytes()), Some(value), "{text:?}");
    }
    for text in
        ["", " ", "+", "-1", "-0", "++1", "+ 1", "7 ", "7\0", "0x7", "18446744073709551616", "1e3"]
    {
        assert_eq!(parse_u64(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn sums_print_what_people_expect() {
    let huge = format!("1{}", "0".repeat(308));
    let sums: &[(Option<&str>, &str, &str)] = &[
        (Some("0.1"), "0.2", "0.3"),
        (None, "1", "1"),
        (Some("3.0e3"), "0", "3000"),
        (Some("10.50"), "0.1", "10.6"),
        (Some("5.0e3"), "2.0e2", "5200"),
        (Some("1"), "-1", "0"),
        (Some("-0"), "-0", "0"),
        (Some("-1e-30"), "0", "0"),
        (Some("0x10"), "0X.8p1", "17"),
        (Some("1e17"), "0.1", "100000000000000000.1015625"),
        (Some("9223372036854775807"), "1", "9223372036854775808"),
        (Some("18446744073709551615"), "0.5", "18446744073709551616"),
        (Some("18446744073709551616"), "1", "18446744073709551616"),
    ];
    for (current, increment, sum) in sums {
        let text = incr_by_float(current.map(str::as_bytes), increment.as_bytes());
        assert_eq!(text.as_deref(), Ok(*sum), "{current:?} + {increment}");
    }
    assert_eq!(incr_by_float(Some(b"1e308"), b"1.7e308").unwrap().len(), 309);
    assert_ne!(incr_by_float(Some(b"1e308"), b"0").unwrap(), huge, "1e308 is not a binary number");
}

#[test]
fn floats_that_cannot_be_incremented() {
    let sum = |current: &str, increment: &str| {
        incr_by_float(Some(current.as_bytes()), increment.as_bytes())
    };
    for text in [
        "", " 1", "1 ", "nan", "-NaN", "nan(1)", "1e", "1e+", ".", "0x", "0x.p1", "1e4933",
        "1e-5000", "1,5",
    ] {
        assert_eq!(sum(text, "1"), Err(FloatError::NotAFloat), "{text:?}");
        assert_eq!(sum("1", text), Err(FloatError::NotAFloat), "{text:?}");
    }
    for (current, increment) in
        [("inf", "1"), ("1", "-Infinity"), ("inf", "-inf"), ("1e4932", "1.1e4932")]
    {
        assert_eq!(
            sum(current, increment),
            Err(FloatError::NanOrInfinity),
            "{current} + {increment}"
        );
    }
    let longest = format!("1.{}", "0".repeat(LONG_DOUBLE_TEXT_LEN_MAX_BYTES - 2));
    assert_eq!(sum(&longest, "1").as_deref(), Ok("2"));
    assert_eq!(sum(&format!("{longest}0"), "1"), Err(FloatError::NotAFloat));
}

#[test]
fn the_greatest_long_double_prints_all_its_digits() {
    let text = LongDouble::parse(b"-0x1.fffffffffffffffep16383").unwrap().to_text();
    assert_eq!(text.len(), 4934);
    assert!(text.starts_with("-118973149535723176502126385303"), "{text}");
    assert!(text.ends_with("444156604419552086811989770240"), "{text}");
}

/// Redis refuses the first of these where its C library misrounds some subnormals (glibc before 2.40).
#[test]
fn half_of_the_least_number_is_refused_and_more_is_not() {
    for text in ["0x1.0000000000000001p-16446", "0x1p-16445", "0x3p-16447", "1.83e-4951"] {
        assert!(LongDouble::parse(text.as_bytes()).is_some(), "{text}");
    }
    for text in ["0x1p-16446", "0x.ffffffffffffffffffffp-16446", "1.82e-4951", "-1e-99999"] {
        assert!(LongDouble::parse(text.as_bytes()).is_none(), "{text}");
    }
}

#[test]
fn doubles_print_as_redis_8_prints_them() {
    #[rustfmt::skip]
    let table: &[(f64, &str)] = &[
        (0.0, "0"), (-0.0, "-0"), (3.0, "3"), (-17.0, "-17"), (0.1, "0.1"), (2.125, "2.125"), (-1.5, "-1.5"),
        (4.611686018427388e18, "4611686018427387904"), (4.7e18, "4.7e+18"),
        (1.2345678901234567e19, "12345678901234567000"), (1e20, "1e+20"), (1e100, "1e+100"), (1e21, "1e+21"),
        (1.5e-7, "1.5e-7"), (1e-5, "0.00001"), (1e-6, "0.000001"), (1e-7, "1e-7"), (1.25e-5, "1.25e-5"),
        (1.23456e-5, "1.23456e-5"), (0.00012345678, "1.2345678e-4"), (0.0012345678, "0.0012345678"),
        (123.4567890123, "123.4567890123"), (12345.678901234567, "1.2345678901234567e+4"), (1e-300, "1e-300"),
        (f64::MAX, "1.7976931348623157e+308"), (5e-324, "5e-324"), (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"), (f64::NAN, "nan"),
    ];
    for (value, text) in table {
        assert_eq!(format_double(*value), *text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn integers_read_back(value: i64, unsigned: u64) {
        prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        prop_assert_eq!(parse_u64(unsigned.to_string().as_bytes()), Some(unsigned));
    }

    #[test]
    fn integers_are_read_only_from_their_own_text(text in "[-+ 0-9]{0,22}") {
        let canonical = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
        prop_assert_eq!(parse_i64(text.as_bytes()), canonical);
    }

    #[test]
    fn any_bytes_are_read_without_panic(text: Vec<u8>) {
        parse_i64(&text);
        parse_u64(&text);
        parse_f64(&text);
        let _ = incr_by_float(Some(&text), &text);
    }

    #[test]
    fn doubles_read_back(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(!value.is_nan());
        let text = format_double(value);
        prop_assert!(text.len() <= 25, "{}", text);
        prop_assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), Some(bits));
    }

    #[test]
    fn sums_of_integers_are_exact(a in -(1i64 << 62)..1 << 62, b in -(1i64 << 62)..1 << 62) {
        let sum = incr_by_float(Some(a.to_string().as_bytes()), b.to_string().as_bytes());
        prop_assert_eq!(sum, Ok((a + b).to_string()));
    }

    #[test]
    fn a_printed_sum_can_be_incremented_again(a in "-?[0-9]{1,20}(\\.[0-9]{1,20})?(e-?[0-9]{1,3})?") {
        let text = incr_by_float(None, a.as_bytes()).unwrap();
        let again = incr_by_float(Some(text.as_bytes()), b"0").unwrap();
        prop_assert_eq!(&again, &text);
        let negated = text.strip_prefix('-').map_or(format!("-{text}"), str::to_string);
        prop_assert_eq!(incr_by_float(Some(text.as_bytes()), negated.as_bytes()).unwrap(), "0");
    }
}
