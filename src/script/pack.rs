//! `struct`: Lua values to and from bytes in the layout that a format says.
//!
//! Formats are those of Roberto Ierusalimschy's library: `<` and `>` set the byte order, `!n` the
//! alignment; `b h l i T` and their unsigned twins are integers, `f d` floats, `s` a string that ends
//! with a zero, `cn` one of n bytes, `x` a byte of padding.

use mlua::{Lua, MultiValue, Table, Value};

use super::args::Arguments;

const INTEGER_BYTES_MAX: usize = 32;
const ALIGNMENT: usize = 8;

/// The table `struct`.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(pack)?)?;
    table.raw_set("unpack", lua.create_function(unpack)?)?;
    table.raw_set("size", lua.create_function(size)?)?;
    Ok(table)
}

/// One item of a format.
struct Item {
    letter: u8,
    size: usize,
    /// Bytes of padding before it.
    padding: usize,
}

/// Walks over a format.
struct Format<'f> {
    args: &'f Arguments<'f>,
    text: &'f [u8],
    is_big: bool,
    align: usize,
}

impl<'f> Format<'f> {
    fn new(args: &'f Arguments<'f>, text: &'f [u8]) -> Format<'f> {
        Format { args, text, is_big: cfg!(target_endian = "big"), align: 1 }
    }

    /// The next item that stands for bytes, if it is to stand `at` bytes from the start.
    fn next(&mut self, at: usize) -> mlua::Result<Option<Item>> {
        while let Some((&letter, rest)) = self.text.split_first() {
            self.text = rest;
            let size = match letter {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'f' => 4,
                b'd' | b'l' | b'L' | b'T' => 8,
                b's' => 0,
                b'c' => self.digits(1)?,
                b'i' | b'I' => self.integer_size()?,
                b' ' => continue,
                b'>' | b'<' => {
                    self.is_big = letter == b'>';
                    continue;
                }
                b'!' => {
                    self.align = self.digits(ALIGNMENT)?;
                    if !self.align.is_power_of_two() {
                        let text = format!("alignment {} is not a power of 2", self.align);
                        return Err(self.args.wrong(&text));
                    }
                    continue;
                }
                other => {
                    let text = format!("invalid format option '{}'", char::from(other));
                    return Err(self.args.bad(1, &text));
                }
            };
            let align = if letter == b'c' { 0 } else { size.min(self.align) };
            let padding = match align > 1 {
                true => (align - (at & (align - 1))) & (align - 1),
                false => 0,
            };
            return Ok(Some(Item { letter, size, padding }));
        }
        Ok(None)
    }

    fn integer_size(&mut self) -> mlua::Result<usize> {
        let size = self.digits(4)?;
        if size > INTEGER_BYTES_MAX {
            return Err(self.args.wrong(&format!(
                "integral size {size} is larger than limit of {INTEGER_BYTES_MAX}"
            )));
        }
        Ok(size)
    }

    fn digits(&mut self, default: usize) -> mlua::Result<usize> {
        let len = self.text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.text.split_at(len);
        self.text = rest;
        if digits.is_empty() {
            return Ok(default);
        }
        let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<i32>().ok());
        number
            .map(|number| number as usize)
            .ok_or_else(|| self.args.wrong("integral size overflow"))
    }
}

fn pack(lua: &Lua, values: MultiValue) -> mlua::Result<mlua::LuaString> {
    let args = Arguments::new(lua, "pack", values);
    let text = args.bytes(1)?;
    let mut format = Format::new(&args, &text);
    let (mut out, mut at) = (Vec::new(), 2);
    while let Some(Item { letter, size, padding }) = format.next(out.len())? {
        out.resize(out.len() + padding, 0);
        match letter {
            b'x' => {
                out.push(0);
                continue;
            }
            b'f' => put(&mut out, &(args.number(at)? as f32).to_le_bytes(), format.is_big),
            b'd' => put(&mut out, &args.number(at)?.to_le_bytes(), format.is_big),
            b'c' | b's' => {
                let bytes = args.bytes(at)?;
                let size = if size == 0 { bytes.len() } else { size };
                let bytes = bytes.get(..size).ok_or_else(|| args.bad(at, "string too short"))?;
                out.extend_from_slice(bytes);
                if letter == b's' {
                    out.push(0);
                }
            }
            _ => {
                let number = args.number(at)?;
                let number = if number < 0.0 { number as i64 as u64 } else { number as u64 };
                let mut bytes = [0; INTEGER_BYTES_MAX];
                bytes[..8].copy_from_slice(&number.to_le_bytes());
                put(&mut out, &bytes[..size], format.is_big);
            }
        }
        at += 1;
    }
    lua.create_string(out)
}

