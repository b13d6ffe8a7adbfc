//! Lifetimes in an append-only file that count from the moment of their command, made absolute.
//!
//! Redis writes lifetimes as unix times; others do not, and Redis takes both. While a file is replayed no time passes, so
//! what is relative is turned into its absolute counterpart first. Which command does what is in [`crate::command`].

use crate::command::args::is;
use crate::number::parse_i64;
use crate::resp::owned::OwnedRequest;
use crate::resp::request::Args;

/// A command whose third argument is a lifetime, what says the same absolutely, and ms a unit.
const DIRECT: [(&str, &str, i64); 4] = [
    ("EXPIRE", "PEXPIREAT", 1000),
    ("PEXPIRE", "PEXPIREAT", 1),
    ("HEXPIRE", "HPEXPIREAT", 1000),
    ("HPEXPIRE", "HPEXPIREAT", 1),
];

/// A command whose third argument is a lifetime and whose fourth is a value, and ms a unit.
const WITH_VALUE: [(&str, i64); 2] = [("SETEX", 1000), ("PSETEX", 1)];

/// A command with the options EX and PX, where its options begin, and the word that ends them.
const WITH_OPTIONS: [(&str, usize, &str); 4] =
    [("SET", 3, ""), ("GETEX", 2, ""), ("HSETEX", 2, "FIELDS"), ("HGETEX", 2, "FIELDS")];

/// The command with an absolute lifetime, if it has a relative one that counts from `base_ms`.
pub(super) fn absolute(args: Args<'_>, base_ms: u64) -> Option<OwnedRequest> {
    let at = |amount: &[u8], unit_ms: i64| {
        let at_ms = parse_i64(amount)?.checked_mul(unit_ms)?.checked_add(base_ms as i64)?;
        Some(at_ms.to_string().into_bytes())
    };
    let name = args.get(0);
    if let Some((_, absolute, unit_ms)) = DIRECT.iter().find(|row| is(name, row.0)) {
        let at_ms = at(args.iter().nth(2)?, *unit_ms)?;
        let words = [absolute.as_bytes(), args.get(1), &at_ms];
        return Some(OwnedRequest::new(words.into_iter().chain(args.iter().skip(3))));
    }
    if let Some((_, unit_ms)) = WITH_VALUE.iter().find(|row| is(name, row.0)) {
        let at_ms = at(args.iter().nth(2)?, *unit_ms)?;
        let value = args.iter().nth(3)?;
        return Some(OwnedRequest::new([&b"SET"[..], args.get(1), value, b"PXAT", &at_ms]));
    }
    if is(name, "RESTORE") {
        let is_absolute = args.iter().skip(4).any(|word| is(word, "ABSTTL"));
        let ttl = args.iter().nth(2).filter(|ttl| !is_absolute && *ttl != b"0")?;
        let at_ms = at(ttl, 1)?;
        let words = [name, args.get(1), &at_ms].into_iter().chain(args.iter().skip(3));
        return Some(OwnedRequest::new(words.chain([&b"ABSTTL"[..]])));
    }
    let (_, first, end) = WITH_OPTIONS.iter().find(|row| is(name, row.0))?;
    let options = args.iter().enumerate().skip(*first).take_while(|(_, word)| !is(word, end));
    let (place, unit_ms) = options
        .filter_map(|(place, word)| match () {
            () if is(word, "EX") => Some((place, 1000)),
            () if is(word, "PX") => Some((place, 1)),
            () => None,
        })
        .next()?;
    let at_ms = at(args.iter().nth(place + 1)?, unit_ms)?;
    let words = args.iter().take(place).chain([&b"PXAT"[..], &at_ms]);
    Some(OwnedRequest::new(words.chain(args.iter().skip(place + 2))))
}

#[cfg(test)]
mod tests {
    use super::absolute;
    use crate::resp::owned::OwnedRequest;

    fn made_absolute(line: &str) -> Option<String> {
        let request = OwnedRequest::from_line(line.as_bytes()).unwrap();
        let words = absolute(request.args(), 1_000_000)?;
        let words: Vec<_> =
            words.args().iter().map(|word| word.escape_ascii().to_string()).collect();
        Some(words.join(" "))
    }

    #[test]
    fn lifetimes_count_from_the_given_moment() {
        for (relative, expected) in [
            ("EXPIRE a 5 NX", "PEXPIREAT a 1005000 NX"),
            ("pexpire a -5", "PEXPIREAT a 999995"),
            ("HEXPIRE a 5 GT FIELDS 1 EX", "HPEXPIREAT a 1005000 GT FIELDS 1 EX"),
            ("HPEXPIRE a 5 FIELDS 1 f", "HPEXPIREAT a 1000005 FIELDS 1 f"),
            ("SETEX a 5 v", "SET a v PXAT 1005000"),
            ("PSETEX a 5 v", "SET a v PXAT 1000005"),
            ("SET a EX XX EX 5 GET", "SET a EX XX PXAT 1005000 GET"),
            ("GETEX a PX 5", "GETEX a PXAT 1000005"),
            ("HSETEX a FNX PX 5 FIELDS 1 EX 7", "HSETEX a FNX PXAT 1000005 FIELDS 1 EX 7"),
            ("RESTORE a 5 payload REPLACE", "RESTORE a 1000005 payload REPLACE ABSTTL"),
        ] {
            assert_eq!(made_absolute(relative).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_absolute_stays() {
        for line in [
            "SET a EX",
            "SET a v PXAT 5",
            "SET EX EX",
            "SET a v EX",
            "SET a v EX five",
            "GETEX a PERSIST",
            "HSETEX a FIELDS 1 EX 5",
            "RESTORE a 0 payload",
            "RESTORE a 5 payload ABSTTL",
            "PEXPIREAT a 5",
            "EXPIRE a",
            "HSET a EX 5",
        ] {
            assert_eq!(made_absolute(line), None, "{line}");
        }
    }
}
