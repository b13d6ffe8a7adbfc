//! All commands that rules can name: this server's and those of Redis that it does not have.
//!
//! An entry's place is its bit in the rights of a user; this server's commands come first, in the order
//! of the command table, so that a command knows its bit.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::command::redis::{self, Access, Known};
use crate::command::{self, Spec};
use crate::resp::request::Args;

/// Redis's categories, in its order.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// One command.
#[derive(Debug)]
pub struct Entry {
    /// Lower case, `config|get` for a subcommand.
    pub name: String,
    /// One bit for each of [`CATEGORIES`].
    categories: u32,
    /// Exact if positive, at least `-arity` if negative.
    pub arity: i32,
    /// Anybody may run it.
    pub is_free: bool,
    /// Its container's place.
    pub parent: Option<usize>,
    /// Places of its subcommands.
    pub children: Vec<usize>,
    spec: Option<&'static Spec>,
    known: Option<&'static Known>,
    /// The place of the command whose rights are those of this one: its own, but for what Redis lacks.
    pub rights: usize,
}

/// All of them.
#[derive(Debug)]
pub struct Catalog {
    /// This server's first.
    pub entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::build);

/// The catalog.
pub fn catalog() -> &'static Catalog {
    &CATALOG
}

/// The bit of a category, in any case.
pub fn category(name: &[u8]) -> Option<u32> {
    CATEGORIES
        .iter()
        .position(|known| known.as_bytes().eq_ignore_ascii_case(name))
        .map(|at| 1 << at)
}

fn categories<'a>(names: impl Iterator<Item = &'a str>) -> u32 {
    names.filter_map(|name| category(name.as_bytes())).fold(0, |all, one| all | one)
}

impl Catalog {
    fn build() -> Catalog {
        let ours = command::table().specs.iter().map(|spec| Entry {
            name: spec.full_name.clone(),
            categories: categories(spec.categories().into_iter()),
            arity: spec.arity,
            is_free: spec.command.flags.no_auth,
            parent: None,
            children: Vec::new(),
            spec: Some(spec),
            known: redis::find(&spec.full_name),
            rights: spec.index,
        });
        let mut entries: Vec<Entry> = ours.collect();
        let mut by_name: HashMap<String, usize> =
            entries.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at)).collect();
        for known in redis::all() {
            if by_name.contains_key(known.name) {
                continue;
            }
            by_name.insert(known.name.to_owned(), entries.len());
            entries.push(Entry {
                name: known.name.to_owned(),
                categories: categories(known.categories.split(' ')),
                arity: known.arity,
                is_free: known.flags.split(' ').any(|flag| flag == "no_auth"),
                parent: None,
                children: Vec::new(),
                spec: None,
                known: Some(known),
                rights: entries.len(),
            });
        }
        for at in 0..entries.len() {
            let container = entries[at].name.split_once('|').map(|(container, _)| container);
            if let Some(&parent) = container.and_then(|container| by_name.get(container)) {
                entries[at].parent = Some(parent);
                entries[parent].children.push(at);
            }
            let like = entries[at].spec.map_or("", |spec| spec.command.like).to_ascii_lowercase();
            if let Some(&rights) = by_name.get(&like) {
                entries[at].rights = rights;
            }
        }
        Catalog { entries, by_name }
    }

    /// The place of a command, by its full name in any case.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        self.by_name.get(&name).copied()
    }

    /// The place of the command that these arguments are.
    pub fn find_in(&self, args: Args<'_>) -> Option<usize> {
        let at = self.find(args.get(0))?;
        if self.entries[at].children.is_empty() || args.len() < 2 {
            return Some(at);
        }
        let name = [self.entries[at].name.as_bytes(), b"|", args.get(1)].concat();
        // DEBUG's words are no subcommands to Redis.
        let is_open =
            redis::find(&self.entries[at].name).is_some_and(|known| known.name == "debug");
        self.find(&name).or(is_open.then_some(at))
    }

    /// Places of all commands of a category.
    pub fn of(&self, category: u32) -> impl Iterator<Item = usize> {
        (0..self.entries.len()).filter(move |&at| self.entries[at].categories & category != 0)
    }
}

impl Entry {
    /// Whether `args` may be the number of arguments, the name included.
    pub fn accepts(&self, args: usize) -> bool {
        match usize::try_from(self.arity) {
            Ok(arity) => args == arity,
            Err(_) => args >= self.arity.unsigned_abs() as usize,
        }
    }

    /// Whether what stands behind `|` in a rule is one of its subcommands, and not any argument.
    pub fn has_subcommands(&self) -> bool {
        !self.children.is_empty() && self.name != "debug"
    }

    /// Places of the keys in a command with these arguments, and what it does with them.
    pub fn keys_in(&self, args: Args<'_>) -> Vec<(usize, Access)> {
        if let Some(known) = self.known {
            return known.keys_in(args);
        }
        let Some(spec) = self.spec else { return Vec::new() };
        let like = catalog().entries[self.rights].known.and_then(|known| known.keys.first());
        let access = like.map_or(Access { read: true, write: spec.is_write() }, |key| key.access());
        spec.keys.positions(args.len()).map(|at| (at, access)).collect()
    }

    /// Whether any of its arguments can be a key.
    pub fn has_keys(&self) -> bool {
        match (self.known, self.spec) {
            (Some(known), _) => known.has_keys(),
            (None, spec) => spec.is_some_and(|spec| spec.keys.range().0 > 0),
        }
    }

    /// Places of the keys in a command with these arguments, and Redis's words for what it does with
    /// them; `None` if the arguments do not say which they are.
    pub fn flagged_keys_in(&self, args: Args<'_>) -> Option<Vec<(usize, Vec<&'static str>)>> {
        if let Some(known) = self.known {
            return known.flagged_keys_in(args);
        }
        let spec = self.spec?;
        let words = match spec.is_write() {
            true => ["RW", "access", "update"].as_slice(),
            false => &["RO", "access"],
        };
        Some(spec.keys.positions(args.len()).map(|at| (at, words.to_vec())).collect())
    }

    /// Places of the channels in a command with these arguments, and whether they are patterns.
    pub fn channels_in(&self, args: Args<'_>) -> (std::ops::Range<usize>, bool) {
        match self.name.as_str() {
            "publish" | "spublish" => (1..args.len().min(2), false),
            "subscribe" | "ssubscribe" => (1..args.len(), false),
            "psubscribe" => (1..args.len(), true),
            _ => (0..0, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_servers_commands_come_first() {
        let catalog = catalog();
        for spec in &command::table().specs {
            assert_eq!(catalog.entries[spec.index].name, spec.full_name);
            assert_eq!(catalog.find(spec.full_name.as_bytes()), Some(spec.index));
        }
        for name in ["lpush", "xgroup|create", "SORT", "config|get"] {
            assert!(catalog.find(name.as_bytes()).is_some(), "{name}");
        }
        assert!(catalog.find(b"nosuch").is_none());
    }

    #[test]
    fn what_redis_lacks_has_the_rights_of_what_it_has() {
        let catalog = catalog();
        let at = catalog.find(b"namespace|get").unwrap();
        assert_eq!(catalog.entries[catalog.entries[at].rights].name, "hget");
    }
}
