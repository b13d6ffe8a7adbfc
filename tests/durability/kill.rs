//! kill -9 at random moments, under load, again and again on one directory.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::machine::{Random, Scratch, setting};
use crate::server::{Server, Start};

const CLIENTS: usize = 5;
/// Cycles per policy.
const CYCLES: u64 = 100;
/// How long a server lives at least, and how much longer at most.
const LOAD_MIN_MS: u64 = 20;
const LOAD_MORE_MS: u64 = 80;
/// A journal that grows to this is made shorter, so that snapshots are always near.
const REWRITE_BYTES: &str = "30000";

#[test]
fn kill_always() {
    kill("always");
}

#[test]
fn kill_everysec() {
    kill("everysec");
}

#[test]
fn kill_no() {
    kill("no");
}

fn kill(policy: &str) {
    let started = Instant::now();
    let scratch = Scratch::new("kill");
    let start = Start::on(&scratch.at("data"), &scratch)
        .with("appendfsync", policy)
        .with("auto-aof-rewrite-min-size", REWRITE_BYTES);
    let mut random = Random::new(policy.len() as u64);
    let mut load = Load::new(CLIENTS, policy.len() as u64);
    let cycles = setting("PANTRY_KILL_CYCLES", CYCLES);
    for cycle in 0..cycles {
        let mut server = start.ready();
        let survey = load.settle(&server, u64::MAX);
        assert_eq!(survey.lost, 0, "acknowledged and lost, in cycle {cycle}");
        assert_eq!(survey.shown_and_lost, 0, "shown and lost, in cycle {cycle}");
        let life = Duration::from_millis(LOAD_MIN_MS + random.below(LOAD_MORE_MS));
        let saves = random.below(3) == 0;
        load.run(server.redis, &AtomicBool::new(false), || {
            live(&server, life, saves);
            server.kill();
        });
        if random.below(8) == 0 {
            kill_while_it_starts(&start, &mut random);
        }
    }
    let mut server = start.ready();
    assert_eq!(load.settle(&server, u64::MAX).lost, 0);
    server.stop();
    let log = start.log();
    println!(
        "kill -9, {policy}: {cycles} cycles, {} writes acknowledged, 0 lost; {} snapshots, {} torn \
         ends; {:.1} s",
        load.acknowledged(),
        log.matches("snapshot done").count(),
        log.matches("was torn").count(),
        started.elapsed().as_secs_f64()
    );
}

/// Lets a server live for a while; a snapshot may be asked for in the middle of it.
fn live(server: &Server, life: Duration, saves: bool) {
    std::thread::sleep(life / 2);
    if saves {
        server.connect().ask("BGSAVE");
    }
    std::thread::sleep(life / 2);
}

/// Recovery itself is interrupted.
fn kill_while_it_starts(start: &Start, random: &mut Random) {
    let mut server = start.spawn();
    std::thread::sleep(Duration::from_micros(random.below(20_000)));
    server.kill();
}
