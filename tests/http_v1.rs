//! `/v1` as clients use it: pairs, conditions, lists, many pairs, locks, and what is refused. Commands are in
//! `http_commands.rs`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod http_support;

use http_support::{Answer, Pantry};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const CSV: &str = "Content-Type: text/csv";
const LINES: &str = "Content-Type: application/x-ndjson";
const TEXT: &str = "Content-Type: text/plain";

fn form(pantry: &Pantry, target: &str, body: &str) -> Answer {
    pantry.request("POST", target, &[FORM], body.as_bytes())
}

/// Status and code of a refusal.
fn refusal(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    assert_eq!(body["ok"], false);
    (answer.status, body["error"].as_str().unwrap().to_owned())
}

#[test]
fn a_pair_is_named_in_path_query_header_or_body() {
    let pantry = Pantry::start(&[]);
    let set = pantry.request("PUT", "/v1/namespaces/my%20shop/pairs/a%2Fb", &[TEXT], b"3 \"x\"");
    assert_eq!((set.status, set.body.len()), (204, 0));
    let wanted = json!({
        "namespace": "my shop", "key": "a/b", "value": "3 \"x\"", "found": true, "ttl_ms": null,
        "expires_ms": null, "expires_at": null, "etag": set.header("etag").unwrap().trim_matches('"'),
    });
    assert_eq!(pantry.get("/v1/namespaces/my%20shop/pairs/a%2Fb").json(), wanted);
    assert_eq!(pantry.get("/v1/get?namespace=my+shop&key=a/b&_=17").json(), wanted);
    let named = ["X-KV-Namespace: my shop", "X-KV-Key: a/b"];
    assert_eq!(pantry.request("GET", "/v1/get", &named, b"").json(), wanted);
    assert_eq!(form(&pantry, "/v1/get", "namespace=my+shop&key=a%2Fb").json(), wanted);
    let body = r#"{"namespace":"my shop","key":"a\/b"}"#;
    assert_eq!(pantry.post("/v1/get", body).json(), wanted);
    // A connector that knows POST only.
    let overridden = [JSON, "X-HTTP-Method-Override: get", "Expect: 100-continue"];
    let answer = pantry.request("POST", "/v1/get", &overridden, body.as_bytes());
    assert_eq!(answer.json(), wanted);
    let overridden = ["X-HTTP-Method-Override: DELETE"];
    let deleted = pantry.request("POST", "/v1/namespaces/my%20shop/pairs/a%2Fb", &overridden, b"");
    assert_eq!((deleted.status, deleted.json()["deleted"].clone()), (200, json!(true)));
    assert_eq!(
        refusal(&pantry.get("/v1/get?namespace=my+shop&key=a/b")),
        (404, "key_not_found".into())
    );
    assert_eq!(
        refusal(&pantry.get("/v1/get?namespace=none&key=k")),
        (404, "namespace_not_found".into())
    );
}

#[test]
fn errors_can_be_soft_and_reads_have_defaults() {
    let pantry = Pantry::start(&[]);
    let soft = pantry.get("/v1/get?namespace=n&key=k&soft=1");
    assert_eq!(soft.status, 200);
    assert_eq!(soft.json()["status"], 404);
    assert_eq!(soft.json()["error"], "namespace_not_found");
    for header in ["X-KV-Soft-Errors: 1", "X-KV-Soft: true"] {
        let soft = pantry.request("GET", "/v1/get", &[header, "X-KV-Key: k"], b"");
        assert_eq!((soft.status, soft.json()["error"].clone()), (200, json!("missing_parameter")));
    }
    let found = pantry.get("/v1/get?namespace=n&key=k&default=x&soft=1").json();
    assert_eq!(
        (&found["ok"], &found["value"], &found["found"]),
        (&json!(true), &json!("x"), &json!(false))
    );
    assert_eq!(pantry.get("/v1/get?namespace=n&key=k&default=x&format=text").body, b"x");
    let ack = pantry.request("PUT", "/v1/namespaces/n/pairs/k?ack=json", &[TEXT], b"v");
    assert_eq!((ack.status, ack.json()["key"].clone()), (200, json!("k")));
    let bare = pantry.request("GET", "/v1/namespaces/n/pairs/k", &["Accept: text/plain"], b"");
    assert_eq!(
        (bare.body.as_slice(), bare.header("content-type")),
        (&b"v"[..], Some("text/plain; charset=utf-8"))
    );
}

