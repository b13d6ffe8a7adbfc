//! The journal: orders batches of effects, keeps them, and says how far they are safe.
//!
//! Workers append to a queue in memory and never wait for the disk; [`writer`] takes the queue, writes
//! it as one record, and moves the marks that [`Gate`]s watch. It does not know what an effect means
//! (see [`effect`]), nor what a store is. A journal that keeps nothing only hands out numbers.
//!
//! Around it: [`segment`] is the file that is written, [`flusher`] makes it safe, [`threads`] run both;
//! [`mod@format`] is what lies on the disk, [`disk`] the seam to it, [`files`] which files make up a data
//! directory, [`record`] reads them, [`ahead`] while they are used.

pub mod ahead;
pub mod disk;
pub mod effect;
pub mod files;
pub mod flusher;
pub mod format;
pub mod gate;
pub mod record;
pub mod segment;
pub mod status;
pub mod threads;
pub mod varint;
pub mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};

use parking_lot::Mutex;

use crate::config::Fsync;
use crate::error::Error;
use crate::sabotage::{self, Bug};
use format::RECORD_LEN;
use gate::Gate;
use status::Status;

/// Log sequence number: the place of a batch of effects in the one order that all clients saw.
pub type Lsn = u64;

/// Bytes that may wait for the writer before those who execute commands must wait, too.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// How often a thread writes what others appended while it wrote.
const WRITE_THROUGH_TURNS: usize = 4;
/// Memory that an empty queue may keep.
const QUEUE_KEPT_BYTES: usize = 1 << 20;

/// Orders effects, keeps them, and lets replies wait until they are safe.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

/// What a client's replies depend on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// The state at this LSN is shown.
    pub touched: Lsn,
    /// The same for commands that may change something.
    pub wrote: Lsn,
}

impl Seen {
    /// What depends on both.
    #[inline]
    #[must_use]
    pub fn max(self, other: Seen) -> Seen {
        Seen { touched: self.touched.max(other.touched), wrote: self.wrote.max(other.wrote) }
    }
}

/// What the gate says to a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It may leave.
    Open,
    /// What it shows is not safe yet.
    Wait,
    /// The disk failed under the change it acknowledges; whether that will last is not known.
    Failed,
}

/// Changes are refused: the disk does not take them.
const DISK: u8 = 1;
/// Changes are refused: they need replicas.
const REPLICAS: u8 = 2;

#[derive(Debug)]
struct Shared {
    last: Alone<AtomicU64>,
    queue: Alone<Mutex<Queue>>,
    /// Replies that depend on an LSN above the mark are held back.
    mark: Alone<AtomicU64>,
    /// So many clients must wait for the writer before it is called.
    wanted: AtomicU64,
    /// Clients whose changes were appended, each as often as it has changed something.
    asked: AtomicU64,
    /// Those whose changes were handed to the operating system.
    answered: AtomicU64,
    /// Handed to the operating system up to here.
    written: AtomicU64,
    /// Safe on the disk up to here.
    synced: AtomicU64,
    keeps: AtomicBool,
    /// More waits for the writer than should.
    is_behind: AtomicBool,
    /// Why changes are refused before they are made, [`DISK`] and [`REPLICAS`]; 0: they are not.
    refuses: AtomicU8,
    /// Some changes were made that the disk did not take.
    is_stuck: AtomicBool,
    policy: AtomicU8,
    gates: Mutex<Vec<Arc<Gate>>>,
    writer: Mutex<Option<std::thread::Thread>>,
    /// The writer, for threads that may write themselves.
    direct: Mutex<Option<Arc<Mutex<writer::Writer>>>>,
    /// A flush is under way: who writes now may have to wait for it.
    is_flushing: AtomicBool,
    status: Status,
    remembered: Option<Mutex<Vec<Vec<u8>>>>,
}

/// On cache lines of its own, so that who writes it does not slow down who reads its neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone<T>(T);

/// Batches that wait for the writer, laid out as the body of one record behind room for its header.
#[derive(Debug, Default)]
struct Queue {
    record: Vec<u8>,
    batches: u32,
    /// Who has made them.
    clients: u32,
}

