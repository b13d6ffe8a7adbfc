//! `redis.*`: what scripts can ask of the server.
//!
//! Commands are run by the executor; see [`super::host`]. How errors look to a script is here, too.

use std::fmt;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::convert::{self, error_text};
use super::host::{Answer, Host, Unlimited};
use crate::command::REDIS_VERSION;
use crate::number;
use crate::resp::owned::OwnedRequest;

/// Longest command that a script can call.
const REQUEST_MAX_BYTES: usize = 1 << 30;

/// An error that Rust raises in a script.
#[derive(Debug, Clone)]
pub enum ScriptError {
    /// A table with this text as `err`, as errors of commands are; `true` if it was counted already.
    Table(String, bool),
    /// A string, as errors of Lua's own libraries are.
    Text(String),
}

impl ScriptError {
    /// The script's error inside one of mlua's.
    pub fn find(error: &mlua::Error) -> Option<&ScriptError> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }

    /// What a script sees.
    pub fn to_lua(&self, lua: &Lua) -> mlua::Result<Value> {
        match self {
            ScriptError::Text(text) => lua.create_string(text).map(Value::String),
            ScriptError::Table(text, is_counted) => {
                let table = lua.create_table()?;
                table.raw_set("err", lua.create_string(text)?)?;
                if *is_counted {
                    table.raw_set("ignore_error_stats_update", true)?;
                }
                Ok(Value::Table(table))
            }
        }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptError::Table(text, _) | ScriptError::Text(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ScriptError {}

/// What ends a script that must end.
pub fn ended() -> mlua::Error {
    table_error("Script killed by user with SCRIPT KILL...")
}

/// An error of Lua's own kind: a string that begins with the place of the call.
pub fn raise(lua: &Lua, text: &str) -> mlua::Error {
    let text = match place(lua, 1) {
        Some((source, line)) => format!("{}:{line}: {text}", source.trim_start_matches('@')),
        None => text.to_owned(),
    };
    mlua::Error::external(ScriptError::Text(text))
}

/// What a script has made is too large for its memory.
pub fn not_enough_memory() -> mlua::Error {
    mlua::Error::MemoryError("not enough memory".to_owned())
}

/// An argument is not what it should be.
pub fn bad_argument(lua: &Lua, number: usize, function: &str, why: &str) -> mlua::Error {
    raise(lua, &format!("bad argument #{number} to '{function}' ({why})"))
}

/// The text of an error that is not a script's own.
pub fn message(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => message(cause),
        mlua::Error::SyntaxError { message, .. } | mlua::Error::RuntimeError(message) => {
            message.clone()
        }
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        error => error.to_string(),
    }
}

/// Where the innermost code of a script stands, from a level of the stack on.
pub fn place(lua: &Lua, from: usize) -> Option<(String, usize)> {
    (from..).map_while(|level| lua.inspect_stack(level, of_script)).find_map(|place| place)
}

fn of_script(frame: &mlua::debug::Debug<'_>) -> Option<(String, usize)> {
    let source = frame.source();
    let name = source.source.filter(|name| name.starts_with('@'))?;
    Some((name.into_owned(), frame.current_line()?))
}

/// An error as a table.
pub fn table_error(text: &str) -> mlua::Error {
    mlua::Error::external(ScriptError::Table(error_text(text), false))
}

/// The table `redis`.
pub fn redis(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    for (name, raises) in [("call", true), ("pcall", false)] {
        let host = host.clone();
        let call = lua.create_function(move |lua, args: MultiValue| {
            let reply = call(lua, &host, &args)?;
            match &reply {
                Value::Table(table) if raises => raise_reply(table).map(|()| reply),
                _ => Ok(reply),
            }
        })?;
        redis.raw_set(name, call)?;
    }
    let host_of_check = host.clone();
    let acl_check_cmd = move |_: &Lua, args: MultiValue| acl_check_cmd(&host_of_check, &args);
    redis.raw_set("acl_check_cmd", lua.create_function(acl_check_cmd)?)?;
    replies(lua, &redis)?;
    settings(lua, &redis, host)?;
    log_and_version(lua, &redis)?;
    Ok(redis)
}

/// `log` with its levels, and the version.
pub fn log_and_version(lua: &Lua, redis: &Table) -> mlua::Result<()> {
    redis.raw_set("log", lua.create_function(|_, args: MultiValue| log(&args))?)?;
    for (level, name) in
        ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].iter().enumerate()
    {
        redis.raw_set(*name, level)?;
    }
    redis.raw_set("REDIS_VERSION", REDIS_VERSION)?;
    redis.raw_set("REDIS_VERSION_NUM", version_number())
}

fn replies(lua: &Lua, redis: &Table) -> mlua::Result<()> {
    const WRONG: &str = "wrong number or type of arguments";
    let single = |lua: &Lua, field: &str, text: &[u8]| {
        let table = lua.create_table()?;
        table.raw_set(field, lua.create_string(text)?)?;
        Ok(table)
    };
    let error = move |lua: &Lua, args: MultiValue| match one_string(&args) {
        Some(text) => {
            // As in Redis, a zero byte ends it.
            let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
            let text = String::from_utf8_lossy(text).into_owned();
            let coded = if text.starts_with('-') { text } else { format!("-{text}") };
            single(lua, "err", error_text(&coded).as_bytes())
        }
        None => single(lua, "err", error_text(WRONG).as_bytes()),
    };
    let status = move |lua: &Lua, args: MultiValue| match one_string(&args) {
        Some(text) => single(lua, "ok", &text),
        None => single(lua, "err", error_text(WRONG).as_bytes()),
    };
    redis.raw_set("error_reply", lua.create_function(error)?)?;
    redis.raw_set("status_reply", lua.create_function(status)?)?;
    let sha1hex = |lua: &Lua, args: MultiValue| {
        let text = (args.len() == 1).then(|| argument(&args[0])).flatten();
        let text = text.ok_or_else(|| table_error("wrong number of arguments"))?;
        lua.create_string(super::sha_of(&text))
    };
    redis.raw_set("sha1hex", lua.create_function(sha1hex)?)
}

