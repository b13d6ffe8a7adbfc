//! MIGRATE: moves names to another server of the Redis protocol, by what DUMP, RESTORE and DEL do.
//!
//! While the other server is waited for nothing is held: other threads go on, and only the clients of
//! this one wait. A name that changed meanwhile is on both servers afterwards, and the reply says so.

use std::time::Duration;

use super::args::{Cursor, integer, is};
use super::dump::dump_name;
use super::{Command, Family, Touches};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::journal::effect::Cause;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::View;
use crate::transfer::peer::{Peer, Trouble};

/// The family.
pub const FAMILY: Family = Family { group: "generic", category: "keyspace", commands: COMMANDS };

const COMMANDS: &[Command] = &[Command::session(
    "MIGRATE",
    "host port key destination-db timeout [COPY] [REPLACE] \
     [AUTH password | AUTH2 username password] [KEYS key [key ...]]",
    migrate,
)
.about("2.6.0", "Moves keys to another server, and waits for it; so do the clients of this thread.")
.touching(Touches::Writes)
.also(&["dangerous"])
.no_multi()];

/// Where the options begin.
const OPTIONS_AT: usize = 6;
/// Names and bytes of values that are under way at once.
const NAMES_AT_ONCE_MAX: usize = 1024;
const BYTES_AT_ONCE: usize = 16 << 20;
/// Without another timeout.
const TIMEOUT_MS: u64 = 1000;

/// What is to be moved, and where to.
struct Order<'a> {
    host: &'a [u8],
    port: &'a [u8],
    db: i64,
    timeout: Duration,
    keeps: bool,
    replaces: bool,
    /// User and password, or only that.
    credentials: Vec<&'a [u8]>,
    names: Vec<&'a [u8]>,
}

/// A name's value under way.
struct Parcel<'a> {
    name: &'a [u8],
    payload: Vec<u8>,
    deadline_ms: Option<u64>,
}

fn migrate(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let order = Order::parse(args)?;
    if context.executor.is_in_transaction() {
        return Err(Error::plain("MIGRATE is not allowed here"));
    }
    let mut peer: Option<Peer> = None;
    let mut outcome = Ok(());
    let mut rest = &order.names[..];
    while !rest.is_empty() && outcome.is_ok() {
        let packed = pack(context, rest);
        // What was sent is not to be sent again.
        context.executor.is_parked &= peer.is_none();
        let (parcels, looked_at) = packed?;
        rest = &rest[looked_at..];
        if parcels.is_empty() {
            continue;
        }
        let peer = match &mut peer {
            Some(peer) => peer,
            None => peer.insert(order.connect()?),
        };
        outcome = order.send(context, peer, &parcels);
    }
    outcome?;
    match peer {
        Some(_) => reply.ok(),
        None => reply.simple("NOKEY"),
    }
    Ok(())
}

/// Which arguments hold a password, or a user's name.
pub fn secrets(args: Args<'_>) -> Vec<usize> {
    let mut at = OPTIONS_AT;
    let mut found = Vec::new();
    while at < args.len() && !is(args.get(at), "KEYS") {
        let follow = credentials_behind(args.get(at));
        found.extend(at + 1..=at + follow);
        at += 1 + follow;
    }
    found
}

/// How many arguments of credentials follow a word.
fn credentials_behind(word: &[u8]) -> usize {
    match word {
        word if is(word, "AUTH") => 1,
        word if is(word, "AUTH2") => 2,
        _ => 0,
    }
}

/// Values of the first of some names, and how many of them were looked at.
fn pack<'n>(context: &mut Context<'_, '_>, names: &[&'n [u8]]) -> Result<(Vec<Parcel<'n>>, usize)> {
    let names = &names[..names.len().min(NAMES_AT_ONCE_MAX)];
    context.executor.with_names(context.session, names, |view| {
        let (mut parcels, mut bytes) = (Vec::new(), 0);
        for (at, name) in names.iter().enumerate() {
            if bytes >= BYTES_AT_ONCE {
                return Ok((parcels, at));
            }
            let parcel = Parcel::of(view, name)?;
            bytes += parcel.as_ref().map_or(0, |parcel| parcel.payload.len());
            parcels.extend(parcel);
        }
        Ok((parcels, names.len()))
    })?
}

impl<'a> Parcel<'a> {
    fn of(view: &View<'_>, name: &'a [u8]) -> Result<Option<Parcel<'a>>> {
        let Some(payload) = dump_name(view, name)? else { return Ok(None) };
        Ok(Some(Parcel { name, payload, deadline_ms: view.deadline_ms(name).flatten() }))
    }

    /// Whether this is what the name holds now.
    fn is_current(&self, view: &View<'_>) -> bool {
        Parcel::of(view, self.name).is_ok_and(|now| {
            now.is_some_and(|now| {
                now.payload == self.payload && now.deadline_ms == self.deadline_ms
            })
        })
    }
}

