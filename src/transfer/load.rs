//! Puts names into a live store, some pairs at a time. Blocks while the journal is behind, so it is not for a thread that
//! serves clients.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::import::{Existing, ImportReport};
use super::{Header, Target};
use crate::error::Error;
use crate::journal::effect::{Cause, Effect, Effects};
use crate::rdb::pairs::PairBuffer;
use crate::script::engine::Engine;
use crate::store::{DATABASES, Held, Limit, NewDeadline, Store, View};

/// Puts names into a store.
pub(super) struct Loader<'s> {
    store: &'s Store,
    existing: Existing,
    /// Names that this loader made, if rows of one name may come apart.
    made: Option<HashSet<(usize, Vec<u8>)>>,
    /// What is done with the namespace whose pairs come.
    open: Open,
    pub report: ImportReport,
}

/// The namespace whose pairs come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    None,
    /// Nothing of it was put yet.
    Begun,
    /// Something of it is there.
    Put,
    /// It had expired, or another is there.
    PassedOver,
}

impl<'s> Loader<'s> {
    pub fn new(store: &'s Store, existing: Existing) -> Loader<'s> {
        Loader { store, existing, made: None, open: Open::None, report: ImportReport::default() }
    }

    /// Lets what comes of one name later join what came before.
    pub fn joining(mut self) -> Self {
        self.made = Some(HashSet::new());
        self
    }

    /// Changes one name, unless memory is used up.
    fn edit<R>(&mut self, header: &Header, edit: impl FnOnce(&mut View<'_>) -> R) -> Result<R> {
        if header.db >= DATABASES {
            bail!("database {} does not exist here: there are {DATABASES}", header.db);
        }
        if self.store.is_over_limit() {
            bail!("memory is used up (maxmemory); what came before is in the store");
        }
        self.wait_for_journal()?;
        let (result, lsn) = self.store.edit(header.db, &header.name, edit);
        self.report.last_lsn = self.report.last_lsn.max(lsn);
        Ok(result)
    }

    /// Waits while more is queued for the disk than should be, so that an import is no faster than that.
    fn wait_for_journal(&self) -> Result<()> {
        const STEP: Duration = Duration::from_millis(1);
        let journal = &self.store.journal;
        while journal.is_behind() && !journal.is_failing() {
            journal.wake();
            std::thread::sleep(STEP);
        }
        if journal.is_failing() {
            bail!("{}; what came before is in the store", journal.refusal());
        }
        Ok(())
    }

    /// What is to be done with a name that comes; removes what the store has, if it must go.
    fn make_place(&mut self, header: &Header) -> Result<Open> {
        let place = self.made.is_some().then(|| (header.db, header.name.clone()));
        let is_made = |(made, place): (&HashSet<_>, _)| made.contains(place);
        if self.made.as_ref().zip(place.as_ref()).is_some_and(is_made) {
            return Ok(Open::Put);
        }
        let replaces = self.existing == Existing::Replace;
        let is_free = self.edit(header, |view| {
            let is_free = view.kind(&header.name).is_none();
            if replaces {
                view.drop_name(&header.name, Cause::Del);
            }
            is_free || replaces
        })?;
        if !is_free {
            self.report.existing_names += 1;
            return Ok(Open::PassedOver);
        }
        if let Some(made) = &mut self.made {
            made.extend(place);
        }
        Ok(Open::Begun)
    }

    fn is_expired(&self, header: &Header) -> bool {
        let now_ms = self.store.clock.now_ms();
        header.deadline_ms.is_some_and(|at_ms| at_ms <= now_ms)
    }

    fn put(&mut self, header: &Header, pairs: &PairBuffer) -> Result<()> {
        let put = self.edit(header, |view| put_pairs(view, header, pairs))?;
        let put = put.with_context(|| format!("{} holds a string", header.name.escape_ascii()))?;
        self.report.pairs += put.pairs;
        self.report.expired_pairs += put.expired;
        self.report.duplicate_pairs += put.duplicates;
        if put.pairs > 0 && self.open == Open::Begun {
            self.report.namespaces += 1;
            self.open = Open::Put;
        }
        Ok(())
    }
}

impl Loader<'_> {
    /// Loads a library, unless one is there that has its name or one of its functions. That it can be
    /// loaded is seen before it is kept.
    fn load_library(&mut self, engine: &mut Engine, code: &[u8]) -> Result<(), Error> {
        // Those that are there already are not the matter here.
        let _ = engine.sync(&self.store.libraries);
        let library = engine.load_library(code)?;
        let replaces = self.existing == Existing::Replace;
        engine.libraries.check(&library, replaces, "")?;
        let mut held = Held::new(self.store);
        held.lock_all();
        let (name, code) = (library.name.as_bytes(), &*library.code);
        let effect = Effect::Library { name, code };
        let mut effects = Effects::default();
        // It was made here, so it can be applied.
        let _ = self.store.libraries.apply(effect);
        effects.push(Cause::Function, effect);
        self.report.last_lsn = self.report.last_lsn.max(held.release(&mut effects).wrote);
        self.report.libraries += 1;
        Ok(())
    }
}

impl Target for Loader<'_> {
    fn library(&mut self, code: &[u8]) -> Result<bool> {
        self.wait_for_journal()?;
        let mut engine = Engine::take().context("there is no Lua for libraries of functions")?;
        let loaded = self.load_library(&mut engine, code);
        engine.put_back();
        if let Err(error) = &loaded {
            tracing::warn!(%error, "a library of functions is passed over");
        }
        Ok(loaded.is_ok())
    }

