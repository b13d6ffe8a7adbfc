//! A vector that grows without moving much: its items lie in blocks of a fixed length.
//!
//! A vector of ten thousand segments would be copied as a whole each time it grows, while a stripe is
//! held. The first block alone is moved when it grows, so that a short one takes no more than its
//! items.

use std::ops::{Index, IndexMut};

/// Items of a block.
const BLOCK_LEN: usize = 512;

#[derive(Debug, Clone)]
pub(super) struct Blocks<T> {
    first: Vec<T>,
    /// All full but the last, which is not empty.
    others: Vec<Vec<T>>,
}

impl<T> Blocks<T> {
    pub fn new() -> Self {
        Blocks { first: Vec::new(), others: Vec::new() }
    }

    pub fn len(&self) -> usize {
        match self.others.last() {
            None => self.first.len(),
            Some(last) => self.others.len() * BLOCK_LEN + last.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Items there is memory for.
    pub fn capacity(&self) -> usize {
        self.first.capacity() + self.others.len() * BLOCK_LEN
    }

    pub fn push(&mut self, item: T) {
        if self.first.len() < BLOCK_LEN {
            if self.first.len() == self.first.capacity() {
                let step = self.first.len() / 8 + 1;
                self.first.reserve_exact(step.min(BLOCK_LEN - self.first.len()));
            }
            self.first.push(item);
            return;
        }
        match self.others.last_mut().filter(|last| last.len() < BLOCK_LEN) {
            Some(last) => last.push(item),
            None => {
                let mut block = Vec::with_capacity(BLOCK_LEN);
                block.push(item);
                self.others.push(block);
            }
        }
    }

    pub fn pop(&mut self) -> Option<T> {
        let Some(last) = self.others.last_mut() else { return self.first.pop() };
        let item = last.pop();
        if last.is_empty() {
            self.others.pop();
        }
        item
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        match index.checked_sub(BLOCK_LEN) {
            None => self.first.get(index),
            Some(rest) => self.others.get(rest / BLOCK_LEN)?.get(rest % BLOCK_LEN),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.others.iter().flatten())
    }
}

impl<T> Index<usize> for Blocks<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        match index.checked_sub(BLOCK_LEN) {
            None => &self.first[index],
            Some(rest) => &self.others[rest / BLOCK_LEN][rest % BLOCK_LEN],
        }
    }
}

impl<T> IndexMut<usize> for Blocks<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        match index.checked_sub(BLOCK_LEN) {
            None => &mut self.first[index],
            Some(rest) => &mut self.others[rest / BLOCK_LEN][rest % BLOCK_LEN],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_in_their_order_whatever_is_pushed_and_popped() {
        let mut blocks = Blocks::new();
        let mut model = Vec::new();
        // Up in long runs, down in shorter ones, so that every border of blocks is crossed both ways.
        for (run, is_up) in [(70, true), (10, false), (140, true), (100, false), (65, true)] {
            for _ in 0..run {
                if is_up {
                    blocks.push(model.len());
                    model.push(model.len());
                } else {
                    assert_eq!(blocks.pop(), model.pop());
                }
                assert_eq!(blocks.len(), model.len());
                assert!(blocks.iter().eq(&model));
                assert!(blocks.capacity() >= blocks.len());
            }
        }
        assert_eq!((blocks[3], blocks[64], blocks[164]), (3, 64, 164));
        assert_eq!((blocks.get(164), blocks.get(165)), (Some(&164), None));
        while let Some(item) = model.pop() {
            assert_eq!(blocks.pop(), Some(item));
        }
        assert!(blocks.is_empty() && blocks.pop().is_none());
    }
}
