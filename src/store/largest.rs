//! The namespaces that take most memory, for metrics. One stripe is held at a time, so nobody waits for the
//! whole walk.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::view::Known;
use super::{Access, Held, Hold, STRIPES, Settings, Store, View};
use crate::acl::User;
use crate::journal::effect::Effects;

/// A namespace and what it takes. They are ordered by bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// As NAMESPACE INFO counts them.
    pub bytes: usize,
    /// Expired ones that were not reaped included.
    pub pairs: usize,
    /// Its name.
    pub name: Box<[u8]>,
}

impl Store {
    /// The `most` largest namespaces of a database among those that the user may read and whose names
    /// `is_wanted`, largest first.
    pub fn largest(
        &self,
        db: usize,
        most: usize,
        user: &User,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Vec<Taken> {
        let mut largest: BinaryHeap<Reverse<Taken>> = BinaryHeap::new();
        let now_ms = self.clock.now_ms();
        let access = Access {
            db,
            now_ms,
            random_seed: 0,
            touch: false,
            used_ms: now_ms,
            settings: &Settings::NONE,
            user: Some(user),
        };
        for stripe in 0..STRIPES {
            let (mut held, mut effects) = (Held::new(self), Effects::default());
            held.lock_number(stripe, Hold::Shared);
            let view = View::live(&mut held, &mut effects, access, Known::default());
            view.each_name(|entry| {
                let Ok(pairs) = view.pairs(entry) else { return };
                let (bytes, name) = (pairs.bytes(), entry.name());
                let is_full = largest.len() == most;
                let is_small = largest.peek().is_some_and(|Reverse(least)| bytes <= least.bytes);
                if (is_full && is_small) || !is_wanted(name) || !view.may_show(name) {
                    return;
                }
                largest.push(Reverse(Taken { bytes, pairs: pairs.len(), name: name.into() }));
                if largest.len() > most {
                    largest.pop();
                }
            });
        }
        largest.into_sorted_vec().into_iter().map(|Reverse(taken)| taken).collect()
    }
}
