//! Pairs that wait until it is known how many there are: the last ones in memory, those before in a file.
//!
//! The file has no name any more where the system allows that; elsewhere it goes with its last use.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::rdb::pairs::{PairBuffer, Sums};

/// Bytes of pairs that are kept in memory.
const MEMORY_BYTES: usize = 8 << 20;

/// Pairs in the order they came.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    memory_bytes: usize,
    file: Option<Aside>,
    /// Of each part that is in the file, its bytes.
    parts: Vec<u64>,
    /// What came after those.
    tail: PairBuffer,
    sums: Sums,
}

impl Spool {
    /// One whose file, if it needs one, is made in `dir`.
    pub fn new(dir: &Path) -> Spool {
        Spool::keeping(MEMORY_BYTES, dir)
    }

    fn keeping(memory_bytes: usize, dir: &Path) -> Spool {
        let (parts, tail, sums) = Default::default();
        Spool { dir: dir.to_owned(), memory_bytes, file: None, parts, tail, sums }
    }

    /// Adds pairs.
    ///
    /// # Errors
    /// When they can not be written aside.
    pub fn add(&mut self, pairs: &PairBuffer) -> io::Result<()> {
        self.tail.append(pairs);
        self.sums.add(pairs.sums());
        if self.tail.heap_bytes() > self.memory_bytes {
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(Aside::create(&self.dir)?),
            };
            file.file.write_all(self.tail.as_bytes())?;
            self.parts.push(self.tail.heap_bytes() as u64);
            self.tail.clear();
        }
        Ok(())
    }

    /// How many there are, and what is known of their deadlines.
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// Shows all, part by part, and forgets them.
    ///
    /// # Errors
    /// Those of `show`, and when what was written aside can not be read.
    pub fn drain(&mut self, mut show: impl FnMut(&PairBuffer) -> io::Result<()>) -> io::Result<()> {
        if let Some(aside) = &mut self.file {
            aside.file.rewind()?;
            for len in self.parts.drain(..) {
                let mut bytes = Vec::new();
                (&aside.file).take(len).read_to_end(&mut bytes)?;
                show(&PairBuffer::of_bytes(bytes))?;
            }
            aside.file.rewind()?;
            aside.file.set_len(0)?;
        }
        show(&self.tail)?;
        self.tail.clear();
        self.sums = Sums::default();
        Ok(())
    }
}

/// A file for this process alone.
#[derive(Debug)]
struct Aside {
    file: File,
    path: PathBuf,
}

impl Aside {
    fn create(dir: &Path) -> io::Result<Aside> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let path = dir.join(format!(".pantry-{}-{number}.aside", std::process::id()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        // Where an open file can not be removed it is when this ends.
        let _ = fs::remove_file(&path);
        Ok(Aside { file, path })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(from: usize) -> PairBuffer {
        let mut pairs = PairBuffer::default();
        for number in from..from + 3 {
            let deadline_ms = number.is_multiple_of(2).then_some(1000 + number as u64);
            pairs.push(format!("k{number}").as_bytes(), &vec![b'v'; number], deadline_ms);
        }
        pairs
    }

    #[test]
    fn all_comes_back_in_its_order_and_leaves_nothing() {
        let dir = std::env::temp_dir().join(format!("pantry-spool-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut spool = Spool::keeping(300, &dir);
        for round in 0..3 {
            let mut all = PairBuffer::default();
            for number in 0..40 {
                spool.add(&some(number + round)).unwrap();
                all.append(&some(number + round));
            }
            assert!(spool.parts.len() > 3, "some is written aside");
            assert_eq!(spool.sums(), all.sums());
            let mut shown = PairBuffer::default();
            let mut longest = 0;
            let note = |part: &PairBuffer| {
                longest = longest.max(part.heap_bytes());
                part.iter().for_each(|pair| shown.push(pair.key, pair.value, pair.deadline_ms));
                Ok(())
            };
            spool.drain(note).unwrap();
            assert!(shown.iter().eq(all.iter()));
            assert_eq!(shown.sums(), all.sums());
            assert!(longest < all.heap_bytes() / 3);
            assert_eq!(spool.sums(), Sums::default());
        }
        drop(spool);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::remove_dir(&dir).unwrap();
    }
}
