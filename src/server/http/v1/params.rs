//! The parameters of operations: names, what their values are, one sentence each.
//!
//! Which operation has which is in `table`, where they may stand in `ask`. The forms of values are for
//! the description; what they mean is decided by who reads them.

use super::list_page::PAGE_ROWS_MAX;
use super::watch::{CHANGES_MAX, WAIT_MS_MAX};
use super::when::TTL_MS_MAX;
use crate::store::PAIR_DEADLINE_MS_MAX;

/// Milliseconds or an ISO 8601 duration that is not 0.
macro_rules! duration {
    () => {
        concat!(
            "([1-9][0-9]{0,12}|P(",
            "[1-9][0-9]{0,3}W([1-9][0-9]?D)?|[1-9][0-9]{0,4}D|([1-9][0-9]{0,4}D)?T(",
            "[1-9][0-9]{0,5}H([1-9][0-9]?M)?([1-9][0-9]?S)?|[1-9][0-9]{0,6}M([1-9][0-9]?S)?|[1-9][0-9]{0,8}S)))",
        )
    };
}

const TTL_FORM: &str = concat!("^(none|keep|", duration!(), ")$");
const SPAN_FORM: &str = concat!("^", duration!(), "$");
const INSTANT: &str = concat!(
    "^([0-9]{1,14}|[2-8][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])",
    "[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?)$",
);

/// How a flag is on, and how it is off.
pub(super) const ON: [&str; 4] = ["1", "true", "yes", ""];
pub(super) const OFF: [&str; 3] = ["0", "false", "no"];

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
    /// The same, but not none.
    Name,
    Text,
    /// The same, but not none.
    Label,
    /// Text that is like this regular expression, in JSON also these numbers.
    Like(&'static str, Numbers),
    /// One strong ETag, or `*`.
    Tag,
    /// A whole number from here to there.
    Number(u64, u64),
    Flag,
    OneOf(&'static [&'static str]),
}

/// The numbers that are as good as a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    None,
    /// Whole ones from here to there.
    Whole(u64, u64),
    All,
}

impl Shape {
    /// Whether a value may be any bytes.
    pub(super) fn is_bytes(self) -> bool {
        matches!(self, Shape::Bytes | Shape::Name)
    }

    /// Whether a value may be a whole number.
    pub(super) fn may_be_whole(self) -> bool {
        matches!(self, Shape::Number(..) | Shape::Like(_, Numbers::Whole(..)))
    }
}

pub(super) const fn param(name: &'static str, shape: Shape, about: &'static str) -> Param {
    Param { name, shape, about }
}

pub(super) const ACK: &Param =
    &param("ack", Shape::OneOf(&["json"]), "json: a row instead of an empty answer.");
pub(super) const ATOMIC: &Param = &param(
    "atomic",
    Shape::Flag,
    "0: each row for itself, with a result for each; 1 (default): all rows or none.",
);
pub(super) const BY: &Param = &param(
    "by",
    Shape::Like(r"^-?[0-9]{1,15}(\.[0-9]{1,6})?$", Numbers::All),
    "What is added: an integer or a decimal number; 1 if not given.",
);
pub(super) const DEFAULT: &Param =
    &param("default", Shape::Bytes, "The value to answer with if there is none.");
pub(super) const ENCODING: &Param =
    &param("encoding", Shape::OneOf(&["utf-8", "text", "base64"]), "How values come and go.");
pub(super) const EXPIRES_AT: &Param = &param(
    "expires_at",
    Shape::Like(INSTANT, Numbers::Whole(0, PAIR_DEADLINE_MS_MAX)),
    "When the pair expires: unix ms, or YYYY-MM-DD hh:mm:ss.fff in UTC.",
);
pub(super) const FORMAT: &Param = &param(
    "format",
    Shape::OneOf(&["json", "ndjson", "csv", "text"]),
    "How the answer looks; counts more than Accept.",
);
pub(super) const GUARD: &Param = &param(
    "guard",
    Shape::Flag,
    "1: a ' before CSV fields that spreadsheets would take for formulas.",
);
pub(super) const IF_MATCH: &Param =
    &param("if_match", Shape::Tag, "Only if the pair has this ETag; * for any. Also as If-Match.");
