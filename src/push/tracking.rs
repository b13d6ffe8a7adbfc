//! Client-side caching: clients that keep copies of what they read are told when it changes.
//!
//! In the default mode it is remembered which client has read which name, in whatever database, as in
//! Redis; the first change tells them and forgets them. In the broadcasting mode a client hears of
//! every name with its prefixes, and nothing is remembered. What happens follows from effects (see
//! [`crate::events`]), so no way in which a name can change is missed. Who reads a name is remembered
//! while the name's stripe is held: the next change comes after that.
//!
//! The table is bounded in names (`tracking-table-max-keys`): one too many, and clients are told that
//! some other one had changed. Those beyond a limit that was lowered go little by little.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};

use super::message::Message;
use super::post::{Post, Round};
use super::readers::Readers;
use crate::clock::Clock;
use crate::events::{Batch, Events, Happening, Interest, Listener};
use crate::journal::Lsn;
use crate::journal::effect::{Cause, Effect};
use crate::server::clients::{Client, Flag};
use crate::store::Store;

/// Where RESP2 clients get invalidations, by way of another connection.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// How many names more than were added are forgotten at once, since the table is locked for as long.
const FORGOTTEN_AT_ONCE: usize = 1000;

/// How a client wants to be told; a session's part.
#[derive(Debug, Clone, Default)]
pub struct Mode {
    /// Whether it hears of all names with its prefixes, read or not.
    pub is_broadcast: bool,
    /// Whether only what is read after CLIENT CACHING YES is remembered.
    pub opts_in: bool,
    /// Whether what is read after CLIENT CACHING NO is not remembered.
    pub opts_out: bool,
    /// Whether it is not told of its own changes.
    pub no_loop: bool,
    /// CLIENT CACHING was called for the next command.
    pub caching: bool,
    /// The client that is told in its stead; 0: none.
    pub redirect: u64,
    /// Of broadcasting.
    pub prefixes: Vec<Box<[u8]>>,
}

impl Mode {
    /// Whether what a command reads is remembered.
    pub fn remembers(&self) -> bool {
        let is_wanted = if self.opts_in { self.caching } else { !(self.opts_out && self.caching) };
        !self.is_broadcast && is_wanted
    }
}

/// Who keeps copies of what.
#[derive(Debug)]
pub struct Tracking(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    events: Arc<Events>,
    post: Arc<Post>,
    clock: Arc<Clock>,
    names_max: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    trackers: HashMap<u64, Tracker>,
    /// Clients that have read a name, those that have left since included.
    readers: Readers,
    /// Of broadcasting clients.
    prefixes: BTreeMap<Box<[u8]>, HashSet<u64>>,
}

#[derive(Debug)]
struct Tracker {
    client: Arc<Client>,
    redirect: Option<Arc<Client>>,
    no_loop: bool,
    is_broadcast: bool,
}

/// A name, and the client who changed it; 0: nobody.
#[derive(Clone, Copy)]
struct Changed<'b> {
    name: &'b [u8],
    by_client: u64,
}

/// What INFO says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Clients that track.
    pub clients: usize,
    /// Names that some of them have read.
    pub names: usize,
    /// The same, counted for each client.
    pub items: usize,
    /// Prefixes of broadcasting clients.
    pub prefixes: usize,
}

impl Tracking {
    /// Nobody tracks.
    pub fn new(store: &Store, post: &Arc<Post>) -> Tracking {
        let shared = Arc::new(Shared {
            events: store.events.clone(),
            post: post.clone(),
            clock: store.clock.clone(),
            names_max: AtomicUsize::new(0),
            table: Mutex::default(),
        });
        store.events.listen(Box::new(Ear(shared.clone())));
        Tracking(shared)
    }

    /// Sets how many names may be remembered; 0: any number.
    pub fn set_names_max(&self, names: usize) {
        self.0.names_max.store(names, Relaxed);
        self.forget_some();
    }

    /// Forgets some names if there are too many; call it now and then.
    pub fn forget_some(&self) {
        self.0.forget_some(self.0.table.lock(), 0);
    }

