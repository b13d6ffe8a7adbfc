//! What administrators do over HTTP: limits of namespaces, which both doors keep, and tokens from end to
//! end. What the commands behind them do is shown in `tests/scripts`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod http_support;
#[path = "support/scratch.rs"]
mod scratch;

use std::time::Instant;

use http_support::{Answer, LONG, Pantry};
use scratch::Scratch;
use serde_json::{Value, json};

/// `boss` may do everything, `till` may use namespaces, `clerk` may make tokens too.
fn start(name: &str, flags: &[&str]) -> (Pantry, Scratch) {
    let scratch = Scratch::new(name);
    let users = scratch.path().join("users.acl");
    let text = "user default off\n\
                user boss on >boss ~* &* +@all\n\
                user till on >till ~* +@hash +@read +@connection\n\
                user clerk on >clerk ~* +@hash +token\n";
    std::fs::write(&users, text).unwrap();
    let dir = scratch.path().to_str().unwrap();
    let mut all = vec!["--dir", dir, "--aclfile", users.to_str().unwrap()];
    all.extend(flags);
    (Pantry::start(&all), scratch)
}

const BOSS: &str = "Authorization: Basic Ym9zczpib3Nz";
const TILL: &str = "Authorization: Basic dGlsbDp0aWxs";
const CLERK: &str = "Authorization: Basic Y2xlcms6Y2xlcms=";

fn ask(pantry: &Pantry, who: &str, method: &str, target: &str) -> Answer {
    pantry.request(method, target, &[who], b"")
}

fn error(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["error"].clone())
}

#[test]
fn a_limit_holds_at_both_doors() {
    let (pantry, _scratch) = start("admin-limits", &[]);
    let boss = |method: &str, target: &str| ask(&pantry, BOSS, method, target);
    let set = boss("PUT", "/v1/namespaces/shop/limits?pairs_max=2&ack=json");
    assert_eq!(set.json(), json!({"namespace": "shop", "pairs_max": 2, "bytes_max": 0}));
    for key in ["a", "b"] {
        assert_eq!(
            ask(&pantry, TILL, "POST", &format!("/v1/set?namespace=shop&key={key}&value=1")).status,
            200
        );
    }
    let namespaces = boss("GET", "/v1/namespaces").json();
    let shop =
        namespaces.as_array().unwrap().iter().find(|row| row["namespace"] == "shop").unwrap();
    assert_eq!((&shop["pairs_max"], &shop["bytes_max"]), (&json!(2), &json!(0)));
    let full = ask(&pantry, TILL, "POST", "/v1/set?namespace=shop&key=c&value=1");
    assert_eq!(error(&full), (507, json!("limit_reached")));
    let soft = ask(&pantry, TILL, "POST", "/v1/set?namespace=shop&key=c&value=1&soft=1");
    assert_eq!((soft.status, soft.json()["status"].clone()), (200, json!(507)));
    // One that is there may be changed.
    assert_eq!(ask(&pantry, TILL, "POST", "/v1/set?namespace=shop&key=a&value=2").status, 200);

    let json_type = "Content-Type: application/json";
    let rows = br#"[{"namespace":"shop","key":"a","value":"9"},{"namespace":"shop","key":"c","value":"9"}]"#;
    let bulk = pantry.request("POST", "/v1/set-many", &[TILL, json_type], rows);
    assert_eq!(error(&bulk), (507, json!("limit_reached")));
    let pair = ask(&pantry, TILL, "GET", "/v1/get?namespace=shop&key=a").json();
    assert_eq!(pair["value"], "2", "all or nothing");
    let import = pantry.request(
        "POST",
        "/v1/import",
        &[TILL, "Content-Type: application/x-ndjson"],
        br#"{"namespace":"shop","key":"c","value":"9"}"#,
    );
    assert_eq!(error(&import), (507, json!("limit_reached")));
    let butler = pantry.request(
        "POST",
        "/v4/keyvalues/shop",
        &[TILL, json_type],
        br#"{"key":"c","value":"1"}"#,
    );
    assert_eq!((butler.status, butler.json()["statusCode"].clone()), (507, json!(507)));

    let url = format!("redis://till:till@{}", pantry.redis);
    let mut redis = redis::Client::open(url).unwrap().get_connection().unwrap();
    let refused = redis::cmd("HSET").arg("shop").arg("c").arg(1).query::<i64>(&mut redis);
    assert_eq!(refused.unwrap_err().code(), Some("LIMITREACHED"));

    let described = boss("GET", "/v1/namespaces/shop").json();
    assert_eq!((&described["pairs"], &described["pairs_max"]), (&json!(2), &json!(2)));
    assert_eq!(boss("POST", "/v1/delete-namespace?namespace=shop").status, 200);
    let listed = boss("GET", "/v1/limits").json();
    assert_eq!(listed, json!([{"namespace": "shop", "pairs_max": 2, "bytes_max": 0}]));
    assert_eq!(boss("POST", "/v1/limit?namespace=shop&pairs_max=0").status, 200);
    assert_eq!(boss("GET", "/v1/limits").json(), json!([]));
}

