//! A real `redis-server` to compare with, the few lines of RESP2 needed to ask it, and a small source of random numbers.
//! Shared by the differential tests; tests nothing itself.
#![allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods)]

pub mod clock;

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pantry::clock::Clock;

/// The environment may name another binary: the answers are the same for Redis 7 and 8.
const BINARY_VARIABLE: &str = "REDIS_SERVER";
const BINARY: &str = "/usr/bin/redis-server";

/// A server of its own for one test; killed when dropped.
pub struct Oracle {
    child: Child,
    stream: BufReader<TcpStream>,
    port: u16,
}

/// One more connection to it, which hands replies on as they came, in RESP2 or RESP3.
pub struct Connection(BufReader<TcpStream>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Option<Vec<u8>>),
    Array(Vec<Reply>),
}

impl Oracle {
    /// `None`, and a line on stderr, when the binary is missing.
    pub fn start() -> Option<Oracle> {
        Oracle::start_in(&std::env::temp_dir(), &["--appendonly", "no", "--save", ""])
    }

    /// With its files in this directory, and these arguments.
    pub fn start_in(directory: &Path, arguments: &[&str]) -> Option<Oracle> {
        Oracle::start_with(directory, arguments, &[])
    }

    /// And with this in its environment.
    pub fn start_with(
        directory: &Path,
        arguments: &[&str],
        environment: &[(&str, OsString)],
    ) -> Option<Oracle> {
        let binary = std::env::var(BINARY_VARIABLE).unwrap_or_else(|_| BINARY.to_string());
        if !Path::new(&binary).exists() {
            eprintln!("SKIPPED: redis-server not installed");
            return None;
        }
        // A port that was free a moment ago can be taken now.
        (0..5)
            .find_map(|_| Oracle::start_on_free_port(&binary, directory, arguments, environment))
            .or_else(|| panic!("redis-server does not start"))
    }

    fn start_on_free_port(
        binary: &str,
        directory: &Path,
        arguments: &[&str],
        environment: &[(&str, OsString)],
    ) -> Option<Oracle> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(binary)
            .args(format!("--bind 127.0.0.1 --port {port}").split(' '))
            .args(arguments)
            .current_dir(directory)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(20));
            let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            stream.set_nodelay(true).unwrap();
            let mut oracle = Oracle { child, stream: BufReader::new(stream), port };
            if !oracle.is_own_server() {
                return None;
            }
            while oracle.is_loading() {
                std::thread::sleep(Duration::from_millis(20));
            }
            return Some(oracle);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        None
    }

    /// Whether the server behind the port is the one that was started here.
    fn is_own_server(&mut self) -> bool {
        let Reply::Bulk(Some(info)) = self.run(&[b"INFO", b"server"]) else { return false };
        String::from_utf8(info)
            .unwrap()
            .contains(&format!("\r\nprocess_id:{}\r\n", self.child.id()))
    }

    fn is_loading(&mut self) -> bool {
        matches!(self.run(&[b"PING"]), Reply::Error(error) if error.starts_with("LOADING"))
    }

    /// Whether it has this command.
    pub fn has(&mut self, command: &str) -> bool {
        let known = self.run(&[b"COMMAND", b"INFO", command.as_bytes()]);
        matches!(known, Reply::Array(found) if matches!(&found[..], [Reply::Array(info)] if !info.is_empty()))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Another connection.
    pub fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        // A reply that does not come is a failure, not a test that hangs.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Connection(BufReader::new(stream))
    }

    /// Runs one command.
    pub fn run(&mut self, command: &[&[u8]]) -> Reply {
        self.pipeline(&[command.iter().map(|arg| arg.to_vec()).collect()]).remove(0)
    }

    /// Sends all commands in one go and reads their replies.
    pub fn pipeline(&mut self, commands: &[Vec<Vec<u8>>]) -> Vec<Reply> {
        self.stream.get_mut().write_all(&encode(commands)).unwrap();
        commands.iter().map(|_| self.read_reply()).collect()
    }

    fn read_reply(&mut self) -> Reply {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let line = line.strip_suffix("\r\n").unwrap();
        let (kind, rest) = line.split_at(1);
        match kind {
            "+" => Reply::Simple(rest.to_string()),
            "-" => Reply::Error(rest.to_string()),
            ":" => Reply::Integer(rest.parse().unwrap()),
            "*" => Reply::Array((0..rest.parse().unwrap()).map(|_| self.read_reply()).collect()),
            "$" if rest == "-1" => Reply::Bulk(None),
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(Some(bytes))
            }
            _ => panic!("not RESP2: {line:?}"),
        }
    }
}

impl Connection {
    /// What it is sent next, unasked.
    pub fn message(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        self.read_reply(&mut message);
        message
    }

    /// Sends all commands in one go and reads their replies.
    pub fn pipeline(&mut self, commands: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
        self.0.get_mut().write_all(&encode(commands)).unwrap();
        commands
            .iter()
            .map(|_| {
                let mut reply = Vec::new();
                self.read_reply(&mut reply);
                reply
            })
            .collect()
    }

    fn read_reply(&mut self, reply: &mut Vec<u8>) {
        let start = reply.len();
        self.0.read_until(b'\n', reply).unwrap();
        let line = std::str::from_utf8(&reply[start + 1..]).unwrap_or("").trim_end();
        let count = line.parse::<i64>().unwrap_or(-1).max(-1);
        match reply[start] {
            b'$' | b'=' if count >= 0 => {
                let start = reply.len();
                reply.resize(start + count as usize + 2, 0);
                self.0.read_exact(&mut reply[start..]).unwrap();
            }
            b'*' | b'~' | b'>' => (0..count).for_each(|_| self.read_reply(reply)),
            b'%' => (0..2 * count).for_each(|_| self.read_reply(reply)),
            _ => {}
        }
    }
}

fn encode(commands: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut request = Vec::new();
    for command in commands {
        write!(request, "*{}\r\n", command.len()).unwrap();
        for arg in command {
            write!(request, "${}\r\n", arg.len()).unwrap();
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
    }
    request
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a command from its arguments.
pub fn command(args: &[&[u8]]) -> Vec<Vec<u8>> {
    args.iter().map(|arg| arg.to_vec()).collect()
}

/// The seed of a run: what the variable `seed` says; another each time when the variable `length` asks
/// for a run of its own; else always the same, so that only a change of the code breaks a short run.
pub fn seed(seed: &str, length: &str) -> u64 {
    match std::env::var(seed) {
        Ok(text) => text.parse().unwrap(),
        Err(_) if std::env::var_os(length).is_some() => Clock::system().now_us(),
        Err(_) => 1,
    }
}

/// SplitMix64: the same numbers on every run, so that a failure comes again.
#[derive(Debug)]
pub struct Random(Cell<u64>);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(Cell::new(seed))
    }

    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which must not be 0.
    pub fn below(&self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// From `low` to `high`, both included.
    pub fn between(&self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    pub fn pick<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// `len` bytes of an alphabet.
    pub fn bytes(&self, alphabet: &[u8], len: usize) -> Vec<u8> {
        (0..len).map(|_| self.pick(alphabet)).collect()
    }
}
