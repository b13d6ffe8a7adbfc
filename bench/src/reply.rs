//! Counts complete replies in received bytes and checks each one; whatever is not the expected reply ends the run.
//!
//! Not a parser: it knows the one reply that a workload gets. So it costs a few nanoseconds per reply and leaves the
//! core to the sending.

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;

/// The reply that every request of a workload must get.
pub enum Expected {
    /// Always `len` bytes, with this head, ending in CRLF. An error reply, a null or another size is caught by the head.
    Resp {
        /// What the reply begins with.
        head: Vec<u8>,
        /// Bytes of the whole reply.
        len: usize,
    },
    /// An HTTP/1.1 answer with this status line's head (`HTTP/1.1 200`), a Content-Length, and a body.
    Http {
        /// What the answer begins with.
        head: Vec<u8>,
    },
}

/// What was found complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Complete {
    /// Complete replies.
    pub replies: usize,
    /// Their bytes; what follows is the beginning of a reply.
    pub bytes: usize,
}

impl Expected {
    /// A RESP reply of `len` bytes that begins with `head`.
    pub fn resp(head: &str, len: usize) -> Self {
        Self::Resp { head: head.into(), len }
    }

    /// An HTTP answer with this status code.
    pub fn http(status: u16) -> Self {
        Self::Http { head: format!("HTTP/1.1 {status}").into() }
    }

    /// Counts the complete replies at the start of `received`, which begins where a reply begins.
    ///
    /// # Errors
    /// The text of the first reply that is not the expected one, as soon as that shows.
    pub fn count(&self, received: &[u8]) -> Result<Complete> {
        match self {
            Self::Resp { head, len } => count_resp(received, head, *len),
            Self::Http { head } => count_http(received, head),
        }
    }
}

fn count_resp(received: &[u8], head: &[u8], len: usize) -> Result<Complete> {
    let mut rest = received;
    let mut replies = 0;
    while let Some((reply, after)) = rest.split_at_checked(len) {
        if !(reply.starts_with(head) && reply.ends_with(b"\r\n")) {
            bail!(unexpected(reply));
        }
        replies += 1;
        rest = after;
    }
    // A shorter reply, such as an error, must be seen now: nothing more would come to complete it.
    check_head(rest, head)?;
    Ok(Complete { replies, bytes: received.len() - rest.len() })
}

fn count_http(received: &[u8], head: &[u8]) -> Result<Complete> {
    let mut rest = received;
    let mut replies = 0;
    loop {
        check_head(rest, head)?;
        let Some(blank_line) = memmem::find(rest, b"\r\n\r\n") else { break };
        let len = blank_line + 4 + content_length(&rest[..blank_line])?;
        if rest.len() < len {
            break;
        }
        replies += 1;
        rest = &rest[len..];
    }
    Ok(Complete { replies, bytes: received.len() - rest.len() })
}

fn check_head(rest: &[u8], head: &[u8]) -> Result<()> {
    let seen = rest.len().min(head.len());
    ensure!(rest[..seen] == head[..seen], unexpected(rest));
    Ok(())
}

fn content_length(header: &[u8]) -> Result<usize> {
    const NAME: &[u8] = b"content-length:";
    for line in header.split(|byte| *byte == b'\n') {
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let length: usize = std::str::from_utf8(&line[NAME.len()..])?.trim().parse()?;
            ensure!(length > 0, "an answer without a body");
            return Ok(length);
        }
    }
    Err(anyhow::anyhow!(unexpected(header))).context("an answer without Content-Length")
}

fn unexpected(reply: &[u8]) -> String {
    format!("unexpected reply: {:?}", String::from_utf8_lossy(&reply[..reply.len().min(200)]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn resp_replies_are_counted_however_they_are_cut() {
        let expected = Expected::resp("$2\r\n", 8);
        let bytes = b"$2\r\nab\r\n$2\r\ncd\r\n";
        for cut in 0..=bytes.len() {
            let found = expected.count(&bytes[..cut]).unwrap();
            assert_eq!(found, Complete { replies: cut / 8, bytes: cut / 8 * 8 });
        }
    }

    #[test]
    fn anything_but_the_expected_resp_reply_is_an_error() {
        let expected = Expected::resp("$2\r\n", 8);
        for wrong in
            ["-ERR no\r\n", "-", "$-1\r\n", "$3\r\nabc\r\n", "$2\r\nab\r\n-ERR", "$2\r\nabcd"]
        {
            assert!(expected.count(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn http_answers_are_counted_however_they_are_cut() {
        let expected = Expected::http(200);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ndate: now\r\n\r\n{}";
        let twice = [&answer[..], &answer[..]].concat();
        for cut in 0..=twice.len() {
            let replies = cut / answer.len();
            assert_eq!(
                expected.count(&twice[..cut]).unwrap(),
                Complete { replies, bytes: replies * answer.len() }
            );
        }
    }

    #[test]
    fn anything_but_the_expected_http_answer_is_an_error() {
        let expected = Expected::http(200);
        for wrong in [
            "HTTP/1.1 404 Not Found\r\n",
            "HTTP/1.0",
            "HTTP/1.1 200 OK\r\ndate: now\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert!(expected.count(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }
}
