//! The `Host` header: exactly one, and on a loopback listener one that names this machine.
//!
//! A page on any site can make a browser talk to a server on the reader's own machine by giving its
//! own name a loopback address (DNS rebinding). Such a request names the site in `Host`, so it is
//! refused here. A listener on another address is reached by names that only its operator knows, so
//! there every name is accepted.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{StatusCode, Uri, Version};

use super::problem::Problem;

/// The first host that a connection's requests have named and that is served whatever the configuration
/// says. Most connections name no other, so that it need not be taken apart again.
pub(super) type Usual = OnceLock<HeaderValue>;

/// Refuses a request without exactly one host, or for a host that the listener on `local` does not
/// serve. `names` are served on loopback too, whatever port is written behind them or in the header.
pub(super) fn check(
    usual: &Usual,
    local: SocketAddr,
    names: &[String],
    version: Version,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let value = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) if version < Version::HTTP_11 => return Ok(()),
        _ => return Err(Problem::client_error()),
    };
    if uri.authority().is_none() && usual.get() == Some(value) {
        return Ok(());
    }
    let host = value.to_str().map_err(|_| Problem::client_error())?;
    if uri.authority().is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host)) {
        return Err(Problem::client_error());
    }
    if is_served(local, &[], host) {
        usual.get_or_init(|| value.clone());
        return Ok(());
    }
    if is_served(local, names, host) {
        return Ok(());
    }
    let message = "This host name is not served here; see http-allowed-host";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, message))
}

fn is_served(local: SocketAddr, names: &[String], host: &str) -> bool {
    if !local.ip().to_canonical().is_loopback() {
        return true;
    }
    let name = without_port(host);
    let ip = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || ip.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
        || names.iter().any(|it| without_port(it).eq_ignore_ascii_case(name))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            // A bare IPv6 address has colons of its own; with a port it must stand in brackets.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serves(local: &str, host: &str) -> bool {
        let names = ["pantry.example", "Other.Example:8443"].map(str::to_owned);
        is_served(local.parse().unwrap(), &names, host)
    }

    #[test]
    fn loopback_listeners_want_loopback_names() {
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:8080",
            "[::1]",
            "::1",
            "[::ffff:127.0.0.1]:80",
            "Pantry.Example:8080",
            "other.example",
        ] {
            assert!(serves("127.0.0.1:8080", host), "{host}");
        }
        for host in [
            "attacker.example",
            "localhost.evil",
            "127.0.0.1.evil",
            "10.0.0.1",
            "",
            "[::2]:80",
            "localhost:x",
            "evil:1:80",
        ] {
            assert!(!serves("[::1]:8080", host), "{host}");
        }
    }

    #[test]
    fn other_listeners_take_any_name() {
        assert!(serves("0.0.0.0:8080", "anything.example"));
        assert!(serves("10.0.0.1:8080", "anything.example"));
    }
}
