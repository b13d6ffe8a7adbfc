//! One segment of the journal: a file that records are appended to, with room ahead of them.
//!
//! It writes whole records or none, and knows what a flush costs the file system. Which records, and
//! when a segment ends, is [`super::writer`]'s matter.

use std::io;
use std::sync::Arc;

use super::Lsn;
use super::disk::{Disk, DiskFile, append_all};
use super::files::journal_name;
use super::format::{FileKind, HEAD_LEN, Head};
use crate::sabotage::{self, Bug};

/// Room that is reserved on the disk at once.
const RESERVE_STEP_BYTES: u64 = 8 << 20;
/// Room there must be: what was executed already must find its place on a disk that runs full.
pub(super) const RESERVE_BYTES_MIN: u64 = 1 << 20;
/// Under `always`, zeros that lie ahead of what is written: a flush over them is no matter of the
/// file system's own journal, which takes several times as long.
const ZEROED_STEP_BYTES: u64 = 256 << 10;
const ZEROED_BYTES_MIN: u64 = 32 << 10;
/// A segment that is written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) number: u64,
    pub(super) salt: u32,
    pub(super) len: u64,
    pub(super) reserved: u64,
    /// Up to here the file has zeros.
    zeroed: u64,
}

impl Segment {
    pub(super) fn create(
        disk: &dyn Disk,
        number: u64,
        lsn: Lsn,
        is_fresh: bool,
        seeds: [u64; 3],
        time_ms: u64,
    ) -> io::Result<Segment> {
        let salt = salt();
        let head = Head { kind: FileKind::Journal, number, lsn, time_ms, is_fresh, seeds, salt };
        let file = disk.create(&journal_name(number))?;
        append_all(&*file, &head.encode())?;
        file.sync()?;
        if !sabotage::is(Bug::SegmentNameNotFlushed) {
            disk.sync()?;
        }
        Ok(Segment { file, number, salt, len: HEAD_LEN as u64, reserved: 0, zeroed: 0 })
    }

    /// Appends a whole record, or leaves the segment as it was.
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        if let Err(error) = append_all(&*self.file, record) {
            if !sabotage::is(Bug::ShortWriteKept) {
                // If this fails too the next attempt does it again, before anything is written.
                self.cut(self.len)?;
            }
            return Err(error);
        }
        self.len += record.len() as u64;
        Ok(())
    }

    /// Takes back what is behind the first `len` bytes.
    pub(super) fn cut(&mut self, len: u64) -> io::Result<()> {
        self.zeroed = 0;
        self.file.cut(len)?;
        self.len = len;
        Ok(())
    }

    /// Keeps zeros ahead of what is written, where room is reserved.
    pub(super) fn zero(&mut self) {
        let (from, to) = (self.zeroed.max(self.len), self.len + ZEROED_STEP_BYTES);
        if self.zeroed >= self.len + ZEROED_BYTES_MIN || to > self.reserved {
            return;
        }
        // Without them a flush only takes longer.
        if self.file.zero(from, to).is_ok() {
            self.zeroed = to;
        }
    }

    /// Keeps room ahead of what is written.
    pub(super) fn reserve(&mut self) -> io::Result<()> {
        if self.reserved >= self.len + RESERVE_BYTES_MIN {
            return Ok(());
        }
        let mut to = self.len + RESERVE_STEP_BYTES;
        if self.file.reserve(to).is_err() {
            to = self.len + RESERVE_BYTES_MIN;
            self.file.reserve(to)?;
        }
        self.reserved = to;
        Ok(())
    }
}

/// What a file's checksums begin with.
pub(crate) fn salt() -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0u64) as u32
}
