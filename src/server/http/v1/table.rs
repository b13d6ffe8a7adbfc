//! The table of operations: one row for each, with its parameters, its body and its routes.
//!
//! Routing, the check of parameters and the OpenAPI description follow from it. To add an operation,
//! add a row here and a function in one of the files beside. A route is a method and a path; a segment
//! in braces is a parameter, and what follows the closing brace (`.csv`) must follow in the path too.

use std::sync::LazyLock;

use hyper::Method;

use super::ask::Ask;
use super::code::Refusal;
use super::{Call, Later};
use super::{bulk, command, describe, files, import, list, lock, namespace, pair, watch};
use crate::server::http::answer::Answer;

/// One row of the table.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: &'static str,
    /// One sentence.
    pub(super) about: &'static str,
    pub(super) params: &'static [&'static Param],
    pub(super) input: Input,
    pub(super) run: Run,
    /// Each is `METHOD /path`.
    pub(super) routes: &'static [&'static str],
}

/// How an operation is run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Run {
    /// At once.
    Now(fn(&Ask, &mut Call<'_>) -> Result<Answer, Refusal>),
    /// With pauses, so that others get their turn.
    Later(fn(Ask, Later) -> super::Pending),
}

/// What an operation takes from a body beyond parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing.
    Params,
    /// The parameter `value`, raw.
    Value,
    /// Rows, all at once.
    Rows,
    /// Rows, as they come.
    Stream,
    /// Commands in Upstash's form.
    Commands,
}

/// One parameter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// One sentence.
    pub(super) about: &'static str,
}

/// What a parameter's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Any bytes; also as `…_base64`.
    Bytes,
    Text,
    Number,
    Flag,
    OneOf(&'static [&'static str]),
}

const fn param(name: &'static str, shape: Shape, about: &'static str) -> Param {
    Param { name, shape, about }
}

const ACK: &Param =
    &param("ack", Shape::OneOf(&["json"]), "json: a row instead of an empty answer.");
const ATOMIC: &Param = &param(
    "atomic",
    Shape::Flag,
    "0: each row for itself, with a result for each; 1 (default): all rows or none.",
);
const BY: &Param =
    &param("by", Shape::Text, "What is added: an integer or a decimal number; 1 if not given.");
const DEFAULT: &Param =
    &param("default", Shape::Bytes, "The value to answer with if there is none.");
const ENCODING: &Param =
    &param("encoding", Shape::OneOf(&["utf-8", "base64"]), "How values come and go.");
const EXPIRES_AT: &Param = &param(
    "expires_at",
    Shape::Text,
    "When the pair expires: unix ms, or YYYY-MM-DD hh:mm:ss.fff in UTC.",
);
const FORMAT: &Param = &param(
    "format",
    Shape::OneOf(&["json", "ndjson", "csv", "text"]),
    "How the answer looks; counts more than Accept.",
);
const GUARD: &Param = &param(
    "guard",
    Shape::Flag,
    "1: a ' before CSV fields that spreadsheets would take for formulas.",
);
const IF_MATCH: &Param =
    &param("if_match", Shape::Text, "Only if the pair has this ETag; * for any. Also as If-Match.");
const IF_NONE_MATCH: &Param = &param(
    "if_none_match",
    Shape::Text,
    "Only if the pair does not have this ETag; * for no pair. Also as If-None-Match.",
);
const KEY: &Param = &param("key", Shape::Bytes, "The key of the pair.");
const LIMIT: &Param =
    &param("limit", Shape::Number, "Most rows in this answer; the next link leads on.");
const LOCK: &Param = &param("lock", Shape::Bytes, "The name of the lock.");
const MATCH: &Param =
    &param("match", Shape::Bytes, "Only names that match this pattern (* ? [abc]).");
const NAMESPACE: &Param = &param("namespace", Shape::Bytes, "The namespace.");
const NEXT: &Param = &param("next", Shape::Text, "Where to go on, from the answer before.");
const ONLY_IF: &Param = &param(
    "only_if",
    Shape::OneOf(&["missing", "exists"]),
    "Only if there is no such pair, or only if there is.",
);
const OWNER: &Param = &param("owner", Shape::Text, "Who holds the lock, for people to read.");
const SINCE: &Param =
    &param("since", Shape::Text, "The id of the last event that is known. Also as Last-Event-ID.");
