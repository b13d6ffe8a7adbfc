//! Steps over the values of types that are not kept here: lists, sets, sorted sets, streams and what modules bring.
//!
//! Nothing of them is kept in memory. What is inside of a string (a listpack, an intset) is not looked at.

use std::io::Read;

use super::types::{OtherForm, OtherKind};
use super::{Input, Result};

/// Bytes of an entry's id in a stream.
const STREAM_ID_BYTES: u64 = 16;
/// Bytes of a time in ms.
const TIME_BYTES: u64 = 8;

impl<R: Read> Input<R> {
    /// Steps over a value; tells its type.
    pub(super) fn skip_value(&mut self, form: OtherForm) -> Result<OtherKind> {
        match form {
            OtherForm::Blob(kind) => {
                self.skip_string()?;
                Ok(kind)
            }
            OtherForm::Strings(kind) => {
                self.each(Input::skip_string)?;
                Ok(kind)
            }
            OtherForm::Scores { is_text } => {
                self.each(|input| {
                    input.skip_string()?;
                    if is_text { input.skip_text_score() } else { input.skip(8) }
                })?;
                Ok(OtherKind::Zset)
            }
            OtherForm::Quicklist2 => {
                self.each(|input| {
                    input.length()?;
                    input.skip_string()
                })?;
                Ok(OtherKind::List)
            }
            OtherForm::Stream { way } => {
                self.skip_stream(way)?;
                Ok(OtherKind::Stream)
            }
            OtherForm::Module => {
                let id = self.length()?;
                self.skip_module_data()?;
                Ok(OtherKind::module(id))
            }
        }
    }

    /// Steps over what a module wrote: tagged numbers and strings up to an end mark.
    pub(super) fn skip_module_data(&mut self) -> Result {
        loop {
            match self.length()? {
                0 => return Ok(()),
                1 | 2 => {
                    self.length()?;
                }
                3 => self.skip(4)?,
                4 => self.skip(8)?,
                5 => self.skip_string()?,
                tag => return self.damaged(format!("a module's data with the unknown tag {tag}")),
            }
        }
    }

    /// As many steps as a length says that comes first. Each must read something, so that input bounds them.
    pub(super) fn each(&mut self, step: impl Fn(&mut Self) -> Result) -> Result {
        let times = self.length()?;
        (0..times).try_for_each(|_| step(self))
    }

    /// A length byte and so much text; the three largest lengths stand for no number and the infinities.
    fn skip_text_score(&mut self) -> Result {
        match self.byte()? {
            253..=255 => Ok(()),
            len => self.skip(u64::from(len)),
        }
    }

    fn skip_stream(&mut self, way: u8) -> Result {
        self.each(|input| {
            input.skip_string()?;
            input.skip_string()
        })?;
        // The number of entries and the last id; then the first id, the last deleted and the number ever added.
        let numbers = if way >= 2 { 8 } else { 3 };
        (0..numbers).try_for_each(|_| self.length().map(drop))?;
        self.each(|input| input.skip_consumer_group(way))?;
        if way < 4 {
            return Ok(());
        }
        // For how long, and how many, ids of producers are remembered.
        self.length()?;
        self.length()?;
        if self.length()? > 0 {
            return self.damaged(
                "a stream that remembers producers (XADD IDMP), which can not be read; remove such streams",
            );
        }
        self.length()?;
        self.length().map(drop)
    }

    fn skip_consumer_group(&mut self, way: u8) -> Result {
        self.skip_string()?;
        let numbers = if way >= 2 { 3 } else { 2 };
        (0..numbers).try_for_each(|_| self.length().map(drop))?;
        // Pending entries, with when and how often they were delivered.
        self.each(|input| {
            input.skip(STREAM_ID_BYTES + TIME_BYTES)?;
            input.length().map(drop)
        })?;
        self.each(|input| {
            input.skip_string()?;
            // When it was seen, and when it did something.
            input.skip(if way >= 3 { 2 * TIME_BYTES } else { TIME_BYTES })?;
            input.each(|input| input.skip(STREAM_ID_BYTES))
        })
    }
}
