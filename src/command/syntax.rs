//! Reads a syntax line as Redis documents it: arity, key positions and the argument tree follow from it.
//!
//! `[...]` is optional, `<a | b>` is one of several, `...` repeats what stands before it in its
//! brackets, upper case is a token that is sent as it is. A line that does not follow this grammar is
//! a mistake in the table; its brackets are closed at its end. What a command does with its arguments
//! is not known here.

use super::args::is;
use super::{Command, Run};
use crate::resp::request::Args;

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
    /// First, last and step as COMMAND INFO shows them; zeros without a fixed place.
    pub fn range(self) -> (i64, i64, i64) {
        match self {
            Keys::None | Keys::Every => (0, 0, 0),
            Keys::One(at) => (at as i64, at as i64, 1),
            Keys::Range { first, last, step } => (first as i64, last.into(), step as i64),
        }
    }

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

/// One argument, or a group of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The token that comes before it.
    pub token: Option<&'static str>,
    /// What it is.
    pub kind: Kind,
    /// Whether it may be left out.
    pub is_optional: bool,
    /// Whether it may come several times.
    pub is_multiple: bool,
    /// Whether the token comes each time.
    pub repeats_token: bool,
}

/// What an [`Item`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A word of the client's choice, by its name.
    Argument(&'static str),
    /// Nothing but the token.
    Token,
    /// One of these.
    OneOf(Vec<Item>),
    /// These, one after the other.
    Block(Vec<Item>),
}

/// Words that stand for a name in the syntax lines of commands.
const KEY_WORDS: &[&str] =
    &["key", "key1", "key2", "newkey", "source", "destination", "destkey", "sourcekey"];

/// The word for a name where `key` is that of a pair.
const NAMESPACE: &str = "namespace";

/// Reads a syntax line.
pub fn parse(line: &'static str) -> Vec<Item> {
    Parser { words: words(line).collect(), at: 0 }.sequence()
}

/// Redis's arity of a command: exact, or negative if more arguments may follow.
pub fn arity(command: &Command) -> i32 {
    let name_words = command.name.split(' ').count() as i32;
    if command.flags.any_arguments {
        return -name_words;
    }
    if matches!(command.run, Run::Container) {
        return -2;
    }
    let (least, most) = sum(&parse(command.syntax));
    let least_words = name_words + least as i32;
    if most == Some(least) { least_words } else { -least_words }
}

/// Where a command's names are.
pub fn keys(command: &Command) -> Keys {
    if command.flags.every_name {
        return Keys::Every;
    }
    let items = parse(command.syntax);
    let is_name = names_in(&items);
    let mut at = command.name.split(' ').count();
    for (number, item) in items.iter().enumerate() {
        let (len, _) = item.len();
        let Some(step) = item.name_step(is_name) else {
            at += len;
            continue;
        };
        let first = at + usize::from(item.token.is_some());
        // Names that may be left out follow others, as with PFMERGE.
        let is_one = |item: &&Item| {
            let may_come = Item { is_optional: false, ..(*item).clone() };
            item.name_step(is_name).is_some()
                || item.is_multiple && may_come.name_step(is_name).is_some()
        };
        let run = items[number..].iter().take_while(is_one);
        let (run, after) = items[number..].split_at(run.count());
        let is_open = run.iter().any(|item| item.is_multiple);
        return match (is_open, run.len()) {
            // What follows an open end must be fixed, or the names could not be told from it.
            (true, _) => Keys::Range { first, last: -1 - sum(after).0 as i32, step },
            (false, 1) => Keys::One(first),
            (false, more) => Keys::Range { first, last: (first + more - 1) as i32, step: 1 },
        };
    }
    Keys::None
}

/// Where the first key of a pair is among the arguments of a command with one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairKey {
    /// Nowhere.
    None,
    /// Right behind the name, which is here.
    At(usize),
    /// Behind FIELDS and the number of them.
    Fields,
}

