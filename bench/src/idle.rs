//! `connections`: opens many connections, lets each be answered once, and tells what they cost the server while they rest.

use crate::accounting::Memory;
use crate::workload::resp;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Connections come from 127.0.0.2 and its successors in turn, so that no source runs out of ports.
const SOURCES: u8 = 4;

/// Options of `connections`.
#[derive(clap::Args)]
pub struct Options {
    /// Port of the server
    #[arg(long)]
    port: u16,
    /// Process of the server
    #[arg(long)]
    pid: u32,
    /// How many
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// Rest before memory is read
    #[arg(long, default_value_t = 1000)]
    settle_ms: u64,
}

/// Opens, asks, rests; prints a JSON line.
///
/// # Errors
/// When the server refuses or does not answer one.
pub fn run(options: &Options) -> Result<()> {
    // One comes and goes beforehand, so that what the server prepares for its first client is not counted.
    ask(&mut open(options.port, 0)?)?;
    let before = Memory::of(options.pid)?;
    let mut all = Vec::with_capacity(options.count);
    for index in 0..options.count {
        let mut stream = open(options.port, index).with_context(|| {
            format!("connection {index}; the limit of open files is one reason")
        })?;
        ask(&mut stream).with_context(|| format!("connection {index}"))?;
        all.push(stream);
    }
    std::thread::sleep(Duration::from_millis(options.settle_ms));
    let after = Memory::of(options.pid)?;
    // They are all there still.
    for stream in &mut all {
        ask(stream)?;
    }
    println!(
        "{}",
        json!({
            "connections": all.len(),
            "rss_growth_bytes": after.resident_bytes.saturating_sub(before.resident_bytes),
        })
    );
    Ok(())
}

fn open(port: u16, index: usize) -> Result<TcpStream> {
    let source = Ipv4Addr::new(127, 0, 0, 2 + (index % usize::from(SOURCES)) as u8);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(socket.into())
}

fn ask(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(resp(&["HGET", "bench", "key-000000000000"]).as_bytes())?;
    let mut reply = [0; 256];
    let read = stream.read(&mut reply)?;
    let text = String::from_utf8_lossy(&reply[..read]);
    ensure!(text.starts_with('$'), "the server answered {text:?}");
    Ok(())
}
