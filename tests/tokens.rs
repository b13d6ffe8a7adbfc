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

/// A server whose data directory is this one; a file of users may be there.
fn harness(dir: &Scratch) -> Harness {
    let mut harness = Harness::new(Journal::discarding());
    let store = Store::new(Journal::discarding(), Clock::manual(START_MS));
    let aclfile = dir.path().join("users.acl").to_str().unwrap().to_owned();
    let config = Config { dir: dir.path().to_owned(), aclfile, ..Config::default() };
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

/// Makes a token of this user; the word that it is shown as.
fn create(harness: &mut Harness, user: &str) -> String {
    let made = harness.run(&format!("TOKEN CREATE till USER {user}"));
    made.split('"').find(|word| word.starts_with("pt_")).unwrap().to_owned()
}

/// Also when the server was restarted in between.
#[test]
fn tokens_of_a_removed_user_do_not_come_back_with_its_name() {
    let dir = Scratch::new("tokens-deluser");
    let mut before = harness(&dir);
    for user in ["till", "safe", "other"] {
        before.run(&format!("ACL SETUSER {user} on"));
    }
    let mut words = ["till", "safe", "other"].map(|user| create(&mut before, user)).to_vec();
    // The server has not read this one yet.
    let (is_ok, word) = pantry(&dir, &["--create", "late", "--user", "till"]);
    assert!(is_ok, "{word}");
    words.push(word.trim().to_owned());
    let known = |harness: &Harness| -> Vec<bool> {
        let holder = |word: &String| harness.server.tokens.holder_of(word.as_bytes(), START_MS);
        words.iter().map(|word| holder(word).is_some()).collect()
    };
    assert_eq!(before.run("ACL DELUSER till safe nobody"), "(integer) 2");
    assert_eq!(known(&before), [false, false, true, false]);
    before.run("ACL SETUSER till on");
    assert_eq!(known(&before), [false, false, true, false]);
    let mut after = harness(&dir);
    let listed = after.run("TOKEN LIST");
    assert!(listed.contains("other") && !listed.contains("\"safe\""), "{listed}");
    assert_eq!(known(&after), [false, false, true, false]);
}

#[test]
fn tokens_of_a_user_that_the_file_does_not_name_any_more_end() {
    let dir = Scratch::new("tokens-acl-load");
    let mut harness = harness(&dir);
    let file = dir.path().join("users.acl");
    let write = |users: &[&str]| {
        let lines: String = users.iter().map(|user| format!("user {user} on\n")).collect();
        std::fs::write(&file, lines).unwrap();
    };
    write(&["till", "safe"]);
    assert_eq!(harness.run("ACL LOAD"), "OK");
    let words = ["till", "safe"].map(|user| create(&mut harness, user));
    write(&["safe"]);
    assert_eq!(harness.run("ACL LOAD"), "OK");
    let holder = |word: &String| harness.server.tokens.holder_of(word.as_bytes(), START_MS);
    assert_eq!(words.each_ref().map(|word| holder(word).is_some()), [false, true]);
}

/// A file that can not be written is no reason to leave a door open.
#[test]
fn a_user_stays_while_its_tokens_can_not_be_ended() {
    let dir = Scratch::new("tokens-stuck");
    let mut harness = harness(&dir);
    harness.run("ACL SETUSER till on");
    let word = create(&mut harness, "till");
    std::fs::create_dir(dir.path().join(format!("tokens.{}.tmp", std::process::id()))).unwrap();
    let reply = harness.run("ACL DELUSER till");
    assert!(reply.contains("tokens can not be revoked"), "{reply}");
    assert!(harness.run("ACL USERS").contains("till"));
    assert!(harness.server.tokens.holder_of(word.as_bytes(), START_MS).is_some());
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
