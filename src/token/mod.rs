//! Tokens: long random words that stand for a user on the HTTP door.
//!
//! A token is bound to an ACL user, has a name for people, may expire, and can be revoked; it ends with its
//! user, so that one of the same name that is made later gets none of them. Only its SHA-256 is kept, so who reads the file learns no token; a token has 256 random bits, so a plain
//! hash is enough. What the user may do is [`crate::command`]'s and the ACL's matter; where tokens are
//! kept is in `file`.

mod file;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context as _;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use file::{File, Stamp};

use crate::hex::{hex, random_word, unhex};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "tokens";
/// Most tokens that are kept.
pub const TOKENS_MAX: usize = 10_000;
/// Longest name of a token, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// What every token begins with.
pub const PREFIX: &str = "pt_";
/// Bytes of a token that find it, and random bytes that prove it.
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
/// Time between two writings of when tokens were last used.
const USE_WRITTEN_EVERY_MS: u64 = 60_000;

/// What is known of a token; not the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Twelve hexadecimal digits, which the token shows.
    pub id: String,
    /// For people.
    pub name: String,
    /// The ACL user it acts as.
    pub user: String,
    /// SHA-256 of the whole token.
    pub hash: [u8; 32],
    /// When it was made, in unix ms.
    pub created_ms: u64,
    /// When it ends, in unix ms.
    pub expires_ms: Option<u64>,
    /// When it was last used, in unix ms, to the minute.
    pub last_used_ms: Option<u64>,
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The ACL user it acts as.
    pub user: String,
    /// The token's id.
    pub id: String,
    /// For people.
    pub name: String,
}

/// What a new token shall be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// For people; at most [`NAME_BYTES_MAX`].
    pub name: String,
    /// The ACL user it acts as.
    pub user: String,
    /// When it ends, in unix ms.
    pub expires_ms: Option<u64>,
}

/// All tokens, and the file they are kept in. The file may be changed by others; see
/// [`Tokens::refresh`].
#[derive(Debug)]
pub struct Tokens {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tokens: HashMap<String, Token>,
    stamp: Option<Stamp>,
    /// Some `last_used_ms` is newer than in the file, which was last written then.
    used_since_ms: Option<u64>,
}

impl Tokens {
    /// The tokens in this file, which need not exist.
    pub fn new(path: PathBuf) -> Tokens {
        Tokens { file: File::new(path), state: Mutex::default() }
    }

    /// Whose a token is, if it exists and has not ended. Compares in constant time.
    pub fn holder_of(&self, presented: &[u8], now_ms: u64) -> Option<Holder> {
        let id = std::str::from_utf8(presented).ok().and_then(id_of)?;
        let mut state = self.state.lock();
        let token = state.tokens.get_mut(id)?;
        let is_right: bool = hash(presented).ct_eq(&token.hash).into();
        if !is_right || token.has_ended(now_ms) {
            return None;
        }
        token.last_used_ms = Some(now_ms);
        let Token { id, name, user, .. } = &*token;
        let holder = Holder { user: user.clone(), id: id.clone(), name: name.clone() };
        state.used_since_ms.get_or_insert(now_ms);
        Some(holder)
    }

    /// Whether what was shown once is still good.
    pub fn is_valid(&self, holder: &Holder, now_ms: u64) -> bool {
        let state = self.state.lock();
        let token = state.tokens.get(&holder.id);
        token.is_some_and(|token| token.user == holder.user && !token.has_ended(now_ms))
    }

    /// Makes a token. Returns the word to show once, and what is kept of it.
    ///
    /// # Errors
    /// When the name is too long, there are too many, or the file can not be written.
    pub fn create(&self, new: NewToken, now_ms: u64) -> anyhow::Result<(String, Token)> {
        anyhow::ensure!(
            new.name.len() <= NAME_BYTES_MAX,
            "a token's name has at most {NAME_BYTES_MAX} bytes"
        );
        let random = |bytes| random_word(2 * bytes).context("no random bytes");
        let (id, secret) = (random(ID_BYTES)?, random(SECRET_BYTES)?);
        let word = format!("{PREFIX}{id}_{secret}");
        let token = Token {
            id: id.clone(),
            name: new.name,
            user: new.user,
            hash: hash(word.as_bytes()),
            created_ms: now_ms,
            expires_ms: new.expires_ms,
            last_used_ms: None,
        };
        self.change(|tokens| {
            tokens.retain(|_, token| !token.has_ended(now_ms));
            anyhow::ensure!(tokens.len() < TOKENS_MAX, "there are {TOKENS_MAX} tokens already");
            tokens.insert(id, token.clone());
            Ok(())
        })?;
        Ok((word, token))
    }