/// A load script that must not stop asks softly, whatever it asks for.
#[test]
fn every_operation_can_fail_softly() {
    let pantry = Pantry::start(&[]);
    let described = pantry.get("/v1/openapi.json").json();
    let mut asked = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        if !path.starts_with("/v1/") {
            continue;
        }
        let path = path.replace(['{', '}'], "");
        for method in methods.as_object().unwrap().keys().map(|it| it.to_uppercase()) {
            let target = format!("{path}?soft=1&what=1");
            let soft = pantry.request(&method, &target, &[], b"");
            assert_eq!(soft.status, 200, "{method} {path}");
            let told = soft.json();
            assert_eq!(told["ok"], false, "{method} {path}");
            assert_eq!(told["status"], 400, "{method} {path}");
            assert_eq!(told["error"], "unknown_parameter", "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked > 50, "only {asked}");
}

#[test]
fn lifetimes_come_in_many_forms() {
    let pantry = Pantry::start(&[]);
    for (body, about_ms) in [
        (r#"{"namespace":"n","key":"k","value":"v","ttl":5000}"#, 5000),
        (r#"{"namespace":"n","key":"k","value":"v","ttl":"5000"}"#, 5000),
        (r#"{"namespace":"n","key":"k","value":"v","ttl":"PT1M"}"#, 60_000),
    ] {
        assert_eq!(pantry.post("/v1/set", body).status, 200);
        let ttl_ms = pantry.get("/v1/get?namespace=n&key=k").json()["ttl_ms"].as_i64().unwrap();
        assert!(ttl_ms <= about_ms && ttl_ms > about_ms - 4000, "{ttl_ms}");
    }
    form(&pantry, "/v1/set", "namespace=n&key=k&value=v&expires_at=2100-01-01+00:00:00.5");
    let pair = pantry.get("/v1/get?namespace=n&key=k").json();
    assert_eq!(pair["expires_at"], "2100-01-01 00:00:00.500");
    form(&pantry, "/v1/set", "namespace=n&key=k&value=w&ttl=keep");
    assert_eq!(pantry.get("/v1/get?namespace=n&key=k").json()["expires_ms"], pair["expires_ms"]);
    form(&pantry, "/v1/touch", "namespace=n&key=k&ttl=none");
    assert_eq!(pantry.get("/v1/get?namespace=n&key=k").json()["ttl_ms"], Value::Null);
    assert_eq!(form(&pantry, "/v1/touch", "namespace=n&key=k&ttl=P1D").status, 200);
    assert_eq!(refusal(&form(&pantry, "/v1/touch", "namespace=n&key=x&ttl=1")).0, 404);
    for ttl in ["0", "-1", "1e9", "NaN", "", "9223372036854775808", "soon", "1&ttl=2"] {
        let refused = form(&pantry, "/v1/set", &format!("namespace=n&key=k&value=v&ttl={ttl}"));
        assert_eq!(refused.status, 400, "{ttl}");
    }
}

#[test]
fn conditions_are_etags() {
    let pantry = Pantry::start(&[]);
    let pair = "/v1/namespaces/n/pairs/k";
    let put = |headers: &[&str], value: &str| {
        pantry.request("PUT", pair, &[headers, &[TEXT]].concat(), value.as_bytes())
    };
    assert_eq!(put(&["If-Match: *"], "a").status, 412);
    let first = put(&["If-None-Match: *"], "a");
    assert_eq!(first.status, 204);
    assert_eq!(refusal(&put(&["If-None-Match: *"], "b")), (412, "condition_failed".into()));
    let tag = first.header("etag").unwrap().to_owned();
    let second = put(&[&format!("If-Match: {tag}")], "b");
    assert_eq!(second.status, 204);
    assert_eq!(put(&[&format!("If-Match: {tag}")], "c").status, 412);
    for bad in ["If-Match: \"a\", \"b\"", "If-Match: W/\"a\""] {
        assert_eq!(put(&[bad], "c").status, 400, "{bad}");
    }
    let same = format!("If-None-Match: {}", second.header("etag").unwrap());
    let unchanged = pantry.request("GET", pair, &[&same], b"");
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let body = format!(
        "namespace=n&key=k&value=d&if_match={}",
        second.header("etag").unwrap().trim_matches('"')
    );
    assert_eq!(form(&pantry, "/v1/set", &body).status, 200);
    assert_eq!(form(&pantry, "/v1/set", &body).status, 412);
    assert_eq!(form(&pantry, "/v1/set", "namespace=n&key=k&value=e&only_if=missing").status, 412);
    assert_eq!(form(&pantry, "/v1/set", "namespace=n&key=k&value=e&only_if=exists").status, 200);
    assert_eq!(pantry.request("DELETE", pair, &[&format!("If-Match: {tag}")], b"").status, 412);
    assert_eq!(pantry.request("DELETE", pair, &["If-Match: *"], b"").status, 204);
}

#[test]
fn a_pair_is_counted_appended_to_taken() {
    let pantry = Pantry::start(&[]);
    let value = |target: &str, body: &str| form(&pantry, target, body).json()["value"].clone();
    assert_eq!(value("/v1/increment", "namespace=n&key=c"), "1");
    assert_eq!(value("/v1/increment", "namespace=n&key=c&by=-5"), "-4");
    assert_eq!(value("/v1/increment", "namespace=n&key=c&by=0.1"), "-3.9");
    assert_eq!(
        refusal(&form(&pantry, "/v1/increment", "namespace=n&key=c&by=x")).1,
        "invalid_argument"
    );
    assert_eq!(form(&pantry, "/v1/append", "namespace=n&key=c&value=+!").json()["bytes"], 6);
    assert_eq!(form(&pantry, "/v1/exists", "namespace=n&key=c").json()["exists"], true);
    assert_eq!(value("/v1/take", "namespace=n&key=c"), "-3.9 !");
    assert_eq!(form(&pantry, "/v1/take", "namespace=n&key=c").status, 404);
    assert_eq!(pantry.get("/v1/exists?namespace=n&key=c").json()["exists"], false);
    assert_eq!(pantry.get("/v1/exists?namespace=none&key=c").json()["exists"], false);
}

#[test]
fn bytes_that_are_no_text_are_base64() {
    let pantry = Pantry::start(&[]);
    let set =
        r#"{"namespace_base64":"/w==","key_base64":"/g==","value":"/QA=","encoding":"base64"}"#;
    assert_eq!(pantry.post("/v1/set", set).json()["key_base64"], "/g==");
    let named = "namespace_base64=/w%3D%3D&key_base64=/g%3D%3D";
    let found = pantry.get(&format!("/v1/get?{named}")).json();
    assert_eq!(
        (&found["namespace_base64"], &found["value_base64"]),
        (&json!("/w=="), &json!("/QA="))
    );
    assert_eq!(pantry.get(&format!("/v1/get?{named}&encoding=base64")).json()["value"], "/QA=");
    let bare = pantry.get(&format!("/v1/get?{named}&format=text"));
    assert_eq!(
        (bare.body.as_slice(), bare.header("content-type")),
        (&b"\xfd\0"[..], Some("application/octet-stream"))
    );
    assert_eq!(
        pantry.get("/v1/list?namespace_base64=/w%3D%3D&format=csv").text().lines().nth(1),
        Some("/w==,/g==,/QA=,,,,namespace key value")
    );
    // And back again.
    let export = pantry.request("GET", "/v1/export", &["Accept: text/csv"], b"");
    let other = Pantry::start(&[]);
    assert_eq!(other.request("POST", "/v1/import", &[CSV], &export.body).json()["set"], 1);
    assert_eq!(other.get("/v1/export").body, pantry.get("/v1/export").body);
    assert_eq!(refusal(&pantry.get("/v1/namespaces/n/pairs/%FF")).0, 400);
}

#[test]
fn many_pairs_are_set_all_or_none_or_each() {
    let pantry = Pantry::start(&["--http-bulk-max-rows", "100"]);
    pantry.post("/v1/command", r#"["SET","text","v"]"#);
    let rows =
        r#"[{"namespace":"a","key":"1","value":"x"},{"namespace":"text","key":"2","value":"y"}]"#;
    assert_eq!(refusal(&pantry.post("/v1/set-many", rows)), (409, "wrong_type".into()));
    assert_eq!(pantry.get("/v1/namespaces/a").status, 404);
    let each = pantry.post("/v1/set-many?atomic=0", rows).json();
    assert_eq!((&each[0]["ok"], &each[1]["error"]), (&json!(true), &json!("wrong_type")));

    let csv = "namespace,key,value,ttl\r\na,2,\"p,q\",\r\nb,3,z,60000\r\n";
    assert_eq!(
        pantry.request("POST", "/v1/set-many", &[CSV], csv.as_bytes()).json(),
        json!({"set": 2})
    );
    let lines = "{\"key\":\"4\",\"value\":\"w\"}\n{\"key\":\"5\",\"value\":{\"x\":[1]}}\n";
    assert_eq!(
        pantry.request("POST", "/v1/set-many?namespace=b", &[LINES], lines.as_bytes()).json(),
        json!({"set": 2})
    );
    let got = pantry
        .post("/v1/get-many?namespace=b", r#"["4","5","6",{"namespace":"a","key":"2"}]"#)
        .json();
    let values: Vec<&Value> = got.as_array().unwrap().iter().map(|row| &row["value"]).collect();
    assert_eq!(values, [&json!("w"), &json!("{\"x\":[1]}"), &Value::Null, &json!("p,q")]);
    assert_eq!(
        pantry.post("/v1/delete-many?namespace=b", r#"["4","6"]"#).json(),
        json!({"deleted": 1})
    );
    assert_eq!(
        refusal(&pantry.post("/v1/set-many", r#"[{"namespace":"a","key":"1"}]"#)).1,
        "missing_parameter"
    );
    let many = Value::from(vec!["k"; 101]).to_string();
    assert_eq!(
        refusal(&pantry.post("/v1/delete-many?namespace=a", &many)),
        (413, "too_many_rows".into())
    );
}

#[test]
fn export_and_import_carry_everything() {
    let (pantry, other) = (Pantry::start(&[]), Pantry::start(&[]));
    let rows: Vec<Value> =
        (0..2000).map(|i| json!({"namespace": format!("n{}", i % 7), "key": format!("k{i}"), "value": "a\"b\r\n,"})).collect();
    pantry.post("/v1/set-many", &Value::from(rows).to_string());
    pantry.request("PUT", "/v1/namespaces/empty", &[], b"");
    pantry.request("POST", "/v1/namespaces?namespace_base64=/w==", &[], b"");
    for (accept, content_type) in
        [("Accept: text/csv", CSV), ("Accept: application/x-ndjson", LINES)]
    {
        let export = pantry.request("GET", "/v1/export", &[accept], b"");
        let chunked = [content_type, "Transfer-Encoding: chunked"];
        let done = other.request("POST", "/v1/import", &chunked, &export.body);
        assert_eq!(done.json(), json!({"set": 2000}));
        let again = other.request("GET", "/v1/export", &[accept], b"");
        let sorted = |body: &[u8]| {
            let mut lines: Vec<String> =
                body.split(|&b| b == b'\n').map(|it| it.escape_ascii().to_string()).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&again.body), sorted(&export.body));
        for empty in ["namespace=empty", "namespace_base64=/w=="] {
            assert_eq!(other.get(&format!("/v1/describe?{empty}")).json()["pairs"], 0);
            other.request("POST", &format!("/v1/delete-namespace?{empty}"), &[], b"");
        }
        for i in 0..7 {
            other.request("DELETE", &format!("/v1/namespaces/n{i}"), &[], b"");
        }
    }
    let bad = "{\"namespace\":\"x\",\"key\":\"1\",\"value\":\"1\"}\n{\"namespace\":\"x\"\n";
    assert_eq!(
        refusal(&other.request("POST", "/v1/import", &[LINES], bad.as_bytes())).1,
        "invalid_body"
    );
}

#[test]
fn csv_may_come_in_any_pieces() {
    let pantry = Pantry::start(&[]);
    let pieces = ["\u{feff}key,value\na,24\" wide\nb,\"two\n", "lines\"\nc,\"\"\"\"\n\"d", "\",4"];
    let mut client = pantry.connect();
    let head =
        "POST /v1/import?namespace=n HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n";
    client.send(format!("{head}{CSV}\r\n\r\n"));
    for piece in pieces {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer("POST").json(), json!({"set": 4}));
    let rows = pantry.get("/v1/list?namespace=n").json();
    for (key, value) in [("a", "24\" wide"), ("b", "two\nlines"), ("c", "\""), ("d", "4")] {
        let mut rows = rows.as_array().unwrap().iter();
        assert!(rows.any(|row| row["key"] == key && row["value"] == value), "{key}");
    }
}

#[test]
fn locks_are_held_by_tokens() {
    let pantry = Pantry::start(&[]);
    let taken = form(&pantry, "/v1/locks/reload/acquire", "ttl=60000&owner=task+1").json();
    let token = taken["token"].as_str().unwrap();
    assert_eq!(refusal(&form(&pantry, "/v1/lock", "lock=reload&ttl=PT1S")), (409, "locked".into()));
    let seen = pantry.get("/v1/locks/reload").json();
    assert_eq!((&seen["held"], &seen["owner"]), (&json!(true), &json!("task 1")));
    for seen in [
        form(&pantry, "/v1/describe-lock", "lock=reload"),
        pantry.get("/v1/describe-lock?lock=reload&namespace=locks"),
    ] {
        assert_eq!(seen.json()["owner"], "task 1");
    }
    assert_eq!(
        form(&pantry, "/v1/renew", &format!("lock=reload&ttl=90000&token={token}")).status,
        200
    );
    assert_eq!(
        refusal(&form(&pantry, "/v1/unlock", "lock=reload&token=1")),
        (409, "lock_not_held".into())
    );
    let redis = pantry.post("/v1/command", r#"["HGET","locks","reload"]"#).json();
    assert_eq!(redis["result"], format!("{token} task 1"));
    assert_eq!(
        form(&pantry, "/v1/unlock", &format!("lock=reload&token={token}")).json()["held"],
        false
    );
    let next = form(&pantry, "/v1/lock", "lock=reload&ttl=1000").json();
    assert!(next["token"].as_str().unwrap().parse::<u64>().unwrap() > token.parse().unwrap());
    assert_eq!(refusal(&form(&pantry, "/v1/lock", "lock=x&ttl=none")).1, "invalid_parameter");
}

#[test]
fn what_is_refused() {
    let pantry = Pantry::start(&["--http-body-max-bytes", "2000"]);
    let request = |method: &str, target: &str, headers: &[&str], body: &[u8]| {
        refusal(&pantry.request(method, target, headers, body))
    };
    for (target, wanted) in [
        ("/v1", (404, "not_found")),
        ("/v1/nothing", (404, "not_found")),
        ("/v1/get?namespace=n", (400, "missing_parameter")),
        ("/v1/get?namespace=&key=k", (400, "invalid_parameter")),
        ("/v1/get?namespace=n&key=k&tll=5", (400, "unknown_parameter")),
        ("/v1/get?namespace=n&key=k&key=l", (400, "repeated_parameter")),
        ("/v1/get?namespace=n&key=%zz", (400, "bad_request")),
        ("/v1/get?namespace=n&key_base64=?", (400, "invalid_parameter")),
        ("/v1/namespaces/%C0%AF", (400, "bad_request")),
        ("/v1/namespaces/../../etc/passwd", (404, "not_found")),
    ] {
        assert_eq!(request("GET", target, &[], b""), (wanted.0, wanted.1.to_owned()), "{target}");
    }
    assert_eq!(request("PUT", "/v1/get", &[], b"").1, "method_not_allowed");
    assert_eq!(pantry.request("PUT", "/v1/get", &[], b"").header("allow"), Some("GET, HEAD, POST"));
    assert_eq!(request("POST", "/v1/set", &["X-KV-Nothing: 1"], b"").1, "unknown_parameter");
    for (headers, body) in [
        (&["Content-Type: text/html"][..], "x"),
        (&["Content-Type: application/json; charset=utf-16"], "{}"),
        (&["Content-Type: multipart/form-data; boundary=x"], "x"),
        (&[], "x"),
        (&[CSV], "a,b"),
    ] {
        assert_eq!(request("POST", "/v1/set", headers, body.as_bytes()).0, 415, "{headers:?}");
    }
    let nothing = pantry.request("GET", "/v1/ping", &["Content-Type: text/html"], b"");
    assert_eq!(nothing.status, 200);
    for body in ["[]", "null", "{", "{} {}", "{\"a\":1,}", "\u{feff}x", "{\"key\":\"\\ud800\"}"] {
        assert_eq!(request("POST", "/v1/set", &[JSON], body.as_bytes()).0, 400, "{body}");
    }
    assert_eq!(request("POST", "/v1/set", &[JSON], "[".repeat(1000).as_bytes()).1, "invalid_body");
    assert_eq!(request("POST", "/v1/set", &[JSON], &[b' '; 2001]).1, "body_too_large");
    assert_eq!(request("POST", "/v1/set", &["Expect: more"], b"").1, "expectation_failed");
    pantry.post("/v1/command", r#"["SET","text","v"]"#);
    assert_eq!(request("GET", "/v1/get?namespace=text&key=k", &[], b"").1, "wrong_type");
}

#[test]
fn pages_of_other_origins_can_not_write() {
    let pantry = Pantry::start(&["--http-cors-origin", "https://Qlik.example:443/"]);
    let set = |origin: &str| {
        let headers = [FORM, &format!("Origin: {origin}")];
        pantry.request("POST", "/v1/set", &headers, b"namespace=n&key=k&value=v").status
    };
    let own = format!("http://{}", pantry.address);
    for (origin, status) in [
        ("https://qlik.example", 200),
        (own.as_str(), 200),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        assert_eq!(set(origin), status, "{origin}");
    }
}

#[test]
fn the_api_describes_itself() {
    let pantry = Pantry::start(&[]);
    for method in ["GET", "POST"] {
        assert_eq!(pantry.request(method, "/v1/ping", &[], b"").json()["ok"], true);
    }
    let described = pantry.get("/v1/openapi.json").json();
    assert_eq!(described["openapi"], "3.1.0");
    let secret = Pantry::start(&["--requirepass", "secret"]);
    let refused = secret.get("/v1/ping");
    assert_eq!(refusal(&refused), (401, "unauthorized".into()));
    assert!(refused.header("www-authenticate").unwrap().starts_with("Basic "));
}
