//! What a client is sent without having asked for it just then: messages that were published, events,
//! invalidations of what it keeps a copy of, the commands that MONITOR shows.
//!
//! - [`message`]: what is sent, encoded once for all who get it.
//! - [`mailbox`]: what one connection has not been sent yet, within its limit.
//! - [`post`]: puts messages into mailboxes and wakes their connections, each thread once for all.
//! - [`pubsub`]: channels and patterns, who has subscribed to them, publishing.
//! - [`keyspace`]: keyspace notifications. [`tracking`]: client-side caching. [`monitor`]: MONITOR.
//!
//! # How a message travels
//!
//! Any thread may send: it makes a [`Message`](message::Message), opens a
//! [`Round`](post::Round) and gives it the message for each client. The round puts a counted
//! reference into the client's mailbox; when it ends, every thread that has such clients is woken
//! once. The connection's own thread copies messages into its output, between whole replies and
//! never inside one. Messages to one client leave in the order they were put.
//!
//! A message knows the LSN of what it shows, and passes the journal's gate like a reply: a client is
//! told of no change that a crash could take back.
//!
//! Who does not read is cut: what waits for a client counts against `client-output-buffer-limit`,
//! and a client over it is closed. Nobody else waits for it.

pub mod keyspace;
pub mod mailbox;
pub mod message;
pub mod monitor;
pub mod post;
pub mod pubsub;
mod readers;
pub mod tracking;
