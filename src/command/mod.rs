//! The command table: what the server can do, one family a file, its rows on top.
//!
//! A row has the command's name, the syntax line that Redis documents, its handler and a sentence.
//! Everything else about a command follows from its row: arity and keys from the syntax line, what
//! it may touch from the handler's type. To add a command, add one row and one function to a family.

mod acl;
mod admin;
pub mod args;
mod bitfield;
mod bitmap;
mod client;
mod cluster;
mod config;
mod connection;
mod deadline;
mod debug;
mod dump;
mod expire;
mod function;
mod generic;
mod hash;
mod hash_expiry;
mod hash_random;
mod help;
mod hyperloglog;
mod info;
mod introspect;
mod keyspace;
mod latency;
mod lcs;
mod lolwut;
mod memory;
pub mod migrate;
mod namespace;
mod namespace_limit;
mod namespace_lock;
mod namespace_many;
mod namespace_pair;
mod persistence;
mod pubsub;
pub mod redis;
mod replication;
mod row;
mod scripting;
mod slowlog;
mod string;
pub mod syntax;
mod table;
mod token;
mod tracking;
mod transaction;

pub use client::client_line;
pub use row::{Command, Family, Flags, Run, Touches, Writes};
pub use syntax::{Keys, PairKey};
pub use table::{Spec, Table, rename, table};

/// All families. A new family adds a line.
pub const FAMILIES: &[Family] = &[
    acl::FAMILY,
    admin::FAMILY,
    bitfield::FAMILY,
    bitmap::FAMILY,
    client::FAMILY,
    cluster::FAMILY,
    config::FAMILY,
    connection::FAMILY,
    debug::FAMILY,
    dump::FAMILY,
    expire::FAMILY,
    function::FAMILY,
    generic::FAMILY,
    hash::FAMILY,
    hash_expiry::FAMILY,
    hyperloglog::FAMILY,
    info::FAMILY,
    introspect::FAMILY,
    keyspace::FAMILY,
    latency::FAMILY,
    lcs::FAMILY,
    lolwut::FAMILY,
    memory::FAMILY,
    migrate::FAMILY,
    namespace::FAMILY,
    persistence::FAMILY,
    pubsub::FAMILY,
    replication::FAMILY,
    scripting::FAMILY,
    slowlog::FAMILY,
    string::FAMILY,
    token::FAMILY,
    transaction::FAMILY,
];

/// The version of Redis whose behaviour clients may expect.
pub const REDIS_VERSION: &str = "8.0.0";
