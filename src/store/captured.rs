//! The bytes of captured names, as snapshots have them: written here, read in [`super::restore`].
//!
//! Large values are not copied into them: a [`Body`] holds counted references to those, so that neither
//! a stripe is held nor memory taken for as long as their bytes are. When and what is captured is
//! [`super::capture`]'s matter.

use super::name::NameEntry;
use super::packed::PairRef;
use super::table::NEVER;
use crate::journal::varint;
use crate::shared::{Shared, Value};

/// How an entry begins: its database and these flags.
pub(super) mod flag {
    pub const STRING: u8 = 1;
    pub const KEPT: u8 = 2;
    pub const RAW: u8 = 4;
    pub const DEADLINE: u8 = 8;
    /// There is no such name.
    pub const ABSENT: u8 = 16;
}

/// Bytes that are being put together, large values among them by reference.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Vec<u8>,
    /// Values, and how many of `bytes` are before each.
    values: Vec<(usize, Shared)>,
    values_bytes: usize,
}

impl Body {
    /// Empties it, but for so many zeros.
    pub fn begin(&mut self, zeros: usize) {
        self.bytes.clear();
        self.bytes.resize(zeros, 0);
        self.values.clear();
        self.values_bytes = 0;
    }

    /// Its length, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.values_bytes
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was put before the first large value.
    pub fn front_mut(&mut self) -> &mut [u8] {
        let end = self.values.first().map_or(self.bytes.len(), |value| value.0);
        &mut self.bytes[..end]
    }

    /// All of it, in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.values.iter().map(|value| value.0).chain([self.bytes.len()]);
        let begins = [0].into_iter().chain(self.values.iter().map(|value| value.0));
        let values = self.values.iter().map(|value| &*value.1).chain([&[][..]]);
        begins
            .zip(ends)
            .zip(values)
            .flat_map(|((begin, end), value)| [&self.bytes[begin..end], value])
            .filter(|part| !part.is_empty())
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a number.
    pub fn push_number(&mut self, number: u64) {
        varint::push(number, &mut self.bytes);
    }

    fn push_value(&mut self, value: Value<'_>) {
        match value.shared {
            None => self.push(value.bytes),
            Some(shared) => {
                self.values_bytes += shared.len();
                self.values.push((self.bytes.len(), shared.clone()));
            }
        }
    }

    /// Appends a name and what it holds.
    pub(super) fn push_entry(&mut self, db: usize, entry: &NameEntry) {
        self.push_header(db, entry);
        match entry.pairs() {
            Err(_) => {
                let none = Value { bytes: &[], shared: None };
                let string = entry.sendable_string().unwrap_or(none);
                self.push_number(string.bytes.len() as u64);
                self.push_value(string);
            }
            Ok(pairs) => {
                self.push_number(pairs.len() as u64);
                pairs.iter().for_each(|pair| self.push_pair(&pair));
            }
        }
    }

    /// Appends what a name begins with.
    pub(super) fn push_header(&mut self, db: usize, entry: &NameEntry) {
        let flags = [
            (entry.string().is_some(), flag::STRING),
            (entry.kept, flag::KEPT),
            (entry.raw, flag::RAW),
        ];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set);
        let flags = flags.fold(0, |all, (_, bit)| all | bit);
        self.push_front(db, flags, entry.name(), entry.deadline_ms);
    }

    /// Appends that there is no such name.
    pub(super) fn push_absent(&mut self, db: usize, name: &[u8]) {
        self.push_front(db, flag::ABSENT, name, NEVER);
    }

    fn push_front(&mut self, db: usize, flags: u8, name: &[u8], deadline_ms: u64) {
        let has_deadline = deadline_ms != NEVER;
        self.push(&[db as u8, flags | if has_deadline { flag::DEADLINE } else { 0 }]);
        self.push_number(name.len() as u64);
        self.push(name);
        if has_deadline {
            self.push(&deadline_ms.to_le_bytes());
        }
    }

    /// Appends a pair.
    pub(super) fn push_pair(&mut self, pair: &PairRef<'_>) {
        let has_deadline = pair.deadline_ms != NEVER;
        self.push_number((pair.key.len() as u64) << 1 | u64::from(has_deadline));
        self.push_number(pair.value.len() as u64);
        if has_deadline {
            self.push(&pair.deadline_ms.to_le_bytes());
        }
        self.push(pair.key);
        self.push_value(Value { bytes: pair.value, shared: pair.shared });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_stand_where_they_were_put() {
        let mut body = Body::default();
        body.begin(2);
        let large = Shared::new(b"key", b"large");
        for value in [&b"a"[..], b"", b"bc"] {
            body.push(value);
            body.push_value(Value { bytes: &large, shared: Some(&large) });
        }
        body.push_value(Value { bytes: b"d", shared: None });
        let whole: Vec<u8> = body.parts().flatten().copied().collect();
        assert_eq!(whole, b"\0\0alargelargebclarged");
        assert_eq!(body.len(), whole.len());
        assert_eq!(body.front_mut(), b"\0\0a");
        body.begin(0);
        assert!(body.is_empty() && body.parts().next().is_none());
    }
}