pub(super) const IF_NONE_MATCH: &Param = &param(
    "if_none_match",
    Shape::Tag,
    "Only if the pair does not have this ETag; * for no pair. Also as If-None-Match.",
);
pub(super) const KEY: &Param = &param("key", Shape::Bytes, "The key of the pair.");
pub(super) const LIMIT: &Param = &param(
    "limit",
    Shape::Number(1, PAGE_ROWS_MAX),
    "Most rows in this answer; the next link leads on.",
);
pub(super) const LOCK: &Param = &param("lock", Shape::Name, "The name of the lock.");
pub(super) const MATCH: &Param =
    &param("match", Shape::Bytes, "Only names that match this pattern (* ? [abc]).");
pub(super) const NAMESPACE: &Param = &param("namespace", Shape::Name, "The namespace.");
pub(super) const NEXT: &Param = &param(
    "next",
    Shape::Like(r"^[0-9]{1,15}(\.([0-9a-f]{2})+)?$", Numbers::Whole(0, u64::MAX)),
    "Where to go on, from the answer before.",
);
pub(super) const ONLY_IF: &Param = &param(
    "only_if",
    Shape::OneOf(&["missing", "exists"]),
    "Only if there is no such pair, or only if there is.",
);
pub(super) const OWNER: &Param =
    &param("owner", Shape::Text, "Who holds the lock, for people to read.");
pub(super) const SINCE: &Param = &param(
    "since",
    Shape::Like(r"^([0-9a-f]{8}-[0-9]{1,18}-[0-9]{1,9})?$", Numbers::None),
    "The id of the last event that is known. Also as Last-Event-ID.",
);
pub(super) const SOFT: &Param = &param(
    "soft",
    Shape::Flag,
    "1: the status is always 200, and ok, status and error say what happened. Also as X-KV-Soft-Errors.",
);
pub(super) const TOKEN: &Param = &param("token", Shape::Label, "What the lock was acquired with.");
pub(super) const TTL: &Param = &param(
    "ttl",
    Shape::Like(TTL_FORM, Numbers::Whole(1, TTL_MS_MAX)),
    "How long the pair lives: ms, an ISO 8601 duration, none, or keep.",
);
pub(super) const VALUE: &Param = &param("value", Shape::Bytes, "The value.");
pub(super) const VALUES: &Param = &param("values", Shape::Flag, "0: keys only.");

pub(super) const VALUES_TOO: &Param = &param("values", Shape::Flag, "1: with values.");
pub(super) const WAIT: &Param = &param(
    "wait",
    Shape::Like("^([0-9]{1,2}s|PT[0-9]{1,2}S|[0-9]{1,5})$", Numbers::Whole(0, WAIT_MS_MAX)),
    "How long to wait if nothing happened: 30s, PT30S, 30000.",
);

/// How long a lock is held: it must end.
pub(super) const HOLD: &Param = &param(
    "ttl",
    Shape::Like(SPAN_FORM, Numbers::Whole(1, TTL_MS_MAX)),
    "How long: ms, or an ISO 8601 duration.",
);
/// What a cache has.
pub(super) const KNOWN_TAGS: &Param = &param(
    "if_none_match",
    Shape::Text,
    "ETags that the client has: 304 if the pair has one of them. Also as If-None-Match.",
);
pub(super) const CHANGES_LIMIT: &Param =
    &param("limit", Shape::Number(1, CHANGES_MAX), "Most changes in this answer.");

/// Parameters of every operation.
pub(super) const EVERYWHERE: &[&Param] = &[SOFT, ACK];
