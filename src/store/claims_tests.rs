//! Tests of pairs that several threads overwrite at the same time: claims, the stripe they are in, and the bytes.

use std::sync::Barrier;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::claims::{Board, CLAIMS_MAX, Tag};
use super::view::{Known, View};
use super::{Access, Hold, Kind, Name, NewDeadline, Store, stripe_of};
use crate::clock::Clock;
use crate::error::Result;
use crate::journal::Journal;
use crate::journal::effect::{Cause, Effects};
use crate::store::Held;

const NAME: &[u8] = b"namespace";
/// More than are packed without an index.
const PAIRS: usize = 200;

fn tags(numbers: impl IntoIterator<Item = u64>) -> impl Iterator<Item = Tag> {
    numbers.into_iter().map(|number| Tag::new(1, number << 1))
}

#[test]
fn no_pair_is_claimed_twice() {
    let board = Board::default();
    let first = board.announce(0, tags([1, 2, 3]));
    assert!(first.is_some());
    assert!(board.announce(1, tags([4, 3])).is_none());
    let second = board.announce(1, tags([4, 5]));
    assert!(second.is_some() && board.announce(2, tags([5])).is_none());
    assert!(board.announce(2, tags([])).is_some());
    drop(first);
    assert!(board.announce(2, tags([1, 2, 3])).is_some());
    assert!(board.announce(2, tags([4])).is_none());
}

#[test]
fn who_has_no_place_on_the_board_has_no_claims() {
    let board = Board::default();
    let _first = board.announce(0, tags([1]));
    assert!(board.announce(0, tags([2])).is_none(), "one thread twice");
    assert!(board.announce(usize::MAX, tags([2])).is_none(), "a thread without a place");
    assert!(board.announce(1, tags(2..2 + CLAIMS_MAX as u64)).is_some());
    assert!(board.announce(1, tags(2..3 + CLAIMS_MAX as u64)).is_none(), "too many");
    assert!(board.announce(1, tags([2])).is_some(), "a refusal leaves nothing behind");
}

/// A store with a namespace in a stripe that is divided.
fn divided(pairs: usize) -> Store {
    let store = Store::new(Journal::remembering(u64::MAX), Clock::manual(1000));
    for number in 0..pairs {
        let (put, _) = store.edit(0, NAME, |view| put(view, &key(number), &value(0)));
        assert_eq!(put, Ok(true));
    }
    store.divide(name(&store));
    store
}

fn key(number: usize) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

/// Bytes of which any two show whether they are of one value.
fn value(number: u32) -> [u8; 32] {
    let mut value = [0; 32];
    value.as_chunks_mut().0.fill(number.to_le_bytes());
    value
}

fn put(view: &mut View<'_>, key: &[u8], value: &[u8]) -> Result<bool> {
    view.put_pair(NAME, key, value, NewDeadline::Clear, Cause::Hset)
}

fn known<'k>(store: &Store, key: &'k [u8]) -> Known<'k> {
    Known { name: Some(name(store)), key: Some((key, store.key_hash(key))) }
}

fn name(store: &Store) -> Name<'static> {
    store.name(NAME)
}

/// Takes pairs for a thread, and puts values in them.
fn put_claimed(
    store: &Store,
    thread: usize,
    pairs: &[(Vec<u8>, Vec<u8>)],
) -> (bool, Vec<Result<bool>>) {
    let mut held = Held::by(thread, store);
    let (number, keys) =
        (stripe_of(name(store).hash), pairs.iter().map(|(key, _)| known(store, key)));
    held.lock_pairs(number, keys);
    let is_claimed = held.is_claimed();
    let mut effects = Effects::default();
    let put_one = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let mut view = View::live(&mut held, &mut effects, Access::of(0, 1000), known(store, key));
        put(&mut view, key, value)
    };
    let results = pairs.iter().map(put_one).collect();
    held.release(&mut effects);
    (is_claimed, results)
}

