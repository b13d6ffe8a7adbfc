//! SIGTERM under load: the server ends soon, with success, and everything acknowledged is there.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use pantry::journal::disk::Directory;
use pantry::journal::files::{Inventory, journal_name};
use pantry::journal::format::Kind;
use pantry::journal::record::Records;

use crate::POLICIES;
use crate::load::Load;
use crate::machine::Scratch;
use crate::server::Start;

const CLIENTS: usize = 40;
const LOAD: Duration = Duration::from_millis(300);
/// The server has ended after this.
const STOP_MAX: Duration = Duration::from_secs(2);

#[test]
fn terminate_under_load() {
    for policy in POLICIES {
        let scratch = Scratch::new("terminate");
        let dir = scratch.at("data");
        let start = Start::on(&dir, &scratch).with("appendfsync", policy);
        let mut load = Load::new(CLIENTS, 1);
        let mut server = start.ready();
        let (status, took) = load.run(server.redis, &AtomicBool::new(false), || {
            std::thread::sleep(LOAD);
            let asked = Instant::now();
            server.terminate();
            let status = server.wait(STOP_MAX);
            (status, asked.elapsed())
        });
        let status = status.expect("the server ends in time");
        assert!(status.success(), "{status}: {}", start.log());
        assert_eq!(last_record(&dir), Some(Kind::Closed));
        assert_eq!(load.settle(&start.ready(), u64::MAX).lost, 0);
        assert!(!start.log().contains("was torn"));
        println!(
            "SIGTERM, {policy}: {CLIENTS} clients, {} writes acknowledged, 0 lost; ended after {} ms",
            load.acknowledged(),
            took.as_millis()
        );
    }
}

/// What the last segment of the journal in a directory ends with.
fn last_record(dir: &Path) -> Option<Kind> {
    let disk = Directory::open(dir).unwrap();
    let last = *Inventory::of(&disk).unwrap().segments.last().unwrap();
    let mut records = Records::open(&disk, &journal_name(last)).unwrap();
    let mut kind = None;
    while let Some((head, _)) = records.read().unwrap() {
        kind = Some(head.kind);
    }
    kind
}
