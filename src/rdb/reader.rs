//! Reads an RDB file as a stream of events: names, their strings and pairs, and what else there is.
//!
//! Memory is that of the longest string, or of one hash that Redis wrote in one piece. What the events are good for is
//! not known here. An error names the byte up to which all was well.

use std::io::Read;

use super::packed::Walk;
use super::types::{HashForm, Type, opcode};
use super::{Dialect, Input, OtherKind, REDIS_VERSION_MAX, Result, VALKEY_VERSION};
use crate::store::PAIR_DEADLINE_MS_MAX;

/// Files of this version and later end with a checksum.
const VERSION_WITH_CHECKSUM: u32 = 5;

/// What was read. Lives until the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'r> {
    /// A name that holds a string.
    String(Name<'r>, &'r [u8]),
    /// A name that holds a hash. Its pairs follow, then [`Event::EndOfHash`].
    Hash(Name<'r>),
    /// A pair of the hash that was last begun.
    Pair {
        /// Redis: field.
        key: &'r [u8],
        /// Its value.
        value: &'r [u8],
        /// When it expires, in unix ms.
        deadline_ms: Option<u64>,
    },
    /// That were the pairs.
    EndOfHash,
    /// A name of another type, whose value was stepped over.
    Other(Name<'r>, OtherKind),
    /// Something about the file: `redis-ver` and such.
    Aux(&'r [u8], &'r [u8]),
    /// The code of a library of functions.
    Function(&'r [u8]),
    /// What the module of this type keeps beside its names; it was stepped over.
    ModuleAux(OtherKind),
}

/// A name and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'r> {
    /// Its database.
    pub db: u64,
    /// Its bytes.
    pub bytes: &'r [u8],
    /// When it expires, in unix ms; what lies before 1970 is 0.
    pub deadline_ms: Option<u64>,
}

/// Reads one file, or the RDB at the beginning of one.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    dialect: Dialect,
    version: u32,
    db: u64,
    /// Of the name that comes next.
    deadline_ms: Option<u64>,
    name: Vec<u8>,
    value: HashOrString,
    is_over: bool,
}

/// The value that is being read, and its buffers.
#[derive(Debug)]
pub(super) struct HashOrString {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    blob: Vec<u8>,
    hash: Open,
}

/// The hash whose pairs are next.
#[derive(Debug)]
enum Open {
    Nothing,
    Pairs { left: u64 },
    Metadata { left: u64, min_ms: u64 },
    ValkeyTriples { left: u64 },
    Packed { walk: Walk, has_deadlines: bool },
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If that is not RDB, or of a version that is not known here.
    pub fn new(source: R) -> Result<Reader<R>> {
        Reader::over(Input::new(source))
    }

    /// The same over an input whose first byte was not read.
    pub fn over(mut input: Input<R>) -> Result<Reader<R>> {
        let magic = input.bytes::<9>()?;
        let version = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u32>().ok();
        let found = match &magic {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => {
                version(digits).map(|n| (Dialect::Redis, n))
            }
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => {
                version(digits).map(|n| (Dialect::Valkey, n))
            }
            _ => None,
        };
        let (dialect, version) = match found {
            None => return input.damaged("it does not begin as an RDB file does"),
            Some((dialect, version)) if dialect.has(version) => (dialect, version),
            Some((_, version)) => {
                return input.damaged(format!(
                    "RDB version {version}, which can not be read: up to {REDIS_VERSION_MAX} of Redis \
                     and {VALKEY_VERSION} of Valkey can"
                ));
            }
        };
        Ok(Reader {
            input,
            dialect,
            version,
            db: 0,
            deadline_ms: None,
            name: Vec::new(),
            value: HashOrString::default(),
            is_over: false,
        })
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// What is behind the end, if that was reached.
    pub fn into_rest(self) -> Input<R> {
        self.input
    }

    /// The next event; `None` at the end, when the checksum was found right.
    ///
    /// # Errors
    /// If the file is damaged; then it makes no sense to go on.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>> {
        if self.is_over {
            return Ok(None);
        }
        if self.value.is_open() {
            return self.next_pair().map(Some);
        }
        loop {
            match self.input.byte()? {
                opcode::EXPIRETIME_MS => {
                    let at_ms = i64::from_le_bytes(self.input.bytes()?);
                    self.deadline_ms = Some(u64::try_from(at_ms).unwrap_or(0));
                }
                opcode::EXPIRETIME => {
                    let at_s = i32::from_le_bytes(self.input.bytes()?);
                    self.deadline_ms = Some(u64::try_from(at_s).unwrap_or(0) * 1000);
                }
                // How it was used means nothing here.
                opcode::FREQ => self.input.skip(1)?,
                opcode::IDLE => self.lengths(1)?,
                opcode::SELECTDB => self.db = self.input.length()?,
                opcode::RESIZEDB => self.lengths(2)?,
                opcode::SLOT_INFO => self.lengths(3)?,
                opcode::KEY_META_OR_SLOT_IMPORT => self.skip_key_meta_or_slot_import()?,
                opcode::AUX => {
                    self.input.string(&mut self.value.key)?;
                    self.input.string(&mut self.value.value)?;
                    return Ok(Some(Event::Aux(&self.value.key, &self.value.value)));
                }
                opcode::FUNCTION2 => {
                    self.input.string(&mut self.value.value)?;
                    return Ok(Some(Event::Function(&self.value.value)));
                }
                opcode::MODULE_AUX => {
                    let module = OtherKind::module(self.input.length()?);
                    self.lengths(2)?;
                    self.input.skip_module_data()?;
                    return Ok(Some(Event::ModuleAux(module)));
                }
                opcode::EOF => {
                    self.check_checksum()?;
                    self.is_over = true;
                    return Ok(None);
                }
                number => return self.named_value(number).map(Some),
            }
        }
    }

