//! One row of JSON Lines or CSV: a string, a pair, the mark of a namespace that is kept, its limit, or a library of functions.
//!
//! # JSON Lines
//! An object a line: `type` (`string`, `pair`, `namespace`, `limit`, `library`), `db`, `name`; `key` of a pair; `value`, which of a limit
//! is most pairs and most bytes with a blank between, 0 for no limit; `deadline_ms` of the
//! string or pair, `name_deadline_ms` of a pair's namespace. Deadlines are unix times in ms, and not there if there is
//! none. Bytes that are no UTF-8 stand as base64 in `name_base64`, `key_base64`, `value_base64` instead.
//!
//! # CSV
//! The same as columns, with the header line [`CSV_HEADER`]; quoted as RFC 4180 says, each line ended by LF. The last
//! column names those of `name`, `key` and `value` that are base64, with blanks between.

use std::io::{self, BufRead, Write};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::base64;
use crate::number::parse_i64;
use crate::store::Limit;

/// The first line of a CSV file.
pub const CSV_HEADER: &str = "type,db,name,key,value,deadline_ms,name_deadline_ms,base64";

const COLUMNS: usize = 8;

/// The longest row, in bytes: one with the longest value in base64 fits.
const ROW_LEN_MAX_BYTES: u64 = 1 << 30;

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// A name that holds a string.
    #[default]
    String,
    /// A pair of a namespace.
    Pair,
    /// A namespace that stays when it is empty.
    Namespace,
    /// What a namespace may hold, in `value`.
    Limit,
    /// A library of functions, its code in `value`.
    Library,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "as the module says")]
pub struct Row {
    pub kind: Kind,
    pub db: usize,
    pub name: Vec<u8>,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub deadline_ms: Option<u64>,
    pub name_deadline_ms: Option<u64>,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::String, "string"),
    (Kind::Pair, "pair"),
    (Kind::Namespace, "namespace"),
    (Kind::Limit, "limit"),
    (Kind::Library, "library"),
];

impl Kind {
    fn word(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    fn of(word: &str) -> Result<Kind> {
        let kind = KINDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind);
        kind.with_context(|| {
            format!("type is {word:?}, not string, pair, namespace, limit or library")
        })
    }
}

