//! `watchers`: many clients that watch one namespace over HTTP (server-sent events) while it changes at a fixed rate; tells how long
//! every change took to reach every one of them, and what they cost the server's memory.
//!
//! A change is counted from when it was due, sent or not. Every watcher must see every change, in order, or the run fails.

use crate::accounting::{Memory, Process};
use crate::doors::Doors;
use crate::histogram::Histogram;
use crate::workload::resp;
use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use serde_json::json;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;

const NAMESPACE: &str = "watched";
/// How long watchers that have nothing to see may wait for something: longer than the server's heartbeat.
const PATIENCE: Duration = Duration::from_secs(40);
/// Watchers that connect at once.
const AT_ONCE: usize = 50;

/// Options of `watchers`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    server: Doors,
    /// How many watch
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Changes a second; 0: none, only memory is measured
    #[arg(long, default_value_t = 50)]
    rate: u64,
    /// How long changes come
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rest before memory is read
    #[arg(long, default_value_t = 1000)]
    settle_ms: u64,
}

/// Watches, changes, and prints a JSON line.
///
/// # Errors
/// When a watcher misses a change or sees two in the wrong order.
pub fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, watch(options))
}

async fn watch(options: &Options) -> Result<()> {
    // One comes and goes beforehand, so that what the server prepares for its first watcher is not counted.
    drop(connect(options.server.http_port).await?);
    let before = Memory::of(options.server.pid)?;
    let mut watchers = Vec::with_capacity(options.count);
    while watchers.len() < options.count {
        let room = AT_ONCE.min(options.count - watchers.len());
        let opening: Vec<_> = (0..room)
            .map(|_| tokio::task::spawn_local(connect(options.server.http_port)))
            .collect();
        for one in opening {
            watchers.push(one.await??);
        }
    }
    tokio::time::sleep(Duration::from_millis(options.settle_ms)).await;
    let after = Memory::of(options.server.pid)?;
    let growth = after.resident_bytes.saturating_sub(before.resident_bytes);
    let mut line = json!({ "watchers": watchers.len(), "rss_growth_bytes": growth });
    if options.rate > 0 {
        let (began, cpu) = (Instant::now(), Process::of(options.server.pid)?);
        let changes = options.rate * options.seconds;
        let seen = Rc::new(RefCell::new(Histogram::new()));
        let tasks: Vec<_> = watchers
            .into_iter()
            .map(|watcher| tokio::task::spawn_local(follow(watcher, changes, began, seen.clone())))
            .collect();
        let (port, every) =
            (options.server.port, Duration::from_secs(1) / u32::try_from(options.rate)?);
        let writer = std::thread::spawn(move || change(port, began, changes, every));
        for task in tasks {
            task.await??;
        }
        let late_ns = writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        let cpu = Process::of(options.server.pid)? - cpu;
        let seen = seen.borrow();
        line["changes"] = json!(changes);
        line["p50_ns"] = json!(seen.quantile_ns(0.5));
        line["p99_ns"] = json!(seen.quantile_ns(0.99));
        line["max_ns"] = json!(seen.max_ns());
        line["writer_late_max_ns"] = json!(late_ns);
        line["server_cpu_ns"] = json!(cpu.run_ns);
        line["elapsed_ns"] = json!(began.elapsed().as_nanos() as u64);
    }
    println!("{line}");
    Ok(())
}

/// A watcher that was told that it watches, and what it received behind that.
struct Watcher {
    stream: tokio::net::TcpStream,
    received: Vec<u8>,
}

async fn connect(port: u16) -> Result<Watcher> {
    let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut watcher = Watcher { stream, received: Vec::new() };
    let request = format!(
        "GET /v1/watch?namespace={NAMESPACE}&values=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
    );
    watcher.stream.write_all(request.as_bytes()).await?;
    loop {
        watcher.read().await?;
        if let Some(at) = memmem::find(&watcher.received, b"event: ready") {
            let end = memmem::find(&watcher.received[at..], b"\n\n");
            if let Some(end) = end {
                watcher.received.drain(..at + end);
                return Ok(watcher);
            }
        }
        ensure!(
            watcher.received.starts_with(b"HTTP/1.1 200") || watcher.received.len() < 12,
            "the server answered {:?}",
            String::from_utf8_lossy(&watcher.received)
        );
    }
}

impl Watcher {
    async fn read(&mut self) -> Result<()> {
        let mut bytes = [0; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await;
        let read = read.context("nothing came, not even a heartbeat")??;
        ensure!(read > 0, "the server closed a watcher's connection");
        self.received.extend_from_slice(&bytes[..read]);
        Ok(())
    }
}

/// Sees all changes in their order. A value is the change's number and, behind a blank, when it was due.
async fn follow(
    mut watcher: Watcher,
    changes: u64,
    began: Instant,
    seen: Rc<RefCell<Histogram>>,
) -> Result<()> {
    const BEFORE: &[u8] = b"\"value\":\"";
    let mut next = 0;
    while next < changes {
        watcher.read().await?;
        let now_ns = began.elapsed().as_nanos() as u64;
        let mut done = 0;
        while let Some(at) = memmem::find(&watcher.received[done..], BEFORE) {
            let value = &watcher.received[done + at + BEFORE.len()..];
            let Some(len) = memchr::memchr(b'"', value) else { break };
            let text = std::str::from_utf8(&value[..len])?;
            let (number, due_ns) = text.split_once(' ').context("a value of somebody else")?;
            let (number, due_ns): (u64, u64) = (number.parse()?, due_ns.parse()?);
            if number != next {
                bail!("a watcher saw change {number} where {next} should be");
            }
            next += 1;
            seen.borrow_mut().record(now_ns.saturating_sub(due_ns), 1);
            done += at + BEFORE.len() + len;
        }
        watcher.received.drain(..done);
    }
    Ok(())
}

/// Changes one pair at a fixed rate; how late it was at worst.
fn change(port: u16, began: Instant, changes: u64, every: Duration) -> Result<u64> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let first = began.elapsed() + Duration::from_millis(200);
    let (mut reply, mut late_ns) = ([0; 64], 0);
    for number in 0..changes {
        let due = first + every * u32::try_from(number)?;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        late_ns = late_ns.max((began.elapsed() - due).as_nanos() as u64);
        let value = format!("{number} {}", due.as_nanos());
        stream.write_all(resp(&["HSET", NAMESPACE, "key", &value]).as_bytes())?;
        let read = stream.read(&mut reply)?;
        ensure!(reply[..read].starts_with(b":"), "{:?}", String::from_utf8_lossy(&reply[..read]));
    }
    Ok(late_ns)
}
