//! Hashes in one piece: Redis's listpacks (7.0 on), ziplists (before) and zipmaps (before 2.6), as rows of elements.
//!
//! Only reading. Every number is checked against the bytes that are there; a piece with any contradiction in it is
//! damaged as a whole. What the elements are, keys or values or deadlines, the reader knows.

/// How the elements are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Total bytes and count; elements followed by their length.
    Listpack,
    /// Total bytes, place of the last and count; elements preceded by the length of the one before.
    Ziplist,
    /// Count; keys and values in turn, a value followed by unused bytes.
    Zipmap,
}

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element<'b> {
    Bytes(&'b [u8]),
    Integer(i64),
}

/// Walks over the elements of one piece.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    form: Form,
    at: usize,
    elements: usize,
    /// Where the element before began.
    before: usize,
}

/// Why a piece can not be read.
pub(super) type Flaw = &'static str;

/// The end of every form.
const END: u8 = 0xff;
const LISTPACK_HEAD_BYTES: usize = 6;
const ZIPLIST_HEAD_BYTES: usize = 10;
const CUT: Flaw = "its last element is cut";

impl Element<'_> {
    /// Puts its text into `into`, in the place of what was there.
    pub fn text(self, into: &mut Vec<u8>) {
        into.clear();
        match self {
            Element::Bytes(bytes) => into.extend_from_slice(bytes),
            Element::Integer(number) => {
                into.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
        }
    }
}

impl Walk {
    /// Begins at the first element.
    pub fn new(form: Form, blob: &[u8]) -> Result<Walk, Flaw> {
        let (head, has_len) = match form {
            Form::Listpack => (LISTPACK_HEAD_BYTES, true),
            Form::Ziplist => (ZIPLIST_HEAD_BYTES, true),
            Form::Zipmap => (1, false),
        };
        if blob.len() <= head {
            return Err("it is too short");
        }
        if has_len && u32_at(blob, 0)? as usize != blob.len() {
            return Err("it is not as long as it says");
        }
        if blob.last() != Some(&END) {
            return Err("its end is not marked");
        }
        Ok(Walk { form, at: head, elements: 0, before: head })
    }

