//! What the API says of itself: ping, and the part of the OpenAPI description that follows from the table
//! of operations.
//!
//! OpenAPI can not say that a parameter may stand anywhere. Described is one place for each: the path,
//! else the query of a call without a body, else the body; the text in front says the rest.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::Call;
use super::ask::Ask;
use super::code::{Code, Refusal};
use super::params::{EVERYWHERE, Numbers, OFF, ON, Param, Shape};
use super::table::{Gives, Input, Operation, operations};
use crate::server::http::answer::{self, Answer};
use crate::server::http::openapi;

/// Columns of rows: what they are in JSON, and a sentence.
const COLUMNS: &[(&str, &[&str], &str)] = &[
    ("namespace", &["string"], "The namespace; namespace_base64 if it is no UTF-8."),
    ("key", &["string", "null"], "The key; key_base64 if it is no UTF-8."),
    ("value", &["string", "null"], "The value; value_base64 if it is no UTF-8."),
    ("found", &["boolean"], "Whether the pair is there."),
    ("exists", &["boolean"], "Whether the pair is there."),
    ("deleted", &["boolean", "integer"], "Whether something, or how many, was deleted."),
    ("created", &["boolean"], "Whether it was not there before."),
    ("set", &["integer", "boolean"], "How many pairs were set, or whether this was."),
    ("ttl_ms", &["integer", "null"], "Milliseconds until it ends; null: it stays."),
    ("expires_ms", &["integer", "null"], "When it ends, in unix milliseconds."),
    ("expires_at", &["string", "null"], "The same as YYYY-MM-DD hh:mm:ss.fff in UTC."),
    ("etag", &["string", "null"], "A hash of the value."),
    ("bytes", &["integer"], "How many bytes it has."),
    ("pairs", &["integer"], "How many pairs it has."),
    ("kept", &["boolean"], "Whether it stays when it is empty."),
    ("lock", &["string"], "The name of the lock; lock_base64 if it is no UTF-8."),
    ("held", &["boolean"], "Whether it is held now."),
    ("token", &["string"], "Greater each time the lock is taken; needed to renew and release it."),
    ("owner", &["string", "null"], "Who holds the lock."),
    ("ok", &["boolean"], "Whether this row was done."),
    ("status", &["integer"], "As the status of an answer about this row alone."),
    ("error", &["string", "null"], "An error code."),
    ("message", &["string", "null"], "What is wrong, for people."),
    ("pairs_max", &["integer"], "Most pairs it may hold; 0: no limit."),
    ("bytes_max", &["integer"], "Most bytes it may hold; 0: no limit."),
    ("secret", &["string"], "The token itself."),
    ("id", &["string"], "What names the token to those who may revoke it."),
    ("name", &["string"], "What the token is for."),
    ("user", &["string"], "The ACL user the token acts as."),
    ("created_at", &["string"], "When it was made, as YYYY-MM-DD hh:mm:ss.fff in UTC."),
    ("last_used_at", &["string", "null"], "When it was last used, to the minute."),
    ("revoked", &["boolean"], "Whether it was ended."),
];

pub(super) fn ping(_ask: &Ask, _call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let mut body = answer::Object::default();
    body.raw("ok", "true");
    body.text("name", "pantry");
    body.text("version", env!("CARGO_PKG_VERSION"));
    Ok(answer::json(StatusCode::OK, body.end()))
}

pub(super) fn openapi(_ask: &Ask, _call: &mut Call<'_>) -> Result<Answer, Refusal> {
    Ok(openapi::answer())
}

/// Adds all paths.
pub(in super::super) fn paths(paths: &mut Map<String, Value>) {
    for operation in operations() {
        for (number, line) in operation.routes.iter().enumerate() {
            let Some((method, path)) = line.split_once(' ') else { continue };
            let methods = paths.entry(path).or_insert_with(|| json!({}));
            methods[method.to_ascii_lowercase()] = described(operation, number, method, path);
        }
    }
}

