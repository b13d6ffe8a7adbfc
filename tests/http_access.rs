//! Who gets in at the HTTP door: passwords, hosts, origins, health, how many.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod http_support;

use std::io::{Read as _, Write as _};
use std::time::Instant;

use http_support::{LONG, Pantry};
use serde_json::json;

const PAIR: &str = "/v4/keyvalues/n?key=k";

#[test]
fn the_password_is_wanted_everywhere_but_at_health() {
    let pantry = Pantry::start(&["--requirepass", "sécret:1"]);
    for target in ["/v4/butlerping", PAIR, "/nothing"] {
        let refused = pantry.get(target);
        assert_eq!(
            (refused.status, refused.header("www-authenticate")),
            (401, Some("Basic realm=\"pantry\""))
        );
        let body = json!({"statusCode": 401, "error": "Unauthorized", "message": "Authentication required."});
        assert_eq!(refused.json(), body);
    }
    assert_eq!(pantry.get("/health/ready").status, 200);

    let with = |value: &str| {
        pantry.request("GET", "/v4/butlerping", &[&format!("Authorization: {value}")], b"").status
    };
    // default:sécret:1 and :sécret:1
    for value in ["Basic ZGVmYXVsdDpzw6ljcmV0OjE=", "basic OnPDqWNyZXQ6MQ==", "Bearer sécret:1"] {
        assert_eq!(with(value), 200, "{value}");
    }
    // root:sécret:1, default:wrong, no base64, other schemes
    for value in [
        "Basic cm9vdDpzw6ljcmV0OjE=",
        "Basic ZGVmYXVsdDp3cm9uZw==",
        "Basic ???",
        "Bearer x",
        "Digest a",
        "",
    ] {
        assert_eq!(with(value), 401, "{value}");
    }
    let twice = ["Authorization: Bearer sécret:1"; 2];
    assert_eq!(pantry.request("GET", "/v4/butlerping", &twice, b"").status, 401);
    let long = format!("Authorization: Bearer {}", "x".repeat(20_000));
    assert_eq!(pantry.request("GET", "/v4/butlerping", &[&long], b"").status, 401);
}

#[test]
fn an_unknown_token_is_refused() {
    let pantry = Pantry::start(&["--requirepass", "secret"]);
    let unknown = "pt_0123456789ab_00";
    for header in [format!("Authorization: Bearer {unknown}"), format!("X-API-Key: {unknown}")] {
        assert_eq!(pantry.request("GET", "/v4/butlerping", &[&header], b"").status, 401);
    }
}

#[test]
fn each_request_brings_its_own_password() {
    let pantry = Pantry::start(&["--requirepass", "secret"]);
    let mut client = pantry.connect();
    client.send_request("GET", "/v4/butlerping", &["Authorization: Bearer secret"], b"");
    assert_eq!(client.answer("GET").status, 200);
    client.send_request("GET", "/v4/butlerping", &[], b"");
    assert_eq!(client.answer("GET").status, 401);
    let body = br#"{"key":"k","value":"v"}"#;
    client.send_request("POST", "/v4/keyvalues/n", &["Content-Type: application/json"], body);
    assert_eq!(client.answer("POST").status, 401);
    client.send_request("GET", "/v4/keylist/n", &["Authorization: Bearer secret"], b"");
    assert_eq!(client.answer("GET").status, 400);
}

