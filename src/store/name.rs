//! What a name holds: its header (deadline, kept mark, last access) and its value.
//!
//! A value is a plain string or a namespace of pairs. Rules that concern one name alone live here;
//! effects, locks and databases do not.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::boxed::Entry;
use super::hash::KeyHasher;
use super::packed::{NewPair, Packed};
use super::segment::Slot;
use super::table::{NEVER, Table};
use crate::error::{Error, Result};

/// A name's key bytes with their hash, so that they are hashed once.
#[derive(Debug, Clone, Copy)]
pub struct Name<'a> {
    /// The bytes of the name.
    pub bytes: &'a [u8],
    pub(super) hash: u64,
}

/// The type a name has for Redis clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain string.
    String,
    /// A namespace, Redis type `hash`.
    Namespace,
}

/// How a write leaves the deadline of what it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewDeadline {
    /// As it was.
    Keep,
    /// None.
    Clear,
    /// At this unix time in ms.
    At(u64),
}

/// One name and what it holds.
#[derive(Debug)]
pub struct NameEntry {
    pub(super) name: Box<[u8]>,
    pub(super) deadline_ms: u64,
    pub(super) kept: bool,
    /// The string was last changed in a part: Redis then shows no integer in it.
    pub(super) raw: bool,
    accessed_s: AtomicU32,
    pub(super) value: Value,
}

/// The value of a name.
#[derive(Debug, Clone)]
pub(super) enum Value {
    String(Box<[u8]>),
    Namespace(Table<Packed>),
}

impl NameEntry {
    pub(super) fn new(name: &[u8], value: Value, used_ms: u64) -> Box<NameEntry> {
        Box::new(NameEntry {
            name: name.into(),
            deadline_ms: NEVER,
            kept: false,
            raw: false,
            accessed_s: AtomicU32::new((used_ms / 1000) as u32),
            value,
        })
    }

    /// The bytes of the name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// When the whole name expires, in unix ms.
    pub fn deadline_ms(&self) -> Option<u64> {
        (self.deadline_ms != NEVER).then_some(self.deadline_ms)
    }

    /// Whether it stays when its last pair is gone.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// The string, if it holds one.
    pub fn string(&self) -> Option<&[u8]> {
        match &self.value {
            Value::String(bytes) => Some(bytes),
            Value::Namespace(_) => None,
        }
    }

    /// Whether its string was last changed in a part, by APPEND or SETRANGE.
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// Bytes it takes, its place in the table of names included. For a namespace, those of the
    /// pairs too.
    pub fn bytes(&self) -> usize {
        size_of::<Slot>() + size_of::<Box<NameEntry>>() + self.heap_bytes()
    }

    /// Whether it holds pairs, or may: an empty namespace too.
    pub fn is_namespace(&self) -> bool {
        matches!(self.value, Value::Namespace(_))
    }

