//! The OpenAPI 3.1 description of both APIs: what their tables of routes say, in one document.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer};
use super::{v1, v4_paths};

const ABOUT: &str = "Pairs of strings in namespaces, each with a lifetime of its own if you like. \
    Of `/v1`, every parameter may stand in the path, in the query, in a header (`X-KV-Namespace`, `X-KV-TTL` …) \
    or in the body; described is one place for each. What is no UTF-8 comes and goes as base64 under the \
    parameter's name and `_base64`. With `soft=1` the status is always 200, and `ok`, `status` and `error` say \
    what happened. Any method may be sent as POST with `X-HTTP-Method-Override`.\n\nError codes of `/v1`:\n\n";

/// The description, as an answer.
pub(super) fn answer() -> Answer {
    answer::json(StatusCode::OK, description().to_string().into_bytes())
}

fn description() -> Value {
    let mut paths = Map::new();
    v1::paths(&mut paths);
    v4_paths::paths(&mut paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pantry",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("{ABOUT}{}", v1::error_codes()),
        },
        "tags": [
            { "name": "v1", "description": "For load scripts, extensions and everyone with curl." },
            { "name": "v4", "description": "Butler's key-value store, answer for answer." },
            { "name": "Upstash", "description": "Where Upstash's clients send commands." },
        ],
        "paths": paths,
        "components": {
            "schemas": {
                "Error": v1::error_schema(),
                "CommandError": v1::command_error_schema(),
                "ButlerError": v4_paths::error_schema(),
            },
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "bearer": { "type": "http", "scheme": "bearer" },
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
        },
        "security": [{}, { "basic": [] }, { "bearer": [] }, { "key": [] }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_one_name_each() {
        let described = description();
        let paths = described["paths"].as_object().unwrap().values();
        let methods = paths.flat_map(|path| path.as_object().unwrap().values());
        let mut ids: Vec<&str> = methods.map(|it| it["operationId"].as_str().unwrap()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert!(count > 60, "{count}");
    }
}
