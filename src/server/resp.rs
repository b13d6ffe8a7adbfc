//! The Redis door: one connection's bytes in, replies out.
//!
//! What has arrived is read once, run as one batch, and answered with one write. All that are ready are
//! read, then run, then answered, see `round`. A connection whose
//! replies are not read is served on, since its client may be about to send more before it reads;
//! replies then gather behind those that wait, until there are too many. It knows frames and sockets;
//! commands, sessions and stripes are the executor's matter.

mod batch;
mod hold;
mod round;
mod row;
mod send;

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

pub use round::enlist;
pub use round::run as run_together;

use batch::Batch;
use round::Desk;

use super::Server;
use super::certificate;
use super::clients::{Client, Flag};
use super::stream::Stream;
use super::worker::{INPUT_BYTES, Worker};
use crate::output::Output;
use crate::reply::Reply;
use crate::resp::request::RequestParser;
use crate::session::Session;
use crate::store::turn::Wait;

/// Output after which a batch is sent before more is executed.
const BATCH_OUTPUT_BYTES: usize = 256 * 1024;
/// Of a request that so much is missing of, no more is read to where all connections read.
const MISSING_BYTES_MIN: usize = INPUT_BYTES / 4;
/// Batches a connection may run before others of its thread get their turn.
const BATCHES_PER_TURN: usize = 4;
/// What has arrived and is no longer than this is run together with what others have sent.
pub const TOGETHER_BYTES_MAX: usize = 1024;

/// Serves one client until it leaves, is closed or killed.
pub async fn serve(stream: Stream, client: Arc<Client>, server: Arc<Server>) {
    // Nothing of the connection may be held across an await: the task would have room for it, too.
    let waker = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let desk = sit_down(stream, client, &server, waker);
    std::future::poll_fn(|cx| desk.poll(&server, cx)).await;
}

/// Gives a client its place on this thread.
fn sit_down(stream: Stream, client: Arc<Client>, server: &Server, waker: Waker) -> Desk {
    let config = server.config();
    let identity = certificate::identity(&stream, &client, server);
    let mut session = Session::new(client.clone(), identity);
    session.resp3 = config.client_default_resp == 3;
    client.resp.store(config.client_default_resp, Relaxed);
    client.set_waker(&waker);
    Worker::with(Worker::employ_porter);
    let desk = Desk::take(Box::new(Connection {
        stream,
        session,
        parser: RequestParser::new(),
        input: Vec::new(),
        has_more: false,
        missing: 0,
        output: Output::new(),
        sent: 0,
        has_passed: false,
        behind: Output::new(),
        replies: 0,
        pushed: Vec::new(),
        parked: None,
        is_due: false,
        awaits_input: false,
        waker,
    }));
    client.set_desk(desk.number());
    desk
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
    /// `output` may be sent, and is being sent: what comes now gathers in `behind`.
    has_passed: bool,
    behind: Output,
    /// Replies in what may not be sent yet.
    replies: usize,
    /// Where in that messages stand that are no replies.
    pushed: Vec<Range<usize>>,
    /// The next request waits, and what for.
    parked: Option<Wait>,
    /// It goes on with the others of its thread.
    is_due: bool,
    /// The socket had nothing more, and will wake the task when it has.
    awaits_input: bool,
    /// Wakes its task.
    waker: Waker,
}

