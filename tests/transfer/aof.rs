//! Append-only files, made by hand: what is run, what is not, and where they may end.

use std::fs;

use pantry::rdb::writer::{Version, Writer};
use pantry::transfer::import::ImportReport;

use crate::support::scratch::Scratch;
use crate::support::{START_MS, dump};
use crate::{after, file, imported, refused, store};

/// Commands as a file has them; a line with `#` is one itself.
fn aof(lines: &[&str]) -> Vec<u8> {
    let mut file = Vec::new();
    for line in lines {
        if line.starts_with('#') {
            file.extend_from_slice(format!("{line}\r\n").as_bytes());
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        file.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            file.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    file
}

fn replayed(lines: &[&str]) -> (Vec<String>, ImportReport) {
    let scratch = Scratch::new(&format!("aof-{}", lines.join("").len()));
    let store = store();
    let report = imported(&file(&scratch, "appendonly.aof", &aof(lines)), &store);
    (dump(&store, START_MS), report)
}

#[test]
fn commands_are_run_with_time_standing_still() {
    let (lines, report) = replayed(&[
        "SELECT 0",
        "SET a 1 PXAT 1600000000000",
        // It had not expired then.
        "PERSIST a",
        "SET b 1 PXAT 1600000000000",
        "HSET h x 1 y 2 z 3",
        "HPEXPIREAT h 1800000000000 FIELDS 1 x",
        "HPEXPIREAT h 1600000000000 FIELDS 1 y",
        "SELECT 3",
        "APPEND log one",
        "APPEND log two",
        "SWAPDB 3 4",
    ]);
    assert_eq!(
        lines,
        [
            "0 a = 1 Some(None)",
            "0 h / x = 1 Some(1800000000000)",
            "0 h / z = 3 None",
            "0 h None kept=false",
            "4 log = onetwo Some(None)",
        ]
    );
    assert_eq!((report.expired_names, report.expired_pairs), (1, 1));
    assert_eq!(report.aof.unwrap().commands, 11);
}

#[test]
fn what_a_file_empties_is_only_its_own() {
    let scratch = Scratch::new("aof-flush");
    let content = aof(&["SELECT 0", "SET a 1", "FLUSHALL", "SET b 2"]);
    let target = after(&["SET mine 1"]);
    imported(&file(&scratch, "appendonly.aof", &content), &target.server.store);
    assert_eq!(
        dump(&target.server.store, START_MS),
        ["0 b = 2 Some(None)", "0 mine = 1 Some(None)",]
    );
}

#[test]
fn relative_lifetimes_count_from_the_last_timestamp_or_from_now() {
    let (lines, report) = replayed(&[
        "SET a 1 EX 10",
        "#TS:1700000005",
        "SET b 1",
        "EXPIRE b 10",
        "# an annotation that nobody knows",
        "HSETEX h EX 10 FIELDS 1 k v",
    ]);
    assert_eq!(
        lines,
        [
            "0 a = 1 Some(Some(1700000010000))",
            "0 b = 1 Some(Some(1700000015000))",
            "0 h / k = v Some(1700000015000)",
            "0 h None kept=false",
        ]
    );
    assert_eq!(report.aof.unwrap().relative_lifetimes, 3);
}

#[test]
fn what_is_not_run_is_listed() {
    let (lines, report) = replayed(&[
        "SET a 1",
        "rpush l x y",
        "RPUSH l z",
        "EVAL script 0",
        "CONFIG SET maxmemory 1",
        "SHUTDOWN",
        "GET a",
        "MULTI",
        "SADD s x",
        "SET b 2",
        "EXEC",
        "INCR h",
        "HSET h k v",
        "MULTI",
        "HSET h k v",
        "EXEC",
        "RENAME l m",
    ]);
    assert_eq!(lines, ["0 a = 1 Some(None)", "0 b = 2 Some(None)", "0 h = 1 Some(None)"]);
    let aof = report.aof.clone().unwrap();
    let passed_over: Vec<(&str, u64)> = aof.passed_over.iter().map(|(k, v)| (&k[..], *v)).collect();
    let expected =
        [("CONFIG", 1), ("EVAL", 1), ("GET", 1), ("RPUSH", 2), ("SADD", 1), ("SHUTDOWN", 1)];
    assert_eq!(passed_over, expected);
    let failed: Vec<(&str, u64)> = aof.failed.iter().map(|(k, v)| (&k[..], *v)).collect();
    let wrong_type = "Operation against a key holding the wrong kind of value";
    assert_eq!(
        failed,
        [
            (&format!("EXEC: {wrong_type}")[..], 1),
            (&format!("HSET: {wrong_type}")[..], 1),
            ("RENAME: no such key", 1),
        ]
    );
    assert!(report.to_string().contains("2 times RPUSH was passed over"), "{report}");
}

#[test]
fn strictly_nothing_is_passed_over() {
    let scratch = Scratch::new("aof-strict");
    let error = refused(&file(&scratch, "appendonly.aof", &aof(&["SET a 1", "RPUSH l x"])));
    assert!(error.contains("commands that can not be run here: RPUSH"), "{error}");
}

/// A database that does not exist must not become another.
#[test]
fn a_database_that_is_not_there_ends_it() {
    let scratch = Scratch::new("aof-select");
    let error =
        refused(&file(&scratch, "appendonly.aof", &aof(&["SET a 1", "SELECT 16", "SET b 2"])));
    assert!(
        error.contains("SELECT at byte 27; there are 16 databases here: DB index is out of range"),
        "{error}"
    );
    let content = aof(&["MULTI", "SELECT 16", "SET b 2", "EXEC"]);
    let error = refused(&file(&scratch, "appendonly.aof", &content));
    assert!(error.contains("DB index is out of range"), "{error}");
}

#[test]
fn a_transaction_happens_whole_or_not() {
    let whole = aof(&["SET a 1", "MULTI", "SET b 2", "SET c 3", "EXEC", "SET d 4"]);
    let begin = aof(&["SET a 1"]).len();
    let end = begin + aof(&["MULTI", "SET b 2", "SET c 3", "EXEC"]).len();
    let scratch = Scratch::new("aof-multi");
    for cut in 1..whole.len() {
        let store = store();
        let path = file(&scratch, "appendonly.aof", &whole[..cut]);
        let report = imported(&path, &store);
        let names = dump(&store, START_MS).len();
        let (expected, is_whole) = match cut {
            _ if cut < begin => (0, false),
            _ if cut < end => (1, cut == begin),
            _ => (3, cut == end),
        };
        assert_eq!(names, expected, "cut at {cut}");
        let cut_at = report.aof.unwrap().cut.map(|(_, offset)| offset as usize);
        let begins_at = [0, begin, end].into_iter().rfind(|begins_at| *begins_at <= cut);
        assert_eq!(cut_at, begins_at.filter(|_| !is_whole), "cut at {cut}");
    }
}

fn base() -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Version::Redis7_0, 0).unwrap();
    writer.string(0, b"a", Some(1_600_000_000_000), b"1").unwrap();
    writer.string(2, b"b", None, b"2").unwrap();
    writer.finish().unwrap();
    out
}

