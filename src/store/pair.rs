//! One pair of a namespace: key, value and optional deadline in one allocation.
//!
//! Layout: a head byte (bit 0: has a deadline; the other bits: the key's length if below 127, else
//! 127), then if needed four bytes of key length, then if present eight bytes of deadline (unix ms),
//! then key and value. It knows no namespace.

use super::table::{Entry, NEVER};

const LONG: u8 = 127;

/// A key, its value, and when it expires.
#[derive(Debug, Clone)]
pub struct Pair(Box<[u8]>);

impl Pair {
    /// A pair that expires at `deadline_ms` (unix time), or [`NEVER`]. Keys are limited to 4 GiB.
    pub fn new(key: &[u8], value: &[u8], deadline_ms: u64) -> Pair {
        let has_deadline = deadline_ms != NEVER;
        let short = key.len() < LONG as usize;
        let head = 1 + if short { 0 } else { 4 } + if has_deadline { 8 } else { 0 };
        let mut bytes = Vec::with_capacity(head + key.len() + value.len());
        let form = if short { key.len() as u8 } else { LONG };
        bytes.push(form << 1 | u8::from(has_deadline));
        if !short {
            bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        }
        if has_deadline {
            bytes.extend_from_slice(&deadline_ms.to_le_bytes());
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Pair(bytes.into_boxed_slice())
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &[u8] {
        let (start, len) = self.key_range();
        &self.0[start + len..]
    }

    /// Key, value and deadline at once.
    #[inline]
    pub fn parts(&self) -> (&[u8], &[u8], u64) {
        let (start, len) = self.key_range();
        let (key, value) = self.0[start..].split_at(len);
        (key, value, self.deadline_before(start))
    }

    /// Replaces value and deadline, in place where the size stays.
    pub fn set(&mut self, value: &[u8], deadline_ms: u64) {
        let (start, len) = self.key_range();
        let same_form = self.has_deadline() == (deadline_ms != NEVER);
        if same_form && self.0.len() - start - len == value.len() {
            self.0[start + len..].copy_from_slice(value);
            if deadline_ms != NEVER {
                self.0[start - 8..start].copy_from_slice(&deadline_ms.to_le_bytes());
            }
        } else {
            *self = Pair::new(&self.0[start..start + len], value, deadline_ms);
        }
    }

    /// Replaces the deadline.
    pub fn set_deadline(&mut self, deadline_ms: u64) {
        if self.has_deadline() && deadline_ms != NEVER {
            let (start, _) = self.key_range();
            self.0[start - 8..start].copy_from_slice(&deadline_ms.to_le_bytes());
        } else if self.deadline_ms() != deadline_ms {
            *self = Pair::new(self.key(), self.value(), deadline_ms);
        }
    }

    #[inline]
    fn deadline_before(&self, start: usize) -> u64 {
        match self.0[..start].last_chunk() {
            Some(bytes) if self.has_deadline() => u64::from_le_bytes(*bytes),
            _ => NEVER,
        }
    }

    #[inline]
    fn has_deadline(&self) -> bool {
        self.0[0] & 1 == 1
    }

    #[inline]
    fn key_range(&self) -> (usize, usize) {
        let head = self.0[0];
        let after = if head & 1 == 1 { 8 } else { 0 };
        if head >> 1 == LONG {
            let len = u32::from_le_bytes([self.0[1], self.0[2], self.0[3], self.0[4]]);
            (5 + after, len as usize)
        } else {
            (1 + after, (head >> 1) as usize)
        }
    }
}

impl Entry for Pair {
    #[inline]
    fn key(&self) -> &[u8] {
        let (start, len) = self.key_range();
        &self.0[start..start + len]
    }

    fn deadline_ms(&self) -> u64 {
        if self.has_deadline() { self.deadline_before(self.key_range().0) } else { NEVER }
    }

    #[inline]
    fn touch(&self) -> u64 {
        u64::from(self.0[0]) ^ u64::from(self.0[self.0.len() - 1])
    }

    fn heap_bytes(&self) -> usize {
        super::allocated(self.0.len())
    }
}
