//! Directives of Redis's that mean nothing here: known, checked, kept and shown, so that a redis.conf of
//! any age starts the server and CONFIG agrees with itself. Setting one is answered by one warning,
//! which says why it has no effect. Directives that have one are in [`super::applied`].

use super::directive::{Access, Directive};
use super::shape::Shape::{self, *};

const INT_MAX: i64 = i32::MAX as i64;
const INT_MIN: i64 = i32::MIN as i64;
const UINT_MAX: i64 = u32::MAX as i64;

/// Why they have no effect, and which they are.
pub const ACCEPTED: &[(&str, &[Directive])] = &[
    (
        "there is no cluster",
        &[
            row("cluster-allow-pubsubshard-when-down", YesNo, "yes"),
            row("cluster-allow-reads-when-down", YesNo, "no"),
            row("cluster-allow-replica-migration", YesNo, "yes"),
            row("cluster-announce-bus-port", Integer(0, 65535), "0"),
            row("cluster-announce-hostname", Text, ""),
            row("cluster-announce-human-nodename", Text, ""),
            row("cluster-announce-ip", Text, ""),
            row("cluster-announce-port", Integer(0, 65535), "0"),
            row("cluster-announce-tls-port", Integer(0, 65535), "0"),
            row("cluster-config-file", Text, "nodes.conf").fixed(),
            row("cluster-link-sendbuf-limit", Memory(0, i64::MAX), "0"),
            row("cluster-migration-barrier", Integer(0, INT_MAX), "1"),
            row("cluster-node-timeout", Integer(0, i64::MAX), "15000"),
            row("cluster-ping-interval", Integer(0, i64::MAX), "0").hidden(),
            row("cluster-port", Integer(0, 65535), "0").fixed(),
            row(
                "cluster-preferred-endpoint-type",
                OneOf(&["ip", "hostname", "unknown-endpoint"]),
                "ip",
            ),
            row("cluster-replica-no-failover", YesNo, "no").aliases(&["cluster-slave-no-failover"]),
            row("cluster-replica-validity-factor", Integer(0, INT_MAX), "10")
                .aliases(&["cluster-slave-validity-factor"]),
            row("cluster-require-full-coverage", YesNo, "yes"),
        ],
    ),
    (
        "there is no replication",
        &[
            row("masterauth", Text, ""),
            row("masteruser", Text, ""),
            row(
                "propagation-error-behavior",
                OneOf(&["ignore", "panic", "panic-on-replicas"]),
                "ignore",
            ),
            row("repl-backlog-size", Memory(1, i64::MAX), "1048576"),
            row("repl-backlog-ttl", Integer(0, i64::MAX), "3600"),
            row("repl-disable-tcp-nodelay", YesNo, "no"),
            row("repl-diskless-load", OneOf(&["disabled", "on-empty-db", "swapdb"]), "disabled"),
            row("repl-diskless-sync", YesNo, "yes"),
            row("repl-diskless-sync-delay", Integer(0, INT_MAX), "5"),
            row("repl-diskless-sync-max-replicas", Integer(0, INT_MAX), "0"),
            row("repl-ping-replica-period", Integer(1, INT_MAX), "10")
                .aliases(&["repl-ping-slave-period"]),
            row("repl-rdb-channel", YesNo, "yes").hidden(),
            row("repl-timeout", Integer(1, INT_MAX), "60"),
            row("replica-announce-ip", Text, "").aliases(&["slave-announce-ip"]),
            row("replica-announce-port", Integer(0, 65535), "0").aliases(&["slave-announce-port"]),
            row("replica-announced", YesNo, "yes"),
            row("replica-full-sync-buffer-limit", Memory(0, i64::MAX), "0"),
            row("replica-ignore-disk-write-errors", YesNo, "no"),
            row("replica-ignore-maxmemory", YesNo, "yes").aliases(&["slave-ignore-maxmemory"]),
            row("replica-lazy-flush", YesNo, "no").aliases(&["slave-lazy-flush"]),
            row("replica-priority", Integer(0, INT_MAX), "100").aliases(&["slave-priority"]),
            row("replica-read-only", YesNo, "yes").aliases(&["slave-read-only"]),
            row("replica-serve-stale-data", YesNo, "yes").aliases(&["slave-serve-stale-data"]),
            row("replicaof", Words, "").aliases(&["slaveof"]).fixed().list(),
        ],
    ),
    (
        "connections are not encrypted",
        &[
            row("max-new-tls-connections-per-cycle", Integer(1, 1000), "1"),
            row("tls-ciphers", Text, ""),
            row("tls-ciphersuites", Text, ""),
            row("tls-client-cert-file", Text, ""),
            row("tls-client-key-file", Text, ""),
            row("tls-client-key-file-pass", Text, ""),
            row("tls-cluster", YesNo, "no"),
            row("tls-dh-params-file", Text, ""),
            row("tls-key-file-pass", Text, ""),
            row("tls-prefer-server-ciphers", YesNo, "no"),
            row("tls-replication", YesNo, "no"),
            row("tls-session-cache-size", Integer(0, INT_MAX), "20480"),
            row("tls-session-cache-timeout", Integer(0, INT_MAX), "300"),
            row("tls-session-caching", YesNo, "yes"),
        ],
    ),
    (
        "there are no lists, sets, sorted sets or streams",
        &[
            row("list-compress-depth", Integer(0, INT_MAX), "0"),
            row("list-max-listpack-size", Integer(INT_MIN, INT_MAX), "-2")
                .aliases(&["list-max-ziplist-size"]),
            row("set-max-intset-entries", Integer(0, i64::MAX), "512"),
            row("set-max-listpack-entries", Integer(0, i64::MAX), "128"),
            row("set-max-listpack-value", Integer(0, i64::MAX), "64"),
            row("stream-node-max-bytes", Memory(0, i64::MAX), "4096"),
            row("stream-node-max-entries", Integer(0, i64::MAX), "100"),
            row("zset-max-listpack-entries", Integer(0, i64::MAX), "128")
                .aliases(&["zset-max-ziplist-entries"]),
            row("zset-max-listpack-value", Memory(0, i64::MAX), "64")
                .aliases(&["zset-max-ziplist-value"]),
        ],
    ),
    (
        "data is kept in a journal and snapshots of its own, not in RDB files",
        &[
            row("dbfilename", Text, "dump.rdb").protected(),
            row("key-load-delay", Integer(INT_MIN, INT_MAX), "0").hidden(),
            row("loading-process-events-interval-bytes", Integer(1024, INT_MAX), "2097152")
                .hidden(),
            row("rdb-del-sync-files", YesNo, "no"),
            row("rdb-key-save-delay", Integer(INT_MIN, INT_MAX), "0").hidden(),
            row("rdb-save-incremental-fsync", YesNo, "yes"),
            row("rdbchecksum", YesNo, "yes").fixed(),
            row("rdbcompression", YesNo, "yes"),
            row("sanitize-dump-payload", OneOf(&["no", "yes", "clients"]), "no"),
            row("save", Schedule, "").list(),
            row("stop-writes-on-bgsave-error", YesNo, "yes"),
        ],
    ),
    (
        "data is kept in a journal of its own, not in AOF files",
        &[
            row("aof-disable-auto-gc", YesNo, "no").hidden(),
            row("aof-load-truncated", YesNo, "yes"),
            row("aof-rewrite-cpulist", Text, "").aliases(&["aof_rewrite_cpulist"]).fixed(),
            row("aof-rewrite-incremental-fsync", YesNo, "yes"),
            row("aof-timestamp-enabled", YesNo, "no"),
            row("aof-use-rdb-preamble", YesNo, "yes"),
            row("appenddirname", Text, "appendonlydir").fixed(),
            row("appendfilename", Text, "appendonly.aof").fixed(),
            row("no-appendfsync-on-rewrite", YesNo, "no"),
        ],
    ),
    (
        "memory is the allocator's matter and is not moved",
        &[
            row("active-defrag-cycle-max", Integer(1, 99), "25"),
            row("active-defrag-cycle-min", Integer(1, 99), "1"),
            row("active-defrag-ignore-bytes", Memory(1, i64::MAX), "104857600"),
            row("active-defrag-max-scan-fields", Integer(1, i64::MAX), "1000"),
            row("active-defrag-threshold-lower", Integer(0, 1000), "10"),
            row("active-defrag-threshold-upper", Integer(0, 1000), "100"),
            row("activedefrag", YesNo, "no"),
            row("jemalloc-bg-thread", YesNo, "yes"),
        ],
    ),
    (
        "what is large is always freed in slices, in the background",
        &[
            row("lazyfree-lazy-eviction", YesNo, "no"),
            row("lazyfree-lazy-expire", YesNo, "no"),
            row("lazyfree-lazy-server-del", YesNo, "no"),
            row("lazyfree-lazy-user-del", YesNo, "no"),
            row("lazyfree-lazy-user-flush", YesNo, "no"),
        ],
    ),
    (
        "worker threads are counted by threads and placed by the system",
        &[
            row("bgsave-cpulist", Text, "").aliases(&["bgsave_cpulist"]).fixed(),
            row("bio-cpulist", Text, "").aliases(&["bio_cpulist"]).fixed(),
            row("io-threads", Integer(1, 128), "1").fixed(),
            row("io-threads-do-reads", YesNo, "no").fixed(),
            row("server-cpulist", Text, "").aliases(&["server_cpulist"]).fixed(),
        ],
    ),
    (
        "there is no such cycle: work is done when it is due",
        &[
            row("active-expire-effort", Integer(1, 10), "1"),
            row("activerehashing", YesNo, "yes"),
            row("dynamic-hz", YesNo, "yes"),
            row("hz", Integer(0, INT_MAX), "10"),
            row("max-new-connections-per-cycle", Integer(1, 1000), "10"),
            row("maxmemory-eviction-tenacity", Integer(0, 100), "10"),
        ],
    ),
    (
        "the process keeps its title and shows no logo",
        &[
            row("always-show-logo", YesNo, "no").fixed(),
            row("proc-title-template", Text, "{title} {listen-addr} {server-mode}"),
            row("set-proc-title", YesNo, "yes").fixed(),
        ],
    ),
    (
        "the process stays in the foreground, under a service manager",
        &[row("daemonize", YesNo, "no").fixed()],
    ),
    (
        "the log goes to standard output or to logfile",
        &[
            row("syslog-enabled", YesNo, "no").fixed(),
            row(
                "syslog-facility",
                OneOf(&[
                    "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
                    "local7",
                ]),
                "local0",
            )
            .fixed(),
            row("syslog-ident", Text, "redis").fixed(),
        ],
    ),
    (
        "that is set by the service manager",
        &[
            row("disable-thp", YesNo, "yes").fixed(),
            row("oom-score-adj", OneOf(&["no", "yes", "relative", "absolute"]), "no"),
            row("oom-score-adj-values", Integers { count: 3, min: -2000, max: 2000 }, "0 200 800")
                .list(),
        ],
    ),
    (
        "crashes are reported by the system",
        &[
            row("crash-log-enabled", YesNo, "yes"),
            row("crash-memcheck-enabled", YesNo, "yes"),
            row("use-exit-on-panic", YesNo, "no").hidden(),
            row("watchdog-period", Integer(0, INT_MAX), "0").hidden(),
        ],
    ),
    (
        "stopping waits for nobody: what was answered is in the journal",
        &[
            row(
                "shutdown-on-sigint",
                Flags(&["default", "save", "nosave", "now", "force"]),
                "default",
            )
            .list(),
            row(
                "shutdown-on-sigterm",
                Flags(&["default", "save", "nosave", "now", "force"]),
                "default",
            )
            .list(),
            row("shutdown-timeout", Integer(0, INT_MAX), "10"),
        ],
    ),
    (
        "the server makes no connections",
        &[
            row("bind-source-addr", Text, ""),
            row("socket-mark-id", Integer(0, UINT_MAX), "0").fixed(),
        ],
    ),
    ("data of users is never logged", &[row("hide-user-data-from-log", YesNo, "no")]),
    (
        "there is nothing that it would change",
        &[
            row("enable-module-command", OneOf(&["no", "yes", "local"]), "no").fixed(),
            row("ignore-warnings", Text, ""),
            row("locale-collate", Text, ""),
            row("req-res-logfile", Text, "").fixed().hidden(),
        ],
    ),
];

const fn row(name: &'static str, shape: Shape, default: &'static str) -> Directive {
    Directive::new(name, shape.hint(), Access::Kept { shape, default }).live()
}
