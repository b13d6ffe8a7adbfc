//! Takes a snapshot into a file: aside, flushed, and only then under its name.
//!
//! What is captured, and how it stays exact while clients go on, is in [`crate::store::capture`].

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use crate::journal::Lsn;
use crate::journal::disk::{Disk, DiskFile, append_all};
use crate::journal::files::{Inventory, snapshot_name, unfinished_name};
use crate::journal::format::{
    CRC_LEN, FileKind, HEAD_LEN, Head, Kind, RECORD_LEN, RecordHead, checksum,
};
use crate::journal::status::Status;
use crate::sabotage::{self, Bug};
use crate::store::Store;
use crate::store::capture::{Capture, Piece, Slices};
use crate::store::captured::Body;

/// Bytes after which what was written is flushed, so that the last flush is a short one.
const FLUSH_BYTES: u64 = 16 << 20;

/// A snapshot file that is being written.
struct Output {
    name: String,
    file: std::sync::Arc<dyn DiskFile>,
    salt: u32,
    time_ms: u64,
    records: u32,
    bytes: u64,
    flushed: u64,
    /// The record that is being made.
    record: Body,
}

/// Writes everything that is in the store, and every effect that is not in the journal from segment
/// `number` on. `make_safe` is called before the snapshot gets its name: it makes the journal safe up
/// to an LSN. It is given up when `should_stop` says so. Older files are removed then. Returns the snapshot's bytes.
///
/// # Errors
/// When the disk refuses, or another snapshot is being taken; what was there before stays.
pub fn take(
    store: &Store,
    disk: &dyn Disk,
    number: u64,
    slices: Slices,
    should_stop: &dyn Fn() -> bool,
    make_safe: &mut dyn FnMut(Lsn) -> io::Result<()>,
) -> io::Result<u64> {
    let mut output = Output::create(store, disk, number)?;
    let written = output.write(store, slices, should_stop);
    let written = match sabotage::is(Bug::SnapshotAheadOfJournal) {
        true => written.map(drop),
        false => written.and_then(make_safe),
    };
    if let Err(error) = written {
        // It is as good as not there: at the next start it would be removed.
        let _ = disk.remove(&output.name);
        return Err(error);
    }
    disk.rename(&output.name, &snapshot_name(number))?;
    if !sabotage::is(Bug::SnapshotNameNotFlushed) {
        disk.sync()?;
    }
    remove_superfluous(disk)?;
    Ok(output.bytes)
}

/// Removes what the last snapshot made superfluous, and what a crash left unfinished.
///
/// # Errors
/// When the disk refuses.
pub fn remove_superfluous(disk: &dyn Disk) -> io::Result<()> {
    let inventory = Inventory::of(disk)?;
    for name in inventory.superfluous().chain(inventory.unfinished.iter().cloned()) {
        disk.remove(&name)?;
    }
    disk.sync()
}

impl Output {
    fn create(store: &Store, disk: &dyn Disk, number: u64) -> io::Result<Output> {
        let name = unfinished_name(number);
        let file = disk.create(&name)?;
        let time_ms = store.clock.now_ms();
        let salt = crate::journal::segment::salt();
        let head = Head {
            kind: FileKind::Snapshot,
            number,
            lsn: store.journal.last(),
            time_ms,
            is_fresh: false,
            seeds: store.seeds(),
            salt,
        };
        append_all(&*file, &head.encode())?;
        let bytes = HEAD_LEN as u64;
        let record = Body::default();
        Ok(Output { name, file, salt, time_ms, records: 0, bytes, flushed: 0, record })
    }

    /// Writes all records; returns the LSN after which nothing is in them.
    fn write(
        &mut self,
        store: &Store,
        slices: Slices,
        should_stop: &dyn Fn() -> bool,
    ) -> io::Result<Lsn> {
        let busy = || io::Error::other("a snapshot is being taken already");
        let mut capture = Capture::begin(store, slices).ok_or_else(busy)?;
        let mut stripe_begins = 0;
        let mut namespace_begins = 0;
        self.begin();
        while let Some((piece, lsn)) = capture.slice(&mut self.record) {
            if !capture.is_holding() && should_stop() {
                return Err(io::Error::other("the server stops"));
            }
            let kind = match piece {
                Piece::StripeBegins => {
                    stripe_begins = self.records;
                    continue;
                }
                Piece::Names | Piece::WholeStripe => Kind::Names,
                Piece::LateNames => Kind::LateNames,
                Piece::LatePairs => Kind::LatePairs,
                Piece::LateNamespace => {
                    namespace_begins = self.records;
                    Kind::LateNamespace
                }
                Piece::VoidNamespace => self.void(namespace_begins),
                Piece::VoidStripe => self.void(stripe_begins),
            };
            if self.record.len() > RECORD_LEN {
                self.end(kind, lsn)?;
                store.journal.status().snapshot_names.store(capture.names, Relaxed);
            }
            if piece == Piece::WholeStripe {
                stripe_begins = self.records;
            }
        }
        for (kind, encoded) in
            [(Kind::Libraries, store.libraries.encoded()), (Kind::Limits, store.limits.encoded())]
        {
            if !encoded.is_empty() {
                self.record.push(&encoded);
                self.end(kind, store.journal.last())?;
            }
        }
        // Who changed one of those has no LSN before letting go of a stripe.
        capture.settle();
        let end = store.journal.last();
        self.record.push_number(capture.names);
        self.end(Kind::End, end)?;
        if !sabotage::is(Bug::SnapshotNotFlushed) {
            self.file.sync()?;
        }
        Ok(end)
    }

    fn void(&mut self, first: u32) -> Kind {
        self.record.push_number(u64::from(first));
        Kind::Void
    }

    fn begin(&mut self) {
        self.record.begin(RECORD_LEN);
    }

    fn end(&mut self, kind: Kind, lsn: Lsn) -> io::Result<()> {
        let head = RecordHead {
            kind,
            body_len: (self.record.len() - RECORD_LEN) as u64,
            lsn,
            synced: 0,
            time_ms: self.time_ms,
            count: self.records,
        };
        head.write(self.salt, &mut self.record.front_mut()[..RECORD_LEN]);
        let crc: [u8; CRC_LEN] = checksum(self.salt, self.record.parts());
        self.record.push(&crc);
        for part in self.record.parts() {
            append_all(&*self.file, part)?;
        }
        self.records += 1;
        self.bytes += self.record.len() as u64;
        if self.bytes - self.flushed > FLUSH_BYTES {
            self.flushed = self.bytes;
            self.file.sync()?;
        }
        self.begin();
        Ok(())
    }
}

/// Whether the journal has grown so much since the last snapshot that it is time for another.
pub fn is_due(status: &Status, percentage: u64, min_bytes: u64) -> bool {
    let journal = status.journal_bytes.load(Relaxed);
    let base = status.base_bytes.load(Relaxed);
    percentage > 0
        && journal >= min_bytes
        && u128::from(journal) * 100 >= u128::from(base) * u128::from(percentage)
}
