//! Numbers compared with a real Redis, tens of thousands of cases per test. The server's own commands are not tested
//! here, only what they are made of.
#![allow(clippy::unwrap_used)]

mod oracle;

use oracle::{Oracle, Random, Reply, command};
use pantry::number::{
    FloatError, LONG_DOUBLE_TEXT_LEN_MAX_BYTES, LongDouble, incr_by_float, parse_f64, parse_i64,
    parse_u64,
};

const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const NOT_A_FLOAT: &str = "ERR value is not a valid float";
const NAN_OR_INFINITY: &str = "ERR increment would produce NaN or Infinity";

/// Spellings of numbers at the edges of the format and of the grammar.
#[rustfmt::skip]
const ODD_SPELLINGS: &[&str] = &[
    "", " ", "0", "-0", "+0", "00", "-00.00", "+1", "1.", ".5", ".", "-.5", "+.5", "-.", "1..", "1.5.", " 1", "1 ",
    "\t1", "1\n", "\x0b1", "1\0", "\x001", "1\x002", "1e", "1e+", "1e-", "e5", "1E5", "1e+5", "1e-5", "1e05", "1e 5",
    "1e5.0", "1ee5", "1e5e5", "--1", "+-1", "-+1", "++1", "1-", "1+1", "1,5", "1_0", "1f", "1L", "1d0", "0b1", "0o7",
    "017", "inf", "INF", "+inf", "-inf", "-INF", "iNf", "infinity", "INFINITY", "-Infinity", "+infinity", "infi",
    "infinit", "infinityy", "inf ", " inf", "inff", "nan", "NaN", "-nan", "+nan", "nan()", "nan(1)", "nan(",
    "nan(0x1)", "nano", "0x", "0X", "0x1", "0X1F", "0xg", "-0x10", "+0x10", "0x.", "0x.8", "0x8.", "0x.p1", "0x1p",
    "0x1p+", "0x1p4", "0x1P-4", "0x1p+4", "0x1e5", "0x1.8p1", "0x1.8.", "0x 1", "x1", "0x0p99999999999999999999",
    "0x0", "-0x0", "0x1p99999999999999", "0x1p-99999999999999999999", "0x1.fffffffffffffffep16383",
    "0x1.ffffffffffffffffp16383", "0x1.fffffffffffffffefp16383", "0x1p16384", "-0x1p16384", "0x1p16383",
    "0x1p-16445", "0x1p-16446", "0x1.8p-16446", "0x1.0000000000000000001p-16446", "0x1p-16447",
    "0x1.00000000001p-16446", "0x3p-16446", "0x1p-16382", "0x.8p-16382", "0x1.fffffffffffffffep-16383", "1e4931",
    "1e4932", "1.1e4932", "1.18973149535723176502e4932", "1.18973149535723176503e4932", "1.2e4932", "1e4933",
    "-1e4933", "1e-4930", "1e-4950", "1e-4951", "3.6e-4951", "1.8e-4951", "1.9e-4951", "1.82e-4951", "1.83e-4951",
    "1e-4952", "1e-5000", "0e99999999999999999999", "0e-99999999999999999999", "0.0e5000",
    "1e99999999999999999999999", "1e-99999999999999999999999", "-1e-99999", "1e2147483647", "1e2147483648",
    "1e-2147483649", "1e9223372036854775807", "1e9223372036854775808", "1e-9223372036854775809",
    "1e00000000000000000000000000000000000000001", "9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "18446744073709551615", "18446744073709551616", "18446744073709551617",
    "36893488147419103231", "36893488147419103233", "36893488147419103235", "0.00000000000000000499999",
    "0.000000000000000005", "0.000000000000000015", "0.5", "0.99999999999999999", "0.999999999999999995",
    "0.9999999999999999999", "-0.000000000000000004", "-0.000000000000000006", "1e-17", "1e-18", "3.0e3", "1e308",
    "1.7e308", "1e15", "1e16", "1e17", "1e18", "1e19", "1e20", "1e21", "abc", "\u{661}", "1\u{a0}",
];

