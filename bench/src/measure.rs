//! `load`: two servers, one workload, windows in a given order; one JSON line per window with everything that the kernel knows of it.
//!
//! What follows from the lines (pairs, rejections, medians) is not decided here.

use crate::accounting::{Machine, Process};
use crate::driver::{Driver, prepare};
use crate::histogram::Histogram;
use crate::info::Info;
use crate::reply::Expected;
use crate::workload::{Requests, Workload};
use anyhow::{Context, Result, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Time for a server that has sent its last reply to fall asleep, so that its account is complete.
const SETTLE: Duration = Duration::from_millis(2);

/// Options of `load`.
#[derive(clap::Args)]
pub struct Options {
    /// What to send
    #[arg(long, value_enum)]
    workload: Workload,
    /// What to send to server B, if not the same
    #[arg(long, value_enum)]
    b_workload: Option<Workload>,
    /// Requests that a connection sends before it waits for their replies
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Connections to each server
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Port of server A
    #[arg(long)]
    a_port: u16,
    /// Process of server A
    #[arg(long)]
    a_pid: u32,
    /// Port of server B
    #[arg(long)]
    b_port: u16,
    /// Process of server B
    #[arg(long)]
    b_pid: u32,
    /// Processes that should do nothing meanwhile, beside the one of A and B that is not being loaded
    #[arg(long)]
    idle_pid: Vec<u32>,
    /// The windows, such as ABBA
    #[arg(long, default_value = "AB")]
    order: String,
    /// Load before a window, not measured
    #[arg(long, default_value_t = 150)]
    ramp_ms: u64,
    /// Length of a window
    #[arg(long, default_value_t = 500)]
    window_ms: u64,
}

struct Server<'a> {
    name: char,
    pid: u32,
    idle_pids: Vec<u32>,
    driver: Driver<'a>,
    counter: Option<Info>,
}

/// Runs the windows and prints their lines.
///
/// # Errors
/// Whatever makes a window worthless: see [`Driver::drive`].
pub fn run(options: &Options) -> Result<()> {
    let b_workload = options.b_workload.unwrap_or(options.workload);
    let (a_load, b_load) = (prepare(options.workload), prepare(b_workload));
    let connect = |name, port, pid, peer, workload: Workload, load| -> Result<Server> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (requests, expected): &(Requests, Expected) = load;
        let driver =
            Driver::connect(address, options.connections, options.pipeline, requests, expected)?;
        let mut idle_pids = options.idle_pid.clone();
        idle_pids.push(peer);
        let counter = if workload.is_http() { None } else { Info::counting(address)? };
        Ok(Server { name, pid, idle_pids, driver, counter })
    };
    let (a_pid, b_pid) = (options.a_pid, options.b_pid);
    let mut a = connect('A', options.a_port, a_pid, b_pid, options.workload, &a_load)?;
    let mut b = connect('B', options.b_port, b_pid, a_pid, b_workload, &b_load)?;
    let mut latencies = Histogram::new();
    for name in options.order.chars() {
        ensure!(matches!(name, 'A' | 'B'), "--order takes A and B");
        let server = if name == 'A' { &mut a } else { &mut b };
        let line =
            window(server, options, &mut latencies).with_context(|| format!("server {name}"))?;
        println!("{line}");
    }
    Ok(())
}

fn window(
    server: &mut Server,
    options: &Options,
    latencies: &mut Histogram,
) -> Result<serde_json::Value> {
    server.driver.drive(Duration::from_millis(options.ramp_ms), latencies)?;
    latencies.clear();
    let commands = server.count_commands()?;
    std::thread::sleep(SETTLE);
    let itself = std::process::id();
    let (machine, process, idle, client) = (
        Machine::now()?,
        Process::of(server.pid)?,
        Process::sum(&server.idle_pids)?,
        Process::of(itself)?,
    );

    let driven = server.driver.drive(Duration::from_millis(options.window_ms), latencies)?;

    // The client's own account is exact after its sleep, as the server's is.
    std::thread::sleep(SETTLE);
    let process = Process::of(server.pid)? - process;
    let client = Process::of(itself)? - client;
    let idle = Process::sum(&server.idle_pids)? - idle;
    let machine = Machine::now()? - machine;
    let commands_after = server.count_commands()?;
    Ok(serde_json::json!({
        "server": server.name.to_string(),
        "ops": driven.replies,
        "elapsed_ns": driven.elapsed.as_nanos() as u64,
        "server_cpu_ns": process.run_ns,
        "server_wait_ns": process.wait_ns,
        "server_user_ns": process.user_ns,
        "server_system_ns": process.system_ns,
        "client_cpu_ns": client.run_ns,
        "client_wait_ns": client.wait_ns,
        "idle_cpu_ns": idle.run_ns,
        "machine_busy_ns": machine.busy_ns,
        "machine_steal_ns": machine.steal_ns,
        "server_commands": commands.zip(commands_after).map(|(before, after)| after - before),
        "p50_ns": latencies.quantile_ns(0.5),
        "p99_ns": latencies.quantile_ns(0.99),
        "p999_ns": latencies.quantile_ns(0.999),
        "max_ns": latencies.max_ns(),
    }))
}

impl Server<'_> {
    fn count_commands(&mut self) -> Result<Option<u64>> {
        self.counter.as_mut().map(Info::commands).transpose()
    }
}
