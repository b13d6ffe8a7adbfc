//! The command table: what the server can do, one family a file, its rows on top.
//!
//! A row has the command's name, the syntax line that Redis documents, its handler and a sentence.
//! Everything else about a command follows from its row: arity and keys from the syntax line, what
//! it may touch from the handler's type. To add a command, add one row and one function to a family.

mod acl;
mod admin;
pub mod args;
mod bitfield;
mod bitmap;
mod client;
mod config;
mod connection;
mod deadline;
mod debug;
mod dump;
mod expire;
mod function;
mod generic;
mod hash;
mod hash_expiry;
mod hash_random;
mod help;
mod hyperloglog;
mod info;
mod introspect;
mod keyspace;
mod latency;
mod lcs;
mod memory;
mod namespace;
mod namespace_lock;
mod namespace_many;
mod namespace_pair;
mod persistence;
mod pubsub;
pub mod redis;
mod replication;
mod scripting;
mod slowlog;
mod string;
pub mod syntax;
mod token;
mod tracking;
mod transaction;

use std::sync::{LazyLock, OnceLock};

use anyhow::bail;

use crate::dispatch::Context;
use crate::error::Result;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::View;

pub use client::client_line;
pub use syntax::{Keys, PairKeys};

/// All families. A new family adds a line.
pub const FAMILIES: &[Family] = &[
    acl::FAMILY,
    admin::FAMILY,
    bitfield::FAMILY,
    bitmap::FAMILY,
    client::FAMILY,
    config::FAMILY,
    connection::FAMILY,
    debug::FAMILY,
    dump::FAMILY,
    expire::FAMILY,
    function::FAMILY,
    generic::FAMILY,
    hash::FAMILY,
    hash_expiry::FAMILY,
    hyperloglog::FAMILY,
    info::FAMILY,
    introspect::FAMILY,
    keyspace::FAMILY,
    latency::FAMILY,
    lcs::FAMILY,
    memory::FAMILY,
    namespace::FAMILY,
    persistence::FAMILY,
    pubsub::FAMILY,
    replication::FAMILY,
    scripting::FAMILY,
    slowlog::FAMILY,
    string::FAMILY,
    token::FAMILY,
    transaction::FAMILY,
];

/// The version of Redis whose behaviour clients may expect.
pub const REDIS_VERSION: &str = "8.0.0";

/// Commands that belong together: one file, one ACL category.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Redis's group name in COMMAND DOCS, `hash` for example.
    pub group: &'static str,
    /// The ACL category its commands share, without `@`.
    pub category: &'static str,
    /// The rows, sorted by name.
    pub commands: &'static [Command],
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Upper case; a subcommand has its container's name before it: `CLIENT ID`.
    pub name: &'static str,
    /// What follows the name, as Redis documents it.
    pub syntax: &'static str,
    /// The handler.
    pub run: Run,
    /// The version of Redis that brought it, or of pantry for what Redis does not have.
    pub since: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// What the row says beyond name, syntax and handler.
    pub flags: Flags,
    /// ACL categories beyond the family's and the derived ones.
    pub also: &'static [&'static str],
    /// The command of Redis whose rights are needed; empty: this one's own.
    pub like: &'static str,
}

