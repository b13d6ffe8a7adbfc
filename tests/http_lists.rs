//! Lists of `/v1`: whole namespaces in each form, pages that lead from one to the next, and their links.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod http_support;

use http_support::{Answer, Pantry};
use serde_json::{Value, json};

const CSV: &str = "Content-Type: text/csv";

/// Status and code of an error.
fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_whole_namespace_comes_in_one_answer() {
    let pantry = Pantry::start(&[]);
    let rows: Vec<Value> =
        (0..3000).map(|i| json!({"key": format!("k{i}"), "value": format!("v,{i}")})).collect();
    let set = pantry.post("/v1/namespaces/n/pairs", &Value::from(rows).to_string());
    assert_eq!(set.json(), json!({"set": 3000}));

    let csv = pantry.get("/v1/namespaces/n.csv");
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let mut lines: Vec<&str> = csv.text().lines().collect();
    assert_eq!(lines.remove(0), "namespace,key,value,ttl_ms,expires_ms,expires_at,base64");
    lines.sort_unstable();
    assert_eq!((lines.len(), lines[0]), (3000, "n,k0,\"v,0\",,,,"));

    let all = pantry.get("/v1/namespaces/n/pairs").json();
    assert_eq!(all.as_array().unwrap().len(), 3000);
    let lines =
        pantry.request("GET", "/v1/namespaces/n/pairs", &["Accept: application/x-ndjson"], b"");
    assert_eq!(lines.text().lines().count(), 3000);
    let keys = pantry.get("/v1/namespaces/n.csv?values=0&match=k1%3F");
    assert_eq!(keys.text().lines().count(), 11);
    assert_eq!(
        refusal(&pantry.get("/v1/namespaces/none.csv")),
        (404, "namespace_not_found".into())
    );
}

#[test]
fn pages_lead_from_one_to_the_next() {
    let pantry = Pantry::start(&["--http-public-url", "https://kv.example/pantry/"]);
    for count in [7, 500] {
        let rows: Vec<Value> =
            (0..count).map(|i| json!({"key": format!("k {i}"), "value": "v"})).collect();
        pantry.post("/v1/namespaces/n/pairs", &Value::from(rows).to_string());
        let mut keys = Vec::new();
        let mut target = "/v1/namespaces/n/pairs?limit=3&values=0".to_owned();
        loop {
            let page = pantry.get(&target);
            let body = page.json();
            let data = body["data"].as_array().unwrap();
            assert!(data.len() <= 3);
            keys.extend(data.iter().map(|row| row["key"].as_str().unwrap().to_owned()));
            let href = body["links"]["next"]["href"].as_str();
            assert_eq!(href, page.header("x-kv-next-href"));
            let Some(href) = href else { break };
            target = href.strip_prefix("https://kv.example/pantry").unwrap().to_owned();
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
    for wrong in
        ["limit=0", "limit=-1", "limit=99999999999999999999", "limit=1&next=x", "limit=1&next=1.0"]
    {
        assert_eq!(
            refusal(&pantry.get(&format!("/v1/namespaces/n/pairs?{wrong}"))).1,
            "invalid_parameter"
        );
    }
}

/// A page that looks for what is not there ends before others have waited long, and leads on.
#[test]
fn a_page_that_finds_little_ends_all_the_same() {
    let pantry = Pantry::start(&[]);
    let rows: String = (0..40_000).map(|at| format!("key-{at},v\n")).collect();
    let body = format!("key,value\n{rows}needle-1,v\nneedle-2,v\nneedle-3,v\n");
    let import = pantry.request("POST", "/v1/import?namespace=n", &[CSV], body.as_bytes());
    assert_eq!(import.json(), json!({"set": 40_003}));
    let (mut target, mut pages, mut found) =
        ("/v1/list?namespace=n&limit=2&match=needle-*".to_owned(), 0, Vec::new());
    loop {
        let page = pantry.get(&target).json();
        pages += 1;
        let rows = page["data"].as_array().unwrap();
        assert!(rows.len() <= 2);
        found.extend(rows.iter().map(|row| row["key"].as_str().unwrap().to_owned()));
        let Some(href) = page["links"]["next"]["href"].as_str() else { break };
        target = href[href.find("/v1/").unwrap()..].to_owned();
    }
    found.sort();
    assert_eq!(found, ["needle-1", "needle-2", "needle-3"]);
    assert!(pages > 1);
}

#[test]
fn a_page_of_long_values_ends_all_the_same() {
    let pantry = Pantry::start(&[]);
    for number in 0..10 {
        let body = json!({ "namespace": "n", "key": number, "value": "v".repeat(1_000_000) });
        assert_eq!(pantry.post("/v1/set", &body.to_string()).status, 200);
    }
    let first = pantry.get("/v1/list?namespace=n&limit=10").json();
    let next = first["links"]["next"]["href"].as_str().unwrap().split_once("next=").unwrap().1;
    let second = pantry.get(&format!("/v1/list?namespace=n&limit=10&next={next}")).json();
    let rows = |page: &Value| page["data"].as_array().unwrap().len();
    assert!(rows(&first) < 10 && second["links"] == json!({}));
    assert_eq!(rows(&first) + rows(&second), 10);
}

#[test]
fn links_name_the_host_that_a_trusted_proxy_names() {
    let proxied =
        ["X-Forwarded-Proto: https", "X-Forwarded-Host: kv.example", "X-Forwarded-Prefix: /p"];
    for (trust, wanted) in
        [("yes", "https://kv.example/p/v1/namespaces?limit=1&next="), ("no", "http://127.0.0.1:")]
    {
        let pantry = Pantry::start(&["--http-trust-forwarded", trust]);
        (0..100).for_each(|i| _ = pantry.request("PUT", &format!("/v1/namespaces/n{i}"), &[], b""));
        let page = pantry.request("GET", "/v1/namespaces?limit=1", &proxied, b"");
        assert!(page.header("x-kv-next-href").unwrap().starts_with(wanted), "{page:?}");
    }
}
