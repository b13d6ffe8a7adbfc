//! A disk in memory that does what disks do to programs: it forgets what was not flushed, keeps it in
//! part, and refuses. Everything that happens to it follows from a seed.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

use pantry::journal::disk::{Disk, DiskFile};
use parking_lot::Mutex;

use crate::oracle::Random;

const SECTOR: usize = 512;

/// How the machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: what was handed to the system stays.
    Kill,
    /// The power goes: what was not flushed is there in part, or not.
    Power,
}

/// What goes wrong, and when, counted in operations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    /// The last operation; done in part.
    pub crash_at: u64,
    /// From this operation on there is no room.
    pub full_from: u64,
    /// Until this one.
    pub full_until: u64,
    /// The first flush after this operation fails.
    pub bad_flush_after: Option<u64>,
    /// Percentage of appends that take only a part.
    pub short_percent: usize,
}

#[derive(Debug, Clone)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: Random,
    plan: Plan,
    operations: u64,
    is_dead: bool,
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    /// What the names were when they were flushed, and what was done to them since.
    safe_names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
}

/// What is done to the names of a directory.
#[derive(Debug, Clone)]
enum NameChange {
    Create(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Create(name, id) => {
                names.insert(name.clone(), *id);
            }
            NameChange::Rename(from, to, id) => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Content {
    cache: Vec<u8>,
    /// Where what is appended goes; behind it are zeros.
    end: usize,
    safe: Vec<u8>,
    /// Not flushed: from here on. What is before and not in `safe` was lost by a failed flush.
    dirty_from: usize,
    /// Up to here, or the end.
    dirty_to: usize,
}

impl MemoryDisk {
    pub fn new(seed: u64) -> MemoryDisk {
        MemoryDisk(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            plan: Plan { crash_at: u64::MAX, ..Plan::default() },
            operations: 0,
            is_dead: false,
            files: Vec::new(),
            names: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            name_changes: Vec::new(),
        })))
    }

    /// What will go wrong from now on.
    pub fn plan(&self, plan: Plan) {
        let mut state = self.0.lock();
        state.plan = plan;
        state.operations = 0;
        state.is_dead = false;
    }

    /// Lets the first flush fail after so many more operations.
    pub fn spoil_flush(&self, after: u64) {
        let mut state = self.0.lock();
        state.plan.bad_flush_after = Some(state.operations + after);
    }

    pub fn is_dead(&self) -> bool {
        self.0.lock().is_dead
    }

    /// What would be there if the machine stopped now and came up again.
    pub fn after_crash(&self, crash: Crash, seed: u64) -> MemoryDisk {
        let disk = MemoryDisk::new(seed);
        {
            let (state, mut copy) = (self.0.lock(), disk.0.lock());
            copy.files = state.files.clone();
            copy.names = state.names.clone();
            copy.safe_names = state.safe_names.clone();
            copy.name_changes = state.name_changes.clone();
        }
        disk.come_up(crash);
        disk
    }

    /// What is there when the machine comes up again.
    pub fn come_up(&self, crash: Crash) {
        let mut state = self.0.lock();
        if crash == Crash::Power {
            state.lose();
        }
        state.is_dead = false;
        state.plan = Plan { crash_at: u64::MAX, ..Plan::default() };
    }
}

impl State {
    /// Counts an operation; `Ok(true)` if it is the last one.
    fn begin(&mut self) -> io::Result<bool> {
        if self.is_dead {
            return Err(io::Error::other("the machine has crashed"));
        }
        self.operations += 1;
        self.is_dead = self.operations >= self.plan.crash_at;
        Ok(self.is_dead)
    }