impl<'a> Order<'a> {
    fn parse(args: Args<'a>) -> Result<Order<'a>> {
        let (mut keeps, mut replaces, mut credentials) = (false, false, Vec::new());
        let mut names = vec![args.get(3)];
        let mut options = Cursor::new(args, OPTIONS_AT);
        while let Some(word) = options.optional() {
            match credentials_behind(word) {
                0 if is(word, "COPY") => keeps = true,
                0 if is(word, "REPLACE") => replaces = true,
                0 if is(word, "KEYS") => {
                    if !args.get(3).is_empty() {
                        return Err(Error::plain(
                            "When using MIGRATE KEYS option, the key argument must be set to the \
                             empty string",
                        ));
                    }
                    names.clear();
                    while let Some(name) = options.optional() {
                        names.push(name);
                    }
                }
                0 => return Err(Error::Syntax),
                count => {
                    credentials = (0..count).map(|_| options.required()).collect::<Result<_>>()?;
                }
            }
        }
        let timeout_ms = match integer(args.get(5))? {
            ms @ 1.. => ms as u64,
            _ => TIMEOUT_MS,
        };
        let db = integer(args.get(4))?;
        let (host, port) = (args.get(1), args.get(2));
        let timeout = Duration::from_millis(timeout_ms);
        Ok(Order { host, port, db, timeout, keeps, replaces, credentials, names })
    }

    /// Connects to the other server, authenticates, and selects the database.
    fn connect(&self) -> Result<Peer> {
        let connected = Peer::connect(self.host, self.port, self.timeout);
        let mut peer = connected
            .map_err(|_| Error::coded("IOERR error or timeout connecting to the client"))?;
        if !self.credentials.is_empty() {
            let words: Vec<&[u8]> =
                std::iter::once(&b"AUTH"[..]).chain(self.credentials.iter().copied()).collect();
            peer.add(&words).and_then(|()| peer.answer()).map_err(|trouble| error(&trouble))?;
        }
        let db = self.db.to_string();
        let selected = peer.add(&[b"SELECT", db.as_bytes()]).and_then(|()| peer.answer());
        selected.map_err(|trouble| error(&trouble))?;
        Ok(peer)
    }

    /// Sends values, and removes what has arrived. The error is the first that there was.
    fn send(
        &self,
        context: &mut Context<'_, '_>,
        peer: &mut Peer,
        parcels: &[Parcel<'_>],
    ) -> Result {
        let now_ms = context.executor.server.store.clock.now_ms();
        let mut outcome = Ok(());
        let mut sent = 0;
        for parcel in parcels {
            if let Err(trouble) = self.add(peer, parcel, now_ms) {
                outcome = Err(error(&trouble));
                break;
            }
            sent += 1;
        }
        let mut arrived = Vec::new();
        for parcel in &parcels[..sent] {
            match peer.answer() {
                Ok(()) => arrived.push(parcel),
                Err(trouble) => {
                    outcome = outcome.and(Err(error(&trouble)));
                    if matches!(trouble, Trouble::Reading | Trouble::Writing) {
                        break;
                    }
                }
            }
        }
        if !self.keeps {
            outcome = outcome.and(remove(context, &arrived));
        }
        outcome
    }

    fn add(&self, peer: &mut Peer, parcel: &Parcel<'_>, now_ms: u64) -> Result<(), Trouble> {
        // 0 would be for ever.
        let left_ms = parcel.deadline_ms.map_or(0, |at_ms| at_ms.saturating_sub(now_ms).max(1));
        let left_ms = left_ms.to_string();
        let words: [&[u8]; 5] =
            [b"RESTORE", parcel.name, left_ms.as_bytes(), &parcel.payload, b"REPLACE"];
        peer.add(&words[..4 + usize::from(self.replaces)])
    }
}

/// Removes what the other server has, unless it is not the same any more.
fn remove(context: &mut Context<'_, '_>, parcels: &[&Parcel<'_>]) -> Result {
    let names: Vec<&[u8]> = parcels.iter().map(|parcel| parcel.name).collect();
    let changed = Error::coded(
        "TRYAGAIN Keys changed while they were copied: these are on both servers now, repeat it with \
         REPLACE",
    );
    let removed = context.executor.with_names(context.session, &names, |view| {
        let mut are_all_current = true;
        for parcel in parcels {
            match parcel.is_current(view) {
                true => _ = view.drop_name(parcel.name, Cause::Del),
                false => are_all_current = false,
            }
        }
        are_all_current
    });
    match removed {
        Ok(true) => Ok(()),
        Ok(false) => Err(changed),
        Err(_) => {
            // A script is aside and may have them. To wait for it here would be to do all this again.
            context.executor.is_parked = false;
            Err(changed)
        }
    }
}

fn error(trouble: &Trouble) -> Error {
    match trouble {
        Trouble::Writing => Error::coded("IOERR error or timeout writing to target instance"),
        Trouble::Reading => Error::coded("IOERR error or timeout reading to target instance"),
        Trouble::Refused(why) => Error::plain(format!("Target instance replied with error: {why}")),
    }
}
