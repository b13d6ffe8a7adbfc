//! Keyspace notifications: what happens to names, published to `__keyspace@<db>__:<name>` and
//! `__keyevent@<db>__:<event>` as `notify-keyspace-events` says.
//!
//! Events follow from effects and their causes (see [`crate::events`]), in the journal's order. A
//! command that changes several pairs of one namespace is one event, as in Redis. What a transaction publishes itself
//! stands among its events. Which pairs these
//! were, Redis 8.0 does not say, so this does not either; [`crate::events::feed`] does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::pubsub::{PubSub, Publication};
use crate::clock::Clock;
use crate::config::format::Reason;
use crate::events::{Batch, Events, Happening, Interest, Listener};
use crate::journal::effect::{Cause, Effect};
use crate::store::Store;

/// Classes of events, and where they are published: the letters of `notify-keyspace-events`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Classes(u32);

/// A letter of [`Classes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Generic,
    String,
    List,
    Set,
    Hash,
    SortedSet,
    Expired,
    Evicted,
    Stream,
    Module,
    New,
    Keyspace,
    Keyevent,
    Miss,
}

/// In the order in which Redis shows them.
const LETTERS: [(char, Class); 14] = [
    ('g', Class::Generic),
    ('$', Class::String),
    ('l', Class::List),
    ('s', Class::Set),
    ('h', Class::Hash),
    ('z', Class::SortedSet),
    ('x', Class::Expired),
    ('e', Class::Evicted),
    ('t', Class::Stream),
    ('d', Class::Module),
    ('n', Class::New),
    ('K', Class::Keyspace),
    ('E', Class::Keyevent),
    ('m', Class::Miss),
];

/// How many of the letters `A` stands for.
const ALL_LETTERS: usize = 10;

impl Classes {
    /// From the letters.
    ///
    /// # Errors
    /// Redis's text.
    pub fn read(letters: &str) -> Result<Classes, Reason> {
        let mut classes = Classes::default();
        for letter in letters.chars() {
            classes.0 |= match LETTERS.iter().find(|(known, _)| *known == letter) {
                Some((_, class)) => class.bit(),
                None if letter == 'A' => Classes::all().0,
                None => return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
            };
        }
        Ok(classes)
    }

    /// The letters, `A` for many.
    pub fn show(self) -> String {
        let has_all = self.0 & Classes::all().0 == Classes::all().0;
        let (first, rest) =
            if has_all { ("A", &LETTERS[ALL_LETTERS..]) } else { ("", &LETTERS[..]) };
        // Redis leaves out `n` behind `A`, and so it is lost in a rewritten file; this does not.
        let shown = rest.iter().filter(|(_, class)| self.has(*class));
        first.chars().chain(shown.map(|(letter, _)| *letter)).collect()
    }

    fn all() -> Classes {
        Classes(LETTERS[..ALL_LETTERS].iter().fold(0, |bits, (_, class)| bits | class.bit()))
    }

    fn has(self, class: Class) -> bool {
        self.0 & class.bit() != 0
    }

    /// Whether any event is published anywhere.
    fn is_heard(self) -> bool {
        let places = Class::Keyspace.bit() | Class::Keyevent.bit();
        self.0 & places != 0 && self.0 & !places != 0
    }
}

impl Class {
    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Whether and which notifications are on.
#[derive(Debug)]
pub struct Notifications {
    events: Arc<Events>,
    classes: Arc<AtomicU32>,
}

impl Notifications {
    /// They are off.
    pub fn new(store: &Store, pubsub: &Arc<PubSub>) -> Notifications {
        let (events, classes) = (store.events.clone(), Arc::new(AtomicU32::new(0)));
        events.listen(Box::new(Notifier {
            classes: classes.clone(),
            pubsub: pubsub.clone(),
            clock: store.clock.clone(),
        }));
        Notifications { events, classes }
    }

    /// Sets which are published.
    pub fn set(&self, classes: Classes) {
        self.classes.store(classes.0, Relaxed);
        self.events.set_interest(Interest::Notifications, classes.is_heard());
    }
}

/// Publishes events.
struct Notifier {
    classes: Arc<AtomicU32>,
    pubsub: Arc<PubSub>,
    clock: Arc<Clock>,
}

impl Listener for Notifier {
    fn hear(&mut self, batches: &[Batch]) {
        let classes = Classes(self.classes.load(Relaxed));
        let now_ms = self.clock.now_ms();
        for batch in batches.iter().filter(|batch| classes.is_heard() || batch.publishes()) {
            let mut events = Publications { classes, list: Vec::new() };
            events.add_all(batch);
            if !events.list.is_empty() {
                self.pubsub.publish(batch.lsn, now_ms, &events.list);
            }
        }
    }
}

struct Publications {
    classes: Classes,
    list: Vec<Publication>,
}

impl Publications {
    fn add_all(&mut self, batch: &Batch) {
        // Why and of what the last pair was changed, if the same command may go on with others.
        let mut last: Option<(Cause, u8, &[u8])> = None;
        for happening in batch.happenings() {
            match happening {
                Happening::CommandEnd => last = None,
                Happening::Read { .. } => {}
                Happening::Published(message) => self.list.push(message.clone()),
                Happening::Miss { db, name } => self.add(Class::Miss, "keymiss", db, name),
                Happening::Change { cause, effect, is_new } => {
                    let pair = pair_of(&effect).map(|(db, name)| (cause, db, name));
                    let goes_on = pair.is_some() && pair == last;
                    last = pair;
                    self.add_change(cause, effect, is_new, goes_on);
                }
            }
        }
    }

