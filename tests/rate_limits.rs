//! Rate limits of the HTTP door, against the built server. What a burst is, to the microsecond, is tested in
//! `src/server/rate_limit.rs`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod http_support;
#[path = "support/scratch.rs"]
mod scratch;

use http_support::{Answer, Pantry};
use scratch::Scratch;
use serde_json::json;

/// Statuses of so many requests in a row.
fn statuses(pantry: &Pantry, headers: &[&str], target: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| pantry.request("GET", target, headers, b"").status).collect()
}

fn is_told_when(answer: &Answer) -> bool {
    answer.header("retry-after").and_then(|it| it.parse::<u64>().ok()).is_some_and(|s| s >= 1)
}

#[test]
fn there_is_no_limit_unless_one_is_set() {
    let pantry = Pantry::start(&[]);
    assert!(statuses(&pantry, &[], "/v1/ping", 100).iter().all(|&status| status == 200));
}

#[test]
fn an_address_that_asks_too_often_is_told_when_to_come_again() {
    let pantry = Pantry::start(&["--http-rate-limit", "1", "--http-rate-burst", "5"]);
    let first = statuses(&pantry, &[], "/v1/ping", 30);
    assert_eq!(first[..5], [200; 5]);
    assert!(first.contains(&429), "{first:?}");
    let refused = loop {
        let answer = pantry.get("/v1/ping");
        if answer.status == 429 {
            break answer;
        }
    };
    assert!(is_told_when(&refused), "{:?}", refused.headers);
    assert_eq!(refused.json()["error"], "rate_limited");
    let soft = loop {
        let answer = pantry.get("/v1/ping?soft=1");
        if answer.json()["ok"] == false {
            break answer;
        }
    };
    assert_eq!((soft.status, &soft.json()["status"]), (200, &json!(429)));
    let butler = loop {
        let answer = pantry.get("/v4/butlerping");
        if answer.status == 429 {
            break answer;
        }
    };
    assert!(is_told_when(&butler));
    assert_eq!(butler.json()["error"], "Too Many Requests");
    // Whoever watches over the server is not counted, nor are Redis clients.
    assert_eq!(statuses(&pantry, &[], "/health/live", 20), [200; 20]);
    let redis = redis::Client::open(format!("redis://{}", pantry.redis)).unwrap();
    let mut redis = redis.get_connection().unwrap();
    for _ in 0..20 {
        redis::cmd("PING").query::<String>(&mut redis).unwrap();
    }
    redis::cmd("CONFIG").arg("SET").arg("http-rate-limit").arg(0).query::<()>(&mut redis).unwrap();
    assert_eq!(statuses(&pantry, &[], "/v1/ping", 20), [200; 20]);
}

#[test]
fn guesses_of_passwords_are_limited_and_do_not_lock_others_out() {
    let flags = ["--http-rate-limit", "1", "--http-rate-burst", "5", "--requirepass", "secret"];
    let pantry = Pantry::start(&[&flags[..], &["--http-trust-forwarded", "yes"]].concat());
    let guess = ["Authorization: Bearer wrong", "X-Forwarded-For: 10.0.0.9"];
    let guesses = statuses(&pantry, &guess, "/v1/ping", 20);
    assert_eq!(guesses[..5], [401; 5]);
    assert!(guesses.contains(&429), "{guesses:?}");
    let right = ["Authorization: Bearer secret", "X-Forwarded-For: 10.0.0.8"];
    assert_eq!(statuses(&pantry, &right, "/v1/ping", 5), [200; 5]);
}

#[test]
fn what_a_proxy_says_counts_only_if_it_is_trusted() {
    let flags = ["--http-rate-limit", "1", "--http-rate-burst", "2"];
    let all = |pantry: &Pantry, before: &str| {
        let addresses = (0..20).map(|at| format!("X-Forwarded-For: {before}10.0.0.{at}"));
        let status = |header: String| pantry.request("GET", "/v1/ping", &[&header], b"").status;
        addresses.map(status).collect::<Vec<u16>>()
    };
    let direct = Pantry::start(&flags);
    assert!(all(&direct, "").contains(&429), "anybody could say so");
    let behind = Pantry::start(&[&flags[..], &["--http-trust-forwarded", "yes"]].concat());
    assert_eq!(all(&behind, ""), [200; 20]);
    // The proxy adds the last one; those before it the client has made up.
    assert_eq!(all(&behind, "1.1.1.1, ")[..1], [200; 1]);
    let made_up = (0..20).map(|at| format!("X-Forwarded-For: 10.0.1.{at}, 10.9.9.9"));
    let status = |header: String| behind.request("GET", "/v1/ping", &[&header], b"").status;
    assert!(made_up.map(status).any(|status| status == 429));
    // A port behind the address is no other client.
    let ports = (0..20).map(|at| format!("X-Forwarded-For: 10.0.2.1:{}", 4000 + at));
    let statuses_of_one: Vec<u16> = ports.map(status).collect();
    assert!(statuses_of_one[..2] == [200; 2] && statuses_of_one.contains(&429));
    let others = (0..20).map(|at| format!("X-Forwarded-For: 10.0.3.{at}:80"));
    assert!(others.map(status).all(|status| status == 200));
    // What is no address is the proxy's own.
    assert_eq!(statuses(&behind, &["X-Forwarded-For: unknown"], "/v1/ping", 2), [200; 2]);
}

#[test]
fn a_token_has_a_limit_of_its_own() {
    let scratch = Scratch::new("rate-token");
    let dir = scratch.path().to_str().unwrap();
    let pantry = Pantry::start(&[
        "--dir",
        dir,
        "--http-token-rate-limit",
        "1",
        "--http-token-rate-burst",
        "3",
    ]);
    let token = || {
        let made = pantry.request("POST", "/v1/tokens?name=t", &[], b"").json();
        format!("X-API-Key: {}", made["secret"].as_str().unwrap())
    };
    let (one, other) = (token(), token());
    let first = statuses(&pantry, &[&one], "/v1/ping", 20);
    assert_eq!(first[..3], [200; 3]);
    assert!(first.contains(&429), "{first:?}");
    assert_eq!(statuses(&pantry, &[&other], "/v1/ping", 3), [200; 3]);
    assert_eq!(statuses(&pantry, &[], "/v1/ping", 20), [200; 20]);
}
