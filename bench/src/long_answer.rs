//! `long-answer`: reads one long answer over HTTP, several times, and tells the server's CPU time per byte of it, how much memory
//! the server needed meanwhile, and how long other clients waited.

use crate::accounting::{Memory, Process};
use crate::probe::Probe;
use crate::workload::resp;
use anyhow::{Result, ensure};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Time for a server that has sent its last byte to fall asleep, so that its account is complete.
const SETTLE: Duration = Duration::from_millis(5);

/// Options of `long-answer`.
#[derive(clap::Args)]
pub struct Options {
    /// Port of the server's HTTP door
    #[arg(long)]
    http_port: u16,
    /// Process of the server
    #[arg(long)]
    pid: u32,
    /// What to read
    #[arg(long)]
    path: String,
    /// Port of its Redis door: ask for a pair there meanwhile (not counted in the CPU time of the other runs)
    #[arg(long)]
    probe_port: Option<u16>,
    /// How often
    #[arg(long, default_value_t = 5)]
    times: usize,
}

/// Reads and prints a JSON line each time.
///
/// # Errors
/// When the server refuses.
pub fn run(options: &Options) -> Result<()> {
    for _ in 0..options.times {
        let (cpu, before) = (Process::of(options.pid)?, Memory::of(options.pid)?);
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let request = resp(&["HGET", "pairs", "none"]);
        let probe = options.probe_port.map(|port| Probe::start(address(port), request.as_bytes()));
        let began = Instant::now();
        let (bytes, most_resident) = read(options, before.resident_bytes)?;
        let elapsed = began.elapsed();
        let waits = probe.map(Probe::finish).transpose()?;
        std::thread::sleep(SETTLE);
        let cpu = Process::of(options.pid)? - cpu;
        println!(
            "{}",
            json!({
                "bytes": bytes,
                "elapsed_ns": elapsed.as_nanos() as u64,
                "server_cpu_ns": cpu.run_ns,
                "rss_growth_bytes": most_resident - before.resident_bytes,
                "probe": waits,
            })
        );
    }
    Ok(())
}

/// Reads the whole answer: its bytes, and the most memory that the server had meanwhile.
fn read(options: &Options, resident_bytes: u64) -> Result<(u64, u64)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, options.http_port))?;
    let request =
        format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", options.path);
    stream.write_all(request.as_bytes())?;
    let (mut buffer, mut bytes, mut most) = (vec![0; 256 * 1024], 0, resident_bytes);
    let mut looked = Instant::now();
    loop {
        let read = stream.read(&mut buffer)?;
        if bytes == 0 {
            let head = &buffer[..read.min(64)];
            ensure!(head.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(head));
        }
        if read == 0 {
            return Ok((bytes, most));
        }
        bytes += read as u64;
        if looked.elapsed() > Duration::from_millis(20) {
            most = most.max(Memory::of(options.pid)?.resident_bytes);
            looked = Instant::now();
        }
    }
}
