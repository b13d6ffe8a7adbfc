//! Flags, the configuration file, and what they say when something is wrong with them.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use pantry::config::directive::DIRECTIVES;
use pantry::config::{Config, Fsync, Loaded, load};

fn with_flags(flags: &[&str]) -> anyhow::Result<Loaded> {
    load(["pantry"].iter().chain(flags).map(OsString::from))
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
    let Loaded { config, file } = with_flags(&[]).unwrap();
    let default = Config::default();
    for directive in DIRECTIVES {
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
fn every_directive_is_a_flag_and_can_stand_in_a_file() {
    let default = Config::default();
    for directive in DIRECTIVES {
        let (name, value) = (directive.name, directive.show(&default));
        with_flags(&[&format!("--{name}={value}")]).unwrap();
        with_file(&format!("{name} \"{value}\"\n"), &[]).unwrap();
    }
}

#[test]
fn the_file_is_read_like_redis_conf() {
    let text = "# a comment\n\n  PORT 7001\r\nrequirepass \"a \\x62\\\"c\"\n\tappendfsync ALWAYS\n\
                bind 127.0.0.1 ::1\nhttp-cors-origin https://a.example https://b.example\nsave \"\"";
    let Loaded { config, file } = with_file(text, &[]).unwrap();
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
        ("databases 17", "argument must be '16'"),
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
    for directive in DIRECTIVES {
        assert_eq!(help.contains(&format!("--{} ", directive.name)), !directive.is_fact());
    }
    assert!(help.contains("[6379]") && help.contains("FILE"), "{help}");
    assert_eq!(error(with_flags(&["--version"])), "pantry 0.1.0\n");
}

#[test]
fn beyond_loopback_both_doors_need_a_password() {
    let open = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config.exposure()
    };
    let everywhere = || vec!["0.0.0.0".parse().unwrap()];
    assert_eq!(open(|_| {}), None);
    assert!(
        open(|config| config.bind = vec!["0.0.0.0".parse().unwrap()]).unwrap().contains("bind")
    );
    let http = open(|config| config.http_bind = vec!["::".parse().unwrap()]).unwrap();
    assert!(http.starts_with("http-bind ::"), "{http}");
    let mut config = Config { bind: everywhere(), ..Config::default() };
    config.requirepass = "secret".to_owned();
    assert_eq!(config.exposure(), None);
    config = Config { bind: everywhere(), protected_mode: false, ..Config::default() };
    assert_eq!(config.exposure(), None);
    config = Config { bind: everywhere(), port: 0, ..Config::default() };
    assert_eq!(config.exposure(), None, "there is no such door");
}
