//! `cjson`: Lua values to and from JSON, with the options of lua-cjson 2.1.
//!
//! This file has the library and its options; `encode.rs` and `decode.rs` do the work.

mod decode;
mod encode;

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::args::Arguments;
use super::host::memory_left;

/// What to do with numbers that JSON does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refuse,
    Allow,
    Null,
}

/// The options of one library.
#[derive(Debug, Clone, Copy)]
struct Options {
    /// Sparse arrays become objects, instead of an error.
    sparse_convert: bool,
    /// An array is sparse when its largest index is more than so many times the number of items; 0:
    /// none is.
    sparse_ratio: usize,
    /// It never is up to this index.
    sparse_safe: usize,
    encode_depth_max: usize,
    decode_depth_max: usize,
    encode_invalid: Invalid,
    decode_invalid: Invalid,
    /// Significant digits.
    precision: usize,
    keeps_buffer: bool,
}

const DEFAULTS: Options = Options {
    sparse_convert: false,
    sparse_ratio: 2,
    sparse_safe: 10,
    encode_depth_max: 1000,
    decode_depth_max: 1000,
    encode_invalid: Invalid::Refuse,
    decode_invalid: Invalid::Allow,
    precision: 14,
    keeps_buffer: true,
};

/// Deepest nesting that an option may allow here, whatever it says: nesting takes stack.
const DEPTH_MAX: usize = 1000;

type Shared = Rc<Cell<Options>>;

/// The table of that name.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let options: Shared = Rc::new(Cell::new(DEFAULTS));
    let cjson = lua.create_table()?;
    let shared = options.clone();
    let encode = lua.create_function(move |lua, values: MultiValue| {
        let args = Arguments::new(lua, "encode", values);
        if args.len() != 1 {
            return Err(args.bad(1, "expected 1 argument"));
        }
        lua.create_string(encode::encode(&args, shared.get(), memory_left(lua))?)
    })?;
    cjson.raw_set("encode", encode)?;
    let shared = options.clone();
    let decode = lua.create_function(move |lua, values: MultiValue| {
        let args = Arguments::new(lua, "decode", values);
        if args.len() != 1 {
            return Err(args.bad(1, "expected 1 argument"));
        }
        decode::decode(lua, &args, shared.get())
    })?;
    cjson.raw_set("decode", decode)?;
    cjson.raw_set("new", lua.create_function(|lua, ()| library(lua))?)?;
    cjson.raw_set("null", Value::NULL)?;
    cjson.raw_set("_NAME", "cjson")?;
    cjson.raw_set("_VERSION", "2.1.0")?;
    settings(lua, &cjson, &options)?;
    Ok(cjson)
}

fn settings(lua: &Lua, cjson: &Table, options: &Shared) -> mlua::Result<()> {
    let add = |name: &'static str, set: Setter| {
        let options = options.clone();
        let function = move |lua: &Lua, values: MultiValue| {
            let args = Arguments::new(lua, name, values);
            let mut changed = options.get();
            let shown = set(lua, &args, &mut changed)?;
            options.set(changed);
            Ok(shown)
        };
        cjson.raw_set(name, lua.create_function(function)?)
    };
    add("encode_sparse_array", |_, args, options| {
        flag(args, 1, &mut options.sparse_convert)?;
        integer(args, 2, &mut options.sparse_ratio, 0, i32::MAX as usize)?;
        integer(args, 3, &mut options.sparse_safe, 0, i32::MAX as usize)?;
        let numbers = [options.sparse_ratio, options.sparse_safe];
        let mut shown = vec![Value::Boolean(options.sparse_convert)];
        shown.extend(numbers.map(|number| Value::Number(number as f64)));
        Ok(MultiValue::from_vec(shown))
    })?;
    add("encode_max_depth", |_, args, options| {
        integer(args, 1, &mut options.encode_depth_max, 1, i32::MAX as usize)
    })?;
    add("decode_max_depth", |_, args, options| {
        integer(args, 1, &mut options.decode_depth_max, 1, i32::MAX as usize)
    })?;
    add("encode_number_precision", |_, args, options| {
        integer(args, 1, &mut options.precision, 1, 14)
    })?;
    add("encode_keep_buffer", |_, args, options| flag(args, 1, &mut options.keeps_buffer))?;
    add("encode_invalid_numbers", |lua, args, options| {
        invalid(lua, args, &mut options.encode_invalid, true)
    })?;
    add("decode_invalid_numbers", |lua, args, options| {
        invalid(lua, args, &mut options.decode_invalid, false)
    })
}

type Setter = fn(&Lua, &Arguments<'_>, &mut Options) -> mlua::Result<MultiValue>;

fn integer(
    args: &Arguments<'_>,
    at: usize,
    option: &mut usize,
    min: usize,
    max: usize,
) -> mlua::Result<MultiValue> {
    if !args.is_none(at) {
        let number = args.number(at)?;
        if !(min as f64..=max as f64).contains(&number.trunc()) {
            let text = format!("expected integer between {min} and {max}");
            return Err(args.bad(1, &text));
        }
        *option = number as usize;
    }
    Ok(MultiValue::from_vec(vec![Value::Number(*option as f64)]))
}

fn flag(args: &Arguments<'_>, at: usize, option: &mut bool) -> mlua::Result<MultiValue> {
    match args.get(at) {
        Value::Nil => {}
        Value::Boolean(yes) => *option = *yes,
        Value::String(text) if *text == "on" => *option = true,
        Value::String(text) if *text == "off" => *option = false,
        _ => return Err(args.bad(at, "invalid option")),
    }
    Ok(MultiValue::from_vec(vec![Value::Boolean(*option)]))
}

fn invalid(
    lua: &Lua,
    args: &Arguments<'_>,
    option: &mut Invalid,
    may_be_null: bool,
) -> mlua::Result<MultiValue> {
    match args.get(1) {
        Value::String(text) if may_be_null && *text == "null" => *option = Invalid::Null,
        _ => {
            let mut allowed = *option == Invalid::Allow;
            if !args.is_none(1) {
                flag(args, 1, &mut allowed)?;
                *option = if allowed { Invalid::Allow } else { Invalid::Refuse };
            }
        }
    }
    let shown = match option {
        Invalid::Null => Value::String(lua.create_string("null")?),
        option => Value::Boolean(*option == Invalid::Allow),
    };
    Ok(MultiValue::from_vec(vec![shown]))
}
