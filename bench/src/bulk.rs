//! `bulk`: the same pairs in one HTTP call and as pipelined HSETs, in turns; tells the server's CPU time per pair of both.

use crate::accounting::Process;
use crate::doors::Doors;
use crate::keyspace;
use crate::workload::resp;
use anyhow::{Result, ensure};
use serde_json::json;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// Time for a server that has answered to fall asleep, so that its account is complete.
const SETTLE: Duration = Duration::from_millis(3);
/// HSETs that are sent before their replies are awaited.
const PIPELINE: usize = 64;

/// Options of `bulk`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    server: Doors,
    /// Pairs in one call
    #[arg(long, default_value_t = 10_000)]
    pairs: u64,
    /// Rounds
    #[arg(long, default_value_t = 21)]
    rounds: usize,
}

/// Sends and prints a JSON line for each round.
///
/// # Errors
/// When the server refuses.
pub fn run(options: &Options) -> Result<()> {
    let mut http = TcpStream::connect((Ipv4Addr::LOCALHOST, options.server.http_port))?;
    let mut redis = TcpStream::connect((Ipv4Addr::LOCALHOST, options.server.port))?;
    redis.set_nodelay(true)?;
    let (json_call, csv_call, commands) =
        (json_call(options.pairs)?, csv_call(options.pairs)?, commands(options.pairs));
    for round in 0..=options.rounds {
        let spent = |work: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
            let before = Process::of(options.server.pid)?;
            work()?;
            std::thread::sleep(SETTLE);
            Ok((Process::of(options.server.pid)? - before).run_ns as f64 / options.pairs as f64)
        };
        let json_ns = spent(&mut || call(&mut http, &json_call))?;
        let hset_ns = spent(&mut || pipeline(&mut redis, &commands))?;
        let csv_ns = spent(&mut || call(&mut http, &csv_call))?;
        // The first round makes the pairs, the others write them again.
        if round > 0 {
            println!("{}", json!({ "json_ns": json_ns, "csv_ns": csv_ns, "hset_ns": hset_ns }));
        }
    }
    Ok(())
}

fn json_call(pairs: u64) -> Result<Vec<u8>> {
    let mut rows = String::from("[");
    for index in 0..pairs {
        let comma = if index > 0 { "," } else { "" };
        let (key, value) = (keyspace::key(index), keyspace::value(index));
        write!(rows, r#"{comma}{{"key":"{key}","value":"{value}"}}"#)?;
    }
    rows.push(']');
    Ok(request("application/json", &rows))
}

fn csv_call(pairs: u64) -> Result<Vec<u8>> {
    let mut rows = String::from("key,value\r\n");
    for index in 0..pairs {
        write!(rows, "{},{}\r\n", keyspace::key(index), keyspace::value(index))?;
    }
    Ok(request("text/csv", &rows))
}

fn request(content_type: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST /v1/set-many?namespace=bulk HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

fn call(stream: &mut TcpStream, request: &[u8]) -> Result<()> {
    stream.write_all(request)?;
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer)?;
    let text = String::from_utf8_lossy(&answer[..read]);
    ensure!(text.starts_with("HTTP/1.1 200") && text.ends_with('}'), "{text}");
    Ok(())
}

fn commands(pairs: u64) -> Vec<String> {
    let all: Vec<u64> = (0..pairs).collect();
    let hset = |&index: &u64| {
        resp(&[
            "HSET",
            "piped",
            &keyspace::key(index).to_string(),
            &keyspace::value(index).to_string(),
        ])
    };
    all.chunks(PIPELINE).map(|some| some.iter().map(hset).collect()).collect()
}

fn pipeline(stream: &mut TcpStream, commands: &[String]) -> Result<()> {
    let mut reply = [0; 4096];
    for batch in commands {
        stream.write_all(batch.as_bytes())?;
        let wanted = batch.matches("*4\r\n").count() * b":0\r\n".len();
        let mut received = 0;
        while received < wanted {
            let read = stream.read(&mut reply)?;
            ensure!(read > 0 && !reply[..read].contains(&b'-'), "the server refused an HSET");
            received += read;
        }
    }
    Ok(())
}
