//! What a store holds goes out in each format and comes back the same, as far as the format has it.

use pantry::journal::Journal;
use pantry::rdb::writer::Version;
use pantry::store::Store;
use pantry::transfer::export::{Format, export, export_file};
use pantry::transfer::import::Existing;

use crate::oracle::{Oracle, Random, Reply};
use crate::support::scratch::Scratch;
use crate::support::{Harness, START_MS, dump};
use crate::{OtherTypes, after, import_with, imported, refused, store};

const WHOLE: [(Format, &str); 3] =
    [(Format::Rdb(Version::Redis7_4), "rdb"), (Format::JsonLines, "jsonl"), (Format::Csv, "csv")];

/// A server with names of every kind in several databases.
fn filled(random: &Random, names: usize) -> Harness {
    let mut harness = Harness::new(Journal::discarding());
    let any: Vec<u8> = (0..=255).collect();
    for number in 0..names {
        let db = random.pick(&[0, 0, 1, 15]);
        let name = [number.to_string().as_bytes(), &random.bytes(&any, random.below(6))].concat();
        let mut run = |words: &[&[u8]]| {
            let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
            let reply = harness.execute("a", &words);
            assert!(!reply.starts_with(b"-"), "{}", reply.escape_ascii());
        };
        run(&[b"SELECT", db.to_string().as_bytes()]);
        match random.below(6) {
            0 | 1 => run(&[b"SET", &name, &random.bytes(&any, random.below(200))]),
            2 => run(&[b"SET", &name, &vec![b'x'; random.below(200_000)]]),
            3 => run(&[b"NAMESPACE", b"CREATE", &name]),
            _ => {
                for _ in 0..1 + random.below(if number % 20 == 0 { 3000 } else { 20 }) {
                    let key = random.bytes(&any, random.below(4));
                    let value = random.bytes(b"a,\"\n ", random.below(30));
                    run(&[b"HSET", &name, &key, &value]);
                    if random.below(3) == 0 {
                        let lifetime_ms = random.between(1, 100_000).to_string();
                        run(&[b"HPEXPIRE", &name, lifetime_ms.as_bytes(), b"FIELDS", b"1", &key]);
                    }
                }
                if random.below(4) == 0 {
                    run(&[b"NAMESPACE", b"CREATE", &name]);
                }
            }
        }
        if random.below(4) == 0 {
            run(&[b"PEXPIRE", &name, random.between(1, 100_000).to_string().as_bytes()]);
        }
    }
    harness
}

#[test]
fn what_goes_out_comes_in() {
    let scratch = Scratch::new("formats");
    for seed in 0..4 {
        let harness = filled(&Random::new(seed), 150);
        let original = dump(&harness.server.store, START_MS);
        for (format, extension) in WHOLE {
            let path = scratch.path().join(format!("all.{extension}"));
            let out = export_file(&harness.server.store, format, &path).unwrap();
            assert_eq!(out.dropped_deadlines, 0);
            assert_eq!(out.bytes, path.metadata().unwrap().len());
            let store = store();
            let report = imported(&path, &store);
            assert_eq!(dump(&store, START_MS), original, "{extension}, seed {seed}");
            assert_eq!(
                (report.strings, report.pairs, report.kept_namespaces),
                (out.strings, out.pairs, out.kept_namespaces)
            );
            assert_eq!(report.namespaces, out.namespaces, "{extension}");
            assert_eq!((report.expired_names, report.duplicate_pairs), (0, 0));
        }
    }
}

#[test]
fn what_an_empty_store_becomes_is_imported() {
    let scratch = Scratch::new("nothing");
    for (format, extension) in WHOLE {
        let path = scratch.path().join(format!("nothing.{extension}"));
        export_file(&store(), format, &path).unwrap();
        let target = store();
        let report = imported(&path, &target);
        assert_eq!((report.strings, report.namespaces), (0, 0), "{extension}");
        assert!(dump(&target, START_MS).is_empty());
    }
    let unwritten = scratch.path().join("unwritten.rdb");
    std::fs::write(&unwritten, "").unwrap();
    assert!(refused(&unwritten).contains("the file is empty"));
}

#[test]
fn limits_go_along() {
    let mut harness = after(&[
        "NAMESPACE LIMIT full PAIRS 1",
        "HSET full a 1",
        "NAMESPACE LIMIT absent:yet PAIRS 7 BYTES 4096",
        "SELECT 15",
        "NAMESPACE LIMIT full BYTES 9",
    ]);
    harness
        .execute("a", &[&b"NAMESPACE"[..], b"LIMIT", b"\xff", b"PAIRS", b"3"].map(<[u8]>::to_vec));
    let all = |store: &Store| [0, 15].map(|db| store.limits.of_database(db));
    let original = all(&harness.server.store);
    let scratch = Scratch::new("limits");
    let with_7_0 = [&WHOLE[..], &[(Format::Rdb(Version::Redis7_0), "7.rdb")]].concat();
    for (format, extension) in with_7_0 {
        let path = scratch.path().join(format!("all.{extension}"));
        assert_eq!(export_file(&harness.server.store, format, &path).unwrap().limits, 4);
        let into = store();
        assert_eq!(imported(&path, &into).limits, 4, "{extension}");
        assert_eq!(all(&into), original, "{extension}");

        let target = after(&["NAMESPACE LIMIT full PAIRS 5"]);
        let target = &target.server.store;
        let (report, _) = import_with(&path, target, Existing::Keep, OtherTypes::Refuse);
        assert_eq!(report.unwrap().limits, 3, "the one that is there stays");
        assert_eq!(target.limits.get(0, b"full").pairs, 5);
        imported(&path, target);
        assert_eq!(all(target), original, "{extension}");
    }
}

