//! The hash family's commands for deadlines of single fields.
//!
//! Hashes without expiry are in `hash`; deadlines of whole names are another family's. As in Redis,
//! most of these look at the type of what the name holds before they look at their options.

use super::args::{Cursor, integer, is};
use super::deadline::TimeForm;
use super::hash::{check_values_fit, find};
use super::{Command, Family};
use crate::error::{Error, Result};
use crate::journal::effect::Cause;
use crate::number::parse_i64;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::{NewDeadline, View};

/// The family.
pub const FAMILY: Family = Family { group: "hash", category: "hash", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::write(
        "HEXPIRE",
        "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        hexpire,
    )
    .about("7.4.0", "Sets the time to live of fields, in seconds.")
    .fast(),
    Command::write(
        "HEXPIREAT",
        "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        hexpireat,
    )
    .about("7.4.0", "Sets the deadline of fields, as a Unix time in seconds.")
    .fast(),
    Command::read("HEXPIRETIME", "key FIELDS numfields field [field ...]", hexpiretime)
        .about("7.4.0", "Returns the deadline of fields, as a Unix time in seconds.")
        .fast(),
    Command::write("HGETDEL", "key FIELDS numfields field [field ...]", hgetdel)
        .about("8.0.0", "Returns the values of fields and deletes the fields.")
        .fast(),
    Command::write(
        "HGETEX",
        "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
         PXAT unix-time-milliseconds | PERSIST] FIELDS numfields field [field ...]",
        hgetex,
    )
    .about("8.0.0", "Returns the values of fields, and can set or remove their deadlines.")
    .fast(),
    Command::write("HPERSIST", "key FIELDS numfields field [field ...]", hpersist)
        .about("7.4.0", "Removes the deadlines of fields.")
        .fast(),
    Command::write(
        "HPEXPIRE",
        "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        hpexpire,
    )
    .about("7.4.0", "Sets the time to live of fields, in milliseconds.")
    .fast(),
    Command::write(
        "HPEXPIREAT",
        "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        hpexpireat,
    )
    .about("7.4.0", "Sets the deadline of fields, as a Unix time in milliseconds.")
    .fast(),
    Command::read("HPEXPIRETIME", "key FIELDS numfields field [field ...]", hpexpiretime)
        .about("7.4.0", "Returns the deadline of fields, as a Unix time in milliseconds.")
        .fast(),
    Command::read("HPTTL", "key FIELDS numfields field [field ...]", hpttl)
        .about("7.4.0", "Returns the remaining time to live of fields, in milliseconds.")
        .fast(),
    Command::write(
        "HSETEX",
        "key [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
         PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]",
        hsetex,
    )
    .about("8.0.0", "Sets the values of fields, and can set or keep their deadlines.")
    .fast()
    .denies_oom(),
    Command::read("HTTL", "key FIELDS numfields field [field ...]", httl)
        .about("7.4.0", "Returns the remaining time to live of fields, in seconds.")
        .fast(),
];

/// The latest deadline of a field, in unix ms: as in Redis, where two more bits are reserved.
const DEADLINE_MS_MAX: u64 = (1 << 46) - 1;

/// The field is not there.
const NO_FIELD: i64 = -2;
/// The field has no deadline.
const NO_DEADLINE: i64 = -1;

const NUMFIELDS: &str = "Number of fields must be a positive integer";

fn hexpire(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    expire(view, args, reply, TimeForm::SECONDS, "hexpire")
}

fn hexpireat(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    expire(view, args, reply, TimeForm::UNIX_SECONDS, "hexpireat")
}

fn hexpiretime(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    each_deadline(view, args, reply, |deadline_ms| deadline_ms.div_ceil(1000))
}

fn hgetdel(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let pairs = view.namespace(name)?;
    let keys = fields(args, 2, NUMFIELDS)?;
    check_values_fit(view, pairs.as_ref(), keys.clone(), "several HGETDEL")?;

    reply.array(keys.len());
    for key in keys {
        reply.value_or_null(find(view, name, key)?.map(|pair| pair.sendable()));
        view.delete_pair(name, key, Cause::Hdel)?;
    }
    Ok(())
}

fn hgetex(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let pairs = view.namespace(name)?;
    let mut options = Cursor::new(args, 2);
    let change = if options.accept("PERSIST") {
        Some(None)
    } else if let Some(form) = TimeForm::accept(&mut options) {
        Some(Some(deadline_ms(view, form, options.required()?, "hgetex")?))
    } else {
        None
    };
    let keys = fields(args, args.len() - options.left(), NUMFIELDS)?;
    check_values_fit(view, pairs.as_ref(), keys.clone(), "several HGETEX")?;

    reply.array(keys.len());
    for key in keys {
        let pair = find(view, name, key)?;
        reply.value_or_null(pair.map(|pair| pair.sendable()));
        match (pair.map(|pair| pair.deadline_ms), change) {
            (None, _) => free_expired(view, name, key)?,
            (Some(Some(_)), Some(None)) => {
                view.set_pair_deadline(name, key, None, Cause::Hpersist)?;
            }
            (Some(_), Some(Some(at_ms))) => {
                view.set_pair_deadline(name, key, Some(at_ms), Cause::Hexpire)?;
            }
            (Some(_), _) => {}
        }
    }
    Ok(())
}

