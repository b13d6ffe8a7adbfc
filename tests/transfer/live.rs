//! Import and export of a store that others use meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pantry::journal::Journal;
use pantry::journal::effect::Cause;
use pantry::rdb::reader::{Event, Reader};
use pantry::rdb::writer::Version;
use pantry::store::NewDeadline;
use pantry::transfer::export::{Format, export};
use pantry::transfer::import::{Existing, Options, OtherTypes, import};

use crate::support::scratch::Scratch;
use crate::support::{Harness, START_MS, dump};
use crate::{after, file, store};

const STEADY: usize = 30_000;

/// Names and pairs that stay are in the export exactly once, whatever else comes and goes.
#[test]
fn what_stays_is_exported_once() {
    let store = Arc::new(store());
    for number in 0..STEADY {
        let key = format!("steady {number}");
        let put = |view: &mut pantry::store::View<'_>| {
            view.put_pair(b"large", key.as_bytes(), b"1", NewDeadline::Clear, Cause::Hset).unwrap();
        };
        store.edit(0, b"large", put);
        if number % 10 == 0 {
            store.edit(0, key.as_bytes(), |view| {
                view.put_string(key.as_bytes(), b"1", NewDeadline::Clear, Cause::Set);
            });
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let changing = std::thread::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        move || {
            for number in 0u64.. {
                if stop.load(Relaxed) {
                    return number;
                }
                let key = format!("passing {}", number % 5000);
                store.edit(0, b"large", |view| {
                    if number / 5000 % 2 == 0 {
                        view.put_pair(
                            b"large",
                            key.as_bytes(),
                            b"2",
                            NewDeadline::Clear,
                            Cause::Hset,
                        )
                        .unwrap();
                    } else {
                        view.delete_pair(b"large", key.as_bytes(), Cause::Hdel).unwrap();
                    }
                });
                store.edit(0, key.as_bytes(), |view| {
                    view.put_string(key.as_bytes(), b"2", NewDeadline::Clear, Cause::Set);
                });
            }
            0
        }
    });
    for _ in 0..5 {
        let mut out = Vec::new();
        export(&store, Format::Rdb(Version::Redis7_4), &mut out, &std::env::temp_dir()).unwrap();
        check_steady(&out);
    }
    stop.store(true, Relaxed);
    assert!(changing.join().unwrap() > 0);
}

fn check_steady(rdb: &[u8]) {
    let mut reader = Reader::new(rdb).unwrap();
    let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
    while let Some(event) = reader.next_event().unwrap() {
        let is_new = match event {
            Event::String(name, _) | Event::Hash(name) => names.insert(name.bytes.to_vec()),
            Event::Pair { key, .. } => keys.insert(key.to_vec()),
            _ => true,
        };
        assert!(is_new, "{event:?} came twice");
    }
    let steady =
        |set: &BTreeSet<Vec<u8>>| set.iter().filter(|it| it.starts_with(b"steady")).count();
    assert_eq!((steady(&names), steady(&keys)), (STEADY / 10, STEADY));
}

/// A namespace that is written aside before it is written as RDB is all there.
#[test]
fn a_large_namespace_is_exported_whole() {
    const PAIRS: usize = 24_000;
    let (scratch, source) = (Scratch::new("large"), store());
    for number in 0..PAIRS {
        let (key, value) = (format!("key {number}"), format!("{number:1000}"));
        let deadline = match number.is_multiple_of(3) {
            true => NewDeadline::At(START_MS + 1000 + number as u64),
            false => NewDeadline::Clear,
        };
        source.edit(0, b"large", |view| {
            view.put_pair(b"large", key.as_bytes(), value.as_bytes(), deadline, Cause::Hset)
                .unwrap()
        });
    }
    let aside = file(&scratch, "nothing", b"").with_file_name("aside");
    std::fs::create_dir(&aside).unwrap();
    let mut out = Vec::new();
    let report = export(&source, Format::Rdb(Version::Redis7_4), &mut out, &aside).unwrap();
    assert_eq!((report.namespaces, report.pairs), (1, PAIRS as u64));
    assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 0, "nothing is left there");
    let target = store();
    let path = file(&scratch, "dump.rdb", &out);
    let (imported, _) = crate::import_with(&path, &target, Existing::Replace, OtherTypes::Refuse);
    imported.unwrap();
    assert_eq!(dump(&target, START_MS), dump(&source, START_MS));
    std::fs::remove_dir(&aside).unwrap();
    let error = export(&source, Format::Rdb(Version::Redis7_0), &mut Vec::new(), &aside);
    assert!(error.is_err(), "where nothing can be written aside, nothing is exported in part");
}

/// An import is journaled: replaying its effects gives an equal store.
#[test]
fn an_import_is_journaled() {
    let scratch = Scratch::new("journaled");
    let source = after(&[
        "SET a 1",
        "HSETEX shop PX 1000 FIELDS 2 apples 3 pears 5",
        "PEXPIRE shop 5000",
        "NAMESPACE CREATE kept",
    ]);
    let mut out = Vec::new();
    export(&source.server.store, Format::Rdb(Version::Redis7_4), &mut out, &std::env::temp_dir())
        .unwrap();
    let path = file(&scratch, "dump.rdb", &out);
    let target = Harness::new(Journal::remembering(u64::MAX));
    let mut options = Options {
        existing: Existing::Replace,
        other_types: OtherTypes::Refuse,
        on_other: &mut |_| {},
    };
    let report = import(&path, &target.server.store, &mut options).unwrap();
    assert_eq!(report.last_lsn, target.server.store.journal.last());
    let original = dump(&source.server.store, START_MS);
    assert_eq!(dump(&target.server.store, START_MS), original);
    assert_eq!(dump(&target.replayed(), START_MS), original);
}

#[test]
fn an_import_ends_when_memory_is_used_up() {
    let scratch = Scratch::new("memory");
    let source = after(&["SET a 1"]);
    let mut out = Vec::new();
    export(&source.server.store, Format::JsonLines, &mut out, &std::env::temp_dir()).unwrap();
    let path = file(&scratch, "rows.jsonl", &out);
    let store = store();
    store.limit_memory(1);
    let (report, _) = crate::import_with(&path, &store, Existing::Replace, OtherTypes::Skip);
    assert!(format!("{:#}", report.unwrap_err()).contains("maxmemory"));
    store.limit_memory(0);
    assert!(dump(&store, START_MS).is_empty());
}
