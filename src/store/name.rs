//! What a name holds: its header (deadline, kept mark, last access) and its value.
//!
//! A value is a plain string or a namespace of pairs. Rules that concern one name alone live here;
//! effects, locks and databases do not. Strings have a file of their own.

mod strings;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::PAIR_DEADLINE_MS_MAX;
use super::boxed::Entry;
use super::packed::{Packed, PairRef};
use super::pairs::{Few, PairsRef, table_bytes};
use super::segment::Slot;
use super::table::{NEVER, Table};
use super::usage::Usage;
use super::view::Access;
use crate::error::{Error, Result};
use crate::shared::Value;

use strings::LARGE_STRING_KEY;

/// A name's key bytes with their hash, so that they are hashed once.
#[derive(Debug, Clone, Copy)]
pub struct Name<'a> {
    /// The bytes of the name.
    pub bytes: &'a [u8],
    pub(super) hash: u64,
}

impl<'a> Name<'a> {
    /// The number of its stripe.
    #[inline]
    pub fn stripe(self) -> usize {
        super::stripe_of(self.hash)
    }

    /// The same name, where it stands in another request.
    #[inline]
    pub(crate) fn at(self, bytes: &'a [u8]) -> Name<'a> {
        Name { bytes, hash: self.hash }
    }
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

impl NewDeadline {
    /// The deadline of a pair that had this one, [`NEVER`] if there was none.
    #[inline]
    pub(super) fn of_pair(self, old_ms: u64) -> u64 {
        match self {
            NewDeadline::Keep => old_ms,
            NewDeadline::Clear => NEVER,
            NewDeadline::At(at) => at.min(PAIR_DEADLINE_MS_MAX),
        }
    }

    /// The same, if the pair is alive at `now_ms` and its deadline is not brought forward.
    #[inline]
    pub(super) fn in_place(self, old_ms: u64, now_ms: u64) -> Option<u64> {
        let new_ms = self.of_pair(old_ms);
        (old_ms > now_ms && new_ms >= old_ms).then_some(new_ms)
    }
}

/// One name and what it holds: 48 bytes, and an allocation for name and value together.
#[derive(Debug)]
pub struct NameEntry {
    /// The name; after it the string, or the pairs while they are few.
    body: Box<[u8]>,
    /// The pairs when they are many, or a large string.
    pub(super) many: Option<Box<Table<Packed>>>,
    pub(super) deadline_ms: u64,
    /// See [`Usage`].
    used: AtomicU32,
    name_len: u32,
    /// Number of pairs after the name.
    pub(super) few_len: u16,
    /// Whether any of those may have a deadline.
    pub(super) may_expire: bool,
    form: Form,
    pub(super) kept: bool,
    /// The string was last changed in a part: Redis then shows no integer in it.
    pub(super) raw: bool,
}

/// What a name holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    String,
    Namespace,
}

impl NameEntry {
    /// A namespace without pairs.
    pub(super) fn new(name: &[u8], used: u32) -> NameEntry {
        NameEntry {
            body: name.into(),
            many: None,
            deadline_ms: NEVER,
            used: AtomicU32::new(used),
            name_len: u32::try_from(name.len()).expect("a name is no longer than a bulk may be"),
            few_len: 0,
            may_expire: false,
            form: Form::Namespace,
            kept: false,
            raw: false,
        }
    }

    /// The bytes of the name.
    pub fn name(&self) -> &[u8] {
        &self.body[..self.name_len as usize]
    }

    /// The name and what is right behind it.
    #[inline]
    pub(super) fn body(&self) -> &[u8] {
        &self.body
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
    #[inline]
    pub fn string(&self) -> Option<&[u8]> {
        self.sendable_string().map(|string| string.bytes)
    }

    /// The same, to be sent.
    #[inline]
    pub(super) fn sendable_string(&self) -> Option<Value<'_>> {
        match (self.form, &self.many) {
            (Form::String, None) => {
                Some(Value { bytes: &self.body[self.name_len as usize..], shared: None })
            }
            (Form::String, Some(large)) => {
                let PairRef { value: bytes, shared, .. } = large.get(0, LARGE_STRING_KEY)?;
                Some(Value { bytes, shared })
            }
            _ => None,
        }
    }

    /// Whether its string was last changed in a part, by APPEND or SETRANGE.
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// Bytes it takes, its place in the table of names included.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Slot>() + size_of::<Box<NameEntry>>() + self.heap_bytes()
    }

    /// Whether it holds pairs, or may: an empty namespace too.
    pub fn is_namespace(&self) -> bool {
        self.form != Form::String
    }

