//! The built server as a process on a data directory: started, killed, stopped, waited for.

use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::client::Client;
use crate::machine::Scratch;

/// Longer than anything that is expected to happen takes, even on a busy machine.
pub const LONG: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(2);

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Start {
    dir: PathBuf,
    log: PathBuf,
    flags: Vec<String>,
    /// A program and its arguments that become the server, such as a tracer.
    through: Vec<String>,
}

/// A running server; killed when dropped.
pub struct Server {
    pub child: Child,
    pub redis: SocketAddr,
    pub http: SocketAddr,
    log: PathBuf,
}

impl Start {
    /// A server on this directory. What it logs goes into a file of `scratch`.
    pub fn on(dir: &Path, scratch: &Scratch) -> Start {
        let log = scratch.at("log");
        Start { dir: dir.to_owned(), log, flags: Vec::new(), through: Vec::new() }
    }

    /// The same with another flag and its value.
    pub fn with(mut self, flag: &str, value: &str) -> Start {
        self.flags.extend([format!("--{flag}"), value.to_owned()]);
        self
    }

    /// The same with a program that runs it.
    pub fn through(mut self, program: &[String]) -> Start {
        self.through = program.to_vec();
        self
    }

    /// What was logged so far by every server that was started so.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Starts it and waits until it has loaded its data.
    pub fn ready(&self) -> Server {
        let mut server = self.begin();
        assert!(server.wait_until_loaded(), "the server ended:\n{}", server.last_words());
        server
    }

    /// Starts it, and waits only until it listens.
    pub fn begin(&self) -> Server {
        for _ in 0..5 {
            let mut server = self.spawn();
            if server.wait_until_it_listens() {
                return server;
            }
            assert!(server.lost_a_port(), "the server does not start:\n{}", server.last_words());
        }
        panic!("no port is free");
    }

    /// Starts the process, and waits for nothing.
    pub fn spawn(&self) -> Server {
        let [redis, http] = [(); 2].map(|()| free_address());
        let host = redis.ip().to_string();
        let append = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let program = env!("CARGO_BIN_EXE_pantry").to_owned();
        let mut words = self.through.iter().chain([&program]);
        let child = Command::new(words.next().unwrap())
            .args(words)
            .args(["--bind", &host, "--http-bind", &host])
            .args(["--port", &redis.port().to_string(), "--http-port", &http.port().to_string()])
            .args(["--dir".as_ref(), self.dir.as_os_str()])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(append.try_clone().unwrap())
            .stderr(append)
            .spawn()
            .unwrap();
        Server { child, redis, http, log: self.log.clone() }
    }
}

/// Ports that servers of this process have, or had just now.
static PORTS: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// An address that nobody listens on, and nobody else will: another's server must not be taken for one
/// that was started here.
fn free_address() -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let host = match cfg!(target_os = "linux") {
        true => Ipv4Addr::new(127, a | 0x80, b, c),
        false => Ipv4Addr::LOCALHOST,
    };
    loop {
        let address = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap();
        let mut ports = PORTS.lock();
        if !ports.contains(&address.port()) {
            ports.push(address.port());
            return address;
        }
    }
}

impl Server {
    pub fn connect(&self) -> Client {
        Client::connect(self.redis).unwrap()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        self.terminate();
        let status = self.wait(LONG).expect("the server stops");
        assert!(status.success(), "{status}:\n{}", self.last_words());
    }

    /// Waits until it has ended by itself. `None` if it has not.
    pub fn wait(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + at_most;
        loop {
            let status = self.child.try_wait().unwrap();
            if status.is_some() || Instant::now() > deadline {
                return status;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether it has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until commands are run; `false` if it ends before.
    pub fn wait_until_loaded(&mut self) -> bool {
        let deadline = Instant::now() + LONG;
        while self.is_alive() {
            assert!(Instant::now() < deadline, "the server does not load its data");
            let answer =
                Client::connect(self.redis).and_then(|mut client| client.try_ask("DBSIZE"));
            if answer.is_ok_and(|reply| reply.error().is_none()) {
                return true;
            }
            std::thread::sleep(PAUSE);
        }
        false
    }

    /// The end of what was logged on its directory.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    fn wait_until_it_listens(&mut self) -> bool {
        let deadline = Instant::now() + LONG;
        while self.is_alive() {
            assert!(Instant::now() < deadline, "the server does not listen");
            if Client::connect(self.redis).is_ok() {
                return true;
            }
            std::thread::sleep(PAUSE);
        }
        false
    }

    /// Whether somebody else took a port before the server did.
    /// Whether it ended because somebody else listens where it was to.
    pub fn lost_a_port(&self) -> bool {
        self.last_words().lines().last().is_some_and(|line| line.contains("in use"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when it has ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let is_other = |port: &u16| ![self.redis.port(), self.http.port()].contains(port);
        PORTS.lock().retain(is_other);
    }
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}
