//! Large values as counted references: the store and connections that are sending one hold it at once,
//! and nobody copies it. What is small is copied: counting would cost more.

use std::ops::Deref;
use std::sync::Arc;

use crate::prefetch::prefetch;

/// Values of so many bytes are counted references.
pub const SHARED_BYTES_MIN: usize = 16 * 1024;
/// What an allocation takes besides the bytes: the counts, where the value begins, the vector.
pub const OVERHEAD_BYTES: usize = 2 * size_of::<usize>() + size_of::<Whole>();

/// A value, with some bytes in front of it that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared(Arc<Whole>);

#[derive(Debug, PartialEq, Eq)]
struct Whole {
    bytes: Vec<u8>,
    value_at: usize,
}

impl Shared {
    /// Copies both into one allocation.
    pub fn new(front: &[u8], value: &[u8]) -> Shared {
        let mut bytes = Vec::with_capacity(front.len() + value.len());
        bytes.extend_from_slice(front);
        bytes.extend_from_slice(value);
        Shared(Arc::new(Whole { bytes, value_at: front.len() }))
    }

    /// What is in front of the value.
    pub fn front(&self) -> &[u8] {
        &self.0.bytes[..self.0.value_at]
    }

    /// Fetches what leads to the bytes.
    pub fn prefetch_way(&self) {
        prefetch(&*self.0);
    }

    /// The value, unless somebody else holds it: what is being sent must not change.
    pub fn value_mut(&mut self) -> Option<&mut [u8]> {
        let whole = Arc::get_mut(&mut self.0)?;
        Some(&mut whole.bytes[whole.value_at..])
    }

    /// Bytes of both.
    pub fn whole_len(&self) -> usize {
        self.0.bytes.len()
    }
}

impl Deref for Shared {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes[self.0.value_at..]
    }
}

/// A value, and the counted reference to it if there is one.
#[derive(Debug, Clone, Copy)]
pub struct Value<'v> {
    /// Its bytes.
    pub bytes: &'v [u8],
    /// The same bytes.
    pub shared: Option<&'v Shared>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_holds_does_not_change() {
        let mut value = Shared::new(b"key", b"value");
        assert_eq!((value.front(), &*value), (&b"key"[..], &b"value"[..]));
        let sending = value.clone();
        assert!(value.value_mut().is_none());
        assert!(std::ptr::eq(&*value, &*sending));
        drop(sending);
        value.value_mut().into_iter().for_each(|bytes| bytes.copy_from_slice(b"other"));
        assert_eq!((value.front(), &*value), (&b"key"[..], &b"other"[..]));
    }
}
