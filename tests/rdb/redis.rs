//! Against a real redis-server: its files are read here, in every form that it writes; ours are read there.

use std::collections::BTreeMap;
use std::fs;

use pantry::rdb::pairs::PairBuffer;
use pantry::rdb::writer::{Version, Writer};

use crate::oracle::{Oracle, Random, Reply, command};
use crate::read;
use crate::scratch::Scratch;

/// Name, then what it holds, keys sorted.
type Content = BTreeMap<Vec<u8>, Pairs>;
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Settings under which hashes and other types take one form or another.
const SETTINGS: [&[(&str, &str)]; 3] = [
    &[("hash-max-listpack-entries", "100000"), ("hash-max-listpack-value", "100000")],
    &[
        ("hash-max-listpack-entries", "0"),
        ("set-max-intset-entries", "0"),
        ("zset-max-listpack-entries", "0"),
        ("list-max-listpack-size", "1"),
    ],
    &[("rdbcompression", "no"), ("rdbchecksum", "no")],
];

/// Values of which Redis writes some as integers, some compressed, some as they are.
fn values(random: &Random) -> Vec<u8> {
    match random.below(8) {
        0 => random.between(-200, 200).to_string().into_bytes(),
        1 => random.between(-70_000, 70_000).to_string().into_bytes(),
        2 => random.between(-5_000_000_000, 5_000_000_000).to_string().into_bytes(),
        3 => random.pick(&[i64::MAX, i64::MIN]).to_string().into_bytes(),
        4 => b"ab".repeat(random.below(400)),
        5 => random.bytes(&(0..=255).collect::<Vec<u8>>(), random.below(300)),
        6 => random.bytes(b"a", random.below(20_000)),
        _ => random.bytes(b"abc", random.below(10)),
    }
}

fn fill(oracle: &mut Oracle, random: &Random) -> Content {
    let mut content = Content::new();
    let mut commands = Vec::new();
    for number in 0..120 {
        let name = format!("string {number}").into_bytes();
        let value = values(random);
        commands.push(command(&[b"SET", &name, &value]));
        content.insert(name, vec![(Vec::new(), value)]);
    }
    for number in 0..60 {
        let name = format!("hash {number}").into_bytes();
        let pairs: BTreeMap<Vec<u8>, Vec<u8>> =
            (0..1 + random.below(200)).map(|_| (values(random), values(random))).collect();
        for (key, value) in &pairs {
            commands.push(command(&[b"HSET", &name, key, value]));
        }
        content.insert(name, pairs.into_iter().collect());
    }
    for number in 0..40 {
        let value = values(random);
        let name = |kind: &str| format!("{kind} {}", number % 8).into_bytes();
        commands.push(command(&[b"RPUSH", &name("list"), &value]));
        commands.push(command(&[b"SADD", &name("set"), &value]));
        commands.push(command(&[b"SADD", &name("intset"), number.to_string().as_bytes()]));
        commands.push(command(&[b"ZADD", &name("zset"), b"1.5", &value]));
        commands.push(command(&[b"XADD", &name("stream"), b"*", b"field", &value]));
    }
    for words in ["XGROUP CREATE", "XREADGROUP GROUP"] {
        let [first, second] = words.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let rest: &[&[u8]] = match first {
            "XGROUP" => &[b"stream 1", b"group", b"0"],
            _ => &[b"group", b"consumer", b"STREAMS", b"stream 1", b">"],
        };
        commands.push(command(&[&[first.as_bytes(), second.as_bytes()], rest].concat()));
    }
    commands.push(command(&[
        b"FUNCTION",
        b"LOAD",
        b"#!lua name=lib\nredis.register_function('f', function() end)",
    ]));
    for reply in oracle.pipeline(&commands) {
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
    }
    content
}

