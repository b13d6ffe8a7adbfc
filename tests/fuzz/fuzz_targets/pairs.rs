//! A namespace does what a map does, whatever is put, deleted and given deadlines, in whatever sizes: few pairs, a table,
//! values in its chunks, with an allocation of their own, or as counted references; put alone, or through a claim.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use pantry::clock::Clock;
use pantry::journal::Journal;
use pantry::error::Result;
use pantry::journal::effect::{Cause, Effects};
use pantry::store::view::Known;
use pantry::store::{Access, Held, NewDeadline, Settings, Store, View};

const NOW_MS: u64 = 1_000_000;
const NAME: &[u8] = b"space";

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

// The input: four bytes a step, which say what is done, to which key, with how long a value.
fuzz_target!(|input: &[u8]| {
    let store = Store::new(Journal::discarding(), Clock::manual(NOW_MS));
    let mut model = Model::new();
    for (number, step) in input.chunks_exact(4).enumerate() {
        if step[0] & 0x80 != 0 {
            run_claimed(&store, &mut model, step, number);
            continue;
        }
        store.edit(0, NAME, |view| run(view, &mut model, step, number));
    }
    store.edit(0, NAME, |view| check(view, &model));
});

/// Puts a pair together with nobody else. What takes more than overwriting it where it lies must change nothing.
fn run_claimed(store: &Store, model: &mut Model, step: &[u8], number: usize) {
    let (key, mut value) = key_and_value(step, number);
    if let Some((old, _)) = model.get(&key).filter(|_| step[0] & 1 == 1) {
        value.resize(old.len(), 7);
    }
    let deadline = match step[0] & 6 {
        0 => NewDeadline::Clear,
        2 => NewDeadline::At(NOW_MS + 1 + u64::from(step[3])),
        _ => NewDeadline::Keep,
    };
    let name = store.name(NAME);
    store.divide(name);
    let mut held = Held::by(0, store);
    let known = Known { name: Some(name), key: Some((&key, store.key_hash(&key))) };
    held.lock_pairs(name.stripe(), std::iter::once(known));
    assert!(held.is_claimed());
    let mut effects = Effects::default();
    let access = Access {
        db: 0,
        now_ms: NOW_MS,
        random_seed: 0,
        touch: true,
        used_ms: NOW_MS,
        settings: &Settings::NONE,
        user: None,
    };
    let mut view = View::live(&mut held, &mut effects, access, known);
    let put: Result<bool> = view.put_pair(NAME, &key, &value, deadline, Cause::Hset);
    held.release(&mut effects);
    if let Ok(created) = put {
        assert!(!created);
        let (old, deadline_ms) = model.get_mut(&key).expect("nothing is made so");
        assert_eq!(value.len(), old.len());
        *old = value;
        match deadline {
            NewDeadline::Clear => *deadline_ms = None,
            NewDeadline::At(at) => *deadline_ms = Some(at),
            NewDeadline::Keep => {}
        }
    }
}

fn key_and_value(step: &[u8], number: usize) -> (Vec<u8>, Vec<u8>) {
    // Lengths on both sides of every border: of forms, chunks, allocations, counted references.
    const LENS: [usize; 8] = [0, 31, 255, 500, 511, 2047, 16 * 1024 - 1, 16 * 1024];
    let key = vec![step[1]; 1 + usize::from(step[1] & 63)];
    let value = vec![number as u8; LENS[usize::from(step[2] & 7)] + usize::from(step[2] >> 3)];
    (key, value)
}

fn run(view: &mut View<'_>, model: &mut Model, step: &[u8], number: usize) {
    let (key, value) = key_and_value(step, number);
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
