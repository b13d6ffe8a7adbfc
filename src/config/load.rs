//! Reads the command line and the configuration file at start.
//!
//! Both only name directives; the table ([`super::directive`]) knows what they are. Flags win over the
//! file, the file over the defaults.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction};

use super::Config;
use super::directive::{DIRECTIVES, Directive, find};
use super::format::{Reason, short_memory};
use crate::resp::owned::OwnedRequest;

/// Longest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The configuration a process begins with.
#[derive(Debug)]
pub struct Loaded {
    /// Every setting.
    pub config: Config,
    /// The configuration file, if one was named; absolute.
    pub file: Option<PathBuf>,
}

/// Reads `pantry [FILE] [--directive value ...]`; the program's name comes first.
///
/// # Errors
/// What is wrong with the arguments or the file, and `--help` and `--version`: give it to [`report`].
pub fn load(args: impl IntoIterator<Item = OsString>) -> anyhow::Result<Loaded> {
    let mut command_line = command_line();
    let matches = command_line.try_get_matches_from_mut(args)?;
    let mut config = Config::default();
    let file = matches.get_one::<PathBuf>("FILE");
    if let Some(path) = file {
        read_file(&mut config, path)?;
    }
    for directive in DIRECTIVES {
        let Some(words) = matches.get_many::<String>(directive.name) else { continue };
        let words: Vec<&str> = words.map(String::as_str).collect();
        if let Err(reason) = directive.read(&mut config, &words) {
            let text = format!("--{} {}: {reason}", directive.name, words.join(" "));
            return Err(command_line.error(ErrorKind::ValueValidation, text).into());
        }
    }
    let file = file.map(std::path::absolute).transpose()?;
    Ok(Loaded { config, file })
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
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command_line() -> clap::Command {
    let file = Arg::new("FILE")
        .help(
            "Configuration file in the form of redis.conf: a directive and its value on each line",
        )
        .value_parser(clap::value_parser!(PathBuf));
    clap::Command::new("pantry")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .override_usage("pantry [FILE] [--directive value ...]")
        .after_help(
            "pantry check, dump, repair, import and export work on a data directory: see their --help.\n\
             Sizes are bytes, or have a unit: 1k is 1000, 1kb 1024; so do m, mb, g and gb.\n\
             Flags win over the configuration file.",
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
        .hide(directive.is_fact());
    if directive.is_list {
        arg.action(ArgAction::Append).num_args(1..)
    } else {
        arg.action(ArgAction::Set).overrides_with(directive.name)
    }
}

fn read_file(config: &mut Config, path: &Path) -> anyhow::Result<()> {
    let fatal = || format!("Fatal error, can't open config file '{}'", path.display());
    let mut text = Vec::new();
    let file = std::fs::File::open(path).with_context(fatal)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).with_context(fatal)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("{}: it has more than {FILE_BYTES_MAX} bytes", fatal());
    }
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let line = line.trim_ascii();
        if let Err(reason) = read_line(config, line) {
            bail!(
                "\n*** FATAL CONFIG FILE ERROR (pantry {}) ***\n\
                 Reading the configuration file, at line {number}\n>>> '{}'\n{reason}\n",
                env!("CARGO_PKG_VERSION"),
                String::from_utf8_lossy(line),
            );
        }
    }
    Ok(())
}

fn read_line(config: &mut Config, line: &[u8]) -> Result<(), Reason> {
    const BAD: &str = "Bad directive or wrong number of arguments";
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(());
    }
    let words = OwnedRequest::from_line(line).ok_or("Unbalanced quotes in configuration line")?;
    let words: Vec<&str> = words
        .args()
        .iter()
        .map(|word| std::str::from_utf8(word).map_err(|_| "argument must be UTF-8"))
        .collect::<Result<_, _>>()?;
    let Some((name, values)) = words.split_first() else { return Ok(()) };
    find(name).ok_or(BAD)?.read(config, values)
}
