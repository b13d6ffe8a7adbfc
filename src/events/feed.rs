//! Changes of a namespace, a string or one key, for whoever shows them as they happen: HTTP's event
//! streams and long polls.
//!
//! ```text
//! let watch = server.feed.watch(Filter { db: 0, name: Some(b"shop".into()), key: None }, after);
//! loop {
//!     match watch.next().await {
//!         Next::Change(change) => send(change.place, &change),
//!         Next::Gap => reload everything, and go on,
//!     }
//! }
//! ```
//!
//! - To show a state and then what happens to it: begin to watch *first*, then read the state. Every
//!   change that the state does not show yet will come; some that it shows may come, too. They are
//!   absolute values, so applying them again does no harm.
//! - A [`Place`] identifies a change: its LSN and its number in that batch. It is what an event's id
//!   should say; with it as `after`, a client that was cut off goes on where it was. Places ascend.
//!   They mean nothing to another process: LSNs go on after a restart, the history does not.
//! - The history is one ring for all, bounded in bytes ([`HISTORY_BYTES_MAX`]). A watcher has no queue
//!   of its own, only its place in the ring: one that is too slow, or comes back too late, gets
//!   [`Next::Gap`] once, and then what happens after that. Nobody waits for it and nothing grows.
//! - A change is shown when it is as safe as the journal's policy promises, like a reply.
//! - It all costs something only while somebody watches, and [`LINGER_MS`] longer.
//!
//! A watch must be polled on a worker thread (where HTTP connections live): it waits for that
//! thread's gate, and is woken through that thread's bell, once for many changes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::{Batch, Events, Interest, Listener};
use crate::clock::Clock;
use crate::journal::effect::{Cause, Effect};
use crate::journal::{Journal, Lsn, Seen};
use crate::push::post::Post;
use crate::server::worker::Worker;
use crate::store::Store;

/// Memory of the history, values included.
pub const HISTORY_BYTES_MAX: usize = 16 << 20;
/// Values above this are not kept: [`Change::value`] is `None` and whoever wants it reads it.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// How long the history is continued when nobody watches any more, so that a client which was cut off
/// finds it, in milliseconds.
pub const LINGER_MS: u64 = 60_000;

/// What a watch shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The database.
    pub db: usize,
    /// The name; `None`: all names of the database.
    pub name: Option<Box<[u8]>>,
    /// One key of a namespace; `None`: all of it. What happens to the name as a whole is shown, too.
    pub key: Option<Box<[u8]>>,
}

/// Where a change stands in the one order of all changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The journal's number of the batch it is in.
    pub lsn: Lsn,
    /// Its number in that batch, from 0.
    pub index: u32,
}

/// One change of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it stands.
    pub place: Place,
    /// Why; [`Cause::event`] is Redis's word for it.
    pub cause: Cause,
    /// The database.
    pub db: usize,
    /// The name; empty for [`What::Reset`].
    pub name: Box<[u8]>,
    /// What happened to it.
    pub what: What,
    /// The key of the pair, if it happened to one.
    pub key: Option<Box<[u8]>>,
    /// What is there now, if something was put that is not too long.
    pub value: Option<Box<[u8]>>,
    /// When that ends, in unix ms, if it does.
    pub deadline_ms: Option<u64>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A pair or a string has a value.
    Put,
    /// A pair is gone. The last one takes its namespace along, unless that is kept.
    Deleted {
        /// Whether the namespace is empty now.
        is_last: bool,
    },
    /// A pair or a name has a deadline, or none any more.
    Deadline,
    /// The name and all under it is gone.
    Dropped,
    /// Something else is under the name than before (RENAME, COPY, MOVE), or a part of a long string
    /// changed: read it.
    Replaced,
    /// The namespace stays when it is empty; it was made if need be.
    Kept,
    /// Everything in the database changed (FLUSHDB, SWAPDB): read it.
    Reset,
}

