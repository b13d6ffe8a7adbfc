//! `pantry token`: makes, lists and revokes tokens of the HTTP door, whether or not a server is running.
//!
//! A running server notices within a second.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Arg, ArgMatches, value_parser};

use crate::clock::Clock;
use crate::token::{NewToken, Token, Tokens};

pub(super) fn args() -> Vec<Arg> {
    let id = "The token with this id ends at once";
    vec![
        Arg::new("create")
            .long("create")
            .value_name("NAME")
            .requires("user")
            .help("Makes a token with this name and shows it"),
        Arg::new("user")
            .long("user")
            .value_name("USER")
            .requires("create")
            .help("The ACL user that the new token acts as"),
        Arg::new("days")
            .long("days")
            .value_name("DAYS")
            .value_parser(value_parser!(u64).range(1..=36_500))
            .requires("create")
            .help("The new token ends after so many days"),
        Arg::new("revoke").long("revoke").value_name("ID").conflicts_with("create").help(id),
    ]
}

pub(super) fn run(matches: &ArgMatches, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let dir = super::path(matches, "DIR");
    if !dir.is_dir() {
        bail!("{} is no directory", dir.display());
    }
    let tokens = Tokens::new(dir.join(crate::token::FILE_NAME));
    let now_ms = Clock::system().now_ms();
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    if let Some(name) = text("create") {
        let days = matches.get_one::<u64>("days");
        let expires_ms = days.map(|days| now_ms + days * 24 * 60 * 60 * 1000);
        let user = text("user").unwrap_or_default();
        let (word, _) = tokens.create(NewToken { name, user, expires_ms }, now_ms)?;
        writeln!(out, "{word}")?;
    } else if let Some(id) = text("revoke") {
        if !tokens.revoke(&id)? {
            bail!("there is no token {id}");
        }
        writeln!(out, "revoked")?;
    } else {
        tokens.refresh(now_ms)?;
        for token in tokens.list() {
            list(&token, now_ms, out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(token: &Token, now_ms: u64, out: &mut dyn Write) -> anyhow::Result<()> {
    let days = |ms: u64| ms / (24 * 60 * 60 * 1000);
    let ends = match token.expires_ms {
        _ if token.has_ended(now_ms) => "has ended".to_owned(),
        Some(expires_ms) => format!("ends in {} days", days(expires_ms - now_ms)),
        None => "does not end".to_owned(),
    };
    let used = match token.last_used_ms {
        Some(used_ms) => format!("last used {} days ago", days(now_ms.saturating_sub(used_ms))),
        None => "never used".to_owned(),
    };
    let name = token.name.escape_debug();
    writeln!(out, "{} \"{name}\" acts as {}; {ends}; {used}", token.id, token.user)?;
    Ok(())
}
