//! What one connection is to be sent beside its replies.
//!
//! Any thread puts messages in, the connection's own thread takes them out. What waits here and in
//! the connection's output together is limited; who is over the limit is to be closed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::message::Message;
use crate::config::OutputLimit;
use crate::journal::Lsn;

/// Places for messages that an empty mailbox may keep.
const KEPT_MAX: usize = 64;

/// Messages that wait for one connection.
#[derive(Debug, Default)]
pub struct Mailbox {
    has_mail: AtomicBool,
    bytes: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Arc<Message>>,
    bytes: usize,
    /// Since when there is more than the soft limit, in unix ms; 0: there is not.
    over_soft_since_ms: u64,
    is_closed: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is the first that waits: the connection is to be woken.
    First,
    /// The connection knows that something waits.
    Behind,
    /// Too much waits: the connection is to be closed. What waited is gone.
    Over,
    /// The connection is to be closed already.
    Closed,
}

impl Mailbox {
    /// Puts a message in, behind all others. `output_bytes` is what the connection has not sent of its
    /// output.
    pub fn put(
        &self,
        message: &Arc<Message>,
        output_bytes: usize,
        limit: OutputLimit,
        now_ms: u64,
    ) -> Put {
        let mut inner = self.inner.lock();
        if inner.is_closed {
            return Put::Closed;
        }
        inner.bytes += message.len();
        let waiting_bytes = inner.bytes + output_bytes;
        if limit.is_over(waiting_bytes, &mut inner.over_soft_since_ms, now_ms) {
            self.shut(&mut inner);
            return Put::Over;
        }
        self.bytes.store(inner.bytes, Ordering::Relaxed);
        inner.queue.push_back(message.clone());
        if inner.queue.len() > 1 {
            return Put::Behind;
        }
        self.has_mail.store(true, Ordering::Release);
        Put::First
    }

    /// Whether a message waits.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Acquire)
    }

    /// Whether what waits here and in the output is over the limit now.
    pub fn is_over(&self, output_bytes: usize, limit: OutputLimit, now_ms: u64) -> bool {
        let mut inner = self.inner.lock();
        let waiting_bytes = inner.bytes + output_bytes;
        limit.is_over(waiting_bytes, &mut inner.over_soft_since_ms, now_ms)
    }

    /// Takes no more messages, and drops those that wait.
    pub fn close(&self) {
        self.shut(&mut self.inner.lock());
    }

    fn shut(&self, inner: &mut Inner) {
        *inner = Inner { is_closed: true, ..Inner::default() };
        self.bytes.store(0, Ordering::Relaxed);
        self.has_mail.store(false, Ordering::Release);
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Moves messages to the end of `output` until that has `bytes_max`. Returns up to which LSN the
    /// journal must be safe before they may leave.
    pub fn take(&self, output: &mut Vec<u8>, bytes_max: usize, resp3: bool) -> Lsn {
        let mut lsn = 0;
        let mut inner = self.inner.lock();
        while output.len() < bytes_max {
            let Some(message) = inner.queue.pop_front() else { break };
            inner.bytes -= message.len();
            lsn = lsn.max(message.lsn);
            message.write(output, resp3);
        }
        self.bytes.store(inner.bytes, Ordering::Relaxed);
        if inner.queue.is_empty() {
            inner.queue.shrink_to(KEPT_MAX);
            self.has_mail.store(false, Ordering::Release);
        }
        lsn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: OutputLimit = OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };

    fn message(lsn: Lsn, text: &[u8]) -> Arc<Message> {
        let mut message = Message::pushes(lsn);
        message.push(&[text]);
        Arc::new(message)
    }

    #[test]
    fn messages_come_out_in_order_and_say_what_they_wait_for() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.put(&message(7, b"a"), 0, NO_LIMIT, 0), Put::First);
        assert_eq!(mailbox.put(&message(3, b"b"), 0, NO_LIMIT, 0), Put::Behind);
        assert!(mailbox.has_mail());
        let mut output = Vec::new();
        assert_eq!(mailbox.take(&mut output, 1, false), 7, "one message is enough");
        assert_eq!(output, b"*1\r\n$1\r\na\r\n");
        assert!(mailbox.has_mail());
        assert_eq!(mailbox.take(&mut output, 1000, true), 3);
        assert!(output.ends_with(b">1\r\n$1\r\nb\r\n"));
        assert!(!mailbox.has_mail());
        assert_eq!(mailbox.bytes(), 0);
        assert_eq!(mailbox.put(&message(9, b"c"), 0, NO_LIMIT, 0), Put::First);
    }

    #[test]
    fn who_does_not_read_is_over_the_limit() {
        let one = message(1, b"x");
        let len = one.len() as u64;
        // At the limit is over it, as in Redis.
        let hard = OutputLimit { hard_bytes: 3 * len, ..NO_LIMIT };
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.put(&one, 0, hard, 0), Put::First);
        assert_eq!(mailbox.put(&one, 0, hard, 0), Put::Behind);
        assert_eq!(mailbox.put(&one, one.len(), hard, 0), Put::Over);
        assert_eq!(mailbox.put(&one, 0, hard, 0), Put::Closed);
        assert!(!mailbox.has_mail());

        let soft = OutputLimit { hard_bytes: 0, soft_bytes: len, soft_seconds: 2 };
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.put(&one, 0, soft, 1_000), Put::First);
        assert_eq!(mailbox.put(&one, 0, soft, 2_000), Put::Behind);
        assert_eq!(mailbox.put(&one, 0, soft, 3_000), Put::Behind, "not longer than two seconds");
        assert_eq!(mailbox.put(&one, 0, soft, 3_001), Put::Over);
    }
}
