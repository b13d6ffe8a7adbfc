//! `cmsgpack`: Lua values to and from MessagePack.
//!
//! Tables whose keys are 1 to n become arrays, others maps; beyond [`DEPTH_MAX`] tables inside tables
//! are written as nil. Extension types are not known.

use mlua::{Lua, MultiValue, Table, Value};

use super::api::not_enough_memory;
use super::args::Arguments;
use super::host::{Unlimited, memory_left};

/// Tables inside tables that are written.
const DEPTH_MAX: usize = 16;
/// Arrays and maps inside each other that are read.
const READ_DEPTH_MAX: usize = 1000;

/// The table of that name.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(pack)?)?;
    let unpack = |lua: &Lua, values: MultiValue| {
        let args = Arguments::new(lua, "unpack", values);
        read(lua, &args, usize::MAX, 0, false)
    };
    table.raw_set("unpack", lua.create_function(unpack)?)?;
    let one = |lua: &Lua, values: MultiValue| {
        let args = Arguments::new(lua, "unpack_one", values);
        let offset = args.integer_or(2, 0)?;
        read(lua, &args, 1, offset, true)
    };
    table.raw_set("unpack_one", lua.create_function(one)?)?;
    let limit = |lua: &Lua, values: MultiValue| {
        let args = Arguments::new(lua, "unpack_limit", values);
        let (limit, offset) = (args.number(2)? as i64, args.integer_or(3, 0)?);
        let limit = usize::try_from(limit).map_err(|_| bad_request(&args, offset, limit))?;
        read(lua, &args, limit, offset, true)
    };
    table.raw_set("unpack_limit", lua.create_function(limit)?)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    Ok(table)
}

fn pack(lua: &Lua, values: MultiValue) -> mlua::Result<mlua::LuaString> {
    if values.is_empty() {
        let args = Arguments::new(lua, "pack", values);
        return Err(args.bad(0, "MessagePack pack needs input."));
    }
    let mut writer = Writer { out: Vec::new(), bytes_max: memory_left(lua) };
    values.iter().try_for_each(|value| writer.value(value, 0))?;
    lua.create_string(writer.out)
}

struct Writer {
    out: Vec<u8>,
    /// A table may stand in others many times, so what is written has a limit of its own.
    bytes_max: usize,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        let out = &mut self.out;
        if out.len() > self.bytes_max {
            return Err(not_enough_memory());
        }
        match value {
            Value::String(text) => {
                let text = text.as_bytes();
                head(out, text.len(), [Some((0xa0, 32)), Some((0xd9, 1 << 8))], 0xda, 0xdb);
                out.extend_from_slice(&text);
            }
            Value::Boolean(yes) => out.push(if *yes { 0xc3 } else { 0xc2 }),
            Value::Integer(number) => write_integer(out, *number),
            Value::Number(number) => write_number(out, *number),
            Value::Table(table) if depth < DEPTH_MAX => return self.table(table, depth + 1),
            _ => out.push(0xc0),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        let (mut len, mut largest, mut is_list) = (0, 0.0f64, true);
        for pair in table.pairs::<Value, Value>() {
            let number = match pair?.0 {
                Value::Integer(number) => number as f64,
                Value::Number(number) => number,
                _ => 0.0,
            };
            len += 1;
            largest = largest.max(number);
            is_list &= number > 0.0 && number == number.trunc();
        }
        if is_list && largest == len as f64 {
            head(&mut self.out, len, [Some((0x90, 16)), None], 0xdc, 0xdd);
            return (1..=len).try_for_each(|at| self.value(&table.raw_get(at)?, depth));
        }
        head(&mut self.out, len, [Some((0x80, 16)), None], 0xde, 0xdf);
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            self.value(&key, depth)?;
            self.value(&value, depth)?;
        }
        Ok(())
    }
}

/// A kind and a length: in the kind's byte, in one byte behind it, or in two or four.
fn head(out: &mut Vec<u8>, len: usize, short: [Option<(u8, usize)>; 2], two: u8, four: u8) {
    match (short, len) {
        ([Some((kind, limit)), _], len) if len < limit => out.push(kind | len as u8),
        ([_, Some((kind, limit))], len) if len < limit => out.extend([kind, len as u8]),
        (_, 0..=0xffff) => {
            out.push(two);
            out.extend((len as u16).to_be_bytes());
        }
        _ => {
            out.push(four);
            out.extend((len as u32).to_be_bytes());
        }
    }
}

