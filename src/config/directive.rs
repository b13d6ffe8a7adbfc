//! The table of directives: all that redis.conf knows, and what is pantry's own.
//!
//! Command-line flags, the configuration file, CONFIG GET, SET and REWRITE all follow from it. Rows are
//! in [`super::applied`] and [`super::accepted`].

use std::sync::LazyLock;

use super::Config;
use super::accepted::ACCEPTED;
use super::applied::APPLIED;
use super::format::Reason;
use super::shape::Shape;

pub use super::applied::PASSWORD_BYTES_MAX;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Directive {
    /// As in redis.conf.
    pub name: &'static str,
    /// Older names that mean the same.
    pub aliases: &'static [&'static str],
    /// What its value is, in one word.
    pub hint: &'static str,
    /// One sentence; for one that has no effect, why.
    pub about: &'static str,
    /// Whether CONFIG SET may change it.
    pub is_live: bool,
    /// Whether its value is a list of words.
    pub is_list: bool,
    /// Whether CONFIG GET shows it only by its whole name.
    pub is_hidden: bool,
    /// Whether CONFIG SET needs `enable-protected-configs` to change it.
    pub is_protected: bool,
    access: Access,
}

/// Where a directive's value is.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// A field of [`Config`].
    Field {
        /// As CONFIG GET shows it.
        show: fn(&Config) -> String,
        /// From the words after its name.
        read: fn(&mut Config, &[&str]) -> Result<(), Reason>,
    },
    /// Something that clients ask for and that can not be otherwise here.
    Fact(&'static str),
    /// Nowhere but in what CONFIG shows.
    Kept {
        /// What it may be.
        shape: Shape,
        /// Redis's default.
        default: &'static str,
    },
}

/// All directives, sorted by name.
pub static DIRECTIVES: LazyLock<Vec<Directive>> = LazyLock::new(|| {
    let accepted = ACCEPTED.iter().flat_map(|(why, rows)| rows.iter().map(|row| row.about(why)));
    let mut all: Vec<Directive> = APPLIED.iter().copied().chain(accepted).collect();
    all.sort_unstable_by_key(|row| row.name);
    all
});

/// The directive with this name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Directive> {
    DIRECTIVES.iter().find(|row| row.names().any(|known| known.eq_ignore_ascii_case(name)))
}

impl Directive {
    pub(super) const fn new(name: &'static str, hint: &'static str, access: Access) -> Directive {
        Directive {
            name,
            aliases: &[],
            hint,
            about: "",
            is_live: false,
            is_list: false,
            is_hidden: false,
            is_protected: false,
            access,
        }
    }

    /// Its name, then its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Its value, as CONFIG GET shows it.
    pub fn show(&self, config: &Config) -> String {
        match self.access {
            Access::Field { show, .. } => show(config),
            Access::Fact(value) => value.to_owned(),
            Access::Kept { default, .. } => {
                config.kept.get(self.name).map_or_else(|| default.to_owned(), String::clone)
            }
        }
    }

    /// Sets it from the words after its name. A fact may only be set to what it is.
    ///
    /// # Errors
    /// Why the words are refused.
    pub fn read(&self, config: &mut Config, words: &[&str]) -> Result<(), Reason> {
        match self.access {
            Access::Field { read, .. } => read(config, words),
            Access::Fact(value) if words.join(" ").eq_ignore_ascii_case(value) => Ok(()),
            Access::Fact(value) => Err(format!("argument must be '{value}'").into()),
            Access::Kept { shape, default } => {
                let value = shape.normal(words)?;
                if value == default {
                    config.kept.remove(self.name);
                } else {
                    config.kept.insert(self.name, value);
                }
                Ok(())
            }
        }
    }

    /// The same at start. What can not be so is no reason not to start, but to be told.
    ///
    /// # Errors
    /// Why the words are refused.
    pub fn admit(&self, config: &mut Config, words: &[&str]) -> Result<Option<String>, Reason> {
        match (self.read(config, words), self.access) {
            (Err(_), Access::Fact(value)) if !words.is_empty() => {
                Ok(Some(format!("{} stays {value}: {}", self.name, self.about)))
            }
            (Ok(()), Access::Kept { default, .. }) if self.show(config) != default => {
                Ok(Some(format!("{} has no effect: {}", self.name, self.about)))
            }
            (result, _) => result.map(|()| None),
        }
    }

    /// Whether its value makes a difference.
    pub fn has_effect(&self) -> bool {
        matches!(self.access, Access::Field { .. })
    }

    /// Whether nothing but one value is possible.
    pub fn is_fact(&self) -> bool {
        matches!(self.access, Access::Fact(_))
    }

    /// Whether in a file each of its lines adds to its value.
    pub fn is_additive(&self) -> bool {
        matches!(self.access, Access::Kept { shape: Shape::Schedule, .. })
    }

    pub(super) const fn aliases(mut self, aliases: &'static [&'static str]) -> Directive {
        self.aliases = aliases;
        self
    }

    pub(super) const fn about(mut self, about: &'static str) -> Directive {
        self.about = about;
        self
    }

    pub(super) const fn live(mut self) -> Directive {
        self.is_live = true;
        self
    }

    pub(super) const fn fixed(mut self) -> Directive {
        self.is_live = false;
        self
    }

    pub(super) const fn list(mut self) -> Directive {
        self.is_list = true;
        self
    }

    pub(super) const fn hidden(mut self) -> Directive {
        self.is_hidden = true;
        self
    }

    pub(super) const fn protected(mut self) -> Directive {
        self.is_protected = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_say_what_they_are() {
        assert!(APPLIED.is_sorted_by(|a, b| a.name < b.name));
        assert!(ACCEPTED.iter().all(|(_, rows)| rows.is_sorted_by(|a, b| a.name < b.name)));
        let mut names: Vec<&str> = DIRECTIVES.iter().flat_map(Directive::names).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a name stands for one directive");
        for row in DIRECTIVES.iter() {
            assert!(!row.about.is_empty() && !row.hint.is_empty(), "{}", row.name);
            assert!(row.names().all(|name| find(name).unwrap().name == row.name), "{}", row.name);
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let default = Config::default();
        for row in DIRECTIVES.iter() {
            let shown = row.show(&default);
            let mut config = default.clone();
            row.read(&mut config, &[&shown]).unwrap();
            assert_eq!(row.show(&config), shown, "{}", row.name);
            assert!(config.kept.is_empty(), "{}", row.name);
        }
    }
}
