//! What a connection holds: output that its client does not read, requests that are not complete. How
//! much that is, when it is too much, and what becomes of it when the connection ends.

use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use tokio_util::io::poll_read_buf;

use super::Connection;
use crate::dispatch::script;
use crate::server::Server;
use crate::server::clients::Flag;
use crate::server::worker::{INPUT_BYTES, Worker};

/// Output that may wait for a client that has to authenticate first.
const UNAUTHENTICATED_OUTPUT_BYTES: usize = 1024;
/// Room for what is read while the next request waits.
const READ_AHEAD_BYTES: usize = 4096;

impl Connection {
    /// Bytes that were not sent yet.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.output.len() - self.sent + self.behind.len()
    }

    /// Whether more may run although the client does not read what waits. Who holds too much is cut.
    #[cold]
    pub(super) fn may_run_ahead(&mut self, server: &Server) -> bool {
        self.settle(server);
        if !self.has_passed || self.session.should_close {
            return false;
        }
        let waiting_bytes = self.waiting_bytes();
        let is_stranger = !self.session.identity.is_authenticated();
        if (is_stranger && waiting_bytes > UNAUTHENTICATED_OUTPUT_BYTES)
            || server.post.is_over_limit(&self.session.client, server.store.clock.now_ms())
        {
            server.post.cut(&self.session.client);
            return false;
        }
        waiting_bytes < Worker::with(|worker| worker.config.client_reply_max_bytes)
    }

    /// Says what the connection holds, to whom that matters.
    #[cold]
    pub(super) fn settle(&mut self, server: &Server) {
        let memory = &self.session.client.memory;
        let args = self.parser.parsed_bytes(&self.input);
        memory.args.store(args, Relaxed);
        memory.query.store(self.input.len() - args, Relaxed);
        memory.query_free.store(self.input.capacity() - self.input.len(), Relaxed);
        memory.output.store(self.waiting_bytes(), Relaxed);
        memory.is_stuck.store(self.has_passed, Relaxed);
        server.clients.count(&self.session.client);
        self.session.is_heavy = self.session.client.is_heavy();
    }

    /// Cuts the client if its replies pass its limit; they are not sent then.
    #[cold]
    pub(super) fn check_output(&mut self, worker: &Worker) {
        let (server, client) = (&worker.server, &self.session.client);
        if server.post.is_over_limit(client, server.store.clock.now_ms()) {
            server.post.cut(client);
            self.output.clear();
        }
    }

    /// Reads on while the next request waits, though not without end: ready when the client has left.
    #[cold]
    pub(super) fn poll_gone(&mut self, server: &Server, cx: &mut Context<'_>) -> Poll<()> {
        while self.input.len() < INPUT_BYTES {
            self.input.reserve(READ_AHEAD_BYTES);
            let stream = Pin::new(&mut self.stream);
            let Ok(read @ 1..) = ready!(poll_read_buf(stream, cx, &mut self.input)) else {
                return Poll::Ready(());
            };
            Worker::with(|worker| worker.metrics.total_net_input_bytes.add(read as u64));
            self.settle(server);
        }
        Poll::Pending
    }

    /// What was waited for is over.
    #[cold]
    pub(super) fn unpark(&mut self) {
        self.parked = None;
        self.session.client.set(Flag::Paused, false);
    }

    /// Undoes what the session has registered elsewhere.
    pub(super) fn leave(&mut self, server: &Server) {
        if self.parked.is_some() {
            server.store.turn.forget(self.session.client.id);
        }
        self.session.stop_listening(server);
        if self.session.is_in_script {
            Worker::with(|worker| {
                worker.run(&mut self.session, |executor, session, _| {
                    script::abandon(&mut crate::dispatch::Context { session, executor });
                });
            });
        }
        if self.session.watch.is_some() {
            Worker::with(|worker| {
                worker.run(&mut self.session, |executor, session, _| executor.unwatch(session));
            });
        }
    }
}
