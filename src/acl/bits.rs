//! A set of commands, one bit each.

/// The set. Commands are numbered by [`super::catalog`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits(Box<[u64]>);

impl Bits {
    /// All of `len` commands, or none.
    pub fn filled(len: usize, is_in: bool) -> Bits {
        Bits(vec![if is_in { u64::MAX } else { 0 }; len.div_ceil(64)].into())
    }

    /// Whether a command is in it.
    pub fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    /// Puts a command in or takes it out.
    pub fn set(&mut self, at: usize, is_in: bool) {
        let bit = 1 << (at % 64);
        if is_in {
            self.0[at / 64] |= bit;
        } else {
            self.0[at / 64] &= !bit;
        }
    }
}
