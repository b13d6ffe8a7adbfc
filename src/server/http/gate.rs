//! Who is let in: whose request it is, and whether it comes too soon.
//!
//! Addresses are counted before anything is known of a request, so guessing passwords is limited too;
//! tokens when they have proved themselves. Behind a proxy that is trusted an address is what the proxy
//! says, the last one in `X-Forwarded-For`; those before it anybody could have made up.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use hyper::HeaderMap;
use hyper::http::request::Parts;

use super::auth::{self, Who};
use super::connection::Connection;
use super::problem::Problem;
use crate::config::Config;
use crate::dispatch::{audit, remember_refusal};
use crate::error::Error;
use crate::server::clients::Address;
use crate::server::rate_limit::{Caller, RateLimit};
use crate::session::HttpRequest;

const FORWARDED_FOR: &str = "x-forwarded-for";

impl Connection {
    /// Lets in who has shown who it is, if he does not ask too often.
    pub(super) fn admit(&self, config: &Config, head: &Parts) -> Result<(), Problem> {
        let address = self.address(config, &head.headers);
        if config.http_address_rate.per_second > 0
            && let Some(address) = address
        {
            let counted = self.count(&Caller::at(address), config.http_address_rate);
            counted.inspect_err(|_| self.begin(None))?;
        }
        let shown = match self.client.addr {
            Address::Inet(peer) => address.filter(|&address| address != peer.ip()),
            Address::Unix(_) => None,
        };
        let (users, is_anonymous) =
            (self.server.acl.version() + 1, auth::is_anonymous(&head.headers));
        // Nobody has shown who it is, as before, and users are as they were.
        if is_anonymous && self.anonymous_as_of.load(Relaxed) == users {
            self.begin(Some(HttpRequest { route: None, token: None, address: shown }));
            return Ok(());
        }
        self.anonymous_as_of.store(0, Relaxed);
        let now_ms = self.now_ms();
        let holder_of = |token: &[u8]| self.server.tokens.holder_of(token, now_ms);
        let certified = self.certified.as_deref();
        let found = auth::who(&head.headers, &self.server.acl, holder_of, certified);
        let mut session = self.session.lock();
        let Who { identity, token } = found.map_err(|attempted| {
            session.http = Some(HttpRequest { route: None, token: None, address: shown });
            if let Some(user) = attempted {
                let places = ["auth", "toplevel"];
                remember_refusal(&self.server, &self.client, now_ms, places, b"http", &user);
                audit::refused(&self.server, &session, "auth", b"", &user);
            }
            Error::NoAuth
        })?;
        session.http = Some(HttpRequest { route: None, token: token.clone(), address: shown });
        session.become_user(identity);
        drop(session);
        if is_anonymous {
            self.anonymous_as_of.store(users, Relaxed);
        }
        match token {
            Some(token) if config.http_token_rate.per_second > 0 => {
                self.count(&Caller::Token(token.id), config.http_token_rate)
            }
            _ => Ok(()),
        }
    }

    fn count(&self, caller: &Caller, limit: RateLimit) -> Result<(), Problem> {
        let now_us = self.server.store.clock.now_us();
        self.server.rate_limits.take(caller, limit, now_us).map_err(Problem::too_many_requests)
    }

    /// Where the request comes from.
    fn address(&self, config: &Config, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = match self.client.addr {
            Address::Inet(peer) => Some(peer.ip()),
            Address::Unix(_) => None,
        };
        if !config.http_trust_forwarded {
            return peer;
        }
        let last = headers.get_all(FORWARDED_FOR).iter().next_back();
        let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
        last.and_then(named).or(peer)
    }
}

/// The address that a proxy names; some say its port, too.
fn named(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse().ok().or_else(with_port)
}
