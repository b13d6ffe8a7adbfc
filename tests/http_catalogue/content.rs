//! Bodies, and what is done with what they brought.

use std::time::Instant;

use serde_json::json;

use crate::http_support::{LONG, Pantry};
use crate::scratch::Scratch;
use crate::{JSON, ended, get, post, refused};

#[test]
fn h32_h33_bodies_of_other_kinds_are_not_read() {
    let pantry = Pantry::start(&[]);
    let body = br#"{"namespace":"n","key":"k","value":"v"}"#;
    let plain = "Content-Type: text/plain";
    for headers in [
        &[][..],
        &["Content-Type: application/xml"],
        &["Content-Type: text/html"],
        &["Content-Type: application/json; charset=utf-16"],
        &["Content-Type: multipart/form-data; boundary=x"],
        &[JSON, "Content-Encoding: gzip"],
        &[plain, "Content-Encoding: br"],
        &[JSON, "Content-Encoding: identity", "Content-Encoding: gzip"],
    ] {
        let answer = pantry.request("POST", "/v1/set?namespace=n&key=k", headers, body);
        assert_eq!(ended(&answer), refused(415, "unsupported_media_type"), "{headers:?}");
    }
    assert_eq!(get(&pantry, "/v1/describe?namespace=n"), refused(404, "namespace_not_found"));
    let long = format!("{JSON}; x={}", "y".repeat(8192));
    assert_eq!(pantry.request("POST", "/v1/set", &[&long], body).status, 200);
    let plainly = [plain, "Content-Encoding: identity"];
    assert_eq!(pantry.request("POST", "/v1/set?namespace=n&key=k", &plainly, b"x").status, 200);
}

#[test]
fn h34_h36_h53_what_is_stored_is_never_html_nor_a_header() {
    let pantry = Pantry::start(&[]);
    let body = json!({ "namespace": "n", "key": "k\r\nSet-Cookie: x", "value": "<script>alert(1)</script>\r\nX: y" });
    assert_eq!(post(&pantry, "/v1/set", body.to_string()).0, 200);
    let pair = "/v1/namespaces/n/pairs/k%0d%0aSet-Cookie:%20x";
    for target in [
        pair,
        &format!("{pair}?format=text"),
        "/v1/namespaces/n.csv",
        "/v1/list?namespace=n&limit=1&match=k%0d%0a*",
    ] {
        let answer = pantry.request("GET", target, &["Accept: text/html"], b"");
        assert_eq!(answer.status, 200, "{target}");
        let is = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        let kind = is("content-type");
        assert!(
            ["application/json", "text/plain", "text/csv"].iter().any(|it| kind.starts_with(it)),
            "{kind}"
        );
        assert_eq!(is("x-content-type-options"), "nosniff");
        assert_eq!(is("cache-control"), "no-store");
        assert_eq!(is("content-security-policy"), "frame-ancestors 'none'");
        assert!(answer.header("set-cookie").is_none() && answer.header("x").is_none(), "{target}");
    }
}

#[test]
fn h37_formulas_are_quoted_when_asked() {
    let pantry = Pantry::start(&[]);
    let rows = json!([
        { "namespace": "n", "key": "=cmd|x", "value": "+1" },
        { "namespace": "n", "key": "-1", "value": "@SUM(1)" },
        { "namespace": "n", "key": "\tt", "value": "a\"b\r\nc" },
        { "namespace": "n", "key": "plain", "value": "1" },
    ]);
    assert_eq!(post(&pantry, "/v1/set-many", rows.to_string()).0, 200);
    let raw = String::from_utf8(pantry.get("/v1/namespaces/n.csv").body).unwrap();
    assert!(raw.contains("n,=cmd|x,+1,") && raw.contains("n,-1,@SUM(1),"), "{raw}");
    let guarded = String::from_utf8(pantry.get("/v1/namespaces/n.csv?guard=1").body).unwrap();
    for field in
        ["\"'=cmd|x\",\"'+1\"", "\"'-1\",\"'@SUM(1)\"", "\"'\tt\",\"a\"\"b\r\nc\"", "n,plain,1,"]
    {
        assert!(guarded.contains(field), "{field} is not in {guarded}");
    }
}

