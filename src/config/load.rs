//! Reads the command line, the environment and the configuration file at start.
//!
//! All of them only name directives; the table ([`super::directive`]) knows what they are. Flags win
//! over the environment, the environment over the file, the file over the defaults. How a file is read
//! is in [`super::file`].

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction};

use super::Config;
use super::directive::{DIRECTIVES, Directive, find};
use super::file::{Reader, is_other_line};
use super::format::short_memory;
use crate::resp::owned::OwnedRequest;

/// What the names of environment variables begin with. Not `PANTRY_` alone: container managers set
/// variables like `PANTRY_PORT` themselves, for a service that is called pantry.
const ENVIRONMENT_PREFIX: &str = "PANTRY_CONFIG_";

/// The configuration a process begins with.
#[derive(Debug)]
pub struct Loaded {
    /// Every setting.
    pub config: Config,
    /// The configuration file, if one was named; absolute.
    pub file: Option<PathBuf>,
    /// What was asked for and is not so, one sentence each.
    pub warnings: Vec<String>,
}

/// Reads `pantry [FILE] [--directive value ...]` and this process's environment; the program's name
/// comes first.
///
/// # Errors
/// What is wrong with the arguments or the file, and `--help` and `--version`: give it to [`report`].
pub fn load(args: impl IntoIterator<Item = OsString>) -> anyhow::Result<Loaded> {
    load_with(args, std::env::vars_os())
}

/// The same with another environment.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> anyhow::Result<Loaded> {
    let mut command_line = command_line();
    let (args, lines) = without_lines(args);
    let matches = command_line.try_get_matches_from_mut(one_word_each(args))?;
    let mut reader = Reader::default();
    let file = match matches.get_one::<PathBuf>("FILE") {
        Some(path) if path.as_os_str() == "-" => {
            reader.read_stdin()?;
            None
        }
        Some(path) => {
            reader.read_file(path)?;
            Some(std::path::absolute(path)?)
        }
        None => None,
    };
    read_environment(&mut reader, environment)?;
    for line in lines {
        if let Err(error) = reader.read_words(&line) {
            let text = format!("--{}: {error:#}", line.join(" "));
            return Err(command_line.error(ErrorKind::ValueValidation, text).into());
        }
    }
    for directive in DIRECTIVES.iter() {
        let Some(words) = matches.get_many::<String>(directive.name) else { continue };
        let words: Vec<&str> = words.map(String::as_str).collect();
        if let Err(reason) = reader.set(directive, &words) {
            let text = format!("--{} {}: {reason}", directive.name, words.join(" "));
            return Err(command_line.error(ErrorKind::ValueValidation, text).into());
        }
    }
    let warnings = reader.warnings.into_values().collect();
    Ok(Loaded { config: reader.config, file, warnings })
}

