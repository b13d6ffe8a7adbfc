//! The bitmap family: a string as bits, the first bit being the highest of the first byte.
//!
//! Numbers of other widths in such a string are in `bitfield`.

use super::args::{Cursor, integer, is};
use super::{Command, Family};
use crate::error::{Error, Result};
use crate::journal::effect::Cause;
use crate::number::parse_i64;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::{NewDeadline, Settings, View};

/// The family.
pub const FAMILY: Family = Family { group: "bitmap", category: "bitmap", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::read("BITCOUNT", "key [start end [BYTE | BIT]]", bitcount)
        .about("2.6.0", "Counts the bits that are set in a string, or in a part of it."),
    Command::write("BITOP", "<AND | OR | XOR | NOT> destkey key [key ...]", bitop)
        .about("2.6.0", "Stores what an operation on the bits of several strings gives.")
        .denies_oom(),
    Command::read("BITPOS", "key bit [start [end [BYTE | BIT]]]", bitpos)
        .about("2.8.7", "Finds the first bit that is set, or not set, in a string."),
    Command::read("GETBIT", "key offset", getbit)
        .about("2.2.0", "Returns the bit at an offset of a string.")
        .fast(),
    Command::write("SETBIT", "key offset value", setbit)
        .about("2.2.0", "Sets or clears the bit at an offset of a string; zero bits fill a gap.")
        .denies_oom(),
];

fn bitcount(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut range = Cursor::new(args, 2);
    let wanted = match range.optional() {
        None => None,
        Some(_) if range.left() == 0 => return Err(Error::Syntax),
        Some(start) => Some((integer(start)?, range.integer()?, Unit::read(&mut range)?)),
    };
    range.finish()?;
    let bits = view.string(args.get(1))?.unwrap_or_default();

    let count = match wanted {
        None => count_ones(bits),
        Some((start, end, _)) if start < 0 && end < 0 && start > end => 0,
        Some((start, end, unit)) => match unit.bits_between(bits.len(), start, end) {
            Some((first, last)) => count_between(bits, first, last),
            None => 0,
        },
    };
    reply.count(count);
    Ok(())
}

fn bitop(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (operation, destination) = (args.get(1), args.get(2));
    let combine: fn(u8, u8) -> u8 = match () {
        () if is(operation, "AND") => |a, b| a & b,
        () if is(operation, "OR") => |a, b| a | b,
        () if is(operation, "XOR") => |a, b| a ^ b,
        () if is(operation, "NOT") && args.len() == 4 => |a, _| !a,
        () if is(operation, "NOT") => {
            return Err(Error::plain("BITOP NOT must be called with a single source key."));
        }
        () => return Err(Error::Syntax),
    };
    let mut sources = Vec::with_capacity(args.len() - 3);
    for name in args.iter().skip(3) {
        sources.push(view.string(name)?.unwrap_or_default());
    }

    let len = sources.iter().map(|bits| bits.len()).max().unwrap_or(0);
    // What a string lacks at its end counts as zero bits.
    let mut whole = sources[0].to_vec();
    whole.resize(len, 0);
    if is(operation, "NOT") {
        whole.iter_mut().for_each(|byte| *byte = combine(*byte, 0));
    }
    for bits in &sources[1..] {
        let (both, rest) = whole.split_at_mut(bits.len());
        both.iter_mut().zip(*bits).for_each(|(byte, other)| *byte = combine(*byte, *other));
        rest.iter_mut().for_each(|byte| *byte = combine(*byte, 0));
    }
    if len > 0 {
        view.put_string(destination, &whole, NewDeadline::Clear, Cause::Bitop);
    } else if view.kind(destination).is_some() {
        view.drop_name(destination, Cause::Del);
    }
    reply.count(len);
    Ok(())
}

fn bitpos(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let is_set = match integer(args.get(2))? {
        0 => false,
        1 => true,
        _ => return Err(Error::plain("The bit argument must be 1 or 0.")),
    };
    let mut range = Cursor::new(args, 3);
    let start = range.optional().map(integer).transpose()?;
    let end = range.optional();
    let unit = Unit::read(&mut range)?;
    let end = end.map(integer).transpose()?;
    range.finish()?;
    let Some(bits) = view.string(args.get(1))? else {
        reply.integer(if is_set { -1 } else { 0 });
        return Ok(());
    };

    let (start, last_place) = (start.unwrap_or(0), end.unwrap_or(-1));
    let position = match unit.bits_between(bits.len(), start, last_place) {
        None => None,
        Some((first, last)) => match find(bits, first, last, is_set) {
            // Without an end, zero bits follow the string.
            None if !is_set && end.is_none() => Some(8 * bits.len()),
            position => position,
        },
    };
    reply.integer(position.map_or(-1, |position| position as i64));
    Ok(())
}

fn getbit(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let offset = offset(args.get(2), view.settings())?;
    let bits = view.string(args.get(1))?.unwrap_or_default();

    reply.integer(i64::from(bit(bits, offset)));
    Ok(())
}

