//! Where what a client is sent unasked stands among its replies, while other threads of the server are at work; and the
//! form of MONITOR's lines.

use std::io::{BufRead, BufReader};

use crate::process::{Process, request};

/// More make the window smaller in which an order could be wrong.
const ROUNDS: usize = 1_000;

#[test]
fn what_was_published_before_a_request_comes_before_its_reply() {
    let server = Process::start(&["--threads", "2"]);
    let (mut subscriber, mut publisher) = (server.connect(), server.connect());
    subscriber.send(b"HELLO 3\r\nSUBSCRIBE news\r\n");
    let mut lines = BufReader::new(subscriber.stream.try_clone().unwrap());
    skip_to(&mut lines, "subscribe");
    assert_eq!(
        [read_line(&mut lines), read_line(&mut lines), read_line(&mut lines)].concat(),
        "$4news:1"
    );
    for round in 0..ROUNDS {
        assert_eq!(publisher.line("PUBLISH news hello"), ":1");
        subscriber.send(b"PING\r\n");
        let first = read_line(&mut lines);
        assert_eq!(first, ">3", "round {round}");
        skip_to(&mut lines, "hello");
        assert_eq!(read_line(&mut lines), "+PONG");
    }
}

#[test]
fn an_invalidation_comes_before_the_new_value_and_after_the_old() {
    let server = Process::start(&["--threads", "2"]);
    let (mut reader, mut writer) = (server.connect(), server.connect());
    assert_eq!(writer.line("SET k 0"), "+OK");
    reader.send(b"HELLO 3\r\nCLIENT TRACKING ON\r\n");
    let mut lines = BufReader::new(reader.stream.try_clone().unwrap());
    skip_to(&mut lines, "+OK");
    for round in 1..ROUNDS {
        // The key is not written before the old value was read, nor asked for again before it was written.
        reader.send(b"GET k\r\n");
        assert_eq!([read_line(&mut lines), read_line(&mut lines)][1], (round - 1).to_string());
        assert_eq!(writer.line(&format!("SET k {round}")), "+OK");
        reader.send(b"GET k\r\n");
        assert_eq!(read_line(&mut lines), ">2", "round {round}");
        skip_to(&mut lines, "k");
        assert!(read_line(&mut lines).starts_with('$'));
        assert_eq!(read_line(&mut lines), round.to_string());
        // The second GET is tracked anew, and this write told as well.
        assert_eq!(writer.line(&format!("SET k {round}")), "+OK");
        assert_eq!(read_line(&mut lines), ">2");
        skip_to(&mut lines, "k");
    }
}

#[test]
fn that_a_key_was_evicted_is_told_before_the_reply_of_who_evicted_it() {
    let server = Process::start(&["--threads", "1", "--maxmemory-policy", "volatile-random"]);
    let mut client = server.connect();
    client.send(b"HELLO 3\r\nCLIENT TRACKING ON\r\nSET tea green EX 1000\r\nGET tea\r\n");
    let mut lines = BufReader::new(client.stream.try_clone().unwrap());
    skip_to(&mut lines, "green");
    // The string is large enough to pass the limit, which the next command meets.
    client.send(b"CONFIG SET maxmemory 10mb\r\nSETBIT large 160000000 0\r\n");
    skip_to(&mut lines, ":0");
    client.send(b"GETBIT large 0\r\n");
    assert_eq!([read_line(&mut lines), read_line(&mut lines)], [">2", "$10"]);
    skip_to(&mut lines, "tea");
    assert_eq!(read_line(&mut lines), ":0");
}

#[test]
fn monitor_shows_what_others_do_in_redis_s_form() {
    let server = Process::start(&["--threads", "2", "--requirepass", "secret"]);
    let (mut monitor, mut other) = (server.connect(), server.connect());
    assert_eq!(monitor.line("AUTH secret"), "+OK");
    assert_eq!(monitor.line("MONITOR"), "+OK");
    assert_eq!(other.line("AUTH secret"), "+OK");
    assert_eq!(other.line("SELECT 3"), "+OK");
    other.send(&request(&[b"set", b"quo\"te", b"\x00\r\n\xffplain"]));
    assert_eq!(other.receive(5), "+OK\r\n");
    assert_eq!(other.line("EVAL \"return redis.call('GET','k')\" 0"), "$-1");
    let mut lines = BufReader::new(monitor.stream.try_clone().unwrap());
    let from = other.stream.local_addr().unwrap();
    let expected = [
        format!("[0 {from}] \"AUTH\" \"(redacted)\""),
        format!("[3 {from}] \"SELECT\" \"3\""),
        format!("[3 {from}] \"set\" \"quo\\\"te\" \"\\x00\\r\\n\\xffplain\""),
        format!("[3 {from}] \"EVAL\" \"return redis.call('GET','k')\" \"0\""),
        "[3 lua] \"GET\" \"k\"".to_owned(),
    ];
    for expected in expected {
        let line = read_line(&mut lines);
        let (time, shown) = line.split_once(' ').unwrap();
        assert_eq!(shown, expected);
        let (seconds, microseconds) = time.strip_prefix('+').unwrap().split_once('.').unwrap();
        assert!(seconds.parse::<u64>().is_ok() && microseconds.len() == 6, "{time}");
        assert!(microseconds.parse::<u32>().is_ok(), "{time}");
    }
}

fn read_line(lines: &mut impl BufRead) -> String {
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line).unwrap();
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

fn skip_to(lines: &mut impl BufRead, wanted: &str) {
    while read_line(lines) != wanted {}
}