#[test]
fn loopback_serves_loopback_names_only() {
    let pantry = Pantry::start(&["--http-allowed-host", "pantry.example"]);
    let status = |host: &str| {
        let mut client = pantry.connect();
        client.send(format!("GET /v4/butlerping HTTP/1.1\r\n{host}\r\n\r\n"));
        client.answer("GET").status
    };
    for host in
        ["localhost", "LOCALHOST:80", "127.0.0.1", "127.1.2.3:9", "[::1]:80", "Pantry.example:8080"]
    {
        assert_eq!(status(&format!("Host: {host}")), 200, "{host}");
    }
    for host in ["attacker.example", "localhost.evil", "10.0.0.1", "127.0.0.1.evil:80"] {
        assert_eq!(status(&format!("Host: {host}")), 421, "{host}");
    }
    assert_eq!(status("Host: "), 421);
    assert_eq!(status("X: y"), 400);
    assert_eq!(status("Host: localhost\r\nHost: localhost"), 400);

    let refused = pantry.request("GET", PAIR, &[], b"");
    assert_eq!(refused.status, 400);
    let mut client = pantry.connect();
    client.send("GET http://evil.example/v4/butlerping HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer("GET").status, 400);
    client.send("GET http://localhost/v4/butlerping HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer("GET").status, 200);
    let mut old = pantry.connect();
    old.send("GET /v4/butlerping HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer("GET").status, 200);
    assert!(old.is_closed());
}

#[test]
fn no_origin_may_read_unless_it_is_named() {
    let pantry = Pantry::start(&[]);
    let got = pantry.request("GET", "/v4/butlerping", &["Origin: https://qlik.example"], b"");
    assert_eq!((got.status, got.header("access-control-allow-origin")), (200, None));
    let asked = ["Origin: https://qlik.example", "Access-Control-Request-Method: POST"];
    let preflight = pantry.request("OPTIONS", "/v4/keyvalues/n", &asked, b"");
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (404, None));
}

#[test]
fn named_origins_may_read() {
    let pantry = Pantry::start(&["--http-cors-origin", "https://qlik.example"]);
    let asked = |origin: &str| {
        let origin = format!("Origin: {origin}");
        let headers = [
            origin.as_str(),
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type,authorization",
            "Access-Control-Request-Private-Network: true",
        ];
        pantry.request("OPTIONS", "/v4/keyvalues/n", &headers, b"")
    };
    let preflight = asked("https://qlik.example");
    assert_eq!(preflight.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://qlik.example"),
        ("access-control-allow-methods", "GET, HEAD, POST, PUT, DELETE"),
        ("access-control-allow-headers", "content-type,authorization"),
        ("access-control-allow-private-network", "true"),
        ("vary", "origin"),
    ] {
        assert_eq!(preflight.header(name), Some(value));
    }
    for origin in
        ["null", "http://qlik.example", "https://qlik.example.evil", "https://evil.example"]
    {
        let preflight = asked(origin);
        assert_eq!(
            (preflight.status, preflight.header("access-control-allow-origin")),
            (404, None)
        );
    }
    let got = pantry.request("GET", PAIR, &["Origin: https://qlik.example"], b"");
    assert_eq!(got.header("access-control-allow-origin"), Some("https://qlik.example"));
    assert_eq!(pantry.get(PAIR).header("vary"), Some("origin"));
    assert_eq!(got.header("access-control-allow-credentials"), None);
}

#[test]
fn any_origin_may_read_but_not_from_a_public_page_into_a_private_network() {
    let pantry = Pantry::start(&["--http-cors-origin", "*", "--requirepass", "secret"]);
    let asked = [
        "Origin: https://any.example",
        "Access-Control-Request-Method: DELETE",
        "Access-Control-Request-Private-Network: true",
    ];
    let preflight = pantry.request("OPTIONS", "/v4/keyvalues/n", &asked, b"");
    assert_eq!(
        (preflight.status, preflight.header("access-control-allow-origin")),
        (204, Some("*"))
    );
    assert_eq!(preflight.header("access-control-allow-private-network"), None);
    let refused = pantry.request("GET", PAIR, &["Origin: null"], b"");
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some("*")));
}

#[test]
fn health_is_json() {
    let pantry = Pantry::start(&[]);
    assert_eq!(pantry.get("/health/live").json(), json!({"status": "live"}));
    assert_eq!(pantry.get("/health/ready?x=1").json(), json!({"status": "ready"}));
    assert_eq!(pantry.request("HEAD", "/health/ready", &[], b"").status, 200);
    assert_eq!(pantry.get("/health/other").status, 404);
    assert_eq!(pantry.request("POST", "/health/live", &[], b"").status, 404);
}

#[test]
fn one_client_too_many_is_told_so() {
    let pantry = Pantry::start(&["--maxclients", "3"]);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = pantry.connect();
        client.send_request("GET", "/health/live", &[], b"");
        assert_eq!(client.answer("GET").status, 200);
        clients.push(client);
    }
    let mut refused = pantry.connect();
    let answer = refused.answer("GET");
    assert_eq!((answer.status, answer.json()["statusCode"].as_u64()), (503, Some(503)));
    assert!(refused.is_closed());
}

#[test]
fn clients_that_left_make_room() {
    let pantry = Pantry::start(&["--maxclients", "3"]);
    for round in 0..100 {
        let deadline = Instant::now() + LONG;
        loop {
            let mut client = pantry.connect();
            match round % 3 {
                0 => client.send("GET /v4/but"),
                1 => client.stream.shutdown(std::net::Shutdown::Write).unwrap(),
                _ => {}
            }
            let mut client = pantry.connect();
            client.send_request("GET", "/health/live", &[], b"");
            if client.answer("GET").status == 200 {
                break;
            }
            assert!(Instant::now() < deadline);
        }
    }
}