fn setbit(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let offset = offset(args.get(2), view.settings())?;
    let value = match parse_i64(args.get(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(Error::plain("bit is not an integer or out of range")),
    };
    let old = view.string(name)?;

    let old_len = old.map_or(0, <[u8]>::len);
    let was = bit(old.unwrap_or_default(), offset);
    if was != value || offset / 8 >= old_len {
        let byte = old.and_then(|bits| bits.get(offset / 8)).copied().unwrap_or(0);
        let mask = 0x80 >> (offset % 8);
        let byte = if value { byte | mask } else { byte & !mask };
        view.patch_string(name, offset / 8, &[byte], Cause::Setbit);
    }
    reply.integer(i64::from(was));
    Ok(())
}

/// What a range counts.
#[derive(Clone, Copy)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    /// BYTE, BIT, or nothing.
    fn read(options: &mut Cursor<'_>) -> Result<Unit> {
        match options.optional() {
            None => Ok(Unit::Byte),
            Some(word) if is(word, "BYTE") => Ok(Unit::Byte),
            Some(word) if is(word, "BIT") => Ok(Unit::Bit),
            Some(_) => Err(Error::Syntax),
        }
    }

    /// The first and last bit of a range in a string of `len` bytes; negative places are counted from
    /// behind. `None` if there are none.
    fn bits_between(self, len: usize, start: i64, end: i64) -> Option<(usize, usize)> {
        let unit_bits = match self {
            Unit::Byte => 8,
            Unit::Bit => 1,
        };
        let units = (len * 8 / unit_bits) as i64;
        let place = |at: i64| if at < 0 { units.saturating_add(at).max(0) } else { at };
        let (start, end) = (place(start), place(end).min(units - 1));
        let bits = || (start as usize * unit_bits, (end as usize + 1) * unit_bits - 1);
        (start <= end).then(bits)
    }
}

/// A bit's offset, if a string may be that long.
pub(super) fn offset(arg: &[u8], settings: &Settings) -> Result<usize> {
    parse_i64(arg).and_then(|offset| checked_offset(offset, settings)).ok_or_else(out_of_range)
}

pub(super) fn checked_offset(offset: i64, settings: &Settings) -> Option<usize> {
    usize::try_from(offset).ok().filter(|offset| offset / 8 < settings.string_len_max_bytes)
}

pub(super) fn out_of_range() -> Error {
    Error::plain("bit offset is not an integer or out of range")
}

fn bit(bits: &[u8], offset: usize) -> bool {
    bits.get(offset / 8).is_some_and(|byte| byte & (0x80 >> (offset % 8)) != 0)
}

fn count_ones(bits: &[u8]) -> usize {
    let (words, rest) = bits.as_chunks::<8>();
    let in_words: u32 = words.iter().map(|word| u64::from_le_bytes(*word).count_ones()).sum();
    in_words as usize + rest.iter().map(|byte| byte.count_ones() as usize).sum::<usize>()
}

/// Bits set from `first` to `last`, both included.
fn count_between(bits: &[u8], first: usize, last: usize) -> usize {
    let whole = count_ones(&bits[first / 8..=last / 8]);
    let before = bits[first / 8] & !(0xff >> (first % 8));
    let behind = bits[last / 8] & (0x7f >> (last % 8));
    whole - before.count_ones() as usize - behind.count_ones() as usize
}

/// The first bit that is `wanted` from `first` to `last`, both included.
fn find(bits: &[u8], first: usize, last: usize, wanted: bool) -> Option<usize> {
    let as_ones = |byte: u8| if wanted { byte } else { !byte };
    let (from, to) = (first / 8, last / 8);
    let in_first = as_ones(bits[from]) & (0xff >> (first % 8));
    let at = if in_first != 0 {
        from
    } else {
        from + 1 + bits[from + 1..=to].iter().position(|&byte| as_ones(byte) != 0)?
    };
    let byte = if at == from { in_first } else { as_ones(bits[at]) };
    let position = at * 8 + byte.leading_zeros() as usize;
    (position <= last).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_places_are_those_of_single_bits() {
        let strings: [&[u8]; 5] = [
            b"\x00",
            b"\xff\xf0\x00",
            b"\x00\xff\xf0",
            b"foobar",
            b"\xff\xff\xff\x00\x80\x01\x7f\xff\x08",
        ];
        for bits in strings {
            let all: Vec<bool> = (0..bits.len() * 8).map(|at| bit(bits, at)).collect();
            for (first, last) in (0..all.len()).flat_map(|f| (f..all.len()).map(move |l| (f, l))) {
                let part = &all[first..=last];
                let ones = part.iter().filter(|bit| **bit).count();
                assert_eq!(count_between(bits, first, last), ones, "{bits:x?} {first} {last}");
                for wanted in [false, true] {
                    let place = part.iter().position(|bit| *bit == wanted).map(|at| first + at);
                    assert_eq!(find(bits, first, last, wanted), place, "{bits:x?} {first} {last}");
                }
            }
        }
    }
}
