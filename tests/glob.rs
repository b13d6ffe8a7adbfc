//! Patterns: tables, properties against a matcher that tries everything, hostile patterns, and the answers of a real Redis.
#![allow(clippy::unwrap_used)]

mod oracle;

use oracle::{Oracle, Random, Reply, command};
use pantry::glob::{glob_match, is_literal};
use proptest::prelude::*;
use std::time::Duration;

/// What a hostile pattern may take; unoptimized code is given more.
const HOSTILE_MAX: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 100 });

#[test]
fn patterns_match_as_documented() {
    #[rustfmt::skip]
    let table: &[(&str, &str, bool)] = &[
        ("", "", true), ("", "a", false), ("a", "", false), ("*", "", false), ("**", "", false), ("?", "", false),
        ("*", "a", true), ("**", "a", true), ("a*", "a", true), ("a**", "a", true), ("*a", "a", true), ("a*b", "ab", true),
        ("a*b", "a", false), ("a*a", "a", false), ("*a*", "a", true), ("a*b*c", "abbcc", true), ("a*b*c", "acb", false),
        ("h?llo", "hello", true), ("h?llo", "hllo", false), ("h*llo", "heeeello", true), ("*?", "a", true), ("*??", "a", false),
        ("h[ae]llo", "hallo", true), ("h[ae]llo", "hillo", false), ("h[^e]llo", "hallo", true), ("h[^e]llo", "hello", false),
        ("h[a-b]llo", "hbllo", true), ("[z-a]", "m", true), ("[a-z]", "M", false), ("[^a-z]", "M", true),
        ("[]", "a", false), ("[]", "]", false), ("[^]", "a", true), ("[^]a]", "xa]", true), ("[", "[", false), ("[^", "x", true),
        ("[abc", "c", true), ("[abc", "d", false), ("[^abc", "d", true), ("[a-", "-", true), ("[a-z", "m", true), ("a[", "a", false),
        ("[a-]", "^", true), ("[a-]", "-", false), ("[a-]x]", "bx", false), ("[--0]", ".", true), ("[a-c-e]", "-", true),
        ("[a-c-e]", "d", false), ("[\\]]", "]", true), ("[\\a-z]", "m", false), ("[\\a-z]", "-", true), ("[a-\\]]", "]", false),
        ("[\\", "\\", true), ("[\\]", "]", true), ("[\\]", "\\", false), ("[*]", "*", true), ("[*]", "a", false), ("[?]", "a", false),
        ("\\*", "*", true), ("\\*", "a", false), ("\\", "\\", true), ("a\\", "a\\", true), ("\\\\", "\\", true), ("\\a", "a", true),
        ("*\\", "a\\", true), ("*\\**", "a*b", true), ("*[*]", "a*", true), ("a*[b", "axb", true),
    ];
    for (pattern, text, matches) in table {
        assert_eq!(
            glob_match(pattern.as_bytes(), text.as_bytes(), false),
            *matches,
            "{pattern} on {text}"
        );
    }
    // Ranges compare signed bytes: 0xff is -1, so this one runs from -1 to 97.
    assert!(glob_match(b"[a-\xff]", b"A", false) && !glob_match(b"[a-\xff]", b"b", false));
}

#[test]
fn nocase_folds_as_redis_does() {
    #[rustfmt::skip]
    let table: &[(&str, &str, bool)] = &[
        ("HeLLo", "hEllO", true), ("h*O", "HELLo", true), ("[ABC]", "b", true), ("[abc]", "B", true), ("[a-c]", "B", true),
        ("[A-C]", "b", true), ("\\A", "a", true), ("[\\A]", "a", false), ("[\\A]", "A", true), ("[Z-a]", "m", false),
        ("*xYz*", "aaXyZaa", true), ("é", "É", false), ("[@-Z]", "m", true),
    ];
    for (pattern, text, matches) in table {
        assert_eq!(
            glob_match(pattern.as_bytes(), text.as_bytes(), true),
            *matches,
            "{pattern} on {text}"
        );
    }
}

#[test]
fn literals_are_told_apart() {
    for pattern in ["", "a", "user:1", "a]b^-", "\0"] {
        assert_eq!(is_literal(pattern.as_bytes()), Some(pattern.as_bytes()));
    }
    for pattern in ["*", "a*", "?", "a[", "\\a", "a\\"] {
        assert_eq!(is_literal(pattern.as_bytes()), None);
    }
}

#[test]
fn a_thousand_stars_and_no_more() {
    let text = b"a".repeat(3000);
    let mut pattern = b"*a".repeat(1000);
    assert!(glob_match(&pattern, &text, false));
    pattern.extend_from_slice(b"***");
    assert!(glob_match(&pattern, &text, false), "stars at the end match anything");
    pattern.extend_from_slice(b"a");
    assert!(!glob_match(&pattern, &text, false));
}

