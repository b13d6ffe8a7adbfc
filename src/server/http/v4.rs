//! `/v4`: Butler's key-value API, answer for answer.
//!
//! Status, content type, body and the order of its members are those of Butler 16 and of Fastify,
//! which it runs on, behind its method-override proxy. What it answers was recorded; every recorded
//! case is replayed in the tests, with these differences, which are deliberate:
//!
//! - `keylist` says `application/json`; Butler says `text/plain`, although it sends JSON.
//! - The keys of a namespace with a `:` in its name are listed whole; Butler cuts them at the colon.
//! - Lists are sorted by bytes; Butler lists in the order of creation.
//! - An empty body declared as JSON is no body to DELETE and GET; Butler answers 400.
//! - Where Butler's proxy never answers, we do: bodies `null`, `0`, `false` and `""` (400), malformed
//!   parameters of a media type (ignored), GET with a body and HEAD through the override (as GET),
//!   an override that is no method or is there twice (400), chunked bodies (read).
//! - A TTL that Butler stores and then fails on, such as `"Infinity"`, is refused with 400.
//! - A TTL that JavaScript prints with an exponent is taken as it is (`1e21`); Butler keeps the first
//!   digit. More than [`TTL_MAX_MS`] is stored as that.
//! - A number outside a double's range is no JSON here; Butler stores an empty string.
//! - JSON may nest 127 deep, and lone surrogates are refused: they are no text and have no UTF-8.
//! - A bad escape in the query's key is 400 like one in the path (Butler: 500); what a route does not
//!   read is not decoded. `.`, `..` and `\` are names like any other; nothing is normalised.
//! - UTF-8 that was sent without escapes is read as such (Butler: 400).
//! - A method that has no route at all is 404 before its body is looked at, and a body on GET is never
//!   looked at. The target in a 404 is the one that was sent, not a normalised one.
//! - No rate limit. `/documentation` shows both APIs. `butlerVersion` is our own.
//! - What Redis clients store need not be UTF-8: in answers each bad sequence becomes U+FFFD. Such keys
//!   can not be asked for through `/v4`. A name that holds a string (WRONGTYPE) is 400.
//!
//! Kept although it looks odd: a namespace or key in the path has at most 100 UTF-16 units, beyond
//! which the route is 404; a POST without a value makes the namespace and answers 201 without one; a
//! missing pair or namespace is 400.

use std::borrow::Cow;
use std::sync::LazyLock;

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::answer::{self, Answer, Object};
use super::number;
use super::pair::Pair;
use super::problem::Problem;
use super::target::{self, Parameter};
use crate::error::Error;
use crate::reply::Captured;

/// What `butlerping` says. Clients only show it.
const BUTLER_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Longest namespace or key in a path, in UTF-16 units: the limit of Butler's router.
pub(super) const PARAMETER_MAX_UTF16: usize = 100;

/// Longest TTL that is stored: 4459 years, so that a deadline stays below 2^48 ms.
pub(super) const TTL_MAX_MS: u64 = 1 << 47;

/// Methods that Node's parser knows beyond those that [`Method`] has constants for.
const RARE_METHODS: &[&str] = &[
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "LINK",
    "LOCK",
    "M-SEARCH",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "NOTIFY",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// Runs commands for a route.
pub(super) trait Commands {
    /// One command, atomically; its reply.
    fn run(&mut self, args: &[&[u8]]) -> Result<Captured, Error>;

    /// Notes where the request leads.
    fn takes_route(&mut self, method: &'static str, path: &'static str);
}

/// What was asked for.
pub(super) struct Request<'a> {
    /// After the override.
    pub(super) method: &'a Method,
    /// Path and query as they were sent.
    pub(super) target: &'a str,
    /// The path's segments, decoded.
    pub(super) segments: &'a [Cow<'a, str>],
    /// The query as it was sent.
    pub(super) query: &'a str,
    /// The parsed body.
    pub(super) body: Option<Value>,
}

/// Whether Node's parser knows `method`; it answers 400 to the others.
pub(super) fn is_known(method: &Method) -> bool {
    const COMMON: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
        Method::CONNECT,
    ];
    COMMON.contains(method) || RARE_METHODS.contains(&method.as_str())
}

