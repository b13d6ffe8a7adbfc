//! `bit`: operations on 32-bit numbers, as Lua BitOp has them. Results are signed.

use mlua::{Lua, MultiValue, Table};

use super::args::Arguments;

/// The table of that name.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let bit = lua.create_table()?;
    let unary = |name: &'static str, of: fn(i32) -> i32| {
        let function = move |lua: &Lua, values: MultiValue| {
            Ok(of(word(&Arguments::new(lua, name, values), 1)?))
        };
        bit.raw_set(name, lua.create_function(function)?)
    };
    unary("tobit", |n| n)?;
    unary("bnot", |n| !n)?;
    unary("bswap", i32::swap_bytes)?;
    let fold = |name: &'static str, of: fn(i32, i32) -> i32| {
        let function = move |lua: &Lua, values: MultiValue| {
            let args = Arguments::new(lua, name, values);
            (2..=args.len()).try_fold(word(&args, 1)?, |n, at| Ok(of(n, word(&args, at)?)))
        };
        bit.raw_set(name, lua.create_function(function)?)
    };
    fold("band", |a, b| a & b)?;
    fold("bor", |a, b| a | b)?;
    fold("bxor", |a, b| a ^ b)?;
    let shift = |name: &'static str, of: fn(i32, u32) -> i32| {
        let function = move |lua: &Lua, values: MultiValue| {
            let args = Arguments::new(lua, name, values);
            Ok(of(word(&args, 1)?, word(&args, 2)? as u32 & 31))
        };
        bit.raw_set(name, lua.create_function(function)?)
    };
    shift("lshift", |n, by| n << by)?;
    shift("rshift", |n, by| (n as u32 >> by) as i32)?;
    shift("arshift", |n, by| n >> by)?;
    shift("rol", i32::rotate_left)?;
    shift("ror", i32::rotate_right)?;
    let tohex = |lua: &Lua, values: MultiValue| {
        let args = Arguments::new(lua, "tohex", values);
        let number = word(&args, 1)?;
        let digits = if args.len() < 2 { 8 } else { word(&args, 2)? };
        let text = match digits < 0 {
            true => format!("{number:08X}"),
            false => format!("{number:08x}"),
        };
        lua.create_string(&text[8 - digits.unsigned_abs().min(8) as usize..])
    };
    bit.raw_set("tohex", lua.create_function(tohex)?)?;
    Ok(bit)
}

/// An argument's lowest 32 bits, rounded to the nearest integer.
fn word(args: &Arguments<'_>, at: usize) -> mlua::Result<i32> {
    const WORDS: f64 = (1u64 << 32) as f64;
    let number = args.number(at)?.round_ties_even();
    Ok(number.rem_euclid(WORDS) as u64 as u32 as i32)
}