/// How errors look.
pub(in super::super) fn error_schema() -> Value {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.word()).collect();
    json!({
        "type": "object",
        "required": ["ok", "status", "error", "message"],
        "properties": {
            "ok": { "const": false },
            "status": { "type": "integer" },
            "error": { "enum": codes },
            "message": { "type": "string" },
        },
    })
}

/// How a command's error looks: Redis's text, in the form of Upstash's REST API; or a code as ever.
pub(in super::super) fn command_error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": { "type": "string" } },
    })
}

/// All error codes, a line each.
pub(in super::super) fn error_codes() -> String {
    let line = |code: &Code| format!("- `{}` ({}): {}", code.word(), code.status(), code.about());
    Code::ALL.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Where the parameters of a route stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Query,
    Body,
}

fn place(operation: &Operation, method: &str, path: &str, param: &Param) -> Place {
    if path.contains(&format!("{{{}}}", param.name)) {
        return Place::Path;
    }
    let has_body = !matches!(method, "GET" | "DELETE");
    let is_own = !EVERYWHERE.contains(&param);
    match operation.input {
        Input::Params if has_body && is_own => Place::Body,
        // The body is the value, the path says whose.
        Input::Value if path.contains('{') && param.name != "value" => Place::Query,
        Input::Value if is_own => Place::Body,
        _ => Place::Query,
    }
}

fn described(operation: &Operation, number: usize, method: &str, path: &str) -> Value {
    let at = |wanted: Place| {
        operation.all_params().filter(move |param| place(operation, method, path, param) == wanted)
    };
    let is_needed = |param: &Param| operation.needs.contains(&param);
    let parameter = |param: &Param, place: &str| {
        let mut schema = schema(param, false);
        if place == "path" {
            schema["minLength"] = json!(1);
        }
        json!({
            "name": param.name,
            "in": place,
            "required": place == "path" || is_needed(param),
            "description": param.about,
            "schema": schema,
        })
    };
    let in_path = at(Place::Path).map(|param| parameter(param, "path"));
    let parameters: Vec<Value> =
        in_path.chain(at(Place::Query).map(|param| parameter(param, "query"))).collect();
    let suffix = if number == 0 { String::new() } else { format!("_{number}") };
    let mut described = json!({
        "operationId": format!("{}{suffix}", operation.id),
        "tags": [if path.starts_with("/v1") { "v1" } else { "Upstash" }],
        "summary": operation.about,
        "parameters": parameters,
        "responses": responses(operation),
    });
    let in_body: Vec<&Param> = at(Place::Body).collect();
    if !matches!(method, "GET" | "DELETE") {
        described["requestBody"] = body(operation, &in_body);
    }
    described
}

fn responses(operation: &Operation) -> Value {
    let shape = if operation.gives == Gives::Results { "CommandError" } else { "Error" };
    let error = |text: &str| {
        let schema = json!({ "$ref": format!("#/components/schemas/{shape}") });
        json!({ "description": text, "content": { "application/json": { "schema": schema } } })
    };
    let mut responses = json!({
        "200": { "description": "It was done.", "content": or_soft_error(content(operation.gives)) },
        "4XX": error("What was asked can not be done."),
        "5XX": error("The server can not do it now."),
    });
    if matches!(operation.gives, Gives::Done(_)) {
        responses["204"] = json!({ "description": "It was done." });
    }
    if operation.param("if_none_match").is_some() {
        responses["304"] = json!({ "description": "The pair has an ETag that the client knows." });
    }
    responses
}

/// With `soft=1` an error has the status 200, too.
fn or_soft_error(mut content: Value) -> Value {
    let error = json!({ "$ref": "#/components/schemas/Error" });
    let schema = match content["application/json"]["schema"].take() {
        Value::Null => error,
        done => json!({ "anyOf": [done, error] }),
    };
    content["application/json"] = json!({ "schema": schema });
    content
}

