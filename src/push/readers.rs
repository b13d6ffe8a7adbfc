//! Which clients have read which name: found by name, and any one found without a search, however many have
//! been there before.

use std::collections::HashMap;
use std::sync::Arc;

/// Clients by the names that they have read.
#[derive(Debug, Default)]
pub(super) struct Readers {
    by_name: HashMap<Arc<[u8]>, Reader>,
    /// All names; each reader knows its place.
    names: Vec<Arc<[u8]>>,
    /// The place of the one to be forgotten next.
    turn: usize,
    /// Clients, counted for each name.
    items: usize,
}

#[derive(Debug)]
struct Reader {
    place: usize,
    client_ids: Vec<u64>,
}

impl Readers {
    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// How many clients there are, counted for each name.
    pub fn items(&self) -> usize {
        self.items
    }

    /// A client has read a name.
    pub fn add(&mut self, name: &[u8], client_id: u64) {
        let client_ids = match self.by_name.get_mut(name) {
            Some(reader) if reader.client_ids.contains(&client_id) => return,
            Some(reader) => &mut reader.client_ids,
            None => {
                let (name, place) = (Arc::<[u8]>::from(name), self.names.len());
                self.names.push(name.clone());
                let reader = Reader { place, client_ids: Vec::with_capacity(1) };
                &mut self.by_name.entry(name).or_insert(reader).client_ids
            }
        };
        client_ids.push(client_id);
        self.items += 1;
    }

    /// Takes a name out, with those who have read it.
    pub fn take(&mut self, name: &[u8]) -> Option<Vec<u64>> {
        let Reader { place, client_ids } = self.by_name.remove(name)?;
        self.names.swap_remove(place);
        if let Some(moved) = self.names.get(place).and_then(|name| self.by_name.get_mut(name)) {
            moved.place = place;
        }
        self.items -= client_ids.len();
        Some(client_ids)
    }

    /// A name to forget, if there is one: each has its turn, so what was read last is not forgotten first.
    pub fn next(&mut self) -> Option<Arc<[u8]>> {
        self.turn = if self.turn < self.names.len() { self.turn } else { 0 };
        let name = self.names.get(self.turn)?.clone();
        self.turn += 1;
        Some(name)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Readers::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Vec<u8> {
        format!("name-{number}").into_bytes()
    }

    #[test]
    fn names_are_found_whatever_was_taken_out_before() {
        let mut readers = Readers::default();
        for number in 0..1000 {
            readers.add(&name(number), 1);
            readers.add(&name(number), 2);
            readers.add(&name(number), 2);
        }
        assert_eq!((readers.len(), readers.items()), (1000, 2000));
        for number in (0..1000).step_by(3) {
            assert_eq!(readers.take(&name(number)), Some(vec![1, 2]));
            assert_eq!(readers.take(&name(number)), None);
        }
        for number in 0..1000 {
            let expected = (number % 3 > 0).then(|| vec![1, 2]);
            assert_eq!(readers.take(&name(number)), expected, "{number}");
        }
        assert_eq!((readers.len(), readers.items(), readers.next()), (0, 0, None));
    }

    /// In a table that is full and stays so.
    #[test]
    fn each_has_its_turn_to_be_forgotten() {
        const MAX: usize = 100;
        let mut readers = Readers::default();
        let mut lived = 0;
        for number in 0..10 * MAX {
            readers.add(&name(number), 1);
            if readers.len() > MAX {
                let forgotten = readers.next().unwrap();
                readers.take(&forgotten);
                let was: usize = String::from_utf8_lossy(&forgotten)[5..].parse().unwrap();
                lived += number - was;
            }
        }
        assert_eq!(readers.len(), MAX);
        assert!(lived / (9 * MAX) > MAX / 2, "{lived}");
    }
}
