//! Absolute links to further rows.
//!
//! A link repeats every parameter, whichever way it came, so that it works as a plain GET.

use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;

use super::Call;
use super::ask::Ask;
use crate::base64;
use crate::config::Config;

/// Where this server is reached, without a slash at the end: `http-public-url`, or what a trusted proxy
/// says, or what the client called it.
fn base(config: &Config, head: &Parts, is_tls: bool) -> String {
    if !config.http_public_url.is_empty() {
        return config.http_public_url.trim_end_matches('/').to_owned();
    }
    let header = |name: &str| first(&head.headers, name);
    let host = header(header::HOST.as_str()).or_else(|| head.uri.authority().map(|it| it.as_str()));
    let host = host.unwrap_or("localhost");
    let scheme = if is_tls { "https" } else { "http" };
    if !config.http_trust_forwarded {
        return format!("{scheme}://{host}");
    }
    let is_known = |scheme: &&str| matches!(*scheme, "http" | "https");
    let scheme = header("x-forwarded-proto").filter(is_known).unwrap_or(scheme);
    let host = header("x-forwarded-host").unwrap_or(host);
    let prefix = header("x-forwarded-prefix").filter(|prefix| prefix.starts_with('/'));
    format!("{scheme}://{host}{}", prefix.unwrap_or_default().trim_end_matches('/'))
}

/// The first of a header's values, which proxies separate by commas; only if it can stand in a URL.
fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]".contains(&b);
    (!value.is_empty() && value.bytes().all(is_plain)).then_some(value)
}

/// The link to the rows from `next` on, with the parameters of `ask`.
pub(super) fn next(call: &Call<'_>, ask: &Ask, path: &str, next: &str) -> String {
    let mut link = format!("{}{path}", base(call.config, call.head, call.connection.is_tls));
    let mut separator = '?';
    for param in ask.operation.all_params().filter(|param| param.name != "next") {
        let Some(value) = ask.bytes(param.name) else { continue };
        let (suffix, value) = match std::str::from_utf8(value) {
            Ok(text) => ("", text.to_owned()),
            Err(_) => ("_base64", base64::encode(value)),
        };
        link.push(separator);
        link.push_str(param.name);
        link.push_str(suffix);
        link.push('=');
        escape(&mut link, &value);
        separator = '&';
    }
    link.push(separator);
    link.push_str("next=");
    escape(&mut link, next);
    link
}

fn escape(link: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(byte as char);
        } else {
            // Writing to memory does not fail.
            let _ = write!(link, "%{byte:02X}");
        }
    }
}
