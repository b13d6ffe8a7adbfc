//! Libraries of functions: what their first line says, what they register, and what a thread has loaded.
//!
//! A library's code is kept with the data; every thread loads it into its own Lua. Loading runs the
//! code once, with nothing in reach but `redis.register_function`, `redis.log` and the version.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::api::{self, table_error};
use super::engine::Compiled;
use super::flags::{Flags, shebang_len};
use super::host::{Host, Stored};
use crate::error::{Error, Result};
use crate::resp::owned::OwnedRequest;

/// A function that a library has registered.
pub struct Registered {
    /// Its name.
    pub name: String,
    /// What it says of itself in words.
    pub description: Option<Vec<u8>>,
    /// What it says of itself in flags.
    pub flags: Flags,
    callback: Stored,
}

/// A function that can be called.
pub struct Callable {
    /// What it says of itself in words.
    pub description: Option<Vec<u8>>,
    /// What is run.
    pub compiled: Rc<Compiled>,
}

/// A library that is loaded.
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its code, first line and all.
    pub code: Box<[u8]>,
    /// Its functions by name.
    pub functions: BTreeMap<String, Callable>,
}

/// The libraries of one thread.
#[derive(Default)]
pub struct Libraries {
    /// The version of what is kept.
    pub version: u64,
    /// By name.
    pub by_name: BTreeMap<String, Library>,
    /// By their names in lower case: case does not count.
    functions: HashMap<String, Rc<Compiled>, foldhash::fast::RandomState>,
}

impl Library {
    /// Of what its code has registered.
    pub fn new(name: String, code: &[u8], registered: Vec<Registered>) -> Library {
        let callable = |function: Registered| {
            let compiled = Rc::new(Compiled {
                name: function.name.clone().into(),
                flags: function.flags,
                habits: Arc::default(),
                script: None,
                function: function.callback,
            });
            (function.name, Callable { description: function.description, compiled })
        };
        Library {
            name,
            code: code.into(),
            functions: registered.into_iter().map(callable).collect(),
        }
    }
}

impl Libraries {
    /// The function with this name.
    pub fn find(&self, name: &[u8]) -> Option<Rc<Compiled>> {
        let name = std::str::from_utf8(name).ok()?;
        let found =
            self.functions.get(name).or_else(|| self.functions.get(&name.to_ascii_lowercase()));
        found.cloned()
    }

    /// How many functions there are.
    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    /// Adds a library, in place of one with its name.
    pub fn insert(&mut self, library: Library) {
        self.remove(&library.name);
        for (name, function) in &library.functions {
            self.functions.insert(name.to_ascii_lowercase(), function.compiled.clone());
        }
        self.by_name.insert(library.name.clone(), library);
    }

    /// Takes a library out.
    pub fn remove(&mut self, name: &str) -> Option<Library> {
        let library = self.by_name.remove(name)?;
        for name in library.functions.keys() {
            self.functions.remove(&name.to_ascii_lowercase());
        }
        Some(library)
    }

    /// Takes out the library with this name, if it has this code.
    pub fn take(&mut self, name: &[u8], code: &[u8]) -> Option<Library> {
        let name = std::str::from_utf8(name).ok()?;
        self.by_name.get(name).filter(|library| *library.code == *code)?;
        self.remove(name)
    }

    /// Checks that a library may be added, in place of one with its name if it `replaces`. `quote` goes
    /// around its name in an error.
    ///
    /// # Errors
    /// When its name or that of a function is taken.
    pub fn check(&self, library: &Library, replaces: bool, quote: &str) -> Result {
        let old = self.by_name.get(&library.name);
        if old.is_some() && !replaces {
            let text = format!("Library {quote}{}{quote} already exists", library.name);
            return Err(Error::plain(text));
        }
        let is_taken = |name: &&String| {
            let same = |other: &String| other.eq_ignore_ascii_case(name);
            let is_old = old.is_some_and(|old| old.functions.keys().any(same));
            self.functions.contains_key(&name.to_ascii_lowercase()) && !is_old
        };
        match library.functions.keys().find(is_taken) {
            Some(name) => Err(Error::plain(format!("Function {name} already exists"))),
            None => Ok(()),
        }
    }
}

/// The name that the first line of a library's code says.
///
/// # Errors
/// When it says none, or more.
pub fn name_of(code: &[u8]) -> Result<String> {
    if !code.starts_with(b"#!") {
        return Err(Error::plain("Missing library metadata"));
    }
    if !code.contains(&b'\n') {
        return Err(Error::plain("Invalid library metadata"));
    }
    let line = OwnedRequest::from_line(&code[..shebang_len(code)]);
    let line = line.filter(|line| line.args().len() > 0);
    let line = line.ok_or(Error::plain("Invalid library metadata"))?;
    let mut words = line.args().iter().map(String::from_utf8_lossy);
    let engine = words.next().unwrap_or_default();
    let engine = engine.trim_start_matches("#!").to_owned();
    let mut name: Option<String> = None;
    for word in words {
        let Some(value) = word.strip_prefix("name=") else {
            return Err(Error::plain(format!("Invalid metadata value given: {word}")));
        };
        if name.is_some() {
            let text = "Invalid metadata value, name argument was given multiple times";
            return Err(Error::plain(text));
        }
        name = Some(value.to_owned());
    }
    let name = name.ok_or(Error::plain("Library name was not given"))?;
    if !is_name(&name) {
        return Err(Error::plain(format!("Library {NAME_RULE}")));
    }
    if !engine.eq_ignore_ascii_case("lua") {
        return Err(Error::plain(format!("Engine '{engine}' not found")));
    }
    Ok(name)
}

