//! Between Lua's values and RESP: replies of commands become values, and what a script returns becomes
//! its reply.
//!
//! The table of conversions is the one Redis documents for its Lua API. Nothing here calls into Lua
//! code: fields are read raw, so a metatable of a script's can neither fail nor loop.

use mlua::{IntoLua, Lua, LuaString, Table, Value};

use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::store::Settings;

/// Tables inside tables that a reply may have.
const DEPTH_MAX: usize = 500;
/// Bytes that a value takes in a reply beside its text, at most: as RESP, or in a tree for HTTP.
const FRAMING_BYTES: usize = 32;

/// The Lua value of one reply that the server has written itself, in RESP2 or RESP3.
///
/// # Errors
/// When memory runs out.
pub fn from_reply(lua: &Lua, bytes: &[u8]) -> mlua::Result<Value> {
    Reader { lua, bytes }.value()
}

/// Writes what a script returned. `is_resp3` says whether the script asked for RESP3's types, in which
/// a truth value is one.
///
/// # Errors
/// When the reply is too long. Then a part of it has been written.
pub fn to_reply(
    value: &Value,
    is_resp3: bool,
    settings: &Settings,
    reply: &mut Reply<'_>,
) -> Result {
    let written = Writer { is_resp3, settings, bytes: 0, reply }.value(value, 0);
    written.map_err(|error| match error.chain().find_map(|cause| cause.downcast_ref::<Error>()) {
        Some(error) => error.clone(),
        None => Error::plain(error.to_string()),
    })
}

/// The text of an error as `err` holds it: the code, a blank, the message.
pub fn error_text(text: &str) -> String {
    let (code, message) = match text.strip_prefix('-') {
        Some(coded) => coded.split_once(' ').unwrap_or(("ERR", coded)),
        None => ("ERR", text),
    };
    format!("{code} {}", message.trim_matches(['\r', '\n']))
}

/// The error that a script returns, if it is one.
pub fn error_of(value: &Value) -> Option<String> {
    let Value::String(text) = value.as_table()?.raw_get("err").ok()? else { return None };
    Some(text.to_string_lossy())
}

/// Whether an error came from a command, which has counted it.
pub fn is_counted(error: &Value) -> bool {
    let flag = |table: &Table| table.raw_get::<bool>("ignore_error_stats_update").ok();
    error.as_table().and_then(flag).unwrap_or(false)
}

struct Reader<'r> {
    lua: &'r Lua,
    bytes: &'r [u8],
}

impl<'r> Reader<'r> {
    fn value(&mut self) -> mlua::Result<Value> {
        let (&kind, rest) = self.bytes.split_first().unwrap_or((&b'_', &[]));
        self.bytes = rest;
        let line = self.line();
        match kind {
            b'$' => match length(line) {
                Some(len) => self.lua.create_string(self.body(len)).map(Value::String),
                None => Ok(Value::Boolean(false)),
            },
            b':' => Ok(Value::Number(integer(line) as f64)),
            b'+' => self.single("ok", line),
            b'-' => {
                let error = self.lua.create_table()?;
                error.raw_set("err", self.lua.create_string(line)?)?;
                error.raw_set("ignore_error_stats_update", true)?;
                Ok(Value::Table(error))
            }
            b'*' | b'>' => match length(line) {
                Some(len) => self.array(len),
                None => Ok(Value::Boolean(false)),
            },
            b'%' => self.map(length(line).unwrap_or(0)),
            // Attributes say something about the value behind them.
            b'|' => {
                self.map(length(line).unwrap_or(0))?;
                self.value()
            }
            b'~' => self.set(length(line).unwrap_or(0)),
            b'#' => Ok(Value::Boolean(line == b"t")),
            b',' => self.single("double", double(line)),
            b'(' => self.single("big_number", line),
            b'=' => {
                let body = self.body(length(line).unwrap_or(0));
                let (format, text) = body.split_at_checked(4).unwrap_or((b"txt:", body));
                let fields = self.lua.create_table()?;
                fields.raw_set("format", self.lua.create_string(&format[..3])?)?;
                fields.raw_set("string", self.lua.create_string(text)?)?;
                self.single("verbatim_string", fields)
            }
            _ => Ok(Value::Nil),
        }
    }

    fn single(&self, field: &str, value: impl Field) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(field, value.into_value(self.lua)?)?;
        Ok(Value::Table(table))
    }

    fn array(&mut self, len: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(len, 0)?;
        for at in 1..=len {
            let value = self.value()?;
            table.raw_set(at, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, len)?;
        for _ in 0..len {
            let (key, value) = (self.value()?, self.value()?);
            table.raw_set(key, value)?;
        }
        self.single("map", table)
    }

    fn set(&mut self, len: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, len)?;
        for _ in 0..len {
            table.raw_set(self.value()?, true)?;
        }
        self.single("set", table)
    }

    fn line(&mut self) -> &'r [u8] {
        let end = memchr::memchr(b'\r', self.bytes).unwrap_or(self.bytes.len());
        let line = &self.bytes[..end];
        self.bytes = self.bytes.get(end + 2..).unwrap_or_default();
        line
    }

    fn body(&mut self, len: usize) -> &'r [u8] {
        let body = &self.bytes[..len.min(self.bytes.len())];
        self.bytes = self.bytes.get(len + 2..).unwrap_or_default();
        body
    }
}

