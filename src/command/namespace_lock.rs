//! Locks: NAMESPACE LOCK, RENEW and UNLOCK.
//!
//! A lock is a pair with a TTL, so every client can see it: its key is what is locked, its value the
//! holder's token, and behind a blank the holder's name if one was given. The token is the fencing
//! token too: a number that is larger for each lock of the namespace than for all before it. The last
//! one is kept under the empty key, which no lock has. Who has no NAMESPACE LOCK takes a lock with
//! `HSETEX namespace FNX PX ms FIELDS 1 key token`.

use super::args::{Cursor, integer};
use super::hash::find;
use crate::error::{Error, Result};
use crate::journal::effect::Cause;
use crate::number;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::{NewDeadline, PAIR_DEADLINE_MS_MAX, View};

/// Where a lock's namespace keeps its last token.
const LAST_TOKEN: &[u8] = b"";

pub(super) fn lock(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key) = (args.get(2), args.get(3));
    let deadline_ms = lifetime(view, args.get(4), "namespace|lock")?;
    let mut options = Cursor::new(args, 5);
    let owner = options.optional().unwrap_or_default();
    options.finish()?;
    if key == LAST_TOKEN {
        return Err(Error::plain("a lock must have a name"));
    }
    if find(view, name, key)?.is_some() {
        reply.null();
        return Ok(());
    }
    let last = find(view, name, LAST_TOKEN)?.and_then(|pair| number::parse_i64(pair.value));
    // The clock makes up for a namespace that was dropped.
    let token = last.unwrap_or(0).saturating_add(1).max(view.now_ms() as i64);
    let last = token.to_string();
    let mut text = last.clone().into_bytes();
    if !owner.is_empty() {
        text.push(b' ');
        text.extend_from_slice(owner);
    }
    view.check_room(name, [(LAST_TOKEN, last.as_bytes()), (key, &text[..])].into_iter())?;

    view.keep(name, Cause::Kept)?;
    view.put_pair(name, LAST_TOKEN, last.as_bytes(), NewDeadline::Clear, Cause::Hset)?;
    view.put_pair(name, key, &text, NewDeadline::At(deadline_ms), Cause::Hsetex)?;
    reply.integer(token);
    Ok(())
}

pub(super) fn renew(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key, token) = (args.get(2), args.get(3), args.get(5));
    let deadline_ms = lifetime(view, args.get(4), "namespace|renew")?;
    let is_holder = holds(view, name, key, token)?;

    if is_holder {
        view.set_pair_deadline(name, key, Some(deadline_ms), Cause::Hexpire)?;
    }
    reply.integer(i64::from(is_holder));
    Ok(())
}

pub(super) fn unlock(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (name, key, token) = (args.get(2), args.get(3), args.get(4));
    let is_holder = holds(view, name, key, token)?;

    if is_holder {
        view.delete_pair(name, key, Cause::Hdel)?;
    }
    reply.integer(i64::from(is_holder));
    Ok(())
}

/// Whether the token, which a Redis client may have made up, holds the lock. An empty one is none.
fn holds(view: &View<'_>, name: &[u8], key: &[u8], token: &[u8]) -> Result<bool> {
    let pair = find(view, name, key)?.filter(|_| key != LAST_TOKEN);
    let holder = pair.and_then(|pair| pair.value.split(|&byte| byte == b' ').next());
    Ok(holder.is_some_and(|holder| holder == token && !token.is_empty()))
}

fn lifetime(view: &View<'_>, arg: &[u8], command: &'static str) -> Result<u64> {
    let ms = u64::try_from(integer(arg)?).ok().filter(|&ms| ms > 0);
    let at_ms = ms.map(|ms| view.now_ms().saturating_add(ms));
    at_ms.filter(|&at_ms| at_ms <= PAIR_DEADLINE_MS_MAX).ok_or(Error::InvalidExpire(command))
}
