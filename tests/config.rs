//! Flags, the configuration file, and what they say when something is wrong with them.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use pantry::config::directive::{DIRECTIVES, find};
use pantry::config::{Bind, Config, Fsync, Loaded, load_with};

fn with_flags(flags: &[&str]) -> anyhow::Result<Loaded> {
    load_with(["pantry"].iter().chain(flags).map(OsString::from), [])
}

/// Writes a configuration file and reads it, with flags after it.
fn with_file(text: &str, flags: &[&str]) -> anyhow::Result<Loaded> {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("pantry-config-{}-{number}.conf", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, text).unwrap();
    let args: Vec<&str> =
        std::iter::once(path.to_str().unwrap()).chain(flags.iter().copied()).collect();
    let loaded = with_flags(&args);
    fs::remove_file(&path).unwrap();
    loaded
}

fn error(loaded: anyhow::Result<Loaded>) -> String {
    format!("{:#}", loaded.unwrap_err())
}

#[test]
fn without_arguments_everything_is_default() {
    let Loaded { config, file, .. } = with_flags(&[]).unwrap();
    let default = Config::default();
    for directive in DIRECTIVES.iter() {
        assert_eq!(directive.show(&config), directive.show(&default), "{}", directive.name);
    }
    assert_eq!(file, None);
}

#[test]
fn flags_are_named_like_directives() {
    let flags = ["--port", "7000", "--bind", "127.0.0.1", "::1", "--proto-max-bulk-len", "2mb"];
    let config = with_flags(&flags).unwrap().config;
    assert_eq!(config.port, 7000);
    assert_eq!(config.bind.len(), 2);
    assert_eq!(config.proto_max_bulk_len_bytes, 2 << 20);
    let config = with_flags(&["--hash-max-ziplist-entries", "3", "--save", ""]).unwrap().config;
    assert_eq!(config.hash_max_listpack_entries, 3);
    assert_eq!(with_flags(&["--port", "1", "--port", "2"]).unwrap().config.port, 2);
}

#[test]
fn lines_that_set_no_directive_may_be_flags() {
    let flags =
        ["--rename-command", "GET", "FETCH", "--port", "1", "--RENAME-command", "FLUSHALL", ""];
    let config = with_flags(&flags).unwrap().config;
    let renamed = [("GET", "FETCH"), ("FLUSHALL", "")].map(|(old, new)| (old.into(), new.into()));
    assert_eq!(config.renamed_commands, renamed);
    assert_eq!(config.port, 1);
    let config = with_flags(&["--user ann on >secret +@all -@admin"]).unwrap().config;
    assert_eq!(config.users, [["ann", "on", ">secret", "+@all", "-@admin"].map(String::from)]);
    let text = error(with_flags(&["--rename-command", "GET", "--port", "1"]));
    assert!(
        text.contains("--rename-command GET: Bad directive or wrong number of arguments"),
        "{text}"
    );
    assert!(error(with_flags(&["--include", "/no/such/file"])).contains("can't open config file"));
    // A flag wins over a file, wherever it stands.
    let path = std::env::temp_dir().join(format!("pantry-flag-{}.conf", std::process::id()));
    fs::write(&path, "port 5\ntimeout 6\n").unwrap();
    let config = with_flags(&["--port", "4", "--include", path.to_str().unwrap()]).unwrap().config;
    fs::remove_file(&path).unwrap();
    assert_eq!((config.port, config.timeout_s), (4, 6));
}

#[test]
fn every_directive_is_a_flag_and_can_stand_in_a_file() {
    let default = Config::default();
    for directive in DIRECTIVES.iter() {
        let (name, value) = (directive.name, directive.show(&default));
        with_flags(&[&format!("--{name}={value}")]).unwrap();
        with_file(&format!("{name} \"{value}\"\n"), &[]).unwrap();
    }
}

#[test]
fn the_file_is_read_like_redis_conf() {
    let text = "# a comment\n\n  PORT 7001\r\nrequirepass \"a \\x62\\\"c\"\n\tappendfsync ALWAYS\n\
                bind 127.0.0.1 ::1\nhttp-cors-origin https://a.example https://b.example\nsave \"\"";
    let Loaded { config, file, .. } = with_file(text, &[]).unwrap();
    assert_eq!(config.port, 7001);
    assert_eq!(config.requirepass, "a b\"c");
    assert_eq!(config.appendfsync, Fsync::Always);
    assert_eq!(config.bind.len(), 2);
    assert_eq!(config.http_cors_origins, ["https://a.example", "https://b.example"]);
    assert!(file.unwrap().is_absolute());
}

