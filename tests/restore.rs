//! RESTORE beyond its script: how a name was used, every form that Redis's DUMP has, and payloads that lie.
#![allow(clippy::unwrap_used)]

mod support;

use pantry::journal::Journal;
use pantry::rdb::crc64::crc64;
use pantry::rdb::dump;
use support::render::render;
use support::{Harness, START_MS, dump as lines};

fn run(harness: &mut Harness, words: &[&[u8]]) -> String {
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
    render(&harness.execute("a", &words)).trim().to_owned()
}

/// A value with the footer of this version.
fn payload(version: u16, value: &[u8]) -> Vec<u8> {
    let mut payload = [value, &version.to_le_bytes()].concat();
    let checksum = crc64(0, &payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

#[test]
fn how_a_name_was_used_is_restored() {
    let mut harness = Harness::new(Journal::discarding());
    let value = dump::string(b"hello");
    run(&mut harness, &[b"RESTORE", b"a", b"0", &value, b"IDLETIME", b"60"]);
    run(&mut harness, &[b"RESTORE", b"b", b"0", &value, b"FREQ", b"60"]);
    assert_eq!(harness.run("OBJECT IDLETIME a").trim(), "(integer) 60");
    assert_eq!(harness.run("OBJECT IDLETIME b").trim(), "(integer) 0");

    harness.run("CONFIG SET maxmemory-policy allkeys-lfu");
    run(&mut harness, &[b"RESTORE", b"c", b"0", &value, b"FREQ", b"60"]);
    run(&mut harness, &[b"RESTORE", b"d", b"0", &value, b"IDLETIME", b"60"]);
    assert_eq!(harness.run("OBJECT FREQ c").trim(), "(integer) 60");
    assert_eq!(harness.run("OBJECT FREQ d").trim(), "(integer) 5");
}

/// What Redis 7.0 and 8.2 answered to DUMP for small hashes, and what Valkey 9 writes.
#[test]
fn forms_of_other_servers() {
    let listpack = b"\x10\x11\x11\0\0\0\x04\0\x81a\x02\x01\x01\x81b\x02\x02\x01\xff";
    let redis_8_2 =
        b"\x19\xff\x9f\x72\x4e\x18\x09\x00\x00\x1d\x1d\x00\x00\x00\x06\x00\x81a\x02\x01\x01\
                      \xf4\xff\x9f\x72\x4e\x18\x09\x00\x00\x09\x81b\x02\x02\x01\x00\x01\xff";
    let valkey =
        b"\x16\x02\x01a\x011\xff\x9f\x72\x4e\x18\x09\0\0\x01b\x012\xff\xff\xff\xff\xff\xff\xff\xff";
    let lasting = ["0 h / a = 1 None", "0 h / b = 2 None", "0 h None kept=false"];
    let passing = ["0 h / a = 1 Some(9999999999999)", "0 h / b = 2 None", "0 h None kept=false"];
    let forms: [(u16, &[u8], [&str; 3]); 3] =
        [(10, listpack, lasting), (12, redis_8_2, passing), (80, valkey, passing)];
    for (version, value, expected) in forms {
        let mut harness = Harness::new(Journal::remembering(u64::MAX));
        let reply = run(&mut harness, &[b"RESTORE", b"h", b"0", &payload(version, value)]);
        assert_eq!(reply, "OK", "version {version}");
        assert_eq!(lines(&harness.server.store, START_MS), expected);
        assert_eq!(lines(&harness.replayed(), START_MS), expected);
    }
}

/// What can not be read changes nothing, not even with REPLACE.
#[test]
fn payloads_that_lie() {
    let mut harness = Harness::new(Journal::discarding());
    harness.run("HSET h a 1");
    let before = lines(&harness.server.store, START_MS);
    let twice = b"\x04\x02\x01a\x011\x01a\x012";
    let empty = b"\x04\x00";
    let followed = b"\x00\x01a\x00";
    let huge = b"\x04\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a\x011";
    let bomb = b"\x00\xc3\x02\x80\x20\x00\x00\x00\x00\x61";
    for value in [&b""[..], twice, empty, followed, huge, bomb, b"\xff", b"\x00", b"\x04\x01\x01a"]
    {
        let payload = payload(10, value);
        let reply = run(&mut harness, &[b"RESTORE", b"h", b"0", &payload, b"REPLACE"]);
        assert_eq!(reply, "(error) ERR Bad data format", "{value:?}");
    }
    for version in [0, 14, 79, 81, u16::MAX] {
        let payload = payload(version, b"\x00\x01a");
        let reply = run(&mut harness, &[b"RESTORE", b"h", b"0", &payload, b"REPLACE"]);
        assert_eq!(reply, "(error) ERR DUMP payload version or checksum are wrong");
    }
    assert_eq!(lines(&harness.server.store, START_MS), before);
}

/// A dump that would be longer than a reply may be is refused before it is made.
#[test]
fn a_dump_has_a_limit() {
    let mut harness = Harness::new(Journal::discarding());
    harness.run("CONFIG SET client-reply-max-bytes 2000000");
    run(&mut harness, &[b"SET", b"long", &vec![b'x'; 3_000_000]]);
    let part = vec![b'x'; 1_500_000];
    run(&mut harness, &[b"HSET", b"many", b"a", &part, b"b", &part]);
    for name in ["long", "many"] {
        let reply = harness.run(&format!("DUMP {name}"));
        assert!(
            reply.starts_with("(error) ERR reply exceeds client-reply-max-bytes"),
            "{reply:.80}"
        );
    }
}