/// A handler. Its type says what it may touch.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// Reads names; can not change them.
    Read(fn(&View<'_>, Args<'_>, &mut Reply<'_>) -> Result),
    /// Changes names.
    Write(fn(&mut View<'_>, Args<'_>, &mut Reply<'_>) -> Result),
    /// Works on this connection or the server, not on names.
    Session(fn(&mut Context<'_, '_>, Args<'_>, &mut Reply<'_>) -> Result),
    /// Has subcommands and does nothing itself.
    Container,
}

/// What a row can say about its command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Constant or logarithmic time.
    pub fast: bool,
    /// Refused when memory is used up.
    pub denyoom: bool,
    /// Touches every name of a database, not those in its arguments.
    pub every_name: bool,
    /// Touches more of a namespace than the pairs in its arguments.
    pub whole: bool,
    /// Administrative.
    pub admin: bool,
    /// Allowed before authentication.
    pub no_auth: bool,
    /// Not allowed inside MULTI.
    pub no_multi: bool,
    /// Run at once inside MULTI instead of being queued.
    pub not_queued: bool,
    /// Allowed while the store is loading.
    pub loading: bool,
    /// Takes any number of arguments, although its syntax line names none.
    pub any_arguments: bool,
    /// Its replies are pushes, one for each argument, and never withheld.
    pub pushes: bool,
    /// Allowed to a RESP2 client that has subscribed to something.
    pub subscribed: bool,
    /// Reads or changes names or what is kept with them, though its handler is one for sessions.
    pub touches: Touches,
}

/// What a handler for sessions does to data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Touches {
    /// Nothing, or what its arguments say.
    #[default]
    Nothing,
    /// It reads.
    Reads,
    /// It changes something.
    Writes,
}

impl Command {
    /// A command that reads names.
    pub const fn read(
        name: &'static str,
        syntax: &'static str,
        handler: fn(&View<'_>, Args<'_>, &mut Reply<'_>) -> Result,
    ) -> Command {
        Command::new(name, syntax, Run::Read(handler))
    }

    /// A command that changes names.
    pub const fn write(
        name: &'static str,
        syntax: &'static str,
        handler: fn(&mut View<'_>, Args<'_>, &mut Reply<'_>) -> Result,
    ) -> Command {
        Command::new(name, syntax, Run::Write(handler))
    }

    /// A command for this connection or the server.
    pub const fn session(
        name: &'static str,
        syntax: &'static str,
        handler: fn(&mut Context<'_, '_>, Args<'_>, &mut Reply<'_>) -> Result,
    ) -> Command {
        Command::new(name, syntax, Run::Session(handler))
    }

    /// A command that only has subcommands, whose rows follow it.
    pub const fn container(name: &'static str) -> Command {
        Command::new(name, "", Run::Container)
    }

    const fn new(name: &'static str, syntax: &'static str, run: Run) -> Command {
        const NO_FLAGS: Flags = Flags {
            fast: false,
            denyoom: false,
            every_name: false,
            whole: false,
            admin: false,
            no_auth: false,
            no_multi: false,
            not_queued: false,
            loading: false,
            any_arguments: false,
            pushes: false,
            subscribed: false,
            touches: Touches::Nothing,
        };
        Command { name, syntax, run, since: "", about: "", flags: NO_FLAGS, also: &[], like: "" }
    }

    /// The version of Redis it came with, and one sentence.
    pub const fn about(mut self, since: &'static str, about: &'static str) -> Command {
        self.since = since;
        self.about = about;
        self
    }

    /// Takes constant or logarithmic time.
    pub const fn fast(mut self) -> Command {
        self.flags.fast = true;
        self
    }

    /// Is refused when memory is used up.
    pub const fn denies_oom(mut self) -> Command {
        self.flags.denyoom = true;
        self
    }

    /// Touches every name of a database, not those in its arguments.
    pub const fn every_name(mut self) -> Command {
        self.flags.every_name = true;
        self
    }

    /// Touches more of a namespace than the pairs in its arguments.
    pub const fn whole(mut self) -> Command {
        self.flags.whole = true;
        self
    }

    /// Is for administrators.
    pub const fn admin(mut self) -> Command {
        self.flags.admin = true;
        self
    }

    /// May be used before authentication.
    pub const fn no_auth(mut self) -> Command {
        self.flags.no_auth = true;
        self
    }

    /// Is refused inside MULTI.
    pub const fn no_multi(mut self) -> Command {
        self.flags.no_multi = true;
        self
    }

    /// Runs at once inside MULTI.
    pub const fn not_queued(mut self) -> Command {
        self.flags.not_queued = true;
        self
    }

    /// May be used while the store is loading.
    pub const fn while_loading(mut self) -> Command {
        self.flags.loading = true;
        self
    }

    /// Takes any number of arguments, although its syntax line names none.
    pub const fn any_arguments(mut self) -> Command {
        self.flags.any_arguments = true;
        self
    }

    /// Replies with a push for each argument, whatever CLIENT REPLY says; allowed to a RESP2 client that
    /// has subscribed to something.
    pub const fn replies_with_pushes(mut self) -> Command {
        self.flags.pushes = true;
        self.while_subscribed()
    }

    /// May be used by a RESP2 client that has subscribed to something.
    pub const fn while_subscribed(mut self) -> Command {
        self.flags.subscribed = true;
        self
    }

    /// Reads data, or changes it, though its handler is one for sessions.
    pub const fn touching(mut self, touches: Touches) -> Command {
        self.flags.touches = touches;
        self
    }

    /// Needs the rights of this command of Redis.
    pub const fn like(mut self, command: &'static str) -> Command {
        self.like = command;
        self
    }

    /// Has more ACL categories than its row implies.
    pub const fn also(mut self, categories: &'static [&'static str]) -> Command {
        self.also = categories;
        self
    }
}

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
    /// Where the key of a pair is, if it stands right behind the one name.
    pub pair_at: Option<usize>,
    /// Where the keys of all pairs are that it names.
    pub pair_keys: PairKeys,
    /// Whether it makes the namespace one that is kept, or needs one.
    pub keeps: bool,
    /// Whether its work is bounded by its own length and one value, so that others may wait for it.
    pub is_brief: bool,
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

    /// Whether `name` is its name, in any case.
    fn has_name(&self, name: &[u8]) -> bool {
        self.called.as_bytes().eq_ignore_ascii_case(name)
    }

    /// Whether it can change data.
    pub fn is_write(&self) -> bool {
        matches!(self.command.run, Run::Write(_)) || self.command.flags.touches == Touches::Writes
    }

    /// Whether it stands under a container.
    pub fn is_subcommand(&self) -> bool {
        self.command.name.contains(' ')
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
        ];
        flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect()
    }

    /// ACL categories, without `@`.
    pub fn categories(&self) -> Vec<&'static str> {
        let Flags { admin, fast, .. } = self.command.flags;
        let is_container = matches!(self.command.run, Run::Container);
        let categories = [
            (!is_container && !self.family.category.is_empty(), self.family.category),
            (matches!(self.command.run, Run::Read(_)), "read"),
            (self.is_write(), "write"),
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
                let (keys, pair_at) = (syntax::keys(command), syntax::pair_at(command));
                let is_of_one_value = pair_at.is_some() || family.category == "string";
                Spec {
                    command,
                    family,
                    arity: syntax::arity(command),
                    keys,
                    pair_at,
                    pair_keys: syntax::pair_keys(command),
                    keeps: family.group == "namespace",
                    is_brief: matches!(keys, Keys::One(_)) && is_of_one_value,
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

    /// A command by its full name in any case, `config|get` for example.
    pub fn find_full(&self, name: &[u8]) -> Option<&Spec> {
        let Some(at) = name.iter().position(|&byte| byte == b'|') else { return self.find(name) };
        self.find_subcommand(self.find(&name[..at])?, &name[at + 1..])
    }

    /// The subcommand of `container` with this name, in any case.
    pub fn find_subcommand(&self, container: &Spec, name: &[u8]) -> Option<&Spec> {
        let prefix = container.command.name.len() + 1;
        container
            .subcommands
            .iter()
            .map(|&index| &self.specs[index])
            .find(|spec| spec.command.name.as_bytes()[prefix..].eq_ignore_ascii_case(name))
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
