//! What the floor servers answer: a constant per request, chosen once per connection by the name of its first command.
//!
//! Requests are not parsed. Each begins with `*`, and no key or value of the workloads holds one, so counting stars counts requests.

use crate::keyspace::{SMALL_PAIRS, VALUE_BYTES};

/// Replies rendered one after the other, so that a batch leaves with one write and no copying.
const RENDERED: usize = 256;

/// The constant reply of one connection.
pub struct FloorReply {
    bytes: Vec<u8>,
    len: usize,
}

impl FloorReply {
    /// The reply for a connection that begins with `request`.
    pub fn choose(request: &[u8]) -> Self {
        let value = "v".repeat(VALUE_BYTES);
        let bulk = format!("${VALUE_BYTES}\r\n{value}\r\n");
        // "*3\r\n$4\r\nHGET…": the name has its place.
        let name = request.get(8..).unwrap_or_default();
        let reply = match name.split(|byte| *byte == b'\r').next() {
            Some(b"HSET") => ":0\r\n".to_owned(),
            Some(b"SET") => "+OK\r\n".to_owned(),
            Some(b"HGET" | b"GET") => bulk,
            Some(b"HGETALL") => {
                format!("*{}\r\n", 2 * SMALL_PAIRS)
                    + &format!("$8\r\nkkkkkkkk\r\n{bulk}").repeat(SMALL_PAIRS as usize)
            }
            _ => "-ERR a floor server has no such command\r\n".to_owned(),
        };
        Self { len: reply.len(), bytes: reply.repeat(RENDERED).into() }
    }

    /// Requests that begin in `received`.
    pub fn requests(received: &[u8]) -> usize {
        memchr::memchr_iter(b'*', received).count()
    }

    /// At most as many replies as are rendered; call it again for the rest.
    pub fn take(&self, requests: &mut usize) -> &[u8] {
        let taken = (*requests).min(RENDERED);
        *requests -= taken;
        &self.bytes[..taken * self.len]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::workload::Workload;

    #[test]
    fn every_resp_workload_gets_the_reply_it_expects() {
        for workload in
            [Workload::Hget, Workload::Hset, Workload::Get, Workload::Set, Workload::Hgetall]
        {
            let requests = workload.requests();
            let reply = FloorReply::choose(requests.batch(0, 1));
            let mut due = FloorReply::requests(requests.batch(0, 600));
            assert_eq!(due, 600);
            let mut bytes = Vec::new();
            while due > 0 {
                bytes.extend_from_slice(reply.take(&mut due));
            }
            let complete = workload.expected().count(&bytes).unwrap();
            assert_eq!((complete.replies, complete.bytes), (600, bytes.len()));
        }
    }
}
