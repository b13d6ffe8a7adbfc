//! `load-pairs`, `delete-pairs`, `expire-pairs`: many pairs into a server and out of it again, and what that does to its memory and to a
//! client that only wants one pair meanwhile.
//!
//! Commands carry many pairs and go out in batches: this loads fast, it does not measure throughput.

use crate::accounting::{Memory, Process};
use crate::info::Info;
use crate::keyspace::Random;
use crate::probe::Probe;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Pairs in one command. Few, so that a client beside it waits for a small command and not for this tool.
const PAIRS_PER_COMMAND: u64 = 10;
/// Commands sent before their replies are read.
const COMMANDS_PER_BATCH: u64 = 64;
/// How often a server is asked how much has expired.
const POLL: Duration = Duration::from_millis(5);
/// The section and field of INFO that hold the longest slice of background work, where a server has them.
const SLICE: (&str, &str) = ("all", "slice_us_max");

/// Which server, and what its pairs look like.
#[derive(clap::Args)]
pub struct Shape {
    /// Port of the server
    #[arg(long)]
    port: u16,
    /// Process of the server
    #[arg(long)]
    pid: u32,
    /// Bytes of a key
    #[arg(long, default_value_t = 16)]
    key_bytes: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 32)]
    value_bytes: usize,
    /// Pairs in a namespace; without it, all are in one
    #[arg(long)]
    namespace_pairs: Option<u64>,
    /// Give every pair this time to live, through HSETEX
    #[arg(long)]
    ttl_ms: Option<u64>,
}

/// Options of `load-pairs`.
#[derive(clap::Args)]
pub struct Load {
    #[command(flatten)]
    shape: Shape,
    /// Load up to so many pairs, then tell; may be repeated, ascending
    #[arg(long, required = true)]
    until: Vec<u64>,
    /// Rest before memory is read
    #[arg(long, default_value_t = 1000)]
    settle_ms: u64,
    /// Ask for one pair all the while and tell how long that took
    #[arg(long)]
    probe: bool,
}

/// Options of `delete-pairs`.
#[derive(clap::Args)]
pub struct Delete {
    #[command(flatten)]
    shape: Shape,
    /// How many pairs the server holds
    #[arg(long)]
    pairs: u64,
    /// How many of a hundred to delete
    #[arg(long, default_value_t = 90)]
    percent: u64,
    /// Rest before memory is read
    #[arg(long, default_value_t = 10_000)]
    settle_ms: u64,
}

/// Options of `expire-pairs`.
#[derive(clap::Args)]
pub struct Expire {
    #[command(flatten)]
    shape: Shape,
    /// How many pairs
    #[arg(long, default_value_t = 1_000_000)]
    pairs: u64,
}

/// Loads in stages; prints a JSON line after each.
///
/// # Errors
/// When a reply is not the one that is due.
pub fn load(options: &Load) -> Result<()> {
    let shape = &options.shape;
    let empty = Memory::of(shape.pid)?;
    let deadline_ms = shape.ttl_ms.map(|ttl_ms| now_ms() + ttl_ms);
    let mut loader = Loader::open(shape, deadline_ms)?;
    let mut loaded = 0;
    let probe = options.probe.then(|| Probe::start(shape.address(), &shape.probe_request()));
    for &until in &options.until {
        let (start, cpu) = (Instant::now(), Process::of(shape.pid)?);
        loader.put(loaded..until)?;
        let elapsed = start.elapsed();
        let cpu = Process::of(shape.pid)? - cpu;
        loaded = until;
        sleep(Duration::from_millis(options.settle_ms));
        let growth = Memory::of(shape.pid)?.resident_bytes.saturating_sub(empty.resident_bytes);
        println!(
            "{}",
            json!({
                "pairs": until,
                "rss_growth_bytes": growth,
                "elapsed_ns": elapsed.as_nanos() as u64,
                "server_cpu_ns": cpu.run_ns,
                "slice_us_max": shape.slice_us_max()?,
            })
        );
    }
    if let Some(probe) = probe {
        println!("{}", probe.finish()?);
    }
    Ok(())
}

/// Deletes pairs chosen at random; prints a JSON line of memory before, after, and at its peak.
///
/// # Errors
/// When a pair was not there.
pub fn delete(options: &Delete) -> Result<()> {
    let shape = &options.shape;
    let mut loader = Loader::open(shape, None)?;
    let chosen = |index: &u64| Random::new(!index).next() % 100 < options.percent;
    let start = Instant::now();
    let deleted = loader.delete((0..options.pairs).filter(chosen))?;
    let elapsed = start.elapsed();
    sleep(Duration::from_millis(options.settle_ms));
    let memory = Memory::of(shape.pid)?;
    println!(
        "{}",
        json!({
            "deleted": deleted,
            "elapsed_ns": elapsed.as_nanos() as u64,
            "rss_bytes": memory.resident_bytes,
            "rss_peak_bytes": memory.peak_bytes,
        })
    );
    Ok(())
}

