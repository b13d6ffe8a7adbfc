//! Brings messages to clients' mailboxes, and wakes those who have to look.
//!
//! A wake-up of another thread costs a system call; so a [`Round`] gathers whom to wake, and rings
//! once for each thread when it ends. A thread's porter (see [`crate::server::worker`]) answers the
//! bell and lets its own clients go on, which costs next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Waker;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::mailbox::Put;
use super::message::Message;
use crate::config::OutputLimits;
use crate::server::clients::{Client, Clients};
use crate::server::resp;

/// Mail that is worth a look at what all clients take.
const MAIL_NOTED_BYTES: usize = 16 * 1024;

/// One bell for each worker thread.
#[derive(Debug)]
pub struct Post {
    bells: Vec<Bell>,
    limits: Mutex<OutputLimits>,
    clients: Arc<Clients>,
    /// Clients closed because they did not read.
    pub disconnections: AtomicU64,
}

/// Whom a worker's porter is to wake.
#[derive(Debug, Default)]
struct Bell {
    sleepers: Mutex<Vec<Sleeper>>,
    rung: Notify,
}

/// Somebody who is to be woken.
#[derive(Debug)]
enum Sleeper {
    /// A client's connection.
    Client(Arc<Client>),
    /// Whoever else.
    Other(Waker),
}

/// Messages that are brought together: whoever gets some is woken when this ends.
pub struct Round<'p> {
    post: &'p Post,
    limits: OutputLimits,
    now_ms: u64,
    /// By worker thread.
    sleepers: Vec<Vec<Sleeper>>,
}

impl Post {
    /// For so many worker threads.
    pub fn new(workers: usize, clients: &Arc<Clients>) -> Post {
        let bells = (0..workers).map(|_| Bell::default()).collect();
        let (limits, disconnections) = (Mutex::default(), AtomicU64::new(0));
        Post { bells, limits, clients: clients.clone(), disconnections }
    }

    /// Closes a client that has too much waiting for it, so that nothing can wait there any more.
    #[cold]
    pub fn cut(&self, client: &Client) {
        self.disconnections.fetch_add(1, Relaxed);
        tracing::warn!(
            id = client.id,
            addr = %client.addr,
            "client closed: it does not read what it is sent (client-output-buffer-limit)"
        );
        client.mailbox.close();
        self.clients.close(client);
    }

    /// Whether more waits for a client than the limit of its class allows.
    pub fn is_over_limit(&self, client: &Client, now_ms: u64) -> bool {
        let limit = self.limits.lock().of(client.class());
        client.mailbox.is_over(client.memory.output_list(), limit, now_ms)
    }

    /// Sets how much may wait for a client.
    pub fn set_limits(&self, limits: OutputLimits) {
        *self.limits.lock() = limits;
    }

    /// Begins a round.
    pub fn round(&self, now_ms: u64) -> Round<'_> {
        let sleepers = self.bells.iter().map(|_| Vec::new()).collect();
        Round { post: self, limits: *self.limits.lock(), now_ms, sleepers }
    }

    /// Waits until somebody on this worker's thread is to be woken.
    pub async fn rung(&self, worker: usize) {
        self.bells[worker].rung.notified().await;
    }

    /// Wakes whom others have rung for. Only this worker's thread may call this.
    pub fn wake(&self, worker: usize) {
        let sleepers = std::mem::take(&mut *self.bells[worker].sleepers.lock());
        for sleeper in sleepers {
            match sleeper {
                Sleeper::Client(client) => match client.desk() {
                    Some(desk) => resp::enlist(desk),
                    None => Waker::from(client).wake(),
                },
                Sleeper::Other(waker) => waker.wake(),
            }
        }
    }
}

impl Round<'_> {
    /// Sends a message to a client. A client that has too much waiting is told to close instead.
    pub fn send(&mut self, client: &Arc<Client>, message: &Arc<Message>) {
        let limit = self.limits.of(client.class());
        match client.mailbox.put(message, client.memory.output_list(), limit, self.now_ms) {
            Put::First => {
                self.ring(client.worker(), || Sleeper::Client(client.clone()));
                // Nothing else waits.
                if message.len() < MAIL_NOTED_BYTES {
                    return;
                }
            }
            Put::Behind => {}
            Put::Closed => return,
            Put::Over => return self.post.cut(client),
        }
        if client.mailbox.bytes() >= MAIL_NOTED_BYTES {
            self.post.clients.count(client);
        }
    }

    /// Wakes somebody on a worker's thread when the round ends.
    pub fn wake(&mut self, worker: usize, waker: impl FnOnce() -> Waker) {
        self.ring(worker, || Sleeper::Other(waker()));
    }

    fn ring(&mut self, worker: usize, sleeper: impl FnOnce() -> Sleeper) {
        if let Some(sleepers) = self.sleepers.get_mut(worker) {
            sleepers.push(sleeper());
        }
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        for (bell, sleepers) in self.post.bells.iter().zip(&mut self.sleepers) {
            if !sleepers.is_empty() {
                bell.sleepers.lock().append(sleepers);
                bell.rung.notify_one();
            }
        }
    }
}
