//! Somebody who listens at both servers: to all channels, and so to all that happens to names. What it hears must be the
//! same, in the same order.

use crate::generate::agree::words;
use crate::oracle::{Connection, Oracle};
use crate::support::Harness;
use crate::support::render::{self, Value};

/// What it is told last.
const MARKER: &[u8] = b"marker";
/// The client in pantry.
const EAR: &str = "ear";

/// A connection to Redis, and the client [`EAR`] of pantry.
pub struct Ear(Connection);

impl Ear {
    pub fn new(oracle: &mut Oracle, pantry: &mut Harness) -> Ear {
        let all_classes: [&[u8]; 4] = [b"CONFIG", b"SET", b"notify-keyspace-events", b"KEA"];
        oracle.run(&all_classes);
        pantry.execute(EAR, &words(&all_classes));
        let mut redis = oracle.connect();
        for command in [words(&[b"PSUBSCRIBE", b"*"]), words(&[b"SSUBSCRIBE", b"shard:1"])] {
            redis.pipeline(std::slice::from_ref(&command));
            pantry.execute(EAR, &command);
        }
        Ear(redis)
    }

    /// What both have heard since, if it is not the same: Redis's and pantry's.
    pub fn difference(
        &mut self,
        oracle: &mut Oracle,
        pantry: &mut Harness,
    ) -> Option<(Vec<Value>, Vec<Value>)> {
        oracle.run(&[b"PUBLISH", MARKER, b""]);
        let mut redis = Vec::new();
        loop {
            let message = render::decode(&mut &self.0.message()[..]);
            if matches!(&message, Value::Array(parts) if parts.contains(&Value::Bulk(MARKER.to_vec())))
            {
                break;
            }
            redis.push(message);
        }
        let heard = pantry.pushes(EAR);
        let mut rest = &heard[..];
        let mut pantry = Vec::new();
        while !rest.is_empty() {
            pantry.push(render::decode(&mut rest));
        }
        for messages in [&mut redis, &mut pantry] {
            messages.retain(|message| !is_of_expiry(message));
        }
        (redis != pantry).then_some((redis, pantry))
    }
}

/// When what has run out is removed, and so told, is each server's own matter.
fn is_of_expiry(message: &Value) -> bool {
    let Value::Array(parts) = message else { return false };
    parts.iter().any(|part| matches!(part, Value::Bulk(text) if text.ends_with(b"expired")))
}