const SOFT: &Param = &param(
    "soft",
    Shape::Flag,
    "1: the status is always 200, and ok, status and error say what happened. Also as X-KV-Soft-Errors.",
);
const TOKEN: &Param = &param("token", Shape::Text, "What the lock was acquired with.");
const TTL: &Param =
    &param("ttl", Shape::Text, "How long the pair lives: ms, an ISO 8601 duration, none, or keep.");
const VALUE: &Param = &param("value", Shape::Bytes, "The value.");
const VALUES: &Param = &param("values", Shape::Flag, "0: keys only.");

const VALUES_TOO: &Param = &param("values", Shape::Flag, "1: with values.");
const WAIT: &Param =
    &param("wait", Shape::Text, "How long to wait if nothing happened: 30s, PT30S, 30000.");

/// Parameters of every operation.
const EVERYWHERE: &[&Param] = &[SOFT, ACK];

/// All operations. Of two routes that fit, the first counts.
pub(super) const OPERATIONS: &[Operation] = &[
    // ---- pairs
    now("getPair", pair::get, "Returns a pair.")
        .takes(&[NAMESPACE, KEY, DEFAULT, ENCODING, FORMAT, IF_NONE_MATCH])
        .at(&["GET /v1/namespaces/{namespace}/pairs/{key}", "GET /v1/get", "POST /v1/get"]),
    now("setPair", pair::set, "Sets a pair, and makes the namespace if there is none.")
        .takes(&[NAMESPACE, KEY, VALUE, TTL, EXPIRES_AT, ENCODING, ONLY_IF, IF_MATCH, IF_NONE_MATCH])
        .reads(Input::Value)
        .at(&[
            "PUT /v1/namespaces/{namespace}/pairs/{key}",
            "POST /v1/namespaces/{namespace}/pairs/{key}",
            "POST /v1/set",
        ]),
    now("deletePair", pair::delete, "Deletes a pair.")
        .takes(&[NAMESPACE, KEY, IF_MATCH, IF_NONE_MATCH])
        .at(&["DELETE /v1/namespaces/{namespace}/pairs/{key}", "POST /v1/delete"]),
    now("pairExists", pair::exists, "Whether a pair exists; no error if it does not.")
        .takes(&[NAMESPACE, KEY])
        .at(&["GET /v1/namespaces/{namespace}/pairs/{key}/exists", "GET /v1/exists", "POST /v1/exists"]),
    now("takePair", pair::take, "Returns a pair's value and deletes the pair.")
        .takes(&[NAMESPACE, KEY, DEFAULT, ENCODING, FORMAT])
        .at(&["POST /v1/namespaces/{namespace}/pairs/{key}/take", "POST /v1/take"]),
    now("incrementPair", pair::increment, "Adds to a number, which is 0 if there is no pair; the TTL stays.")
        .takes(&[NAMESPACE, KEY, BY])
        .at(&["POST /v1/namespaces/{namespace}/pairs/{key}/increment", "POST /v1/increment"]),
    now("appendToPair", pair::append, "Appends to a value, which is empty if there is no pair; the TTL stays.")
        .takes(&[NAMESPACE, KEY, VALUE, ENCODING])
        .reads(Input::Value)
        .at(&["POST /v1/namespaces/{namespace}/pairs/{key}/append", "POST /v1/append"]),
    now("touchPair", pair::touch, "Gives a pair another TTL, or none.")
        .takes(&[NAMESPACE, KEY, TTL, EXPIRES_AT])
        .at(&["POST /v1/namespaces/{namespace}/pairs/{key}/touch", "POST /v1/touch"]),
    // ---- whole namespaces
    now("listPairsAsCsv", list::csv, "The pairs of a namespace as CSV, all of them unless limit is given.")
        .takes(&[NAMESPACE, MATCH, VALUES, GUARD, LIMIT, NEXT, ENCODING])
        .at(&["GET /v1/namespaces/{namespace}.csv"]),
    now("listPairsAsJsonLines", list::json_lines, "The pairs of a namespace, one JSON object a line.")
        .takes(&[NAMESPACE, MATCH, VALUES, LIMIT, NEXT, ENCODING])
        .at(&["GET /v1/namespaces/{namespace}.ndjson"]),
    now("listPairs", list::pairs, "The pairs of a namespace: all as an array of rows, or with limit a page of them.")
        .takes(&[NAMESPACE, MATCH, VALUES, GUARD, LIMIT, NEXT, ENCODING, FORMAT])
        .at(&["GET /v1/namespaces/{namespace}/pairs", "GET /v1/list", "POST /v1/list"]),
    now("listNamespaces", list::namespaces, "All namespaces, with their pairs and bytes.")
        .takes(&[MATCH, GUARD, LIMIT, NEXT, FORMAT])
        .at(&["GET /v1/namespaces", "POST /v1/list-namespaces"]),
    now("createNamespace", namespace::create, "Makes a namespace that stays when it is empty.")
        .takes(&[NAMESPACE])
        .at(&["PUT /v1/namespaces/{namespace}", "POST /v1/namespaces"]),
    now("describeNamespace", namespace::describe, "Pairs and bytes of a namespace.")
        .takes(&[NAMESPACE])
        .at(&["GET /v1/namespaces/{namespace}", "GET /v1/describe", "POST /v1/describe"]),
    now("deleteNamespace", namespace::delete, "Deletes a namespace with all its pairs.")
        .takes(&[NAMESPACE])
        .at(&["DELETE /v1/namespaces/{namespace}", "POST /v1/delete-namespace"]),
    now("export", list::export, "All pairs of all namespaces, as NDJSON or CSV, for import.")
        .takes(&[MATCH, GUARD, FORMAT])
        .at(&["GET /v1/export", "POST /v1/export"]),
    later("import", import::import, "Sets pairs from NDJSON or CSV of any length, as they come; what was read before an error stays.")
        .takes(&[NAMESPACE])
        .reads(Input::Stream)
        .at(&["POST /v1/import", "POST /v1/namespaces/{namespace}/import"]),
    // ---- many pairs
    later("setPairs", bulk::set, "Sets the pairs in the rows of the body.")
        .takes(&[NAMESPACE, ATOMIC])
        .reads(Input::Rows)
        .at(&["POST /v1/namespaces/{namespace}/pairs", "POST /v1/set-many"]),
    later("getPairs", bulk::get, "Returns the pairs that the rows of the body name.")
        .takes(&[NAMESPACE, ENCODING])
        .reads(Input::Rows)
        .at(&["POST /v1/get-many"]),
    later("deletePairs", bulk::delete, "Deletes the pairs that the rows of the body name.")
        .takes(&[NAMESPACE, ATOMIC])
        .reads(Input::Rows)
        .at(&["POST /v1/delete-many"]),
    // ---- locks
    now("acquireLock", lock::acquire, "Takes a lock for so long; 409 if somebody holds it.")
        .takes(&[LOCK, NAMESPACE, TTL, OWNER])
        .at(&["POST /v1/locks/{lock}/acquire", "POST /v1/lock"]),
    now("renewLock", lock::renew, "Holds a lock for so long from now on.")
        .takes(&[LOCK, NAMESPACE, TTL, TOKEN])
        .at(&["POST /v1/locks/{lock}/renew", "POST /v1/renew"]),
    now("releaseLock", lock::release, "Gives a lock back.")
        .takes(&[LOCK, NAMESPACE, TOKEN])
        .at(&["POST /v1/locks/{lock}/release", "POST /v1/unlock"]),
    now("describeLock", lock::describe, "Who holds a lock, and for how long.")
        .takes(&[LOCK, NAMESPACE])
        .at(&["GET /v1/locks/{lock}"]),
    // ---- what happens
    now("watch", watch::events, "Server-sent events: what happens to a key, a namespace or everything.")
        .takes(&[NAMESPACE, KEY, VALUES_TOO, SINCE, ENCODING])
        .at(&[
            "GET /v1/watch",
            "GET /v1/namespaces/{namespace}/watch",
            "GET /v1/namespaces/{namespace}/pairs/{key}/watch",
        ]),
    later("changes", watch::changes, "What happened since then, by long poll.")
        .takes(&[NAMESPACE, KEY, VALUES_TOO, SINCE, WAIT, LIMIT, ENCODING])
        .at(&["GET /v1/changes", "POST /v1/changes", "GET /v1/namespaces/{namespace}/changes"]),
    // ---- any command
    now("command", command::one, "Runs one command, in the form of Upstash's REST API.")
        .reads(Input::Commands)
        .at(&["POST /v1/command", "POST /"]),
    now("pipeline", command::pipeline, "Runs commands one after the other, in the form of Upstash's REST API.")
        .reads(Input::Commands)
        .at(&["POST /v1/pipeline", "POST /pipeline"]),
    now("transaction", command::transaction, "Runs commands as one transaction, in the form of Upstash's REST API.")
        .reads(Input::Commands)
        .at(&["POST /v1/transaction", "POST /multi-exec"]),
    // ---- to find one's way
    now("ping", describe::ping, "Says that the server is there; changes nothing.")
        .at(&["GET /v1/ping", "POST /v1/ping"]),
    now("openapi", describe::openapi, "This API, as OpenAPI 3.1.").at(&["GET /v1/openapi.json"]),
    now("qlikSubs", files::subs, "Subs for Qlik load scripts.").at(&["GET /v1/qlik/pantry_subs.qvs"]),
    now("javascriptModule", files::module, "The JavaScript client as an ES module.").at(&["GET /v1/client/pantry.mjs"]),
    now("javascriptAmd", files::amd, "The JavaScript client as an AMD module.").at(&["GET /v1/client/pantry.js"]),
];