impl PairKey {
    /// Its place in `args`; `None` if it is not there. In a request before this one, which may be alike,
    /// it was at `last`.
    #[inline(always)]
    pub fn place(self, args: Args<'_>, last: usize) -> Option<usize> {
        let at = match self {
            PairKey::At(at) => at,
            PairKey::Fields => behind_fields(args, last)?,
            PairKey::None => return None,
        };
        (at < args.len()).then_some(at)
    }
}

fn behind_fields(args: Args<'_>, last: usize) -> Option<usize> {
    let is_there = |at: &usize| is(args.get(*at), "FIELDS");
    // A value can be written like it; then it is not this key that is looked at ahead.
    let guess = last.checked_sub(2).filter(|at| (2..args.len()).contains(at) && is_there(at));
    let at = guess.or_else(|| (2..args.len()).find(is_there))?;
    Some(at + 2)
}

/// Where a command's first key of a pair is.
pub fn pair_key(command: &Command) -> PairKey {
    let has_fields = parse(command.syntax).iter().any(|item| item.token == Some("FIELDS"));
    match (pair_at(command), has_fields) {
        (Some(at), _) => PairKey::At(at),
        (None, true) => PairKey::Fields,
        (None, false) => PairKey::None,
    }
}

/// Where it is, if it stands right behind the one name.
fn pair_at(command: &Command) -> Option<usize> {
    const PAIR_WORDS: &[&str] = &["field", "key"];
    let Keys::One(name_at) = keys(command) else { return None };
    let words = command.name.split(' ').count();
    let items = parse(command.syntax);
    let mut item = items.get(name_at + 1 - words)?;
    while let Item { token: None, kind: Kind::Block(items), is_optional: false, .. } = item {
        item = items.first()?;
    }
    match item {
        Item { token: None, kind: Kind::Argument(word), is_optional: false, .. } => {
            PAIR_WORDS.contains(word).then_some(name_at + 1)
        }
        _ => None,
    }
}

/// Whether a word stands for a name in this line.
pub fn names_in(items: &[Item]) -> fn(&str) -> bool {
    fn has_namespace(item: &Item) -> bool {
        match &item.kind {
            Kind::Block(items) => items.iter().any(has_namespace),
            kind => *kind == Kind::Argument(NAMESPACE),
        }
    }
    if items.iter().any(has_namespace) {
        |word| word == NAMESPACE
    } else {
        |word| KEY_WORDS.contains(&word)
    }
}

impl Item {
    /// Its name in COMMAND DOCS.
    pub fn name(&self) -> String {
        let join = |items: &[Item]| items.iter().map(Item::name).collect::<Vec<_>>().join("-");
        match &self.kind {
            Kind::Argument(name) => (*name).to_owned(),
            Kind::Token => self.token.unwrap_or_default().to_ascii_lowercase(),
            Kind::OneOf(items) | Kind::Block(items) => join(items),
        }
    }

    /// The fewest and the most words; the most is `None` if there is no limit.
    fn len(&self) -> (usize, Option<usize>) {
        let (least, most) = match &self.kind {
            Kind::Argument(_) => (1, Some(1)),
            Kind::Token => (0, Some(0)),
            Kind::Block(items) => sum(items),
            Kind::OneOf(items) => {
                let least = items.iter().map(|item| item.len().0).min().unwrap_or(0);
                let most = items
                    .iter()
                    .map(|item| item.len().1)
                    .max_by_key(|most| most.map_or(usize::MAX, |most| most));
                (least, most.unwrap_or(Some(0)))
            }
        };
        let token = usize::from(self.token.is_some());
        let least = if self.is_optional { 0 } else { least + token };
        (least, most.map(|most| most + token).filter(|_| !self.is_multiple))
    }

    /// If names stand here whatever else is sent: how far each is from the next.
    fn name_step(&self, is_name: fn(&str) -> bool) -> Option<usize> {
        match &self.kind {
            _ if self.is_optional => None,
            Kind::Argument(word) => is_name(word).then_some(1),
            Kind::Block(items) => items.first()?.name_step(is_name).map(|_| sum(items).0),
            Kind::Token | Kind::OneOf(_) => None,
        }
    }

