//! Users and rules: what is printed can be read again, and means what it means to a real Redis.
#![allow(clippy::unwrap_used)]

mod oracle;
mod support;

use oracle::{Connection, Oracle};
use pantry::acl::catalog::CATEGORIES;
use pantry::acl::{Acl, User, catalog};
use pantry::journal::Journal;
use pantry::resp::owned::OwnedRequest;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use support::{Harness, render};

/// Rules of every kind.
fn rule() -> impl Strategy<Value = String> {
    let command = prop::sample::select(vec![
        "get",
        "set",
        "hget",
        "hset",
        "lpush",
        "config",
        "config|get",
        "config|set",
        "client",
        "client|id",
        "xgroup|create",
        "select",
        "acl|whoami",
        "GET",
        "sort",
        "publish",
    ]);
    let category = prop::sample::select(CATEGORIES);
    let sign = prop::sample::select(vec!["+", "-"]);
    let pattern = prop::sample::select(vec!["a*", "b", "c[de]?", "app:*", "*x"]);
    let kind = prop::sample::select(vec!["~", "%R~", "%W~", "%RW~", "%w~", "&"]);
    let word = prop::sample::select(vec![
        "on",
        "off",
        "nopass",
        "resetpass",
        ">one",
        ">two",
        "<one",
        "allkeys",
        "resetkeys",
        "~*",
        "allchannels",
        "resetchannels",
        "&*",
        "allcommands",
        "nocommands",
        "+@all",
        "-@all",
        "skip-sanitize-payload",
        "sanitize-payload",
        "reset",
        "clearselectors",
        "+select|0",
        "+select|1",
        "(+get ~a)",
        "(+@read %R~b* &c)",
        "(allkeys allcommands)",
        "( -@all )",
        "nonsense",
        "+nosuch",
        "+@nosuch",
        "%~a",
        "#zz",
    ]);
    prop_oneof![
        (sign.clone(), command).prop_map(|(sign, name)| format!("{sign}{name}")),
        (sign, category).prop_map(|(sign, name)| format!("{sign}@{name}")),
        (kind, pattern).prop_map(|(kind, pattern)| format!("{kind}{pattern}")),
        word.prop_map(str::to_owned),
    ]
}

