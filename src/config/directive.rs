//! The table of directives: one row for each setting, with its name, format and a sentence.
//!
//! Command-line flags, the configuration file, CONFIG GET and CONFIG SET all follow from it. What a
//! setting does is decided where it is used.

use super::format::{
    Addresses, Directory, Format, Integer, Memory, OneOf, Reason, Text, Words, YesNo,
};
use super::{Config, Fsync, LogLevel};
use crate::store::Policy;

/// Longest password, in bytes; Redis's limit.
pub const PASSWORD_BYTES_MAX: usize = 512;
/// Longest public URL, in bytes.
const URL_BYTES_MAX: usize = 1024;
const MIB: u64 = 1 << 20;
const SECONDS_MAX: u64 = i32::MAX as u64;
const MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// One row of the table.
pub struct Directive {
    /// As in redis.conf.
    pub name: &'static str,
    /// Older names that mean the same.
    pub aliases: &'static [&'static str],
    /// What its value is, in one word.
    pub hint: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Whether CONFIG SET may change it.
    pub is_live: bool,
    /// Whether its value is a list of words.
    pub is_list: bool,
    access: Access,
}

enum Access {
    /// A field of [`Config`].
    Field { show: fn(&Config) -> String, read: fn(&mut Config, &[&str]) -> Result<(), Reason> },
    /// Something that clients ask for and that can not be otherwise here.
    Fact(&'static str),
}

/// Access to the field `$field`, written as `$format` says.
macro_rules! field {
    ($field:ident, $format:expr) => {
        Access::Field {
            show: |config| $format.show(&config.$field),
            read: |config, words| {
                config.$field = $format.read(words)?;
                Ok(())
            },
        }
    };
}

/// All directives, sorted by name.
pub const DIRECTIVES: &[Directive] = &[
    row("appendfsync", "always|everysec|no", field!(appendfsync, FSYNC))
        .live()
        .about("When the journal is flushed to the disk"),
    row("appendonly", "yes|no", field!(appendonly, YesNo))
        .live()
        .about("Whether changes are journaled, and so outlive the process"),
    row(
        "auto-aof-rewrite-min-size",
        "BYTES",
        field!(auto_aof_rewrite_min_size_bytes, Memory { min: 0 }),
    )
    .live()
    .about("Journal below which no snapshot is taken unasked"),
    row(
        "auto-aof-rewrite-percentage",
        "PERCENT",
        field!(auto_aof_rewrite_percentage, Integer { min: 0, max: i32::MAX as u64 }),
    )
    .live()
    .about("Journal, in per cent of the last snapshot, at which the next is taken; 0 for never"),
    row("bind", "ADDRESS", field!(bind, Addresses))
        .list()
        .about("Addresses of the Redis door; * for all"),
    row(
        "client-query-buffer-limit",
        "BYTES",
        field!(client_query_buffer_limit_bytes, Memory { min: MIB }),
    )
    .live()
    .about("Longest request"),
    row("client-reply-max-bytes", "BYTES", field!(client_reply_max_bytes, Memory { min: 1024 }))
        .live()
        .about("Longest reply; a command that would pass it is refused"),
    row("cluster-enabled", "yes|no", Access::Fact("no")).about("Redis Cluster: there is none"),
    row("databases", "COUNT", Access::Fact("16")).about("Databases that SELECT can select"),
    row("dir", "DIRECTORY", field!(dir, Directory)).about("Where data is kept"),
    row("enable-debug-command", "yes|no", field!(enable_debug_command, YesNo))
        .about("Whether DEBUG may be used"),
    row(
        "hash-max-listpack-entries",
        "COUNT",
        field!(hash_max_listpack_entries, Integer { min: 0, max: i64::MAX as u64 }),
    )
    .aliases(&["hash-max-ziplist-entries"])
    .live()
    .about("Pairs up to which OBJECT ENCODING calls a namespace a listpack"),
    row(
        "hash-max-listpack-value",
        "BYTES",
        field!(hash_max_listpack_value_bytes, Memory { min: 0 }),
    )
    .aliases(&["hash-max-ziplist-value"])
    .live()
    .about("Bytes of a key or value up to which OBJECT ENCODING does so"),
    row("http-allowed-host", "HOST", field!(http_allowed_hosts, Words))
        .list()
        .about("Host names, beside those of loopback, that a request on loopback may name"),
    row("http-bind", "ADDRESS", field!(http_bind, Addresses))
        .list()
        .about("Addresses of the HTTP door; * for all"),
    row("http-body-max-bytes", "BYTES", field!(http_body_max_bytes, Memory { min: 1 }))
        .about("Longest body of an HTTP request"),
    row(
        "http-body-timeout-ms",
        "MS",
        field!(http_body_timeout_ms, Integer { min: 1, max: MS_MAX }),
    )
    .about("Time an HTTP client has to send a body"),
    row("http-bulk-max-bytes", "BYTES", field!(http_bulk_max_bytes, Memory { min: 1024 }))
        .live()
        .about("Longest body of rows or commands, and longest row of an import"),
    row(
        "http-bulk-max-rows",
        "COUNT",
        field!(http_bulk_max_rows, Integer { min: 1, max: 1_000_000 }),
    )
    .live()
    .about("Most rows in one call that sets, gets or deletes many pairs"),
    row("http-cors-origin", "ORIGIN", field!(http_cors_origins, Words))
        .list()
        .about("Origins whose pages may call the HTTP door; * for all"),
    row(
        "http-header-timeout-ms",
        "MS",
        field!(http_header_timeout_ms, Integer { min: 1, max: MS_MAX }),
    )
    .about("Time an HTTP client has to send headers, idle time included"),
    row("http-port", "PORT", field!(http_port, Integer { min: 0, max: 65_535 }))
        .about("Port of the HTTP door; 0 for no door"),
    row("http-public-url", "URL", field!(http_public_url, Text { max_bytes: URL_BYTES_MAX }))
        .live()
        .about("Where clients reach the HTTP door, for links in answers; empty for as they say"),
    row("http-trust-forwarded", "yes|no", field!(http_trust_forwarded, YesNo))
        .live()
        .about("Whether X-Forwarded-Proto, -Host and -Prefix are believed, for links in answers"),
    row(
        "lfu-decay-time",
        "MINUTES",
        field!(lfu_decay_time_minutes, Integer { min: 0, max: i32::MAX as u64 }),
    )
    .live()
    .about("Time in which the counter of a name's use loses one; 0 for never"),
    row(
        "lfu-log-factor",
        "FACTOR",
        field!(lfu_log_factor, Integer { min: 0, max: i32::MAX as u64 }),
    )
    .live()
    .about("How slowly the counter of a name's use grows"),
    row("loglevel", "LEVEL", field!(loglevel, LOG_LEVEL))
        .live()
        .about("What is logged: debug, verbose, notice, warning or nothing"),
    row("maxclients", "COUNT", field!(maxclients, Integer { min: 1, max: u32::MAX as u64 }))
        .live()
        .about("Most clients at a time, both doors together"),
    row("maxmemory", "BYTES", field!(maxmemory_bytes, Memory { min: 0 }))
        .live()
        .about("Memory that names and pairs may take; 0 for no limit"),
    row("maxmemory-policy", "POLICY", field!(maxmemory_policy, POLICY))
        .live()
        .about("Which names are evicted at the limit"),
    row("maxmemory-samples", "COUNT", field!(maxmemory_samples, Integer { min: 1, max: 64 }))
        .live()
        .about("Names looked at for each that is evicted"),
    row("port", "PORT", field!(port, Integer { min: 0, max: 65_535 }))
        .about("Port of the Redis door; 0 for no door"),
    row("protected-mode", "yes|no", field!(protected_mode, YesNo))
        .about("Whether to refuse listening beyond loopback without a password"),
    row("proto-max-bulk-len", "BYTES", field!(proto_max_bulk_len_bytes, Memory { min: MIB }))
        .live()
        .about("Longest argument of a request"),
    row("requirepass", "PASSWORD", field!(requirepass, Text { max_bytes: PASSWORD_BYTES_MAX }))
        .live()
        .about("Password of the default user; empty for none"),
    row("save", "SCHEDULE", Access::Fact("")).about("Schedule of RDB snapshots: there are none"),
    row("tcp-keepalive", "SECONDS", field!(tcp_keepalive_s, Integer { min: 0, max: SECONDS_MAX }))
        .live()
        .about("Time between TCP keepalive probes; 0 for none"),
    row("threads", "COUNT", field!(threads, Integer { min: 0, max: 256 }))
        .about("Worker threads; 0 for as many as there are cores"),
    row("timeout", "SECONDS", field!(timeout_s, Integer { min: 0, max: SECONDS_MAX }))
        .live()
        .about("Idle time after which a Redis client is closed; 0 for never"),
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

const LOG_LEVEL: OneOf<LogLevel> = OneOf(&[
    ("debug", LogLevel::Debug),
    ("verbose", LogLevel::Verbose),
    ("notice", LogLevel::Notice),
    ("warning", LogLevel::Warning),
    ("nothing", LogLevel::Nothing),
]);

/// The directive with this name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Directive> {
    DIRECTIVES.iter().find(|row| row.names().any(|known| known.eq_ignore_ascii_case(name)))
}

impl Directive {
    /// Its name, then its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Its value, as CONFIG GET shows it.
    pub fn show(&self, config: &Config) -> String {
        match self.access {
            Access::Field { show, .. } => show(config),
            Access::Fact(value) => value.to_owned(),
        }
    }

