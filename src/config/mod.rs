//! What can be configured: one struct, and (in [`directive`]) one table that names its fields.
//!
//! Flags, the environment, the configuration file and CONFIG all go through the table. What a setting
//! does is decided where it is used.

mod accepted;
mod applied;
pub mod directive;
mod file;
pub mod format;
mod load;
mod origins;
mod output_limit;
pub mod rewrite;
mod shape;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

pub use load::{Loaded, load, load_with, report};
pub use output_limit::{Class, OutputLimit, OutputLimits};

use crate::push::keyspace::Classes;
use crate::server::certificate::UserField;
use crate::server::rate_limit::RateLimit;
use crate::store::Policy;
use crate::tls::ClientAuth;

/// Every setting. Names follow the directives.
#[derive(Debug, Clone)]
pub struct Config {
    /// Port of the Redis door; 0: no door.
    pub port: u16,
    /// Port of the HTTP door; 0: no door.
    pub http_port: u16,
    /// Port of the Redis door with TLS; 0: no such door.
    pub tls_port: u16,
    /// Port of the HTTP door with TLS; 0: no such door.
    pub http_tls_port: u16,
    /// Server's certificates, private key, and authorities of clients' certificates, all PEM.
    pub tls_cert_file: String,
    /// See [`Config::tls_cert_file`].
    pub tls_key_file: String,
    /// See [`Config::tls_cert_file`].
    pub tls_ca_cert_file: String,
    /// A directory of such files.
    pub tls_ca_cert_dir: String,
    /// Versions of TLS, in Redis's words; empty: all that are spoken here.
    pub tls_protocols: String,
    /// Whether Redis clients must show a certificate.
    pub tls_auth_clients: ClientAuth,
    /// Whether HTTP clients must show a certificate.
    pub http_tls_auth_clients: ClientAuth,
    /// What of a client's certificate names its user, at both doors.
    pub tls_auth_clients_user: UserField,
    /// Addresses of the Redis door.
    pub bind: Vec<Bind>,
    /// Addresses of the HTTP door.
    pub http_bind: Vec<Bind>,
    /// Where data is kept.
    pub dir: PathBuf,
    /// Worker threads; 0: as many as there are cores.
    pub threads: usize,
    /// Password of the default user; empty: none.
    pub requirepass: String,
    /// Whether to refuse clients from other machines while the default user has no password.
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
    pub enable_debug_command: Allowed,
    /// Whether CONFIG SET may change what is protected.
    pub enable_protected_configs: Allowed,
    /// The file with the users; empty: they are in the configuration file.
    pub aclfile: String,
    /// Whether a new user may use all channels.
    pub acl_pubsub_default: bool,
    /// Most entries of ACL LOG.
    pub acllog_max_len: usize,
    /// The users of the configuration file: their names and rules.
    pub users: Vec<Vec<String>>,
    /// Commands with other names: the old one and the new one; empty: there is no such command.
    pub renamed_commands: Vec<(String, String)>,
    /// Path of the unix socket; empty: none.
    pub unixsocket: String,
    /// Its permissions; 0: those that files of the process have.
    pub unixsocketperm: u32,
    /// The log's file; empty: standard output.
    pub logfile: String,
    /// The audit log's file; empty: none.
    pub audit_log: String,
    /// File with the number of the process; empty: none.
    pub pidfile: String,
    /// Which service manager is told of the server's state.
    pub supervised: Supervised,
    /// Connections that may wait to be accepted.
    pub tcp_backlog: u32,
    /// RESP version before HELLO.
    pub client_default_resp: u32,
    /// 0: changes need no replicas.
    pub min_replicas_max_lag_s: u32,
    /// Replicas without which changes are refused.
    pub min_replicas_to_write: u32,
    /// Which keyspace notifications are published.
    pub notify_keyspace_events: Classes,
    /// Keys that tracking clients may be remembered to keep; 0: no limit.
    pub tracking_table_max_keys: usize,
    /// Output that may wait for a client.
    pub client_output_buffer_limit: OutputLimits,
    /// Memory that all clients together may take.
    pub maxmemory_clients: BytesOrPercent,
    /// Whether clients may send scripts.
    pub enable_scripting: bool,
    /// Time after which who waits for a script is told that it is busy; 0: never.
    pub busy_reply_threshold_ms: u64,
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
    /// Bytes of a HyperLogLog up to which its layout is sparse.
    pub hll_sparse_max_bytes: usize,
    /// Commands that take at least so many µs are in the slow log; -1: none.
    pub slowlog_log_slower_than_us: i64,
    /// Commands that the slow log remembers.
    pub slowlog_max_len: usize,
    /// Events that take at least so many ms are watched by the latency monitor; 0: none.
    pub latency_monitor_threshold_ms: u64,
    /// Whether there is a histogram of each command's times.
    pub latency_tracking: bool,
    /// What INFO latencystats shows of them.
    pub latency_tracking_info_percentiles: Vec<f64>,
    /// Most pairs of a namespace that has no limit of its own; 0: no limit.
    pub max_keys_per_namespace: u64,
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
    /// Most rows, or commands, in one HTTP call that has many; an import may have any number.
    pub http_bulk_max_rows: usize,
    /// Where clients reach the HTTP door, for links in answers; empty: as the request says.
    pub http_public_url: String,
    /// Whether `X-Forwarded-*` headers are believed.
    pub http_trust_forwarded: bool,
    /// Most HTTP clients at a time; 0: as many as there may be clients.
    pub http_maxclients: usize,
    /// Namespaces that `/metrics` shows, the largest ones.
    pub http_metrics_namespaces: usize,
    /// How much the HTTP clients at one address may ask.
    pub http_address_rate: RateLimit,
    /// How much may be asked with one token.
    pub http_token_rate: RateLimit,
    /// Time an HTTP client has to send a request's headers, idle time on a connection included.
    pub http_header_timeout_ms: u64,
    /// Time an HTTP client has to send a request's body.
    pub http_body_timeout_ms: u64,
    /// Values of directives that have no effect, where they are not the default.
    pub kept: BTreeMap<&'static str, String>,
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind {
    /// The address.
    pub address: IpAddr,
    /// Whether it is no matter if it can not be had.
    pub is_optional: bool,
}

/// Who may do something dangerous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// Nobody.
    No,
    /// Everybody.
    Yes,
    /// Clients of this machine.
    Local,
}

