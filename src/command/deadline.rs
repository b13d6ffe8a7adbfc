//! Arguments that say when something expires: EX, PX, EXAT, PXAT, KEEPTTL, PERSIST and their amounts.
//!
//! What they do to a name or pair, and which of them a command has, is the command's matter.

use super::args::{Cursor, integer, is};
use crate::error::{Error, Result};

/// How an amount of time says when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeForm {
    unit_ms: i64,
    is_relative: bool,
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
    At(TimeForm, &'a [u8]),
}

impl TimeForm {
    /// EX, EXPIRE: seconds from now.
    pub const SECONDS: TimeForm = TimeForm { unit_ms: 1000, is_relative: true };
    /// PX, PEXPIRE: milliseconds from now.
    pub const MILLISECONDS: TimeForm = TimeForm { unit_ms: 1, is_relative: true };
    /// EXAT, EXPIREAT: a unix time in seconds.
    pub const UNIX_SECONDS: TimeForm = TimeForm { unit_ms: 1000, is_relative: false };
    /// PXAT, PEXPIREAT: a unix time in milliseconds.
    pub const UNIX_MILLISECONDS: TimeForm = TimeForm { unit_ms: 1, is_relative: false };

    /// Steps over the word that announces a time, if there is one.
    pub fn accept(options: &mut Cursor<'_>) -> Option<TimeForm> {
        let form = options.peek().and_then(TimeForm::announced_by);
        if form.is_some() {
            options.skip();
        }
        form
    }

    /// What the word announces, if it announces a time.
    #[inline]
    pub fn announced_by(word: &[u8]) -> Option<TimeForm> {
        match word.len() {
            2 if is(word, "EX") => Some(TimeForm::SECONDS),
            2 if is(word, "PX") => Some(TimeForm::MILLISECONDS),
            4 if is(word, "EXAT") => Some(TimeForm::UNIX_SECONDS),
            4 if is(word, "PXAT") => Some(TimeForm::UNIX_MILLISECONDS),
            _ => None,
        }
    }

    /// The unix time in ms, perhaps one that has passed or lies before 1970; `None` beyond `i64`.
    pub fn unix_ms(self, amount: i64, now_ms: u64) -> Option<i64> {
        let base_ms = if self.is_relative { now_ms as i64 } else { 0 };
        amount.checked_mul(self.unit_ms)?.checked_add(base_ms)
    }

    /// The deadline in unix ms, for commands that take positive amounts only.
    ///
    /// # Errors
    /// [`Error::NotAnInteger`]; [`Error::InvalidExpire`] with the name of the command.
    pub fn deadline_ms(self, amount: &[u8], now_ms: u64, command: &'static str) -> Result<u64> {
        let amount = Some(integer(amount)?).filter(|&amount| amount > 0);
        let deadline_ms = amount.and_then(|amount| self.unix_ms(amount, now_ms));
        deadline_ms.map(|at_ms| at_ms as u64).ok_or(Error::InvalidExpire(command))
    }
}

impl<'a> Expiry<'a> {
    /// Steps over an option about expiry and its amount, if there is one, and says whether it did.
    ///
    /// # Errors
    /// [`Error::Syntax`] if the amount is missing, or after a different option.
    pub fn accept(&mut self, options: &mut Cursor<'a>) -> Result<bool> {
        let said = if let Some(form) = TimeForm::accept(options) {
            Expiry::At(form, options.required()?)
        } else if options.accept("KEEPTTL") {
            Expiry::Keep
        } else if options.accept("PERSIST") {
            Expiry::Persist
        } else {
            return Ok(false);
        };
        // The same option may come again; then its last amount counts.
        let agrees = match (*self, said) {
            (Expiry::None, _) => true,
            (Expiry::At(before, _), Expiry::At(form, _)) => before == form,
            (before, said) => before == said,
        };
        *self = said;
        if agrees { Ok(true) } else { Err(Error::Syntax) }
    }
}

#[cfg(test)]
mod tests {
    use super::TimeForm;
    use crate::error::Error;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn amounts_count_from_now_or_from_1970() {
        assert_eq!(TimeForm::SECONDS.unix_ms(10, NOW_MS), Some(NOW_MS as i64 + 10_000));
        assert_eq!(TimeForm::MILLISECONDS.unix_ms(-10, NOW_MS), Some(NOW_MS as i64 - 10));
        assert_eq!(TimeForm::UNIX_SECONDS.unix_ms(10, NOW_MS), Some(10_000));
        assert_eq!(TimeForm::UNIX_MILLISECONDS.unix_ms(i64::MIN, NOW_MS), Some(i64::MIN));
    }

    #[test]
    fn the_last_amount_that_fits_is_taken() {
        let invalid = Err(Error::InvalidExpire("set"));
        for form in [
            TimeForm::SECONDS,
            TimeForm::MILLISECONDS,
            TimeForm::UNIX_SECONDS,
            TimeForm::UNIX_MILLISECONDS,
        ] {
            let base_ms = if form.is_relative { NOW_MS as i64 } else { 0 };
            let last = (i64::MAX - base_ms) / form.unit_ms;
            let deadline_ms =
                |amount: i64| form.deadline_ms(amount.to_string().as_bytes(), NOW_MS, "set");
            assert_eq!(deadline_ms(last), Ok((last * form.unit_ms + base_ms) as u64));
            assert_eq!(deadline_ms(1), Ok((form.unit_ms + base_ms) as u64));
            assert_eq!(deadline_ms(0), invalid);
            assert_eq!(deadline_ms(i64::MIN), invalid);
            if last < i64::MAX {
                assert_eq!(deadline_ms(last + 1), invalid);
                assert_eq!(deadline_ms(i64::MAX), invalid);
            }
        }
    }
}
