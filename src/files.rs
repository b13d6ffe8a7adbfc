//! Replacing a small file as a whole: after a crash there is the old one or the new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Writes `bytes` to `path`, with the permissions that the file has.
///
/// # Errors
/// Those of the file system; the old file is still there then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let unfinished = path.with_file_name(name);
    let written = write(&unfinished, path, bytes).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // What was begun is of no use.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    sync_directory(path.parent().filter(|at| !at.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

fn write(unfinished: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(unfinished)?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Windows makes names durable with the file.
#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}