/// One route. Routing and the OpenAPI description follow from the table of them.
pub(super) struct Route {
    pub(super) id: &'static str,
    pub(super) method: &'static str,
    /// Segments in braces are parameters.
    pub(super) path: &'static str,
    /// One sentence.
    pub(super) about: &'static str,
    pub(super) takes: Takes,
    /// The status when it was done, and a JSON Schema of the body; without one there is no body.
    pub(super) gives: (u16, Option<&'static str>),
    run: fn(&mut Call<'_>) -> Result<Answer, Problem>,
}

/// What a route reads besides its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    /// `key` in the query.
    Key,
    /// A pair as JSON.
    Pair,
}

/// All routes.
pub(super) const ROUTES: &[Route] = &[
    Route {
        id: "butlerPing",
        method: "GET",
        path: "/v4/butlerping",
        about: "Says that the server is there.",
        takes: Takes::Nothing,
        gives: (200, Some(PING)),
        run: |_| Ok(ping()),
    },
    Route {
        id: "butlerNamespaces",
        method: "GET",
        path: "/v4/keyvaluesnamespaces",
        about: "The names of all namespaces.",
        takes: Takes::Nothing,
        gives: (200, Some(NAMES)),
        run: |call| namespaces(call.commands),
    },
    Route {
        id: "butlerKeys",
        method: "GET",
        path: "/v4/keylist/{namespace}",
        about: "The keys of a namespace.",
        takes: Takes::Nothing,
        gives: (200, Some(KEYS)),
        run: |call| key_list(call.commands, call.params[0]),
    },
    Route {
        id: "butlerGet",
        method: "GET",
        path: "/v4/keyvalues/{namespace}",
        about: "A pair; 400 if there is none.",
        takes: Takes::Key,
        gives: (200, Some(PAIR)),
        run: |call| get(call.commands, call.params[0], &wanted_key(call.query, call.target)?),
    },
    Route {
        id: "butlerExists",
        method: "GET",
        path: "/v4/keyvalues/{namespace}/keyexists",
        about: "Whether a pair exists; 400 if there is no such namespace.",
        takes: Takes::Key,
        gives: (200, Some(EXISTS)),
        run: |call| {
            key_exists(call.commands, call.params[0], &wanted_key(call.query, call.target)?)
        },
    },
    Route {
        id: "butlerSet",
        method: "POST",
        path: "/v4/keyvalues/{namespace}",
        about: "Sets a pair, and makes the namespace if there is none.",
        takes: Takes::Pair,
        gives: (201, Some(STORED)),
        run: |call| post(call.commands, call.params[0], call.body.take().unwrap_or(Value::Null)),
    },
    Route {
        id: "butlerDeleteNamespace",
        method: "DELETE",
        path: "/v4/keyvalues/{namespace}",
        about: "Deletes a namespace with all its pairs.",
        takes: Takes::Nothing,
        gives: (204, None),
        run: |call| delete_namespace(call.commands, call.params[0]),
    },
    Route {
        id: "butlerDelete",
        method: "DELETE",
        path: "/v4/keyvalues/{namespace}/{key}",
        about: "Deletes a pair.",
        takes: Takes::Nothing,
        gives: (204, None),
        run: |call| delete_pair(call.commands, call.params[0], call.params[1]),
    },
];

const PING: &str = r#"{"type":"object","required":["response","butlerVersion"],"properties":{
    "response":{"type":"string"},"butlerVersion":{"type":"string"}}}"#;
const NAMES: &str = r#"{"type":"array","items":{"type":"string"}}"#;
const KEYS: &str = r#"{"type":"object","required":["namespace","keys"],"properties":{
    "namespace":{"type":"string"},
    "keys":{"type":"array","items":{"type":"object","required":["key"],"properties":{"key":{"type":"string"}}}}}}"#;
const PAIR: &str = r#"{"type":"object","required":["namespace","key","value"],"properties":{
    "namespace":{"type":"string"},"key":{"type":"string"},"value":{"type":"string"}}}"#;
const EXISTS: &str = r#"{"type":"object","required":["keyExists","keyValue"],"properties":{
    "keyExists":{"type":"boolean"},
    "keyValue":{"type":"object","properties":{
        "namespace":{"type":"string"},"key":{"type":"string"},"value":{"type":"string"}}}}}"#;