/// A number of any magnitude, in any spelling; now and then something that is none.
fn random_float(random: &Random) -> Vec<u8> {
    let sign = random.pick(&["", "", "", "-", "-", "+"]);
    let text = match random.below(48) {
        0 => random.pick(ODD_SPELLINGS).to_string(),
        1..=6 => random_decimal(random, 8, 8, 0),
        7..=10 => random_decimal(random, 25, 25, 30),
        11..=14 => random_decimal(random, 12, 45, 400),
        15 => random_decimal(random, 12, 12, 4990),
        16 => random_decimal(random, 700, 700, 5500),
        // Halfway between two numbers of 64 bits: odd, 65 bits long, and times a power of two.
        17 => {
            let odd = 1u128 << 64 | u128::from(random.next()) | 1;
            let text = (odd << random.below(62)).to_string();
            format!(
                "{text}{}",
                random.pick(&["", ".", ".5", ".0000000000000000000000000000000000000001"])
            )
        }
        // Halfway between two texts with 17 digits after the point.
        18 => {
            let bits = random.below(46);
            format!("0x{:x}p-{}", random.next() >> (63 - bits), random.between(16, 20))
        }
        19..=21 => {
            let digits = random.bytes(b"0123456789abcdefABCDEF", 1 + random.below(30));
            let digits = String::from_utf8(digits).unwrap();
            let (integer, fraction) = digits.split_at(random.below(digits.len() + 1));
            let exponent = random.pick(&[20, 20, 100, 16_500]);
            format!("0x{integer}.{fraction}p{}", random.between(-exponent, exponent))
        }
        22..=42 => random_decimal(random, 12, 12, 20),
        _ => return mutated(random),
    };
    format!("{sign}{text}").into_bytes()
}

fn random_decimal(
    random: &Random,
    integer_max: usize,
    fraction_max: usize,
    exponent_max: i64,
) -> String {
    let (integer_len, fraction_len) =
        (random.below(integer_max + 1), random.below(fraction_max + 1));
    let alphabet = random.pick(&[b"0123456789".as_slice(), b"0123456789", b"09", b"0001"]);
    let mut text = String::from_utf8(random.bytes(alphabet, integer_len)).unwrap();
    if fraction_len > 0 {
        text.push('.');
        text.push_str(std::str::from_utf8(&random.bytes(alphabet, fraction_len)).unwrap());
    }
    if exponent_max > 0 && random.below(3) > 0 {
        // Mostly such that the number itself stays in range.
        let exponent = random.between(-exponent_max, exponent_max) - integer_len as i64;
        text.push_str(&format!("e{exponent}"));
    }
    text
}

/// A number with one byte too many, too few or different.
fn mutated(random: &Random) -> Vec<u8> {
    let mut text = match random.below(3) {
        0 => random.pick(ODD_SPELLINGS).to_string(),
        1 => random_decimal(random, 5, 5, 20),
        _ => return random.bytes(b"0123456789+-.eExXpPinfa ", random.below(8)),
    }
    .into_bytes();
    let byte = random.pick(b"0123456789+-.eExXpPinfatyINF \t\n\0_,()\xff");
    let at = random.below(text.len() + 1);
    match random.below(3) {
        0 => text.insert(at, byte),
        1 if at < text.len() => text[at] = byte,
        _ if at < text.len() => drop(text.remove(at)),
        _ => text.push(byte),
    }
    text
}

/// What the command INCRBYFLOAT is to answer.
fn incr_by_float_reply(current: Option<&[u8]>, increment: &[u8]) -> Reply {
    match incr_by_float(current, increment) {
        Ok(sum) => Reply::Bulk(Some(sum.into_bytes())),
        Err(FloatError::NotAFloat) => Reply::Error(NOT_A_FLOAT.to_string()),
        Err(FloatError::NanOrInfinity) => Reply::Error(NAN_OR_INFINITY.to_string()),
    }
}

/// What the command HINCRBYFLOAT is to answer.
fn hincr_by_float_reply(current: &[u8], increment: &[u8]) -> Reply {
    let error = |text: &str| Reply::Error(text.to_string());
    let Some(increment) = LongDouble::parse(increment) else { return error(NOT_A_FLOAT) };
    if increment.is_infinite() {
        return error("ERR value is NaN or Infinity");
    }
    let Some(current) = LongDouble::parse(current) else {
        return error("ERR hash value is not a float");
    };
    match current.checked_add(increment) {
        Some(sum) => Reply::Bulk(Some(sum.to_text().into_bytes())),
        None => error(NAN_OR_INFINITY),
    }
}

