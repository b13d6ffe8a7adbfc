//! CLIENT: what this connection is called and how it is treated, and who else is connected. The
//! registry of connections is [`crate::server::clients`].

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::args::{Cursor, integer, is};
use super::{Command, Family, help, table, tracking};
use crate::acl::Acl;
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::server::clients::{Address, Client, Flag};
use crate::session::ReplyMode;
use crate::store::turn::Pause;

/// The family.
pub const FAMILY: Family =
    Family { group: "connection", category: "connection", commands: COMMANDS };

/// Longest name of a client or of its library.
const NAME_BYTES_MAX: usize = 1024;

const COMMANDS: &[Command] = &[
    Command::container("CLIENT").about("2.4.0", "Has the commands for client connections."),
    Command::session("CLIENT CACHING", "<YES | NO>", tracking::caching)
        .about("6.0.0", "Sets whether the keys of the next command are tracked.")
        .while_loading(),
    Command::session("CLIENT GETNAME", "", getname)
        .about("2.6.9", "Returns the connection's name.")
        .while_loading(),
    Command::session("CLIENT GETREDIR", "", tracking::getredir)
        .about("6.0.0", "Returns the client that invalidations are redirected to.")
        .while_loading(),
    Command::session("CLIENT HELP", "", help::help)
        .about("5.0.0", "Returns what the subcommands do.")
        .while_loading(),
    Command::session("CLIENT ID", "", id)
        .about("5.0.0", "Returns the connection's unique number.")
        .while_loading(),
    Command::session("CLIENT INFO", "", info)
        .about("6.2.0", "Returns the connection's line of CLIENT LIST.")
        .while_loading(),
    Command::session(
        "CLIENT KILL",
        "<ip:port | <ID client-id | TYPE <NORMAL | MASTER | REPLICA | PUBSUB> | USER username | \
         ADDR ip:port | LADDR ip:port | SKIPME <YES | NO> | MAXAGE maxage> \
         [<ID client-id | TYPE <NORMAL | MASTER | REPLICA | PUBSUB> | USER username | \
         ADDR ip:port | LADDR ip:port | SKIPME <YES | NO> | MAXAGE maxage> ...]>",
        kill,
    )
    .about("2.4.0", "Closes connections.")
    .admin()
    .while_loading(),
    Command::session(
        "CLIENT LIST",
        "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
        list,
    )
    .about("2.4.0", "Returns all open connections, one a line.")
    .admin()
    .while_loading(),
    Command::session("CLIENT NO-EVICT", "<ON | OFF>", no_evict)
        .about("7.0.0", "Sets whether the connection is spared when clients take too much memory.")
        .admin()
        .while_loading(),
    Command::session("CLIENT NO-TOUCH", "<ON | OFF>", no_touch)
        .about("7.2.0", "Sets whether the connection's reads leave the access times of keys alone.")
        .while_loading(),
    Command::session("CLIENT PAUSE", "timeout [WRITE | ALL]", pause)
        .about(
            "2.9.50",
            "Holds up the commands of all clients, or only those that write, for some ms.",
        )
        .admin()
        .while_loading(),
    Command::session("CLIENT REPLY", "<ON | OFF | SKIP>", reply)
        .about("3.2.0", "Sets whether the connection is sent replies.")
        .no_multi()
        .while_loading(),
    Command::session("CLIENT SETINFO", "<LIB-NAME libname | LIB-VER libver>", setinfo)
        .about("7.2.0", "Says which library the connection uses.")
        .while_loading(),
    Command::session("CLIENT SETNAME", "connection-name", setname)
        .about("2.6.9", "Names the connection.")
        .while_loading(),
    Command::session(
        "CLIENT TRACKING",
        "<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] \
         [OPTOUT] [NOLOOP]",
        tracking::tracking,
    )
    .about("6.0.0", "Sets whether the connection is told when what it has read changes.")
    .while_loading(),
    Command::session("CLIENT TRACKINGINFO", "", tracking::trackinginfo)
        .about("6.2.0", "Returns how the connection is told of changes.")
        .while_loading(),
    Command::session("CLIENT UNBLOCK", "client-id [TIMEOUT | ERROR]", unblock)
        .about("5.0.0", "Ends the wait of a connection that a command blocks; 0 if none does.")
        .admin()
        .while_loading(),
    Command::session("CLIENT UNPAUSE", "", unpause)
        .about("6.2.0", "Ends CLIENT PAUSE.")
        .admin()
        .while_loading(),
];