trait Field {
    fn into_value(self, lua: &Lua) -> mlua::Result<Value>;
}

impl Field for &[u8] {
    fn into_value(self, lua: &Lua) -> mlua::Result<Value> {
        lua.create_string(self).map(Value::String)
    }
}

impl Field for f64 {
    fn into_value(self, _: &Lua) -> mlua::Result<Value> {
        Ok(Value::Number(self))
    }
}

impl Field for Table {
    fn into_value(self, lua: &Lua) -> mlua::Result<Value> {
        self.into_lua(lua)
    }
}

fn integer(line: &[u8]) -> i64 {
    crate::number::parse_i64(line).unwrap_or(0)
}

fn length(line: &[u8]) -> Option<usize> {
    usize::try_from(integer(line)).ok()
}

fn double(line: &[u8]) -> f64 {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

struct Writer<'w, 'r> {
    is_resp3: bool,
    settings: &'w Settings,
    /// Of the reply so far. A table may stand in others many times, so it can be long.
    bytes: usize,
    reply: &'w mut Reply<'r>,
}

impl Writer<'_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        self.count(FRAMING_BYTES)?;
        match value {
            Value::String(text) => {
                self.count(text.as_bytes().len())?;
                self.reply.bulk(&text.as_bytes());
            }
            Value::Integer(number) => self.reply.integer(*number),
            Value::Number(number) => self.reply.integer(truncated(*number)),
            Value::Boolean(yes) if self.is_resp3 => self.reply.boolean(*yes),
            Value::Boolean(true) => self.reply.integer(1),
            Value::Table(_) if depth == DEPTH_MAX => {
                self.reply.error(&Error::plain("reached lua stack limit"));
            }
            Value::Table(table) => return self.table(table, depth + 1),
            _ => self.reply.null(),
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> mlua::Result<()> {
        self.bytes += bytes;
        let checked = self.settings.check_reply_len(self.bytes, "a smaller result");
        checked.map_err(mlua::Error::external)
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        let text = |field: &str| table.raw_get::<Value>(field).map(string);
        let inner =
            |field: &str| table.raw_get::<Value>(field).map(|value| value.as_table().cloned());
        if let Some(error) = text("err")? {
            self.count(error.as_bytes().len())?;
            self.reply.error(&Error::coded(error.to_string_lossy()));
        } else if let Some(status) = text("ok")? {
            self.count(status.as_bytes().len())?;
            self.reply.status(&status.as_bytes());
        } else if let Some(double) = number(&table.raw_get("double")?) {
            self.reply.double(double);
        } else if let Some(digits) = text("big_number")? {
            // A script may have put anything there.
            let is_break = |byte: u8| matches!(byte, b'\r' | b'\n');
            let digits = digits.as_bytes();
            self.count(digits.len())?;
            let digits = digits.iter().map(|&byte| if is_break(byte) { b' ' } else { byte });
            self.reply.big_number(&digits.collect::<Vec<_>>());
        } else if let Some((format, text)) = inner("verbatim_string")?.and_then(|it| verbatim(&it))
        {
            self.count(text.as_bytes().len())?;
            self.reply.verbatim_as(&format.as_bytes(), &text.as_bytes());
        } else if let Some(map) = inner("map")? {
            self.reply.map(map.pairs::<Value, Value>().count());
            for pair in map.pairs::<Value, Value>() {
                let (key, value) = pair?;
                self.value(&key, depth)?;
                self.value(&value, depth)?;
            }
        } else if let Some(set) = inner("set")? {
            self.reply.set(set.pairs::<Value, Value>().count());
            for pair in set.pairs::<Value, Value>() {
                self.value(&pair?.0, depth)?;
            }
        } else {
            return self.array(table, depth);
        }
        Ok(())
    }

    /// Up to the first nil. Items are looked at twice, since only so many can be held at once.
    fn array(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        let mut len = 0;
        while !table.raw_get::<Value>(len + 1)?.is_nil() {
            len += 1;
        }
        self.reply.array(len);
        (1..=len).try_for_each(|at| self.value(&table.raw_get(at)?, depth))
    }
}

/// C leaves open what becomes of a number that no integer can hold; Redis's answer is that of its
/// processors, and clients know it.
fn truncated(number: f64) -> i64 {
    const END: f64 = (1u64 << 63) as f64;
    if (-END..END).contains(&number) { number as i64 } else { i64::MIN }
}

fn string(value: Value) -> Option<LuaString> {
    value.as_string().cloned()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn verbatim(fields: &Table) -> Option<(LuaString, LuaString)> {
    let text = |field: &str| fields.raw_get::<Value>(field).ok().and_then(string);
    Some((text("format")?, text("string")?))
}
