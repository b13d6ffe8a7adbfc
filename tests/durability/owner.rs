//! One directory, one owner; what a server does before it has loaded, and when keeping data is
//! switched off and on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::machine::Scratch;
use crate::server::{LONG, Server, Start, eventually};

/// A server that may not have its directory has ended after this.
const REFUSED_MAX: Duration = Duration::from_secs(1);

#[test]
fn a_second_server_is_refused() {
    let scratch = Scratch::new("owner");
    let start = Start::on(&scratch.at("data"), &scratch);
    let first = start.ready();
    assert!(first.connect().ask("SET tea green").is_ok());
    let begun = Instant::now();
    let mut second = start.spawn();
    let status = second.wait(REFUSED_MAX).expect("it ends at once");
    let took = begun.elapsed();
    assert!(!status.success());
    let log = start.log();
    let text = format!("belongs to another running pantry (process {})", first.child.id());
    assert!(log.contains(&text), "{log}");
    assert_eq!(first.connect().ask("GET tea").bulk(), Some("green"));
    println!("a second server on a directory: refused after {} ms", took.as_millis());
}

#[test]
fn data_is_not_passed_over() {
    let scratch = Scratch::new("owner");
    let start = Start::on(&scratch.at("data"), &scratch);
    let mut server = start.ready();
    assert!(server.connect().ask("SET tea green").is_ok());
    server.stop();
    let mut server = start.clone().with("appendonly", "no").spawn();
    assert!(!server.wait(LONG).expect("it ends").success());
    assert!(start.log().contains("holds data, which a server with 'appendonly no'"));
    let server = start.ready();
    assert_eq!(server.connect().ask("GET tea").bulk(), Some("green"));
}

#[test]
fn keeping_is_switched_under_load() {
    const CYCLES: usize = 5;
    let scratch = Scratch::new("switch");
    let start = Start::on(&scratch.at("data"), &scratch);
    let mut load = Load::new(4, 1);
    for _ in 0..CYCLES {
        let mut server = start.ready();
        assert_eq!(load.settle(&server, u64::MAX).lost, 0);
        load.run(server.redis, &AtomicBool::new(false), || {
            let mut client = server.connect();
            std::thread::sleep(Duration::from_millis(50));
            assert!(client.ask("CONFIG SET appendonly no").is_ok());
            assert_eq!(client.info("aof_enabled"), "0");
            std::thread::sleep(Duration::from_millis(50));
            let saves = client.info("rdb_saves");
            assert!(client.ask("CONFIG SET appendonly yes").is_ok());
            eventually("a snapshot is taken", || client.info("rdb_saves") != saves);
            std::thread::sleep(Duration::from_millis(50));
            server.kill();
        });
    }
    assert_eq!(load.settle(&start.ready(), u64::MAX).lost, 0);
    println!(
        "appendonly off and on: {CYCLES} cycles, {} writes acknowledged, 0 lost",
        load.acknowledged()
    );
}

#[test]
fn clients_are_told_of_loading() {
    const NAMESPACES: usize = 1500;
    const PAIRS: usize = 200;
    let scratch = Scratch::new("loading");
    let start = Start::on(&scratch.at("data"), &scratch).with("appendfsync", "no");
    let mut server = start.ready();
    let mut client = server.connect();
    let pairs: String = (0..PAIRS).map(|number| format!(" key:{number} value")).collect();
    for number in 0..NAMESPACES {
        assert_eq!(client.ask(&format!("HSET name:{number}{pairs}")).integer(), PAIRS as i64);
    }
    assert_eq!(ready_status(&server), 200);
    server.kill();

    let mut server = start.begin();
    let mut client = server.connect();
    let loading = "LOADING Redis is loading the dataset in memory";
    assert_eq!(client.ask("HGET name:1 key:1").error(), Some(loading));
    assert_eq!(client.ask("SET tea green").error(), Some(loading));
    assert_eq!(client.info("loading"), "1");
    assert_eq!(ready_status(&server), 503);
    assert!(server.wait_until_loaded());
    assert_eq!(ready_status(&server), 200);
    assert_eq!(client.info("loading"), "0");
    assert_eq!(client.ask("DBSIZE").integer(), NAMESPACES as i64, "nothing was done meanwhile");
    assert_eq!(client.ask("HGET name:1 key:1").bulk(), Some("value"));

    // It can be stopped while it loads.
    server.kill();
    start.begin().stop();
    let server = start.ready();
    assert_eq!(server.connect().ask("DBSIZE").integer(), NAMESPACES as i64);
    println!("LOADING: {} pairs", NAMESPACES * PAIRS);
}

/// What `/health/ready` answers.
fn ready_status(server: &Server) -> u16 {
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let host = server.http;
    write!(stream, "GET /health/ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