#[test]
fn libraries_of_functions_go_along() {
    const CODE: &str = "#!lua name=shelf\nredis.register_function('jar', function() return 7 end)";
    let load = |word: &str, code: &str| {
        let words = ["FUNCTION", "LOAD", "REPLACE", code];
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let mut harness = Harness::new(Journal::discarding());
        assert_eq!(harness.execute("a", &words), b"$5\r\nshelf\r\n");
        assert_eq!(harness.run("FCALL jar 0"), word);
        harness
    };
    let harness = load("(integer) 7", CODE);
    let scratch = Scratch::new("libraries");
    let with_7_0 = [&WHOLE[..], &[(Format::Rdb(Version::Redis7_0), "7.rdb")]].concat();
    for (format, extension) in with_7_0 {
        let path = scratch.path().join(format!("all.{extension}"));
        let out = export_file(&harness.server.store, format, &path).unwrap();
        assert_eq!(out.libraries, 1, "{extension}");
        let mut target = load("(integer) 8", &CODE.replace('7', "8"));
        let (report, _) =
            import_with(&path, &target.server.store, Existing::Keep, OtherTypes::Refuse);
        let report = report.unwrap();
        assert_eq!((report.libraries, report.other_data), (0, 1), "it is there already");
        assert_eq!(target.run("FCALL jar 0"), "(integer) 8");
        assert_eq!(imported(&path, &target.server.store).libraries, 1, "{extension}");
        assert_eq!(target.run("FCALL jar 0"), "(integer) 7");
    }

    let path = scratch.path().join("functions.aof");
    let command = |words: &[&str]| {
        let bulk = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
        format!("*{}\r\n{}", words.len(), words.iter().map(bulk).collect::<String>())
    };
    let lines = [
        command(&["FUNCTION", "LOAD", &CODE.replace("shelf", "gone").replace("jar", "x")]),
        command(&["FUNCTION", "LOAD", CODE]),
        command(&["FUNCTION", "DELETE", "gone"]),
    ];
    std::fs::write(&path, lines.concat()).unwrap();
    let store = store();
    let report = imported(&path, &store);
    assert!(report.aof.unwrap().passed_over.is_empty());
    let (_, libraries) = store.libraries.all();
    let names: Vec<&[u8]> = libraries.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, [b"shelf"]);

    let broken = scratch.path().join("broken.jsonl");
    std::fs::write(
        &broken,
        "{\"type\":\"library\",\"db\":0,\"name\":\"a\",\"value\":\"#!js name=a\"}\n",
    )
    .unwrap();
    let report = imported(&broken, &store);
    assert_eq!((report.libraries, report.other_data), (0, 1));
}

#[test]
fn rdb_7_0_says_how_many_deadlines_it_lost() {
    let scratch = Scratch::new("rdb-7-0");
    let harness = after(&["HSET shop apples 3 pears 5", "HPEXPIRE shop 1000 FIELDS 1 apples"]);
    let path = scratch.path().join("all.rdb");
    let report = export_file(&harness.server.store, Format::Rdb(Version::Redis7_0), &path).unwrap();
    assert_eq!((report.pairs, report.dropped_deadlines), (2, 1));
    assert!(report.to_string().contains("WARNING: 1 pairs have a deadline"), "{report}");
    let store = store();
    imported(&path, &store);
    assert_eq!(
        dump(&store, START_MS),
        ["0 shop / apples = 3 None", "0 shop / pears = 5 None", "0 shop None kept=false",]
    );
}

#[test]
fn redis_reads_what_is_exported() {
    let scratch = Scratch::new("redis-reads-export");
    let harness = filled(&Random::new(5), 300);
    let path = scratch.path().join("dump.rdb");
    let store = &harness.server.store;
    let report = export_file(store, Format::Rdb(Version::Redis7_0), &path).unwrap();
    let Some(mut oracle) = Oracle::start_in(scratch.path(), &["--save", ""]) else { return };
    // Its clock is not ours: names with a deadline have expired there.
    let (mut strings, mut namespaces, mut pairs) = (0, 0, 0);
    for db in 0..16 {
        oracle.run(&[b"SELECT", db.to_string().as_bytes()]);
        let Reply::Array(names) = oracle.run(&[b"KEYS", b"*"]) else { panic!("no names") };
        for name in names {
            let Reply::Bulk(Some(name)) = name else { panic!("no name") };
            match oracle.run(&[b"HLEN", &name]) {
                Reply::Integer(len) => {
                    namespaces += 1;
                    pairs += len as u64;
                }
                _ => strings += 1,
            }
        }
    }
    let with_deadline = |what: &str| {
        let lines = dump(store, START_MS);
        lines.iter().filter(|line| line.contains(what) && line.contains("Some(Some(")).count()
            as u64
    };
    assert_eq!(strings + with_deadline(" = "), report.strings);
    assert!(namespaces > 0 && namespaces <= report.namespaces && pairs <= report.pairs);
}

