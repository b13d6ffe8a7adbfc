//! How a pair lies in memory: key, value and optional deadline as bytes, one after the other.
//!
//! It begins with its head byte: bit 0 says that there is a deadline (six bytes, unix ms), the next two
//! bits give the [`form`] of the lengths, the rest is a short key's length. Where pairs lie is the
//! matter of [`super::packed`], and of [`super::pairs`] for few of them.

use std::ops::Range;

use super::table::NEVER;
use crate::shared::Shared;
use crate::short::put;

const DEADLINE_LEN: usize = 6;
const SHORT_KEY_LEN_MAX: usize = 31;

/// How an entry says how long key and value are.
pub(super) mod form {
    /// Key's length in the head byte, value's in one byte.
    pub const SHORT: u8 = 0;
    /// One byte for the key's length, two for the value's.
    pub const MEDIUM: u8 = 1;
    /// Four bytes each.
    pub const LONG: u8 = 2;
    /// The entry lies elsewhere: its index is in the second four bytes.
    pub const ELSEWHERE: u8 = 3;
}

/// Bytes of an entry in each form that lies here, before its deadline or key.
const HEAD_LENS: [usize; 3] = [2, 4, 9];

/// A pair as it is put in.
#[derive(Debug, Clone, Copy)]
pub struct NewPair<'n> {
    pub(super) key: &'n [u8],
    pub(super) value: &'n [u8],
    /// Unix time, or [`NEVER`].
    pub(super) deadline_ms: u64,
}

/// A pair as it lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairRef<'h> {
    pub(super) key: &'h [u8],
    pub(super) value: &'h [u8],
    /// Unix time, or [`NEVER`].
    pub(super) deadline_ms: u64,
    /// The value, if it is a counted reference.
    pub(super) shared: Option<&'h Shared>,
}

/// Where the parts of an entry are.
pub(super) struct Layout {
    deadline_at: usize,
    pub(super) has_deadline: bool,
    key_at: usize,
    key_len: usize,
    value_len: usize,
}

impl Layout {
    /// Of an entry that begins `bytes`; it does not lie elsewhere.
    #[inline(always)]
    pub(super) fn of(bytes: &[u8]) -> Layout {
        let head = bytes[0];
        let has_deadline = head & 1 == 1;
        let (lengths_end, key_len, value_len) = match form_in(head) {
            form::SHORT => {
                (HEAD_LENS[form::SHORT as usize], usize::from(head >> 3), usize::from(bytes[1]))
            }
            form::MEDIUM => {
                let value_len = u16::from_le_bytes([bytes[2], bytes[3]]);
                (HEAD_LENS[form::MEDIUM as usize], usize::from(bytes[1]), usize::from(value_len))
            }
            _ => {
                let key_len = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
                let value_len = u32::from_le_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
                (HEAD_LENS[form::LONG as usize], key_len as usize, value_len as usize)
            }
        };
        let key_at = lengths_end + if has_deadline { DEADLINE_LEN } else { 0 };
        Layout { deadline_at: lengths_end, has_deadline, key_at, key_len, value_len }
    }

    /// Of an entry to be.
    #[inline]
    pub(super) fn for_new(entry: &NewPair<'_>) -> (u8, Layout) {
        let (key_len, value_len) = (entry.key.len(), entry.value.len());
        let has_deadline = entry.deadline_ms != NEVER;
        let form = if key_len <= SHORT_KEY_LEN_MAX && value_len <= 0xff {
            form::SHORT
        } else if key_len <= 0xff && value_len <= 0xffff {
            form::MEDIUM
        } else {
            form::LONG
        };
        let lengths_end = HEAD_LENS[usize::from(form)];
        let short_len = if form == form::SHORT { (key_len as u8) << 3 } else { 0 };
        let head = short_len | form << 1 | u8::from(has_deadline);
        let key_at = lengths_end + if has_deadline { DEADLINE_LEN } else { 0 };
        (head, Layout { deadline_at: lengths_end, has_deadline, key_at, key_len, value_len })
    }

    /// Where its deadline is: nowhere, if it has none.
    #[inline]
    pub(super) fn deadline_place(&self) -> Range<usize> {
        self.deadline_at..self.key_at
    }

    #[inline]
    pub(super) fn key_place(&self) -> Range<usize> {
        self.key_at..self.key_at + self.key_len
    }

