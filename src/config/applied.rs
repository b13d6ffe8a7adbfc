//! Directives that do something: one row for each, with its name, format and a sentence.
//!
//! What a setting does is decided where it is used. Those of Redis's that mean nothing here are in
//! [`super::accepted`].

use super::directive::{Access, Directive};
use super::format::{Addresses, BytesOrPercent, Directory, Format as _, Integer, Memory, Octal};
use super::format::{OneOf, Percentiles, Text, Words, YesNo};
use super::origins::Origins;
use super::{Allowed, Fsync, LogLevel, Supervised};
use crate::push::keyspace::Classes;
use crate::server::certificate::UserField;
use crate::store::Policy;
use crate::tls::ClientAuth;

/// Longest password, in bytes; Redis's limit.
pub const PASSWORD_BYTES_MAX: usize = 512;
const PATH_BYTES_MAX: usize = 4096;
/// Longest public URL, in bytes.
const URL_BYTES_MAX: usize = 1024;
const MIB: i64 = 1 << 20;
const INT_MAX: i64 = i32::MAX as i64;
const SECONDS_MAX: i64 = INT_MAX;
const MS_MAX: i64 = 24 * 60 * 60 * 1000;

/// Access to a field, written as `$format` says.
macro_rules! field {
    ($($field:ident).+, $format:expr) => {
        Access::Field {
            show: |config| $format.show(&config.$($field).+),
            read: |config, words| {
                config.$($field).+ = $format.read(words)?;
                Ok(())
            },
        }
    };
}

