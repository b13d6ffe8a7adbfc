//! The changes that a command can make to strings: whole, or a part of one.
//!
//! What a string is in memory is not known here: see [`NameEntry`].

use super::Put;
use crate::journal::effect::{Cause, Effect};
use crate::store::name::{NameEntry, NewDeadline};
use crate::store::table::NEVER;
use crate::store::view::View;

/// A shorter string is journaled whole when a part of it changes, and so is one when a larger part than one
/// of so many does.
const PATCHED_BYTES_MIN: usize = 1024;
const PATCHED_PARTS_MIN: usize = 4;

impl View<'_> {
    /// Puts a string in the place of whatever the name held.
    pub fn put_string(&mut self, name: &[u8], value: &[u8], deadline: NewDeadline, cause: Cause) {
        let hashed = self.name(name);
        let overwritten = self.overwrite(hashed, |entry, _, _| {
            let deadline_ms = entry.overwrite_string(value, deadline)?;
            entry.raw = cause == Cause::Append || cause.edits_bytes();
            Some(deadline_ms)
        });
        let Put { deadline_ms, is_new, .. } = match overwritten {
            Some(deadline_ms) => Put { created: false, deadline_ms, is_new: false },
            None => self.put_new_string(name, value, deadline, cause),
        };
        let db = self.db();
        let effect = Effect::PutString { db: db as u8, name, value, deadline_ms };
        self.effects.push_put(cause, effect, is_new);
        self.names.touched(db, hashed, NEVER);
    }

    /// Writes bytes over a part of a string, from `at` on; behind its end it becomes longer, and zeros fill
    /// a gap. Makes the string if there is none. Its deadline stays.
    pub fn patch_string(&mut self, name: &[u8], at: usize, bytes: &[u8], cause: Cause) {
        let old = self.peek_string(name).unwrap_or_default();
        let gap = at.saturating_sub(old.len());
        let is_small = old.len() >= PATCHED_BYTES_MIN
            && gap.saturating_add(bytes.len()) <= old.len() / PATCHED_PARTS_MIN;
        let is_patched = is_small && self.patch_in_place(name, at, bytes, cause);
        if !is_patched {
            let old = self.peek_string(name).unwrap_or_default();
            let end = at + bytes.len();
            let mut whole = Vec::with_capacity(old.len().max(end));
            whole.extend_from_slice(old);
            whole.resize(old.len().max(end), 0);
            whole[at..end].copy_from_slice(bytes);
            if !is_small {
                return self.put_string(name, &whole, NewDeadline::Keep, cause);
            }
            self.put_new_string(name, &whole, NewDeadline::Keep, cause);
        }
        let zeros_and_bytes;
        let bytes = match gap {
            0 => bytes,
            gap => {
                zeros_and_bytes = [&vec![0; gap][..], bytes].concat();
                &zeros_and_bytes
            }
        };
        let (db, at) = (self.db() as u8, (at - gap) as u64);
        self.record(name, cause, Effect::PatchString { db, name, at, bytes });
    }

    pub(in crate::store) fn peek_string(&self, name: &[u8]) -> Option<&[u8]> {
        self.peek(self.db(), name).and_then(NameEntry::string)
    }

    /// `false` if nothing was changed.
    fn patch_in_place(&mut self, name: &[u8], at: usize, bytes: &[u8], cause: Cause) -> bool {
        let patched = self.overwrite(self.name(name), |entry, _, _| {
            let is_patched = entry.patch_string(at, bytes);
            is_patched.then(|| entry.raw = cause == Cause::Append || cause.edits_bytes())
        });
        patched.is_some()
    }

    /// Puts a string wherever there is room.
    fn put_new_string(
        &mut self,
        name: &[u8],
        value: &[u8],
        deadline: NewDeadline,
        cause: Cause,
    ) -> Put {
        let access = self.access;
        let mut freed = None;
        let mut existed = false;
        let put = self.update(name, |entry| {
            existed = entry.kind().is_some();
            let is_longer_now = cause == Cause::Append && entry.string().is_some();
            entry.raw = is_longer_now || cause.edits_bytes();
            freed = entry.set_string(value);
            if access.touch {
                entry.access(&access);
            }
            entry.kept = false;
            match deadline {
                NewDeadline::Keep if existed => {}
                NewDeadline::Keep | NewDeadline::Clear => entry.deadline_ms = NEVER,
                NewDeadline::At(at) => entry.deadline_ms = at,
            }
            entry.deadline_ms
        });
        if let Some(pairs) = freed {
            let mut entry = NameEntry::new(name, access.first_use());
            entry.many = Some(pairs);
            self.names.discard(Box::new(entry));
        }
        let deadline_ms = put.unwrap_or_else(|| {
            let mut entry = Box::new(NameEntry::new(name, access.first_use()));
            entry.set_string(value);
            entry.raw = cause.edits_bytes();
            if let NewDeadline::At(at) = deadline {
                entry.deadline_ms = at;
            }
            let deadline_ms = entry.deadline_ms;
            self.insert(self.db(), name, entry);
            deadline_ms
        });
        Put { created: !existed, deadline_ms, is_new: !existed }
    }
}