    #[inline]
    pub(super) fn value_place(&self) -> Range<usize> {
        let value_at = self.key_at + self.key_len;
        value_at..value_at + self.value_len
    }

    pub(super) fn len(&self) -> usize {
        self.key_at + self.key_len + self.value_len
    }

    pub(super) fn write(&self, head: u8, entry: &NewPair<'_>, to: &mut [u8]) {
        to[0] = head;
        match form_in(head) {
            form::SHORT => to[1] = self.value_len as u8,
            form::MEDIUM => {
                to[1] = self.key_len as u8;
                to[2..4].copy_from_slice(&(self.value_len as u16).to_le_bytes());
            }
            _ => {
                to[1..5].copy_from_slice(&(self.key_len as u32).to_le_bytes());
                to[5..9].copy_from_slice(&(self.value_len as u32).to_le_bytes());
            }
        }
        if self.has_deadline {
            self.write_deadline(entry.deadline_ms, to);
        }
        to[self.key_place()].copy_from_slice(entry.key);
        to[self.value_place()].copy_from_slice(entry.value);
    }

    pub(super) fn write_deadline(&self, deadline_ms: u64, to: &mut [u8]) {
        put_deadline(deadline_ms, &mut to[self.deadline_place()]);
    }

    #[inline]
    pub(super) fn deadline_ms(&self, bytes: &[u8]) -> u64 {
        if self.has_deadline { deadline_in(&bytes[self.deadline_at..]) } else { NEVER }
    }
}

impl Layout {
    /// The pair that begins `bytes`.
    #[inline]
    pub(super) fn pair<'h>(&self, bytes: &'h [u8]) -> PairRef<'h> {
        let (key, rest) = bytes[self.key_at..].split_at(self.key_len);
        let (value, deadline_ms) = (&rest[..self.value_len], self.deadline_ms(bytes));
        PairRef { key, value, deadline_ms, shared: None }
    }

    /// Replaces value and deadline, if they take as much room as before. `false` if nothing was
    /// changed.
    #[inline(always)]
    pub(super) fn set(&self, value: &[u8], deadline_ms: u64, bytes: &mut [u8]) -> bool {
        if self.value_len != value.len() || self.has_deadline != (deadline_ms != NEVER) {
            return false;
        }
        if self.has_deadline {
            self.write_deadline(deadline_ms, bytes);
        }
        let value_at = self.key_at + self.key_len;
        put(&mut bytes[value_at..], value);
        true
    }
}

/// Whether an entry with this head says its lengths in the short form, and its key is so long.
#[inline]
pub(super) fn is_short(head: u8, key_len: usize) -> bool {
    const _: () = assert!(form::SHORT == 0);
    key_len <= SHORT_KEY_LEN_MAX && usize::from(head >> 1) == key_len << 2
}

/// The pair that begins `bytes` in the short form, the usual one, with a key of this length.
#[inline(always)]
pub(super) fn short_pair(bytes: &[u8], key_len: usize) -> Option<PairRef<'_>> {
    let [head, value_len, ref rest @ ..] = *bytes else { return None };
    let (deadline_ms, rest) = match head & 1 {
        0 => (NEVER, rest),
        _ => (deadline_in(rest), rest.get(DEADLINE_LEN..)?),
    };
    let (key, rest) = rest.split_at_checked(key_len)?;
    let value = rest.get(..usize::from(value_len))?;
    Some(PairRef { key, value, deadline_ms, shared: None })
}

/// How an entry with this head says its lengths.
#[inline]
pub(super) fn form_in(head: u8) -> u8 {
    (head >> 1) & 3
}

/// Bytes of an entry with this head before its deadline or key; `None` if it lies elsewhere.
#[inline]
pub(super) fn head_len(head: u8) -> Option<usize> {
    HEAD_LENS.get(usize::from(form_in(head))).copied()
}

/// Writes a deadline to its place.
#[inline]
pub(super) fn put_deadline(deadline_ms: u64, to: &mut [u8]) {
    to.copy_from_slice(&deadline_ms.to_le_bytes()[..DEADLINE_LEN]);
}

/// The deadline that `bytes` begin with.
#[inline]
pub(super) fn deadline_in(bytes: &[u8]) -> u64 {
    let mut deadline = [0; 8];
    deadline[..DEADLINE_LEN].copy_from_slice(&bytes[..DEADLINE_LEN]);
    u64::from_le_bytes(deadline)
}