impl Connection {
    /// Reads, runs and answers until it is over, or the socket has nothing more or takes nothing more,
    /// or others are to come first. `desk` is where it has its place.
    fn poll(&mut self, desk: usize, server: &Server, cx: &mut Context<'_>) -> Poll<()> {
        self.is_due = false;
        let mut batches = 0;
        loop {
            self.collect_mail();
            let answered = self.poll_answer(server, cx);
            if self.session.client.is_killed() {
                return Poll::Ready(());
            }
            match answered {
                Poll::Ready(Ok(())) if !self.session.should_close => {
                    if self.session.client.mailbox.has_mail() {
                        continue;
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if self.may_run_ahead(server) => {}
                Poll::Pending => return Poll::Pending,
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
            if let Some(wait) = self.parked {
                if server.store.turn.poll(wait, self.session.client.id, cx).is_pending() {
                    return self.poll_gone(server, cx);
                }
                self.unpark();
            }
            if self.awaits_input {
                return Poll::Pending;
            }
            let ran = Worker::with(|worker| {
                ready!(worker.poll_not_behind(cx));
                self.poll_batch(worker, cx)
            });
            if ready!(ran).is_err() {
                return Poll::Ready(());
            }
            // All that are ready now are read, then run, and only then the first of them is answered:
            // work of one kind is done in a row, and a client that waits for several answers wakes up
            // once; sending to it costs less while it is awake. If the answer has to wait anyway, it
            // waits at the gate.
            let must_wait = || Worker::with(|worker| worker.must_wait(self.session.seen));
            let has_answer = !self.output.is_empty() && !self.has_passed;
            if self.is_due || has_answer && !must_wait() {
                self.is_due = true;
                round::enlist(desk);
                return Poll::Pending;
            }
        }
    }

    /// Whether it has requests that nothing but their turn keeps from running.
    fn waits_to_run(&self) -> bool {
        self.has_more
            && self.parser.is_at_rest()
            && self.parked.is_none()
            && !self.session.is_in_script
            && self.session.identity.is_authenticated()
    }

    /// Reads what has arrived and runs it. Replies are in `output` then, or in `behind`.
    fn poll_batch(&mut self, worker: &mut Worker, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut input = std::mem::take(&mut worker.input);
        // After a panic in a command the buffer was lost.
        input.resize(INPUT_BYTES, 0);
        if self.has_passed {
            std::mem::swap(&mut worker.output, &mut self.behind);
        }
        let before = worker.output.len();
        let ran = self.poll_input(worker, &mut input, cx);
        worker.input = input;
        worker.metrics.total_net_output_bytes.add((worker.output.len() - before) as u64);
        if self.has_passed {
            std::mem::swap(&mut worker.output, &mut self.behind);
        } else if !worker.output.is_empty() {
            self.output = worker.take_output();
            self.session.client.memory.output.store(self.output.len(), Relaxed);
            if worker.limits_output {
                self.check_output(worker);
            }
        }
        ready!(ran)?;
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
            self.settle(&worker.server);
            if self.missing > 0 {
                return Poll::Ready(Ok(()));
            }
        } else if !self.has_more {
            let mut read = ReadBuf::new(buffer);
            self.awaits_input = true;
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            self.awaits_input = false;
            if read.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            worker.metrics.total_net_input_bytes.add(read.filled().len() as u64);
            let len = read.filled().len();
            self.session.client.memory.query.store(len, Relaxed);
            arrived = &buffer[..len];
            if self.input.is_empty() && len <= TOGETHER_BYTES_MAX && !self.has_passed {
                self.input = worker.take_input();
                self.input.extend_from_slice(arrived);
                (self.has_more, self.is_due) = (true, true);
                return Poll::Ready(Ok(()));
            }
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
            } else {
                worker.keep_input(input);
            }
        }
        self.session.client.memory.query.store(self.input.len(), Relaxed);
        if self.session.is_heavy || !self.input.is_empty() {
            self.settle(&worker.server);
        }
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
        Poll::Ready(Ok(read))
    }

    /// Runs requests at the start of `input`; returns the bytes that are done with.
    fn run(&mut self, worker: &mut Worker, input: &[u8]) -> usize {
        // What was sent to this client before these requests were read stands before their replies: who had a
        // reply of the sender's, and then asks here, must find it.
        if self.session.client.mailbox.has_mail() {
            self.session.collect_mail(&mut worker.output, &mut self.pushed);
        }
        let mut output = std::mem::take(&mut worker.output);
        let mut ahead = std::mem::take(&mut worker.ahead);
        let parser = &mut self.parser;
        let output_max = output.len() + BATCH_OUTPUT_BYTES;
        let (replies, pushed) = (&mut self.replies, &mut self.pushed);
        let (missing, parked) = (&mut self.missing, &mut self.parked);
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
                output_max,
                replies,
                pushed,
                missing,
            };
            let ended = batch.run();
            *parked = executor.is_parked.then_some(executor.waits_for);
            ended
        });
        worker.output = output;
        worker.ahead = ahead;
        self.has_more = has_more;
        if self.parked.is_some_and(|wait| wait != Wait::Script) {
            self.session.client.set(Flag::Paused, true);
        }
        used
    }

    fn go_on_with_script(&mut self) {
        Worker::with(|worker| {
            let mut output = match self.has_passed {
                true => std::mem::take(&mut self.behind),
                false => worker.take_output(),
            };
            worker.run(&mut self.session, |executor, session, _| {
                let resp3 = session.resp3;
                executor.go_on(session, &mut Reply::resp(&mut output, resp3));
            });
            self.replies += usize::from(!output.is_empty());
            if self.has_passed {
                self.behind = output;
            } else {
                self.session.client.memory.output.store(output.len(), Relaxed);
                self.output = output;
            }
        });
    }
}