/// Loads pairs with one deadline, waits for it, and prints a JSON line of how the server got rid of them.
///
/// # Errors
/// When loading took until the deadline, or a minute after it not all have expired.
pub fn expire(options: &Expire) -> Result<()> {
    let shape = &options.shape;
    let deadline_ms = now_ms() + shape.ttl_ms.context("--ttl-ms is needed")?;
    Loader::open(shape, Some(deadline_ms))?.put(0..options.pairs)?;
    let full = Memory::of(shape.pid)?;
    let mut info = Info::connect(shape.address())?;
    let wait_ms = deadline_ms.checked_sub(now_ms()).context("--ttl-ms is too short to load")?;
    let probe = Probe::start(shape.address(), &shape.probe_request());
    sleep(Duration::from_millis(wait_ms));
    let (start, cpu) = (Instant::now(), Process::of(shape.pid)?);
    loop {
        let expired = info.field("stats", "expired_subkeys")?.context("no expired_subkeys")?;
        if expired >= options.pairs {
            break;
        }
        ensure!(start.elapsed() < Duration::from_secs(60), "{expired} pairs expired in a minute");
        sleep(POLL);
    }
    let elapsed = start.elapsed();
    let cpu = Process::of(shape.pid)? - cpu;
    let probed = probe.finish()?;
    sleep(Duration::from_secs(1));
    println!(
        "{}",
        json!({
            "pairs": options.pairs,
            "elapsed_ns": elapsed.as_nanos() as u64,
            "server_cpu_ns": cpu.run_ns,
            "rss_full_bytes": full.resident_bytes,
            "rss_bytes": Memory::of(shape.pid)?.resident_bytes,
            "slice_us_max": shape.slice_us_max()?,
            "probe": probed,
        })
    );
    Ok(())
}

impl Shape {
    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn slice_us_max(&self) -> Result<Option<u64>> {
        Info::connect(self.address())?.field(SLICE.0, SLICE.1)
    }

    /// HGET of the first pair.
    fn probe_request(&self) -> Vec<u8> {
        let mut request = b"*3\r\n$4\r\nHGET\r\n".to_vec();
        push_bulk(&mut request, &namespace(0));
        push_bulk(&mut request, &digits(b'k', 0, self.key_bytes));
        request
    }

    /// The value of pair `index`: hexadecimal digits that differ from pair to pair.
    fn value(&self, index: u64) -> Vec<u8> {
        let mut random = Random::new(index);
        let mut value = b"v".to_vec();
        while value.len() < self.value_bytes {
            value.extend_from_slice(format!("{:016x}", random.next()).as_bytes());
        }
        value.truncate(self.value_bytes);
        value
    }
}

/// Sends commands of many pairs in batches, and checks every reply.
struct Loader<'a> {
    shape: &'a Shape,
    deadline_ms: Option<String>,
    stream: TcpStream,
    commands: Vec<u8>,
    due: Vec<u8>,
    /// Replies of the batch that was sent.
    sent_due: Vec<u8>,
    received: Vec<u8>,
    waiting: u64,
}

impl<'a> Loader<'a> {
    fn open(shape: &'a Shape, deadline_ms: Option<u64>) -> Result<Self> {
        let stream = TcpStream::connect(shape.address())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let deadline_ms = deadline_ms.map(|ms| ms.to_string());
        let (commands, due, sent_due, received) = Default::default();
        Ok(Self { shape, deadline_ms, stream, commands, due, sent_due, received, waiting: 0 })
    }

    fn put(&mut self, range: std::ops::Range<u64>) -> Result<()> {
        ensure!(
            digits(b'k', range.end - 1, self.shape.key_bytes).len() == self.shape.key_bytes,
            "{} bytes are too few for the key of pair {}",
            self.shape.key_bytes,
            range.end - 1
        );
        let per_namespace = self.shape.namespace_pairs.unwrap_or(u64::MAX);
        let mut next = range.start;
        while next < range.end {
            let namespace_end = (next / per_namespace + 1).saturating_mul(per_namespace);
            let end = range.end.min(next + PAIRS_PER_COMMAND).min(namespace_end);
            self.put_command(next..end, per_namespace);
            next = end;
            self.command_is_complete()?;
        }
        self.flush()?;
        self.receive()
    }

    fn put_command(&mut self, range: std::ops::Range<u64>, per_namespace: u64) {
        let pairs = range.end - range.start;
        let options = if self.deadline_ms.is_some() { 4 } else { 0 };
        let out = &mut self.commands;
        out.extend_from_slice(format!("*{}\r\n", 2 + options + 2 * pairs).as_bytes());
        push_bulk(out, if options > 0 { b"HSETEX" } else { b"HSET" });
        push_bulk(out, &namespace(range.start / per_namespace));
        if let Some(deadline_ms) = &self.deadline_ms {
            for word in ["PXAT", deadline_ms, "FIELDS", &pairs.to_string()] {
                push_bulk(out, word.as_bytes());
            }
        }
        for index in range {
            push_bulk(out, &digits(b'k', index % per_namespace, self.shape.key_bytes));
            push_bulk(out, &self.shape.value(index));
        }
        let reply = if options > 0 { 1 } else { pairs };
        self.due.extend_from_slice(format!(":{reply}\r\n").as_bytes());
    }