/// Which service manager is told of the server's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "Redis's words")]
pub enum Supervised {
    No,
    Systemd,
    Upstart,
    /// The one that the environment names.
    Auto,
}

/// A number of bytes, or per cent of `maxmemory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytesOrPercent {
    /// Bytes.
    Bytes(u64),
    /// Per cent.
    Percent(u8),
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

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_optional { "-" } else { "" }, self.address)
    }
}

impl Config {
    /// Whether changes need replicas, which this server does not have.
    pub fn needs_replicas(&self) -> bool {
        self.min_replicas_to_write > 0 && self.min_replicas_max_lag_s > 0
    }

    /// Most HTTP clients at a time.
    pub fn http_maxclients(&self) -> usize {
        if self.http_maxclients == 0 { self.maxclients } else { self.http_maxclients }
    }

    /// Most bytes that clients may take together; `None` for no limit.
    pub fn maxmemory_clients_bytes(&self) -> Option<u64> {
        let bytes = match self.maxmemory_clients {
            BytesOrPercent::Bytes(bytes) => bytes,
            BytesOrPercent::Percent(percent) => {
                (self.maxmemory_bytes as u128 * u128::from(percent) / 100) as u64
            }
        };
        (bytes > 0).then_some(bytes)
    }
}

impl Default for Config {
    fn default() -> Config {
        let loopback = vec![Bind { address: IpAddr::from([127, 0, 0, 1]), is_optional: false }];
        Config {
            port: 6379,
            http_port: 8080,
            tls_port: 0,
            http_tls_port: 0,
            tls_cert_file: String::new(),
            tls_key_file: String::new(),
            tls_ca_cert_file: String::new(),
            tls_ca_cert_dir: String::new(),
            tls_protocols: String::new(),
            tls_auth_clients: ClientAuth::Yes,
            http_tls_auth_clients: ClientAuth::Optional,
            tls_auth_clients_user: UserField::Off,
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
            enable_debug_command: Allowed::No,
            enable_protected_configs: Allowed::No,
            aclfile: String::new(),
            acl_pubsub_default: false,
            acllog_max_len: 128,
            users: Vec::new(),
            renamed_commands: Vec::new(),
            unixsocket: String::new(),
            unixsocketperm: 0,
            logfile: String::new(),
            audit_log: String::new(),
            pidfile: String::new(),
            supervised: Supervised::No,
            tcp_backlog: 511,
            client_default_resp: 2,
            min_replicas_max_lag_s: 10,
            min_replicas_to_write: 0,
            client_output_buffer_limit: OutputLimits::default(),
            notify_keyspace_events: Classes::default(),
            tracking_table_max_keys: 1_000_000,
            maxmemory_clients: BytesOrPercent::Bytes(0),
            enable_scripting: true,
            busy_reply_threshold_ms: 5000,
            loglevel: LogLevel::Notice,
            maxclients: 10_000,
            timeout_s: 0,
            tcp_keepalive_s: 300,
            proto_max_bulk_len_bytes: 512 << 20,
            client_query_buffer_limit_bytes: 1 << 30,
            client_reply_max_bytes: 1 << 30,
            hash_max_listpack_entries: 512,
            hash_max_listpack_value_bytes: 64,
            hll_sparse_max_bytes: 3000,
            slowlog_log_slower_than_us: 10_000,
            slowlog_max_len: 128,
            latency_monitor_threshold_ms: 0,
            latency_tracking: true,
            latency_tracking_info_percentiles: vec![50.0, 99.0, 99.9],
            max_keys_per_namespace: 0,
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
            http_maxclients: 0,
            http_metrics_namespaces: 50,
            http_address_rate: RateLimit { per_second: 0, burst: 0 },
            http_token_rate: RateLimit { per_second: 0, burst: 0 },
            http_header_timeout_ms: 30_000,
            http_body_timeout_ms: 30_000,
            kept: BTreeMap::new(),
        }
    }
}
