//! What can not be imported: said with its place, and before anything is changed.

use pantry::rdb::crc64::crc64;
use pantry::rdb::writer::{Version, Writer};

use crate::support::scratch::Scratch;
use crate::support::{START_MS, dump};
use crate::{Existing, OtherTypes, file, import_with, imported, refused, store};

/// A string, and names of two other types.
fn with_other_types() -> Vec<u8> {
    let mut rdb =
        b"REDIS0009\x00\x01a\x011\xfe\x03\x01\x04list\x01\x01x\x02\x03set\x01\x01x\xff".to_vec();
    let checksum = crc64(0, &rdb);
    rdb.extend_from_slice(&checksum.to_le_bytes());
    rdb
}

fn rdb(db: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Version::Redis7_0, 0).unwrap();
    writer.string(0, b"a", None, b"1").unwrap();
    writer.string(db, b"b", None, b"2").unwrap();
    writer.finish().unwrap();
    out
}

#[test]
fn names_of_other_types_are_told() {
    let scratch = Scratch::new("other-types");
    let path = file(&scratch, "dump.rdb", &with_other_types());
    let store = store();
    let (report, others) = import_with(&path, &store, Existing::Keep, OtherTypes::Skip);
    assert_eq!(others, ["3 list list", "3 set set"]);
    let report = report.unwrap();
    assert_eq!((report.strings, report.others.values().sum::<u64>()), (1, 2));
    assert!(report.to_string().contains("1 names of type list were passed over"), "{report}");
    assert_eq!(dump(&store, START_MS), ["0 a = 1 Some(None)"]);
    assert!(refused(&path).contains("1 of type list, 1 of type set"));
}

#[test]
fn damaged_rdb() {
    let scratch = Scratch::new("damaged");
    let whole = rdb(1);
    let mut flipped = whole.clone();
    flipped[whole.len() - 12] ^= 1;
    let mut followed = whole.clone();
    followed.push(b'x');
    for (content, text) in [
        (&whole[..whole.len() - 1], "damaged at byte "),
        (&flipped, "the checksum is "),
        (&followed, "something behind the end of the RDB file, at byte "),
        (&rdb(16), "it has names in database 16; there are 16 here, from 0 on"),
        (&b"REDIS0099"[..], "damaged at byte 9: RDB version 99, which can not be read"),
    ] {
        let path = file(&scratch, "damaged.rdb", content);
        let error = refused(&path);
        assert!(error.contains(text) && error.contains("damaged.rdb"), "{error}");
    }
}

#[test]
fn files_of_other_kinds() {
    let scratch = Scratch::new("other-files");
    for (content, text) in [
        (&b""[..], "the file is empty"),
        (b"hello", "its first bytes are those of no RDB"),
        (b"name,key,value\n", "its first bytes are those of no RDB"),
        (b"{\"type\":\"string\",\"name\":\"a\",\"value\":\"1\"}\n{\n", "line 2: no JSON object"),
        (b"{\"type\":\"string\",\"db\":16,\"name\":\"a\",\"value\":\"1\"}", "line 1: it has names in database 16"),
        (
            b"type,db,name,key,value,deadline_ms,name_deadline_ms,base64\nstring,0,a,,1,,,\nstring,0,a\n",
            "row 2 after the header: 3 columns, not 8",
        ),
        (b"*1\r\n$4\r\nPING\r\nhello", "damaged at byte 14: a command begins with *, not h"),
    ] {
        let error = refused(&file(&scratch, "some.file", content));
        assert!(error.contains(text), "{error}");
    }
    let error = refused(&scratch.path().join("nothing"));
    assert!(error.contains("nothing was not imported"), "{error}");
}

#[test]
fn rows_in_the_order_of_no_export() {
    let scratch = Scratch::new("rows");
    let rows = "{\"type\":\"namespace\",\"name\":\"kept\"}\n\n\
                {\"value_base64\":\"/w==\",\"type\":\"pair\",\"name\":\"n\",\"key\":\"k\",\"name_deadline_ms\":1800000000000}";
    let store = store();
    let report = imported(&file(&scratch, "rows.jsonl", rows.as_bytes()), &store);
    assert_eq!((report.pairs, report.kept_namespaces), (1, 1));
    assert_eq!(
        dump(&store, START_MS),
        ["0 kept None kept=true", "0 n / k = \\xff None", "0 n Some(1800000000000) kept=false",]
    );
}
