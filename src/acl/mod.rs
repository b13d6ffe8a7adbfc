//! Access control lists: who may do what, on both doors. Pure: no socket, no command, no clock.
//!
//! [`mod@catalog`] knows what can be named, [`selector`] and [`user`] are rights and how they are written,
//! [`Acl`] is the users of a server. Checking a command is [`crate::dispatch`]'s matter; a session keeps
//! its user and asks for it again when [`Acl::version`] has changed.

mod bits;
pub mod catalog;
mod file;
mod identity;
pub mod log;
pub mod selector;
pub mod user;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

pub use catalog::catalog;
pub use identity::Identity;
pub use user::User;

/// The user of those who do not say who they are.
pub const DEFAULT_USER: &str = "default";

/// The users of a server.
#[derive(Debug)]
pub struct Acl {
    users: RwLock<BTreeMap<String, Arc<User>>>,
    version: AtomicU64,
    /// What was refused.
    pub log: Mutex<log::Log>,
    /// How much was refused, by reason.
    denied: [AtomicU64; REASONS.len()],
}

/// What a user may not do. Of two the greater comes closer to being allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command.
    Command,
    /// The key at this place.
    Key(usize),
    /// The channel at this place.
    Channel(usize),
}

/// What is wrong with a rule. `Display` gives Redis's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum RuleError {
    Unknown,
    Syntax,
    AfterAllKeys,
    AfterAllChannels,
    NoSuchPassword,
    BadHash,
    Nested,
}

impl Acl {
    /// Nobody but the default user, who may do everything, with this password or, if it is empty,
    /// without.
    pub fn new(password: &str) -> Acl {
        let acl = Acl {
            users: RwLock::default(),
            version: AtomicU64::new(1),
            log: Mutex::default(),
            denied: Default::default(),
        };
        acl.set(default_user(password));
        acl
    }

    /// Grows with every change, so that who keeps a user knows when it is old.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.users.read().get(name).cloned()
    }

    /// The default user.
    pub fn default_user(&self) -> Arc<User> {
        self.user(DEFAULT_USER).unwrap_or_else(|| Arc::new(User::new(DEFAULT_USER, false)))
    }

    /// Whether who connects need not authenticate.
    pub fn is_open(&self) -> bool {
        let user = self.default_user();
        user.is_enabled && user.needs_no_password
    }

    /// All users, by name.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.users.read().values().cloned().collect()
    }

    /// Who has this name and password.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let user = std::str::from_utf8(name).ok().and_then(|name| self.user(name))?;
        (user.is_enabled && user.has_password(password)).then_some(user)
    }

    /// Puts a user in, or in the place of that of the same name.
    pub fn set(&self, user: User) {
        self.users.write().insert(user.name.clone(), Arc::new(user));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Applies rules to a user, all or none; one that is not there is made.
    ///
    /// # Errors
    /// Redis's text.
    pub fn change(&self, name: &str, rules: &[&[u8]], all_channels: bool) -> Result<(), String> {
        let rules = merged(rules).map_err(|rule| {
            let rule = String::from_utf8_lossy(rule);
            format!("Unmatched parenthesis in acl selector starting at '{rule}'.")
        })?;
        let mut users = self.users.write();
        let known = users.get(name).map(|user| User::clone(user));
        let mut user = known.unwrap_or_else(|| User::new(name, all_channels));
        for rule in &rules {
            user.apply(rule, all_channels).map_err(|error| {
                let rule = String::from_utf8_lossy(rule);
                format!("Error in ACL SETUSER modifier '{rule}': {error}")
            })?;
        }
        users.insert(name.to_owned(), Arc::new(user));
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Gives the default user this password alone; none if it is empty.
    pub fn set_default_password(&self, password: &str) {
        let mut user = User::clone(&self.default_user());
        set_password(&mut user, password);
        self.set(user);
    }

    /// Removes a user; whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let was_there = self.users.write().remove(name).is_some();
        self.version.fetch_add(1, Ordering::Release);
        was_there
    }

    /// Puts these in the place of all users. The default user is there in any case, as it was.
    fn replace(&self, users: Vec<User>) {
        let mut all = self.users.write();
        let default = all.remove(DEFAULT_USER);
        all.clear();
        all.extend(default.map(|user| (DEFAULT_USER.to_owned(), user)));
        all.extend(users.into_iter().map(|user| (user.name.clone(), Arc::new(user))));
        drop(all);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Counts a refusal.
    pub fn count(&self, reason: &str) {
        if let Some(at) = REASONS.iter().position(|known| *known == reason) {
            self.denied[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was refused: reason and number.
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS
            .into_iter()
            .zip(&self.denied)
            .map(|(why, count)| (why, count.load(Ordering::Relaxed)))
    }
}

/// Why somebody is refused something; `tls-cert`: his certificate is no user's.
const REASONS: [&str; 5] = ["command", "key", "channel", "auth", "tls-cert"];

/// The default user of a server with this `requirepass`.
pub fn default_user(password: &str) -> User {
    let mut user = User::new(DEFAULT_USER, true);
    for rule in ["+@all", "~*", "&*", "on"] {
        // These are rules.
        let _ = user.apply(rule.as_bytes(), true);
    }
    set_password(&mut user, password);
    user
}

fn set_password(user: &mut User, password: &str) {
    let rule = match password {
        "" => "nopass".to_owned(),
        password => format!(">{password}"),
    };
    for rule in [b"resetpass", rule.as_bytes()] {
        // These are rules.
        let _ = user.apply(rule, true);
    }
}

/// Puts the words of a selector together, which are told from others by brackets.
///
/// # Errors
/// The word whose bracket stays open.
fn merged<'a>(words: &[&'a [u8]]) -> Result<Vec<Vec<u8>>, &'a [u8]> {
    let mut merged: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<&'a [u8]> = None;
    for word in words {
        match (open, merged.last_mut()) {
            (Some(_), Some(selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")") {
                    open = None;
                }
            }
            _ => {
                merged.push(word.to_vec());
                let is_open = word.starts_with(b"(") && !word.ends_with(b")");
                open = is_open.then_some(*word);
            }
        }
    }
    open.map_or(Ok(merged), Err)
}

/// Whether a name or pattern has no blanks and no zero bytes, which would break a file of users.
pub fn is_plain(text: &[u8]) -> bool {
    !text.iter().any(|&byte| byte == 0 || byte.is_ascii_whitespace() || byte == 0x0b)
}

impl Denied {
    /// In ACL LOG.
    pub fn reason(self) -> &'static str {
        match self {
            Denied::Command => "command",
            Denied::Key(_) => "key",
            Denied::Channel(_) => "channel",
        }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RuleError::Unknown => "Unknown command or category name in ACL",
            RuleError::Syntax => "Syntax error",
            RuleError::AfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does \
                 not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::AfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and \
                 does not have any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase \
                 hexadecimal characters"
            }
            RuleError::Nested => "Allowing first-arg of a subcommand is not supported",
        })
    }
}