    /// `goes_on`: the same command has changed another pair of the name for the same reason.
    fn add_change(&mut self, cause: Cause, effect: Effect<'_>, is_new: bool, goes_on: bool) {
        match effect {
            Effect::PutPair { db, name, .. } | Effect::PutString { db, name, .. } => {
                if is_new {
                    self.add(Class::New, "new", db, name);
                }
                if !goes_on {
                    self.add_cause(cause, db, name);
                }
            }
            Effect::DeletePair { db, name, is_last, .. } => {
                if !goes_on {
                    self.add_cause(cause, db, name);
                }
                if is_last {
                    self.add(Class::Generic, "del", db, name);
                }
            }
            Effect::PairDeadline { db, name, .. } if !goes_on => self.add_cause(cause, db, name),
            Effect::DropName { db, name } | Effect::NameDeadline { db, name, .. } => {
                // RESTORE over something is one event.
                if cause != Cause::Restore {
                    self.add_cause(cause, db, name);
                }
            }
            Effect::Keep { db, name } | Effect::PatchString { db, name, .. } => {
                self.add_cause(cause, db, name);
            }
            Effect::Rename { db, name, to } if name != to => {
                self.add(Class::New, "new", db, to);
                self.add(Class::Generic, "rename_from", db, name);
                self.add(Class::Generic, "rename_to", db, to);
            }
            Effect::Copy { to_db, to, .. } => {
                self.add(Class::New, "new", to_db, to);
                self.add(Class::Generic, "copy_to", to_db, to);
            }
            Effect::Move { db, name, to_db } => {
                self.add(Class::New, "new", to_db, name);
                self.add(Class::Generic, "move_from", db, name);
                self.add(Class::Generic, "move_to", to_db, name);
            }
            Effect::PairDeadline { .. }
            | Effect::Rename { .. }
            | Effect::SwapDb { .. }
            | Effect::Libraries { .. }
            | Effect::Library { .. }
            | Effect::Limit { .. }
            | Effect::Flush { .. } => {}
        }
    }

    fn add_cause(&mut self, cause: Cause, db: u8, name: &[u8]) {
        if let Some(class) = class_of(cause) {
            self.add(class, cause.event(), db, name);
        }
        match cause {
            Cause::Hsetex => self.add(Class::Hash, "hexpire", db, name),
            Cause::Setex => self.add(Class::Generic, "expire", db, name),
            _ => {}
        }
    }

    fn add(&mut self, class: Class, event: &str, db: u8, name: &[u8]) {
        if !self.classes.has(class) {
            return;
        }
        let mut publish = |place: Class, kind: &str, subject: &[u8], payload: &[u8]| {
            if self.classes.has(place) {
                let mut channel = format!("__{kind}@{db}__:").into_bytes();
                channel.extend_from_slice(subject);
                let payload = payload.to_vec();
                self.list.push(Publication { is_shard: false, channel, payload });
            }
        };
        publish(Class::Keyspace, "keyspace", name, event.as_bytes());
        publish(Class::Keyevent, "keyevent", event.as_bytes(), name);
    }
}

/// The namespace of which an effect changes a pair.
fn pair_of<'e>(effect: &Effect<'e>) -> Option<(u8, &'e [u8])> {
    match *effect {
        Effect::PutPair { db, name, .. }
        | Effect::DeletePair { db, name, .. }
        | Effect::PairDeadline { db, name, .. } => Some((db, name)),
        _ => None,
    }
}

/// The class of a cause's event; `None` for what Redis clients do not hear of, or not by this word.
fn class_of(cause: Cause) -> Option<Class> {
    Some(match cause {
        Cause::Hset
        | Cause::Hsetex
        | Cause::Hdel
        | Cause::Hincrby
        | Cause::Hincrbyfloat
        | Cause::Hexpire
        | Cause::Hpersist
        | Cause::Hexpired => Class::Hash,
        Cause::Set
        | Cause::Setex
        | Cause::Setrange
        | Cause::Append
        | Cause::Incrby
        | Cause::Incrbyfloat
        | Cause::Setbit
        | Cause::Bitop
        | Cause::Pfadd => Class::String,
        Cause::Del | Cause::Expire | Cause::Persist | Cause::Restore | Cause::Emptied => {
            Class::Generic
        }
        Cause::Expired => Class::Expired,
        Cause::Evicted => Class::Evicted,
        Cause::Rename
        | Cause::CopyTo
        | Cause::Move
        | Cause::Swapdb
        | Cause::Flush
        | Cause::Function
        | Cause::Limited
        | Cause::Grown
        | Cause::Kept => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_shown_as_redis_shows_them() {
        for (read, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("AKE", "AKE"),
            ("Kg$lshzxetd", "AK"),
            ("mEK$h", "$hKEm"),
            ("nxE", "xnE"),
            ("KnA", "AnK"),
        ] {
            assert_eq!(Classes::read(read).unwrap().show(), shown, "{read}");
            assert_eq!(Classes::read(shown), Classes::read(read));
        }
        assert!(Classes::read("KEB").is_err());
    }

    #[test]
    fn a_class_without_a_place_is_not_heard() {
        let is_heard = |letters| Classes::read(letters).unwrap().is_heard();
        assert!(is_heard("Kg") && is_heard("Ex"));
        assert!(!is_heard("") && !is_heard("KE") && !is_heard("A"));
    }
}
