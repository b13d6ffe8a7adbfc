//! pantry: a namespaced key-value server with a Redis door and an HTTP door.

pub mod glob;
pub mod number;
