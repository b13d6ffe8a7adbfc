//! BITFIELD: a string as numbers of any width, at any bit.
//!
//! Widths are `i1` to `i64` and `u1` to `u63`; `#3` as an offset is three times the width. Operations
//! run in their order on one copy of the string, which is written once.

use super::args::{Cursor, is};
use super::bitmap::{checked_offset, offset, out_of_range};
use super::{Command, Family};
use crate::error::{Error, Result};
use crate::journal::effect::Cause;
use crate::number::parse_i64;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::{Settings, View};

/// The family.
pub const FAMILY: Family = Family { group: "bitmap", category: "bitmap", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::write(
        "BITFIELD",
        "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | \
         INCRBY encoding offset increment> [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] \
         <SET encoding offset value | INCRBY encoding offset increment> ...]]",
        bitfield,
    )
    .about("3.2.0", "Reads, sets and adds to numbers of any width in a string.")
    .denies_oom(),
    Command::read(
        "BITFIELD_RO",
        "key [GET encoding offset [GET encoding offset ...]]",
        bitfield_ro,
    )
    .about("6.0.0", "Reads numbers of any width in a string.")
    .fast(),
];

fn bitfield(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let operations = parse(args, view.settings())?;
    let old = view.string(name)?;

    let end_bits = operations.iter().filter(|of| of.action.writes()).map(Operation::end_bits).max();
    let Some(end_bits) = end_bits else {
        reply.array(operations.len());
        operations.iter().for_each(|of| reply.integer(of.read(old.unwrap_or_default())));
        return Ok(());
    };
    let old_len = old.map_or(0, <[u8]>::len);
    let mut bits = old.unwrap_or_default().to_vec();
    bits.resize(old_len.max(end_bits.div_ceil(8)), 0);
    let (has_grown, mut has_changed) = (bits.len() > old_len, false);
    let answers: Vec<Option<i64>> =
        operations.iter().map(|of| of.run(&mut bits, has_grown, &mut has_changed)).collect();
    if has_changed || has_grown {
        let written = operations.iter().filter(|of| of.action.writes());
        let first = written.map(Operation::first_byte).min().unwrap_or(0);
        let changed = &bits[first..end_bits.div_ceil(8)];
        let cause = if has_changed { Cause::Setbit } else { Cause::Grown };
        view.patch_string(name, first, changed, cause);
    }
    reply.array(answers.len());
    for answer in answers {
        match answer {
            Some(number) => reply.integer(number),
            None => reply.null(),
        }
    }
    Ok(())
}

fn bitfield_ro(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let operations = parse(args, view.settings())?;
    if operations.iter().any(|of| of.action.writes()) {
        return Err(Error::plain("BITFIELD_RO only supports the GET subcommand"));
    }
    let bits = view.string(args.get(1))?.unwrap_or_default();

    reply.array(operations.len());
    operations.iter().for_each(|of| reply.integer(of.read(bits)));
    Ok(())
}

/// One operation on one number.
struct Operation {
    width: Width,
    offset: usize,
    action: Action,
    overflow: Overflow,
}

#[derive(Clone, Copy)]
struct Width {
    bits: u32,
    is_signed: bool,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Incrby(i64),
}

/// What happens to a number that does not fit.
#[derive(Clone, Copy)]
enum Overflow {
    Wrap,
    Sat,
    Fail,
}

fn parse(args: Args<'_>, settings: &Settings) -> Result<Vec<Operation>> {
    let mut options = Cursor::new(args, 2);
    let mut overflow = Overflow::Wrap;
    let mut operations = Vec::new();
    while let Some(word) = options.optional() {
        let (is_set, is_incrby) = (is(word, "SET"), is(word, "INCRBY"));
        match options.left() {
            1.. if is(word, "OVERFLOW") => {
                overflow = Overflow::read(options.required()?)?;
                continue;
            }
            2.. if is(word, "GET") => {}
            3.. if is_set || is_incrby => {}
            _ => return Err(Error::Syntax),
        }
        let width = Width::read(options.required()?)?;
        let offset = match options.required()? {
            [b'#', number @ ..] => {
                let place = parse_i64(number).and_then(|n| n.checked_mul(width.bits.into()));
                place.and_then(|at| checked_offset(at, settings)).ok_or_else(out_of_range)?
            }
            at => offset(at, settings)?,
        };
        let action = match (is_set, is_incrby) {
            (true, _) => Action::Set(options.integer()?),
            (_, true) => Action::Incrby(options.integer()?),
            _ => Action::Get,
        };
        operations.push(Operation { width, offset, action, overflow });
    }
    Ok(operations)
}

