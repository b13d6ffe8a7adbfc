//! Backups of a running server: a directory beside the data whose files do not change any more.
//!
//! They are links to the files of the data directory, so making them takes no time and no room, and a
//! later snapshot that removes its files does not remove these. What is linked is safe on the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::journal::disk::Disk;
use crate::journal::files::{Inventory, journal_name, snapshot_name};
use crate::journal::format::HEAD_LEN;

/// Makes one of everything before segment `number`, which was just begun, in the directory
/// `backup-number` of the data directory; returns its path. Nothing may be removed meanwhile.
///
/// # Errors
/// When the disk refuses; there is no such directory then.
pub fn make(dir: &Path, disk: &dyn Disk, number: u64) -> io::Result<PathBuf> {
    let dir = dir.canonicalize()?;
    let to = dir.join(format!("backup-{number:08}"));
    // Under its name it is whole.
    let unfinished = dir.join(format!("backup-{number:08}.tmp"));
    let made = fill(&dir, &unfinished, disk, number).and_then(|()| fs::rename(&unfinished, &to));
    if let Err(error) = made {
        // It may be there in part, or not at all.
        let _ = fs::remove_dir_all(&unfinished);
        return Err(error);
    }
    disk.sync()?;
    Ok(to)
}

fn fill(dir: &Path, to: &Path, disk: &dyn Disk, number: u64) -> io::Result<()> {
    fs::create_dir(to)?;
    let inventory = Inventory::of(disk)?;
    let segments = inventory.live_segments().filter(|&segment| segment < number);
    for name in
        inventory.snapshot().map(snapshot_name).into_iter().chain(segments.map(journal_name))
    {
        fs::hard_link(dir.join(&name), to.join(&name))?;
    }
    // The last segment says that this one follows: without a record.
    let mut head = vec![0; HEAD_LEN];
    io::Read::read_exact(&mut disk.read(&journal_name(number))?.0, &mut head)?;
    let mut file = File::create_new(to.join(journal_name(number)))?;
    file.write_all(&head)?;
    file.sync_all()
}