    fn named_value(&mut self, number: u8) -> Result<Event<'_>> {
        let Some(kind) = Type::of(number, self.dialect) else {
            return self.input.damaged(format!("neither opcode nor known type: {number}"));
        };
        self.input.string(&mut self.name)?;
        let shown = self.value.begin(kind, &mut self.input)?;
        let deadline_ms = self.deadline_ms.take();
        let name = Name { db: self.db, bytes: &self.name, deadline_ms };
        Ok(match shown {
            Begun::String => Event::String(name, &self.value.value),
            Begun::Hash => Event::Hash(name),
            Begun::Other(kind) => Event::Other(name, kind),
        })
    }

    fn next_pair(&mut self) -> Result<Event<'_>> {
        let pair = self.value.next_pair(&mut self.input)?;
        Ok(match pair {
            Some(deadline_ms) => {
                Event::Pair { key: &self.value.key, value: &self.value.value, deadline_ms }
            }
            None => Event::EndOfHash,
        })
    }

    fn lengths(&mut self, count: usize) -> Result {
        (0..count).try_for_each(|_| self.input.length().map(drop))
    }

    fn skip_key_meta_or_slot_import(&mut self) -> Result {
        match self.dialect {
            Dialect::Redis => self.input.skip_key_meta(),
            Dialect::Valkey => {
                self.input.skip_string()?;
                self.input.each(|input| {
                    input.length()?;
                    input.length().map(drop)
                })
            }
        }
    }

    fn check_checksum(&mut self) -> Result {
        if self.version < VERSION_WITH_CHECKSUM {
            return Ok(());
        }
        let computed = self.input.checksum();
        let written = u64::from_le_bytes(self.input.bytes()?);
        if written != 0 && written != computed {
            return self.input.damaged(format!(
                "the checksum is {written:016x}, but that of the bytes is {computed:016x}"
            ));
        }
        Ok(())
    }
}

impl<R: Read> Input<R> {
    /// What modules keep at a name: so many classes, each with a number and tagged data.
    pub(super) fn skip_key_meta(&mut self) -> Result {
        self.each(|input| {
            input.skip(4)?;
            input.skip_module_data()
        })
    }
}

impl Dialect {
    /// Whether its files of this version can be read.
    pub(super) fn has(self, version: u32) -> bool {
        match self {
            Dialect::Redis => (1..=REDIS_VERSION_MAX).contains(&version),
            Dialect::Valkey => version == VALKEY_VERSION,
        }
    }
}

/// What a value turned out to be.
pub(super) enum Begun {
    /// It stands in `value`.
    String,
    Hash,
    Other(OtherKind),
}

impl Default for HashOrString {
    fn default() -> HashOrString {
        HashOrString { key: Vec::new(), value: Vec::new(), blob: Vec::new(), hash: Open::Nothing }
    }
}

impl HashOrString {
    pub fn is_open(&self) -> bool {
        !matches!(self.hash, Open::Nothing)
    }

