//! Reading and overwriting allocate nothing: the price of a command does not depend on an allocator.
//!
//! In a binary of its own, because it counts what the process allocates. Only this thread is counted.
#![allow(clippy::unwrap_used, unsafe_code)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use pantry::clock::Clock;
use pantry::config::Config;
use pantry::dispatch::Executor;
use pantry::journal::Journal;
use pantry::journal::effect::Effects;
use pantry::output::Output;
use pantry::reply::Reply;
use pantry::resp::owned::OwnedRequest;
use pantry::server::Server;
use pantry::session::Session;
use pantry::store::{Settings, Store};
use support::START_MS;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: hands everything on to the system's allocator, as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(at, layout, new_size) }
    }
}

fn count() {
    // A thread that is ending has no counter any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

#[test]
fn reading_and_overwriting_allocate_nothing() {
    let bench = Bench::new(&[
        &["SET", "counter", "1000"],
        &["HSET", "shop", "apples", "three", "pears", "five"],
        &["HSETEX", "shop", "PX", "100000", "FIELDS", "1", "figs", "seven"],
    ]);
    let commands: &[&[&str]] = &[
        &["GET", "counter"],
        &["GET", "nothing"],
        &["SET", "counter", "2000"],
        &["STRLEN", "counter"],
        &["TTL", "counter"],
        &["HGET", "shop", "apples"],
        &["HGET", "shop", "nothing"],
        &["HEXISTS", "shop", "figs"],
        &["HLEN", "shop"],
        &["HSET", "shop", "apples", "four!"],
        &["HSET", "shop", "apples", "eight", "pears", "nine"],
        &["PING"],
    ];
    for command in commands {
        assert_eq!(bench.allocations(command, 10, 100), 0, "{command:?}");
    }
}

/// The counter counts: a new pair has to be allocated.
#[test]
fn new_pairs_are_allocated() {
    let bench = Bench::new(&[]);
    let before = ALLOCATIONS.get();
    bench.run(&["HSET", "shop", "apples", "3"]);
    assert!(ALLOCATIONS.get() > before);
}

struct Bench {
    server: Server,
}

impl Bench {
    fn new(commands: &[&[&str]]) -> Bench {
        let store = Store::new(Journal::discarding(), Clock::manual(START_MS));
        let bench = Bench { server: Server::new(Config::default(), store, 1) };
        commands.iter().for_each(|command| bench.run(command));
        bench
    }

    fn run(&self, command: &[&str]) {
        self.allocations(command, 0, 1);
    }

    /// What a command allocates in `times` runs, each a batch of its own, after some to warm up.
    fn allocations(&self, command: &[&str], warm_up: u64, times: u64) -> u64 {
        let settings = Settings::NONE;
        let request = OwnedRequest::new(command.iter().map(|word| word.as_bytes()));
        let mut session =
            Session::new(support::client(), pantry::acl::Identity::new(&self.server.acl));
        let mut output = Output::new();
        let metrics = self.server.metrics[0].clone();
        let mut effects = Effects::default();
        let mut before = 0;
        for run in 0..warm_up + times {
            if run == warm_up {
                before = ALLOCATIONS.get();
            }
            let mut executor = Executor::new(&self.server, &metrics, &settings, effects, 1);
            let mut reply = Reply::resp(&mut output, false);
            executor.execute(&mut session, request.args(), &mut reply);
            effects = executor.finish(&mut session);
            let bytes = output.without_values().unwrap();
            assert_ne!(bytes.first(), Some(&b'-'), "{command:?}: {}", bytes.escape_ascii());
            output.clear();
        }
        ALLOCATIONS.get() - before
    }
}
