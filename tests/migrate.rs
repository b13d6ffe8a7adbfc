//! MIGRATE between servers: to a real redis-server, and to one that is made of a few lines and does what no server
//! should.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod oracle;
#[path = "hostile/process.rs"]
#[allow(dead_code)]
mod process;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use oracle::{Oracle, Reply};
use pantry::journal::Journal;
use process::{Client, Process};
use support::Harness;

#[test]
fn what_redis_takes_is_there_with_its_time_and_not_here() {
    let Some(mut redis) = Oracle::start() else { return };
    let mut harness = Harness::new(Journal::discarding());
    let port = redis.port();
    harness.run("MSET tea green milk white");
    harness.run("HSET shop apples 3 pears 4");
    harness.run("PEXPIRE shop 500000");
    let moved = harness.run(&format!("MIGRATE 127.0.0.1 {port} tea 3 5000"));
    assert_eq!(moved, "OK");
    let names = "KEYS nothing milk shop";
    redis.run(&[b"SET", b"milk", b"black"]);
    let moved = harness.run(&format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 {names}"));
    assert_eq!(
        moved,
        "(error) ERR When using MIGRATE KEYS option, the key argument must be set to the empty string"
    );
    let words = |options: &str| -> Vec<Vec<u8>> {
        let line = format!("MIGRATE 127.0.0.1 {port} - 0 5000 {options}{names}");
        let words = line.split(' ').map(|word| if word == "-" { "" } else { word });
        words.map(|word| word.as_bytes().to_vec()).collect()
    };
    // One is there already: the other one moves.
    let busy =
        b"-ERR Target instance replied with error: BUSYKEY Target key name already exists.\r\n";
    assert_eq!(harness.execute("a", &words("")), busy);
    assert_eq!(harness.run("EXISTS milk shop"), "(integer) 1");
    assert_eq!(harness.execute("a", &words("COPY REPLACE ")), b"+OK\r\n");
    assert_eq!(harness.run("EXISTS milk shop"), "(integer) 1");
    assert_eq!(harness.execute("a", &words("REPLACE ")), b"+OK\r\n");
    assert_eq!(harness.run("DBSIZE"), "(integer) 0");

    assert_eq!(redis.run(&[b"GET", b"milk"]), Reply::Bulk(Some(b"white".to_vec())));
    assert_eq!(redis.run(&[b"HGET", b"shop", b"pears"]), Reply::Bulk(Some(b"4".to_vec())));
    let Reply::Integer(left_ms) = redis.run(&[b"PTTL", b"shop"]) else { panic!() };
    assert!((1..=500_000).contains(&left_ms), "{left_ms}");
    assert_eq!(redis.run(&[b"SELECT", b"3"]), Reply::Simple("OK".to_owned()));
    assert_eq!(redis.run(&[b"GET", b"tea"]), Reply::Bulk(Some(b"green".to_vec())));
}

#[test]
fn what_changes_while_it_is_under_way_stays_and_others_are_served() {
    let server = Process::start(&["--threads", "4"]);
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let mut mover = server.connect();
    assert_eq!(mover.line("MSET tea green milk white"), "+OK");
    let others: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    mover.send(format!("MIGRATE 127.0.0.1 {port} \"\" 0 20000 KEYS tea milk\r\n").as_bytes());

    let (mut target, _) = target.accept().unwrap();
    read_until(&mut target, b"SELECT");
    target.write_all(b"+OK\r\n").unwrap();
    read_until(&mut target, b"RESTORE\r\n$4\r\nmilk");
    let mut other = others.into_iter().find(is_served).expect("another thread serves");
    assert_eq!(other.line("SET tea black"), "+OK");
    target.write_all(b"+OK\r\n+OK\r\n").unwrap();
    let mut reply = String::new();
    BufReader::new(&mover.stream).read_line(&mut reply).unwrap();
    assert!(reply.starts_with("-TRYAGAIN "), "{reply}");
    assert_eq!(other.line("EXISTS tea milk"), ":1");
    assert_eq!(other.line("STRLEN tea"), ":5");
}

#[test]
fn a_target_that_does_not_answer_as_a_server_does_costs_nothing() {
    let server = Process::start(&["--threads", "1"]);
    let mut client = server.connect();
    assert_eq!(client.line("SET tea green"), "+OK");
    let long = [b"+OK\r\n+".to_vec(), vec![b'x'; 200_000]].concat();
    let answers: &[(&[u8], &str)] = &[
        (b"", "-IOERR error or timeout reading to target instance"),
        (b"+OK\r\n", "-IOERR error or timeout reading to target instance"),
        (b"+OK\r\n$5\r\nhello\r\n", "-IOERR error or timeout reading to target instance"),
        (&long, "-IOERR error or timeout reading to target instance"),
        (
            b"-NOAUTH who are you?\r\n",
            "-ERR Target instance replied with error: NOAUTH who are you?",
        ),
        (b"+OK\r\n-OOM no room\r\n", "-ERR Target instance replied with error: OOM no room"),
    ];
    for (answer, expected) in answers {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = target.local_addr().unwrap().port();
        let answer = answer.to_vec();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = target.accept().unwrap();
            // Who hears that nobody reads on stops.
            let _ = stream.write_all(&answer);
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        });
        assert_eq!(client.line(&format!("MIGRATE 127.0.0.1 {port} tea 0 200")), *expected);
        thread.join().unwrap();
        assert_eq!(client.line("STRLEN tea"), ":5");
    }
}

fn read_until(stream: &mut TcpStream, wanted: &[u8]) {
    let mut read = Vec::new();
    let mut bytes = [0; 1000];
    while !read.windows(wanted.len()).any(|window| window == wanted) {
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "{}", read.escape_ascii());
        read.extend_from_slice(&bytes[..count]);
    }
}

/// Whether its thread is not the one that waits.
fn is_served(client: &Client) -> bool {
    let mut stream = &client.stream;
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let is_served = stream.read_exact(&mut [0; 7]).is_ok();
    stream.set_read_timeout(Some(process::LONG)).unwrap();
    is_served
}
