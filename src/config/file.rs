//! Reads configuration files: lines, quotes, `include`, and what is not a directive with a value.
//!
//! What a directive means is the table's matter ([`super::directive`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::Config;
use super::directive::{Directive, find};
use super::format::Reason;
use crate::glob::{glob_match, is_literal};
use crate::resp::owned::OwnedRequest;

/// Longest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How deep files may include others.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Names that Redis still takes, without a meaning.
const OBSOLETE: &[&str] =
    &["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"];

/// Lines that set no directive.
const OTHER_LINES: &[&str] = &["include", "rename-command", "user", "loadmodule", "sentinel"];

/// Whether this is the first word of a line that sets no directive.
pub(super) fn is_other_line(name: &str) -> bool {
    OTHER_LINES.iter().any(|line| line.eq_ignore_ascii_case(name))
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub config: Config,
    /// What was asked for and is not so, by the directive.
    pub warnings: BTreeMap<String, String>,
    /// Directives that were set and add up.
    added: BTreeSet<&'static str>,
    depth: usize,
}

/// Why a line is refused.
enum Refusal {
    Reason(Reason),
    /// The file that the line includes has said where it is wrong.
    Told(anyhow::Error),
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Refusal {
        Refusal::Reason(reason)
    }
}

impl From<&'static str> for Refusal {
    fn from(reason: &'static str) -> Refusal {
        Refusal::Reason(reason.into())
    }
}

impl Reader {
    /// Reads a file, and the ones it includes.
    ///
    /// # Errors
    /// Redis's text, with the line.
    pub fn read_file(&mut self, path: &Path) -> Result<()> {
        let fatal = || format!("Fatal error, can't open config file '{}'", path.display());
        let file = fs::File::open(path).with_context(fatal)?;
        let text = text(file).with_context(fatal)?;
        self.read_lines(&text)
    }

    /// Reads standard input to its end.
    ///
    /// # Errors
    /// As [`Reader::read_file`].
    pub fn read_stdin(&mut self) -> Result<()> {
        let text = text(std::io::stdin().lock()).context("standard input")?;
        self.read_lines(&text)
    }

    /// Sets a directive, and remembers what there is to be told about that.
    ///
    /// # Errors
    /// Why the words are refused.
    pub fn set(&mut self, directive: &'static Directive, words: &[&str]) -> Result<(), Reason> {
        self.warnings.remove(directive.name);
        if let Some(warning) = directive.admit(&mut self.config, words)? {
            self.warnings.insert(directive.name.to_owned(), warning);
        }
        Ok(())
    }

    /// Reads what would be the words of one line of a file.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn read_words(&mut self, line: &[String]) -> Result<()> {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        match self.take(&words) {
            Ok(()) => Ok(()),
            Err(Refusal::Told(error)) => Err(error),
            Err(Refusal::Reason(reason)) => bail!("{reason}"),
        }
    }

    fn read_lines(&mut self, text: &[u8]) -> Result<()> {
        for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
            let line = line.trim_ascii();
            match self.read_line(line) {
                Ok(()) => {}
                Err(Refusal::Told(error)) => return Err(error),
                Err(Refusal::Reason(reason)) => bail!(
                    "\n*** FATAL CONFIG FILE ERROR (pantry {}) ***\n\
                     Reading the configuration file, at line {number}\n>>> '{}'\n{reason}\n",
                    env!("CARGO_PKG_VERSION"),
                    String::from_utf8_lossy(line),
                ),
            }
        }
        Ok(())
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        let words =
            OwnedRequest::from_line(line).ok_or("Unbalanced quotes in configuration line")?;
        let words: Vec<&str> = words
            .args()
            .iter()
            .map(|word| std::str::from_utf8(word).map_err(|_| "argument must be UTF-8"))
            .collect::<Result<_, _>>()?;
        self.take(&words)
    }

    fn take(&mut self, words: &[&str]) -> Result<(), Refusal> {
        let Some((name, values)) = words.split_first() else { return Ok(()) };
        let Some(directive) = find(name) else { return self.read_other(name, values) };
        let before = directive.show(&self.config);
        let is_more = directive.is_additive() && !self.added.insert(directive.name);
        if is_more && values != [""] {
            let all: Vec<&str> = std::iter::once(&*before).chain(values.iter().copied()).collect();
            self.set(directive, &all)?;
        } else {
            self.set(directive, values)?;
        }
        Ok(())
    }

    /// A line that sets no directive.
    fn read_other(&mut self, name: &str, words: &[&str]) -> Result<(), Refusal> {
        let name = name.to_ascii_lowercase();
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        match (name.as_str(), words) {
            ("include", [path]) => return self.include(path),
            ("rename-command", [old, new]) => {
                self.config.renamed_commands.push(((*old).to_owned(), (*new).to_owned()));
            }
            ("user", [_, ..]) => self.config.users.push(owned(words)),
            ("loadmodule", [path, ..]) => {
                let warning = format!("loadmodule {path} has no effect: there are no modules");
                self.warnings.insert(format!("loadmodule {path}"), warning);
            }
            ("sentinel", [_, ..]) => {
                return Err("sentinel directive while not in sentinel mode".into());
            }
            (known, [_]) if OBSOLETE.contains(&known) => {
                let warning = format!("{name} has no effect: Redis gave it up");
                self.warnings.insert(name, warning);
            }
            _ => return Err("Bad directive or wrong number of arguments".into()),
        }
        Ok(())
    }

    /// Reads the file, or the files that the pattern matches, if any, in the order of their names.
    fn include(&mut self, path: &str) -> Result<(), Refusal> {
        if self.depth == INCLUDE_DEPTH_MAX {
            return Err("files include each other".into());
        }
        self.depth += 1;
        for path in matching(path) {
            self.read_file(&path).map_err(Refusal::Told)?;
        }
        self.depth -= 1;
        Ok(())
    }
}

fn text(file: impl Read) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("it has more than {FILE_BYTES_MAX} bytes");
    }
    Ok(text)
}

/// The paths that a pattern matches, sorted; a path without wildcards is itself.
fn matching(pattern: &str) -> Vec<PathBuf> {
    if is_literal(pattern.as_bytes()).is_some() {
        return vec![PathBuf::from(pattern)];
    }
    let mut paths = vec![PathBuf::new()];
    for component in Path::new(pattern).components() {
        let name = component.as_os_str().to_str().unwrap_or_default();
        let is_plain = !matches!(component, Component::Normal(_));
        if is_plain || is_literal(name.as_bytes()).is_some() {
            paths.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        paths = paths.iter().flat_map(|path| children(path, name)).collect();
    }
    paths.retain(|path| path.exists());
    paths.sort();
    paths
}

fn children(path: &Path, pattern: &str) -> Vec<PathBuf> {
    let at = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let Ok(entries) = fs::read_dir(at) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let is_wanted = |name: &String| {
        let is_shown = !name.starts_with('.') || pattern.starts_with('.');
        is_shown && glob_match(pattern.as_bytes(), name.as_bytes(), false)
    };
    names.filter(is_wanted).map(|name| path.join(name)).collect()
}
