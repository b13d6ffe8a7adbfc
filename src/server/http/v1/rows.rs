//! Rows in a body: JSON arrays, JSON Lines and CSV.
//!
//! A row is a flat object. Its columns are those that answers have: `namespace`, `key`, `value` (each
//! also as `…_base64`), `ttl` or `ttl_ms`, `expires_at` or `expires_ms`; others are ignored, so that
//! what was exported can be imported. A plain string stands for its key.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::code::{Code, Refusal};
use super::elements::Elements;
use super::when::{self, Lifetime};
use crate::base64;
use crate::transfer::rows::next_csv_row;

/// Bytes from a body, copied only if they had to be decoded.
pub(super) type Text<'a> = Cow<'a, [u8]>;

/// One row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) namespace: Option<Text<'a>>,
    pub(super) key: Option<Text<'a>>,
    pub(super) value: Option<Text<'a>>,
    ttl: Option<Text<'a>>,
    expires: Option<Text<'a>>,
}

/// The columns that are read.
const COLUMNS: [&str; 10] = [
    "namespace",
    "key",
    "value",
    "namespace_base64",
    "key_base64",
    "value_base64",
    "ttl",
    "ttl_ms",
    "expires_at",
    "expires_ms",
];

/// How rows stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// An array of objects, or one object.
    Json,
    /// An object a line.
    JsonLines,
    /// A header line, then a row a line.
    Csv,
}

/// Reads the rows of a body, and no more than `most` and one: a row takes far more room than the fewest
/// bytes that make one.
pub(super) fn read(form: Form, body: &[u8], most: usize) -> Result<Vec<Row<'_>>, Refusal> {
    match form {
        Form::Json => of_json(body)?.take(most + 1).collect(),
        Form::JsonLines => of_lines(body).take(most + 1).collect(),
        Form::Csv => Csv::default().rows(body).take(most + 1).collect(),
    }
}

/// The rows of a JSON array, or the one that is not in an array.
pub(super) fn of_json(
    body: &[u8],
) -> Result<impl Iterator<Item = Result<Row<'_>, Refusal>>, Refusal> {
    let body = without_mark(body);
    let is_one = body.trim_ascii_start().starts_with(b"{");
    let one = is_one.then(|| serde_json::from_slice(body).map_err(|error| no_json(&error)));
    let one = one.transpose()?.map(Ok);
    let all = Elements::of(if is_one { b"[]" } else { body });
    Ok(one.into_iter().chain(all))
}

/// The rows of JSON Lines.
pub(super) fn of_lines(body: &[u8]) -> impl Iterator<Item = Result<Row<'_>, Refusal>> {
    let rows = serde_json::Deserializer::from_slice(without_mark(body)).into_iter();
    rows.map(|row| row.map_err(|error| no_json(&error)))
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// What is wrong with JSON, without what was sent.
pub(super) fn no_json(error: &impl fmt::Display) -> Refusal {
    Refusal::new(Code::InvalidBody, format!("The body is not the JSON it should be: {error}"))
}

/// Reads CSV piece by piece, each of whole rows; the first begins with the header line.
#[derive(Debug, Default)]
pub(super) struct Csv {
    columns: Option<Vec<String>>,
}

impl Csv {
    /// The rows of a piece; a byte order mark may stand before the header line. Nothing is to be read behind
    /// an error.
    pub(super) fn rows(
        &mut self,
        piece: &[u8],
    ) -> impl Iterator<Item = Result<Row<'static>, Refusal>> {
        let mut left = if self.columns.is_none() { without_mark(piece) } else { piece };
        std::iter::from_fn(move || self.next(&mut left).transpose())
    }

    /// The next row of a piece, which is taken off it; `None` at its end.
    fn next(&mut self, piece: &mut &[u8]) -> Result<Option<Row<'static>>, Refusal> {
        let wrong = |text: String| Refusal::new(Code::InvalidBody, format!("No CSV: {text}"));
        while let Some(fields) = next_csv_row(piece).map_err(|error| wrong(error.to_string()))? {
            if fields.len() == 1 && fields[0].is_empty() {
                continue;
            }
            let Some(columns) = &self.columns else {
                let names =
                    fields.into_iter().map(String::from_utf8).collect::<Result<Vec<_>, _>>();
                let names = names.map_err(|_| wrong("the header line is not UTF-8".to_owned()))?;
                if !names.iter().any(|name| matches!(name.as_str(), "key" | "key_base64")) {
                    return Err(wrong("the header line has no column key".to_owned()));
                }
                self.columns = Some(names);
                continue;
            };
            if fields.len() != columns.len() {
                let (found, wanted) = (fields.len(), columns.len());
                return Err(wrong(format!("a row has {found} fields, the header line {wanted}")));
            }
            return row(columns, fields).map(Some).map_err(wrong);
        }
        Ok(None)
    }
}

