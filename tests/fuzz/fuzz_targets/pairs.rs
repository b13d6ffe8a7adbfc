//! A namespace does what a map does, whatever is put, deleted and given deadlines, in whatever sizes: few pairs, a table,
//! values in its chunks, with an allocation of their own, or as counted references.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use pantry::clock::Clock;
use pantry::journal::Journal;
use pantry::journal::effect::Cause;
use pantry::store::{NewDeadline, Store, View};

const NOW_MS: u64 = 1_000_000;
const NAME: &[u8] = b"space";

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

// The input: four bytes a step, which say what is done, to which key, with how long a value.
fuzz_target!(|input: &[u8]| {
    let store = Store::new(Journal::discarding(), Clock::manual(NOW_MS));
    let mut model = Model::new();
    for (number, step) in input.chunks_exact(4).enumerate() {
        store.edit(0, NAME, |view| run(view, &mut model, step, number));
    }
    store.edit(0, NAME, |view| check(view, &model));
});

fn run(view: &mut View<'_>, model: &mut Model, step: &[u8], number: usize) {
    // Lengths on both sides of every border: of forms, chunks, allocations, counted references.
    const LENS: [usize; 8] = [0, 31, 255, 500, 511, 2047, 16 * 1024 - 1, 16 * 1024];
    let key = vec![step[1]; 1 + usize::from(step[1] & 63)];
    let value = vec![number as u8; LENS[usize::from(step[2] & 7)] + usize::from(step[2] >> 3)];
    let deadline_ms = NOW_MS + 1 + u64::from(step[3]);
    match step[0] % 8 {
        0..=2 => put(view, model, key, value, NewDeadline::Clear),
        3 => put(view, model, key, value, NewDeadline::At(deadline_ms)),
        4 => put(view, model, key, value, NewDeadline::Keep),
        5 => {
            let deleted = view.delete_pair(NAME, &key, Cause::Hdel).expect("a namespace");
            assert_eq!(deleted, model.remove(&key).is_some());
        }
        6 => {
            let deadline = (step[3] & 1 == 1).then_some(deadline_ms);
            let set = view.set_pair_deadline(NAME, &key, deadline, Cause::Hexpire).expect("a namespace");
            assert_eq!(set, model.contains_key(&key));
            model.entry(key).and_modify(|pair| pair.1 = deadline);
        }
        _ => check(view, model),
    }
}

fn put(view: &mut View<'_>, model: &mut Model, key: Vec<u8>, value: Vec<u8>, deadline: NewDeadline) {
    let created = view.put_pair(NAME, &key, &value, deadline, Cause::Hset).expect("a namespace");
    assert_eq!(created, !model.contains_key(&key));
    let deadline_ms = match deadline {
        NewDeadline::Clear => None,
        NewDeadline::At(at) => Some(at),
        NewDeadline::Keep => model.get(&key).and_then(|pair| pair.1),
    };
    model.insert(key, (value, deadline_ms));
}

fn check(view: &View<'_>, model: &Model) {
    let Some(pairs) = view.namespace(NAME).expect("a namespace") else {
        assert!(model.is_empty());
        return;
    };
    assert_eq!(pairs.len(), model.len());
    let all: BTreeMap<_, _> = pairs.iter().map(|pair| (pair.key, (pair.value, pair.deadline_ms))).collect();
    assert!(all.len() == model.len());
    for (key, (value, deadline_ms)) in model {
        assert_eq!(all.get(&key[..]), Some(&(&value[..], *deadline_ms)));
        let pair = pairs.get(key).expect("it is there");
        assert_eq!((pair.value, pair.deadline_ms), (&value[..], *deadline_ms));
        assert_eq!(pair.sendable().bytes, &value[..]);
    }
}
