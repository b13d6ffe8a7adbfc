//! When names expire: EXPIRE and its relatives set it, TTL and its relatives tell it.
//!
//! The expiry of a namespace's pairs is in `hash_expiry`. That nothing expired is shown is the
//! view's rule, not one of these commands.

use super::args::{Cursor, integer, is};
use super::deadline::TimeForm;
use super::{Command, Family};
use crate::error::{Error, Result};
use crate::journal::effect::Cause;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::View;

/// The family.
pub const FAMILY: Family = Family { group: "generic", category: "keyspace", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::write("EXPIRE", "key seconds [NX | XX | GT | LT]", expire)
        .about("1.0.0", "Makes a key expire in some seconds.")
        .fast(),
    Command::write("EXPIREAT", "key unix-time-seconds [NX | XX | GT | LT]", expireat)
        .about("1.2.0", "Makes a key expire at a unix time in seconds.")
        .fast(),
    Command::read("EXPIRETIME", "key", expiretime)
        .about("7.0.0", "Returns the unix time in seconds at which a key expires.")
        .fast(),
    Command::write("PERSIST", "key", persist)
        .about("2.2.0", "Removes the expiration time of a key.")
        .fast(),
    Command::write("PEXPIRE", "key milliseconds [NX | XX | GT | LT]", pexpire)
        .about("2.6.0", "Makes a key expire in some milliseconds.")
        .fast(),
    Command::write("PEXPIREAT", "key unix-time-milliseconds [NX | XX | GT | LT]", pexpireat)
        .about("2.6.0", "Makes a key expire at a unix time in milliseconds.")
        .fast(),
    Command::read("PEXPIRETIME", "key", pexpiretime)
        .about("7.0.0", "Returns the unix time in milliseconds at which a key expires.")
        .fast(),
    Command::read("PTTL", "key", pttl)
        .about("2.6.0", "Returns the milliseconds until a key expires.")
        .fast(),
    Command::read("TTL", "key", ttl)
        .about("1.0.0", "Returns the seconds until a key expires.")
        .fast(),
];

fn expire(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    set_deadline(view, args, reply, TimeForm::SECONDS, "expire")
}

fn expireat(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    set_deadline(view, args, reply, TimeForm::UNIX_SECONDS, "expireat")
}

fn expiretime(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    tell_deadline(view, args, reply, round_to_s)
}

fn persist(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let had_deadline = view.deadline_ms(name).flatten().is_some();

    if had_deadline {
        view.set_deadline(name, None, Cause::Persist);
    }
    reply.integer(i64::from(had_deadline));
    Ok(())
}

fn pexpire(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    set_deadline(view, args, reply, TimeForm::MILLISECONDS, "pexpire")
}

fn pexpireat(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    set_deadline(view, args, reply, TimeForm::UNIX_MILLISECONDS, "pexpireat")
}

fn pexpiretime(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    tell_deadline(view, args, reply, |deadline_ms| deadline_ms)
}

fn pttl(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    tell_deadline(view, args, reply, |deadline_ms| deadline_ms - view.now_ms())
}

fn ttl(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    tell_deadline(view, args, reply, |deadline_ms| round_to_s(deadline_ms - view.now_ms()))
}

/// The conditions NX, XX, GT and LT under which a deadline is set.
#[derive(Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(mut options: Cursor<'_>) -> Result<Conditions> {
        let mut given = Conditions::default();
        while let Some(word) = options.optional() {
            let words = [
                ("NX", &mut given.nx),
                ("XX", &mut given.xx),
                ("GT", &mut given.gt),
                ("LT", &mut given.lt),
            ];
            match words.into_iter().find(|(name, _)| is(word, name)) {
                Some((_, flag)) => *flag = true,
                None => {
                    let word = String::from_utf8_lossy(word);
                    return Err(Error::plain(format!("Unsupported option {word}")));
                }
            }
        }
        let Conditions { nx, xx, gt, lt } = given;
        if nx && (xx || gt || lt) {
            let text = "NX and XX, GT or LT options at the same time are not compatible";
            return Err(Error::plain(text));
        }
        if gt && lt {
            let text = "GT and LT options at the same time are not compatible";
            return Err(Error::plain(text));
        }
        Ok(given)
    }

    /// Whether `new_ms` may take the place of `old_ms`. No deadline counts as later than any.
    fn allow(&self, new_ms: i64, old_ms: Option<i64>) -> bool {
        let refused = self.nx && old_ms.is_some()
            || self.xx && old_ms.is_none()
            || self.gt && old_ms.is_none_or(|old_ms| new_ms <= old_ms)
            || self.lt && old_ms.is_some_and(|old_ms| new_ms >= old_ms);
        !refused
    }
}

/// EXPIRE and its relatives.
fn set_deadline(
    view: &mut View<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    form: TimeForm,
    command: &'static str,
) -> Result {
    let name = args.get(1);
    let conditions = Conditions::parse(Cursor::new(args, 3))?;
    let deadline_ms = form.unix_ms(integer(args.get(2))?, view.now_ms());
    let deadline_ms = deadline_ms.ok_or(Error::InvalidExpire(command))?;

    let is_set = view
        .deadline_ms(name)
        .is_some_and(|old_ms| conditions.allow(deadline_ms, old_ms.map(|old_ms| old_ms as i64)));
    if is_set {
        // What lies before 1970 has passed as surely as its first moment.
        let deadline_ms = u64::try_from(deadline_ms).unwrap_or(0);
        view.set_deadline(name, Some(deadline_ms), Cause::Expire);
    }
    reply.integer(i64::from(is_set));
    Ok(())
}

/// TTL and its relatives: -2 without a name, -1 without a deadline.
fn tell_deadline(
    view: &View<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    shown: impl FnOnce(u64) -> u64,
) -> Result {
    reply.integer(match view.deadline_ms(args.get(1)) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline_ms)) => shown(deadline_ms) as i64,
    });
    Ok(())
}

fn round_to_s(ms: u64) -> u64 {
    (ms + 500) / 1000
}
