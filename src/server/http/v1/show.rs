//! How pairs and namespaces look in answers: members of JSON, fields of CSV.
//!
//! What is no UTF-8 stands as base64: in JSON under the member's name and `_base64`, in CSV in its
//! column, which the last column then names.

use super::super::answer::{Object, write_text};
use super::ask::Ask;
use super::when;
use crate::base64;

/// A member with bytes.
pub(super) fn bytes(object: &mut Object, name: &'static str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.text(name, text),
        Err(_) => object.text(with_base64(name), &base64::encode(bytes)),
    }
}

/// The member `value`, as base64 if that was asked for.
pub(super) fn value(object: &mut Object, value: &[u8], is_base64: bool) {
    if is_base64 {
        object.text("value", &base64::encode(value))
    } else {
        bytes(object, "value", value)
    }
}

/// The members about a deadline, null if there is none.
pub(super) fn deadline(object: &mut Object, deadline_ms: Option<u64>, now_ms: u64) {
    append_deadline(object.open("ttl_ms"), deadline_ms, now_ms);
}

/// An object for an answer, with what soft errors have if they were asked for.
pub(super) fn object(ask: &Ask) -> Object {
    let mut object = Object::default();
    if ask.is_soft() {
        object.raw("ok", "true");
        object.raw("status", "200");
        object.raw("error", "null");
    }
    object
}

/// The same, with namespace and key.
pub(super) fn pair_object(ask: &Ask, namespace: &[u8], key: &[u8]) -> Object {
    let mut object = object(ask);
    bytes(&mut object, "namespace", namespace);
    bytes(&mut object, "key", key);
    object
}

/// The value of `ttl_ms` and the members behind it.
pub(super) fn append_deadline(out: &mut Vec<u8>, deadline_ms: Option<u64>, now_ms: u64) {
    let Some(at_ms) = deadline_ms else {
        return out.extend_from_slice(b"null,\"expires_ms\":null,\"expires_at\":null");
    };
    number(out, at_ms.saturating_sub(now_ms));
    out.extend_from_slice(b",\"expires_ms\":");
    number(out, at_ms);
    out.extend_from_slice(b",\"expires_at\":\"");
    when::show(out, at_ms);
    out.push(b'"');
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends `"name":` and the bytes, as [`bytes`] does.
pub(super) fn append_bytes(out: &mut Vec<u8>, name: &'static str, bytes: &[u8], is_base64: bool) {
    let text = std::str::from_utf8(bytes);
    let shown = if text.is_err() && !is_base64 { with_base64(name) } else { name };
    out.push(b'"');
    out.extend_from_slice(shown.as_bytes());
    out.extend_from_slice(b"\":");
    match text {
        Ok(text) if !is_base64 => write_text(out, text),
        _ => write_text(out, &base64::encode(bytes)),
    }
}

/// Appends a field of CSV. With `guard`, what a spreadsheet would take for a formula gets a `'`.
pub(super) fn append_field(out: &mut Vec<u8>, text: &[u8], guard: bool) {
    let is_formula =
        guard && matches!(text.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'));
    let blank_at_end = text.first().is_some_and(u8::is_ascii_whitespace)
        || text.last().is_some_and(u8::is_ascii_whitespace);
    let is_special = |&byte: &u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    if !is_formula && !blank_at_end && !text.iter().any(is_special) {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    if is_formula {
        out.push(b'\'');
    }
    for &byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Appends the fields about a deadline, empty if there is none.
pub(super) fn append_deadline_fields(out: &mut Vec<u8>, deadline_ms: Option<u64>, now_ms: u64) {
    let Some(at_ms) = deadline_ms else { return out.extend_from_slice(b",,") };
    number(out, at_ms.saturating_sub(now_ms));
    out.push(b',');
    number(out, at_ms);
    out.push(b',');
    when::show(out, at_ms);
}

fn with_base64(name: &'static str) -> &'static str {
    match name {
        "namespace" => "namespace_base64",
        "key" => "key_base64",
        "lock" => "lock_base64",
        "owner" => "owner_base64",
        _ => "value_base64",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        for (text, plain, guarded) in [
            ("", "", ""),
            ("a b", "a b", "a b"),
            (" a", "\" a\"", "\" a\""),
            ("a,\"b\"\r\n", "\"a,\"\"b\"\"\r\n\"", "\"a,\"\"b\"\"\r\n\""),
            ("=1+1", "=1+1", "\"'=1+1\""),
            ("-1", "-1", "\"'-1\""),
        ] {
            for (guard, wanted) in [(false, plain), (true, guarded)] {
                let mut out = Vec::new();
                append_field(&mut out, text.as_bytes(), guard);
                assert_eq!(String::from_utf8(out).unwrap(), wanted);
            }
        }
    }

    #[test]
    fn strings_are_json() {
        for text in ["", "a", "å\u{1}\"\\\n", "\u{7f}"] {
            let mut out = Vec::new();
            append_bytes(&mut out, "key", text.as_bytes(), false);
            let object: serde_json::Value =
                serde_json::from_slice(&[b"{", &out[..], b"}"].concat()).unwrap();
            assert_eq!(object["key"], text);
        }
        let mut out = Vec::new();
        append_bytes(&mut out, "key", b"\xff", false);
        assert_eq!(out, b"\"key_base64\":\"/w==\"");
    }
}