impl Queue {
    fn push(&mut self, effects: &[u8]) {
        if self.record.is_empty() {
            self.record.resize(RECORD_LEN, 0);
        }
        varint::push(effects.len() as u64, &mut self.record);
        self.record.extend_from_slice(effects);
        self.batches += 1;
    }
}

impl Journal {
    /// A journal that keeps nothing. Its gate is always open.
    pub fn discarding() -> Journal {
        Self::new(Lsn::MAX, None)
    }

    /// A journal that remembers every batch in memory, for tests; its gate starts at `mark`.
    pub fn remembering(mark: Lsn) -> Journal {
        Self::new(mark, Some(Mutex::default()))
    }

    fn new(mark: Lsn, remembered: Option<Mutex<Vec<Vec<u8>>>>) -> Journal {
        let shared = Shared {
            last: Alone::default(),
            queue: Alone::default(),
            mark: Alone(AtomicU64::new(mark)),
            wanted: AtomicU64::new(1),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            keeps: AtomicBool::new(remembered.is_some()),
            is_behind: AtomicBool::new(false),
            refuses: AtomicU8::new(0),
            is_stuck: AtomicBool::new(false),
            policy: AtomicU8::new(Fsync::EverySec as u8),
            gates: Mutex::default(),
            writer: Mutex::default(),
            direct: Mutex::default(),
            is_flushing: AtomicBool::new(false),
            status: Status::default(),
            remembered,
        };
        Journal { shared: Arc::new(shared) }
    }

    /// Takes the effects of one batch, which so many clients have made. Called while every stripe of the batch
    /// is held, so that the journal's order is the order clients saw; does not wait for the disk.
    #[inline]
    pub fn append(&self, effects: &[u8], clients: u32) -> Lsn {
        let shared = &*self.shared;
        if !shared.keeps.load(Ordering::Relaxed) {
            return shared.last.0.fetch_add(1, Ordering::Relaxed) + 1;
        }
        if let Some(remembered) = &shared.remembered {
            let mut batches = remembered.lock();
            batches.push(effects.to_vec());
            return shared.last.0.fetch_add(1, Ordering::Relaxed) + 1;
        }
        let mut queue = shared.queue.0.lock();
        queue.push(effects);
        queue.clients += clients;
        // Nobody else does this without the queue.
        let asked = shared.asked.load(Ordering::Relaxed);
        shared.asked.store(asked + u64::from(clients), Ordering::Relaxed);
        if queue.record.len() > QUEUE_BYTES_MAX {
            shared.is_behind.store(true, Ordering::Relaxed);
        }
        shared.last.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The last LSN that was handed out.
    pub fn last(&self) -> Lsn {
        self.shared.last.0.load(Ordering::Relaxed)
    }

    /// Whether what is appended is kept.
    pub fn keeps(&self) -> bool {
        self.shared.keeps.load(Ordering::Relaxed)
    }

    /// When what is kept is flushed to the disk.
    pub fn policy(&self) -> Fsync {
        match self.shared.policy.load(Ordering::Relaxed) {
            policy if policy == Fsync::Always as u8 => Fsync::Always,
            policy if policy == Fsync::No as u8 => Fsync::No,
            _ => Fsync::EverySec,
        }
    }

    /// Sets [`Journal::policy`], from the next record on.
    pub fn set_policy(&self, policy: Fsync) {
        self.shared.policy.store(policy as u8, Ordering::Relaxed);
        self.wake();
    }

    /// Whether changes are refused.
    #[inline]
    pub fn refuses(&self) -> bool {
        self.shared.refuses.load(Ordering::Relaxed) != 0
    }

    /// Whether they are because the disk does not take them.
    pub fn is_failing(&self) -> bool {
        self.shared.refuses.load(Ordering::Relaxed) & DISK != 0
    }

    /// Says whether changes need replicas, of which there are none.
    pub fn set_needs_replicas(&self, needs: bool) {
        match needs {
            true => self.shared.refuses.fetch_or(REPLICAS, Ordering::Relaxed),
            false => self.shared.refuses.fetch_and(!REPLICAS, Ordering::Relaxed),
        };
    }

    /// Whether whoever executes commands should wait for the writer first.
    #[inline]
    pub fn is_behind(&self) -> bool {
        self.shared.is_behind.load(Ordering::Relaxed)
    }

    /// Why changes are refused; Redis's text.
    pub fn refusal(&self) -> Error {
        if !self.is_failing() {
            return Error::coded("NOREPLICAS Not enough good replicas to write.");
        }
        let why = self.status().error().unwrap_or_default();
        Error::Misconf(format!("Errors writing to the AOF file: {why}").into())
    }

    /// What is said to who made a change that the disk then did not take.
    pub fn outcome_unknown(&self) -> Error {
        let why = self.refusal();
        Error::Misconf(format!("{why}. Whether this change will last is not known").into())
    }

    /// Bytes that wait for the writer.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queue.0.lock().record.len()
    }

