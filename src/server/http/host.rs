//! The `Host` header: exactly one, and on a loopback listener one that names this machine.
//!
//! A page on any site can make a browser talk to a server on the reader's own machine by giving its
//! own name a loopback address (DNS rebinding). Such a request names the site in `Host`, so it is
//! refused here. A listener on another address is reached by names that only its operator knows, so
//! there every name is accepted.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{self, HeaderMap};
use hyper::{StatusCode, Uri, Version};

use super::answer::{self, Answer};

/// Which hosts a listener answers for.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    /// `None`: every host.
    allowed: Option<Vec<String>>,
}

impl Hosts {
    /// The hosts of a listener on `local`; `names` (without port) are added to the loopback ones.
    pub(super) fn new(local: SocketAddr, names: &[String]) -> Hosts {
        let allowed = local.ip().to_canonical().is_loopback().then(|| names.to_vec());
        Hosts { allowed }
    }

    /// Refuses a request for another host, or without exactly one host.
    pub(super) fn check(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Answer> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().map_err(|_| answer::client_error())?,
            (None, _) if version < Version::HTTP_11 => return Ok(()),
            _ => return Err(answer::client_error()),
        };
        if uri.authority().is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host)) {
            return Err(answer::client_error());
        }
        if self.allows(host) {
            return Ok(());
        }
        let message = "This host name is not served here; see http-allowed-host";
        Err(answer::error(StatusCode::MISDIRECTED_REQUEST, None, message))
    }

    fn allows(&self, host: &str) -> bool {
        let Some(allowed) = &self.allowed else { return true };
        let name = without_port(host);
        if let Ok(ip) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return ip.to_canonical().is_loopback() || allowed.iter().any(|it| it == name);
        }
        name.eq_ignore_ascii_case("localhost") || allowed.iter().any(|it| it.eq_ignore_ascii_case(name))
    }
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

    fn hosts(local: &str) -> Hosts {
        Hosts::new(local.parse().unwrap(), &["pantry.example".to_owned()])
    }

    #[test]
    fn loopback_listeners_want_loopback_names() {
        let hosts = hosts("127.0.0.1:8080");
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
        ] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in
            ["attacker.example", "localhost.evil", "127.0.0.1.evil", "10.0.0.1", "", "[::2]:80", "localhost:x", "evil:1:80"]
        {
            assert!(!hosts.allows(host), "{host}");
        }
    }

    #[test]
    fn other_listeners_take_any_name() {
        assert!(hosts("0.0.0.0:8080").allows("anything.example"));
        assert!(hosts("10.0.0.1:8080").allows("anything.example"));
    }
}
