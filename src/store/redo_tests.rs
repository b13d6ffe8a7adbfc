//! What a snapshot captured at different moments, and the journal over it: the state that comes out is
//! exact, whatever was captured when. How many ways there are is tried by the simulation; here are those
//! that need the most particular moments.

use crate::clock::Clock;
use crate::journal::effect::{Cause, Effect, Effects};
use crate::journal::{Journal, Lsn};
use crate::store::captured::Body;
use crate::store::name::{NameEntry, NewDeadline};
use crate::store::names::Names as _;
use crate::store::restore::Restore;
use crate::store::{Held, NEVER, Store};

const KEPT: bool = true;

fn namespace(name: &[u8], kept: bool, deadline_ms: u64) -> NameEntry {
    let mut entry = NameEntry::new(name, 0);
    (entry.kept, entry.deadline_ms) = (kept, deadline_ms);
    entry
}

fn with_pairs(store: &Store, mut entry: NameEntry, keys: &[&[u8]]) -> NameEntry {
    let hasher = crate::store::hash::KeyHasher { hasher: store.hasher, known: None };
    for key in keys {
        entry.put_pair(hasher, key, b"v", NewDeadline::Clear, 0);
    }
    entry
}

/// The bytes that `put` puts.
fn body(put: impl FnOnce(&mut Body)) -> Vec<u8> {
    let mut body = Body::default();
    put(&mut body);
    body.parts().flatten().copied().collect()
}

fn names(entries: &[&NameEntry]) -> Vec<u8> {
    body(|body| entries.iter().for_each(|entry| body.push_entry(0, entry)))
}

/// The header of a namespace that is captured in parts.
fn header(entry: &NameEntry) -> Vec<u8> {
    body(|body| {
        body.push_header(0, entry);
        body.push_number(1);
    })
}

fn pairs(entry: &NameEntry) -> Vec<u8> {
    body(|body| entry.pairs().unwrap().iter().for_each(|pair| body.push_pair(&pair)))
}

fn put<'e>(name: &'e [u8], key: &'e [u8]) -> Effect<'e> {
    Effect::PutPair { db: 0, name, key, value: b"v", deadline_ms: NEVER }
}

fn delete<'e>(name: &'e [u8], key: &'e [u8], is_last: bool) -> Effect<'e> {
    Effect::DeletePair { db: 0, name, key, is_last }
}

/// Redoes effects, one a batch, the first of which has this LSN.
fn redo(restore: &mut Restore<'_>, first: Lsn, effects: &[(Cause, Effect<'_>)]) {
    for (lsn, (cause, effect)) in (first..).zip(effects) {
        let mut encoded = Effects::default();
        encoded.push(*cause, *effect);
        assert_eq!(restore.batch(lsn, encoded.as_bytes()), Ok(()));
    }
    assert_eq!(restore.redo_gathered(), Ok(()));
}

/// Database 0, one line a name.
fn shown(store: &Store) -> Vec<String> {
    let mut held = Held::new(store);
    held.lock_all();
    let mut lines = Vec::new();
    held.scan(0, 0, &mut |_, entry| {
        let keys = entry.pairs().unwrap().iter().map(|pair| pair.key.escape_ascii().to_string());
        let keys: Vec<String> = keys.collect();
        let (name, deadline_ms) = (entry.name().escape_ascii(), entry.deadline_ms());
        lines.push(format!("{name} {keys:?} kept={} {deadline_ms:?}", entry.kept));
        std::ops::ControlFlow::Continue(())
    });
    lines.sort();
    lines
}

fn store() -> Store {
    Store::new(Journal::discarding(), Clock::manual(1000))
}

/// The stripes are let go now and then, also just before names that were captured late come in.
#[test]
fn late_names_come_in_when_no_stripe_is_held() {
    let store = store();
    let mut restore = Restore::new(&store);
    let late = names(&[&namespace(b"late", KEPT, NEVER)]);
    assert_eq!(restore.late_names(1, &late), Ok(()));
    restore.snapshot_ends(1);
    redo(&mut restore, 2, &[(Cause::Hset, put(b"later", b"k"))]);
    restore.finish();
    assert_eq!(shown(&store), ["late [] kept=true None", "later [\"k\"] kept=false None"]);
}

