//! The rows of lists: pairs as the store shows them, and what replies of scans say, written as JSON,
//! JSON Lines or CSV.
//!
//! What is listed, and how it is sent, is in `list`; how single fields look is in `show`. Most rows have
//! nothing in them that must be quoted or encoded: they have a way of their own, and look the same.

use super::resp::Parts;
use super::show;
use crate::reply::Rows;
use crate::server::http::plain;
use crate::short;

/// How rows look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    JsonLines,
    Csv,
}

/// What rows show.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) form: Form,
    pub(super) has_values: bool,
    pub(super) guard: bool,
    pub(super) is_base64: bool,
    pub(super) pattern: Option<Vec<u8>>,
    pub(super) now_ms: u64,
}

/// One entry of a scan.
pub(super) enum Entry<'a> {
    Pair { key: &'a [u8], value: Option<&'a [u8]>, deadline_ms: Option<u64> },
    Name(NameRow<'a>),
}

pub(super) struct NameRow<'a> {
    pub(super) name: &'a [u8],
    pairs: i64,
    bytes: i64,
    is_kept: bool,
    deadline_ms: Option<u64>,
    pairs_max: i64,
    bytes_max: i64,
}

impl<'a> NameRow<'a> {
    pub(super) fn read(parts: &mut Parts<'a>) -> Option<NameRow<'a>> {
        Some(NameRow {
            name: parts.bulk()?,
            pairs: parts.integer()?,
            bytes: parts.integer()?,
            is_kept: parts.integer()? == 1,
            deadline_ms: u64::try_from(parts.integer()?).ok(),
            pairs_max: parts.integer()?,
            bytes_max: parts.integer()?,
        })
    }
}

impl<'a> Entry<'a> {
    pub(super) fn read(parts: &mut Parts<'a>, is_name: bool, look: &Look) -> Option<Entry<'a>> {
        if is_name {
            return NameRow::read(parts).map(Entry::Name);
        }
        let key = parts.bulk()?;
        let value = if look.has_values { Some(parts.bulk()?) } else { None };
        Some(Entry::Pair { key, value, deadline_ms: u64::try_from(parts.integer()?).ok() })
    }

    pub(super) fn name(&self) -> &'a [u8] {
        match self {
            Entry::Pair { key, .. } => key,
            Entry::Name(row) => row.name,
        }
    }
}

/// What comes before the rows.
pub(super) fn head(out: &mut Vec<u8>, look: &Look, is_names: bool) {
    match look.form {
        Form::Json => out.push(b'['),
        Form::JsonLines => {}
        Form::Csv => {
            out.extend_from_slice(if is_names {
                b"namespace,pairs,bytes,kept,pairs_max,bytes_max,ttl_ms,expires_ms,expires_at,base64\r\n"
            } else if look.has_values {
                b"namespace,key,value,ttl_ms,expires_ms,expires_at,base64\r\n"
            } else {
                &b"namespace,key,ttl_ms,expires_ms,expires_at,base64\r\n"[..]
            });
        }
    }
}

/// Writes rows of one namespace.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    look: &'o Look,
    /// What each row begins with: the namespace.
    prefix: Vec<u8>,
    is_text: bool,
    /// Whether a row can be one that has nothing to be quoted or encoded.
    may_be_plain: bool,
    /// Bytes of output that are enough.
    enough_bytes: usize,
    pub(super) rows: u64,
}