fn write_number(out: &mut Vec<u8>, number: f64) {
    const INTEGERS_END: f64 = (1u64 << 63) as f64;
    if number == number.trunc() && number.abs() < INTEGERS_END {
        write_integer(out, number as i64);
    } else if f64::from(number as f32) == number {
        out.push(0xca);
        out.extend((number as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend(number.to_be_bytes());
    }
}

fn write_integer(out: &mut Vec<u8>, number: i64) {
    let (kind, bytes) = match number {
        -32..=127 => return out.push(number as u8),
        0x80..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -0x80.. => (0xd0, 1),
        -0x8000.. => (0xd1, 2),
        -0x8000_0000.. => (0xd2, 4),
        _ => (0xd3, 8),
    };
    out.push(kind);
    out.extend(&number.to_be_bytes()[8 - bytes..]);
}

/// Why bytes can not be read.
enum Wrong {
    Missing,
    Format,
    Lua(mlua::Error),
}

impl From<mlua::Error> for Wrong {
    fn from(error: mlua::Error) -> Wrong {
        Wrong::Lua(error)
    }
}

fn bad_request(args: &Arguments<'_>, offset: i64, limit: i64) -> mlua::Error {
    let text = format!("Invalid request to unpack with offset of {offset} and limit of {limit}.");
    args.wrong(&text)
}

/// Values from an offset on; with `tells_offset`, where to go on comes first, -1 at the end.
fn read(
    lua: &Lua,
    args: &Arguments<'_>,
    limit: usize,
    offset: i64,
    tells_offset: bool,
) -> mlua::Result<MultiValue> {
    let bytes = args.bytes(1)?;
    let shown_limit = i64::try_from(limit).unwrap_or(0);
    let from = usize::try_from(offset).map_err(|_| bad_request(args, offset, shown_limit))?;
    let Some(rest) = bytes.get(from..) else {
        let text = format!("Start offset {offset} greater than input length {}.", bytes.len());
        return Err(args.wrong(&text));
    };
    let limit = if limit == 0 { usize::MAX } else { limit };
    let _unlimited = Unlimited::for_input(lua, rest.len());
    let mut reader = Reader { lua, rest };
    let mut values = MultiValue::new();
    while !reader.rest.is_empty() && values.len() < limit {
        values.push_back(reader.value(0).map_err(|wrong| match wrong {
            Wrong::Missing => args.wrong("Missing bytes in input."),
            Wrong::Format => args.wrong("Bad data format in input."),
            Wrong::Lua(error) => error,
        })?);
    }
    if tells_offset {
        let is_end = reader.rest.is_empty();
        let next = if is_end { -1.0 } else { (bytes.len() - reader.rest.len()) as f64 };
        values.push_front(Value::Number(next));
    }
    Ok(values)
}

struct Reader<'r> {
    lua: &'r Lua,
    rest: &'r [u8],
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Wrong> {
        let kind = self.take(1)?[0];
        let value = match kind {
            0x00..=0x7f => f64::from(kind),
            0xe0..=0xff => f64::from(kind as i8),
            0xc0 => return Ok(Value::Nil),
            0xc2 | 0xc3 => return Ok(Value::Boolean(kind == 0xc3)),
            0xca => f64::from(f32::from_bits(self.unsigned(4)? as u32)),
            0xcb => f64::from_bits(self.unsigned(8)?),
            0xcc..=0xcf => self.unsigned(1 << (kind - 0xcc))? as f64,
            0xd0..=0xd3 => {
                let bytes = 1 << (kind - 0xd0);
                let above = 64 - 8 * bytes as u32;
                ((self.unsigned(bytes)? << above) as i64 >> above) as f64
            }
            0xa0..=0xbf => return self.string(usize::from(kind & 0x1f)),
            0xc4..=0xc6 => return self.sized_string(1 << (kind - 0xc4)),
            0xd9..=0xdb => return self.sized_string(1 << (kind - 0xd9)),
            0x90..=0x9f => return self.array(usize::from(kind & 0xf), depth),
            0x80..=0x8f => return self.map(usize::from(kind & 0xf), depth),
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (kind - 0xdc))?;
                return self.array(len as usize, depth);
            }
            0xde | 0xdf => {
                let len = self.unsigned(2 << (kind - 0xde))?;
                return self.map(len as usize, depth);
            }
            _ => return Err(Wrong::Format),
        };
        Ok(Value::Number(value))
    }

    fn take(&mut self, len: usize) -> Result<&[u8], Wrong> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Wrong::Missing)?;
        self.rest = rest;
        Ok(taken)
    }

    fn unsigned(&mut self, bytes: usize) -> Result<u64, Wrong> {
        let taken = self.take(bytes)?;
        Ok(taken.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn sized_string(&mut self, bytes: usize) -> Result<Value, Wrong> {
        let len = self.unsigned(bytes)?;
        self.string(len as usize)
    }

    fn string(&mut self, len: usize) -> Result<Value, Wrong> {
        let lua = self.lua;
        Ok(Value::String(lua.create_string(self.take(len)?)?))
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<Value, Wrong> {
        let table = self.table(depth)?;
        for at in 1..=len {
            let value = self.value(depth + 1)?;
            table.raw_set(at, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Value, Wrong> {
        let table = self.table(depth)?;
        for _ in 0..len {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            table.raw_set(key, value)?;
        }
        Ok(Value::Table(table))
    }

    fn table(&self, depth: usize) -> Result<Table, Wrong> {
        match depth < READ_DEPTH_MAX {
            true => Ok(self.lua.create_table()?),
            false => Err(Wrong::Format),
        }
    }
}
