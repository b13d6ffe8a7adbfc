//! The libraries of functions that are kept with the names: their code, as it was loaded.
//!
//! What code means is [`crate::script::library`]'s matter. Their effects are absolute, of one library or of
//! all, so redoing those that a snapshot has seen leads to the same end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;

use crate::journal::effect::{Damaged, Effect};
use crate::journal::varint;

/// A library's name and code.
pub type Named = (Box<[u8]>, Arc<[u8]>);

/// Code by name.
type Codes = BTreeMap<Box<[u8]>, Arc<[u8]>>;

/// See the module.
#[derive(Debug, Default)]
pub struct Kept {
    codes: RwLock<Codes>,
    version: AtomicU64,
}

impl Kept {
    /// Grows with every change.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.codes.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of names and code.
    pub fn bytes(&self) -> usize {
        self.codes.read().iter().map(|(name, code)| name.len() + code.len()).sum()
    }

    /// Each library by name, and the version they have.
    pub fn all(&self) -> (u64, Vec<Named>) {
        let codes = self.codes.read();
        let named = codes.iter().map(|(name, code)| (name.clone(), code.clone()));
        (self.version(), named.collect())
    }

    /// What [`Effect::Libraries`] carries.
    pub fn encoded(&self) -> Vec<u8> {
        encode(self.codes.read().iter().map(|(name, code)| (&**name, &**code)))
    }

    /// Applies an effect, if it is one of libraries. Who is not recovering holds all stripes, so that
    /// it is in order.
    ///
    /// # Errors
    /// When it is not such as could have happened.
    pub fn apply(&self, effect: Effect<'_>) -> Result<(), Damaged> {
        match effect {
            Effect::Libraries { all } => *self.codes.write() = decode(all)?,
            Effect::Library { name, code: &[] } => drop(self.codes.write().remove(name)),
            Effect::Library { name, code } => {
                self.codes.write().insert(name.into(), code.into());
            }
            _ => return Ok(()),
        }
        self.version.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// What [`Effect::Libraries`] carries: names and codes.
pub fn encode<'e>(libraries: impl Iterator<Item = (&'e [u8], &'e [u8])>) -> Vec<u8> {
    let mut encoded = Vec::new();
    for field in libraries.flat_map(|(name, code)| [name, code]) {
        varint::push(field.len() as u64, &mut encoded);
        encoded.extend_from_slice(field);
    }
    encoded
}

fn decode(mut encoded: &[u8]) -> Result<Codes, Damaged> {
    let mut codes = BTreeMap::new();
    while !encoded.is_empty() {
        let (name, code) = (field(&mut encoded)?, field(&mut encoded)?);
        codes.insert(name.into(), code.into());
    }
    Ok(codes)
}

fn field<'e>(encoded: &mut &'e [u8]) -> Result<&'e [u8], Damaged> {
    let len = varint::read(encoded).ok_or(Damaged)?;
    let len = usize::try_from(len).map_err(|_| Damaged)?;
    let (field, rest) = encoded.split_at_checked(len).ok_or(Damaged)?;
    *encoded = rest;
    Ok(field)
}
