//! What Redis's own table says of its commands, whether they exist here or not: so ACL rules of any
//! server can be read, and the names in any command be found.
//!
//! What this server can do is in [`super::table`]; where both know a command, that one counts. The
//! rows are those of Redis 8.

mod keyed;
mod keyless;

use super::Keys;
use super::args::is;
use crate::resp::request::Args;

/// One of Redis's commands.
#[derive(Debug)]
pub struct Known {
    /// Lower case, `config|get` for a subcommand.
    pub name: &'static str,
    /// Exact if positive, at least `-arity` if negative.
    pub arity: i32,
    /// Redis's flags, with blanks between.
    pub flags: &'static str,
    /// ACL categories, without `@`, with blanks between.
    pub categories: &'static str,
    /// Where keys are.
    pub keys: &'static [Key],
}

/// Where some of a command's keys are, and what it does with them.
#[derive(Debug)]
pub struct Key {
    /// Redis's flags, with blanks between.
    pub flags: &'static str,
    /// Where they are.
    pub place: Place,
}

/// Where keys are among a command's arguments.
#[derive(Debug)]
pub enum Place {
    /// From one argument to another; a negative one counts from the end.
    Range {
        /// The first.
        first: usize,
        /// How far behind it the last is; or its place, counted from the end.
        last: i32,
        /// From one to the next.
        step: usize,
    },
    /// So many as the argument at this place says, right behind it.
    Counted(usize),
    /// Behind a word, which is looked for from a place on; `limit` 2: the first half of the rest.
    After {
        /// The word.
        word: &'static str,
        /// Where it is looked for first; negative: from there on towards the beginning.
        from: i32,
        /// As in [`Place::Range`].
        last: i32,
        /// From one to the next.
        step: usize,
        /// Into so many parts is the rest divided, of which the first has the keys; 0: it is not.
        limit: usize,
    },
    /// Only the command itself knows.
    Unknown,
}

impl Place {
    /// The names' places in a command that Redis does not have; `None` if it has none.
    pub fn of(keys: Keys) -> Option<Place> {
        match keys {
            Keys::None | Keys::Every => None,
            Keys::One(first) => Some(Place::Range { first, last: 0, step: 1 }),
            Keys::Range { first, last, step } if last < 0 => {
                Some(Place::Range { first, last, step })
            }
            Keys::Range { first, last, step } => {
                Some(Place::Range { first, last: last - first as i32, step })
            }
        }
    }
}

/// What is done with a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Access {
    /// What it holds is shown or depended on.
    pub read: bool,
    /// What it holds is changed.
    pub write: bool,
}

/// The command with this name, in lower case.
pub fn find(name: &str) -> Option<&'static Known> {
    [keyed::ROWS, keyless::ROWS]
        .into_iter()
        .find_map(|rows| rows.binary_search_by_key(&name, |row| row.name).ok().map(|at| &rows[at]))
}

/// All commands.
pub fn all() -> impl Iterator<Item = &'static Known> {
    keyed::ROWS.iter().chain(keyless::ROWS)
}

impl Known {
    /// Places of the keys in a command with these arguments, and what it does with them.
    pub fn keys_in(&self, args: Args<'_>) -> Vec<(usize, Access)> {
        let mut found = Vec::new();
        for key in self.keys.iter().filter(|key| !key.has("not_key")) {
            let access = key.access();
            found.extend(key.positions(args).into_iter().flatten().map(|at| (at, access)));
        }
        match self.name {
            "set" => {
                let is_read = args.iter().skip(3).any(|arg| is(arg, "GET"));
                found.iter_mut().for_each(|(_, access)| access.read = is_read);
            }
            "bitfield" if only_gets(args) => {
                found.iter_mut().for_each(|(_, access)| access.write = false);
            }
            "migrate" => found.retain(|&(at, _)| !args.get(at).is_empty()),
            "sort" => {
                found.extend(stored_at(args).map(|at| (at, Access { read: false, write: true })))
            }
            _ => {}
        }
        found
    }

