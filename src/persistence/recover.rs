//! What a start makes of a data directory: the last snapshot, then every effect after it.
//!
//! A record that a crash left half-written at the very end is cut off, kept aside and reported.
//! Anything else that is not as it was written refuses the start, and says where and what to do.

use std::io::Read as _;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context as _, bail};

use crate::journal::Lsn;
use crate::journal::ahead::Ahead;
use crate::journal::disk::{Disk, append_all};
use crate::journal::effect::Damaged;
use crate::journal::files::{Inventory, broken_name, journal_name, snapshot_name};
use crate::journal::format::{FileKind, Flaw, HEAD_LEN, Kind, RecordHead};
use crate::journal::record::{Records, Trouble, find_proof};
use crate::journal::status::Status;
use crate::journal::varint;
use crate::sabotage::{self, Bug};
use crate::store::Store;
use crate::store::restore::Restore;

/// What was found in a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// LSN of the last batch.
    pub last: Lsn,
    /// A number that no file has.
    pub next_number: u64,
    /// When the last record was written, in unix ms.
    pub time_ms: u64,
    /// What was cut off the end.
    pub cut: Option<Cut>,
}

/// The torn end of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file that was cut.
    pub file: String,
    /// Where, in bytes.
    pub offset: u64,
    /// How many bytes it was longer.
    pub bytes: u64,
    /// Why the rest is no record.
    pub flaw: Flaw,
    /// The file that keeps them.
    pub kept: String,
}

/// Is shown every record, with the name of its file and its body, before it is applied; may end it all.
pub type Watcher<'w> = dyn FnMut(&str, &RecordHead, &[u8]) -> anyhow::Result<()> + 'w;

/// Loads a data directory into an empty store. Changes the files only if `mends` says so: then a torn
/// end is cut, and what is superfluous removed.
///
/// # Errors
/// What is damaged, where, and what to do.
pub fn recover(
    disk: &dyn Disk,
    store: &Store,
    mends: bool,
    watcher: &mut Watcher<'_>,
) -> anyhow::Result<Recovered> {
    let inventory = Inventory::of(disk).context("can not list the data directory")?;
    let mut loading = Loading {
        disk,
        restore: Restore::new(store),
        status: store.journal.status(),
        watcher,
        from: 0,
        end: 0,
        next: 1,
        time_ms: 0,
        ends: Vec::new(),
        cut: None,
    };
    let total: u64 = sizes(disk, &inventory);
    loading.status.loading_total_bytes.store(total, Relaxed);
    loading.status.loading_loaded_bytes.store(0, Relaxed);
    if let Some(number) = inventory.snapshot() {
        loading.snapshot(number)?;
    }
    let segments: Vec<u64> = inventory.live_segments().collect();
    let useless = match loading.all(&segments, inventory.snapshot()) {
        Ok(useless) => useless,
        Err(error) => return Err(loading.misplaced(&segments).unwrap_or(error)),
    };
    let last = loading.next - 1;
    if last < loading.end {
        bail!(
            "the journal ends at batch {last}, but the snapshot has seen batch {}: a segment is \
             missing or was cut. Put it back, or use another copy of the directory",
            loading.end
        );
    }
    let Loading { restore, cut, time_ms, ends, .. } = loading;
    restore.finish();
    if mends {
        if let Some(cut) = &cut
            && !sabotage::is(Bug::TornEndKept)
        {
            mend(disk, cut).with_context(|| format!("can not cut {}", cut.file))?;
        }
        // A process that was killed left to the system what it had not flushed. Now it is built upon.
        for (name, len) in &ends {
            if !sabotage::is(Bug::LoadedNotFlushed) {
                disk.truncate(name, *len).with_context(|| format!("can not flush {name}"))?;
            }
        }
        for name in &useless {
            disk.remove(name).with_context(|| format!("can not remove {name}"))?;
        }
        super::snapshot::remove_superfluous(disk).context("can not remove old files")?;
    }
    Ok(Recovered { last, next_number: inventory.next_number(), time_ms, cut })
}

