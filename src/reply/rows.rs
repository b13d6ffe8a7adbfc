//! Pairs on their way from the store to who writes them in a form of his own, with no reply between.

use super::{Capture, Reply, Sink};

/// Takes the pairs of a scan.
pub trait Rows {
    /// Takes a pair; its deadline is in unix ms. `false`: that was enough for now.
    fn pair(&mut self, key: &[u8], value: &[u8], deadline_ms: Option<u64>) -> bool;
}

impl<'a> Reply<'a> {
    /// Gives pairs to `rows`, as commands do that know how; builds the rest of the reply in `capture`.
    pub fn with_rows(capture: &'a mut Capture, rows: &'a mut dyn Rows) -> Reply<'a> {
        Reply { sink: Sink::Capture(capture), rows: Some(rows) }
    }

    /// Who takes pairs, if they are no part of the reply.
    pub fn rows(&mut self) -> Option<&mut dyn Rows> {
        match &mut self.rows {
            Some(rows) => Some(&mut **rows),
            None => None,
        }
    }
}