fn get(store: &Store, number: usize) -> Option<Vec<u8>> {
    let stripe = stripe_of(name(store).hash);
    store.look_at(stripe, 0, |view| {
        let pairs = view.namespace(NAME).unwrap()?;
        pairs.get(&key(number)).map(|pair| pair.value.to_vec())
    })
}

#[test]
fn threads_share_a_stripe_to_overwrite_different_pairs() {
    let store = divided(PAIRS);
    let stripe = stripe_of(name(&store).hash);
    let [mut first, mut second] = [0, 1].map(|thread| Held::by(thread, &store));
    let (one, two) = (key(1), key(2));
    first.lock_pairs(stripe, [known(&store, &one)].into_iter());
    second.lock_pairs(stripe, [known(&store, &two)].into_iter());
    assert!(first.is_claimed() && second.is_claimed());
    assert!(first.turn_to(name(&store), Hold::Pairs) && !first.turn_to(name(&store), Hold::Alone));
    assert!(!first.turn_to(name(&store), Hold::Shared), "what is shared so must not be read");
    let mut effects = [Effects::default(), Effects::default()];
    for ((held, effects), key) in
        [&mut first, &mut second].into_iter().zip(&mut effects).zip([&one, &two])
    {
        let mut view = View::live(held, effects, Access::of(0, 1000), known(&store, key));
        assert_eq!(put(&mut view, key, &value(7)), Ok(false));
    }
    let (later, earlier) = (second.release(&mut effects[1]), first.release(&mut effects[0]));
    // The one that ends last has the higher LSN.
    assert!(earlier.wrote > later.wrote);
    assert_eq!(
        [1, 2, 3].map(|number| get(&store, number).unwrap()),
        [value(7), value(7), value(0)]
    );
    let mut held = Held::new(&store);
    held.lock(name(&store), Hold::Shared);
    assert_eq!(held.lsn_of(name(&store)), earlier.wrote);
}

#[test]
fn what_takes_more_than_overwriting_a_claimed_pair_is_refused_and_changes_nothing() {
    let store = divided(PAIRS);
    let deadline = NewDeadline::At(5000);
    let (set, _) = store.edit(0, NAME, |view| {
        view.put_pair(NAME, &key(5), &value(0), deadline, Cause::Hset)?;
        view.put_pair(NAME, &key(6), &[1; 2000], NewDeadline::Clear, Cause::Hset)?;
        view.put_pair(NAME, b"past", b"v", NewDeadline::At(900), Cause::Hset)
    });
    set.unwrap();
    let before = store.journal.last();
    let refused = [
        (key(PAIRS), value(1).to_vec()),
        (key(1), b"shorter".to_vec()),
        (key(2), vec![0; 33]),
        // It would lose its deadline, and with that the room for it.
        (key(5), value(1).to_vec()),
        (key(6), vec![2; 2000]),
        (b"past".to_vec(), b"w".to_vec()),
    ];
    for pair in refused {
        store.divide(name(&store));
        let (is_claimed, results) = put_claimed(&store, 0, &[pair]);
        assert!(is_claimed && results[0].is_err());
    }
    assert_eq!(store.journal.last(), before);
    let shown = [1, 2, 5].map(|number| get(&store, number).unwrap());
    assert_eq!(shown, [value(0); 3]);
    assert_eq!(get(&store, 6).unwrap(), [1; 2000]);
    assert_eq!(get(&store, PAIRS), None);

    // What is not claimed is not put, however much it is there.
    store.divide(name(&store));
    let mut held = Held::by(0, &store);
    let (one, two) = (key(1), key(2));
    held.lock_pairs(stripe_of(name(&store).hash), [known(&store, &one)].into_iter());
    let mut effects = Effects::default();
    let mut view = View::live(&mut held, &mut effects, Access::of(0, 1000), known(&store, &two));
    assert!(put(&mut view, &two, &value(1)).is_err());
}