/// What was read, back in the form it was filled from; and how many names of other types there were.
fn content_of(lines: &[String]) -> (Content, BTreeMap<String, usize>) {
    let (mut content, mut others) = (Content::new(), BTreeMap::new());
    let mut hash: Option<(Vec<u8>, Pairs)> = None;
    for line in lines.iter().filter(|line| !line.starts_with('(')) {
        if let Some(pair) = line.strip_prefix("  ") {
            let (key, value) = pair.split_once(" = ").unwrap();
            hash.as_mut().unwrap().1.push((unescape(key), unescape(value)));
        } else if line == "." {
            let (name, mut pairs) = hash.take().unwrap();
            pairs.sort();
            content.insert(name, pairs);
        } else if let Some((name, value)) = line[2..].split_once(" = ") {
            content.insert(name.as_bytes().to_vec(), vec![(Vec::new(), unescape(value))]);
        } else if let Some((_, kind)) = line.split_once(" is a ") {
            *others.entry(kind.to_owned()).or_default() += 1;
        } else {
            let name = line[2..].strip_suffix(':').unwrap();
            hash = Some((name.as_bytes().to_vec(), Vec::new()));
        }
    }
    (content, others)
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, used) = match (first, tail) {
            (b'\\', [b'x', high, low, ..]) => {
                let hex = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap(), 4)
            }
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [other, ..]) => (*other, 2),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    bytes
}

#[test]
fn what_redis_writes_is_read() {
    let random = Random::new(7);
    for (number, settings) in SETTINGS.into_iter().enumerate() {
        let scratch = Scratch::new(&format!("redis-writes-{number}"));
        let Some(mut oracle) = Oracle::start_in(scratch.path(), &["--save", ""]) else { return };
        for (name, value) in settings {
            let set = oracle.run(&[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()]);
            // What can only be said at the start.
            if matches!(set, Reply::Error(_)) {
                assert_eq!(*name, "rdbchecksum");
            }
        }
        let expected = fill(&mut oracle, &random);
        assert_eq!(oracle.run(&[b"SAVE"]), Reply::Simple("OK".into()));
        let file = fs::read(scratch.path().join("dump.rdb")).unwrap();
        let lines = read(&file).unwrap();
        let (content, others) = content_of(&lines);
        assert_eq!(content.len(), expected.len());
        for (name, expected) in &expected {
            let name = name.escape_ascii();
            assert!(
                &content[&name.to_string().into_bytes()] == expected,
                "{name}, settings {number}"
            );
        }
        let counts: Vec<(&str, usize)> = others.iter().map(|(kind, n)| (&kind[..], *n)).collect();
        assert_eq!(counts, [("list", 8), ("set", 16), ("stream", 8), ("zset", 8)]);
        assert!(lines.contains(&"(function)".to_owned()));
    }
}

#[test]
fn deadlines_that_redis_writes_are_read() {
    let scratch = Scratch::new("redis-deadlines");
    let Some(mut oracle) = Oracle::start_in(scratch.path(), &["--save", ""]) else { return };
    oracle.run(&[b"SET", b"a", b"1", b"PXAT", b"9999999999999"]);
    oracle.run(&[b"CONFIG", b"SET", b"maxmemory-policy", b"allkeys-lfu"]);
    oracle.run(&[b"SELECT", b"9"]);
    oracle.run(&[b"HSET", b"h", b"k", b"v"]);
    oracle.run(&[b"PEXPIREAT", b"h", b"9999999999998"]);
    assert_eq!(oracle.run(&[b"SAVE"]), Reply::Simple("OK".into()));
    let lines = read(&fs::read(scratch.path().join("dump.rdb")).unwrap()).unwrap();
    let names: Vec<&String> = lines.iter().filter(|line| line.contains("until")).collect();
    assert_eq!(names, ["0 a until 9999999999999 = 1", "9 h until 9999999999998:"]);
}

