//! A pantry of its own for each test, started from the built binary and ended with the test.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, Connection, RedisResult};

pub const PASSWORD: &str = "pass-word";
const START_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A server of its own for each test, on a port that was free; it ends with the test.
pub struct Server {
    process: Child,
    port: u16,
}

impl Server {
    pub fn start(flags: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Self::spawn(port, flags);
        let mut server = Self { process, port };
        server.wait_until_it_listens();
        server
    }

    fn spawn(port: u16, flags: &[&str]) -> Child {
        let port = port.to_string();
        let common = ["--bind", "127.0.0.1", "--http-port", "0"];
        let in_memory = ["--appendonly", "no", "--dir", "target/no-data"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_pantry"));
        command.args(["--port", &port]).args(common).args(in_memory).args(flags);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn wait_until_it_listens(&mut self) {
        let start = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(self.process.try_wait().unwrap().is_none(), "the server ended at once");
            assert!(start.elapsed() < START_TIMEOUT, "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the server and starts an empty one on the same port.
    pub fn restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = Self::spawn(self.port, &[]);
        self.wait_until_it_listens();
    }

    /// A client for this protocol (`resp2`, `resp3`) and database; `credentials` is empty or ends with `@`.
    pub fn client(&self, protocol: &str, credentials: &str, db: u8) -> Client {
        Client::open(format!(
            "redis://{credentials}127.0.0.1:{}/{db}?protocol={protocol}",
            self.port
        ))
        .unwrap()
    }

    pub fn connect(&self, protocol: &str) -> Connection {
        connect(&self.client(protocol, "", 0)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The test may be failing already: there is nothing better to do when the process is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Connects, with a limit on every wait.
pub fn connect(client: &Client) -> RedisResult<Connection> {
    let con = client.get_connection_with_timeout(READ_TIMEOUT)?;
    con.set_read_timeout(Some(READ_TIMEOUT))?;
    Ok(con)
}