/// The rows, sorted by name.
pub const APPLIED: &[Directive] = &[
    row("acl-pubsub-default", "allchannels|resetchannels", field!(acl_pubsub_default, CHANNELS))
        .live()
        .about("Which channels a new user may use"),
    row("aclfile", "FILE", field!(aclfile, Text { max_bytes: PATH_BYTES_MAX }))
        .about("File with the users; empty for those of the configuration file"),
    row("acllog-max-len", "COUNT", field!(acllog_max_len, Integer { min: 0, max: i64::MAX }))
        .live()
        .about("Refusals that ACL LOG remembers"),
    row("appendfsync", "always|everysec|no", field!(appendfsync, FSYNC))
        .live()
        .about("When the journal is flushed to the disk"),
    row("appendonly", "yes|no", field!(appendonly, YesNo))
        .live()
        .about("Whether changes are journaled, and so outlive the process"),
    row("audit-log", "FILE", field!(audit_log, Text { max_bytes: PATH_BYTES_MAX }))
        .about("File for the audit log: JSON lines of who did what; empty for none"),
    row(
        "auto-aof-rewrite-min-size",
        "BYTES",
        field!(auto_aof_rewrite_min_size_bytes, Memory { min: 0, max: i64::MAX }),
    )
    .live()
    .about("Journal below which no snapshot is taken unasked"),
    row(
        "auto-aof-rewrite-percentage",
        "PERCENT",
        field!(auto_aof_rewrite_percentage, Integer { min: 0, max: INT_MAX }),
    )
    .live()
    .about("Journal, in per cent of the last snapshot, at which the next is taken; 0 for never"),
    row("bind", "ADDRESS", field!(bind, Addresses))
        .live()
        .list()
        .about("Addresses of the Redis door; * for all"),
    row(
        "busy-reply-threshold",
        "MS",
        field!(busy_reply_threshold_ms, Integer { min: 0, max: i64::MAX }),
    )
    .aliases(&["lua-time-limit"])
    .live()
    .about("Time after which who waits for a script is told that it is busy; 0 for never"),
    row("client-default-resp", "2|3", field!(client_default_resp, Integer { min: 2, max: 3 }))
        .hidden()
        .about("Protocol that a Redis client speaks before HELLO"),
    row(
        "client-output-buffer-limit",
        "CLASS HARD SOFT SECONDS",
        Access::Field {
            show: |config| config.client_output_buffer_limit.to_string(),
            read: |config, words| config.client_output_buffer_limit.set(words),
        },
    )
    .live()
    .list()
    .about("Output that may wait for a client of a class: at all, and for so many seconds"),
    row(
        "client-query-buffer-limit",
        "BYTES",
        field!(client_query_buffer_limit_bytes, Memory { min: MIB, max: i64::MAX }),
    )
    .live()
    .about("Longest request"),
    row(
        "client-reply-max-bytes",
        "BYTES",
        field!(client_reply_max_bytes, Memory { min: 1024, max: i64::MAX }),
    )
    .live()
    .about("Longest reply; a command that would pass it is refused"),
    row("cluster-enabled", "yes|no", Access::Fact("no")).about("Redis Cluster: there is none"),
    row("databases", "COUNT", Access::Fact("16")).about("Databases that SELECT can select"),
    row("dir", "DIRECTORY", field!(dir, Directory)).protected().about("Where data is kept"),
    row("enable-debug-command", "no|yes|local", field!(enable_debug_command, ALLOWED))
        .about("Whether DEBUG may be used"),
    row("enable-protected-configs", "no|yes|local", field!(enable_protected_configs, ALLOWED))
        .about("Whether CONFIG SET may change dir and the like"),
    row("enable-scripting", "yes|no", field!(enable_scripting, YesNo))
        .about("Whether clients may send scripts"),
    row(
        "hash-max-listpack-entries",
        "COUNT",
        field!(hash_max_listpack_entries, Integer { min: 0, max: i64::MAX }),
    )
    .aliases(&["hash-max-ziplist-entries"])
    .live()
    .about("Pairs up to which OBJECT ENCODING calls a namespace a listpack"),
    row(
        "hash-max-listpack-value",
        "BYTES",
        field!(hash_max_listpack_value_bytes, Memory { min: 0, max: i64::MAX }),
    )
    .aliases(&["hash-max-ziplist-value"])
    .live()
    .about("Bytes of a key or value up to which OBJECT ENCODING does so"),
    row(
        "hll-sparse-max-bytes",
        "BYTES",
        field!(hll_sparse_max_bytes, Memory { min: 0, max: i64::MAX }),
    )
    .live()
    .about("Bytes of a HyperLogLog up to which its layout is sparse"),
    row("http-allowed-host", "HOST", field!(http_allowed_hosts, Words))
        .list()
        .about("Host names, beside those of loopback, that a request on loopback may name"),
    row("http-bind", "ADDRESS", field!(http_bind, Addresses))
        .list()
        .about("Addresses of the HTTP door; * for all"),
    row(
        "http-body-max-bytes",
        "BYTES",
        field!(http_body_max_bytes, Memory { min: 1, max: i64::MAX }),
    )
    .about("Longest body of an HTTP request"),
    row(
        "http-body-timeout-ms",
        "MS",
        field!(http_body_timeout_ms, Integer { min: 1, max: MS_MAX }),
    )
    .about("Time an HTTP client has to send a body"),
    row(
        "http-bulk-max-bytes",
        "BYTES",
        field!(http_bulk_max_bytes, Memory { min: 1024, max: i64::MAX }),
    )
    .live()
    .about("Longest body of rows or commands, and longest row of an import"),
    row(
        "http-bulk-max-rows",
        "COUNT",
        field!(http_bulk_max_rows, Integer { min: 1, max: 1_000_000 }),
    )
    .live()
    .about("Most rows or commands in one call that has many"),
    row("http-cors-origin", "ORIGIN", field!(http_cors_origins, Origins))
        .list()
        .about("Origins whose pages may call the HTTP door; * for all"),
    row(
        "http-header-timeout-ms",
        "MS",
        field!(http_header_timeout_ms, Integer { min: 1, max: MS_MAX }),
    )
    .about("Time an HTTP client has to send headers, idle time included"),
    row("http-maxclients", "COUNT", field!(http_maxclients, Integer { min: 0, max: u32::MAX as i64 }))
        .live()
        .about("Most HTTP clients, so that Redis clients find room; 0 for as many as maxclients"),
    row(
        "http-metrics-namespaces",
        "COUNT",
        field!(http_metrics_namespaces, Integer { min: 0, max: 1000 }),
    )
    .live()
    .about("Namespaces whose pairs and bytes /metrics shows, the largest of those one may read"),
    row("http-port", "PORT", field!(http_port, Integer { min: 0, max: 65_535 }))
        .about("Port of the HTTP door; 0 for no door"),
    row("http-public-url", "URL", field!(http_public_url, Text { max_bytes: URL_BYTES_MAX }))
        .live()
        .about("Where clients reach the HTTP door, for links in answers; empty for as they say"),
    row("http-rate-burst", "COUNT", field!(http_address_rate.burst, RATE))
        .live()
        .about("Requests at once from one address, after a pause; 0 for a second's"),
    row("http-rate-limit", "COUNT", field!(http_address_rate.per_second, RATE))
        .live()
        .about("HTTP requests a second from one address; 0 for no limit"),
    row("http-tls-auth-clients", "yes|no|optional", field!(http_tls_auth_clients, CLIENT_AUTH))
        .live()
        .about("Whether HTTP clients must show a certificate of tls-ca-cert-file"),
    row("http-tls-port", "PORT", field!(http_tls_port, Integer { min: 0, max: 65_535 }))
        .about("Port of the HTTP door with TLS; 0 for none"),
    row("http-token-rate-burst", "COUNT", field!(http_token_rate.burst, RATE))
        .live()
        .about("Requests at once with one token, after a pause; 0 for a second's"),
    row("http-token-rate-limit", "COUNT", field!(http_token_rate.per_second, RATE))
        .live()
        .about("HTTP requests a second with one token; 0 for no limit"),
    row("http-trust-forwarded", "yes|no", field!(http_trust_forwarded, YesNo))
        .live()
        .about("Whether X-Forwarded-Proto, -Host, -Prefix and -For are believed: links, rate limits, audit log"),
    row(
        "latency-monitor-threshold",
        "MS",
        field!(latency_monitor_threshold_ms, Integer { min: 0, max: i64::MAX }),
    )
    .live()
    .about("Time from which LATENCY watches an event; 0 for never"),
    row("latency-tracking", "yes|no", field!(latency_tracking, YesNo))
        .live()
        .about("Whether each command has a histogram of its times"),
    row(
        "latency-tracking-info-percentiles",
        "PERCENT",
        field!(latency_tracking_info_percentiles, Percentiles),
    )
    .live()
    .list()
    .about("What INFO latencystats shows of those histograms"),
    row(
        "lfu-decay-time",
        "MINUTES",
        field!(lfu_decay_time_minutes, Integer { min: 0, max: INT_MAX }),
    )
    .live()
    .about("Time in which the counter of a name's use loses one; 0 for never"),
    row("lfu-log-factor", "FACTOR", field!(lfu_log_factor, Integer { min: 0, max: INT_MAX }))
        .live()
        .about("How slowly the counter of a name's use grows"),
    row("logfile", "FILE", field!(logfile, Text { max_bytes: PATH_BYTES_MAX }))
        .about("File of the log; empty for standard output"),
    row("loglevel", "LEVEL", field!(loglevel, LOG_LEVEL))
        .live()
        .about("What is logged: debug, verbose, notice, warning or nothing"),
    row(
        "max-keys-per-namespace",
        "COUNT",
        field!(max_keys_per_namespace, Integer { min: 0, max: i64::MAX }),
    )
    .live()
    .about("Most pairs of a namespace that has no limit of its own; 0 for no limit"),
    row("maxclients", "COUNT", field!(maxclients, Integer { min: 1, max: u32::MAX as i64 }))
        .live()
        .about("Most clients at a time, both doors together"),
    row("maxmemory", "BYTES", field!(maxmemory_bytes, Memory { min: 0, max: i64::MAX }))
        .live()
        .about("Memory that names and pairs may take; 0 for no limit"),
    row("maxmemory-clients", "BYTES|PERCENT", field!(maxmemory_clients, BytesOrPercent))
        .live()
        .about("Memory that clients may take, or per cent of maxmemory; 0 for no limit"),
    row("maxmemory-policy", "POLICY", field!(maxmemory_policy, POLICY))
        .live()
        .about("Which names are evicted at the limit"),
    row("maxmemory-samples", "COUNT", field!(maxmemory_samples, Integer { min: 1, max: 64 }))
        .live()
        .about("Names looked at for each that is evicted"),
    row(
        "min-replicas-max-lag",
        "SECONDS",
        field!(min_replicas_max_lag_s, Integer { min: 0, max: INT_MAX }),
    )
    .aliases(&["min-slaves-max-lag"])
    .live()
    .about("0: changes need no replicas, whatever min-replicas-to-write says"),
    row(
        "min-replicas-to-write",
        "COUNT",
        field!(min_replicas_to_write, Integer { min: 0, max: INT_MAX }),
    )
    .aliases(&["min-slaves-to-write"])
    .live()
    .about("Replicas without which changes are refused; this server has none"),
    row(
        "notify-keyspace-events",
        "CLASSES",
        Access::Field {
            show: |config| config.notify_keyspace_events.show(),
            read: |config, words| {
                config.notify_keyspace_events = Classes::read(&words.concat())?;
                Ok(())
            },
        },
    )
    .live()
    .about("Which events of names are published; letters, none for none"),
    row("pidfile", "FILE", field!(pidfile, Text { max_bytes: PATH_BYTES_MAX }))
        .about("File with the number of the process; empty for none"),
    row("port", "PORT", field!(port, Integer { min: 0, max: 65_535 }))
        .live()
        .about("Port of the Redis door; 0 for no door"),
    row("protected-mode", "yes|no", field!(protected_mode, YesNo))
        .live()
        .about("Whether to refuse clients from other machines while there is no password"),
    row(
        "proto-max-bulk-len",
        "BYTES",
        field!(proto_max_bulk_len_bytes, Memory { min: MIB, max: i64::MAX }),
    )
    .live()
    .about("Longest argument of a request"),
    row("requirepass", "PASSWORD", field!(requirepass, Text { max_bytes: PASSWORD_BYTES_MAX }))
        .live()
        .about("Password of the default user; empty for none"),
    row(
        "slowlog-log-slower-than",
        "MICROSECONDS",
        field!(slowlog_log_slower_than_us, Integer { min: -1, max: i64::MAX }),
    )
    .live()
    .about("Time from which the slow log has a command; 0 for every one, -1 for none"),
    row("slowlog-max-len", "COUNT", field!(slowlog_max_len, Integer { min: 0, max: i64::MAX }))
        .live()
        .about("Commands that the slow log remembers"),
    row("supervised", "no|systemd|auto", field!(supervised, SUPERVISED))
        .about("Whether a service manager is told that the server is ready"),
    row("tcp-backlog", "COUNT", field!(tcp_backlog, Integer { min: 0, max: INT_MAX }))
        .about("Connections that may wait to be accepted"),
    row("tcp-keepalive", "SECONDS", field!(tcp_keepalive_s, Integer { min: 0, max: SECONDS_MAX }))
        .live()
        .about("Time between TCP keepalive probes; 0 for none"),
    row("threads", "COUNT", field!(threads, Integer { min: 0, max: 256 }))
        .about("Worker threads; 0 for as many as there are cores"),
    row("timeout", "SECONDS", field!(timeout_s, Integer { min: 0, max: SECONDS_MAX }))
        .live()
        .about("Idle time after which a Redis client is closed; 0 for never"),
    row("tls-auth-clients", "yes|no|optional", field!(tls_auth_clients, CLIENT_AUTH))
        .live()
        .about("Whether Redis clients must show a certificate of tls-ca-cert-file"),
    row("tls-auth-clients-user", "off|CN", field!(tls_auth_clients_user, USER_FIELD))
        .live()
        .about("What of a client's certificate names its ACL user, at both doors"),
    row("tls-ca-cert-dir", "DIRECTORY", field!(tls_ca_cert_dir, PATH))
        .live()
        .about("Directory of authorities that issue clients' certificates, PEM"),
    row("tls-ca-cert-file", "FILE", field!(tls_ca_cert_file, PATH))
        .live()
        .about("Authorities that issue clients' certificates, PEM"),
    row("tls-cert-file", "FILE", field!(tls_cert_file, PATH))
        .live()
        .about("The server's certificate and those behind it, PEM; read again on SIGHUP"),
    row("tls-key-file", "FILE", field!(tls_key_file, PATH))
        .live()
        .about("The private key of tls-cert-file, unencrypted PEM"),
    row("tls-port", "PORT", field!(tls_port, Integer { min: 0, max: 65_535 }))
        .live()
        .about("Port of the Redis door with TLS; 0 for none"),
    row("tls-protocols", "VERSIONS", field!(tls_protocols, Text { max_bytes: 128 }))
        .live()
        .about("Versions of TLS: TLSv1.2, TLSv1.3 or both; empty for both"),
    row(
        "tracking-table-max-keys",
        "COUNT",
        field!(tracking_table_max_keys, Integer { min: 0, max: i64::MAX }),
    )
    .live()
    .about("Keys of which is remembered who keeps a copy; 0 for no limit"),
    row("unixsocket", "FILE", field!(unixsocket, Text { max_bytes: PATH_BYTES_MAX }))
        .about("Unix socket of the Redis door; empty for none"),
    row("unixsocketperm", "MODE", field!(unixsocketperm, Octal { max: 0o777 }))
        .about("Permissions of the unix socket; 0 for those that the process gives its files"),
];