fn row(columns: &[String], mut fields: Vec<Vec<u8>>) -> Result<Row<'static>, String> {
    if let Some(at) = columns.iter().position(|column| column == "base64") {
        let encoded = std::mem::take(&mut fields[at]);
        let words = || encoded.split(|&byte| byte == b' ');
        for encoded in words() {
            let at = columns.iter().position(|column| column.as_bytes() == encoded);
            if let Some(at) = at {
                fields[at] = base64::decode(&fields[at]).ok_or("a field is no base64")?;
            }
        }
        if words().any(|word| word == b"none") {
            // A namespace without pairs has no key, not an empty one.
            let namespace = columns.iter().position(|column| column == "namespace");
            let namespace = namespace.map(|at| Cow::Owned(std::mem::take(&mut fields[at])));
            return Ok(Row { namespace, ..Row::default() });
        }
    }
    let mut row = Row::default();
    for (column, field) in columns.iter().zip(fields) {
        // An empty value is a value; an empty TTL is none.
        let is_name = column.starts_with("key") || column.starts_with("value");
        if is_name || !field.is_empty() {
            row.set(column, Cow::Owned(field))?;
        }
    }
    Ok(row)
}

impl<'a> Row<'a> {
    fn set(&mut self, column: &str, text: Text<'a>) -> Result<(), String> {
        let decoded = |text: Text<'a>| match base64::decode(&text) {
            Some(bytes) => Ok(Cow::Owned(bytes)),
            None => Err(format!("{column} is no base64")),
        };
        let (place, text) = match column {
            "namespace" => (&mut self.namespace, text),
            "key" => (&mut self.key, text),
            "value" => (&mut self.value, text),
            "namespace_base64" => (&mut self.namespace, decoded(text)?),
            "key_base64" => (&mut self.key, decoded(text)?),
            "value_base64" => (&mut self.value, decoded(text)?),
            "ttl" => (&mut self.ttl, text),
            "expires_at" | "expires_ms" => {
                // An export says both, and the same with both.
                self.expires = Some(text);
                return Ok(());
            }
            "ttl_ms" if self.ttl.is_none() => (&mut self.ttl, text),
            _ => return Ok(()),
        };
        if place.replace(text).is_some() {
            return Err(format!("{column} is there twice"));
        }
        Ok(())
    }

    /// What becomes of its deadline; what it says of an instant counts more than a TTL.
    pub(super) fn lifetime(&self, now_ms: u64) -> Result<Lifetime, Refusal> {
        let text = |text: &'_ Text<'_>| std::str::from_utf8(text).unwrap_or_default().to_owned();
        let lifetime = match (&self.expires, &self.ttl) {
            (Some(at), _) => when::instant_ms(&text(at)).map(Lifetime::Until),
            (None, Some(ttl)) => when::ttl(&text(ttl), now_ms),
            (None, None) => Some(Lifetime::Forever),
        };
        lifetime.ok_or_else(|| Refusal::new(Code::InvalidParameter, "A row's TTL or time is none"))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row<'a>, D::Error> {
        struct OneRow;
        impl<'de> Visitor<'de> for OneRow {
            type Value = Row<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a flat object, or a key")
            }

            fn visit_str<E: de::Error>(self, key: &str) -> Result<Row<'de>, E> {
                Ok(Row { key: Some(Cow::Owned(key.as_bytes().to_vec())), ..Row::default() })
            }

            fn visit_borrowed_str<E: de::Error>(self, key: &'de str) -> Result<Row<'de>, E> {
                Ok(Row { key: Some(Cow::Borrowed(key.as_bytes())), ..Row::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
                let mut row = Row::default();
                while let Some(Name(column)) = map.next_key()? {
                    let raw: &RawValue = map.next_value()?;
                    let (token, is_known) = (token(raw), COLUMNS.contains(&&*column));
                    if token == Token::Nested && is_known && column != "value" {
                        let text = format_args!("{column} must be a text or a number");
                        return Err(de::Error::custom(text));
                    }
                    if let Some(text) = text_of(raw).map_err(de::Error::custom)? {
                        let is_time = column.starts_with("ttl") || column.starts_with("expires");
                        let text = if is_time && token == Token::Word { whole(text) } else { text };
                        row.set(&column, text).map_err(de::Error::custom)?;
                    }
                }
                Ok(row)
            }
        }
        deserializer.deserialize_any(OneRow)
    }
}

