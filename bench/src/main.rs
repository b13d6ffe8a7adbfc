//! The measuring tools behind `bench/run`, in one binary: a load generator, a filler, and the servers that show where the floor is.
//!
//! This is not the experiment: which servers meet, in what order, and what is made of the numbers is said in `bench/harness/`.

use clap::{Parser, Subcommand};
use std::process::ExitCode;

mod accounting;
mod bulk;
mod doors;
mod driver;
mod fill;
mod floor_copy;
mod floor_epoll;
mod floor_reply;
mod floor_tokio;
mod hello;
mod histogram;
mod idle;
mod info;
mod keyspace;
mod long_answer;
mod measure;
mod open_loop;
mod pairs;
mod probe;
mod reply;
mod watchers;
mod workload;

#[derive(Parser)]
#[command(about = "Load generator and floor servers that pantry is measured with")]
struct Cli {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Put the same data into a RESP server, read every pair back and compare it
    Fill(fill::Options),
    /// Load two servers in turn; print one JSON line for each window
    Load(measure::Options),
    /// Load one server at a fixed rate; print one JSON line of latencies
    OpenLoop(open_loop::Options),
    /// Load many pairs; print one JSON line for each stage, and one of the probe
    LoadPairs(pairs::Load),
    /// Delete loaded pairs at random; print one JSON line
    DeletePairs(pairs::Delete),
    /// Load pairs with one deadline and wait until they are gone; print one JSON line
    ExpirePairs(pairs::Expire),
    /// Open many connections and let them rest; print one JSON line
    Connections(idle::Options),
    /// Watch a namespace from many HTTP connections while it changes; print one JSON line
    Watchers(watchers::Options),
    /// Set many pairs in one HTTP call and as pipelined HSETs, in turns; print one JSON line a round
    Bulk(bulk::Options),
    /// Read a long HTTP answer; print one JSON line each time
    LongAnswer(long_answer::Options),
    /// Floor for long answers: copy memory and send it
    FloorCopy(Listen),
    /// Floor: answer a constant per request, on plain epoll
    FloorEpoll(Listen),
    /// Floor: answer a constant per request, on one tokio current-thread runtime
    FloorTokio(Listen),
    /// Floor for REST: the same JSON body to every request, on hyper
    Hello(Listen),
}

/// Where a floor server listens: always on 127.0.0.1.
#[derive(clap::Args)]
pub struct Listen {
    /// TCP port
    #[arg(long)]
    pub port: u16,
}

fn main() -> ExitCode {
    let done = match Cli::parse().tool {
        Tool::Fill(options) => fill::run(&options),
        Tool::Load(options) => measure::run(&options),
        Tool::OpenLoop(options) => open_loop::run(&options),
        Tool::LoadPairs(options) => pairs::load(&options),
        Tool::DeletePairs(options) => pairs::delete(&options),
        Tool::ExpirePairs(options) => pairs::expire(&options),
        Tool::Connections(options) => idle::run(&options),
        Tool::Watchers(options) => watchers::run(&options),
        Tool::Bulk(options) => bulk::run(&options),
        Tool::LongAnswer(options) => long_answer::run(&options),
        Tool::FloorCopy(listen) => floor_copy::run(&listen),
        Tool::FloorEpoll(listen) => floor_epoll::run(&listen),
        Tool::FloorTokio(listen) => floor_tokio::run(&listen),
        Tool::Hello(listen) => hello::run(&listen),
    };
    // One line and no backtrace: it becomes part of a result.
    done.map_or_else(
        |error| {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
