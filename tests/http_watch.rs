//! Changes as HTTP clients hear of them: server-sent events that go on where they were cut off, and long polls.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod http_support;
#[path = "support/scratch.rs"]
mod scratch;

use std::io::Read as _;
use std::time::{Duration, Instant};

use http_support::{Client, LONG, Pantry};
use scratch::Scratch;
use serde_json::{Value, json};

fn post(pantry: &Pantry, target: &str, form: &str) {
    let header = "Content-Type: application/x-www-form-urlencoded";
    let answer = pantry.request("POST", target, &[header], form.as_bytes());
    assert!(answer.status < 300, "{target}: {}", answer.status);
}

#[test]
fn events_come_in_order_and_go_on_where_they_were_cut_off() {
    let pantry = Pantry::start(&[]);
    let watch = |headers: &[&str]| {
        let mut client = pantry.connect();
        client.send_request("GET", "/v1/namespaces/n/watch?values=1", headers, b"");
        client
    };
    let mut first = watch(&[]);
    let ready = first.events(1).remove(0);
    assert_eq!(ready.event, "ready");
    post(&pantry, "/v1/set", "namespace=n&key=a&value=1");
    post(&pantry, "/v1/set", "namespace=other&key=a&value=1");
    post(&pantry, "/v1/set", "namespace=n&key=b&value=2&ttl=60");
    post(&pantry, "/v1/delete", "namespace=n&key=a");
    let events = first.events(5);
    let shown: Vec<(&str, &Value, &Value)> =
        events.iter().map(|it| (it.event.as_str(), &it.data["key"], &it.data["value"])).collect();
    let (a, b, null) = (&json!("a"), &json!("b"), &Value::Null);
    assert_eq!(
        shown,
        [
            ("create", null, null),
            ("put", a, &json!("1")),
            ("put", b, &json!("2")),
            ("delete", a, null),
            ("expire", b, null),
        ]
    );
    drop(first);
    let mut again = watch(&[&format!("Last-Event-ID: {}", events[2].id)]);
    let rest: Vec<String> = again.events(3).into_iter().map(|it| it.event).collect();
    assert_eq!(rest, ["ready", "delete", "expire"]);
    let mut lost = watch(&["Last-Event-ID: 00000000-1-0"]);
    let events: Vec<String> = lost.events(2).into_iter().map(|it| it.event).collect();
    assert_eq!(events, ["ready", "reset"]);
    assert_eq!(pantry.get("/v1/watch?since=x").json()["error"], "invalid_parameter");
}

#[test]
fn a_long_poll_tells_what_happened_since() {
    let pantry = Pantry::start(&[]);
    let poll = |since: &str, wait: &str| {
        pantry.get(&format!("/v1/changes?namespace=n&key=a&wait={wait}&since={since}")).json()
    };
    let begin = poll("", "0");
    assert_eq!((&begin["reset"], &begin["data"]), (&json!(false), &json!([])));
    let since = begin["since"].as_str().unwrap();
    post(&pantry, "/v1/set", "namespace=n&key=b&value=1");
    post(&pantry, "/v1/set", "namespace=n&key=a&value=1");
    let told = poll(since, "20s");
    let events: Vec<&Value> =
        told["data"].as_array().unwrap().iter().map(|row| &row["event"]).collect();
    assert_eq!(events, ["create", "put"]);
    let since = told["since"].as_str().unwrap();
    assert_eq!(poll(since, "50")["data"], json!([]));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| poll(since, "PT20S"));
        std::thread::sleep(std::time::Duration::from_millis(100));
        post(&pantry, "/v1/delete", "namespace=n&key=a");
        assert_eq!(waiting.join().unwrap()["data"][0]["event"], "delete");
    });
    assert_eq!(poll("00000000-1-0", "0")["reset"], true);
    assert_eq!(pantry.get("/v1/changes?wait=1h").status, 400);
}

/// What happened is remembered in 16 MiB: who comes back later than that reads anew.
#[test]
fn who_comes_back_too_late_is_told_to_read_anew() {
    let pantry = Pantry::start(&[]);
    let since = |answer: &Value| answer["since"].as_str().unwrap().to_owned();
    let first = since(&pantry.get("/v1/changes?namespace=n&wait=0").json());
    post(&pantry, "/v1/set", "namespace=n&key=a&value=1");
    let body = json!({ "namespace": "n", "key": "k", "value": "v".repeat(900_000) }).to_string();
    for _ in 0..20 {
        assert_eq!(pantry.post("/v1/set", &body).status, 200);
    }
    let late = pantry.get(&format!("/v1/changes?namespace=n&since={first}&wait=20s")).json();
    assert_eq!(late["reset"], true);
    let later = since(&late);
    post(&pantry, "/v1/set", "namespace=n&key=b&value=1");
    let told = pantry.get(&format!("/v1/changes?namespace=n&since={later}&wait=20s")).json();
    assert_eq!((&told["reset"], &told["data"][0]["key"]), (&json!(false), &json!("b")));
}