/// A member's name, its text, and what it was.
type Member<'a> = (Cow<'a, str>, Text<'a>, Token);

/// What stands in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Text,
    /// A number, a truth value or null.
    Word,
    /// An object or an array.
    Nested,
}

/// A flat JSON object, as parameters; what is null is not there.
pub(super) fn members(body: &[u8]) -> Result<Vec<Member<'_>>, Refusal> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Members(members) = serde_json::from_slice(body).map_err(|error| no_json(&error))?;
    Ok(members)
}

/// The name of a member.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'a>, D::Error> {
        struct OneName;
        impl<'de> Visitor<'de> for OneName {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }

            fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
        }
        deserializer.deserialize_str(OneName)
    }
}

struct Members<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    let raw: &RawValue = map.next_value()?;
                    if let Some(text) = text_of(raw).map_err(de::Error::custom)? {
                        members.push((name, text, token(raw)));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

fn token(raw: &RawValue) -> Token {
    match raw.get().as_bytes() {
        [b'"', ..] => Token::Text,
        [b'{' | b'[', ..] => Token::Nested,
        _ => Token::Word,
    }
}

/// A number of JSON by its digits alone if it is whole, however it was written: 60000.0, 6e4.
pub(super) fn whole(number: Text<'_>) -> Text<'_> {
    const MOST: f64 = (1u64 << 53) as f64;
    let is_digits = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    if number.iter().all(is_digits) {
        return number;
    }
    let parsed = std::str::from_utf8(&number).ok().and_then(|text| text.parse::<f64>().ok());
    match parsed.filter(|it| it.fract() == 0.0 && it.abs() <= MOST) {
        Some(whole) => Cow::Owned((whole as i64).to_string().into_bytes()),
        None => number,
    }
}

/// A JSON value as bytes: a string's text, everything else as it was written; `None` for null.
pub(super) fn text_of(raw: &RawValue) -> Result<Option<Text<'_>>, serde_json::Error> {
    let raw = raw.get();
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        None if raw == "null" => Ok(None),
        None => Ok(Some(Cow::Borrowed(raw.as_bytes()))),
        Some(text) if !text.contains('\\') => Ok(Some(Cow::Borrowed(text.as_bytes()))),
        Some(_) => {
            serde_json::from_str(raw).map(|text: String| Some(Cow::Owned(text.into_bytes())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(form: Form, body: &str) -> Vec<String> {
        let text = |text: &Option<Text<'_>>| match text {
            None => "-".to_owned(),
            Some(text) => text.escape_ascii().to_string(),
        };
        let show = |row: &Row<'_>| {
            let life = row.lifetime(0).ok();
            format!("{} {} {} {life:?}", text(&row.namespace), text(&row.key), text(&row.value))
        };
        read(form, body.as_bytes(), 10).unwrap().iter().map(show).collect()
    }

    #[test]
    fn rows_of_every_form() {
        let wanted = ["n k v Some(Forever)", "- a\\\"b  Some(Until(5000))"];
        let json = r#"[{"namespace":"n","key":"k","value":"v","x":[1]},{"key":"a\"b","value":"","ttl":"5000"}]"#;
        assert_eq!(shown(Form::Json, json), wanted);
        let lines = "{\"namespace\":\"n\",\"key\":\"k\",\"value\":\"v\"}\n\n{\"key\":\"a\\\"b\",\"value\":\"\",\"ttl_ms\":5000}";
        assert_eq!(shown(Form::JsonLines, lines), wanted);
        let csv = "\u{feff}namespace,key,value,ttl,more\r\nn,k,v,,1\n,\"a\"\"b\",,5000,2\r\n";
        assert_eq!(shown(Form::Csv, csv), wanted);
        assert_eq!(
            shown(Form::Json, r#"["k",{"key":1.50,"value":{"a": 1}}]"#),
            ["- k - Some(Forever)", "- 1.50 {\\\"a\\\": 1} Some(Forever)"]
        );
        assert_eq!(shown(Form::Json, r#"{"key_base64":"/w=="}"#), ["- \\xff - Some(Forever)"]);
        assert_eq!(
            shown(Form::Csv, "key,value,base64\n/w==,eA==,key value\n"),
            ["- \\xff x Some(Forever)"]
        );
        assert_eq!(
            shown(Form::Csv, "namespace,key,value,base64\n/w==,,,namespace none\n"),
            ["\\xff - - Some(Forever)"]
        );
        for none in ["[]", " [\r\n] "] {
            assert_eq!(shown(Form::Json, none), [""; 0]);
        }
    }

    #[test]
    fn no_more_rows_are_read_than_are_of_use() {
        // What comes behind them is not looked at.
        for (form, body) in [
            (Form::Json, "[{} , \"k\",{},{},?"),
            (Form::JsonLines, "{}{}{}{}?"),
            (Form::Csv, "key\na\nb\nc\nd,e\n"),
        ] {
            assert_eq!(read(form, body.as_bytes(), 2).unwrap().len(), 3, "{form:?}");
            assert!(read(form, body.as_bytes(), 9).is_err(), "{form:?}");
        }
    }

    #[test]
    fn whole_numbers_are_their_digits() {
        for (number, digits) in [
            ("5", "5"),
            ("5.0", "5"),
            ("6e4", "60000"),
            ("-2.0", "-2"),
            ("1.5", "1.5"),
            ("1e300", "1e300"),
            ("true", "true"),
            ("99999999999999999999", "99999999999999999999"),
        ] {
            assert_eq!(whole(Cow::Borrowed(number.as_bytes())), digits.as_bytes(), "{number}");
        }
        let wanted = ["n k 1.0 Some(Until(60000))"];
        let row = r#"{"namespace":"n","key":"k","value":1.0,"ttl":6e4}"#;
        assert_eq!(shown(Form::Json, row), wanted);
    }

    #[test]
    fn what_is_no_row() {
        for body in [
            "",
            "[",
            "[1]",
            "[[]]",
            "{\"key\":",
            "[{}] []",
            "[{} {}]",
            "[{},]",
            "[,{}]",
            "[{}",
            "[{},",
            "[]]",
            "\"k\"",
            "[{\"key\":\"\\ud800\"}]",
            "[{\"key\":\"a\",\"key\":\"b\"}]",
            "[{\"key_base64\":\"?\"}]",
            "[{\"key\":[1]}]",
            "[{\"key\":\"a\",\"ttl\":{}}]",
        ] {
            assert!(read(Form::Json, body.as_bytes(), 10).is_err(), "{body}");
        }
        for body in ["a,b\n1,2\n", "key,value\n1\n", "key\n\"x", "key,base64\n?,key\n"] {
            assert!(read(Form::Csv, body.as_bytes(), 10).is_err(), "{body}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(Form::Json, deep.as_bytes(), 10).is_err());
        let deep = format!("{{\"value\":{deep}");
        assert!(read(Form::Json, deep.as_bytes(), 10).is_err());
    }
}