fn hpersist(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    const REMOVED: i64 = 1;
    let name = args.get(1);
    view.namespace(name)?;
    let keys = fields(args, 2, NUMFIELDS)?;

    reply.array(keys.len());
    for key in keys {
        reply.integer(match find(view, name, key)?.map(|pair| pair.deadline_ms) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(_)) => {
                view.set_pair_deadline(name, key, None, Cause::Hpersist)?;
                REMOVED
            }
        });
    }
    Ok(())
}

fn hpexpire(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    expire(view, args, reply, TimeForm::MILLISECONDS, "hpexpire")
}

fn hpexpireat(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    expire(view, args, reply, TimeForm::UNIX_MILLISECONDS, "hpexpireat")
}

fn hpexpiretime(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    each_deadline(view, args, reply, |deadline_ms| deadline_ms)
}

fn hpttl(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let now_ms = view.now_ms();
    each_deadline(view, args, reply, |deadline_ms| deadline_ms - now_ms)
}

fn hsetex(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let options = SetOptions::parse(view, args)?;
    let pairs = || (options.first_key_at..args.len()).step_by(2).map(|at| (args.get(at), at + 1));

    if let Some(must_exist) = options.must_exist {
        view.namespace(name)?;
        for (key, _) in pairs() {
            let exists = find(view, name, key)?.is_some();
            if !exists {
                free_expired(view, name, key)?;
            }
            if exists != must_exist {
                reply.integer(0);
                return Ok(());
            }
        }
    }
    let (deadline, cause, is_over) = match options.deadline {
        NewDeadline::At(at_ms) if at_ms <= view.now_ms() => (NewDeadline::Clear, Cause::Hset, true),
        NewDeadline::At(_) => (options.deadline, Cause::Hsetex, false),
        NewDeadline::Clear | NewDeadline::Keep => (options.deadline, Cause::Hset, false),
    };
    view.check_room(name, pairs().map(|(key, value_at)| (key, args.get(value_at))))?;
    let mut at = options.first_key_at;
    while at < args.len() {
        view.put_pair(name, args.get(at), args.get(at + 1), deadline, cause)?;
        at += 2;
    }
    if is_over {
        // Others must hear of both: that the pairs were set, and that they are gone.
        for (key, _) in pairs() {
            view.delete_pair(name, key, Cause::Hdel)?;
        }
    }
    reply.integer(1);
    Ok(())
}

fn httl(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let now_ms = view.now_ms();
    each_deadline(view, args, reply, |deadline_ms| (deadline_ms - now_ms).div_ceil(1000))
}

/// HEXPIRE and its relatives.
fn expire(
    view: &mut View<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    form: TimeForm,
    command: &'static str,
) -> Result {
    const NOT_MET: i64 = 0;
    const SET: i64 = 1;
    const DELETED: i64 = 2;
    let name = args.get(1);
    view.namespace(name)?;
    let deadline_ms = deadline_ms(view, form, args.get(2), command)?;
    let condition = Condition::parse(args.get(3));
    let fields_at = if condition == Condition::Always { 3 } else { 4 };
    let keys = fields(args, fields_at, "Parameter `numFields` should be greater than 0")?;

    let done = if deadline_ms <= view.now_ms() { DELETED } else { SET };
    reply.array(keys.len());
    for key in keys {
        reply.integer(match find(view, name, key)?.map(|pair| pair.deadline_ms) {
            None => NO_FIELD,
            Some(old_ms) if !condition.is_met(old_ms, deadline_ms) => NOT_MET,
            Some(_) => {
                view.set_pair_deadline(name, key, Some(deadline_ms), Cause::Hexpire)?;
                done
            }
        });
    }
    Ok(())
}

/// HTTL and its relatives.
fn each_deadline(
    view: &View<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    shown: impl Fn(u64) -> u64,
) -> Result {
    let pairs = view.namespace(args.get(1))?;
    let keys = fields(args, 2, NUMFIELDS)?;

    reply.array(keys.len());
    for key in keys {
        let deadline_ms = pairs.and_then(|pairs| pairs.get(key)).map(|pair| pair.deadline_ms);
        reply.integer(match deadline_ms {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline_ms)) => shown(deadline_ms) as i64,
        });
    }
    Ok(())
}

