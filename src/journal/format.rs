//! What lies on the disk: files that begin with a head and go on with records, both with checksums.
//!
//! Journal segments and snapshots have the same form; their records differ in kind and body. A
//! record's header has a checksum of its own, so that a damaged length is never believed, and the
//! one behind the body covers header and body. Checksums begin with a salt that each file draws:
//! nobody who chooses names and values can forge a record. All numbers are little-endian.
//!
//! ```text
//! file    magic 8 | version 4 | flags 4 | number 8 | lsn 8 | time_ms 8 | seeds 3 x 8 | salt 4 | crc 4
//! record  magic 4 | kind 1, zero 3 | body length 8 | lsn 8 | synced 8 | time_ms 8 | count 4 | crc 4
//!         body
//!         crc 4 of header and body
//! ```

use super::Lsn;
use crate::sabotage::{self, Bug};

/// The version that is written. A file of a newer one is refused; older ones are read:
///
/// - 1 has no [`Effect::PatchString`](super::effect::Effect::PatchString), and no limits.
/// - 2 is this.
pub const VERSION: u32 = 2;
/// Bytes of a file's head.
pub const HEAD_LEN: usize = 72;
/// Bytes of a record before its body.
pub const RECORD_LEN: usize = 48;
/// Where a record's header has the length of its body.
const BODY_LEN_AT: usize = 8;
/// Bytes behind a record's body.
pub const CRC_LEN: usize = 4;

const JOURNAL_MAGIC: [u8; 8] = *b"PANTRY\0J";
const SNAPSHOT_MAGIC: [u8; 8] = *b"PANTRY\0S";
pub(super) const RECORD_MAGIC: [u8; 4] = [0xb5, b'P', 0xd7, b'R'];
/// The journal before this segment is worth nothing without the snapshot of the same number.
const FLAG_FRESH: u32 = 1;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A segment of the journal.
    Journal,
    /// A snapshot.
    Snapshot,
}

/// The head of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it holds.
    pub kind: FileKind,
    /// A segment's number; a snapshot has that of the first segment it needs.
    pub number: u64,
    /// A segment's first LSN; every effect up to a snapshot's LSN is in it.
    pub lsn: Lsn,
    /// When it was made, in unix ms.
    pub time_ms: u64,
    /// A segment that does not continue the one before.
    pub is_fresh: bool,
    /// See [`crate::store::Hasher::seeds`].
    pub seeds: [u64; 3],
    /// What the checksums of its records begin with.
    pub salt: u32,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Journal: batches of effects, each behind its length.
    Effects = 1,
    /// Journal: nothing follows in this segment; the next one exists.
    Continued = 2,
    /// Journal: the server stopped in order.
    Closed = 3,
    /// Snapshot: whole names.
    Names = 4,
    /// Snapshot: what names were before was written already, or nothing; at this LSN they are this.
    LateNames = 5,
    /// Snapshot: the same for the header of a namespace whose pairs follow.
    LateNamespace = 6,
    /// Snapshot: pairs of the namespace that was begun.
    LatePairs = 7,
    /// Snapshot: what was written from a record on is void.
    Void = 8,
    /// Snapshot: its end.
    End = 9,
    /// Snapshot: all libraries of functions.
    Libraries = 10,
    /// Snapshot: the limits of names.
    Limits = 11,
}

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::Effects,
        Kind::Continued,
        Kind::Closed,
        Kind::Names,
        Kind::LateNames,
        Kind::LateNamespace,
        Kind::LatePairs,
        Kind::Void,
        Kind::End,
        Kind::Libraries,
        Kind::Limits,
    ];
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    /// What it is.
    pub kind: Kind,
    /// Bytes of its body.
    pub body_len: u64,
    /// Journal: LSN of the first batch. Snapshot: every effect up to it is in the body.
    pub lsn: Lsn,
    /// Journal: up to here all was safe when this was written. Snapshot: 0.
    pub synced: Lsn,
    /// When it was written, in unix ms.
    pub time_ms: u64,
    /// Journal: number of batches. Snapshot: number of the record in its file.
    pub count: u32,
}

/// Why bytes are no head or no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// There are fewer bytes than it says or needs.
    Short,
    /// It does not begin as it should.
    Magic,
    /// A checksum is wrong.
    Checksum,
    /// A newer version wrote it.
    Newer(u32),
    /// The checksums are right, but nothing of this kind is known here.
    Unknown,
    /// It is whole, but does not belong here.
    Order,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Flaw::Short => "it ends too early",
            Flaw::Magic => "it does not begin as it should",
            Flaw::Checksum => "its checksum is wrong",
            Flaw::Newer(version) => {
                return write!(f, "version {version} of the format is newer than this program");
            }
            Flaw::Unknown => "its kind is not known to this program",
            Flaw::Order => "it does not belong there",
        })
    }
}

