//! The writer: takes what was appended, writes it as one record, and moves the marks.
//!
//! One thread of its own runs it, so nobody else waits for the disk; another flushes. Both are only
//! loops around [`Writer::step`] and [`Flusher::flush`], which tests call in any order they like. Where
//! no reply waits for a flush, who appended may hand the record to the system himself, as long as that
//! is no more than a copy ([`Writer::write_through`]): two changes of thread cost more than it.
//!
//! When the disk refuses, what was taken keeps its place and is written when the disk takes it again;
//! meanwhile changes are refused. After a failed flush the file is never trusted again: nothing is
//! acknowledged until a snapshot and a fresh segment are safe.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::disk::Disk;
use super::flusher::Flusher;
use super::format::{CRC_LEN, Kind, RECORD_LEN, RecordHead};
use super::segment::{RESERVE_BYTES_MIN, Segment};
use super::status::Status;
use super::{DISK, Journal, Lsn, QUEUE_KEPT_BYTES, Shared};
use crate::config::Fsync;
use crate::sabotage::{self, Bug};

/// A segment that is longer is continued in a new one.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;
/// Bytes that may be written but not flushed; at a quarter of it the next flush begins early.
pub const UNSYNCED_BYTES_MAX: u64 = 64 << 20;
/// Bytes that whoever appended them may hand to the system himself.
const THROUGH_BYTES_MAX: usize = 64 << 10;
/// A segment with no more than this to flush is continued without making writers wait long.
const QUICK_FLUSH_BYTES: u64 = 1 << 20;

/// Writes one journal.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    /// Flushes the segment that is written.
    pub flusher: Arc<Flusher>,
    seeds: [u64; 3],
    segment: Segment,
    /// A whole record that the segment does not have yet.
    pending: Option<Pending>,
    spare: Vec<u8>,
    is_in_trouble: bool,
    /// The segment is worth nothing until a snapshot of its number is safe.
    is_fresh: bool,
    is_closed: bool,
}

/// The record that a step wrote.
#[derive(Debug, Clone, Copy, Default)]
pub struct Step {
    /// Batches in it; 0: there was nothing to write.
    pub batches: u32,
    /// Clients that have made them.
    pub clients: u32,
    /// Its bytes.
    pub bytes: usize,
    /// Clients that waited for the next one when replies to those in this one left.
    pub next: u64,
}

#[derive(Debug)]
struct Pending {
    head: RecordHead,
    /// Sealed for the segment that is written.
    record: Vec<u8>,
    last: Lsn,
    clients: u32,
}

impl Journal {
    /// Begins to keep what is appended, in a new segment with this number. `last` is the LSN of the
    /// last batch that is in the directory already; a fresh segment is worth nothing without the
    /// snapshot of its number, so that no reply leaves until [`Writer::trust`]. The directory must be
    /// owned; nothing may be appended meanwhile.
    ///
    /// # Errors
    /// When the segment can not be made.
    pub fn keep(
        &self,
        disk: Arc<dyn Disk>,
        number: u64,
        last: Lsn,
        is_fresh: bool,
        seeds: [u64; 3],
        now_ms: u64,
    ) -> io::Result<Writer> {
        let shared = self.shared.clone();
        let segment = Segment::create(&*disk, number, last + 1, is_fresh, seeds, now_ms)?;
        shared.last.0.store(last, SeqCst);
        shared.written.store(last, SeqCst);
        shared.synced.store(last, SeqCst);
        if !is_fresh {
            shared.mark.0.store(last, SeqCst);
        }
        shared.keeps.store(true, SeqCst);
        let flusher = Flusher::of(shared.clone(), segment.file.clone());
        Ok(Writer {
            shared,
            disk,
            flusher: Arc::new(flusher),
            seeds,
            segment,
            pending: None,
            spare: Vec::new(),
            is_in_trouble: false,
            is_fresh,
            is_closed: false,
        })
    }
}

impl Writer {
    /// Writes what was appended, as one record; flushes it if the policy is `always`; moves the marks.
    ///
    /// # Errors
    /// When the disk refuses. Call it again after a while: nothing is lost or written twice.
    pub fn step(&mut self, now_ms: u64) -> io::Result<Step> {
        let result = self.try_step(now_ms);
        match &result {
            Ok(_) if self.is_in_trouble && !self.is_fresh => {
                self.is_in_trouble = false;
                self.shared.recovered();
                tracing::warn!("the disk takes writes again: changes are accepted");
            }
            Ok(_) => {}
            Err(error) => self.report(error),
        }
        result
    }