    /// Places of the keys in a command with these arguments, and Redis's words for what it does with
    /// them; `None` if the arguments do not say which they are.
    pub fn flagged_keys_in(&self, args: Args<'_>) -> Option<Vec<(usize, Vec<&'static str>)>> {
        let mut found = Vec::new();
        for key in self.keys.iter().filter(|key| !key.has("not_key")) {
            let flags = match self.name {
                "set" if !args.iter().skip(3).any(|arg| is(arg, "GET")) => "OW update",
                "bitfield" if only_gets(args) => "RO access",
                _ => key.flags,
            };
            let words = || flags.split(' ').filter(|word| !PLACE_FLAGS.contains(word)).collect();
            found.extend(key.positions(args)?.map(|at| (at, words())));
        }
        found.retain(|(at, _)| self.name != "migrate" || !args.get(*at).is_empty());
        if self.name == "sort" {
            found.extend(stored_at(args).map(|at| (at, vec!["OW", "update"])));
        }
        let may_have_none = self.flags.split(' ').any(|flag| flag == "no_mandatory_keys");
        (may_have_none || !found.is_empty()).then_some(found)
    }

    /// Whether any of its arguments can be a key.
    pub fn has_keys(&self) -> bool {
        self.keys.iter().any(|key| !key.has("not_key"))
    }

    /// The first key's place, the last one's, and from one to the next, as far as three numbers can say it.
    pub fn key_range(&self) -> (i64, i64, i64) {
        let mut range = (0, 0, 0);
        for key in self.keys.iter().filter(|key| !key.has("not_key")) {
            let Place::Range { first, last, step } = key.place else { break };
            let first = first as i64;
            let last = if last < 0 { last.into() } else { first + i64::from(last) };
            match range {
                (0, ..) => range = (first, last, step as i64),
                // One key behind the others.
                (_, before, 1) if before + 1 == first && step == 1 => range.1 = last,
                _ => break,
            }
        }
        range
    }

    /// Its flags as Redis's COMMAND shows them.
    pub fn shown_flags(&self) -> Vec<&'static str> {
        let flags = self.flags.split(' ').filter(|&flag| !flag.is_empty() && flag != "sentinel");
        flags.chain(self.has_movable_keys().then_some("movablekeys")).collect()
    }

    /// Whether the arguments have to be read to find the keys.
    pub fn has_movable_keys(&self) -> bool {
        self.keys.iter().any(|key| !matches!(key.place, Place::Range { .. }))
    }
}

/// Flags that tell of how a key is found, and not of what is done with it.
const PLACE_FLAGS: &[&str] = &["variable_flags", "incomplete"];

impl Key {
    /// What is done with these keys.
    pub fn access(&self) -> Access {
        let write = ["insert", "delete", "update"].iter().any(|flag| self.has(flag));
        Access { read: self.has("access"), write }
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|one| one == flag)
    }

    /// `None` if a count does not fit the arguments.
    fn positions(&self, args: Args<'_>) -> Option<std::iter::StepBy<std::ops::Range<usize>>> {
        let len = args.len();
        // A place counted from the end, or from `base`.
        let place = |base: usize, last: i32| match usize::try_from(last) {
            Ok(last) => base + last,
            Err(_) => (len as i64 + i64::from(last)).max(0) as usize,
        };
        let (first, end, step) = match self.place {
            Place::Range { first, last, step } => (first, place(first, last) + 1, step),
            Place::Counted(at) => {
                let count = if at < len { crate::number::parse_i64(args.get(at)) } else { None };
                let end = (at + 1).saturating_add(usize::try_from(count?).ok()?);
                if end > len {
                    return None;
                }
                (at + 1, end, 1)
            }
            Place::After { word, from, last, step, limit } => {
                let Some(first) = find_word(args, word, from) else {
                    return Some((0..0).step_by(1));
                };
                let end =
                    if limit > 1 { first + (len - first) / limit } else { place(first, last) + 1 };
                (first, end, step)
            }
            Place::Unknown => (0, 0, 1),
        };
        Some((first..end.min(len).max(first.min(len))).step_by(step))
    }
}

/// The place behind `word`.
fn find_word(args: Args<'_>, word: &str, from: i32) -> Option<usize> {
    let len = args.len();
    let at = match usize::try_from(from) {
        Ok(from) => (from..len).find(|&at| is(args.get(at), word)),
        Err(_) => {
            let last = len.checked_sub(from.unsigned_abs() as usize)?;
            (1..=last).rev().find(|&at| is(args.get(at), word))
        }
    };
    at.map(|at| at + 1).filter(|&at| at < len)
}

fn only_gets(args: Args<'_>) -> bool {
    let mut at = 2;
    while at < args.len() {
        match args.get(at) {
            word if is(word, "GET") => at += 3,
            word if is(word, "OVERFLOW") => at += 2,
            _ => return false,
        }
    }
    true
}

