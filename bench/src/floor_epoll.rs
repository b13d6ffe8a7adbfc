//! The lower floor: one thread, level-triggered epoll, one read and one write per readiness, a constant per request.
//!
//! No server that speaks TCP through sockets and epoll can be cheaper by much: what is left is the kernel's work.

use crate::Listen;
use crate::floor_reply::FloorReply;
use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

const READ_BYTES: usize = 16 * 1024;
const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    reply: Option<FloorReply>,
    /// Bytes that the socket did not take; while there are any, nothing is read.
    unsent: Vec<u8>,
}

/// Serves until it is killed.
///
/// # Errors
/// When the port is taken or epoll fails.
pub fn run(listen: &Listen) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen.port))?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut events = Vec::with_capacity(256);
    let mut scratch = vec![0; READ_BYTES];
    let mut next_id = 0;
    loop {
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let id = event.data.u64();
            if id == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                epoll::add(&epoll, &stream, EventData::new_u64(next_id), EventFlags::IN)?;
                connections.insert(next_id, Connection { stream, reply: None, unsent: Vec::new() });
                next_id += 1;
            } else if let Some(connection) = connections.get_mut(&id) {
                let waited = !connection.unsent.is_empty();
                if serve(connection, &mut scratch).is_err() {
                    connections.remove(&id);
                    continue;
                }
                let waits = !connection.unsent.is_empty();
                if waits != waited {
                    let flags = if waits { EventFlags::OUT } else { EventFlags::IN };
                    epoll::modify(&epoll, &connection.stream, EventData::new_u64(id), flags)?;
                }
            }
        }
    }
}

/// One readiness. An error means that the connection is over.
fn serve(connection: &mut Connection, scratch: &mut [u8]) -> std::io::Result<()> {
    if !connection.unsent.is_empty() {
        let sent = connection.stream.write(&connection.unsent)?;
        connection.unsent.drain(..sent);
        return Ok(());
    }
    let read = connection.stream.read(scratch)?;
    if read == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let received = &scratch[..read];
    let reply = connection.reply.get_or_insert_with(|| FloorReply::choose(received));
    let mut requests = FloorReply::requests(received);
    while requests > 0 {
        let bytes = reply.take(&mut requests);
        let sent = if connection.unsent.is_empty() {
            try_write(&mut connection.stream, bytes)?
        } else {
            0
        };
        connection.unsent.extend_from_slice(&bytes[sent..]);
    }
    Ok(())
}

fn try_write(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
