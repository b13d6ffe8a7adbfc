//! What the API says of itself: ping, and the OpenAPI description that follows from the table.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::Call;
use super::ask::Ask;
use super::code::{Code, Refusal};
use super::table::{Input, OPERATIONS, Operation, Param, Shape};
use crate::server::http::answer::{self, Answer};

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn ping(_ask: &Ask, _call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let mut body = answer::Object::default();
    body.raw("ok", "true");
    body.text("name", "pantry");
    body.text("version", VERSION);
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn openapi(_ask: &Ask, _call: &mut Call<'_>) -> Result<Answer, Refusal> {
    Ok(answer::json(StatusCode::OK, description().to_string().into_bytes()))
}

/// The whole description.
fn description() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        for (number, line) in operation.routes.iter().enumerate() {
            let Some((method, path)) = line.split_once(' ') else { continue };
            let methods = paths.entry(path).or_insert_with(|| json!({}));
            methods[method.to_ascii_lowercase()] = described(operation, number, method, path);
        }
    }
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.word()).collect();
    let meanings: Vec<String> = Code::ALL
        .iter()
        .map(|code| format!("- `{}` ({}): {}", code.word(), code.status(), code.about()))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pantry",
            "version": VERSION,
            "description": format!("Error codes:\n\n{}", meanings.join("\n")),
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["ok", "status", "error", "message"],
                    "properties": {
                        "ok": { "const": false },
                        "status": { "type": "integer" },
                        "error": { "enum": codes },
                        "message": { "type": "string" },
                    },
                },
            },
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
        },
        "security": [{}, { "basic": [] }, { "bearer": [] }],
    })
}

fn described(operation: &Operation, number: usize, method: &str, path: &str) -> Value {
    let in_path = |param: &Param| path.contains(&format!("{{{}}}", param.name));
    let parameters: Vec<Value> = operation
        .all_params()
        .map(|param| {
            json!({
                "name": param.name,
                "in": if in_path(param) { "path" } else { "query" },
                "required": in_path(param),
                "description": format!("{} Also as header {}.", param.about, param.header()),
                "schema": schema(param),
            })
        })
        .collect();
    let suffix = if number == 0 { String::new() } else { format!("_{number}") };
    let mut described = json!({
        "operationId": format!("{}{suffix}", operation.id),
        "summary": operation.about,
        "parameters": parameters,
        "responses": {
            "2XX": { "description": "It was done." },
            "3XX": { "description": "It is as the client knows it." },
            "4XX": error("What was asked can not be done."),
            "5XX": error("The server can not do it now."),
        },
    });
    if method != "GET" {
        described["requestBody"] = body(operation);
    }
    described
}

fn error(text: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Error" });
    json!({ "description": text, "content": { "application/json": { "schema": schema } } })
}

fn body(operation: &Operation) -> Value {
    let any = json!({});
    let mut content = Map::new();
    let mut may_be = |media: &str, schema: &Value| {
        content.insert(media.to_owned(), json!({ "schema": schema }));
    };
    match operation.input {
        Input::Params | Input::Value => {
            let members =
                operation.all_params().map(|param| (param.name.to_owned(), schema(param)));
            let object = json!({ "type": "object", "properties": members.collect::<Map<_, _>>() });
            may_be("application/json", &object);
            may_be("application/x-www-form-urlencoded", &object);
            if operation.input == Input::Value {
                may_be("text/plain", &json!({ "type": "string" }));
                may_be("application/octet-stream", &any);
            }
        }
        Input::Rows | Input::Stream => {
            may_be(
                "application/json",
                &json!({ "type": "array", "items": { "type": ["object", "string"] } }),
            );
            may_be("application/x-ndjson", &any);
            may_be("text/csv", &any);
        }
        Input::Commands => may_be("application/json", &json!({ "type": "array" })),
    }
    json!({ "required": false, "content": content })
}

fn schema(param: &Param) -> Value {
    match param.shape {
        Shape::Bytes | Shape::Text => json!({ "type": "string" }),
        Shape::Number => json!({ "type": "integer", "minimum": 0 }),
        Shape::Flag => json!({ "enum": ["0", "1"] }),
        Shape::OneOf(words) => json!({ "enum": words }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        let described = description();
        for operation in OPERATIONS {
            for line in operation.routes {
                let (method, path) = line.split_once(' ').unwrap();
                let found = &described["paths"][path][method.to_ascii_lowercase()];
                assert_eq!(found["summary"], operation.about, "{line}");
            }
        }
    }
}