    fn new(kind: Kind) -> Item {
        Item { token: None, kind, is_optional: false, is_multiple: false, repeats_token: false }
    }

    /// Several items as one.
    fn group(mut items: Vec<Item>) -> Item {
        match items.len() {
            1 => items.remove(0),
            _ => Item::new(Kind::Block(items)),
        }
    }
}

fn sum(items: &[Item]) -> (usize, Option<usize>) {
    items.iter().map(Item::len).fold((0, Some(0)), |(least, most), (item_least, item_most)| {
        (least + item_least, most.and_then(|most| Some(most + item_most?)))
    })
}

struct Parser {
    words: Vec<&'static str>,
    at: usize,
}

impl Parser {
    /// Items up to a bracket that closes, a bar, or the end.
    fn sequence(&mut self) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        while let Some(&word) = self.words.get(self.at) {
            match word {
                "]" | ">" | "|" | "..." => break,
                "[" => {
                    let (item, repeats) = self.group();
                    if !(repeats && fold_repetition(&mut items, &item)) {
                        items.push(Item { is_optional: true, ..item });
                    }
                }
                "<" => items.push(self.group().0),
                _ if is_token(word) => items.push(self.token(word)),
                _ => {
                    self.at += 1;
                    items.push(Item::new(Kind::Argument(word)));
                }
            }
        }
        items
    }

    /// What stands in brackets, and whether it repeats.
    fn group(&mut self) -> (Item, bool) {
        self.at += 1;
        let mut alternatives = vec![Item::group(self.sequence())];
        while self.words.get(self.at) == Some(&"|") {
            self.at += 1;
            alternatives.push(Item::group(self.sequence()));
        }
        let repeats = self.words.get(self.at) == Some(&"...");
        self.at += 1 + usize::from(repeats);
        let item = match alternatives.len() {
            1 => alternatives.remove(0),
            _ => Item::new(Kind::OneOf(alternatives)),
        };
        (Item { is_multiple: item.is_multiple || repeats, ..item }, repeats)
    }

    /// A token, and the argument it announces.
    fn token(&mut self, token: &'static str) -> Item {
        self.at += 1;
        let announced = match self.words.get(self.at) {
            Some(&"<") => self.group().0,
            Some(&word) if is_argument(word) => {
                self.at += 1;
                Item::new(Kind::Argument(word))
            }
            _ => Item::new(Kind::Token),
        };
        Item { token: Some(token), ..announced }
    }
}

/// If `repeated` is what `items` end with, that part may come several times.
fn fold_repetition(items: &mut Vec<Item>, repeated: &Item) -> bool {
    let once = Item { is_multiple: false, ..repeated.clone() };
    let parts = match &once.kind {
        Kind::Block(parts) if once.token.is_none() => parts.as_slice(),
        _ => std::slice::from_ref(&once),
    };
    let Some(start) = items.len().checked_sub(parts.len()) else { return false };
    let is_whole = items[start..] == *parts;
    let is_value = parts.len() == 1 && parts[0].token.is_none() && items[start].kind == once.kind;
    if !is_whole && !is_value {
        return false;
    }
    let last = Item::group(items.split_off(start));
    let repeats_token = is_whole && last.token.is_some();
    items.push(Item { is_multiple: true, repeats_token, ..last });
    true
}

fn is_token(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_uppercase())
        && !word.contains(|c: char| c.is_ascii_lowercase())
}

fn is_argument(word: &str) -> bool {
    !is_token(word) && !matches!(word, "[" | "]" | "<" | ">" | "|" | "...")
}