#[test]
fn a_limit_is_for_administrators_to_set() {
    let (pantry, _scratch) = start("admin-limits-rights", &["--max-keys-per-namespace", "1"]);
    for target in
        ["/v1/limit?namespace=shop&pairs_max=9", "/v1/namespaces?namespace=shop&pairs_max=9"]
    {
        let refused = ask(&pantry, TILL, "POST", target);
        assert_eq!(error(&refused), (403, json!("forbidden")), "{target}");
    }
    assert_eq!(ask(&pantry, TILL, "GET", "/v1/namespaces/shop").status, 404, "nothing was made");
    // Whoever has no limit of its own has that of all.
    assert_eq!(ask(&pantry, TILL, "POST", "/v1/set?namespace=shop&key=a&value=1").status, 200);
    let full = ask(&pantry, TILL, "POST", "/v1/set?namespace=shop&key=b&value=1");
    assert_eq!(error(&full), (507, json!("limit_reached")));

    let made =
        ask(&pantry, BOSS, "POST", "/v1/namespaces?namespace=large&pairs_max=2&bytes_max=1000");
    assert_eq!(made.json()["created"], true);
    let described = ask(&pantry, TILL, "GET", "/v1/namespaces/large").json();
    assert_eq!((&described["pairs_max"], &described["bytes_max"]), (&json!(2), &json!(1000)));
    for key in ["a", "b"] {
        assert_eq!(
            ask(&pantry, TILL, "POST", &format!("/v1/set?namespace=large&key={key}&value=1"))
                .status,
            200
        );
    }
    for (target, word) in [
        ("/v1/limit?namespace=shop", "missing_parameter"),
        ("/v1/limit?namespace=shop&pairs_max=-1", "invalid_parameter"),
        ("/v1/limit?namespace=shop&bytes_max=many", "invalid_parameter"),
        ("/v1/limit?pairs_max=1", "missing_parameter"),
    ] {
        assert_eq!(error(&ask(&pantry, BOSS, "POST", target)), (400, json!(word)), "{target}");
    }
}

#[test]
fn limits_outlive_the_process() {
    let scratch = Scratch::new("admin-limits-kept");
    let flags = ["--appendonly", "yes", "--dir", scratch.path().to_str().unwrap()];
    let pantry = Pantry::start(&flags);
    assert_eq!(pantry.post("/v1/limit?namespace=a&pairs_max=1", "{}").status, 200);
    // One is in the snapshot, the other in the journal behind it.
    let redis = redis::Client::open(format!("redis://{}", pantry.redis)).unwrap();
    redis::cmd("SAVE").query::<()>(&mut redis.get_connection().unwrap()).unwrap();
    assert_eq!(pantry.post("/v1/limit?namespace=b&bytes_max=1000", "{}").status, 200);
    drop(pantry);

    let pantry = Pantry::start(&flags);
    let began = Instant::now();
    while pantry.get("/health/ready").status != 200 {
        assert!(began.elapsed() < LONG);
    }
    let kept = json!([
        {"namespace": "a", "pairs_max": 1, "bytes_max": 0},
        {"namespace": "b", "pairs_max": 0, "bytes_max": 1000},
    ]);
    assert_eq!(pantry.get("/v1/limits").json(), kept);
    let rows =
        r#"[{"namespace":"a","key":"k","value":"v"},{"namespace":"a","key":"l","value":"v"}]"#;
    assert_eq!(error(&pantry.post("/v1/set-many", rows)), (507, json!("limit_reached")));
}

