//! Tests of the request parser: the catalogue of bad inputs, every way of cutting bytes into reads, random bytes,
//! an oracle, and what it costs. What commands answer is not tested here.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod catalogue;
mod cost;
mod random;
mod reads;

use pantry::resp::request::{Limits, Parsed, ProtocolError, RequestParser};

/// One request's arguments.
type Request = Vec<Vec<u8>>;

/// A connection's receiving half as the server has it: a buffer, a parser, and what came out.
struct Connection {
    limits: Limits,
    parser: RequestParser,
    buffer: Vec<u8>,
    requests: Vec<Request>,
    need_at_least: usize,
    error: Option<ProtocolError>,
}

impl Connection {
    fn new(limits: Limits) -> Connection {
        Connection {
            limits,
            parser: RequestParser::new(),
            buffer: Vec::new(),
            requests: Vec::new(),
            need_at_least: 0,
            error: None,
        }
    }

    /// Takes the bytes of one read and parses until the parser wants more. Reads after an error are dropped.
    fn read(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let rest = &self.buffer[at..];
            match self.parser.parse(rest, &self.limits) {
                Ok(Parsed::Request { consumed }) => {
                    assert!(consumed > 0 && consumed <= rest.len());
                    self.requests.push(self.parser.args(rest).iter().map(<[u8]>::to_vec).collect());
                    at += consumed;
                }
                Ok(Parsed::Incomplete { consumed, need_at_least }) => {
                    assert!(consumed <= rest.len() && need_at_least > 0);
                    self.need_at_least = need_at_least;
                    at += consumed;
                    break;
                }
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        self.buffer.drain(..at);
    }

    /// Everything that must not depend on how the bytes were cut into reads.
    fn outcome(&self) -> (&[Request], Option<ProtocolError>, &[u8]) {
        let pending = if self.error.is_some() { &[] } else { &self.buffer[..] };
        (&self.requests, self.error, pending)
    }
}

/// A connection that has received `reads`, one after the other.
fn connection_after<'a>(limits: Limits, reads: impl IntoIterator<Item = &'a [u8]>) -> Connection {
    let mut connection = Connection::new(limits);
    for read in reads {
        connection.read(read);
    }
    connection
}

/// A request as an array of bulks.
fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend(format!("${}\r\n", arg.as_ref().len()).bytes());
        bytes.extend(arg.as_ref());
        bytes.extend(b"\r\n");
    }
    bytes
}
