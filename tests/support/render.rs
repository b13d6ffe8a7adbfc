//! Replies as redis-cli prints them.

/// A decoded reply, RESP2 or RESP3.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Double(String),
    Boolean(bool),
    Array(Vec<Value>),
    Push(Vec<Value>),
    Set(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

/// One reply as text; panics when the bytes are not exactly one or more whole replies.
pub fn render(bytes: &[u8]) -> String {
    let mut rest = bytes;
    let mut lines = Vec::new();
    while !rest.is_empty() {
        lines.push(text(&decode(&mut rest)));
    }
    lines.join("\n")
}

/// Takes one reply off the front.
pub fn decode(rest: &mut &[u8]) -> Value {
    let line_end = rest.windows(2).position(|two| two == b"\r\n").expect("a line");
    let (line, after) = (&rest[1..line_end], &rest[line_end + 2..]);
    let kind = rest[0];
    *rest = after;
    let line = String::from_utf8_lossy(line).into_owned();
    let count = || line.parse::<i64>().expect("a number");
    match kind {
        b'(' | b'+' => Value::Simple(line),
        b'-' => Value::Error(line),
        b':' => Value::Integer(count()),
        b'_' => Value::Null,
        b'#' => Value::Boolean(line == "t"),
        b',' => Value::Double(line),
        b'$' | b'=' if count() < 0 => Value::Null,
        b'$' => Value::Bulk(bulk(rest, count())),
        b'=' => Value::Bulk(bulk(rest, count())[4..].to_vec()),
        b'*' if count() < 0 => Value::Null,
        b'*' => Value::Array((0..count()).map(|_| decode(rest)).collect()),
        b'>' => Value::Push((0..count()).map(|_| decode(rest)).collect()),
        b'~' => Value::Set((0..count()).map(|_| decode(rest)).collect()),
        b'%' => Value::Map((0..count()).map(|_| (decode(rest), decode(rest))).collect()),
        other => panic!("unknown reply type {:?}", other as char),
    }
}

/// A decoded reply as text.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "(nil)".to_owned(),
        Value::Simple(text) => text.clone(),
        Value::Error(text) => format!("(error) {text}"),
        Value::Integer(n) => format!("(integer) {n}"),
        Value::Bulk(bytes) => quoted(bytes),
        Value::Double(text) => format!("(double) {text}"),
        Value::Boolean(yes) => format!("({yes})"),
        Value::Array(items) => list(items, ")", "(empty array)"),
        Value::Push(items) => list(items, ">", "(empty push)"),
        Value::Set(items) => list(items, "~", "(empty set)"),
        Value::Map(pairs) if pairs.is_empty() => "(empty hash)".to_owned(),
        Value::Map(pairs) => {
            let line = |(i, (key, value)): (usize, &(Value, Value))| {
                let head = format!("{}# {} => ", i + 1, text(key));
                indented(&head, &text(value), 3)
            };
            pairs.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
        }
    }
}

/// Elements of the top level in an order of their own; `in_pairs` keeps flat pairs together.
pub fn sort(value: &mut Value, in_pairs: bool) {
    match value {
        Value::Array(items) if in_pairs && items.len() % 2 == 0 => {
            let mut pairs: Vec<Vec<Value>> = items.chunks(2).map(<[Value]>::to_vec).collect();
            pairs.sort_by_key(|pair| text(&pair[0]));
            *items = pairs.concat();
        }
        Value::Array(items) | Value::Set(items) => items.sort_by_key(text),
        Value::Map(pairs) => pairs.sort_by_key(|(key, _)| text(key)),
        _ => {}
    }
}

fn list(items: &[Value], mark: &str, empty: &str) -> String {
    if items.is_empty() {
        return empty.to_owned();
    }
    let width = items.len().to_string().len();
    let line = |(i, item): (usize, &Value)| {
        let head = format!("{:>width$}{mark} ", i + 1);
        let indent = head.len();
        indented(&head, &text(item), indent)
    };
    items.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

fn indented(head: &str, body: &str, indent: usize) -> String {
    format!("{head}{}", body.replace('\n', &format!("\n{}", " ".repeat(indent))))
}

fn bulk(rest: &mut &[u8], len: i64) -> Vec<u8> {
    let len = usize::try_from(len).expect("a length");
    let bytes = rest[..len].to_vec();
    assert_eq!(&rest[len..len + 2], b"\r\n");
    *rest = &rest[len + 2..];
    bytes
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend(['\\', byte as char]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            0x20..0x7f => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}
