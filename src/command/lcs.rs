//! LCS: the longest common subsequence of two strings, as Redis finds it.

use super::args::Cursor;
use super::{Command, Family};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::View;

/// The family.
pub const FAMILY: Family = Family { group: "string", category: "string", commands: COMMANDS };

const COMMANDS: &[Command] = &[Command::read(
    "LCS",
    "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
    lcs,
)
.about("7.0.0", "Finds the longest common subsequence of two strings.")];

fn lcs(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let not_strings = |_| Error::plain("The specified keys must contain string values");
    let string = |at| view.string(args.get(at)).map_err(not_strings).map(Option::unwrap_or_default);
    let (a, b) = (string(1)?, string(2)?);
    let options = Options::parse(args)?;
    let limit_bytes = view.settings().string_len_max_bytes;
    let bytes = (a.len() + 1).checked_mul(b.len() + 1).and_then(|cells| cells.checked_mul(4));
    if bytes.is_none_or(|bytes| bytes > limit_bytes) {
        return Err(Error::plain(
            "Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }

    let lengths = Lengths::new(a, b);
    if options.only_length {
        reply.integer(lengths.at(a.len(), b.len()).into());
        return Ok(());
    }
    let matches = lengths.matches(a, b);
    if !options.indexes {
        // They were found from behind.
        let whole: Vec<u8> =
            matches.iter().rev().flat_map(|of| &a[of.a..of.a + of.len]).copied().collect();
        reply.bulk(&whole);
        return Ok(());
    }
    let shown: Vec<&Match> =
        matches.iter().filter(|of| of.len as i64 >= options.least_len).collect();
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(shown.len());
    for of in shown {
        reply.array(2 + usize::from(options.with_lengths));
        for start in [of.a, of.b] {
            reply.array(2);
            reply.count(start);
            reply.count(start + of.len - 1);
        }
        if options.with_lengths {
            reply.count(of.len);
        }
    }
    reply.bulk(b"len");
    reply.integer(lengths.at(a.len(), b.len()).into());
    Ok(())
}

struct Options {
    only_length: bool,
    indexes: bool,
    least_len: i64,
    with_lengths: bool,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options> {
        let mut of =
            Options { only_length: false, indexes: false, least_len: 0, with_lengths: false };
        let mut options = Cursor::new(args, 3);
        while options.left() > 0 {
            match () {
                () if options.accept("LEN") => of.only_length = true,
                () if options.accept("IDX") => of.indexes = true,
                () if options.accept("WITHMATCHLEN") => of.with_lengths = true,
                () if options.left() > 1 && options.accept("MINMATCHLEN") => {
                    of.least_len = options.integer()?;
                }
                () => return Err(Error::Syntax),
            }
        }
        if of.only_length && of.indexes {
            return Err(Error::plain(
                "If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(of)
    }
}

/// For every two beginnings of the strings, how long their longest common subsequence is.
struct Lengths {
    width: usize,
    cells: Vec<u32>,
}

/// Where the strings have so many bytes in common.
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

impl Lengths {
    fn new(a: &[u8], b: &[u8]) -> Lengths {
        let width = b.len() + 1;
        let mut cells = vec![0; (a.len() + 1) * width];
        for (i, &byte) in a.iter().enumerate() {
            let (above, row) = cells[i * width..(i + 2) * width].split_at_mut(width);
            for (j, &other) in b.iter().enumerate() {
                row[j + 1] = if byte == other { above[j] + 1 } else { above[j + 1].max(row[j]) };
            }
        }
        Lengths { width, cells }
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * self.width + j]
    }

    /// The parts of the longest common subsequence, the last one first.
    fn matches(&self, a: &[u8], b: &[u8]) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        let mut is_open = false;
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                i -= 1;
                j -= 1;
                match matches.last_mut().filter(|_| is_open) {
                    Some(open) => *open = Match { a: i, b: j, len: open.len + 1 },
                    None => matches.push(Match { a: i, b: j, len: 1 }),
                }
                is_open = true;
            } else {
                is_open = false;
                if self.at(i - 1, j) > self.at(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
            }
        }
        matches
    }
}
