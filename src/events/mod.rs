//! Changes, in the journal's order, for those who want to hear of them.
//!
//! When stripes are let go, what happened under them gets its LSN (see [`crate::store::Held`]); if
//! somebody listens, it is handed in here under one lock with that, so the order here is the journal's.
//! With the stripes free again it is shown to every [`Listener`]. When the command's reply is written,
//! all listeners have heard of what it did: who reads the reply and then asks a listener's client
//! finds the message there, or on its way.
//!
//! While nobody listens all this costs one relaxed load for each batch of commands.
//!
//! - [`notes`]: what a listener wants to know and effects do not say: where one command ends, which
//!   name is new, what was looked for in vain.
//! - [`feed`]: changes of one namespace or key, with values and a bounded history, for doors that show
//!   them (HTTP's event streams).
//!
//! Listeners decide what becomes of a change; messages to clients are [`crate::push`]'s matter.

pub mod feed;
pub mod notes;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::journal::Lsn;
use crate::journal::effect::{Cause, Decoder, Effect, Effects};
use notes::Note;

use crate::push::pubsub::Publication;

/// Where changes go from the store.
#[derive(Default)]
pub struct Events {
    /// Bits of [`Interest`].
    interests: AtomicU32,
    queue: Mutex<Vec<Batch>>,
    listeners: Mutex<Vec<Box<dyn Listener>>>,
}

/// Why somebody listens. Changes are heard while there is an interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Interest {
    /// Keyspace notifications are on.
    Notifications = 1,
    /// Clients keep copies of what they read.
    Tracking = 2,
    /// Somebody watches through a [`feed::Feed`].
    Feed = 4,
}

/// Somebody who is told of changes.
pub trait Listener: Send {
    /// Some batches, in LSN order, none twice. Holds up whoever made the changes: must not wait, and
    /// must not touch the store.
    fn hear(&mut self, batches: &[Batch]);
}

/// What happened at one LSN.
#[derive(Debug)]
pub struct Batch {
    /// Its place in the journal; of a batch without effects, the last one that it depends on.
    pub lsn: Lsn,
    /// The client whose commands these were; 0: nobody's.
    pub client_id: u64,
    effects: Vec<u8>,
    notes: Vec<(usize, Note)>,
}

/// One thing in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening<'b> {
    /// Something changed. `is_new`: the name was not there for Redis clients, and is now.
    Change {
        /// Why.
        cause: Cause,
        /// What.
        effect: Effect<'b>,
        /// Whether the name that is put is new.
        is_new: bool,
    },
    /// A command looked for a name that was not there.
    Miss {
        /// The database.
        db: u8,
        /// What it looked for.
        name: &'b [u8],
    },
    /// A transaction or a script has published a message.
    Published(&'b Publication),
    /// A client that keeps copies has read names, after what came before and before what comes now.
    Read {
        /// The client.
        client_id: u64,
        /// What it has read.
        names: &'b [Box<[u8]>],
    },
    /// What comes now is another command's.
    CommandEnd,
}

impl Events {
    /// Adds a listener. It hears what happens while [`Events::set_interest`] says that it wants to.
    pub fn listen(&self, listener: Box<dyn Listener>) {
        self.listeners.lock().push(listener);
    }

    /// Says whether there is this interest. Who reads or changes a name after this returned can rely on
    /// every later change of that name being heard.
    pub fn set_interest(&self, interest: Interest, wants: bool) {
        if wants {
            self.interests.fetch_or(interest as u32, Relaxed);
        } else {
            self.interests.fetch_and(!(interest as u32), Relaxed);
        }
    }

    /// Whether anybody listens.
    #[inline]
    pub fn is_heard(&self) -> bool {
        self.interests.load(Relaxed) != 0
    }

    /// Gives effects their LSN and queues them. Their stripes must be held; [`Events::deliver`] must
    /// follow when they are not any more.
    #[cold]
    pub fn record(&self, effects: &mut Effects, append: impl FnOnce(&[u8]) -> Lsn) -> Lsn {
        let mut queue = self.queue.lock();
        let lsn = append(effects.as_bytes());
        queue.push(Batch::take(effects, lsn));
        lsn
    }

    /// Shows listeners what is queued. No stripe may be held.
    #[cold]
    pub fn deliver(&self) {
        let mut listeners = self.listeners.lock();
        loop {
            let batches = std::mem::take(&mut *self.queue.lock());
            if batches.is_empty() {
                return;
            }
            listeners.iter_mut().for_each(|listener| listener.hear(&batches));
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("interests", &self.interests).finish_non_exhaustive()
    }
}

impl Batch {
    fn take(effects: &mut Effects, lsn: Lsn) -> Batch {
        let (client_id, notes) = effects.notes.take();
        Batch { lsn, client_id, effects: effects.take(), notes }
    }

    /// Whether messages were published.
    pub fn publishes(&self) -> bool {
        self.notes.iter().any(|(_, note)| matches!(note, Note::Published(_)))
    }

    /// What happened, in its order.
    pub fn happenings(&self) -> impl Iterator<Item = Happening<'_>> {
        let mut decoder = Decoder::new(&self.effects);
        let mut notes = self.notes.iter().peekable();
        let mut is_new = false;
        std::iter::from_fn(move || {
            let at = self.effects.len() - decoder.left();
            while let Some((_, note)) = notes.next_if(|(noted_at, _)| *noted_at <= at) {
                match note {
                    Note::New => is_new = true,
                    Note::CommandEnd => return Some(Happening::CommandEnd),
                    Note::Published(message) => return Some(Happening::Published(message)),
                    Note::Read { client_id, names } => {
                        return Some(Happening::Read { client_id: *client_id, names });
                    }
                    Note::Miss { db, name } => return Some(Happening::Miss { db: *db, name }),
                }
            }
            let (cause, effect) = decoder.next()?.ok()?;
            let is_new = std::mem::take(&mut is_new);
            Some(Happening::Change { cause, effect, is_new })
        })
    }

    /// The changes alone.
    pub fn changes(&self) -> impl Iterator<Item = (Cause, Effect<'_>)> {
        Decoder::new(&self.effects).flatten()
    }
}
