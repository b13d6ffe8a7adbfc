//! HyperLogLogs move between pantry and a real redis-server, both ways and in both layouts.
#![allow(clippy::unwrap_used)]

mod oracle;
mod support;

use oracle::{Oracle, Reply};
use pantry::journal::Journal;
use support::Harness;
use support::render::{self, Value};

#[test]
fn values_move_between_servers() {
    let Some(mut redis) = Oracle::start() else { return };
    let mut pantry = Harness::new(Journal::discarding());
    let mut ask = |words: &[&[u8]]| {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        render::decode(&mut pantry.execute("a", &words).as_slice())
    };
    for elements in [0, 1, 2, 50, 700, 1500, 4000, 60_000] {
        for from in (0..elements).step_by(500) {
            let texts: Vec<String> =
                (from..elements.min(from + 500)).map(|n| format!("element:{n}")).collect();
            let add = |name: &'static str| {
                let words = [b"PFADD", name.as_bytes()].into_iter();
                words.chain(texts.iter().map(String::as_bytes)).collect::<Vec<&[u8]>>()
            };
            ask(&add("ours"));
            redis.run(&add("theirs"));
        }
        ask(&[b"PFADD", b"ours"]);
        redis.run(&[b"PFADD", b"theirs"]);
        let Reply::Integer(count) = redis.run(&[b"PFCOUNT", b"theirs"]) else { panic!() };
        assert_eq!(ask(&[b"PFCOUNT", b"ours"]), Value::Integer(count), "{elements}");

        let Value::Bulk(ours) = ask(&[b"GET", b"ours"]) else { panic!() };
        let Reply::Bulk(Some(theirs)) = redis.run(&[b"GET", b"theirs"]) else { panic!() };
        assert_eq!(ours.get(4), theirs.get(4), "the layout of {elements}");
        ask(&[b"SET", b"moved", &theirs]);
        redis.run(&[b"SET", b"moved", &ours]);
        assert_eq!(ask(&[b"PFCOUNT", b"moved", b"ours"]), Value::Integer(count), "{elements}");
        let both = redis.run(&[b"PFCOUNT", b"moved", b"theirs"]);
        assert_eq!(both, Reply::Integer(count), "{elements}");
    }
}

#[test]
fn of_a_dense_one_what_changed_is_journaled() {
    let mut pantry = Harness::new(Journal::remembering(0));
    pantry.run("PFADD seen 0");
    pantry.run("PFDEBUG TODENSE seen");
    let whole_bytes = pantry.server.store.journal.batches().last().unwrap().len();
    assert!(whole_bytes > 12_000, "{whole_bytes}");
    for element in 1..100 {
        let before = pantry.server.store.journal.batches().len();
        pantry.run(&format!("PFADD seen {element}"));
        for batch in &pantry.server.store.journal.batches()[before..] {
            assert!(batch.len() < 40, "{}", batch.len());
        }
    }
    let now_ms = pantry.server.store.clock.now_ms();
    let replayed = support::dump(&pantry.replayed(), now_ms);
    assert_eq!(replayed, support::dump(&pantry.server.store, now_ms));
    assert_eq!(pantry.run("PFCOUNT seen"), "(integer) 100");
}
