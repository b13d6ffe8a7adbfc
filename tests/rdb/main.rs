//! RDB: what is read of every form that Redis and Valkey write, what damage is answered with, what is written, and what
//! a real redis-server says to that.
#![allow(clippy::unwrap_used)]

mod damage;
mod forms;
#[path = "../oracle/mod.rs"]
mod oracle;
mod other_types;
mod redis;
mod round_trip;
#[path = "../support/scratch.rs"]
mod scratch;

use pantry::rdb::crc64::crc64;
use pantry::rdb::reader::{Event, Name, Reader};
use pantry::rdb::{Error, Result};

/// What a file holds, an event a line.
fn read(file: &[u8]) -> Result<Vec<String>> {
    read_from(file)
}

fn read_from(source: impl std::io::Read) -> Result<Vec<String>> {
    let mut reader = Reader::new(source)?;
    let mut lines = Vec::new();
    while let Some(event) = reader.next_event()? {
        lines.push(shown(event));
    }
    let mut rest = reader.into_rest();
    if !rest.is_at_end()? {
        return rest.damaged("there is something behind the end");
    }
    Ok(lines)
}

fn shown(event: Event<'_>) -> String {
    let name = |name: Name<'_>| {
        let deadline = name.deadline_ms.map(|at_ms| format!(" until {at_ms}"));
        format!("{} {}{}", name.db, name.bytes.escape_ascii(), deadline.unwrap_or_default())
    };
    match event {
        Event::String(named, value) => format!("{} = {}", name(named), value.escape_ascii()),
        Event::Hash(named) => format!("{}:", name(named)),
        Event::Pair { key, value, deadline_ms } => {
            let deadline = deadline_ms.map(|at_ms| format!(" until {at_ms}"));
            let (key, value) = (key.escape_ascii(), value.escape_ascii());
            format!("  {key} = {value}{}", deadline.unwrap_or_default())
        }
        Event::EndOfHash => ".".to_owned(),
        Event::Other(named, kind) => format!("{} is a {kind}", name(named)),
        Event::Aux(key, value) => format!("({} {})", key.escape_ascii(), value.escape_ascii()),
        Event::Function(_) => "(function)".to_owned(),
        Event::ModuleAux(module) => format!("(module {module})"),
    }
}

/// A file of Redis with this version, around what is between header and end.
fn redis_file(version: u32, content: &[u8]) -> Vec<u8> {
    sealed([format!("REDIS{version:04}").as_bytes(), content].concat())
}

/// A file of Valkey 9.
fn valkey_file(content: &[u8]) -> Vec<u8> {
    sealed([b"VALKEY080", content].concat())
}

fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    file.push(255);
    let checksum = crc64(0, &file);
    file.extend_from_slice(&checksum.to_le_bytes());
    file
}

/// A string of less than 64 bytes, as a file has it.
fn short(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    assert!(bytes.len() < 64);
    [&[bytes.len() as u8], bytes].concat()
}

/// A string of any length.
fn long(bytes: &[u8]) -> Vec<u8> {
    [&[0x80][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// Where damage was seen, and what it is.
fn damage(result: Result<Vec<String>>) -> (u64, String) {
    match result {
        Err(Error::Damaged { offset, what }) => (offset, what),
        other => panic!("not damaged: {other:?}"),
    }
}
