//! Paths, names and numbers: each means one thing, or is refused.

use std::time::Instant;

use serde_json::json;

use crate::http_support::{LONG, Pantry};
use crate::scratch::Scratch;
use crate::{get, post, refused, value};

#[test]
fn h20_paths_are_taken_as_they_are() {
    let pantry = Pantry::start(&[]);
    for path in [
        "/v1/namespaces/../../etc/passwd",
        "/v1//get",
        "/v1/./get",
        "/v1/../v1/ping",
        "/v1/",
        "/v1",
        "//v1/ping",
        "/V1/ping",
        "/v1/ping/",
        "/v1/ping;x",
    ] {
        assert_eq!(pantry.get(path).status, 404, "{path}");
    }
    for path in
        ["/v1/namespaces/%2e%2e%2f/pairs/k", "/v1/namespaces/..%5c/pairs/k", "/v1/namespaces/n;x"]
    {
        assert_eq!(get(&pantry, path), refused(404, "namespace_not_found"), "{path}");
    }
    for path in ["/v1/namespaces/", "/v1/namespaces//pairs/k"] {
        assert_eq!(get(&pantry, path), refused(400, "invalid_parameter"), "{path}");
    }
}

#[test]
fn h20_a_path_leads_to_the_namespace_that_rights_are_checked_for() {
    let scratch = Scratch::new("h20-rights");
    let users = scratch.path().join("users.acl");
    std::fs::write(&users, "user default on nopass ~open +@all\n").unwrap();
    let pantry = Pantry::start(&["--aclfile", users.to_str().unwrap()]);
    for namespace in
        ["secret", "%73ecret", "open%2F..%2Fsecret", "open/../secret", "OPEN", "open%00"]
    {
        let path = format!("/v1/namespaces/{namespace}/pairs/k");
        let status = pantry.get(&path).status;
        assert!(matches!(status, 403 | 404), "{path}: {status}");
    }
    assert_eq!(get(&pantry, "/v1/namespaces/%73ecret/pairs/k"), refused(403, "forbidden"));
    assert_eq!(get(&pantry, "/v1/namespaces/%6Fpen/pairs/k"), refused(404, "namespace_not_found"));
}

#[test]
fn h21_to_h26_names_are_bytes() {
    let pantry = Pantry::start(&[]);
    // An escaped slash, a zero byte, an escape that is escaped, a plus, dots, blanks, emptiness, both forms of
    // é, what looks like another letter, what can not be seen.
    let keys = [
        "c%2Fd",
        "%00",
        "a%00b",
        "%25%32%46",
        "a+b",
        "a%20b",
        ".",
        "..",
        "",
        "caf%C3%A9",
        "cafe%CC%81",
        "%D0%B0",
        "a",
        "a%E2%80%8B",
        "%E2%80%AEa",
    ];
    for (at, key) in keys.iter().enumerate() {
        let target = format!("/v1/namespaces/n%2Fn/pairs/{key}?value={at}&ack=json");
        assert_eq!(pantry.request("PUT", &target, &[], b"").status, 200, "{key}");
    }
    for (at, key) in keys.iter().enumerate() {
        let pair = pantry.get(&format!("/v1/namespaces/n%2Fn/pairs/{key}")).json();
        assert_eq!(
            (&pair["namespace"], &pair["value"]),
            (&json!("n/n"), &json!(at.to_string())),
            "{key}"
        );
    }
    assert_eq!(pantry.get("/v1/describe?namespace=n/n").json()["pairs"], keys.len());
    let redis = redis::Client::open(format!("redis://{}", pantry.redis)).unwrap();
    let mut redis = redis.get_connection().unwrap();
    let mut keys_in = redis::cmd("HKEYS").arg("n/n").query::<Vec<String>>(&mut redis).unwrap();
    keys_in.sort();
    assert!(keys_in.contains(&"c/d".to_owned()) && keys_in.contains(&"%2F".to_owned()));
    assert!(keys_in.contains(&"a\0b".to_owned()) && keys_in.contains(&"a+b".to_owned()));
    // In a query a plus is a blank.
    assert_eq!(pantry.get("/v1/get?namespace=n/n&key=a+b").json()["key"], "a b");
}

#[test]
fn h23_what_is_no_text_is_refused_and_never_becomes_another_name() {
    let pantry = Pantry::start(&[]);
    for escape in ["%FF%FE", "%C0%AF", "%ED%A0%80", "%F0%9F", "%", "%2", "%zz", "a%"] {
        assert_eq!(
            get(&pantry, &format!("/v1/namespaces/n/pairs/{escape}")),
            refused(400, "bad_request"),
            "{escape}"
        );
        assert_eq!(
            get(&pantry, &format!("/v1/get?namespace=n&key={escape}")),
            refused(400, "bad_request"),
            "{escape}"
        );
    }
    // Bytes come as base64, and stay two.
    for (bytes, is) in [("/w==", "one"), ("/g==", "other")] {
        let body = json!({ "namespace": "n", "key_base64": bytes, "value": is });
        assert_eq!(post(&pantry, "/v1/set", body.to_string()).0, 200);
    }
    for (bytes, is) in [("%2Fw%3D%3D", "one"), ("%2Fg%3D%3D", "other")] {
        let pair = pantry.get(&format!("/v1/get?namespace=n&key_base64={bytes}")).json();
        assert_eq!(pair["value"], is);
    }
    assert_eq!(
        post(&pantry, "/v1/get", "{\"namespace\":\"n\",\"key\":\"\u{fffd}\"}"),
        refused(404, "key_not_found")
    );
}

