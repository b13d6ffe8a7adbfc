//! One row of the command table, as the families write it.
//!
//! What follows from a row is in [`super::table`].

use crate::dispatch::Context;
use crate::error::Result;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::View;

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
    Write(Writes),
    /// Works on this connection or the server, not on names.
    Session(fn(&mut Context<'_, '_>, Args<'_>, &mut Reply<'_>) -> Result),
    /// Has subcommands and does nothing itself.
    Container,
}

/// A handler that changes names.
pub type Writes = fn(&mut View<'_>, Args<'_>, &mut Reply<'_>) -> Result;

/// What a row can say about its command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Constant or logarithmic time.
    pub fast: bool,
    /// Refused when memory is used up.
    pub denyoom: bool,
    /// Touches every name of a database, not those in its arguments.
    pub every_name: bool,
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
    /// Puts the pairs in its arguments, whatever is there, and fails only before it has changed anything.
    pub puts_pairs: bool,
    /// Waits for the end of a pause of writes, though it does not always change something.
    pub may_replicate: bool,
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
    pub const fn write(name: &'static str, syntax: &'static str, handler: Writes) -> Command {
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
            admin: false,
            no_auth: false,
            no_multi: false,
            not_queued: false,
            loading: false,
            any_arguments: false,
            pushes: false,
            subscribed: false,
            touches: Touches::Nothing,
            puts_pairs: false,
            may_replicate: false,
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

    /// Puts the pairs in its arguments, whatever is there, and fails only before it has changed anything.
    pub const fn puts_pairs(mut self) -> Command {
        self.flags.puts_pairs = true;
        self
    }

    /// Waits for the end of a pause of writes, as in Redis what a replica may hear of.
    pub const fn may_replicate(mut self) -> Command {
        self.flags.may_replicate = true;
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
