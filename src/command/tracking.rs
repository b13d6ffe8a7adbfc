//! CLIENT TRACKING and its relatives: client-side caching. Who has read what is
//! [`crate::push::tracking`]'s matter; the rows stand with those of CLIENT.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::args::{Cursor, integer, is};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::push::tracking::Mode;
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::client_memory::Kept;
use crate::server::clients::{Client, Flag};

const NOT_TRACKING: &str = "CLIENT CACHING can be called only when the client is in tracking mode \
                            with OPTIN or OPTOUT mode enabled";

pub(super) fn caching(
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let mode = context.session.tracking.as_mut().ok_or(Error::plain(NOT_TRACKING))?;
    let (is_allowed, error) = match args.get(2) {
        word if is(word, "YES") => (
            mode.opts_in,
            "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        ),
        word if is(word, "NO") => (
            mode.opts_out,
            "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        _ => return Err(Error::Syntax),
    };
    if !is_allowed {
        return Err(Error::plain(error));
    }
    mode.caching = true;
    reply.ok();
    Ok(())
}

pub(super) fn getredir(
    context: &mut Context<'_, '_>,
    _args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    reply.integer(redirect(context));
    Ok(())
}

pub(super) fn trackinginfo(
    context: &mut Context<'_, '_>,
    _args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let redirect = redirect(context);
    let mode = context.session.tracking.as_deref();
    let of = |test: fn(&Mode) -> bool| mode.is_some_and(test);
    let is_broken = context.session.client.has(Flag::BrokenRedirect);
    let flags = [
        (mode.is_some(), "on"),
        (mode.is_none(), "off"),
        (of(|mode| mode.is_broadcast), "bcast"),
        (of(|mode| mode.opts_in), "optin"),
        (of(|mode| mode.opts_in && mode.caching), "caching-yes"),
        (of(|mode| mode.opts_out), "optout"),
        (of(|mode| mode.opts_out && mode.caching), "caching-no"),
        (of(|mode| mode.no_loop), "noloop"),
        (mode.is_some() && is_broken, "broken_redirect"),
    ];
    let flags: Vec<&str> = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, f)| *f).collect();
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.integer(redirect);
    reply.bulk(b"prefixes");
    let prefixes = mode.map_or(&[][..], |mode| &mode.prefixes);
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}

pub(super) fn tracking(
    context: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result {
    let (mode, target) = parse(context, args)?;
    let is_on = is(args.get(2), "ON");
    if !is_on && !is(args.get(2), "OFF") {
        return Err(Error::Syntax);
    }

    let (session, server) = (&mut *context.session, context.executor.server);
    if is_on {
        let mode = merged(mode, session.tracking.as_deref())?;
        session.is_listening = true;
        session.client.redirect.store(mode.redirect as i64, Relaxed);
        session.client.set(Flag::Tracking, true);
        session.client.set(Flag::Broadcast, mode.is_broadcast);
        session.client.set(Flag::BrokenRedirect, false);
        server.tracking.enable(&session.client, &mode, target);
        session.client.memory.let_all_go(Kept::Prefixes);
        mode.prefixes.iter().for_each(|prefix| session.keep(Kept::Prefixes, prefix.len()));
        session.tracking = Some(Box::new(mode));
    } else {
        session.stop_tracking(server);
    }
    reply.ok();
    Ok(())
}

fn parse(context: &Context<'_, '_>, args: Args<'_>) -> Result<(Mode, Option<Arc<Client>>)> {
    let (mut mode, mut target) = (Mode::default(), None);
    let mut options = Cursor::new(args, 3);
    while let Some(option) = options.optional() {
        match option.to_ascii_uppercase().as_slice() {
            b"REDIRECT" if options.left() > 0 => {
                if mode.redirect != 0 {
                    let error = "A client can only redirect to a single other client";
                    return Err(Error::plain(error));
                }
                let id = integer(options.required()?)?;
                let clients = context.executor.server.clients.list();
                let found = clients.into_iter().find(|client| client.id as i64 == id);
                let error = "The client ID you want redirect to does not exist";
                let found = found.ok_or(Error::plain(error))?;
                (mode.redirect, target) = (found.id, Some(found));
            }
            b"BCAST" => mode.is_broadcast = true,
            b"OPTIN" => mode.opts_in = true,
            b"OPTOUT" => mode.opts_out = true,
            b"NOLOOP" => mode.no_loop = true,
            b"PREFIX" if options.left() > 0 => mode.prefixes.push(options.required()?.into()),
            _ => return Err(Error::Syntax),
        }
    }
    Ok((mode, target))
}

/// What the client asks for, if it agrees with itself and with the mode that the client is in.
fn merged(mut mode: Mode, old: Option<&Mode>) -> Result<Mode> {
    let plain = |text: &'static str| Err(Error::plain(text));
    if !mode.is_broadcast && !mode.prefixes.is_empty() {
        return plain("PREFIX option requires BCAST mode to be enabled");
    }
    if old.is_some_and(|old| old.is_broadcast != mode.is_broadcast) {
        return plain(
            "You can't switch BCAST mode on/off before disabling tracking for this client, and then \
             re-enabling it with a different mode.",
        );
    }
    if mode.is_broadcast && (mode.opts_in || mode.opts_out) {
        return plain("OPTIN and OPTOUT are not compatible with BCAST");
    }
    if mode.opts_in && mode.opts_out {
        return plain("You can't specify both OPTIN mode and OPTOUT mode");
    }
    let switches = |old: &Mode| mode.opts_in && old.opts_out || mode.opts_out && old.opts_in;
    if old.is_some_and(switches) {
        return plain(
            "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
             re-enabling it with a different mode.",
        );
    }
    if mode.is_broadcast {
        let before = old.map_or(&[][..], |old| &old.prefixes);
        check_prefixes(&mode.prefixes, before)?;
        if mode.prefixes.is_empty() {
            mode.prefixes.push(Box::default());
        }
        let more = before.iter().filter(|prefix| !mode.prefixes.contains(prefix)).cloned();
        let more: Vec<_> = more.collect();
        mode.prefixes.extend(more);
        mode.prefixes.sort();
    }
    Ok(mode)
}

/// Who has two prefixes of which one begins with the other would be told twice.
fn check_prefixes(prefixes: &[Box<[u8]>], before: &[Box<[u8]>]) -> Result {
    let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    let refuse = |one: &[u8], what: &str, other: &[u8]| {
        let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
        Err(Error::plain(format!(
            "Prefix '{one}' overlaps with {what} prefix '{other}'. Prefixes for a single client \
             must not overlap."
        )))
    };
    for (at, one) in prefixes.iter().enumerate() {
        if let Some(other) = before.iter().find(|other| overlap(one, other)) {
            return refuse(one, "an existing", other);
        }
        if let Some(other) = prefixes[at + 1..].iter().find(|other| overlap(one, other)) {
            return refuse(one, "another provided", other);
        }
    }
    Ok(())
}

/// 0 if invalidations are not redirected, -1 if there are none.
fn redirect(context: &Context<'_, '_>) -> i64 {
    context.session.tracking.as_ref().map_or(-1, |mode| mode.redirect as i64)
}
