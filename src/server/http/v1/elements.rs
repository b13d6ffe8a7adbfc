//! The elements of a JSON array, read one after the other: an array of very many small ones would take far
//! more room than its text.
//!
//! What an element is, its type knows; how many may be read is decided by who asks for them.

use std::marker::PhantomData;

use serde::Deserialize;

use super::code::Refusal;
use super::rows::no_json;

/// The elements of a JSON array, each read when it is asked for. Nothing comes behind an error.
pub(super) struct Elements<'a, T> {
    /// `None` behind the end.
    rest: Option<&'a [u8]>,
    before: u64,
    of: PhantomData<T>,
}

impl<'a, T: Deserialize<'a>> Elements<'a, T> {
    /// Those of an array that should be all of the text.
    pub(super) fn of(text: &'a [u8]) -> Elements<'a, T> {
        Elements { rest: Some(text), before: 0, of: PhantomData }
    }

    /// The next one, and the text behind it; `None` at the end.
    fn read(&self, text: &'a [u8]) -> Result<Option<(T, &'a [u8])>, String> {
        let is_first = self.before == 0;
        let opening = if is_first { b'[' } else { b',' };
        let rest = match without_blanks(text) {
            [first, rest @ ..] if *first == opening => without_blanks(rest),
            [b']', rest @ ..] if !is_first => return ended(rest),
            _ if is_first => return Err("it is no array".to_owned()),
            _ => return Err(format!("no comma or bracket behind element {}", self.before)),
        };
        if let ([b']', rest @ ..], true) = (rest, is_first) {
            return ended(rest);
        }
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
        match values.next() {
            Some(Ok(value)) => Ok(Some((value, &rest[values.byte_offset()..]))),
            Some(Err(error)) => Err(format!("element {}: {error}", self.before + 1)),
            None => Err(format!("it ends behind element {}", self.before)),
        }
    }
}

impl<'a, T: Deserialize<'a>> Iterator for Elements<'a, T> {
    type Item = Result<T, Refusal>;

    fn next(&mut self) -> Option<Result<T, Refusal>> {
        let text = self.rest.take()?;
        match self.read(text) {
            Ok(None) => None,
            Ok(Some((value, rest))) => {
                (self.rest, self.before) = (Some(rest), self.before + 1);
                Some(Ok(value))
            }
            Err(why) => Some(Err(no_json(&why))),
        }
    }
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !b" \t\r\n".contains(byte)).unwrap_or(text.len());
    &text[end..]
}

fn ended<T>(rest: &[u8]) -> Result<Option<T>, String> {
    match without_blanks(rest) {
        [] => Ok(None),
        _ => Err("something stands behind the array".to_owned()),
    }
}
