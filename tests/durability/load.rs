//! Clients that write as fast as they are answered and keep a ledger, and others that read what they
//! wrote.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::client::{Client, Reply};
use crate::ledger::{Ledger, Left, Outcome};
use crate::machine::{Random, now_ms, now_us};
use crate::model::{Op, SHARED, State, random_read, written_by};
use crate::server::Server;

/// Commands that a client sends before it reads the replies, at most.
const PIPELINE_MAX: u64 = 6;
/// How long a client that is refused waits.
const REFUSED: Duration = Duration::from_millis(5);

/// Some clients that write, and what others were shown of what they wrote.
#[derive(Debug)]
pub struct Load {
    pub ledgers: Vec<Ledger>,
    shown: Vec<Shown>,
    random: Random,
}

/// Somebody was shown what a client wrote with one of its commands.
#[derive(Debug, Clone, Copy)]
struct Shown {
    client: usize,
    number: u64,
    at_us: u64,
}

/// What a crash left of all clients' commands.
#[derive(Debug, Default)]
pub struct Survey {
    /// Commands that are lost, though they were acknowledged before the crash.
    pub lost: usize,
    /// Commands that are lost and were acknowledged while the crash happened.
    pub lost_meanwhile: usize,
    /// When the first of them was acknowledged, in unix µs.
    pub first_lost_us: Option<u64>,
    /// How often somebody was shown what is lost, before the crash.
    pub shown_and_lost: usize,
    lefts: Vec<Left>,
}

impl Load {
    pub fn new(clients: usize, purpose: u64) -> Load {
        Load {
            ledgers: (0..clients).map(Ledger::new).collect(),
            shown: Vec::new(),
            random: Random::new(purpose),
        }
    }

    /// Writes and reads until the connections end or `stop` is set. Meanwhile `during` runs, on this
    /// thread.
    pub fn run<R>(
        &mut self,
        address: SocketAddr,
        stop: &AtomicBool,
        during: impl FnOnce() -> R,
    ) -> R {
        let clients = self.ledgers.len();
        let mut seed = || Random::new(self.random.below(u64::from(u32::MAX)));
        std::thread::scope(|scope| {
            for ledger in &mut self.ledgers {
                let random = seed();
                scope.spawn(move || write(ledger, address, stop, random));
            }
            let reader = {
                let random = seed();
                scope.spawn(move || read(clients, address, stop, random))
            };
            let result = during();
            self.shown = reader.join().unwrap();
            result
        })
    }

    /// Commands acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.ledgers.iter().map(|ledger| ledger.acknowledged).sum()
    }

    /// Asks a server what it still has after a crash at this moment, in unix µs, and compares it with
    /// the ledgers.
    ///
    /// # Panics
    /// If that is not what a prefix of every client's commands makes, and nothing else.
    pub fn settle(&mut self, server: &Server, crash_us: u64) -> Survey {
        let mut client = server.connect();
        let mut lefts = Vec::new();
        let mut counted = 0;
        let mut names: BTreeSet<String> = BTreeSet::from([SHARED.to_owned()]);
        for ledger in &mut self.ledgers {
            let from_ms = now_ms();
            let answers = client.ask_all(&State::questions(ledger.client));
            let seen = State::seen(ledger.client, &answers);
            lefts.push(ledger.settle(&seen, (from_ms, now_ms()), crash_us));
            counted += ledger.base().counted;
            names.extend(ledger.base().names().cloned());
        }
        let shared = client.ask(&format!("GET {SHARED}"));
        let shared = shared.bulk().map_or(0, |text| text.parse().unwrap());
        assert_eq!(shared, counted, "what transactions counted, and the rest of them");
        for name in client.ask("KEYS *").array() {
            assert!(name.bulk().is_some_and(|name| names.contains(name)), "{name:?} is left");
        }
        // Reads go on when the disk has failed, and then show what is not safe.
        let shown = self.shown.drain(..).filter(|shown| shown.at_us < crash_us);
        let shown_and_lost = shown.filter(|shown| shown.number >= lefts[shown.client].end).count();
        Survey {
            lost: lefts.iter().map(|left| left.lost).sum(),
            lost_meanwhile: lefts.iter().map(|left| left.lost_meanwhile).sum(),
            first_lost_us: lefts.iter().filter_map(|left| left.first_lost_us).min(),
            shown_and_lost,
            lefts,
        }
    }
}

impl Survey {
    /// Whether what is left is what all clients together had done at some moment: nothing is lost
    /// that was acknowledged before something was sent that is left.
    pub fn is_prefix(&self) -> bool {
        let last_left_us = self.lefts.iter().filter_map(|left| left.last_left_us).max();
        match (self.first_lost_us, last_left_us) {
            (Some(lost_us), Some(left_us)) => lost_us >= left_us,
            _ => true,
        }
    }
}

fn write(ledger: &mut Ledger, address: SocketAddr, stop: &AtomicBool, mut random: Random) {
    let Ok(mut client) = Client::connect(address) else { return };
    let mut requests = Vec::new();
    let mut replies = Vec::new();
    while !stop.load(Relaxed) {
        requests.clear();
        replies.clear();
        for _ in 0..1 + random.below(PIPELINE_MAX) {
            let op = Op::random(ledger.client, ledger.next, now_ms(), &mut random);
            replies.push(op.push_requests(&mut requests));
            ledger.sends(op);
        }
        if client.send(&requests).is_err() {
            return;
        }
        for (at, &count) in replies.iter().enumerate() {
            let Ok(last) = last_of(&mut client, count) else { return };
            if ledger.answered(replies.len() - at, &last) == Outcome::Refused {
                std::thread::sleep(REFUSED);
            }
        }
    }
}

fn last_of(client: &mut Client, count: usize) -> std::io::Result<Reply> {
    for _ in 1..count {
        client.reply()?;
    }
    client.reply()
}

/// Returns what was shown for the first time, of each client.
fn read(clients: usize, address: SocketAddr, stop: &AtomicBool, mut random: Random) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    let mut next = vec![0; clients];
    let Ok(mut connection) = Client::connect(address) else { return all };
    while !stop.load(Relaxed) {
        let Ok(reply) = connection.try_ask(&random_read(clients, &mut random)) else { break };
        if let Some(value) = reply.bulk() {
            let (client, number) = written_by(value);
            if number >= next[client] {
                next[client] = number + 1;
                all.push(Shown { client, number, at_us: now_us() });
            }
        }
    }
    all
}