    /// Deletes pairs of the one namespace; returns how many.
    fn delete(&mut self, mut indexes: impl Iterator<Item = u64>) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let chunk: Vec<u64> = indexes.by_ref().take(PAIRS_PER_COMMAND as usize).collect();
            if chunk.is_empty() {
                break;
            }
            deleted += chunk.len() as u64;
            let out = &mut self.commands;
            out.extend_from_slice(format!("*{}\r\n", 2 + chunk.len()).as_bytes());
            push_bulk(out, b"HDEL");
            push_bulk(out, &namespace(0));
            for index in &chunk {
                push_bulk(out, &digits(b'k', *index, self.shape.key_bytes));
            }
            self.due.extend_from_slice(format!(":{}\r\n", chunk.len()).as_bytes());
            self.command_is_complete()?;
        }
        self.flush()?;
        self.receive()?;
        Ok(deleted)
    }

    fn command_is_complete(&mut self) -> Result<()> {
        self.waiting += 1;
        if self.waiting == COMMANDS_PER_BATCH { self.flush() } else { Ok(()) }
    }

    /// Sends the batch once the one before is answered, so that one is rendered while the server works on another.
    fn flush(&mut self) -> Result<()> {
        self.receive()?;
        self.stream.write_all(&self.commands)?;
        self.commands.clear();
        std::mem::swap(&mut self.due, &mut self.sent_due);
        self.waiting = 0;
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let mut filled = 0;
        self.received.resize(self.sent_due.len(), 0);
        while filled < self.sent_due.len() {
            let read = self.stream.read(&mut self.received[filled..]).context("a reply")?;
            ensure!(read > 0, "the server closed the connection");
            filled += read;
            ensure!(
                self.received[..filled] == self.sent_due[..filled],
                "a wrong reply: {:?}",
                String::from_utf8_lossy(&self.received[..filled])
            );
        }
        self.sent_due.clear();
        Ok(())
    }
}

fn namespace(index: u64) -> Vec<u8> {
    digits(b'n', index, 8)
}

/// A letter and `number`, `len` bytes together; longer when the number is.
fn digits(letter: u8, number: u64, len: usize) -> Vec<u8> {
    let mut text = vec![letter];
    text.extend_from_slice(format!("{number:0width$}", width = len - 1).as_bytes());
    text
}

fn push_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn shape(port: u16, namespace_pairs: Option<u64>, ttl_ms: Option<u64>) -> Shape {
        let pid = std::process::id();
        Shape { port, pid, key_bytes: 8, value_bytes: 24, namespace_pairs, ttl_ms }
    }

    /// Collects what is sent, and answers each command with `reply`.
    fn serve(reply: &'static [u8], commands: usize) -> (u16, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut all, mut answered) = (Vec::new(), 0);
            while answered < commands {
                let mut bytes = [0; 4096];
                let read = stream.read(&mut bytes).unwrap();
                all.extend_from_slice(&bytes[..read]);
                for _ in memchr::memchr_iter(b'*', &bytes[..read]) {
                    stream.write_all(reply).unwrap();
                    answered += 1;
                }
            }
            String::from_utf8(all).unwrap()
        });
        (port, server)
    }

    #[test]
    fn pairs_have_their_declared_sizes_and_namespaces_their_pairs() {
        let (port, server) = serve(b":4\r\n", 3);
        let shape = shape(port, Some(4), None);
        Loader::open(&shape, None).unwrap().put(0..12).unwrap();
        let sent = server.join().unwrap();
        assert_eq!(sent.matches("*10\r\n$4\r\nHSET\r\n$8\r\nn000000").count(), 3);
        assert_eq!(sent.matches("$8\r\nk0000003\r\n$24\r\nv").count(), 3);
        assert_eq!(sent.matches("k0000004").count(), 0);
    }

    #[test]
    fn pairs_with_a_deadline_go_through_hsetex() {
        let (port, server) = serve(b":1\r\n", 2);
        let shape = shape(port, None, Some(1000));
        Loader::open(&shape, Some(77)).unwrap().put(0..12).unwrap();
        let sent = server.join().unwrap();
        assert_eq!(
            sent.matches("$4\r\nPXAT\r\n$2\r\n77\r\n$6\r\nFIELDS\r\n$2\r\n10\r\n").count(),
            1
        );
    }

    #[test]
    fn a_wrong_reply_is_an_error() {
        let (port, server) = serve(b":9\r\n", 1);
        let shape = shape(port, None, None);
        let error = Loader::open(&shape, None).unwrap().delete(0..10).unwrap_err();
        assert!(error.to_string().contains(":9"), "{error}");
        server.join().unwrap();
    }

    #[test]
    fn keys_that_do_not_fit_are_refused() {
        let (port, _server) = serve(b":1\r\n", 1);
        let shape = shape(port, None, None);
        assert!(Loader::open(&shape, None).unwrap().put(10_000_000..10_000_001).is_err());
    }
}