#[test]
fn a_file_may_begin_as_rdb() {
    let scratch = Scratch::new("aof-preamble");
    let content = [base(), aof(&["SELECT 0", "PERSIST a", "SELECT 2", "APPEND b x"])].concat();
    let store = store();
    let report = imported(&file(&scratch, "appendonly.aof", &content), &store);
    assert_eq!(dump(&store, START_MS), ["0 a = 1 Some(None)", "2 b = 2x Some(None)"]);
    assert_eq!(report.aof.unwrap().commands, 4);
}

#[test]
fn a_directory_has_a_manifest() {
    let scratch = Scratch::new("aof-directory");
    file(&scratch, "a.1.base.rdb", &base());
    file(&scratch, "a.1.incr.aof", &aof(&["SELECT 2", "APPEND b x"]));
    file(&scratch, "a.2.incr.aof", &aof(&["SELECT 2", "APPEND b y", "MULTI", "SET b z"]));
    let manifest = "file a.1.base.rdb seq 1 type b\nfile old seq 1 type h\n\
                    file a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n";
    let manifest = file(&scratch, "a.manifest", manifest.as_bytes());
    for path in [scratch.path(), &manifest] {
        let store = store();
        let report = imported(path, &store);
        assert_eq!(dump(&store, START_MS), ["2 b = 2xy Some(None)"]);
        let (cut, offset) = report.aof.unwrap().cut.unwrap();
        assert!(cut.ends_with("a.2.incr.aof"));
        assert_eq!(offset as usize, aof(&["SELECT 2", "APPEND b y"]).len());
    }

    let cut = &aof(&["SELECT 2", "APPEND b x"])[..30];
    file(&scratch, "a.1.incr.aof", cut);
    let error = refused(scratch.path());
    assert!(
        error.contains("a.1.incr.aof: ends in the middle") && error.contains("not the last"),
        "{error}"
    );
    fs::remove_file(scratch.path().join("a.1.incr.aof")).unwrap();
    assert!(refused(scratch.path()).contains("a.1.incr.aof"));
    fs::remove_file(&manifest).unwrap();
    assert!(refused(scratch.path()).contains("no .manifest file"));
}
