//! The table of operations: one row for each, with its parameters, its body and its routes.
//!
//! Routing, the check of parameters and the OpenAPI description follow from it. To add an operation,
//! add a row here and a function in one of the files beside. A route is a method and a path; a segment
//! in braces is a parameter, and what follows the closing brace (`.csv`) must follow in the path too.

use super::ask::Ask;
use super::code::Refusal;
use super::params::{
    ATOMIC, BY, CHANGES_LIMIT, DEFAULT, ENCODING, EVERYWHERE, EXPIRES_AT, FORMAT, GUARD, HOLD,
    IF_MATCH, IF_NONE_MATCH, KEY, KNOWN_TAGS, LIMIT, LOCK, MATCH, NAMESPACE, NEXT, ONLY_IF, OWNER,
    Param, SINCE, TOKEN, TTL, VALUE, VALUES, VALUES_TOO, WAIT,
};
use super::table_admin::{ADMIN, BYTES_MAX, PAIRS_MAX};
use super::{Call, Later};
use super::{bulk, command, describe, files, import, list, lock, namespace, pair, watch};
use crate::server::http::answer::Answer;

/// One row of the table.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: &'static str,
    /// One sentence.
    pub(super) about: &'static str,
    /// Parameters that it can not do without.
    pub(super) needs: &'static [&'static Param],
    /// Of these it needs one.
    pub(super) needs_one: &'static [&'static Param],
    pub(super) params: &'static [&'static Param],
    pub(super) input: Input,
    pub(super) gives: Gives,
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

