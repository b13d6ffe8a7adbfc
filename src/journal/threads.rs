//! The threads of a journal: one that writes, one that flushes.
//!
//! Loops only; what they do is in [`super::writer`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, fence};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::flusher::Flusher;
use super::writer::{Step, UNSYNCED_BYTES_MAX, Writer};
use super::{Journal, Shared};
use crate::clock::Clock;
use crate::config::Fsync;

/// Under `everysec` a flush begins this often: together with the flush itself, within a second.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// How long the writer rests when nobody calls.
const IDLE: Duration = Duration::from_millis(500);
/// While changes come one after the other, how long the writer waits for the next of those that it
/// expects, at least: before anybody comes back, replies have to be sent and read.
const NEXT_MIN: Duration = Duration::from_micros(200);
const REPLY: Duration = Duration::from_micros(20);
/// And for all of them, at most.
const GATHERING: Duration = Duration::from_millis(2);
const GATHERING_MAX: Duration = Duration::from_millis(20);
/// How soon it tries again when the disk refuses.
const RETRY: Duration = Duration::from_millis(200);

/// What the writer's thread is asked to do.
enum Request {
    Rotate(Sender<io::Result<u64>>),
    BeginFresh(Sender<io::Result<u64>>),
    Trust,
    Close,
}

/// The running threads of a journal.
#[derive(Debug)]
pub struct Threads {
    journal: Journal,
    flusher: Arc<Flusher>,
    requests: Sender<Request>,
    is_closing: Arc<AtomicBool>,
    handles: Mutex<Option<Handles>>,
}

#[derive(Debug)]
struct Handles {
    writer: JoinHandle<io::Result<()>>,
    flush: JoinHandle<()>,
}

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(journal: Journal, writer: Writer, clock: Arc<Clock>) -> io::Result<Threads> {
        let (requests, received) = channel();
        let flusher = writer.flusher.clone();
        let is_closing = Arc::new(AtomicBool::new(false));
        let flush = {
            let (journal, flusher, is_closing) =
                (journal.clone(), flusher.clone(), is_closing.clone());
            let work = move || flush(&journal, &flusher, &is_closing);
            thread::Builder::new().name("journal-flush".into()).spawn(work)?
        };
        let flush_thread = flush.thread().clone();
        let writer = {
            let journal = journal.clone();
            let writer = Arc::new(Mutex::new(writer));
            *journal.shared.direct.lock() = Some(writer.clone());
            let work = move || {
                let result = write(&journal, &writer, &clock, &received, &flush_thread);
                *journal.shared.direct.lock() = None;
                result
            };
            thread::Builder::new().name("journal-write".into()).spawn(work)?
        };
        *journal.shared.writer.lock() = Some(writer.thread().clone());
        let handles = Mutex::new(Some(Handles { writer, flush }));
        Ok(Threads { journal, flusher, requests, is_closing, handles })
    }

    /// See [`Writer::rotate`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn rotate(&self) -> io::Result<u64> {
        self.ask(Request::Rotate)
    }

    /// See [`Writer::begin_fresh`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin_fresh(&self) -> io::Result<u64> {
        self.ask(Request::BeginFresh)
    }

    /// See [`Writer::trust`].
    pub fn trust(&self) {
        // Without the thread there is nothing to trust.
        let _ = self.requests.send(Request::Trust);
        self.journal.wake();
    }

    /// Whether a flush failed, so that a snapshot and a fresh segment are needed.
    pub fn is_distrusted(&self) -> bool {
        self.flusher.check().is_err()
    }

    /// Waits until everything up to `lsn` is safe on the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn flush_to(&self, lsn: super::Lsn) -> io::Result<()> {
        const PAUSE: Duration = Duration::from_millis(2);
        loop {
            let (written, synced) = self.journal.progress();
            if synced >= lsn {
                return Ok(());
            }
            if written >= lsn {
                self.flusher.flush()?;
                continue;
            }
            self.flusher.check()?;
            if self.is_closing.load(Relaxed) {
                return Err(closed());
            }
            self.journal.wake();
            thread::sleep(PAUSE);
        }
    }

    /// Writes and flushes what is left, and stops both threads.
    ///
    /// # Errors
    /// When the disk refuses, or a thread panicked.
    pub fn close(&self) -> io::Result<()> {
        let Some(Handles { writer, flush }) = self.handles.lock().take() else {
            return Err(closed());
        };
        self.is_closing.store(true, Relaxed);
        flush.thread().unpark();
        // A thread that ended has said why.
        let _ = self.requests.send(Request::Close);
        self.journal.wake();
        let panicked = |_| io::Error::other("a thread of the journal panicked");
        let result = writer.join().map_err(panicked)?;
        flush.join().map_err(panicked)?;
        result
    }

    fn ask(&self, request: fn(Sender<io::Result<u64>>) -> Request) -> io::Result<u64> {
        let (reply, answer) = channel();
        self.requests.send(request(reply)).map_err(|_| closed())?;
        self.journal.wake();
        answer.recv().map_err(|_| closed())?
    }
}

