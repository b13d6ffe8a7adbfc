//! Append-only directories of a real redis-server: what is imported is what it holds.

use std::fs;

use crate::oracle::{Oracle, Random, Reply, command};
use crate::support::scratch::Scratch;
use crate::support::{START_MS, dump};
use crate::{imported, store};

/// Commands as a program sends them; some about types that are not kept here.
fn play(oracle: &mut Oracle, random: &Random, commands: usize) {
    let mut batch = Vec::new();
    let kinds = if oracle.has("HSETEX") { 21 } else { 18 };
    for _ in 0..commands {
        let name = format!("name {}", random.below(20));
        let name = name.as_bytes();
        let key = format!("key {}", random.below(30));
        let value = random.bytes(&(0..=255).collect::<Vec<u8>>(), random.below(40));
        let number = random.between(-50, 50).to_string();
        let db = random.below(3).to_string();
        batch.push(match random.below(kinds) {
            0 | 1 => command(&[b"SET", name, &value]),
            2 => command(&[b"SET", name, &value, b"EX", b"1000000000"]),
            3..=6 => command(&[b"HSET", name, key.as_bytes(), &value]),
            7 => command(&[b"HDEL", name, key.as_bytes()]),
            8 => command(&[b"HINCRBYFLOAT", name, b"float", b"0.1"]),
            9 => command(&[b"INCRBY", name, number.as_bytes()]),
            10 => command(&[b"DEL", name]),
            11 => command(&[b"EXPIRE", name, b"1000000000"]),
            12 => command(&[b"PERSIST", name]),
            13 => command(&[b"RENAME", name, b"name 3"]),
            14 => command(&[b"SELECT", db.as_bytes()]),
            15 => command(&[b"SWAPDB", b"0", b"1"]),
            16 => command(&[b"RPUSH", b"list", &value]),
            17 => command(&[b"COPY", name, b"name 5", b"REPLACE"]),
            18 => command(&[
                b"HSETEX",
                name,
                b"EX",
                b"9000000",
                b"FIELDS",
                b"1",
                key.as_bytes(),
                &value,
            ]),
            19 => command(&[b"HEXPIRE", name, b"9000000", b"FIELDS", b"1", key.as_bytes()]),
            _ => command(&[b"HGETEX", name, b"PERSIST", b"FIELDS", b"1", key.as_bytes()]),
        });
        if random.below(20) == 0 {
            batch.insert(batch.len() - 1, command(&[b"MULTI"]));
            batch.push(command(&[b"EXEC"]));
        }
    }
    oracle.pipeline(&batch);
}

/// What Redis holds of strings and hashes, a line a name or pair, as [`dump`] has it.
fn content(oracle: &mut Oracle) -> Vec<String> {
    let mut lines = Vec::new();
    for db in 0..16 {
        oracle.run(&[b"SELECT", db.to_string().as_bytes()]);
        let Reply::Array(names) = oracle.run(&[b"KEYS", b"*"]) else { panic!("no names") };
        for name in names {
            let Reply::Bulk(Some(name)) = name else { panic!("no name") };
            let shown = name.escape_ascii();
            let deadline = match oracle.run(&[b"PEXPIRETIME", &name]) {
                Reply::Integer(at_ms) => u64::try_from(at_ms).ok(),
                other => panic!("{other:?}"),
            };
            match (oracle.run(&[b"GET", &name]), oracle.run(&[b"HGETALL", &name])) {
                (Reply::Bulk(Some(value)), _) => {
                    let value = value.escape_ascii();
                    lines.push(format!("{db} {shown} = {value} {:?}", Some(deadline)));
                }
                (_, Reply::Array(pairs)) => {
                    lines.push(format!("{db} {shown} {deadline:?} kept=false"));
                    for pair in pairs.chunks(2) {
                        let [Reply::Bulk(Some(key)), Reply::Bulk(Some(value))] = pair else {
                            panic!("{pair:?}")
                        };
                        let deadline = pair_deadline(oracle, &name, key);
                        let (key, value) = (key.escape_ascii(), value.escape_ascii());
                        lines.push(format!("{db} {shown} / {key} = {value} {deadline:?}"));
                    }
                }
                _ => {}
            }
        }
    }
    lines.sort();
    lines
}

/// None either if Redis has none of them.
fn pair_deadline(oracle: &mut Oracle, name: &[u8], key: &[u8]) -> Option<u64> {
    match oracle.run(&[b"HPEXPIRETIME", name, b"FIELDS", b"1", key]) {
        Reply::Array(times) => match times[..] {
            [Reply::Integer(at_ms)] => u64::try_from(at_ms).ok(),
            _ => panic!("{times:?}"),
        },
        _ => None,
    }
}

fn rewrite(oracle: &mut Oracle) {
    oracle.run(&[b"BGREWRITEAOF"]);
    loop {
        let Reply::Bulk(Some(info)) = oracle.run(&[b"INFO", b"persistence"]) else {
            panic!("no info")
        };
        let info = String::from_utf8(info).unwrap();
        if info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn directories_of_redis() {
    let settings = [
        ["--aof-use-rdb-preamble", "yes", "--aof-timestamp-enabled", "no"],
        ["--aof-use-rdb-preamble", "no", "--aof-timestamp-enabled", "yes"],
    ];
    for (number, settings) in settings.into_iter().enumerate() {
        let scratch = Scratch::new(&format!("aof-redis-{number}"));
        let random = Random::new(number as u64);
        let mut arguments = vec!["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
        arguments.extend(settings);
        let Some(mut oracle) = Oracle::start_in(scratch.path(), &arguments) else { return };
        for _ in 0..2 {
            play(&mut oracle, &random, 2000);
            rewrite(&mut oracle);
            play(&mut oracle, &random, 2000);
            let expected = content(&mut oracle);
            assert!(expected.len() > 50);

            let store = store();
            let directory = scratch.path().join("appendonlydir");
            let report = imported(&directory, &store);
            assert_eq!(dump(&store, START_MS), expected, "settings {number}");
            let aof = report.aof.unwrap();
            assert!(aof.commands > 100 && aof.cut.is_none());
            assert_eq!(aof.passed_over.keys().collect::<Vec<_>>(), ["RPUSH"]);
            assert_eq!(aof.relative_lifetimes, 0);

            check_old_style(&scratch, &directory, &expected);
        }
    }
}

/// Before Redis 7 there was one file: what is now the base, and behind it what came later.
fn check_old_style(scratch: &Scratch, directory: &std::path::Path, expected: &[String]) {
    let mut files: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |kind: &str| {
        let path = files.iter().rfind(|path| path.to_str().unwrap().contains(kind)).unwrap();
        fs::read(path).unwrap()
    };
    let path = scratch.path().join("old-style.aof");
    // What follows the base selects its database anew.
    fs::write(&path, [read(".base."), read(".incr.")].concat()).unwrap();
    let store = store();
    imported(&path, &store);
    assert_eq!(dump(&store, START_MS), expected);
}
