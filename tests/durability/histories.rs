//! Linearizability: histories of clients that read and write the same pairs and strings while the server
//! is killed and started again, checked by [`crate::linearize`].

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::POLICIES;
use crate::client::{Client, Reply};
use crate::linearize::{Action, CLIENTS, History, Operation};
use crate::machine::{Random, Scratch, setting};
use crate::server::{Server, Start};

/// The first half of them are pairs of one namespace, the others are strings.
const REGISTERS: usize = 6;
/// Kills per policy.
const KILLS: u64 = 8;
const LIFE_MIN_MS: u64 = 15;
const LIFE_MORE_MS: u64 = 50;
/// Bytes that are cut off the journal to lose what was acknowledged: more than one record.
const LOST_BYTES: u64 = 400;

#[test]
fn histories_under_kills_are_linearizable() {
    for policy in POLICIES {
        let kills = setting("PANTRY_HISTORIES", KILLS);
        let mut recorded = Recorded::new(policy);
        for _ in 0..kills {
            recorded.live_and_be_killed();
        }
        recorded.read_all();
        if let Err(why) = recorded.check() {
            panic!("{policy}: {why}");
        }
        let count: usize = recorded.histories.iter().map(History::len).sum();
        println!("linearizable, {policy}: {kills} kills, {count} operations of {CLIENTS} clients");
    }
}

/// The end of the journal is lost, and with it what clients were told.
#[test]
fn a_history_with_a_loss_is_noticed() {
    let mut recorded = Recorded::new("everysec");
    for kill in 1..=20 {
        recorded.live_and_be_killed();
        cut_journal(&recorded.data);
        recorded.read_all();
        if let Err(why) = recorded.check() {
            let first = why.lines().next().unwrap_or_default();
            println!("noticed after {kill} kills: {first}");
            return;
        }
    }
    panic!("writes were lost, and no history shows it");
}

/// One read of a real history is made one of a value that was overwritten before.
#[test]
fn a_history_with_a_stale_read_is_noticed() {
    let mut recorded = Recorded::new("no");
    recorded.live_and_be_killed();
    recorded.read_all();
    assert_eq!(recorded.check(), Ok(()));
    let last = recorded.histories[0].0[0].last_mut().unwrap();
    let Action::Get(value) = last.action else { panic!("{last:?}") };
    last.action = Action::Get(Some(value.map_or(1, |value| value - 1)));
    assert!(recorded.check().is_err());
}

fn cut_journal(data: &Path) {
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let journals = files.filter(|path| path.to_string_lossy().contains("journal-"));
    let last = journals.filter(|path| path.extension().is_some_and(|end| end == "pantry")).max();
    let file = OpenOptions::new().write(true).open(last.unwrap()).unwrap();
    let len = file.metadata().unwrap().len();
    // A file's head stays.
    file.set_len(len.saturating_sub(LOST_BYTES).max(72)).unwrap();
}

/// What clients did to a server on one directory, and what they were told.
struct Recorded {
    histories: Vec<History>,
    start: Start,
    data: std::path::PathBuf,
    random: Random,
    clock: Instant,
    _scratch: Scratch,
}

impl Recorded {
    fn new(policy: &str) -> Recorded {
        let scratch = Scratch::new("histories");
        let data = scratch.at("data");
        let start = Start::on(&data, &scratch)
            .with("appendfsync", policy)
            .with("auto-aof-rewrite-min-size", "30000");
        Recorded {
            histories: vec![History::default(); REGISTERS],
            start,
            data,
            random: Random::new(policy.len() as u64),
            clock: Instant::now(),
            _scratch: scratch,
        }
    }

