//! The table against a model: a `BTreeMap` does the same, and the table's own sums are counted anew.
//!
//! Hashes are also chosen as badly as can be: equal, or equal in all bits but the last. What commands
//! make of tables is tested in `tests/`.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::{NEVER, Rehash, Table};
use crate::store::boxed::{Boxed, Entry};
use crate::store::heap::Heap;
use crate::store::segment::Slot;
use crate::store::walk::Stroll;

/// An entry whose key is a number, so that tests can name it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    key: [u8; 4],
    deadline_ms: u64,
    bytes: usize,
}

impl Item {
    fn new(key: u32, deadline_ms: u64, bytes: usize) -> Item {
        Item { key: key.to_be_bytes(), deadline_ms, bytes }
    }
}

impl Entry for Item {
    fn key(&self) -> &[u8] {
        &self.key
    }
    fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }
    fn heap_bytes(&self) -> usize {
        self.bytes
    }
}

/// How keys get their hashes.
#[derive(Debug, Clone, Copy)]
enum Hashes {
    Spread,
    /// All in one corner: they differ in their last 24 bits only.
    Low,
    /// They differ in their first bits only.
    High,
    /// Seven in all.
    Few,
    /// One for all: the first, or the last there is.
    One(u64),
}

impl Hashes {
    /// Keys that tests use with them: what has equal hashes is looked for one by one.
    fn keys(self) -> u32 {
        match self {
            Hashes::One(_) => 1300,
            Hashes::Few => 3000,
            _ => 6000,
        }
    }

    fn of(self, key: u32, skip_bits: u8) -> u64 {
        let mixed = u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
            ^ u64::from(key).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let hash = match self {
            Hashes::Spread => mixed,
            Hashes::Low => mixed & 0xff_ffff,
            Hashes::High => mixed << 48,
            Hashes::Few => ((mixed % 7) << 60) | (mixed % 7),
            Hashes::One(hash) => hash,
        };
        // The bits that chose the table are equal for all.
        if skip_bits == 0 { hash } else { hash >> skip_bits | 0xa5 << (64 - skip_bits) }
    }
}

/// Finds the hash of a key again.
#[derive(Clone, Copy)]
struct Known(Hashes, u8);

impl Rehash for Known {
    fn hash(self, key: &[u8]) -> u64 {
        self.0.of(u32::from_be_bytes(key.try_into().unwrap()), self.1)
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// Keys from the first on, as many as the second says; there or not.
    Insert(u32, u32, Option<u64>),
    Remove(u32, u32),
    Update(u32, u32, Option<u64>),
    /// Removes all but one in so many.
    Thin(u32),
    /// Lets time pass and sweeps with this budget until there is no more to do, or once.
    Sweep(u64, isize, bool),
    /// Goes on with a scan that was begun before, by about so many.
    Scan(usize),
    /// The same by a walk.
    Walk(usize),
    Clone,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    const KEYS: u32 = 6000;
    let deadline = || prop_oneof![2 => Just(None), 1 => (1u64..400).prop_map(Some)];
    let op = prop_oneof![
        4 => (0..KEYS, 1..1500u32, deadline()).prop_map(|(at, n, to)| Op::Insert(at, n, to)),
        2 => (0..KEYS, 1..1500u32).prop_map(|(at, n)| Op::Remove(at, n)),
        2 => (0..KEYS, 1..400u32, deadline()).prop_map(|(at, n, to)| Op::Update(at, n, to)),
        1 => (2..1000u32).prop_map(Op::Thin),
        2 => (0..60u64, -1..3000isize, any::<bool>()).prop_map(|(by, n, all)| Op::Sweep(by, n, all)),
        3 => (1..900usize).prop_map(Op::Scan),
        3 => (1..900usize).prop_map(Op::Walk),
        1 => Just(Op::Clone),
    ];
    prop::collection::vec(op, 1..40)
}

fn hashes() -> impl Strategy<Value = Hashes> {
    prop_oneof![
        4 => Just(Hashes::Spread),
        1 => Just(Hashes::Low),
        1 => Just(Hashes::High),
        1 => Just(Hashes::Few),
        1 => Just(Hashes::One(0)),
        1 => Just(Hashes::One(u64::MAX)),
    ]
}

/// A table, what it should hold, and a scan that is under way.
struct Pitted {
    hashes: Hashes,
    skip_bits: u8,
    table: Table<Boxed<Item>>,
    model: BTreeMap<(u64, [u8; 4]), Item>,
    now_ms: u64,
    /// Where the scan goes on.
    from: u64,
    /// There since the scan began, and not shown yet.
    awaited: BTreeSet<[u8; 4]>,
    shown: BTreeSet<[u8; 4]>,
}

impl Pitted {
    fn new(hashes: Hashes, skip_bits: u8) -> Pitted {
        Pitted {
            hashes,
            skip_bits,
            table: Table::new(skip_bits),
            model: BTreeMap::new(),
            now_ms: 0,
            from: 0,
            awaited: BTreeSet::new(),
            shown: BTreeSet::new(),
        }
    }