    /// The next element; `None` behind the last, when all has been found consistent.
    pub fn next<'b>(&mut self, blob: &'b [u8]) -> Result<Option<Element<'b>>, Flaw> {
        if blob.get(self.at) == Some(&END) {
            self.check_end(blob)?;
            return Ok(None);
        }
        let begin = self.at;
        let element = match self.form {
            Form::Listpack => self.listpack(blob)?,
            Form::Ziplist => self.ziplist(blob)?,
            Form::Zipmap => self.zipmap(blob)?,
        };
        self.before = begin;
        self.elements += 1;
        Ok(Some(element))
    }

    fn check_end(&self, blob: &[u8]) -> Result<(), Flaw> {
        if self.at + 1 != blob.len() {
            return Err("its end is marked too early");
        }
        let (said, unknown, counted) = match self.form {
            Form::Listpack => (usize::from(u16_at(blob, 4)?), 0xffff, self.elements),
            Form::Ziplist => (usize::from(u16_at(blob, 8)?), 0xffff, self.elements),
            Form::Zipmap => (usize::from(blob[0]), 254, self.elements / 2),
        };
        if said < unknown && said != counted {
            return Err("it has not as many elements as it says");
        }
        if self.form == Form::Ziplist && u32_at(blob, 4)? as usize != self.before {
            return Err("its last element is not where it says");
        }
        Ok(())
    }

    fn listpack<'b>(&mut self, blob: &'b [u8]) -> Result<Element<'b>, Flaw> {
        let begin = self.at;
        let first = self.byte(blob)?;
        let element = match first {
            0x00..=0x7f => Element::Integer(i64::from(first)),
            0x80..=0xbf => self.slice(blob, usize::from(first & 0x3f))?,
            0xc0..=0xdf => {
                let bits = i64::from(first & 0x1f) << 8 | i64::from(self.byte(blob)?);
                // 13 bits, the highest of which is the sign.
                Element::Integer(if bits >= 1 << 12 { bits - (1 << 13) } else { bits })
            }
            0xe0..=0xef => {
                let len = usize::from(first & 0x0f) << 8 | usize::from(self.byte(blob)?);
                self.slice(blob, len)?
            }
            0xf0 => {
                let len = u32::from_le_bytes(self.array(blob)?) as usize;
                self.slice(blob, len)?
            }
            0xf1 => self.signed::<2>(blob)?,
            0xf2 => self.signed::<3>(blob)?,
            0xf3 => self.signed::<4>(blob)?,
            0xf4 => self.signed::<8>(blob)?,
            _ => return Err("an element is in an unknown form"),
        };
        self.back_length(blob, self.at - begin)?;
        Ok(element)
    }

    /// After an element stands its length, seven bits a byte, the highest first; all but the first have their top bit.
    fn back_length(&mut self, blob: &[u8], len: usize) -> Result<(), Flaw> {
        let bytes = match len {
            0..=127 => 1,
            128..=16_382 => 2,
            16_383..=2_097_150 => 3,
            2_097_151..=268_435_454 => 4,
            _ => 5,
        };
        for group in (0..bytes).rev() {
            let bits = (len as u64 >> (7 * group)) as u8 & 0x7f;
            let mark = if group == bytes - 1 { 0 } else { 0x80 };
            if self.byte(blob)? != bits | mark {
                return Err("an element is not as long as it says behind it");
            }
        }
        Ok(())
    }

    fn ziplist<'b>(&mut self, blob: &'b [u8]) -> Result<Element<'b>, Flaw> {
        let len_before = self.at - self.before;
        let said = match self.byte(blob)? {
            254 => u32::from_le_bytes(self.array(blob)?) as usize,
            len => usize::from(len),
        };
        if said != len_before {
            return Err("an element says that the one before it has another length");
        }
        let first = self.byte(blob)?;
        match first {
            0x00..=0x3f => self.slice(blob, usize::from(first)),
            0x40..=0x7f => {
                let len = usize::from(first & 0x3f) << 8 | usize::from(self.byte(blob)?);
                self.slice(blob, len)
            }
            0x80 => {
                let len = u32::from_be_bytes(self.array(blob)?) as usize;
                self.slice(blob, len)
            }
            0xc0 => self.signed::<2>(blob),
            0xd0 => self.signed::<4>(blob),
            0xe0 => self.signed::<8>(blob),
            0xf0 => self.signed::<3>(blob),
            0xfe => self.signed::<1>(blob),
            0xf1..=0xfd => Ok(Element::Integer(i64::from(first & 0x0f) - 1)),
            _ => Err("an element is in an unknown form"),
        }
    }

    fn zipmap<'b>(&mut self, blob: &'b [u8]) -> Result<Element<'b>, Flaw> {
        let len = match self.byte(blob)? {
            254 => u32::from_le_bytes(self.array(blob)?) as usize,
            len => usize::from(len),
        };
        let is_value = self.elements % 2 == 1;
        let unused = if is_value { usize::from(self.byte(blob)?) } else { 0 };
        let element = self.slice(blob, len)?;
        self.slice(blob, unused)?;
        Ok(element)
    }

    fn byte(&mut self, blob: &[u8]) -> Result<u8, Flaw> {
        self.array(blob).map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self, blob: &[u8]) -> Result<[u8; N], Flaw> {
        let Some(Some(bytes)) = blob.get(self.at..).map(|rest| rest.first_chunk()) else {
            return Err(CUT);
        };
        self.at += N;
        Ok(*bytes)
    }

    fn slice<'b>(&mut self, blob: &'b [u8], len: usize) -> Result<Element<'b>, Flaw> {
        let end = self.at.checked_add(len).ok_or(CUT)?;
        let bytes = blob.get(self.at..end).ok_or(CUT)?;
        self.at = end;
        Ok(Element::Bytes(bytes))
    }

    /// A little-endian integer of `N` bytes.
    fn signed<const N: usize>(&mut self, blob: &[u8]) -> Result<Element<'static>, Flaw> {
        let bytes: [u8; N] = self.array(blob)?;
        let unsigned = bytes.iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
        let unused_bits = 64 - 8 * N as u32;
        Ok(Element::Integer((unsigned << unused_bits) as i64 >> unused_bits))
    }
}

fn u32_at(blob: &[u8], at: usize) -> Result<u32, Flaw> {
    let bytes = blob.get(at..).and_then(|rest| rest.first_chunk()).ok_or(CUT)?;
    Ok(u32::from_le_bytes(*bytes))
}

fn u16_at(blob: &[u8], at: usize) -> Result<u16, Flaw> {
    let bytes = blob.get(at..).and_then(|rest| rest.first_chunk()).ok_or(CUT)?;
    Ok(u16::from_le_bytes(*bytes))
}
