//! The Rust client crate, `redis`, against the built server, over RESP2 and RESP3: what its own types make of the
//! replies, and what it sends when it connects. The other client libraries are in `compat/`; exact replies of single
//! commands are elsewhere.
// The server runs in real time, so these tests read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod blocking;
mod server;
