//! Whether a history of one register is linearizable: whether there is an order of its operations in
//! which each gives what it gave, and none comes before one that had ended when it began.
//!
//! The search is that of Wing and Gong with Lowe's memory of what was tried. Each client does one thing at
//! a time, so what was done is a place in each client's operations. An operation that a crash cut off
//! happened before the crash or never.

use std::collections::HashSet;

pub const CLIENTS: usize = 8;

/// What is done to a register, and what came of it; `None`: nobody was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Returned whether the register held nothing.
    Put(i64, Option<bool>),
    /// Returned what it held.
    Swap(i64, Option<Option<i64>>),
    /// Returned the sum; nothing counts as 0.
    Add(i64, Option<i64>),
    /// Returned whether it held something.
    Delete(Option<bool>),
    /// Returned what it holds.
    Get(Option<i64>),
}

/// One operation of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    pub action: Action,
    /// When it was sent, and when its answer had come or the server had crashed, in ns.
    pub begun: u64,
    pub ended: u64,
    /// The server crashed before it answered.
    pub is_cut_off: bool,
}

/// All operations on one register, of each client in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(pub [Vec<Operation>; CLIENTS]);

type Places = [u32; CLIENTS];
type Register = Option<i64>;

impl Action {
    /// What the register holds then; `None` if it could not have returned what it did.
    fn apply(self, held: Register) -> Option<Register> {
        let fits = |said: Option<bool>, is: bool| said.is_none_or(|said| said == is);
        match self {
            Action::Put(value, was_new) => fits(was_new, held.is_none()).then_some(Some(value)),
            Action::Swap(value, before) => {
                before.is_none_or(|before| before == held).then_some(Some(value))
            }
            Action::Add(by, sum) => {
                let is = held.unwrap_or(0) + by;
                sum.is_none_or(|sum| sum == is).then_some(Some(is))
            }
            Action::Delete(was_there) => fits(was_there, held.is_some()).then_some(None),
            Action::Get(value) => (value == held).then_some(held),
        }
    }
}

impl History {
    /// Looks for an order, beginning with a register that holds nothing.
    ///
    /// # Errors
    /// How far the longest order got, and what came next on each client, if there is none.
    pub fn check(&self) -> Result<(), String> {
        let mut tried: HashSet<(Places, Register)> = HashSet::new();
        let mut left: Vec<(Places, Register)> = vec![([0; CLIENTS], None)];
        let mut farthest = ([0; CLIENTS], None);
        let done = |places: &Places| places.iter().sum::<u32>();
        while let Some((places, held)) = left.pop() {
            if !tried.insert((places, held)) {
                continue;
            }
            if done(&places) > done(&farthest.0) {
                farthest = (places, held);
            }
            let next = |client: usize| self.0[client].get(places[client] as usize);
            let Some(first_end) = (0..CLIENTS).filter_map(|c| next(c).map(|op| op.ended)).min()
            else {
                return Ok(());
            };
            for client in 0..CLIENTS {
                let Some(operation) = next(client).filter(|op| op.begun <= first_end) else {
                    continue;
                };
                let mut after = places;
                after[client] += 1;
                if operation.is_cut_off {
                    left.push((after, held));
                }
                left.extend(operation.action.apply(held).map(|held| (after, held)));
            }
        }
        let (places, held) = farthest;
        let next = self.0.iter().zip(places);
        let next: Vec<_> = next.filter_map(|(all, place)| all.get(place as usize)).collect();
        Err(format!("after {} operations it holds {held:?}, then: {next:#?}", done(&places)))
    }

    /// Operations in it.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Action::{Add, Delete, Get, Put, Swap};
    use super::*;

    fn op(action: Action, begun: u64, ended: u64) -> Operation {
        Operation { action, begun, ended, is_cut_off: false }
    }

    fn cut_off(action: Action, begun: u64, crash: u64) -> Operation {
        Operation { action, begun, ended: crash, is_cut_off: true }
    }

    fn is_right(clients: &[&[Operation]]) -> bool {
        let mut history = History::default();
        for (to, from) in history.0.iter_mut().zip(clients) {
            to.extend_from_slice(from);
        }
        history.check().is_ok()
    }

    #[test]
    fn what_happens_at_once_may_have_any_order() {
        let put = op(Put(1, Some(true)), 0, 100);
        assert!(is_right(&[&[put], &[op(Get(None), 10, 20), op(Get(Some(1)), 30, 40)]]));
        assert!(is_right(&[&[put], &[op(Add(5, Some(5)), 10, 20)]]) == false);
        assert!(is_right(&[&[op(Put(1, Some(false)), 0, 100)], &[op(Add(5, Some(5)), 10, 20)]]));
        assert!(is_right(&[
            &[put],
            &[op(Swap(7, Some(Some(1))), 10, 20), op(Get(Some(7)), 30, 40)]
        ]));
    }

    #[test]
    fn what_is_stale_or_lost_is_noticed() {
        let put = op(Put(1, Some(true)), 0, 10);
        assert!(!is_right(&[&[put], &[op(Get(None), 11, 20)]]), "lost");
        let again = op(Put(2, Some(false)), 20, 30);
        assert!(!is_right(&[&[put, again], &[op(Get(Some(1)), 31, 40)]]), "stale");
        let back = [op(Get(Some(2)), 21, 22), op(Get(Some(1)), 23, 24)];
        assert!(!is_right(&[&[put, again], &back]), "once shown it is there");
        assert!(!is_right(&[&[op(Get(Some(3)), 0, 10)]]), "from nowhere");
        assert!(!is_right(&[&[put, op(Delete(Some(false)), 20, 30)]]));
    }

    #[test]
    fn what_a_crash_cut_off_happened_before_it_or_never() {
        let cut = cut_off(Put(1, None), 0, 10);
        assert!(is_right(&[&[cut], &[op(Get(None), 20, 30)]]));
        assert!(is_right(&[&[cut], &[op(Get(Some(1)), 20, 30)]]));
        let late = [op(Get(None), 20, 30), op(Get(Some(1)), 40, 50)];
        assert!(!is_right(&[&[cut], &late]), "not after it");
        let shown = [op(Get(Some(1)), 5, 6), op(Get(None), 20, 30)];
        assert!(!is_right(&[&[cut], &shown]), "what was shown stays");
    }
}
