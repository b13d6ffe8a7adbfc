//! pantry without sockets: HGET and HSET on one namespace from one thread and from two, through the library's dispatch.
//!
//! Shows what locks and shared cache lines cost when two threads want the same namespace. It is not a measure of the server, whose
//! sockets take most of its time. Beside it stand two floors: the same work by two threads that share no table, and arithmetic, which
//! shares nothing at all. What they lack of 2.0 is the machine's.

mod thread;

use anyhow::{Result, ensure};
use clap::Parser;
use pantry::clock::Clock;
use pantry::config::Config;
use pantry::journal::Journal;
use pantry::resp::owned::OwnedRequest;
use pantry::server::Server;
use pantry::store::Store;
use std::hint::black_box;
use std::time::Duration;

use thread::{Rate, Thread, window};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rendered requests of a thread.
const RENDERED: usize = 1 << 16;
const VALUE: &str = "0123456789abcdef0123456789abcdef";
/// Steps of arithmetic that count as one operation.
const STEPS: u64 = 100;

#[derive(Parser)]
#[command(about = "Operations on one namespace, from one thread and from two")]
struct Options {
    /// Pairs in the namespace; where each thread has its own, in both together
    #[arg(long, default_value_t = 1_000_000)]
    pairs: u64,
    /// Requests in a batch, as of one pipeline
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Length of a window
    #[arg(long, default_value_t = 300)]
    window_ms: u64,
    /// Windows of each kind, in turns
    #[arg(long, default_value_t = 11)]
    windows: usize,
    /// Run the requests of a batch one by one, not looked at ahead as the server does
    #[arg(long)]
    no_ahead: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    ensure!(options.pairs > 1 && options.windows > 0, "--pairs must be above 1, --windows above 0");
    ensure!((1..=RENDERED).contains(&options.batch), "--batch must be 1 to {RENDERED}");
    let shared = filled(&options, options.pairs)?;
    let own = [filled(&options, options.pairs / 2)?, filled(&options, options.pairs / 2)?];
    for (name, request) in [("hget", hget as fn(u64) -> OwnedRequest), ("hset", hset)] {
        let requests = |pairs| [1, 2].map(|seed| rendered(request, pairs, seed));
        let (of_shared, of_own) = (requests(options.pairs), requests(options.pairs / 2));
        let shared_rates = turns(&options, |number| {
            let mut thread = Thread::new(&shared, number, !options.no_ahead);
            let mut batches = of_shared[number].chunks(options.batch).cycle();
            move || batches.next().map_or(Ok(0), |batch| thread.run(batch))
        })?;
        let own_rates = turns(&options, |number| {
            let mut thread = Thread::new(&own[number], 0, !options.no_ahead);
            let mut batches = of_own[number].chunks(options.batch).cycle();
            move || batches.next().map_or(Ok(0), |batch| thread.run(batch))
        })?;
        report(name, "one namespace", &options, &shared_rates);
        report(name, "two tables", &options, &own_rates);
    }
    let rates = turns(&options, |number| {
        let mut state = number as u64;
        move || {
            (0..STEPS * options.batch as u64).for_each(|_| _ = black_box(random(&mut state)));
            Ok(options.batch as u64)
        }
    })?;
    report("arithmetic", "nothing", &options, &rates);
    Ok(())
}

/// A server with one namespace.
fn filled(options: &Options, pairs: u64) -> Result<Server> {
    let store = Store::new(Journal::discarding(), Clock::system());
    let server = Server::new(Config::default(), store, 2);
    let mut thread = Thread::new(&server, 0, true);
    let all: Vec<u64> = (0..pairs).collect();
    for chunk in all.chunks(options.batch) {
        let requests: Vec<_> = chunk.iter().map(|&index| hset(index)).collect();
        thread.run(&requests)?;
    }
    drop(thread);
    Ok(server)
}

/// Rates of one thread and of two, in turns. `make` makes the work of a thread by its number.
fn turns<W: FnMut() -> Result<u64>>(
    options: &Options,
    make: impl Fn(usize) -> W + Sync,
) -> Result<[Vec<Rate>; 2]> {
    let mut rates = [Vec::new(), Vec::new()];
    let length = Duration::from_millis(options.window_ms);
    for _ in 0..options.windows {
        for threads in [1, 2] {
            rates[threads - 1].push(window(threads, length, &make)?);
        }
    }
    Ok(rates)
}

/// One line of JSON.
fn report(operation: &str, shares: &str, options: &Options, rates: &[Vec<Rate>; 2]) {
    let [one, two] = rates;
    let wall = |rates: &[Rate]| rates.iter().map(|rate| rate.per_s).collect::<Vec<_>>();
    let cpu = |rates: &[Rate]| rates.iter().map(|rate| rate.per_cpu_s).collect::<Vec<_>>();
    let best = |rates: Vec<f64>| rates.into_iter().fold(0.0, f64::max);
    // Neighbouring windows are compared, so that what slows both drops out.
    let ratio = |one: Vec<f64>, two: Vec<f64>| {
        median(two.iter().zip(&one).map(|(two, one)| two / one).collect())
    };
    println!(
        "{}",
        serde_json::json!({
            "operation": operation,
            "shares": shares,
            "pairs": options.pairs,
            "one_thread_per_s": median(wall(one)),
            "two_threads_per_s": median(wall(two)),
            "ratio": ratio(wall(one), wall(two)),
            // On a machine that others use too, the best windows are those they left alone.
            "ratio_of_best": best(wall(two)) / best(wall(one)),
            // What others take of the machine drops out; so does time spent asleep at a lock.
            "ratio_by_cpu_time": 2.0 * ratio(cpu(one), cpu(two)),
            "cpu_ns_one": 1e9 / median(cpu(one)),
            "cpu_ns_two": 1e9 / median(cpu(two)),
        })
    );
}

fn rendered(request: fn(u64) -> OwnedRequest, pairs: u64, seed: u64) -> Vec<OwnedRequest> {
    let mut state = seed;
    (0..RENDERED).map(|_| request(random(&mut state) % pairs)).collect()
}

/// splitmix64
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn hget(index: u64) -> OwnedRequest {
    let key = key(index);
    OwnedRequest::new(["HGET", "bench", &key].map(str::as_bytes))
}

fn hset(index: u64) -> OwnedRequest {
    let key = key(index);
    OwnedRequest::new(["HSET", "bench", &key, VALUE].map(str::as_bytes))
}

fn key(index: u64) -> String {
    format!("key-{index:012}")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
