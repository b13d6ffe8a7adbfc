//! A backup that is made and copied under load holds what one moment held, at least all that was
//! acknowledged before it was asked for; snapshots that are taken meanwhile take nothing from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::POLICIES;
use crate::machine::Scratch;
use crate::server::{Server, Start};

/// Time for the load between one backup and the next.
const BETWEEN: Duration = Duration::from_millis(30);

#[test]
fn a_backup_is_a_state_of_the_moment() {
    for policy in POLICIES {
        let scratch = Scratch::new("backup");
        let start = Start::on(&scratch.at("data"), &scratch)
            .with("appendfsync", policy)
            .with("auto-aof-rewrite-min-size", "20000");
        let mut server = start.ready();
        let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
        let backups = std::thread::scope(|scope| {
            scope.spawn(|| count(&server, &stop, &acknowledged));
            let backups: Vec<_> =
                (0..5).map(|at| back_up(&server, &acknowledged, &scratch, at)).collect();
            stop.store(true, SeqCst);
            backups
        });
        server.stop();
        for (copy, least) in backups {
            let server = Start::on(&copy, &scratch).ready();
            let mut client = server.connect();
            let number = |reply: crate::client::Reply| -> u64 {
                reply.bulk().map_or(0, |text| text.parse().unwrap())
            };
            let first = number(client.ask("HGET pairs first"));
            assert!(first >= least, "{policy}: {first} of {least}");
            assert_eq!(first, number(client.ask("GET last")), "{policy}: both or none");
        }
        println!("backup, {policy}: {} writes", acknowledged.load(SeqCst));
    }
}

/// Counts in two places at once.
fn count(server: &Server, stop: &AtomicBool, acknowledged: &AtomicU64) {
    let mut client = server.connect();
    let mut number = 0;
    while !stop.load(SeqCst) {
        number += 1;
        let commands =
            ["MULTI", &format!("HSET pairs first {number}"), &format!("SET last {number}"), "EXEC"];
        let replies = client.ask_all(&commands.map(str::to_owned));
        assert_eq!(replies[3].array().len(), 2, "{replies:?}");
        acknowledged.store(number, SeqCst);
    }
}

/// Returns a copy, and what was acknowledged before.
fn back_up(
    server: &Server,
    acknowledged: &AtomicU64,
    scratch: &Scratch,
    at: usize,
) -> (PathBuf, u64) {
    std::thread::sleep(BETWEEN);
    let mut client = server.connect();
    let least = acknowledged.load(SeqCst);
    let reply = client.ask("BACKUP");
    let path = reply.bulk().unwrap_or_else(|| panic!("{reply:?}"));
    // The files that are linked are superfluous afterwards.
    client.ask("SAVE");
    let copy = scratch.at(&format!("copy-{at}"));
    copy_all(Path::new(path), &copy);
    fs::remove_dir_all(path).unwrap();
    (copy, least)
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
