//! The audit log of the built server: what is in it, what is not, and that it can be moved away.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod http_support;
#[path = "support/scratch.rs"]
mod scratch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use http_support::{LONG, Pantry};
use scratch::Scratch;
use serde_json::{Value, json};

struct Audited {
    pantry: Pantry,
    path: PathBuf,
    _scratch: Scratch,
}

const JSON: &str = "Content-Type: application/json";
const TILL: &str = "Authorization: Basic dGlsbDp0aWxs";

impl Audited {
    fn start(name: &str) -> Audited {
        let scratch = Scratch::new(name);
        let path = scratch.path().join("audit.log");
        let users = scratch.path().join("users.acl");
        let text = "user default on nopass ~* &* +@all\nuser till on >till ~shop* +@hash +del\n";
        std::fs::write(&users, text).unwrap();
        let [dir, file, users] =
            [scratch.path(), &path, &users].map(|path| path.to_str().unwrap().to_owned());
        let flags = ["--dir", &dir, "--audit-log", &file, "--aclfile", &users];
        Audited { pantry: Pantry::start(&flags), path, _scratch: scratch }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap_or_default()
    }

    /// The lines, when there are so many.
    fn lines(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + LONG;
        loop {
            let text = self.text();
            if text.lines().count() >= count {
                let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
                let lines: Vec<Value> = lines.collect();
                assert_eq!(lines.len(), count, "{text}");
                return lines;
            }
            assert!(Instant::now() < deadline, "{count} lines are not there: {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn redis(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{}", self.pantry.redis)).unwrap();
        client.get_connection().unwrap()
    }
}

/// Of a line: user, command, namespaces, result.
fn told(line: &Value) -> Value {
    json!([line["user"], line["command"], line["namespaces"], line["result"]])
}

