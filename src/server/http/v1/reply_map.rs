//! Replies that are maps: their fields by name.

use crate::reply::Captured;

/// The fields of a map.
pub(super) struct ReplyMap(Vec<(Captured, Captured)>);

impl ReplyMap {
    /// A number.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        match self.field(name)? {
            Captured::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A byte string.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.field(name)? {
            Captured::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The same as text.
    pub(super) fn text(&self, name: &str) -> &str {
        let text = self.bytes(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.unwrap_or_default()
    }

    /// Something that is on or off.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.field(name) == Some(&Captured::Boolean(true))
    }

    fn field(&self, name: &str) -> Option<&Captured> {
        let is_named =
            |key: &Captured| matches!(key, Captured::Bulk(key) if key == name.as_bytes());
        self.0.iter().find(|(key, _)| is_named(key)).map(|(_, value)| value)
    }
}

impl Captured {
    /// As a map; anything else has no fields.
    pub(super) fn map(self) -> ReplyMap {
        match self {
            Captured::Map(fields) => ReplyMap(fields),
            _ => ReplyMap(Vec::new()),
        }
    }

    /// As an array of maps.
    pub(super) fn rows(self) -> Vec<ReplyMap> {
        match self {
            Captured::Array(rows) => rows.into_iter().map(Captured::map).collect(),
            _ => Vec::new(),
        }
    }
}