    fn play(&mut self, op: &Op) {
        match *op {
            Op::Insert(at, n, lifetime) => {
                self.keys(at, n).for_each(|key| self.put(key, lifetime, true));
            }
            Op::Update(at, n, lifetime) => {
                self.keys(at, n).for_each(|key| self.put(key, lifetime, false));
            }
            Op::Remove(at, n) => self.keys(at, n).for_each(|key| self.remove(key)),
            Op::Thin(one_in) => {
                let keys: Vec<u32> =
                    self.model.keys().map(|(_, key)| u32::from_be_bytes(*key)).collect();
                keys.into_iter().filter(|key| key % one_in != 0).for_each(|key| self.remove(key));
            }
            Op::Sweep(by_ms, budget, to_the_end) => self.sweep(by_ms, budget, to_the_end),
            Op::Scan(count) => self.scan(count),
            Op::Walk(count) => self.walk(count),
            Op::Clone => self.table = self.table.clone(),
        }
        self.compare();
    }

    fn keys(&self, at: u32, n: u32) -> impl Iterator<Item = u32> + use<> {
        let end = self.hashes.keys();
        (at % end..end).take(n as usize)
    }

    fn put(&mut self, key: u32, lifetime: Option<u64>, may_insert: bool) {
        let hash = self.hashes.of(key, self.skip_bits);
        let deadline_ms = lifetime.map_or(NEVER, |by| self.now_ms + by + u64::from(key % 7));
        let item = Item::new(key, deadline_ms, key as usize % 50);
        let place = (hash, item.key);
        let expected = self.model.get(&place).cloned();
        let new = item.clone();
        let old = self.table.update(hash, &item.key, |there| std::mem::replace(there, new));
        assert_eq!(old, expected, "update of {key}");
        if old.is_none() && may_insert {
            self.table.insert(hash, item.clone(), Known(self.hashes, self.skip_bits));
        }
        if old.is_some() || may_insert {
            self.model.insert(place, item);
        }
    }

    fn remove(&mut self, key: u32) {
        let hash = self.hashes.of(key, self.skip_bits);
        let key = key.to_be_bytes();
        assert_eq!(self.table.remove(hash, &key), self.model.remove(&(hash, key)));
        self.awaited.remove(&key);
    }

    /// Removes those that [`Pitted::sweep`] would keep, but for the first.
    fn remove_staying(&mut self) {
        let keys = self.model.keys().map(|(_, key)| *key).filter(|key| key[3].is_multiple_of(3));
        let keys: Vec<u32> = keys.map(u32::from_be_bytes).filter(|key| *key != 0).collect();
        keys.into_iter().for_each(|key| self.remove(key));
    }

    /// Every third that is due stays, as a kept namespace does.
    fn sweep(&mut self, by_ms: u64, budget: isize, to_the_end: bool) {
        self.now_ms += by_ms;
        let now_ms = self.now_ms;
        let stays = |item: &Item| item.key[3].is_multiple_of(3);
        for turn in 0.. {
            let mut left = budget;
            let mut gone = Vec::new();
            self.table.sweep(
                now_ms,
                &mut left,
                &mut |items, place, _| {
                    items.update(place, |item| {
                        assert!(item.deadline_ms <= now_ms);
                        if stays(item) {
                            item.deadline_ms = NEVER;
                            item.bytes += 1;
                        }
                        item.deadline_ms != NEVER
                    })
                },
                &mut |item| gone.push(item),
            );
            for item in &gone {
                let place =
                    (self.hashes.of(u32::from_be_bytes(item.key), self.skip_bits), item.key);
                assert_eq!(self.model.remove(&place).as_ref(), Some(item));
                self.awaited.remove(&item.key);
            }
            for (place, item) in &mut self.model {
                let there = self.table.get(place.0, &place.1).unwrap();
                if item.deadline_ms <= now_ms && stays(item) && there.deadline_ms == NEVER {
                    *item = Item { deadline_ms: NEVER, bytes: item.bytes + 1, ..*item };
                }
            }
            self.check();
            if !to_the_end || budget <= 0 || self.table.min_deadline_ms() > now_ms {
                break;
            }
            assert!(turn < 1000, "a sweep that does not end");
        }
        if to_the_end && budget > 0 {
            assert!(self.model.values().all(|item| item.deadline_ms > now_ms));
        }
    }

