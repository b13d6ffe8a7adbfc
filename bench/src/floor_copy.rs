//! The floor for long answers: copies memory block by block and sends each block, and does nothing else. No parser, no data.

use crate::Listen;
use anyhow::Result;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};

/// What it sends; more than any cache holds.
const BYTES: usize = 64 << 20;
/// Copied and sent at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// Serves one client after the other until it is killed.
///
/// # Errors
/// When the port is taken.
pub fn run(listen: &Listen) -> Result<()> {
    let source: Vec<u8> = (0..BYTES).map(|at| b'a' + (at % 26) as u8).collect();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen.port))?;
    let mut block = vec![0; BLOCK_BYTES];
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut request = [0; 4096];
        // Who only looks whether the port is open asks nothing.
        if stream.read(&mut request)? == 0 {
            continue;
        }
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        for piece in source.chunks(BLOCK_BYTES) {
            block[..piece.len()].copy_from_slice(piece);
            stream.write_all(&block[..piece.len()])?;
        }
    }
    Ok(())
}