impl Head {
    /// The bytes a file begins with.
    pub fn encode(&self) -> [u8; HEAD_LEN] {
        let mut bytes = [0; HEAD_LEN];
        let mut to = Cursor { bytes: &mut bytes, at: 0 };
        to.put(match self.kind {
            FileKind::Journal => JOURNAL_MAGIC,
            FileKind::Snapshot => SNAPSHOT_MAGIC,
        });
        to.put(VERSION.to_le_bytes());
        to.put(if self.is_fresh { FLAG_FRESH } else { 0 }.to_le_bytes());
        to.put(self.number.to_le_bytes());
        to.put(self.lsn.to_le_bytes());
        to.put(self.time_ms.to_le_bytes());
        self.seeds.iter().for_each(|seed| to.put(seed.to_le_bytes()));
        to.put(self.salt.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..HEAD_LEN - CRC_LEN]);
        bytes[HEAD_LEN - CRC_LEN..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the head that begins `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Head, Flaw> {
        let bytes = bytes.get(..HEAD_LEN).ok_or(Flaw::Short)?;
        let (body, crc) = bytes.split_at(HEAD_LEN - CRC_LEN);
        let mut from = body;
        let kind = match take(&mut from) {
            JOURNAL_MAGIC => FileKind::Journal,
            SNAPSHOT_MAGIC => FileKind::Snapshot,
            _ => return Err(Flaw::Magic),
        };
        if crc32fast::hash(body).to_le_bytes() != crc {
            return Err(Flaw::Checksum);
        }
        let version = u32::from_le_bytes(take(&mut from));
        if version > VERSION {
            return Err(Flaw::Newer(version));
        }
        let flags = u32::from_le_bytes(take(&mut from));
        if version == 0 || flags & !FLAG_FRESH != 0 {
            return Err(Flaw::Unknown);
        }
        let mut number = || u64::from_le_bytes(take(&mut from));
        let (number, lsn, time_ms, seeds) =
            (number(), number(), number(), [number(), number(), number()]);
        let salt = u32::from_le_bytes(take(&mut from));
        Ok(Head { kind, number, lsn, time_ms, is_fresh: flags & FLAG_FRESH != 0, seeds, salt })
    }
}

impl RecordHead {
    /// Bytes of the record, with what stands behind its body.
    pub fn whole_len(&self) -> u64 {
        RECORD_LEN as u64 + self.body_len + CRC_LEN as u64
    }

    /// A whole record with this body, whose length it says.
    pub fn sealed(&self, salt: u32, body: &[u8]) -> Vec<u8> {
        let mut record = [&[0; RECORD_LEN], body].concat();
        RecordHead { body_len: body.len() as u64, ..*self }.seal(salt, &mut record);
        record
    }

    /// Completes a record in place: `record` begins with room for the header, then has the body. The
    /// checksum is appended.
    pub fn seal(&self, salt: u32, record: &mut Vec<u8>) {
        self.write(salt, &mut record[..RECORD_LEN]);
        record.extend_from_slice(&checksum(salt, [&record[..]].into_iter()));
    }

    /// Writes the header of a record whose parts are not in one place. Behind it come the body and its
    /// [`checksum`].
    pub fn write(&self, salt: u32, header: &mut [u8]) {
        let mut to = Cursor { bytes: header, at: 0 };
        to.put(RECORD_MAGIC);
        to.put([self.kind as u8, 0, 0, 0]);
        to.put(self.body_len.to_le_bytes());
        to.put(self.lsn.to_le_bytes());
        to.put(self.synced.to_le_bytes());
        to.put(self.time_ms.to_le_bytes());
        to.put(self.count.to_le_bytes());
        let crc = record_checksum(salt, &header[..RECORD_LEN - CRC_LEN]).to_le_bytes();
        header[RECORD_LEN - CRC_LEN..].copy_from_slice(&crc);
    }

    /// Reads the header that begins `bytes`.
    pub fn decode(bytes: &[u8], salt: u32) -> Result<RecordHead, Flaw> {
        let bytes = bytes.get(..RECORD_LEN).ok_or(Flaw::Short)?;
        let (body, crc) = bytes.split_at(RECORD_LEN - CRC_LEN);
        let mut from = body;
        if take(&mut from) != RECORD_MAGIC {
            return Err(Flaw::Magic);
        }
        if record_checksum(salt, body).to_le_bytes() != crc {
            return Err(Flaw::Checksum);
        }
        let [kind, zeros @ ..] = take::<4>(&mut from);
        let kind = Kind::ALL.into_iter().find(|&known| known as u8 == kind).ok_or(Flaw::Unknown)?;
        if zeros != [0; 3] {
            return Err(Flaw::Unknown);
        }
        let mut number = || u64::from_le_bytes(take(&mut from));
        let (body_len, lsn, synced, time_ms) = (number(), number(), number(), number());
        let count = u32::from_le_bytes(take(&mut from));
        Ok(RecordHead { kind, body_len, lsn, synced, time_ms, count })
    }
}

/// What stands behind a record. The first of its parts has its whole header.
pub fn checksum<'p>(salt: u32, mut parts: impl Iterator<Item = &'p [u8]>) -> [u8; CRC_LEN] {
    let mut hasher = record_hasher(salt, parts.next().unwrap_or_default());
    parts.for_each(|part| hasher.update(part));
    hasher.finalize().to_le_bytes()
}

/// The checksum of what begins with a record's header.
pub(super) fn record_checksum(salt: u32, record: &[u8]) -> u32 {
    record_hasher(salt, record).finalize()
}

fn record_hasher(salt: u32, record: &[u8]) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    if sabotage::is(Bug::LengthNotCovered) {
        hasher.update(&record[..BODY_LEN_AT]);
        hasher.update(&record[BODY_LEN_AT + 8..]);
    } else {
        hasher.update(record);
    }
    hasher
}

struct Cursor<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Cursor<'_> {
    fn put<const N: usize>(&mut self, part: [u8; N]) {
        self.bytes[self.at..self.at + N].copy_from_slice(&part);
        self.at += N;
    }
}

/// Takes so many bytes from a slice that has them.
fn take<const N: usize>(from: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = from.split_at(N);
    *from = rest;
    let mut bytes = [0; N];
    bytes.copy_from_slice(taken);
    bytes
}