#[test]
fn hostile_patterns_are_answered_soon() {
    let text = b"a".repeat(50_000);
    let patterns = [
        format!("*{}b*", "a".repeat(25_000)),
        format!("*{}b*", "?".repeat(25_000)),
        format!("*{}?b*", "a".repeat(25_000)),
        format!("*{}b*", "[a]".repeat(25_000)),
        format!("*[{}]b*", "b".repeat(100_000)),
        format!("*[^{}]b*", "b".repeat(100_000)),
        format!("*[{}", "a-".repeat(50_000)),
        "[".repeat(100_000),
        "*[".repeat(50_000),
        "\\".repeat(100_000),
    ];
    for pattern in &patterns {
        assert_soon(pattern, &text);
    }
    assert_ne!(thread_time(), Duration::ZERO, "this kernel does not count");
}

/// The patterns of CVE-2022-36021 and CVE-2024-31228, and what is like them.
#[test]
fn stars_cost_nothing_even_on_huge_texts() {
    let text = b"a".repeat(1 << 20);
    let patterns = [
        format!("{}b", "a*".repeat(20)),
        format!("{}b", "a*".repeat(25_000)),
        format!("{}b", "a*".repeat(999)),
        "*?".repeat(50_000),
        format!("{}b", "*?".repeat(999)),
        format!("{}b", "*a?".repeat(999)),
        format!("{}*b", "?".repeat(50_000)),
        format!("*{}b", "a".repeat(25_000)),
    ];
    for pattern in &patterns {
        assert_soon(pattern, &text);
    }
}

fn assert_soon(pattern: &str, text: &[u8]) {
    for nocase in [false, true] {
        let start = thread_time();
        glob_match(pattern.as_bytes(), text, nocase);
        let taken = thread_time() - start;
        let name = &pattern[..pattern.len().min(12)];
        assert!(taken < HOSTILE_MAX, "{name}... took {taken:?} on {} bytes", text.len());
    }
}

/// What this thread has run so far: unlike the clock on the wall it does not count other work of the machine.
fn thread_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn long_but_honest_patterns_are_not_given_up() {
    let mut text = b"ab".repeat(500_000);
    text.extend_from_slice(b"ac");
    assert!(glob_match(b"*a[c-d]*", &text, false));
    assert!(glob_match(b"*aBAC", &text, true) && glob_match(b"*BAc*", &text, true));
    let needle = [b"*".as_slice(), &text[100_000..], b"*"].concat();
    assert!(glob_match(&needle, &text, false));
}

/// Tries every length for every star; everything else it leaves to patterns without stars.
fn naive_match(pieces: &[Piece], text: &[u8]) -> bool {
    match pieces {
        [] => text.is_empty(),
        [Piece::Star, rest @ ..] => (0..=text.len()).any(|len| naive_match(rest, &text[len..])),
        [piece, rest @ ..] => text
            .split_first()
            .is_some_and(|(byte, text)| piece.takes(*byte) && naive_match(rest, text)),
    }
}

#[derive(Clone, Debug)]
enum Piece {
    Star,
    Any,
    Byte(u8),
    Class(bool, Vec<u8>),
}

