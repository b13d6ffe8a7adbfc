//! Reads a syntax line: arity and key positions follow from it.
//!
//! Words are separated by blanks; `[...]` is optional and `...` after a word or group inside it means
//! repetition, as in Redis's documentation. How a command uses its arguments is not known here.

use super::{Command, Run};

/// Where names stand among a command's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// Nowhere.
    None,
    /// At one place (the command's name is at 0).
    One(usize),
    /// From `first` to `last` (negative: counted from the end) in steps of `step`.
    Range {
        /// The first.
        first: usize,
        /// The last; -1 is the last argument.
        last: i32,
        /// Distance from one to the next.
        step: usize,
    },
    /// All names of the store, whatever the arguments are.
    Every,
}

impl Keys {
    /// Places of the names in a command of `args` arguments.
    pub fn positions(self, args: usize) -> impl Iterator<Item = usize> {
        let (first, last, step) = match self {
            Keys::None | Keys::Every => (1, 0, 1),
            Keys::One(at) => (at, at, 1),
            Keys::Range { first, last, step } if last < 0 => {
                (first, (args as i64 + i64::from(last)).max(0) as usize, step)
            }
            Keys::Range { first, last, step } => (first, last as usize, step),
        };
        (first..=last).step_by(step).filter(move |&at| at < args)
    }
}

/// Words that stand for a name in the syntax lines of commands.
const KEY_WORDS: &[&str] = &["key", "newkey", "source", "destination", "namespace"];

/// Redis's arity of a command: exact, or negative if more arguments may follow.
pub fn arity(command: &Command) -> i32 {
    let name_words = command.name.split(' ').count() as i32;
    if matches!(command.run, Run::Container) {
        return -2;
    }
    let mut required = 0;
    let mut depth = 0;
    let mut is_open = false;
    for word in words(command.syntax) {
        match word {
            "[" => {
                depth += 1;
                is_open = true;
            }
            "]" => depth -= 1,
            "|" if depth == 0 => required -= 1,
            "<" | ">" => {}
            _ if depth == 0 => required += 1,
            _ => {}
        }
    }
    let least = name_words + required;
    if is_open { -least } else { least }
}

/// Where a command's names are.
pub fn keys(command: &Command) -> Keys {
    if command.flags.every_name {
        return Keys::Every;
    }
    let first = command.name.split(' ').count();
    let all: Vec<&str> = words(command.syntax).collect();
    let is_key = |at: usize| all.get(at).is_some_and(|word| KEY_WORDS.contains(word));
    let Some(offset) = (0..all.len()).take_while(|&at| all[at] != "[").find(|&at| is_key(at))
    else {
        return Keys::None;
    };
    let first = first + offset;
    if is_key(offset + 1) {
        return Keys::Range { first, last: first as i32 + 1, step: 1 };
    }
    // `key [key ...]` and `key value [key value ...]` repeat from the first name to the end.
    let step = all[offset..].iter().position(|&word| word == "[").unwrap_or(0);
    let repeats = step > 0 && is_key(offset + step + 1) && all[offset..].contains(&"...");
    if repeats { Keys::Range { first, last: -1, step } } else { Keys::One(first) }
}

/// Words and brackets, one by one.
fn words(syntax: &str) -> impl Iterator<Item = &str> {
    syntax.split(' ').flat_map(|word| {
        let opening = word.len() - word.trim_start_matches(['[', '<']).len();
        let core = word.trim_start_matches(['[', '<']).trim_end_matches([']', '>']);
        let closing = word.len() - opening - core.len();
        let (open, rest) = word.split_at(opening);
        let (core, close) = rest.split_at(rest.len() - closing);
        open.split("").chain([core]).chain(close.split("")).filter(|part| !part.is_empty())
    })
}
