//! Reads one append-only file: RDB at its beginning, perhaps, then commands, one after the other.
//!
//! Commands are yielded as they stand there; what they do, and whether they are known, is `replay`'s matter.

use std::io::{Chain, Cursor, Read};
use std::ops::Range;

use anyhow::{Context as _, Result, bail, ensure};

use crate::rdb::Input;
use crate::resp::request::{Args, Limits, Parsed, RequestParser};

const READ_BYTES: usize = 64 * 1024;
/// A line that begins with `#`, its end included; Redis takes no longer one.
const ANNOTATION_LEN_MAX_BYTES: usize = 1024;

/// What stands in a file. Lives until the next one is read.
#[derive(Clone, Copy)]
pub enum Entry<'a> {
    /// A command.
    Command(Args<'a>),
    /// When what follows was run, as a unix time in seconds.
    Timestamp(u64),
}

/// One file, from its first command on.
pub struct Aof<R> {
    source: Chain<Cursor<Vec<u8>>, R>,
    buffer: Vec<u8>,
    /// Where the next entry begins in the buffer.
    at: usize,
    parser: RequestParser,
    /// Where the buffer begins in the file.
    buffer_offset: u64,
    is_at_end: bool,
}

impl<R: Read> Aof<R> {
    /// Behind what was read of `input`.
    pub fn behind(input: Input<R>) -> Aof<R> {
        let buffer_offset = input.offset();
        let (ahead, source) = input.into_rest();
        Aof {
            source: Cursor::new(ahead).chain(source),
            buffer: Vec::new(),
            at: 0,
            parser: RequestParser::new(),
            buffer_offset,
            is_at_end: false,
        }
    }

    /// Where the next entry begins.
    pub fn offset(&self) -> u64 {
        self.buffer_offset + self.at as u64
    }

    /// Whether the file ends in the middle of an entry, which begins at [`Aof::offset`]. True only after `next_entry` has
    /// returned `None`.
    pub fn is_cut(&self) -> bool {
        self.is_at_end && self.at < self.buffer.len()
    }

    /// The next entry; `None` at the end, and where the file is cut.
    ///
    /// # Errors
    /// If what stands there is no entry.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>> {
        loop {
            let offset = self.offset();
            match self.buffer.get(self.at) {
                None => {}
                Some(b'#') => {
                    if let Some(line) = self.annotation()? {
                        match timestamp(&self.buffer[line]) {
                            Some(seconds) => return Ok(Some(Entry::Timestamp(seconds))),
                            // Others are for those who know them.
                            None => continue,
                        }
                    }
                }
                Some(b'*') => {
                    let rest = &self.buffer[self.at..];
                    let parsed = self.parser.parse(rest, &Limits::AUTHENTICATED);
                    match parsed.with_context(|| damaged_at(offset))? {
                        Parsed::Request { consumed } => {
                            let request = self.at..self.at + consumed;
                            self.at = request.end;
                            let args = self.parser.args(&self.buffer[request]);
                            return Ok(Some(Entry::Command(args)));
                        }
                        Parsed::Incomplete { consumed, .. } => {
                            ensure!(consumed == 0, damaged_at(offset));
                        }
                    }
                }
                Some(&byte) => {
                    let shown = byte.escape_ascii();
                    bail!("{}: a command begins with *, not {shown}", damaged_at(offset));
                }
            }
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }

    /// A whole line; `None` if its end was not read yet.
    fn annotation(&mut self) -> Result<Option<Range<usize>>> {
        let rest = &self.buffer[self.at..];
        let Some(len) = memchr::memchr(b'\n', rest) else {
            ensure!(rest.len() < ANNOTATION_LEN_MAX_BYTES, damaged_at(self.offset()));
            return Ok(None);
        };
        let line = self.at..self.at + len;
        self.at = line.end + 1;
        Ok(Some(line))
    }

    /// Forgets what was yielded and reads on; `false` at the end of the file.
    fn read_more(&mut self) -> Result<bool> {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.buffer_offset += self.at as u64;
            self.at = 0;
        }
        let len = self.buffer.len();
        // An argument can be long; reading ever more at once keeps the number of attempts to parse small.
        let step = READ_BYTES.max(len / 2) as u64;
        let read = self.source.by_ref().take(step).read_to_end(&mut self.buffer);
        let read = read.with_context(|| format!("at byte {}", self.buffer_offset + len as u64))?;
        self.is_at_end = read == 0;
        Ok(read > 0)
    }
}

fn damaged_at(offset: u64) -> String {
    format!("damaged at byte {offset}")
}

/// `#TS:` and seconds.
fn timestamp(line: &[u8]) -> Option<u64> {
    let seconds = line.trim_ascii_end().strip_prefix(b"#TS:")?;
    std::str::from_utf8(seconds).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Aof, Entry};
    use crate::rdb::Input;

    const FILE: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n#TS:1700000000\r\n# other\r\n\
                          *3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\n";

    /// The entries, as text, and whether and where the file is cut.
    fn read(file: &[u8]) -> (Vec<String>, Option<u64>) {
        let mut aof = Aof::behind(Input::new(file));
        let mut entries = Vec::new();
        while let Some(entry) = aof.next_entry().unwrap() {
            entries.push(match entry {
                Entry::Timestamp(seconds) => format!("at {seconds}"),
                Entry::Command(args) => args
                    .iter()
                    .map(|arg| arg.escape_ascii().to_string())
                    .collect::<Vec<_>>()
                    .join(" "),
            });
        }
        (entries, aof.is_cut().then(|| aof.offset()))
    }

    #[test]
    fn commands_and_annotations() {
        assert_eq!(read(b""), (vec![], None));
        assert_eq!(read(FILE).0, ["SELECT 0", "at 1700000000", r"SET a \r\n"]);
        assert_eq!(read(FILE).1, None);
    }

    #[test]
    fn a_file_that_is_cut_anywhere_gives_what_was_whole() {
        let whole = read(FILE).0;
        for cut in 0..FILE.len() {
            let (entries, at) = read(&FILE[..cut]);
            assert_eq!(entries, whole[..entries.len()]);
            if let Some(at) = at {
                assert_eq!(read(&FILE[..at as usize]), (entries, None), "cut at {cut}");
            }
        }
    }

    #[test]
    fn long_arguments_and_many_commands() {
        let long = "x".repeat(1_000_000);
        let mut file = format!("*2\r\n$4\r\nECHO\r\n$1000000\r\n{long}\r\n").into_bytes();
        (0..50_000).for_each(|_| file.extend_from_slice(b"*1\r\n$4\r\nPING\r\n"));
        assert_eq!(read(&file).0.len(), 50_001);
    }

    #[test]
    fn what_is_no_entry_is_named_with_its_place() {
        for (file, at) in
            [("PING\r\n", 0), ("*1\r\n$4\r\nPING\r\n+OK\r\n", 14), ("*1\r\n:4\r\n", 0)]
        {
            let mut aof = Aof::behind(Input::new(file.as_bytes()));
            let error = loop {
                match aof.next_entry() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{file:?} was read"),
                    Err(error) => break format!("{error:#}"),
                }
            };
            assert!(error.contains(&format!("damaged at byte {at}")), "{error}");
        }
    }
}
