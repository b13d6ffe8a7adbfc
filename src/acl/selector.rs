//! A selector: which commands, on which keys, on which channels. A user has one and may have more; what
//! any of them allows is allowed.
//!
//! Rules, their errors and the way they are printed are Redis's.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::catalog::{Entry, catalog, category};
use super::{Denied, RuleError, is_plain};
use crate::command::redis::Access;
use crate::glob::glob_match;
use crate::resp::request::Args;

/// The rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// All keys, whatever the patterns.
    all_keys: bool,
    keys: Vec<KeyPattern>,
    /// All channels, whatever the patterns.
    all_channels: bool,
    channels: Vec<Box<[u8]>>,
    commands: Bits,
    /// All commands, without a look at the bits.
    all_commands: bool,
    /// What rules begin from: commands that come later are allowed.
    begins_with_all: bool,
    /// Commands that are allowed with these first arguments only.
    first_args: BTreeMap<usize, Vec<Vec<u8>>>,
    /// The rules for commands since the beginning, each with its sign.
    rules: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyPattern {
    pattern: Box<[u8]>,
    access: Access,
}

impl Selector {
    /// No rights, but for channels if so.
    pub fn new(all_channels: bool) -> Selector {
        Selector {
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
            commands: Bits::filled(catalog().entries.len(), false),
            all_commands: false,
            begins_with_all: false,
            first_args: BTreeMap::new(),
            rules: Vec::new(),
        }
    }