fn settings(lua: &Lua, redis: &Table, host: &Rc<Host>) -> mlua::Result<()> {
    let host = host.clone();
    let setresp = move |_: &Lua, args: MultiValue| {
        let [version] = args.iter().collect::<Vec<_>>()[..] else {
            return Err(table_error("redis.setresp() requires one argument."));
        };
        match number(version) {
            Some(2.0) => host.is_resp3.set(false),
            Some(3.0) => host.is_resp3.set(true),
            _ => return Err(table_error("RESP version must be 2 or 3.")),
        }
        Ok(())
    };
    redis.raw_set("setresp", lua.create_function(setresp)?)?;
    let set_repl = |_: &Lua, args: MultiValue| {
        let [flags] = args.iter().collect::<Vec<_>>()[..] else {
            return Err(table_error("redis.set_repl() requires one argument."));
        };
        match number(flags) {
            Some(0.0..=3.0) => Ok(()),
            _ => Err(table_error(
                "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
            )),
        }
    };
    redis.raw_set("set_repl", lua.create_function(set_repl)?)?;
    let flags = [("NONE", 0), ("AOF", 1), ("SLAVE", 2), ("REPLICA", 2), ("ALL", 3)];
    for (name, flag) in flags {
        redis.raw_set(format!("REPL_{name}"), flag)?;
    }
    redis.raw_set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
    redis.raw_set("breakpoint", lua.create_function(|_, ()| Ok(false))?)?;
    redis.raw_set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)
}

/// Runs a command; errors are tables, not raised.
fn call(lua: &Lua, host: &Host, args: &MultiValue) -> mlua::Result<Value> {
    if let Err(text) = fill(&mut host.request.borrow_mut(), args) {
        return ScriptError::Table(error_text(text), false).to_lua(lua);
    }
    if host.call() == Answer::End {
        return Err(ended());
    }
    let reply = host.reply.borrow();
    let _unlimited = Unlimited::for_input(lua, reply.len());
    match reply.without_values() {
        Some(bytes) => convert::from_reply(lua, bytes),
        None => convert::from_reply(lua, &reply.to_vec()),
    }
}

/// Whether the script's client may run a command.
fn acl_check_cmd(host: &Host, args: &MultiValue) -> mlua::Result<bool> {
    if args.is_empty() {
        let text = "Please specify at least one argument for this redis.acl_check_cmd() call";
        return Err(table_error(text));
    }
    fill(&mut host.request.borrow_mut(), args).map_err(table_error)?;
    if host.ask_allowed() == Answer::End {
        return Err(ended());
    }
    let invalid = || table_error("Invalid command passed to redis.acl_check_cmd()");
    host.allowed.get().ok_or_else(invalid)
}

fn fill(request: &mut OwnedRequest, args: &MultiValue) -> Result<(), &'static str> {
    request.clear();
    if args.is_empty() {
        return Err("Please specify at least one argument for this redis lib call");
    }
    for arg in args {
        if request.bytes() > REQUEST_MAX_BYTES {
            return Err("The command is too long");
        }
        match arg {
            Value::String(text) => request.push(&text.as_bytes()),
            Value::Integer(number) => request.push(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Number(number) => request.push(format_number(*number).as_bytes()),
            _ => return Err("Lua redis lib command arguments must be strings or integers"),
        }
    }
    Ok(())
}

/// A number as commands get it: without loss, and as an integer where it is one.
fn format_number(number: f64) -> String {
    const EXACT_MAX: f64 = (1u64 << 63) as f64;
    if number == number.trunc() && number.abs() < EXACT_MAX {
        return (number as i64).to_string();
    }
    number::format_double(number)
}

fn raise_reply(reply: &Table) -> mlua::Result<()> {
    let Value::String(text) = reply.raw_get("err")? else { return Ok(()) };
    let is_counted = reply.raw_get::<bool>("ignore_error_stats_update").unwrap_or(false);
    Err(mlua::Error::external(ScriptError::Table(text.to_string_lossy(), is_counted)))
}

fn log(args: &MultiValue) -> mlua::Result<()> {
    if args.len() < 2 {
        return Err(table_error("redis.log() requires two arguments or more."));
    }
    let Some(level) = number(&args[0]) else {
        return Err(table_error("First argument must be a number (log level)."));
    };
    let words: Vec<_> = args.iter().skip(1).filter_map(argument).collect();
    let words = words.join(&b' ');
    let text = String::from_utf8_lossy(&words);
    match level as i64 {
        0 => tracing::debug!("{text}"),
        1 | 2 => tracing::info!("{text}"),
        3 => tracing::warn!("{text}"),
        _ => return Err(table_error("Invalid log level.")),
    }
    Ok(())
}

fn one_string(args: &MultiValue) -> Option<Vec<u8>> {
    match args.iter().collect::<Vec<_>>()[..] {
        [Value::String(text)] => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

/// A string, or a number as one.
fn argument(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(_) | Value::Number(_) => Some(value.to_string().ok()?.into_bytes()),
        _ => None,
    }
}

/// A number, or a string that is one.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        Value::String(text) => number::parse_f64(&text.as_bytes()),
        _ => None,
    }
}

/// 0x00MMmmpp.
fn version_number() -> u32 {
    REDIS_VERSION.split('.').fold(0, |number, part| number << 8 | part.parse::<u32>().unwrap_or(0))
}
