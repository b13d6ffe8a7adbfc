//! What scripts find when they begin: their globals, and that nothing they share can be changed.
//!
//! Most of it is in `prelude.lua`. There is no io, os but `clock`, package, debug, or loading of
//! anything but text.

use std::cell::Cell;

use mlua::{Function, Lua, Table, Value, Variadic};

use super::api::{self, ScriptError};
use super::{bit, cjson, cmsgpack, pack};

/// What a new Lua is run with.
pub struct Sandbox {
    /// Runs a function, given as such or by its place among those that are kept: `run(f, keys, arguments,
    /// is_script)`. Returns whether all went well, and a value or an error table.
    pub run: Function,
    /// `set_loading(true)` until `set_loading(false)`: code sees only what libraries find while they
    /// are loaded.
    pub set_loading: Function,
}

/// The name of the prelude in errors, which is never shown.
const PRELUDE: &str = "=prelude";

/// Builds the sandbox. `redis` is the table of that name, `loading` the one that libraries find while
/// they are loaded, `kept` holds the table of functions that are kept.
pub fn build(lua: &Lua, redis: Table, loading: Table, kept: &Table) -> mlua::Result<Sandbox> {
    let globals = lua.globals();
    globals.raw_set("redis", redis)?;
    globals.raw_set("bit", bit::library(lua)?)?;
    globals.raw_set("cjson", cjson::library(lua)?)?;
    globals.raw_set("cmsgpack", cmsgpack::library(lua)?)?;
    globals.raw_set("struct", pack::library(lua)?)?;
    let native = lua.create_table()?;
    native.raw_set("plain", lua.create_function(plain)?)?;
    native.raw_set("handler", lua.create_function(explain)?)?;
    native.raw_set("math", math(lua)?)?;
    native.raw_set("loading", loading)?;
    native.raw_set("kept", kept)?;
    let prelude = lua.load(include_str!("prelude.lua")).set_name(PRELUDE);
    let (run, set_loading) = prelude.into_function()?.call((globals, native))?;
    Ok(Sandbox { run, set_loading })
}

/// An error as scripts see it: those that Rust raised become a string or a table.
fn plain(lua: &Lua, error: Value) -> mlua::Result<Value> {
    let Value::Error(error) = error else { return Ok(error) };
    match ScriptError::find(&error) {
        Some(error) => error.to_lua(lua),
        None => lua.create_string(api::message(&error)).map(Value::String),
    }
}

/// The error that ends a script, as a table that says where it happened.
fn explain(lua: &Lua, error: Value) -> mlua::Result<Value> {
    let table = match plain(lua, error)? {
        Value::Table(table) => table,
        other => {
            let table = lua.create_table()?;
            let text = match &other {
                Value::String(text) => text.as_bytes().to_vec(),
                other => other.to_string()?.into_bytes(),
            };
            table.raw_set("err", lua.create_string([b"ERR ", &*text].concat())?)?;
            table
        }
    };
    if let Some((source, line)) = api::place(lua, 1) {
        table.raw_set("source", source)?;
        table.raw_set("line", line)?;
    }
    Ok(Value::Table(table))
}

/// `random` and `randomseed`, which give the same numbers for the same seed on every machine.
fn math(lua: &Lua) -> mlua::Result<Table> {
    use std::hash::{BuildHasher, RandomState};
    use std::rc::Rc;

    let state = Rc::new(Cell::new(RandomState::new().hash_one(0)));
    let seeded = state.clone();
    let table = lua.create_table()?;
    let random = lua.create_function(move |lua, bounds: Variadic<f64>| {
        let fraction = (step(&state) >> 11) as f64 / (1u64 << 53) as f64;
        match bounds[..] {
            [] => Ok(fraction),
            [high] if high >= 1.0 => Ok((fraction * high.trunc()).floor() + 1.0),
            [low, high] if low <= high => {
                let (low, high) = (low.trunc(), high.trunc());
                Ok((fraction * (high - low + 1.0)).floor() + low)
            }
            [_] => Err(api::bad_argument(lua, 1, "random", "interval is empty")),
            [_, _] => Err(api::bad_argument(lua, 2, "random", "interval is empty")),
            _ => Err(api::raise(lua, "wrong number of arguments")),
        }
    })?;
    table.raw_set("random", random)?;
    let seed = move |_: &Lua, seed: f64| {
        seeded.set(seed.trunc() as i64 as u64);
        Ok(())
    };
    table.raw_set("randomseed", lua.create_function(seed)?)?;
    Ok(table)
}

/// splitmix64.
fn step(state: &Cell<u64>) -> u64 {
    let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    state.set(next);
    let mut z = next;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