    /// Whether its own deadline has passed.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.deadline_ms <= now_ms
    }

    /// Whether it or any of its pairs expired after `since_ms`.
    pub(super) fn has_expired(&self, since_ms: u64, now_ms: u64) -> bool {
        let expired = |deadline_ms| since_ms < deadline_ms && deadline_ms <= now_ms;
        let pair_expired = || {
            self.pairs().is_ok_and(|pairs| {
                pairs.min_deadline_ms() <= now_ms
                    && pairs.iter().any(|pair| expired(pair.deadline_ms))
            })
        };
        // What was in a name that had expired was gone with it.
        !self.is_expired(since_ms) && (expired(self.deadline_ms) || pair_expired())
    }

    /// Whether it has not expired, and there is anything in it that has not.
    pub(super) fn is_alive(&self, now_ms: u64) -> bool {
        let has_content = || match self.pairs() {
            Err(_) => true,
            Ok(pairs) if pairs.min_deadline_ms() > now_ms => pairs.len() > 0,
            Ok(pairs) => pairs.iter().any(|pair| pair.deadline_ms > now_ms),
        };
        !self.is_expired(now_ms) && has_content()
    }

    /// What Redis clients see; `None` for an empty namespace.
    #[inline]
    pub fn kind(&self) -> Option<Kind> {
        match self.form {
            Form::String => Some(Kind::String),
            Form::Namespace if self.few_len == 0 && self.many.is_none() => None,
            Form::Namespace => Some(Kind::Namespace),
        }
    }

    /// Seconds since it was last used, if that is what is remembered.
    pub fn idle_s(&self, usage: Usage, now_ms: u64) -> u64 {
        usage.idle_s(self.used.load(Relaxed), now_ms)
    }

    /// About how often it was used (0 to 255), if that is what is remembered.
    pub fn frequency(&self, usage: Usage, now_ms: u64) -> u8 {
        usage.frequency(self.used.load(Relaxed), now_ms)
    }

    /// What is remembered of its use; while a store is restored, what it was captured by.
    pub(super) fn used(&self) -> u32 {
        self.used.load(Relaxed)
    }

    /// Replaces what is remembered of its use.
    pub(super) fn set_used(&self, used: u32) {
        self.used.store(used, Relaxed);
    }

    /// Remembers that it was used.
    #[inline]
    pub(super) fn access(&self, access: &Access<'_>) {
        let before = self.used.load(Relaxed);
        let usage = access.settings.eviction.usage;
        let used = usage.next(before, access.used_ms, access.random_seed >> 20);
        // A cache line that is only read can be in the caches of all threads.
        if before != used {
            self.used.store(used, Relaxed);
        }
    }

    /// The pairs of a namespace.
    #[inline]
    pub(super) fn pairs(&self) -> Result<PairsRef<'_>> {
        match (self.form, &self.many) {
            (Form::String, _) => Err(Error::WrongType),
            (_, Some(table)) => Ok(PairsRef::Many(table)),
            (_, None) => Ok(PairsRef::Few(self.few())),
        }
    }

    /// The pairs of a namespace that has no table.
    #[inline]
    pub(super) fn few(&self) -> Few<'_> {
        Few {
            bytes: &self.body[self.name_len as usize..],
            len: usize::from(self.few_len),
            may_expire: self.may_expire,
        }
    }

    pub(super) fn name_and_many(&mut self) -> (&[u8], &mut Option<Box<Table<Packed>>>) {
        (&self.body[..self.name_len as usize], &mut self.many)
    }

    /// What is after the name.
    pub(super) fn value_mut(&mut self) -> &mut [u8] {
        &mut self.body[self.name_len as usize..]
    }

    /// Replaces what is after the name.
    pub(super) fn set_value(&mut self, form: Form, value: &[u8]) {
        self.form = form;
        let old_len = self.body.len() - self.name_len as usize;
        self.replace_in_value(0, old_len, value.len()).copy_from_slice(value);
    }

    /// Makes room for `new_len` bytes in the place of `old_len`, `at` bytes after the name.
    pub(super) fn replace_in_value(
        &mut self,
        at: usize,
        old_len: usize,
        new_len: usize,
    ) -> &mut [u8] {
        let at = self.name_len as usize + at;
        if old_len != new_len {
            let mut bytes = std::mem::take(&mut self.body).into_vec();
            let len = bytes.len();
            if new_len > old_len {
                bytes.reserve_exact(new_len - old_len);
                bytes.resize(len + new_len - old_len, 0);
            }
            bytes.copy_within(at + old_len..len, at + new_len);
            bytes.truncate(len + new_len - old_len);
            self.body = bytes.into_boxed_slice();
        }
        &mut self.body[at..at + new_len]
    }

    /// Gives it another name.
    pub(super) fn rename(&mut self, name: &[u8]) {
        let value = &self.body[self.name_len as usize..];
        let body = [name, value].concat().into_boxed_slice();
        self.name_len = name.len() as u32;
        self.body = body;
    }

    fn heap_bytes(&self) -> usize {
        super::allocated(size_of::<NameEntry>()) + self.value_bytes()
    }

    #[inline]
    pub(super) fn value_bytes(&self) -> usize {
        super::allocated(self.body.len()) + self.many.as_deref().map_or(0, table_bytes)
    }

    /// The same value and deadline under another name, without the kept mark.
    pub(super) fn copied(&self, name: &[u8], used: u32) -> Box<NameEntry> {
        let mut copy = Box::new(self.clone());
        copy.rename(name);
        copy.kept = false;
        copy.used = AtomicU32::new(used);
        copy
    }
}

impl Clone for NameEntry {
    fn clone(&self) -> Self {
        NameEntry {
            body: self.body.clone(),
            many: self.many.clone(),
            used: AtomicU32::new(self.used.load(Relaxed)),
            ..*self
        }
    }
}

impl Entry for Box<NameEntry> {
    #[inline]
    fn key(&self) -> &[u8] {
        self.name()
    }

    #[inline]
    fn deadline_ms(&self) -> u64 {
        match self.pairs() {
            Err(_) => self.deadline_ms,
            Ok(pairs) => self.deadline_ms.min(pairs.min_deadline_ms()),
        }
    }

    #[inline]
    fn value_bytes(&self) -> usize {
        NameEntry::value_bytes(self)
    }

    fn heap_bytes(&self) -> usize {
        NameEntry::heap_bytes(self)
    }
}
