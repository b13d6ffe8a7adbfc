//! The users of a file: `aclfile`, or the `user` lines of the configuration file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{Acl, DEFAULT_USER, RuleError, User, is_plain, merged};

impl Acl {
    /// Reads the users of the configuration file. The default user is made anew if it is among them.
    ///
    /// # Errors
    /// Redis's text.
    pub fn add_configured(&self, users: &[Vec<String>], all_channels: bool) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for words in users {
            let Some((name, rules)) = words.split_first() else { continue };
            let failed =
                |what: &str, why: &str| format!("Error in user declaration '{what}': {why}");
            if !is_plain(name.as_bytes()) {
                return Err("Spaces not allowed in ACL usernames".to_owned());
            }
            if !names.insert(name) {
                let why = "Duplicate user found. A user can only be defined once in config files";
                return Err(failed(name, why));
            }
            let rules: Vec<&[u8]> = rules.iter().map(String::as_bytes).collect();
            let rules = merged(&rules).map_err(|rule| {
                let rule = String::from_utf8_lossy(rule);
                failed(&rule, "Unmatched parenthesis in selector definition")
            })?;
            let mut user = User::new(name.as_str(), all_channels);
            for rule in rules {
                user.apply(&rule, all_channels)
                    .map_err(|error| failed(&String::from_utf8_lossy(&rule), &error.to_string()))?;
            }
            if !user.is_enabled {
                tracing::info!(user = name, "the user is disabled: there is no 'on' in its rules");
            }
            self.set(user);
        }
        Ok(())
    }

    /// Reads `aclfile` in the place of all users; all or none.
    ///
    /// # Errors
    /// Redis's texts, one for each bad line.
    pub fn load(&self, path: &Path, all_channels: bool) -> Result<(), String> {
        let text = std::fs::read(path).map_err(|error| {
            format!("Error loading ACLs, opening file '{}': {error}", path.display())
        })?;
        let users = parse(&text, &path.display().to_string(), all_channels)?;
        self.replace(users);
        Ok(())
    }

    /// Writes all users to `aclfile`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let mut text = Vec::new();
        for user in self.all() {
            text.extend_from_slice(&user.describe());
            text.push(b'\n');
        }
        crate::files::replace(path, &text)
    }

    /// The lines that make the users, for the configuration file. The default user is left out if it is
    /// as `requirepass` makes it.
    ///
    /// # Errors
    /// When a pattern of a user is not UTF-8, which the configuration file is.
    pub fn lines(&self, requirepass: &str) -> Result<Vec<String>, String> {
        let plain = super::default_user(requirepass);
        let users = self.all();
        let users = users.iter().filter(|user| user.name != DEFAULT_USER || ***user != plain);
        let line = |user: &Arc<User>| {
            let line = String::from_utf8(quoted(&user.describe()));
            let name = &user.name;
            line.map_err(|_| {
                format!("the rules of user {name} are not UTF-8; an aclfile can hold them")
            })
        };
        users.map(line).collect()
    }
}

/// Words with a blank between, as a line needs them that is split with quotes: the configuration file's, or
/// a selector.
pub(super) fn quoted(words: &[u8]) -> Vec<u8> {
    words.split(|&byte| byte == b' ').map(quoted_word).collect::<Vec<_>>().join(&b' ')
}

fn quoted_word(word: &[u8]) -> Vec<u8> {
    if !word.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
        return word.to_vec();
    }
    let mut line = vec![b'"'];
    for &byte in word {
        if matches!(byte, b'"' | b'\\') {
            line.push(b'\\');
        }
        line.push(byte);
    }
    line.push(b'"');
    line
}

fn parse(text: &[u8], file: &str, all_channels: bool) -> Result<Vec<User>, String> {
    let (mut users, mut errors) = (Vec::<User>::new(), String::new());
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let words: Vec<&[u8]> = line.trim_ascii().split(|&byte| byte == b' ').collect();
        match words.as_slice() {
            [b""] => {}
            [b"user", name, rules @ ..] => match parse_user(name, rules, all_channels, &users) {
                Ok(user) => users.push(user),
                Err(Wrong::Line(why)) => errors.push_str(&format!("{file}:{number}: {why}. ")),
                Err(Wrong::Whole(why)) => {
                    errors.push_str(&format!("WARNING: {why} found on line {number}. "));
                }
            },
            _ => errors.push_str(&format!(
                "{file}:{number} should start with user keyword followed by the username. "
            )),
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    Err(errors
        + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed")
}

enum Wrong {
    Line(String),
    Whole(String),
}

fn parse_user(
    name: &[u8],
    rules: &[&[u8]],
    all_channels: bool,
    others: &[User],
) -> Result<User, Wrong> {
    let is_valid = is_plain(name) && std::str::from_utf8(name).is_ok();
    let name = String::from_utf8_lossy(name).into_owned();
    if !is_valid {
        return Err(Wrong::Line(format!("username '{name}' contains invalid characters")));
    }
    if others.iter().any(|user| user.name == name) {
        return Err(Wrong::Whole(format!("Duplicate user '{name}'")));
    }
    let rules = merged(rules)
        .map_err(|_| Wrong::Line("Unmatched parenthesis in selector definition".to_owned()))?;
    let mut user = User::new(name, all_channels);
    for rule in rules {
        let rule = rule.trim_ascii();
        user.apply(rule, all_channels).map_err(|error| {
            Wrong::Line(match error {
                RuleError::Unknown => {
                    let rule = String::from_utf8_lossy(rule);
                    format!("Error in applying operation '{rule}': {error}")
                }
                _ => error.to_string(),
            })
        })?;
    }
    Ok(user)
}
