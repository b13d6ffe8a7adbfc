//! The workloads: which request is sent and which reply is due. Requests are rendered once, before anything is measured.

use crate::keyspace::{self, NAMESPACE, PAIRS, Random, SMALL_NAMESPACE, SMALL_PAIRS, VALUE_BYTES};
use crate::reply::Expected;

/// Rendered requests of a workload with random keys. Every connection sends its own stretches of them.
const RENDERED: usize = 1 << 17;

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

impl Workload {
    /// Renders the requests: uniformly random keys, the same in every run.
    pub fn requests(self) -> Requests {
        let mut random = Random::new(20);
        let count = if self == Self::Hgetall { 1 << 10 } else { RENDERED };
        let mut bytes = Vec::new();
        for _ in 0..count {
            let key = keyspace::key(random.below(PAIRS));
            let value = keyspace::value(random.next());
            bytes.extend(self.request(&key, &value).into_bytes());
        }
        Requests { len: bytes.len() / count, bytes, count }
    }

    /// The reply that is due to each of them, in RESP2 or HTTP/1.1.
    pub fn expected(self) -> Expected {
        match self {
            Self::Hset => Expected::resp(":0\r\n", 4),
            Self::Set => Expected::resp("+OK\r\n", 5),
            Self::Hget | Self::Get => {
                Expected::resp(&format!("${VALUE_BYTES}\r\n"), bulk(VALUE_BYTES))
            }
            Self::Hgetall => {
                let head = format!("*{}\r\n", 2 * SMALL_PAIRS);
                let pair = bulk(keyspace::small_key(0).len()) + bulk(VALUE_BYTES);
                Expected::resp(&format!("{head}$"), head.len() + SMALL_PAIRS as usize * pair)
            }
            Self::RestGet => Expected::http(200),
            Self::RestPost => Expected::http(201),
        }
    }

    /// One request for this key, and this value where the workload has one.
    pub fn request(self, key: &str, value: &str) -> String {
        match self {
            Self::Hset => resp(&["HSET", NAMESPACE, key, value]),
            Self::Hget => resp(&["HGET", NAMESPACE, key]),
            Self::Set => resp(&["SET", key, value]),
            Self::Get => resp(&["GET", key]),
            Self::Hgetall => resp(&["HGETALL", SMALL_NAMESPACE]),
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

/// Bytes of a RESP bulk string that carries `len` bytes.
fn bulk(len: usize) -> usize {
    1 + len.to_string().len() + 2 + len + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn requests_of_a_workload_have_one_length_and_one_star_at_most() {
        for workload in Workload::value_variants() {
            let one = workload.request(&keyspace::key(1), &keyspace::value(1));
            let other = workload.request(&keyspace::key(PAIRS - 1), &keyspace::value(PAIRS));
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
    fn bulk_length() {
        assert_eq!(bulk(32), "$32\r\n".len() + 34);
        assert_eq!(bulk(8), "$8\r\n".len() + 10);
    }
}
