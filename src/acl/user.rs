//! A user: name, passwords, rights. Rules and the way they are printed are Redis's.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::catalog::Entry;
use super::file::quoted;
use super::selector::Selector;
use super::{Denied, RuleError};
use crate::hex::{hex, unhex};
use crate::resp::owned::OwnedRequest;
use crate::resp::request::Args;

/// SHA-256 of a password.
type Hash = [u8; 32];

/// The user. Printed and applied to a new user, its rules give an equal user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Whether it may authenticate.
    pub is_enabled: bool,
    /// Whether every password is right.
    pub needs_no_password: bool,
    skips_sanitizing: bool,
    passwords: Vec<Hash>,
    /// The first is the user's own; never empty.
    selectors: Vec<Selector>,
}

impl User {
    /// A user without any rights, but for channels if so.
    pub fn new(name: impl Into<String>, all_channels: bool) -> User {
        User {
            name: name.into(),
            is_enabled: false,
            needs_no_password: false,
            skips_sanitizing: false,
            passwords: Vec::new(),
            selectors: vec![Selector::new(all_channels)],
        }
    }

    /// Whether it may run anything.
    pub fn may_do_all(&self) -> bool {
        self.selectors.iter().any(Selector::allows_all)
    }

    /// Applies one rule. `all_channels` is what `reset` leaves of channels.
    ///
    /// # Errors
    /// What is wrong with the rule.
    pub fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.is_enabled = true,
            b"off" => self.is_enabled = false,
            b"skip-sanitize-payload" => self.skips_sanitizing = true,
            b"sanitize-payload" => self.skips_sanitizing = false,
            b"nopass" => (self.needs_no_password, self.passwords) = (true, Vec::new()),
            b"resetpass" => (self.needs_no_password, self.passwords) = (false, Vec::new()),
            b"clearselectors" => self.selectors.truncate(1),
            b"reset" => {
                *self = User::new(std::mem::take(&mut self.name), all_channels);
            }
            _ => match rule {
                [b'>' | b'#', ..] => {
                    let hash = hash_of(rule)?;
                    if !self.passwords.contains(&hash) {
                        self.passwords.push(hash);
                    }
                    self.needs_no_password = false;
                }
                [b'<' | b'!', ..] => {
                    let hash = hash_of(rule)?;
                    let at = self.passwords.iter().position(|known| *known == hash);
                    self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
                }
                [b'(', rules @ .., b')'] => self.selectors.push(selector(rules)?),
                _ => self.selectors[0].apply(rule)?,
            },
        }
        Ok(())
    }

    /// Whether this is one of its passwords. Takes the same time for every password.
    pub fn has_password(&self, password: &[u8]) -> bool {
        let hash: Hash = Sha256::digest(password).into();
        let matching = self.passwords.iter().map(|known| known.ct_eq(&hash));
        self.needs_no_password || matching.fold(Choice::from(0), |any, one| any | one).into()
    }

    /// Whether a command with these arguments may be run.
    ///
    /// # Errors
    /// What stands against it: of several selectors, from the one that came closest.
    pub fn check(&self, entry: &Entry, args: Args<'_>) -> Result<(), Denied> {
        let mut closest = Denied::Command;
        for selector in &self.selectors {
            match selector.check(entry, args) {
                Ok(()) => return Ok(()),
                Err(denied) => closest = closest.max(denied),
            }
        }
        Err(closest)
    }

    /// Whether one of its selectors allows the key to be accessed so.
    pub fn may_access(&self, key: &[u8], access: crate::command::redis::Access) -> bool {
        self.selectors.iter().any(|selector| selector.allows_key(key, access))
    }

    /// Whether one of its selectors allows the key to be read.
    pub fn may_read(&self, key: &[u8]) -> bool {
        self.may_access(key, crate::command::redis::Access { read: true, write: false })
    }

    /// Whether one of its selectors allows the channel.
    pub fn may_use_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors.iter().any(|selector| selector.allows_channel(channel, is_pattern))
    }

    /// Flags, as Redis prints them.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.is_enabled { "on" } else { "off" }];
        if self.needs_no_password {
            flags.push("nopass");
        }
        flags.push(match self.skips_sanitizing {
            true => "skip-sanitize-payload",
            false => "sanitize-payload",
        });
        flags
    }

    /// Hashes of passwords, in hexadecimal digits.
    pub fn password_hashes(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(|hash| hex(hash))
    }

    /// Its own rights.
    pub fn own(&self) -> &Selector {
        &self.selectors[0]
    }

    /// Rights beside its own.
    pub fn others(&self) -> &[Selector] {
        &self.selectors[1..]
    }

    /// A line of a configuration file.
    pub fn describe(&self) -> Vec<u8> {
        let mut line = format!("user {} {}", self.name, self.flags().join(" ")).into_bytes();
        for hash in self.password_hashes() {
            line.extend_from_slice(format!(" #{hash}").as_bytes());
        }
        line.push(b' ');
        line.extend_from_slice(&self.own().describe());
        for selector in self.others() {
            line.extend_from_slice(&[b" (", &*quoted(&selector.describe()), b")"].concat());
        }
        line
    }
}

fn selector(rules: &[u8]) -> Result<Selector, RuleError> {
    let mut selector = Selector::new(false);
    let rules = OwnedRequest::from_line(rules).ok_or(RuleError::Syntax)?;
    rules.args().iter().try_for_each(|rule| selector.apply(rule))?;
    Ok(selector)
}

/// The hash that a rule says, or of the password that it says.
fn hash_of(rule: &[u8]) -> Result<Hash, RuleError> {
    let text = &rule[1..];
    if matches!(rule[0], b'>' | b'<') {
        return Ok(Sha256::digest(text).into());
    }
    let is_upper = text.iter().any(u8::is_ascii_uppercase);
    let bytes = unhex(text).filter(|_| !is_upper);
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(RuleError::BadHash)
}
