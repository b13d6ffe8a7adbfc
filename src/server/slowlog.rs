//! The slow log: the last commands that took longer than `slowlog-log-slower-than`.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::resp::request::Args;

/// Arguments of a command that are kept, and bytes of each.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;

/// The log.
#[derive(Debug, Default)]
pub struct Slowlog(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    /// The newest is the first.
    entries: VecDeque<Entry>,
    next_id: u64,
}

/// A command that was slow.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Grows by one with each entry; never begins again.
    pub id: u64,
    /// When it ended, in unix seconds.
    pub at_s: u64,
    /// How long it took, in µs.
    pub took_us: u64,
    /// Its arguments, shortened.
    pub args: Vec<Vec<u8>>,
    /// Where its client is.
    pub client_addr: String,
    /// What its client calls itself.
    pub client_name: Vec<u8>,
}

impl Slowlog {
    /// Remembers an entry and forgets what is more than `len_max`. Its id is given here.
    pub fn push(&self, entry: Entry, len_max: usize) {
        let mut log = self.0.lock();
        let id = log.next_id;
        log.next_id += 1;
        log.entries.push_front(Entry { id, ..entry });
        log.entries.truncate(len_max);
    }

    /// Forgets what is more than `len_max`.
    pub fn shorten(&self, len_max: usize) {
        self.0.lock().entries.truncate(len_max);
    }

    /// The newest, `count` at most.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.0.lock().entries.iter().take(count).cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.0.lock().entries.clear();
    }
}

/// Arguments as the log shows them. `is_secret` says which must not be shown.
pub fn shortened(args: Args<'_>, is_secret: impl Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let shown = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let arg = |(at, arg): (usize, &[u8])| {
        if is_secret(at) {
            return b"(redacted)".to_vec();
        }
        let mut text = arg[..arg.len().min(ARG_BYTES_MAX)].to_vec();
        if arg.len() > ARG_BYTES_MAX {
            let more = arg.len() - ARG_BYTES_MAX;
            text.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
        }
        text
    };
    let mut all: Vec<Vec<u8>> = args.iter().take(shown).enumerate().map(arg).collect();
    if shown < args.len() {
        all.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    all
}
