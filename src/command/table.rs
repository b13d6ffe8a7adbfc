//! All commands, ready for look-up: every row with what follows from it.
//!
//! What a row can say is in [`super::row`], what its syntax line means in [`super::syntax`].

use std::sync::{LazyLock, OnceLock};

use anyhow::bail;

use super::redis::{self, Known};
use super::{Command, FAMILIES, Family, Flags, Keys, PairKey, Run, Touches, scripting, syntax};
use crate::store::Hold;

/// A row with what was derived from it.
#[derive(Debug)]
pub struct Spec {
    /// The row.
    pub command: &'static Command,
    /// Its family.
    pub family: &'static Family,
    /// Redis's arity: exact if positive, at least `-arity` if negative; the name counts.
    pub arity: i32,
    /// Where the names are in its arguments.
    pub keys: Keys,
    /// Where the first key of a pair is.
    pub pair_key: PairKey,
    /// Whether its work is bounded by its own length and what it names, so that others may wait for it.
    pub is_brief: bool,
    /// Whether the number of its names is its second argument, as of EVAL.
    pub numbers_names: bool,
    /// See [`Spec::hold`].
    hold: Hold,
    /// With so many arguments it puts one pair and does nothing else.
    one_pair_args: Option<usize>,
    /// Whether it stands under a container.
    pub is_subcommand: bool,
    /// Whether scripts may not call it.
    pub is_refused_in_scripts: bool,
    /// Whether it runs while a script is busy.
    pub is_allowed_while_busy: bool,
    /// Its place in [`Table::specs`], for counters.
    pub index: usize,
    /// Lower case, `client|id` for a subcommand.
    pub full_name: String,
    /// What clients call it, in upper case; empty for a subcommand.
    called: String,
    /// Places of its subcommands in [`Table::specs`].
    pub subcommands: Vec<usize>,
}

impl Spec {
    /// Whether `args` may be the number of arguments, the name included.
    #[inline]
    pub fn accepts(&self, args: usize) -> bool {
        if self.arity >= 0 { args == self.arity as usize } else { args >= -self.arity as usize }
    }

    /// How it holds the stripe of its one name when it has so many arguments.
    #[inline]
    pub fn hold(&self, args: usize) -> Hold {
        if self.one_pair_args == Some(args) { Hold::Pairs } else { self.hold }
    }

    /// Whether `name` is its name, in any case.
    fn has_name(&self, name: &[u8]) -> bool {
        self.called.as_bytes().eq_ignore_ascii_case(name)
    }

    /// Whether it can change data.
    pub fn is_write(&self) -> bool {
        matches!(self.command.run, Run::Write(_)) || self.command.flags.touches == Touches::Writes
    }

    /// Whether a pause of writes holds it up.
    pub fn may_replicate(&self) -> bool {
        self.is_write() || self.command.flags.may_replicate
    }

    /// Redis's names for its flags.
    pub fn flag_names(&self) -> Vec<&'static str> {
        let Flags { denyoom, admin, loading, fast, no_auth, no_multi, touches, .. } =
            self.command.flags;
        let is_read = matches!(self.command.run, Run::Read(_)) || touches == Touches::Reads;
        let is_container = matches!(self.command.run, Run::Container);
        let is_pubsub = self.family.group == "pubsub" && !is_container;
        let flags = [
            (self.is_write(), "write"),
            (is_read, "readonly"),
            (denyoom, "denyoom"),
            (admin, "admin"),
            (loading, "loading"),
            (fast, "fast"),
            (no_auth, "no_auth"),
            (no_multi, "no_multi"),
            (is_pubsub && !self.full_name.ends_with("help"), "pubsub"),
            (self.is_refused_in_scripts, "noscript"),
            (self.is_allowed_while_busy, "allow_busy"),
            (redis::find(&self.full_name).is_some_and(Known::has_movable_keys), "movablekeys"),
        ];
        flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect()
    }

    /// ACL categories, without `@`.
    pub fn categories(&self) -> Vec<&'static str> {
        let Flags { admin, fast, .. } = self.command.flags;
        let is_container = matches!(self.command.run, Run::Container);
        // What administrators alone may do must not come with the right to read or write pairs.
        let is_for_all = !admin || self.command.like.is_empty();
        let is_of_family = !is_container && !self.family.category.is_empty();
        let categories = [
            (is_of_family && is_for_all, self.family.category),
            (matches!(self.command.run, Run::Read(_)), "read"),
            (self.is_write() && is_for_all, "write"),
            (admin, "admin"),
            (admin, "dangerous"),
            (fast, "fast"),
            (!fast, "slow"),
        ];
        let derived = categories.iter().filter(|(is_in, _)| *is_in).map(|(_, name)| *name);
        derived.chain(self.command.also.iter().copied()).collect()
    }
}