#[test]
fn what_is_written_here_is_read_by_redis() {
    let scratch = Scratch::new("redis-reads");
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, Version::Redis7_0, 1_700_000_000).unwrap();
    writer.string(0, b"a", Some(9_999_999_999_999), b"1").unwrap();
    let mut pairs = PairBuffer::default();
    for number in 0..20_000 {
        let deadline_ms = (number % 10 == 0).then_some(9_999_999_999_999);
        pairs.push(format!("k{number}").as_bytes(), &vec![b'v'; number % 100], deadline_ms);
    }
    writer.hash(0, b"h", None, &pairs).unwrap();
    writer.hash(0, b"nothing in it", None, &PairBuffer::default()).unwrap();
    writer.aux(b"pantry-kept", b"0:h").unwrap();
    writer.string(15, b"\x00\xff", None, &vec![7; 100_000]).unwrap();
    assert_eq!(writer.dropped_deadlines(), 2000);
    assert_eq!(writer.finish().unwrap().1, file.len() as u64);
    read(&file).unwrap();
    fs::write(scratch.path().join("ours.rdb"), &file).unwrap();

    let arguments = ["--save", "", "--dbfilename", "ours.rdb"];
    let Some(mut oracle) = Oracle::start_in(scratch.path(), &arguments) else { return };
    assert_eq!(oracle.run(&[b"DBSIZE"]), Reply::Integer(2));
    assert_eq!(oracle.run(&[b"GET", b"a"]), Reply::Bulk(Some(b"1".to_vec())));
    assert_eq!(oracle.run(&[b"PEXPIRETIME", b"a"]), Reply::Integer(9_999_999_999_999));
    assert_eq!(oracle.run(&[b"HLEN", b"h"]), Reply::Integer(20_000));
    for pair in pairs.iter() {
        assert_eq!(oracle.run(&[b"HGET", b"h", pair.key]), Reply::Bulk(Some(pair.value.to_vec())));
    }
    oracle.run(&[b"SELECT", b"15"]);
    assert_eq!(oracle.run(&[b"STRLEN", b"\x00\xff"]), Reply::Integer(100_000));
}

/// A file in the form of Redis 7.4, which no server at hand reads, comes back as it was.
#[test]
fn deadlines_of_pairs_are_written_for_redis_7_4() {
    let mut pairs = PairBuffer::default();
    pairs.push(b"a", b"1", Some(1_700_000_000_500));
    pairs.push(b"b", b"2", None);
    pairs.push(b"c", b"3", Some(1_700_000_000_000));
    pairs.push(b"d", b"4", Some((1 << 48) - 1));
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, Version::Redis7_4, 1_700_000_000).unwrap();
    writer.hash(2, b"h", None, &pairs).unwrap();
    assert_eq!(writer.dropped_deadlines(), 0);
    writer.finish().unwrap();
    assert_eq!(
        read(&file).unwrap()[4..],
        [
            "2 h:",
            "  a = 1 until 1700000000500",
            "  b = 2",
            "  c = 3 until 1700000000000",
            "  d = 4 until 281474976710655",
            ".",
        ]
    );
}