    fn is_full(&self) -> bool {
        (self.plan.full_from..self.plan.full_until).contains(&self.operations)
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name_change(&mut self, change: NameChange) -> io::Result<()> {
        let is_last = self.begin()?;
        if is_last && self.random.below(2) == 0 {
            return crashed();
        }
        change.apply(&mut self.names);
        self.name_changes.push(change);
        if is_last { crashed() } else { Ok(()) }
    }

    /// Of what was done to names some is there: what was done first, or this and that.
    fn lose_names(&mut self) {
        let changes = std::mem::take(&mut self.name_changes);
        let is_ordered = self.random.below(2) == 0;
        let first = self.random.below(changes.len() + 1);
        for (at, change) in changes.iter().enumerate() {
            if if is_ordered { at < first } else { self.random.below(2) == 0 } {
                change.apply(&mut self.safe_names);
            }
        }
        self.names = self.safe_names.clone();
    }

    /// The power goes.
    fn lose(&mut self) {
        self.lose_names();
        for id in 0..self.files.len() {
            let mut file = std::mem::take(&mut self.files[id]);
            let cache = std::mem::take(&mut file.cache);
            let len = file.safe.len()
                + self.random.below(cache.len().saturating_sub(file.safe.len()) + 1);
            let safe_len = file.safe.len();
            file.safe.resize(len, 0);
            let keeps_all = self.random.below(3) == 0;
            for at in (0..len).step_by(SECTOR) {
                let end = (at + SECTOR).min(len);
                // Written sectors of a file may be there or not, whatever their order.
                if end > file.dirty_from && at >= file.dirty_from / SECTOR * SECTOR {
                    let is_kept = keeps_all || self.random.below(2) == 0;
                    if is_kept {
                        // What was taken back is not there to be written.
                        let end = end.min(cache.len());
                        let from = at.max(safe_len.min(file.dirty_from)).min(end);
                        file.safe[from..end].copy_from_slice(&cache[from..end]);
                    }
                }
            }
            file.cache = file.safe.clone();
            (file.end, file.dirty_from) = (file.cache.len(), file.cache.len());
            self.files[id] = file;
        }
    }
}

fn crashed<T>() -> io::Result<T> {
    Err(io::Error::other("the machine has crashed"))
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.0.lock();
        state.begin()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        if state.is_full() {
            state.begin()?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let id = state.files.len();
        state.files.push(Content::default());
        state.name_change(NameChange::Create(name.to_owned(), id))?;
        Ok(Arc::new(MemoryFile { disk: self.clone(), id }))
    }

    fn read(&self, name: &str) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let mut state = self.0.lock();
        state.begin()?;
        let content = state.files[state.file(name)?].cache.clone();
        let len = content.len() as u64;
        Ok((Box::new(Cursor::new(content)), len))
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        let is_last = state.begin()?;
        let id = state.file(name)?;
        if !is_last || state.random.below(2) == 0 {
            let file = &mut state.files[id];
            file.cache.truncate(len as usize);
            file.end = file.cache.len();
            file.safe = file.cache.clone();
            file.dirty_from = file.cache.len();
        }
        if is_last { crashed() } else { Ok(()) }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        let id = state.file(from)?;
        state.name_change(NameChange::Rename(from.to_owned(), to.to_owned(), id))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.file(name)?;
        state.name_change(NameChange::Remove(name.to_owned()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        let is_last = state.begin()?;
        if !is_last || state.random.below(2) == 0 {
            state.safe_names = state.names.clone();
            state.name_changes.clear();
        }
        if is_last { crashed() } else { Ok(()) }
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    id: usize,
}

impl DiskFile for MemoryFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.0.lock();
        let is_last = state.begin()?;
        let is_full = state.is_full();
        let is_short = state.random.below(100) < state.plan.short_percent;
        let taken = match is_last || is_full || is_short {
            true => state.random.below(bytes.len() + 1),
            false => bytes.len(),
        };
        let file = &mut state.files[self.id];
        let end = file.end + taken;
        let len = file.cache.len();
        file.cache.resize(len.max(end), 0);
        file.cache[file.end..end].copy_from_slice(&bytes[..taken]);
        file.dirty_from = file.dirty_from.min(file.end);
        file.dirty_to = file.dirty_to.max(end);
        file.end = end;
        match taken {
            _ if is_last => crashed(),
            0 if is_full => Err(io::ErrorKind::StorageFull.into()),
            0 if is_short => Err(io::ErrorKind::Interrupted.into()),
            taken => Ok(taken),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let is_last = state.begin()?;
        let is_bad = state.plan.bad_flush_after.is_some_and(|after| state.operations > after);
        if is_bad {
            state.plan.bad_flush_after = None;
        }
        let is_done = !is_bad && (!is_last || state.random.below(2) == 0);
        let file = &mut state.files[self.id];
        if is_done {
            let safe_len = file.safe.len();
            file.safe.resize(file.cache.len().max(safe_len), 0);
            let to = file.dirty_to.min(file.cache.len());
            let from = file.dirty_from.min(to);
            file.safe[from..to].copy_from_slice(&file.cache[from..to]);
            let len = file.cache.len();
            file.safe.truncate(len);
        }
        if is_done || is_bad {
            // What a failed flush did not write counts as written all the same.
            file.dirty_from = file.cache.len();
            file.dirty_to = 0;
        }
        match () {
            () if is_last => crashed(),
            () if is_bad => Err(io::Error::other("input/output error")),
            () => Ok(()),
        }
    }

    fn reserve(&self, _len: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let is_last = state.begin()?;
        match () {
            () if is_last => crashed(),
            () if state.is_full() => Err(io::ErrorKind::StorageFull.into()),
            () => Ok(()),
        }
    }

    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let is_last = state.begin()?;
        let is_done = !is_last || state.random.below(2) == 0;
        let file = &mut state.files[self.id];
        assert!(file.end as u64 <= from && from <= file.cache.len() as u64, "that is no end");
        if is_done {
            file.dirty_from = file.dirty_from.min(from as usize);
            file.dirty_to = to as usize;
            file.cache.resize(to as usize, 0);
        }
        if is_last { crashed() } else { Ok(()) }
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let is_last = state.begin()?;
        let file = &mut state.files[self.id];
        if !is_last {
            file.cache.truncate(len as usize);
            file.end = file.cache.len();
            file.dirty_from = file.dirty_from.min(len as usize);
        }
        if is_last { crashed() } else { Ok(()) }
    }
}
