//! A fault at every single call that touches the data directory: the process is killed there, or the
//! call fails. strace(1) does it to the unmodified server.
//!
//! One script of commands, with snapshots in it, runs again and again; each time the fault comes one
//! call later, until the script is through without it. strace counts the calls of each thread apart.
//! Where an ext4 can be had, the power goes after each kill, too.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pantry::journal::files::{journal_name, snapshot_name, unfinished_name};

use crate::client::Client;
use crate::ledger::{Ledger, Outcome};
use crate::machine::{
    Mount, PowerSwitch, Random, Scratch, has_program, is_root, now_ms, setting, skipped,
};
use crate::model::{Op, SHARED, State};
use crate::server::{LONG, Server, Start};

const CALLS: [&str; 8] =
    ["write", "fdatasync", "fsync", "rename", "openat", "ftruncate", "unlink", "fallocate"];
/// Commands of the script, and how many are between two snapshots.
const COMMANDS: usize = 12;
const COMMANDS_PER_SNAPSHOT: usize = 5;
const DISK_BYTES: u64 = 96 << 20;
/// Numbers of files that a run may make.
const NUMBERS: u64 = 8;
/// More calls than the script can make.
const CALLS_MAX: usize = 200;
/// Of the calls at which the process is killed, so many in a row are left out at most, unless
/// `PANTRY_KILL_AT_EVERY_CALL` is 1, which takes minutes. `PANTRY_SEED` says which.
const CALLS_SKIPPED_MAX: u64 = 16;
/// A failure of this length was not overcome.
const TROUBLE_MAX: Duration = LONG;

/// Where the runs of one test happen.
struct Rig {
    start: Start,
    dir: PathBuf,
    ledger: Ledger,
    random: Random,
    mount: Option<Mount>,
    scratch: Scratch,
}

/// How a run of the script went.
#[derive(Debug, Default)]
struct Run {
    /// The server was gone before the script was through, or did not start.
    is_over: bool,
    refused: usize,
    longest: Duration,
}

#[test]
fn killed_at_calls() {
    let Some(mut rig) = Rig::new("killed_at_calls", "always") else { return };
    let is_full = setting("PANTRY_KILL_AT_EVERY_CALL", 0) != 0;
    let mut random = Random::new(8);
    let mut kills = String::new();
    for call in CALLS {
        let (mut number, mut killed) = (1, 0);
        while rig.run(call, "signal=KILL", number).is_over {
            killed += 1;
            number += if is_full { 1 } else { 1 + random.below(CALLS_SKIPPED_MAX + 1) as usize };
            assert!(number < CALLS_MAX, "the script comes to its end");
        }
        assert!(killed > 0, "strace does not see {call}");
        kills.push_str(&format!(" {killed} {call}"));
    }
    let what = if is_full { "killed at every call" } else { "killed at some calls" };
    rig.report(what, &kills);
}

#[test]
fn failing_flush_always() {
    fail("failing_flush_always", "always", &["fdatasync", "fsync"], "EIO");
}

#[test]
fn failing_flush_everysec() {
    fail("failing_flush_everysec", "everysec", &["fdatasync"], "EIO");
}

#[test]
fn failing_write() {
    fail("failing_write", "everysec", &["write"], "EIO");
}

#[test]
fn full_at_every_call() {
    fail("full_at_every_call", "always", &["write", "openat", "fallocate"], "ENOSPC");
}

#[test]
fn failing_names() {
    fail("failing_names", "everysec", &["rename", "unlink", "ftruncate", "openat"], "EIO");
}

fn fail(test: &str, policy: &str, calls: &[&str], error: &str) {
    let Some(mut rig) = Rig::new(test, policy) else { return };
    let (mut faults, mut refused, mut longest) = (String::new(), 0, Duration::ZERO);
    for call in calls {
        let number = (1..CALLS_MAX).find(|&number| {
            let run = rig.run(call, &format!("error={error}"), number);
            refused += run.refused;
            longest = longest.max(run.longest);
            !rig.happened()
        });
        let number = number.expect("the script comes to its end");
        assert!(number > 1, "strace does not see {call}");
        faults.push_str(&format!(" {} {call}", number - 1));
    }
    let what = format!(
        "{error}, {policy}, {refused} commands refused, for {} ms at most; at",
        longest.as_millis()
    );
    rig.report(&what, &faults);
}

impl Rig {
    fn new(test: &str, policy: &str) -> Option<Rig> {
        if !has_program("strace") {
            skipped(test, "strace is not installed");
            return None;
        }
        let scratch = Scratch::new("faults");
        let mount = match is_root() && has_program("python3") {
            true => Mount::ext4(&scratch, DISK_BYTES).ok(),
            false => None,
        };
        let dir = mount.as_ref().map_or(scratch.at("data"), |mount| mount.point.join("data"));
        let start = Start::on(&dir, &scratch).with("appendfsync", policy).with("threads", "1");
        let (ledger, random) = (Ledger::new(0), Random::new(7));
        let mut rig = Rig { start, dir, ledger, random, mount, scratch };
        // So that every run has something to load, and a snapshot and old segments to remove.
        rig.run("write", "error=EIO", CALLS_MAX);
        Some(rig)
    }

