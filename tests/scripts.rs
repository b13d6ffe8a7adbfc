//! Runs the golden scripts in `tests/scripts`: what each command answers, as documentation.
//!
//! A block is some commands, `---`, and their replies as redis-cli prints them; `#` begins a comment.
//! `clock +500ms` moves time, `reap` frees what expired, `client b` switches to another connection,
//! `pushes` shows what the client was sent beside its replies, `leave` ends its connection,
//! `sorted` or `sorted-pairs` before a command orders an unordered reply. A file begins with an empty
//! store at 1700000000000 ms. Every script is run on the live store, over an overlay, and once more by
//! replaying its effects into an empty store, which must give an equal store.
//!
//! `UPDATE=1 cargo test --test scripts` writes the replies that came; read the diff.
#![allow(clippy::unwrap_used)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pantry::journal::Journal;
use support::{Harness, dump, render};

#[test]
fn live() {
    let update = std::env::var_os("UPDATE").is_some();
    check_all(|path| {
        let harness = Harness::new(Journal::discarding());
        let (expected, actual) = (fs::read_to_string(path).unwrap(), play(path, harness).0);
        if update && expected != actual {
            fs::write(path, &actual).unwrap();
        }
        (expected, actual)
    });
}

#[test]
fn over_an_overlay() {
    check_all(|path| {
        let mut harness = Harness::new(Journal::discarding());
        harness.over_overlay = true;
        (fs::read_to_string(path).unwrap(), play(path, harness).0)
    });
}

#[test]
fn replaying_the_effects_gives_an_equal_store() {
    check_all(|path| {
        let (_, harness) = play(path, Harness::new(Journal::remembering(u64::MAX)));
        let now_ms = harness.server.store.clock.now_ms();
        let original = dump(&harness.server.store, now_ms).join("\n");
        (original, dump(&harness.replayed(), now_ms).join("\n"))
    });
}

/// Runs every script and compares; reports all differences together.
fn check_all(run: impl Fn(&Path) -> (String, String)) {
    let mut differences = String::new();
    let mut scripts: Vec<PathBuf> =
        fs::read_dir("tests/scripts").unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no scripts found");
    for path in &scripts {
        let (expected, actual) = run(path);
        if expected != actual {
            writeln!(differences, "\n=== {}", path.display()).unwrap();
            differences.push_str(&difference(&expected, &actual));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

fn difference(expected: &str, actual: &str) -> String {
    let mut out = String::new();
    let (mut expected, mut actual) = (expected.lines(), actual.lines());
    for number in 1.. {
        match (expected.next(), actual.next()) {
            (None, None) => break,
            (one, other) if one != other => {
                writeln!(out, "{number}: - {}", one.unwrap_or("(end)")).unwrap();
                writeln!(out, "{number}: + {}", other.unwrap_or("(end)")).unwrap();
            }
            _ => {}
        }
    }
    out
}

/// Runs one script; returns it with the replies that came.
fn play(path: &Path, mut harness: Harness) -> (String, Harness) {
    let script = fs::read_to_string(path).unwrap();
    let mut out = String::new();
    let mut client = "a".to_owned();
    let mut replies = Vec::new();
    let mut in_replies = false;
    for line in script.lines() {
        if line == "---" {
            in_replies = true;
            out.push_str("---\n");
            out.extend(replies.drain(..).map(|reply: String| reply + "\n"));
        } else if line.is_empty() {
            in_replies = false;
            assert!(replies.is_empty(), "{}: a block without ---", path.display());
            out.push('\n');
        } else if !in_replies {
            writeln!(out, "{line}").unwrap();
            if !line.starts_with('#') {
                replies.push(play_line(line, &mut client, &mut harness));
            }
        }
    }
    assert!(replies.is_empty(), "{}: the last block has no ---", path.display());
    (out, harness)
}

fn play_line(line: &str, client: &mut String, harness: &mut Harness) -> String {
    let ok = "OK".to_owned();
    if let Some(by) = line.strip_prefix("clock +").and_then(|by| by.strip_suffix("ms")) {
        harness.advance(Duration::from_millis(by.parse().unwrap()));
        return ok;
    }
    match line {
        "reap" => {
            harness.reap();
            return ok;
        }
        "leave" => {
            harness.leave(client);
            return ok;
        }
        "pushes" => return shown(&harness.pushes(client), None, "(no pushes)"),
        _ => {}
    }
    if let Some(name) = line.strip_prefix("client ")
        && name.len() == 1
    {
        *client = name.to_owned();
        return ok;
    }
    let (command, sorted) = match (line.strip_prefix("sorted "), line.strip_prefix("sorted-pairs "))
    {
        (Some(command), _) => (command, Some(false)),
        (_, Some(command)) => (command, Some(true)),
        _ => (line, None),
    };
    shown(&harness.execute(client, &words(command)), sorted, "(no reply)")
}

fn shown(replies: &[u8], sorted: Option<bool>, none: &str) -> String {
    let mut rest = replies;
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let mut value = render::decode(&mut rest);
        if let Some(in_pairs) = sorted {
            render::sort(&mut value, in_pairs);
        }
        lines.push(render::text(&value));
    }
    if lines.is_empty() { none.to_owned() } else { lines.join("\n") }
}

/// Splits a line as redis-cli does: blanks, `"..."` with escapes, `'...'`.
fn words(line: &str) -> Vec<Vec<u8>> {
    use pantry::resp::request::{Limits, Parsed, RequestParser};
    let mut parser = RequestParser::new();
    let bytes = format!("{line}\r\n").into_bytes();
    let parsed = parser.parse(&bytes, &Limits::default()).unwrap();
    assert!(matches!(parsed, Parsed::Request { .. }), "not a command: {line}");
    parser.args(&bytes).iter().map(<[u8]>::to_vec).collect()
}