fn made_of(line: &str) -> User {
    let acl = Acl::new("");
    let rules: Vec<&[u8]> = line.split(' ').skip(2).map(str::as_bytes).collect();
    acl.change("alice", &rules, false).unwrap_or_else(|error| panic!("{line}: {error}"));
    User::clone(&acl.user("alice").unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_makes_an_equal_user(rules in prop::collection::vec(rule(), 0..24)) {
        let acl = Acl::new("");
        for rule in &rules {
            // Bad rules change nothing.
            let before = acl.user("alice");
            if acl.change("alice", &[rule.as_bytes()], false).is_err() {
                prop_assert_eq!(acl.user("alice"), before);
            }
        }
        if let Some(user) = acl.user("alice") {
            let line = String::from_utf8(user.describe()).unwrap();
            let again = made_of(&line);
            prop_assert_eq!(String::from_utf8(again.describe()).unwrap(), line.clone());
            // First arguments of commands that became allowed whole are not printed.
            let at = |args: &[&str]| {
                let request = pantry::resp::owned::OwnedRequest::new(args.iter().map(|a| a.as_bytes()));
                let entry = &catalog().entries[catalog().find_in(request.args()).unwrap()];
                (user.check(entry, request.args()), again.check(entry, request.args()))
            };
            for args in [&["GET", "a"][..], &["SELECT", "0"], &["CONFIG", "GET", "x"],
                         &["LPUSH", "app:1", "x"], &["PUBLISH", "c", "x"], &["COPY", "a", "b"]] {
                let (one, other) = at(args);
                prop_assert_eq!(one, other, "{:?} by {}", args, line);
            }
        }
    }
}

/// What Redis replies, as text.
fn ask(redis: &mut Connection, words: &[&str]) -> String {
    let command = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    render::render(&redis.pipeline(&[command])[0])
}

/// What this server replies, in the words of Redis 7.0, and without the rules for commands, which
/// that writes in a way of its own.
fn ours(harness: &mut Harness, words: &[&str]) -> String {
    let owned: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    render::render(&harness.execute("a", &owned)).replace("User alice has", "This user has")
}

fn without_commands(reply: &str) -> String {
    let is_rule = |line: &&str| {
        ["\"-@all", "\"+@all", "sanitize-payload"].iter().any(|rule| line.contains(rule))
    };
    reply.lines().filter(|line| !is_rule(line)).collect::<Vec<_>>().join("\n")
}

/// Patterns that a file of users, or the configuration file, could read as something else.
const ODD_RULES: [&[u8]; 6] = [
    b"~\xff\xfe*",
    b"~say\"",
    b"~it's",
    b"&back\\slash",
    b"(~\"a\\x22b\" +get)",
    b"(%R~\xfe +get)",
];

#[test]
fn what_a_file_of_users_was_given_it_gives_back() {
    let scratch = support::scratch::Scratch::new("acl-file");
    let path = scratch.path().join("users.acl");
    let acl = Acl::new("");
    acl.change("odd\"name", &ODD_RULES, false).unwrap();
    let before = acl.user("odd\"name").unwrap();
    acl.save(&path).unwrap();
    acl.remove("odd\"name");
    acl.load(&path, false).unwrap();
    assert_eq!(acl.user("odd\"name").unwrap(), before);

    std::fs::write(&path, b"user \xff on\n").unwrap();
    assert!(acl.load(&path, false).unwrap_err().contains("contains invalid characters"));
}

#[test]
fn what_the_configuration_file_was_given_it_gives_back() {
    let acl = Acl::new("");
    let utf8: Vec<&[u8]> =
        ODD_RULES.into_iter().filter(|rule| std::str::from_utf8(rule).is_ok()).collect();
    acl.change("odd\"name", &utf8, false).unwrap();
    let lines = acl.lines("").unwrap();
    let words = |line: &String| {
        let words = OwnedRequest::from_line(line.as_bytes()).unwrap();
        words.args().iter().skip(1).map(|word| String::from_utf8(word.to_vec()).unwrap()).collect()
    };
    let users: Vec<Vec<String>> = lines.iter().map(words).collect();
    let other = Acl::new("");
    other.add_configured(&users, false).unwrap();
    assert_eq!(other.user("odd\"name"), acl.user("odd\"name"));

    acl.change("other", &ODD_RULES, false).unwrap();
    assert!(acl.lines("").unwrap_err().contains("user other are not UTF-8"));
}

#[test]
fn rules_mean_what_they_mean_to_redis() {
    let Some(redis) = Oracle::start() else { return };
    let mut redis = redis.connect();
    let mut harness = Harness::new(Journal::discarding());
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let probes: &[&[&str]] = &[
        &["GET", "a"],
        &["SET", "app:1", "v"],
        &["SET", "a", "1", "GET"],
        &["HSET", "b", "k", "v"],
        &["LPUSH", "cd1", "x"],
        &["COPY", "a", "b"],
        &["SELECT", "0"],
        &["SELECT", "2"],
        &["CONFIG", "GET", "x"],
        &["CONFIG", "SET", "x", "y"],
        &["CLIENT", "ID"],
        &["PUBLISH", "c", "m"],
        &["PSUBSCRIBE", "a*"],
        &["SORT", "a", "STORE", "b"],
        &["ZUNIONSTORE", "a", "2", "b", "app:1"],
        &["XREAD", "STREAMS", "a", "b", "0", "0"],
        &["MSET", "a", "1", "ax", "2"],
        &["EVAL", "x", "1", "a"],
        &["RENAME", "a1", "b"],
        &["XGROUP", "CREATE", "b", "g", "0"],
        &["BITFIELD", "a", "GET", "u8", "0"],
        &["NOSUCH"],
    ];
    let mut compared = 0;
    let mut differences = Vec::new();
    for _ in 0..400 {
        let rules = prop::collection::vec(rule(), 1..6).new_tree(&mut runner).unwrap().current();
        let mut words = vec!["ACL", "SETUSER", "alice"];
        words.extend(rules.iter().map(String::as_str));
        let mut steps = vec![words, vec!["ACL", "GETUSER", "alice"]];
        steps.extend(probes.iter().map(|probe| [&["ACL", "DRYRUN", "alice"], *probe].concat()));
        for step in steps {
            let (ours, theirs) = (ours(&mut harness, &step), ask(&mut redis, &step));
            let (ours, theirs) = (without_commands(&ours), without_commands(&theirs));
            if ours != theirs {
                let user = ask(&mut redis, &["ACL", "LIST"]);
                differences
                    .push(format!("{step:?} after {rules:?}: {ours}\nRedis: {theirs}\n{user}"));
            }
            compared += 1;
        }
    }
    assert!(differences.is_empty(), "{}", differences[..differences.len().min(5)].join("\n\n"));
    assert!(compared > 5_000);
}

#[test]
fn categories_have_the_commands_that_they_have_in_redis() {
    let Some(redis) = Oracle::start() else { return };
    let mut redis = redis.connect();
    let mut differences = Vec::new();
    for category in CATEGORIES {
        let theirs = ask(&mut redis, &["ACL", "CAT", category]);
        let wanted = pantry::acl::catalog::category(category.as_bytes()).unwrap();
        let ours: Vec<&str> =
            catalog().of(wanted).map(|at| catalog().entries[at].name.as_str()).collect();
        for line in theirs.lines() {
            let Some(name) = line.split('"').nth(1) else { continue };
            if !ours.contains(&name) && !NOT_SO.contains(&(category, name)) {
                differences.push(format!("{category}: {name} is missing"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Where a command of Redis 7.0 is in another category in Redis 8, or in this server.
const NOT_SO: &[(&str, &str)] = &[];