    /// Begins to tell a client, or changes how. Its prefixes are added to those it has.
    pub fn enable(&self, client: &Arc<Client>, mode: &Mode, redirect: Option<Arc<Client>>) {
        let mut table = self.0.table.lock();
        self.0.events.set_interest(Interest::Tracking, true);
        for prefix in &mode.prefixes {
            table.prefixes.entry(prefix.clone()).or_default().insert(client.id);
        }
        let tracker = Tracker {
            client: client.clone(),
            redirect,
            no_loop: mode.no_loop,
            is_broadcast: mode.is_broadcast,
        };
        table.trackers.insert(client.id, tracker);
    }

    /// Ends it. What the client has read stays in the table until it changes.
    pub fn disable(&self, client_id: u64) {
        let mut table = self.0.table.lock();
        if table.trackers.remove(&client_id).is_none() {
            return;
        }
        table.prefixes.retain(|_, ids| {
            ids.remove(&client_id);
            !ids.is_empty()
        });
        if table.trackers.is_empty() {
            *table = Table::default();
            self.0.events.set_interest(Interest::Tracking, false);
        }
    }

    /// A client has read names, whose stripes are held.
    pub fn remember<'n>(&self, client_id: u64, names: impl Iterator<Item = &'n [u8]>) {
        let mut table = self.0.table.lock();
        let before = table.readers.len();
        table.remember(client_id, names);
        let added = table.readers.len() - before;
        self.0.forget_some(table, added);
    }

    /// What INFO says.
    pub fn counts(&self) -> Counts {
        let table = self.0.table.lock();
        Counts {
            clients: table.trackers.len(),
            names: table.readers.len(),
            items: table.readers.items(),
            prefixes: table.prefixes.len(),
        }
    }
}

impl Shared {
    /// Tells of names, as if they had changed, while there are too many: of as many as were `added`, and of some
    /// more.
    fn forget_some(&self, mut table: MutexGuard<'_, Table>, added: usize) {
        let names_max = self.names_max.load(Relaxed);
        if names_max == 0 || table.readers.len() <= names_max {
            return;
        }
        let mut round = self.post.round(self.clock.now_ms());
        let too_many = table.readers.len() - names_max;
        for _ in 0..too_many.min(added + FORGOTTEN_AT_ONCE) {
            let Some(name) = table.readers.next() else { return };
            table.changed(&name, 0, 0, &mut round);
        }
    }
}