#[test]
fn a_token_lets_in_until_it_is_revoked() {
    let (pantry, _scratch) = start("admin-tokens", &[]);
    let made = ask(
        &pantry,
        BOSS,
        "POST",
        "/v1/tokens?name=reload chain&user=till".replace(' ', "%20").as_str(),
    );
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json();
    let (secret, id) = (made["secret"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert!(secret.starts_with("pt_") && secret.contains(id));
    assert_eq!((&made["name"], &made["user"]), (&json!("reload chain"), &json!("till")));
    assert_eq!((&made["expires_at"], &made["last_used_at"]), (&Value::Null, &Value::Null));

    for header in [format!("Authorization: Bearer {secret}"), format!("X-API-Key: {secret}")] {
        assert_eq!(ask(&pantry, &header, "POST", "/v1/set?namespace=n&key=k&value=v").status, 200);
        assert_eq!(ask(&pantry, &header, "GET", "/v4/keyvalues/n?key=k").status, 200);
        // It may do what its user may, and no more.
        assert_eq!(error(&ask(&pantry, &header, "GET", "/v1/tokens")), (403, json!("forbidden")));
        let who = pantry.request(
            "POST",
            "/v1/command",
            &[&header, "Content-Type: application/json"],
            br#"["ACL","WHOAMI"]"#,
        );
        assert!(who.json()["error"].as_str().unwrap().contains("till"), "{}", who.text());
    }
    let listed = ask(&pantry, BOSS, "GET", "/v1/tokens");
    assert!(!listed.text().contains(secret), "{}", listed.text());
    let token = &listed.json()[0];
    assert_eq!((&token["id"], &token["user"]), (&json!(id), &json!("till")));
    assert!(token["last_used_at"].as_str().is_some_and(|at| at.starts_with("20")), "{token}");

    let revoke = format!("/v1/tokens/{id}");
    assert_eq!(ask(&pantry, BOSS, "DELETE", &revoke).status, 204);
    assert_eq!(error(&ask(&pantry, BOSS, "DELETE", &revoke)), (404, json!("token_not_found")));
    let header = format!("X-API-Key: {secret}");
    assert_eq!(error(&ask(&pantry, &header, "GET", "/v1/ping")), (401, json!("unauthorized")));
    assert_eq!(ask(&pantry, BOSS, "GET", "/v1/tokens").json(), json!([]));
}

#[test]
fn a_token_ends_by_itself() {
    let (pantry, _scratch) = start("admin-tokens-end", &[]);
    let made = ask(&pantry, BOSS, "POST", "/v1/tokens?name=short&ttl=1500").json();
    assert!(made["expires_at"].is_string());
    let header = format!("X-API-Key: {}", made["secret"].as_str().unwrap());
    assert_eq!(ask(&pantry, &header, "GET", "/v1/ping").status, 200);
    let deadline = Instant::now() + LONG;
    while ask(&pantry, &header, "GET", "/v1/ping").status == 200 {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    for (target, word) in [
        ("/v1/tokens", "missing_parameter"),
        ("/v1/tokens?name=x&ttl=0", "invalid_parameter"),
        ("/v1/tokens?name=x&ttl=keep", "invalid_parameter"),
        ("/v1/tokens?name=x&user=nobody", "invalid_argument"),
    ] {
        assert_eq!(error(&ask(&pantry, BOSS, "POST", target)), (400, json!(word)), "{target}");
    }
}

#[test]
fn a_token_gives_nobody_more_than_he_has() {
    let (pantry, _scratch) = start("admin-tokens-rights", &[]);
    let refused = ask(&pantry, TILL, "POST", "/v1/tokens?name=mine");
    assert_eq!(error(&refused), (403, json!("forbidden")));
    for user in ["boss", "till", "default"] {
        let refused = ask(&pantry, CLERK, "POST", &format!("/v1/tokens?name=mine&user={user}"));
        assert_eq!(error(&refused), (403, json!("forbidden")), "{user}");
    }
    let made = ask(&pantry, CLERK, "POST", "/v1/tokens?name=mine").json();
    assert_eq!(made["user"], "clerk", "it acts as who made it");
    let made = ask(&pantry, BOSS, "POST", "/v1/tokens?name=mine").json();
    assert_eq!(made["user"], "boss");
}
