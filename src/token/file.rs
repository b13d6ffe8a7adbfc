//! The file of tokens: a token a line, as JSON; written aside and renamed, so it is never half of one.
//!
//! Several processes may change it (a server, `pantry token`); each takes the lock beside it first.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context as _, bail};

use super::{TOKENS_MAX, Token};
use crate::files;

/// A line with the longest name and user is far shorter.
const LINE_BYTES_MAX: u64 = 4096;

#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
}

/// By what a changed file is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: SystemTime,
    len: u64,
}

/// The lock is let go when this is dropped.
pub(super) struct Alone(#[allow(dead_code, reason = "held, not used")] fs::File);

impl File {
    pub(super) fn new(path: PathBuf) -> File {
        File { path }
    }

    /// `None` if there is no file.
    pub(super) fn stamp(&self) -> anyhow::Result<Option<Stamp>> {
        match fs::metadata(&self.path) {
            Ok(found) => Ok(Some(Stamp { modified: found.modified()?, len: found.len() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| self.path.display().to_string()),
        }
    }

    pub(super) fn read(&self) -> anyhow::Result<HashMap<String, Token>> {
        let path = self.path.display();
        if self.stamp()?.is_some_and(|stamp| stamp.len > LINE_BYTES_MAX * TOKENS_MAX as u64) {
            bail!("{path} is too long for a file of tokens");
        }
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
            Err(error) => return Err(error).with_context(|| format!("can not read {path}")),
        };
        let mut tokens = HashMap::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let token = serde_json::from_str(line).ok().as_ref().and_then(Token::from_json);
            let Some(token) = token else { bail!("{path}, line {number}: this is no token") };
            tokens.insert(token.id.clone(), token);
        }
        Ok(tokens)
    }

    /// Waits for others who change it.
    pub(super) fn lock(&self) -> anyhow::Result<Alone> {
        let mut path = self.path.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let open = || -> io::Result<fs::File> {
            if let Some(dir) = self.path.parent() {
                fs::create_dir_all(dir)?;
            }
            let file = private().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        open().map(Alone).with_context(|| format!("can not lock {}", path.display()))
    }

    pub(super) fn write(&self, tokens: &HashMap<String, Token>) -> anyhow::Result<()> {
        let mut tokens: Vec<&Token> = tokens.values().collect();
        tokens.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        let text: String = tokens.iter().map(|token| format!("{}\n", token.to_json())).collect();
        let write = || -> io::Result<()> {
            // What replaces it has its permissions; an empty file holds no tokens.
            private().create(true).truncate(false).write(true).open(&self.path)?;
            files::replace(&self.path, text.as_bytes())
        };
        write().with_context(|| format!("can not write {}", self.path.display()))
    }
}

/// For its owner only, where that can be said.
fn private() -> fs::OpenOptions {
    #[allow(unused_mut, reason = "changed on Unix only")]
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