    fn try_step(&mut self, now_ms: u64) -> io::Result<Step> {
        let mut step = Step::default();
        self.flusher.check()?;
        if self.pending.is_none() {
            self.pending = self.take(now_ms);
        }
        if let Some(pending) = &self.pending {
            if self.is_in_trouble && !sabotage::is(Bug::ShortWriteKept) {
                self.segment.cut(self.segment.len)?;
            }
            self.segment.append(&pending.record)?;
        }
        if let Some(pending) = self.pending.take() {
            let (batches, clients) = (pending.head.count, pending.clients);
            step = Step { batches, clients, bytes: pending.record.len(), next: 0 };
            self.wrote(pending);
        }
        if self.policy_is(Fsync::Always) {
            if step.batches > 0 {
                self.segment.zero();
            }
            if !sabotage::is(Bug::ReplyBeforeFlush) {
                self.flusher.flush()?;
            }
        } else if self.policy_is(Fsync::EverySec) && self.unsynced_bytes() > UNSYNCED_BYTES_MAX {
            Status::add(&self.shared.status.delayed_fsyncs, 1);
            self.flusher.flush()?;
        }
        step.next = self.shared.waiting();
        self.advance();
        self.segment.reserve()?;
        if self.segment.len > SEGMENT_BYTES_MAX
            && (self.unsynced_bytes() <= QUICK_FLUSH_BYTES
                || self.segment.len > SEGMENT_BYTES_MAX + UNSYNCED_BYTES_MAX)
        {
            self.rotate(now_ms)?;
        }
        Ok(step)
    }

    /// Writes what was appended if that is no more than handing a little to the system: the disk is well,
    /// room is reserved, and nothing waits for a flush. `false` if it is not; then nothing was done.
    pub fn write_through(&mut self, now_ms: u64) -> bool {
        let room = self.segment.reserved.saturating_sub(self.segment.len);
        let is_easy = !self.is_closed
            && !self.is_in_trouble
            && self.pending.is_none()
            && self.segment.len <= SEGMENT_BYTES_MAX
            && room > RESERVE_BYTES_MIN / 2
            && self.unsynced_bytes() <= UNSYNCED_BYTES_MAX / 4
            && !self.policy_is(Fsync::Always)
            && self.shared.queue.0.lock().record.len() <= THROUGH_BYTES_MAX
            && self.flusher.check().is_ok();
        if !is_easy {
            return false;
        }
        let Some(pending) = self.take(now_ms) else { return true };
        if let Err(error) = self.segment.append(&pending.record) {
            self.pending = Some(pending);
            self.report(&error);
            return false;
        }
        self.wrote(pending);
        self.advance();
        true
    }

    /// Goes on in a new segment; what was written before is safe then. Returns its number.
    ///
    /// # Errors
    /// When the disk refuses; the old segment goes on then.
    pub fn rotate(&mut self, now_ms: u64) -> io::Result<u64> {
        // That the new segment is there says that what comes before it is safe.
        if !sabotage::is(Bug::SegmentEndNotFlushed) {
            self.flusher.flush()?;
        }
        let next = self.segment.number + 1;
        let lsn = self.shared.written.load(SeqCst) + 1;
        let segment = Segment::create(&*self.disk, next, lsn, false, self.seeds, now_ms)?;
        self.end(Kind::Continued, now_ms)?;
        self.install(segment);
        Ok(next)
    }