/// All commands, ready for look-up.
#[derive(Debug)]
pub struct Table {
    /// Containers and their subcommands included, in the order of the families.
    pub specs: Vec<Spec>,
    /// Open addressing; its length is a power of two and larger than the number of commands.
    slots: Vec<Option<(Folded, u16)>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

/// Old and new names of commands, from `rename-command`.
static RENAMED: OnceLock<Vec<(String, String)>> = OnceLock::new();

/// Gives commands other names; an empty one takes the command away. Must come before the first use of
/// the table.
///
/// # Errors
/// Redis's texts, for names that are not there or already there.
pub fn rename(names: &[(String, String)]) -> anyhow::Result<()> {
    let mut known: Vec<String> = FAMILIES
        .iter()
        .flat_map(|family| family.commands)
        .filter(|command| !command.name.contains(' '))
        .map(|command| command.name.to_owned())
        .collect();
    for (old, new) in names {
        let at = known.iter().position(|name| name.eq_ignore_ascii_case(old));
        let Some(at) = at else { bail!("rename-command {old}: No such command in rename-command") };
        known.swap_remove(at);
        if known.iter().any(|name| name.eq_ignore_ascii_case(new)) {
            bail!("rename-command {old} {new}: Target command name already exists");
        }
        if !new.is_empty() {
            known.push(new.clone());
        }
    }
    let _ = RENAMED.set(names.to_vec());
    Ok(())
}

/// What a command is called now; `None` if there is no such command any more.
fn called(name: &str) -> Option<String> {
    let mut name = name.to_owned();
    for (old, new) in RENAMED.get().into_iter().flatten() {
        if name.eq_ignore_ascii_case(old) {
            name = new.to_ascii_uppercase();
        }
    }
    (!name.is_empty()).then_some(name)
}

/// The table of all commands.
pub fn table() -> &'static Table {
    &TABLE
}

impl Table {
    fn build() -> Table {
        let rows =
            FAMILIES.iter().flat_map(|family| family.commands.iter().map(move |c| (c, family)));
        let mut specs: Vec<Spec> = rows
            .enumerate()
            .map(|(index, (command, family))| {
                let (keys, pair_key) = (syntax::keys(command), syntax::pair_key(command));
                let is_of_values = pair_key != PairKey::None || family.category == "string";
                Spec {
                    command,
                    family,
                    arity: syntax::arity(command),
                    keys,
                    pair_key,
                    is_brief: matches!(keys, Keys::One(_)) && is_of_values,
                    numbers_names: command.syntax.split(' ').nth(1) == Some("numkeys"),
                    hold: match command.run {
                        Run::Read(_) => Hold::Shared,
                        _ => Hold::Alone,
                    },
                    one_pair_args: match pair_key {
                        PairKey::At(key_at) if command.flags.puts_pairs => Some(key_at + 2),
                        _ => None,
                    },
                    is_subcommand: command.name.contains(' '),
                    is_refused_in_scripts: scripting::is_refused_in_scripts(command.name),
                    is_allowed_while_busy: scripting::is_allowed_while_busy(command.name),
                    index,
                    full_name: command.name.to_ascii_lowercase().replace(' ', "|"),
                    called: String::new(),
                    subcommands: Vec::new(),
                }
            })
            .collect();
        let mut slots = vec![None; (specs.len() * 4).next_power_of_two()];
        for index in 0..specs.len() {
            let name = specs[index].command.name;
            if let Some((container, _)) = name.split_once(' ') {
                let at = specs.iter().position(|spec| spec.command.name == container);
                if let Some(at) = at {
                    specs[at].subcommands.push(index);
                }
                continue;
            }
            let Some(name) = called(name) else { continue };
            let folded = Folded::new(name.as_bytes());
            specs[index].called = name;
            let mut slot = folded.slot(slots.len());
            while slots[slot].is_some() {
                slot = (slot + 1) % slots.len();
            }
            slots[slot] = Some((folded, index as u16));
        }
        Table { specs, slots }
    }

    /// The command (not the subcommand) with this name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&Spec> {
        let wanted = Folded::new(name);
        let mut slot = wanted.slot(self.slots.len());
        while let Some((folded, index)) = &self.slots[slot] {
            if *folded == wanted {
                let spec = &self.specs[*index as usize];
                // What is longer than a folded name holds was not compared.
                let is_it = name.len() <= Folded::BYTES_MAX || spec.has_name(name);
                return is_it.then_some(spec);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        None
    }

    /// The command whose row has this name, in upper case, whatever clients call it.
    #[inline]
    pub fn find_own(&self, name: &[u8]) -> Option<&Spec> {
        if RENAMED.get().is_none_or(Vec::is_empty) {
            return self.find(name);
        }
        self.specs.iter().find(|spec| spec.command.name.as_bytes() == name)
    }

    /// A command by its full name in any case, `config|get` for example.
    pub fn find_full(&self, name: &[u8]) -> Option<&Spec> {
        let Some(at) = name.iter().position(|&byte| byte == b'|') else { return self.find(name) };
        self.find_subcommand(self.find(&name[..at])?, &name[at + 1..])
    }

    /// The subcommand of `container` with this name, in any case.
    pub fn find_subcommand(&self, container: &Spec, name: &[u8]) -> Option<&Spec> {
        let prefix = container.command.name.len() + 1;
        let full_len = prefix + name.len();
        let named = |spec: &&Spec| {
            let full = spec.command.name.as_bytes();
            // Most differ in that.
            full.len() == full_len && full[prefix..].eq_ignore_ascii_case(name)
        };
        container.subcommands.iter().map(|&index| &self.specs[index]).find(named)
    }
}

/// A name with its letters in one case, for quick comparison: its ends, which overlap in short names,
/// and its length. Equal for names that differ in case only; a name of letters equals no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Folded {
    first: u64,
    last: u64,
    len: usize,
}

impl Folded {
    /// Names up to this length are compared whole.
    const BYTES_MAX: usize = 16;
    /// Turns upper case letters into lower case ones, and nothing else into a letter.
    const LOWER: u64 = 0x2020_2020_2020_2020;

    #[inline]
    fn new(name: &[u8]) -> Folded {
        let (first, last) =
            if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
                (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
            } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
                (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
            } else {
                (name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0)
            };
        Folded { first: first | Self::LOWER, last: last | Self::LOWER, len: name.len() }
    }

    #[inline]
    fn slot(self, slots: usize) -> usize {
        let mixed = (self.first ^ self.last.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as usize & (slots - 1)
    }
}
