//! What can be configured: one struct, and (in [`directive`]) one table that names its fields.
//!
//! Flags, the configuration file and CONFIG GET/SET all go through the table. What a setting does is
//! decided where it is used.

pub mod directive;
pub mod format;
mod load;

use std::net::IpAddr;
use std::path::PathBuf;

pub use load::{Loaded, load, report};

use crate::store::Policy;

/// Every setting. Names follow the directives.
#[derive(Debug, Clone)]
pub struct Config {
    /// Port of the Redis door; 0: no door.
    pub port: u16,
    /// Port of the HTTP door; 0: no door.
    pub http_port: u16,
    /// Addresses of the Redis door.
    pub bind: Vec<IpAddr>,
    /// Addresses of the HTTP door.
    pub http_bind: Vec<IpAddr>,
    /// Where data is kept.
    pub dir: PathBuf,
    /// Worker threads; 0: as many as there are cores.
    pub threads: usize,
    /// Password of the default user; empty: none.
    pub requirepass: String,
    /// Whether to refuse listening beyond loopback without a password.
    pub protected_mode: bool,
    /// Whether changes are journaled.
    pub appendonly: bool,
    /// When the journal is flushed to the disk.
    pub appendfsync: Fsync,
    /// By how much the journal must have grown over the last snapshot for the next one, in per cent of
    /// that; 0: none is taken unasked.
    pub auto_aof_rewrite_percentage: u64,
    /// What the journal must have for that at least.
    pub auto_aof_rewrite_min_size_bytes: usize,
    /// Whether DEBUG may be used.
    pub enable_debug_command: bool,
    /// What is logged.
    pub loglevel: LogLevel,
    /// Most clients at a time, both doors together.
    pub maxclients: usize,
    /// Seconds after which an idle Redis client is closed; 0: never.
    pub timeout_s: u64,
    /// Seconds between TCP keepalive probes; 0: none.
    pub tcp_keepalive_s: u64,
    /// Longest argument of a request.
    pub proto_max_bulk_len_bytes: usize,
    /// Longest request.
    pub client_query_buffer_limit_bytes: usize,
    /// Longest reply; larger ones are refused with an error that says what to use instead.
    pub client_reply_max_bytes: usize,
    /// Pairs up to which OBJECT ENCODING calls a namespace a listpack.
    pub hash_max_listpack_entries: usize,
    /// Bytes of key or value up to which OBJECT ENCODING calls a namespace a listpack.
    pub hash_max_listpack_value_bytes: usize,
    /// Memory that names and pairs may take; 0: no limit.
    pub maxmemory_bytes: usize,
    /// Which names are evicted at the limit.
    pub maxmemory_policy: Policy,
    /// Names looked at for each that is evicted.
    pub maxmemory_samples: usize,
    /// How slowly the counter of a name's use grows, under an LFU policy.
    pub lfu_log_factor: u32,
    /// Minutes in which that counter loses one; 0: it never does.
    pub lfu_decay_time_minutes: u32,
    /// Origins that browsers may call the HTTP door from; empty: CORS is off.
    pub http_cors_origins: Vec<String>,
    /// Host names, beyond those of loopback, that a request on loopback may name.
    pub http_allowed_hosts: Vec<String>,
    /// Longest HTTP body.
    pub http_body_max_bytes: usize,
    /// Longest HTTP body of rows or commands, and longest row of an import.
    pub http_bulk_max_bytes: usize,
    /// Most rows in one call that sets, gets or deletes many pairs.
    pub http_bulk_max_rows: usize,
    /// Where clients reach the HTTP door, for links in answers; empty: as the request says.
    pub http_public_url: String,
    /// Whether `X-Forwarded-*` headers are believed.
    pub http_trust_forwarded: bool,
    /// Time an HTTP client has to send a request's headers, idle time on a connection included.
    pub http_header_timeout_ms: u64,
    /// Time an HTTP client has to send a request's body.
    pub http_body_timeout_ms: u64,
}

/// When the journal is flushed to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before every reply.
    Always,
    /// Within a second.
    EverySec,
    /// When the operating system likes.
    No,
}

/// How much is logged; Redis's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "Redis's words")]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
    Nothing,
}

impl Config {
    /// Why these settings would lay data open: beyond loopback, both doors need a password, unless
    /// `protected-mode` is off. `None` if they do not.
    pub fn exposure(&self) -> Option<String> {
        if !self.protected_mode || !self.requirepass.is_empty() {
            return None;
        }
        let doors =
            [("bind", &self.bind, self.port), ("http-bind", &self.http_bind, self.http_port)];
        doors.into_iter().filter(|&(_, _, port)| port != 0).find_map(|(directive, addresses, _)| {
            let address = addresses.iter().find(|address| !address.is_loopback())?;
            Some(format!(
                "{directive} {address} is reachable from other machines, and there is no password. \
                 Set requirepass, bind to 127.0.0.1, or say protected-mode no."
            ))
        })
    }
}

impl Default for Config {
    fn default() -> Config {
        let loopback = vec![IpAddr::from([127, 0, 0, 1])];
        Config {
            port: 6379,
            http_port: 8080,
            bind: loopback.clone(),
            http_bind: loopback,
            dir: PathBuf::from("pantry-data"),
            threads: 0,
            requirepass: String::new(),
            protected_mode: true,
            appendonly: true,
            appendfsync: Fsync::EverySec,
            auto_aof_rewrite_percentage: 100,
            auto_aof_rewrite_min_size_bytes: 64 << 20,
            enable_debug_command: false,
            loglevel: LogLevel::Notice,
            maxclients: 10_000,
            timeout_s: 0,
            tcp_keepalive_s: 300,
            proto_max_bulk_len_bytes: 512 << 20,
            client_query_buffer_limit_bytes: 1 << 30,
            client_reply_max_bytes: 1 << 30,
            hash_max_listpack_entries: 512,
            hash_max_listpack_value_bytes: 64,
            maxmemory_bytes: 0,
            maxmemory_policy: Policy::NoEviction,
            maxmemory_samples: 5,
            lfu_log_factor: 10,
            lfu_decay_time_minutes: 1,
            http_cors_origins: Vec::new(),
            http_allowed_hosts: Vec::new(),
            http_body_max_bytes: 1 << 20,
            http_bulk_max_bytes: 64 << 20,
            http_bulk_max_rows: 10_000,
            http_public_url: String::new(),
            http_trust_forwarded: false,
            http_header_timeout_ms: 30_000,
            http_body_timeout_ms: 30_000,
        }
    }
}
