//! What the parser costs: time linear in the bytes, memory by bytes received and not by lengths declared.
//! `cargo test --release --test resp_request -- --ignored --nocapture speed` prints nanoseconds per command.

use super::encode;
use pantry::resp::request::{Limits, Parsed, RequestParser};
use std::hint::black_box;
use std::time::{Duration, Instant};

const IDLE_HEAP_MAX_BYTES: usize = 1536;

/// Parses one request that arrives in reads of `step` bytes; the buffer is never copied.
fn parse_in_steps(
    parser: &mut RequestParser,
    bytes: &[u8],
    step: usize,
    limits: &Limits,
) -> Duration {
    let start = Instant::now();
    let mut end = 0;
    loop {
        end = (end + step).min(bytes.len());
        match parser.parse(&bytes[..end], limits).unwrap() {
            Parsed::Request { consumed } => {
                assert_eq!((consumed, end), (bytes.len(), bytes.len()));
                return start.elapsed();
            }
            Parsed::Incomplete { consumed, .. } => {
                assert_eq!((consumed, end < bytes.len()), (0, true))
            }
        }
    }
}

fn drain(parser: &mut RequestParser) {
    let limits = Limits::default();
    assert_eq!(
        parser.parse(b"", &limits),
        Ok(Parsed::Incomplete { consumed: 0, need_at_least: 1 })
    );
}

#[test]
fn a_million_arguments_in_pieces_take_linear_time() {
    let limits = Limits::default();
    let bytes = encode(&vec!["v"; limits.args_max]);
    let mut parser = RequestParser::new();
    let at_once = parse_in_steps(&mut parser, &bytes, bytes.len(), &limits);
    assert_eq!(parser.args(&bytes).len(), limits.args_max);
    // Starting over at each of 112 reads would take some 56 times as long.
    let in_pieces = parse_in_steps(&mut parser, &bytes, 64 * 1024, &limits);
    assert_eq!(parser.args(&bytes).len(), limits.args_max);
    assert!(
        in_pieces < at_once * 10 + Duration::from_millis(500),
        "{in_pieces:?}, at once {at_once:?}"
    );
}

#[test]
fn a_long_line_in_pieces_takes_linear_time() {
    let limits = Limits { inline_max_bytes: 16 << 20, ..Limits::default() };
    let mut bytes = vec![b'x'; limits.inline_max_bytes];
    bytes.push(b'\n');
    // Searching from the start at each of 65,536 reads would look at 550 GB.
    let in_pieces = parse_in_steps(&mut RequestParser::new(), &bytes, 256, &limits);
    assert!(in_pieces < Duration::from_secs(10), "{in_pieces:?}");
}

#[test]
fn the_largest_bulk_in_pieces_is_never_looked_at() {
    let limits = Limits::default();
    let header = format!("*2\r\n$3\r\nGET\r\n${}\r\n", limits.bulk_len_max_bytes);
    // Zeroed pages that nobody touches take no memory.
    let mut bytes = vec![0; header.len() + limits.bulk_len_max_bytes + 2];
    bytes[..header.len()].copy_from_slice(header.as_bytes());
    let end = bytes.len() - 2;
    bytes[end..].copy_from_slice(b"\r\n");
    let mut parser = RequestParser::new();
    let in_pieces = parse_in_steps(&mut parser, &bytes, 16 * 1024, &limits);
    assert!(in_pieces < Duration::from_secs(5), "{in_pieces:?}");
    assert_eq!(parser.args(&bytes).get(1).len(), limits.bulk_len_max_bytes);
}

#[test]
fn declared_lengths_reserve_nothing() {
    let limits = Limits::default();
    for input in [
        &b"*1048576\r\n"[..],
        b"*1048576\r\n$536870912\r\n",
        b"*1048576\r\n$1\r\na\r\n$536870912\r\nx",
    ] {
        let mut parser = RequestParser::new();
        assert_eq!(parser.heap_bytes(), 0);
        assert!(matches!(parser.parse(input, &limits), Ok(Parsed::Incomplete { consumed: 0, .. })));
        assert!(parser.heap_bytes() <= 64, "{} bytes", parser.heap_bytes());
    }
}

#[test]
fn an_idle_parser_is_small() {
    assert!(size_of::<RequestParser>() <= 64);
    let limits = Limits::default();
    let mut parser = RequestParser::new();
    let array = encode(&vec!["v"; 100_000]);
    let inline = [&b"echo "[..], &b"x ".repeat(30_000), b"\n"].concat();
    for bytes in [array, inline] {
        parse_in_steps(&mut parser, &bytes, 4096, &limits);
        assert!(parser.heap_bytes() > IDLE_HEAP_MAX_BYTES);
        drain(&mut parser);
        assert!(parser.heap_bytes() <= IDLE_HEAP_MAX_BYTES, "{} bytes", parser.heap_bytes());
    }
}

/// The beginning of a next request does not keep what a large one needed.
#[test]
fn an_unfinished_request_keeps_no_more_than_it_needs() {
    let limits = Limits::default();
    for next in [&b"*"[..], b"PIN", b"*2\r\n$1\r\na\r\n"] {
        let mut parser = RequestParser::new();
        let bytes = encode(&vec!["v"; 100_000]);
        parse_in_steps(&mut parser, &bytes, bytes.len(), &limits);
        assert!(matches!(parser.parse(next, &limits), Ok(Parsed::Incomplete { .. })));
        assert!(parser.heap_bytes() <= IDLE_HEAP_MAX_BYTES, "{} bytes", parser.heap_bytes());
    }
}

/// Nanoseconds per command of `pipeline`, which holds `commands` of them; the best of many runs.
fn ns_per_command(pipeline: &[u8], commands: usize) -> f64 {
    let limits = Limits::default();
    let mut parser = RequestParser::new();
    let rounds = 4_000_000 / pipeline.len();
    let mut best = Duration::MAX;
    for _ in 0..30 {
        let start = Instant::now();
        for _ in 0..rounds {
            let pipeline = black_box(pipeline);
            let mut at = 0;
            while let Parsed::Request { consumed } = parser.parse(&pipeline[at..], &limits).unwrap()
            {
                black_box(parser.args(&pipeline[at..]).get(0).len());
                at += consumed;
            }
        }
        best = best.min(start.elapsed());
    }
    best.as_nanos() as f64 / (rounds * commands) as f64
}

#[test]
#[ignore = "prints a measurement, and means something in a release build only"]
fn speed() {
    let (value_100, value_1000) = ("v".repeat(100), "v".repeat(1000));
    let hmget: Vec<&str> = [&["HMGET", "ns"][..], &["field"; 100]].concat();
    let commands: [(&str, Vec<u8>); 8] = [
        ("PING", encode(&["PING"])),
        ("PING inline", b"PING\r\n".to_vec()),
        ("HGET ns abc", encode(&["HGET", "ns", "abc"])),
        ("HGET 13 B, 16 B", encode(&["HGET", "namespace:001", "key:000000001234"])),
        ("HSET, 3 B", encode(&["HSET", "ns", "abc", "val"])),
        ("HSET, 100 B", encode(&["HSET", "namespace:001", "key:000000001234", &value_100])),
        ("HSET, 1000 B", encode(&["HSET", "namespace:001", "key:000000001234", &value_1000])),
        ("HMGET, 100 fields", encode(&hmget)),
    ];
    for (name, command) in commands {
        for depth in [1, 16, 64] {
            println!(
                "{name:18} pipeline {depth:2}: {:6.1} ns",
                ns_per_command(&command.repeat(depth), depth)
            );
        }
    }
}
