//! Arguments of the functions that scripts call, checked as Lua's own libraries do.

use mlua::{Lua, MultiValue, Value};

use super::api;
use crate::number;

/// One call's arguments.
pub struct Arguments<'a> {
    lua: &'a Lua,
    function: &'static str,
    values: MultiValue,
}

impl<'a> Arguments<'a> {
    /// Of a call of `function`.
    pub fn new(lua: &'a Lua, function: &'static str, values: MultiValue) -> Arguments<'a> {
        Arguments { lua, function, values }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Number `at`, from 1 on; nil if there are fewer.
    pub fn get(&self, at: usize) -> &Value {
        self.values.get(at - 1).unwrap_or(&Value::Nil)
    }

    /// Whether number `at` is missing or nil.
    pub fn is_none(&self, at: usize) -> bool {
        self.get(at).is_nil()
    }

    /// Number `at` as bytes: a string, or a number as one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn bytes(&self, at: usize) -> mlua::Result<Vec<u8>> {
        match self.get(at) {
            Value::String(text) => Ok(text.as_bytes().to_vec()),
            number @ (Value::Integer(_) | Value::Number(_)) => Ok(number.to_string()?.into_bytes()),
            _ => Err(self.expected(at, "string")),
        }
    }

    /// Number `at` as a number: one, or a string that is one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn number(&self, at: usize) -> mlua::Result<f64> {
        match self.get(at) {
            Value::Integer(number) => Ok(*number as f64),
            Value::Number(number) => Ok(*number),
            Value::String(text) => number::parse_f64(text.as_bytes().trim_ascii())
                .ok_or_else(|| self.expected(at, "number")),
            _ => Err(self.expected(at, "number")),
        }
    }

    /// Number `at` as an integer, or `default` if it is missing.
    ///
    /// # Errors
    /// When it is no number.
    pub fn integer_or(&self, at: usize, default: i64) -> mlua::Result<i64> {
        if self.is_none(at) { Ok(default) } else { Ok(self.number(at)? as i64) }
    }

    /// Number `at` is of another type.
    pub fn expected(&self, at: usize, what: &str) -> mlua::Error {
        let got = match self.values.get(at - 1) {
            None => "no value",
            Some(value) => type_name(value),
        };
        self.bad(at, &format!("{what} expected, got {got}"))
    }

    /// Something is wrong with number `at`.
    pub fn bad(&self, at: usize, why: &str) -> mlua::Error {
        api::bad_argument(self.lua, at, self.function, why)
    }

    /// Something else is wrong.
    pub fn wrong(&self, text: &str) -> mlua::Error {
        api::raise(self.lua, text)
    }
}

/// Lua's name of a value's type.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) => "userdata",
        value => value.type_name(),
    }
}