    fn live_and_be_killed(&mut self) {
        let mut server = self.start.ready();
        let (address, clock) = (server.redis, self.clock);
        let life = Duration::from_millis(LIFE_MIN_MS + self.random.below(LIFE_MORE_MS));
        let mut seeds = || Random::new(self.random.below(u64::from(u32::MAX)));
        let done: Vec<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| (client, seeds()))
                .map(|(client, random)| scope.spawn(move || record(client, address, random, clock)))
                .collect();
            std::thread::sleep(life);
            server.kill();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let crash = nanos(clock);
        for (client, done) in done.into_iter().enumerate() {
            for (register, mut operation) in done {
                if operation.is_cut_off {
                    operation.ended = crash;
                }
                self.histories[register].0[client].push(operation);
            }
        }
    }

    /// What is there in the end.
    fn read_all(&mut self) {
        let mut server: Server = self.start.ready();
        let mut client = server.connect();
        for (register, history) in self.histories.iter_mut().enumerate() {
            let begun = nanos(self.clock);
            let reply = client.ask(&words(register, Action::Get(None)));
            let action = answered(Action::Get(None), &reply);
            let ended = nanos(self.clock);
            history.0[0].push(Operation { action, begun, ended, is_cut_off: false });
        }
        server.stop();
    }

    fn check(&self) -> Result<(), String> {
        for (register, history) in self.histories.iter().enumerate() {
            history.check().map_err(|why| format!("register {register}: {why}"))?;
        }
        Ok(())
    }
}

/// One client's life: until the server is gone it does one thing after the other.
fn record(
    client: usize,
    address: SocketAddr,
    mut random: Random,
    clock: Instant,
) -> Vec<(usize, Operation)> {
    let mut done = Vec::new();
    let Ok(mut connection) = Client::connect(address) else { return done };
    loop {
        let register = random.below(REGISTERS as u64) as usize;
        // No two writes of the whole history write the same.
        let value = (nanos(clock) * CLIENTS as u64 + client as u64) as i64;
        let action = match random.below(10) {
            0..=2 => Action::Get(None),
            3 => Action::Delete(None),
            4..=5 => Action::Add(1 + random.below(9) as i64, None),
            _ if register < REGISTERS / 2 => Action::Put(value, None),
            _ => Action::Swap(value, None),
        };
        let begun = nanos(clock);
        let reply = connection.try_ask(&words(register, action));
        let ended = nanos(clock);
        let Ok(reply) = reply else {
            // A read that nobody saw the answer of says nothing.
            if !matches!(action, Action::Get(_)) {
                done.push((register, Operation { action, begun, ended, is_cut_off: true }));
            }
            return done;
        };
        let action = answered(action, &reply);
        done.push((register, Operation { action, begun, ended, is_cut_off: false }));
    }
}

fn nanos(clock: Instant) -> u64 {
    clock.elapsed().as_nanos() as u64
}

fn words(register: usize, action: Action) -> String {
    let is_pair = register < REGISTERS / 2;
    match action {
        Action::Put(value, _) => format!("HSET pairs {register} {value}"),
        Action::Swap(value, _) => format!("SET string{register} {value} GET"),
        Action::Add(by, _) if is_pair => format!("HINCRBY pairs {register} {by}"),
        Action::Add(by, _) => format!("INCRBY string{register} {by}"),
        Action::Delete(_) if is_pair => format!("HDEL pairs {register}"),
        Action::Delete(_) => format!("DEL string{register}"),
        Action::Get(_) if is_pair => format!("HGET pairs {register}"),
        Action::Get(_) => format!("GET string{register}"),
    }
}

fn answered(action: Action, reply: &Reply) -> Action {
    assert_eq!(reply.error(), None, "{action:?}");
    let value = || reply.bulk().map(|text| text.parse().unwrap());
    match action {
        Action::Put(value, _) => Action::Put(value, Some(reply.integer() == 1)),
        Action::Swap(new, _) => Action::Swap(new, Some(value())),
        Action::Add(by, _) => Action::Add(by, Some(reply.integer())),
        Action::Delete(_) => Action::Delete(Some(reply.integer() == 1)),
        Action::Get(_) => Action::Get(value()),
    }
}
