//! Puts of pairs that wait to be redone together, in the order in which pairs lie in memory.
//!
//! Redone as they come, each put into a large namespace goes to another place, and the processor waits
//! for memory each time. Of as many as are gathered here, several go to the same segment. Nothing
//! depends on the order: puts to one key keep theirs, and so do all puts to a namespace without a
//! table, whose pairs are shown in the order they came. Every other effect is redone in its turn.

use super::DATABASES;
use super::name::Name;
use super::names::Names as _;
use super::redo::{AHEAD, PairPut};
use super::restore::Restore;
use crate::journal::Lsn;
use crate::journal::effect::{Damaged, Decoder, Effect};
use crate::prefetch::prefetch;

/// Bytes of effects that are gathered at most: more bring little, and take memory beside the data.
const GATHERED_BYTES_MAX: usize = 16 << 20;
/// An effect with more bytes is redone at once.
const PUT_BYTES_MAX: usize = 64 << 10;
/// Most puts end on the cache line that these lead to, if not before.
const PUT_BYTES_USUAL: usize = 60;
/// Puts to one namespace from which on it pays to look whether it has a table.
const SORTED_PUTS_MIN: usize = 32;

/// Effects that wait.
#[derive(Default)]
pub(super) struct Gathered {
    /// They, encoded.
    bytes: Vec<u8>,
    puts: Vec<Put>,
    /// Where in `bytes` each batch begins.
    batches: Vec<(u32, Lsn)>,
    /// The name of the last put, and its hash.
    last_name: (Vec<u8>, u64),
}

/// A put that waits.
#[derive(Clone, Copy)]
struct Put {
    /// Where in the bytes it is.
    at: u32,
    db: u8,
    name_hash: u64,
    key_hash: u64,
}

impl Put {
    fn namespace(&self) -> (u64, u8) {
        (self.name_hash, self.db)
    }
}

impl Gathered {
    fn decode(&self, put: &Put) -> Option<Effect<'_>> {
        let encoded = self.bytes.get(put.at as usize..)?;
        Some(Decoder::new(encoded).next()?.ok()?.1)
    }

    /// Brings puts into the processor's cache.
    fn fetch(&self, puts: &[Put]) {
        for put in puts {
            for at in [0, PUT_BYTES_USUAL] {
                self.bytes.get(put.at as usize + at).into_iter().for_each(prefetch);
            }
        }
    }

    /// The batch of a put.
    fn lsn(&self, put: &Put) -> Lsn {
        let later = self.batches.partition_point(|(at, _)| *at <= put.at);
        later.checked_sub(1).map_or(0, |at| self.batches[at].1)
    }
}