impl Row {
    /// Its fields with their names, those that a row of its kind has.
    fn fields(&self) -> [(&'static str, Option<&[u8]>); 3] {
        let key = (self.kind == Kind::Pair).then_some(&self.key[..]);
        let value = (self.kind != Kind::Namespace).then_some(&self.value[..]);
        [("name", Some(&self.name)), ("key", key), ("value", value)]
    }

    /// The limit that it says.
    ///
    /// # Errors
    /// If its value is none.
    pub fn limit(&self) -> Result<Limit> {
        let middle = self.value.iter().position(|&byte| byte == b' ').unwrap_or_default();
        let (pairs, bytes) = self.value.split_at(middle);
        let number = |text: &[u8]| u64::try_from(parse_i64(text)?).ok();
        let numbers = number(pairs).zip(bytes.get(1..).and_then(number));
        let (pairs, bytes) = numbers.context("a limit is two numbers with a blank between")?;
        Ok(Limit { pairs, bytes })
    }

    fn field_mut(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        match name {
            "name" => Some(&mut self.name),
            "key" => Some(&mut self.key),
            "value" => Some(&mut self.value),
            _ => None,
        }
    }

    /// Writes it as a line of JSON.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{{\"type\":\"{}\",\"db\":{}", self.kind.word(), self.db)?;
        for (name, bytes) in self.fields() {
            match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
                None => {}
                Some(Ok(text)) => write!(out, ",\"{name}\":{}", Value::from(text))?,
                Some(Err(bytes)) => {
                    write!(out, ",\"{name}_base64\":\"{}\"", base64::encode(bytes))?;
                }
            }
        }
        let deadlines =
            [("deadline_ms", self.deadline_ms), ("name_deadline_ms", self.name_deadline_ms)];
        for (name, at_ms) in deadlines {
            if let Some(at_ms) = at_ms {
                write!(out, ",\"{name}\":{at_ms}")?;
            }
        }
        out.write_all(b"}\n")
    }

    /// Reads a line of JSON.
    ///
    /// # Errors
    /// What is wrong with it; a member with an unknown name is.
    pub fn read_json(line: &[u8]) -> Result<Row> {
        let members: Map<String, Value> = serde_json::from_slice(line).context("no JSON object")?;
        let mut row = Row::default();
        let mut has_name = false;
        let kind = members.get("type").and_then(Value::as_str).context("no type")?;
        row.kind = Kind::of(kind)?;
        for (name, member) in &members {
            match name.as_str() {
                "type" => {}
                "db" => row.db = number(name, member)? as usize,
                "deadline_ms" => row.deadline_ms = Some(number(name, member)?),
                "name_deadline_ms" => row.name_deadline_ms = Some(number(name, member)?),
                _ => {
                    let text = member.as_str().with_context(|| format!("{name} is no string"))?;
                    let (field, bytes) = match name.strip_suffix("_base64") {
                        Some(field) => (field, decoded(field, text.as_bytes())?),
                        None => (name.as_str(), text.as_bytes().to_vec()),
                    };
                    has_name |= field == "name";
                    *row.field_mut(field).with_context(|| format!("unknown member {name}"))? =
                        bytes;
                }
            }
        }
        ensure!(has_name, "no name");
        let has = |field: &str| {
            members.contains_key(field) || members.contains_key(&format!("{field}_base64"))
        };
        ensure!(row.kind != Kind::Pair || has("key"), "a pair without a key");
        ensure!(row.kind == Kind::Namespace || has("value"), "no value");
        Ok(row)
    }

    /// Writes it as a line of CSV.
    pub fn write_csv(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{},{}", self.kind.word(), self.db)?;
        let mut encoded = Vec::new();
        for (name, bytes) in self.fields() {
            out.write_all(b",")?;
            match std::str::from_utf8(bytes.unwrap_or_default()) {
                Ok(text) => write_csv_field(out, text)?,
                Err(_) => {
                    encoded.push(name);
                    out.write_all(base64::encode(bytes.unwrap_or_default()).as_bytes())?;
                }
            }
        }
        for at_ms in [self.deadline_ms, self.name_deadline_ms] {
            out.write_all(b",")?;
            at_ms.into_iter().try_for_each(|at_ms| write!(out, "{at_ms}"))?;
        }
        writeln!(out, ",{}", encoded.join(" "))
    }

    /// Reads the fields of a row of CSV.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_csv(fields: &[Vec<u8>]) -> Result<Row> {
        let Ok([kind, db, name, key, value, deadline_ms, name_deadline_ms, encoded]) =
            <&[Vec<u8>; COLUMNS]>::try_from(fields)
        else {
            bail!("{} columns, not {COLUMNS}", fields.len());
        };
        let mut row = Row {
            kind: Kind::of(&String::from_utf8_lossy(kind))?,
            db: csv_number("db", db)?.context("no db")? as usize,
            name: name.clone(),
            key: key.clone(),
            value: value.clone(),
            deadline_ms: csv_number("deadline_ms", deadline_ms)?,
            name_deadline_ms: csv_number("name_deadline_ms", name_deadline_ms)?,
        };
        for name in encoded.split(|&byte| byte == b' ').filter(|name| !name.is_empty()) {
            let name = String::from_utf8_lossy(name).into_owned();
            let field = row.field_mut(&name).with_context(|| format!("no column {name}"))?;
            *field = decoded(&name, field)?;
        }
        Ok(row)
    }
}

fn number(name: &str, member: &Value) -> Result<u64> {
    member.as_u64().with_context(|| format!("{name} is no number from 0 on"))
}

fn csv_number(name: &str, field: &[u8]) -> Result<Option<u64>> {
    if field.is_empty() {
        return Ok(None);
    }
    let number = std::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    number.map(Some).with_context(|| format!("{name} is no number from 0 on"))
}

