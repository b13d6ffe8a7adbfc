//! A name's string: written, overwritten and patched where it lies.
//!
//! A large string is the only pair of a table, so that it can be lent as large values of pairs are.

use super::{Form, NameEntry, NewDeadline};
use crate::shared::SHARED_BYTES_MIN;
use crate::store::packed::{NewPair, Packed};
use crate::store::table::{NEVER, Rehash, Table};

/// A large string is the only pair of a table, under this key: the table knows counted references.
pub(super) const LARGE_STRING_KEY: &[u8] = b"";

/// The hash of that key.
#[derive(Clone, Copy)]
struct OnlyOne;

impl Rehash for OnlyOne {
    fn hash(self, _key: &[u8]) -> u64 {
        0
    }
}

impl NameEntry {
    /// Puts a string in the place of what there was; many pairs are handed back.
    pub(in crate::store) fn set_string(&mut self, string: &[u8]) -> Option<Box<Table<Packed>>> {
        self.few_len = 0;
        self.may_expire = false;
        if string.len() < SHARED_BYTES_MIN {
            self.set_value(Form::String, string);
            return self.many.take();
        }
        self.set_value(Form::String, &[]);
        let mut large = Table::new(0);
        let pair = NewPair { key: LARGE_STRING_KEY, value: string, deadline_ms: NEVER };
        large.insert(0, pair, OnlyOne);
        self.many.replace(Box::new(large))
    }

    /// Overwrites a string that is as long; `false` if nothing was changed.
    #[inline]
    fn overwrite_bytes(&mut self, string: &[u8]) -> bool {
        if let Some(large) = &mut self.many {
            let overwrite = |pairs: &mut Packed, place, deadline_ms| {
                pairs.set_in_place(place, string, deadline_ms).then_some(deadline_ms)
            };
            return large.overwrite(0, LARGE_STRING_KEY, overwrite).is_some();
        }
        let old = self.value_mut();
        let is_as_long = old.len() == string.len();
        if is_as_long {
            old.copy_from_slice(string);
        }
        is_as_long
    }

    /// Overwrites a part of a string where it lies; `false` if nothing was changed.
    pub(in crate::store) fn patch_string(&mut self, at: usize, bytes: &[u8]) -> bool {
        let part = at..at + bytes.len();
        let old = match &mut self.many {
            _ if self.form != Form::String => return false,
            None => self.value_mut().get_mut(part),
            Some(large) => {
                let patch = |pairs: &mut Packed, place, deadline_ms| {
                    let old = pairs.value_in_place(place)?.get_mut(part)?;
                    old.copy_from_slice(bytes);
                    Some(deadline_ms)
                };
                return large.overwrite(0, LARGE_STRING_KEY, patch).is_some();
            }
        };
        old.map(|old| old.copy_from_slice(bytes)).is_some()
    }

    /// Overwrites a string where it lies: if the new one is as long, and its deadline no earlier.
    /// Returns the deadline; `None` if nothing was changed.
    #[inline]
    pub(in crate::store) fn overwrite_string(
        &mut self,
        string: &[u8],
        deadline: NewDeadline,
    ) -> Option<u64> {
        let deadline_ms = match deadline {
            NewDeadline::Keep => self.deadline_ms,
            NewDeadline::Clear => NEVER,
            NewDeadline::At(at) => at,
        };
        let has_deadline = |deadline_ms| deadline_ms != NEVER;
        if self.form != Form::String
            || deadline_ms < self.deadline_ms
            || has_deadline(deadline_ms) != has_deadline(self.deadline_ms)
            || !self.overwrite_bytes(string)
        {
            return None;
        }
        self.deadline_ms = deadline_ms;
        Some(deadline_ms)
    }
}