#[test]
fn an_http_client_can_be_killed() {
    let pantry = Pantry::start(&[]);
    let mut client = pantry.connect();
    client.send_request("GET", "/health/live", &[], b"");
    assert_eq!(client.answer("GET").status, 200);
    let redis = redis::Client::open(format!("redis://{}", pantry.redis)).unwrap();
    let mut redis = redis.get_connection().unwrap();
    let address = client.stream.local_addr().unwrap().to_string();
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("ADDR").arg(address);
    assert_eq!(kill.query::<i64>(&mut redis).unwrap(), 1);
    assert!(client.is_closed());
}

#[test]
fn a_user_sees_only_the_namespaces_it_may_read() {
    let users = std::env::temp_dir().join(format!("pantry-{}-users.acl", std::process::id()));
    let text =
        "user default on nopass ~* &* +@all\nuser alice on >secret %R~app:* %W~log:* +@all\n";
    std::fs::write(&users, text).unwrap();
    let pantry = Pantry::start(&["--aclfile", users.to_str().unwrap()]);
    std::fs::remove_file(&users).unwrap();
    for namespace in ["app:1", "log:1"] {
        let target = format!("/v4/keyvalues/{namespace}");
        assert!(pantry.post(&target, r#"{"key":"k","value":"v"}"#).status < 300);
    }
    assert_eq!(pantry.get("/v4/keyvaluesnamespaces").json(), json!(["app:1", "log:1"]));

    let alice = ["Authorization: Basic YWxpY2U6c2VjcmV0"];
    let seen = pantry.request("GET", "/v4/keyvaluesnamespaces", &alice, b"");
    assert_eq!(seen.json(), json!(["app:1"]));
    let seen = pantry.request("GET", "/v1/namespaces", &alice, b"");
    assert!(seen.text().contains("app:1") && !seen.text().contains("log:1"), "{}", seen.text());
}

#[test]
fn what_changes_something_waits_for_the_end_of_a_pause_but_not_for_ever() {
    let pantry = Pantry::start(&["--http-body-timeout-ms", "1000"]);
    let pause = |command: &str| {
        let mut redis = std::net::TcpStream::connect(pantry.redis).unwrap();
        redis.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut reply = [0; 5];
        redis.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+OK\r\n");
    };
    let set = || pantry.post("/v4/keyvalues/n", r#"{"key":"k","value":"v"}"#).status;
    assert_eq!(set(), 201);

    pause("CLIENT PAUSE 100000 WRITE");
    assert_eq!(pantry.get(PAIR).status, 200);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(set);
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(!waiting.is_finished());
        pause("CLIENT UNPAUSE");
        assert_eq!(waiting.join().unwrap(), 201);
    });

    pause("CLIENT PAUSE 100000 WRITE");
    assert_eq!(set(), 503);
    let refused = pantry.post("/v1/set", r#"{"namespace":"n","key":"k","value":"v"}"#);
    assert_eq!((refused.status, &refused.json()["error"]), (503, &json!("busy")));
}

/// An address of this machine that other machines could reach.
fn outer_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    // Nothing is sent.
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn without_a_password_only_this_machine_is_served_at_both_doors() {
    let Some(outer) = outer_address() else {
        println!("SKIPPED: this machine has no address but loopback");
        return;
    };
    let bind = format!("127.0.0.1 {outer}");
    let said = |flags: &[&str]| {
        let pantry = Pantry::start(&[&["--bind", &bind, "--http-bind", &bind][..], flags].concat());
        assert_eq!(pantry.get("/v1/ping").status == 401, flags.contains(&"--requirepass"));
        let ports = [pantry.redis.port(), pantry.address.port()];
        let request =
            format!("GET /v4/butlerping HTTP/1.1\r\nHost: {outer}\r\nConnection: close\r\n\r\n");
        [(ports[0], "PING\r\nQUIT\r\n"), (ports[1], &request)].map(|(port, request)| {
            let mut stream = std::net::TcpStream::connect((outer, port)).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            // Who is refused may be gone already.
            let _ = stream.write_all(request.as_bytes());
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            String::from_utf8(answer.to_vec()).unwrap()
        })
    };
    assert_eq!(said(&[]), ["-DENIED Redi", "HTTP/1.1 403"]);
    assert_eq!(said(&["--protected-mode", "no"]), ["+PONG\r\n+OK\r\n", "HTTP/1.1 200"]);
    assert_eq!(said(&["--requirepass", "secret"]), ["-NOAUTH Auth", "HTTP/1.1 401"]);
}