/// What a watch says next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This happened.
    Change(Arc<Change>),
    /// Something happened that is not known any more: read what you show again.
    Gap,
}

/// The history, and who watches it.
#[derive(Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    events: Arc<Events>,
    journal: Journal,
    post: Arc<Post>,
    clock: Arc<Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    history: VecDeque<Arc<Change>>,
    bytes: usize,
    /// What happened at this place and before is not in the history.
    lost_to: Place,
    last: Place,
    watchers: HashMap<u64, Watcher>,
    /// Watchers of one name by database and name, others under the empty name.
    by_name: HashMap<(usize, Box<[u8]>), Vec<u64>>,
    last_id: u64,
    /// Whether changes are heard.
    is_kept: bool,
    /// When the last watcher left, in unix ms.
    idle_since_ms: Option<u64>,
}

#[derive(Debug)]
struct Watcher {
    filter: Filter,
    worker: usize,
    /// The next place which it wants to be shown, if there is one yet.
    wants: Option<Place>,
    waker: Option<Waker>,
}

/// One watcher's view of the feed. Ends when dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    id: u64,
    from: Place,
}

impl Feed {
    /// A feed of what happens in the store; there should be one.
    pub fn new(store: &Store, post: &Arc<Post>) -> Feed {
        let events = &store.events;
        let shared = Shared {
            events: events.clone(),
            journal: store.journal.clone(),
            post: post.clone(),
            clock: store.clock.clone(),
            state: Mutex::default(),
        };
        let shared = Arc::new(shared);
        events.listen(Box::new(Ear(shared.clone())));
        Feed { shared }
    }

    /// Begins to watch: what happens from now on, or after the place `after`. Must be called on a
    /// worker thread.
    pub fn watch(&self, filter: Filter, after: Option<Place>) -> Watch {
        let index = Worker::with(|worker| {
            worker.employ_porter();
            worker.index
        });
        self.watch_on(index, filter, after)
    }

    fn watch_on(&self, worker: usize, filter: Filter, after: Option<Place>) -> Watch {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        if !std::mem::replace(&mut state.is_kept, true) {
            shared.events.set_interest(Interest::Feed, true);
            // What happened while nobody watched is not in the history.
            state.last = state.last.max(Place::end_of(shared.journal.last()));
            state.forget();
        }
        state.idle_since_ms = None;
        state.last_id += 1;
        let id = state.last_id;
        // A place behind the last one is another process's.
        let is_known = after.is_none_or(|after| after >= state.lost_to && after <= state.last);
        let from = after.unwrap_or(state.last);
        let wants = match is_known {
            true => state.first_for(&filter, from),
            false => Some(Place::default()),
        };
        state.by_name.entry(filter.index()).or_default().push(id);
        let watcher = Watcher { filter, worker, wants, waker: None };
        state.watchers.insert(id, watcher);
        Watch { shared: shared.clone(), id, from }
    }
}

impl Watch {
    /// The place after which it begins: another watch from there shows the same.
    pub fn from(&self) -> Place {
        self.from
    }

    /// Waits for what comes next.
    pub async fn next(&mut self) -> Next {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// What comes next, if it is there and may be shown. If not, who asks is woken when it may be so.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let Some(next) = self.peek(cx) else { return Poll::Pending };
        if let Next::Change(change) = &next {
            let seen = Seen { touched: change.place.lsn, wrote: 0 };
            if Worker::with(|worker| worker.poll_passage(seen, cx)).is_pending() {
                return Poll::Pending;
            }
        }
        self.advance(&next);
        Poll::Ready(next)
    }

    fn peek(&self, cx: &Context<'_>) -> Option<Next> {
        let mut state = self.shared.state.lock();
        let State { history, lost_to, watchers, .. } = &mut *state;
        let watcher = watchers.get_mut(&self.id)?;
        match watcher.wants {
            Some(place) if place <= *lost_to => Some(Next::Gap),
            Some(place) => position(history, place).map(|at| Next::Change(history[at].clone())),
            None => {
                watcher.waker = Some(cx.waker().clone());
                None
            }
        }
    }

