//! `open-loop`: requests at a fixed rate, whatever the server does. Latency counts from the moment a request was due, so that a
//! request that had to wait for a slow server before it could be sent shows the wait.
//!
//! The generator spins on its CPU: a sleep would be longer than what is measured.

use crate::driver::prepare;
use crate::histogram::Histogram;
use crate::reply::Expected;
use crate::workload::{Requests, Workload};
use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use serde_json::json;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const SCRATCH_BYTES: usize = 64 * 1024;
/// A server that is this far behind will not catch up.
const BEHIND_MAX_NS: u64 = 5_000_000_000;

/// Options of `open-loop`.
#[derive(clap::Args)]
pub struct Options {
    /// Port of the server
    #[arg(long)]
    port: u16,
    /// What to send
    #[arg(long, value_enum)]
    workload: Workload,
    /// Requests per second, over all connections
    #[arg(long)]
    rate: f64,
    /// Connections, which take turns
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Load before the measurement
    #[arg(long, default_value_t = 500)]
    ramp_ms: u64,
    /// Length of the measurement
    #[arg(long, default_value_t = 5000)]
    window_ms: u64,
}

struct Connection {
    stream: TcpStream,
    /// When the requests that wait for a reply were due, in ns since the start.
    due_ns: VecDeque<u64>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    partial: Vec<u8>,
}

/// Sends and receives; prints a JSON line of latencies in ns.
///
/// # Errors
/// An unexpected reply, a closed connection, or a server that falls seconds behind.
pub fn run(options: &Options) -> Result<()> {
    let (requests, expected) = prepare(options.workload);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let mut generator = Generator::connect(address, options.connections, &requests, &expected)?;
    let (ramp_ns, window_ns) = (options.ramp_ms * 1_000_000, options.window_ms * 1_000_000);
    let seen = generator.run(options.rate, ramp_ns, ramp_ns + window_ns)?;
    let (latencies, lateness) = (&seen.latencies, &seen.lateness);
    println!(
        "{}",
        json!({
            "rate": options.rate,
            "p50_ns": latencies.quantile_ns(0.5),
            "p99_ns": latencies.quantile_ns(0.99),
            "p999_ns": latencies.quantile_ns(0.999),
            "p9999_ns": latencies.quantile_ns(0.9999),
            "max_ns": latencies.max_ns(),
            "late_p99_ns": lateness.quantile_ns(0.99),
            "late_max_ns": lateness.max_ns(),
        })
    );
    Ok(())
}

/// What a run saw.
struct Seen {
    /// From due to answered.
    latencies: Histogram,
    /// From due to the generator's attempt to send: its own part.
    lateness: Histogram,
}

struct Generator<'a> {
    requests: &'a Requests,
    expected: &'a Expected,
    connections: Vec<Connection>,
    epoll: OwnedFd,
    scratch: Vec<u8>,
}

