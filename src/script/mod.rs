//! Scripts: Lua programs that clients send, and what they may do.
//!
//! ```text
//! command/scripting.rs   EVAL and SCRIPT       dispatch/script.rs   runs one: locks, commands, time
//!          |                                          |
//!      script/ mod.rs    what all threads share: texts, who runs
//!              engine.rs one thread's Lua: compiles, starts, stops, goes on
//!              host.rs   between a script and the thread that runs it
//!              sandbox.rs, prelude.lua   what scripts find, and what they can not change
//!              library.rs   functions, which are kept with the data
//!              api.rs    redis.*             convert.rs   values <-> replies
//!              cjson.rs, cmsgpack.rs, pack.rs (struct), bit.rs
//! ```
//!
//! A script runs on a stack of its own, on the thread of its client. When it calls a command, or when
//! its time slice is over, its stack is left and the thread goes on; so a script can be put aside
//! without anyone's help, and Lua never sees a lock.

mod api;
mod args;
mod bit;
mod cjson;
mod cmsgpack;
pub mod convert;
pub mod engine;
pub mod flags;
pub mod host;
pub mod library;
mod pack;
mod sandbox;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use flags::Flags;

/// Scripts that EVAL has brought and that are remembered; those of SCRIPT LOAD are not counted.
const EVALUATED_MAX: usize = 500;

/// A script's name: the SHA-1 of its text, as 40 lower case hexadecimal digits.
pub type Sha = [u8; 40];

/// What all threads know of scripts.
#[derive(Debug, Default)]
pub struct Scripts {
    texts: Mutex<Texts>,
    /// Grows when one is forgotten.
    forgotten: AtomicU64,
    flushes: AtomicU64,
    clock: AtomicU64,
    /// What `enable-scripting` says.
    pub is_enabled: bool,
    /// Scripts may call commands that they otherwise may not: DEBUG SET-DISABLE-DENY-SCRIPTS.
    pub may_call_all: AtomicBool,
    /// How many were forgotten because EVAL brought too many.
    pub evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Texts {
    by_sha: HashMap<Sha, Arc<Script>>,
    /// How many of them only EVAL has brought.
    evaluated: usize,
}

/// One script.
#[derive(Debug)]
pub struct Script {
    /// Its name.
    pub sha: Sha,
    /// Its text, as it was sent.
    pub text: Box<[u8]>,
    /// What its first line says.
    pub flags: Flags,
    /// What was learned of it.
    pub habits: Arc<Habits>,
    /// SCRIPT FLUSH or too many others made it forgotten.
    is_forgotten: AtomicBool,
    /// It came with SCRIPT LOAD, so only SCRIPT FLUSH removes it.
    is_loaded: AtomicBool,
    used: AtomicU64,
}

/// What is learned of a script or function when it runs.
#[derive(Debug, Default)]
pub struct Habits {
    /// It was seen to touch names that it had not declared: it needs all stripes.
    pub strays: AtomicBool,
    /// It has run to its end before, so what is known of it is worth something.
    pub is_known: AtomicBool,
}

impl Script {
    /// Whether it may still be used under its name.
    pub fn is_alive(&self) -> bool {
        !self.is_forgotten.load(Relaxed)
    }

    /// The text behind its first line, if that says what language it is; line numbers stay.
    pub fn code(&self) -> &[u8] {
        &self.text[flags::shebang_len(&self.text)..]
    }
}

/// The name of a text.
pub fn sha_of(text: &[u8]) -> Sha {
    let mut sha = [0; 40];
    sha.copy_from_slice(sha1_smol::Sha1::from(text).digest().to_string().as_bytes());
    sha
}

/// The script's name that a client has written, in any case.
pub fn sha_named(name: &[u8]) -> Option<Sha> {
    Sha::try_from(name).ok().map(|sha| sha.map(|digit| digit.to_ascii_lowercase()))
}

impl Scripts {
    /// None yet.
    pub fn new(is_enabled: bool) -> Scripts {
        Scripts { is_enabled, ..Scripts::default() }
    }

    /// The script with this name.
    pub fn find(&self, sha: &Sha) -> Option<Arc<Script>> {
        self.texts.lock().by_sha.get(sha).cloned()
    }

    /// Remembers a text. `is_loaded` if it is to stay until SCRIPT FLUSH.
    ///
    /// # Errors
    /// When its first line is not understood.
    pub fn add(&self, text: &[u8], is_loaded: bool) -> Result<Arc<Script>> {
        let sha = sha_of(text);
        let flags = flags::of_script(text)?;
        let mut texts = self.texts.lock();
        let Texts { by_sha, evaluated } = &mut *texts;
        let script = by_sha.entry(sha).or_insert_with(|| {
            *evaluated += usize::from(!is_loaded);
            Arc::new(Script {
                sha,
                text: text.into(),
                flags,
                habits: Arc::default(),
                is_forgotten: AtomicBool::new(false),
                is_loaded: AtomicBool::new(is_loaded),
                used: AtomicU64::new(0),
            })
        });
        if is_loaded && !script.is_loaded.swap(true, Relaxed) {
            *evaluated -= 1;
        }
        let script = script.clone();
        self.touch(&script);
        self.evict(&mut texts);
        Ok(script)
    }

    /// Notes that a script was used.
    pub fn touch(&self, script: &Script) {
        script.used.store(self.clock.fetch_add(1, Relaxed), Relaxed);
    }

    /// Takes a script back that was added but can not be compiled.
    pub fn remove(&self, script: &Script) {
        self.texts.lock().remove(script);
        self.forgotten.fetch_add(1, Relaxed);
    }

    /// Grows when one is forgotten.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Relaxed)
    }

    /// Forgets all.
    pub fn flush(&self) {
        let texts = std::mem::take(&mut *self.texts.lock());
        for script in texts.by_sha.values() {
            script.is_forgotten.store(true, Relaxed);
        }
        self.flushes.fetch_add(1, Relaxed);
        self.forgotten.fetch_add(1, Relaxed);
    }

    /// How often all were forgotten.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Relaxed)
    }

    /// How many are remembered, and the bytes of their texts.
    pub fn size(&self) -> (usize, usize) {
        let texts = self.texts.lock();
        (texts.by_sha.len(), texts.by_sha.values().map(|script| script.text.len()).sum())
    }

    fn evict(&self, texts: &mut Texts) {
        while texts.evaluated > EVALUATED_MAX {
            let evaluated = texts.by_sha.values().filter(|script| !script.is_loaded.load(Relaxed));
            let Some(oldest) = evaluated.min_by_key(|script| script.used.load(Relaxed)) else {
                return;
            };
            let oldest = oldest.clone();
            texts.remove(&oldest);
            self.evicted.fetch_add(1, Relaxed);
            self.forgotten.fetch_add(1, Relaxed);
        }
    }
}

impl Texts {
    fn remove(&mut self, script: &Script) {
        if self.by_sha.remove(&script.sha).is_some() {
            self.evaluated -= usize::from(!script.is_loaded.load(Relaxed));
        }
        script.is_forgotten.store(true, Relaxed);
    }
}

/// What EVALSHA answers when it knows no such script.
pub fn no_script() -> Error {
    Error::coded("NOSCRIPT No matching script. Please use EVAL.")
}