fn decoded(name: &str, text: &[u8]) -> Result<Vec<u8>> {
    base64::decode(text).with_context(|| format!("{name} is no base64"))
}

fn write_csv_field(out: &mut impl Write, text: &str) -> io::Result<()> {
    let is_special = |byte: u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    if text.bytes().any(is_special) || text.trim() != text {
        return write!(out, "\"{}\"", text.replace('"', "\"\""));
    }
    out.write_all(text.as_bytes())
}

/// Reads the next line, without its end, into `line`; `false` at the end.
///
/// # Errors
/// If the source fails, or the line is too long.
pub fn next_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    use io::Read as _;
    line.clear();
    let read = source.by_ref().take(ROW_LEN_MAX_BYTES).read_until(b'\n', line)?;
    ensure!(read as u64 != ROW_LEN_MAX_BYTES, "a row of more than {ROW_LEN_MAX_BYTES} bytes");
    if line.ends_with(b"\n") {
        line.pop();
    }
    if line.ends_with(b"\r") {
        line.pop();
    }
    Ok(read > 0)
}

/// Reads the next row of CSV, which may go over several lines; `None` at the end.
///
/// # Errors
/// If the source fails, or quotes are not where they must be.
pub fn next_csv_row(source: &mut impl BufRead) -> Result<Option<Vec<Vec<u8>>>> {
    use io::Read as _;
    let mut fields = vec![Vec::new()];
    let mut quotes = Quotes::None;
    let mut any = false;
    for byte in source.by_ref().take(ROW_LEN_MAX_BYTES).bytes() {
        let byte = byte?;
        any = true;
        let field = fields.last_mut().context("a row has a field")?;
        let is_first = field.is_empty();
        match (quotes, byte) {
            (Quotes::Open, b'"') | (Quotes::Closed, b'\r') => {}
            (Quotes::Open, byte) | (Quotes::Closed, byte @ b'"') => field.push(byte),
            (_, b'\n') => return Ok(Some(without_cr(fields, quotes))),
            (_, b',') => fields.push(Vec::new()),
            (Quotes::None, b'"') if is_first => {}
            (Quotes::None, byte) => field.push(byte),
            (Quotes::Closed, _) => bail!("something stands behind a closing quote"),
        }
        quotes = quotes.behind(byte, is_first);
    }
    ensure!(quotes != Quotes::Open, "a quote is not closed, or a row is too long");
    Ok(any.then(|| without_cr(fields, quotes)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Open,
    /// Or the first of two, which stand for one.
    Closed,
}

impl Quotes {
    /// What they are behind a byte, which may be the first of its field.
    fn behind(self, byte: u8, is_first: bool) -> Quotes {
        match (self, byte) {
            (Quotes::Open, b'"') => Quotes::Closed,
            (Quotes::Open, _) | (Quotes::Closed, b'"') => Quotes::Open,
            (_, b'\n' | b',') => Quotes::None,
            (Quotes::None, b'"') if is_first => Quotes::Open,
            (quotes, _) => quotes,
        }
    }
}

/// Finds where rows end, for who gets CSV in pieces. Sees rows where [`next_csv_row`] does.
#[derive(Debug, Clone, Copy)]
pub struct RowEnds {
    quotes: Quotes,
    /// Whether a field begins with the next byte.
    is_first: bool,
}

impl RowEnds {
    /// Whether a row ends behind this byte.
    pub fn is_behind(&mut self, byte: u8) -> bool {
        self.quotes = self.quotes.behind(byte, self.is_first);
        self.is_first = self.quotes == Quotes::None && matches!(byte, b'\n' | b',');
        self.is_first && byte == b'\n'
    }
}

impl Default for RowEnds {
    fn default() -> RowEnds {
        RowEnds { quotes: Quotes::None, is_first: true }
    }
}

/// Lines may end with CRLF.
fn without_cr(mut fields: Vec<Vec<u8>>, quotes: Quotes) -> Vec<Vec<u8>> {
    if let Some(last) =
        fields.last_mut().filter(|last| quotes == Quotes::None && last.ends_with(b"\r"))
    {
        last.pop();
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let pair = |key: &[u8], value: &[u8]| Row {
            kind: Kind::Pair,
            db: 3,
            name: b"shop".to_vec(),
            key: key.to_vec(),
            value: value.to_vec(),
            deadline_ms: Some(1_700_000_000_000),
            name_deadline_ms: None,
        };
        vec![
            pair(b"apples", b"3"),
            pair(b"", b""),
            pair(b" a,\"b\"\r\n", "\u{fc}\u{0}".as_bytes()),
            pair(b"\xff", b"\xfe\x00"),
            pair(b"=1+1", b"\r"),
            Row { name_deadline_ms: Some(u64::MAX), ..pair(b"\"", b" ") },
            Row { name: b"\x80".to_vec(), value: b"v".to_vec(), ..Row::default() },
            Row { kind: Kind::Namespace, name: b"kept".to_vec(), ..Row::default() },
            Row {
                kind: Kind::Limit,
                name: b"n".to_vec(),
                value: b"7 0".to_vec(),
                ..Row::default()
            },
        ]
    }

    #[test]
    fn json_lines_come_back_as_they_were() {
        for row in rows() {
            let mut line = Vec::new();
            row.write_json(&mut line).unwrap();
            assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
            assert_eq!(Row::read_json(&line).unwrap(), row);
        }
    }

    #[test]
    fn csv_rows_come_back_as_they_were() {
        let mut file = Vec::new();
        rows().iter().for_each(|row| row.write_csv(&mut file).unwrap());
        let mut source = &file[..];
        for row in rows() {
            let fields = next_csv_row(&mut source).unwrap().unwrap();
            assert_eq!(Row::from_csv(&fields).unwrap(), row);
        }
        assert_eq!(next_csv_row(&mut source).unwrap(), None);
    }

    #[test]
    fn rows_end_where_they_are_seen_to_end() {
        let file = b"a,b\n\"x\"\"\n\",24\" wide\n,\"\"\n5\",\"two\nlines\"\r\n\n\"\",\"a,\n\"\n";
        let mut ends = RowEnds::default();
        let found: Vec<usize> =
            (1..=file.len()).filter(|&at| ends.is_behind(file[at - 1])).collect();
        let mut source = &file[..];
        let mut seen = Vec::new();
        while next_csv_row(&mut source).unwrap().is_some() {
            seen.push(file.len() - source.len());
        }
        assert_eq!((found, seen.len()), (seen, 6));
    }

    #[test]
    fn limits_are_two_numbers() {
        let limit = |value: &str| Row { value: value.into(), ..Row::default() }.limit().ok();
        assert_eq!(limit("7 0"), Some(Limit { pairs: 7, bytes: 0 }));
        for value in ["", " ", "7", "7 ", " 7", "7  0", "7 0 1", "-1 0", "x y"] {
            assert_eq!(limit(value), None, "{value}");
        }
    }

    #[test]
    fn what_is_no_row() {
        for line in [
            "",
            "[]",
            "{}",
            r#"{"type":"pair","name":"n","value":"v"}"#,
            r#"{"type":"string","name":"n"}"#,
            r#"{"type":"string","value":"v"}"#,
            r#"{"type":"list","name":"n","value":"v"}"#,
            r#"{"type":"string","name":"n","value":"v","ttl":1}"#,
            r#"{"type":"string","name":"n","value":"v","deadline_ms":-1}"#,
            r#"{"type":"string","name":"n","value_base64":"?"}"#,
            r#"{"type":"limit","name":"n"}"#,
        ] {
            assert!(Row::read_json(line.as_bytes()).is_err(), "{line}");
        }
        for line in
            ["a,b", "string,x,n,,v,,,", "string,0,n,,v,,,other", "\"string\"x,0,n,,v,,,", "\"a"]
        {
            let row = next_csv_row(&mut line.as_bytes());
            assert!(row.and_then(|row| Row::from_csv(&row.unwrap_or_default())).is_err(), "{line}");
        }
    }
}
