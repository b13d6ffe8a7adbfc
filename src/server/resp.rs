//! The Redis door: one connection's bytes in, replies out.
//!
//! What has arrived is read once, run as one batch, and answered with one write when others that are
//! ready have been read, too. A connection whose
//! replies are not read is not served on: nothing is executed while output waits. It knows frames
//! and sockets; commands, sessions and stripes are the executor's matter.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::Server;
use super::clients::Client;
use super::stream::Stream;
use super::worker::{INPUT_BYTES, Worker};
use crate::acl::Identity;
use crate::dispatch::{Executor, Plan, script};
use crate::error::Error;
use crate::journal::{Passage, Seen};
use crate::output::Output;
use crate::reply::Reply;
use crate::resp::ahead::{AHEAD_MAX, Ahead};
use crate::resp::request::{Limits, Parsed, ProtocolError, RequestParser};
use crate::session::Session;

/// Output after which a batch is sent before more is executed.
const BATCH_OUTPUT_BYTES: usize = 256 * 1024;
/// Of a request that so much is missing of, no more is read to where all connections read.
const MISSING_BYTES_MIN: usize = INPUT_BYTES / 4;
/// Large values, and what stands between them, that are sent with one call.
const SLICES_MAX: usize = 32;
/// Batches a connection may run before others of its thread get their turn.
const BATCHES_PER_TURN: usize = 4;

/// Serves one client until it leaves, is closed or killed.
pub async fn serve(stream: Stream, client: Arc<Client>, server: Arc<Server>) {
    let config = server.config();
    let identity = Identity::new(&server.acl);
    let mut connection = Connection {
        stream,
        session: Session::new(client.clone(), identity),
        parser: RequestParser::new(),
        input: Vec::new(),
        has_more: false,
        missing: 0,
        output: Output::new(),
        sent: 0,
        replies: 0,
        pushed: Vec::new(),
        is_parked: false,
    };
    Worker::with(Worker::employ_porter);
    connection.session.resp3 = config.client_default_resp == 3;
    client.resp.store(config.client_default_resp, Relaxed);
    std::future::poll_fn(|cx| {
        client.set_waker(cx.waker());
        Poll::Ready(())
    })
    .await;
    std::future::poll_fn(|cx| connection.poll(&server, cx)).await;
    connection.leave(&server);
}

struct Connection {
    stream: Stream,
    session: Session,
    parser: RequestParser,
    /// The beginning of a request that is not complete, or requests that wait for their turn.
    input: Vec<u8>,
    /// `input` may hold a complete request.
    has_more: bool,
    /// Bytes that are still to come of a request, at least; 0: that is not known.
    missing: usize,
    /// What was not sent yet, from `sent` on.
    output: Output,
    sent: usize,
    /// Replies that the last batch wrote.
    replies: usize,
    /// Where in `output` messages stand that are no replies.
    pushed: Vec<Range<usize>>,
    /// The next request waits for a script that takes long.
    is_parked: bool,
}

