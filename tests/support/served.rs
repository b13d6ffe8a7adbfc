//! A server whose Redis door is served over sockets by the test's own thread.

use std::sync::Arc;
use std::time::Duration;

use pantry::clock::Clock;
use pantry::config::Config;
use pantry::journal::Journal;
use pantry::server::stream::Stream;
use pantry::server::worker::Worker;
use pantry::server::{Server, resp};
use pantry::store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::START_MS;

/// How long a test waits for what must not come.
const NEVER_MIND: Duration = Duration::from_millis(150);
/// How long it waits for what must come.
const SOON: Duration = Duration::from_secs(20);

/// A server whose Redis door is served by this thread.
pub struct Served {
    pub server: Arc<Server>,
    listener: TcpListener,
}

pub async fn serve(journal: Journal) -> Served {
    let store = Store::new(journal, Clock::manual(START_MS));
    let server = Arc::new(Server::new(Config::default(), store, 1));
    Worker::install(server.clone(), 0);
    Served { server, listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
}

impl Served {
    pub async fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).await.unwrap();
        let (stream, addr) = self.listener.accept().await.unwrap();
        let laddr = stream.local_addr().unwrap();
        let server = self.server.clone();
        let registered = server.clients.connect((addr, laddr), 2, START_MS, 100).unwrap();
        tokio::spawn(async move {
            resp::serve(Stream::Tcp(stream), registered.clone(), server.clone()).await;
            server.clients.disconnect(&registered);
        });
        client
    }
}

pub fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

pub async fn assert_silent(client: &mut TcpStream) {
    let mut bytes = [0; 100];
    let read = timeout(NEVER_MIND, client.read(&mut bytes)).await;
    assert!(read.is_err(), "{read:?}: {}", bytes.escape_ascii());
}

pub async fn assert_reads(client: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    timeout(SOON, client.read_exact(&mut bytes)).await.expect(expected).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

pub async fn assert_closed(client: &mut TcpStream) {
    let mut bytes = [0; 100];
    let read = timeout(SOON, client.read(&mut bytes)).await.expect("still open");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

/// Sends requests as inline commands, a line each.
pub async fn send(client: &mut TcpStream, lines: &[&str]) {
    let bytes: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    client.write_all(bytes.as_bytes()).await.unwrap();
}
