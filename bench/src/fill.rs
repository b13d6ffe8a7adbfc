//! `fill`: gives an empty RESP server the data that the workloads use, then reads it back and compares every byte.

use crate::keyspace::{
    self, Large, NAMESPACE, PAIRS, SMALL_NAMESPACE, SMALL_PAIRS, TIMED_NAMESPACE, WIDE_NAMESPACES,
    WIDE_PAIRS,
};
use crate::workload::{Data, Workload, bulk, resp};
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// Commands sent before their replies are read. Few enough to fit into socket buffers both ways.
const BATCH: usize = 200;

/// Options of `fill`.
#[derive(clap::Args)]
pub struct Options {
    /// Port of the server, which must be empty
    #[arg(long)]
    port: u16,
    /// A workload whose data the server is given; may be repeated
    #[arg(long, value_enum)]
    workload: Vec<Workload>,
    /// Read some pairs through REST too, at this port
    #[arg(long)]
    http_port: Option<u16>,
}

/// Fills and verifies.
///
/// # Errors
/// When any reply differs from the one that is due.
pub fn run(options: &Options) -> Result<()> {
    let mut exchange = Exchange::open(options.port)?;
    let mut filled = Vec::new();
    for workload in &options.workload {
        let data = workload.data();
        if !filled.contains(&data) {
            filled.push(data);
            match data {
                Data::Base => fill_base(&mut exchange)?,
                Data::Timed => fill_timed(&mut exchange)?,
                Data::Wide => fill_wide(&mut exchange)?,
                Data::Large(large) => fill_large(&mut exchange, large)?,
            }
            exchange.finish()?;
        }
    }
    match options.http_port {
        Some(port) if filled.contains(&Data::Base) => verify_rest(port),
        _ => Ok(()),
    }
}

fn fill_base(exchange: &mut Exchange) -> Result<()> {
    for index in 0..PAIRS {
        let (key, value) = (keyspace::key(index), keyspace::value(index));
        exchange.expect(&["HSET", NAMESPACE, &key, &value], ":1\r\n")?;
        exchange.expect(&["SET", &key, &value], "+OK\r\n")?;
    }
    for index in 0..SMALL_PAIRS {
        let (key, value) = (keyspace::small_key(index), keyspace::value(index));
        exchange.expect(&["HSET", SMALL_NAMESPACE, &key, &value], ":1\r\n")?;
    }
    for index in 0..PAIRS {
        let key = keyspace::key(index);
        let reply = bulk(&keyspace::value(index));
        exchange.expect(&["HGET", NAMESPACE, &key], &reply)?;
        exchange.expect(&["GET", &key], &reply)?;
    }
    for index in 0..SMALL_PAIRS {
        let reply = bulk(&keyspace::value(index));
        exchange.expect(&["HGET", SMALL_NAMESPACE, &keyspace::small_key(index)], &reply)?;
    }
    exchange.expect(&["HLEN", NAMESPACE], &format!(":{PAIRS}\r\n"))?;
    exchange.expect(&["HLEN", SMALL_NAMESPACE], &format!(":{SMALL_PAIRS}\r\n"))
}

fn fill_timed(exchange: &mut Exchange) -> Result<()> {
    for index in 0..PAIRS {
        let request = Workload::Hsetex.request(&keyspace::key(index), &keyspace::value(index));
        exchange.expect_rendered(&request, ":1\r\n")?;
    }
    exchange.expect(&["HLEN", TIMED_NAMESPACE], &format!(":{PAIRS}\r\n"))
}

/// Every hundredth namespace is read back.
fn fill_wide(exchange: &mut Exchange) -> Result<()> {
    let keys: Vec<String> = (0..WIDE_PAIRS).map(keyspace::key).collect();
    for index in 0..WIDE_NAMESPACES {
        let (namespace, value) = (keyspace::wide_namespace(index), keyspace::value(index));
        let mut words = vec!["HSET", &namespace];
        words.extend(keys.iter().flat_map(|key| [key.as_str(), &value]));
        exchange.expect(&words, &format!(":{WIDE_PAIRS}\r\n"))?;
    }
    for index in (0..WIDE_NAMESPACES).step_by(100) {
        let (namespace, value) = (keyspace::wide_namespace(index), keyspace::value(index));
        exchange.expect(&["HGET", &namespace, &keys[0]], &bulk(&value))?;
    }
    Ok(())
}

fn fill_large(exchange: &mut Exchange, large: Large) -> Result<()> {
    for index in 0..large.pairs() {
        let (key, value) = (keyspace::key(index), keyspace::large_value(index, large.value_bytes));
        exchange.expect(&["HSET", large.namespace, &key, &value], ":1\r\n")?;
        exchange.expect(&["HGET", large.namespace, &key], &bulk(&value))?;
        exchange.finish()?;
    }
    Ok(())
}

/// Reads every thousandth pair through REST and compares it.
fn verify_rest(port: u16) -> Result<()> {
    let mut stream = connect(port)?;
    let expected = Workload::RestGet.expected();
    for index in (0..PAIRS).step_by(1000) {
        let (key, value) = (keyspace::key(index), keyspace::value(index));
        stream.write_all(Workload::RestGet.request(&key, &value).as_bytes())?;
        let mut answer = Vec::new();
        while expected.count(&answer)?.replies == 0 {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).context("waiting for a REST answer")?;
            ensure!(read > 0, "the server closed the connection");
            answer.extend_from_slice(&bytes[..read]);
        }
        let text = String::from_utf8(answer)?;
        let body = text.split_once("\r\n\r\n").context("an answer without a body")?.1;
        let due = serde_json::json!({"namespace": NAMESPACE, "key": key, "value": value});
        ensure!(
            serde_json::from_str::<serde_json::Value>(body)? == due,
            "received {body} where {due} was due"
        );
    }
    Ok(())
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// Sends commands in batches and compares their replies.
struct Exchange {
    stream: TcpStream,
    commands: String,
    replies: String,
    waiting: usize,
}

impl Exchange {
    fn open(port: u16) -> Result<Self> {
        Ok(Self {
            stream: connect(port)?,
            commands: String::new(),
            replies: String::new(),
            waiting: 0,
        })
    }

    fn expect(&mut self, command: &[&str], reply: &str) -> Result<()> {
        self.expect_rendered(&resp(command), reply)
    }

    fn expect_rendered(&mut self, command: &str, reply: &str) -> Result<()> {
        self.commands += command;
        self.replies += reply;
        self.waiting += 1;
        if self.waiting == BATCH { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<()> {
        self.stream.write_all(self.commands.as_bytes())?;
        let mut received = vec![0; self.replies.len()];
        let mut filled = 0;
        while filled < received.len() {
            let read = self.stream.read(&mut received[filled..]).context("waiting for replies")?;
            filled += read;
            // Compare as they come: a shorter reply, such as an error, would else be waited for in vain.
            let due = &self.replies.as_bytes()[..filled];
            ensure!(
                read > 0 && received[..filled] == *due,
                "{}",
                difference(&received[..filled], due)
            );
        }
        self.commands.clear();
        self.replies.clear();
        self.waiting = 0;
        Ok(())
    }
}

fn difference(received: &[u8], due: &[u8]) -> String {
    let at = received.iter().zip(due).take_while(|(one, other)| one == other).count();
    let shown =
        |bytes: &[u8]| String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 80)]).into_owned();
    format!("received {:?} where {:?} was due", shown(received), shown(due))
}
