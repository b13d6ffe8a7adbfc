//! Changes the libraries of functions. What a library is to Lua is [`crate::script::library`]'s
//! matter; how FUNCTION's words are read is the command's.

use super::super::Executor;
use crate::error::Result;
use crate::journal::effect::{Cause, Effect};
use crate::script::engine::Engine;
use crate::store::libraries;

/// Which libraries of functions were changed.
pub enum Change {
    /// The one with this name.
    One(String),
    /// Any.
    All,
}

impl Executor<'_> {
    /// Changes the libraries of functions: all or nothing, and nobody sees anything between.
    ///
    /// # Errors
    /// Those of `change`, or when it has to wait for a script.
    pub fn change_libraries(
        &mut self,
        change: impl FnOnce(&mut Engine) -> Result<Change>,
    ) -> Result {
        if !self.is_in_exec {
            self.release();
            self.held.lock_all();
            self.check_turn()?;
        }
        let kept = &self.server.store.libraries;
        let mut engine = Engine::take().ok_or_else(|| self.server.store.turn.busy())?;
        let changed = engine.sync(kept).and_then(|()| change(&mut engine));
        match &changed {
            Ok(Change::One(name)) => {
                let library = engine.libraries.by_name.get(name);
                let code = library.map_or(&[][..], |library| &*library.code);
                self.record(Effect::Library { name: name.as_bytes(), code });
            }
            Ok(Change::All) => {
                let libraries = engine.libraries.by_name.values();
                let named = libraries.map(|library| (library.name.as_bytes(), &*library.code));
                self.record(Effect::Libraries { all: &libraries::encode(named) });
            }
            Err(_) => {}
        }
        // What was changed here in vain is not what is kept.
        engine.libraries.version = if changed.is_ok() { kept.version() } else { u64::MAX };
        self.put_back(engine);
        if !self.is_in_exec {
            self.release();
        }
        changed.map(drop)
    }

    fn record(&mut self, effect: Effect<'_>) {
        // It was made here, so it can be applied.
        let _ = self.server.store.libraries.apply(effect);
        self.effects.push(Cause::Function, effect);
        self.may_have_changed = true;
    }
}
