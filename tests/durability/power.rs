//! The power goes: an ext4 of its own forgets what was not safe, as after a power loss.
//!
//! While it goes, Linux calls the one flush that is in flight done, though it is not; so what was
//! acknowledged after that moment is counted apart.
//!
//! What this can not show: sectors that are torn, and blocks of one file that arrive in another order.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::load::{Load, Survey};
use crate::machine::{Mount, PowerSwitch, Random, Scratch, has_program, is_root, setting, skipped};
use crate::server::{Server, Start};

const CLIENTS: usize = 3;
/// Cycles per policy.
const CYCLES: u64 = 10;
const DISK_BYTES: u64 = 96 << 20;
const REWRITE_BYTES: &str = "200000";
/// Under `everysec`, what was acknowledged longer ago than this and the flush in flight is safe.
const UNSAFE_MAX: Duration = Duration::from_secs(1);

#[test]
fn power_loss_always() {
    let kept = |survey: &Survey, _, _| {
        assert_eq!(survey.lost, 0, "acknowledged and lost");
        assert_eq!(survey.shown_and_lost, 0, "shown and lost");
    };
    lose_power("always", 300, kept);
}

#[test]
fn power_loss_everysec() {
    let kept = |_: &Survey, age: Option<Duration>, flush: Duration| {
        let is_kept = age.is_none_or(|age| age <= UNSAFE_MAX + flush);
        assert!(is_kept, "lost, and {age:?} old; the longest flush took {flush:?}");
    };
    lose_power("everysec", 1500, kept);
}

#[test]
fn power_loss_no() {
    lose_power("no", 300, |_, _, _| {});
}

/// A process that was killed leaves what it wrote to the system, which may not have it on the disk yet.
/// What is built on that must not be safe alone.
#[test]
fn power_loss_after_a_kill() {
    let scratch = Scratch::new("twice");
    let mount = match disk(&scratch) {
        Ok(mount) => mount,
        Err(why) => return skipped("power_loss_after_a_kill", &why),
    };
    let start = Start::on(&mount.point.join("data"), &scratch);
    let unsafe_start = start.clone().with("appendfsync", "no");
    let mut server = unsafe_start.ready();
    assert!(server.connect().ask("SET first killed").is_ok());
    server.kill();
    let mut server = start.with("appendfsync", "always").ready();
    let mut client = server.connect();
    let first = client.ask("GET first");
    assert!(client.ask("SET second safe").is_ok());
    PowerSwitch::of(&mount).off();
    server.kill();
    mount.remount();
    let server = unsafe_start.ready();
    let mut client = server.connect();
    assert_eq!(client.ask("GET second").bulk(), Some("safe"));
    assert_eq!(client.ask("GET first"), first, "it was shown under `always`");
    println!("power loss after a kill: 2 writes, 0 lost");
}

/// `kept` is told what was lost, the age of the oldest of it, and how long the longest flush took.
fn lose_power(policy: &str, load_ms: u64, kept: impl Fn(&Survey, Option<Duration>, Duration)) {
    let started = Instant::now();
    let scratch = Scratch::new("power");
    let mount = match disk(&scratch) {
        Ok(mount) => mount,
        Err(why) => return skipped(&format!("power_loss_{policy}"), &why),
    };
    let start = Start::on(&mount.point.join("data"), &scratch)
        .with("appendfsync", policy)
        .with("auto-aof-rewrite-min-size", REWRITE_BYTES);
    let mut random = Random::new(policy.len() as u64);
    let mut load = Load::new(CLIENTS, policy.len() as u64);
    let cycles = setting("PANTRY_POWER_CYCLES", CYCLES);
    let (mut lost, mut lost_meanwhile, mut oldest) = (0, 0, Duration::ZERO);
    let mut settle = |load: &mut Load, off_us: u64, flush: Duration| {
        let mut server = start.ready();
        let survey = load.settle(&server, off_us);
        let age =
            survey.first_lost_us.map(|at_us| Duration::from_micros(off_us.saturating_sub(at_us)));
        assert!(survey.is_prefix(), "what is left is no prefix");
        kept(&survey, age, flush);
        lost += survey.lost;
        lost_meanwhile += survey.lost_meanwhile;
        oldest = oldest.max(age.unwrap_or_default());
        server.kill();
    };
    for cycle in 0..cycles {
        // Snapshots flush the journal, so every other time there are none.
        let rewrite_percentage = if cycle % 2 == 0 { "0" } else { "100" };
        let start = start.clone().with("auto-aof-rewrite-percentage", rewrite_percentage);
        let mut server = start.ready();
        let switch = PowerSwitch::of(&mount);
        let life = Duration::from_millis(load_ms / 2 + random.below(load_ms));
        let stop = AtomicBool::new(false);
        let off_us = load.run(server.redis, &stop, || {
            std::thread::sleep(life);
            let off_us = switch.off();
            stop.store(true, Relaxed);
            off_us
        });
        let flush = longest_flush(&server);
        server.kill();
        mount.remount();
        settle(&mut load, off_us, flush);
    }
    println!(
        "power loss, {policy}: {cycles} cycles, {} writes acknowledged, {lost} lost, the oldest \
         {} ms old ({lost_meanwhile} more in the moment itself); {} torn ends; {:.1} s",
        load.acknowledged(),
        oldest.as_millis(),
        start.log().matches("was torn").count(),
        started.elapsed().as_secs_f64()
    );
}

/// How long the longest flush of a server took.
fn longest_flush(server: &Server) -> Duration {
    let info = server.connect().ask("INFO persistence");
    let fields = info.bulk().unwrap().lines();
    let us = fields.filter_map(|line| line.strip_prefix("journal_flush_us_max:")).next().unwrap();
    Duration::from_micros(us.parse().unwrap())
}

/// An ext4 whose power can be taken, or why there can be none.
fn disk(scratch: &Scratch) -> Result<Mount, String> {
    if !is_root() {
        return Err("only root may mount a file system".to_owned());
    }
    if !has_program("python3") {
        return Err("python3 is not installed".to_owned());
    }
    Mount::ext4(scratch, DISK_BYTES)
}
