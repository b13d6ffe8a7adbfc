//! Watching: what happens to a namespace, a key or everything, as server-sent events or by long poll.
//!
//! Both show [`crate::events::feed`]: every change once, in its order, when it is as safe as a reply.
//! An event's id is its place: the process, the LSN and a number. Who comes back with it goes on where
//! he was, as long as the history reaches; if it does not, there is a `reset`, and what is shown must
//! be read again. A watcher has no queue here: one that reads too slowly gets a `reset`, too.
//!
//! Rights are those of the moment in which a change is shown: of everything only names are shown that the
//! user may read, and who may not watch any more, or with a token that has ended, is shown nothing more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::time::Sleep;

use super::ask::{Ask, invalid};
use super::code::Refusal;
use super::{Call, Later, Pending, show, when};
use crate::error::Error;
use crate::events::feed::{Change, Filter, Next, Place, Watch, What};
use crate::journal::effect::Cause;
use crate::server::http::answer::{self, Answer, Object, Source, write_array};
use crate::server::http::connection::Connection;

/// After so long without an event there is a comment, so that nobody takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After so long a client that was cut off should come back.
const RETRY_MS: u64 = 1000;
/// Bytes of events that are made at once.
const PIECE_BYTES: usize = 16 * 1024;
/// Longest wait of a long poll.
pub(super) const WAIT_MS_MAX: u64 = 300_000;
/// Most changes in one answer to a long poll.
pub(super) const CHANGES_MAX: u64 = 1000;

/// Server-sent events.
pub(super) fn events(ask: &Ask, call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let view = View::new(ask, call.connection)?;
    let after = since(ask, call.connection)?;
    let watch = view.watch(after);
    let mut first = format!("retry: {RETRY_MS}\n").into_bytes();
    view.event(&mut first, watch.from(), "ready", b"{}");
    let heartbeat = Box::pin(tokio::time::sleep(HEARTBEAT));
    let stream = Stream { view, watch, first: Some(Bytes::from(first)), heartbeat };
    Ok(answer::stream("text/event-stream; charset=utf-8", Box::new(stream)))
}

/// A long poll.
pub(super) fn changes(ask: Ask, later: Later<'_>) -> Pending<'_> {
    Box::pin(async move {
        let mut view = View::new(&ask, later.connection)?;
        let wait_ms = match ask.text("wait") {
            None => 0,
            Some(text) => wait_ms(text).ok_or_else(|| {
                invalid("wait", "must be a time such as 30s, PT30S or 30000, of 5 minutes at most")
            })?,
        };
        let most = ask.number("limit", 1, CHANGES_MAX)?.unwrap_or(CHANGES_MAX) as usize;
        let after = since(&ask, later.connection)?;
        let mut watch = view.watch(after);
        let mut place = watch.from();
        let (mut shown, mut is_reset, mut is_over) = (Vec::new(), false, false);
        let mut patience = Box::pin(tokio::time::sleep(Duration::from_millis(wait_ms)));
        std::future::poll_fn(|cx| {
            is_over = !view.may_go_on();
            while shown.len() < most && !is_reset && !is_over {
                match watch.poll_next(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Next::Gap) => is_reset = true,
                    Poll::Ready(Next::Change(change)) => {
                        place = change.place;
                        shown.extend(Some(change).filter(|change| view.shows(change)));
                    }
                }
            }
            let is_done = !shown.is_empty() || is_reset || is_over || view.connection.is_stopping();
            if is_done { Poll::Ready(()) } else { patience.as_mut().poll(cx) }
        })
        .await;
        if is_over {
            return Err(Error::NoAuth.into());
        }
        if is_reset {
            // What is read after this is newer than this place.
            place = view.watch(None).from();
            shown.clear();
        }
        let mut body = show::object(&ask);
        body.text("since", &view.id(place));
        body.raw("reset", if is_reset { "true" } else { "false" });
        write_array(body.open("data"), &shown, |out, change| {
            out.extend_from_slice(&view.row(change, true));
        });
        Ok(answer::json(StatusCode::OK, body.end()))
    })
}

/// What is watched, and how it is shown.
struct View {
    connection: Arc<Connection>,
    /// The version of the users as of which the client may watch this.
    users: u64,
    filter: Filter,
    has_values: bool,
    is_base64: bool,
}

impl View {
    fn new(ask: &Ask, connection: &Arc<Connection>) -> Result<View, Refusal> {
        let name = ask.bytes("namespace");
        let key = ask.bytes("key");
        if key.is_some() {
            ask.name("namespace")?;
        }
        let filter = Filter { db: 0, name: name.map(Into::into), key: key.map(Into::into) };
        let (has_values, is_base64) = (ask.flag("values"), ask.is_base64());
        let (connection, users) = (connection.clone(), connection.server.acl.version());
        let view = View { connection, users, filter, has_values, is_base64 };
        view.check()?;
        Ok(view)
    }

    /// Who may watch may read; it need not exist yet.
    fn check(&self) -> Result<(), Error> {
        let read = match self.filter.name.as_deref() {
            Some(name) => self.connection.run(&[b"NAMESPACE", b"SCAN", name, b"0", b"COUNT", b"1"]),
            None => self.connection.run(&[b"NAMESPACE", b"NAMES", b"0", b"COUNT", b"1"]),
        };
        match read {
            Ok(_) | Err(Error::NoSuchNamespace | Error::WrongType) => Ok(()),
            Err(failed) => Err(failed),
        }
    }

