//! The stripes of a few requests, held at once in the order of those.
//!
//! Kept without an allocation, and found by number in a moment. How they are taken is in
//! [`super::held`].

use super::Stripe;
use super::guard::{Guard, Hold};

/// Stripes that a group holds at most.
pub(super) const GROUP_MAX: usize = 16;

pub(super) struct Group<'s> {
    guards: [Option<Guard<'s>>; GROUP_MAX],
    numbers: [u16; GROUP_MAX],
    len: usize,
    /// The one that is being worked on.
    current: usize,
}

impl<'s> Group<'s> {
    pub fn new(stripe: usize, guard: Guard<'s>) -> Self {
        let guards = [const { None }; GROUP_MAX];
        let mut group = Group { guards, numbers: [0; GROUP_MAX], len: 0, current: 0 };
        group.push(stripe, guard);
        group
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a stripe that is not among them, if there is room: then `true`, and it is worked on.
    pub fn push(&mut self, stripe: usize, guard: Guard<'s>) -> bool {
        let has_room = self.len < GROUP_MAX;
        if has_room {
            self.guards[self.len] = Some(guard);
            self.numbers[self.len] = stripe as u16;
            self.current = self.len;
            self.len += 1;
        }
        has_room
    }

    /// Whether the stripe is among them, held so that it allows this; then it is the one that is worked
    /// on.
    #[inline]
    pub fn turn_to(&mut self, stripe: usize, hold: Hold) -> bool {
        let allows = |at: &usize| self.guards[*at].as_ref().is_some_and(|it| it.allows(hold));
        let found = self.position(stripe).filter(allows);
        self.current = found.unwrap_or(self.current);
        found.is_some()
    }

    /// Whether it is among them.
    #[inline]
    pub fn has(&self, stripe: usize) -> bool {
        self.position(stripe).is_some()
    }

    /// Whether the one that is worked on may be changed.
    pub fn is_alone(&self) -> bool {
        self.guards[self.current].as_ref().is_some_and(|it| it.allows(Hold::Alone))
    }

    #[inline]
    pub fn get(&self, stripe: usize) -> Option<&Stripe> {
        self.guards[self.position(stripe)?].as_deref()
    }

    #[inline]
    pub fn get_mut(&mut self, stripe: usize) -> Option<&mut Stripe> {
        Some(self.guards[self.position(stripe)?].as_mut()?.alone())
    }

    pub fn numbered_stripes(&self) -> impl Iterator<Item = (usize, &Stripe)> {
        let guards = self.guards[..self.len].iter().flatten();
        self.numbers.iter().zip(guards).map(|(&number, guard)| (usize::from(number), &**guard))
    }

    pub fn each(&mut self, mut visit: impl FnMut(usize, &mut Stripe)) {
        let guards = self.guards[..self.len].iter_mut().flatten();
        let numbered = self.numbers.iter().zip(guards);
        numbered.for_each(|(&number, guard)| visit(usize::from(number), guard.alone()));
    }

    #[inline]
    fn position(&self, stripe: usize) -> Option<usize> {
        let numbers = &self.numbers[..self.len];
        // Mostly they are asked for in the order in which they were taken.
        for at in [self.current, self.current + 1] {
            if numbers.get(at) == Some(&(stripe as u16)) {
                return Some(at);
            }
        }
        numbers.iter().position(|&number| usize::from(number) == stripe)
    }
}
