//! The `pantry` binary: reads the configuration, starts the log, runs the server.

use anyhow::Result;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    tracing_subscriber::fmt().init();
    pantry::run(pantry::config::Config {
        http_port: 0,
        port: 7000,
        threads: 1,
        ..Default::default()
    })
}