/// Runs INCRBYFLOAT and HINCRBYFLOAT for each pair and compares both replies, and what is stored.
/// Returns how many replies were compared, and how many of them were sums.
fn compare_pairs(oracle: &mut Oracle, pairs: &[(Vec<u8>, Vec<u8>)]) -> (usize, usize) {
    let mut sums = 0;
    for chunk in pairs.chunks(500) {
        let commands = chunk.iter().flat_map(|(current, increment)| {
            [
                command(&[b"SET", b"k", current]),
                command(&[b"INCRBYFLOAT", b"k", increment]),
                command(&[b"GET", b"k"]),
                command(&[b"HSET", b"h", b"f", current]),
                command(&[b"HINCRBYFLOAT", b"h", b"f", increment]),
            ]
        });
        let replies = oracle.pipeline(&commands.collect::<Vec<_>>());
        for ((current, increment), replies) in chunk.iter().zip(replies.chunks(5)) {
            let context = || {
                format!(
                    "{:?} + {:?}",
                    current.escape_ascii().to_string(),
                    increment.escape_ascii().to_string()
                )
            };
            let ours = incr_by_float_reply(Some(current), increment);
            assert_eq!(ours, replies[1], "INCRBYFLOAT {}", context());
            if let Reply::Bulk(_) = ours {
                sums += 2;
                assert_eq!(ours, replies[2], "GET after INCRBYFLOAT {}", context());
            }
            assert_eq!(
                hincr_by_float_reply(current, increment),
                replies[4],
                "HINCRBYFLOAT {}",
                context()
            );
        }
    }
    (pairs.len() * 2, sums)
}

#[test]
fn random_increments_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let random = Random::new(1);
    let pairs: Vec<_> =
        (0..40_000).map(|_| (random_float(&random), random_float(&random))).collect();
    let (compared, sums) = compare_pairs(&mut oracle, &pairs);
    eprintln!("increments: {compared} replies equal to those of Redis, {sums} of them sums");
    assert!(sums > compared / 2, "too few sums");
}

#[test]
fn odd_increments_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let bytes = |text: &str| text.as_bytes().to_vec();
    let mut pairs = Vec::new();
    for (index, odd) in ODD_SPELLINGS.iter().enumerate() {
        let increments = ODD_SPELLINGS.iter().skip(index % 7).step_by(7);
        pairs.extend(increments.map(|increment| (bytes(odd), bytes(increment))));
    }
    for len in LONG_DOUBLE_TEXT_LEN_MAX_BYTES - 2..=LONG_DOUBLE_TEXT_LEN_MAX_BYTES + 2 {
        for (start, digit) in [
            ("1.", "0"),
            ("0.", "3"),
            ("0x", "0"),
            ("0x.", "f"),
            ("", "0"),
            (" ", "0"),
            ("1", "\0"),
        ] {
            let long = format!("{start}{}", digit.repeat(len - start.len()));
            pairs.extend([(bytes(&long), bytes("1")), (bytes("1"), bytes(&long))]);
        }
        for exponent in [-5200, -4000, -1, 0, 1, 4000, 5200] {
            let end = format!("e{exponent}");
            for (start, digit) in [("0.", "7"), ("0.", "0"), ("", "9"), ("", "0")] {
                let long =
                    format!("{start}{}7{end}", digit.repeat(len - start.len() - 1 - end.len()));
                pairs.extend([(bytes(&long), bytes("0")), (bytes("1"), bytes(&long))]);
            }
        }
    }
    let (compared, sums) = compare_pairs(&mut oracle, &pairs);
    eprintln!("odd spellings: {compared} replies equal to those of Redis, {sums} of them sums");
}

#[test]
fn accumulated_increments_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let random = Random::new(2);
    let mut compared = 0;
    for _ in 0..40 {
        let exponent_max = random.pick(&[0, 3, 20, 400]);
        let increments: Vec<_> = (0..250)
            .map(|_| {
                format!(
                    "{}{}",
                    random.pick(&["", "-"]),
                    random_decimal(&random, 4, 6, exponent_max)
                )
            })
            .collect();
        let commands = increments
            .iter()
            .map(|increment| command(&[b"INCRBYFLOAT", b"sum", increment.as_bytes()]));
        let replies = oracle.pipeline(&commands.collect::<Vec<_>>());
        let mut current: Option<Vec<u8>> = None;
        for (increment, reply) in increments.iter().zip(replies) {
            let ours = incr_by_float_reply(current.as_deref(), increment.as_bytes());
            assert_eq!(ours, reply, "{current:?} + {increment}");
            if let Reply::Bulk(sum) = ours {
                current = sum;
            }
            compared += 1;
        }
        oracle.run(&[b"DEL", b"sum"]);
    }
    eprintln!("accumulated increments: {compared} replies equal to those of Redis");
}