#[test]
fn rows_as_they_are_documented() {
    let harness = after(&[
        "HSETEX shop PX 1000 FIELDS 1 apples 3",
        "NAMESPACE CREATE shop",
        "SET greeting hello PX 2000",
    ]);
    let written = |format| {
        let mut out = Vec::new();
        export(&harness.server.store, format, &mut out, &std::env::temp_dir()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(
        written(Format::JsonLines),
        [
            r#"{"type":"namespace","db":0,"name":"shop"}"#,
            r#"{"type":"pair","db":0,"name":"shop","key":"apples","value":"3","deadline_ms":1700000001000}"#,
            r#"{"type":"string","db":0,"name":"greeting","value":"hello","deadline_ms":1700000002000}"#,
        ]
    );
    assert_eq!(
        written(Format::Csv),
        [
            "namespace,0,shop,,,,,",
            "pair,0,shop,apples,3,1700000001000,,",
            "string,0,greeting,,hello,1700000002000,,",
            "type,db,name,key,value,deadline_ms,name_deadline_ms,base64",
        ]
    );
}

#[test]
fn rows_of_one_namespace_may_come_apart() {
    let scratch = Scratch::new("apart");
    let csv = "type,db,name,key,value,deadline_ms,name_deadline_ms,base64\r\n\
               pair,0,shop,apples,3,,,\r\npair,0,stock,figs,1,,,\r\n\
               pair,0,shop,pears,5,,,\r\npair,0,shop,apples,4,,,\r\nstring,0,old,,value,1,,\r\n\n";
    let path = crate::file(&scratch, "rows.csv", csv.as_bytes());
    let harness = after(&["HSET shop plums 7", "SET stock 1"]);
    let store = &harness.server.store;
    let report = imported(&path, store);
    assert_eq!((report.pairs, report.duplicate_pairs, report.expired_names), (4, 1, 1));
    assert_eq!(
        dump(store, START_MS),
        [
            "0 shop / apples = 4 None",
            "0 shop / pears = 5 None",
            "0 shop None kept=false",
            "0 stock / figs = 1 None",
            "0 stock None kept=false",
        ]
    );
}

#[test]
fn names_that_are_there_stay_or_go() {
    let scratch = Scratch::new("existing");
    let source = after(&["SET a new", "HSET shop apples 3", "SET free new"]);
    for (format, extension) in WHOLE {
        let path = scratch.path().join(format!("names.{extension}"));
        export_file(&source.server.store, format, &path).unwrap();
        for (existing, left) in [
            (Existing::Keep, ["0 a / old = 1 None", "0 shop = old Some(None)"]),
            (Existing::Replace, ["0 a = new Some(None)", "0 shop / apples = 3 None"]),
        ] {
            let target = after(&["HSET a old 1", "SET shop old", "SET other old"]);
            let store = &target.server.store;
            let (report, _) = import_with(&path, store, existing, OtherTypes::Refuse);
            let stayed = report.unwrap().existing_names;
            assert_eq!(stayed, if existing == Existing::Keep { 2 } else { 0 }, "{extension}");
            let lines = dump(store, START_MS);
            for line in ["0 free = new Some(None)", "0 other = old Some(None)"].iter().chain(&left)
            {
                assert!(lines.contains(&(*line).to_owned()), "{line}: {lines:?}");
            }
            assert_eq!(lines.len(), 5, "{lines:?}");
        }
    }
}

#[test]
fn what_has_expired_is_counted_and_left_out() {
    let scratch = Scratch::new("expired");
    let source = after(&[
        "SET soon 1 PX 10",
        "HSET shop apples 3 pears 5",
        "HPEXPIRE shop 10 FIELDS 1 apples",
        "HSET gone figs 1",
        "PEXPIRE gone 10",
    ]);
    for (format, extension) in WHOLE {
        let path = scratch.path().join(format!("expired.{extension}"));
        export_file(&source.server.store, format, &path).unwrap();
        let store = store();
        store.clock.advance(std::time::Duration::from_millis(10));
        let report = imported(&path, &store);
        assert_eq!((report.expired_names, report.expired_pairs, report.pairs), (2, 1, 1));
        assert_eq!(
            dump(&store, START_MS + 10),
            ["0 shop / pears = 5 None", "0 shop None kept=false",]
        );
    }
}
