//! Random commands of all data families through the spine, with time passing: what effects say when they
//! are replayed, and what commands do over an overlay, must be what they do to the live store.
//!
//! `STREAM_COMMANDS` says how long a run is and makes every run another; `STREAM_SEED` repeats a run.
#![allow(clippy::unwrap_used)]

mod generate;
mod oracle;
mod support;

use std::time::Duration;

use generate::agree::{Queue, name_of, shown, whole_scan};
use generate::{Generator, Lifetimes, Words};
use pantry::command::Spec;
use pantry::journal::Journal;
use support::render;
use support::{Harness, START_MS, dump};

const COMMANDS: u64 = 30_000;
const CLIENTS: [&str; 2] = ["a", "b"];

#[test]
fn replaying_the_effects_gives_an_equal_store() {
    let mut stream = Stream::new("replay");
    let mut live = Harness::new(Journal::remembering(u64::MAX));
    let replica = Harness::new(Journal::discarding());
    let mut applied = 0;
    while let Some(step) = stream.next() {
        step.play(&mut live);
        if stream.left.is_multiple_of(200) {
            for batch in &live.server.store.journal.batches()[applied..] {
                replica.server.store.replay(batch).unwrap();
                applied += 1;
            }
            let now_ms = live.server.store.clock.now_ms();
            let (original, replayed) =
                (dump(&live.server.store, now_ms), dump(&replica.server.store, now_ms));
            assert_eq!(original, replayed, "{stream}");
        }
    }
}

#[test]
fn an_overlay_does_what_the_live_store_does() {
    let mut stream = Stream::new("overlay");
    let mut live = Harness::new(Journal::discarding());
    let mut over = Harness::new(Journal::discarding());
    over.over_overlay = true;
    let mut queues: [Queue; 2] = Default::default();
    while let Some(step) = stream.next() {
        let (one, other) = (step.play(&mut live), step.play(&mut over));
        if let Step::Command(who, command) = &step {
            let values = [&one, &other].map(|bytes| render::decode(&mut &bytes[..]));
            let is_same = one == other || queues[*who].agree(command, &values[0], &values[1], 0);
            assert!(
                is_same,
                "{}\n{}\n{}\n{stream}",
                shown(command),
                one.escape_ascii(),
                other.escape_ascii()
            );
            queues[*who].follow(command, &values[0]);
        }
        if stream.left.is_multiple_of(200) {
            let now_ms = live.server.store.clock.now_ms();
            let stores = [&live, &over].map(|harness| dump(&harness.server.store, now_ms));
            assert_eq!(stores[0], stores[1], "{stream}");
        }
    }
}

/// What happens next.
enum Step {
    Command(usize, Words),
    Clock(Duration),
    Reap,
}

impl Step {
    /// The reply, if it is a command.
    fn play(&self, harness: &mut Harness) -> Vec<u8> {
        match self {
            Step::Command(who, command) => return harness.execute(CLIENTS[*who], command),
            Step::Clock(by) => harness.advance(*by),
            Step::Reap => harness.reap(),
        }
        Vec::new()
    }
}

/// Random steps, the same for every server they are played on.
struct Stream {
    generator: Generator,
    name: &'static str,
    seed: u64,
    left: u64,
    is_queueing: [bool; 2],
    log: Vec<String>,
}

impl Stream {
    fn new(name: &'static str) -> Stream {
        let number =
            |variable: &str| std::env::var(variable).ok().map(|text| text.parse().unwrap());
        let seed = oracle::seed("STREAM_SEED", "STREAM_COMMANDS");
        let mut generator = Generator::new(seed, Lifetimes::Short, weight);
        generator.now_ms = START_MS;
        generator.wrong_percent = 5;
        let left = number("STREAM_COMMANDS").unwrap_or(COMMANDS);
        Stream { generator, name, seed, left, is_queueing: [false; 2], log: Vec::new() }
    }

    fn next(&mut self) -> Option<Step> {
        self.left = self.left.checked_sub(1)?;
        let random = &self.generator.random;
        let step = match random.below(100) {
            0..=4 => {
                let by_ms = random.between(1, 40) as u64;
                self.generator.now_ms += by_ms;
                Step::Clock(Duration::from_millis(by_ms))
            }
            5..=6 => Step::Reap,
            _ => self.command(),
        };
        self.log.push(match &step {
            Step::Command(who, command) => format!("{} {}", CLIENTS[*who], shown(command)),
            Step::Clock(by) => format!("clock +{}ms", by.as_millis()),
            Step::Reap => "reap".to_owned(),
        });
        if self.log.len() > 600 {
            self.log.drain(..300);
        }
        Some(step)
    }

    fn command(&mut self) -> Step {
        let random = &self.generator.random;
        let who = random.below(2);
        let command = match random.below(100) {
            0..=14 if self.is_queueing[who] => self.generator.command_named("EXEC"),
            _ => self.generator.command(),
        };
        match name_of(&command).as_str() {
            "MULTI" => self.is_queueing[who] = true,
            "EXEC" | "DISCARD" => self.is_queueing[who] = false,
            _ => {}
        }
        Step::Command(who, whole_scan(command, true))
    }
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{}: STREAM_SEED={}, {} commands left; before:",
            self.name, self.seed, self.left
        )?;
        self.log.iter().rev().take(40).try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// How often a command is generated.
fn weight(spec: &Spec) -> usize {
    let data = ["string", "hash", "generic", "server", "namespace", "transactions"];
    match spec.command.name {
        // About how names and values are laid out, which is each store's own matter.
        "MEMORY" | "MEMORY USAGE" | "NAMESPACE INFO" | "NAMESPACE NAMES" | "NAMESPACE SCAN" => 0,
        name if name.ends_with(" HELP") => 0,
        "FLUSHALL" | "FLUSHDB" | "SWAPDB" => 3,
        "SELECT" => 10,
        "MULTI" | "WATCH" => 20,
        "SET" | "HSET" | "HSETEX" | "NAMESPACE SET" => 60,
        "DEL" | "UNLINK" | "NAMESPACE LIMIT" => 8,
        _ if matches!(spec.command.run, pantry::command::Run::Container) => 0,
        _ if spec.command.flags.admin || !data.contains(&spec.family.group) => 0,
        _ if matches!(spec.command.run, pantry::command::Run::Session(_)) => {
            match spec.family.group {
                "transactions" => 8,
                _ => 0,
            }
        }
        _ => 20,
    }
}
