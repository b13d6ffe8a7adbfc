//! `/v4` answers as Butler does: every recorded case, replayed against the built server.
//!
//! `data/butler_v4.json` is the reference; `data/butler_v4_recorded.json` has further cases in the same
//! form, recorded from Butler's routes on the Fastify they run on. There, a step that pantry answers
//! differently says so (`pantry`), with the reason.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod http_support;

use std::time::Duration;

use http_support::{Answer, Pantry};
use serde_json::{Value, json};

const REFERENCE: &str = include_str!("data/butler_v4.json");
const RECORDED: &str = include_str!("data/butler_v4_recorded.json");

#[test]
fn reference_cases() {
    assert_eq!(replay(REFERENCE), 29);
}

#[test]
fn recorded_cases() {
    assert_eq!(replay(RECORDED), 442);
}

/// Replays all cases on one server; their number.
fn replay(cases: &str) -> usize {
    let pantry = Pantry::start(&[]);
    let data: Value = serde_json::from_str(cases).unwrap();
    let cases = data["cases"].as_array().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        for step in case["steps"].as_array().unwrap() {
            if let Some(ms) = step["sleep_ms"].as_u64() {
                std::thread::sleep(Duration::from_millis(ms));
                continue;
            }
            let answer = send(&pantry, step);
            let expected = step.get("pantry").unwrap_or(step);
            if let Err(difference) = compare(step, expected, &answer) {
                let (name, method, path) = (&case["case"], &step["method"], &step["path"]);
                failures.push(format!("{name}: {method} {path}: {difference}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
    cases.len()
}

fn send(pantry: &Pantry, step: &Value) -> Answer {
    let mut headers = Vec::new();
    for (name, value) in step["headers"].as_object().unwrap() {
        match value {
            Value::Array(values) => {
                headers.extend(values.iter().map(|it| format!("{name}: {}", it.as_str().unwrap())));
            }
            value => headers.push(format!("{name}: {}", value.as_str().unwrap())),
        }
    }
    let mut headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let body = body(step);
    if body.as_deref() == Some(b"") && !headers.iter().any(|it| it.starts_with("Transfer")) {
        headers.push("Content-Length: 0");
    }
    let text = |name: &str| step[name].as_str().unwrap();
    pantry.request(text("method"), text("path"), &headers, &body.unwrap_or_default())
}

fn body(step: &Value) -> Option<Vec<u8>> {
    if let Some(hex) = step["body_hex"].as_str() {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        return Some((0..hex.len()).step_by(2).map(byte).collect());
    }
    if let Some(fill) = step["body_fill"].as_object() {
        let text = |name: &str| fill[name].as_str().unwrap();
        let count = fill["count"].as_u64().unwrap() as usize;
        return Some(
            (text("prefix").to_owned() + &text("fill").repeat(count) + text("suffix")).into(),
        );
    }
    step["body"].as_str().map(|body| body.as_bytes().to_vec())
}

fn compare(step: &Value, expected: &Value, answer: &Answer) -> Result<(), String> {
    let is_key_list = step["path"].as_str().unwrap().starts_with("/v4/keylist/");
    let content_type = match expected["content_type"].as_str() {
        Some("text/plain; charset=utf-8") if is_key_list => Some("application/json; charset=utf-8"),
        other => other,
    };
    let status = expected["status"].as_u64().unwrap();
    if u64::from(answer.status) != status || answer.header("content-type") != content_type {
        let got = answer.header("content-type");
        return Err(format!("{} {got:?}, not {status} {content_type:?}", answer.status));
    }
    if step["method"] == "HEAD" {
        let is_ping = step["path"] == "/v4/butlerping";
        let length = expected["content_length"].as_u64().map(|it| it.to_string());
        if !is_ping && length.as_deref() != answer.header("content-length") {
            return Err(format!("length {:?}", answer.header("content-length")));
        }
        return Ok(());
    }
    if answer.text().contains("butlerVersion") {
        let pong = json!({"response": "Butler reporting for duty", "butlerVersion": env!("CARGO_PKG_VERSION")});
        return (answer.json() == pong).then_some(()).ok_or("not a pong".into());
    }
    if is_key_list && status == 200 {
        let wanted = sorted_keys(expected_value(expected));
        let got = answer.json();
        return (got == wanted).then_some(()).ok_or(format!("{got}, not {wanted}"));
    }
    let is_same = match expected["answer_text"].as_str() {
        Some(text) => answer.text() == text,
        None if expected["answer"].is_null() => true,
        None if answer.body.is_empty() => expected["answer"] == "",
        None => answer.json() == expected["answer"],
    };
    is_same.then_some(()).ok_or_else(|| format!("{}, not {expected}", answer.text()))
}

fn expected_value(expected: &Value) -> Value {
    match expected["answer_text"].as_str() {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => expected["answer"].clone(),
    }
}

/// Butler lists keys in the order of their creation, pantry sorted.
fn sorted_keys(mut list: Value) -> Value {
    let keys = list["keys"].as_array_mut().unwrap();
    keys.sort_by_key(|it| it["key"].as_str().unwrap().to_owned());
    list
}

/// The calls of Butler's published load script subs, as Qlik Sense's REST connector sends them.
#[test]
fn load_script_calls() {
    let pantry = Pantry::start(&[]);
    let connector = |method, target: &str, headers: &[&str], body: &str| {
        let mut client = pantry.connect();
        let mut lines = vec!["Connection: Keep-Alive", "User-Agent: Qlik"];
        lines.extend_from_slice(headers);
        if body.is_empty() {
            client.send_request(method, target, &lines, b"");
            return client.answer(method);
        }
        let length = format!("Content-Length: {}", body.len());
        lines.extend(["Expect: 100-continue", &length]);
        client.send_request(method, target, &lines, b"");
        assert_eq!(client.any_answer(method).status, 100);
        client.send(body);
        client.answer(method)
    };
    let json = "Content-Type: application/json";
    let delete = "X-HTTP-Method-Override: DELETE";
    let base = "/v4/keyvalues/Reload%20chain%20parameter%20demo";

    let body = r#"{"key": "Parameter 1", "value": "2020-09-29", "ttl": "60000"}"#;
    let made = connector("POST", base, &[json], body);
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["ttl"], 60000);
    for key in ["Parameter%201", "Parameter+1"] {
        let got = connector("GET", &format!("{base}?key={key}"), &[], "");
        assert_eq!(got.json()["value"], "2020-09-29");
        let exists = connector("GET", &format!("{base}/keyexists?key={key}"), &[], "");
        assert_eq!(exists.json()["keyExists"], true);
    }
    let list = connector("GET", "/v4/keylist/Reload%20chain%20parameter%20demo", &[], "");
    assert_eq!(list.json()["keys"], json!([{"key": "Parameter 1"}]));
    let all = connector("GET", "/v4/keyvaluesnamespaces", &[], "");
    assert_eq!(all.json(), json!(["Reload chain parameter demo"]));
    let pair = format!("{base}/Parameter%201");
    assert_eq!(connector("POST", &pair, &[delete, json], "").status, 204);
    assert_eq!(connector("POST", &pair, &[delete], "").status, 400);
    assert_eq!(connector("POST", base, &[delete], "").status, 204);
    assert_eq!(connector("POST", base, &[delete, json], "").status, 400);
}

#[test]
fn what_redis_clients_stored_is_served() {
    let pantry = Pantry::start(&[]);
    let redis = redis::Client::open(format!("redis://{}", pantry.redis)).unwrap();
    let mut redis = redis.get_connection().unwrap();
    let mut run = |args: &[&[u8]]| {
        let mut command = redis::cmd("NAMESPACE");
        for arg in args {
            command.arg(arg);
        }
        command.query::<redis::Value>(&mut redis).unwrap()
    };
    run(&[b"SET", b"n", b"k", b"a\xffb"]);
    run(&[b"SET", b"n", b"\xfe", b"v"]);
    run(&[b"SET", b"\xfd", b"k", b"v"]);
    let got = pantry.get("/v4/keyvalues/n?key=k");
    assert_eq!(got.text(), "{\"namespace\":\"n\",\"key\":\"k\",\"value\":\"a\u{fffd}b\"}");
    let list = pantry.get("/v4/keylist/n");
    assert_eq!(list.json()["keys"], json!([{"key": "k"}, {"key": "\u{fffd}"}]));
    assert_eq!(pantry.get("/v4/keyvaluesnamespaces").json(), json!(["n", "\u{fffd}"]));
    // The replacement finds nothing: two names never become one.
    assert_eq!(pantry.get("/v4/keyvalues/n?key=%EF%BF%BD").status, 400);

    // And the other way round: bytes are the same through both doors.
    assert_eq!(
        pantry.post("/v4/keyvalues/n", r#"{"key":"\u00e5","value":"\u0000\ud83d\ude00"}"#).status,
        201
    );
    let value = run(&[b"GET", b"n", "å".as_bytes()]);
    assert_eq!(value, redis::Value::BulkString("\0😀".into()));

    redis::cmd("SET").arg("s").arg("v").exec(&mut redis).unwrap();
    for (method, target) in [
        ("GET", "/v4/keyvalues/s?key=k"),
        ("GET", "/v4/keyvalues/s/keyexists?key=k"),
        ("GET", "/v4/keylist/s"),
        ("DELETE", "/v4/keyvalues/s"),
        ("DELETE", "/v4/keyvalues/s/k"),
    ] {
        let refused = pantry.request(method, target, &[], b"");
        assert_eq!(refused.status, 400, "{method} {target}");
        assert_eq!(
            refused.json()["message"],
            "Operation against a key holding the wrong kind of value"
        );
    }
    assert_eq!(pantry.post("/v4/keyvalues/s", r#"{"key":"k","value":"v"}"#).status, 400);
    assert_eq!(redis::cmd("GET").arg("s").query::<String>(&mut redis).unwrap(), "v");
}

#[test]
fn a_ttl_reaches_the_store_as_it_was_meant() {
    let pantry = Pantry::start(&[]);
    let redis = redis::Client::open(format!("redis://{}", pantry.redis)).unwrap();
    let mut redis = redis.get_connection().unwrap();
    let mut left_ms = |ttl: &str| {
        let body = format!(r#"{{"key":"k","value":"v","ttl":{ttl}}}"#);
        assert_eq!(pantry.post("/v4/keyvalues/n", &body).status, 201);
        let mut command = redis::cmd("HPTTL");
        command.arg("n").arg("FIELDS").arg(1).arg("k");
        command.query::<Vec<i64>>(&mut redis).unwrap()[0]
    };
    for none in ["0", "-5", "null", "0.9", "1e-7"] {
        assert_eq!(left_ms(none), -1, "{none}");
    }
    for (ttl, ms) in
        [("60000", 60_000), ("\"60000\"", 60_000), ("60000.9", 60_000), ("1e21", 1 << 47)]
    {
        let left = left_ms(ttl);
        assert!((ms - 20_000..=ms).contains(&left), "{ttl}: {left}");
    }
}