const NAME_RULE: &str = "names can only contain letters, numbers, or underscores(_) and must be at \
                         least one character long";

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The text of the error that ended a library's code.
pub fn error_text(error: &Value) -> String {
    let text = error.as_table().and_then(|table| table.raw_get::<Value>("err").ok());
    let text = text.unwrap_or_else(|| error.clone());
    text.to_string().unwrap_or_default()
}

/// The table `redis` that libraries find while they are loaded.
pub fn redis(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    let host = host.clone();
    let register = lua.create_function(move |_, args: MultiValue| register(&host, &args))?;
    redis.raw_set("register_function", register)?;
    api::log_and_version(lua, &redis)?;
    Ok(redis)
}

fn register(host: &Host, args: &MultiValue) -> mlua::Result<()> {
    let mut loading = host.loading.borrow_mut();
    let Some(registered) = &mut *loading else {
        let text = "redis.register_function can only be called on FUNCTION LOAD command";
        return Err(table_error(text));
    };
    let store = |function: &Function| host.functions.store(function.clone()).ok();
    let function = match args.iter().collect::<Vec<_>>()[..] {
        [named] => named_arguments(named, &store),
        [name, callback] => positional_arguments(name, callback, &store),
        _ => Err("wrong number of arguments to redis.register_function"),
    };
    let function = function.map_err(table_error)?;
    if !is_name(&function.name) {
        return Err(table_error(&format!("Library {NAME_RULE}")));
    }
    if registered.iter().any(|other| other.name.eq_ignore_ascii_case(&function.name)) {
        return Err(table_error("Function already exists in the library"));
    }
    registered.push(function);
    Ok(())
}

/// Keeps a function; `None` without memory.
type Store<'s> = &'s dyn Fn(&Function) -> Option<Stored>;

fn positional_arguments(
    name: &Value,
    callback: &Value,
    store: Store<'_>,
) -> Result<Registered, &'static str> {
    let name = text(name).ok_or("first argument to redis.register_function must be a string")?;
    let callback = callback.as_function().and_then(store);
    let callback =
        callback.ok_or("second argument to redis.register_function must be a function")?;
    let name = String::from_utf8_lossy(&name).into_owned();
    Ok(Registered { name, description: None, flags: Flags::DECLARED, callback })
}

fn named_arguments(args: &Value, store: Store<'_>) -> Result<Registered, &'static str> {
    let Value::Table(args) = args else {
        return Err(
            "calling redis.register_function with a single argument is only applicable to \
                    Lua table (representing named arguments).",
        );
    };
    let (mut name, mut description, mut flags) = (None, None, Flags::DECLARED);
    let mut callback = None;
    for pair in args.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|_| "unknown argument given to redis.register_function")?;
        let key = text(&key)
            .ok_or("named argument key given to redis.register_function is not a string")?;
        match key.to_ascii_lowercase().as_slice() {
            b"function_name" => {
                name = Some(text(&value).ok_or(
                    "function_name argument given to redis.register_function must be a string",
                )?);
            }
            b"description" => {
                description = Some(text(&value).ok_or(
                    "description argument given to redis.register_function must be a string",
                )?);
            }
            b"callback" => {
                callback = Some(value.as_function().and_then(store).ok_or(
                    "callback argument given to redis.register_function must be a function",
                )?);
            }
            b"flags" => read_flags(&value, &mut flags)?,
            _ => return Err("unknown argument given to redis.register_function"),
        }
    }
    let name = name.ok_or("redis.register_function must get a function name argument")?;
    let callback = callback.ok_or("redis.register_function must get a callback argument")?;
    let name = String::from_utf8_lossy(&name).into_owned();
    Ok(Registered { name, description, flags, callback })
}

fn read_flags(value: &Value, flags: &mut Flags) -> Result<(), &'static str> {
    let Value::Table(names) = value else {
        return Err("flags argument to redis.register_function must be a table representing \
                    function flags");
    };
    for at in 1.. {
        let name = names.raw_get::<Value>(at).unwrap_or(Value::Nil);
        if name.is_nil() {
            break;
        }
        let name = text(&name).map(|name| String::from_utf8_lossy(&name).to_ascii_lowercase());
        if !name.is_some_and(|name| flags.set(&name)) {
            return Err("unknown flag given");
        }
    }
    Ok(())
}

/// A string, or a number as one.
fn text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(_) | Value::Number(_) => Some(value.to_string().ok()?.into_bytes()),
        _ => None,
    }
}
