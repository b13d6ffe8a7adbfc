//! A whole server on a disk in memory, moved step by step by a seed: clients, the writer, flushes,
//! snapshots, time, and a machine that crashes. It remembers what every client was shown.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pantry::clock::Clock;
use pantry::command::Spec;
use pantry::config::Fsync;
use pantry::journal::disk::Disk;
use pantry::journal::writer::Writer;
use pantry::journal::{Journal, Lsn, Passage, Seen};
use pantry::persistence::recover::{Recovered, recover};
use pantry::persistence::snapshot;
use pantry::store::capture::Slices;
use pantry::store::{Hasher, Store};

use crate::disk::{Crash, MemoryDisk};
use crate::generate::agree::name_of;
use crate::generate::{Generator, Lifetimes, Words};
use crate::oracle::Random;
use crate::support::{Harness, START_MS, dump};

/// So little at once that names change between the slices of a small store.
pub const SLICES: Slices = Slices { bytes: 200, names: 2, whole_bytes_max: 1000 };
const CLIENTS: [&str; 2] = ["a", "b"];

/// What is known of the data, whatever crashes.
pub struct History {
    /// What the store held after each batch.
    pub states: BTreeMap<Lsn, Vec<String>>,
    /// Batches that come between two of a reaper's turn, after which nobody looked.
    pub unseen: BTreeSet<Lsn>,
    /// The last batch that a client was shown, directly or by a reply that depends on it.
    pub shown: Lsn,
    /// The last batch that is flushed.
    pub flushed: Lsn,
    pub now_ms: u64,
    pub log: Vec<String>,
    pub snapshots: usize,
    pub fresh: usize,
    pub refused: usize,
}

impl Default for History {
    fn default() -> History {
        History {
            states: BTreeMap::from([(0, Vec::new())]),
            unseen: BTreeSet::new(),
            shown: 0,
            flushed: 0,
            now_ms: START_MS,
            log: Vec::new(),
            snapshots: 0,
            fresh: 0,
            refused: 0,
        }
    }
}

pub struct World {
    harness: Harness,
    journal: Journal,
    writer: Writer,
    generator: Generator,
    random: Random,
    /// Replies that have not left, and the last batch that each shows for sure.
    waiting: Vec<(Seen, Lsn)>,
    is_queueing: [bool; 2],
    history: History,
}

/// Loads what is on the disk into a new store.
pub fn load(disk: &MemoryDisk, now_ms: u64, seed: u64) -> (Store, anyhow::Result<Recovered>) {
    let hasher = Hasher::seeded([seed, !seed]);
    let store = Store::seeded(Journal::discarding(), Clock::manual(now_ms), hasher);
    let recovered = recover(disk, &store, true, &mut |_, _, _| Ok(()));
    (store, recovered)
}

impl World {
    /// Starts a server over a store that was loaded. `None` if the disk does not let it.
    pub fn start(
        disk: &MemoryDisk,
        (store, recovered): (Store, Recovered),
        (policy, sets_limits): (Fsync, bool),
        seed: u64,
        history: &mut History,
    ) -> Option<World> {
        let journal = store.journal.clone();
        journal.set_policy(policy);
        let (number, last) = (recovered.next_number, recovered.last);
        let (seeds, now_ms) = (store.seeds(), store.clock.now_ms());
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let writer = journal.keep(disk, number, last, false, seeds, now_ms).ok()?;
        let weight = |spec: &Spec| weight(spec, sets_limits);
        let mut generator = Generator::new(seed, Lifetimes::Short, weight);
        generator.now_ms = now_ms;
        generator.wrong_percent = 2;
        let mut history = std::mem::take(history);
        // What came after is not part of what happened any more.
        history.states.split_off(&(last + 1));
        Some(World {
            harness: Harness::of(store),
            journal,
            writer,
            generator,
            random: Random::new(seed ^ 0x5eed),
            waiting: Vec::new(),
            is_queueing: [false; 2],
            history,
        })
    }