/// `a` was gone when it would have been captured, so what it was when it was copied is not known. `old`
/// was kept until then, and what had its mark was gone too before it would have been captured.
#[test]
fn what_is_not_known_replaces_a_kept_mark() {
    for source in [&b"a"[..], b"captured later"] {
        let store = store();
        let mut restore = Restore::new(&store);
        let old = with_pairs(&store, namespace(b"old", KEPT, 777), &[b"k"]);
        assert_eq!(restore.names(5, &names(&[&old])), Ok(()));
        let later = with_pairs(&store, namespace(b"captured later", false, NEVER), &[b"k"]);
        assert_eq!(restore.names(9, &names(&[&later])), Ok(()));
        let gone = body(|body| body.push_absent(0, b"old"));
        assert_eq!(restore.late_names(9, &gone), Ok(()));
        restore.snapshot_ends(9);
        let effects = [
            (Cause::CopyTo, Effect::Copy { db: 0, name: source, to_db: 0, to: b"old" }),
            (Cause::Rename, Effect::Rename { db: 0, name: b"old", to: b"b" }),
            (Cause::Hdel, delete(b"b", b"k", true)),
            (Cause::Hset, put(b"captured later", b"k")),
            (Cause::Hset, put(b"b", b"k2")),
        ];
        redo(&mut restore, 6, &effects);
        restore.finish();
        let expected = ["b [\"k2\"] kept=false None", "captured later [\"k\"] kept=false None"];
        assert_eq!(shown(&store), expected);
    }
}

/// Its only pair before was deleted before it was captured, and the one after it was put where all
/// was captured already: between, nothing that was captured is in it.
#[test]
fn what_only_seems_empty_is_renamed_and_gets_a_deadline() {
    let store = store();
    let mut restore = Restore::new(&store);
    let entry = namespace(b"a", false, NEVER);
    assert_eq!(restore.late_namespace(5, &header(&entry)), Ok(()));
    assert_eq!(restore.late_pairs(9, &[]), Ok(()));
    restore.snapshot_ends(9);
    let effects = [
        (Cause::Expire, Effect::NameDeadline { db: 0, name: b"a", deadline_ms: 777 }),
        (Cause::Rename, Effect::Rename { db: 0, name: b"a", to: b"b" }),
        (Cause::Hset, put(b"b", b"new")),
        (Cause::Hdel, delete(b"b", b"old", false)),
    ];
    redo(&mut restore, 6, &effects);
    restore.finish();
    assert_eq!(shown(&store), ["b [\"new\"] kept=false Some(777)"]);
}

/// A namespace that becomes empty loses its deadline with the next pair, also one that was captured in parts.
#[test]
fn what_is_empty_loses_its_deadline() {
    let by_a_client = [(Cause::Hdel, delete(b"a", b"k", true))];
    let by_the_reaper = [
        (Cause::Hexpired, delete(b"a", b"k", false)),
        (Cause::Emptied, Effect::Keep { db: 0, name: b"a" }),
    ];
    for emptied in [&by_a_client[..], &by_the_reaper] {
        let store = store();
        let mut restore = Restore::new(&store);
        let entry = with_pairs(&store, namespace(b"a", KEPT, 777), &[b"k"]);
        assert_eq!(restore.late_namespace(5, &header(&entry)), Ok(()));
        assert_eq!(restore.late_pairs(6, &pairs(&entry)), Ok(()));
        restore.snapshot_ends(9);
        redo(&mut restore, 7, emptied);
        redo(&mut restore, 9, &[(Cause::Hset, put(b"a", b"new"))]);
        restore.finish();
        assert_eq!(shown(&store), ["a [\"new\"] kept=true None"]);
    }
}
