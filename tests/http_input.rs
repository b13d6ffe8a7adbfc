//! Bad, slow and hostile input at the HTTP door: an answer or a closed connection, never more.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod http_support;

use std::io::Write as _;
use std::time::{Duration, Instant};

use http_support::{LONG, Pantry};
use serde_json::json;

const JSON: &str = "Content-Type: application/json";
const POST: &str =
    "POST /v4/keyvalues/n HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
const PING: &str = "GET /v4/butlerping HTTP/1.1\r\nHost: localhost\r\n\r\n";
const MEBIBYTE: usize = 1 << 20;

/// The status of the first answer to `request`, sent as it is; `None` if there is none.
fn status(pantry: &Pantry, request: &[u8]) -> Option<u16> {
    let mut client = pantry.connect();
    let _ = client.stream.write_all(request);
    // Fails when the server has closed already, which is fine.
    let _ = client.stream.shutdown(std::net::Shutdown::Write);
    let answer =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.answer("GET").status));
    answer.ok()
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_read() {
    let pantry = Pantry::start(&[]);
    let mut client = pantry.connect();
    client.send(format!("{POST}Content-Length: {}\r\n\r\n", MEBIBYTE + 1));
    let refused = client.answer("POST");
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (413, &json!("FST_ERR_CTP_BODY_TOO_LARGE"))
    );
    // Who waits for 100 Continue is refused too, and is not kept.
    let mut client = pantry.connect();
    client.send(format!("{POST}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", MEBIBYTE + 1));
    assert_eq!(client.any_answer("POST").status, 413);
    assert!(client.is_closed());
}

#[test]
fn the_refusal_reaches_who_sends_first_and_reads_then() {
    let pantry = Pantry::start(&[]);
    for chunked in [&[JSON][..], &[JSON, "Transfer-Encoding: chunked"]] {
        let refused = pantry.request("POST", "/v4/keyvalues/n", chunked, &vec![b'x'; 4 * MEBIBYTE]);
        assert_eq!(refused.status, 413, "{chunked:?}");
    }
    let xml = ["Content-Type: application/xml"];
    let refused = pantry.request("POST", "/v4/keyvalues/n", &xml, &vec![b'x'; 4 * MEBIBYTE]);
    assert_eq!(refused.status, 415);
}