/// With Redis 7.4 and later: hashes with deadlines of pairs, in both forms, there and back, as files and as payloads.
#[test]
fn deadlines_of_pairs_go_both_ways() {
    use pantry::rdb::dump::{self, Value};
    const DEADLINE: &[u8] = b"9999999999999";
    let scratch = Scratch::new("redis-pairs");
    let arguments = ["--save", "", "--dbfilename", "ours.rdb"];
    let Some(mut oracle) = Oracle::start_in(scratch.path(), &arguments) else { return };
    if !oracle.has("HPEXPIREAT") {
        eprintln!(
            "SKIPPED: this redis-server has no deadlines of pairs; REDIS_SERVER may name another"
        );
        return;
    }
    let mut expected = Vec::new();
    for (name, entries) in [(&b"piece"[..], &b"512"[..]), (b"table", b"0")] {
        oracle.run(&[b"CONFIG", b"SET", b"hash-max-listpack-entries", entries]);
        oracle.run(&[b"HSET", name, b"a", b"1", b"b", b"text", b"c", b"3"]);
        let set = oracle.run(&[b"HPEXPIREAT", name, DEADLINE, b"FIELDS", b"2", b"a", b"b"]);
        assert_eq!(set, Reply::Array(vec![Reply::Integer(1), Reply::Integer(1)]));
        expected.push(format!("0 {}:", name.escape_ascii()));
    }
    assert_eq!(oracle.run(&[b"SAVE"]), Reply::Simple("OK".into()));
    let lines = read(&fs::read(scratch.path().join("ours.rdb")).unwrap()).unwrap();
    for name in expected {
        let at = lines.iter().position(|line| *line == name).unwrap();
        let mut pairs = lines[at + 1..at + 4].to_vec();
        pairs.sort();
        assert_eq!(
            pairs,
            ["  a = 1 until 9999999999999", "  b = text until 9999999999999", "  c = 3"]
        );
    }

    let Reply::Bulk(Some(theirs)) = oracle.run(&[b"DUMP", b"table"]) else { panic!("no dump") };
    let Ok(Value::Hash(mut pairs)) = dump::read(&theirs) else { panic!("no hash") };
    pairs.push(b"early", b"1", Some(9_999_999_999_990));
    let restored = oracle.run(&[b"RESTORE", b"restored", b"0", &dump::hash(&pairs)]);
    assert_eq!(restored, Reply::Simple("OK".into()));
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, Version::Redis7_4, 1_700_000_000).unwrap();
    writer.hash(0, b"restored", None, &pairs).unwrap();
    writer.finish().unwrap();
    let check = |oracle: &mut Oracle| {
        let keys: [&[u8]; 4] = [b"a", b"b", b"c", b"early"];
        let command = [&[&b"HPEXPIRETIME"[..], b"restored", b"FIELDS", b"4"][..], &keys].concat();
        let times = [9_999_999_999_999, 9_999_999_999_999, -1, 9_999_999_999_990];
        assert_eq!(oracle.run(&command), Reply::Array(times.map(Reply::Integer).into()));
    };
    check(&mut oracle);
    drop(oracle);
    fs::write(scratch.path().join("ours.rdb"), &file).unwrap();
    let Some(mut oracle) = Oracle::start_in(scratch.path(), &arguments) else { return };
    check(&mut oracle);
}

/// Every DUMP of Redis is restored here, every one from here in Redis.
#[test]
fn dumps_go_both_ways() {
    use pantry::rdb::dump::{self, Value};
    let scratch = Scratch::new("redis-dumps");
    let random = Random::new(11);
    let Some(mut oracle) = Oracle::start_in(scratch.path(), &["--save", ""]) else { return };
    let content = fill(&mut oracle, &random);
    for (name, expected) in &content {
        let Reply::Bulk(Some(theirs)) = oracle.run(&[b"DUMP", name]) else { panic!("no dump") };
        let ours = match dump::read(&theirs).unwrap() {
            Value::String(value) => {
                assert_eq!(value, expected[0].1);
                dump::string(&value)
            }
            Value::Hash(pairs) => {
                let mut read: Vec<_> =
                    pairs.iter().map(|pair| (pair.key.to_vec(), pair.value.to_vec())).collect();
                read.sort();
                assert_eq!(&read, expected);
                dump::hash(&pairs)
            }
        };
        let restored = oracle.run(&[b"RESTORE", b"restored", b"0", &ours, b"REPLACE"]);
        assert_eq!(restored, Reply::Simple("OK".into()));
        // The same form again, unless pairs came in another order.
        let Reply::Bulk(Some(again)) = oracle.run(&[b"DUMP", b"restored"]) else {
            panic!("no dump")
        };
        assert_eq!(again.len(), theirs.len(), "{}", name.escape_ascii());
    }
    let Reply::Bulk(Some(list)) = oracle.run(&[b"DUMP", b"list 1"]) else { panic!("no dump") };
    assert!(
        matches!(dump::read(&list), Err(dump::Refused::Other(kind)) if kind.to_string() == "list")
    );
}
