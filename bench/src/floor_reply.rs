//! What the floor servers answer: a constant per request, chosen once per connection by how its first request begins.
//!
//! Requests are not parsed. Each begins with `*`, and no key or value of the workloads holds one, so counting stars counts requests.

use crate::workload::Workload;
use clap::ValueEnum;

/// Replies rendered one after the other, so that a batch leaves with one write and no copying.
const RENDERED: usize = 256;
/// Large replies are rendered fewer times.
const RENDERED_BYTES_MAX: usize = 1 << 20;

/// The constant reply of one connection.
pub struct FloorReply {
    bytes: Vec<u8>,
    len: usize,
}

impl FloorReply {
    /// The reply for a connection that begins with `request`.
    pub fn choose(request: &[u8]) -> Self {
        let workload = Workload::value_variants().iter().find(|one| is_one_of(request, **one));
        let reply = workload.map_or_else(
            || "-ERR a floor server has no such command\r\n".to_owned(),
            |workload| workload.reply(),
        );
        let rendered = RENDERED.min(RENDERED_BYTES_MAX / reply.len()).max(1);
        Self { len: reply.len(), bytes: reply.repeat(rendered).into() }
    }

    /// Requests that begin in `received`.
    pub fn requests(received: &[u8]) -> usize {
        memchr::memchr_iter(b'*', received).count()
    }

    /// At most as many replies as are rendered; call it again for the rest.
    pub fn take(&self, requests: &mut usize) -> &[u8] {
        let taken = (*requests).min(self.bytes.len() / self.len);
        *requests -= taken;
        &self.bytes[..taken * self.len]
    }
}

/// Whether `request` begins as all requests of the workload do.
fn is_one_of(request: &[u8], workload: Workload) -> bool {
    let (one, other) = (workload.request_of(0, 0), workload.request_of(u64::MAX, 1));
    let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    !workload.is_http() && request.starts_with(&one.as_bytes()[..same])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_resp_workload_gets_the_reply_it_expects() {
        for workload in Workload::value_variants().iter().filter(|one| !one.is_http()) {
            let requests = workload.requests();
            let reply = FloorReply::choose(requests.batch(0, 1));
            let mut due = FloorReply::requests(requests.batch(0, requests.count().min(600)));
            let count = due;
            assert_eq!(count, requests.count().min(600));
            let mut bytes = Vec::new();
            while due > 0 {
                bytes.extend_from_slice(reply.take(&mut due));
            }
            let complete = workload.expected().count(&bytes).unwrap();
            assert_eq!((complete.replies, complete.bytes), (count, bytes.len()));
        }
    }
}