/// `PANTRY_CONFIG_MAXMEMORY=1gb` for `maxmemory 1gb`.
fn read_environment(
    reader: &mut Reader,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> anyhow::Result<()> {
    for (variable, value) in environment {
        let Some(name) = variable.to_str().and_then(|name| name.strip_prefix(ENVIRONMENT_PREFIX))
        else {
            continue;
        };
        let Some(directive) = find(&name.replace('_', "-")) else {
            bail!("environment variable {ENVIRONMENT_PREFIX}{name}: there is no such directive");
        };
        let result = match value.to_str() {
            Some(value) => reader.set(directive, &[value]),
            None => Err("argument must be UTF-8".into()),
        };
        if let Err(reason) = result {
            bail!("environment variable {ENVIRONMENT_PREFIX}{name}: {reason}");
        }
    }
    Ok(())
}

/// Takes out the flags that are lines of a file and set no directive (`--rename-command GET FETCH`),
/// each with the words up to the next flag.
fn without_lines(args: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<Vec<String>>) {
    let (mut rest, mut lines) = (Vec::new(), Vec::<Vec<String>>::new());
    let mut is_in_line = false;
    for arg in args {
        let flag =
            arg.to_str().and_then(|text| text.strip_prefix("--")).filter(|it| !it.is_empty());
        let words = flag.and_then(|flag| OwnedRequest::from_line(flag.as_bytes()));
        let words = words.map(|words| {
            let words = words.args().iter().map(|word| String::from_utf8_lossy(word).into_owned());
            words.collect::<Vec<_>>()
        });
        let begins = words.filter(|words| words.first().is_some_and(|name| is_other_line(name)));
        match (begins, arg.to_str(), lines.last_mut()) {
            (Some(words), ..) => {
                lines.push(words);
                is_in_line = true;
            }
            (None, Some(word), Some(line)) if is_in_line && flag.is_none() => {
                line.push(word.into())
            }
            _ => {
                rest.push(arg);
                is_in_line = false;
            }
        }
    }
    (rest, lines)
}

/// Writes each flag's words as `--name=word`, so that they may begin with a hyphen; what follows a
/// flag up to the next one belongs to it. `--name word` may also be one argument, as it may for Redis.
fn one_word_each(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args = args.into_iter();
    let mut out: Vec<OsString> = args.next().into_iter().collect();
    let mut flag: Option<(String, bool)> = None;
    let push = |out: &mut Vec<OsString>, flag: &mut Option<(String, bool)>, word: &str| {
        let Some((name, has_word)) = flag else {
            out.push(word.into());
            return;
        };
        let takes_more = find(name).is_some_and(|directive| directive.is_list);
        if *has_word && !takes_more {
            out.push(word.into());
        } else {
            out.push(format!("--{name}={word}").into());
            *has_word = true;
        }
    };
    let close = |out: &mut Vec<OsString>, flag: &mut Option<(String, bool)>| {
        if let Some((name, false)) = flag.take() {
            let is_save = name.eq_ignore_ascii_case("save");
            out.push(if is_save { format!("--{name}=") } else { format!("--{name}") }.into());
        }
    };
    for arg in args {
        let Some(text) = arg.to_str() else {
            out.push(arg);
            continue;
        };
        let Some(name) = text.strip_prefix("--").filter(|name| !name.is_empty()) else {
            push(&mut out, &mut flag, text);
            continue;
        };
        close(&mut out, &mut flag);
        let words = OwnedRequest::from_line(name.as_bytes());
        match words.filter(|_| name.contains(' ') && !name.contains('=')) {
            Some(words) => {
                let mut words = words.args().iter().map(String::from_utf8_lossy);
                flag = words.next().map(|name| (name.into_owned(), false));
                words.for_each(|word| push(&mut out, &mut flag, &word));
            }
            None if name.contains('=') || find(name).is_none() => out.push(arg),
            None => flag = Some((name.to_owned(), false)),
        }
    }
    close(&mut out, &mut flag);
    out
}

/// Prints why the process does not start, or the help that was asked for.
pub fn report(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<clap::Error>() {
        Some(error) => {
            // Nobody is left to be told when the terminal is gone.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
        }
        None => {
            // Not `eprintln!`, which panics when nobody reads.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command_line() -> clap::Command {
    let file = Arg::new("FILE")
        .help(
            "Configuration file in the form of redis.conf: a directive and its value on each line; \
             - for standard input",
        )
        .value_parser(clap::value_parser!(PathBuf));
    clap::Command::new("pantry")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .override_usage("pantry [FILE] [--directive value ...]")
        .after_help(
            "pantry check, dump, repair, import, export and token work on a data directory: see their --help.\n\
             Sizes are bytes, or have a unit: 1k is 1000, 1kb 1024; so do m, mb, g and gb.\n\
             Flags win over the environment (PANTRY_CONFIG_MAXMEMORY=1gb for maxmemory 1gb), and that\n\
             over the configuration file. Redis's other directives are known, and have no effect.\n\
             include, user and rename-command may be flags as well.",
        )
        .arg(file)
        .args(DIRECTIVES.iter().map(flag))
}

fn flag(directive: &'static Directive) -> Arg {
    let default = directive.show(&Config::default());
    let default = match default.as_str() {
        _ if directive.name == "dir" => " [pantry-data]".to_owned(),
        "" => String::new(),
        bytes if directive.hint == "BYTES" => format!(" [{}]", short_memory(bytes)),
        default => format!(" [{default}]"),
    };
    let arg = Arg::new(directive.name)
        .long(directive.name)
        .aliases(directive.aliases.iter().copied())
        .value_name(directive.hint)
        .help(format!("{}{default}", directive.about))
        .hide(!directive.has_effect());
    if directive.is_list {
        arg.action(ArgAction::Append).num_args(1..)
    } else {
        arg.action(ArgAction::Set).overrides_with(directive.name)
    }
}
