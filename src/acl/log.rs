//! ACL LOG: what was refused, newest first. Refusals that are alike and not a minute apart share an
//! entry.

use std::collections::VecDeque;

/// Refusals not further apart than this share an entry.
const GROUPED_MS_MAX: u64 = 60_000;
/// Entries that are looked at for one to share.
const LOOKED_AT_MAX: usize = 10;

/// The entries.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    next_id: u64,
}

/// Refusals that are alike.
#[derive(Debug, Clone)]
pub struct Entry {
    /// How many.
    pub count: u64,
    /// `command`, `key`, `channel`, `auth` or `tls-cert`.
    pub reason: &'static str,
    /// Where the command was: `toplevel`, `multi` or `lua`.
    pub context: &'static str,
    /// The command's name, the key or the channel.
    pub object: Vec<u8>,
    /// The user, or the name that was given.
    pub username: Vec<u8>,
    /// The client, as CLIENT INFO shows it.
    pub client: String,
    /// Unique, ascending.
    pub id: u64,
    /// The first of them, in unix ms.
    pub created_ms: u64,
    /// The last of them, in unix ms.
    pub updated_ms: u64,
}

impl Log {
    /// Adds a refusal; its number and times are given here. At most `len_max` entries stay.
    pub fn add(&mut self, mut entry: Entry, now_ms: u64, len_max: usize) {
        let is_alike = |known: &Entry| {
            (known.reason, known.context) == (entry.reason, entry.context)
                && now_ms.abs_diff(known.updated_ms) <= GROUPED_MS_MAX
                && known.object == entry.object
                && known.username == entry.username
        };
        let alike = self.entries.iter().take(LOOKED_AT_MAX).position(is_alike);
        if let Some(mut known) = alike.and_then(|at| self.entries.remove(at)) {
            known.count += 1;
            known.updated_ms = now_ms;
            known.client = entry.client;
            self.entries.push_front(known);
        } else if len_max > 0 {
            (entry.count, entry.id) = (1, self.next_id);
            (entry.created_ms, entry.updated_ms) = (now_ms, now_ms);
            self.next_id += 1;
            self.entries.push_front(entry);
        }
        self.entries.truncate(len_max);
    }

    /// The newest.
    pub fn newest(&self, most: usize) -> Vec<Entry> {
        self.entries.iter().take(most).cloned().collect()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
