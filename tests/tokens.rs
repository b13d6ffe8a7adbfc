//! Tokens from end to end: made by TOKEN CREATE and by `pantry token`, listed and revoked by either.
//! What a token is worth is tested in `src/token`.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::process::Command;

use pantry::clock::Clock;
use pantry::config::Config;
use pantry::journal::Journal;
use pantry::server::Server;
use pantry::store::Store;

use support::scratch::Scratch;
use support::{Harness, START_MS};

/// A server whose data directory is this one.
fn harness(dir: &Scratch) -> Harness {
    let mut harness = Harness::new(Journal::discarding());
    let store = Store::new(Journal::discarding(), Clock::manual(START_MS));
    let config = Config { dir: dir.path().to_owned(), ..Config::default() };
    harness.server = Server::new(config, store, 1).into();
    harness
}

fn pantry(dir: &Scratch, args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pantry"))
        .args(["token", dir.path().to_str().unwrap()])
        .args(args)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_token_is_shown_once_and_listed_until_it_is_revoked() {
    let dir = Scratch::new("tokens-command");
    let mut harness = harness(&dir);
    assert_eq!(harness.run("TOKEN LIST"), "(empty array)");
    let made = harness.run("TOKEN CREATE till PX 60000");
    let word = made.split('"').find(|word| word.starts_with("pt_")).unwrap().to_owned();
    let id = word.split('_').nth(1).unwrap().to_owned();
    assert!(harness.server.tokens.holder_of(word.as_bytes(), START_MS).is_some());
    let listed = harness.run("TOKEN LIST");
    assert!(listed.contains(&id) && !listed.contains(&word), "{listed}");
    assert!(listed.contains(&(START_MS + 60_000).to_string()), "{listed}");
    assert_eq!(harness.run(&format!("TOKEN REVOKE {id}")), "(integer) 1");
    assert_eq!(harness.run(&format!("TOKEN REVOKE {id}")), "(integer) 0");
    assert_eq!(harness.run("TOKEN LIST"), "(empty array)");
    assert_eq!(harness.server.tokens.holder_of(word.as_bytes(), START_MS), None);
}

#[test]
fn the_tool_works_beside_a_server() {
    let dir = Scratch::new("tokens-tool");
    let mut harness = harness(&dir);
    let (is_ok, text) = pantry(&dir, &["--create", "nobody's"]);
    assert!(!is_ok && text.contains("--user"), "{text}");
    let made = ["--create", "reload chain", "--user", "default", "--days", "30"];
    let (is_ok, word) = pantry(&dir, &made);
    assert!(is_ok && word.starts_with("pt_"), "{word}");
    let id = word.split('_').nth(1).unwrap();
    assert!(harness.run("TOKEN LIST").contains(id));
    let (is_ok, listed) = pantry(&dir, &[]);
    assert!(is_ok && listed.contains(id) && listed.contains("\"reload chain\" acts as default"));
    assert!(listed.contains("ends in 29 days; never used"), "{listed}");
    assert_eq!(pantry(&dir, &["--revoke", id]), (true, "revoked\n".to_owned()));
    let (is_ok, text) = pantry(&dir, &["--revoke", id]);
    assert!(!is_ok && text.contains("there is no token"), "{text}");
    assert_eq!(harness.run("TOKEN LIST"), "(empty array)");
}