/// Every 15 s without an event.
#[test]
fn who_hears_nothing_hears_that_the_connection_lives() {
    let pantry = Pantry::start(&[]);
    let mut client = pantry.connect();
    client.send_request("GET", "/v1/watch?namespace=n", &[], b"");
    assert_eq!(client.events(1)[0].event, "ready");
    let began = Instant::now();
    client.stream.set_read_timeout(Some(2 * LONG)).unwrap();
    let mut heard = [0; 64];
    let length = client.stream.read(&mut heard).unwrap();
    let heard = String::from_utf8_lossy(&heard[..length]);
    assert!(heard.contains("\r\n:") && !heard.contains("event:"), "{heard:?}");
    assert!(began.elapsed() > Duration::from_secs(10), "too often");
}

/// A server with a user who may read some namespaces only, and his header.
fn with_reader(name: &str) -> (Pantry, Scratch, &'static str) {
    let scratch = Scratch::new(name);
    let users = scratch.path().join("users.acl");
    let text = "user default on nopass ~* &* +@all\nuser alice on >secret %R~app:* +@read\n";
    std::fs::write(&users, text).unwrap();
    let dir = scratch.path().to_str().unwrap();
    let pantry = Pantry::start(&["--dir", dir, "--aclfile", users.to_str().unwrap()]);
    (pantry, scratch, "Authorization: Basic YWxpY2U6c2VjcmV0")
}

fn watch(pantry: &Pantry, target: &str, headers: &[&str]) -> Client {
    let mut client = pantry.connect();
    client.send_request("GET", target, headers, b"");
    assert_eq!(client.events(1)[0].event, "ready");
    client
}

#[test]
fn of_everything_a_user_is_shown_what_it_may_read() {
    let (pantry, _scratch, alice) = with_reader("watch-everything");
    let changes = |since: &str| {
        let target = format!("/v1/changes?values=1&since={since}");
        pantry.request("GET", &target, &[alice], b"").json()
    };
    let begin = changes("");
    let mut seen = watch(&pantry, "/v1/watch?values=1", &[alice]);
    for namespace in ["hidden", "app:1"] {
        post(&pantry, "/v1/set", &format!("namespace={namespace}&key=k&value={namespace}"));
    }
    let events: Vec<Value> = seen.events(2).into_iter().map(|it| it.data).collect();
    assert!(events.iter().all(|row| row["namespace"] == "app:1"), "{events:?}");
    let told = changes(begin["since"].as_str().unwrap())["data"].to_string();
    assert!(told.contains("app:1") && !told.contains("hidden"), "{told}");
    assert_eq!(pantry.request("GET", "/v1/watch?namespace=hidden", &[alice], b"").status, 403);
}

#[test]
fn who_may_not_watch_any_more_is_shown_nothing_more() {
    let (pantry, _scratch, alice) = with_reader("watch-rights");
    let run = |command: Value| {
        assert_eq!(pantry.post("/v1/command", &command.to_string()).status, 200, "{command}");
    };
    let made = pantry.request("POST", "/v1/tokens?name=t", &[], b"").json();
    let token = format!("X-API-Key: {}", made["secret"].as_str().unwrap());
    let mut one = watch(&pantry, "/v1/watch?namespace=app:1", &[alice]);
    let mut all = watch(&pantry, "/v1/watch?values=1", &[alice]);
    let mut by_token = watch(&pantry, "/v1/watch", &[&token]);
    run(json!(["ACL", "SETUSER", "alice", "resetkeys", "%R~log:*"]));
    run(json!(["TOKEN", "REVOKE", made["id"]]));
    post(&pantry, "/v1/set", "namespace=app:1&key=k&value=1");
    assert_eq!(one.chunk(), None);
    assert_eq!(by_token.chunk(), None);
    post(&pantry, "/v1/set", "namespace=log:1&key=k&value=1");
    assert_eq!(all.events(1)[0].data["namespace"], "log:1");
    run(json!(["ACL", "SETUSER", "alice", "off"]));
    post(&pantry, "/v1/set", "namespace=log:1&key=k&value=after");
    let rest: Vec<u8> = std::iter::from_fn(|| all.chunk()).flatten().collect();
    assert!(!String::from_utf8_lossy(&rest).contains("after"));
}
