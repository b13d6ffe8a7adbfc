//! Reading arguments: parse everything first, then act.
//!
//! [`Cursor`] walks over a command's options; the free functions read one argument. Errors are
//! Redis's texts. What options a command has is its family's matter.

use crate::error::{Error, Result};
use crate::number;
use crate::resp::request::Args;
use crate::short::same;
use crate::store::DATABASES;

/// Walks over arguments from a place on.
pub struct Cursor<'a> {
    args: Args<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Begins at argument `at` (the command's name is at 0).
    pub fn new(args: Args<'a>, at: usize) -> Cursor<'a> {
        Cursor { args, at }
    }

    /// Arguments that are left.
    pub fn left(&self) -> usize {
        self.args.len() - self.at
    }

    /// The next argument.
    ///
    /// # Errors
    /// Syntax error if there is none.
    pub fn required(&mut self) -> Result<&'a [u8]> {
        match self.optional() {
            Some(arg) => Ok(arg),
            None => Err(Error::Syntax),
        }
    }

    /// The next argument, if there is one.
    #[inline]
    pub fn optional(&mut self) -> Option<&'a [u8]> {
        (self.at < self.args.len()).then(|| {
            self.at += 1;
            self.args.get(self.at - 1)
        })
    }

    /// The next argument, if there is one, which stays the next.
    #[inline]
    pub fn peek(&self) -> Option<&'a [u8]> {
        (self.at < self.args.len()).then(|| self.args.get(self.at))
    }

    /// Steps over the next argument, which was seen.
    #[inline]
    pub fn skip(&mut self) {
        self.at += 1;
    }

    /// Steps over the next argument if it is `word`, in any case.
    #[inline]
    pub fn accept(&mut self, word: &str) -> bool {
        let is_it = self.at < self.args.len() && is(self.args.get(self.at), word);
        self.at += usize::from(is_it);
        is_it
    }

    /// Steps over the next argument and reads it as an integer.
    ///
    /// # Errors
    /// Syntax error if there is none, or not an integer.
    pub fn integer(&mut self) -> Result<i64> {
        integer(self.required()?)
    }

    /// # Errors
    /// Syntax error unless all arguments have been read.
    pub fn finish(&self) -> Result {
        if self.left() == 0 { Ok(()) } else { Err(Error::Syntax) }
    }
}

/// Whether an argument is `word`, in any case.
#[inline(always)]
pub fn is(arg: &[u8], word: &str) -> bool {
    // Most are not, which shows in the length, or are written like it: neither takes a call.
    arg.len() == word.len()
        && (same(arg, word.as_bytes()) || arg.eq_ignore_ascii_case(word.as_bytes()))
}

/// A 64-bit signed integer, as Redis reads it.
///
/// # Errors
/// [`Error::NotAnInteger`].
pub fn integer(arg: &[u8]) -> Result<i64> {
    match number::parse_i64(arg) {
        Some(number) => Ok(number),
        None => Err(Error::NotAnInteger),
    }
}

/// The number of a database, from 0.
///
/// # Errors
/// [`Error::NotAnInteger`], or a text that says that there is no such database.
pub fn database(arg: &[u8]) -> Result<usize> {
    let number = i32::try_from(integer(arg)?).map_err(|_| {
        let (min, max) = (i32::MIN, i32::MAX);
        Error::plain(format!("value is out of range, value must between {min} and {max}"))
    })?;
    let number = usize::try_from(number).ok().filter(|&number| number < DATABASES);
    number.ok_or(Error::plain("DB index is out of range"))
}
