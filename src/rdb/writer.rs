//! Writes RDB: files, and the values of DUMP.
//!
//! Strings are written as they are, hashes as keys and values in turn: every Redis reads that, and makes of it what its
//! own settings say. What is written, and in which order, is the caller's matter.

use std::io::{self, Write};

use super::crc64::crc64;
use super::pairs::{PairBuffer, Sums};
use super::types::{HASH, HASH_METADATA, STRING, opcode};

/// Which servers are to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Redis 7.0, Valkey 7.2 and all later ones. It has no deadlines of pairs: they are left out.
    Redis7_0,
    /// Redis 7.4 and later.
    Redis7_4,
}

impl Version {
    /// The number of the format.
    pub fn number(self) -> u16 {
        match self {
            Version::Redis7_0 => 10,
            Version::Redis7_4 => 12,
        }
    }

    fn redis_version(self) -> &'static [u8] {
        match self {
            Version::Redis7_0 => b"7.0.0",
            Version::Redis7_4 => b"7.4.0",
        }
    }
}

/// Writes one file.
#[derive(Debug)]
pub struct Writer<W> {
    out: Summed<W>,
    version: Version,
    db: Option<u64>,
    /// The earliest deadline of the hash that was begun, if deadlines are written.
    min_ms: Option<u64>,
    dropped_deadlines: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header; `created_s` is a unix time.
    pub fn new(out: W, version: Version, created_s: u64) -> io::Result<Writer<W>> {
        let out = Summed { out, crc: 0, bytes: 0 };
        let mut writer = Writer { out, version, db: None, min_ms: None, dropped_deadlines: 0 };
        write!(writer.out, "REDIS{:04}", version.number())?;
        writer.aux(b"redis-ver", version.redis_version())?;
        writer.aux(b"redis-bits", b"64")?;
        writer.aux(b"ctime", created_s.to_string().as_bytes())?;
        writer.aux(b"pantry-ver", env!("CARGO_PKG_VERSION").as_bytes())?;
        Ok(writer)
    }

    /// Writes a fact about the file; readers ignore those they do not know.
    pub fn aux(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.out.write_all(&[opcode::AUX])?;
        string(&mut self.out, key)?;
        string(&mut self.out, value)
    }

    /// Writes a library of functions.
    pub fn library(&mut self, code: &[u8]) -> io::Result<()> {
        self.out.write_all(&[opcode::FUNCTION2])?;
        string(&mut self.out, code)
    }

    /// Writes a name that holds a string. Names of one database come one after the other, each once.
    pub fn string(
        &mut self,
        db: u64,
        name: &[u8],
        deadline_ms: Option<u64>,
        value: &[u8],
    ) -> io::Result<()> {
        self.name(db, deadline_ms, STRING, name)?;
        string(&mut self.out, value)
    }

    /// Writes a name that holds a hash. Without pairs it does not exist, and nothing is written.
    pub fn hash(
        &mut self,
        db: u64,
        name: &[u8],
        deadline_ms: Option<u64>,
        all: &PairBuffer,
    ) -> io::Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        self.begin_hash(db, name, deadline_ms, all.sums())?;
        self.pairs(all)
    }

    /// Begins a name that holds a hash; all its pairs must follow, of which there are some.
    pub fn begin_hash(
        &mut self,
        db: u64,
        name: &[u8],
        deadline_ms: Option<u64>,
        all: Sums,
    ) -> io::Result<()> {
        self.min_ms = all.min_deadline_ms.filter(|_| self.version == Version::Redis7_4);
        if self.min_ms.is_none() {
            self.dropped_deadlines += all.with_deadline as u64;
        }
        self.name(db, deadline_ms, hash_type(self.min_ms), name)?;
        begin_hash(&mut self.out, all.len, self.min_ms)
    }

    /// Writes some pairs of the hash that was begun.
    pub fn pairs(&mut self, some: &PairBuffer) -> io::Result<()> {
        pairs(&mut self.out, some, self.min_ms)
    }

    /// Pairs that were written without the deadline they have.
    pub fn dropped_deadlines(&self) -> u64 {
        self.dropped_deadlines
    }

    /// Writes the end and gives back the output, unflushed, and how many bytes went there.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.out.write_all(&[opcode::EOF])?;
        let checksum = self.out.crc.to_le_bytes();
        self.out.write_all(&checksum)?;
        Ok((self.out.out, self.out.bytes))
    }

    fn name(
        &mut self,
        db: u64,
        deadline_ms: Option<u64>,
        number: u8,
        name: &[u8],
    ) -> io::Result<()> {
        if self.db.replace(db) != Some(db) {
            self.out.write_all(&[opcode::SELECTDB])?;
            length(&mut self.out, db)?;
        }
        if let Some(deadline_ms) = deadline_ms {
            self.out.write_all(&[opcode::EXPIRETIME_MS])?;
            // Redis reads it as signed.
            self.out.write_all(&deadline_ms.min(i64::MAX as u64).to_le_bytes())?;
        }
        self.out.write_all(&[number])?;
        string(&mut self.out, name)
    }
}

/// The number of a hash's type: whether its pairs have deadlines, of which this is the earliest.
pub(super) fn hash_type(min_ms: Option<u64>) -> u8 {
    if min_ms.is_some() { HASH_METADATA } else { HASH }
}

/// The pairs; with their deadlines, if their earliest is given.
pub(super) fn hash(out: &mut impl Write, all: &PairBuffer, min_ms: Option<u64>) -> io::Result<()> {
    begin_hash(out, all.len(), min_ms)?;
    pairs(out, all, min_ms)
}

fn begin_hash(out: &mut impl Write, len: usize, min_ms: Option<u64>) -> io::Result<()> {
    if let Some(min_ms) = min_ms {
        out.write_all(&min_ms.to_le_bytes())?;
    }
    length(out, len as u64)
}

fn pairs(out: &mut impl Write, some: &PairBuffer, min_ms: Option<u64>) -> io::Result<()> {
    for pair in some.iter() {
        if let Some(min_ms) = min_ms {
            // 0 is for none.
            length(out, pair.deadline_ms.map_or(0, |at_ms| at_ms - min_ms + 1))?;
        }
        string(out, pair.key)?;
        string(out, pair.value)?;
    }
    Ok(())
}

pub(super) fn string(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    length(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

fn length(out: &mut impl Write, len: u64) -> io::Result<()> {
    match len {
        0..=0x3f => out.write_all(&[len as u8]),
        0x40..=0x3fff => out.write_all(&(len as u16 | 0x4000).to_be_bytes()),
        0x4000..=0xffff_ffff => {
            out.write_all(&[0x80])?;
            out.write_all(&(len as u32).to_be_bytes())
        }
        _ => {
            out.write_all(&[0x81])?;
            out.write_all(&len.to_be_bytes())
        }
    }
}

/// An output with the checksum and number of what went there.
#[derive(Debug)]
struct Summed<W> {
    out: W,
    crc: u64,
    bytes: u64,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.crc = crc64(self.crc, &bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
