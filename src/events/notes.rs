//! Notes beside effects, for listeners: where commands end, which names are new, what was missed, what was published.
//!
//! They are no effects, since they change nothing and replaying needs none of them. They are only
//! taken while somebody listens.

use std::cell::{Cell, RefCell};

use crate::push::pubsub::Publication;

/// Beside effects; says something about the place where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The next effect puts a name that was not there for Redis clients.
    New,
    /// What comes now is another command's.
    CommandEnd,
    /// A command looked for a name that was not there.
    Miss {
        /// The database.
        db: u8,
        /// What it looked for.
        name: Box<[u8]>,
    },
    /// A transaction or a script has published a message.
    Published(Publication),
    /// A client that keeps copies has read names.
    Read {
        /// The client.
        client_id: u64,
        /// What it has read.
        names: Vec<Box<[u8]>>,
    },
}

/// Notes on the effects of one batch.
#[derive(Debug, Default)]
pub struct Notes {
    is_on: bool,
    client_id: u64,
    list: RefCell<Vec<(usize, Note)>>,
    bytes: Cell<usize>,
}

impl Note {
    /// Bytes that it takes, in a list of notes.
    fn bytes(&self) -> usize {
        let beside = match self {
            Note::New | Note::CommandEnd => 0,
            Note::Miss { name, .. } => name.len(),
            Note::Published(message) => message.channel.len() + message.payload.len(),
            Note::Read { names, .. } => {
                names.iter().map(|name| size_of_val(name) + name.len()).sum()
            }
        };
        size_of::<(usize, Note)>() + beside
    }
}

impl Notes {
    /// Says whether notes are to be taken from now on.
    #[inline]
    pub fn begin(&mut self, is_on: bool) {
        self.client_id = 0;
        self.is_on = is_on;
    }

    /// Says whose commands come now.
    #[inline]
    pub fn set_client(&mut self, id: u64) {
        self.client_id = id;
    }

    /// Whether notes are taken.
    #[inline]
    pub fn are_taken(&self) -> bool {
        self.is_on
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.is_on || self.list.borrow().is_empty()
    }

    /// Bytes that the notes take.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Takes a note that the effects that end at `at`, and the notes so far, are one command's.
    #[inline]
    pub fn end_command(&self, at: usize) {
        if self.is_on {
            let is_known = match self.list.borrow().last() {
                None => at == 0,
                Some((last_at, note)) => *last_at == at && *note == Note::CommandEnd,
            };
            if !is_known {
                self.add(at, || Note::CommandEnd);
            }
        }
    }

    /// Takes a note that a command has looked for a name in vain; one, however often it has.
    pub fn miss(&self, at: usize, db: u8, name: &[u8]) {
        let is_it =
            |note: &Note| matches!(note, Note::Miss { db: d, name: n } if *d == db && **n == *name);
        if self.is_on && !self.list.borrow().last().is_some_and(|(_, note)| is_it(note)) {
            self.add(at, || Note::Miss { db, name: name.into() });
        }
    }

    /// Takes a note before the effect that begins at `at`, if notes are taken.
    #[inline]
    pub fn add(&self, at: usize, note: impl FnOnce() -> Note) {
        if self.is_on {
            let note = note();
            self.bytes.set(self.bytes.get() + note.bytes());
            self.list.borrow_mut().push((at, note));
        }
    }

    /// Those that effects do not make again when they are applied.
    #[must_use]
    pub fn lasting(mut self) -> Notes {
        let lasts = |note: &Note| matches!(note, Note::Miss { .. } | Note::Published(_));
        self.list.get_mut().retain(|(_, note)| lasts(note));
        self
    }

    /// The client, and the notes, which are forgotten here.
    pub fn take(&mut self) -> (u64, Vec<(usize, Note)>) {
        self.bytes.set(0);
        (self.client_id, std::mem::take(self.list.get_mut()))
    }

    /// Forgets the notes.
    pub fn clear(&mut self) {
        self.bytes.set(0);
        self.list.get_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_notes_take_is_known() {
        let mut notes = Notes::default();
        notes.miss(0, 0, b"nobody");
        assert_eq!(notes.bytes(), 0, "nobody listens");
        notes.begin(true);
        (0..100).for_each(|_| notes.miss(0, 0, &[b'x'; 1000]));
        assert!((1000..2000).contains(&notes.bytes()), "it is noted once");
        let message =
            Publication { is_shard: false, channel: vec![0; 10], payload: vec![0; 10_000] };
        notes.add(0, || Note::Published(message));
        assert!(notes.bytes() > 11_000);
        assert_eq!(notes.take().1.len(), 2);
        assert_eq!(notes.bytes(), 0);
    }
}