const fn now(
    id: &'static str,
    run: fn(&Ask, &mut Call<'_>) -> Result<Answer, Refusal>,
    about: &'static str,
) -> Operation {
    Operation { id, about, params: &[], input: Input::Params, run: Run::Now(run), routes: &[] }
}

const fn later(
    id: &'static str,
    run: fn(Ask, Later) -> super::Pending,
    about: &'static str,
) -> Operation {
    Operation { id, about, params: &[], input: Input::Params, run: Run::Later(run), routes: &[] }
}

impl Operation {
    const fn takes(mut self, params: &'static [&'static Param]) -> Operation {
        self.params = params;
        self
    }

    const fn reads(mut self, input: Input) -> Operation {
        self.input = input;
        self
    }

    const fn at(mut self, routes: &'static [&'static str]) -> Operation {
        self.routes = routes;
        self
    }

    /// Its parameters, those that every operation has included.
    pub(super) fn all_params(&self) -> impl Iterator<Item = &'static Param> {
        self.params.iter().chain(EVERYWHERE).copied()
    }

    /// The parameter of this name.
    pub(super) fn param(&self, name: &str) -> Option<&'static Param> {
        self.all_params().find(|param| param.name == name)
    }

    /// The names of its parameters, for an error.
    pub(super) fn param_names(&self) -> String {
        self.all_params().map(|param| param.name).collect::<Vec<_>>().join(", ")
    }
}