impl Table {
    fn remember<'n>(&mut self, client_id: u64, names: impl Iterator<Item = &'n [u8]>) {
        names.for_each(|name| self.readers.add(name, client_id));
    }

    /// Tells those who have read a name, and forgets them.
    fn changed(&mut self, name: &[u8], lsn: Lsn, by_client: u64, round: &mut Round<'_>) {
        let Some(ids) = self.readers.take(name) else { return };
        let message = Arc::new(invalidation(lsn, Some(&[name])));
        // Who broadcasts now may have read it before.
        let trackers = ids.iter().filter_map(|id| self.trackers.get(id));
        for tracker in trackers.filter(|tracker| !tracker.is_broadcast) {
            tracker.tell(&message, by_client, round);
        }
    }

    /// Tells everybody that everything has changed.
    fn everything_changed(&mut self, lsn: Lsn, round: &mut Round<'_>) {
        self.readers.clear();
        let message = Arc::new(invalidation(lsn, None));
        self.trackers.values().for_each(|tracker| tracker.tell(&message, 0, round));
    }

    /// Tells broadcasting clients of what one batch has changed.
    fn broadcast(&self, names: &[Changed<'_>], lsn: Lsn, round: &mut Round<'_>) {
        for (prefix, ids) in &self.prefixes {
            let with_prefix = |but_by: u64| {
                let mut seen = HashSet::new();
                let others = names.iter().filter(|it| but_by == 0 || it.by_client != but_by);
                let names = others.map(|it| it.name).filter(|name| name.starts_with(prefix));
                let shown: Vec<&[u8]> = names.filter(|name| seen.insert(*name)).collect();
                (!shown.is_empty()).then(|| Arc::new(invalidation(lsn, Some(&shown))))
            };
            let Some(message) = with_prefix(0) else { continue };
            for tracker in ids.iter().filter_map(|id| self.trackers.get(id)) {
                let id = tracker.client.id;
                if !tracker.no_loop || names.iter().all(|it| it.by_client != id) {
                    tracker.tell(&message, 0, round);
                } else if let Some(message) = with_prefix(id) {
                    tracker.tell(&message, 0, round);
                }
            }
        }
    }

    fn hear(&mut self, batch: &Batch, round: &mut Round<'_>) {
        let lsn = batch.lsn;
        let mut names: Vec<Changed<'_>> = Vec::new();
        // FLUSHALL is many effects, and one message.
        let mut was_all = false;
        for happening in batch.happenings() {
            let (cause, effect) = match happening {
                Happening::Change { cause, effect, .. } => (cause, effect),
                Happening::Read { client_id, names: read } => {
                    self.tell_of(&names, lsn, round);
                    names.clear();
                    self.remember(client_id, read.iter().map(|name| &**name));
                    continue;
                }
                Happening::Miss { .. } | Happening::CommandEnd | Happening::Published(_) => {
                    continue;
                }
            };
            // Nobody's command did that, whoever came to see it.
            let by_client = match cause {
                Cause::Expired | Cause::Hexpired | Cause::Evicted => 0,
                _ => batch.client_id,
            };
            let mut changed = |name| names.push(Changed { name, by_client });
            match effect {
                Effect::PutPair { name, .. }
                | Effect::DeletePair { name, .. }
                | Effect::PairDeadline { name, .. }
                | Effect::PutString { name, .. }
                | Effect::PatchString { name, .. }
                | Effect::DropName { name, .. }
                | Effect::NameDeadline { name, .. }
                | Effect::Move { name, .. } => changed(name),
                Effect::Rename { name, to, .. } => [name, to].into_iter().for_each(changed),
                Effect::Copy { to, .. } => changed(to),
                Effect::SwapDb { .. } | Effect::Flush { .. } => {
                    if !was_all || !names.is_empty() {
                        self.tell_of(&names, lsn, round);
                        names.clear();
                        self.everything_changed(lsn, round);
                    }
                    was_all = true;
                }
                Effect::Keep { .. }
                | Effect::Libraries { .. }
                | Effect::Library { .. }
                | Effect::Limit { .. } => {}
            }
        }
        self.tell_of(&names, lsn, round);
    }

    fn tell_of(&mut self, names: &[Changed<'_>], lsn: Lsn, round: &mut Round<'_>) {
        names.iter().for_each(|it| self.changed(it.name, lsn, it.by_client, round));
        if !self.prefixes.is_empty() && !names.is_empty() {
            self.broadcast(names, lsn, round);
        }
    }
}

impl Tracker {
    fn tell(&self, message: &Arc<Message>, by_client: u64, round: &mut Round<'_>) {
        if self.no_loop && by_client == self.client.id {
            return;
        }
        let Some(target) = &self.redirect else {
            if self.client.resp.load(Relaxed) == 3 {
                round.send(&self.client, message);
            }
            return;
        };
        if target.is_gone() {
            self.client.set(Flag::BrokenRedirect, true);
            if self.client.resp.load(Relaxed) == 3 {
                round.send(&self.client, &Arc::new(broken(message.lsn, target.id)));
            }
        } else if target.resp.load(Relaxed) == 3 || target.is_subscriber() {
            round.send(target, message);
        }
    }
}

/// `None`: of everything.
fn invalidation(lsn: Lsn, names: Option<&[&[u8]]>) -> Message {
    Message::either(lsn, |reply| {
        if reply.is_resp3() {
            reply.push(2);
            reply.bulk(b"invalidate");
        } else {
            reply.array(3);
            reply.bulk(b"message");
            reply.bulk(CHANNEL);
        }
        let Some(names) = names else { return reply.null() };
        reply.array(names.len());
        names.iter().for_each(|name| reply.bulk(name));
    })
}

/// The client that was to be told is gone.
fn broken(lsn: Lsn, redirect: u64) -> Message {
    Message::either(lsn, |reply| {
        if reply.is_resp3() {
            reply.push(2);
            reply.bulk(b"tracking-redir-broken");
            reply.integer(redirect as i64);
        }
    })
}

struct Ear(Arc<Shared>);

impl Listener for Ear {
    fn hear(&mut self, batches: &[Batch]) {
        let mut table = self.0.table.lock();
        if table.trackers.is_empty() {
            return;
        }
        let before = table.readers.len();
        let mut round = self.0.post.round(self.0.clock.now_ms());
        batches.iter().for_each(|batch| table.hear(batch, &mut round));
        drop(round);
        let added = table.readers.len().saturating_sub(before);
        self.0.forget_some(table, added);
    }
}
