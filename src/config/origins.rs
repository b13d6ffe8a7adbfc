//! Origins of web pages, as browsers write them: `https://qlik.example`, in lower case, without the port that
//! the scheme has anyway. What people write besides is brought into that form, or refused: an origin that no
//! browser sends would let nobody in, and nobody would know why.

use super::format::{Format, Reason, split};

/// Origins between blanks; `*` for all, one empty text for none.
pub struct Origins;

/// Ports that browsers leave out.
const USUAL_PORTS: [(&str, &str); 2] = [("http", "80"), ("https", "443")];

impl Format<Vec<String>> for Origins {
    fn show(&self, value: &Vec<String>) -> String {
        value.join(" ")
    }

    fn read(&self, words: &[&str]) -> Result<Vec<String>, Reason> {
        split(words).map(origin).collect()
    }
}

fn origin(word: &str) -> Result<String, Reason> {
    // Pages from a file, and those in a sandbox, are `null`.
    if word == "*" || word == "null" {
        return Ok(word.to_owned());
    }
    let no_origin = |why: &str| Reason::from(format!("'{word}' is no origin of web pages: {why}"));
    let lower = word.to_ascii_lowercase();
    let Some((scheme, rest)) = lower.split_once("://").filter(|(scheme, _)| !scheme.is_empty())
    else {
        return Err(no_origin("write it as https://qlik.example"));
    };
    let host_and_port = rest.strip_suffix('/').unwrap_or(rest);
    if host_and_port.contains(['/', '?', '#', '@', '\\']) {
        return Err(no_origin("it has a scheme, a host and a port, and nothing else"));
    }
    if host_and_port.contains('*') {
        return Err(no_origin("each host is named, or * stands for all"));
    }
    if !host_and_port.is_ascii() {
        return Err(no_origin("browsers write such a host in ASCII, as xn--"));
    }
    let (host, port) = match host_and_port.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host_and_port, None),
    };
    if host.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(no_origin("write it as https://qlik.example, or https://qlik.example:4848"));
    }
    let port = port.filter(|port| !USUAL_PORTS.contains(&(scheme, port)));
    Ok(match port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_become_what_browsers_send() {
        for (word, sent) in [
            ("https://qlik.example", "https://qlik.example"),
            ("https://qlik.example/", "https://qlik.example"),
            ("HTTPS://Qlik.Example", "https://qlik.example"),
            ("https://qlik.example:443", "https://qlik.example"),
            ("http://qlik.example:80/", "http://qlik.example"),
            ("http://qlik.example:443", "http://qlik.example:443"),
            ("https://qlik.example:4848", "https://qlik.example:4848"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://[::1]", "http://[::1]"),
            ("http://[::1]:80", "http://[::1]"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("null", "null"),
            ("*", "*"),
        ] {
            assert_eq!(origin(word).as_deref(), Ok(sent), "{word}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for word in [
            "qlik.example",
            "qlik.example:443",
            "://qlik.example",
            "https://",
            "https:///",
            "https://:443",
            "https://qlik.example//",
            "https://qlik.example/hub",
            "https://qlik.example?x",
            "https://user@qlik.example",
            "https://*.example",
            "https://qlík.example",
            "https://qlik.example:port",
            "https://qlik.example:70000",
            "https://qlik.example:",
        ] {
            let reason = origin(word).expect_err(word);
            assert!(reason.contains("is no origin of web pages"), "{word}: {reason}");
        }
    }

    #[test]
    fn several_are_words() {
        let read = Origins.read(&["https://a.example/ https://b.example", "*"]).unwrap();
        assert_eq!(Origins.show(&read), "https://a.example https://b.example *");
        assert_eq!(Origins.read(&[""]), Ok(Vec::new()));
    }
}
