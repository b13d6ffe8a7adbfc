//! The heap of pairs alone, against a map: whatever is put, changed, taken and moved, every entry is
//! found where its place says, and memory is accounted for.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::claims::Put;
use crate::store::name::NewDeadline;

/// What is known of an entry by its place.
type Model = BTreeMap<Place, (Vec<u8>, Vec<u8>, u64)>;

#[derive(Debug, Clone)]
enum Step {
    Put {
        key_len: usize,
        value_len: usize,
        deadline_ms: u64,
    },
    Set {
        which: usize,
        value_len: usize,
        deadline_ms: u64,
    },
    /// As [`Step::Set`], through a claim.
    Overwrite {
        which: usize,
        value_len: usize,
        deadline_ms: u64,
    },
    SetDeadline {
        which: usize,
        deadline_ms: u64,
    },
    Take {
        which: usize,
    },
    /// Holds the value as a connection does that is sending it.
    Hold {
        which: usize,
    },
    LetGo,
    /// Moves all to a new heap.
    Compact,
}

fn deadline() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(NEVER), 2 => 1..1u64 << 47]
}

fn value_len() -> impl Strategy<Value = usize> {
    prop_oneof![
        12 => 0..40usize,
        4 => 200..600usize,
        2 => 600..70_000usize,
        1 => (SHARED_BYTES_MIN - 2)..(SHARED_BYTES_MIN + 2),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..1000usize;
    prop_oneof![
        8 => (prop_oneof![9 => 0..33usize, 1 => 250..300usize], value_len(), deadline())
            .prop_map(|(key_len, value_len, deadline_ms)| Step::Put { key_len, value_len, deadline_ms }),
        4 => (which.clone(), value_len(), deadline())
            .prop_map(|(which, value_len, deadline_ms)| Step::Set { which, value_len, deadline_ms }),
        4 => (which.clone(), value_len(), deadline())
            .prop_map(|(which, value_len, deadline_ms)| Step::Overwrite { which, value_len, deadline_ms }),
        3 => (which.clone(), deadline())
            .prop_map(|(which, deadline_ms)| Step::SetDeadline { which, deadline_ms }),
        4 => which.clone().prop_map(|which| Step::Take { which }),
        1 => which.prop_map(|which| Step::Hold { which }),
        1 => Just(Step::LetGo),
        1 => Just(Step::Compact),
    ]
}

/// Bytes that differ from one call to the next.
fn bytes(len: usize, seed: &mut u8) -> Vec<u8> {
    *seed = seed.wrapping_add(1);
    (0..len).map(|at| (at as u8).wrapping_mul(31) ^ *seed).collect()
}

fn check(heap: &Packed, model: &Model) {
    for (&place, (key, value, deadline_ms)) in model {
        let pair = heap.get(place);
        assert_eq!((pair.key, pair.value, pair.deadline_ms), (&key[..], &value[..], *deadline_ms));
        assert_eq!((heap.key(place), heap.deadline_ms(place)), (&key[..], *deadline_ms));
        assert_eq!(pair.shared.is_some(), value.len() >= SHARED_BYTES_MIN);
        assert_eq!(heap.get_if(place, key), Some(pair));
        let (_, layout) = Layout::for_new(&NewPair { key, value, deadline_ms: *deadline_ms });
        assert_eq!(heap.large(place).is_some(), layout.len() > INLINE_LEN_MAX);
        let mut other = key.clone();
        other.push(0);
        assert!(heap.get_if(place, &other).is_none());
        other.truncate(key.len());
        if let Some(last) = other.last_mut() {
            *last ^= 0x80;
            assert!(heap.get_if(place, &other).is_none());
        }
    }
    let large: usize = heap.large.iter().flatten().map(Large::bytes).sum();
    assert_eq!(heap.large_bytes, large);
    let in_chunks: usize = model.keys().map(|&place| heap.len_in_chunk(place)).sum();
    assert_eq!(heap.used_bytes(), in_chunks + heap.hole_bytes + heap.end_bytes);
    assert!(heap.bytes() >= in_chunks + large);
}

fn pick(model: &Model, which: usize) -> Option<Place> {
    model.keys().nth(which % model.len().max(1)).copied()
}

/// Overwrites an entry if that is possible where it lies, and says what must come of it.
fn overwrite(
    heap: &Packed,
    place: Place,
    entry: &mut (Vec<u8>, Vec<u8>, u64),
    value: Vec<u8>,
    new_ms: u64,
) {
    let (key, old, old_ms) = entry;
    let deadline = if new_ms == NEVER { NewDeadline::Clear } else { NewDeadline::At(new_ms) };
    let run = |key: &[u8], now_ms: u64| {
        let put = Put { key, key_hash: 0, value: &value, deadline };
        heap.overwrite(&Claim::granted(&put, now_ms), place)
    };
    // The old deadline has not passed at this moment, and has at the next.
    let now_ms = *old_ms - 1;
    if is_elsewhere(&heap.chunks[usize::from(place) / GRANULES_PER_CHUNK][start(place)..]) {
        assert_eq!(run(key, now_ms), Overwritten::No);
        return;
    }
    assert_eq!(run(&[&key[..], b"0"].concat(), now_ms), Overwritten::Another);
    assert_eq!(run(key, *old_ms), Overwritten::No);
    let fits = value.len() == old.len() && (new_ms == NEVER) == (*old_ms == NEVER);
    let is_done = fits && new_ms >= *old_ms;
    let wanted = if is_done { Overwritten::Done(new_ms) } else { Overwritten::No };
    assert_eq!(run(key, now_ms), wanted);
    if is_done {
        (*old, *old_ms) = (value, new_ms);
    }
}

fn run(steps: Vec<Step>) {
    let (mut heap, mut model) = (Packed::default(), Model::new());
    let mut held: Vec<(Shared, Vec<u8>)> = Vec::new();
    let mut seed = 0;
    for step in steps {
        match step {
            Step::Put { key_len, value_len, deadline_ms } => {
                let (key, value) = (bytes(key_len, &mut seed), bytes(value_len, &mut seed));
                let put = heap.put(NewPair { key: &key, value: &value, deadline_ms });
                assert!(model.insert(put.unwrap(), (key, value, deadline_ms)).is_none());
            }
            Step::Set { which, value_len, deadline_ms } => {
                let Some(place) = pick(&model, which) else { continue };
                let entry = model.get_mut(&place).unwrap();
                // Half of them as long as before.
                let len = if which % 2 == 0 { entry.1.len() } else { value_len };
                let value = bytes(len, &mut seed);
                if heap.set_in_place(place, &value, deadline_ms) {
                    assert_eq!(value.len(), entry.1.len());
                    (entry.1, entry.2) = (value, deadline_ms);
                }
            }
            Step::Overwrite { which, value_len, deadline_ms } => {
                let Some(place) = pick(&model, which) else { continue };
                let entry = model.get_mut(&place).unwrap();
                let len = if which % 4 == 0 { value_len } else { entry.1.len() };
                let new_ms = if which % 3 == 0 { deadline_ms } else { entry.2 };
                overwrite(&heap, place, entry, bytes(len, &mut seed), new_ms);
            }
            Step::SetDeadline { which, deadline_ms } => {
                let Some(place) = pick(&model, which) else { continue };
                if heap.set_deadline_in_place(place, deadline_ms) {
                    model.get_mut(&place).unwrap().2 = deadline_ms;
                }
            }
            Step::Take { which } => {
                let Some(place) = pick(&model, which) else { continue };
                let (.., deadline_ms) = model.remove(&place).unwrap();
                assert_eq!(heap.take(place), deadline_ms);
            }
            Step::Hold { which } => {
                let Some(place) = pick(&model, which) else { continue };
                held.extend(heap.get(place).shared.map(|value| (value.clone(), value.to_vec())));
            }
            Step::LetGo => held.clear(),
            Step::Compact => {
                let mut to = Packed::default();
                let mut moved = Model::new();
                for (place, entry) in std::mem::take(&mut model) {
                    moved.insert(heap.transfer(place, &mut to).unwrap(), entry);
                }
                (heap, model) = (to, moved);
                assert!(!heap.is_sparse());
            }
        }
        check(&heap, &model);
        held.iter().for_each(|(value, bytes)| assert!(**value == bytes[..], "it is being sent"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_heap_is_a_map_of_places(steps in prop::collection::vec(step(), 1..200)) {
        run(steps);
    }
}
