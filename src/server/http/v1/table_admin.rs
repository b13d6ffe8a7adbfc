//! The operations of administrators, as rows of the table: limits of namespaces, and tokens.

use super::params::{Param, Shape, param};
use super::table::{Gives, Operation, now};
use super::{limit, token};

use super::params::{EXPIRES_AT, NAMESPACE, TTL};

pub(super) const PAIRS_MAX: &Param = &param(
    "pairs_max",
    Shape::Number(0, i64::MAX as u64),
    "Most pairs the namespace may hold; 0: no limit.",
);
pub(super) const BYTES_MAX: &Param = &param(
    "bytes_max",
    Shape::Number(0, i64::MAX as u64),
    "Most bytes the namespace may hold; 0: no limit.",
);
const NAME: &Param = &param("name", Shape::Label, "What the token is for, for people to read.");
const USER: &Param =
    &param("user", Shape::Text, "The ACL user the token acts as; who makes it if not given.");
const ID: &Param = &param("id", Shape::Label, "The token's id, which the token shows.");

/// These operations.
pub(super) const ADMIN: &[Operation] = &[
    // ---- limits
    now(
        "limitNamespace",
        limit::set,
        "Limits what a namespace may hold, now or when there is one.",
    )
    .needs(&[NAMESPACE])
    .needs_one(&[PAIRS_MAX, BYTES_MAX])
    .gives(Gives::Done("namespace pairs_max bytes_max"))
    .at(&[
        "PUT /v1/namespaces/{namespace}/limits",
        "POST /v1/namespaces/{namespace}/limits",
        "POST /v1/limit",
    ]),
    now("listLimits", limit::list, "All namespaces, there or not, that have a limit.")
        .gives(Gives::Rows("namespace pairs_max bytes_max"))
        .at(&["GET /v1/limits", "POST /v1/list-limits"]),
    // ---- tokens
    now(
        "createToken",
        token::create,
        "Makes a token and returns its secret: the only time it is shown.",
    )
    .needs(&[NAME])
    .takes(&[USER, TTL, EXPIRES_AT])
    .gives(Gives::Row("secret id name user created_at expires_at last_used_at"))
    .at(&["POST /v1/tokens", "POST /v1/create-token"]),
    now("listTokens", token::list, "What is known of all tokens, but not their secrets.")
        .gives(Gives::Rows("id name user created_at expires_at last_used_at"))
        .at(&["GET /v1/tokens", "POST /v1/list-tokens"]),
    now("revokeToken", token::revoke, "Ends a token at once.")
        .needs(&[ID])
        .gives(Gives::Done("id revoked"))
        .at(&["DELETE /v1/tokens/{id}", "POST /v1/revoke-token"]),
];
