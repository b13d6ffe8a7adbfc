//! One segment of a [`super::table::Table`]: a run of slots, sorted by hash.
//!
//! An entry stands at its home slot or to the right of it, with no empty slot between; homes are
//! proportional to the hash, and nothing wraps around: a tail behind the last home takes what is
//! displaced. It knows its entries' common prefix, but not its neighbours or the directory.

use super::table::{Entry, NEVER};

/// Home slots of the largest segment; more entries split it.
pub(super) const HOMES_MAX: usize = 1024;
const HOMES_MIN: usize = 4;
const TAIL: usize = 4;
/// Entries below which the half of a split segment is made small.
const SPARSE: usize = HOMES_MAX / 4;

#[derive(Debug, Clone)]
pub(super) struct Segment<T> {
    /// Leading hash bits that all entries here share.
    pub prefix_bits: u8,
    pub homes: usize,
    pub len: usize,
    /// Nothing here expires earlier; may be too early, never too late.
    pub min_deadline_ms: u64,
    pub slots: Vec<Option<Slot<T>>>,
}

#[derive(Debug, Clone)]
pub(super) struct Slot<T> {
    pub hash: u64,
    pub entry: T,
}

impl<T: Entry> Segment<T> {
    pub fn new(prefix_bits: u8) -> Self {
        Segment { prefix_bits, homes: 0, len: 0, min_deadline_ms: NEVER, slots: Vec::new() }
    }

    pub fn entries(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten().map(|slot| &slot.entry)
    }

    /// The hash of any entry, to find this segment in the directory.
    pub fn some_hash(&self) -> Option<u64> {
        self.slots.iter().flatten().next().map(|slot| slot.hash)
    }

    /// Where the entry with this hash and key stands.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let mut at = self.home(hash);
        while let Some(Some(slot)) = self.slots.get(at) {
            if slot.hash >= hash {
                if slot.hash > hash {
                    return None;
                }
                if slot.entry.key() == key {
                    return Some(at);
                }
            }
            at += 1;
        }
        None
    }

    #[inline]
    pub fn touch_slot(&self, hash: u64) -> u64 {
        match self.slots.get(self.home(hash)) {
            Some(Some(slot)) => slot.hash,
            _ => 0,
        }
    }

    #[inline]
    pub fn touch_entry(&self, hash: u64) -> u64 {
        let mut at = self.home(hash);
        while let Some(Some(slot)) = self.slots.get(at) {
            if slot.hash >= hash {
                return slot.entry.touch();
            }
            at += 1;
        }
        0
    }

    /// Adds an entry that is not here yet; hands it back when there is no room.
    pub fn insert(&mut self, slot: Slot<T>) -> Result<(), Slot<T>> {
        if self.len >= self.homes - self.homes / 8 {
            return Err(slot);
        }
        let mut at = self.home(slot.hash);
        while self.slots[at].as_ref().is_some_and(|there| there.hash <= slot.hash) {
            at += 1;
            if at == self.slots.len() {
                return Err(slot);
            }
        }
        let Some(gap) = self.slots[at..].iter().position(Option::is_none) else {
            return Err(slot);
        };
        self.slots[at..=at + gap].rotate_right(1);
        self.len += 1;
        self.min_deadline_ms = self.min_deadline_ms.min(slot.entry.deadline_ms());
        self.slots[at] = Some(slot);
        Ok(())
    }

    /// Takes an entry out, and moves those it displaced back towards their homes.
    pub fn remove(&mut self, at: usize) -> Option<T> {
        let taken = self.slots[at].take()?;
        let displaced = self.slots[at + 1..]
            .iter()
            .enumerate()
            .take_while(|(i, slot)| {
                slot.as_ref().is_some_and(|slot| self.home(slot.hash) <= at + i)
            })
            .count();
        self.slots[at..=at + displaced].rotate_left(1);
        self.len -= 1;
        Some(taken.entry)
    }

    /// Home slots after one step of growth.
    pub fn grown(&self) -> usize {
        let grown = (self.homes + self.homes.div_ceil(2)).max(HOMES_MIN);
        if self.homes < HOMES_MAX { grown.min(HOMES_MAX) } else { grown }
    }

    /// Home slots that would do, if that is much less than there are.
    pub fn shrunk(&self) -> Option<usize> {
        let enough = (2 * self.len).max(HOMES_MIN);
        (enough < self.homes / 2).then_some(enough)
    }

    pub fn resize(&mut self, homes: usize) {
        let slots = std::mem::take(&mut self.slots).into_iter().flatten().collect();
        self.place(slots, homes);
    }

    /// Keeps the entries of the lower half of the hash range, returns the others.
    pub fn split(&mut self) -> Segment<T> {
        let slots = std::mem::take(&mut self.slots);
        self.prefix_bits += 1;
        let bit = 1u64 << (64 - self.prefix_bits);
        let (upper, lower): (Vec<_>, Vec<_>) =
            slots.into_iter().flatten().partition(|slot| slot.hash & bit != 0);
        // A half with many entries keeps the room to grow; one with few does not waste it.
        let homes = |len: usize| match len {
            0..SPARSE => (2 * len).max(HOMES_MIN),
            _ => (2 * len).max(HOMES_MAX),
        };
        let mut other = Segment::new(self.prefix_bits);
        let (upper_homes, lower_homes) = (homes(upper.len()), homes(lower.len()));
        other.place(upper, upper_homes);
        self.place(lower, lower_homes);
        other
    }

    /// Takes the entries of the segment with the next higher hashes.
    pub fn absorb(&mut self, upper: Segment<T>) {
        self.prefix_bits -= 1;
        let lower = std::mem::take(&mut self.slots);
        let slots: Vec<_> = lower.into_iter().chain(upper.slots).flatten().collect();
        let homes = (2 * slots.len()).max(HOMES_MIN);
        self.place(slots, homes);
    }

    /// Visits what is due; removes and returns those for which `visit` says so.
    pub fn sweep(
        &mut self,
        now_ms: u64,
        budget: &mut isize,
        visit: &mut dyn FnMut(&mut T, &mut isize) -> bool,
    ) -> Vec<T> {
        let mut gone = Vec::new();
        let mut kept = Vec::with_capacity(self.len);
        for mut slot in std::mem::take(&mut self.slots).into_iter().flatten() {
            if slot.entry.deadline_ms() <= now_ms && visit(&mut slot.entry, budget) {
                gone.push(slot.entry);
            } else {
                kept.push(slot);
            }
        }
        self.place(kept, self.homes);
        gone
    }

    /// Lays out `slots`, which are sorted by hash, over `homes` home slots.
    fn place(&mut self, slots: Vec<Slot<T>>, homes: usize) {
        self.homes = homes.min(u32::MAX as usize);
        self.len = slots.len();
        self.min_deadline_ms =
            slots.iter().map(|slot| slot.entry.deadline_ms()).min().unwrap_or(NEVER);
        let mut placed = Vec::with_capacity(homes + TAIL + homes / 16);
        for slot in slots {
            let home = self.home(slot.hash);
            while placed.len() < home {
                placed.push(None);
            }
            placed.push(Some(slot));
        }
        let whole = placed.capacity().max(placed.len() + 1);
        placed.resize_with(whole, || None);
        self.slots = placed;
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        let rest = hash << self.prefix_bits;
        ((u128::from(rest) * self.homes as u128) >> 64) as usize
    }
}