impl Connection {
    /// Reads, runs and answers until it is over, or the socket has nothing more or takes nothing more.
    fn poll(&mut self, server: &Server, cx: &mut Context<'_>) -> Poll<()> {
        let mut batches = 0;
        loop {
            self.collect_mail();
            let answered = self.poll_answer(server, cx);
            if self.session.client.is_killed() || ready!(answered).is_err() {
                return Poll::Ready(());
            }
            if self.session.should_close {
                return Poll::Ready(());
            }
            if self.session.client.mailbox.has_mail() {
                continue;
            }
            if batches == BATCHES_PER_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            batches += 1;
            if self.session.is_in_script {
                // The script goes on after others of this thread have had their turn.
                self.go_on_with_script();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if std::mem::take(&mut self.is_parked) && server.store.turn.poll(cx).is_pending() {
                self.is_parked = true;
                return Poll::Pending;
            }
            let ran = Worker::with(|worker| {
                ready!(worker.poll_not_behind(cx));
                self.poll_batch(worker, cx)
            });
            if ready!(ran).is_err() {
                return Poll::Ready(());
            }
            if !self.output.is_empty() {
                // All that are ready now are read and run before the first of them is answered: a
                // client that waits for several answers then wakes up once, and sending to it costs
                // less while it is awake. If the answer has to wait anyway, it waits at the gate.
                if Worker::with(|worker| worker.must_wait(self.session.seen)) {
                    continue;
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Adds messages that wait for this client to the output, unless that is being sent already.
    fn collect_mail(&mut self) {
        if !self.session.client.mailbox.has_mail() || self.sent > 0 {
            return;
        }
        if self.output.capacity() == 0 {
            self.output = Worker::with(Worker::take_output);
        }
        let before = self.output.len();
        self.session.collect_mail(&mut self.output, &mut self.pushed);
        let collected = (self.output.len() - before) as u64;
        Worker::with(|worker| worker.metrics.total_net_output_bytes.add(collected));
        self.session.client.output_bytes.store(self.output.len(), Relaxed);
    }

    /// Sends what there is to send, when it may be sent.
    fn poll_answer(&mut self, server: &Server, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.sent == 0 {
            ready!(self.poll_gate(server, cx));
        }
        self.poll_flush(cx)
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
        self.pushed.clear();
        self.session.seen = Seen::default();
        Poll::Ready(())
    }

    /// Reads what has arrived and runs it. Replies are in `output` then.
    fn poll_batch(&mut self, worker: &mut Worker, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut input = std::mem::take(&mut worker.input);
        // After a panic in a command the buffer was lost.
        input.resize(INPUT_BYTES, 0);
        let ran = self.poll_input(worker, &mut input, cx);
        worker.input = input;
        ready!(ran)?;
        worker.metrics.total_net_output_bytes.add(worker.output.len() as u64);
        if !worker.output.is_empty() {
            self.output = worker.take_output();
            self.session.client.output_bytes.store(self.output.len(), Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    /// Runs what waits, or else what the socket has. Replies are in `worker.output` then.
    fn poll_input(
        &mut self,
        worker: &mut Worker,
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut arrived: &[u8] = &[];
        if self.missing >= MISSING_BYTES_MIN {
            let read = ready!(self.poll_missing(cx))?;
            worker.metrics.total_net_input_bytes.add(read as u64);
            if self.missing > 0 {
                return Poll::Ready(Ok(()));
            }
        } else if !self.has_more {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            worker.metrics.total_net_input_bytes.add(read.filled().len() as u64);
            let len = read.filled().len();
            arrived = &buffer[..len];
        }
        if self.input.is_empty() {
            let used = self.run(worker, arrived);
            let rest = &arrived[used..];
            if self.missing >= MISSING_BYTES_MIN {
                self.input.reserve_exact(rest.len() + self.missing.min(INPUT_BYTES));
            }
            self.input.extend_from_slice(rest);
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(arrived);
            let used = self.run(worker, &input);
            if used < input.len() {
                input.drain(..used);
                self.input = input;
            }
        }
        self.session.client.query_bytes.store(self.input.len(), Relaxed);
        Poll::Ready(Ok(()))
    }

    /// Reads more of a large request to where it is kept. Memory grows as what has arrived does.
    fn poll_missing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.len() == self.input.capacity() {
            let step = self.input.len().max(INPUT_BYTES);
            self.input.reserve_exact(self.missing.min(step));
        }
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input))?;
        if read == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.missing = self.missing.saturating_sub(read);
        self.session.client.query_bytes.store(self.input.len(), Relaxed);
        Poll::Ready(Ok(read))
    }

    /// Runs requests at the start of `input`; returns the bytes that are done with.
    fn run(&mut self, worker: &mut Worker, input: &[u8]) -> usize {
        let mut output = std::mem::take(&mut worker.output);
        let mut ahead = std::mem::take(&mut worker.ahead);
        let parser = &mut self.parser;
        self.replies = 0;
        let (replies, pushed) = (&mut self.replies, &mut self.pushed);
        let (missing, is_parked) = (&mut self.missing, &mut self.is_parked);
        *missing = 0;
        let (used, has_more) = worker.run(&mut self.session, |executor, session, limits| {
            let (ahead, output) = (&mut ahead, &mut output);
            let batch = Batch {
                executor,
                session,
                parser,
                ahead,
                limits,
                input,
                output,
                replies,
                pushed,
                missing,
            };
            let ended = batch.run();
            *is_parked = executor.is_parked;
            ended
        });
        worker.output = output;
        worker.ahead = ahead;
        self.has_more = has_more;
        used
    }

    fn go_on_with_script(&mut self) {
        Worker::with(|worker| {
            let mut output = worker.take_output();
            worker.run(&mut self.session, |executor, session, _| {
                let resp3 = session.resp3;
                executor.go_on(session, &mut Reply::resp(&mut output, resp3));
            });
            self.replies = usize::from(!output.is_empty());
            self.session.client.output_bytes.store(output.len(), Relaxed);
            self.output = output;
        });
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
        let output = std::mem::take(&mut self.output);
        Worker::with(|worker| worker.keep_output(output));
        self.sent = 0;
        self.session.client.output_bytes.store(0, Relaxed);
        Poll::Ready(Ok(()))
    }

    /// Undoes what the session has registered elsewhere.
    fn leave(&mut self, server: &Server) {
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

/// What has arrived on a connection, and what it takes to run it.
struct Batch<'b, 's> {
    executor: &'b mut Executor<'s>,
    session: &'b mut Session,
    parser: &'b mut RequestParser,
    ahead: &'b mut Ahead,
    limits: &'b Limits,
    input: &'b [u8],
    output: &'b mut Output,
    replies: &'b mut usize,
    /// Bytes that are still to come of the last request, at least.
    missing: &'b mut usize,
    pushed: &'b mut Vec<Range<usize>>,
}

/// Why looking ahead ended.
enum Found {
    /// There may be more requests.
    More,
    /// An inline request stands at this place and takes so many bytes. The parser has its arguments.
    Inline(usize, usize),
    /// No complete request is left; what begins at this place may be one when more arrives.
    Rest(usize),
    /// These bytes are no request.
    Wrong(ProtocolError),
}

impl Batch<'_, '_> {
    /// Runs requests until the input holds no complete one or enough output has gathered. Returns
    /// the bytes used, and whether a complete request may be left.
    fn run(mut self) -> (usize, bool) {
        let mut used = 0;
        while !self.is_held_up() {
            if self.output.len() >= BATCH_OUTPUT_BYTES {
                return (used, true);
            }
            let found = self.find(used);
            let is_done = self.run_ahead(&mut used);
            let requests = self.ahead.iter(self.input).map(|(args, _)| args);
            self.executor.lap(self.session, requests);
            if self.session.should_close {
                break;
            }
            if !is_done || self.is_held_up() {
                // What was found behind `used` will be looked for again.
                self.parser.forget();
                *self.missing = 0;
                return (used, true);
            }
            match found {
                Found::More => {}
                Found::Inline(at, len) => {
                    let args = self.parser.args(&self.input[at..]);
                    let reply = &mut Reply::resp(self.output, self.session.resp3);
                    let before = reply.mark();
                    self.executor.execute(self.session, args, reply);
                    *self.replies += usize::from(reply.mark() != before);
                    if !self.executor.is_parked {
                        used = at + len;
                    }
                    Self::collect_mail(self.executor, self.session, self.output, self.pushed);
                }
                Found::Rest(at) => return (at, false),
                Found::Wrong(error) => {
                    if let Some(text) = error.reply() {
                        let error = Error::plain(text);
                        Reply::resp(self.output, self.session.resp3).error(&error);
                        *self.replies += 1;
                    }
                    self.session.should_close = true;
                }
            }
        }
        match self.session.should_close {
            true => (self.input.len(), false),
            false => (used, true),
        }
    }

    /// Whether nothing more may run now: the session ends, or waits for a script.
    fn is_held_up(&self) -> bool {
        self.session.should_close || self.session.is_in_script || self.executor.is_parked
    }

    /// Finds the next requests.
    fn find(&mut self, mut at: usize) -> Found {
        self.ahead.clear();
        // AUTH changes the limits of the request behind it.
        let (limits, most) = if self.session.identity.is_authenticated() {
            (self.limits, AHEAD_MAX)
        } else {
            (&Limits::UNAUTHENTICATED, 1)
        };
        while self.ahead.len() < most {
            let input = &self.input[at..];
            match self.parser.parse(input, limits) {
                Ok(Parsed::Request { consumed }) if self.parser.is_inline() => {
                    return Found::Inline(at, consumed);
                }
                Ok(Parsed::Request { consumed }) => {
                    self.ahead.push(self.parser.args(input), at, at + consumed);
                    at += consumed;
                }
                Ok(Parsed::Incomplete { consumed, need_at_least }) => {
                    *self.missing = need_at_least;
                    return Found::Rest(at + consumed);
                }
                Err(error) => return Found::Wrong(error),
            }
        }
        Found::More
    }

    /// Runs what was found; `false` if output or the session's end stopped it before the last.
    fn run_ahead(&mut self, used: &mut usize) -> bool {
        let mut plans = [Plan::default(); AHEAD_MAX];
        let mut last = Plan::default();
        for ((args, _), plan) in self.ahead.iter(self.input).zip(&mut plans) {
            last = Plan::after(&last, &self.executor.server.store, args);
            *plan = last;
        }
        self.executor.look_ahead(self.session, &plans[..self.ahead.len()]);
        for ((args, end), plan) in self.ahead.iter(self.input).zip(&plans) {
            if self.is_held_up() || self.output.len() >= BATCH_OUTPUT_BYTES {
                return false;
            }
            let reply = &mut Reply::resp(self.output, self.session.resp3);
            let before = reply.mark();
            self.executor.execute_planned(self.session, args, plan, reply);
            *self.replies += usize::from(reply.mark() != before);
            if self.executor.is_parked {
                return false;
            }
            *used = end;
            Self::collect_mail(self.executor, self.session, self.output, self.pushed);
        }
        true
    }

    /// What a command has sent to its own client follows its reply.
    #[inline]
    fn collect_mail(
        executor: &mut Executor<'_>,
        session: &mut Session,
        output: &mut Output,
        pushed: &mut Vec<Range<usize>>,
    ) {
        if session.is_listening {
            executor.send(session);
            session.collect_mail(output, pushed);
        }
    }
}
