//! Nothing acknowledged is lost: the built server, killed, cut off from its disk, refused by it and
//! stopped, with a ledger of what it had acknowledged beside it.
//!
//! What single parts do with damaged or missing bytes is tested without a process elsewhere; here is
//! what only a real process on a real file system can show. Every test prints what it measured: see it
//! with `cargo test --test durability -- --nocapture`. `PANTRY_KILL_CYCLES`, `PANTRY_POWER_CYCLES` and
//! `PANTRY_HISTORIES` (each per policy) and `PANTRY_KILL_AT_EVERY_CALL=1` make the runs longer,
//! `PANTRY_SEED` makes them others.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod client;
#[path = "../oracle/clock.rs"]
mod clock;
mod ledger;
mod linearize;
mod load;
mod machine;
mod model;
mod server;

mod backup;
mod deadlines;
mod faults;
mod full_disk;
mod histories;
mod kill;
mod owner;
mod power;
mod terminate;

/// What `appendfsync` may be.
const POLICIES: [&str; 3] = ["always", "everysec", "no"];
