//! The seam to the disk: one directory with flat names, and no more than recovery can reason about.
//!
//! [`Directory`] is the real one, owned by one process. Tests put a disk behind the seam that crashes,
//! tears, fails and runs full. What files mean is not known here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

/// A directory of files with flat names.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a new empty file to append to; one that is there is emptied.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Reads a file from its start, and tells its length in bytes.
    fn read(&self, name: &str) -> io::Result<(Box<dyn Read + Send>, u64)>;
    /// Cuts a file to `len` bytes, gives back what was reserved behind them, and makes all of it safe,
    /// whoever wrote it.
    fn truncate(&self, name: &str, len: u64) -> io::Result<()>;
    /// Gives a file another name, over what has it. Safe after [`Disk::sync`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Safe after [`Disk::sync`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes what files there are, and their names, safe.
    fn sync(&self) -> io::Result<()>;
}

/// A file that grows at its end.
pub trait DiskFile: Send + Sync + std::fmt::Debug {
    /// Appends a part of `bytes`, over zeros that lie ahead; returns how many.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Makes what was appended before safe.
    fn sync(&self) -> io::Result<()>;
    /// Reserves room on the disk for the file to grow to `len` bytes. Its length stays.
    fn reserve(&self, len: u64) -> io::Result<()>;
    /// Fills the file with zeros from `from`, where it ends or zeros begin, up to `to`. Where they are
    /// safe, what is appended needs no more than its own bytes to be safe.
    fn zero(&self, from: u64, to: u64) -> io::Result<()>;
    /// Takes back all but the first `len` bytes.
    fn cut(&self, len: u64) -> io::Result<()>;
}

/// Appends all of `bytes`. After an error a part of them may have been appended.
pub fn append_all(file: &dyn DiskFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.append(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(appended) => bytes = &bytes[appended..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A directory of the file system, owned by this process for as long as this lives.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Holds the lock.
    _owner: File,
}

const LOCK_FILE: &str = "pantry.lock";

impl Directory {
    /// Opens a directory; makes it if it is not there.
    ///
    /// # Errors
    /// When it can not be made or written, or another process owns it.
    pub fn open(path: &Path) -> anyhow::Result<Directory> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("can not make the directory {shown}"))?;
        let lock = path.join(LOCK_FILE);
        let mut owner = private()
            .create(true)
            .truncate(false)
            .open(&lock)
            .with_context(|| format!("can not write to the directory {shown}"))?;
        match owner.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let by = fs::read_to_string(&lock).unwrap_or_default();
                let by = by.trim();
                bail!(
                    "the directory {shown} belongs to another running pantry (process {by}): stop \
                     it, or name another directory with --dir"
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("can not lock {}", lock.display()));
            }
        }
        owner.set_len(0)?;
        writeln!(owner, "{}", std::process::id())?;
        Ok(Directory { path: path.to_owned(), _owner: owner })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // Names that are no UTF-8 are not ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = private().create(true).truncate(true).open(self.at(name))?;
        Ok(Arc::new(Appender(file)))
    }

    fn read(&self, name: &str) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let file = File::open(self.at(name))?;
        let len = file.metadata()?.len();
        Ok((Box::new(file), len))
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.at(name))?;
        // Room that was reserved for a file to grow is freed when its length is set.
        file.set_len(len)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    fn sync(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }
}

#[derive(Debug)]
struct Appender(File);

impl DiskFile for Appender {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        reserve(&self.0, len)
    }

    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut at = from;
        while at < to {
            let part = &ZEROS[..ZEROS.len().min((to - at) as usize)];
            at += write_at(&self.0, part, at)? as u64;
        }
        Ok(())
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        io::Seek::seek(&mut &self.0, io::SeekFrom::Start(len)).map(|_| ())
    }
}

#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    options
}

/// Writes at a place of a file; where it is appended to stays.
#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, at)
}

#[cfg(not(unix))]
fn write_at(_file: &File, _bytes: &[u8], _at: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Elsewhere a file's name is safe with the file.
#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn reserve(file: &File, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, len) {
        // Not every file system can; then there is just no reserve.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &File, _len: u64) -> io::Result<()> {
    Ok(())
}