fn content(gives: Gives) -> Value {
    let text = json!({ "schema": { "type": "string" } });
    let json = |schema: Value| json!({ "application/json": { "schema": schema } });
    let rows = |columns: &str| json!({ "type": "array", "items": row(columns) });
    match gives {
        Gives::Row(columns) | Gives::Done(columns) => json(row(columns)),
        Gives::Rows(columns) => json(rows(columns)),
        Gives::Sum(columns) => {
            let each = format!("namespace key {columns} ok status error message");
            json(json!({ "oneOf": [row(columns), rows(&each)] }))
        }
        Gives::Object => json(json!({ "type": "object" })),
        Gives::Results => json(json!({ "description": "What the commands replied." })),
        Gives::Text(media) => json!({ media: text }),
        Gives::Export => json!({ "application/x-ndjson": text, "text/csv": text }),
        Gives::Value(columns) => {
            let mut content = json(row(columns));
            content["text/plain"] = text.clone();
            content["application/octet-stream"] = text;
            content
        }
        Gives::List(columns) => {
            let page = json!({
                "type": "object",
                "required": ["data", "links"],
                "properties": {
                    "data": rows(columns),
                    "links": { "type": "object", "properties": { "next": {
                        "type": "object", "properties": { "href": { "type": "string" } },
                    } } },
                },
            });
            let mut content = json(json!({ "oneOf": [rows(columns), page] }));
            content["application/x-ndjson"] = text.clone();
            content["text/csv"] = text;
            content
        }
    }
}

fn row(columns: &str) -> Value {
    let known =
        COLUMNS.iter().filter(|(name, ..)| columns.split(' ').any(|column| column == *name));
    let properties = known.map(|(name, types, about)| {
        ((*name).to_owned(), json!({ "type": types, "description": about }))
    });
    json!({ "type": "object", "properties": properties.collect::<Map<_, _>>() })
}

fn body(operation: &Operation, params: &[&Param]) -> Value {
    let mut content = Map::new();
    let mut may_be = |media: &str, schema: Value| {
        content.insert(media.to_owned(), json!({ "schema": schema }));
    };
    let is_needed = |param: &&&Param| operation.needs.contains(*param);
    let needed: Vec<&str> = params.iter().filter(is_needed).map(|param| param.name).collect();
    match operation.input {
        Input::Params | Input::Value => {
            for (media, is_json) in
                [("application/json", true), ("application/x-www-form-urlencoded", false)]
            {
                let member = |it: &&Param| {
                    let mut schema = schema(it, is_json);
                    if is_json && !operation.needs.contains(it) {
                        schema = json!({ "anyOf": [schema, { "type": "null" }] });
                    }
                    (it.name.to_owned(), schema)
                };
                let members = params.iter().map(member).collect::<Map<_, _>>();
                let mut object = json!({
                    "type": "object",
                    "properties": members,
                    "required": needed,
                    "additionalProperties": false,
                });
                if !operation.needs_one.is_empty() {
                    object["anyOf"] =
                        operation.needs_one.iter().map(|it| one_of_them(it)).collect();
                }
                may_be(media, object);
            }
            if operation.input == Input::Value && params.len() == 1 {
                may_be("text/plain", json!({ "type": "string" }));
                may_be("application/octet-stream", json!({ "type": "string" }));
            }
        }
        Input::Rows | Input::Stream => {
            let columns = row_columns(operation.id);
            let rows = match operation.id {
                "getPairs" | "deletePairs" => json!({ "anyOf": [columns, { "type": "string" }] }),
                _ => columns.clone(),
            };
            let rows = json!({ "type": "array", "items": rows });
            may_be("application/json", json!({ "anyOf": [rows, columns] }));
            may_be("application/x-ndjson", json!({ "type": "string" }));
            may_be("text/csv", json!({ "type": "string" }));
        }
        Input::Commands => {
            let words = json!({
                "type": "array", "minItems": 1,
                "items": { "type": ["string", "number", "boolean", "object", "array"] },
            });
            let is_one = operation.id == "command";
            let commands = json!({ "type": "array", "items": words });
            may_be("application/json", if is_one { words } else { commands });
        }
    }
    let is_required = !needed.is_empty()
        || !operation.needs_one.is_empty()
        || !matches!(operation.input, Input::Params);
    json!({ "required": is_required, "content": content })
}