    fn advance(&self, shown: &Next) {
        let mut state = self.shared.state.lock();
        let last = state.last;
        let Some(watcher) = state.watchers.get(&self.id) else { return };
        let filter = watcher.filter.clone();
        let shown_to = match shown {
            Next::Change(change) => change.place,
            // What is read after this shows all of the history.
            Next::Gap => last,
        };
        let wants = state.first_for(&filter, shown_to);
        if let Some(watcher) = state.watchers.get_mut(&self.id) {
            watcher.wants = wants;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let Some(watcher) = state.watchers.remove(&self.id) else { return };
        let index = watcher.filter.index();
        if let Some(ids) = state.by_name.get_mut(&index) {
            ids.retain(|id| *id != self.id);
            if ids.is_empty() {
                state.by_name.remove(&index);
            }
        }
        if state.watchers.is_empty() {
            state.idle_since_ms = Some(self.shared.clock.now_ms());
        }
    }
}

impl Filter {
    fn index(&self) -> (usize, Box<[u8]>) {
        (self.db, self.name.clone().unwrap_or_default())
    }

    fn shows(&self, change: &Change) -> bool {
        if change.db != self.db {
            return false;
        }
        if change.what == What::Reset {
            return true;
        }
        let is_other = |wanted: &Option<Box<[u8]>>, is: &[u8]| {
            wanted.as_deref().is_some_and(|wanted| wanted != is)
        };
        let is_other_key = change.key.as_deref().is_some_and(|key| is_other(&self.key, key));
        !is_other(&self.name, &change.name) && !is_other_key
    }
}

impl State {
    /// The first change after a place that a filter shows.
    fn first_for(&self, filter: &Filter, after: Place) -> Option<Place> {
        let from = self.history.partition_point(|change| change.place <= after);
        let found = self.history.range(from..).find(|change| filter.shows(change));
        found.map(|change| change.place)
    }

    fn add(&mut self, change: Change) -> Vec<(usize, Waker)> {
        let place = change.place;
        let change = Arc::new(change);
        let mut wakers = Vec::new();
        let State { by_name, watchers, .. } = &mut *self;
        let mut tell = |ids: &Vec<u64>| {
            for id in ids {
                let Some(watcher) = watchers.get_mut(id) else { continue };
                if watcher.wants.is_none() && watcher.filter.shows(&change) {
                    watcher.wants = Some(place);
                    wakers.extend(watcher.waker.take().map(|waker| (watcher.worker, waker)));
                }
            }
        };
        if change.what == What::Reset {
            by_name.iter().filter(|((db, _), _)| *db == change.db).for_each(|(_, ids)| tell(ids));
        } else {
            let all = (change.db, Box::default());
            by_name.get(&all).into_iter().for_each(&mut tell);
            if !change.name.is_empty() {
                let one = (change.db, change.name.clone());
                by_name.get(&one).into_iter().for_each(&mut tell);
            }
        }
        self.last = self.last.max(place);
        self.bytes += change.bytes();
        self.history.push_back(change);
        while self.bytes > HISTORY_BYTES_MAX {
            let Some(old) = self.history.pop_front() else { break };
            self.bytes -= old.bytes();
            self.lost_to = old.place;
        }
        wakers
    }