const STORED: &str = r#"{"type":"object","required":["namespace","key","ttl"],"properties":{
    "namespace":{"type":"string"},"key":{"type":"string"},"value":{"type":"string"},"ttl":{"type":"number"}}}"#;

/// Parameters that a path has at most.
const PARAMS_MAX: usize = 2;
type Params<'a> = [&'a str; PARAMS_MAX];

/// What a route has to work with.
struct Call<'a> {
    commands: &'a mut dyn Commands,
    /// What stands in the path for its parameters, in their order.
    params: Params<'a>,
    target: &'a str,
    query: &'a str,
    body: Option<Value>,
}

/// Answers a request for this API or for nothing at all.
pub(super) fn respond(
    request: Request<'_>,
    commands: &mut dyn Commands,
) -> Result<Answer, Problem> {
    let Request { method, target, segments, query, body } = request;
    let method_name = if *method == Method::HEAD { "GET" } else { method.as_str() };
    let fitting = ROUTES.iter().zip(&*SEGMENTS).filter(|(route, _)| route.method == method_name);
    let found =
        fitting.into_iter().find_map(|(route, wanted)| Some((route, captures(wanted, segments)?)));
    let Some((route, params)) = found else { return Err(Problem::no_route(method, target)) };
    commands.takes_route(route.method, route.path);
    (route.run)(&mut Call { commands, params, target, query, body })
}

/// The segments of each route's path.
static SEGMENTS: LazyLock<Vec<Vec<&'static str>>> =
    LazyLock::new(|| ROUTES.iter().map(|route| route.path.split('/').skip(1).collect()).collect());

/// The parameters in a path, if it is one of the route's.
fn captures<'a>(route: &[&str], path: &'a [Cow<'_, str>]) -> Option<Params<'a>> {
    if route.len() != path.len() {
        return None;
    }
    let mut params = [""; PARAMS_MAX];
    let mut free = params.iter_mut();
    for (wanted, sent) in route.iter().zip(path) {
        if wanted.starts_with('{') {
            *free.next().filter(|_| fits(sent))? = sent;
        } else if wanted != sent {
            return None;
        }
    }
    Some(params)
}

fn fits(parameter: &str) -> bool {
    parameter.len() <= PARAMETER_MAX_UTF16
        || parameter.encode_utf16().count() <= PARAMETER_MAX_UTF16
}

fn wanted_key<'a>(query: &'a str, target: &str) -> Result<Cow<'a, str>, Problem> {
    match target::parameter(query, "key") {
        Ok(Parameter::Once(key)) => Ok(key),
        Ok(Parameter::Missing) => {
            Err(Problem::invalid("querystring must have required property 'key'"))
        }
        Ok(Parameter::Repeated) => Err(Problem::invalid("querystring/key must be string")),
        Err(target::BadEscape) => Err(Problem::bad_url(target)),
    }
}

fn ping() -> Answer {
    let mut body = Object::default();
    body.text("response", "Butler reporting for duty");
    body.text("butlerVersion", BUTLER_VERSION);
    answer::json(StatusCode::OK, body.end())
}

fn namespaces(commands: &mut dyn Commands) -> Result<Answer, Problem> {
    let names = sorted(commands.run(&[b"NAMESPACE", b"LIST"])?);
    let mut body = Vec::new();
    answer::write_array(&mut body, names, |out, name| {
        answer::write_text(out, &String::from_utf8_lossy(&name));
    });
    Ok(answer::json(StatusCode::OK, body))
}

fn key_list(commands: &mut dyn Commands, namespace: &str) -> Result<Answer, Problem> {
    let keys = run(commands, namespace, &[b"NAMESPACE", b"KEYS", namespace.as_bytes()])?;
    let mut body = Object::default();
    body.text("namespace", namespace);
    answer::write_array(body.open("keys"), sorted(keys), |out, key| {
        out.extend_from_slice(b"{\"key\":");
        answer::write_text(out, &String::from_utf8_lossy(&key));
        out.push(b'}');
    });
    Ok(answer::json(StatusCode::OK, body.end()))
}

fn get(commands: &mut dyn Commands, namespace: &str, key: &str) -> Result<Answer, Problem> {
    let value = value(commands, namespace, key)?.ok_or_else(|| no_key(namespace, key))?;
    Ok(answer::json(StatusCode::OK, pair_object(namespace, key, &value).end()))
}

