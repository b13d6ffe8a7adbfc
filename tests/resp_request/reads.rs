//! The same bytes, cut into reads in every way, must give the same requests; and what the parser says while it waits.

use super::{Connection, connection_after, encode};
use pantry::resp::request::{Limits, Parsed, ProtocolError, RequestParser};

fn pipeline() -> Vec<u8> {
    let mut bytes = encode(&["HGET", "ns", "abc"]);
    bytes.extend(b"*0\r\n\r\nSET k \"a b\"\r\n");
    bytes.extend(encode(&["HSET", "ns", "twelve bytes", ""]));
    bytes
}

#[test]
fn three_commands_cut_at_every_two_points() {
    let bytes = pipeline();
    let whole = connection_after(Limits::default(), [&bytes[..]]);
    assert_eq!(whole.requests.len(), 3, "R35");
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let reads = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            let connection = connection_after(Limits::default(), reads);
            assert_eq!(connection.outcome(), whole.outcome(), "R35, cut at {first} and {second}");
        }
    }
}

#[test]
fn three_commands_in_reads_of_one_size() {
    let bytes = pipeline();
    let whole = connection_after(Limits::default(), [&bytes[..]]);
    for size in 1..=bytes.len() {
        let connection = connection_after(Limits::default(), bytes.chunks(size));
        assert_eq!(connection.outcome(), whole.outcome(), "R35, reads of {size} bytes");
    }
}

/// What was searched of a header must not make the search for the next line's end begin too late.
#[test]
fn an_unfinished_header_leaves_the_next_line_alone() {
    let whole = b"*1\r\n$1\r\nx\r\na\nb\n*1\r\n$00000000000000000000000001\r\n";
    for header_end in 0..whole.len() {
        let reads = [&whole[..header_end], &whole[header_end..]];
        let connection = connection_after(Limits::default(), reads);
        assert_eq!(connection.requests, [[b"x"], [b"a"], [b"b"]], "cut at {header_end}");
        assert_eq!(connection.error, Some(ProtocolError::InvalidBulkLength));
    }
}

#[test]
fn what_is_missing_is_told() {
    let needs = |input: &[u8]| {
        let connection = connection_after(Limits::default(), [input]);
        assert_eq!(connection.error, None);
        connection.need_at_least
    };
    assert_eq!(needs(b""), 1);
    assert_eq!(needs(b"PIN"), 1);
    assert_eq!(needs(b"*1"), 1);
    assert_eq!(needs(b"*1\r\n$10"), 1);
    assert_eq!(needs(b"*1\r\n$10\r\n"), 12);
    assert_eq!(needs(b"*1\r\n$10\r\n0123456789"), 2);
    assert_eq!(needs(b"*1\r\n$10\r\n0123456789\r"), 1);
    assert_eq!(needs(b"*1\r\n$536870912\r\n"), 536_870_914, "R18");
}

#[test]
fn blank_lines_may_be_dropped_while_waiting() {
    let mut parser = RequestParser::new();
    let incomplete = |consumed, need_at_least| Ok(Parsed::Incomplete { consumed, need_at_least });
    let limits = Limits::default();
    assert_eq!(parser.parse(b"\r\n*0\r\n*2\r\n$1\r\na\r\n$5\r\nbc", &limits), incomplete(6, 5));
    assert_eq!(parser.parse(b"*2\r\n$1\r\na\r\n$5\r\nbcd", &limits), incomplete(0, 4));
    let whole = b"*2\r\n$1\r\na\r\n$5\r\nbcdef\r\n\r\n";
    assert_eq!(parser.parse(whole, &limits), Ok(Parsed::Request { consumed: whole.len() - 2 }));
    let args = parser.args(whole);
    assert_eq!((args.len(), args.is_empty()), (2, false));
    assert_eq!((args.get(0), &args[1]), (&b"a"[..], &b"bcdef"[..]));
    assert_eq!(args.iter().rev().collect::<Vec<_>>(), [&b"bcdef"[..], b"a"]);
    assert_eq!(parser.parse(b"\r\n", &limits), incomplete(2, 1));
}

/// Limits may change between two requests of one buffer, as AUTH does it.
#[test]
fn limits_apply_from_the_next_request_on() {
    let mut connection = Connection::new(Limits::UNAUTHENTICATED);
    connection.read(b"AUTH x\r\n");
    connection.limits = Limits::default();
    connection.read(&encode(&["MGET"; 11]));
    assert_eq!(connection.error, None);
    assert_eq!(connection.requests.len(), 2);
}
