//! The flusher: makes safe what was written to the current segment.
//!
//! Any thread may call it. After a flush failed it never says again that something is safe, until a
//! fresh segment takes the old one's place, which is [`super::writer`]'s matter.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use parking_lot::Mutex;

use super::Shared;
use super::disk::DiskFile;
use super::status::Status;
use crate::clock;
use crate::sabotage::{self, Bug};

/// Flushes the segment that is written. Any thread may; one does at a time.
#[derive(Debug)]
pub struct Flusher {
    shared: Arc<Shared>,
    pub(super) current: Mutex<Arc<dyn DiskFile>>,
    one_at_a_time: Mutex<()>,
    /// Why the segment is not trusted any more.
    pub(super) distrust: Mutex<Option<String>>,
}

impl Flusher {
    /// One that flushes this file.
    pub(super) fn of(shared: Arc<Shared>, file: Arc<dyn DiskFile>) -> Flusher {
        let (current, one_at_a_time, distrust) =
            (Mutex::new(file), Mutex::default(), Mutex::default());
        Flusher { shared, current, one_at_a_time, distrust }
    }

    /// Makes what was written safe.
    ///
    /// # Errors
    /// When the disk refuses, now or before: then the segment is not trusted any more.
    pub fn flush(&self) -> io::Result<()> {
        if self.shared.synced.load(SeqCst) >= self.shared.written.load(SeqCst) {
            return self.check();
        }
        self.sync_now()
    }

    /// An error if the segment is not trusted any more.
    pub fn check(&self) -> io::Result<()> {
        match &*self.distrust.lock() {
            None => Ok(()),
            Some(why) => Err(io::Error::other(why.clone())),
        }
    }

    pub(super) fn sync_now(&self) -> io::Result<()> {
        let _one = self.one_at_a_time.lock();
        self.check()?;
        let shared = &self.shared;
        // Read first: what lies in an earlier segment was made safe when that ended.
        let upto = shared.written.load(SeqCst);
        let file = self.current.lock().clone();
        let bytes = shared.status.unsynced_bytes.load(Relaxed);
        Status::add(&shared.status.fsyncs, 1);
        shared.is_flushing.store(true, Relaxed);
        let begun = clock::instant();
        let result = file.sync();
        let took_us = begun.elapsed().as_micros() as u64;
        shared.status.flush_us_max.fetch_max(took_us, Relaxed);
        shared.is_flushing.store(false, Relaxed);
        if let Err(error) = result {
            if sabotage::is(Bug::FailedFlushForgiven) {
                return Err(error);
            }
            // The system may have dropped what it could not write: a later success says nothing.
            let why = format!("a flush of the journal failed ({error})");
            tracing::error!("{why}: this file is not trusted any more");
            *self.distrust.lock() = Some(why.clone());
            shared.refuse(why.clone(), true);
            return Err(io::Error::other(why));
        }
        shared.synced.fetch_max(upto, SeqCst);
        shared.status.unsynced_bytes.fetch_sub(bytes, Relaxed);
        Ok(())
    }
}
