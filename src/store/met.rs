//! What a command met that had expired. It was not shown; it is freed when the command is done, so that
//! nobody has to wait for the reaper to hear of it.
//!
//! Only what was asked for by its name is met, and what SCAN came past. Who lists all pairs of a
//! namespace leaves what has expired to [`super::reap`].

use std::cell::Cell;
use std::fmt;

use super::view::Pairs;
use super::{Name, View};
use crate::journal::effect::Cause;

/// What is freed at once, at most; the rest is the reaper's.
const MET_MAX: usize = 1024;

/// What was met: nothing, but by the rare command.
#[derive(Default)]
pub struct Met(Cell<Option<Box<Expired>>>);

impl Met {
    /// Forgets it.
    pub fn clear(&self) {
        self.0.take();
    }

    #[inline]
    fn is_something(&mut self) -> bool {
        self.0.get_mut().is_some()
    }
}

impl fmt::Debug for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Met").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Expired {
    /// Names of the selected database, and whether it is to be told that they were not found.
    names: Vec<(Box<[u8]>, bool)>,
    /// Names of namespaces, and keys.
    pairs: Vec<[Box<[u8]>; 2]>,
}

/// How much was freed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Freed {
    /// Names.
    pub names: u64,
    /// Pairs.
    pub pairs: u64,
}

/// A name was met.
#[cold]
pub(super) fn meet_name(met: &Met, name: &[u8]) {
    let mut expired = met.0.take().unwrap_or_default();
    if expired.names.len() < MET_MAX {
        expired.names.push((name.into(), false));
    }
    met.0.set(Some(expired));
}

/// A pair was met.
#[cold]
pub(super) fn meet_pair(met: &Met, name: &[u8], key: &[u8]) {
    let mut expired = met.0.take().unwrap_or_default();
    if expired.pairs.len() < MET_MAX {
        expired.pairs.push([name.into(), key.into()]);
    }
    met.0.set(Some(expired));
}

impl View<'_> {
    /// Whether the command met something that has expired.
    #[inline]
    pub fn has_met_expired(&mut self) -> bool {
        self.effects.met.is_something()
    }

    /// Frees what the command met, unless it has changed that itself, or nothing may be freed now.
    #[cold]
    pub fn free_met(&mut self, may_free: bool) -> Freed {
        let (mut freed, now_ms) = (Freed::default(), self.now_ms());
        let Some(expired) = self.effects.met.0.take() else { return freed };
        for (name, is_missed) in &expired.names {
            let hashed: Name<'_> = self.name(name);
            let entry = self.names.get(self.access.db, hashed);
            if may_free && entry.is_some_and(|entry| entry.is_expired(now_ms)) {
                self.drop_name(name, Cause::Expired);
                freed.names += 1;
            }
            if *is_missed {
                self.note_miss(name);
            }
        }
        for [name, key] in &expired.pairs {
            // Nothing else may be there meanwhile, and that it was there is no news.
            if may_free
                && self.has_expired_pair(name, key)
                && self.delete_pair(name, key, Cause::Hexpired).is_ok()
            {
                freed.pairs += 1;
            }
        }
        // Looking again is no meeting.
        self.effects.met.0.set(None);
        freed
    }

    /// Lets listeners know of a name that was looked for in vain: after it has expired, if that is why.
    pub(super) fn miss(&self, db: usize, name: &[u8]) {
        let mut met = self.effects.met.0.take();
        let last = met.as_mut().and_then(|expired| expired.names.last_mut());
        match last.filter(|(last, _)| **last == *name) {
            Some((_, is_missed)) => *is_missed = true,
            None => self.effects.miss(db, name),
        }
        self.effects.met.0.set(met);
    }

    fn has_expired_pair(&self, name: &[u8], key: &[u8]) -> bool {
        let entry = self.peek(self.access.db, name);
        let pairs = entry.and_then(|entry| self.pairs(entry).ok());
        pairs.is_some_and(|pairs: Pairs<'_>| pairs.has_expired(key))
    }
}
