//! Connections of one thread that go on together: all that have requests run them, then all that have
//! answers send them.
//!
//! Work of one kind in a row finds its code and what it looks at in the processor's cache, and going on
//! from here costs less than a turn of the event loop. A connection's task reads from the socket and
//! hands the connection over by its desk's number; what the connection does then is its own matter.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Connection;
use super::row::Row;
use crate::prefetch::prefetch;
use crate::resp::ahead::AHEAD_MAX;
use crate::server::Server;
use crate::server::worker::Worker;

/// Passes over those who wait, before the event loop's other tasks have their turn: one to run, one to
/// answer.
const PASSES: usize = 2;
/// Connections that go on in one pass at most.
const PASS_MAX: usize = 256;

thread_local! {
    static DESKS: RefCell<Desks> = const { RefCell::new(Desks::NONE) };
    static DUE: RefCell<Due> = const { RefCell::new(Due::NOBODY) };
}

/// A connection's place on its thread, for as long as its task lives.
pub(super) struct Desk(usize);

impl Desk {
    /// Gives a connection a place.
    pub(super) fn take(connection: Box<Connection>) -> Desk {
        Desk(DESKS.with_borrow_mut(|desks| desks.seat(connection)))
    }

    /// Its number on this thread.
    pub(super) fn number(&self) -> usize {
        self.0
    }

    /// Lets the connection go on until it has to wait, or ends.
    pub(super) fn poll(&self, server: &Server, cx: &mut Context<'_>) -> Poll<()> {
        // Without one it is over.
        let Some(mut connection) = lift(self.0) else { return Poll::Ready(()) };
        connection.awaits_input = false;
        let polled = poll_one(self.0, &mut connection, server, cx);
        if polled.is_pending() {
            put_back(self.0, connection);
        }
        polled
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // With the thread, its desks may be gone.
        let left = DESKS.try_with(|desks| desks.borrow_mut().clear(self.0));
        drop(left);
    }
}

/// Gives those connections to `take` that are wanted of those at some desks, and moves the other desks to the
/// front. Returns how many these are.
#[inline]
pub(super) fn lift_those(
    desks: &mut [usize],
    mut are_wanted: impl FnMut(&Connection) -> bool,
    mut take: impl FnMut(usize, Box<Connection>),
) -> usize {
    DESKS.with_borrow_mut(|seats| {
        let mut left = 0;
        for at in 0..desks.len() {
            seats.fetch_clients(&desks[at..]);
            let desk = desks[at];
            let wanted = seats.all.get_mut(desk).and_then(|seat| seat.take_if(|it| are_wanted(it)));
            match wanted {
                Some(connection) => take(desk, connection),
                None => {
                    desks[left] = desk;
                    left += 1;
                }
            }
        }
        left
    })
}

/// Lets the connection at a desk of this thread go on behind all that are due.
pub fn enlist(desk: usize) {
    DUE.with_borrow_mut(|due| {
        due.desks.push(desk);
        if let Some(runner) = due.runner.take() {
            runner.wake();
        }
    });
}

/// Lets those who are due go on, for as long as the thread's event loop lives.
pub async fn run(server: Arc<Server>) {
    let (mut desks, mut row) = (Vec::new(), Row::default());
    let turns = std::future::poll_fn(|cx| {
        for _ in 0..PASSES {
            DUE.with_borrow_mut(|due| due.take(&mut desks));
            for some in desks.chunks_mut(AHEAD_MAX) {
                Worker::with(|worker| worker.row(true));
                let left = row.run(some, &server);
                let left = &some[..left];
                for (at, &desk) in left.iter().enumerate() {
                    DESKS.with_borrow(|desks| desks.fetch_clients(&left[at..]));
                    go_on(desk, &server);
                }
                Worker::with(|worker| worker.row(false));
            }
            desks.clear();
        }
        DUE.with_borrow_mut(|due| match due.desks.is_empty() {
            true => due.runner = Some(cx.waker().clone()),
            false => cx.waker().wake_by_ref(),
        });
        Poll::<()>::Pending
    });
    // What tokio lets one task do in a turn is meant for one connection.
    tokio::task::unconstrained(turns).await;
}

/// Lets one connection go on, if it is there.
fn go_on(desk: usize, server: &Server) {
    let Some(mut connection) = lift(desk) else { return };
    let waker = std::mem::replace(&mut connection.waker, Waker::noop().clone());
    let mut cx = Context::from_waker(&waker);
    match poll_one(desk, &mut connection, server, &mut cx) {
        Poll::Pending => {
            connection.waker = waker;
            put_back(desk, connection);
        }
        Poll::Ready(()) => {
            drop(connection);
            waker.wake();
        }
    }
}

/// Lets one connection go on. A panic ends it, and must not be the others' matter.
fn poll_one(
    desk: usize,
    connection: &mut Connection,
    server: &Server,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let polled = catch_unwind(AssertUnwindSafe(|| connection.poll(desk, server, cx)));
    let polled = polled.unwrap_or(Poll::Ready(()));
    if polled.is_ready() {
        connection.leave(server);
    }
    polled
}

fn lift(desk: usize) -> Option<Box<Connection>> {
    DESKS.with_borrow_mut(|desks| desks.all.get_mut(desk)?.take())
}

pub(super) fn put_back(desk: usize, connection: Box<Connection>) {
    DESKS.with_borrow_mut(|desks| desks.all[desk] = Some(connection));
}

/// The connections of a thread, but for the one that goes on right now.
struct Desks {
    all: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
}

impl Desks {
    const NONE: Desks = Desks { all: Vec::new(), free: Vec::new() };

    fn seat(&mut self, connection: Box<Connection>) -> usize {
        match self.free.pop() {
            Some(desk) => {
                self.all[desk] = Some(connection);
                desk
            }
            None => {
                self.all.push(Some(connection));
                self.all.len() - 1
            }
        }
    }

    /// Frees a place. Who is still there is for the caller to drop, when nothing is borrowed.
    fn clear(&mut self, desk: usize) -> Option<Box<Connection>> {
        self.free.push(desk);
        self.all[desk].take()
    }

    /// Brings connections that follow, and their clients, into the processor's cache.
    #[inline]
    fn fetch_clients(&self, some: &[usize]) {
        let at = |place: usize| self.all.get(*some.get(place)?)?.as_deref();
        if let Some(connection) = at(4) {
            prefetch(&connection.session.client);
            prefetch(&connection.output);
            prefetch(&connection.stream);
        }
        if let Some(connection) = at(2) {
            let client = &*connection.session.client;
            prefetch(&client.mailbox);
            prefetch(&client.memory);
        }
    }
}

/// Who is to go on. A desk may be in it that has been left or that somebody else has taken since.
struct Due {
    desks: Vec<usize>,
    /// Who lets them go on, while nobody is due.
    runner: Option<Waker>,
}

impl Due {
    const NOBODY: Due = Due { desks: Vec::new(), runner: None };

    /// Moves those who are first to `desks`, which is empty.
    fn take(&mut self, desks: &mut Vec<usize>) {
        std::mem::swap(&mut self.desks, desks);
        if desks.len() > PASS_MAX {
            self.desks.extend(desks.drain(PASS_MAX..));
        }
    }
}