    /// Runs the script with a fault at a call, then kills the server and checks what is left.
    fn run(&mut self, call: &str, fault: &str, number: usize) -> Run {
        let tracer = self.tracer(call, fault, number);
        let traced = self.start.clone().through(&tracer);
        let mut server = traced.spawn();
        let mut is_loaded = server.wait_until_loaded();
        // It had no fault then, if somebody else took its port.
        while !is_loaded && server.lost_a_port() {
            server = traced.spawn();
            is_loaded = server.wait_until_loaded();
        }
        let mut run = Run { is_over: true, ..Run::default() };
        if is_loaded {
            run.is_over = self.script(&server, &mut run).is_err();
            assert!(
                !run.is_over || fault.starts_with("signal"),
                "{fault} at {call} {number} ended it:\n{}",
                server.last_words()
            );
        }
        // It may be killed between its answers and here.
        run.is_over |= !server.is_alive();
        server.kill();
        if let Some(mount) = self.mount.as_ref().filter(|_| fault.starts_with("signal")) {
            PowerSwitch::of(mount).off();
            mount.remount();
        }
        let mut server = self.start.ready();
        let left = self.settle(&server);
        assert_eq!(left, 0, "acknowledged and lost after {fault} at {call} {number}");
        server.kill();
        run
    }

    fn settle(&mut self, server: &Server) -> usize {
        let mut client = server.connect();
        let from_ms = now_ms();
        let seen = State::seen(0, &client.ask_all(&State::questions(0)));
        let left = self.ledger.settle(&seen, (from_ms, now_ms()), u64::MAX);
        let shared = client.ask(&format!("GET {SHARED}"));
        let shared = shared.bulk().map_or(0, |text| text.parse().unwrap());
        assert_eq!(shared, self.ledger.base().counted, "a transaction was done in part");
        left.lost
    }

    /// Sends the commands of the script. An error if the server is gone.
    fn script(&mut self, server: &Server, run: &mut Run) -> io::Result<()> {
        let mut client = Client::connect(server.redis)?;
        for number in 0..COMMANDS {
            let mut refused_since = None;
            while !self.is_accepted(&mut client)? {
                let since = *refused_since.get_or_insert_with(Instant::now);
                assert!(since.elapsed() < TROUBLE_MAX, "never accepted again");
                run.refused += 1;
                run.longest = run.longest.max(since.elapsed());
                reads_go_on(&mut client)?;
            }
            if number % COMMANDS_PER_SNAPSHOT == COMMANDS_PER_SNAPSHOT - 1 {
                client.try_ask("BGSAVE")?;
                while client.try_info("rdb_bgsave_in_progress")? == "1" {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        Ok(())
    }

    /// Sends a command; tells whether it was acknowledged.
    fn is_accepted(&mut self, client: &mut Client) -> io::Result<bool> {
        let mut requests = Vec::new();
        let op = Op::random(0, self.ledger.next, now_ms(), &mut self.random);
        let replies = op.push_requests(&mut requests);
        self.ledger.sends(op);
        client.send(&requests)?;
        for _ in 1..replies {
            client.reply()?;
        }
        let last = client.reply()?;
        Ok(matches!(self.ledger.answered(1, &last), Outcome::Acknowledged(_)))
    }

    /// The tracer's command line.
    fn tracer(&self, call: &str, fault: &str, number: usize) -> Vec<String> {
        let trace = self.trace().display().to_string();
        let mut words = vec!["strace", "-D", "-f", "-qq", "-o", &trace];
        let (traced, injected) =
            (format!("trace={call}"), format!("inject={call}:{fault}:when={number}"));
        words.extend(["-e", &traced, "-e", &injected]);
        // Killing does not work together with it.
        if fault.starts_with("error") {
            words.push("--seccomp-bpf");
        }
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        for path in self.paths() {
            words.extend(["-P".to_owned(), path.display().to_string()]);
        }
        words
    }

    fn trace(&self) -> PathBuf {
        self.scratch.at("trace")
    }

    /// Whether the last run had its fault.
    fn happened(&self) -> bool {
        std::fs::read_to_string(self.trace()).is_ok_and(|trace| trace.contains("(INJECTED)"))
    }

    /// The directory, its files, and those that a run may make.
    fn paths(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten();
        let names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        let number_in = |name: &String| name.split(['-', '.']).nth(1)?.parse::<u64>().ok();
        let last = names.iter().filter_map(number_in).max().unwrap_or(0);
        let new = (last + 1..=last + NUMBERS).flat_map(|number| {
            [journal_name(number), snapshot_name(number), unfinished_name(number)]
        });
        let at = |name: String| self.dir.join(name);
        names.into_iter().chain(new).map(at).chain([self.dir.clone()]).collect()
    }

    fn report(&self, what: &str, faults: &str) {
        let power = if self.mount.is_some() { "" } else { " (without power loss)" };
        println!(
            "{what}:{faults}{power}; {} writes acknowledged, 0 lost",
            self.ledger.acknowledged
        );
    }
}

/// While changes are refused, what does not change anything is done.
fn reads_go_on(client: &mut Client) -> io::Result<()> {
    let pong = client.try_ask("PING")?;
    assert_eq!(pong.error(), None);
    let value = client.try_ask("GET 0:string:0")?;
    assert_eq!(value.error(), None);
    std::thread::sleep(Duration::from_millis(5));
    Ok(())
}