/// Bytes of the files that count.
fn sizes(disk: &dyn Disk, inventory: &Inventory) -> u64 {
    let snapshot = inventory.snapshot().map(snapshot_name);
    let names = inventory.live_segments().map(journal_name).chain(snapshot);
    names.filter_map(|name| disk.read(&name).ok()).map(|(_, len)| len).sum()
}

/// Keeps what is cut in a file of its own, and cuts it.
///
/// # Errors
/// When the disk refuses.
pub fn mend(disk: &dyn Disk, cut: &Cut) -> std::io::Result<()> {
    let (mut from, _) = disk.read(&cut.file)?;
    std::io::copy(&mut from.by_ref().take(cut.offset), &mut std::io::sink())?;
    let broken = disk.create(&cut.kept)?;
    let mut part = Vec::new();
    while from.by_ref().take(1 << 20).read_to_end(&mut part)? > 0 {
        append_all(&*broken, &part)?;
        part.clear();
    }
    broken.sync()?;
    disk.sync()?;
    disk.truncate(&cut.file, cut.offset)
}

struct Loading<'l, 'w> {
    disk: &'l dyn Disk,
    restore: Restore<'l>,
    status: &'l Status,
    watcher: &'l mut Watcher<'w>,
    /// Effects up to here are in the snapshot; it has seen some up to `end`.
    from: Lsn,
    end: Lsn,
    /// The LSN that comes next.
    next: Lsn,
    time_ms: u64,
    /// Segments that are whole, and where their last record ends.
    ends: Vec<(String, u64)>,
    cut: Option<Cut>,
}

/// How a segment ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// Without a word, as after a crash.
    Open,
    /// Another one follows.
    Continued,
    /// In order.
    Closed,
}

impl Loading<'_, '_> {
    fn snapshot(&mut self, number: u64) -> anyhow::Result<()> {
        let name = snapshot_name(number);
        let mut records = Ahead::of(self.open(&name)?);
        let head = records.head;
        if head.kind != FileKind::Snapshot || head.number != number {
            return Err(damaged(&name, 0, Flaw::Order));
        }
        (self.from, self.time_ms) = (head.lsn, head.time_ms);
        let mut expected = 0;
        loop {
            let offset = records.offset();
            let record = records.read().map_err(|trouble| refusal(&name, trouble))?;
            let Some((record, body)) = record else {
                return Err(damaged(&name, offset, Flaw::Short));
            };
            if record.count != expected {
                return Err(damaged(&name, offset, Flaw::Order));
            }
            expected += 1;
            (self.watcher)(&name, &record, body)?;
            Status::add(&self.status.loading_loaded_bytes, body.len() as u64);
            let put = match record.kind {
                Kind::Names => self.restore.names(record.lsn, body),
                Kind::LateNames => self.restore.late_names(record.lsn, body),
                Kind::LateNamespace => self.restore.late_namespace(record.lsn, body),
                Kind::LatePairs => self.restore.late_pairs(record.lsn, body),
                Kind::Libraries => self.restore.libraries(record.lsn, body),
                Kind::Limits => self.restore.limits(record.lsn, body),
                Kind::Void => varint::read(&mut &*body)
                    .ok_or(Damaged)
                    .and_then(|first| self.restore.void_from(record.lsn, first)),
                Kind::End => {
                    self.end = record.lsn;
                    self.restore.snapshot_ends(record.lsn);
                    break;
                }
                Kind::Effects | Kind::Continued | Kind::Closed => Err(Damaged),
            };
            put.map_err(|_| damaged(&name, offset, Flaw::Order))?;
            self.status.loaded_pairs.store(self.restore.pairs, Relaxed);
        }
        match records.read() {
            Ok(None) => {}
            _ => return Err(damaged(&name, records.offset(), Flaw::Order)),
        }
        self.next = self.from + 1;
        Ok(())
    }

