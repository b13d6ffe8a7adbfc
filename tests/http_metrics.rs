//! `/metrics` as Prometheus reads it: every line is what the text format allows, and the numbers are
//! those of what was done.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod http_support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};

use http_support::Pantry;

/// Samples by name and labels, after each line was checked.
fn scrape(pantry: &Pantry) -> BTreeMap<String, f64> {
    let answer = pantry.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut samples = BTreeMap::new();
    let (mut families, mut family) = (BTreeSet::new(), String::new());
    for line in String::from_utf8(answer.body).unwrap().lines() {
        if let Some(described) = line.strip_prefix("# ") {
            let mut words = described.splitn(3, ' ');
            let (what, name, text) =
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            match what {
                "HELP" => assert!(families.insert(name.to_owned()), "{name} is there twice"),
                "TYPE" => assert!(matches!(text, "counter" | "gauge" | "histogram"), "{line}"),
                _ => panic!("{line}"),
            }
            family = name.to_owned();
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert!(sample.starts_with(&family), "{sample} stands under {family}");
        let name = sample.split('{').next().unwrap();
        assert!(name.starts_with("pantry_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} is there twice");
    }
    samples
}

#[test]
fn the_numbers_are_those_of_what_was_done() {
    let pantry = Pantry::start(&[]);
    let mut redis = std::net::TcpStream::connect(pantry.redis).unwrap();
    redis.write_all(b"HSET shop apples 3\r\nHGET shop apples\r\nHGET shop pears\r\nHGET\r\nSET a b PX 1000\r\n").unwrap();
    let mut answer = [0; 100];
    let mut len = 0;
    while !answer[..len].ends_with(b"+OK\r\n") {
        len += redis.read(&mut answer[len..]).unwrap();
    }
    let samples = scrape(&pantry);
    let value = |sample: &str| *samples.get(sample).unwrap_or_else(|| panic!("no {sample}"));
    assert_eq!(value("pantry_ready"), 1.0);
    assert_eq!(value("pantry_clients"), 2.0);
    assert_eq!(value("pantry_command_calls_total{command=\"hget\"}"), 2.0);
    assert_eq!(value("pantry_command_rejections_total{command=\"hget\"}"), 1.0);
    assert_eq!(value("pantry_errors_total{code=\"ERR\"}"), 1.0);
    assert_eq!(value("pantry_names{db=\"0\"}"), 2.0);
    assert_eq!(value("pantry_names_expiring{db=\"0\"}"), 1.0);
    assert!(value("pantry_memory_used_bytes") > 0.0);
    assert!(value("pantry_memory_resident_bytes") > value("pantry_memory_used_bytes"));
    let bucket = |bound| {
        value(&format!("pantry_command_duration_seconds_bucket{{command=\"hget\",le=\"{bound}\"}}"))
    };
    assert_eq!(bucket("+Inf"), 2.0);
    assert_eq!(value("pantry_command_duration_seconds_count{command=\"hget\"}"), 2.0);
    assert!(bucket("0.001") <= bucket("0.004") && bucket("0.004") <= bucket("+Inf"));
    assert!(value("pantry_command_duration_seconds_sum{command=\"hget\"}") > 0.0);
    // Counters only grow.
    let later = scrape(&pantry);
    for (sample, value) in samples.iter().filter(|(sample, _)| sample.contains("_total")) {
        assert!(later[sample] >= *value, "{sample}");
    }
}

#[test]
fn requests_are_counted_by_their_route_and_not_by_what_was_sent() {
    let pantry = Pantry::start(&[]);
    pantry.post("/v1/set", r#"{"namespace":"shop","key":"k","value":"v"}"#);
    for target in ["/v1/namespaces/shop/pairs/k", "/v1/namespaces/shop/pairs/none"] {
        pantry.get(target);
    }
    pantry.get("/v4/keylist/shop");
    pantry.get("/v4/keylist/none");
    pantry.request("HEAD", "/health/live", &[], b"");
    for target in ["/nothing/a", "/nothing/b", "/v1/nothing"] {
        pantry.get(target);
    }
    let samples = scrape(&pantry);
    let value = |method: &str, route: &str, status: u16| {
        let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
        samples[&format!("pantry_http_route_requests_total{{{labels}}}")]
    };
    assert_eq!(value("POST", "/v1/set", 200), 1.0);
    assert_eq!(value("GET", "/v1/namespaces/{namespace}/pairs/{key}", 200), 1.0);
    assert_eq!(value("GET", "/v1/namespaces/{namespace}/pairs/{key}", 404), 1.0);
    assert_eq!(value("GET", "/v4/keylist/{namespace}", 200), 1.0);
    assert_eq!(value("GET", "/v4/keylist/{namespace}", 400), 1.0);
    assert_eq!(value("GET", "/health/live", 200), 1.0);
    assert_eq!(value("", "", 404), 3.0);
    assert_eq!(samples["pantry_http_requests_total"], 9.0);
    let labels = "method=\"GET\",route=\"/v1/namespaces/{namespace}/pairs/{key}\"";
    let name = "pantry_http_request_duration_seconds";
    assert_eq!(samples[&format!("{name}_count{{{labels}}}")], 2.0);
    assert_eq!(samples[&format!("{name}_bucket{{{labels},le=\"+Inf\"}}")], 2.0);
    assert!(samples[&format!("{name}_sum{{{labels}}}")] > 0.0);
}

#[test]
fn the_largest_namespaces_are_shown_to_who_may_read_them() {
    let users = std::env::temp_dir().join(format!("pantry-{}-metrics.acl", std::process::id()));
    let text = "user default on nopass ~* &* +@all\nuser alice on >secret ~shop* +@all\n";
    std::fs::write(&users, text).unwrap();
    let flags = ["--aclfile", users.to_str().unwrap(), "--http-metrics-namespaces", "2"];
    let pantry = Pantry::start(&flags);
    std::fs::remove_file(&users).unwrap();
    for (namespace, value) in [("small", 10), ("shop", 1000), ("large", 5000)] {
        let value = "v".repeat(value);
        let pair = serde_json::json!({ "namespace": namespace, "key": "k", "value": value });
        assert_eq!(pantry.post("/v1/set", &pair.to_string()).status, 200);
    }
    let shown = |samples: BTreeMap<String, f64>| {
        let names = samples.keys().filter_map(|key| key.strip_prefix("pantry_namespace_bytes{"));
        names.map(str::to_owned).collect::<Vec<String>>()
    };
    let samples = scrape(&pantry);
    assert!(samples["pantry_namespace_bytes{namespace=\"large\"}"] >= 5000.0);
    assert_eq!(samples["pantry_namespace_pairs{namespace=\"shop\"}"], 1.0);
    assert_eq!(shown(samples), ["namespace=\"large\"}", "namespace=\"shop\"}"]);
    let alice = ["Authorization: Basic YWxpY2U6c2VjcmV0"];
    let seen = pantry.request("GET", "/metrics", &alice, b"");
    assert!(seen.text().contains("namespace=\"shop\""));
    assert!(!seen.text().contains("namespace=\"large\""));
}

#[test]
fn metrics_need_the_password() {
    let pantry = Pantry::start(&["--requirepass", "secret"]);
    assert_eq!(pantry.get("/metrics").status, 401);
    let answer = pantry.request("GET", "/metrics", &["Authorization: Bearer secret"], b"");
    assert_eq!(answer.status, 200);
    let answer = pantry.request("POST", "/metrics", &["Authorization: Bearer secret"], b"");
    assert_eq!(answer.status, 404);
}

/// Names that stand in the dashboard's expressions.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    words.filter(|word| word.starts_with("pantry_"))
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let text = std::fs::read_to_string("docs/grafana.json").unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pantry = Pantry::start(&[]);
    pantry.get("/v4/keyvaluesnamespaces");
    pantry.get("/v4/keyvalues/none?key=none");
    pantry.post("/v1/set", r#"{"namespace":"shop","key":"k","value":"v"}"#);
    let mut redis = std::net::TcpStream::connect(pantry.redis).unwrap();
    redis.write_all(b"HGET\r\n").unwrap();
    redis.read_exact(&mut [0; 10]).unwrap();
    let samples = scrape(&pantry);
    let there: BTreeSet<&str> = samples.keys().map(|key| key.split('{').next().unwrap()).collect();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            for name in names(target["expr"].as_str().unwrap()) {
                assert!(there.contains(name), "{}: there is no {name}", panel["title"]);
                asked += 1;
            }
        }
    }
    assert!(asked > 20, "{asked}");
}