impl<'a> Generator<'a> {
    fn connect(
        address: SocketAddr,
        connections: usize,
        requests: &'a Requests,
        expected: &'a Expected,
    ) -> Result<Self> {
        ensure!(connections > 0, "no connections");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut opened = Vec::new();
        for index in 0..connections {
            let stream = TcpStream::connect(address).with_context(|| address.to_string())?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &stream, data, epoll::EventFlags::IN)?;
            let (due_ns, unsent, partial) = Default::default();
            opened.push(Connection { stream, due_ns, unsent, partial });
        }
        Ok(Self { requests, expected, connections: opened, epoll, scratch: vec![0; SCRATCH_BYTES] })
    }

    /// Sends until `end_ns`, waits for the last reply, and counts what was due from `from_ns` on.
    fn run(&mut self, rate: f64, from_ns: u64, end_ns: u64) -> Result<Seen> {
        ensure!(rate > 0.0, "--rate must be above 0");
        let mut seen = Seen { latencies: Histogram::new(), lateness: Histogram::new() };
        let mut events = Vec::with_capacity(self.connections.len());
        let start = Instant::now();
        let (mut sent, mut answered) = (0_u64, 0_u64);
        loop {
            let due_ns = (sent as f64 / rate * 1e9) as u64;
            let now_ns = start.elapsed().as_nanos() as u64;
            if due_ns <= now_ns && due_ns < end_ns {
                ensure!(now_ns - due_ns < BEHIND_MAX_NS, "the generator is seconds behind");
                self.send(sent, due_ns)?;
                sent += 1;
                if due_ns >= from_ns {
                    seen.lateness.record(now_ns - due_ns, 1);
                }
            } else if due_ns >= end_ns && answered == sent {
                return Ok(seen);
            }
            ensure!(now_ns < end_ns + BEHIND_MAX_NS, "the server is seconds behind");
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&AT_ONCE))?;
            for event in events.drain(..) {
                let index = event.data.u64() as usize;
                let replies = self.receive(index)?;
                let now_ns = start.elapsed().as_nanos() as u64;
                for _ in 0..replies {
                    let due_ns =
                        self.connections[index].due_ns.pop_front().context("a reply too many")?;
                    if due_ns >= from_ns {
                        seen.latencies.record(now_ns - due_ns, 1);
                    }
                }
                answered += replies as u64;
            }
        }
    }

    fn send(&mut self, number: u64, due_ns: u64) -> Result<()> {
        let request = self.requests.batch(number as usize % self.requests.count(), 1);
        let index = number as usize % self.connections.len();
        let connection = &mut self.connections[index];
        connection.due_ns.push_back(due_ns);
        connection.unsent.extend_from_slice(request);
        while !connection.unsent.is_empty() {
            match (&connection.stream).write(&connection.unsent) {
                Ok(taken) => drop(connection.unsent.drain(..taken)),
                // The rest goes with this connection's next request, or when a reply has made room.
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => bail!(error),
            }
        }
        Ok(())
    }

    /// Reads once and counts the replies that are complete now.
    fn receive(&mut self, index: usize) -> Result<usize> {
        let connection = &mut self.connections[index];
        let kept = connection.partial.len();
        self.scratch[..kept].copy_from_slice(&connection.partial);
        let read = match (&connection.stream).read(&mut self.scratch[kept..]) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => bail!(error),
        };
        let received = &self.scratch[..kept + read];
        let complete = self.expected.count(received)?;
        connection.partial.clear();
        connection.partial.extend_from_slice(&received[complete.bytes..]);
        if !connection.unsent.is_empty() {
            let taken = (&connection.stream).write(&connection.unsent)?;
            connection.unsent.drain(..taken);
        }
        Ok(complete.replies)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;

    /// Answers HSETs, but sleeps once before the answer to number `sleep_at`.
    fn serve(sleep_at: usize, sleep: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut bytes, mut answered) = ([0; 4096], 0);
            while let Ok(read @ 1..) = stream.read(&mut bytes) {
                for _ in memchr::memchr_iter(b'*', &bytes[..read]) {
                    if answered == sleep_at {
                        std::thread::sleep(sleep);
                    }
                    answered += 1;
                    stream.write_all(b":0\r\n").unwrap();
                }
            }
        });
        address
    }

    #[test]
    fn a_pause_of_the_server_shows_in_every_request_that_was_due_meanwhile() {
        let (requests, expected) = prepare(Workload::Hset);
        let address = serve(50, Duration::from_millis(100));
        let mut generator = Generator::connect(address, 1, &requests, &expected).unwrap();
        let seen = generator.run(1000.0, 0, 200_000_000).unwrap();
        // 100 of 200 requests fell due during the pause; the first of them waited for all of it.
        assert!(seen.latencies.max_ns() >= 100_000_000);
        assert!(seen.latencies.quantile_ns(0.75) >= 40_000_000);
    }
}