impl Restore<'_> {
    /// Whether effects wait that [`Restore::redo_gathered`] redoes.
    pub fn has_gathered(&self) -> bool {
        !self.gathered.puts.is_empty()
    }

    /// Has a put wait, if it is one that can, and redoes what waits if that is much. `encoded` is what
    /// `effect` was read from.
    ///
    /// # Errors
    /// As [`Restore::redo_gathered`].
    pub(super) fn gather(
        &mut self,
        lsn: Lsn,
        effect: Effect<'_>,
        encoded: &[u8],
    ) -> Result<bool, Damaged> {
        let Effect::PutPair { db, name, key, .. } = effect else { return Ok(false) };
        if encoded.len() > PUT_BYTES_MAX || usize::from(db) >= DATABASES {
            return Ok(false);
        }
        if self.gathered.bytes.len() + encoded.len() > GATHERED_BYTES_MAX {
            self.redo_gathered()?;
        }
        let at = self.gathered.bytes.len() as u32;
        if self.gathered.last_name.0 != name || self.gathered.puts.is_empty() {
            self.gathered.last_name = (name.to_vec(), self.store.name(name).hash);
        }
        let name_hash = self.gathered.last_name.1;
        let key_hash = self.store.key_hash(key);
        if self.gathered.batches.last().is_none_or(|(_, last)| *last != lsn) {
            self.gathered.batches.push((at, lsn));
        }
        self.gathered.bytes.extend_from_slice(encoded);
        self.gathered.puts.push(Put { at, db, name_hash, key_hash });
        self.pairs += 1;
        Ok(true)
    }

    /// Redoes what waits.
    ///
    /// # Errors
    /// If an effect could not have happened; [`Restore::misplaced`] then says in which batch.
    pub fn redo_gathered(&mut self) -> Result<(), Damaged> {
        if self.gathered.puts.is_empty() {
            return Ok(());
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        let mut puts = std::mem::take(&mut gathered.puts);
        self.take();
        puts.sort_by_key(Put::namespace);
        for same in puts.chunk_by_mut(|a, b| a.namespace() == b.namespace()) {
            if same.len() >= SORTED_PUTS_MIN && self.has_table(&gathered, same[0]) {
                same.sort_by_key(|put| put.key_hash);
            }
        }
        let mut fetched = puts.chunks(AHEAD).skip(1);
        for some in puts.chunks(AHEAD) {
            gathered.fetch(fetched.next().unwrap_or_default());
            self.take();
            self.redo_some(&gathered, some)?;
            self.end_turn(size_of_val(some));
        }
        gathered.bytes.clear();
        gathered.batches.clear();
        puts.clear();
        self.gathered = Gathered { puts, ..gathered };
        Ok(())
    }

    /// Whether the pairs of what a put is for have a table, in which they have no order of their own.
    fn has_table(&self, gathered: &Gathered, put: Put) -> bool {
        let Some(Effect::PutPair { name, .. }) = gathered.decode(&put) else { return false };
        let name = Name { bytes: name, hash: put.name_hash };
        let entry = self.held.get(usize::from(put.db), name);
        entry.is_some_and(|entry| entry.is_namespace() && entry.many.is_some())
    }

    fn redo_some(&mut self, gathered: &Gathered, puts: &[Put]) -> Result<(), Damaged> {
        let mut ahead = Vec::with_capacity(AHEAD);
        for put in puts {
            let Some(Effect::PutPair { db, name, key, value, deadline_ms }) = gathered.decode(put)
            else {
                return Err(Damaged);
            };
            let deadline = self.deadline(deadline_ms);
            let name = Name { bytes: name, hash: put.name_hash };
            let db = usize::from(db);
            ahead.push(PairPut { db, name, key, hash: put.key_hash, value, deadline });
        }
        self.touch(&ahead);
        let mut done = 0;
        while let Some(first) = ahead.get(done) {
            let is_same =
                |put: &&PairPut<'_>| put.db == first.db && put.name.bytes == first.name.bytes;
            let len = ahead[done..].iter().take_while(is_same).count();
            if self.put_pairs(Lsn::MAX, &ahead[done..done + len]).is_err() {
                self.misplaced = Some(gathered.lsn(&puts[done]));
                return Err(Damaged);
            }
            done += len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::journal::Journal;
    use crate::journal::effect::{Cause, Effects};
    use crate::store::{Held, NEVER, Store};

    fn store() -> Store {
        Store::new(Journal::discarding(), Clock::manual(1000))
    }

    fn put(effects: &mut Effects, db: u8, name: &[u8], number: usize, turn: usize) {
        let (key, value) = (format!("k{number}"), format!("{turn}"));
        let deadline_ms = if number.is_multiple_of(7) { 2000 + turn as u64 } else { NEVER };
        let (key, value) = (key.as_bytes(), value.as_bytes());
        effects.push(Cause::Hset, Effect::PutPair { db, name, key, value, deadline_ms });
    }

    /// All pairs, each with where it is, in the order in which they are shown.
    fn shown(store: &Store) -> Vec<String> {
        let mut held = Held::new(store);
        held.lock_all();
        let mut lines = Vec::new();
        for db in 0..2 {
            held.scan(db, 0, &mut |_, entry| {
                let name = String::from_utf8_lossy(entry.name());
                for pair in entry.pairs().into_iter().flat_map(|pairs| pairs.iter()) {
                    let (key, value) = (pair.key.escape_ascii(), pair.value.escape_ascii());
                    lines.push((
                        name.to_string(),
                        format!("{db} {name} {key} {value} {}", pair.deadline_ms),
                    ));
                }
                std::ops::ControlFlow::Continue(())
            });
        }
        // Each store has its own order of names, and of keys in a table.
        lines.sort_by(|(a, _), (b, _)| a.cmp(b));
        lines.into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn what_is_redone_together_is_what_is_redone_in_turn() {
        let (together, in_turn) = (store(), store());
        let mut restore = Restore::new(&together);
        for turn in 0..6 {
            let mut effects = Effects::default();
            for number in 0..400 {
                put(&mut effects, 0, b"large", number * (turn + 1), turn);
                put(&mut effects, 1, b"large", number, turn);
                put(&mut effects, 0, b"few", (number * 7) % 20, turn + number);
                if turn == 3 && number == 200 {
                    let gone =
                        Effect::DeletePair { db: 0, name: b"large", key: b"k3", is_last: false };
                    effects.push(Cause::Hdel, gone);
                    effects.push(Cause::Del, Effect::DropName { db: 1, name: b"large" });
                }
            }
            assert_eq!(restore.batch(turn as Lsn + 1, effects.as_bytes()), Ok(()));
            assert_eq!(in_turn.replay(effects.as_bytes()), Ok(()));
        }
        assert!(restore.has_gathered());
        assert_eq!(restore.redo_gathered(), Ok(()));
        restore.finish();
        let (mut a, mut b) = (shown(&together), shown(&in_turn));
        let few = |lines: &[String]| -> Vec<String> {
            lines.iter().filter(|line| line.contains("few")).cloned().collect()
        };
        assert_eq!(few(&a), few(&b), "the order of few pairs is shown");
        assert_eq!(few(&a).len(), 20);
        a.sort();
        b.sort();
        assert_eq!(a, b);
        assert!(a.len() > 1500);
    }

    #[test]
    fn the_batch_is_named_that_could_not_have_happened() {
        let store = store();
        let mut restore = Restore::new(&store);
        let batch = |redo: &mut Restore<'_>, lsn, names: &[&[u8]]| {
            let mut effects = Effects::default();
            names.iter().for_each(|name| put(&mut effects, 0, name, 1, 1));
            redo.batch(lsn, effects.as_bytes())
        };
        let mut string = Effects::default();
        let (name, value) = (&b"string"[..], &b"x"[..]);
        string.push(Cause::Set, Effect::PutString { db: 0, name, value, deadline_ms: NEVER });
        assert_eq!(restore.batch(1, string.as_bytes()), Ok(()));
        assert_eq!(batch(&mut restore, 2, &[b"a", b"b"]), Ok(()));
        assert_eq!(batch(&mut restore, 3, &[b"c", b"string", b"d"]), Ok(()));
        assert_eq!(batch(&mut restore, 4, &[b"e"]), Ok(()));
        assert_eq!(restore.redo_gathered(), Err(Damaged));
        assert_eq!(restore.misplaced(), Some(3));
    }
}
