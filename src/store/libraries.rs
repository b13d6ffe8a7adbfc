//! The libraries of functions that are kept with the names: their code, as it was loaded.
//!
//! All of them are one value, so that a change is one effect in absolute terms. What code means, and
//! which names it has, is [`crate::script::library`]'s matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;

use crate::journal::effect::Damaged;
use crate::journal::varint;

/// See the module.
#[derive(Debug, Default)]
pub struct Kept {
    encoded: RwLock<Arc<[u8]>>,
    version: AtomicU64,
}

impl Kept {
    /// Grows with every change.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }

    /// Each library's code, and the version they have.
    pub fn codes(&self) -> (u64, Vec<Box<[u8]>>) {
        let encoded = self.encoded.read();
        (self.version(), decode(&encoded).unwrap_or_default())
    }

    /// What [`Kept::set`] takes.
    pub fn encoded(&self) -> Arc<[u8]> {
        self.encoded.read().clone()
    }

    /// Replaces all. Who is not recovering holds all stripes, so that the effect is in order.
    ///
    /// # Errors
    /// When the bytes are not what [`encode`] makes.
    pub fn set(&self, encoded: &[u8]) -> Result<(), Damaged> {
        decode(encoded)?;
        let mut kept = self.encoded.write();
        *kept = encoded.into();
        self.version.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// Each code behind its length.
pub fn encode<'c>(codes: impl Iterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut encoded = Vec::new();
    for code in codes {
        varint::push(code.len() as u64, &mut encoded);
        encoded.extend_from_slice(code);
    }
    encoded
}

fn decode(mut encoded: &[u8]) -> Result<Vec<Box<[u8]>>, Damaged> {
    let mut codes = Vec::new();
    while !encoded.is_empty() {
        let len = varint::read(&mut encoded).ok_or(Damaged)?;
        let len = usize::try_from(len).map_err(|_| Damaged)?;
        let (code, rest) = encoded.split_at_checked(len).ok_or(Damaged)?;
        codes.push(code.into());
        encoded = rest;
    }
    Ok(codes)
}