    /// Whether its own deadline has passed.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.deadline_ms <= now_ms
    }

    /// Whether it or any of its pairs expired after `since_ms`.
    pub(super) fn has_expired(&self, since_ms: u64, now_ms: u64) -> bool {
        let expired = |deadline_ms| since_ms < deadline_ms && deadline_ms <= now_ms;
        let pair_expired = || match &self.value {
            Value::String(_) => false,
            Value::Namespace(pairs) => {
                pairs.min_deadline_ms() <= now_ms
                    && pairs.iter().any(|pair| expired(pair.deadline_ms))
            }
        };
        // What was in a name that had expired was gone with it.
        !self.is_expired(since_ms) && (expired(self.deadline_ms) || pair_expired())
    }

    /// Whether it has not expired, and there is anything in it that has not.
    pub(super) fn is_alive(&self, now_ms: u64) -> bool {
        let has_content = || match &self.value {
            Value::String(_) => true,
            Value::Namespace(pairs) if pairs.min_deadline_ms() > now_ms => !pairs.is_empty(),
            Value::Namespace(pairs) => pairs.iter().any(|pair| pair.deadline_ms > now_ms),
        };
        !self.is_expired(now_ms) && has_content()
    }

    /// What Redis clients see; `None` for an empty namespace.
    pub fn kind(&self) -> Option<Kind> {
        match &self.value {
            Value::String(_) => Some(Kind::String),
            Value::Namespace(pairs) if pairs.is_empty() => None,
            Value::Namespace(_) => Some(Kind::Namespace),
        }
    }

    /// Seconds since it was last used.
    pub fn idle_s(&self, now_ms: u64) -> u64 {
        (now_ms / 1000).saturating_sub(u64::from(self.accessed_s.load(Relaxed)))
    }

    /// Remembers that it was used.
    #[inline]
    pub(super) fn access(&self, used_ms: u64) {
        let used_s = (used_ms / 1000) as u32;
        // A cache line that is only read can be in the caches of all threads.
        if self.accessed_s.load(Relaxed) != used_s {
            self.accessed_s.store(used_s, Relaxed);
        }
    }

    pub(super) fn pairs(&self) -> Result<&Table<Packed>> {
        match &self.value {
            Value::Namespace(pairs) => Ok(pairs),
            Value::String(_) => Err(Error::WrongType),
        }
    }

    pub(super) fn pairs_mut(&mut self) -> Result<&mut Table<Packed>> {
        match &mut self.value {
            Value::Namespace(pairs) => Ok(pairs),
            Value::String(_) => Err(Error::WrongType),
        }
    }

    fn heap_bytes(&self) -> usize {
        super::allocated(size_of::<NameEntry>())
            + super::allocated(self.name.len())
            + self.value_bytes()
    }

    #[inline]
    fn value_bytes(&self) -> usize {
        match &self.value {
            Value::String(bytes) => super::allocated(bytes.len()),
            Value::Namespace(pairs) => pairs.bytes(),
        }
    }

    /// The same value and deadline under another name, without the kept mark.
    pub(super) fn copied(&self, name: &[u8], used_ms: u64) -> Box<NameEntry> {
        let mut copy = NameEntry::new(name, self.value.clone(), used_ms);
        copy.deadline_ms = self.deadline_ms;
        copy.raw = self.raw;
        copy
    }
}

impl Clone for NameEntry {
    fn clone(&self) -> Self {
        NameEntry {
            name: self.name.clone(),
            deadline_ms: self.deadline_ms,
            kept: self.kept,
            raw: self.raw,
            accessed_s: AtomicU32::new(self.accessed_s.load(Relaxed)),
            value: self.value.clone(),
        }
    }
}

impl Entry for Box<NameEntry> {
    #[inline]
    fn key(&self) -> &[u8] {
        &self.name
    }

    fn deadline_ms(&self) -> u64 {
        match &self.value {
            Value::String(_) => self.deadline_ms,
            Value::Namespace(pairs) => self.deadline_ms.min(pairs.min_deadline_ms()),
        }
    }

    fn touch(&self) -> u64 {
        self.deadline_ms
    }

    #[inline]
    fn value_bytes(&self) -> usize {
        NameEntry::value_bytes(self)
    }

    fn heap_bytes(&self) -> usize {
        NameEntry::heap_bytes(self)
    }
}

/// Puts a pair; `true` if there was none that is alive at `now_ms`. Returns its deadline too.
pub(super) fn put_pair(
    pairs: &mut Table<Packed>,
    hasher: KeyHasher<'_>,
    key: &[u8],
    value: &[u8],
    deadline: NewDeadline,
    now_ms: u64,
) -> (bool, u64) {
    let hash = hasher.hash(key);
    let new_ms = |old_ms: u64| match deadline {
        NewDeadline::Keep if old_ms > now_ms => old_ms,
        NewDeadline::At(at) => at,
        NewDeadline::Keep | NewDeadline::Clear => NEVER,
    };
    let change = |old_ms| (old_ms <= now_ms, new_ms(old_ms));
    pairs.set(hash, key, value, change, hasher.hasher).unwrap_or_else(|| {
        let deadline_ms = new_ms(0);
        pairs.insert(hash, NewPair { key, value, deadline_ms }, hasher.hasher);
        (true, deadline_ms)
    })
}