#[test]
fn h38_nobody_can_write_lines_of_his_own_into_a_log() {
    let scratch = Scratch::new("h38-logs");
    let [log, audit] = ["log", "audit"].map(|name| scratch.path().join(name));
    let pantry = Pantry::start(&[
        "--logfile",
        log.to_str().unwrap(),
        "--loglevel",
        "debug",
        "--audit-log",
        audit.to_str().unwrap(),
    ]);
    let set = "/v1/set?namespace=a%0d%0aforged%1b%5b31m&key=k%0aforged&value=v%0aforged";
    let answer = pantry.request("POST", set, &["User-Agent: x\x1b[31mforged"], b"");
    assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    assert_eq!(post(&pantry, "/v1/set?namespace=a%0d%0aforged%1b%5b31m&key=k&value=v", "").0, 200);
    assert_eq!(pantry.get("/v1/%0aforged").status, 404);
    let began = Instant::now();
    while !std::fs::read_to_string(&audit).unwrap_or_default().ends_with('\n') {
        assert!(began.elapsed() < LONG);
    }
    for path in [log, audit] {
        let text = std::fs::read(&path).unwrap();
        assert!(!text.is_empty() && !text.iter().any(|byte| matches!(byte, 0x1b | b'\r')));
        let begins_so = |line: &[u8]| line.starts_with(b"forged");
        assert!(
            !text.split(|&byte| byte == b'\n').any(begins_so),
            "{}",
            String::from_utf8_lossy(&text)
        );
    }
}

#[test]
fn h48_an_import_says_how_far_it_came() {
    let pantry = Pantry::start(&[]);
    let mut rows: String = (0..50_000)
        .map(|at| format!("{{\"namespace\":\"n\",\"key\":\"{at}\",\"value\":\"{at}\"}}\n"))
        .collect();
    rows.push_str("{\"namespace\":\"n\",\"key\":\"x\"}\n");
    let answer = pantry.request(
        "POST",
        "/v1/import",
        &["Content-Type: application/x-ndjson"],
        rows.as_bytes(),
    );
    assert_eq!(answer.status, 400, "{}", answer.text());
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    let pairs = pantry.get("/v1/describe?namespace=n").json()["pairs"].as_u64().unwrap();
    assert!(message.contains(&format!("{pairs} pairs before it are set")), "{message}");
    // With all of them in one call, it is all or nothing.
    let many = json!([{ "namespace": "m", "key": "a", "value": "1" }, { "namespace": "m" }]);
    assert_eq!(post(&pantry, "/v1/set-many", many.to_string()).0, 400);
    assert_eq!(get(&pantry, "/v1/describe?namespace=m"), refused(404, "namespace_not_found"));
}

#[test]
fn h50_the_documentation_has_its_files_and_no_others() {
    let pantry = Pantry::start(&[]);
    assert_eq!(pantry.get("/documentation/").status, 200);
    for path in [
        "..%2f",
        "../",
        "..%2fetc%2fpasswd",
        ".git",
        "swagger-ui.css.map",
        "%2e%2e",
        "./",
        "swagger-ui.css%00",
    ] {
        assert_eq!(pantry.get(&format!("/documentation/{path}")).status, 404, "{path}");
    }
}

#[test]
fn h54_a_name_is_the_same_at_both_doors() {
    let pantry = Pantry::start(&[]);
    let text = "k\u{e9}y \u{1f34e}\0\n";
    let body = json!({ "namespace": text, "key": text, "value": text });
    assert_eq!(post(&pantry, "/v1/set", body.to_string()).0, 200);
    let redis = redis::Client::open(format!("redis://{}", pantry.redis)).unwrap();
    let mut redis = redis.get_connection().unwrap();
    let got = redis::cmd("HGET").arg(text).arg(text).query::<Vec<u8>>(&mut redis).unwrap();
    assert_eq!(got, text.as_bytes());
}