/// A route, taken apart.
#[derive(Debug)]
struct Route {
    method: Method,
    segments: Vec<Segment>,
    operation: &'static Operation,
}

#[derive(Debug)]
enum Segment {
    Word(&'static str),
    Param { name: &'static str, suffix: &'static str },
}

/// What a request leads to.
pub(super) enum Found<'a> {
    Operation(&'static Operation, Vec<(&'static str, &'a str)>),
    /// The path is there, with these methods.
    OtherMethods(Vec<&'static str>),
    Nothing,
}

/// Routes by their number of segments.
static ROUTES: LazyLock<Vec<Vec<Route>>> = LazyLock::new(|| {
    let mut routes: Vec<Vec<Route>> = Vec::new();
    for operation in OPERATIONS {
        for line in operation.routes {
            let (method, path) = line.split_once(" /").unwrap_or((line, ""));
            let segments: Vec<Segment> = path.split('/').map(segment).collect();
            let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
            if routes.len() <= segments.len() {
                routes.resize_with(segments.len() + 1, Vec::new);
            }
            routes[segments.len()].push(Route { method, segments, operation });
        }
    }
    routes
});

fn segment(text: &'static str) -> Segment {
    match text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((name, suffix)) => Segment::Param { name, suffix },
        None => Segment::Word(text),
    }
}

/// Looks a path up; HEAD goes where GET goes.
pub(super) fn find<'a>(method: &Method, path: &'a [impl AsRef<str>]) -> Found<'a> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let Some(routes) = ROUTES.get(path.len()) else { return Found::Nothing };
    let mut others: Vec<&'static str> = Vec::new();
    for route in routes {
        if !route.fits(path) {
            continue;
        }
        if route.method == *method {
            return Found::Operation(route.operation, route.captures(path));
        }
        others.push(name_of(&route.method));
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
}

fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "GET, HEAD",
    }
}

impl Route {
    fn fits(&self, path: &[impl AsRef<str>]) -> bool {
        self.segments.iter().zip(path).all(|(segment, sent)| match segment {
            Segment::Word(word) => sent.as_ref() == *word,
            Segment::Param { suffix, .. } => {
                let name = sent.as_ref().strip_suffix(suffix);
                name.is_some_and(|name| suffix.is_empty() || !name.is_empty())
            }
        })
    }

    fn captures<'a>(&self, path: &'a [impl AsRef<str>]) -> Vec<(&'static str, &'a str)> {
        let pairs = self.segments.iter().zip(path);
        let captured = pairs.filter_map(|(segment, sent)| match segment {
            Segment::Word(_) => None,
            Segment::Param { name, suffix } => Some((*name, sent.as_ref().strip_suffix(suffix)?)),
        });
        captured.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_say_what_they_are() {
        let (mut ids, mut routes) = (BTreeSet::new(), BTreeSet::new());
        for operation in OPERATIONS {
            assert!(ids.insert(operation.id), "{} is there twice", operation.id);
            assert!(
                operation.about.ends_with('.') && !operation.routes.is_empty(),
                "{}",
                operation.id
            );
            assert!(operation.params.iter().all(|param| param.about.ends_with('.')));
            for line in operation.routes {
                assert!(routes.insert(line), "{line} is there twice");
                let (method, path) = line.split_once(" /").unwrap();
                assert!(matches!(method, "GET" | "POST" | "PUT" | "DELETE"), "{line}");
                for segment in path.split('/').map(segment) {
                    if let Segment::Param { name, .. } = segment {
                        assert!(operation.param(name).is_some(), "{line}: {name}");
                    }
                }
            }
            // Who has no other methods still reaches it.
            let is_plain =
                |line: &&'static str| line.starts_with("GET ") || line.starts_with("POST ");
            assert!(operation.routes.iter().any(is_plain), "{}", operation.id);
        }
    }

    #[test]
    fn paths_lead_to_operations() {
        let led = |method: Method, path: &str| {
            let path: Vec<&str> = path[1..].split('/').collect();
            match find(&method, &path) {
                Found::Operation(operation, captures) => format!("{} {captures:?}", operation.id),
                Found::OtherMethods(methods) => methods.join(", "),
                Found::Nothing => String::new(),
            }
        };
        assert_eq!(
            led(Method::GET, "/v1/namespaces/n.csv"),
            "listPairsAsCsv [(\"namespace\", \"n\")]"
        );
        assert_eq!(
            led(Method::GET, "/v1/namespaces/.csv"),
            "describeNamespace [(\"namespace\", \".csv\")]"
        );
        assert_eq!(
            led(Method::HEAD, "/v1/namespaces/n/pairs/k"),
            "getPair [(\"namespace\", \"n\"), (\"key\", \"k\")]"
        );
        assert_eq!(led(Method::PUT, "/v1/get"), "GET, HEAD, POST");
        assert_eq!(led(Method::POST, "/"), "command []");
        assert_eq!(led(Method::GET, "/v1/nothing"), "");
        assert_eq!(led(Method::GET, "/v1"), "");
    }
}
