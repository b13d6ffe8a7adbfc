//! A page of a list: a whole answer, with a link to the next.
//!
//! A page has no more rows than were asked for, and may have fewer: one that looks for names among very
//! many ends before others have waited long, one of long values before it takes much memory. What is listed is in `list`, how rows look in `list_rows`.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use super::ask::{Ask, invalid};
use super::code::Refusal;
use super::list::{What, content_type, pairs_args, scan_names};
use super::list_rows::{Entry, Form, Look, Writer, head};
use super::resp::Parts;
use super::{Call, link};
use crate::hex::{hex, unhex};
use crate::server::http::answer::{self, Answer};
use crate::server::http::connection::Connection;

/// Longest page, in rows.
pub(super) const PAGE_ROWS_MAX: u64 = 10_000;
/// Entries that are looked at by one scan for names that match, at least, and such scans for a page.
const MATCHED_AT_ONCE: u64 = 1000;
const SCANS_MAX: usize = 32;
/// Bytes of rows after which a page ends: it is whole before it leaves.
const PAGE_BYTES: usize = 8 << 20;
/// A header whose whole value is the link to the next page.
const NEXT_HREF: HeaderName = HeaderName::from_static("x-kv-next-href");

/// Where a page begins: a cursor, and the key after which.
type From = (u64, Option<Vec<u8>>);

pub(super) fn from(ask: &Ask) -> Result<From, Refusal> {
    let from = read_next(ask.text("next").unwrap_or("0"));
    from.ok_or_else(|| invalid("next", "must be what an answer gave"))
}

/// Sends a page of `limit` rows. `next` is a cursor, and behind a dot the last key that was shown of the
/// entries that a scan gives in one piece.
pub(super) fn page(
    (ask, call): (&Ask, &mut Call<'_>),
    look: Look,
    what: impl Fn(u64) -> What,
    ((mut cursor, mut after), limit): (From, u64),
    path: &str,
) -> Result<Answer, Refusal> {
    let mut rows = Vec::new();
    let mut written = 0;
    let mut slice = Vec::new();
    let mut scans = 0;
    let next = loop {
        let at = what(cursor);
        let is_inside = after.is_some();
        at.scan(call.connection, &look, limit - written, is_inside, &mut slice)?;
        scans += 1;
        let mut parts = Parts::new(&slice);
        let following = parts.cursor()?;
        let mut found = entries(&mut parts, &at, &look);
        found.sort_unstable_by_key(Entry::name);
        found.retain(|entry| after.as_deref().is_none_or(|after| entry.name() > after));
        let room = usize::try_from(limit - written).unwrap_or(usize::MAX);
        let namespace = if let What::Pairs { namespace, .. } = &at { namespace } else { &[][..] };
        let mut writer = Writer::new(&mut rows, &look, namespace, written);
        found.iter().take(room).for_each(|entry| writer.entry(entry));
        written = writer.rows;
        if found.len() > room {
            break Some((cursor, Some(found[room - 1].name().to_vec())));
        }
        (cursor, after) = (following, None);
        if cursor == 0 {
            break None;
        }
        if written == limit || scans == SCANS_MAX || rows.len() >= PAGE_BYTES {
            break Some((cursor, None));
        }
    };
    let href = next.map(|(cursor, after)| {
        let token = write_next(cursor, after.as_deref());
        link::next(call, ask, path, &token)
    });
    Ok(page_answer(&look, &what(0), &rows, href.as_deref()))
}

fn entries<'a>(parts: &mut Parts<'a>, at: &What, look: &Look) -> Vec<Entry<'a>> {
    std::iter::from_fn(|| Entry::read(parts, at.is_names(), look)).collect()
}

impl What {
    /// The reply of a scan for a page that has room for so many rows. Who looks for what matches looks at
    /// many entries at once, unless more of them match than there is room for, or the page goes on inside
    /// of what one scan gave: that must come in the same piece again.
    fn scan(
        &self,
        connection: &Connection,
        look: &Look,
        room: u64,
        is_inside: bool,
        slice: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if look.pattern.is_some() && !is_inside && room < MATCHED_AT_ONCE {
            self.scan_some(connection, look, MATCHED_AT_ONCE, slice);
            let mut parts = Parts::new(slice);
            parts.cursor()?;
            if entries(&mut parts, self, look).len() as u64 <= room {
                return Ok(());
            }
        }
        self.scan_some(connection, look, room, slice);
        Ok(())
    }

    fn scan_some(&self, connection: &Connection, look: &Look, count: u64, slice: &mut Vec<u8>) {
        slice.clear();
        match self {
            What::Names { cursor } => scan_names(connection, look, *cursor, count, slice),
            What::Pairs { namespace, cursor } => {
                let (cursor, count) = (cursor.to_string(), count.to_string());
                let cursor = (cursor.as_bytes(), count.as_bytes());
                let pattern = look.pattern.as_deref();
                let args = pairs_args(namespace, cursor, pattern, look.has_values);
                connection.run_into(&args, slice);
            }
            // It has no pages.
            What::Everything { .. } => {}
        }
    }
}

fn page_answer(look: &Look, what: &What, rows: &[u8], href: Option<&str>) -> Answer {
    let mut body = Vec::with_capacity(rows.len() + 256);
    if look.form == Form::Json {
        body.extend_from_slice(b"{\"data\":");
    }
    head(&mut body, look, what.is_names());
    body.extend_from_slice(rows);
    if look.form == Form::Json {
        body.extend_from_slice(b"],\"links\":{");
        if let Some(href) = href {
            body.extend_from_slice(b"\"next\":{\"href\":");
            answer::write_text(&mut body, href);
            body.push(b'}');
        }
        body.extend_from_slice(b"}}");
    }
    let mut answer = answer::plain(content_type(look.form), body);
    *answer.status_mut() = StatusCode::OK;
    if let Some(value) = href.and_then(|href| HeaderValue::from_str(href).ok()) {
        answer.headers_mut().insert(NEXT_HREF, value);
    }
    answer
}

fn write_next(cursor: u64, after: Option<&[u8]>) -> String {
    match after {
        None => cursor.to_string(),
        Some(after) => format!("{cursor}.{}", hex(after)),
    }
}

fn read_next(token: &str) -> Option<(u64, Option<Vec<u8>>)> {
    let (cursor, after) = token.split_once('.').map_or((token, None), |(c, a)| (c, Some(a)));
    let cursor = crate::number::parse_u64(cursor.as_bytes())?;
    match after {
        None => Some((cursor, None)),
        Some(after) => Some((cursor, Some(unhex(after.as_bytes())?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_a_list_are_read_again() {
        for (cursor, after) in [(0, None), (17, None), (17, Some(&b"a.\xff"[..])), (3, Some(b""))] {
            let token = write_next(cursor, after);
            assert_eq!(read_next(&token), Some((cursor, after.map(<[u8]>::to_vec))), "{token}");
        }
        for token in ["", "x", "-1", "1.0", "1.0g", "1.+1", "18446744073709551616", "1.é"] {
            assert_eq!(read_next(token), None, "{token}");
        }
    }
}