#[test]
fn the_limit_of_bodies_can_be_set() {
    let pantry = Pantry::start(&["--http-body-max-bytes", "30"]);
    assert_eq!(pantry.post("/v4/keyvalues/n", r#"{"key":"k","value":"12345678"}"#).status, 201);
    assert_eq!(pantry.post("/v4/keyvalues/n", r#"{"key":"k","value":"123456789"}"#).status, 413);
}

#[test]
fn slow_clients_are_not_waited_for() {
    let pantry =
        Pantry::start(&["--http-header-timeout-ms", "1000", "--http-body-timeout-ms", "1000"]);
    let begin = Instant::now();
    let mut silent = pantry.connect();
    let mut half = pantry.connect();
    half.send("GET /v4/butlerping HTTP/1.1\r\nHo");
    let mut idle = pantry.connect();
    idle.send(PING);
    assert_eq!(idle.answer("GET").status, 200);
    let mut stalled = pantry.connect();
    stalled.send(format!("{POST}Content-Length: 20\r\n\r\n{{"));
    let late = stalled.answer("POST");
    assert_eq!((late.status, &late.json()["error"]), (408, &json!("Request Timeout")));
    let mut waiting = pantry.connect();
    waiting.send(format!("{POST}Expect: 100-continue\r\nContent-Length: 20\r\n\r\n"));
    assert_eq!(waiting.any_answer("POST").status, 100);
    assert_eq!(waiting.any_answer("POST").status, 408);
    for client in [&mut silent, &mut half, &mut idle, &mut stalled, &mut waiting] {
        assert!(client.is_closed());
    }
    assert!(begin.elapsed() < LONG);

    // A byte now and then does not help.
    let mut trickle = pantry.connect();
    while trickle.stream.write_all(b"x").is_ok() {
        std::thread::sleep(Duration::from_millis(50));
        assert!(begin.elapsed() < LONG);
    }
}

#[test]
fn an_answer_that_is_not_read_ends_the_connection() {
    let pantry = Pantry::start(&["--http-body-timeout-ms", "1500"]);
    let value = "x".repeat(MEBIBYTE - 100);
    let made = pantry.post("/v4/keyvalues/n", &format!(r#"{{"key":"k","value":"{value}"}}"#));
    assert_eq!(made.status, 201);
    let mut client = pantry.connect();
    client.stream.set_write_timeout(Some(LONG)).unwrap();
    let get = "GET /v4/keyvalues/n?key=k HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let begin = Instant::now();
    while client.stream.write_all(get.as_bytes()).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
        assert!(begin.elapsed() < LONG, "the server still waits");
    }
}

#[test]
fn framing_in_doubt_is_refused() {
    let pantry = Pantry::start(&[]);
    for lines in [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 5, 5",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        assert_eq!(
            status(&pantry, format!("{POST}{lines}\r\n\r\n{{}}").as_bytes()),
            Some(400),
            "{lines}"
        );
    }
    for chunk in ["FFFFFFFFFFFFFFFF0\r\n", "-1\r\n", "g\r\n", "2\r\n{}x"] {
        let request = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{chunk}");
        let answered = status(&pantry, request.as_bytes());
        assert!(matches!(answered, None | Some(400)), "{chunk}: {answered:?}");
    }
    assert_eq!(pantry.get("/v4/keylist/n").status, 400);
}

#[test]
fn a_body_with_two_ends_closes_the_connection() {
    let pantry = Pantry::start(&[]);
    let body = r#"{"key":"k","value":"v"}"#;
    let mut client = pantry.connect();
    client.send(format!(
        "{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n{PING}",
        body.len()
    ));
    assert_eq!(client.answer("POST").status, 201);
    assert!(client.is_closed(), "what follows must not be read as a request");
}

#[test]
fn heads_that_are_wrong_or_too_large_are_refused() {
    let pantry = Pantry::start(&[]);
    let with = |line: &str| {
        let request = format!("GET /v4/butlerping HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n");
        status(&pantry, request.as_bytes())
    };
    for line in ["Na me: x", "Name : x", "X: a\r\n folded", "X: a\0b", "X: a\rb", ": x", "no colon"]
    {
        assert_eq!(with(line), Some(400), "{line:?}");
    }
    assert_eq!(with(&vec!["X: y"; 98].join("\r\n")), Some(200));
    assert_eq!(with(&vec!["X: y"; 100].join("\r\n")), Some(431));
    assert_eq!(with(&format!("X: {}", "y".repeat(40 * 1024))), Some(431));
    // Closed with bytes unread, so the answer may be lost.
    assert!(matches!(with(&format!("X: {}", "y".repeat(1 << 20))), None | Some(431)));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(70_000));
    assert!(matches!(status(&pantry, long.as_bytes()), None | Some(414 | 431)));
    assert_eq!(pantry.get("/health/live").status, 200);
}

#[test]
fn other_protocols_are_refused() {
    let pantry = Pantry::start(&[]);
    for bytes in [
        &b"GET /\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"PING\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v4/butlerping HTTP/3.0\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let answered = status(&pantry, bytes);
        assert!(matches!(answered, None | Some(400)), "{bytes:?}: {answered:?}");
    }
    let upgrade =
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"];
    assert_eq!(pantry.request("GET", "/v4/butlerping", &upgrade, b"").status, 200);
    let upgrade = ["Connection: Upgrade", "Upgrade: websocket"];
    assert_eq!(pantry.request("GET", "/v4/butlerping", &upgrade, b"").status, 200);
}

#[test]
fn requests_in_one_piece_are_answered_in_order() {
    let pantry = Pantry::start(&[]);
    let body = r#"{"key":"k","value":"v"}"#;
    let mut client = pantry.connect();
    // A GET may have a body; it is read over, and what follows is the next request.
    client.send(format!(
        "{POST}Content-Length: {}\r\n\r\n{body}\
         GET /v4/keyvalues/n?key=k HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{PING}\
         {PING}GET /v4/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        body.len(),
        PING.len(),
    ));
    assert_eq!(client.answer("POST").status, 201);
    assert_eq!(client.answer("GET").text(), r#"{"namespace":"n","key":"k","value":"v"}"#);
    assert!(client.answer("GET").text().contains("Butler reporting for duty"));
    assert_eq!(client.answer("GET").status, 404);
    assert!(client.is_closed());
}

#[test]
fn errors_cost_no_connection() {
    let pantry = Pantry::start(&[]);
    let mut client = pantry.connect();
    for (method, target, headers, body, expected) in [
        ("POST", "/v4/keyvalues/n", &[JSON][..], &b"{bad"[..], 400),
        ("POST", "/v4/keyvalues/n", &["Content-Type: text/csv"], b"a,b", 415),
        ("POST", "/v4/keyvalues/%zz", &[JSON], b"{}", 400),
        ("POST", "/v4/keyvalues/n", &[JSON], b"\xff\xfe", 400),
        ("DELETE", "/v4/keyvalues/n", &["Content-Type: text/csv"], b"a,b", 415),
        ("PATCH", "/v4/keyvalues/n", &[JSON], b"{}", 404),
        ("FOO", "/v4/keyvalues/n", &[], b"", 400),
        ("GET", "/v4/keyvalues/n?key=%zz", &[], b"", 400),
        ("GET", "/v4/butlerping", &["Expect: the best"], b"", 417),
        ("GET", "/v4/butlerping", &[], b"", 200),
    ] {
        client.send_request(method, target, headers, body);
        assert_eq!(client.answer(method).status, expected, "{method} {target}");
    }
}

#[test]
fn a_write_that_was_cut_off_has_not_happened() {
    let pantry = Pantry::start(&[]);
    let mut client = pantry.connect();
    client.send(format!("{POST}Content-Length: 24\r\n\r\n{{\"key\":\"k\",\"value\":\"v\"}}"));
    drop(client);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(pantry.get("/v4/keylist/n").status, 400);
}

#[test]
fn a_request_in_flight_is_answered_when_the_server_stops() {
    let mut pantry = Pantry::start(&[]);
    let mut idle = pantry.connect();
    idle.send(PING);
    assert_eq!(idle.answer("GET").status, 200);
    let body = r#"{"key":"k","value":"v"}"#;
    let mut client = pantry.connect();
    let head = format!("{POST}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(head);
    assert_eq!(client.any_answer("POST").status, 100);
    pantry.terminate();
    assert!(idle.is_closed());
    client.send(body);
    let answer = client.answer("POST");
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    assert!(client.is_closed());
    pantry.wait();
}