fn key_exists(commands: &mut dyn Commands, namespace: &str, key: &str) -> Result<Answer, Problem> {
    let value = value(commands, namespace, key)?;
    let pair = value.as_ref().map(|value| pair_object(namespace, key, value));
    let mut body = Object::default();
    body.raw("keyExists", if value.is_some() { "true" } else { "false" });
    body.open("keyValue").extend_from_slice(&pair.unwrap_or_default().end());
    Ok(answer::json(StatusCode::OK, body.end()))
}

fn post(commands: &mut dyn Commands, namespace: &str, body: Value) -> Result<Answer, Problem> {
    let pair = Pair::from_json(body)?;
    let Some(key) = pair.key.as_deref().filter(|key| !key.is_empty()) else {
        return Err(Problem::bad_request("Required parameter is missing"));
    };
    store(commands, namespace.as_bytes(), key.as_bytes(), &pair)?;
    let mut body = Object::default();
    body.text("namespace", namespace);
    body.text("key", key);
    body.optional_text("value", pair.value.as_deref());
    body.raw("ttl", &number::print(pair.ttl_ms));
    Ok(answer::json(StatusCode::CREATED, body.end()))
}

fn store(commands: &mut dyn Commands, name: &[u8], key: &[u8], pair: &Pair) -> Result<(), Error> {
    let Some(value) = &pair.value else {
        return commands.run(&[b"NAMESPACE", b"CREATE", name]).map(drop);
    };
    let set: [&[u8]; 5] = [b"NAMESPACE", b"SET", name, key, value.as_bytes()];
    if pair.ttl_ms < 1.0 {
        return commands.run(&set).map(drop);
    }
    let ttl_ms = (pair.ttl_ms as u64).min(TTL_MAX_MS).to_string();
    commands.run(&[&set[..], &[b"PX", ttl_ms.as_bytes()]].concat()).map(drop)
}

fn delete_pair(commands: &mut dyn Commands, namespace: &str, key: &str) -> Result<Answer, Problem> {
    if key.is_empty() {
        return Err(Problem::bad_request("Required parameter is missing"));
    }
    let unset: [&[u8]; 4] = [b"NAMESPACE", b"UNSET", namespace.as_bytes(), key.as_bytes()];
    match run(commands, namespace, &unset)? {
        Captured::Integer(0) => Err(no_key(namespace, key)),
        _ => Ok(answer::no_content()),
    }
}

fn delete_namespace(commands: &mut dyn Commands, namespace: &str) -> Result<Answer, Problem> {
    match commands.run(&[b"NAMESPACE", b"DROP", namespace.as_bytes()])? {
        Captured::Integer(0) => Err(no_namespace(namespace)),
        _ => Ok(answer::no_content()),
    }
}

fn value(
    commands: &mut dyn Commands,
    namespace: &str,
    key: &str,
) -> Result<Option<Vec<u8>>, Problem> {
    let get: [&[u8]; 4] = [b"NAMESPACE", b"GET", namespace.as_bytes(), key.as_bytes()];
    match run(commands, namespace, &get)? {
        Captured::Bulk(value) => Ok(Some(value)),
        _ => Ok(None),
    }
}

/// Runs a command that needs `namespace` to exist.
fn run(commands: &mut dyn Commands, namespace: &str, args: &[&[u8]]) -> Result<Captured, Problem> {
    commands.run(args).map_err(|failed| match failed {
        Error::NoSuchNamespace => no_namespace(namespace),
        failed => failed.into(),
    })
}

fn sorted(list: Captured) -> Vec<Vec<u8>> {
    let Captured::Array(items) = list else { return Vec::new() };
    let bytes = |item| if let Captured::Bulk(bytes) = item { Some(bytes) } else { None };
    let mut items: Vec<Vec<u8>> = items.into_iter().filter_map(bytes).collect();
    items.sort_unstable();
    items
}

fn pair_object(namespace: &str, key: &str, value: &[u8]) -> Object {
    let mut body = Object::default();
    body.text("namespace", namespace);
    body.text("key", key);
    body.bytes("value", value);
    body
}

fn no_key(namespace: &str, key: &str) -> Problem {
    Problem::bad_request(format!("Key '{key}' not found in namespace: {namespace}"))
}

fn no_namespace(namespace: &str) -> Problem {
    Problem::bad_request(format!("Namespace not found: {namespace}"))
}
