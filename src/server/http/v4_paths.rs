//! What the OpenAPI description says of `/v4`; it follows from the table of its routes.

use serde_json::{Map, Value, json};

use super::v4::{PARAMETER_MAX_UTF16, ROUTES, Route, Takes};

/// Adds all paths.
pub(super) fn paths(paths: &mut Map<String, Value>) {
    for route in ROUTES {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.to_ascii_lowercase()] = described(route);
    }
}

/// How errors look: as Fastify writes them.
pub(super) fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["statusCode", "error", "message"],
        "properties": {
            "statusCode": { "type": "integer" },
            "code": { "type": "string" },
            "error": { "type": "string" },
            "message": { "type": "string" },
        },
    })
}

fn described(route: &Route) -> Value {
    let in_path = route.path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| {
            let schema =
                json!({ "type": "string", "minLength": 1, "maxLength": PARAMETER_MAX_UTF16 });
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    if route.takes == Takes::Key {
        let schema = json!({ "type": "string" });
        parameters
            .push(json!({ "name": "key", "in": "query", "required": true, "schema": schema }));
    }
    let (status, schema) = route.gives;
    let mut done = json!({ "description": "It was done." });
    if let Some(schema) = schema.and_then(|schema| serde_json::from_str::<Value>(schema).ok()) {
        done["content"] = json!({ "application/json": { "schema": schema } });
    }
    let error = json!({ "$ref": "#/components/schemas/ButlerError" });
    let error = json!({ "application/json": { "schema": error } });
    let mut described = json!({
        "operationId": route.id,
        "tags": ["v4"],
        "summary": route.about,
        "parameters": parameters,
        "responses": {
            status.to_string(): done,
            "4XX": { "description": "Something is missing.", "content": error },
            "5XX": { "description": "The server can not do it now.", "content": error },
        },
    });
    if route.takes == Takes::Pair {
        described["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": pair() } },
        });
    }
    described
}

/// Numbers and booleans are taken for their text, and an array of one for its element.
fn pair() -> Value {
    let one_of = |types: &[&str]| {
        let one = json!({ "type": types });
        json!({ "anyOf": [one, { "type": "array", "minItems": 1, "maxItems": 1, "items": one }] })
    };
    let mut value = one_of(&["string", "number", "boolean", "null"]);
    value["description"] = json!("Without it, only the namespace is made.");
    json!({
        "type": "object",
        "required": ["key"],
        "properties": {
            "key": { "type": ["string", "number", "boolean"], "minLength": 1 },
            "value": value,
            "ttl": {
                "type": ["number", "string", "boolean", "null"],
                "pattern": "^[0-9]{1,12}$",
                "description": "Milliseconds; 0 or none: the pair stays.",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_described() {
        let mut described = Map::new();
        paths(&mut described);
        for route in ROUTES {
            let (status, schema) = route.gives;
            let found = &described[route.path][route.method.to_ascii_lowercase()]["responses"];
            let content = &found[status.to_string()]["content"]["application/json"]["schema"];
            assert_eq!(content.is_object(), schema.is_some(), "{}", route.id);
        }
    }
}