    /// Runs until the disk is dead or enough has happened; returns what is known then. `look` is shown
    /// what is known before each step.
    pub fn run(
        self,
        disk: &MemoryDisk,
        steps: usize,
        look: &mut dyn FnMut(usize, &History),
    ) -> History {
        let world = RefCell::new(self);
        for step in 0..steps {
            if disk.is_dead() {
                break;
            }
            look(step, &world.borrow().history);
            // When the disk has refused a record, a new segment is soon begun while it waits.
            let refuses = world.borrow().journal.refuses();
            let wants_snapshot = world.borrow().random.below(100) < if refuses { 15 } else { 2 };
            let is_distrusted = world.borrow().writer.flusher.check().is_err();
            if is_distrusted || wants_snapshot {
                take_snapshot(&world, disk, is_distrusted);
            } else {
                world.borrow_mut().step();
            }
        }
        let mut world = world.into_inner();
        if !disk.is_dead() && world.random.below(2) == 0 {
            let closed = world.writer.close(world.history.now_ms);
            world.log(format!("close: {closed:?}"));
        }
        world.settle();
        world.history
    }

    fn log(&mut self, line: String) {
        let line = format!("{} {line}", self.journal.last());
        self.history.log.push(line);
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=3 => {
                let by = Duration::from_millis(self.random.between(1, 30) as u64);
                self.harness.advance(by);
                self.history.now_ms = self.harness.server.store.clock.now_ms();
                self.generator.now_ms = self.history.now_ms;
            }
            4..=6 => self.reap(),
            7..=9 => self.fill(),
            10..=16 => {
                let is_done = self.writer.write_through(self.history.now_ms);
                self.log(format!("write through: {is_done}"));
            }
            17..=24 => {
                let stepped = self.writer.step(self.history.now_ms);
                self.log(format!("write: {stepped:?}"));
            }
            25..=29 => {
                let flushed = self.writer.flusher.flush();
                self.log(format!("flush: {flushed:?}"));
            }
            _ => self.command(),
        }
        self.settle();
    }

    fn command(&mut self) {
        let who = self.random.below(2);
        let command = match self.random.below(100) {
            0..=14 if self.is_queueing[who] => self.generator.command_named("EXEC"),
            0..=11 => self.generator.command_named("RENAME"),
            12..=15 => self.generator.command_named("COPY"),
            16..=18 => self.generator.command_named("MOVE"),
            _ => self.generator.command(),
        };
        match name_of(&command).as_str() {
            "MULTI" => self.is_queueing[who] = true,
            "EXEC" | "DISCARD" => self.is_queueing[who] = false,
            _ => {}
        }
        self.execute(who, &command);
    }

    /// Makes a namespace large enough to be captured in parts, or takes much of it away; or writes over a
    /// part of a string that is long enough for that to be journaled as such.
    fn fill(&mut self) {
        if self.random.below(4) == 0 {
            let name = self.random.pick(&[b"s1" as &[u8], b"b", b"long"]).to_vec();
            let at = self.random.below(3000).to_string().into_bytes();
            let bytes = vec![b'a' + self.random.below(26) as u8; 1 + self.random.below(300)];
            return self.execute(0, &vec![b"SETRANGE".to_vec(), name, at, bytes]);
        }
        let name = self.random.pick(&[b"a" as &[u8], b"n1", b"d"]).to_vec();
        let is_removal = self.random.below(4) == 0;
        let mut command: Words =
            vec![if is_removal { b"HDEL".to_vec() } else { b"HSET".to_vec() }, name];
        for _ in 0..self.random.below(150) {
            command.push(format!("key{}", self.random.below(150)).into_bytes());
            if !is_removal {
                command.push(format!("{}", self.random.below(1000)).into_bytes());
            }
        }
        let (before, name) = (self.journal.last(), command[1].clone());
        self.execute(0, &command);
        let last = self.journal.last();
        // An EXEC that is refused ends no transaction, and what is queued shows nothing.
        let other = self.harness.session(CLIENTS[1]);
        let is_queueing = other.is_some_and(|session| session.transaction.is_some());
        if last != before && !is_queueing {
            // Somebody else is shown it.
            self.execute(1, &vec![b"HLEN".to_vec(), name]);
            if let Some((_, shows)) =
                self.waiting.last_mut().filter(|_| self.journal.last() == last)
            {
                *shows = last;
            }
        }
    }

    fn execute(&mut self, who: usize, command: &Words) {
        let before = self.journal.last();
        let reply = self.harness.execute(CLIENTS[who], command);
        let session = self.harness.session(CLIENTS[who]);
        let seen = session.map(|session| std::mem::take(&mut session.seen)).unwrap_or_default();
        self.history.refused += usize::from(reply.starts_with(b"-MISCONF"));
        let shown: Vec<u8> = crate::generate::agree::shown(command).bytes().take(200).collect();
        self.log(format!("{} {}", CLIENTS[who], String::from_utf8_lossy(&shown)));
        self.note(before);
        self.waiting.push((seen, 0));
    }

    fn reap(&mut self) {
        if self.journal.refuses() {
            return;
        }
        let server = self.harness.server.clone();
        let store = &server.store;
        for stripe in 0..store.stripes() {
            if store.is_due(stripe, self.history.now_ms) {
                let before = self.journal.last();
                store.reap_slice(stripe, self.history.now_ms);
                self.history.unseen.extend(before + 1..self.journal.last());
                self.note(before);
            }
        }
        self.log("reap".to_owned());
    }

    /// Remembers what the store holds, if that has changed.
    fn note(&mut self, before: Lsn) {
        let last = self.journal.last();
        if last != before {
            self.history.states.insert(last, dump(&self.harness.server.store, 0));
        }
    }

    /// Lets those replies leave that may.
    fn settle(&mut self) {
        let journal = &self.journal;
        let shown = &mut self.history.shown;
        self.waiting.retain(|&(seen, shows)| match journal.passage(seen) {
            Passage::Wait => true,
            Passage::Failed => false,
            Passage::Open if journal.refuses() => false,
            Passage::Open => {
                *shown = (*shown).max(seen.touched).max(shows);
                false
            }
        });
        // What a segment that was begun anew holds is safe only with its snapshot.
        if !journal.refuses() {
            self.history.flushed = self.history.flushed.max(journal.progress().1);
        }
    }
}