fn getname(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let names = context.session.client.names.lock();
    reply.bulk_or_null(Some(names.name.as_bytes()).filter(|name| !name.is_empty()));
    Ok(())
}

fn id(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.integer(context.session.client.id as i64);
    Ok(())
}

fn info(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    reply.verbatim(&client_line(&context.session.client, context.executor.now_ms()));
    Ok(())
}

/// The client that asks is closed after it has read the reply.
fn kill(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let is_old_form = args.len() == 3;
    let filter = if is_old_form {
        Filter { addr: Some(args.get(2)), ..Filter::default() }
    } else {
        Filter::parse(args, &context.executor.server.acl)?
    };

    let (own_id, now_ms) = (context.session.client.id, context.executor.now_ms());
    let mut killed = 0;
    for client in context.executor.server.clients.list() {
        let is_own = client.id == own_id;
        if is_own && filter.skip_me || !filter.matches(&client, now_ms) {
            continue;
        }
        if is_own {
            context.session.should_close = true;
        } else {
            context.executor.server.clients.close(&client);
        }
        killed += 1;
    }
    match (is_old_form, killed) {
        (true, 0) => return Err(Error::plain("No such client")),
        (true, _) => reply.ok(),
        (false, killed) => reply.count(killed),
    }
    Ok(())
}

fn list(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let now_ms = context.executor.now_ms();
    let mut options = Cursor::new(args, 2);
    let mut all: Vec<Arc<Client>> = context.executor.server.clients.list();
    if options.left() == 2 && options.accept("TYPE") {
        let kind = Kind::parse(options.required()?)?;
        all.retain(|client| kind.is_of(client));
    } else if options.left() >= 2 && options.accept("ID") {
        let mut ids = Vec::new();
        while let Some(id) = options.optional() {
            ids.push(integer(id).map_err(|_| Error::plain("Invalid client ID"))? as u64);
        }
        let by_id = |id: &u64| all.binary_search_by_key(id, |client| client.id).ok();
        all = ids.iter().filter_map(by_id).map(|at| all[at].clone()).collect();
    }
    options.finish()?;

    let lines: String = all.iter().map(|client| client_line(client, now_ms)).collect();
    reply.verbatim(&lines);
    Ok(())
}

fn no_evict(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let is_spared = on_or_off(args.get(2))?;

    context.session.client.no_evict.store(is_spared, Relaxed);
    context.executor.server.clients.keep_limit();
    reply.ok();
    Ok(())
}

fn no_touch(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    context.session.client.no_touch.store(on_or_off(args.get(2))?, Relaxed);
    reply.ok();
    Ok(())
}

fn pause(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mut options = Cursor::new(args, 3);
    let kind = match options.left() {
        0 => Pause::All,
        _ if options.accept("WRITE") => Pause::Writes,
        _ if options.accept("ALL") => Pause::All,
        _ => return Err(Error::plain("CLIENT PAUSE mode must be WRITE or ALL")),
    };
    options.finish()?;
    let timeout_ms = integer(args.get(2))
        .map_err(|_| Error::plain("timeout is not an integer or out of range"))?;
    let timeout_ms = u64::try_from(timeout_ms).map_err(|_| Error::plain("timeout is negative"))?;
    let until_ms = context.executor.now_ms().checked_add(timeout_ms);
    let until_ms = until_ms
        .filter(|&until_ms| until_ms <= i64::MAX as u64)
        .ok_or(Error::plain("timeout is out of range"))?;

    context.executor.server.store.turn.pause(kind, until_ms);
    reply.ok();
    Ok(())
}

fn reply(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let mode = &mut context.session.reply_mode;
    match args.get(2).to_ascii_uppercase().as_slice() {
        b"ON" => {
            *mode = ReplyMode::On;
            reply.ok();
        }
        b"OFF" => *mode = ReplyMode::Off,
        b"SKIP" if *mode == ReplyMode::Off => {}
        b"SKIP" => *mode = ReplyMode::SkipNext,
        _ => return Err(Error::Syntax),
    }
    Ok(())
}

