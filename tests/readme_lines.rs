//! The shell lines of README are run as they stand, and do what the text around them says.
//!
//! Only ports and directories are other ones. Lines that begin a server are begun with it; what needs a
//! program that is not installed is SKIPPED. What `docs/qlik.md` shows is run in `tests/qlik`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod http_support;
#[path = "support/scratch.rs"]
mod scratch;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use http_support::{LONG, Pantry};
use scratch::Scratch;

/// The lines that are code and begin with one of these programs.
fn lines(programs: &[&str]) -> Vec<String> {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let code = readme.lines().filter_map(|line| line.strip_prefix("    "));
    let begins = |line: &&str| line.split(' ').next().is_some_and(|word| programs.contains(&word));
    code.filter(begins).map(str::to_owned).collect()
}

/// What a line prints, run by a shell in this directory.
fn shell(line: &str, directory: &Path) -> String {
    let done = Command::new("sh").args(["-c", line]).current_dir(directory).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{line}\n{text}{errors}");
    text
}

/// A server with a directory takes connections before it has loaded it.
fn wait_until_ready(server: &Pantry) {
    let began = Instant::now();
    while server.get("/health/ready").status != 200 {
        assert!(began.elapsed() < LONG, "the server does not become ready");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_installed(program: &str) -> bool {
    let mut asked = Command::new(program);
    let found = asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

#[test]
fn both_doors_show_what_the_other_was_given() {
    if !is_installed("curl") || !is_installed("redis-cli") {
        return;
    }
    let pantry = Pantry::start(&[]);
    let mut printed = Vec::new();
    for line in lines(&["curl", "redis-cli"]) {
        let redis_cli = format!("redis-cli -e -p {}", pantry.redis.port());
        let line = line
            .replace("redis-cli", &redis_cli)
            .replace("127.0.0.1:8080", &pantry.address.to_string())
            .replace("curl ", "curl --silent --show-error --fail ");
        printed.push(shell(&line, Path::new(".")));
    }
    let [made, all, ttl, set, pears] = &printed[..] else { panic!("other lines: {printed:?}") };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let wanted = r#"{"namespace":"shop","key":"apples","value":"3","ttl":60000}"#;
    assert_eq!(json(made), json(wanted));
    assert_eq!(all, "apples\n3\n");
    assert!((1..=60_000).contains(&ttl.trim().parse::<i64>().unwrap()), "{ttl}");
    assert_eq!(set, "1\n");
    assert_eq!(json(pears), json(r#"{"namespace":"shop","key":"pears","value":"5"}"#));
}

/// `pantry check`, `dump`, `repair`, `export` and `import`, one after the other as they stand there.
#[test]
fn tools_work_on_a_directory() {
    let scratch = Scratch::new("readme-tools");
    let directory = scratch.path().join("pantry-data");
    let mut server = Pantry::start(&["--appendonly", "yes", "--dir", directory.to_str().unwrap()]);
    wait_until_ready(&server);
    let made = server.post("/v4/keyvalues/shop", r#"{"key":"apples","value":"3"}"#);
    assert_eq!(made.status, 201);
    server.terminate();
    server.wait();
    let tools = ["check", "dump", "repair", "export", "import"];
    let is_tool = |line: &String| tools.contains(&line.split(' ').nth(1).unwrap_or_default());
    let lines: Vec<String> = lines(&["pantry"]).into_iter().filter(is_tool).collect();
    assert_eq!(lines.len(), tools.len(), "{lines:?}");
    std::fs::create_dir(scratch.path().join("other-data")).unwrap();
    for line in lines {
        let line = line.replacen("pantry", env!("CARGO_BIN_EXE_pantry"), 1);
        shell(&line, scratch.path());
    }
    let other = scratch.path().join("other-data");
    let server = Pantry::start(&["--appendonly", "yes", "--dir", other.to_str().unwrap()]);
    wait_until_ready(&server);
    assert_eq!(server.get("/v4/keyvalues/shop?key=apples").json()["value"], "3");
}

/// Calls that stand within a sentence, one after the other: there is such a pair, and what they name exists.
#[test]
fn calls_that_are_named_are_answered() {
    let pantry = Pantry::start(&[]);
    let mut calls: Vec<String> = Vec::new();
    for page in ["README.md", "docs/qlik.md"] {
        let text = std::fs::read_to_string(page).unwrap();
        let spans = text.split('`').filter(|span| !span.contains('\n'));
        let is_call = |span: &&str| {
            span.split_once(" /")
                .is_some_and(|(method, _)| ["GET", "POST", "PUT", "DELETE"].contains(&method))
        };
        calls.extend(spans.filter(is_call).map(str::to_owned));
    }
    assert!(calls.len() > 15, "{calls:?}");
    // What deletes comes after what reads.
    calls.sort_by_key(|call| call.starts_with("DELETE"));
    calls.sort_by_key(|call| call.starts_with("DELETE") && !call.contains("{key}"));
    let pair = r#"{"key":"apples","value":"3","ttl":"60000"}"#;
    assert_eq!(pantry.post("/v4/keyvalues/shop", pair).status, 201);
    for call in calls {
        let (method, target) = call.split_once(' ').unwrap();
        let target = target.replace("{ns}", "shop").replace("{key}", "apples");
        let target =
            target.replace("since=…", "since=").replace("wait=30s", "wait=1").replace('…', "x");
        let body = if target.starts_with("/v4") && method == "POST" { pair } else { "" };
        let json = ["Content-Type: application/json"];
        let headers = if method == "POST" { &json[..] } else { &[] };
        let mut client = pantry.connect();
        client.send_request(method, &target, headers, body.as_bytes());
        // Of what has no end, the head.
        let status = client.answer("HEAD").status;
        assert!((200..300).contains(&status), "{call}: {status}");
    }
}
