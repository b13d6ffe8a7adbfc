//! Framing, methods, origins, credentials, conditions, and clients that hold on.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use serde_json::json;

use crate::http_support::{LONG, Pantry};
use crate::scratch::Scratch;
use crate::{JSON, ended, get, post, refused, value};

#[test]
fn h06_trailers_and_extensions_of_chunks_are_no_content() {
    let pantry = Pantry::start(&[]);
    let body = r#"{"namespace":"n","key":"k","value":"v"}"#;
    let head = format!(
        "POST /v1/set HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut client = pantry.connect();
    client
        .send(format!("{head}{:x};name=value\r\n{body}\r\n0\r\nX-Trailer: y\r\n\r\n", body.len()));
    assert_eq!(client.answer("POST").status, 200);
    assert_eq!(value(&pantry, "k"), "v");
    let mut client = pantry.connect();
    let extension = "x".repeat(100_000);
    client.stream.write_all(format!("{head}{:x};{extension}\r\n", body.len()).as_bytes()).unwrap();
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = client.stream.read_to_end(&mut rest);
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
}

/// A list is made while it is sent: who does not read it neither fills memory nor holds up others.
#[test]
fn h09_a_list_that_is_not_read_is_not_made() {
    let pantry = Pantry::start(&["--http-body-timeout-ms", "3000"]);
    let value = "v".repeat(1000);
    let rows: Vec<_> =
        (0..9_000).map(|at| json!({ "key": at.to_string(), "value": value })).collect();
    for namespace in ["a", "b", "c", "d"] {
        let target = format!("/v1/set-many?namespace={namespace}");
        assert_eq!(post(&pantry, &target, json!(rows).to_string()).0, 200);
    }
    let before = resident_bytes(&pantry);
    let mut slow: Vec<_> = (0..4).map(|_| pantry.connect()).collect();
    let mut first = [0; 15];
    for client in &mut slow {
        client.send("GET /v1/export HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
    }
    // Far less than one of the four answers.
    assert!(resident_bytes(&pantry) < before + 16e6);
    assert_eq!(get(&pantry, "/v1/get?namespace=a&key=8999").0, 200, "others are served");
    let addresses: Vec<String> =
        slow.iter().map(|client| client.stream.local_addr().unwrap().to_string()).collect();
    wait_until_gone(&pantry, &addresses);
}

fn resident_bytes(pantry: &Pantry) -> f64 {
    let metrics = pantry.get("/metrics");
    let mut lines = metrics.text().lines();
    let bytes = lines.find_map(|line| line.strip_prefix("pantry_memory_resident_bytes "));
    bytes.unwrap().parse().unwrap()
}

/// Waits until the server has let go of these clients.
fn wait_until_gone(pantry: &Pantry, addresses: &[String]) {
    let began = Instant::now();
    let redis = redis::Client::open(format!("redis://{}", pantry.redis)).unwrap();
    let mut redis = redis.get_connection().unwrap();
    loop {
        let there = redis::cmd("CLIENT").arg("LIST").query::<String>(&mut redis).unwrap();
        if !addresses.iter().any(|address| there.contains(address)) {
            return;
        }
        assert!(began.elapsed() < LONG, "they are still there");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn h11_bare_line_ends_are_no_way_to_hide_a_header() {
    let pantry = Pantry::start(&["--requirepass", "secret"]);
    for head in [
        "GET /v1/ping HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
        "GET /v1/ping HTTP/1.1\r\nHost: localhost\0\r\n\r\n",
    ] {
        let mut client = pantry.connect();
        client.send(head);
        assert_eq!(client.answer("GET").status, 400, "{head:?}");
    }
}

#[test]
fn h15_only_the_very_origin_is_named_and_never_with_credentials() {
    let pantry = Pantry::start(&["--http-cors-origin", "http://localhost"]);
    for origin in [
        "null",
        "http://localhost.evil",
        "http://localhost:81",
        "https://localhost",
        "http://LOCALHOST",
        "http://evil/http://localhost",
    ] {
        let origin = format!("Origin: {origin}");
        let headers = [origin.as_str(), "Access-Control-Request-Method: PUT", "Cookie: a=b"];
        let preflight = pantry.request("OPTIONS", "/v1/set", &headers, b"");
        assert_eq!(preflight.status, 403, "{origin}");
        let answer = pantry.request("GET", "/v1/ping", &[&origin], b"");
        for answer in [preflight, answer] {
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), None, "{origin}");
        }
    }
    let answer = pantry.request("GET", "/v1/ping", &["Origin: http://localhost"], b"");
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

#[test]
fn h17_the_method_is_overridden_by_one_header_of_a_post_and_nothing_else() {
    let pantry = Pantry::start(&[]);
    let set = "/v1/set?namespace=n&key=k&value=v";
    assert_eq!(post(&pantry, set, "").0, 200);
    let pair = "/v1/namespaces/n/pairs/k";
    assert_eq!(get(&pantry, &format!("{pair}?_method=DELETE")), refused(400, "unknown_parameter"));
    for header in ["X-HTTP-Method: DELETE", "X-Method-Override: DELETE"] {
        assert_eq!(pantry.request("GET", pair, &[header], b"").status, 200);
    }
    let over = ["X-HTTP-Method-Override: DELETE"];
    assert_eq!(pantry.request("GET", pair, &over, b"").status, 200, "only of a POST");
    let odd = ["X-HTTP-Method-Override: TRACE"];
    assert_eq!(pantry.request("POST", pair, &odd, b"").status, 405);
    assert_eq!(pantry.request("POST", pair, &over, b"").status, 200);
    assert_eq!(get(&pantry, pair), refused(404, "key_not_found"));
}

#[test]
fn h18_other_methods_are_told_which_there_are() {
    let pantry = Pantry::start(&[]);
    for method in ["TRACE", "PATCH", "OPTIONS", "CONNECT"] {
        let answer = pantry.request(method, "/v1/set", &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
    for method in ["FOO", "get", "GET\u{e9}"] {
        let mut client = pantry.connect();
        client.send(format!("{method} /v1/ping HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(client.answer("GET").status, 400, "{method}");
    }
}

#[test]
fn h39_h52_credentials_that_are_none_are_refused_and_not_repeated() {
    let scratch = Scratch::new("h39-log");
    let log = scratch.path().join("log");
    let pantry = Pantry::start(&[
        "--requirepass",
        "secret",
        "--logfile",
        log.to_str().unwrap(),
        "--loglevel",
        "debug",
    ]);
    let long = format!("Authorization: Bearer {}", "hidden".repeat(3_000));
    for header in [
        "Accept: */*",
        "Authorization: Basic hidden",
        "Authorization: Basic aGlkZGVu",
        "Authorization: Bearer hidden",
        "Authorization: Digest hidden",
        "X-API-Key: pt_hidden",
        &long,
    ] {
        let answer = pantry.request("GET", "/v1/ping", &[header], b"");
        assert_eq!(ended(&answer), refused(401, "unauthorized"), "{header}");
        assert!(answer.header("www-authenticate").is_some_and(|it| it.starts_with("Basic ")));
        assert!(!answer.text().contains("hidden"));
    }
    // In the URL a password is nothing.
    for query in ["?password=secret", "?api_key=secret", "?_token=secret", "?access_token=secret"] {
        assert_eq!(get(&pantry, &format!("/v1/ping{query}")), refused(401, "unauthorized"));
    }
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("hidden") && !text.contains("secret"), "{text}");
    let refused = pantry.get("/v1/ping").text().to_owned();
    for leak in ["src/", ".rs", "panicked", env!("CARGO_PKG_VERSION"), "/v1/ping"] {
        assert!(!refused.contains(leak), "{refused}");
    }
}

#[test]
fn h41_h42_conditions_are_checked_and_ranges_are_not_known() {
    let pantry = Pantry::start(&[]);
    let set = "/v1/set?namespace=n&key=k&value=v";
    assert_eq!(post(&pantry, set, "").0, 200);
    let with = |tag: &str| ended(&pantry.request("POST", set, &[&format!("If-Match: {tag}")], b""));
    assert_eq!(with("\"stale\""), refused(412, "condition_failed"));
    assert_eq!(with(&format!("\"{}\"", "e".repeat(20_000))), refused(412, "condition_failed"));
    assert_eq!(with("W/\"x\""), refused(400, "invalid_parameter"));
    assert_eq!(with("*").0, 200);
    for range in ["bytes=0-,0-,0-", "bytes=5-1", "bytes=99999999999999999999-", "lines=1-2"] {
        for target in ["/v1/get?namespace=n&key=k", "/v1/namespaces/n.csv"] {
            let answer = pantry.request("GET", target, &[&format!("Range: {range}")], b"");
            assert_eq!((answer.status, answer.header("content-range")), (200, None), "{range}");
        }
    }
}

#[test]
fn h45_a_watcher_that_does_not_read_is_let_go() {
    let pantry = Pantry::start(&["--http-body-timeout-ms", "1000"]);
    let mut watcher = pantry.connect();
    watcher.send("GET /v1/watch?namespace=n&values=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut first = [0; 15];
    watcher.stream.read_exact(&mut first).unwrap();
    let body = json!({ "namespace": "n", "key": "k", "value": "v".repeat(900_000) }).to_string();
    let began = Instant::now();
    let clients = || {
        let redis = redis::Client::open(format!("redis://{}", pantry.redis)).unwrap();
        let mut redis = redis.get_connection().unwrap();
        redis::cmd("CLIENT").arg("LIST").query::<String>(&mut redis).unwrap()
    };
    let address = watcher.stream.local_addr().unwrap().to_string();
    while clients().contains(&address) {
        assert_eq!(post(&pantry, "/v1/set", &body).0, 200, "others are served");
        assert!(began.elapsed() < LONG, "the watcher is still there");
    }
}

#[test]
fn h46_idle_http_clients_leave_room_for_others() {
    let pantry = Pantry::start(&["--http-maxclients", "20"]);
    let mut idle: Vec<_> = (0..20).map(|_| pantry.connect()).collect();
    for client in &mut idle {
        client.send_request("GET", "/health/live", &[], b"");
        assert_eq!(client.answer("GET").status, 200);
    }
    assert_eq!(pantry.connect().answer("GET").status, 503);
    let redis = redis::Client::open(format!("redis://{}", pantry.redis)).unwrap();
    let mut redis = redis.get_connection().unwrap();
    assert_eq!(redis::cmd("PING").query::<String>(&mut redis).unwrap(), "PONG");
    idle.pop();
    let began = Instant::now();
    loop {
        let mut client = pantry.connect();
        client.send_request("GET", "/health/live", &[], b"");
        if client.answer("GET").status == 200 {
            break;
        }
        assert!(began.elapsed() < LONG, "who left makes no room");
    }
}