    /// What INFO says of it.
    pub fn status(&self) -> &Status {
        &self.shared.status
    }

    /// Whether replies that depend on this may leave.
    #[inline]
    pub fn passage(&self, seen: Seen) -> Passage {
        let mark = self.shared.mark.0.load(Ordering::SeqCst);
        if mark >= seen.touched || sabotage::is(Bug::ReplyBeforeWrite) {
            return Passage::Open;
        }
        if !self.shared.is_stuck.load(Ordering::SeqCst) {
            return Passage::Wait;
        }
        // Reads go on, though a crash could take back what they show.
        if mark >= seen.wrote { Passage::Open } else { Passage::Failed }
    }

    /// Moves the mark forward: everything up to `lsn` is as safe as the policy promises.
    pub fn advance(&self, lsn: Lsn) {
        self.shared.advance(lsn);
    }

    /// Handed to the operating system up to here, and safe on the disk up to here.
    pub fn progress(&self) -> (Lsn, Lsn) {
        (self.shared.written.load(Ordering::SeqCst), self.shared.synced.load(Ordering::SeqCst))
    }

    /// Where one thread's clients wait. Each thread takes one.
    pub fn gate(&self) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        self.shared.gates.lock().push(gate.clone());
        gate
    }

    /// Has what was appended written: at once, if that is no more than handing it to the system, or
    /// else by the writer's thread, if it is enough for it.
    pub fn kick(&self, now_ms: u64) {
        if self.write_through(now_ms) {
            return;
        }
        // Either the writer sees what was appended before this, or its wish is seen here.
        fence(Ordering::SeqCst);
        if self.shared.waiting() >= self.shared.wanted.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Whether nothing is left for the writer's thread. Whoever comes while another thread writes
    /// leaves it to that one, which looks again when it is done.
    fn write_through(&self, now_ms: u64) -> bool {
        let shared = &*self.shared;
        let policy = self.policy();
        if policy == Fsync::Always || shared.is_flushing.load(Ordering::Relaxed) {
            return false;
        }
        let Some(writer) = shared.direct.lock().clone() else { return false };
        for _ in 0..WRITE_THROUGH_TURNS {
            let Some(mut writer) = writer.try_lock() else { return false };
            if !writer.write_through(now_ms) {
                return false;
            }
            drop(writer);
            fence(Ordering::SeqCst);
            if shared.waiting() == 0 {
                return true;
            }
        }
        false
    }

    /// Wakes the writer's thread.
    pub fn wake(&self) {
        if let Some(writer) = &*self.shared.writer.lock() {
            writer.unpark();
        }
    }

    /// Stops keeping what is appended; replies wait for nothing any more. Nothing may be appended
    /// meanwhile.
    pub fn stop_keeping(&self) {
        self.shared.keeps.store(false, Ordering::SeqCst);
        self.shared.recovered();
        self.advance(Lsn::MAX);
    }

    /// All batches so far, if this journal remembers them.
    pub fn batches(&self) -> Vec<Vec<u8>> {
        let remembered = self.shared.remembered.as_ref();
        remembered.map(|batches| batches.lock().clone()).unwrap_or_default()
    }
}

impl Shared {
    /// Clients that wait for the writer.
    fn waiting(&self) -> u64 {
        let answered = self.answered.load(Ordering::Relaxed);
        self.asked.load(Ordering::Relaxed).saturating_sub(answered)
    }

    fn advance(&self, lsn: Lsn) {
        self.mark.0.fetch_max(lsn, Ordering::SeqCst);
        self.open_gates();
    }

    /// Those who wait look again.
    fn open_gates(&self) {
        self.gates.lock().iter().for_each(|gate| gate.open());
    }
}