    /// Loads segments, all that is in them; returns what [`Loading::segments`] does.
    fn all(&mut self, numbers: &[u64], snapshot: Option<u64>) -> anyhow::Result<Vec<String>> {
        let useless = self.segments(numbers, snapshot)?;
        let redone = self.restore.redo_gathered();
        redone.map_err(|_| damaged("the journal", HEAD_LEN as u64, Flaw::Order))?;
        Ok(useless)
    }

    /// Where the batch is that could not be redone, if that was found only when later ones were read.
    fn misplaced(&self, numbers: &[u64]) -> Option<anyhow::Error> {
        let lsn = self.restore.misplaced()?;
        for name in numbers.iter().map(|&number| journal_name(number)) {
            let mut records = self.open(&name).ok()?;
            let mut offset = records.offset();
            while let Ok(Some((record, _))) = records.read() {
                if (record.lsn..record.lsn + u64::from(record.count)).contains(&lsn) {
                    return Some(damaged(&name, offset, Flaw::Order));
                }
                offset = records.offset();
            }
        }
        None
    }

    /// Reads segments; returns the names of those that are worth nothing.
    fn segments(&mut self, numbers: &[u64], snapshot: Option<u64>) -> anyhow::Result<Vec<String>> {
        let mut ended = Ended::Open;
        let mut is_first = true;
        for (at, &number) in numbers.iter().enumerate() {
            let name = journal_name(number);
            let (_, len) = self.disk.read(&name).with_context(|| format!("can not read {name}"))?;
            let is_last = at + 1 == numbers.len();
            if is_last && len <= HEAD_LEN as u64 && ended != Ended::Continued {
                // A crash came before its first record, perhaps before its head was whole.
                return Ok(vec![name]);
            }
            let mut records = Ahead::of(self.open(&name)?);
            let head = records.head;
            if head.kind != FileKind::Journal || head.number != number {
                return Err(damaged(&name, 0, Flaw::Order));
            }
            if head.is_fresh && snapshot != Some(number) {
                // It was begun anew without the old journal, and its snapshot was never done.
                return Ok(numbers[at..].iter().map(|&number| journal_name(number)).collect());
            }
            let fits = if is_first { head.lsn <= self.next } else { head.lsn == self.next };
            if !fits {
                bail!(
                    "{name} begins with batch {}, but batch {} comes next: a segment is missing. \
                     Put it back, or use another copy of the directory",
                    head.lsn,
                    self.next
                );
            }
            if is_first {
                self.next = head.lsn;
                is_first = false;
            }
            self.time_ms = self.time_ms.max(head.time_ms);
            ended = self.segment(&name, &mut records, &numbers[at + 1..])?;
            if self.cut.is_some() {
                return Ok(numbers[at + 1..].iter().map(|&later| journal_name(later)).collect());
            }
        }
        if ended == Ended::Continued {
            bail!(
                "the last segment of the journal says that another one follows, but there is none. \
                 Put it back, or use another copy of the directory"
            );
        }
        Ok(Vec::new())
    }

    /// Whether what is damaged at `offset` of a segment, where the next batch should be, is nothing but
    /// the end that a crash tore: nothing that is left says that it was ever safe.
    fn is_torn(&self, name: &str, offset: u64, salt: u32, later: &[u64]) -> anyhow::Result<bool> {
        let opened =
            later.iter().filter_map(|&number| Records::open(self.disk, &journal_name(number)).ok());
        // A segment is begun when all before it is safe; but one that begins anew, and those that
        // continue it, know nothing of what was before.
        let mut continuing = opened.take_while(|records| !records.head.is_fresh);
        let is_continued = continuing.any(|records| {
            // Only when the segment before is whole does a new one get its first record.
            let has_records = records.file_len() > HEAD_LEN as u64;
            let lsn = records.head.lsn;
            lsn > self.next || (lsn == self.next && has_records)
        });
        let proof = find_proof(self.disk, name, offset, salt, self.next)
            .with_context(|| format!("can not read {name}"))?;
        Ok(!is_continued && proof.is_none())
    }

