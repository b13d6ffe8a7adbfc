//! pantry: a namespaced key-value server with a Redis door and an HTTP door.

pub mod clock;
pub mod error;
pub mod journal;
pub mod reply;
pub mod store;