    /// Sets it from the words after its name. What is fixed may only be set to what it is.
    ///
    /// # Errors
    /// Why the words are refused.
    pub fn read(&self, config: &mut Config, words: &[&str]) -> Result<(), Reason> {
        match self.access {
            Access::Field { read, .. } => read(config, words),
            Access::Fact(value) if words.join(" ").eq_ignore_ascii_case(value) => Ok(()),
            Access::Fact(value) => Err(format!("argument must be '{value}'").into()),
        }
    }

    /// Whether nothing but one value is possible.
    pub fn is_fact(&self) -> bool {
        matches!(self.access, Access::Fact(_))
    }

    const fn aliases(mut self, aliases: &'static [&'static str]) -> Directive {
        self.aliases = aliases;
        self
    }

    const fn about(mut self, about: &'static str) -> Directive {
        self.about = about;
        self
    }

    const fn live(mut self) -> Directive {
        self.is_live = true;
        self
    }

    const fn list(mut self) -> Directive {
        self.is_list = true;
        self
    }
}

const fn row(name: &'static str, hint: &'static str, access: Access) -> Directive {
    Directive { name, aliases: &[], hint, about: "", is_live: false, is_list: false, access }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_say_what_they_are() {
        assert!(DIRECTIVES.is_sorted_by(|a, b| a.name < b.name));
        for row in DIRECTIVES {
            assert!(!row.about.is_empty() && !row.hint.is_empty(), "{}", row.name);
            assert!(row.names().all(|name| find(name).unwrap().name == row.name), "{}", row.name);
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let default = Config::default();
        for row in DIRECTIVES {
            let shown = row.show(&default);
            let mut config = default.clone();
            row.read(&mut config, &[&shown]).unwrap();
            assert_eq!(row.show(&config), shown, "{}", row.name);
        }
    }
}