fn setinfo(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let (attribute, value) = (args.get(2), args.get(3));
    let shown = String::from_utf8_lossy(attribute);
    let is_name = is(attribute, "LIB-NAME");
    if !is_name && !is(attribute, "LIB-VER") {
        return Err(Error::plain(format!("Unrecognized option '{shown}'")));
    }
    let value = checked(value, &shown)?;

    let mut names = context.session.client.names.lock();
    *(if is_name { &mut names.lib_name } else { &mut names.lib_ver }) = value;
    reply.ok();
    Ok(())
}

fn setname(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = checked_name(args.get(2))?;

    context.session.client.names.lock().name = name;
    reply.ok();
    Ok(())
}

/// The only wait here is that for the end of a pause, which nothing but that ends; so it is in Redis.
fn unblock(_context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if args.len() > 4 {
        let name = String::from_utf8_lossy(args.get(1));
        return Err(Error::plain(format!(
            "unknown subcommand or wrong number of arguments for '{name}'. Try CLIENT HELP."
        )));
    }
    if args.len() == 4 && !is(args.get(3), "TIMEOUT") && !is(args.get(3), "ERROR") {
        return Err(Error::plain("CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
    }
    integer(args.get(2))?;

    reply.integer(0);
    Ok(())
}

fn unpause(context: &mut Context<'_, '_>, _args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    context.executor.server.store.turn.unpause();
    reply.ok();
    Ok(())
}

/// A name for a connection. Blanks and the like would break CLIENT LIST.
///
/// # Errors
/// Redis's text.
pub(super) fn checked_name(name: &[u8]) -> Result<String> {
    checked(name, "Client names")
}

fn checked(text: &[u8], what: &str) -> Result<String> {
    if text.len() > NAME_BYTES_MAX {
        return Err(Error::plain(format!("{what} cannot be longer than {NAME_BYTES_MAX} bytes.")));
    }
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(is_plain));
    text.map(str::to_owned).ok_or_else(|| {
        let rule = "cannot contain spaces, newlines or special characters.";
        Error::plain(format!("{what} {rule}"))
    })
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// Which connections CLIENT KILL closes.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    user: Option<String>,
    kind: Option<Kind>,
    age_min_s: u64,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(args: Args<'a>, acl: &Acl) -> Result<Filter<'a>> {
        let mut filter = Filter { skip_me: true, ..Filter::default() };
        let mut options = Cursor::new(args, 2);
        while let Some(option) = options.optional() {
            let value = options.required()?;
            match option.to_ascii_uppercase().as_slice() {
                b"ID" => filter.id = Some(positive(value, NO_ID)?.ok_or(Error::plain(NO_ID))?),
                b"TYPE" => filter.kind = Some(Kind::parse(value)?),
                b"ADDR" => filter.addr = Some(value),
                b"LADDR" => filter.laddr = Some(value),
                b"USER" => {
                    let user = String::from_utf8_lossy(value).into_owned();
                    if acl.user(&user).is_none() {
                        return Err(Error::plain(format!("No such user '{user}'")));
                    }
                    filter.user = Some(user);
                }
                b"SKIPME" if is(value, "YES") => filter.skip_me = true,
                b"SKIPME" if is(value, "NO") => filter.skip_me = false,
                b"MAXAGE" => {
                    let age_s = positive(value, "maxage is not an integer or out of range")?;
                    let too_small = "maxage should be greater than 0";
                    filter.age_min_s = age_s.ok_or(Error::plain(too_small))?;
                }
                _ => return Err(Error::Syntax),
            }
        }
        Ok(filter)
    }

    fn matches(&self, client: &Client, now_ms: u64) -> bool {
        let is_at = |wanted: Option<&[u8]>, addr: &Address| {
            wanted.is_none_or(|wanted| addr.to_string().as_bytes() == wanted)
        };
        !client.is_killed()
            && self.id.is_none_or(|id| client.id == id)
            && is_at(self.addr, &client.addr)
            && is_at(self.laddr, &client.laddr)
            && self.user.as_ref().is_none_or(|user| client.names.lock().user == *user)
            && self.kind.is_none_or(|kind| kind.is_of(client))
            && seconds(client.since_ms, now_ms) >= self.age_min_s
    }
}

/// The types of client of CLIENT KILL and LIST.
#[derive(Clone, Copy)]
enum Kind {
    Normal,
    PubSub,
    /// MASTER and REPLICA, which no connection is.
    Replication,
}

impl Kind {
    fn parse(word: &[u8]) -> Result<Kind> {
        match word {
            _ if is(word, "NORMAL") => Ok(Kind::Normal),
            _ if is(word, "PUBSUB") => Ok(Kind::PubSub),
            _ if ["MASTER", "SLAVE", "REPLICA"].iter().any(|known| is(word, known)) => {
                Ok(Kind::Replication)
            }
            _ => {
                let word = String::from_utf8_lossy(word);
                Err(Error::plain(format!("Unknown client type '{word}'")))
            }
        }
    }

    fn is_of(self, client: &Client) -> bool {
        match self {
            Kind::Normal => !client.is_subscriber(),
            Kind::PubSub => client.is_subscriber(),
            Kind::Replication => false,
        }
    }
}

const NO_ID: &str = "client-id should be greater than 0";

/// A number above 0; `None` for a smaller one, and `error` for what is no number.
fn positive(arg: &[u8], error: &'static str) -> Result<Option<u64>> {
    let number = integer(arg).map_err(|_| Error::plain(error))?;
    Ok(u64::try_from(number).ok().filter(|&number| number > 0))
}

fn on_or_off(word: &[u8]) -> Result<bool> {
    match word {
        _ if is(word, "ON") => Ok(true),
        _ if is(word, "OFF") => Ok(false),
        _ => Err(Error::Syntax),
    }
}

fn seconds(from_ms: u64, to_ms: u64) -> u64 {
    to_ms.saturating_sub(from_ms) / 1000
}

/// One line of CLIENT LIST. Has all fields of Redis's: those for what does not exist here, such as
/// reply buffers, are 0; `fd` is -1, since sockets are the doors' matter;
/// `io-thread` is the worker thread.
pub fn client_line(client: &Client, now_ms: u64) -> String {
    let names = client.names.lock();
    let memory = &client.memory;
    let [query, query_free, args, output, queued] =
        [&memory.query, &memory.query_free, &memory.args, &memory.output, &memory.queued]
            .map(|bytes| bytes.load(Relaxed));
    let listed = memory.output_list() + client.mailbox.bytes();
    let [sub, psub, ssub] = client.subscriptions.each_ref().map(|count| count.load(Relaxed));
    let command = client.last_command.load(Relaxed) as usize;
    let command = table().specs.get(command).map_or("NULL", |spec| &spec.full_name);
    format!(
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={} db={} sub={sub} psub={psub} ssub={ssub} \
         multi={} watch={} qbuf={query} qbuf-free={query_free} argv-mem={args} multi-mem={queued} rbs=0 \
         rbp=0 obl={} oll={} omem={listed} tot-mem={} events={} cmd={command} user={} \
         redir={} resp={} lib-name={} lib-ver={} io-thread={}\n",
        client.id,
        client.addr,
        client.laddr,
        names.name,
        seconds(client.since_ms, now_ms),
        seconds(client.active_ms.load(Relaxed), now_ms),
        flags(client),
        client.db.load(Relaxed),
        client.queued.load(Relaxed).cast_signed(),
        client.watching.load(Relaxed),
        output - memory.output_list().min(output),
        usize::from(listed > 0),
        client.bytes(),
        if output > 0 { "rw" } else { "r" },
        names.user,
        client.redirect.load(Relaxed),
        client.resp.load(Relaxed),
        names.lib_name,
        names.lib_ver,
        client.worker(),
    )
}

fn flags(client: &Client) -> String {
    let flags = [
        (client.has(Flag::Monitor), 'O'),
        (client.has(Flag::Paused), 'b'),
        (client.is_subscriber(), 'P'),
        (client.queued.load(Relaxed) != u32::MAX, 'x'),
        (matches!(client.addr, Address::Unix(_)), 'U'),
        (client.has(Flag::Tracking), 't'),
        (client.has(Flag::BrokenRedirect), 'R'),
        (client.has(Flag::Broadcast), 'B'),
        (client.is_killed(), 'A'),
        (client.no_evict.load(Relaxed), 'e'),
        (client.no_touch.load(Relaxed), 'T'),
    ];
    let set: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).collect();
    if set.is_empty() { "N".to_owned() } else { set }
}