    /// Reads a string, the beginning of a hash, or past anything else.
    pub fn begin<R: Read>(&mut self, kind: Type, input: &mut Input<R>) -> Result<Begun> {
        let form = match kind {
            Type::String => {
                input.string(&mut self.value)?;
                return Ok(Begun::String);
            }
            Type::Other(form) => return input.skip_value(form).map(Begun::Other),
            Type::Hash(form) => form,
        };
        self.hash = match form {
            HashForm::Pairs => Open::Pairs { left: input.length()? },
            HashForm::ValkeyTriples => Open::ValkeyTriples { left: input.length()? },
            HashForm::Metadata { has_min } => {
                // 0 stands for no deadline, so what counts from the earliest begins at 1.
                let min_ms = if has_min { u64::from_le_bytes(input.bytes()?) } else { 1 };
                Open::Metadata { left: input.length()?, min_ms }
            }
            HashForm::Packed { form, has_deadlines, has_min } => {
                if has_min {
                    input.skip(8)?;
                }
                input.string(&mut self.blob)?;
                let walk = Walk::new(form, &self.blob);
                let walk =
                    walk.or_else(|flaw| input.damaged(format!("a hash in one piece: {flaw}")))?;
                Open::Packed { walk, has_deadlines }
            }
        };
        Ok(Begun::Hash)
    }

    /// Puts the next pair into `key` and `value` and tells its deadline; `None` behind the last.
    pub fn next_pair<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Option<u64>>> {
        let deadline_ms = match &mut self.hash {
            Open::Nothing => return Ok(None),
            Open::Packed { .. } => return self.next_packed(input),
            Open::Pairs { left: 0 }
            | Open::Metadata { left: 0, .. }
            | Open::ValkeyTriples { left: 0 } => {
                self.hash = Open::Nothing;
                return Ok(None);
            }
            Open::Pairs { left } => {
                *left -= 1;
                input.string(&mut self.key)?;
                input.string(&mut self.value)?;
                None
            }
            Open::Metadata { left, min_ms } => {
                *left -= 1;
                let since_min = input.length()?;
                input.string(&mut self.key)?;
                input.string(&mut self.value)?;
                match since_min {
                    0 => None,
                    since => Some(since.saturating_add(*min_ms).saturating_sub(1)),
                }
            }
            Open::ValkeyTriples { left } => {
                *left -= 1;
                input.string(&mut self.key)?;
                input.string(&mut self.value)?;
                match i64::from_le_bytes(input.bytes()?) {
                    -1 => None,
                    at_ms => Some(u64::try_from(at_ms).unwrap_or(0)),
                }
            }
        };
        checked_deadline(deadline_ms).or_else(|flaw| input.damaged(flaw)).map(Some)
    }

    fn next_packed<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Option<u64>>> {
        let Open::Packed { walk, has_deadlines } = &mut self.hash else { return Ok(None) };
        let step = next_packed(walk, *has_deadlines, &self.blob, &mut self.key, &mut self.value);
        let pair = step.or_else(|flaw| input.damaged(format!("a hash in one piece: {flaw}")))?;
        if pair.is_none() {
            self.hash = Open::Nothing;
            self.blob.clear();
        }
        Ok(pair)
    }
}

fn next_packed(
    walk: &mut Walk,
    has_deadlines: bool,
    blob: &[u8],
    key: &mut Vec<u8>,
    value: &mut Vec<u8>,
) -> Result<Option<Option<u64>>, &'static str> {
    const CUT: &str = "its last pair is cut";
    let Some(element) = walk.next(blob)? else { return Ok(None) };
    element.text(key);
    walk.next(blob)?.ok_or(CUT)?.text(value);
    if !has_deadlines {
        return Ok(Some(None));
    }
    let mut text = Vec::new();
    walk.next(blob)?.ok_or(CUT)?.text(&mut text);
    let deadline_ms = crate::number::parse_i64(&text).and_then(|at_ms| u64::try_from(at_ms).ok());
    let deadline_ms = deadline_ms.ok_or("a pair's deadline is no time")?;
    checked_deadline(Some(deadline_ms).filter(|&at_ms| at_ms != 0)).map(Some)
}

fn checked_deadline(deadline_ms: Option<u64>) -> Result<Option<u64>, &'static str> {
    match deadline_ms {
        Some(at_ms) if at_ms > PAIR_DEADLINE_MS_MAX => {
            Err("a pair's deadline is after the year 10889")
        }
        _ => Ok(deadline_ms),
    }
}
