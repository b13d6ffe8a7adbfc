//! Random requests and random bytes: cut into random reads, compared with one read, and with another parser.

use super::{Request, connection_after, encode};
use bytes::Bytes;
use pantry::resp::request::Limits;
use proptest::collection::vec;
use proptest::prelude::*;
use redis_protocol::resp2::decode::decode_bytes;
use redis_protocol::resp2::types::{BytesFrame, Resp2Frame};

fn arg() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..16),
        1 => vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'$'), Just(b'*'), Just(b'1')], 0..12),
        1 => (0usize..12_000).prop_map(|len| vec![b'v'; len]),
    ]
}

fn pipeline() -> impl Strategy<Value = Vec<Request>> {
    vec(vec(arg(), 1..12), 0..8)
}

/// Where to cut bytes into reads, as fractions of their length.
fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    vec(any::<prop::sample::Index>(), 0..24)
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut points: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    points.extend([0, bytes.len()]);
    points.sort_unstable();
    points.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Pieces of the protocol, so that random input gets past the first byte.
fn nearly_requests() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"*",
        b"$",
        b"\r\n",
        b"\r",
        b"\n",
        b"-",
        b"0",
        b"1",
        b"2",
        b"3",
        b"12",
        b"*1\r\n",
        b"*2\r\n",
        b"$1\r\n",
        b"$3\r\n",
        b"$0\r\n\r\n",
        b"$1\r\na\r\n",
        b"*0\r\n",
        b"abc",
        b" ",
        b"\"",
        b"'",
        b"\\",
        b"\\x",
        b"\0",
        b"%1",
        b"GET / HTTP/1.1",
        b"111111111111111111111111",
        b"x",
    ];
    let piece = prop_oneof![
        20 => prop::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// `arg` as a word of an inline command.
fn quoted(arg: &[u8], style: u8) -> Vec<u8> {
    let plain = !arg.is_empty() && arg.iter().all(u8::is_ascii_alphanumeric);
    let single = !arg.iter().any(|byte| matches!(byte, b'\\' | b'\n'));
    match style % 3 {
        0 if plain => arg.to_vec(),
        1 if single => {
            let inside: Vec<u8> = arg
                .iter()
                .flat_map(|&b| if b == b'\'' { vec![b'\\', b] } else { vec![b] })
                .collect();
            [b"'", &inside[..], b"'"].concat()
        }
        _ => {
            let inside: String = arg.iter().map(|byte| format!("\\x{byte:02X}")).collect();
            format!("\"{inside}\"").into_bytes()
        }
    }
}

fn by_oracle(bytes: Vec<u8>) -> Vec<Request> {
    let mut rest = Bytes::from(bytes);
    let mut requests = Vec::new();
    while let Some((frame, len)) = decode_bytes(&rest).unwrap() {
        let BytesFrame::Array(args) = frame else { panic!("not an array: {frame:?}") };
        requests.push(args.into_iter().map(|arg| arg.as_bytes().unwrap().to_vec()).collect());
        rest = rest.slice(len..);
    }
    assert!(rest.is_empty());
    requests
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn requests_come_out_as_they_went_in(requests in pipeline(), cuts in cuts()) {
        let bytes: Vec<u8> = requests.iter().flat_map(|args| encode(args)).collect();
        let connection = connection_after(Limits::default(), cut(&bytes, &cuts));
        prop_assert_eq!(connection.outcome(), (&requests[..], None, &b""[..]));
    }

    #[test]
    fn another_parser_reads_the_same(requests in pipeline()) {
        let bytes: Vec<u8> = requests.iter().flat_map(|args| encode(args)).collect();
        let connection = connection_after(Limits::default(), [&bytes[..]]);
        prop_assert_eq!(connection.requests, by_oracle(bytes));
    }

    #[test]
    fn quoted_words_come_out_as_they_went_in(words in vec((vec(any::<u8>(), 0..8), any::<u8>()), 1..6), cuts in cuts()) {
        let line: Vec<Vec<u8>> = words.iter().map(|(word, style)| quoted(word, *style)).collect();
        let line = [&line.join(&b" "[..])[..], b"\r\n"].concat();
        let args: Request = words.into_iter().map(|(word, _)| word).collect();
        let connection = connection_after(Limits::default(), cut(&line, &cuts));
        prop_assert_eq!(connection.outcome(), (&[args][..], None, &b""[..]));
    }

    #[test]
    fn nearly_requests_give_the_same_however_they_are_cut(bytes in nearly_requests(), cuts in cuts()) {
        // Small limits, so that they are met.
        let limits = Limits { bulk_len_max_bytes: 20, inline_max_bytes: 30, request_max_bytes: 60, ..Limits::UNAUTHENTICATED };
        for limits in [Limits::default(), limits] {
            let whole = connection_after(limits, [&bytes[..]]);
            let parts = connection_after(limits, cut(&bytes, &cuts));
            let single = connection_after(limits, bytes.chunks(1));
            prop_assert_eq!(parts.outcome(), whole.outcome());
            prop_assert_eq!(single.outcome(), whole.outcome());
        }
    }

    #[test]
    fn random_bytes_give_the_same_however_they_are_cut(bytes in vec(any::<u8>(), 0..200), cuts in cuts()) {
        let whole = connection_after(Limits::default(), [&bytes[..]]);
        let parts = connection_after(Limits::default(), cut(&bytes, &cuts));
        prop_assert_eq!(parts.outcome(), whole.outcome());
    }
}
