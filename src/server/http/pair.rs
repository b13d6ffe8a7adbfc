//! The body of `POST /v4/keyvalues/{namespace}`: what is accepted as key, value and TTL.
//!
//! The coercions are those of Butler's schema validator: numbers, booleans and null become strings,
//! strings become numbers, and an array of one element stands for the element.

use serde_json::Value;

use super::number;
use super::problem::Problem;

/// A pair as it will be stored.
#[derive(Debug, PartialEq)]
pub(super) struct Pair {
    /// `None` if the body has none; the route decides what that means.
    pub(super) key: Option<String>,
    /// `None` makes the namespace only.
    pub(super) value: Option<String>,
    /// A whole number of milliseconds, as large as the client likes; 0 and less mean no TTL.
    pub(super) ttl_ms: f64,
}

/// Reads a JSON document. A leading byte order mark is skipped. Objects with a `__proto__` or a
/// `constructor.prototype` member are refused at any depth, as Butler refuses them.
pub(super) fn parse(body: &[u8]) -> Option<Value> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice(body).ok().filter(|value| !poisons_prototypes(value))
}

impl Pair {
    /// Takes the pair out of a parsed body.
    pub(super) fn from_json(body: Value) -> Result<Pair, Problem> {
        let Value::Object(mut members) = body else {
            return Err(Problem::invalid("body must be object"));
        };
        let mut text = |name, message| match members.remove(name) {
            None => Ok(None),
            Some(value) => as_text(value).map(Some).ok_or_else(|| Problem::invalid(message)),
        };
        let key = text("key", "body/key must be string")?;
        let value = text("value", "body/value must be string")?;
        let ttl_ms = match members.remove("ttl") {
            None => 0.0,
            Some(ttl) => {
                as_number(ttl).ok_or_else(|| Problem::invalid("body/ttl must be number"))?
            }
        };
        Ok(Pair { key, value, ttl_ms: ttl_ms.trunc() })
    }
}

fn as_text(value: Value) -> Option<String> {
    match only_element(value) {
        Value::String(text) => Some(text),
        Value::Number(n) => n.as_f64().map(number::print),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn as_number(value: Value) -> Option<f64> {
    let n = match only_element(value) {
        Value::Number(n) => n.as_f64()?,
        Value::String(text) if text.is_empty() => return None,
        Value::String(text) => number::read(&text)?,
        Value::Bool(yes) => f64::from(u8::from(yes)),
        Value::Null => 0.0,
        Value::Array(_) | Value::Object(_) => return None,
    };
    n.is_finite().then_some(n)
}

fn only_element(value: Value) -> Value {
    match value {
        Value::Array(mut items) if items.len() == 1 => items.remove(0),
        other => other,
    }
}

/// Recursion is bounded by serde_json's own limit on nesting.
fn poisons_prototypes(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(poisons_prototypes),
        Value::Object(members) => {
            members.contains_key("__proto__")
                || members.get("constructor").is_some_and(|it| it.get("prototype").is_some())
                || members.values().any(poisons_prototypes)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pair, or what is wrong with it.
    fn pair(body: &str) -> Result<Pair, String> {
        let value = parse(body.as_bytes()).ok_or("no JSON")?;
        Pair::from_json(value).map_err(|problem| problem.to_string())
    }

    fn ttl_ms(ttl: &str) -> Result<f64, String> {
        pair(&format!(r#"{{"ttl":{ttl}}}"#)).map(|pair| pair.ttl_ms)
    }

    #[test]
    fn scalars_become_strings() {
        for (json, text) in [
            (r#""v""#, "v"),
            ("12.50", "12.5"),
            ("-0", "0"),
            ("1e21", "1e+21"),
            ("18446744073709551616", "18446744073709552000"),
            ("true", "true"),
            ("null", ""),
            (r#"["x"]"#, "x"),
            ("[5]", "5"),
        ] {
            let pair = pair(&format!(r#"{{"key":"k","value":{json}}}"#)).unwrap();
            assert_eq!(pair.value.as_deref(), Some(text), "{json}");
        }
        for json in ["{}", "[]", r#"["x","y"]"#, r#"[["x"]]"#] {
            let refused = pair(&format!(r#"{{"key":{json}}}"#));
            assert_eq!(refused, Err("body/key must be string".to_owned()), "{json}");
        }
    }

    #[test]
    fn a_ttl_is_a_whole_number() {
        for (json, ms) in [
            (r#""5000""#, 5000.0),
            ("1500.75", 1500.0),
            (r#"" 5 ""#, 5.0),
            ("-12.5", -12.0),
            ("true", 1.0),
            ("null", 0.0),
            ("1e-7", 0.0),
            ("1e21", 1e21),
        ] {
            assert_eq!(ttl_ms(json), Ok(ms), "{json}");
        }
        for json in [r#""""#, r#""abc""#, r#""Infinity""#, r#""1e400""#, "{}", "[1,2]"] {
            assert_eq!(ttl_ms(json), Err("body/ttl must be number".to_owned()), "{json}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_from_what_does_not_fit() {
        for body in [
            "",
            "{bad",
            "{} {}",
            r#"{"value":1e400}"#,
            r#"{"value":"\ud800"}"#,
            r#"{"o":[{"\u005f_proto__":1}]}"#,
            r#"{"constructor":{"prototype":1}}"#,
        ] {
            assert_eq!(pair(body), Err("no JSON".to_owned()), "{body}");
        }
        for body in ["null", "[]", "12", r#""text""#, r#"[{"key":"k"}]"#] {
            assert_eq!(pair(body), Err("body must be object".to_owned()), "{body}");
        }
        assert!(pair("\u{feff}{\"constructor\":{\"x\":1},\"key\":\"__proto__\"}").is_ok());
        assert_eq!(pair(&"[".repeat(100_000)), Err("no JSON".to_owned()));
    }
}