fn put(out: &mut Vec<u8>, little: &[u8], is_big: bool) {
    match is_big {
        true => out.extend(little.iter().rev()),
        false => out.extend_from_slice(little),
    }
}

fn unpack(lua: &Lua, values: MultiValue) -> mlua::Result<MultiValue> {
    let args = Arguments::new(lua, "unpack", values);
    let (text, data) = (args.bytes(1)?, args.bytes(2)?);
    let from = args.integer_or(3, 1)?;
    let from = usize::try_from(from).ok().filter(|&from| from > 0);
    let mut at = from.ok_or_else(|| args.bad(3, "offset must be 1 or greater"))? - 1;
    let mut format = Format::new(&args, &text);
    let mut found: Vec<Value> = Vec::new();
    while let Some(Item { letter, size, padding }) = format.next(at)? {
        at += padding;
        let too_short = || args.bad(2, "data string too short");
        let take =
            |at: usize, size: usize| data.get(at..at.saturating_add(size)).ok_or_else(too_short);
        let bytes = take(at, size)?;
        let mut little = bytes.to_vec();
        if format.is_big {
            little.reverse();
        }
        at += size;
        let value = match letter {
            b'x' => continue,
            b'f' => Value::Number(f32::from_le_bytes(fixed(&little)).into()),
            b'd' => Value::Number(f64::from_le_bytes(fixed(&little))),
            b'c' if size == 0 => {
                let size = found.pop().and_then(|size| size.as_f64());
                let size = size.ok_or_else(|| args.wrong("format 'c0' needs a previous size"))?;
                let bytes = take(at, if size < 0.0 { usize::MAX } else { size as usize })?;
                at += bytes.len();
                Value::String(lua.create_string(bytes)?)
            }
            b'c' => Value::String(lua.create_string(bytes)?),
            b's' => {
                let end = memchr::memchr(0, &data[at..]);
                let end = end.ok_or_else(|| args.wrong("unfinished string in data"))?;
                let value = lua.create_string(&data[at..at + end])?;
                at += end + 1;
                Value::String(value)
            }
            letter => Value::Number(integer(&little, letter.is_ascii_lowercase())),
        };
        found.push(value);
    }
    found.push(Value::Number((at + 1) as f64));
    Ok(MultiValue::from_vec(found))
}

fn integer(little: &[u8], is_signed: bool) -> f64 {
    let mut bytes = [0; 8];
    let len = little.len().min(8);
    bytes[..len].copy_from_slice(&little[..len]);
    let number = u64::from_le_bytes(bytes);
    match (is_signed, len) {
        (false, _) | (_, 0) => number as f64,
        (true, len) => {
            let above = 64 - 8 * len as u32;
            ((number << above) as i64 >> above) as f64
        }
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

fn size(lua: &Lua, values: MultiValue) -> mlua::Result<usize> {
    let args = Arguments::new(lua, "size", values);
    let text = args.bytes(1)?;
    let mut format = Format::new(&args, &text);
    let mut at = 0usize;
    while let Some(Item { letter, size, padding }) = format.next(at)? {
        match (letter, size) {
            (b's', _) => return Err(args.bad(1, "option 's' has no fixed size")),
            (b'c', 0) => return Err(args.bad(1, "option 'c0' has no fixed size")),
            _ => at = at.saturating_add(padding + size),
        }
    }
    Ok(at)
}
