//! Hostile and broken clients at the Redis door, against the built server: it answers, or closes that
//! one connection; it does not die, hang or grow. What the parser makes of bytes is in `resp_request`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod many;
mod order;
mod process;

use std::io::Read as _;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use process::{LONG, Process, eventually, request};

#[test]
fn requests_may_be_cut_anywhere() {
    let server = Process::start(&["--threads", "1"]);
    let stream =
        [request(&[b"SET", b"k", b"v"]), request(&[b"GET", b"k"]), b"PING\r\n".to_vec()].concat();
    let replies = "+OK\r\n$1\r\nv\r\n+PONG\r\n";
    for cut in 0..=stream.len() {
        let mut client = server.connect();
        client.send(&stream[..cut]);
        std::thread::sleep(Duration::from_millis(1));
        client.send(&stream[cut..]);
        assert_eq!(client.receive(replies.len()), replies, "cut at {cut}");
    }
    let mut client = server.connect();
    stream.iter().for_each(|byte| client.send(&[*byte]));
    assert_eq!(client.receive(replies.len()), replies);
}

#[test]
fn other_protocols_are_closed() {
    let server = Process::start(&["--threads", "1"]);
    for (bytes, words) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], ""),
        (b"POST / HTTP/1.1\r\n\r\n", ""),
        (b"Host: x\r\n", ""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""),
        (b"*1\r\n*1\r\n", "-ERR Protocol error: expected '$', got '*'\r\n"),
        (b"*3000000000\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (b"set \"a b\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
    ] {
        assert_eq!(server.last_words(bytes), words, "{}", bytes.escape_ascii());
    }
    assert!(server.pings());
    let mut redis_at_http = std::net::TcpStream::connect(server.http).unwrap();
    redis_at_http.set_read_timeout(Some(LONG)).unwrap();
    std::io::Write::write_all(&mut redis_at_http, &request(&[b"PING"])).unwrap();
    let mut answer = String::new();
    redis_at_http.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn errors_cost_no_connection() {
    let server = Process::start(&["--threads", "1"]);
    let mut client = server.connect();
    client.line("SET string v");
    client.line("HSET hash k v");
    for (command, reply) in [
        ("NOSUCH a b", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("HGET string k", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("GET hash", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("INCR string", "-ERR value is not an integer or out of range"),
        ("INCRBY n 9223372036854775808", "-ERR value is not an integer or out of range"),
        ("HINCRBY hash k 1", "-ERR hash value is not an integer"),
        ("HINCRBYFLOAT hash k nan", "-ERR value is not a valid float"),
        ("EXPIRE string 9223372036854775807", "-ERR invalid expire time in 'expire' command"),
        ("SETRANGE string 4294967295 x", SETRANGE_TOO_LONG),
        ("SETRANGE string -1 x", "-ERR offset is out of range"),
        ("HRANDFIELD hash -9223372036854775808", "-ERR value is out of range"),
        ("SELECT 99999", "-ERR DB index is out of range"),
        ("SCAN abc", "-ERR invalid cursor"),
        ("CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP."),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("PING", "+PONG"),
    ] {
        let got = client.line(command);
        assert!(got.starts_with(reply.trim_end()), "{command}: {got}");
    }
    // Line breaks in what an error quotes do not split the reply.
    client.send(&request(&[b"NO\r\n+SUCH", b"a\r\n:1"]));
    assert!(client.line("PING").starts_with("-ERR unknown command 'NO  +SUCH'"));
    assert_eq!(client.receive(7), "+PONG\r\n");
}

const SETRANGE_TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";

#[test]
fn declared_lengths_reserve_nothing() {
    let server = Process::start(&["--threads", "1"]);
    let before = server.rss();
    let declared: Vec<_> = (0..50)
        .map(|_| {
            let mut client = server.connect();
            client.send(b"*1048576\r\n$536870912\r\nhalf");
            client
        })
        .collect();
    assert!(server.pings());
    assert!(server.rss() < before + (16 << 20), "{} grew to {}", before, server.rss());
    assert_eq!(
        server.last_words(b"*1048577\r\n"),
        "-ERR Protocol error: invalid multibulk length\r\n"
    );
    assert_eq!(
        server.last_words(b"*1\r\n$536870913\r\n"),
        "-ERR Protocol error: invalid bulk length\r\n"
    );
    drop(declared);
    eventually("half requests are forgotten", || server.info("connected_clients") == "1");
}

#[test]
fn a_million_arguments() {
    let server = Process::start(&["--threads", "1"]);
    let names: Vec<Vec<u8>> = (0..1_048_575u32).map(|n| n.to_string().into_bytes()).collect();
    let mut words: Vec<&[u8]> = vec![b"DEL"];
    words.extend(names.iter().map(Vec::as_slice));
    let mut client = server.connect();
    assert_eq!(client.ask(&request(&words), 4), ":0\r\n");
    assert!(server.pings());
}

#[test]
fn a_pipeline_is_answered_after_quit_and_after_half_close() {
    let server = Process::start(&["--threads", "1"]);
    let pings = b"PING\r\n".repeat(10_000);
    let mut client = server.connect();
    client.send(&pings);
    client.send(b"QUIT\r\nPING\r\n");
    assert_eq!(client.rest(), "+PONG\r\n".repeat(10_000) + "+OK\r\n");

    let mut client = server.connect();
    client.send(&pings);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), "+PONG\r\n".repeat(10_000));
}

#[test]
fn before_authentication_little_is_allowed() {
    let server = Process::start(&["--threads", "1", "--requirepass", "secret"]);
    let multibulk = "-ERR Protocol error: unauthenticated multibulk length\r\n";
    let bulk = "-ERR Protocol error: unauthenticated bulk length\r\n";
    assert_eq!(server.last_words(b"*11\r\n"), multibulk);
    assert_eq!(server.last_words(b"*1\r\n$16385\r\n"), bulk);
    let mut client = server.connect();
    assert_eq!(client.line("GET k"), "-NOAUTH Authentication required.");
    assert_eq!(client.line("PING"), "-NOAUTH Authentication required.");
    assert_eq!(
        client.line("AUTH wrong"),
        "-WRONGPASS invalid username-password pair or user is disabled."
    );
    assert_eq!(client.line("AUTH secret"), "+OK");
    assert_eq!(client.line("PING"), "+PONG");
    assert_eq!(client.ask(&request(&[b"SET", b"k", &[b'v'; 20_000]]), 5), "+OK\r\n");
}

#[test]
fn who_does_not_read_replies_is_not_served_on() {
    let server = Process::start(&["--threads", "1"]);
    let mut client = server.connect();
    assert_eq!(client.ask(&request(&[b"SET", b"big", &vec![b'v'; 1 << 20]]), 5), "+OK\r\n");
    let before = server.rss();
    let gets = b"GET big\r\n".repeat(500);
    let slow: Vec<_> = (0..10)
        .map(|_| {
            let mut client = server.connect();
            client.send(&gets);
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    assert!(server.pings());
    let grown = server.rss().saturating_sub(before);
    assert!(grown < 128 << 20, "grew by {grown} bytes");
    // Those who read after all get everything.
    let mut patient = slow.into_iter().next().unwrap();
    let mut left = 500 * ((1 << 20) + "$1048576\r\n\r\n".len());
    let mut part = vec![0; 1 << 20];
    while left > 0 {
        let n = patient.stream.read(&mut part).unwrap();
        assert_ne!(n, 0);
        left -= n;
    }
}

#[test]
fn a_reply_over_the_limit_is_an_error_that_says_what_to_do() {
    let server = Process::start(&["--threads", "1", "--client-reply-max-bytes", "1mb"]);
    let mut client = server.connect();
    for n in 0..40 {
        let key = format!("key:{n}");
        client.ask(&request(&[b"HSET", b"ns", key.as_bytes(), &[b'v'; 40_000]]), 4);
    }
    assert!(client.line("HGETALL ns").contains("HSCAN"));
    assert_eq!(client.line("HLEN ns"), ":40");
}

#[test]
fn sigterm_under_load_ends_in_time() {
    let mut server = Process::start(&["--threads", "2"]);
    let address = server.redis;
    let load: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                let sets = b"SET k v\r\n".repeat(100);
                let mut part = [0; 4096];
                while std::io::Write::write_all(&mut stream, &sets).is_ok()
                    && stream.read(&mut part).is_ok_and(|n| n > 0)
                {}
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    let begin = Instant::now();
    server.terminate();
    let status = server.child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    load.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn killed_and_idle_clients_are_closed() {
    let server = Process::start(&["--threads", "2", "--timeout", "1"]);
    let mut victim = server.connect();
    let id = victim.line("CLIENT ID");
    let mut other = server.connect();
    assert_eq!(other.line(&format!("CLIENT KILL ID {}", &id[1..])), ":1");
    assert_eq!(victim.rest(), "");
    assert_eq!(other.rest(), "", "closed for idling");
}
