//! The workloads: which request is sent and which reply is due. Requests are rendered once, before anything is measured.

use crate::keyspace::{
    self, LARGE_1K, LARGE_16K, LARGE_64K, Large, NAMESPACE, PAIRS, Random, SMALL_NAMESPACE,
    SMALL_PAIRS, TIMED_NAMESPACE, WIDE_NAMESPACES, WIDE_PAIRS,
};
use crate::reply::Expected;

/// Rendered requests of a workload with random keys. Every connection sends its own stretches of them.
const RENDERED: usize = 1 << 17;
/// Rendered requests take no more than this, where they are large.
const RENDERED_BYTES_MAX: usize = 64 << 20;
/// Deadline of pairs that have one: far behind every run.
const TIME_TO_LIVE_MS: &str = "86400000";

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// HSET of an existing pair of the big namespace
    Hset,
    /// HGET of a pair of the big namespace
    Hget,
    /// SET of an existing plain key
    Set,
    /// GET of a plain key
    Get,
    /// HGETALL of the small namespace
    Hgetall,
    /// HSETEX of an existing pair that has a deadline
    Hsetex,
    /// HSET of an existing pair of one of a million small namespaces
    HsetWide,
    /// HGET of a value of 1 KiB
    Hget1k,
    /// HGET of a value of 16 KiB
    Hget16k,
    /// HGET of a value of 64 KiB
    Hget64k,
    /// HSET of an existing pair with a value of 1 KiB
    Hset1k,
    /// HSET of an existing pair with a value of 16 KiB
    Hset16k,
    /// HSET of an existing pair with a value of 64 KiB
    Hset64k,
    /// GET /v4/keyvalues/{namespace}?key=…
    RestGet,
    /// POST /v4/keyvalues/{namespace} of an existing pair
    RestPost,
}

/// Requests of equal length, one after the other.
pub struct Requests {
    bytes: Vec<u8>,
    len: usize,
    count: usize,
}

impl Requests {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The bytes of `batch` requests from number `first` on.
    pub fn batch(&self, first: usize, batch: usize) -> &[u8] {
        &self.bytes[first * self.len..(first + batch) * self.len]
    }
}

/// What a server must hold for a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// The big namespace, the small one, and plain keys
    Base,
    /// The namespace whose pairs have a deadline each
    Timed,
    /// A million small namespaces
    Wide,
    /// A namespace of large values
    Large(Large),
}

impl Workload {
    /// Renders the requests: uniformly random keys, the same in every run.
    pub fn requests(self) -> Requests {
        let mut random = Random::new(20);
        let count = match self.data() {
            Data::Wide => WIDE_NAMESPACES as usize,
            Data::Large(large) => RENDERED.min(RENDERED_BYTES_MAX / large.value_bytes),
            _ if self == Self::Hgetall => 1 << 10,
            _ => RENDERED,
        };
        let mut bytes = Vec::new();
        for _ in 0..count {
            bytes.extend(self.request_of(random.next(), random.next()).into_bytes());
        }
        Requests { len: bytes.len() / count, bytes, count }
    }

    /// What a server must hold for it.
    pub fn data(self) -> Data {
        match self {
            Self::Hsetex => Data::Timed,
            Self::HsetWide => Data::Wide,
            Self::Hget1k | Self::Hset1k => Data::Large(LARGE_1K),
            Self::Hget16k | Self::Hset16k => Data::Large(LARGE_16K),
            Self::Hget64k | Self::Hset64k => Data::Large(LARGE_64K),
            _ => Data::Base,
        }
    }

    /// Whether it is for the HTTP door.
    pub fn is_http(self) -> bool {
        matches!(self, Self::RestGet | Self::RestPost)
    }

    /// The reply that is due to each of them, in RESP2 or HTTP/1.1.
    pub fn expected(self) -> Expected {
        if self.is_http() {
            return Expected::http(if self == Self::RestGet { 200 } else { 201 });
        }
        let reply = self.reply();
        // Up to where values begin to differ.
        let head = match self {
            Self::Hgetall => reply.find("\r\n$").map_or(reply.len(), |at| at + 3),
            _ => reply.find("\r\n").map_or(reply.len(), |at| at + 2),
        };
        Expected::resp(&reply[..head], reply.len())
    }