    /// Whether nothing is refused.
    pub fn allows_all(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    /// Applies one rule.
    ///
    /// # Errors
    /// What is wrong with it; nothing is changed then.
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => (self.all_keys, self.keys) = (true, Vec::new()),
            b"resetkeys" => (self.all_keys, self.keys) = (false, Vec::new()),
            b"allchannels" | b"&*" => (self.all_channels, self.channels) = (true, Vec::new()),
            b"resetchannels" => (self.all_channels, self.channels) = (false, Vec::new()),
            b"allcommands" | b"+@all" => self.set_all(true),
            b"nocommands" | b"-@all" => self.set_all(false),
            _ => match rule {
                [b'~' | b'%', ..] => self.add_key(rule)?,
                [b'&', channel @ ..] => self.add_channel(channel)?,
                [sign @ (b'+' | b'-'), b'@', name @ ..] => {
                    self.set_category(*sign == b'+', name)?
                }
                [b'+', name @ ..] => self.allow(name)?,
                [b'-', name @ ..] => {
                    let at = catalog().find(name).ok_or(RuleError::Unknown)?;
                    self.set_command(at, false);
                }
                _ => return Err(RuleError::Syntax),
            },
        }
        Ok(())
    }

    fn set_all(&mut self, is_allowed: bool) {
        self.commands = Bits::filled(catalog().entries.len(), is_allowed);
        self.all_commands = is_allowed;
        self.begins_with_all = is_allowed;
        self.first_args.clear();
        self.rules.clear();
    }

    fn add_key(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AfterAllKeys);
        }
        let (access, pattern) = key_pattern(rule).ok_or(RuleError::Syntax)?;
        if !is_plain(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => {
                known.access.read |= access.read;
                known.access.write |= access.write;
            }
            None => self.keys.push(KeyPattern { pattern: pattern.into(), access }),
        }
        Ok(())
    }

    fn add_channel(&mut self, channel: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AfterAllChannels);
        }
        if !is_plain(channel) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| **known == *channel) {
            self.channels.push(channel.into());
        }
        Ok(())
    }

    fn set_category(&mut self, is_allowed: bool, name: &[u8]) -> Result<(), RuleError> {
        let category = category(name).ok_or(RuleError::Unknown)?;
        self.remember(is_allowed, &format!("@{}", lower(name)));
        for at in catalog().of(category) {
            self.set_bit(at, is_allowed);
            self.first_args.remove(&at);
        }
        Ok(())
    }

    /// `+command`, `+command|subcommand`, `+command|argument`.
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = name.iter().rposition(|&byte| byte == b'|') else {
            let at = catalog().find(name).ok_or(RuleError::Unknown)?;
            self.set_command(at, true);
            return Ok(());
        };
        let (command, argument) = (&name[..bar], &name[bar + 1..]);
        let at = catalog().find(command).ok_or(RuleError::Unknown)?;
        let entry = &catalog().entries[at];
        if entry.parent.is_some() {
            return Err(RuleError::Nested);
        }
        if argument.is_empty() {
            return Err(RuleError::Syntax);
        }
        match catalog().find(name) {
            Some(subcommand) => self.set_command(subcommand, true),
            None if entry.has_subcommands() => return Err(RuleError::Unknown),
            None => {
                let known = self.first_args.entry(at).or_default();
                if !known.iter().any(|known| known.eq_ignore_ascii_case(argument)) {
                    known.push(argument.to_vec());
                }
                self.remember(true, &lower(name));
            }
        }
        Ok(())
    }

    /// A command with its subcommands.
    fn set_command(&mut self, at: usize, is_allowed: bool) {
        let entry = &catalog().entries[at];
        self.first_args.remove(&at);
        for at in std::iter::once(at).chain(entry.children.iter().copied()) {
            self.set_bit(at, is_allowed);
        }
        self.remember(is_allowed, &entry.name);
    }

    fn set_bit(&mut self, at: usize, is_allowed: bool) {
        self.commands.set(at, is_allowed);
        self.all_commands &= is_allowed;
    }

    /// The rule takes the place of earlier ones for the same, and for the subcommands of the same.
    fn remember(&mut self, is_allowed: bool, rule: &str) {
        self.rules.retain(|old| {
            let rest = old[1..].strip_prefix(rule);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        });
        self.rules.push(format!("{}{rule}", if is_allowed { '+' } else { '-' }));
    }

    /// Whether a command with these arguments may be run.
    ///
    /// # Errors
    /// What is not allowed, and where it stands.
    pub fn check(&self, entry: &Entry, args: Args<'_>) -> Result<(), Denied> {
        if !self.all_commands && !entry.is_free && !self.allows_command(entry, args) {
            return Err(Denied::Command);
        }
        if !self.all_keys {
            let mut keys = entry.keys_in(args).into_iter();
            if let Some((at, _)) = keys.find(|&(at, access)| !self.allows_key(args.get(at), access))
            {
                return Err(Denied::Key(at));
            }
        }
        if !self.all_channels {
            let (mut places, is_pattern) = entry.channels_in(args);
            if let Some(at) = places.find(|&at| !self.allows_channel(args.get(at), is_pattern)) {
                return Err(Denied::Channel(at));
            }
        }
        Ok(())
    }

    fn allows_command(&self, entry: &Entry, args: Args<'_>) -> bool {
        let is_first = |at: &usize| {
            let known = self.first_args.get(at).into_iter().flatten();
            args.len() > 1 && known.into_iter().any(|known| known.eq_ignore_ascii_case(args.get(1)))
        };
        let own = catalog().find(entry.name.as_bytes());
        self.commands.has(entry.rights)
            || own.iter().any(|&at| self.commands.has(at))
            || own.iter().chain(&entry.parent).any(is_first)
    }

    /// Whether a key may be accessed so.
    pub fn allows_key(&self, key: &[u8], access: Access) -> bool {
        self.all_keys
            || self.keys.iter().any(|known| {
                (known.access.read || !access.read)
                    && (known.access.write || !access.write)
                    && glob_match(&known.pattern, key, false)
            })
    }

    /// Whether a channel may be used; a pattern must stand among the patterns as it is.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|known| match is_pattern {
                true => **known == *channel,
                false => glob_match(known, channel, false),
            })
    }

    /// Whether the command may be run at all, whatever its arguments.
    pub fn has_command(&self, at: usize) -> bool {
        self.all_commands || self.commands.has(at)
    }

    /// The rules for commands, as Redis prints them.
    pub fn describe_commands(&self) -> String {
        let begin = if self.begins_with_all { "+@all" } else { "-@all" };
        std::iter::once(begin)
            .chain(self.rules.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The patterns of keys, as Redis prints them.
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let patterns = self.keys.iter().map(|KeyPattern { pattern, access }| {
            let sign: &[u8] = match (access.read, access.write) {
                (true, false) => b"%R~",
                (false, true) => b"%W~",
                _ => b"~",
            };
            [sign, pattern].concat()
        });
        patterns.collect::<Vec<_>>().join(&b' ')
    }

    /// The patterns of channels, as Redis prints them.
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let patterns = self.channels.iter().map(|channel| [b"&", &**channel].concat());
        patterns.collect::<Vec<_>>().join(&b' ')
    }

    /// All rules that make this selector from nothing.
    pub fn describe(&self) -> Vec<u8> {
        let mut channels = self.describe_channels();
        if !self.all_channels {
            let blank: &[u8] = if channels.is_empty() { b"" } else { b" " };
            channels = [b"resetchannels", blank, &channels].concat();
        }
        let parts = [self.describe_keys(), channels, self.describe_commands().into_bytes()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(&b' ')
    }
}

/// `~pattern`, `%R~pattern`, `%W~pattern`, `%RW~pattern`.
fn key_pattern(rule: &[u8]) -> Option<(Access, &[u8])> {
    if let Some(pattern) = rule.strip_prefix(b"~") {
        return Some((Access { read: true, write: true }, pattern));
    }
    let mut access = Access::default();
    for at in 1..rule.len() {
        match rule[at].to_ascii_uppercase() {
            b'R' if !access.read => access.read = true,
            b'W' if !access.write => access.write = true,
            b'~' if access != Access::default() => return Some((access, &rule[at + 1..])),
            _ => return None,
        }
    }
    // Redis takes a missing `~` for an empty pattern.
    (access != Access::default()).then_some((access, b""))
}

fn lower(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}