    /// Goes on in a new segment that does not continue the old one, which is not trusted any more.
    /// Nothing is acknowledged until [`Writer::trust`]. Returns its number.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin_fresh(&mut self, now_ms: u64) -> io::Result<u64> {
        let next = self.segment.number + 1;
        let lsn = self.shared.written.load(SeqCst) + 1;
        let segment = Segment::create(&*self.disk, next, lsn, true, self.seeds, now_ms)?;
        self.install(segment);
        self.is_fresh = true;
        *self.flusher.distrust.lock() = None;
        Ok(next)
    }

    /// A snapshot with the number of the fresh segment is safe: so is what the segment says.
    pub fn trust(&mut self) {
        if std::mem::take(&mut self.is_fresh) {
            let safe = match self.policy_is(Fsync::Always) {
                true => &self.shared.synced,
                false => &self.shared.written,
            };
            self.shared.mark.0.store(safe.load(SeqCst), SeqCst);
            self.shared.open_gates();
        }
    }

    /// Writes what is left, and that the journal ends in order.
    ///
    /// # Errors
    /// When the disk refuses: what was acknowledged under `everysec` and `no` may not be safe.
    pub fn close(&mut self, now_ms: u64) -> io::Result<()> {
        self.step(now_ms)?;
        self.is_closed = true;
        if self.is_fresh {
            return Err(io::Error::other("no snapshot was done since the journal was begun anew"));
        }
        self.flusher.flush()?;
        self.end(Kind::Closed, now_ms)?;
        self.advance();
        Ok(())
    }

    /// The segment that is written.
    pub fn number(&self) -> u64 {
        self.segment.number
    }

    /// Ends the segment, which was flushed: no room is reserved for more.
    fn end(&mut self, kind: Kind, now_ms: u64) -> io::Result<()> {
        let synced = self.shared.written.load(SeqCst);
        let head =
            RecordHead { kind, body_len: 0, lsn: synced + 1, synced, time_ms: now_ms, count: 0 };
        let record = head.sealed(self.segment.salt, &[]);
        let len = self.segment.len;
        self.segment.append(&record)?;
        let ended = self.segment.cut(self.segment.len).and_then(|()| self.flusher.sync_now());
        if ended.is_err() && kind == Kind::Continued {
            self.segment.cut(len)?;
        }
        ended
    }

    fn install(&mut self, segment: Segment) {
        *self.flusher.current.lock() = segment.file.clone();
        self.segment = segment;
        if let Some(Pending { head, record, .. }) = &mut self.pending
            && !sabotage::is(Bug::SealedForOldSegment)
        {
            record.truncate(record.len() - CRC_LEN);
            head.seal(self.segment.salt, record);
        }
    }

    fn take(&mut self, now_ms: u64) -> Option<Pending> {
        let mut queue = self.shared.queue.0.lock();
        if queue.batches == 0 {
            return None;
        }
        let spare = std::mem::take(&mut self.spare);
        let mut record = std::mem::replace(&mut queue.record, spare);
        let batches = std::mem::take(&mut queue.batches);
        let clients = std::mem::take(&mut queue.clients);
        let last = self.shared.last.0.load(Relaxed);
        drop(queue);
        if self.shared.is_behind.swap(false, SeqCst) {
            Status::add(&self.shared.status.stalls, 1);
            self.shared.open_gates();
        }
        let head = RecordHead {
            kind: Kind::Effects,
            body_len: (record.len() - RECORD_LEN) as u64,
            lsn: last - u64::from(batches) + 1,
            synced: self.shared.synced.load(SeqCst),
            time_ms: now_ms,
            count: batches,
        };
        head.seal(self.segment.salt, &mut record);
        Some(Pending { head, record, last, clients })
    }

    fn wrote(&mut self, pending: Pending) {
        let status = &self.shared.status;
        let bytes = pending.record.len() as u64;
        Status::add(&status.records, 1);
        Status::add(&status.batches, u64::from(pending.head.count));
        Status::add(&status.journal_bytes, bytes);
        // Counted before the mark moves, so that a flush that covers it knows of it.
        Status::add(&status.unsynced_bytes, bytes);
        self.shared.written.store(pending.last, SeqCst);
        self.shared.answered.fetch_add(u64::from(pending.clients), Relaxed);
        self.spare = pending.record;
        self.spare.clear();
        self.spare.shrink_to(QUEUE_KEPT_BYTES);
    }

    /// Lets those replies leave that the policy allows to.
    fn advance(&self) {
        if self.is_fresh {
            return;
        }
        let shared = &self.shared;
        let is_flush_awaited =
            self.policy_is(Fsync::Always) && !sabotage::is(Bug::ReplyBeforeFlush);
        let safe = if is_flush_awaited { &shared.synced } else { &shared.written };
        let lsn = safe.load(SeqCst);
        if lsn > shared.mark.0.load(SeqCst) {
            shared.advance(lsn);
        }
    }

    fn policy_is(&self, policy: Fsync) -> bool {
        self.shared.policy.load(Relaxed) == policy as u8
    }

    /// Bytes written to the segment that are not safe yet.
    fn unsynced_bytes(&self) -> u64 {
        self.shared.status.unsynced_bytes.load(Relaxed)
    }

    fn report(&mut self, error: &io::Error) {
        let is_new = !std::mem::replace(&mut self.is_in_trouble, true);
        if is_new {
            tracing::error!(%error, segment = self.segment.number, "the disk refuses: changes are refused");
        }
        let is_stuck = self.pending.is_some() || self.flusher.check().is_err();
        self.shared.refuse(error.to_string(), is_stuck);
    }
}

impl Shared {
    /// Changes are refused from now on, and why.
    pub(super) fn refuse(&self, why: String, is_stuck: bool) {
        self.status.set_error(Some(why));
        self.refuses.fetch_or(DISK, SeqCst);
        self.is_stuck.store(is_stuck, SeqCst);
        self.open_gates();
    }

    pub(super) fn recovered(&self) {
        self.is_stuck.store(false, SeqCst);
        self.refuses.fetch_and(!DISK, SeqCst);
        self.status.set_error(None);
        self.open_gates();
    }
}
