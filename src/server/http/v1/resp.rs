//! Reads a reply that was written as RESP2 into memory: for answers of many rows, whose tree would cost
//! more than the rows.

use crate::error::Error;

/// A part of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// `+`
    Simple(&'a str),
    /// `-`: code and text.
    Error(&'a str),
    /// `:`
    Integer(i64),
    /// `$`; `None` for null, and for `*-1`.
    Bulk(Option<&'a [u8]>),
    /// `*`: so many parts follow.
    Array(usize),
}

/// The parts of a reply, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    pub(super) fn new(reply: &'a [u8]) -> Parts<'a> {
        Parts(reply)
    }

    /// The next part as bytes, if it is some.
    pub(super) fn bulk(&mut self) -> Option<&'a [u8]> {
        match self.next()? {
            Part::Bulk(bytes) => bytes,
            _ => None,
        }
    }

    /// The next part as a number, if it is one.
    pub(super) fn integer(&mut self) -> Option<i64> {
        match self.next()? {
            Part::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// Begins a reply of a cursor and an array: the cursor.
    ///
    /// # Errors
    /// The reply is one.
    pub(super) fn cursor(&mut self) -> Result<u64, Error> {
        let cursor = match self.next() {
            Some(Part::Array(2)) => self.bulk().and_then(crate::number::parse_u64),
            Some(Part::Error(text)) => return Err(error_of(text)),
            _ => None,
        };
        match (cursor, self.next()) {
            (Some(cursor), Some(Part::Array(_))) => Ok(cursor),
            _ => Err(Error::plain("not the reply of a scan")),
        }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let end = memchr::memchr(b'\n', self.0)?;
        let line = self.0.get(1..end.checked_sub(1)?)?;
        let (kind, rest) = (self.0[0], &self.0[end + 1..]);
        self.0 = rest;
        let number = || crate::number::parse_i64(line);
        Some(match kind {
            b'+' => Part::Simple(std::str::from_utf8(line).unwrap_or_default()),
            b'-' => Part::Error(std::str::from_utf8(line).unwrap_or_default()),
            b':' => Part::Integer(number()?),
            b'*' => number().map_or(Part::Bulk(None), |len| {
                usize::try_from(len).map_or(Part::Bulk(None), Part::Array)
            }),
            b'$' => match usize::try_from(number()?) {
                Err(_) => Part::Bulk(None),
                Ok(len) => {
                    let bytes = rest.get(..len)?;
                    self.0 = rest.get(len + 2..)?;
                    Part::Bulk(Some(bytes))
                }
            },
            _ => return None,
        })
    }
}

/// The error that an error reply stands for, as far as statuses need it.
pub(super) fn error_of(text: &str) -> Error {
    let (code, message) = text.split_once(' ').unwrap_or((text, ""));
    match code {
        "WRONGTYPE" => Error::WrongType,
        "NOAUTH" => Error::NoAuth,
        "NOPERM" => Error::NoPerm(message.to_owned().into()),
        "LOADING" => Error::Loading,
        "OOM" => Error::OutOfMemory,
        "MISCONF" => Error::Misconf(message.to_owned().into()),
        "ERR" if message == Error::NoSuchNamespace.to_string() => Error::NoSuchNamespace,
        "ERR" => Error::Plain(message.to_owned().into()),
        _ => Error::coded(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_replies() {
        let reply = b"*5\r\n+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n$0\r\n\r\n";
        let parts: Vec<Part<'_>> = Parts::new(reply).collect();
        assert_eq!(
            parts,
            [
                Part::Array(5),
                Part::Simple("OK"),
                Part::Error("ERR no"),
                Part::Integer(-7),
                Part::Bulk(Some(b"a\r\n")),
                Part::Bulk(None),
                Part::Bulk(None),
                Part::Bulk(Some(b"")),
            ]
        );
    }
}
