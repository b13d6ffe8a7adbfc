//! The load: connections that each send a batch of requests, wait for all replies, and send the next. One thread, one epoll.
//!
//! A drive begins and ends with every connection at rest. So its replies and the server's CPU time belong together exactly, and no
//! account has to be read from a thread that is still running.

use crate::histogram::Histogram;
use crate::reply::Expected;
use crate::workload::{Requests, Workload};
use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

const SCRATCH_BYTES: usize = 256 * 1024;
const REPLY_TIMEOUT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Connections to one server, all sending one workload.
pub struct Driver<'a> {
    requests: &'a Requests,
    expected: &'a Expected,
    pipeline: usize,
    connections: Vec<Connection>,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    scratch: Vec<u8>,
}

/// What a drive did.
pub struct Driven {
    /// Replies received; requests sent are as many.
    pub replies: u64,
    /// From the first request to the last reply.
    pub elapsed: Duration,
}

struct Connection {
    stream: TcpStream,
    /// The first of the current batch among the rendered requests.
    first: usize,
    /// Replies that are due.
    outstanding: usize,
    /// What of the current batch the socket did not take yet, as a range of its bytes.
    unsent: Range<usize>,
    sent_at: Instant,
    /// The beginning of a reply.
    partial: Vec<u8>,
}

impl<'a> Driver<'a> {
    /// Opens the connections. Each starts at its own place among the rendered requests.
    ///
    /// # Errors
    /// When the server does not accept them, or a batch is larger than what was rendered.
    pub fn connect(
        address: SocketAddr,
        connections: usize,
        pipeline: usize,
        requests: &'a Requests,
        expected: &'a Expected,
    ) -> Result<Self> {
        ensure!(
            (1..=requests.count()).contains(&pipeline),
            "pipeline must be 1 to {}",
            requests.count()
        );
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut opened = Vec::new();
        for index in 0..connections {
            let stream = TcpStream::connect(address).with_context(|| address.to_string())?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(
                &epoll,
                &stream,
                epoll::EventData::new_u64(index as u64),
                epoll::EventFlags::IN,
            )?;
            opened.push(Connection {
                stream,
                first: index * (requests.count() / connections),
                outstanding: 0,
                unsent: 0..0,
                sent_at: Instant::now(),
                partial: Vec::new(),
            });
        }
        let events = Vec::with_capacity(connections.max(1));
        let scratch = vec![0; SCRATCH_BYTES];
        Ok(Self { requests, expected, pipeline, connections: opened, epoll, events, scratch })
    }

    /// Keeps every connection busy for `duration`, then waits until all replies are in. Latencies, from the sending of a batch
    /// to the arrival of each of its replies, go to `latencies`.
    ///
    /// # Errors
    /// An unexpected reply, a closed connection, or five seconds without any reply.
    pub fn drive(&mut self, duration: Duration, latencies: &mut Histogram) -> Result<Driven> {
        let start = Instant::now();
        for index in 0..self.connections.len() {
            self.start_batch(index, Instant::now())?;
        }
        let mut replies = 0;
        let mut active = self.connections.len();
        while active > 0 {
            let mut events = std::mem::take(&mut self.events);
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&REPLY_TIMEOUT))?;
            ensure!(!events.is_empty(), "no reply within {} s", REPLY_TIMEOUT.tv_sec);
            for event in events.drain(..) {
                let index = event.data.u64() as usize;
                let flags = event.flags;
                if flags.contains(epoll::EventFlags::OUT) {
                    self.send(index, true)?;
                }
                let arrived = self.receive(index)?;
                // One reading of the clock serves as the end of this batch and the start of the next.
                let now = Instant::now();
                let connection = &mut self.connections[index];
                latencies.record((now - connection.sent_at).as_nanos() as u64, arrived as u64);
                replies += arrived as u64;
                if arrived > 0 && connection.outstanding == 0 {
                    if now - start < duration {
                        self.start_batch(index, now)?;
                    } else {
                        active -= 1;
                    }
                }
            }
            self.events = events;
        }
        Ok(Driven { replies, elapsed: start.elapsed() })
    }

    fn start_batch(&mut self, index: usize, now: Instant) -> Result<()> {
        let connection = &mut self.connections[index];
        connection.first += self.pipeline;
        if connection.first + self.pipeline > self.requests.count() {
            connection.first = 0;
        }
        connection.outstanding = self.pipeline;
        connection.sent_at = now;
        connection.unsent = 0..self.requests.batch(connection.first, self.pipeline).len();
        self.send(index, false)
    }

    /// Sends what is unsent; what the socket does not take waits for its readiness, as it may have before (`waited`).
    fn send(&mut self, index: usize, waited: bool) -> Result<()> {
        let connection = &mut self.connections[index];
        let batch = self.requests.batch(connection.first, self.pipeline);
        while !connection.unsent.is_empty() {
            match (&connection.stream).write(&batch[connection.unsent.clone()]) {
                Ok(sent) => connection.unsent.start += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => bail!(error),
            }
        }
        let waits = !connection.unsent.is_empty();
        if waits || waited {
            let flags = if waits {
                epoll::EventFlags::IN | epoll::EventFlags::OUT
            } else {
                epoll::EventFlags::IN
            };
            epoll::modify(
                &self.epoll,
                &connection.stream,
                epoll::EventData::new_u64(index as u64),
                flags,
            )?;
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
        ensure!(complete.replies <= connection.outstanding, "more replies than requests");
        connection.outstanding -= complete.replies;
        ensure!(
            connection.outstanding > 0 || connection.partial.is_empty(),
            "bytes after the last reply"
        );
        Ok(complete.replies)
    }
}

/// Requests and reply of a workload, ready for drivers.
pub fn prepare(workload: Workload) -> (Requests, Expected) {
    (workload.requests(), workload.expected())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers each `*` with `reply`, a few bytes at a time, on each accepted connection in turn.
    fn serve(reply: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut bytes) {
                        for _ in memchr::memchr_iter(b'*', &bytes[..read]) {
                            for piece in reply.chunks(5) {
                                stream.write_all(piece).unwrap();
                            }
                        }
                    }
                });
            }
        });
        address
    }

    fn drive(reply: &'static [u8]) -> Result<u64> {
        let (requests, expected) = prepare(Workload::Hget);
        let mut driver = Driver::connect(serve(reply), 3, 7, &requests, &expected)?;
        let mut latencies = Histogram::new();
        let first = driver.drive(Duration::from_millis(20), &mut latencies)?;
        let second = driver.drive(Duration::from_millis(20), &mut latencies)?;
        assert!(driver.connections.iter().all(|connection| connection.outstanding == 0));
        assert!(latencies.quantile_ns(0.5) > 0);
        Ok(first.replies + second.replies)
    }

    #[test]
    fn every_request_gets_its_reply() {
        let replies = drive(b"$32\r\n0123456789abcdef0123456789abcdef\r\n").unwrap();
        assert!(replies >= 2 * 3 * 7 && replies.is_multiple_of(7), "{replies}");
    }

    #[test]
    fn an_error_reply_ends_the_drive() {
        assert!(
            drive(b"-ERR unknown command\r\n").unwrap_err().to_string().contains("-ERR unknown")
        );
    }
}