/// Reads `FIELDS numfields field [field ...]`, which begins at an argument and goes on to the last.
fn fields<'a>(
    args: Args<'a>,
    at: usize,
    not_positive: &'static str,
) -> Result<impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a>> {
    let mut options = Cursor::new(args, at);
    if !options.accept("FIELDS") {
        return Err(Error::plain(
            "Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let count = options.optional().and_then(parse_i64).filter(|&count| count > 0);
    let count = count.ok_or_else(|| Error::plain(not_positive))?;
    if usize::try_from(count) != Ok(options.left()) {
        return Err(Error::plain("The `numfields` parameter must match the number of arguments"));
    }
    Ok(args.iter().skip(at + 2))
}

/// Frees the pair if it expired and was not reaped, so that the name goes with its last pair.
fn free_expired(view: &mut View<'_>, name: &[u8], key: &[u8]) -> Result {
    view.delete_pair(name, key, Cause::Hexpired).map(|_| ())
}

/// The deadline in unix ms, perhaps one that has passed.
fn deadline_ms(view: &View<'_>, form: TimeForm, arg: &[u8], command: &'static str) -> Result<u64> {
    let amount = integer(arg)?;
    if amount < 0 {
        return Err(Error::plain("invalid expire time, must be >= 0"));
    }
    let deadline_ms = form.unix_ms(amount, view.now_ms()).map(|at_ms| at_ms as u64);
    let deadline_ms = deadline_ms.filter(|&deadline_ms| deadline_ms <= DEADLINE_MS_MAX);
    match deadline_ms {
        Some(deadline_ms) => Ok(deadline_ms),
        None => Err(Error::InvalidExpire(command)),
    }
}

/// When HEXPIRE and its relatives set a deadline.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    Nx,
    Xx,
    Gt,
    Lt,
}

impl Condition {
    fn parse(arg: &[u8]) -> Condition {
        match arg {
            _ if is(arg, "NX") => Condition::Nx,
            _ if is(arg, "XX") => Condition::Xx,
            _ if is(arg, "GT") => Condition::Gt,
            _ if is(arg, "LT") => Condition::Lt,
            _ => Condition::Always,
        }
    }

    /// No deadline counts as the latest.
    fn is_met(self, old_ms: Option<u64>, new_ms: u64) -> bool {
        match self {
            Condition::Always => true,
            Condition::Nx => old_ms.is_none(),
            Condition::Xx => old_ms.is_some(),
            Condition::Gt => old_ms.is_some_and(|old_ms| new_ms > old_ms),
            Condition::Lt => old_ms.is_none_or(|old_ms| new_ms < old_ms),
        }
    }
}

/// HSETEX's options.
struct SetOptions {
    /// All of the keys, or none of them.
    must_exist: Option<bool>,
    deadline: NewDeadline,
    first_key_at: usize,
}

impl SetOptions {
    fn parse(view: &View<'_>, args: Args<'_>) -> Result<SetOptions> {
        let mut options = Cursor::new(args, 2);
        let (mut must_exist, mut deadline) = (None, None);
        loop {
            let word = options.required()?;
            if is(word, "FIELDS") {
                break;
            }
            if let Some(form) = TimeForm::announced_by(word) {
                check_only(&deadline, "EX, PX, EXAT, PXAT or KEEPTTL")?;
                let arg = options.optional().ok_or_else(|| Error::plain("missing expire time"))?;
                deadline = Some(NewDeadline::At(deadline_ms(view, form, arg, "hsetex")?));
            } else if is(word, "KEEPTTL") {
                check_only(&deadline, "EX, PX, EXAT, PXAT or KEEPTTL")?;
                deadline = Some(NewDeadline::Keep);
            } else if is(word, "FXX") {
                check_only(&must_exist, "FXX or FNX")?;
                must_exist = Some(true);
            } else if is(word, "FNX") {
                check_only(&must_exist, "FXX or FNX")?;
                must_exist = Some(false);
            } else {
                return Err(unknown_argument(word));
            }
        }
        if options.left() < 3 {
            return Err(Error::arity("hsetex"));
        }
        let count = parse_i64(options.required()?).and_then(|count| i32::try_from(count).ok());
        let count = count.filter(|&count| count > 0);
        let count = count.ok_or_else(|| Error::plain("invalid number of fields"))?;
        if options.left() != 2 * count as usize {
            return Err(Error::arity("hsetex"));
        }
        let first_key_at = args.len() - options.left();
        let deadline = deadline.unwrap_or(NewDeadline::Clear);
        Ok(SetOptions { must_exist, deadline, first_key_at })
    }
}

fn check_only<T>(already: &Option<T>, words: &str) -> Result {
    match already {
        None => Ok(()),
        Some(_) => Err(Error::plain(format!("Only one of {words} arguments can be specified"))),
    }
}

fn unknown_argument(arg: &[u8]) -> Error {
    const SHOWN_BYTES_MAX: usize = 128;
    let shown = String::from_utf8_lossy(&arg[..arg.len().min(SHOWN_BYTES_MAX)]);
    Error::plain(format!("unknown argument: {shown}"))
}
