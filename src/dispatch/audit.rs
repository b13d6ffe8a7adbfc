//! What becomes a line of the audit log: every change that came over HTTP, every administrative command of
//! either door, FLUSHALL and its like, and every refusal for want of rights or of the right password.
//!
//! A line says who, from where, what command, on which namespaces, and how it ended; never arguments that
//! are no names: no values, no keys of pairs, no passwords. Where lines go is [`crate::server::audit`]'s
//! matter.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::command::{Spec, table};
use crate::error::Result;
use crate::resp::request::Args;
use crate::server::Server;
use crate::session::Session;

/// Names that a line shows at most, and bytes of each.
const NAMES_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 256;

/// By place in the command table: whether it is audited whoever runs it.
static ADMINISTRATIVE: LazyLock<Vec<bool>> = LazyLock::new(|| {
    let is_one = |spec: &Spec| {
        let categories = spec.categories();
        categories.contains(&"admin") || (categories.contains(&"dangerous") && spec.is_write())
    };
    table().specs.iter().map(is_one).collect()
});

/// A command has run.
#[cold]
pub(super) fn ran(
    server: &Server,
    session: &Session,
    spec: &'static Spec,
    args: Args<'_>,
    result: &Result,
) {
    let is_change = spec.is_write() || spec.family.group == "scripting";
    let is_audited = ADMINISTRATIVE[spec.index] || (session.http.is_some() && is_change);
    if !is_audited {
        return;
    }
    let mut names: Vec<Value> = Vec::new();
    for name in spec.keys.positions(args.len()).map(|at| shown(args.get(at))) {
        if names.len() == NAMES_MAX {
            break;
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let result = result.as_ref().err().map_or("ok", |error| error.code());
    let user = session.identity.user().name.as_bytes();
    write(server, session, user, [spec.full_name.as_str(), result], names);
}

/// Somebody was refused something: `object`, if it is a name, and why; `username` is who he is or says.
pub fn refused(server: &Server, session: &Session, reason: &str, object: &[u8], username: &[u8]) {
    if server.audit.is_on() {
        let names = if reason == "key" { vec![shown(object)] } else { Vec::new() };
        let what = if reason == "command" { String::from_utf8_lossy(object) } else { "".into() };
        let result = if reason == "auth" { "WRONGPASS" } else { "NOPERM" };
        write(server, session, username, [&what, result], names);
    }
}

fn write(
    server: &Server,
    session: &Session,
    user: &[u8],
    [command, result]: [&str; 2],
    names: Vec<Value>,
) {
    let http = session.http.as_ref();
    let mut line = Map::new();
    let mut add = |name: &str, value: Value| line.insert(name.to_owned(), value);
    add("time_ms", server.store.clock.now_ms().into());
    add("door", if http.is_some() { "http" } else { "redis" }.into());
    add("client", session.client.addr.to_string().into());
    if let Some(address) = http.and_then(|http| http.address) {
        add("forwarded_for", address.to_string().into());
    }
    add("user", shown(user));
    if let Some(token) = http.and_then(|http| http.token.as_ref()) {
        add("token", format!("{} ({})", token.name, token.id).into());
    }
    if let Some((method, path)) = http.and_then(|http| http.route) {
        add("route", format!("{method} {path}").into());
    }
    if !command.is_empty() {
        add("command", command.into());
    }
    add("namespaces", names.into());
    add("result", result.into());
    server.audit.add(Value::Object(line).to_string());
}

/// A name as people read it, perhaps cut; bytes that are no text are escaped.
fn shown(name: &[u8]) -> Value {
    let cut = &name[..name.len().min(NAME_BYTES_MAX)];
    match std::str::from_utf8(cut) {
        Ok(text) => text.into(),
        Err(_) => cut.escape_ascii().to_string().into(),
    }
}
