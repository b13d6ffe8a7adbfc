//! How replies and messages leave a connection: when what they say is safe, in their order.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::Connection;
use crate::journal::{Passage, Seen};
use crate::reply::Reply;
use crate::server::Server;
use crate::server::worker::Worker;

/// Large values, and what stands between them, that are sent with one call.
const SLICES_MAX: usize = 32;

impl Connection {
    /// Adds messages that wait for this client to the output.
    pub(super) fn collect_mail(&mut self) {
        if !self.session.client.mailbox.has_mail() {
            return;
        }
        let output = if self.has_passed { &mut self.behind } else { &mut self.output };
        Worker::with(|worker| {
            if output.capacity() == 0 {
                *output = worker.take_output();
            }
            let before = output.len();
            self.session.collect_mail(output, &mut self.pushed);
            let collected = (output.len() - before) as u64;
            worker.metrics.total_net_output_bytes.add(collected);
        });
        self.session.client.memory.output.store(self.waiting_bytes(), Relaxed);
    }

    /// Sends what there is to send, when it may be sent.
    pub(super) fn poll_answer(
        &mut self,
        server: &Server,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            if !self.has_passed {
                ready!(self.poll_gate(server, cx));
                self.has_passed = true;
            }
            ready!(self.poll_flush(cx))?;
            if self.session.is_heavy {
                self.settle(server);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until what the output says is as safe as the policy promises.
    fn poll_gate(&mut self, server: &Server, cx: &mut Context<'_>) -> Poll<()> {
        let seen = self.session.seen;
        if ready!(Worker::with(|worker| worker.poll_passage(seen, cx))) == Passage::Failed {
            let error = server.store.journal.outcome_unknown();
            let written = std::mem::take(&mut self.output).to_vec();
            for _ in 0..self.replies {
                Reply::resp(&mut self.output, self.session.resp3).error(&error);
            }
            for pushed in &self.pushed {
                self.output.extend_from_slice(&written[pushed.clone()]);
            }
        }
        self.replies = 0;
        self.pushed.clear();
        self.session.seen = Seen::default();
        Poll::Ready(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.output.len() {
            let stream = Pin::new(&mut self.stream);
            let sent = if let Some(bytes) = self.output.without_values() {
                stream.poll_write(cx, &bytes[self.sent..])
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.output.slices(self.sent, &mut slices);
                stream.poll_write_vectored(cx, &slices[..count])
            };
            self.sent += ready!(sent)?;
        }
        // TLS may hold back what the socket did not take.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        let output = std::mem::replace(&mut self.output, std::mem::take(&mut self.behind));
        Worker::with(|worker| worker.keep_output(output));
        (self.sent, self.has_passed) = (0, false);
        self.session.client.memory.output.store(self.output.len(), Relaxed);
        Poll::Ready(Ok(()))
    }
}