fn take_snapshot(world: &RefCell<World>, disk: &MemoryDisk, is_distrusted: bool) {
    let (server, now_ms) = {
        let world = world.borrow();
        (world.harness.server.clone(), world.history.now_ms)
    };
    let number = {
        let mut world = world.borrow_mut();
        let number = match is_distrusted {
            true => world.writer.begin_fresh(now_ms),
            false => world.writer.rotate(now_ms),
        };
        world.log(format!("segment: {number:?} {is_distrusted}"));
        match number {
            Ok(number) => number,
            Err(_) => return,
        }
    };
    let between = || {
        let mut world = world.borrow_mut();
        // Between most slices nothing happens: there are very many.
        while world.random.below(100) < 20 {
            world.step();
        }
        disk.is_dead()
    };
    let mut make_safe = |lsn| {
        let mut world = world.borrow_mut();
        while world.journal.progress().0 < lsn {
            world.writer.step(now_ms)?;
        }
        world.writer.flusher.flush()
    };
    let taken = snapshot::take(&server.store, disk, number, SLICES, &between, &mut make_safe);
    let mut world = world.borrow_mut();
    world.history.snapshots += usize::from(taken.is_ok());
    world.history.fresh += usize::from(taken.is_ok() && is_distrusted);
    world.log(format!("snapshot {number}: {taken:?}"));
    if taken.is_ok() {
        world.writer.trust();
    }
}

/// What must have outlived a crash, at least.
pub fn must_last(history: &History, policy: Fsync, crash: Crash) -> Lsn {
    match (crash, policy) {
        (Crash::Kill, _) | (Crash::Power, Fsync::Always) => history.shown.max(history.flushed),
        (Crash::Power, _) => history.flushed,
    }
}

/// How often a command is generated.
fn weight(spec: &Spec, sets_limits: bool) -> usize {
    let data = ["string", "hash", "generic", "server", "namespace", "transactions"];
    let is_odd = spec.command.flags.admin
        || !data.contains(&spec.family.group)
        || spec.command.name.ends_with(" HELP")
        || matches!(spec.command.run, pantry::command::Run::Container);
    match spec.command.name {
        "NAMESPACE LIMIT" if sets_limits => 6,
        _ if is_odd => 0,
        "FLUSHALL" | "FLUSHDB" => 3,
        "SWAPDB" => 8,
        "SELECT" => 10,
        "MULTI" | "EXEC" | "DISCARD" => 10,
        "SET" | "HSET" | "HSETEX" | "NAMESPACE SET" => 60,
        _ if matches!(spec.command.run, pantry::command::Run::Session(_)) => 0,
        _ if matches!(spec.command.run, pantry::command::Run::Read(_)) => 4,
        _ => 20,
    }
}
