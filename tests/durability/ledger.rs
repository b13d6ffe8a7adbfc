//! The ledger: what a client sent, what of it was acknowledged, and what a crash may have left of it.
//!
//! A client's commands are one sequence. After a crash its names must hold what a prefix of that
//! sequence makes: all that was acknowledged or shown to anybody, perhaps more, and never anything else.

use crate::client::Reply;
use crate::machine::now_us;
use crate::model::{Op, State};

/// One client's ledger.
#[derive(Debug)]
pub struct Ledger {
    pub client: usize,
    /// What its names held before the first entry.
    base: State,
    entries: Vec<Entry>,
    /// Number of the next command; numbers are never used again.
    pub next: u64,
    /// All commands that were ever acknowledged.
    pub acknowledged: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    op: Op,
    sent_us: u64,
    outcome: Outcome,
}

/// What a client knows of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It may have been done, or not.
    Unknown,
    /// It was done and will last; when that was said, in unix µs.
    Acknowledged(u64),
    /// It was not done.
    Refused,
}

/// What a crash left of a client's commands.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    /// Commands that are lost, though they were acknowledged before the crash, and when the first of
    /// them was, in unix µs.
    pub lost: usize,
    pub first_lost_us: Option<u64>,
    /// Commands that are lost and were acknowledged while the crash happened.
    pub lost_meanwhile: usize,
    /// When the last command that must be there was sent, in unix µs.
    pub last_left_us: Option<u64>,
    /// The number of the first command that is lost; all from it on are.
    pub end: u64,
}

impl Ledger {
    pub fn new(client: usize) -> Ledger {
        let base = State::default();
        Ledger { client, base, entries: Vec::new(), next: 0, acknowledged: 0 }
    }

    /// A command is going to be sent.
    pub fn sends(&mut self, op: Op) {
        let entry = Entry { number: self.next, op, sent_us: now_us(), outcome: Outcome::Unknown };
        self.entries.push(entry);
        self.next += 1;
    }

    /// What was answered to the oldest command that still had no answer when `unanswered` had none.
    pub fn answered(&mut self, unanswered: usize, reply: &Reply) -> Outcome {
        let at = self.entries.len() - unanswered;
        let entry = &mut self.entries[at];
        entry.outcome = match reply.error() {
            None => Outcome::Acknowledged(now_us()),
            Some("ERR no such key") if matches!(entry.op, Op::Rename { .. }) => {
                Outcome::Acknowledged(now_us())
            }
            Some(text) if text.starts_with("MISCONF") && text.ends_with("is not known") => {
                Outcome::Unknown
            }
            Some(text) if text.starts_with("MISCONF") || text.starts_with("EXECABORT") => {
                Outcome::Refused
            }
            Some(text) => panic!("{text}: {:?}", entry.op),
        };
        self.acknowledged += u64::from(matches!(entry.outcome, Outcome::Acknowledged(_)));
        entry.outcome
    }

    /// Compares what a server says, asked between two moments, with what a crash at `crash_us` may
    /// have left; goes on from there.
    ///
    /// # Panics
    /// If no prefix of the commands makes it.
    pub fn settle(&mut self, seen: &State, (from_ms, to_ms): (u64, u64), crash_us: u64) -> Left {
        let mut state = self.base.clone();
        // Commands that change nothing may be there or not; what is said is the best of it.
        let mut first = None;
        let mut best = None;
        if state.agrees(seen, from_ms, to_ms) {
            first = Some(0);
            best = Some((0, state.clone()));
        }
        for (at, entry) in self.entries.iter().enumerate() {
            if entry.outcome != Outcome::Refused {
                state.apply(&entry.op);
            }
            if state.agrees(seen, from_ms, to_ms) {
                first.get_or_insert(at + 1);
                best = Some((at + 1, state.clone()));
            }
        }
        let Some((end, state)) = best else {
            let ops: Vec<_> = self.entries.iter().map(|entry| (&entry.op, entry.outcome)).collect();
            let tail = &ops[ops.len().saturating_sub(40)..];
            panic!(
                "client {} sees what none of its commands makes:\n{seen:?}\nbefore:\n{:?}\nall:\n\
                 {state:?}\nlast of {}: {tail:#?}",
                self.client,
                self.base,
                ops.len()
            );
        };
        let lost = &self.entries[end..];
        let left = &self.entries[..first.unwrap_or(0)];
        let acknowledged_us = lost.iter().filter_map(|entry| match entry.outcome {
            Outcome::Acknowledged(at_us) => Some(at_us),
            _ => None,
        });
        let lost_us: Vec<u64> = acknowledged_us.clone().filter(|&at_us| at_us < crash_us).collect();
        let is_done = |entry: &&Entry| entry.outcome != Outcome::Refused;
        let result = Left {
            lost: lost_us.len(),
            first_lost_us: lost_us.first().copied(),
            lost_meanwhile: acknowledged_us.count() - lost_us.len(),
            last_left_us: left.iter().rfind(is_done).map(|entry| entry.sent_us),
            end: lost.first().map_or(self.next, |entry| entry.number),
        };
        self.base = state;
        self.entries.clear();
        result
    }

    /// What its names hold since [`Ledger::settle`].
    pub fn base(&self) -> &State {
        &self.base
    }
}