/// Where SORT puts what it sorted.
fn stored_at(args: Args<'_>) -> Option<usize> {
    let mut at = 2;
    let mut found = None;
    while at < args.len() {
        match args.get(at) {
            word if is(word, "LIMIT") => at += 3,
            word if is(word, "GET") || is(word, "BY") => at += 2,
            word if is(word, "STORE") && at + 1 < args.len() => {
                found = Some(at + 1);
                at += 2;
            }
            _ => at += 1,
        }
    }
    found
}

const fn known(
    name: &'static str,
    arity: i32,
    flags: &'static str,
    categories: &'static str,
    keys: &'static [Key],
) -> Known {
    Known { name, arity, flags, categories, keys }
}

const fn at(flags: &'static str, first: usize) -> Key {
    range(flags, first, 0, 1)
}

const fn range(flags: &'static str, first: usize, last: i32, step: usize) -> Key {
    Key { flags, place: Place::Range { first, last, step } }
}

const fn counted(flags: &'static str, at: usize) -> Key {
    Key { flags, place: Place::Counted(at) }
}

const fn after(
    flags: &'static str,
    word: &'static str,
    from: i32,
    last: i32,
    step: usize,
    limit: usize,
) -> Key {
    Key { flags, place: Place::After { word, from, last, step, limit } }
}

const fn unknown(flags: &'static str) -> Key {
    Key { flags, place: Place::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::owned::OwnedRequest;

    fn keys(line: &str) -> Vec<String> {
        let request = OwnedRequest::new(line.split(' ').map(str::as_bytes));
        let args = request.args();
        let name = String::from_utf8(args.get(0).to_vec()).unwrap();
        let shown = |(at, Access { read, write })| {
            let arg = String::from_utf8_lossy(args.get(at)).into_owned();
            format!("{arg}{}{}", if read { " r" } else { "" }, if write { " w" } else { "" })
        };
        find(&name).unwrap().keys_in(args).into_iter().map(shown).collect()
    }

    #[test]
    fn rows_are_sorted() {
        for rows in [keyed::ROWS, keyless::ROWS] {
            assert!(rows.is_sorted_by(|a, b| a.name < b.name));
        }
        assert!(all().count() > 350);
    }

    #[test]
    fn three_numbers_say_where_keys_are() {
        let ranges = [
            ("get", (1, 1, 1)),
            ("mset", (1, -1, 2)),
            ("rename", (1, 2, 1)),
            ("bitop", (2, -1, 1)),
            ("blpop", (1, -2, 1)),
            ("sort", (1, 1, 1)),
            ("zunionstore", (1, 1, 1)),
            ("eval", (0, 0, 0)),
            ("ping", (0, 0, 0)),
        ];
        for (name, range) in ranges {
            assert_eq!(find(name).unwrap().key_range(), range, "{name}");
        }
        assert!(find("sort").unwrap().shown_flags().contains(&"movablekeys"));
        assert!(!find("lpop").unwrap().shown_flags().contains(&"movablekeys"));
    }

    #[test]
    fn keys_are_found_in_every_form_of_command() {
        let forms: &[(&str, &[&str])] = &[
            ("get a", &["a r"]),
            ("set a 1", &["a w"]),
            ("set a 1 ex 5 get", &["a r w"]),
            ("mset a 1 b 2", &["a w", "b w"]),
            ("copy a b", &["a r", "b w"]),
            ("rename a b", &["a r w", "b w"]),
            ("del a b c", &["a w", "b w", "c w"]),
            ("bitfield a get u8 0", &["a r"]),
            ("bitfield a get u8 0 set u8 0 1", &["a r w"]),
            ("blpop a b 0", &["a r w", "b r w"]),
            ("zunionstore d 2 a b weights 1 2", &["d w", "a r", "b r"]),
            ("zunionstore d 9 a b", &["d w"]),
            ("sort a by b get c store d", &["a r", "d w"]),
            ("xread count 1 streams a b 0 0", &["a r", "b r"]),
            ("georadius a 1 2 3 m store d", &["a r", "d w"]),
            ("eval s 2 a b c", &["a r w", "b r w"]),
            ("publish a b", &[]),
            ("ssubscribe a", &[]),
            ("ping", &[]),
        ];
        for (line, expected) in forms {
            assert_eq!(keys(line), *expected, "{line}");
        }
    }
}
