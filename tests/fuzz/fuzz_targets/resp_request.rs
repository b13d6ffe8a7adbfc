//! However a stream is cut into reads, the request parser must find the same requests, the same error and the same
//! rest in it, and never panic. It does not judge whether the requests are right; tests/resp_request does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pantry::resp::request::{Limits, Parsed, ProtocolError, RequestParser};

/// The requests of `stream`, how they ended, and how many bytes were consumed.
fn parse<'a>(
    reads: impl Iterator<Item = &'a [u8]>,
    limits: &Limits,
) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>, usize) {
    let mut parser = RequestParser::new();
    let mut requests = Vec::new();
    let (mut buffer, mut at) = (Vec::new(), 0);
    for read in reads {
        buffer.extend_from_slice(read);
        loop {
            let rest = &buffer[at..];
            match parser.parse(rest, limits) {
                Ok(Parsed::Request { consumed }) => {
                    assert!(consumed > 0 && consumed <= rest.len());
                    let args: Vec<Vec<u8>> = parser.args(rest).iter().map(<[u8]>::to_vec).collect();
                    assert!(!args.is_empty());
                    requests.push(args);
                    at += consumed;
                }
                Ok(Parsed::Incomplete { consumed, need_at_least }) => {
                    assert!(consumed <= rest.len() && need_at_least > 0);
                    at += consumed;
                    break;
                }
                Err(error) => return (requests, Some(error), 0),
            }
        }
        assert!(
            parser.heap_bytes() <= 4096 + 64 * (buffer.len() - at),
            "more memory than bytes received account for"
        );
    }
    (requests, None, at)
}

// The input: a byte with the number of read sizes (low 4 bits) and the choice of limits (bit 4), the sizes, the stream.
fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else { return };
    let Some((sizes, stream)) = rest.split_at_checked(usize::from(choice & 0x0f)) else { return };
    let small = Limits {
        bulk_len_max_bytes: 20,
        inline_max_bytes: 30,
        request_max_bytes: 60,
        ..Limits::UNAUTHENTICATED
    };
    let limits = if choice & 0x10 == 0 { Limits::default() } else { small };
    let whole = parse(std::iter::once(stream), &limits);

    let mut rest = stream;
    let mut sizes = sizes.iter().map(|&size| usize::from(size).max(1)).cycle();
    let reads = std::iter::from_fn(|| {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        let (read, tail) = rest.split_at(size);
        rest = tail;
        (!read.is_empty()).then_some(read)
    });
    assert_eq!(parse(reads, &limits), whole);
});
