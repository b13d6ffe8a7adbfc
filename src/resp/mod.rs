//! The Redis protocol as bytes: requests are parsed here. It knows no command, no data and no socket.

pub mod ahead;
mod inline;
mod limits;
pub mod owned;
pub mod request;
