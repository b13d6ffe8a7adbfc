//! MONITOR: clients that are shown every command that is run.
//!
//! One line a command, in Redis's form. Lines leave when a batch of commands is done, as one message to
//! all who watch, and wait for what the commands have changed to be safe, like their replies.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::message::Message;
use super::post::Post;
use crate::command::Spec;
use crate::dispatch::redact::secrets;
use crate::journal::Lsn;
use crate::resp::request::Args;
use crate::server::clients::Client;
use crate::session::Session;

/// Who watches.
#[derive(Debug)]
pub struct Monitors {
    post: Arc<Post>,
    count: AtomicUsize,
    clients: Mutex<Vec<Arc<Client>>>,
}

impl Monitors {
    /// Nobody.
    pub fn new(post: &Arc<Post>) -> Monitors {
        Monitors { post: post.clone(), count: AtomicUsize::new(0), clients: Mutex::default() }
    }

    /// Whether anybody watches.
    #[inline]
    pub fn are_there(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    /// Adds a client that is not among them.
    pub fn add(&self, client: &Arc<Client>) {
        let mut clients = self.clients.lock();
        clients.push(client.clone());
        self.count.store(clients.len(), Relaxed);
    }

    /// Removes a client, if it is among them.
    pub fn remove(&self, client_id: u64) {
        let mut clients = self.clients.lock();
        clients.retain(|client| client.id != client_id);
        self.count.store(clients.len(), Relaxed);
    }

    /// Shows lines of commands that depend on what happened up to `lsn`.
    pub fn show(&self, lsn: Lsn, now_ms: u64, lines: &str) {
        let message = Arc::new(Message::either(lsn, |reply| reply.encoded(lines.as_bytes())));
        let mut round = self.post.round(now_ms);
        self.clients.lock().iter().for_each(|client| round.send(client, &message));
    }
}

/// Appends the line of one command, unless it is for administrators only.
pub fn add_line(lines: &mut String, session: &Session, spec: &Spec, args: Args<'_>, now_us: u64) {
    if spec.command.flags.admin {
        return;
    }
    let (db, seconds, us) = (session.db, now_us / 1_000_000, now_us % 1_000_000);
    // Writing to a string does not fail.
    let _ = match session.is_script {
        true => write!(lines, "+{seconds}.{us:06} [{db} lua]"),
        false => write!(lines, "+{seconds}.{us:06} [{db} {}]", session.client.addr),
    };
    let is_secret = secrets(spec, args);
    for (at, arg) in args.iter().enumerate() {
        lines.push_str(" \"");
        add_quoted(lines, if is_secret(at) { b"(redacted)" } else { arg });
        lines.push('"');
    }
    lines.push_str("\r\n");
}

fn add_quoted(lines: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        let _ = match byte {
            b'\\' | b'"' => write!(lines, "\\{}", byte as char),
            b'\n' => write!(lines, "\\n"),
            b'\r' => write!(lines, "\\r"),
            b'\t' => write!(lines, "\\t"),
            0x07 => write!(lines, "\\a"),
            0x08 => write!(lines, "\\b"),
            0x20..0x7f => write!(lines, "{}", byte as char),
            _ => write!(lines, "\\x{byte:02x}"),
        };
    }
}