    fn string(&mut self, header: &Header, value: &[u8]) -> Result<()> {
        if self.is_expired(header) {
            self.report.expired_names += 1;
        } else if self.make_place(header)? != Open::PassedOver {
            let deadline = header.deadline_ms.map_or(NewDeadline::Clear, NewDeadline::At);
            self.edit(header, |view| {
                view.put_string(&header.name, value, deadline, Cause::Restore);
            })?;
            self.report.strings += 1;
        }
        Ok(())
    }

    fn pairs(&mut self, header: &Header, pairs: &PairBuffer, is_last: bool) -> Result<()> {
        if self.open == Open::None {
            self.open = if self.is_expired(header) {
                self.report.expired_names += 1;
                Open::PassedOver
            } else if pairs.is_empty() {
                Open::Begun
            } else {
                self.make_place(header)?
            };
        }
        if self.open != Open::PassedOver && !pairs.is_empty() {
            self.put(header, pairs)?;
        }
        if is_last {
            self.open = Open::None;
        }
        Ok(())
    }

    fn kept(&mut self, header: &Header) -> Result<()> {
        if self.is_expired(header) {
            return Ok(());
        }
        match self.edit(header, |view| view.keep(&header.name, Cause::Kept))? {
            Ok(_) => self.report.kept_namespaces += 1,
            // A string is in the way.
            Err(_) => self.report.existing_names += 1,
        }
        Ok(())
    }

    fn limit(&mut self, header: &Header, limit: Limit) -> Result<()> {
        let replaces = self.existing == Existing::Replace;
        let is_set = self.edit(header, |view| {
            let is_free = replaces || view.limit(&header.name).is_none();
            if is_free { view.set_limit(&header.name, limit).map(|()| true) } else { Ok(false) }
        })?;
        self.report.limits += u64::from(is_set?);
        Ok(())
    }
}

#[derive(Default)]
struct Put {
    pairs: u64,
    expired: u64,
    duplicates: u64,
}

fn put_pairs(
    view: &mut View<'_>,
    header: &Header,
    pairs: &PairBuffer,
) -> crate::error::Result<Put> {
    let now_ms = view.now_ms();
    let name = &header.name;
    let mut put = Put::default();
    for pair in pairs.iter() {
        if !pair.is_alive(now_ms) {
            put.expired += 1;
            continue;
        }
        let deadline = pair.deadline_ms.map_or(NewDeadline::Clear, NewDeadline::At);
        let is_new = view.put_pair(name, pair.key, pair.value, deadline, Cause::Restore)?;
        put.pairs += 1;
        put.duplicates += u64::from(!is_new);
    }
    // Each time: what had only pairs that expired meanwhile was gone.
    if view.deadline_ms(name).is_some_and(|old_ms| old_ms != header.deadline_ms) {
        view.set_deadline(name, header.deadline_ms, Cause::Expire);
    }
    Ok(put)
}