    /// One call of a scan, as SCAN does it; equal hashes come in one call.
    fn scan(&mut self, count: usize) {
        self.begin();
        let (mut left, mut last, mut next) = (count, None, 0);
        let mut seen = Vec::new();
        // How it ended is known from where it goes on.
        let _ = self.table.scan(self.from, Known(self.hashes, self.skip_bits), |hash, item| {
            assert!(hash >= self.from && last <= Some(hash), "out of order");
            if left == 0 && last != Some(hash) {
                next = hash;
                return ControlFlow::Break(());
            }
            last = Some(hash);
            left = left.saturating_sub(1);
            seen.push(item.key);
            ControlFlow::Continue(())
        });
        self.note(seen, next);
    }

    /// One slice of a walk.
    fn walk(&mut self, count: usize) {
        self.begin();
        let mut stroll = Stroll::new(count);
        let mut seen = Vec::new();
        // How it ended is known from where it goes on.
        let _ = self.table.walk(
            self.from,
            Known(self.hashes, self.skip_bits),
            &mut stroll,
            &mut |item| {
                seen.push(item.key);
                true
            },
        );
        let next = stroll.next.unwrap_or(0);
        assert!(next == 0 || (next > self.from && seen.len() >= count), "a slice is too short");
        self.note(seen, next);
    }

    fn begin(&mut self) {
        if self.from == 0 {
            self.awaited = self.model.keys().map(|(_, key)| *key).collect();
            self.shown.clear();
        }
    }

    fn note(&mut self, seen: Vec<[u8; 4]>, next: u64) {
        for key in seen {
            let was_awaited = self.awaited.remove(&key);
            assert!(self.shown.insert(key) || !was_awaited, "shown twice");
        }
        self.from = next;
        if next == 0 {
            assert!(self.awaited.is_empty(), "stayed, but not shown: {:?}", self.awaited);
        }
    }

    /// Bytes that are not the entries' own.
    fn bytes(&self) -> usize {
        let own = self.table.segments.iter().map(|s| s.heap.entry_bytes).sum::<usize>();
        self.table.bytes() - own
    }

    fn compare(&self) {
        self.check();
        self.compare_order();
        for rank in [0, self.model.len() / 3, self.model.len().saturating_sub(1)] {
            assert_eq!(self.table.nth(rank), self.table.iter().nth(rank));
        }
        assert_eq!(self.table.nth(self.model.len()), None);
        let absent = 1_000_000;
        let hash = self.hashes.of(absent, self.skip_bits);
        assert_eq!(self.table.get(hash, &absent.to_be_bytes()), None);
    }

    /// Among equal hashes the order is the table's own.
    fn compare_order(&self) {
        let mut items: Vec<(u64, &Item)> = Vec::new();
        let _ = self.table.scan(0, Known(self.hashes, self.skip_bits), |hash, item| {
            items.push((hash, item));
            ControlFlow::Continue(())
        });
        assert!(items.is_sorted_by_key(|(hash, _)| *hash), "not in hash order");
        assert_eq!(self.table.iter().count(), items.len());
        items.sort_by_key(|(hash, item)| (*hash, item.key));
        assert!(items.into_iter().map(|(_, item)| item).eq(self.model.values()), "not the same");
    }