fn closed() -> io::Error {
    io::Error::other("the journal is closed")
}

fn write(
    journal: &Journal,
    writer: &Mutex<Writer>,
    clock: &Clock,
    requests: &Receiver<Request>,
    flush: &thread::Thread,
) -> io::Result<()> {
    loop {
        while let Ok(request) = requests.try_recv() {
            let now_ms = clock.now_ms();
            // Who asked may have gone.
            match request {
                Request::Rotate(reply) => drop(reply.send(writer.lock().rotate(now_ms))),
                Request::BeginFresh(reply) => drop(reply.send(writer.lock().begin_fresh(now_ms))),
                Request::Trust => writer.lock().trust(),
                Request::Close => return writer.lock().close(clock.now_ms()),
            }
        }
        let begun_ns = clock.monotonic_ns();
        let stepped = writer.lock().step(clock.now_ms());
        let took = Duration::from_nanos(clock.monotonic_ns() - begun_ns);
        let unsynced_bytes = journal.status().unsynced_bytes.load(Relaxed);
        if unsynced_bytes > UNSYNCED_BYTES_MAX / 4 && journal.policy() == Fsync::EverySec {
            flush.unpark();
        }
        match stepped {
            Ok(step) => rest(journal, clock, step, took),
            Err(_) => thread::park_timeout(RETRY),
        }
    }
}

/// Waits for changes, but not long. Returns at once if somebody asks for something else.
fn rest(journal: &Journal, clock: &Clock, step: Step, took: Duration) {
    let shared = &*journal.shared;
    if journal.policy() == Fsync::Always && step.clients > 0 {
        gather(shared, clock, step, took);
    }
    shared.wanted.store(1, Relaxed);
    fence(SeqCst);
    if shared.waiting() == 0 {
        thread::park_timeout(IDLE);
    }
    shared.wanted.store(u64::MAX, Relaxed);
}

/// Waits until those whose replies have just left have come back, together with those who wait already,
/// or do not come any more. Then one record and one flush do for all of them. It is worth to wait for
/// them about as long as a flush for them alone would take, which is what the last one `took`.
fn gather(shared: &Shared, clock: &Clock, step: Step, took: Duration) {
    let expected = step.next + u64::from(step.clients);
    let patience = took.max(NEXT_MIN + REPLY * step.clients).min(GATHERING_MAX);
    let most = patience.saturating_mul(2).clamp(GATHERING, GATHERING_MAX);
    let begun_ns = clock.monotonic_ns();
    let mut waiting = 0;
    loop {
        let before = waiting;
        shared.wanted.store(expected, Relaxed);
        fence(SeqCst);
        waiting = shared.waiting();
        let waited = Duration::from_nanos(clock.monotonic_ns() - begun_ns);
        let is_hopeless = waiting == before && waited >= patience;
        if waiting >= expected || is_hopeless || waited >= most {
            return;
        }
        thread::park_timeout(patience.min(most - waited));
    }
}

fn flush(journal: &Journal, flusher: &Flusher, is_closing: &AtomicBool) {
    while !is_closing.load(Relaxed) {
        thread::park_timeout(FLUSH_INTERVAL);
        if journal.policy() == Fsync::EverySec && flusher.flush().is_err() {
            // The writer says so to everybody.
            journal.wake();
        }
    }
}