    /// Forgets the history.
    fn forget(&mut self) {
        self.history = VecDeque::new();
        self.bytes = 0;
        self.lost_to = self.last;
    }
}

/// Where the change with this place is.
fn position(history: &VecDeque<Arc<Change>>, place: Place) -> Option<usize> {
    history.binary_search_by_key(&place, |change| change.place).ok()
}

impl Change {
    /// Memory that it takes in the history.
    fn bytes(&self) -> usize {
        let len = |bytes: &Option<Box<[u8]>>| bytes.as_ref().map_or(0, |bytes| bytes.len());
        size_of::<Change>() + self.name.len() + len(&self.key) + len(&self.value)
    }
}

/// Writes the history.
struct Ear(Arc<Shared>);

impl Listener for Ear {
    fn hear(&mut self, batches: &[Batch]) {
        let shared = &*self.0;
        let now_ms = shared.clock.now_ms();
        let mut state = shared.state.lock();
        let is_idle = |since_ms: u64| now_ms.saturating_sub(since_ms) > LINGER_MS;
        if state.watchers.is_empty() && state.idle_since_ms.is_none_or(is_idle) {
            shared.events.set_interest(Interest::Feed, false);
            state.is_kept = false;
            state.forget();
            return;
        }
        let mut round = shared.post.round(now_ms);
        for batch in batches {
            let mut index = 0;
            for (cause, effect) in batch.changes() {
                each_change(cause, effect, |change| {
                    let place = Place { lsn: batch.lsn, index };
                    index += 1;
                    for (worker, waker) in state.add(Change { place, ..change }) {
                        round.wake(worker, || waker);
                    }
                });
            }
        }
    }
}

impl Place {
    /// Behind all changes of a batch.
    fn end_of(lsn: Lsn) -> Place {
        Place { lsn, index: u32::MAX }
    }
}

/// What an effect means for each name it concerns.
fn each_change(cause: Cause, effect: Effect<'_>, mut show: impl FnMut(Change)) {
    let blank = |db: u8, name: &[u8], what: What| Change {
        place: Place::default(),
        cause,
        db: usize::from(db),
        name: name.into(),
        what,
        key: None,
        value: None,
        deadline_ms: None,
    };
    let some = |deadline_ms: u64| (deadline_ms != u64::MAX).then_some(deadline_ms);
    let kept = |value: &[u8]| (value.len() <= VALUE_BYTES_MAX).then(|| value.into());
    match effect {
        Effect::PutPair { db, name, key, value, deadline_ms } => show(Change {
            key: Some(key.into()),
            value: kept(value),
            deadline_ms: some(deadline_ms),
            ..blank(db, name, What::Put)
        }),
        Effect::DeletePair { db, name, key, is_last } => {
            let what = What::Deleted { is_last };
            show(Change { key: Some(key.into()), ..blank(db, name, what) });
        }
        Effect::PairDeadline { db, name, key, deadline_ms } => show(Change {
            key: Some(key.into()),
            deadline_ms: some(deadline_ms),
            ..blank(db, name, What::Deadline)
        }),
        Effect::PutString { db, name, value, deadline_ms } => show(Change {
            value: kept(value),
            deadline_ms: some(deadline_ms),
            ..blank(db, name, What::Put)
        }),
        Effect::PatchString { db, name, .. } => show(blank(db, name, What::Replaced)),
        Effect::DropName { db, name } => show(blank(db, name, What::Dropped)),
        Effect::NameDeadline { db, name, deadline_ms } => {
            let deadline_ms = some(deadline_ms);
            show(Change { deadline_ms, ..blank(db, name, What::Deadline) });
        }
        Effect::Rename { db, name, to } => {
            show(blank(db, name, What::Dropped));
            show(blank(db, to, What::Replaced));
        }
        Effect::Copy { to_db, to, .. } => show(blank(to_db, to, What::Replaced)),
        Effect::Move { db, name, to_db } => {
            show(blank(db, name, What::Dropped));
            show(blank(to_db, name, What::Replaced));
        }
        Effect::SwapDb { a, b } => {
            show(blank(a, b"", What::Reset));
            show(blank(b, b"", What::Reset));
        }
        Effect::Flush { db } => show(blank(db, b"", What::Reset)),
        Effect::Keep { db, name } => show(blank(db, name, What::Kept)),
        // They change no names.
        Effect::Libraries { .. } | Effect::Library { .. } | Effect::Limit { .. } => {}
    }
}