    fn check(&self) {
        check(&self.table, Known(self.hashes, self.skip_bits));
        assert_eq!(self.table.len(), self.model.len());
        assert_eq!(self.table.is_empty(), self.model.is_empty());
        let bytes: usize = self.model.values().map(|item| item.bytes).sum();
        let counted = self.table.segments.iter().map(|s| s.heap.entry_bytes).sum::<usize>();
        assert_eq!(counted, bytes, "bytes of entries");
        let earliest = self.model.values().map(|item| item.deadline_ms).min().unwrap_or(NEVER);
        assert!(self.table.min_deadline_ms() <= earliest, "a deadline is noticed too late");
    }
}

/// What must hold between operations, counted anew.
fn check<H: Heap>(table: &Table<H>, rehash: impl Rehash) {
    let in_order: Vec<usize> = {
        let mut order: Vec<usize> = table.directory.iter().map(|&index| index as usize).collect();
        order.dedup();
        order
    };
    let segments = || in_order.iter().map(|&index| &table.segments[index]);
    assert_eq!(in_order.iter().collect::<BTreeSet<_>>().len(), in_order.len(), "not in one piece");
    assert_eq!(in_order.len() + table.free.len(), table.segments.len(), "lost segments");
    assert_eq!(table.segment_bytes, table.segments.iter().map(|s| s.bytes()).sum::<usize>());
    assert_eq!(table.len, segments().map(|s| s.len).sum::<usize>());
    assert!(table.directory.len() <= 1 || table.directory.len() == 1 << table.depth);
    for (at, &index) in table.directory.iter().enumerate() {
        let segment = &table.segments[index as usize];
        let prefix_bits = u32::from(segment.prefix_bits - table.skip_bits);
        let width = 1usize << (u32::from(table.depth) - prefix_bits);
        let first = at / width * width;
        assert!(table.directory[first..first + width].iter().all(|&other| other == index));
    }
    for segment in segments() {
        let there = segment.slots.iter().enumerate().filter(|(_, slot)| !slot.is_empty());
        let there: Vec<(usize, &Slot)> = there.collect();
        assert_eq!(there.len(), segment.len);
        for (at, slot) in there {
            let key = segment.heap.key(slot.place());
            let hash = rehash.hash(key);
            assert!(
                table.segment_of(hash).is_some_and(|i| std::ptr::eq(&table.segments[i], segment))
            );
            assert_eq!(segment.find(hash, key), Some(at), "not to be found");
            assert!(segment.heap.deadline_ms(slot.place()) >= segment.min_deadline_ms);
        }
        assert!(segment.min_deadline_ms >= table.min_deadline_ms);
    }
    if table.is_empty() {
        assert_eq!(table.bytes(), 0, "an empty table takes memory");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_table_does_what_its_model_does(
        hashes in hashes(),
        skip_bits in prop_oneof![Just(0u8), Just(8u8)],
        ops in ops(),
    ) {
        let mut pitted = Pitted::new(hashes, skip_bits);
        for op in &ops {
            pitted.play(op);
        }
        while pitted.from != 0 {
            pitted.scan(100);
        }
        pitted.play(&Op::Remove(0, 10_000));
        prop_assert!(pitted.table.is_empty());
    }
}

/// Segments that ran over are laid out anew when they are swept; their slots must stay counted.
#[test]
fn slots_are_counted_when_a_sweep_lays_a_segment_out_anew() {
    let mut pitted = Pitted::new(Hashes::One(u64::MAX), 0);
    (0..600u32).for_each(|key| pitted.put(key, (key != 0).then_some(1), true));
    pitted.remove_staying();
    pitted.play(&Op::Sweep(10, 1, false));
    assert!(pitted.table.len() == 1);
}

/// However many hashes begin alike, the directory stays in proportion to the entries.
#[test]
fn equal_hashes_do_not_grow_the_directory() {
    for hashes in [Hashes::One(0), Hashes::One(u64::MAX), Hashes::Low] {
        let mut pitted = Pitted::new(hashes, 8);
        pitted.play(&Op::Insert(0, 3000, None));
        let places = pitted.table.directory.len();
        assert!(places <= 3000 / 16, "{hashes:?}: {places} places");
    }
}

/// A table of well spread hashes holds its entries with little room to spare, and gives it back.
#[test]
fn memory_follows_the_number_of_entries() {
    let mut pitted = Pitted::new(Hashes::Spread, 8);
    let per_slot = size_of::<Slot>() + size_of::<Option<Item>>();
    (0..40_000).for_each(|key| pitted.put(key, None, true));
    pitted.compare();
    let taken = pitted.bytes();
    assert!(taken < 40_000 * per_slot * 5 / 2, "{} bytes an entry", taken / 40_000);
    (0..39_900).for_each(|key| pitted.remove(key));
    pitted.compare();
    let taken = pitted.bytes();
    assert!(taken < 40_000 * per_slot / 10, "{taken} bytes for 100 entries");
}

#[test]
fn freeing_in_slices_frees_everything() {
    let mut pitted = Pitted::new(Hashes::Spread, 0);
    pitted.play(&Op::Insert(0, 5000, None));
    let mut freed = 0;
    while let Some(entries) = pitted.table.pop_segment() {
        let entries = entries.into_entries().count();
        assert!(entries <= 2000, "{entries} entries at once");
        freed += entries;
    }
    assert_eq!((freed, pitted.table.len()), (5000, 0));
}
