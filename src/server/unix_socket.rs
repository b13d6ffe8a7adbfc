//! The unix socket of the Redis door: its file, and the permissions of that.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Listens at `path`. The file of a server that is gone is taken over. `mode` 0 leaves permissions to
/// the process.
///
/// # Errors
/// When somebody listens there, or it can not be done.
pub fn listen(path: &Path, mode: u32) -> Result<UnixListener> {
    let open = || -> io::Result<UnixListener> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        if mode != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    if UnixStream::connect(path).is_ok() {
        bail!("can not listen on {}: another server is running there", path.display());
    }
    open().with_context(|| format!("can not listen on {}", path.display()))
}

/// Removes the file when nobody listens any more.
pub fn remove(path: &Path) {
    // It is in nobody's way.
    let _ = fs::remove_file(path);
}
