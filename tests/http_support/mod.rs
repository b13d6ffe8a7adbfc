//! For the HTTP tests: the built server on a port of its own, and a client that sends raw bytes.
//!
//! A client library would escape, fold and add headers; what is tested here is what arrives when none
//! does.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything that is expected to happen takes, even on a busy machine.
pub const LONG: Duration = Duration::from_secs(20);

/// A running server; stopped when dropped.
pub struct Pantry {
    child: Child,
    /// Of its HTTP door.
    pub address: SocketAddr,
    /// Of its Redis door.
    pub redis: SocketAddr,
}

impl Pantry {
    /// Starts a server with these flags besides the port's.
    pub fn start(flags: &[&str]) -> Pantry {
        for _ in 0..5 {
            if let Some(pantry) = Pantry::try_start(flags) {
                return pantry;
            }
        }
        panic!("the server does not start with {flags:?}");
    }

    /// `None` if somebody else took a port in between.
    fn try_start(flags: &[&str]) -> Option<Pantry> {
        let [http, redis] = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [http, redis] = [http, redis].map(|free| free.local_addr().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_pantry"))
            .args(["--port", &redis.port().to_string(), "--http-port", &http.port().to_string()])
            .args(["--appendonly", "no", "--dir", "target/no-data"])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut pantry = Pantry { child, address: http, redis };
        let deadline = Instant::now() + LONG;
        while Instant::now() < deadline && pantry.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(http).is_ok() {
                // Another test's server may have taken the port; then this one is about to end.
                std::thread::sleep(Duration::from_millis(30));
                return pantry.child.try_wait().unwrap().is_none().then_some(pantry);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, received: Vec::new(), host: self.address.to_string() }
    }

    /// One request on a connection of its own. `headers` are whole lines.
    pub fn request(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut client = self.connect();
        client.send_request(method, target, headers, body);
        client.answer(method)
    }

    /// GET without headers.
    pub fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[], b"")
    }

    /// POST of JSON.
    pub fn post(&self, target: &str, json: &str) -> Answer {
        self.request("POST", target, &["Content-Type: application/json"], json.as_bytes())
    }

    /// Asks the process to stop, as a service manager does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let (signal, id) = (format!("-{name}"), self.child.id().to_string());
        assert!(Command::new("kill").args([signal, id]).status().unwrap().success());
    }

    /// Waits until it has stopped by itself.
    pub fn wait(&mut self) {
        let deadline = Instant::now() + LONG;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Pantry {
    fn drop(&mut self) {
        // Fails when it has stopped already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
    host: String,
}

/// What came back.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        assert!(self.header("content-type").is_some_and(|it| it.starts_with("application/json")));
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A server-sent event.
#[derive(Debug)]
pub struct Event {
    pub id: String,
    pub event: String,
    pub data: Value,
}

impl Client {
    /// The next events of a stream; its head is skipped.
    pub fn events(&mut self, count: usize) -> Vec<Event> {
        if self.received.is_empty() || self.received.starts_with(b"HTTP/1.1") {
            loop {
                if let Some(at) = self.received.windows(4).position(|it| it == b"\r\n\r\n") {
                    if self.received.starts_with(b"HTTP/1.1") {
                        self.received.drain(..at + 4);
                    }
                    break;
                }
                if !self.received.is_empty() && !self.received.starts_with(b"HTTP/1.1") {
                    break;
                }
                assert!(self.receive() > 0, "closed");
            }
        }
        let mut events = Vec::new();
        while events.len() < count {
            let chunk = self.chunk().unwrap();
            for block in std::str::from_utf8(&chunk).unwrap().split("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                if let Some(event) = field("event: ") {
                    events.push(Event {
                        id: field("id: ").unwrap().to_owned(),
                        event: event.to_owned(),
                        data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
                    });
                }
            }
        }
        events
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request with `Host` and, if there is a body or the method calls for one, its length.
    pub fn send_request(&mut self, method: &str, target: &str, headers: &[&str], body: &[u8]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        let names = headers.iter().filter_map(|header| header.split(':').next());
        let is_chunked = names.clone().any(|it| it.eq_ignore_ascii_case("transfer-encoding"));
        let has_length = names.clone().any(|it| it.eq_ignore_ascii_case("content-length"));
        let wants_length = !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH");
        if wants_length && !is_chunked && !has_length {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if is_chunked && !body.is_empty() {
            bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
            bytes.extend_from_slice(body);
            bytes.extend_from_slice(b"\r\n");
        } else {
            bytes.extend_from_slice(body);
        }
        if is_chunked {
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
        // A server that refuses a body early may close before it has all of it.
        let _ = self.stream.write_all(&bytes);
    }

    /// The next answer to a request with `method`, `100 Continue` skipped.
    pub fn answer(&mut self, method: &str) -> Answer {
        loop {
            let answer = self.any_answer(method);
            if answer.status != 100 {
                return answer;
            }
        }
    }

    /// The next answer, whatever it is.
    pub fn any_answer(&mut self, method: &str) -> Answer {
        let head_end = loop {
            if let Some(at) = self.received.windows(4).position(|it| it == b"\r\n\r\n") {
                break at;
            }
            assert!(self.receive() > 0, "closed without an answer: {:?}", self.received);
        };
        let head: Vec<u8> = self.received.drain(..head_end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(key, _)| key == "content-length");
        let has_body = method != "HEAD" && !matches!(status, 100 | 204 | 304);
        let is_chunked =
            headers.iter().any(|(key, it)| key == "transfer-encoding" && it == "chunked");
        if is_chunked && has_body {
            let body = std::iter::from_fn(|| self.chunk()).flatten().collect();
            return Answer { status, headers, body };
        }
        let length = length.filter(|_| has_body).map_or(0, |(_, it)| it.parse().unwrap());
        while self.received.len() < length {
            assert!(self.receive() > 0, "closed inside a body");
        }
        let body = self.received.drain(..length).collect();
        Answer { status, headers, body }
    }

    /// The next chunk of a chunked body; `None` is the last.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(at) = self.received.windows(2).position(|it| it == b"\r\n") {
                break at;
            }
            assert!(self.receive() > 0, "closed inside a body");
        };
        let length = std::str::from_utf8(&self.received[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        while self.received.len() < end + 2 + length + 2 {
            assert!(self.receive() > 0, "closed inside a chunk");
        }
        let chunk: Vec<u8> = self.received.drain(..end + 2 + length + 2).collect();
        (length > 0).then(|| chunk[end + 2..end + 2 + length].to_vec())
    }

    /// Whether the server closes the connection, without sending anything more, before `LONG`.
    pub fn is_closed(&mut self) -> bool {
        assert!(self.received.is_empty(), "unread: {:?}", String::from_utf8_lossy(&self.received));
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn receive(&mut self) -> usize {
        let mut buffer = [0; 64 * 1024];
        let count = self.stream.read(&mut buffer).unwrap();
        self.received.extend_from_slice(&buffer[..count]);
        count
    }
}
