//! A worker thread without its sockets, and windows of time in which some of them run.

use anyhow::{Result, anyhow, ensure};
use pantry::clock::thread_cpu_ns;
use pantry::dispatch::{Executor, Plan};
use pantry::journal::effect::Effects;
use pantry::output::Output;
use pantry::reply::Reply;
use pantry::resp::ahead::AHEAD_MAX;
use pantry::resp::owned::OwnedRequest;
use pantry::server::Server;
use pantry::server::clients::Client;
use pantry::session::Session;
use pantry::store::Settings;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How fast some threads were, together.
pub struct Rate {
    /// Operations per second.
    pub per_s: f64,
    /// Operations per second of CPU time.
    pub per_cpu_s: f64,
}

/// Lets so many threads do their work for so long. Work is done again and again, and tells how many operations it was.
pub fn window<W: FnMut() -> Result<u64>>(
    threads: usize,
    length: Duration,
    make: &(impl Fn(usize) -> W + Sync),
) -> Result<Rate> {
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let (done, cpu_ns) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|number| {
                let stop = &stop;
                scope.spawn(move || -> Result<(u64, u64)> {
                    let begun_ns = thread_cpu_ns();
                    let mut work = make(number);
                    let mut done = 0;
                    while !stop.load(Relaxed) {
                        done += work()?;
                    }
                    Ok((done, thread_cpu_ns() - begun_ns))
                })
            })
            .collect();
        std::thread::sleep(length);
        stop.store(true, Relaxed);
        threads
            .into_iter()
            .map(|one| one.join().map_err(|_| anyhow!("a thread panicked"))?)
            .try_fold((0, 0), |(done, cpu_ns), one| {
                let (its_done, its_cpu_ns) = one?;
                anyhow::Ok((done + its_done, cpu_ns + its_cpu_ns))
            })
    })?;
    let (seconds, cpu_seconds) = (start.elapsed().as_secs_f64(), cpu_ns as f64 / 1e9);
    Ok(Rate { per_s: done as f64 / seconds, per_cpu_s: done as f64 / cpu_seconds })
}

/// What a worker thread runs batches with.
pub struct Thread<'s> {
    server: &'s Server,
    number: usize,
    looks_ahead: bool,
    session: Session,
    effects: Effects,
    output: Output,
    random: u64,
}

impl<'s> Thread<'s> {
    /// The worker with this number. Batches are looked at ahead, as the server does, or not.
    pub fn new(server: &'s Server, number: usize, looks_ahead: bool) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let client = Client::new(1, (nowhere, nowhere), 2, server.store.clock.now_ms());
        let session = Session::new(Arc::new(client), pantry::acl::Identity::new(&server.acl));
        let (effects, output) = (Effects::default(), Output::new());
        Self { server, number, looks_ahead, session, effects, output, random: 0 }
    }

    /// Runs the requests as one batch and returns their number.
    pub fn run(&mut self, batch: &[OwnedRequest]) -> Result<u64> {
        self.random += 1;
        let effects = std::mem::take(&mut self.effects);
        let metrics = &self.server.metrics[self.number];
        let mut executor =
            Executor::new(self.server, metrics, &Settings::NONE, effects, self.random);
        self.output.clear();
        for requests in batch.chunks(AHEAD_MAX) {
            let mut plans = [Plan::UNKNOWN; AHEAD_MAX];
            let mut last = Plan::UNKNOWN;
            for (request, plan) in requests.iter().zip(&mut plans) {
                last = Plan::after(&last, &self.server.store, request.args());
                *plan = last;
            }
            if self.looks_ahead {
                executor.look_ahead(&self.session, &plans[..requests.len()]);
            }
            for (request, plan) in requests.iter().zip(&plans) {
                let mut reply = Reply::resp(&mut self.output, false);
                executor.execute_planned(&mut self.session, request.args(), plan, &mut reply);
            }
            executor.lap(&mut self.session, requests.iter().map(OwnedRequest::args));
        }
        self.effects = executor.finish(&mut self.session);
        // Replies are integers or values; a null or an error is neither, and shows in the first byte or the second.
        let bytes = self.output.without_values().unwrap_or_default();
        let is_right = matches!(bytes, [b':', ..] | [b'$', b'0'..=b'9', ..]);
        ensure!(is_right, "the first reply: {}", bytes[..bytes.len().min(80)].escape_ascii());
        Ok(batch.len() as u64)
    }
}
