//! The catalogue of bad input at the HTTP door, by its numbers, as far as it is about single requests to `/v1`.
//!
//! The rest is where it belongs: H01 to H12, H19, H43, H44, H49 and H55 (framing, slow clients, other protocols,
//! what is cut off) in `http_input`; H13 and H16 (hosts, private networks) in `http_access`; H14 (pages of other
//! origins) in `http_v1`; H40 (guesses) in `rate_limits`; H51 (metrics) in `http_metrics`. H35 is about a console
//! that there is not, H47 about HTTP/2, which is not spoken.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "../http_support/mod.rs"]
mod http_support;
#[path = "../support/scratch.rs"]
mod scratch;

mod content;
mod heads;
mod names;

use http_support::{Answer, Pantry};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json";

/// Status and code of an error; status and null of anything else.
fn ended(answer: &Answer) -> (u16, Value) {
    let error = serde_json::from_slice(&answer.body).map(|body: Value| body["error"].clone());
    (answer.status, error.unwrap_or(Value::Null))
}

fn get(pantry: &Pantry, target: &str) -> (u16, Value) {
    ended(&pantry.get(target))
}

fn post(pantry: &Pantry, target: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
    ended(&pantry.request("POST", target, &[JSON], body.as_ref()))
}

fn refused(status: u16, code: &str) -> (u16, Value) {
    (status, json!(code))
}

/// The value of a pair of the namespace `n`.
fn value(pantry: &Pantry, key: &str) -> Value {
    pantry.get(&format!("/v1/get?namespace=n&key={key}")).json()["value"].clone()
}