#[test]
fn a_reader_makes_the_stripe_whole_and_refusals_do() {
    let store = divided(PAIRS);
    assert_eq!(get(&store, 1).unwrap(), value(0));
    assert!(!put_claimed(&store, 0, &[(key(1), value(1).to_vec())]).0);
    store.divide(name(&store));
    for _ in 0..4 {
        assert!(put_claimed(&store, 0, &[(key(1), value(1).to_vec())]).0);
        let mut held = Held::new(&store);
        held.lock_whole(name(&store));
    }
    assert!(!put_claimed(&store, 0, &[(key(1), value(1).to_vec())]).0);
}

#[test]
fn a_stripe_is_divided_when_those_who_put_pairs_wait_for_each_other() {
    let store = divided(PAIRS);
    assert!(get(&store, 1).is_some());
    let was_claimed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (store, was_claimed) = (&store, &was_claimed);
            scope.spawn(move || {
                let batch: Vec<_> =
                    (0..8).map(|at| (key(thread * 8 + at), value(1).to_vec())).collect();
                while !was_claimed.load(Relaxed) {
                    was_claimed.fetch_or(put_claimed(store, thread, &batch).0, Relaxed);
                }
            });
        }
    });
}

/// Threads overwrite few pairs, put others, delete them and read: no value is ever seen in parts, and the journal's
/// order is that of the changes.
#[test]
fn values_are_whole_and_the_journal_has_them_in_their_order() {
    const THREADS: usize = 3;
    const BATCHES: u32 = if cfg!(miri) { 12 } else { 3000 };
    let pairs = if cfg!(miri) { 70 } else { PAIRS };
    let store = divided(pairs);
    let (claimed, barrier) = (AtomicUsize::new(0), Barrier::new(THREADS));
    let work = |thread: usize| {
        let mut random = thread as u64 + 1;
        let mut below = |bound: usize| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (random >> 33) as usize % bound
        };
        barrier.wait();
        for batch in 0..BATCHES {
            let number = below(pairs);
            match below(32) {
                0 => {
                    let seen = get(&store, number);
                    let is_whole = |value: &[u8]| value.chunks(4).all(|part| part == &value[..4]);
                    assert!(seen.is_none_or(|value| value.len() == 32 && is_whole(&value)));
                }
                1 => {
                    let (deleted, _) = store
                        .edit(0, NAME, |view| view.delete_pair(NAME, &key(number), Cause::Hdel));
                    assert!(deleted.is_ok());
                }
                2 => {
                    let (put, _) =
                        store.edit(0, NAME, |view| put(view, &key(number), &value(batch)));
                    assert!(put.is_ok());
                }
                _ => {
                    if below(4) == 0 {
                        store.divide(name(&store));
                    }
                    let value = value(batch << 2 | thread as u32).to_vec();
                    let batch: Vec<_> =
                        (0..below(5)).map(|_| (key(below(pairs)), value.clone())).collect();
                    claimed.fetch_add(usize::from(put_claimed(&store, thread, &batch).0), Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
    assert!(claimed.load(Relaxed) > 0, "no batch was claimed");

    let replayed = Store::new(Journal::discarding(), Clock::manual(1000));
    store.journal.batches().iter().for_each(|batch| replayed.replay(batch).unwrap());
    let all = |store: &Store| {
        let mut held = Held::new(store);
        held.lock_all();
        let mut effects = Effects::default();
        let view = View::live(&mut held, &mut effects, Access::of(0, 1000), Known::default());
        assert_eq!(view.peek_kind(NAME), Some(Kind::Namespace));
        let pairs = view.namespace(NAME).unwrap().unwrap();
        let mut all: Vec<_> =
            pairs.iter().map(|pair| (pair.key.to_vec(), pair.value.to_vec())).collect();
        all.sort();
        (all, view.deadline_ms(NAME))
    };
    assert_eq!(all(&store), all(&replayed));
}
