//! Files that this server hands out: subs for load scripts, and the JavaScript client in two forms that
//! are made from one source.

use super::Call;
use super::ask::Ask;
use super::code::Refusal;
use crate::server::http::answer::{self, Answer};

const SUBS: &str = include_str!("../../../../clients/qlik/pantry_subs.qvs");
const MODULE: &str = concat!(
    include_str!("../../../../clients/javascript/pantry.js"),
    "\nexport { Pantry, PantryError };\n"
);
const AMD: &str = concat!(
    "define([], function () {\n\"use strict\";\n",
    include_str!("../../../../clients/javascript/pantry.js"),
    "\nreturn { Pantry: Pantry, PantryError: PantryError };\n});\n"
);

pub(super) fn subs(_ask: &Ask, _call: &mut Call<'_>) -> Result<Answer, Refusal> {
    Ok(answer::plain("text/plain; charset=utf-8", SUBS.as_bytes().to_vec()))
}

pub(super) fn module(_ask: &Ask, _call: &mut Call<'_>) -> Result<Answer, Refusal> {
    Ok(answer::plain("text/javascript; charset=utf-8", MODULE.as_bytes().to_vec()))
}

pub(super) fn amd(_ask: &Ask, _call: &mut Call<'_>) -> Result<Answer, Refusal> {
    Ok(answer::plain("text/javascript; charset=utf-8", AMD.as_bytes().to_vec()))
}
