//! Options that say when something expires: EX, PX, EXAT, PXAT, KEEPTTL, PERSIST.
//!
//! What they do to a name or pair, and which of them a command has, is the command's matter.

use super::args::{Cursor, integer, is};
use crate::error::{Error, Result};

/// In which way an amount of time says when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Seconds from now.
    Ex,
    /// Milliseconds from now.
    Px,
    /// A unix time in seconds.
    ExAt,
    /// A unix time in milliseconds.
    PxAt,
}

/// The one option about expiry that a command was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry<'a> {
    /// None was given.
    None,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// A time, not yet read as a number.
    At(Timing, &'a [u8]),
}

impl Timing {
    /// The option with this name, in any case.
    pub fn from_word(word: &[u8]) -> Option<Timing> {
        let options = [
            ("EX", Timing::Ex),
            ("PX", Timing::Px),
            ("EXAT", Timing::ExAt),
            ("PXAT", Timing::PxAt),
        ];
        options.into_iter().find(|(name, _)| is(word, name)).map(|(_, timing)| timing)
    }

    /// The deadline, in unix ms.
    ///
    /// # Errors
    /// [`Error::NotAnInteger`]; [`Error::InvalidExpire`] with the name of the command if the amount
    /// is not positive or passes `i64`.
    pub fn deadline_ms(self, amount: &[u8], now_ms: u64, command: &'static str) -> Result<u64> {
        let amount = Some(integer(amount)?).filter(|&amount| amount > 0);
        let ms = match self {
            Timing::Ex | Timing::ExAt => amount.and_then(|amount| amount.checked_mul(1000)),
            Timing::Px | Timing::PxAt => amount,
        };
        let at = match self {
            Timing::Ex | Timing::Px => ms.and_then(|ms| ms.checked_add(now_ms as i64)),
            Timing::ExAt | Timing::PxAt => ms,
        };
        at.map(|at| at as u64).ok_or(Error::InvalidExpire(command))
    }
}

impl<'a> Expiry<'a> {
    /// If `word` is an option about expiry, takes it, with its amount from `options`, and says so.
    ///
    /// # Errors
    /// [`Error::Syntax`] if the amount is missing or another option was taken before.
    pub fn take(&mut self, word: &[u8], options: &mut Cursor<'a>) -> Result<bool> {
        let timing = Timing::from_word(word);
        let said = match timing {
            Some(timing) => Expiry::At(timing, options.required()?),
            None if is(word, "KEEPTTL") => Expiry::Keep,
            None if is(word, "PERSIST") => Expiry::Persist,
            None => return Ok(false),
        };
        // An option may be repeated; then its last amount counts.
        let agrees = match *self {
            Expiry::None => true,
            Expiry::At(before, _) => timing == Some(before),
            before => said == before,
        };
        *self = said;
        if agrees { Ok(true) } else { Err(Error::Syntax) }
    }
}
