//! One value by itself: what DUMP gives and RESTORE takes.
//!
//! That is the value as in a file, with its type in front, then two bytes of RDB version and eight of checksum.

use std::collections::HashSet;

use super::crc64::crc64;
use super::input::BUFFER_BYTES;
use super::pairs::PairBuffer;
use super::reader::{Begun, HashOrString};
use super::types::{STRING, Type, opcode};
use super::writer::{self, Version};
use super::{Dialect, Error, Input, OtherKind, Result, VALKEY_VERSION};

/// A value that was read.
#[derive(Debug)]
pub enum Value {
    /// Of a string.
    String(Vec<u8>),
    /// Of a hash; no key comes twice.
    Hash(PairBuffer),
}

/// Why a payload is refused.
#[derive(Debug)]
pub enum Refused {
    /// Its checksum is wrong, or its version not known.
    Footer,
    /// It is no value.
    Format(Error),
    /// It is of a type that can not be kept here.
    Other(OtherKind),
}

/// The payload of a string.
pub fn string(value: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(value.len() + 16);
    payload.push(STRING);
    // A vector takes everything.
    let _ = writer::string(&mut payload, value);
    sealed(payload, Version::Redis7_0)
}

/// The payload of a hash. Only if a pair has a deadline does it take Redis 7.4 to read it.
pub fn hash(pairs: &PairBuffer) -> Vec<u8> {
    let min_ms = pairs.sums().min_deadline_ms;
    let mut payload = vec![writer::hash_type(min_ms)];
    // A vector takes everything.
    let _ = writer::hash(&mut payload, pairs, min_ms);
    sealed(payload, if min_ms.is_some() { Version::Redis7_4 } else { Version::Redis7_0 })
}

fn sealed(mut payload: Vec<u8>, version: Version) -> Vec<u8> {
    payload.extend_from_slice(&version.number().to_le_bytes());
    let checksum = crc64(0, &payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// Reads a payload, made here or by any server whose files can be read.
///
/// # Errors
/// Why it is none, or not for here.
pub fn read(payload: &[u8]) -> Result<Value, Refused> {
    let (value, dialect) = unsealed(payload)?;
    read_value(value, dialect)
}

/// The payload of FUNCTION DUMP: the code of libraries.
pub fn libraries<'c>(codes: impl Iterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut payload = Vec::new();
    for code in codes {
        payload.push(opcode::FUNCTION2);
        // A vector takes everything.
        let _ = writer::string(&mut payload, code);
    }
    sealed(payload, Version::Redis7_0)
}

/// Reads the payload of FUNCTION DUMP.
///
/// # Errors
/// Why it is none.
pub fn read_libraries(payload: &[u8]) -> Result<Vec<Vec<u8>>, Refused> {
    let (value, _) = unsealed(payload)?;
    let mut input = Input::buffered(value, value.len().clamp(1, BUFFER_BYTES));
    let mut codes = Vec::new();
    while !input.is_at_end().map_err(Refused::Format)? {
        let kind = input.byte().map_err(Refused::Format)?;
        if kind != opcode::FUNCTION2 {
            let what = "given type is not a function".into();
            return Err(Refused::Format(Error::Damaged { offset: input.offset(), what }));
        }
        let mut code = Vec::new();
        input.string(&mut code).map_err(Refused::Format)?;
        codes.push(code);
    }
    Ok(codes)
}

fn unsealed(payload: &[u8]) -> Result<(&[u8], Dialect), Refused> {
    let Some((summed, checksum)) = payload.split_last_chunk::<8>() else {
        return Err(Refused::Footer);
    };
    let Some((value, version)) = summed.split_last_chunk::<2>() else {
        return Err(Refused::Footer);
    };
    let version = u32::from(u16::from_le_bytes(*version));
    let dialect = if version >= VALKEY_VERSION { Dialect::Valkey } else { Dialect::Redis };
    if crc64(0, summed) != u64::from_le_bytes(*checksum) || !dialect.has(version) {
        return Err(Refused::Footer);
    }
    Ok((value, dialect))
}

fn read_value(value: &[u8], dialect: Dialect) -> Result<Value, Refused> {
    let mut input = Input::buffered(value, value.len().clamp(1, BUFFER_BYTES));
    let mut read = HashOrString::default();
    let begun = begin(&mut input, &mut read, dialect).map_err(Refused::Format)?;
    let value = match begun {
        Begun::Other(kind) => return Err(Refused::Other(kind)),
        Begun::String => Value::String(read.value),
        Begun::Hash => Value::Hash(pairs(&mut input, &mut read).map_err(Refused::Format)?),
    };
    match input.is_at_end() {
        Ok(true) => Ok(value),
        _ => Err(Refused::Format(Error::Damaged {
            offset: input.offset(),
            what: "there is more behind the value".into(),
        })),
    }
}

fn begin(input: &mut Input<&[u8]>, read: &mut HashOrString, dialect: Dialect) -> Result<Begun> {
    let mut number = input.byte()?;
    if number == opcode::KEY_META_OR_SLOT_IMPORT && dialect == Dialect::Redis {
        input.skip_key_meta()?;
        number = input.byte()?;
    }
    match Type::of(number, dialect) {
        Some(kind) => read.begin(kind, input),
        None => input.damaged(format!("no known type: {number}")),
    }
}

fn pairs(input: &mut Input<&[u8]>, read: &mut HashOrString) -> Result<PairBuffer> {
    let mut pairs = PairBuffer::default();
    while let Some(deadline_ms) = read.next_pair(input)? {
        pairs.push(&read.key, &read.value, deadline_ms);
    }
    let mut keys = HashSet::new();
    if pairs.is_empty() {
        return input.damaged("a hash without pairs");
    }
    if !pairs.iter().all(|pair| keys.insert(pair.key)) {
        return input.damaged("a hash that has a key twice");
    }
    drop(keys);
    Ok(pairs)
}
