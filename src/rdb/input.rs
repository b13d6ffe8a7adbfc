//! Bytes from a source, with their offset and checksum; and what RDB builds everything from: lengths and strings.
//!
//! Memory grows with the bytes that came, never with a length that was declared. What the bytes mean together is
//! [`super::reader`]'s matter.

use std::io::Read;

use super::crc64::crc64;
use super::lzf;
use super::{Error, Result, STRING_LEN_MAX_BYTES};

pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// A source of bytes.
#[derive(Debug)]
pub struct Input<R> {
    source: R,
    buffer: Box<[u8]>,
    /// What of the buffer is still to be read.
    at: usize,
    end: usize,
    /// Up to here the buffer is in `crc`.
    summed: usize,
    crc: u64,
    /// Where the buffer begins in the source.
    buffer_offset: u64,
}

/// What stands where a length may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Plain(u64),
    /// A string in the special form of this number.
    Special(u8),
}

impl<R: Read> Input<R> {
    /// From the first byte of `source`.
    pub fn new(source: R) -> Input<R> {
        Input::buffered(source, BUFFER_BYTES)
    }

    /// The same with a buffer of this size, which must not be 0.
    pub(super) fn buffered(source: R, buffer_bytes: usize) -> Input<R> {
        Input {
            source,
            buffer: vec![0; buffer_bytes].into(),
            at: 0,
            end: 0,
            summed: 0,
            crc: 0,
            buffer_offset: 0,
        }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.buffer_offset + self.at as u64
    }

    /// The checksum of all bytes read so far.
    pub fn checksum(&mut self) -> u64 {
        self.crc = crc64(self.crc, &self.buffer[self.summed..self.at]);
        self.summed = self.at;
        self.crc
    }

    /// What was read ahead of what was asked for, and the source behind it.
    pub fn into_rest(self) -> (Vec<u8>, R) {
        (self.buffer[self.at..self.end].to_vec(), self.source)
    }

    /// An error about the bytes before [`Input::offset`].
    pub fn damaged<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Error::Damaged { offset: self.offset(), what: what.into() })
    }

    /// Whether there is nothing more.
    pub fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.at == self.end && !self.fill()?)
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8> {
        if self.at == self.end && !self.fill()? {
            return self.damaged("it ends here, in the middle");
        }
        self.at += 1;
        Ok(self.buffer[self.at - 1])
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// A length; a string in a special form is damage.
    pub fn length(&mut self) -> Result<u64> {
        match self.any_length()? {
            Length::Plain(len) => Ok(len),
            Length::Special(_) => self.damaged("a string stands where a length must"),
        }
    }

    /// Puts a string into `into`, in the place of what was there.
    pub fn string(&mut self, into: &mut Vec<u8>) -> Result {
        into.clear();
        match self.any_length()? {
            Length::Plain(len) => {
                let len = self.checked_len(len)?;
                self.append(len, into)
            }
            Length::Special(0) => {
                let [byte] = self.bytes()?;
                integer(i64::from(byte as i8), into);
                Ok(())
            }
            Length::Special(1) => {
                let number = i16::from_le_bytes(self.bytes()?);
                integer(i64::from(number), into);
                Ok(())
            }
            Length::Special(2) => {
                let number = i32::from_le_bytes(self.bytes()?);
                integer(i64::from(number), into);
                Ok(())
            }
            Length::Special(3) => {
                let (compressed, len) = (self.length()?, self.length()?);
                let (compressed, len) = (self.checked_len(compressed)?, self.checked_len(len)?);
                self.append(compressed, into)?;
                match lzf::decompress(into, len) {
                    Some(string) => *into = string,
                    None => return self.damaged("a compressed string that can not be read"),
                }
                Ok(())
            }
            Length::Special(form) => self.damaged(format!("a string in the unknown form {form}")),
        }
    }

    /// Reads past a string of any length, without keeping it.
    pub fn skip_string(&mut self) -> Result {
        match self.any_length()? {
            Length::Plain(len) => self.skip(len),
            Length::Special(form @ 0..=2) => self.skip(1 << form),
            Length::Special(3) => {
                let compressed = self.length()?;
                self.length()?;
                self.skip(compressed)
            }
            Length::Special(form) => self.damaged(format!("a string in the unknown form {form}")),
        }
    }

    /// Reads past some bytes.
    pub fn skip(&mut self, mut len: u64) -> Result {
        while len > 0 {
            if self.at == self.end && !self.fill()? {
                return self.damaged("it ends here, in the middle");
            }
            let step = len.min((self.end - self.at) as u64);
            self.at += step as usize;
            len -= step;
        }
        Ok(())
    }

    /// A length is 6, 14, 32 or 64 bits wide, as its first two bits say, the last two sharing a prefix.
    fn any_length(&mut self) -> Result<Length> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, low) {
            (0, _) => Length::Plain(u64::from(low)),
            (1, _) => Length::Plain(u64::from(low) << 8 | u64::from(self.byte()?)),
            (2, 0) => Length::Plain(u64::from(u32::from_be_bytes(self.bytes()?))),
            (2, 1) => Length::Plain(u64::from_be_bytes(self.bytes()?)),
            (2, _) => return self.damaged(format!("a length in the unknown form {first:#04x}")),
            _ => Length::Special(low),
        })
    }

    fn checked_len(&self, len: u64) -> Result<usize> {
        match usize::try_from(len) {
            Ok(len) if len <= STRING_LEN_MAX_BYTES => Ok(len),
            _ => self.damaged(format!(
                "a string of {len} bytes; at most {STRING_LEN_MAX_BYTES} are allowed"
            )),
        }
    }

    fn append(&mut self, mut len: usize, into: &mut Vec<u8>) -> Result {
        while len > 0 {
            if self.at == self.end && !self.fill()? {
                return self.damaged("it ends here, in the middle of a string");
            }
            let step = len.min(self.end - self.at);
            into.extend_from_slice(&self.buffer[self.at..self.at + step]);
            self.at += step;
            len -= step;
        }
        Ok(())
    }

    /// Reads more into the buffer, which is used up; `false` at the end.
    fn fill(&mut self) -> Result<bool> {
        self.checksum();
        self.buffer_offset += self.end as u64;
        (self.at, self.end, self.summed) = (0, 0, 0);
        loop {
            match self.source.read(&mut self.buffer) {
                Ok(len) => {
                    self.end = len;
                    return Ok(len > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Io { offset: self.offset(), error }),
            }
        }
    }
}

fn integer(number: i64, into: &mut Vec<u8>) {
    into.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
