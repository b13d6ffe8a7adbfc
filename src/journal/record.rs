//! Reads a file's records one after the other, and believes nothing that its checksums do not say.
//!
//! What a damaged place means (a torn end, or damage) is for who reads all files to decide; here is
//! what that needs: where it is, and whether whole records follow.

use std::io::{self, BufRead as _, BufReader, Read};

use super::Lsn;
use super::disk::Disk;
use super::format::{
    CRC_LEN, FileKind, Flaw, HEAD_LEN, Head, RECORD_LEN, RECORD_MAGIC, RecordHead, record_checksum,
};
use crate::sabotage::{self, Bug};

const BUFFER_BYTES: usize = 1 << 20;

/// Reads one file.
pub struct Records {
    from: BufReader<Box<dyn Read + Send>>,
    /// What the file begins with.
    pub head: Head,
    len: u64,
    offset: u64,
    /// The record that was read last.
    record: Vec<u8>,
}

/// A file that can not be read on.
#[derive(Debug)]
pub enum Trouble {
    /// The disk does not give it.
    Io(io::Error),
    /// It is damaged at this offset, in bytes.
    Damage {
        /// Where what is damaged begins.
        offset: u64,
        /// What is wrong with it.
        flaw: Flaw,
    },
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Io(error)
    }
}

impl Records {
    /// Opens a file and reads its head.
    pub fn open(disk: &dyn Disk, name: &str) -> Result<Records, Trouble> {
        let (from, len) = disk.read(name)?;
        let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
        let mut head = Vec::with_capacity(HEAD_LEN);
        from.by_ref().take(HEAD_LEN as u64).read_to_end(&mut head)?;
        let head = Head::decode(&head).map_err(|flaw| Trouble::Damage { offset: 0, flaw })?;
        Ok(Records { from, head, len, offset: HEAD_LEN as u64, record: Vec::new() })
    }

    /// Where the next record begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.len
    }

    /// The next record; `None` at the end of the file, or of what a segment holds before zeros.
    pub fn read(&mut self) -> Result<Option<(RecordHead, &[u8])>, Trouble> {
        let left = self.len.saturating_sub(self.offset);
        if left == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        let damage = |flaw| Trouble::Damage { offset, flaw };
        self.record.clear();
        self.from.by_ref().take(RECORD_LEN as u64).read_to_end(&mut self.record)?;
        if self.head.kind == FileKind::Journal && self.are_zeros_left()? {
            self.len = self.offset;
            return Ok(None);
        }
        let head = RecordHead::decode(&self.record, self.head.salt).map_err(damage)?;
        let rest = head.body_len.saturating_add(CRC_LEN as u64);
        if left.saturating_sub(RECORD_LEN as u64) < rest {
            return Err(damage(Flaw::Short));
        }
        // The file is known to have so many bytes.
        self.record.reserve(rest as usize);
        self.from.by_ref().take(rest).read_to_end(&mut self.record)?;
        let end = RECORD_LEN + head.body_len as usize;
        let Some((record, crc)) = self.record.split_at_checked(end) else {
            return Err(damage(Flaw::Short));
        };
        let is_whole = crc == record_checksum(self.head.salt, record).to_le_bytes();
        if !is_whole && !sabotage::is(Bug::ChecksumIgnored) {
            return Err(damage(Flaw::Checksum));
        }
        self.offset += (end + CRC_LEN) as u64;
        Ok(Some((head, &record[RECORD_LEN..])))
    }

    /// Whether nothing but zeros begins with what was read. If not, and it began with them, the rest
    /// can not be read any more.
    fn are_zeros_left(&mut self) -> io::Result<bool> {
        let mut are_zeros = self.record.iter().all(|&byte| byte == 0);
        while are_zeros {
            let part = self.from.fill_buf()?;
            if part.is_empty() {
                return Ok(true);
            }
            are_zeros = part.iter().all(|&byte| byte == 0);
            let len = part.len();
            self.from.consume(len);
        }
        Ok(false)
    }
}

/// Whether a record's header anywhere behind `offset` says that batch `lsn` was safe when it was
/// written: then what is at `offset` is not the torn end of the file. Returns where.
pub fn find_proof(
    disk: &dyn Disk,
    name: &str,
    offset: u64,
    salt: u32,
    lsn: Lsn,
) -> io::Result<Option<u64>> {
    let (mut from, _) = disk.read(name)?;
    io::copy(&mut from.by_ref().take(offset), &mut io::sink())?;
    let finder = memchr::memmem::Finder::new(&RECORD_MAGIC);
    let mut window: Vec<u8> = Vec::new();
    let mut window_at = offset;
    loop {
        let read = from.by_ref().take(BUFFER_BYTES as u64).read_to_end(&mut window)?;
        for found in finder.find_iter(&window) {
            let is_proof = RecordHead::decode(&window[found..], salt)
                .is_ok_and(|head| head.synced >= lsn && window_at + found as u64 > offset);
            if is_proof {
                return Ok(Some(window_at + found as u64));
            }
        }
        if read == 0 {
            return Ok(None);
        }
        // A header may go on in what is read next.
        let done = window.len().saturating_sub(RECORD_LEN - 1);
        window.drain(..done);
        window_at += done as u64;
    }
}
