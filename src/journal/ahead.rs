//! Reads a large file's records on a thread of its own, ahead of who redoes them.
//!
//! The reading, and what is believed of it, is that of [`Records`]; here is only that it is done while
//! something else is. Small files are read where they are used.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::format::{Head, RecordHead};
use super::record::{Records, Trouble};

/// Files with fewer bytes are not worth a thread.
const FILE_BYTES_MIN: u64 = 4 << 20;
/// Bytes of bodies, and records, that are handed over together.
const BLOCK_BYTES: usize = 1 << 20;
const BLOCK_RECORDS: usize = 4096;
/// Blocks that may wait to be used.
const BLOCKS_MAX: usize = 2;

/// Reads one file, as [`Records`] does.
pub struct Ahead {
    /// What the file begins with.
    pub head: Head,
    len: u64,
    offset: u64,
    from: From,
}

enum From {
    Here(Records),
    Thread { blocks: Receiver<Block>, block: Block, used: usize },
}

/// Records that were read, and how the file ends if it does.
#[derive(Default)]
struct Block {
    bodies: Vec<u8>,
    records: VecDeque<Read>,
    end: Option<Result<(), Trouble>>,
}

struct Read {
    head: RecordHead,
    /// Where its body ends in the block.
    end: usize,
    /// Where the next one begins in the file.
    next_offset: u64,
}

impl Ahead {
    /// Reads the records on.
    pub fn of(records: Records) -> Ahead {
        Ahead::of_at_least(FILE_BYTES_MIN, records)
    }

    fn of_at_least(file_bytes_min: u64, records: Records) -> Ahead {
        let (head, len, offset) = (records.head, records.file_len(), records.offset());
        let from = match len < file_bytes_min {
            true => From::Here(records),
            false => {
                let (to, blocks) = sync_channel(BLOCKS_MAX);
                std::thread::spawn(move || read_all(records, &to));
                From::Thread { blocks, block: Block::default(), used: 0 }
            }
        };
        Ahead { head, len, offset, from }
    }

    /// Where the next record begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.len
    }

    /// See [`Records::read`].
    pub fn read(&mut self) -> Result<Option<(RecordHead, &[u8])>, Trouble> {
        let (blocks, block, used) = match &mut self.from {
            From::Here(records) => {
                // It does not move when there is trouble.
                let offset = &mut self.offset;
                return records
                    .read()
                    .map(|read| read.inspect(|(head, _)| *offset += head.whole_len()));
            }
            From::Thread { blocks, block, used } => (blocks, block, used),
        };
        while block.records.is_empty() {
            if let Some(end) = block.end.take() {
                // Who asks again is told of the end again.
                block.end = end.is_ok().then_some(Ok(()));
                return end.map(|()| None);
            }
            *block = blocks.recv().map_err(|_| std::io::Error::other("its reader has ended"))?;
            *used = 0;
        }
        let Some(Read { head, end, next_offset }) = block.records.pop_front() else {
            return Ok(None);
        };
        self.offset = next_offset;
        let body = &block.bodies[*used..end];
        *used = end;
        Ok(Some((head, body)))
    }
}

/// Hands over all records, unless nobody takes them any more.
fn read_all(mut records: Records, to: &SyncSender<Block>) {
    loop {
        let mut block = Block::default();
        while block.end.is_none()
            && block.bodies.len() < BLOCK_BYTES
            && block.records.len() < BLOCK_RECORDS
        {
            match records.read() {
                Ok(Some((head, body))) => {
                    block.bodies.extend_from_slice(body);
                    let (end, next_offset) = (block.bodies.len(), records.offset());
                    block.records.push_back(Read { head, end, next_offset });
                }
                Ok(None) => block.end = Some(Ok(())),
                Err(trouble) => block.end = Some(Err(trouble)),
            }
        }
        let is_last = block.end.is_some();
        if to.send(block).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor};
    use std::sync::Arc;

    use super::*;
    use crate::journal::disk::{Disk, DiskFile};
    use crate::journal::format::{FileKind, Kind};

    const SALT: u32 = 5;

    /// One file that can be read.
    #[derive(Debug)]
    struct OneFile(Vec<u8>);

    impl Disk for OneFile {
        fn list(&self) -> io::Result<Vec<String>> {
            Ok(vec!["file".to_owned()])
        }
        fn create(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        }
        fn read(&self, _: &str) -> io::Result<(Box<dyn io::Read + Send>, u64)> {
            Ok((Box::new(Cursor::new(self.0.clone())), self.0.len() as u64))
        }
        fn truncate(&self, _: &str, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        }
        fn rename(&self, _: &str, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        }
        fn remove(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        }
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A segment with bodies of these lengths.
    fn segment(lens: &[usize]) -> Vec<u8> {
        let (kind, seeds) = (FileKind::Journal, [1, 2, 3]);
        let head = Head { kind, number: 1, lsn: 1, time_ms: 0, is_fresh: false, seeds, salt: SALT };
        let mut file = head.encode().to_vec();
        for (number, &len) in (1..).zip(lens) {
            let (kind, body) = (Kind::Effects, vec![number as u8; len]);
            let head =
                RecordHead { kind, body_len: 0, lsn: number, synced: 0, time_ms: 0, count: 1 };
            file.extend_from_slice(&head.sealed(SALT, &body));
        }
        file
    }

    /// All that is read: heads, bodies and where the next record begins; then the end.
    fn all(mut records: Ahead) -> (Vec<(RecordHead, Vec<u8>, u64)>, String) {
        let mut read = Vec::new();
        loop {
            match records.read() {
                Ok(Some((head, body))) => {
                    let body = body.to_vec();
                    read.push((head, body, records.offset()));
                }
                Ok(None) => return (read, format!("end of {}", records.file_len())),
                Err(trouble) => return (read, format!("{trouble:?}")),
            }
        }
    }

    #[test]
    fn a_thread_reads_what_is_read_without_one() {
        let lens = [&[1, 0, 3 * BLOCK_BYTES, 7][..], &[9; 2 * BLOCK_RECORDS]].concat();
        let whole = segment(&lens);
        let zeros = [&whole[..], &[0; 100]].concat();
        let torn = whole[..whole.len() - 1].to_vec();
        let mut flipped = whole.clone();
        flipped[3 * BLOCK_BYTES + 250] ^= 1;
        for (file, records) in
            [(whole, lens.len()), (zeros, lens.len()), (torn, lens.len() - 1), (flipped, 3)]
        {
            let disk = OneFile(file);
            let open = || Records::open(&disk, "file").unwrap_or_else(|_| panic!("it has a head"));
            let here = all(Ahead::of_at_least(u64::MAX, open()));
            assert_eq!(here.0.len(), records);
            assert!(all(Ahead::of_at_least(0, open())) == here);
        }
    }

    #[test]
    fn who_reads_no_further_holds_up_no_thread() {
        let disk = OneFile(segment(&[BLOCK_BYTES; 8]));
        let records = Records::open(&disk, "file").unwrap_or_else(|_| panic!("it has a head"));
        let (to, blocks) = sync_channel(BLOCKS_MAX);
        let thread = std::thread::spawn(move || read_all(records, &to));
        assert!(blocks.recv().is_ok_and(|block| block.records.len() == 1));
        drop(blocks);
        assert!(thread.join().is_ok());
    }
}