impl Piece {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Piece::Star => false,
            Piece::Any => true,
            Piece::Byte(own) => *own == byte,
            Piece::Class(negated, bytes) => bytes.contains(&byte) != *negated,
        }
    }

    fn write(&self, pattern: &mut Vec<u8>) {
        match self {
            Piece::Star => pattern.push(b'*'),
            Piece::Any => pattern.push(b'?'),
            Piece::Byte(byte) => pattern.extend([b'\\', *byte]),
            Piece::Class(negated, bytes) => {
                pattern.extend_from_slice(if *negated { b"[^" } else { b"[" });
                bytes.iter().for_each(|byte| pattern.extend([b'\\', *byte]));
                pattern.push(b']');
            }
        }
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let byte = || prop::sample::select(b"ab*]-^\\".to_vec());
    prop_oneof![
        2 => Just(Piece::Star),
        1 => Just(Piece::Any),
        3 => byte().prop_map(Piece::Byte),
        1 => (any::<bool>(), prop::collection::vec(byte(), 0..4)).prop_map(|(negated, bytes)| Piece::Class(negated, bytes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stars_find_a_match_when_there_is_one(pieces in prop::collection::vec(piece(), 0..10), text in "[ab*\\]\\-^\\\\]{1,12}") {
        let mut pattern = Vec::new();
        pieces.iter().for_each(|piece| piece.write(&mut pattern));
        prop_assert_eq!(glob_match(&pattern, text.as_bytes(), false), naive_match(&pieces, text.as_bytes()));
    }

    #[test]
    fn any_bytes_match_without_panic(pattern: Vec<u8>, text: Vec<u8>, nocase: bool) {
        glob_match(&pattern, &text, nocase);
    }

    #[test]
    fn a_literal_matches_itself_only(text in "[a-c]{0,3}", other in "[a-c]{0,3}") {
        let literal = is_literal(text.as_bytes()).unwrap();
        prop_assert_eq!(glob_match(literal, other.as_bytes(), false), text == other);
    }
}

/// Mostly specials, so that odd classes come up often.
fn random_pattern(random: &Random, alphabet: &[u8]) -> Vec<u8> {
    let len = random.below(13);
    if random.below(3) == 0 {
        return random.bytes(alphabet, len);
    }
    let mut pattern = Vec::new();
    for _ in 0..1 + random.below(6) {
        match random.below(6) {
            0 => pattern.push(b'*'),
            1 => pattern.push(b'?'),
            2 => {
                pattern.extend_from_slice(random.pick(&[b"[".as_slice(), b"[^"]));
                pattern.extend(random.bytes(alphabet, random.below(6)));
                pattern.extend_from_slice(random.pick(&[b"]".as_slice(), b"]", b"]", b""]));
            }
            _ => pattern.push(random.pick(alphabet)),
        }
    }
    pattern
}

fn sorted(reply: Reply) -> Vec<Vec<u8>> {
    let Reply::Array(items) = reply else { panic!("no array: {reply:?}") };
    let text = |reply| match reply {
        Reply::Bulk(Some(text)) => text,
        other => panic!("no text: {other:?}"),
    };
    let mut texts: Vec<_> = items.into_iter().map(text).collect();
    texts.sort();
    texts
}

/// Asks for each pattern which of the texts match, and compares with ours. Returns the number of matches.
fn compare(
    oracle: &mut Oracle,
    patterns: &[Vec<u8>],
    texts: &[Vec<u8>],
    ask: &[&[u8]],
    nocase: bool,
) -> usize {
    let commands: Vec<_> =
        patterns.iter().map(|pattern| command(&[ask, &[pattern]].concat())).collect();
    let mut matches = 0;
    for (pattern, reply) in patterns.iter().zip(oracle.pipeline(&commands)) {
        // KEYS and COMMAND LIST differ here: KEYS takes a lone star for "all".
        let all = !nocase && pattern == b"*";
        let mut ours: Vec<_> =
            texts.iter().filter(|text| all || glob_match(pattern, text, nocase)).cloned().collect();
        ours.sort();
        matches += ours.len();
        assert_eq!(ours, sorted(reply), "{}", pattern.escape_ascii());
    }
    matches
}

#[test]
fn keys_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let random = Random::new(11);
    let (mut compared, mut matches) = (0, 0);
    let alphabets: [&[u8]; 5] =
        [b"ab*?[]^-\\", b"ab*", b"abcdAB[]^-*", b"a\0\x7f\x80\xfe\xff[]-*^\\", b"aAzZ@[\\]^_`{-*?"];
    for round in 0..150 {
        let alphabet = alphabets[round % alphabets.len()];
        let mut texts: Vec<_> = (0..60).map(|_| random.bytes(alphabet, random.below(8))).collect();
        texts.extend((0..20).map(|_| random.bytes(b"ab", random.below(8))));
        texts.sort();
        texts.dedup();
        oracle.run(&[b"FLUSHALL"]);
        oracle
            .pipeline(&texts.iter().map(|text| command(&[b"SET", text, b""])).collect::<Vec<_>>());
        let patterns: Vec<_> = (0..200).map(|_| random_pattern(&random, alphabet)).collect();
        matches += compare(&mut oracle, &patterns, &texts, &[b"KEYS"], false);
        compared += patterns.len() * texts.len();
    }
    eprintln!("KEYS: 30000 patterns, {compared} pairs equal to Redis, {matches} of them matches");
    assert!(matches > compared / 50, "too few matches");
}

#[test]
fn nocase_is_that_of_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let random = Random::new(12);
    let names = sorted(oracle.run(&[b"COMMAND", b"LIST"]));
    let alphabet = b"eEtTsSxXgG-[]^*?\\Zaz@";
    let patterns: Vec<_> = (0..5000)
        .map(|_| {
            let mut pattern = random_pattern(&random, alphabet);
            if random.below(2) == 0 {
                // Most names are longer than what random patterns match.
                pattern.push(b'*');
            }
            pattern
        })
        .collect();
    let ask: [&[u8]; 4] = [b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN"];
    let matches = compare(&mut oracle, &patterns, &names, &ask, true);
    let compared = patterns.len() * names.len();
    eprintln!(
        "nocase: {} patterns, {compared} pairs equal to Redis, {matches} of them matches",
        patterns.len()
    );
    assert!(matches > compared / 100, "too few matches");
}

#[test]
fn many_stars_are_as_in_redis() {
    let Some(mut oracle) = Oracle::start() else { return };
    let text = b"a".repeat(1100);
    oracle.run(&[b"SET", &text, b""]);
    for stars in [1, 2, 10, 998, 999, 1000, 1001, 1002, 1050] {
        for end in [b"".as_slice(), b"*", b"***", b"**a"] {
            let pattern = [b"*a".repeat(stars).as_slice(), end].concat();
            compare(&mut oracle, &[pattern], std::slice::from_ref(&text), &[b"KEYS"], false);
        }
    }
}