/// What an operation answers with when it was done. Columns stand as their names with blanks between;
/// `describe` knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    /// A flat object with these columns.
    Row(&'static str),
    /// The same, or nothing but its value.
    Value(&'static str),
    /// Nothing, or a flat object where one is wanted.
    Done(&'static str),
    /// An array of flat objects.
    Rows(&'static str),
    /// A flat object for all rows, or with `atomic=0` one for each.
    Sum(&'static str),
    /// Rows as JSON, NDJSON or CSV, all or by pages.
    List(&'static str),
    /// Rows as NDJSON or CSV.
    Export,
    /// Text of this content type.
    Text(&'static str),
    /// What commands reply.
    Results,
    /// A JSON object.
    Object,
}

/// What everybody may do. Of two routes that fit, the first counts.
const OPERATIONS: &[Operation] = &[
    // ---- pairs
    now("getPair", pair::get, "Returns a pair.")
        .needs(&[NAMESPACE, KEY])
        .takes(&[DEFAULT, ENCODING, FORMAT, KNOWN_TAGS])
        .gives(Gives::Value("namespace key value found ttl_ms expires_ms expires_at etag"))
        .at(&["GET /v1/namespaces/{namespace}/pairs/{key}", "GET /v1/get", "POST /v1/get"]),
    now("setPair", pair::set, "Sets a pair, and makes the namespace if there is none.")
        .needs(&[NAMESPACE, KEY, VALUE])
        .takes(&[TTL, EXPIRES_AT, ENCODING, ONLY_IF, IF_MATCH, IF_NONE_MATCH])
        .reads(Input::Value)
        .gives(Gives::Done("namespace key etag"))
        .at(&[
            "PUT /v1/namespaces/{namespace}/pairs/{key}",
            "POST /v1/namespaces/{namespace}/pairs/{key}",
            "POST /v1/set",
        ]),
    now("deletePair", pair::delete, "Deletes a pair.")
        .needs(&[NAMESPACE, KEY])
        .takes(&[IF_MATCH, IF_NONE_MATCH])
        .gives(Gives::Done("namespace key deleted"))
        .at(&["DELETE /v1/namespaces/{namespace}/pairs/{key}", "POST /v1/delete"]),
    now("pairExists", pair::exists, "Whether a pair exists; no error if it does not.")
        .needs(&[NAMESPACE, KEY])
        .gives(Gives::Row("namespace key exists"))
        .at(&["GET /v1/namespaces/{namespace}/pairs/{key}/exists", "GET /v1/exists", "POST /v1/exists"]),
    now("takePair", pair::take, "Returns a pair's value and deletes the pair.")
        .needs(&[NAMESPACE, KEY])
        .takes(&[DEFAULT, ENCODING, FORMAT])
        .gives(Gives::Value("namespace key value found ttl_ms expires_ms expires_at etag"))
        .at(&["POST /v1/namespaces/{namespace}/pairs/{key}/take", "POST /v1/take"]),
    now("incrementPair", pair::increment, "Adds to a number, which is 0 if there is no pair; the TTL stays.")
        .needs(&[NAMESPACE, KEY])
        .takes(&[BY])
        .gives(Gives::Row("namespace key value"))
        .at(&["POST /v1/namespaces/{namespace}/pairs/{key}/increment", "POST /v1/increment"]),
    now("appendToPair", pair::append, "Appends to a value, which is empty if there is no pair; the TTL stays.")
        .needs(&[NAMESPACE, KEY, VALUE])
        .takes(&[ENCODING])
        .reads(Input::Value)
        .gives(Gives::Row("namespace key bytes"))
        .at(&["POST /v1/namespaces/{namespace}/pairs/{key}/append", "POST /v1/append"]),
    now("touchPair", pair::touch, "Gives a pair another TTL, or none.")
        .needs(&[NAMESPACE, KEY])
        .takes(&[TTL, EXPIRES_AT])
        .gives(Gives::Row("namespace key ttl_ms expires_ms expires_at"))
        .at(&["POST /v1/namespaces/{namespace}/pairs/{key}/touch", "POST /v1/touch"]),
    // ---- whole namespaces
    now("listPairsAsCsv", list::csv, "The pairs of a namespace as CSV, all of them unless limit is given.")
        .needs(&[NAMESPACE])
        .takes(&[MATCH, VALUES, GUARD, LIMIT, NEXT, ENCODING])
        .gives(Gives::Text("text/csv"))
        .at(&["GET /v1/namespaces/{namespace}.csv"]),
    now("listPairsAsJsonLines", list::json_lines, "The pairs of a namespace, one JSON object a line.")
        .needs(&[NAMESPACE])
        .takes(&[MATCH, VALUES, LIMIT, NEXT, ENCODING])
        .gives(Gives::Text("application/x-ndjson"))
        .at(&["GET /v1/namespaces/{namespace}.ndjson"]),
    now("listPairs", list::pairs, "The pairs of a namespace: all as an array of rows, or with limit a page of them.")
        .needs(&[NAMESPACE])
        .takes(&[MATCH, VALUES, GUARD, LIMIT, NEXT, ENCODING, FORMAT])
        .gives(Gives::List("namespace key value ttl_ms expires_ms expires_at"))
        .at(&["GET /v1/namespaces/{namespace}/pairs", "GET /v1/list", "POST /v1/list"]),
    now("listNamespaces", list::namespaces, "All namespaces, with their pairs, bytes and limits.")
        .takes(&[MATCH, GUARD, LIMIT, NEXT, FORMAT])
        .gives(Gives::List("namespace pairs bytes kept pairs_max bytes_max ttl_ms expires_ms expires_at"))
        .at(&["GET /v1/namespaces", "POST /v1/list-namespaces"]),
    now("createNamespace", namespace::create, "Makes a namespace that stays when it is empty; limits are for administrators.")
        .needs(&[NAMESPACE])
        .takes(&[PAIRS_MAX, BYTES_MAX])
        .gives(Gives::Done("namespace created"))
        .at(&["PUT /v1/namespaces/{namespace}", "POST /v1/namespaces"]),
    now("describeNamespace", namespace::describe, "Pairs, bytes and limits of a namespace.")
        .needs(&[NAMESPACE])
        .gives(Gives::Row("namespace pairs bytes kept pairs_max bytes_max ttl_ms expires_ms expires_at"))
        .at(&["GET /v1/namespaces/{namespace}", "GET /v1/describe", "POST /v1/describe"]),
    now("deleteNamespace", namespace::delete, "Deletes a namespace with all its pairs.")
        .needs(&[NAMESPACE])
        .gives(Gives::Done("namespace deleted"))
        .at(&["DELETE /v1/namespaces/{namespace}", "POST /v1/delete-namespace"]),
    now("export", list::export, "All pairs of all namespaces, as NDJSON or CSV, for import.")
        .takes(&[MATCH, GUARD, FORMAT])
        .gives(Gives::Export)
        .at(&["GET /v1/export", "POST /v1/export"]),
    later("import", import::import, "Sets pairs from NDJSON or CSV of any length, as they come; what was read before an error stays.")
        .takes(&[NAMESPACE])
        .reads(Input::Stream)
        .gives(Gives::Row("set"))
        .at(&["POST /v1/import", "POST /v1/namespaces/{namespace}/import"]),
    // ---- many pairs
    later("setPairs", bulk::set, "Sets the pairs in the rows of the body.")
        .takes(&[NAMESPACE, ATOMIC])
        .reads(Input::Rows)
        .gives(Gives::Sum("set"))
        .at(&["POST /v1/namespaces/{namespace}/pairs", "POST /v1/set-many"]),
    later("getPairs", bulk::get, "Returns the pairs that the rows of the body name.")
        .takes(&[NAMESPACE, ENCODING])
        .reads(Input::Rows)
        .gives(Gives::Rows("namespace key value found ttl_ms expires_ms expires_at"))
        .at(&["POST /v1/get-many"]),
    later("deletePairs", bulk::delete, "Deletes the pairs that the rows of the body name.")
        .takes(&[NAMESPACE, ATOMIC])
        .reads(Input::Rows)
        .gives(Gives::Sum("deleted"))
        .at(&["POST /v1/delete-many"]),
    // ---- locks
    now("acquireLock", lock::acquire, "Takes a lock for so long; 409 if somebody holds it.")
        .needs(&[LOCK, HOLD])
        .takes(&[NAMESPACE, OWNER])
        .gives(Gives::Row("lock held token ttl_ms"))
        .at(&["POST /v1/locks/{lock}/acquire", "POST /v1/lock"]),
    now("renewLock", lock::renew, "Holds a lock for so long from now on.")
        .needs(&[LOCK, TOKEN, HOLD])
        .takes(&[NAMESPACE])
        .gives(Gives::Row("lock held ttl_ms"))
        .at(&["POST /v1/locks/{lock}/renew", "POST /v1/renew"]),
    now("releaseLock", lock::release, "Gives a lock back.")
        .needs(&[LOCK, TOKEN])
        .takes(&[NAMESPACE])
        .gives(Gives::Row("lock held"))
        .at(&["POST /v1/locks/{lock}/release", "POST /v1/unlock"]),
    now("describeLock", lock::describe, "Who holds a lock, and for how long.")
        .needs(&[LOCK])
        .takes(&[NAMESPACE])
        .gives(Gives::Row("lock held owner ttl_ms expires_ms expires_at"))
        .at(&["GET /v1/locks/{lock}", "GET /v1/describe-lock", "POST /v1/describe-lock"]),
    // ---- what happens
    now("watch", watch::events, "Server-sent events: what happens to a key, a namespace or everything.")
        .takes(&[NAMESPACE, KEY, VALUES_TOO, SINCE, ENCODING])
        .gives(Gives::Text("text/event-stream"))
        .at(&[
            "GET /v1/watch",
            "GET /v1/namespaces/{namespace}/watch",
            "GET /v1/namespaces/{namespace}/pairs/{key}/watch",
        ]),
    later("changes", watch::changes, "What happened since then, by long poll.")
        .takes(&[NAMESPACE, KEY, VALUES_TOO, SINCE, WAIT, CHANGES_LIMIT, ENCODING])
        .gives(Gives::Object)
        .at(&["GET /v1/changes", "POST /v1/changes", "GET /v1/namespaces/{namespace}/changes"]),
    // ---- any command
    now("command", command::one, "Runs one command, in the form of Upstash's REST API.")
        .reads(Input::Commands)
        .gives(Gives::Results)
        .at(&["POST /v1/command", "POST /"]),
    later("pipeline", command::pipeline, "Runs commands one after the other, in the form of Upstash's REST API.")
        .reads(Input::Commands)
        .gives(Gives::Results)
        .at(&["POST /v1/pipeline", "POST /pipeline"]),
    now("transaction", command::transaction, "Runs commands as one transaction, in the form of Upstash's REST API.")
        .reads(Input::Commands)
        .gives(Gives::Results)
        .at(&["POST /v1/transaction", "POST /multi-exec"]),
    // ---- to find one's way
    now("ping", describe::ping, "Says that the server is there; changes nothing.")
        .gives(Gives::Object)
        .at(&["GET /v1/ping", "POST /v1/ping"]),
    now("openapi", describe::openapi, "This API, as OpenAPI 3.1.")
        .gives(Gives::Object)
        .at(&["GET /v1/openapi.json"]),
    now("qlikSubs", files::subs, "Subs for Qlik load scripts.")
        .gives(Gives::Text("text/plain"))
        .at(&["GET /v1/qlik/pantry_subs.qvs"]),
    now("javascriptModule", files::module, "The JavaScript client as an ES module.")
        .gives(Gives::Text("text/javascript"))
        .at(&["GET /v1/client/pantry.mjs"]),
    now("javascriptAmd", files::amd, "The JavaScript client as an AMD module.")
        .gives(Gives::Text("text/javascript"))
        .at(&["GET /v1/client/pantry.js"]),
];

/// All operations.
pub(super) fn operations() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().chain(ADMIN)
}

pub(super) const fn now(
    id: &'static str,
    run: fn(&Ask, &mut Call<'_>) -> Result<Answer, Refusal>,
    about: &'static str,
) -> Operation {
    blank(id, about, Run::Now(run))
}

const fn later(
    id: &'static str,
    run: fn(Ask, Later) -> super::Pending,
    about: &'static str,
) -> Operation {
    blank(id, about, Run::Later(run))
}

const fn blank(id: &'static str, about: &'static str, run: Run) -> Operation {
    let (needs, needs_one, params, routes): (&[_], &[_], &[_], &[_]) = (&[], &[], &[], &[]);
    let (input, gives) = (Input::Params, Gives::Object);
    Operation { id, about, needs, needs_one, params, input, gives, run, routes }
}

impl Operation {
    pub(super) const fn needs(mut self, params: &'static [&'static Param]) -> Operation {
        self.needs = params;
        self
    }

    pub(super) const fn needs_one(mut self, params: &'static [&'static Param]) -> Operation {
        self.needs_one = params;
        self
    }

    pub(super) const fn gives(mut self, gives: Gives) -> Operation {
        self.gives = gives;
        self
    }

    pub(super) const fn takes(mut self, params: &'static [&'static Param]) -> Operation {
        self.params = params;
        self
    }

    const fn reads(mut self, input: Input) -> Operation {
        self.input = input;
        self
    }

    pub(super) const fn at(mut self, routes: &'static [&'static str]) -> Operation {
        self.routes = routes;
        self
    }

    /// Its parameters, those that every operation has included.
    pub(super) fn all_params(&self) -> impl Iterator<Item = &'static Param> {
        let own = self.needs.iter().chain(self.needs_one).chain(self.params);
        own.chain(EVERYWHERE).copied()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_say_what_they_are() {
        let (mut ids, mut routes) = (BTreeSet::new(), BTreeSet::new());
        for operation in operations() {
            assert!(ids.insert(operation.id), "{} is there twice", operation.id);
            assert!(
                operation.about.ends_with('.') && !operation.routes.is_empty(),
                "{}",
                operation.id
            );
            assert!(operation.all_params().all(|param| param.about.ends_with('.')));
            for line in operation.routes {
                assert!(routes.insert(line), "{line} is there twice");
                let (method, path) = line.split_once(" /").unwrap();
                assert!(matches!(method, "GET" | "POST" | "PUT" | "DELETE"), "{line}");
                for segment in path.split('/') {
                    if let Some((name, _)) =
                        segment.strip_prefix('{').and_then(|it| it.split_once('}'))
                    {
                        assert!(operation.param(name).is_some(), "{line}: {name}");
                    }
                }
            }
            // Who has no other methods still reaches it, with parameters in a body; what is but another form
            // of an operation, or asks for none, is a link.
            let is_link = matches!(operation.gives, Gives::Text(_)) || operation.id == "openapi";
            let method = if is_link { "GET /" } else { "POST /" };
            assert!(operation.routes.iter().any(|it| it.starts_with(method)), "{}", operation.id);
            let is_fixed = |it: &&&str| it.starts_with("POST /") && !it.contains('{');
            assert!(is_link || operation.routes.iter().any(|it| is_fixed(&it)), "{}", operation.id);
        }
    }
}
