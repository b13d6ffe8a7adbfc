//! A name's value in the form of Redis's snapshots: DUMP gives it, RESTORE takes it.
//!
//! The form itself is in [`crate::rdb`]. A name's deadline, its use and its kept mark are not in it.

use super::args::{Cursor, integer};
use super::{Command, Family};
use crate::error::{Error, Result};
use crate::journal::effect::Cause;
use crate::rdb::dump::{self, Refused, Value};
use crate::rdb::pairs::PairBuffer;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::{Kind, NewDeadline, View};

/// The family.
pub const FAMILY: Family = Family { group: "generic", category: "keyspace", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command::read("DUMP", "key", dump)
        .about("2.6.0", "Returns the value of a key in a form that RESTORE takes."),
    Command::write(
        "RESTORE",
        "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        restore,
    )
    .about("2.6.0", "Makes a key of what DUMP returned, here or in Redis.")
    .denies_oom()
    .also(&["dangerous"]),
];

/// What RESTORE is told beside the value.
struct Options {
    replace: bool,
    is_absolute: bool,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

fn dump(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.bulk_or_null(dump_name(view, args.get(1))?.as_deref());
    Ok(())
}

/// What DUMP returns of a name.
pub(super) fn dump_name(view: &View<'_>, name: &[u8]) -> Result<Option<Vec<u8>>> {
    match view.kind(name) {
        None => Ok(None),
        Some(Kind::String) => {
            let string = view.string(name)?.unwrap_or_default();
            view.settings().check_reply_len(string.len(), "GETRANGE")?;
            Ok(Some(dump::string(string)))
        }
        Some(Kind::Namespace) => dump_namespace(view, name),
    }
}

/// `None` if all of its pairs have expired.
fn dump_namespace(view: &View<'_>, name: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(namespace) = view.namespace(name)? else { return Ok(None) };
    view.settings().check_reply_len(namespace.bytes(), "HSCAN")?;
    let mut pairs = PairBuffer::default();
    namespace.iter().for_each(|pair| pairs.push(pair.key, pair.value, pair.deadline_ms));
    Ok((!pairs.is_empty()).then(|| dump::hash(&pairs)))
}

fn restore(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let options = Options::parse(Cursor::new(args, 4))?;
    if !options.replace && view.kind(name).is_some() {
        return Err(Error::BusyKey);
    }
    let deadline = deadline(args.get(2), options.is_absolute, view.now_ms())?;
    let value = dump::read(args.get(3)).map_err(refusal)?;

    let now_ms = view.now_ms();
    if is_over(&value, deadline, now_ms) {
        if options.replace {
            view.drop_name(name, Cause::Del);
        }
    } else {
        put(view, name, &value, deadline)?;
        options.idle_s.into_iter().for_each(|idle_s| view.set_idle_s(name, idle_s));
        options.frequency.into_iter().for_each(|used| view.set_frequency(name, used));
    }
    reply.ok();
    Ok(())
}

/// Puts a value that was read in place of what the name holds.
pub(super) fn put(
    view: &mut View<'_>,
    name: &[u8],
    value: &Value,
    deadline: NewDeadline,
) -> Result {
    let pairs = match value {
        Value::String(string) => {
            view.put_string(name, string, deadline, Cause::Restore);
            return Ok(());
        }
        Value::Hash(pairs) => pairs,
    };
    let now_ms = view.now_ms();
    let alive = || pairs.iter().filter(|pair| pair.is_alive(now_ms));
    view.check_whole(name, alive().map(|pair| (pair.key, pair.value)))?;

    // A string takes the place of anything; pairs would join others.
    view.drop_name(name, Cause::Restore);
    for pair in alive() {
        let pair_deadline = pair.deadline_ms.map_or(NewDeadline::Clear, NewDeadline::At);
        view.put_pair(name, pair.key, pair.value, pair_deadline, Cause::Restore)?;
    }
    if let NewDeadline::At(at_ms) = deadline {
        view.set_deadline(name, Some(at_ms), Cause::Restore);
    }
    Ok(())
}

/// Whether nothing of it would be there.
fn is_over(value: &Value, deadline: NewDeadline, now_ms: u64) -> bool {
    let has_content = match value {
        Value::String(_) => true,
        Value::Hash(pairs) => pairs.iter().any(|pair| pair.is_alive(now_ms)),
    };
    !has_content || matches!(deadline, NewDeadline::At(at_ms) if at_ms <= now_ms)
}

/// 0 is for none.
fn deadline(ttl: &[u8], is_absolute: bool, now_ms: u64) -> Result<NewDeadline> {
    let ttl = integer(ttl)?;
    let ttl = u64::try_from(ttl).map_err(|_| Error::plain("Invalid TTL value, must be >= 0"))?;
    if ttl == 0 {
        return Ok(NewDeadline::Clear);
    }
    let at_ms = if is_absolute { Some(ttl) } else { ttl.checked_add(now_ms) };
    let at_ms = at_ms.filter(|&at_ms| i64::try_from(at_ms).is_ok());
    at_ms.map(NewDeadline::At).ok_or(Error::InvalidExpire("restore"))
}

fn refusal(refused: Refused) -> Error {
    match refused {
        Refused::Footer => Error::plain("DUMP payload version or checksum are wrong"),
        Refused::Format(_) => Error::plain("Bad data format"),
        Refused::Other(kind) => Error::plain(format!(
            "Bad data format: a value of type {kind}; only strings and hashes can be restored here"
        )),
    }
}

impl Options {
    fn parse(mut words: Cursor<'_>) -> Result<Options> {
        let mut options =
            Options { replace: false, is_absolute: false, idle_s: None, frequency: None };
        while words.left() > 0 {
            if words.accept("REPLACE") {
                options.replace = true;
            } else if words.accept("ABSTTL") {
                options.is_absolute = true;
            } else if options.frequency.is_none() && words.left() > 1 && words.accept("IDLETIME") {
                let idle_s = u64::try_from(words.integer()?);
                let wrong = |_| Error::plain("Invalid IDLETIME value, must be >= 0");
                options.idle_s = Some(idle_s.map_err(wrong)?);
            } else if options.idle_s.is_none() && words.left() > 1 && words.accept("FREQ") {
                let frequency = u8::try_from(words.integer()?);
                let wrong = |_| Error::plain("Invalid FREQ value, must be >= 0 and <= 255");
                options.frequency = Some(frequency.map_err(wrong)?);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}
