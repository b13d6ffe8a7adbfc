//! The first line of a script or library, `#!lua name=... flags=...`, and what its flags allow.

use crate::error::{Error, Result};
use crate::resp::owned::OwnedRequest;

/// What a script says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// It said something at all. Without, a script may do what EVAL always could.
    pub is_declared: bool,
    /// It changes nothing.
    pub no_writes: bool,
    /// It runs when memory is used up.
    pub allow_oom: bool,
    /// It runs on a replica whose data is old. There are none here.
    pub allow_stale: bool,
    /// It does not run in a cluster. There is none here.
    pub no_cluster: bool,
    /// It may touch names of several slots. There are none here.
    pub allow_cross_slot_keys: bool,
}

impl Flags {
    /// Flags that were declared, none of them set.
    pub const DECLARED: Flags = Flags {
        is_declared: true,
        no_writes: false,
        allow_oom: false,
        allow_stale: false,
        no_cluster: false,
        allow_cross_slot_keys: false,
    };

    /// Sets the flag of this name; `false` if there is none.
    pub fn set(&mut self, name: &str) -> bool {
        let flag = match name {
            "no-writes" => &mut self.no_writes,
            "allow-oom" => &mut self.allow_oom,
            "allow-stale" => &mut self.allow_stale,
            "no-cluster" => &mut self.no_cluster,
            "allow-cross-slot-keys" => &mut self.allow_cross_slot_keys,
            _ => return false,
        };
        *flag = true;
        true
    }

    /// The names of the flags that are set.
    pub fn names(&self) -> Vec<&'static str> {
        let flags = [
            (self.allow_oom, "allow-oom"),
            (self.allow_stale, "allow-stale"),
            (self.no_cluster, "no-cluster"),
            (self.no_writes, "no-writes"),
            (self.allow_cross_slot_keys, "allow-cross-slot-keys"),
        ];
        flags.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect()
    }
}

/// Bytes of the first line, its line break excluded, if it begins with `#!`.
pub fn shebang_len(text: &[u8]) -> usize {
    match text.starts_with(b"#!") {
        true => memchr::memchr(b'\n', text).unwrap_or(text.len()),
        false => 0,
    }
}

/// What the first line of a script says.
///
/// # Errors
/// When it begins with `#!` and is not understood.
pub fn of_script(text: &[u8]) -> Result<Flags> {
    if !text.starts_with(b"#!") {
        return Ok(Flags::default());
    }
    if !text.contains(&b'\n') {
        return Err(Error::plain("Invalid script shebang"));
    }
    let line = OwnedRequest::from_line(&text[..shebang_len(text)]);
    let line = line.filter(|line| line.args().len() > 0);
    let line = line.ok_or(Error::plain("Invalid engine in script shebang"))?;
    let mut words = line.args().iter().map(String::from_utf8_lossy);
    let engine = words.next().unwrap_or_default();
    if engine != "#!lua" {
        return Err(Error::plain(format!("Unexpected engine in script shebang: {engine}")));
    }
    let mut flags = Flags::DECLARED;
    for word in words {
        let Some(names) = word.strip_prefix("flags=") else {
            return Err(Error::plain(format!("Unknown lua shebang option: {word}")));
        };
        for name in names.split(',').filter(|name| !name.is_empty()) {
            if !flags.set(name) {
                return Err(Error::plain(format!("Unexpected flag in script shebang: {name}")));
            }
        }
    }
    Ok(flags)
}
