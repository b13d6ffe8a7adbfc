//! The built server as a process, and a client of the Redis door that sends any bytes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything that is expected to happen takes, even on a busy machine.
pub const LONG: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub struct Process {
    pub child: Child,
    pub redis: SocketAddr,
    pub http: SocketAddr,
}

impl Process {
    pub fn start(flags: &[&str]) -> Process {
        Process::start_in_shell("exec \"$@\"", flags)
    }

    /// Runs the server through a line of shell, which must `exec "$@"`.
    pub fn start_in_shell(line: &str, flags: &[&str]) -> Process {
        (0..5).find_map(|_| Process::try_start(line, flags)).expect("the server starts")
    }

    fn try_start(line: &str, flags: &[&str]) -> Option<Process> {
        let free = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [redis, http] = free.map(|listener| listener.local_addr().unwrap());
        let child = Command::new("sh")
            .args(["-c", line, "sh", env!("CARGO_BIN_EXE_pantry")])
            .args(["--port", &redis.port().to_string(), "--http-port", &http.port().to_string()])
            .args(["--appendonly", "no", "--dir", "target/no-data"])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Process { child, redis, http };
        let deadline = Instant::now() + LONG;
        while Instant::now() < deadline && process.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(redis).is_ok() && TcpStream::connect(http).is_ok() {
                return Some(process);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    pub fn connect(&self) -> Client {
        self.try_connect().unwrap()
    }

    pub fn try_connect(&self) -> std::io::Result<Client> {
        let stream = TcpStream::connect(self.redis)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONG))?;
        stream.set_write_timeout(Some(LONG))?;
        Ok(Client { stream })
    }

    /// Sends bytes on a new connection and returns everything until the server closes it.
    pub fn last_words(&self, bytes: &[u8]) -> String {
        let mut client = self.connect();
        client.send(bytes);
        client.rest()
    }

    pub fn pings(&self) -> bool {
        self.connect().ask(b"PING\r\n", 7) == "+PONG\r\n"
    }

    /// Memory in use, in bytes.
    pub fn rss(&self) -> usize {
        let statm = format!("/proc/{}/statm", self.child.id());
        let pages = std::fs::read_to_string(statm).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    /// Files and sockets that it has open.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// CPU time that it has taken, as far as the system counts it: in hundredths of a second.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, behind_name) = stat.rsplit_once(')').unwrap();
        let fields = behind_name.split_whitespace().skip(11).take(2);
        Duration::from_millis(10 * fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
    }

    /// A field of INFO.
    pub fn info(&self, field: &str) -> String {
        let mut client = self.connect();
        client.send(b"INFO\r\nQUIT\r\n");
        let text = client.rest();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
        line.expect("the field is in INFO").to_owned()
    }

    pub fn terminate(&self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has stopped already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends and reads a reply of `len` bytes.
    pub fn ask(&mut self, bytes: &[u8], len: usize) -> String {
        self.send(bytes);
        self.receive(len)
    }

    pub fn receive(&mut self, len: usize) -> String {
        let mut reply = vec![0; len];
        self.stream.read_exact(&mut reply).unwrap();
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// Sends one command and reads a reply of one line.
    pub fn line(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            self.stream.read_exact(&mut byte).unwrap();
            line.extend_from_slice(&byte);
        }
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Everything until the server closes. A reset counts as closing.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let mut part = [0; 4096];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => break,
                Ok(n) => rest.extend_from_slice(&part[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the server does not close: {error}"),
            }
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// A command as an array of bulks.
pub fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
