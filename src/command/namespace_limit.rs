//! The NAMESPACE family's commands for limits: how many pairs and bytes a namespace may hold.
//!
//! They need the rights of CONFIG SET and CONFIG GET, and a limit belongs to the name ([`crate::store::limits`]), so who may
//! only write can neither raise nor lose it. What holds for every namespace is `max-keys-per-namespace`.

use super::args::Cursor;
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::{Limit, View};

/// Fields that [`show`] writes.
pub(super) const FIELDS: usize = 2;

pub(super) fn limit(view: &mut View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(2);
    let mut limit = view.limit(name);
    let mut options = Cursor::new(args, 3);
    if options.left() == 0 {
        return Err(Error::Syntax);
    }
    while options.left() > 0 {
        if options.accept("PAIRS") {
            limit.pairs = amount(&mut options)?;
        } else if options.accept("BYTES") {
            limit.bytes = amount(&mut options)?;
        } else {
            return Err(Error::Syntax);
        }
    }
    // What is no namespace can not be limited.
    view.kept_namespace(name)?;

    view.set_limit(name, limit)?;
    reply.ok();
    Ok(())
}

pub(super) fn limits(
    context: &mut Context<'_, '_>,
    _args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let limits = context.executor.server.store.limits.of_database(context.session.db);

    reply.array(limits.len());
    for (name, limit) in limits {
        reply.map(1 + FIELDS);
        reply.bulk(b"namespace");
        reply.bulk(&name);
        show(limit, reply);
    }
    Ok(())
}

/// Both numbers; 0 is for none.
pub(super) fn show(limit: Limit, reply: &mut Reply<'_>) {
    for (field, most) in [("pairs_max", limit.pairs), ("bytes_max", limit.bytes)] {
        reply.bulk(field.as_bytes());
        reply.integer(most as i64);
    }
}

fn amount(options: &mut Cursor<'_>) -> Result<u64> {
    u64::try_from(options.integer()?).map_err(|_| Error::plain("a limit must not be negative"))
}