    fn segment(&mut self, name: &str, records: &mut Ahead, later: &[u64]) -> anyhow::Result<Ended> {
        let mut ended = Ended::Open;
        loop {
            let offset = records.offset();
            let (file_len, salt) = (records.file_len(), records.head.salt);
            let (record, body) = match records.read() {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.ends.push((name.to_owned(), offset));
                    return Ok(ended);
                }
                Err(Trouble::Damage { offset, flaw }) => {
                    let is_torn =
                        ended == Ended::Open && self.is_torn(name, offset, salt, later)?;
                    if !is_torn {
                        return Err(damaged(name, offset, flaw));
                    }
                    let bytes = file_len - offset;
                    let kept = broken_name(self.disk, name)?;
                    self.cut = Some(Cut { file: name.to_owned(), offset, bytes, flaw, kept });
                    return Ok(Ended::Open);
                }
                Err(trouble) => return Err(refusal(name, trouble)),
            };
            if ended != Ended::Open || record.lsn != self.next {
                return Err(damaged(name, offset, Flaw::Order));
            }
            (self.watcher)(name, &record, body)?;
            Status::add(&self.status.loading_loaded_bytes, body.len() as u64);
            self.time_ms = self.time_ms.max(record.time_ms);
            ended = match record.kind {
                Kind::Effects => {
                    let (next, from) = (self.next, self.from);
                    batches(&record, body, |lsn, effects| {
                        if lsn > from { self.restore.batch(lsn, effects) } else { Ok(()) }
                    })
                    .map_err(|_| damaged(name, offset, Flaw::Order))?;
                    self.next = next + u64::from(record.count);
                    self.status.loaded_pairs.store(self.restore.pairs, Relaxed);
                    Ended::Open
                }
                Kind::Continued => Ended::Continued,
                Kind::Closed => Ended::Closed,
                _ => return Err(damaged(name, offset, Flaw::Order)),
            };
        }
    }

    fn open(&self, name: &str) -> anyhow::Result<Records> {
        Records::open(self.disk, name).map_err(|trouble| refusal(name, trouble))
    }
}

/// Shows the batches of a journal record.
///
/// # Errors
/// If there are not as many as it says.
pub fn batches(
    record: &RecordHead,
    mut body: &[u8],
    mut show: impl FnMut(Lsn, &[u8]) -> Result<(), Damaged>,
) -> Result<(), Damaged> {
    for number in 0..u64::from(record.count) {
        let len = varint::read(&mut body).ok_or(Damaged)?;
        let len = usize::try_from(len).map_err(|_| Damaged)?;
        let (effects, rest) = body.split_at_checked(len).ok_or(Damaged)?;
        body = rest;
        show(record.lsn + number, effects)?;
    }
    if body.is_empty() { Ok(()) } else { Err(Damaged) }
}

fn refusal(name: &str, trouble: Trouble) -> anyhow::Error {
    match trouble {
        Trouble::Io(error) => anyhow::Error::new(error).context(format!("can not read {name}")),
        Trouble::Damage { offset, flaw } => damaged(name, offset, flaw),
    }
}

fn damaged(name: &str, offset: u64, flaw: Flaw) -> anyhow::Error {
    if let Flaw::Newer(_) = flaw {
        return anyhow::anyhow!("{name}: {flaw}. Use the version that wrote it, or a newer one");
    }
    anyhow::anyhow!(
        "{name} is damaged at offset {offset}: {flaw}. Nothing was changed. Use another copy of the \
         directory, or see with 'pantry repair' what could be kept without the damaged part"
    )
}