    /// Ends a token; `false` if there is none with this id.
    ///
    /// # Errors
    /// When the file can not be written; the token is still valid then.
    pub fn revoke(&self, id: &str) -> anyhow::Result<bool> {
        let mut was_there = false;
        self.change(|tokens| {
            was_there = tokens.remove(id).is_some();
            Ok(())
        })?;
        Ok(was_there)
    }

    /// Ends all tokens of some users, those included that only the file knows.
    ///
    /// # Errors
    /// When the file can not be read or written; the tokens are still valid then.
    pub fn revoke_of(&self, users: &[&str]) -> anyhow::Result<()> {
        let is_theirs = |token: &Token| users.contains(&&*token.user);
        if !self.file.read()?.values().any(is_theirs) {
            return Ok(());
        }
        self.change(|tokens| {
            tokens.retain(|_, token| !is_theirs(token));
            Ok(())
        })
    }

    /// All of them, by when they were made.
    pub fn list(&self) -> Vec<Token> {
        let mut tokens: Vec<Token> = self.state.lock().tokens.values().cloned().collect();
        tokens.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        tokens
    }

    /// Reads the file again if somebody has changed it, and now and then writes when tokens were used.
    ///
    /// # Errors
    /// When the file can not be read, understood or written; the tokens known so far stay.
    pub fn refresh(&self, now_ms: u64) -> anyhow::Result<()> {
        let stamp = self.file.stamp()?;
        let mut state = self.state.lock();
        if stamp != state.stamp {
            let mut tokens = self.file.read()?;
            keep_uses(&mut tokens, &state.tokens);
            (state.tokens, state.stamp) = (tokens, stamp);
        }
        let is_due = |since_ms: u64| now_ms.saturating_sub(since_ms) >= USE_WRITTEN_EVERY_MS;
        if !state.used_since_ms.is_some_and(is_due) {
            return Ok(());
        }
        drop(state);
        self.change(|_| Ok(()))
    }

    /// Changes what the file holds now, whoever wrote it, and then what is known here.
    fn change(
        &self,
        change: impl FnOnce(&mut HashMap<String, Token>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let _alone = self.file.lock()?;
        let mut tokens = self.file.read()?;
        let mut state = self.state.lock();
        keep_uses(&mut tokens, &state.tokens);
        change(&mut tokens)?;
        self.file.write(&tokens)?;
        *state = State { tokens, stamp: self.file.stamp()?, used_since_ms: None };
        Ok(())
    }
}

impl Token {
    /// Whether it is not valid any more.
    pub fn has_ended(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }

    fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("id".into(), self.id.as_str().into());
        object.insert("name".into(), self.name.as_str().into());
        object.insert("user".into(), self.user.as_str().into());
        object.insert("sha256".into(), hex(&self.hash).into());
        object.insert("created_ms".into(), self.created_ms.into());
        object.insert("expires_ms".into(), self.expires_ms.into());
        object.insert("last_used_ms".into(), self.last_used_ms.into());
        Value::Object(object)
    }

    fn from_json(value: &Value) -> Option<Token> {
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some(Token {
            id: text("id")?,
            name: text("name")?,
            user: text("user")?,
            hash: unhex(text("sha256")?.as_bytes())?.try_into().ok()?,
            created_ms: value.get("created_ms")?.as_u64()?,
            expires_ms: value.get("expires_ms").and_then(Value::as_u64),
            last_used_ms: value.get("last_used_ms").and_then(Value::as_u64),
        })
    }
}

/// Uses that the file does not know yet.
fn keep_uses(tokens: &mut HashMap<String, Token>, known: &HashMap<String, Token>) {
    for (id, token) in tokens {
        let used_ms = known.get(id).and_then(|known| known.last_used_ms);
        token.last_used_ms = token.last_used_ms.max(used_ms);
    }
}

fn id_of(word: &str) -> Option<&str> {
    let (id, _) = word.strip_prefix(PREFIX)?.split_once('_')?;
    Some(id)
}

fn hash(word: &[u8]) -> [u8; 32] {
    Sha256::digest(word).into()
}

#[cfg(test)]
mod tests;
