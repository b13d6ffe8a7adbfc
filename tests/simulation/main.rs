//! The whole engine on a disk that crashes, tears, forgets, refuses and runs full, by a seeded schedule:
//! what clients were shown outlives every crash, and what is loaded is exactly what once was.
//!
//! `SIMULATION_SEED` repeats a run (with `SIMULATION_RUNS=1`), `SIMULATION_RUNS` says how many there are.
#![allow(clippy::unwrap_used, missing_docs)]

mod bugs;
mod captures;
mod disk;
mod fresh;
#[path = "../generate/mod.rs"]
mod generate;
mod moments;
#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../support/mod.rs"]
mod support;
mod world;

use pantry::config::Fsync;

use disk::{Crash, MemoryDisk, Plan};
use oracle::Random;
use support::dump;
use world::{History, World, load, must_last};

const RUNS: u64 = 40;
/// Crashes of one machine.
const ERAS: usize = 5;
const STEPS: usize = 150;
/// On each of so many machines names get limits.
const SEEDS_PER_LIMITS: u64 = 8;
/// After so many steps it is looked what a crash at that moment would leave; the machine goes on.
const STEPS_PER_CRASH: usize = 6;

#[test]
fn what_was_shown_outlives_every_crash() {
    let first = number("SIMULATION_SEED").unwrap_or(1);
    let runs = number("SIMULATION_RUNS").unwrap_or(RUNS);
    let mut sums = [0; 5];
    for seed in first..first + runs {
        let (history, crashes) = run(seed);
        let counts =
            [crashes, history.snapshots, history.fresh, history.refused, history.log.len()];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let [crashes, snapshots, fresh, refused, steps] = sums;
    println!(
        "{runs} machines: {crashes} crashes, {snapshots} snapshots, {fresh} begun anew after a failed \
         flush, {refused} changes refused, {steps} steps: nothing lost, nothing wrong"
    );
    // Without these it would have shown nothing.
    assert!(crashes > 0 && snapshots > 0);
}

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// One machine, from its first start on.
fn run(seed: u64) -> (History, usize) {
    let random = Random::new(seed);
    let disk = MemoryDisk::new(seed);
    let mut history = History::default();
    let mut crashes = 0;
    for era in 0..ERAS {
        let policy = random.pick(&[Fsync::Always, Fsync::EverySec, Fsync::No]);
        let spoils = random.below(3) == 0;
        // After a failed flush and a kill nothing on the disk tells what the system has dropped.
        let crash = if spoils { Crash::Power } else { random.pick(&[Crash::Kill, Crash::Power]) };
        disk.plan(plan(&random));
        history.log.push(format!("-- era {era}: {policy:?}, {crash:?}"));
        let (store, recovered) = load(&disk, history.now_ms, seed + era as u64);
        let mut promised = (policy, crash);
        match recovered {
            Ok(recovered) => {
                check(seed, &history, &store, recovered.last, 0);
                let seeds = (store, recovered);
                let how = (policy, seed.is_multiple_of(SEEDS_PER_LIMITS));
                if let Some(world) =
                    World::start(&disk, seeds, how, seed + era as u64, &mut history)
                {
                    if spoils {
                        disk.spoil_flush(random.below(200) as u64);
                    }
                    history = world.run(&disk, STEPS, &mut |step, history| {
                        if (step + 1).is_multiple_of(STEPS_PER_CRASH) {
                            let moment = (era * STEPS + step) as u64;
                            crash_aside((seed, moment), &disk, history, promised);
                            crashes += 1;
                        }
                    });
                }
            }
            Err(error) => {
                assert!(disk.is_dead(), "{}", report(seed, &history, &format!("{error:#}")))
            }
        }
        crashes += usize::from(disk.is_dead());
        disk.come_up(crash);
        let (store, recovered) = load(&disk, history.now_ms, seed + era as u64);
        let recovered = recovered
            .unwrap_or_else(|error| panic!("{}", report(seed, &history, &format!("{error:#}"))));
        if history.shown == 0 {
            promised = (Fsync::No, Crash::Power);
        }
        check(seed, &history, &store, recovered.last, must_last(&history, promised.0, promised.1));
        // The rest was never safe; nobody may count on it any more.
        history.states.split_off(&(recovered.last + 1));
        (history.shown, history.flushed) = (recovered.last, recovered.last);
    }
    (history, crashes)
}

/// A copy of the disk crashes as `promised`, and is loaded.
fn crash_aside(
    (seed, moment): (u64, u64),
    disk: &MemoryDisk,
    history: &History,
    (policy, crash): (Fsync, Crash),
) {
    let disk = disk.after_crash(crash, seed << 32 | moment);
    let (store, recovered) = load(&disk, history.now_ms, moment);
    let recovered = recovered
        .unwrap_or_else(|error| panic!("{}", report(seed, history, &format!("{error:#}"))));
    check(seed, history, &store, recovered.last, must_last(history, policy, crash));
}

fn plan(random: &Random) -> Plan {
    let full_from = random.below(300) as u64;
    let is_full = random.below(3) == 0;
    Plan {
        crash_at: random.between(1, 500) as u64,
        full_from,
        full_until: if is_full { full_from + random.below(60) as u64 } else { 0 },
        bad_flush_after: None,
        short_percent: random.pick(&[0, 0, 20]),
    }
}

/// What was loaded is what there was after a batch, and no batch is missing that must be there.
fn check(seed: u64, history: &History, store: &pantry::store::Store, last: u64, least: u64) {
    if last < least {
        panic!("{}", report(seed, history, &format!("batch {least} is lost: {last} is the last")));
    }
    let state = history.states.get(&last);
    if state.is_none() && !history.unseen.contains(&last) {
        let what = format!("batch {last} is only a part of what was done at once");
        panic!("{}", report(seed, history, &what));
    }
    if let Some(state) = state {
        let loaded = dump(store, 0);
        if *state != loaded {
            let gone = state.iter().filter(|line| !loaded.contains(line)).cloned();
            let new = loaded.iter().filter(|line| !state.contains(line)).cloned();
            let gone: Vec<_> = gone.collect();
            let new: Vec<_> = new.collect();
            let what = format!("after batch {last}\nmissing: {gone:#?}\nwrong: {new:#?}");
            panic!("{}", report(seed, history, &what));
        }
    }
}

fn report(seed: u64, history: &History, what: &str) -> String {
    let from = history.log.len().saturating_sub(80);
    let log = history.log[from..].join("\n");
    format!("SIMULATION_SEED={seed} SIMULATION_RUNS=1\n{log}\n{what}")
}
