//! A disk that runs full: changes are refused with Redis's error, everything else goes on, and changes
//! are accepted again soon after there is room.

use std::fs::DirEntry;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use crate::POLICIES;
use crate::client::{Client, Reply};
use crate::machine::{Mount, Scratch, is_root, skipped};
use crate::server::{LONG, Server, Start};

const DISK_BYTES: u64 = 24 << 20;
const LARGER_BYTES: u64 = 64 << 20;
const VALUE_BYTES: usize = 64 << 10;
/// Changes are accepted again when there was room for this long.
const RESUME_MAX: Duration = Duration::from_secs(2);
const REFUSAL: &str =
    "MISCONF Errors writing to the AOF file: No space left on device (os error 28)";

#[test]
fn full_disk() {
    if !is_root() {
        return skipped("full_disk", "only root may mount a file system");
    }
    for policy in POLICIES {
        let scratch = Scratch::new("full");
        let mount = match Mount::tmpfs(&scratch, DISK_BYTES) {
            Ok(mount) => mount,
            Err(why) => return skipped("full_disk", &why),
        };
        let start = Start::on(&mount.point.join("data"), &scratch).with("appendfsync", policy);
        let mut server = start.ready();
        let mut acknowledged = fill(&server);
        reads_go_on(&mut server, &acknowledged);

        mount.resize(LARGER_BYTES);
        let freed = Instant::now();
        let mut client = server.connect();
        while !client.ask("SET again accepted").is_ok() {
            assert!(freed.elapsed() < RESUME_MAX, "changes are still refused");
            std::thread::sleep(Duration::from_millis(10));
        }
        let resumed = freed.elapsed();
        assert_eq!(client.info("aof_last_write_status"), "ok");
        acknowledged.extend((0..10).map(|number| format!("after:{number}")));
        for name in &acknowledged[acknowledged.len() - 10..] {
            assert!(client.ask(&set(name)).is_ok());
        }
        server.kill();
        let server = start.ready();
        all_are_there(&mut server.connect(), &acknowledged);
        assert_eq!(server.connect().ask("GET again").bulk(), Some("accepted"));
        println!(
            "full disk, {policy}: {} writes acknowledged, 0 lost; resumed after {} ms",
            acknowledged.len() + 1,
            resumed.as_millis()
        );
    }
}

/// Killed on a full disk, started on a full disk: nothing is lost, whether it starts or not.
#[test]
fn full_disk_killed() {
    if !is_root() {
        return skipped("full_disk_killed", "only root may mount a file system");
    }
    let scratch = Scratch::new("full");
    let mount = match Mount::tmpfs(&scratch, DISK_BYTES) {
        Ok(mount) => mount,
        Err(why) => return skipped("full_disk_killed", &why),
    };
    let start = Start::on(&mount.point.join("data"), &scratch);
    let mut server = start.ready();
    let acknowledged = fill(&server);
    server.kill();
    let mut server = start.spawn();
    if server.wait_until_loaded() {
        all_are_there(&mut server.connect(), &acknowledged);
        server.kill();
    } else {
        assert!(!server.wait(LONG).unwrap().success());
        assert!(start.log().contains("No space left on device"), "{}", start.log());
    }
    mount.resize(LARGER_BYTES);
    let server = start.ready();
    let mut client = server.connect();
    all_are_there(&mut client, &acknowledged);
    assert!(client.ask("SET again accepted").is_ok());
    println!("full disk, killed: {} writes acknowledged, 0 lost", acknowledged.len());
}

/// What a killed server had reserved for its journal, the next one gives back: a server that is killed
/// again and again fills no disk.
#[test]
fn kills_fill_no_disk() {
    const KILLS: usize = 5;
    const KEPT_MAX_BYTES: u64 = 1 << 20;
    let scratch = Scratch::new("reserved");
    let dir = scratch.at("data");
    let start = Start::on(&dir, &scratch);
    for _ in 0..KILLS {
        let mut server = start.ready();
        assert!(server.connect().ask("SET tea green").is_ok());
        server.kill();
    }
    let _server = start.ready();
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|it| it.unwrap()).collect();
    files.sort_by_key(|file| file.file_name());
    let is_segment = |file: &DirEntry| file.file_name().to_string_lossy().starts_with("journal-");
    let segments: Vec<_> = files.into_iter().filter(is_segment).collect();
    // The last one is being written.
    let old = &segments[..segments.len() - 1];
    let bytes: u64 = old.iter().map(|file| file.metadata().unwrap().blocks() * 512).sum();
    assert!(bytes <= KEPT_MAX_BYTES, "{bytes} bytes in {} old segments", old.len());
    println!("{KILLS} kills: {bytes} bytes in {} old segments", old.len());
}

/// Writes until that is refused. Returns the names whose writes were acknowledged.
fn fill(server: &Server) -> Vec<String> {
    let mut client = server.connect();
    let mut acknowledged = Vec::new();
    for number in 0.. {
        assert!(number < DISK_BYTES as usize / VALUE_BYTES, "the disk does not run full");
        let name = format!("name:{number}");
        match client.ask(&set(&name)) {
            Reply::Error(text) => {
                assert!(text.starts_with(REFUSAL), "{text}");
                break;
            }
            reply => assert!(reply.is_ok(), "{reply:?}"),
        }
        acknowledged.push(name);
    }
    acknowledged
}

fn reads_go_on(server: &mut Server, acknowledged: &[String]) {
    let mut client = server.connect();
    for _ in 0..20 {
        assert_eq!(client.ask("HSET shop apples 3").error(), Some(REFUSAL));
        assert_eq!(client.ask("PING"), Reply::Simple("PONG".to_owned()));
        std::thread::sleep(Duration::from_millis(20));
    }
    all_are_there(&mut client, acknowledged);
    assert_eq!(client.ask("EXISTS shop").integer(), 0, "what is refused is not done");
    assert_eq!(client.info("aof_last_write_status"), "err");
    assert!(server.is_alive());
}

fn all_are_there(client: &mut Client, names: &[String]) {
    for name in names {
        let reply = client.ask(&format!("GET {name}"));
        assert!(reply.bulk() == Some(&value(name)), "{name} is not what was acknowledged");
    }
}

fn set(name: &str) -> String {
    format!("SET {name} {}", value(name))
}

fn value(name: &str) -> String {
    name.repeat(VALUE_BYTES / name.len())
}