impl Action {
    fn writes(self) -> bool {
        !matches!(self, Action::Get)
    }
}

impl Overflow {
    fn read(word: &[u8]) -> Result<Overflow> {
        match () {
            () if is(word, "WRAP") => Ok(Overflow::Wrap),
            () if is(word, "SAT") => Ok(Overflow::Sat),
            () if is(word, "FAIL") => Ok(Overflow::Fail),
            () => Err(Error::plain("Invalid OVERFLOW type specified")),
        }
    }
}

impl Width {
    fn read(word: &[u8]) -> Result<Width> {
        let (is_signed, bits) = match word {
            [b'i', bits @ ..] => (true, bits),
            [b'u', bits @ ..] => (false, bits),
            _ => (false, &b""[..]),
        };
        let most = if is_signed { 64 } else { 63 };
        let bits = parse_i64(bits).filter(|bits| (1..=most).contains(bits));
        bits.map(|bits| Width { bits: bits as u32, is_signed }).ok_or(Error::plain(
            "Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but \
             i64 is.",
        ))
    }

    /// The least and the largest number of this width.
    fn bounds(self) -> (i128, i128) {
        match self.is_signed {
            true => (-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1),
            false => (0, (1i128 << self.bits) - 1),
        }
    }

    /// The number that the lowest bits of `n` are.
    fn wrap(self, n: i128) -> i64 {
        let low = n & ((1i128 << self.bits) - 1);
        let is_negative = self.is_signed && low >> (self.bits - 1) != 0;
        (if is_negative { low - (1i128 << self.bits) } else { low }) as i64
    }
}

impl Operation {
    fn end_bits(&self) -> usize {
        self.offset + self.width.bits as usize
    }

    fn first_byte(&self) -> usize {
        self.offset / 8
    }

    fn read(&self, bits: &[u8]) -> i64 {
        let mut window = [0; 16];
        let from = (self.offset / 8).min(bits.len());
        let there = bits.len().min(from + 9) - from;
        window[..there].copy_from_slice(&bits[from..from + there]);
        let shift = 128 - (self.offset % 8) as u32 - self.width.bits;
        self.width.wrap((u128::from_be_bytes(window) >> shift) as i128)
    }

    fn write(&self, bits: &mut [u8], number: i64) {
        for place in 0..self.width.bits as usize {
            let is_one = number >> (self.width.bits as usize - 1 - place) & 1 != 0;
            let (at, mask) = ((self.offset + place) / 8, 0x80 >> ((self.offset + place) % 8));
            bits[at] = if is_one { bits[at] | mask } else { bits[at] & !mask };
        }
    }

    /// Whether it sets a signed number so small that its distance to `max` fits no `i64`.
    fn is_far_below(&self, max: i128) -> bool {
        match self.action {
            Action::Set(value) => self.width.is_signed && (max as i64).checked_sub(value).is_none(),
            Action::Get | Action::Incrby(_) => false,
        }
    }

    /// Its answer; `None` if the number does not fit and that is to fail.
    fn run(&self, bits: &mut [u8], has_grown: bool, has_changed: &mut bool) -> Option<i64> {
        let old = self.read(bits);
        let wanted = match self.action {
            Action::Get => return Some(old),
            Action::Set(value) if self.width.is_signed => value.into(),
            // A negative number given for an unsigned one is what its bits are.
            Action::Set(value) => i128::from(value as u64),
            Action::Incrby(by) => i128::from(old) + i128::from(by),
        };
        let (min, max) = self.width.bounds();
        let new = match self.overflow {
            _ if (min..=max).contains(&wanted) => wanted as i64,
            Overflow::Wrap => self.width.wrap(wanted),
            // Redis tells by `max - value`, which wraps for the smallest numbers: they become the largest.
            Overflow::Sat if self.is_far_below(max) => max as i64,
            Overflow::Sat => wanted.clamp(min, max) as i64,
            Overflow::Fail => return None,
        };
        self.write(bits, new);
        *has_changed |= has_grown || new != old;
        Some(if matches!(self.action, Action::Set(_)) { old } else { new })
    }
}