#[test]
fn changes_over_http_are_audited_without_what_they_carry() {
    let audited = Audited::start("audit-http");
    let pantry = &audited.pantry;
    let set = "/v1/set?namespace=shop&key=secretkey&value=secretvalue";
    assert_eq!(pantry.request("POST", set, &[TILL], b"").status, 200);
    assert_eq!(
        pantry.request("GET", "/v1/get?namespace=shop&key=secretkey", &[TILL], b"").status,
        200
    );
    let rows = br#"[{"namespace":"shop","key":"a","value":"secretvalue"},{"namespace":"shop2","key":"b","value":"1"}]"#;
    assert_eq!(pantry.request("POST", "/v1/set-many", &[TILL, JSON], rows).status, 200);
    let butler = pantry.request(
        "POST",
        "/v4/keyvalues/shop",
        &[TILL, JSON],
        br#"{"key":"secretkey","value":"secretvalue"}"#,
    );
    assert_eq!(butler.status, 201);
    assert_eq!(
        pantry.request("POST", "/v1/delete-namespace?namespace=shop", &[TILL], b"").status,
        200
    );
    assert_eq!(
        pantry.request("POST", "/v1/increment?namespace=shop2&key=b&by=x", &[TILL], b"").status,
        400
    );

    let lines = audited.lines(5);
    let wanted = [
        json!(["till", "namespace|set", ["shop"], "ok"]),
        json!(["till", "namespace|mset", ["shop", "shop2"], "ok"]),
        json!(["till", "namespace|set", ["shop"], "ok"]),
        json!(["till", "namespace|drop", ["shop"], "ok"]),
        json!(["till", "namespace|incrbyfloat", ["shop2"], "ERR"]),
    ];
    for (line, wanted) in lines.iter().zip(&wanted) {
        assert_eq!(told(line), *wanted);
        assert_eq!(line["door"], "http");
        assert!(line["time_ms"].as_u64().is_some_and(|at_ms| at_ms > 1_600_000_000_000));
        assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
    assert_eq!(lines[0]["route"], "POST /v1/set");
    assert_eq!(lines[2]["route"], "POST /v4/keyvalues/{namespace}");
    let text = audited.text();
    assert!(!text.contains("secretkey") && !text.contains("secretvalue"), "{text}");
}

#[test]
fn administrative_commands_and_refusals_are_audited_at_both_doors() {
    let audited = Audited::start("audit-admin");
    let pantry = &audited.pantry;
    let mut redis = audited.redis();
    let mut run = |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query::<redis::Value>(&mut redis).is_ok()
    };
    // Reads and writes of Redis clients are not, there are too many of them.
    assert!(run(&["HSET", "shop", "k", "v"]) && run(&["HGET", "shop", "k"]));
    assert!(run(&["ACL", "SETUSER", "new", ">newpassword"]));
    assert!(run(&["FLUSHDB"]));
    assert!(!run(&["CONFIG", "SET", "nosuch", "secretvalue"]));
    assert!(!run(&["AUTH", "till", "wrongpassword"]));
    assert!(run(&["AUTH", "till", "till"]));
    assert!(!run(&["HGET", "other", "k"]));
    assert!(!run(&["FLUSHALL"]));
    let wrong = ["Authorization: Basic dGlsbDp3cm9uZw=="];
    assert_eq!(pantry.request("GET", "/v1/ping", &wrong, b"").status, 401);
    let unknown = ["X-API-Key: pt_0123456789ab_00"];
    assert_eq!(pantry.request("GET", "/v1/ping", &unknown, b"").status, 401);
    let made = pantry.request("POST", "/v1/tokens?name=chain&user=till", &[], b"").json();
    let secret = made["secret"].as_str().unwrap();
    let key = format!("X-API-Key: {secret}");
    let set = "/v1/set?namespace=elsewhere&key=k&value=v";
    assert_eq!(pantry.request("POST", set, &[&key], b"").status, 403);

    let lines = audited.lines(10);
    let wanted = [
        json!(["default", "acl|setuser", [], "ok"]),
        json!(["default", "flushdb", [], "ok"]),
        json!(["default", "config|set", [], "ERR"]),
        json!(["till", null, [], "WRONGPASS"]),
        json!(["till", null, ["other"], "NOPERM"]),
        json!(["till", "flushall", [], "NOPERM"]),
        json!(["till", null, [], "WRONGPASS"]),
        json!(["(token)", null, [], "WRONGPASS"]),
        json!(["default", "token|create", [], "ok"]),
        json!(["till", null, ["elsewhere"], "NOPERM"]),
    ];
    for (line, wanted) in lines.iter().zip(&wanted) {
        assert_eq!(told(line), *wanted);
    }
    let doors: Vec<&str> = lines.iter().map(|line| line["door"].as_str().unwrap()).collect();
    assert_eq!(doors, [vec!["redis"; 6], vec!["http"; 4]].concat());
    assert_eq!(lines[9]["token"], format!("chain ({})", made["id"].as_str().unwrap()));
    let text = audited.text();
    for hidden in ["newpassword", "secretvalue", "wrongpassword", secret, "pt_"] {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }
    let got = redis::cmd("INFO").arg("stats").query::<String>(&mut audited.redis()).unwrap();
    assert!(got.contains("audit_log_lines:10\r\naudit_log_lost_lines:0\r\n"), "{got}");
}

#[test]
fn a_hangup_begins_the_file_anew() {
    let audited = Audited::start("audit-hangup");
    let set = |key: &str| {
        let target = format!("/v1/set?namespace=shop&key={key}&value=1");
        assert_eq!(audited.pantry.request("POST", &target, &[], b"").status, 200);
    };
    set("a");
    audited.lines(1);
    let moved = audited.path.with_extension("1");
    std::fs::rename(&audited.path, &moved).unwrap();
    audited.pantry.signal("HUP");
    let deadline = Instant::now() + LONG;
    while !audited.path.exists() {
        assert!(Instant::now() < deadline, "there is no new file");
        std::thread::sleep(Duration::from_millis(10));
    }
    set("b");
    audited.lines(1);
    assert_eq!(std::fs::read_to_string(&moved).unwrap().lines().count(), 1);
}