#[test]
fn flags_win_over_the_file() {
    let config = with_file("port 7001\ndir /from/file\n", &["--port", "7002"]).unwrap().config;
    assert_eq!(config.port, 7002);
    assert_eq!(config.dir, PathBuf::from("/from/file"));
}

#[test]
fn a_bad_line_is_shown_with_its_number() {
    let lines = [
        ("foo bar", "Bad directive or wrong number of arguments"),
        ("port 1 2", "wrong number of arguments"),
        ("timeout", "wrong number of arguments"),
        ("port abc", "argument couldn't be parsed into an integer"),
        ("port 70000", "argument must be between 0 and 65535 inclusive"),
        ("appendonly \"x", "Unbalanced quotes in configuration line"),
        ("appendonly maybe", "argument must be 'yes' or 'no'"),
        ("proto-max-bulk-len x", "argument must be a memory value"),
        (
            "loglevel loud",
            "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
        ),
        ("cluster-enabled", "argument must be 'no'"),
        ("save 900", "Invalid save parameters"),
        ("hz ten", "argument couldn't be parsed into an integer"),
        ("sentinel monitor", "sentinel directive while not in sentinel mode"),
        ("include", "Bad directive or wrong number of arguments"),
        ("rename-command GET", "Bad directive or wrong number of arguments"),
        ("requirepass \"\\xff\"", "argument must be UTF-8"),
    ];
    for (line, reason) in lines {
        let expected = format!(
            "\n*** FATAL CONFIG FILE ERROR (pantry 0.1.0) ***\n\
             Reading the configuration file, at line 2\n>>> '{line}'\n{reason}\n"
        );
        assert_eq!(error(with_file(&format!("port 1\n{line}\n"), &[])), expected);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let text = error(with_flags(&["/no/such/pantry.conf"]));
    assert!(
        text.starts_with("Fatal error, can't open config file '/no/such/pantry.conf': "),
        "{text}"
    );
}

#[test]
fn bad_flags_say_which() {
    let text = error(with_flags(&["--port", "abc"]));
    assert!(text.contains("--port abc: argument couldn't be parsed into an integer"), "{text}");
    assert!(error(with_flags(&["--prot", "1"])).contains("--port"), "a similar flag is suggested");
    assert!(error(with_flags(&["--port"])).contains("--port"));
    assert!(error(with_flags(&["a.conf", "b.conf"])).contains("b.conf"));
}

#[test]
fn help_shows_every_flag_with_its_default() {
    let help = error(with_flags(&["--help"]));
    for directive in DIRECTIVES.iter() {
        assert_eq!(help.contains(&format!("--{} ", directive.name)), directive.has_effect());
    }
    assert!(help.contains("[6379]") && help.contains("FILE"), "{help}");
    assert_eq!(error(with_flags(&["--version"])), "pantry 0.1.0\n");
}

#[test]
fn what_has_no_effect_is_told_once() {
    let text = "hz 10\nhz 50\nappendfilename x.aof\nreplicaof host 1\nio-threads 1\n\
                save 900 1\nsave 300 10\nlua-replicate-commands yes\nloadmodule /m.so a\n\
                databases 32\ncluster-enabled yes\nslave-priority 3\n";
    let Loaded { config, warnings, .. } = with_file(text, &[]).unwrap();
    let begins = [
        "appendfilename has no effect: ",
        "cluster-enabled stays no: ",
        "databases stays 16: ",
        "hz has no effect: ",
        "loadmodule /m.so has no effect: ",
        "lua-replicate-commands has no effect: ",
        "replica-priority has no effect: ",
        "replicaof has no effect: there is no replication",
        "save has no effect: ",
    ];
    assert_eq!(warnings.len(), begins.len(), "{warnings:#?}");
    for (warning, begin) in warnings.iter().zip(begins) {
        assert!(warning.starts_with(begin), "{warning}");
    }
    let shown = |name| find(name).unwrap().show(&config);
    assert_eq!(shown("save"), "900 1 300 10");
    assert_eq!(shown("hz"), "50");
    assert_eq!(shown("slaveof"), "host 1");
    assert_eq!(shown("databases"), "16");
    assert!(with_flags(&["--hz", "20"]).unwrap().warnings[0].starts_with("hz "));
    assert_eq!(with_file("save 1 1\nsave \"\"\n", &[]).unwrap().warnings, [""; 0]);
}

#[test]
fn flags_may_have_values_with_hyphens_and_stand_in_one_word_with_them() {
    let config = |flags: &[&str]| with_flags(flags).unwrap().config;
    let shown = |flags: &[&str], name: &str| find(name).unwrap().show(&config(flags));
    let bind = ["--bind", "127.0.0.1", "-::1", "--port", "7"];
    assert_eq!(shown(&bind, "bind"), "127.0.0.1 -::1");
    assert_eq!(config(&bind).port, 7);
    assert_eq!(shown(&["--slowlog-log-slower-than", "-1"], "slowlog-log-slower-than"), "-1");
    assert_eq!(shown(&["--maxmemory 700mb"], "maxmemory"), "734003200");
    assert_eq!(shown(&["--maxmemory-policy 'volatile-lru'"], "maxmemory-policy"), "volatile-lru");
    assert_eq!(shown(&["--save", "--port", "1"], "save"), "");
    assert_eq!(shown(&["--save", "900", "1", "60", "2"], "save"), "900 1 60 2");
    assert_eq!(
        shown(&["--shutdown-on-sigint", "force", "nosave"], "shutdown-on-sigint"),
        "nosave force"
    );
    assert!(error(with_flags(&["--port", "1", "2", "--timeout", "3", "4"])).contains('4'));
}

#[test]
fn the_environment_stands_between_file_and_flags() {
    let load = |variables: &[(&str, &str)], flags: &[&str]| {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        load_with(["pantry"].iter().chain(flags).map(OsString::from), variables)
    };
    let variables = [
        ("PANTRY_CONFIG_PORT", "7001"),
        ("PANTRY_CONFIG_REQUIREPASS", "a b"),
        ("PANTRY_CONFIG_BIND", "127.0.0.1 -::1"),
        ("PANTRY_CONFIG_HASH_MAX_ZIPLIST_ENTRIES", "9"),
        ("PANTRY_PORT", "tcp://10.0.0.1:6379"),
        ("PORT", "1"),
    ];
    let config = load(&variables, &[]).unwrap().config;
    assert_eq!((config.port, config.requirepass.as_str()), (7001, "a b"));
    assert_eq!((config.bind.len(), config.hash_max_listpack_entries), (2, 9));
    assert_eq!(load(&variables, &["--port", "7002"]).unwrap().config.port, 7002);
    let text = error(load(&[("PANTRY_CONFIG_PRT", "1")], &[]));
    assert_eq!(text, "environment variable PANTRY_CONFIG_PRT: there is no such directive");
    let text = error(load(&[("PANTRY_CONFIG_PORT", "x")], &[]));
    let reason = "argument couldn't be parsed into an integer";
    assert_eq!(text, format!("environment variable PANTRY_CONFIG_PORT: {reason}"));
}

#[test]
fn files_include_files() {
    let dir = std::env::temp_dir().join(format!("pantry-include-{}", std::process::id()));
    fs::create_dir_all(dir.join("conf.d")).unwrap();
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    write("conf.d/20.conf", "timeout 20\nport 20\n");
    write("conf.d/10.conf", "timeout 10\nuser alice on +@all ~*\n");
    write("conf.d/.hidden.conf", "nonsense\n");
    write("bad.conf", "\nnonsense 1\n");
    write("circle.conf", &format!("include {}/circle.conf\n", dir.display()));
    let include =
        |what: &str| with_file(&format!("timeout 1\ninclude {}/{what}\n", dir.display()), &[]);

    let config = include("c*.d/*.conf").unwrap().config;
    assert_eq!((config.timeout_s, config.port), (20, 20), "in the order of their names");
    assert_eq!(config.users, [["alice", "on", "+@all", "~*"]]);
    assert_eq!(include("none*").unwrap().config.timeout_s, 1, "a pattern may match nothing");
    assert!(error(include("none")).contains("can't open config file"));
    let text = error(include("bad.conf"));
    assert!(text.contains("at line 2\n>>> 'nonsense 1'\nBad directive"), "{text}");
    assert!(error(include("circle.conf")).contains("files include each other"));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn addresses_may_be_missing_on_the_machine() {
    let config = with_flags(&["--bind", "* -::*"]).unwrap().config;
    let bind = |address: &str, is_optional| Bind { address: address.parse().unwrap(), is_optional };
    assert_eq!(config.bind, [bind("0.0.0.0", false), bind("::", true)]);
}