#[test]
fn h25_a_name_of_a_megabyte_is_a_name() {
    let pantry = Pantry::start(&[]);
    let key = "k".repeat(900_000);
    let body = json!({ "namespace": "n", "key": key, "value": "v" }).to_string();
    assert_eq!(post(&pantry, "/v1/set", &body).0, 200);
    assert_eq!(pantry.get("/v1/list?namespace=n").json()[0]["key"], key);
    for body in [r#"{"namespace":"","key":"k","value":"v"}"#, r#"{"key":"k","value":"v"}"#] {
        assert_eq!(post(&pantry, "/v1/set", body).0, 400);
    }
}

#[test]
fn h27_h28_numbers_that_are_none_are_refused() {
    let pantry = Pantry::start(&[]);
    assert_eq!(post(&pantry, "/v1/set?namespace=n&key=k&value=v", "").0, 200);
    assert_eq!(post(&pantry, "/v1/set?namespace=other&key=secret&value=v", "").0, 200);
    for (ttl, code) in [
        ("ttl=1&ttl=2", "repeated_parameter"),
        ("ttl=-1", "invalid_parameter"),
        ("ttl=1e9", "invalid_parameter"),
        ("ttl=NaN", "invalid_parameter"),
        ("ttl=9223372036854775808", "invalid_parameter"),
        ("ttl=", "invalid_parameter"),
        ("ttl=0", "invalid_parameter"),
    ] {
        let target = format!("/v1/set?namespace=n&key=k&value=w&{ttl}");
        assert_eq!(post(&pantry, &target, ""), refused(400, code), "{ttl}");
    }
    assert_eq!(value(&pantry, "k"), "v", "nothing was set");
    for query in [
        "limit=0",
        "limit=-1",
        "limit=18446744073709551616",
        "limit=1&next=garbage",
        "limit=1&next=-1",
    ] {
        assert_eq!(
            get(&pantry, &format!("/v1/list?namespace=n&{query}")),
            refused(400, "invalid_parameter"),
            "{query}"
        );
    }
    // A place that was made up, or comes from another namespace, shows nothing of that.
    for next in ["1", "123", "999999999999999", "9007199254740991"] {
        let page = pantry.get(&format!("/v1/list?namespace=n&limit=10&next={next}"));
        assert!(
            matches!(page.status, 200 | 400) && !page.text().contains("secret"),
            "{}",
            page.text()
        );
    }
}

#[test]
fn h29_to_h31_json_is_read_strictly_and_numbers_stay_what_they_are() {
    let pantry = Pantry::start(&[]);
    assert_eq!(post(&pantry, "/v1/set", r#"{"namespace":"n","key":"k","value":"v"}"#).0, 200);
    let utf16: Vec<u8> = r#"{"namespace":"n"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for body in [
        &b"null"[..],
        b"[1]",
        b"\"x\"",
        b"1",
        br#"{"namespace":"n""#,
        br#"{"namespace":"n","key":"k",}"#,
        br#"{"namespace":"n","key":"k"}{}"#,
        br#"{"namespace":"n","key":"k","default":NaN}"#,
        br#"{"namespace":"n","key":"\ud800"}"#,
        br#"{'namespace':'n','key':'k'}"#,
        b"{\"namespace\":\"\xff\"}",
        &utf16,
    ] {
        assert_eq!(
            post(&pantry, "/v1/get", body),
            refused(400, "invalid_body"),
            "{}",
            body.escape_ascii()
        );
    }
    let get_pair = |body: &str| post(&pantry, "/v1/get", body);
    assert_eq!(get_pair(""), refused(400, "missing_parameter"));
    assert_eq!(
        get_pair(r#"{"namespace":"n","key":"k","key":"l"}"#),
        refused(400, "repeated_parameter")
    );
    assert_eq!(
        get_pair(r#"{"namespace":"n","key":"k","__proto__":"x"}"#),
        refused(400, "unknown_parameter")
    );
    assert_eq!(
        get_pair("\u{feff}{\"namespace\":\"n\",\"key\":\"k\"}").0,
        200,
        "a byte order mark is passed over"
    );

    let began = Instant::now();
    for deep in [
        "[".repeat(100_000),
        format!(r#"{{"namespace":"n","key":"k","value":{}"#, "[".repeat(100_000)),
    ] {
        assert_eq!(post(&pantry, "/v1/set", deep), refused(400, "invalid_body"));
    }
    assert!(began.elapsed() < LONG);
    let digits = "1".repeat(100);
    for number in ["1e400", "9007199254740993", "-0", "1.10", "true", &digits] {
        let body = format!(r#"{{"namespace":"n","key":"number","value":{number}}}"#);
        assert_eq!(post(&pantry, "/v1/set", body).0, 200, "{number}");
        assert_eq!(value(&pantry, "number"), *number);
    }
}