/// Integers and what looks like them.
fn random_integer(random: &Random) -> Vec<u8> {
    let edges = [
        i64::MAX as i128,
        i64::MIN as i128,
        u64::MAX as i128,
        i32::MAX as i128,
        0,
        10i128.pow(19),
        10i128.pow(18),
    ];
    match random.below(6) {
        0 => (random.pick(&edges) + i128::from(random.between(-3, 3))).to_string().into_bytes(),
        1 => ((random.next() as i64) >> random.below(64)).to_string().into_bytes(),
        2 => random.next().to_string().into_bytes(),
        3 => random.bytes(b"0123456789", random.below(24)),
        4 => random.bytes(b"0011-+ 9", random.below(5)),
        _ => mutated(random),
    }
}

#[test]
fn integers_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let random = Random::new(3);
    let mut texts: Vec<_> = ODD_SPELLINGS.iter().map(|text| text.as_bytes().to_vec()).collect();
    texts.extend((0..30_000).map(|_| random_integer(&random)));
    for chunk in texts.chunks(1000) {
        let commands = chunk.iter().flat_map(|text| {
            [
                command(&[b"SET", b"k", text]),
                command(&[b"INCRBY", b"k", b"0"]),
                command(&[b"DEL", b"k"]),
                command(&[b"INCRBY", b"k", text]),
            ]
        });
        let replies = oracle.pipeline(&commands.collect::<Vec<_>>());
        for (text, replies) in chunk.iter().zip(replies.chunks(4)) {
            let ours =
                parse_i64(text).map_or(Reply::Error(NOT_AN_INTEGER.to_string()), Reply::Integer);
            assert_eq!(
                ours,
                replies[1],
                "INCRBY on the value {:?}",
                text.escape_ascii().to_string()
            );
            assert_eq!(ours, replies[3], "INCRBY by {:?}", text.escape_ascii().to_string());
        }
    }
    eprintln!("integers: {} replies equal to those of Redis", texts.len() * 2);
}

/// Redis 7 reads a cursor as C's `strtoul` does, without blanks before it; Redis 8 reads one as [`parse_u64`] does. What
/// one of them takes by accident is left out: minus signs, zero bytes, and the empty text.
#[test]
fn cursors_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let random = Random::new(4);
    let mut texts: Vec<_> = ODD_SPELLINGS.iter().map(|text| text.as_bytes().to_vec()).collect();
    texts.extend((0..20_000).map(|_| random_integer(&random)));
    texts.retain(|text| {
        let blank_first =
            text.first().is_none_or(|byte| byte.is_ascii_whitespace() || *byte == 0x0b);
        !blank_first && !text.contains(&0) && !text.contains(&b'-')
    });
    let commands: Vec<_> = texts.iter().map(|text| command(&[b"SCAN", text])).collect();
    for (text, reply) in texts.iter().zip(oracle.pipeline(&commands)) {
        let accepted = reply != Reply::Error("ERR invalid cursor".to_string());
        assert_eq!(
            parse_u64(text).is_some(),
            accepted,
            "SCAN {:?}",
            text.escape_ascii().to_string()
        );
    }
    eprintln!("cursors: {} replies equal to those of Redis", texts.len());
}

#[test]
fn doubles_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let random = Random::new(5);
    let mut texts: Vec<_> = ODD_SPELLINGS.iter().map(|text| text.as_bytes().to_vec()).collect();
    texts.extend((0..30_000).map(|_| match random.below(3) {
        // Halfway between two doubles: odd and 54 bits long.
        0 => {
            let odd = 1u128 << 53 | u128::from(random.next() >> 11) | 1;
            (odd << random.below(70)).to_string().into_bytes()
        }
        1 => random_decimal(&random, 20, 20, 340).into_bytes(),
        _ => random_float(&random),
    }));
    // These two are options here.
    texts.retain(|text| !text.eq_ignore_ascii_case(b"nx") && !text.eq_ignore_ascii_case(b"xx"));
    for chunk in texts.chunks(1000) {
        let commands = chunk
            .iter()
            .flat_map(|text| [command(&[b"ZINCRBY", b"z", text, b"m"]), command(&[b"DEL", b"z"])]);
        let replies = oracle.pipeline(&commands.collect::<Vec<_>>());
        for (text, replies) in chunk.iter().zip(replies.chunks(2)) {
            let theirs = match &replies[0] {
                Reply::Bulk(Some(score)) => {
                    Some(std::str::from_utf8(score).unwrap().parse::<f64>().unwrap())
                }
                refused => {
                    assert_eq!(*refused, Reply::Error(NOT_A_FLOAT.to_string()));
                    None
                }
            };
            let ours = parse_f64(text);
            assert_eq!(
                ours.map(f64::to_bits),
                theirs.map(f64::to_bits),
                "ZINCRBY {:?}",
                text.escape_ascii().to_string()
            );
        }
    }
    eprintln!("doubles: {} replies equal to those of Redis", texts.len());
}
