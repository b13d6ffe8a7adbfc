//! The table of directives: all that redis.conf knows, and what is pantry's own.
//!
//! Command-line flags, the configuration file, CONFIG GET, SET and REWRITE all follow from it. Rows are
//! in [`super::applied`] and [`super::accepted`].

use std::sync::LazyLock;

use super::Config;
use super::accepted::ACCEPTED;
use super::applied::APPLIED;
use super::format::Reason;
use super::shape::Shape;

pub use super::applied::PASSWORD_BYTES_MAX;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Directive {
    /// As in redis.conf.
    pub name: &'static str,
    /// Older names that mean the same.
    pub aliases: &'static [&'static str],
    /// What its value is, in one word.
    pub hint: &'static str,
    /// One sentence; for one that has no effect, why.
    pub about: &'static str,
    /// Whether CONFIG SET may change it.
    pub is_live: bool,
    /// Whether its value is a list of words.
    pub is_list: bool,
    /// Whether CONFIG GET shows it only by its whole name.
    pub is_hidden: bool,
    /// Whether CONFIG SET needs `enable-protected-configs` to change it.
    pub is_protected: bool,
    access: Access,
}

/// Where a directive's value is.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// A field of [`Config`].
    Field {
        /// As CONFIG GET shows it.
        show: fn(&Config) -> String,
        /// From the words after its name.
        read: fn(&mut Config, &[&str]) -> Result<(), Reason>,
    },
    /// Something that clients ask for and that can not be otherwise here.
    Fact(&'static str),
    /// Nowhere but in what CONFIG shows.
    Kept {
        /// What it may be.
        shape: Shape,
        /// Redis's default.
        default: &'static str,
    },
}

/// All directives, sorted by name.
<<<<<<< HEAD
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
        "busy-reply-threshold",
        "MS",
        field!(busy_reply_threshold_ms, Integer { min: 0, max: i64::MAX as u64 }),
    )
    .aliases(&["lua-time-limit"])
    .live()
    .about("Time after which who waits for a script is told that it is busy; 0 for never"),
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
    row("enable-scripting", "yes|no", field!(enable_scripting, YesNo))
        .about("Whether clients may send scripts"),
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
    row("hll-sparse-max-bytes", "BYTES", field!(hll_sparse_max_bytes, Memory { min: 0 }))
        .live()
        .about("Bytes of a HyperLogLog up to which its layout is sparse"),
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
=======
pub static DIRECTIVES: LazyLock<Vec<Directive>> = LazyLock::new(|| {
    let accepted = ACCEPTED.iter().flat_map(|(why, rows)| rows.iter().map(|row| row.about(why)));
    let mut all: Vec<Directive> = APPLIED.iter().copied().chain(accepted).collect();
    all.sort_unstable_by_key(|row| row.name);
    all
});
>>>>>>> main

/// The directive with this name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Directive> {
    DIRECTIVES.iter().find(|row| row.names().any(|known| known.eq_ignore_ascii_case(name)))
}

impl Directive {
    pub(super) const fn new(name: &'static str, hint: &'static str, access: Access) -> Directive {
        Directive {
            name,
            aliases: &[],
            hint,
            about: "",
            is_live: false,
            is_list: false,
            is_hidden: false,
            is_protected: false,
            access,
        }
    }

    /// Its name, then its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Its value, as CONFIG GET shows it.
    pub fn show(&self, config: &Config) -> String {
        match self.access {
            Access::Field { show, .. } => show(config),
            Access::Fact(value) => value.to_owned(),
            Access::Kept { default, .. } => {
                config.kept.get(self.name).map_or_else(|| default.to_owned(), String::clone)
            }
        }
    }

    /// Sets it from the words after its name. A fact may only be set to what it is.
    ///
    /// # Errors
    /// Why the words are refused.
    pub fn read(&self, config: &mut Config, words: &[&str]) -> Result<(), Reason> {
        match self.access {
            Access::Field { read, .. } => read(config, words),
            Access::Fact(value) if words.join(" ").eq_ignore_ascii_case(value) => Ok(()),
            Access::Fact(value) => Err(format!("argument must be '{value}'").into()),
            Access::Kept { shape, default } => {
                let value = shape.normal(words)?;
                if value == default {
                    config.kept.remove(self.name);
                } else {
                    config.kept.insert(self.name, value);
                }
                Ok(())
            }
        }
    }

    /// The same at start. What can not be so is no reason not to start, but to be told.
    ///
    /// # Errors
    /// Why the words are refused.
    pub fn admit(&self, config: &mut Config, words: &[&str]) -> Result<Option<String>, Reason> {
        match (self.read(config, words), self.access) {
            (Err(_), Access::Fact(value)) if !words.is_empty() => {
                Ok(Some(format!("{} stays {value}: {}", self.name, self.about)))
            }
            (Ok(()), Access::Kept { default, .. }) if self.show(config) != default => {
                Ok(Some(format!("{} has no effect: {}", self.name, self.about)))
            }
            (result, _) => result.map(|()| None),
        }
    }

    /// Whether its value makes a difference.
    pub fn has_effect(&self) -> bool {
        matches!(self.access, Access::Field { .. })
    }

    /// Whether nothing but one value is possible.
    pub fn is_fact(&self) -> bool {
        matches!(self.access, Access::Fact(_))
    }

    /// Whether in a file each of its lines adds to its value.
    pub fn is_additive(&self) -> bool {
        matches!(self.access, Access::Kept { shape: Shape::Schedule, .. })
    }

    pub(super) const fn aliases(mut self, aliases: &'static [&'static str]) -> Directive {
        self.aliases = aliases;
        self
    }

    pub(super) const fn about(mut self, about: &'static str) -> Directive {
        self.about = about;
        self
    }

    pub(super) const fn live(mut self) -> Directive {
        self.is_live = true;
        self
    }

    pub(super) const fn fixed(mut self) -> Directive {
        self.is_live = false;
        self
    }

    pub(super) const fn list(mut self) -> Directive {
        self.is_list = true;
        self
    }

    pub(super) const fn hidden(mut self) -> Directive {
        self.is_hidden = true;
        self
    }

    pub(super) const fn protected(mut self) -> Directive {
        self.is_protected = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_say_what_they_are() {
        assert!(APPLIED.is_sorted_by(|a, b| a.name < b.name));
        assert!(ACCEPTED.iter().all(|(_, rows)| rows.is_sorted_by(|a, b| a.name < b.name)));
        let mut names: Vec<&str> = DIRECTIVES.iter().flat_map(Directive::names).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a name stands for one directive");
        for row in DIRECTIVES.iter() {
            assert!(!row.about.is_empty() && !row.hint.is_empty(), "{}", row.name);
            assert!(row.names().all(|name| find(name).unwrap().name == row.name), "{}", row.name);
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let default = Config::default();
        for row in DIRECTIVES.iter() {
            let shown = row.show(&default);
            let mut config = default.clone();
            row.read(&mut config, &[&shown]).unwrap();
            assert_eq!(row.show(&config), shown, "{}", row.name);
            assert!(config.kept.is_empty(), "{}", row.name);
        }
    }
}