    /// Whether the client may still watch this.
    fn may_go_on(&mut self) -> bool {
        let server = &self.connection.server;
        let mut session = self.connection.session.lock();
        let token = session.http.as_ref().and_then(|http| http.token.as_ref());
        if token.is_some_and(|it| !server.tokens.is_valid(it, self.connection.now_ms())) {
            return false;
        }
        let users = server.acl.version();
        if self.users == users {
            return true;
        }
        let is_there = session.identity.refresh(&server.acl);
        if !is_there || !session.identity.user().is_enabled {
            return false;
        }
        drop(session);
        self.users = users;
        !matches!(self.check(), Err(Error::NoPerm(_) | Error::NoAuth))
    }

    /// Whether a change is shown to this client.
    fn shows(&self, change: &Change) -> bool {
        // That a kept namespace is empty follows from what came before.
        let is_news = change.what != What::Kept || change.cause != Cause::Emptied;
        let is_named = self.filter.name.is_some() || change.what == What::Reset;
        is_news && (is_named || self.may_read(&change.name))
    }

    fn may_read(&self, name: &[u8]) -> bool {
        let identity = &self.connection.session.lock().identity;
        identity.is_free(&self.connection.server.acl) || identity.user().may_read(name)
    }

    fn watch(&self, after: Option<Place>) -> Watch {
        self.connection.feed().watch(self.filter.clone(), after)
    }

    fn id(&self, place: Place) -> String {
        format!("{}-{}-{}", self.connection.generation(), place.lsn, place.index)
    }

    fn event(&self, out: &mut Vec<u8>, place: Place, event: &str, data: &[u8]) {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(self.id(place).as_bytes());
        out.extend_from_slice(b"\nevent: ");
        out.extend_from_slice(event.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        // JSON has no line breaks but those that it escapes.
        out.extend_from_slice(data);
        out.extend_from_slice(b"\n\n");
    }

    /// A change as a flat row.
    fn row(&self, change: &Change, has_event: bool) -> Vec<u8> {
        let mut row = Object::default();
        if has_event {
            row.text("event", event_of(change));
        }
        show::bytes(&mut row, "namespace", &change.name);
        match &change.key {
            Some(key) => show::bytes(&mut row, "key", key),
            None => row.raw("key", "null"),
        }
        match change.value.as_deref().filter(|_| self.has_values) {
            Some(value) => show::value(&mut row, value, self.is_base64),
            None if self.has_values => row.raw("value", "null"),
            None => {}
        }
        show::deadline(&mut row, change.deadline_ms, self.connection.now_ms());
        row.text("cause", change.cause.event());
        row.end()
    }
}

/// One client's events.
struct Stream {
    view: View,
    watch: Watch,
    first: Option<Bytes>,
    heartbeat: Pin<Box<Sleep>>,
}

impl Source for Stream {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.view.connection.is_stopping() || !self.view.may_go_on() {
            return Poll::Ready(None);
        }
        let mut out = Vec::new();
        while out.len() < PIECE_BYTES {
            match self.watch.poll_next(cx) {
                Poll::Pending => break,
                Poll::Ready(Next::Change(change)) if !self.view.shows(&change) => {}
                Poll::Ready(Next::Change(change)) => {
                    let row = self.view.row(&change, false);
                    self.view.event(&mut out, change.place, event_of(&change), &row);
                }
                Poll::Ready(Next::Gap) => {
                    // What the client reads after this is newer than this place.
                    self.watch = self.view.watch(None);
                    self.view.event(&mut out, self.watch.from(), "reset", b"{}");
                }
            }
        }
        if out.is_empty() {
            if self.heartbeat.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            out.extend_from_slice(b":\n\n");
        }
        self.heartbeat = Box::pin(tokio::time::sleep(HEARTBEAT));
        // The timer must be asked once to wake anybody.
        let _ = self.heartbeat.as_mut().poll(cx);
        Poll::Ready(Some(Ok(Bytes::from(out))))
    }
}

/// The name of an event.
fn event_of(change: &Change) -> &'static str {
    match change.what {
        What::Put => "put",
        What::Deleted { .. } | What::Dropped
            if matches!(change.cause, Cause::Hexpired | Cause::Expired) =>
        {
            "expire"
        }
        What::Deleted { .. } => "delete",
        What::Dropped => "drop",
        What::Deadline => "touch",
        What::Kept => "create",
        What::Replaced => "replace",
        What::Reset => "reset",
    }
}

/// Where a client was: what it says as `since`, or a browser as `Last-Event-ID`.
fn since(ask: &Ask, connection: &Connection) -> Result<Option<Place>, Refusal> {
    let Some(id) = ask.text("since").filter(|id| !id.is_empty()) else { return Ok(None) };
    let mut parts = id.split('-');
    let (generation, lsn, index) = (parts.next(), parts.next(), parts.next());
    let lsn = lsn.and_then(|lsn| lsn.parse().ok());
    let index = index.and_then(|index| index.parse().ok());
    let (Some(lsn), Some(index), None) = (lsn, index, parts.next()) else {
        return Err(invalid("since", "must be the id of an event"));
    };
    // A place of another process means nothing here; one before all others leads to a reset.
    let is_ours = generation == Some(connection.generation());
    Ok(Some(if is_ours { Place { lsn, index } } else { Place::default() }))
}

fn wait_ms(text: &str) -> Option<u64> {
    let seconds =
        text.strip_suffix('s').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let ms = match seconds {
        Some(seconds) => seconds.parse::<u64>().ok()?.checked_mul(1000)?,
        None => when::duration_ms(text)?,
    };
    (ms <= WAIT_MS_MAX).then_some(ms)
}
