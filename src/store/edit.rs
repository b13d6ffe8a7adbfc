//! The changes a command can make: each edits an entry and records the effect with its cause.
//!
//! What an edit means is written here once, for the live store and for overlays. The rules of
//! section "names that stay" live here too: a namespace whose last pair goes is removed, unless it is
//! kept. Only [`View`] leads here. Strings have a file of their own.

mod strings;

use super::PAIR_DEADLINE_MS_MAX;
use super::claims;
use super::hash::KeyHasher;
use super::name::{Name, NameEntry, NewDeadline};
use super::table::NEVER;
use super::view::View;
use crate::error::{Error, Result};
use crate::journal::effect::{Cause, Effect};

/// What putting something did.
struct Put {
    /// There was no such pair, or no such name.
    created: bool,
    deadline_ms: u64,
    /// The name was not there, to Redis clients.
    is_new: bool,
}

impl View<'_> {
    /// Puts a pair, making the namespace if there is none. `true` if the key was not there.
    #[inline]
    pub fn put_pair(
        &mut self,
        name: &[u8],
        key: &[u8],
        value: &[u8],
        deadline: NewDeadline,
        cause: Cause,
    ) -> Result<bool> {
        if self.is_limited {
            self.check_room_for_one(name, key, value)?;
        }
        let hashed = self.name(name);
        let Put { created, deadline_ms, is_new } = match self
            .overwrite_pair(hashed, key, value, deadline)
        {
            Some(deadline_ms) => Put { created: false, deadline_ms, is_new: false },
            None if self.names.are_claimed() => self.put_claimed(hashed, key, value, deadline)?,
            None => self.put_new_pair(name, key, value, deadline)?,
        };
        let db = self.db();
        let effect = Effect::PutPair { db: db as u8, name, key, value, deadline_ms };
        self.effects.push_put(cause, effect, is_new);
        self.names.touched(db, hashed, NEVER);
        Ok(created)
    }

    /// Puts a pair where it lies, if that changes nothing but value and deadline. Returns its deadline
    /// then.
    #[inline]
    fn overwrite_pair(
        &mut self,
        name: Name<'_>,
        key: &[u8],
        value: &[u8],
        deadline: NewDeadline,
    ) -> Option<u64> {
        self.overwrite(name, |entry, hasher, now_ms| {
            entry.overwrite_pair(hasher, key, value, deadline, now_ms)
        })
    }

    /// Puts a claimed pair where it lies, together with others who do the same.
    fn put_claimed(
        &mut self,
        name: Name<'_>,
        key: &[u8],
        value: &[u8],
        deadline: NewDeadline,
    ) -> Result<Put> {
        let put = claims::Put { key, key_hash: self.hasher.hash(key), value, deadline };
        match self.names.overwrite_claimed(&self.access, name, &put) {
            Some(deadline_ms) => Ok(Put { created: false, deadline_ms, is_new: false }),
            None => Err(claims::refused()),
        }
    }

    /// Puts a pair wherever there is room.
    fn put_new_pair(
        &mut self,
        name: &[u8],
        key: &[u8],
        value: &[u8],
        deadline: NewDeadline,
    ) -> Result<Put> {
        let now_ms = self.now_ms();
        let (hasher, access) = (self.hasher, self.access);
        let put = self.update(name, |entry| {
            if access.touch {
                entry.access(&access);
            }
            entry.pairs()?;
            // To Redis clients an empty namespace does not exist, so what begins now has no deadline.
            let is_new = entry.kind().is_none();
            if is_new {
                entry.deadline_ms = NEVER;
            }
            Ok::<_, Error>((entry.put_pair(hasher, key, value, deadline, now_ms), is_new))
        });
        let ((created, deadline_ms), is_new) = match put {
            Some(put) => put?,
            None => {
                let mut entry = Box::new(NameEntry::new(name, access.first_use()));
                let put = entry.put_pair(hasher, key, value, deadline, now_ms);
                self.insert(self.db(), name, entry);
                (put, true)
            }
        };
        Ok(Put { created, deadline_ms, is_new })
    }

    /// Deletes a pair, and the name with its last pair unless it is kept. `true` if it was there.
    pub fn delete_pair(&mut self, name: &[u8], key: &[u8], cause: Cause) -> Result<bool> {
        let now_ms = self.now_ms();
        let hasher = self.hasher;
        let deleted = self.update(name, |entry| {
            entry.pairs()?;
            let deadline_ms = entry.remove_pair(hasher, key);
            let is_last = entry.pairs()?.len() == 0;
            Ok::<_, Error>(deadline_ms.map(|deadline_ms| (deadline_ms, is_last, entry.kept)))
        });
        let Some((deadline_ms, is_last, is_kept)) = deleted.transpose()?.flatten() else {
            return Ok(false);
        };
        if is_last && !is_kept {
            let name = self.name(name);
            self.names.remove(self.access.db, name);
        }
        let was_alive = deadline_ms > now_ms && cause != Cause::Hexpired;
        let (cause, expired_ms) =
            if was_alive { (cause, NEVER) } else { (Cause::Hexpired, deadline_ms) };
        let db = self.db() as u8;
        self.effects.push(cause, Effect::DeletePair { db, name, key, is_last });
        self.touched(self.db(), name, expired_ms);
        Ok(was_alive)
    }

    /// Gives a pair another deadline, or none. `true` if the pair was there. A deadline that has
    /// passed deletes the pair.
    pub fn set_pair_deadline(
        &mut self,
        name: &[u8],
        key: &[u8],
        deadline_ms: Option<u64>,
        cause: Cause,
    ) -> Result<bool> {
        let now_ms = self.now_ms();
        if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            return self.delete_pair(name, key, Cause::Hdel);
        }
        let deadline_ms = deadline_ms.map_or(NEVER, |at| at.min(PAIR_DEADLINE_MS_MAX));
        let hasher = self.hasher;
        let set = self.update(name, |entry| {
            entry.pairs()?;
            Ok::<_, Error>(entry.set_pair_deadline(hasher, key, deadline_ms, now_ms))
        });
        let is_set = set.transpose()?.unwrap_or(false);
        if is_set {
            let db = self.db() as u8;
            self.record(name, cause, Effect::PairDeadline { db, name, key, deadline_ms });
        }
        Ok(is_set)
    }

    /// Removes a name, what it held and its kept mark. `true` if it existed for Redis clients.
    pub fn drop_name(&mut self, name: &[u8], cause: Cause) -> bool {
        let now_ms = self.now_ms();
        let hashed = self.name(name);
        let Some(entry) = self.names.remove(self.access.db, hashed) else { return false };
        let is_expired = entry.is_expired(now_ms) || cause == Cause::Expired;
        let existed = entry.kind().is_some() && !is_expired;
        let expired_ms = if is_expired { entry.deadline_ms } else { NEVER };
        self.names.discard(entry);
        let cause = match (is_expired, existed) {
            (true, _) => Cause::Expired,
            (false, true) => cause,
            (false, false) => Cause::Kept,
        };
        self.effects.push(cause, Effect::DropName { db: self.db() as u8, name });
        // An empty namespace that was kept: Redis clients could not see it come, nor see it go.
        if existed || is_expired {
            self.touched(self.db(), name, expired_ms);
        }
        existed
    }

    /// Removes a name for want of memory. If it is kept it stays, empty.
    pub fn evict(&mut self, name: &[u8]) {
        let is_kept = self.header(name).is_some_and(NameEntry::is_kept);
        self.drop_name(name, Cause::Evicted);
        if is_kept {
            // What was dropped was a namespace, and nothing is there now.
            let _ = self.keep(name, Cause::Kept);
        }
    }

    /// Gives a name another deadline, or none. `true` if the name exists for Redis clients. A
    /// deadline that has passed removes the name.
    pub fn set_deadline(&mut self, name: &[u8], deadline_ms: Option<u64>, cause: Cause) -> bool {
        let now_ms = self.now_ms();
        if self.kind(name).is_none() {
            return false;
        }
        if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            return self.drop_name(name, Cause::Del);
        }
        let deadline_ms = deadline_ms.unwrap_or(NEVER);
        self.update(name, |entry| entry.deadline_ms = deadline_ms);
        let db = self.db() as u8;
        self.record(name, cause, Effect::NameDeadline { db, name, deadline_ms });
        true
    }

    /// Remembers that a name was last used so many seconds ago. Does nothing if use is counted instead. No effect: how
    /// names are used is not journaled.
    pub fn set_idle_s(&mut self, name: &[u8], idle_s: u64) {
        let used = self.access.settings.eviction.usage.idle_since(idle_s, self.access.used_ms);
        self.set_used(name, used);
    }

    /// Remembers how often a name was used. Does nothing if use is not counted. No effect, as [`View::set_idle_s`] says.
    pub fn set_frequency(&mut self, name: &[u8], frequency: u8) {
        let used = self.access.settings.eviction.usage.used_often(frequency, self.access.used_ms);
        self.set_used(name, used);
    }

    /// Renames what is there, header and kept mark included, over whatever `to` was. `false` if
    /// there is nothing that Redis clients can see. Costs the same for any size.
    pub fn rename(&mut self, name: &[u8], to: &[u8]) -> bool {
        if self.kind(name).is_none() {
            return false;
        }
        if name != to {
            self.displace(self.db(), self.db(), name, to);
        }
        let db = self.db() as u8;
        self.record(name, Cause::Rename, Effect::Rename { db, name, to });
        self.touched(self.db(), to, NEVER);
        true
    }

    /// Moves a name to another database. `false` if it is not there, or there already.
    pub fn move_name(&mut self, name: &[u8], to_db: usize) -> bool {
        if self.kind(name).is_none() || self.kind_in(to_db, name).is_some() {
            return false;
        }
        self.move_over(name, to_db);
        true
    }

    /// [`View::move_name`] over whatever is there: something that has expired, or a kept mark.
    pub(super) fn move_over(&mut self, name: &[u8], to_db: usize) {
        let db = self.db();
        self.displace(db, to_db, name, name);
        let effect = Effect::Move { db: db as u8, name, to_db: to_db as u8 };
        self.record(name, Cause::Move, effect);
        self.touched(to_db, name, NEVER);
    }

    /// Copies a name, without its kept mark, over whatever is at the other place. `false` if there
    /// is nothing to copy.
    pub fn copy(&mut self, name: &[u8], to_db: usize, to: &[u8]) -> bool {
        let Some(entry) = self.peek(self.db(), name).filter(|entry| entry.kind().is_some()) else {
            return false;
        };
        let copy = entry.copied(to, self.access.first_use());
        self.clear_place(to_db, to);
        self.insert(to_db, to, copy);
        let effect = Effect::Copy { db: self.db() as u8, name, to_db: to_db as u8, to };
        self.effects.push(Cause::CopyTo, effect);
        self.touched(to_db, to, NEVER);
        true
    }

    /// Makes two databases change places. All stripes must be held.
    pub fn swap_dbs(&mut self, a: usize, b: usize) {
        self.names.swap(a, b);
        self.effects.push(Cause::Swapdb, Effect::SwapDb { a: a as u8, b: b as u8 });
    }

    /// Empties a database. All stripes must be held.
    pub fn flush(&mut self, db: usize) {
        self.names.flush(db);
        self.effects.push(Cause::Flush, Effect::Flush { db: db as u8 });
    }

    /// Makes the namespace stay when it is empty, and makes it if there is none. `true` if it was
    /// not there before, not even empty.
    pub fn keep(&mut self, name: &[u8], cause: Cause) -> Result<bool> {
        let access = self.access;
        let kept = self.update(name, |entry| {
            entry.pairs()?;
            Ok::<_, Error>(std::mem::replace(&mut entry.kept, true))
        });
        if kept.transpose()? == Some(true) {
            return Ok(false);
        }
        let created = self.peek(self.db(), name).is_none();
        if created {
            let mut entry = Box::new(NameEntry::new(name, access.first_use()));
            entry.kept = true;
            self.insert(self.db(), name, entry);
        }
        self.effects.push(cause, Effect::Keep { db: self.db() as u8, name });
        Ok(created)
    }

    fn set_used(&mut self, name: &[u8], used: Option<u32>) {
        if let Some(used) = used {
            self.update(name, |entry| entry.set_used(used));
        }
    }

    /// Changes a live entry in a way that is counted nowhere, see [`super::names::Names::get_to_overwrite`]. It
    /// counts as access; `None` if `change` says that it did nothing.
    #[inline(always)]
    fn overwrite<R>(
        &mut self,
        name: Name<'_>,
        change: impl FnOnce(&mut NameEntry, &KeyHasher<'_>, u64) -> Option<R>,
    ) -> Option<R> {
        let (access, hasher) = (&self.access, &self.hasher);
        let entry = self.names.get_to_overwrite(access.db, name)?;
        if entry.is_expired(access.now_ms) {
            return None;
        }
        let changed = change(entry, hasher, access.now_ms)?;
        if access.touch {
            entry.access(access);
        }
        Some(changed)
    }

    /// Changes a live entry; an expired one is removed first.
    fn update<R>(&mut self, name: &[u8], change: impl FnOnce(&mut NameEntry) -> R) -> Option<R> {
        let now_ms = self.now_ms();
        let hashed = self.name(name);
        let mut change = Some(change);
        let mut result = None;
        let mut is_expired = false;
        self.names.update(self.access.db, hashed, &mut |entry| {
            is_expired = entry.is_expired(now_ms);
            if !is_expired {
                result = change.take().map(|change| change(entry));
            }
        });
        if is_expired {
            self.drop_name(name, Cause::Expired);
        }
        result
    }

    fn insert(&mut self, db: usize, name: &[u8], entry: Box<NameEntry>) {
        let name = self.name(name);
        self.names.insert(db, name, entry);
    }

    /// Takes an entry from one place and puts it at another, over what is there.
    fn displace(&mut self, db: usize, to_db: usize, name: &[u8], to: &[u8]) {
        self.clear_place(to_db, to);
        let hashed = self.name(name);
        if let Some(mut entry) = self.names.remove(db, hashed) {
            if name != to {
                entry.rename(to);
            }
            self.insert(to_db, to, entry);
        }
    }

    fn clear_place(&mut self, db: usize, name: &[u8]) {
        let name = self.name(name);
        if let Some(old) = self.names.remove(db, name) {
            self.names.discard(old);
        }
    }

    #[inline]
    fn record(&mut self, name: &[u8], cause: Cause, effect: Effect<'_>) {
        self.effects.push(cause, effect);
        self.touched(self.db(), name, NEVER);
    }

    #[inline]
    fn touched(&mut self, db: usize, name: &[u8], expired_ms: u64) {
        let name: Name<'_> = self.name(name);
        self.names.touched(db, name, expired_ms);
    }
}
