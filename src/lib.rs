//! pantry: a namespaced key-value server with a Redis door and an HTTP door.

pub mod clock;
pub mod command;
pub mod config;
pub mod dispatch;
pub mod error;
pub mod glob;
pub mod journal;
pub mod number;
pub mod reply;
pub mod resp;
pub mod server;
pub mod session;
pub mod store;
