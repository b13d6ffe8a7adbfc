//! pantry without sockets: HGET and HSET on one namespace from one thread and from two, through the library's dispatch.
//!
//! Shows what locks and shared cache lines cost when two threads want the same namespace. It is not a measure of the server, whose
//! sockets take most of its time.

use anyhow::{Result, anyhow, ensure};
use clap::Parser;
use pantry::clock::{Clock, thread_cpu_ns};
use pantry::config::Config;
use pantry::dispatch::Executor;
use pantry::journal::Journal;
use pantry::journal::effect::Effects;
use pantry::output::Output;
use pantry::reply::Reply;
use pantry::resp::owned::OwnedRequest;
use pantry::server::Server;
use pantry::server::clients::Client;
use pantry::session::Session;
use pantry::store::{Settings, Store};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rendered requests of a thread.
const RENDERED: usize = 1 << 16;
const VALUE: &str = "0123456789abcdef0123456789abcdef";

#[derive(Parser)]
#[command(about = "Operations on one namespace, from one thread and from two")]
struct Options {
    /// Pairs in the namespace
    #[arg(long, default_value_t = 1_000_000)]
    pairs: u64,
    /// Requests in a batch, as of one pipeline
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// A namespace of its own for each thread: what two threads reach that share nothing but the machine
    #[arg(long)]
    apart: bool,
    /// Length of a window
    #[arg(long, default_value_t = 300)]
    window_ms: u64,
    /// Windows of one thread and of two, in turns
    #[arg(long, default_value_t = 11)]
    windows: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    ensure!(options.pairs > 0 && options.windows > 0, "--pairs and --windows must be above 0");
    ensure!((1..=RENDERED).contains(&options.batch), "--batch must be 1 to {RENDERED}");
    let store = Store::new(Journal::discarding(), Clock::system());
    let server = Server::new(Config::default(), store, 2);
    let all: Vec<u64> = (0..options.pairs).collect();
    for chunk in all.chunks(RENDERED) {
        let names = if options.apart { 2 } else { 1 };
        let requests: Vec<_> = chunk
            .iter()
            .flat_map(|&index| (0..names).map(move |name| hset(name, index)))
            .collect();
        let mut thread = Thread::new(&server, 0);
        for batch in requests.chunks(options.batch) {
            thread.run(batch)?;
        }
    }
    for (name, request) in [("hget", hget as fn(u64, u64) -> OwnedRequest), ("hset", hset)] {
        let requests = [1, 2].map(|seed| rendered(request, &options, seed));
        let mut rates = [Vec::new(), Vec::new()];
        let mut cpu_rates = [Vec::new(), Vec::new()];
        for _ in 0..options.windows {
            for threads in [1, 2] {
                let (rate, cpu_rate) = window(&server, &requests[..threads], &options)?;
                rates[threads - 1].push(rate);
                cpu_rates[threads - 1].push(cpu_rate);
            }
        }
        // Neighbouring windows are compared, so that what slows both drops out.
        let ratio = |rates: &[Vec<f64>; 2]| {
            median(rates[1].iter().zip(&rates[0]).map(|(two, one)| two / one).collect())
        };
        println!(
            "{}",
            serde_json::json!({
                "operation": name,
                "pairs": options.pairs,
                "one_thread_per_s": median(rates[0].clone()),
                "two_threads_per_s": median(rates[1].clone()),
                "ratio": ratio(&rates),
                // What others take of the machine drops out; so does time spent asleep at a lock.
                "cpu_ns_one": 1e9 / median(cpu_rates[0].clone()),
                "cpu_ns_two": 1e9 / median(cpu_rates[1].clone()),
                "ratio_by_cpu_time": 2.0 * ratio(&cpu_rates),
            })
        );
    }
    Ok(())
}

fn rendered(
    request: fn(u64, u64) -> OwnedRequest,
    options: &Options,
    seed: u64,
) -> Vec<OwnedRequest> {
    let name = if options.apart { seed - 1 } else { 0 };
    // splitmix64
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..RENDERED).map(|_| request(name, next() % options.pairs)).collect()
}

fn hget(name: u64, index: u64) -> OwnedRequest {
    let (name, key) = (format!("bench-{name}"), key(index));
    OwnedRequest::new(["HGET", &name, &key].map(str::as_bytes))
}

fn hset(name: u64, index: u64) -> OwnedRequest {
    let (name, key) = (format!("bench-{name}"), key(index));
    OwnedRequest::new(["HSET", &name, &key, VALUE].map(str::as_bytes))
}

fn key(index: u64) -> String {
    format!("key-{index:012}")
}

/// Operations per second of as many threads as there are lists of requests, and per second of their CPU time.
fn window(server: &Server, requests: &[Vec<OwnedRequest>], options: &Options) -> Result<(f64, f64)> {
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let (done, cpu_ns) = std::thread::scope(|scope| {
        let threads: Vec<_> = requests
            .iter()
            .enumerate()
            .map(|(number, requests)| {
                let stop = &stop;
                scope.spawn(move || -> Result<(u64, u64)> {
                    let begun_ns = thread_cpu_ns();
                    let mut thread = Thread::new(server, number);
                    let mut done = 0;
                    for batch in requests.chunks(options.batch).cycle() {
                        if stop.load(Relaxed) {
                            break;
                        }
                        thread.run(batch)?;
                        done += batch.len() as u64;
                    }
                    Ok((done, thread_cpu_ns() - begun_ns))
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(options.window_ms));
        stop.store(true, Relaxed);
        threads
            .into_iter()
            .map(|one| one.join().map_err(|_| anyhow!("a thread panicked"))?)
            .try_fold((0, 0), |(done, cpu_ns), one| {
                let (its_done, its_cpu_ns) = one?;
                anyhow::Ok((done + its_done, cpu_ns + its_cpu_ns))
            })
    })?;
    let seconds = start.elapsed().as_secs_f64();
    Ok((done as f64 / seconds, done as f64 * 1e9 / cpu_ns as f64))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What a worker thread runs batches with.
struct Thread<'s> {
    server: &'s Server,
    number: usize,
    session: Session,
    effects: Effects,
    output: Output,
    random: u64,
}

impl<'s> Thread<'s> {
    fn new(server: &'s Server, number: usize) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let client = Client::new(1, (nowhere, nowhere), 2, server.store.clock.now_ms());
        let session = Session::new(Arc::new(client), true);
        Self { server, number, session, effects: Effects::default(), output: Output::new(), random: 0 }
    }

    fn run(&mut self, batch: &[OwnedRequest]) -> Result<()> {
        self.random += 1;
        let effects = std::mem::take(&mut self.effects);
        let metrics = &self.server.metrics[self.number];
        let mut executor =
            Executor::new(self.server, metrics, &Settings::NONE, effects, self.random);
        self.output.clear();
        for request in batch {
            let mut reply = Reply::resp(&mut self.output, false);
            executor.execute(&mut self.session, request.args(), &mut reply);
        }
        self.effects = executor.finish(&mut self.session);
        // Replies are integers or values; a null or an error is neither, and shows in the first byte or the second.
        let bytes = self.output.without_values().unwrap_or_default();
        let is_right = matches!(bytes, [b':', ..] | [b'$', b'0'..=b'9', ..]);
        ensure!(is_right, "the first reply: {}", bytes[..bytes.len().min(80)].escape_ascii());
        Ok(())
    }
}