const FSYNC: OneOf<Fsync> =
    OneOf(&[("everysec", Fsync::EverySec), ("always", Fsync::Always), ("no", Fsync::No)]);

const POLICY: OneOf<Policy> = OneOf(&[
    ("volatile-lru", Policy::VolatileLru),
    ("volatile-lfu", Policy::VolatileLfu),
    ("volatile-random", Policy::VolatileRandom),
    ("volatile-ttl", Policy::VolatileTtl),
    ("allkeys-lru", Policy::AllkeysLru),
    ("allkeys-lfu", Policy::AllkeysLfu),
    ("allkeys-random", Policy::AllkeysRandom),
    ("noeviction", Policy::NoEviction),
]);

const CLIENT_AUTH: OneOf<ClientAuth> =
    OneOf(&[("no", ClientAuth::No), ("yes", ClientAuth::Yes), ("optional", ClientAuth::Optional)]);

const RATE: Integer = Integer { min: 0, max: 1_000_000 };

const USER_FIELD: OneOf<UserField> =
    OneOf(&[("off", UserField::Off), ("CN", UserField::CommonName)]);

const PATH: Text = Text { max_bytes: PATH_BYTES_MAX };

const LOG_LEVEL: OneOf<LogLevel> = OneOf(&[
    ("debug", LogLevel::Debug),
    ("verbose", LogLevel::Verbose),
    ("notice", LogLevel::Notice),
    ("warning", LogLevel::Warning),
    ("nothing", LogLevel::Nothing),
]);

const SUPERVISED: OneOf<Supervised> = OneOf(&[
    ("upstart", Supervised::Upstart),
    ("systemd", Supervised::Systemd),
    ("auto", Supervised::Auto),
    ("no", Supervised::No),
]);

const ALLOWED: OneOf<Allowed> =
    OneOf(&[("no", Allowed::No), ("yes", Allowed::Yes), ("local", Allowed::Local)]);

/// Whether all channels are open to a new user.
const CHANNELS: OneOf<bool> = OneOf(&[("allchannels", true), ("resetchannels", false)]);

const fn row(name: &'static str, hint: &'static str, access: Access) -> Directive {
    Directive::new(name, hint, access)
}