/// Words and brackets, one by one.
fn words(syntax: &'static str) -> impl Iterator<Item = &'static str> {
    syntax.split_whitespace().flat_map(|word| {
        let opening = word.len() - word.trim_start_matches(['[', '<']).len();
        let core = word.trim_start_matches(['[', '<']).trim_end_matches([']', '>']);
        let closing = word.len() - opening - core.len();
        let (open, rest) = word.split_at(opening);
        let (core, close) = rest.split_at(rest.len() - closing);
        open.split("").chain([core]).chain(close.split("")).filter(|part| !part.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(
        _: &mut crate::dispatch::Context<'_, '_>,
        _: crate::resp::request::Args<'_>,
        _: &mut crate::reply::Reply<'_>,
    ) -> crate::error::Result {
        Ok(())
    }

    fn of(name: &'static str, line: &'static str) -> (i32, Keys) {
        let command = Command::session(name, line, nothing);
        (arity(&command), keys(&command))
    }

    #[test]
    fn arity_and_keys_follow_from_the_line() {
        let range = |first, last, step| Keys::Range { first, last, step };
        let lines = [
            ("PING", "[message]", -1, Keys::None),
            ("TIME", "", 1, Keys::None),
            ("GET", "key", 2, Keys::One(1)),
            ("DEL", "key [key ...]", -2, range(1, -1, 1)),
            ("MSET", "key value [key value ...]", -3, range(1, -1, 2)),
            ("RENAME", "key newkey", 3, range(1, 2, 1)),
            ("COPY", "source destination [DB destination-db] [REPLACE]", -3, range(1, 2, 1)),
            ("BITOP", "<AND | OR | XOR | NOT> destkey key [key ...]", -4, range(2, -1, 1)),
            ("PFMERGE", "destkey [sourcekey [sourcekey ...]]", -2, range(1, -1, 1)),
            ("BLPOP", "key [key ...] timeout", -3, range(1, -2, 1)),
            ("SET", "key value [NX | XX] [GET] [EX seconds | KEEPTTL]", -3, Keys::One(1)),
            (
                "HSETEX",
                "key [FNX | FXX] FIELDS numfields field value [field value ...]",
                -6,
                Keys::One(1),
            ),
            ("OBJECT ENCODING", "key", 3, Keys::One(2)),
            ("NAMESPACE GET", "namespace key", 4, Keys::One(2)),
            ("CLIENT NO-EVICT", "<ON | OFF>", 3, Keys::None),
            ("CLIENT SETINFO", "<LIB-NAME libname | LIB-VER libver>", 4, Keys::None),
            (
                "X",
                "<ip:port | <ID id | TYPE <A | B>> [<ID id | TYPE <A | B>> ...]>",
                -2,
                Keys::None,
            ),
            ("HELLO", "[protover [AUTH username password] [SETNAME clientname]]", -1, Keys::None),
            ("CONFIG SET", "parameter value [parameter value ...]", -4, Keys::None),
        ];
        for (name, line, arity, keys) in lines {
            assert_eq!(of(name, line), (arity, keys), "{name} {line}");
        }
    }

    #[test]
    fn tokens_announce_arguments() {
        let items =
            parse("[MATCH pattern] [GET field [GET field ...]] [ID id [id ...]] [ASC | DESC]");
        let [pattern, get, id, order] = items.as_slice() else { panic!("{items:?}") };
        assert_eq!((pattern.token, pattern.is_optional), (Some("MATCH"), true));
        assert!(get.is_multiple && get.repeats_token && get.is_optional, "{get:?}");
        assert!(id.is_multiple && !id.repeats_token && id.token == Some("ID"), "{id:?}");
        assert_eq!(order.name(), "asc-desc");
    }

    #[test]
    fn positions_stop_at_the_last_argument() {
        let range = |last, step| Keys::Range { first: 1, last, step };
        assert_eq!(range(-1, 2).positions(5).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(range(-2, 1).positions(4).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(range(2, 1).positions(2).collect::<Vec<_>>(), [1]);
        assert_eq!(Keys::Every.positions(9).count(), 0);
    }
}