impl<'o> Writer<'o> {
    pub(super) fn new(
        out: &'o mut Vec<u8>,
        look: &'o Look,
        namespace: &[u8],
        rows: u64,
    ) -> Writer<'o> {
        let mut prefix = Vec::new();
        let is_text = std::str::from_utf8(namespace).is_ok();
        if look.form != Form::Csv {
            prefix.push(b'{');
            show::append_bytes(&mut prefix, "namespace", namespace, false);
        } else {
            field(&mut prefix, namespace, false, look.guard);
        }
        prefix.push(b',');
        let may_be_plain = is_text && !look.is_base64 && !(look.guard && look.form == Form::Csv);
        Writer { out, look, prefix, is_text, may_be_plain, enough_bytes: usize::MAX, rows }
    }

    /// Takes pairs until the output has about so many bytes.
    pub(super) fn up_to(mut self, enough_bytes: usize) -> Writer<'o> {
        self.enough_bytes = enough_bytes;
        self
    }

    pub(super) fn entry(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Pair { key, value, deadline_ms } => self.pair(key, *value, *deadline_ms),
            Entry::Name(row) => self.name(row),
        }
    }

    /// A row begins.
    fn begin(&mut self) {
        if self.look.form == Form::Json && self.rows > 0 {
            self.out.extend_from_slice(b",\n");
        }
        self.rows += 1;
    }

    pub(super) fn pair(&mut self, key: &[u8], value: Option<&[u8]>, deadline_ms: Option<u64>) {
        self.begin();
        short::append(self.out, &self.prefix);
        let Look { is_base64, now_ms, form, .. } = *self.look;
        let is_plain = if form == Form::Csv { plain::is_field } else { plain::is_json };
        if self.may_be_plain && is_plain(key) && value.is_none_or(is_plain) {
            return self.plain_pair(key, value, deadline_ms);
        }
        if self.look.form == Form::Csv {
            return self.pair_fields(key, value, deadline_ms);
        }
        show::append_bytes(self.out, "key", key, false);
        if let Some(value) = value {
            self.out.push(b',');
            show::append_bytes(self.out, "value", value, is_base64);
        }
        self.out.extend_from_slice(b",\"ttl_ms\":");
        show::append_deadline(self.out, deadline_ms, now_ms);
        self.out.push(b'}');
        self.end_line();
    }

    /// What is behind the namespace, if nothing must be quoted or encoded.
    #[inline]
    fn plain_pair(&mut self, key: &[u8], value: Option<&[u8]>, deadline_ms: Option<u64>) {
        let (out, now_ms) = (&mut *self.out, self.look.now_ms);
        if self.look.form == Form::Csv {
            short::append(out, key);
            if let Some(value) = value {
                out.push(b',');
                short::append(out, value);
            }
            if deadline_ms.is_none() {
                return out.extend_from_slice(b",,,,\r\n");
            }
            out.push(b',');
            show::append_deadline_fields(out, deadline_ms, now_ms);
            return out.extend_from_slice(b",\r\n");
        }
        out.extend_from_slice(b"\"key\":\"");
        short::append(out, key);
        if let Some(value) = value {
            out.extend_from_slice(b"\",\"value\":\"");
            short::append(out, value);
        }
        out.extend_from_slice(b"\",\"ttl_ms\":");
        show::append_deadline(out, deadline_ms, now_ms);
        out.push(b'}');
        self.end_line();
    }

    fn pair_fields(&mut self, key: &[u8], value: Option<&[u8]>, deadline_ms: Option<u64>) {
        let Look { is_base64, guard, now_ms, .. } = *self.look;
        let key_is_text = field(self.out, key, false, guard);
        let value_is_text = value.is_none_or(|value| {
            self.out.push(b',');
            field(self.out, value, is_base64, guard)
        });
        self.out.push(b',');
        show::append_deadline_fields(self.out, deadline_ms, now_ms);
        self.end_fields([
            (self.is_text, "namespace"),
            (key_is_text, "key"),
            (value_is_text, "value"),
        ]);
    }

    /// A namespace without pairs, for import.
    pub(super) fn empty(&mut self) {
        self.begin();
        self.out.extend_from_slice(&self.prefix);
        if self.look.form == Form::Csv {
            self.out.extend_from_slice(b",,,,");
            // It has no key, not an empty one.
            self.end_fields([(self.is_text, "namespace"), (false, "none"), (true, "")]);
            return;
        }
        self.out.extend_from_slice(b"\"key\":null,\"value\":null,\"ttl_ms\":");
        show::append_deadline(self.out, None, self.look.now_ms);
        self.out.push(b'}');
        self.end_line();
    }

    pub(super) fn name(&mut self, row: &NameRow<'_>) {
        self.begin();
        let Look { guard, now_ms, .. } = *self.look;
        if self.look.form == Form::Csv {
            let is_text = field(self.out, row.name, false, guard);
            let is_kept = i64::from(row.is_kept);
            for number in [row.pairs, row.bytes, is_kept, row.pairs_max, row.bytes_max] {
                self.out.push(b',');
                show::number(self.out, number as u64);
            }
            self.out.push(b',');
            show::append_deadline_fields(self.out, row.deadline_ms, now_ms);
            return self.end_fields([(is_text, "namespace"), (true, ""), (true, "")]);
        }
        self.out.push(b'{');
        show::append_bytes(self.out, "namespace", row.name, false);
        self.out.extend_from_slice(b",\"pairs\":");
        show::number(self.out, row.pairs as u64);
        self.out.extend_from_slice(b",\"bytes\":");
        show::number(self.out, row.bytes as u64);
        self.out.extend_from_slice(if row.is_kept {
            b",\"kept\":true"
        } else {
            b",\"kept\":false"
        });
        self.out.extend_from_slice(b",\"pairs_max\":");
        show::number(self.out, row.pairs_max as u64);
        self.out.extend_from_slice(b",\"bytes_max\":");
        show::number(self.out, row.bytes_max as u64);
        self.out.extend_from_slice(b",\"ttl_ms\":");
        show::append_deadline(self.out, row.deadline_ms, now_ms);
        self.out.push(b'}');
        self.end_line();
    }

    fn end_line(&mut self) {
        if self.look.form == Form::JsonLines {
            self.out.push(b'\n');
        }
    }

    /// Names the fields that are base64.
    fn end_fields(&mut self, are_text: [(bool, &str); 3]) {
        self.out.push(b',');
        let mut encoded = are_text.iter().filter(|(is_text, _)| !is_text).map(|(_, name)| name);
        if let Some(first) = encoded.next() {
            self.out.extend_from_slice(first.as_bytes());
        }
        for name in encoded {
            self.out.push(b' ');
            self.out.extend_from_slice(name.as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

impl Rows for Writer<'_> {
    fn pair(&mut self, key: &[u8], value: &[u8], deadline_ms: Option<u64>) -> bool {
        Writer::pair(self, key, self.look.has_values.then_some(value), deadline_ms);
        self.out.len() < self.enough_bytes
    }
}

/// A field, as base64 if it must be; whether it stands as itself.
fn field(out: &mut Vec<u8>, bytes: &[u8], is_base64: bool, guard: bool) -> bool {
    let is_text = !is_base64 && std::str::from_utf8(bytes).is_ok();
    if is_text {
        show::append_field(out, bytes, guard);
    } else {
        out.extend_from_slice(crate::base64::encode(bytes).as_bytes());
    }
    is_text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&[u8]; 9] = [
        b"",
        b"key",
        b"a longer one that is still plain, but for a comma",
        b" blank",
        b"=1+1",
        b"two\r\nlines",
        b"\"quoted\" \\ \x01",
        "å".as_bytes(),
        b"\xff",
    ];

    /// What is seen to be plain looks as it would otherwise.
    #[test]
    fn plain_rows_look_like_all_others() {
        let looks = [Form::Json, Form::JsonLines, Form::Csv].into_iter().flat_map(|form| {
            [(false, true), (true, true), (false, false)].map(|(guard, has_values)| Look {
                form,
                has_values,
                guard,
                is_base64: false,
                pattern: None,
                now_ms: 1_700_000_000_000,
            })
        });
        for look in looks {
            for (namespace, key) in TEXTS.iter().flat_map(|name| TEXTS.map(|key| (*name, key))) {
                for (value, deadline_ms) in TEXTS
                    .iter()
                    .flat_map(|value| [None, Some(1_700_000_012_345)].map(|at| (value, at)))
                {
                    let [quick, slow] = [true, false].map(|may_be_plain| {
                        let mut out = Vec::new();
                        let mut writer = Writer::new(&mut out, &look, namespace, 1);
                        writer.may_be_plain &= may_be_plain;
                        Rows::pair(&mut writer, key, value, deadline_ms);
                        out
                    });
                    assert_eq!(quick.escape_ascii().to_string(), slow.escape_ascii().to_string());
                }
            }
        }
    }
}
