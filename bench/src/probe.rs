//! A client that asks for one thing again and again and remembers how long it waited: the eye on pauses.

use crate::histogram::Histogram;
use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Rest between an answer and the next question.
const REST: Duration = Duration::from_micros(200);

/// A running probe.
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Histogram>>,
}

impl Probe {
    /// Asks `request`, whose reply must fit into one packet, on a connection and a thread of its own.
    pub fn start(address: SocketAddr, request: &[u8]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, request) = (stop.clone(), request.to_vec());
        Self { stop, thread: std::thread::spawn(move || watch(address, &request, &stopped)) }
    }

    /// Ends it; tells the latencies in ns.
    ///
    /// # Errors
    /// When a question was not answered.
    pub fn finish(self) -> Result<Value> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().map_err(|_| anyhow!("the probe panicked"))??;
        Ok(json!({
            "probe_p50_ns": seen.quantile_ns(0.5),
            "probe_p999_ns": seen.quantile_ns(0.999),
            "probe_max_ns": seen.max_ns(),
        }))
    }
}

fn watch(address: SocketAddr, request: &[u8], stop: &AtomicBool) -> Result<Histogram> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut seen = Histogram::new();
    let mut reply = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        stream.write_all(request)?;
        let read = stream.read(&mut reply)?;
        ensure!(
            read > 0 && reply[0] != b'-',
            "the probe received {:?}",
            String::from_utf8_lossy(&reply[..read])
        );
        seen.record(asked.elapsed().as_nanos() as u64, 1);
        std::thread::sleep(REST);
    }
    Ok(seen)
}