    /// A reply as it is due to the RESP workloads.
    pub fn reply(self) -> String {
        match self {
            Self::Set => "+OK\r\n".to_owned(),
            Self::Hsetex => ":1\r\n".to_owned(),
            Self::Hget | Self::Get => bulk(&keyspace::value(0)),
            Self::Hget1k | Self::Hget16k | Self::Hget64k => bulk(&self.value(0)),
            Self::Hgetall => {
                let pair = bulk(&keyspace::small_key(0)) + &bulk(&keyspace::value(0));
                format!("*{}\r\n", 2 * SMALL_PAIRS) + &pair.repeat(SMALL_PAIRS as usize)
            }
            _ => ":0\r\n".to_owned(),
        }
    }

    /// A value as the workload's pairs hold it.
    pub fn value(self, seed: u64) -> String {
        match self.data() {
            Data::Large(large) => keyspace::large_value(seed, large.value_bytes),
            _ => keyspace::value(seed),
        }
    }

    /// The request for what `choice` chooses, with the value of `seed` where the workload has one.
    pub fn request_of(self, choice: u64, seed: u64) -> String {
        let value = self.value(seed);
        match self.data() {
            Data::Wide => {
                let namespace = keyspace::wide_namespace(choice % WIDE_NAMESPACES);
                let key = keyspace::key((choice >> 32) % WIDE_PAIRS);
                resp(&["HSET", &namespace, &key, &value])
            }
            Data::Large(large) => self.request(&keyspace::key(choice % large.pairs()), &value),
            Data::Base | Data::Timed => self.request(&keyspace::key(choice % PAIRS), &value),
        }
    }

    /// One request for this key, and this value where the workload has one.
    pub fn request(self, key: &str, value: &str) -> String {
        let large = match self.data() {
            Data::Large(large) => large.namespace,
            _ => NAMESPACE,
        };
        match self {
            Self::Hset => resp(&["HSET", NAMESPACE, key, value]),
            Self::Hget => resp(&["HGET", NAMESPACE, key]),
            Self::Set => resp(&["SET", key, value]),
            Self::Get => resp(&["GET", key]),
            Self::Hgetall => resp(&["HGETALL", SMALL_NAMESPACE]),
            Self::Hsetex => {
                resp(&["HSETEX", TIMED_NAMESPACE, "PX", TIME_TO_LIVE_MS, "FIELDS", "1", key, value])
            }
            Self::HsetWide => resp(&["HSET", &keyspace::wide_namespace(0), key, value]),
            Self::Hget1k | Self::Hget16k | Self::Hget64k => resp(&["HGET", large, key]),
            Self::Hset1k | Self::Hset16k | Self::Hset64k => resp(&["HSET", large, key, value]),
            Self::RestGet => format!(
                "GET /v4/keyvalues/{NAMESPACE}?key={key} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            ),
            Self::RestPost => {
                let body = format!(r#"{{"key":"{key}","value":"{value}"}}"#);
                format!(
                    "POST /v4/keyvalues/{NAMESPACE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\
                     Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
            }
        }
    }
}

/// One command as a RESP array of bulk strings.
pub fn resp(arguments: &[&str]) -> String {
    let mut text = format!("*{}\r\n", arguments.len());
    for argument in arguments {
        text += &format!("${}\r\n{argument}\r\n", argument.len());
    }
    text
}

/// A RESP bulk string.
pub fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn requests_of_a_workload_have_one_length_and_one_star_at_most() {
        for workload in Workload::value_variants() {
            let one = workload.request_of(1, 1);
            let other = workload.request_of(u64::MAX, PAIRS);
            assert_eq!(one.len(), other.len());
            assert!(one.matches('*').count() <= 1);
        }
    }

    #[test]
    fn batches_are_whole_requests() {
        let requests = Workload::Hget.requests();
        let batch = requests.batch(requests.count() - 2, 2);
        assert_eq!(batch.len(), 2 * requests.len);
        assert!(batch.starts_with(b"*3\r\n$4\r\nHGET\r\n$5\r\nbench\r\n$16\r\nkey-"));
    }

    #[test]
    fn a_sample_reply_is_the_expected_one() {
        for workload in Workload::value_variants().iter().filter(|one| !one.is_http()) {
            let reply = workload.reply();
            let complete = workload.expected().count(reply.as_bytes()).map(|found| found.replies);
            assert_eq!(complete.ok(), Some(1), "{workload:?}");
        }
        assert_eq!(Workload::Hgetall.reply().len(), 6 + 100 * (14 + 39));
    }
}
