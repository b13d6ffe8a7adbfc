//! Applies effects to a store: what recovery does, and what tests compare with.

use super::name::NewDeadline;
use super::view::{Known, View};
use super::{Access, DATABASES, Held, NEVER, Settings, Store};
use crate::error::{Error, Result};
use crate::events::notes::Notes;
use crate::journal::effect::{Cause, Damaged, Decoder, Effect, Effects};

impl Store {
    /// Applies encoded effects, all under one lock, as one batch of this store's journal.
    pub fn replay(&self, encoded: &[u8]) -> Result<(), Damaged> {
        self.replay_noting(Notes::default(), encoded)
    }

    /// The same for what a client has done; `notes` says which, and what it has looked for in vain.
    pub fn replay_noting(&self, notes: Notes, encoded: &[u8]) -> Result<(), Damaged> {
        let effects: Vec<(Cause, Effect<'_>)> = Decoder::new(encoded).collect::<Result<_, _>>()?;
        let mut held = Held::new(self);
        held.lock_all();
        let mut recorded = Effects::default();
        recorded.notes = notes.lasting();
        for (cause, effect) in effects {
            self.libraries.apply(effect)?;
            self.limits.apply(effect)?;
            // Time stands still: what has expired meanwhile is the reaper's and the readers' matter.
            let access = Access {
                db: effect.db(),
                now_ms: 0,
                random_seed: 0,
                touch: true,
                used_ms: self.clock.now_ms(),
                settings: &Settings::NONE,
                user: None,
            };
            let mut view = View::live(&mut held, &mut recorded, access, Known::default());
            view.apply(cause, effect).map_err(|_| Damaged)?;
        }
        held.release(&mut recorded);
        Ok(())
    }
}

impl Effect<'_> {
    /// Whether its databases exist.
    pub(super) fn is_possible(&self) -> bool {
        let to_db = match *self {
            Effect::Copy { to_db, .. } | Effect::Move { to_db, .. } => to_db,
            Effect::SwapDb { b, .. } => b,
            _ => 0,
        };
        self.db() < DATABASES && usize::from(to_db) < DATABASES
    }

    /// The database it is in; of two, the first.
    pub(super) fn db(&self) -> usize {
        usize::from(match *self {
            Effect::PutPair { db, .. }
            | Effect::DeletePair { db, .. }
            | Effect::PairDeadline { db, .. }
            | Effect::PutString { db, .. }
            | Effect::PatchString { db, .. }
            | Effect::DropName { db, .. }
            | Effect::NameDeadline { db, .. }
            | Effect::Rename { db, .. }
            | Effect::Copy { db, .. }
            | Effect::Move { db, .. }
            | Effect::SwapDb { a: db, .. }
            | Effect::Flush { db }
            | Effect::Keep { db, .. }
            | Effect::Limit { db, .. } => db,
            Effect::Libraries { .. } | Effect::Library { .. } => 0,
        })
    }
}

impl View<'_> {
    pub(super) fn apply(&mut self, cause: Cause, effect: Effect<'_>) -> Result {
        match effect {
            Effect::PutPair { name, key, value, deadline_ms, .. } => {
                self.put_pair(name, key, value, new_deadline(deadline_ms), cause)?;
            }
            Effect::DeletePair { name, key, .. } => {
                self.delete_pair(name, key, cause)?;
            }
            Effect::PairDeadline { name, key, deadline_ms, .. } => {
                self.set_pair_deadline(name, key, some_deadline(deadline_ms), cause)?;
            }
            Effect::PutString { name, value, deadline_ms, .. } => {
                self.put_string(name, value, new_deadline(deadline_ms), cause);
            }
            Effect::PatchString { name, at, bytes, .. } => {
                let is_there =
                    |at: &usize| self.peek_string(name).is_some_and(|string| *at <= string.len());
                let at = usize::try_from(at).ok().filter(is_there);
                let at = at.ok_or(Error::plain("there is no such part of the string"))?;
                self.patch_string(name, at, bytes, cause);
            }
            Effect::DropName { name, .. } => {
                self.drop_name(name, cause);
            }
            Effect::NameDeadline { name, deadline_ms, .. } => {
                self.set_deadline(name, some_deadline(deadline_ms), cause);
            }
            Effect::Rename { name, to, .. } => {
                self.rename(name, to);
            }
            Effect::Copy { name, to_db, to, .. } => {
                self.copy(name, usize::from(to_db), to);
            }
            Effect::Move { name, to_db, .. } => self.move_over(name, usize::from(to_db)),
            Effect::SwapDb { a, b } => self.swap_dbs(usize::from(a), usize::from(b)),
            Effect::Flush { db } => self.flush(usize::from(db)),
            Effect::Keep { name, .. } => {
                self.keep(name, cause)?;
            }
            // They change no names: who applies effects has set them.
            Effect::Libraries { .. } | Effect::Library { .. } | Effect::Limit { .. } => {
                self.effects.push(cause, effect);
            }
        }
        Ok(())
    }
}

fn new_deadline(deadline_ms: u64) -> NewDeadline {
    if deadline_ms == NEVER { NewDeadline::Clear } else { NewDeadline::At(deadline_ms) }
}

fn some_deadline(deadline_ms: u64) -> Option<u64> {
    (deadline_ms != NEVER).then_some(deadline_ms)
}