/// That it is there, and is not null.
fn one_of_them(param: &Param) -> Value {
    json!({ "required": [param.name], "properties": { param.name: schema(param, true) } })
}

/// The columns that rows of a body have.
fn row_columns(id: &str) -> Value {
    let text = json!({ "type": ["string", "number", "boolean"] });
    let name = json!({ "type": ["string", "number", "boolean"], "minLength": 1 });
    let or_null = |schema: Value| json!({ "anyOf": [schema, { "type": "null" }] });
    // The namespace may stand in path or query, for all rows.
    let mut columns = json!({
        "type": "object",
        "required": ["key"],
        "properties": { "namespace": or_null(name), "key": &text },
    });
    if matches!(id, "setPairs" | "import") {
        columns["required"] = json!(["key", "value"]);
        columns["properties"]["value"] = schema(super::params::VALUE, true);
        columns["properties"]["ttl"] = or_null(schema(super::params::TTL, true));
    }
    if id == "import" {
        // A row without a key makes a namespace that is imported; an empty name is none.
        columns["required"] = json!([]);
        columns["properties"]["namespace"] = or_null(text);
        for name in ["key", "value"] {
            columns["properties"][name] = or_null(columns["properties"][name].take());
        }
    }
    columns
}

fn schema(param: &Param, is_json: bool) -> Value {
    // In JSON a number is as good as its text.
    let text: &[&str] = if is_json { &["string", "number", "boolean"] } else { &["string"] };
    match param.shape {
        // An object is the text that stands there.
        Shape::Bytes if is_json && matches!(param.name, "value" | "default") => {
            json!({ "type": ["string", "number", "boolean", "object", "array"] })
        }
        Shape::Name | Shape::Label => json!({ "type": text, "minLength": 1 }),
        Shape::Bytes | Shape::Text => json!({ "type": text }),
        Shape::Tag => json!({ "type": text, "pattern": r#"^([^ ",/]+|"[^ ",/]+")$"# }),
        Shape::Like(pattern, Numbers::Whole(from, to)) if is_json => {
            json!({ "type": ["string", "integer"], "pattern": pattern, "minimum": from, "maximum": to })
        }
        Shape::Like(pattern, Numbers::All) if is_json => {
            json!({ "type": ["string", "number"], "pattern": pattern })
        }
        Shape::Like(pattern, _) => json!({ "type": "string", "pattern": pattern }),
        Shape::Number(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Flag => {
            let words = [&OFF[..], &ON[..]].concat().into_iter().map(Value::from);
            let more = [json!(true), json!(false), json!(0), json!(1)];
            let words: Vec<Value> = words.chain(more.into_iter().filter(|_| is_json)).collect();
            json!({ "enum": words })
        }
        Shape::OneOf(words) => json!({ "enum": words }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        let mut described = Map::new();
        paths(&mut described);
        for operation in operations() {
            for line in operation.routes {
                let (method, path) = line.split_once(' ').unwrap();
                let found = &described[path][method.to_ascii_lowercase()];
                assert_eq!(found["summary"], operation.about, "{line}");
            }
        }
    }

    #[test]
    fn every_column_is_known() {
        for operation in operations() {
            let (Gives::Row(columns)
            | Gives::Value(columns)
            | Gives::Done(columns)
            | Gives::Rows(columns)
            | Gives::Sum(columns)
            | Gives::List(columns)) = operation.gives
            else {
                continue;
            };
            for column in columns.split(' ') {
                let is_known = COLUMNS.iter().any(|(name, ..)| *name == column);
                assert!(is_known, "{}: {column}", operation.id);
            }
        }
    }
}
