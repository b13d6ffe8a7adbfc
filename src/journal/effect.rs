//! Effects: what a command did, in absolute values and absolute deadlines, and their encoding.
//!
//! The list is closed; replaying effects in order into an empty store gives an equal store. An
//! effect never says "add" or "in ten seconds". Where effects are kept is [`super::Journal`]'s matter.

use super::varint;
use crate::events::notes::{Note, Notes};
use crate::short::put;
use crate::store::Met;

/// One change. Databases are numbered from 0; deadlines are unix ms, `u64::MAX` for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub enum Effect<'a> {
    /// A pair has this value and deadline.
    PutPair { db: u8, name: &'a [u8], key: &'a [u8], value: &'a [u8], deadline_ms: u64 },
    /// A pair is gone. With `is_last` the namespace is empty: it is gone too, unless it is kept.
    DeletePair { db: u8, name: &'a [u8], key: &'a [u8], is_last: bool },
    /// A pair has this deadline.
    PairDeadline { db: u8, name: &'a [u8], key: &'a [u8], deadline_ms: u64 },
    /// The name holds this string and deadline.
    PutString { db: u8, name: &'a [u8], value: &'a [u8], deadline_ms: u64 },
    /// The string has these bytes from `at` on, which is in it or its end. Its deadline stays.
    PatchString { db: u8, name: &'a [u8], at: u64, bytes: &'a [u8] },
    /// The name and what it held is gone, kept mark included.
    DropName { db: u8, name: &'a [u8] },
    /// The name has this deadline.
    NameDeadline { db: u8, name: &'a [u8], deadline_ms: u64 },
    /// `to` is what `name` was; `name` is gone.
    Rename { db: u8, name: &'a [u8], to: &'a [u8] },
    /// `to` in `to_db` equals `name`, without the kept mark.
    Copy { db: u8, name: &'a [u8], to_db: u8, to: &'a [u8] },
    /// The name is in `to_db` now.
    Move { db: u8, name: &'a [u8], to_db: u8 },
    /// Two databases changed places.
    SwapDb { a: u8, b: u8 },
    /// A database is empty.
    Flush { db: u8 },
    /// The namespace stays when its last pair is gone; it is created if need be.
    Keep { db: u8, name: &'a [u8] },
    /// These are all libraries of functions, as [`crate::store::libraries`] encodes them.
    Libraries { all: &'a [u8] },
    /// A library of functions has this code; none: it is gone.
    Library { name: &'a [u8], code: &'a [u8] },
    /// A name may hold so many pairs and bytes, whatever is there; 0: any number.
    Limit { db: u8, name: &'a [u8], pairs: u64, bytes: u64 },
}

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $event:literal,)*) => {
        /// Why an effect happened: the word keyspace notifications use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Cause { $($(#[$doc])* $variant,)* }

        impl Cause {
            const ALL: &'static [Cause] = &[$(Cause::$variant,)*];

            /// Redis's name of the event.
            pub fn event(self) -> &'static str {
                match self { $(Cause::$variant => $event,)* }
            }
        }
    };
}

causes! {
    /// HSET and its relatives.
    Hset = "hset",
    /// HSETEX with a deadline, which to clients is `hset` and then `hexpire`.
    Hsetex = "hset",
    /// HDEL, HGETDEL, NAMESPACE UNSET.
    Hdel = "hdel",
    /// HINCRBY.
    Hincrby = "hincrby",
    /// HINCRBYFLOAT.
    Hincrbyfloat = "hincrbyfloat",
    /// A pair got a deadline.
    Hexpire = "hexpire",
    /// A pair lost its deadline.
    Hpersist = "hpersist",
    /// A pair's deadline passed.
    Hexpired = "hexpired",
    /// SET and its relatives.
    Set = "set",
    /// SETRANGE.
    Setrange = "setrange",
    /// APPEND.
    Append = "append",
    /// INCR, DECR, INCRBY, DECRBY.
    Incrby = "incrby",
    /// INCRBYFLOAT.
    Incrbyfloat = "incrbyfloat",
    /// DEL and UNLINK.
    Del = "del",
    /// A name got a deadline.
    Expire = "expire",
    /// A name lost its deadline.
    Persist = "persist",
    /// A name's deadline passed.
    Expired = "expired",
    /// RENAME.
    Rename = "rename",
    /// COPY.
    CopyTo = "copy_to",
    /// MOVE.
    Move = "move",
    /// SWAPDB.
    Swapdb = "swapdb",
    /// FLUSHDB, FLUSHALL.
    Flush = "flush",
    /// A namespace made through HTTP or NAMESPACE.
    Kept = "kept",
    /// A name went because memory was short.
    Evicted = "evicted",
    /// RESTORE, and what is imported.
    Restore = "restore",
    /// SETBIT, BITFIELD.
    Setbit = "setbit",
    /// BITOP.
    Bitop = "set",
    /// PFADD, PFMERGE.
    Pfadd = "pfadd",
    /// FUNCTION LOAD and its relatives. Nobody is notified.
    Function = "function",
    /// SET with a deadline and its relatives, which to clients is `set` and then `expire`.
    Setex = "set",
    /// The last pair of a namespace that stays has expired: to Redis clients the name is gone.
    Emptied = "del",
    /// NAMESPACE LIMIT. Nobody is notified.
    Limited = "limited",
    /// BITFIELD made a string longer, but what it was to write did not fit. Nobody is notified, as in Redis.
    Grown = "grown",
}

impl Cause {
    /// Whether it edits a string's bytes where they are, after which Redis calls it `raw`.
    pub fn edits_bytes(self) -> bool {
        matches!(self, Cause::Setrange | Cause::Setbit | Cause::Bitop | Cause::Pfadd | Cause::Grown)
    }
}

/// Effects of one batch in their order, encoded.
#[derive(Debug, Default)]
pub struct Effects {
    /// Initialised beyond `len`, so that what is short can be written without asking for room each time.
    bytes: Vec<u8>,
    len: usize,
    /// How many clients have made them, if it is known; 0: one.
    pub clients: u32,
    /// For those who listen.
    pub notes: Notes,
    /// What the command that runs met that had expired. It is here, and not in the view, so that commands
    /// that meet nothing have nothing to do with it.
    pub met: Met,
}

const PUT_PAIR: u8 = 1;
const DELETE_PAIR: u8 = 2;
const PAIR_DEADLINE: u8 = 3;
const PUT_STRING: u8 = 4;
const DROP_NAME: u8 = 5;
const NAME_DEADLINE: u8 = 6;
const RENAME: u8 = 7;
const COPY: u8 = 8;
const MOVE: u8 = 9;
const SWAP_DB: u8 = 10;
const FLUSH: u8 = 11;
const KEEP: u8 = 12;
const DELETE_LAST_PAIR: u8 = 13;
const LIBRARIES: u8 = 14;
const LIBRARY: u8 = 15;
const LIMIT: u8 = 16;
const PATCH_STRING: u8 = 17;
/// Set in the kind when a deadline follows.
const HAS_DEADLINE: u8 = 0x80;
const NEVER: u64 = u64::MAX;

impl Effects {
    /// Appends one effect. Which one is known where it is made, so that one arm of this is left there.
    #[inline(always)]
    pub fn push(&mut self, cause: Cause, effect: Effect<'_>) {
        let head = |kind: u8, db: u8| [kind, cause as u8, db];
        match effect {
            Effect::PutPair { db, name, key, value, deadline_ms } => {
                self.write(head(PUT_PAIR, db), [name, key, value], deadline_ms);
            }
            Effect::DeletePair { db, name, key, is_last } => {
                let kind = if is_last { DELETE_LAST_PAIR } else { DELETE_PAIR };
                self.write(head(kind, db), [name, key], NEVER);
            }
            Effect::PairDeadline { db, name, key, deadline_ms } => {
                self.write(head(PAIR_DEADLINE, db), [name, key], deadline_ms);
            }
            Effect::PutString { db, name, value, deadline_ms } => {
                self.write(head(PUT_STRING, db), [name, value], deadline_ms);
            }
            Effect::PatchString { db, name, at, bytes } => {
                self.write(head(PATCH_STRING, db), [&at.to_le_bytes(), name, bytes], NEVER);
            }
            Effect::DropName { db, name } => self.write(head(DROP_NAME, db), [name], NEVER),
            Effect::NameDeadline { db, name, deadline_ms } => {
                self.write(head(NAME_DEADLINE, db), [name], deadline_ms);
            }
            Effect::Rename { db, name, to } => self.write(head(RENAME, db), [name, to], NEVER),
            Effect::Copy { db, name, to_db, to } => {
                self.write(head(COPY, db), [&[to_db], name, to], NEVER);
            }
            Effect::Move { db, name, to_db } => {
                self.write(head(MOVE, db), [&[to_db], name], NEVER);
            }
            Effect::SwapDb { a, b } => self.write(head(SWAP_DB, a), [&[b]], NEVER),
            Effect::Flush { db } => self.write(head(FLUSH, db), [], NEVER),
            Effect::Keep { db, name } => self.write(head(KEEP, db), [name], NEVER),
            Effect::Libraries { all } => self.write(head(LIBRARIES, 0), [all], NEVER),
            Effect::Library { name, code } => self.write(head(LIBRARY, 0), [name, code], NEVER),
            Effect::Limit { db, name, pairs, bytes } => {
                let limits = [pairs.to_le_bytes(), bytes.to_le_bytes()];
                self.write(head(LIMIT, db), [name, limits.as_flattened()], NEVER);
            }
        }
    }

    /// Appends one effect. If it puts a name that was not there for Redis clients, `is_new`.
    #[inline(always)]
    pub fn push_put(&mut self, cause: Cause, effect: Effect<'_>, is_new: bool) {
        if is_new {
            self.notes.add(self.len, || Note::New);
        }
        self.push(cause, effect);
    }

    /// What comes now is another command's.
    #[inline]
    pub fn end_command(&self) {
        self.notes.end_command(self.len);
    }

    /// A command has looked for a name that is not there.
    pub fn miss(&self, db: usize, name: &[u8]) {
        self.notes.miss(self.len, db as u8, name);
    }

    /// A client that keeps copies has read names, after the effects so far.
    pub fn read<'n>(&self, client_id: u64, names: impl Iterator<Item = &'n [u8]>) {
        let names = || names.map(Box::from).collect();
        self.notes.add(self.len, || Note::Read { client_id, names: names() });
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the encoding, and of the notes beside it.
    pub fn recorded_bytes(&self) -> usize {
        self.len + self.notes.bytes()
    }

    /// The encoding: a sequence of effects.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The encoding; nothing is left here.
    pub fn take(&mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.len = 0;
        std::mem::take(&mut self.bytes)
    }

    /// Forgets all; keeps up to 256 KiB of room, so that values of usual size find it.
    pub fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 256 * 1024;
        self.notes.clear();
        (self.len, self.clients) = (0, 0);
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes.truncate(KEPT_BYTES_MAX);
            self.bytes.shrink_to(KEPT_BYTES_MAX);
        }
    }

    /// Kind, cause and database; the fields' lengths; the deadline if there is one; the fields. A part of where
    /// the effect is made: a call with so many arguments would take as long as the work.
    #[inline(always)]
    fn write<const N: usize>(
        &mut self,
        [kind, cause, db]: [u8; 3],
        fields: [&[u8]; N],
        deadline_ms: u64,
    ) {
        const SHORT_LEN_MAX: usize = 0x7f;
        const SHORT_BYTES_MAX: usize = 3 + 3 + 8 + 3 * SHORT_LEN_MAX;
        const ROOM_BYTES: usize = 8 * SHORT_BYTES_MAX;
        let has_deadline = deadline_ms != NEVER;
        let kind = kind | if has_deadline { HAS_DEADLINE } else { 0 };
        if fields.iter().any(|field| field.len() > SHORT_LEN_MAX) {
            return self.write_long([kind, cause, db], &fields, deadline_ms);
        }
        if self.bytes.len() - self.len < SHORT_BYTES_MAX {
            self.bytes.resize(self.len + ROOM_BYTES, 0);
        }
        // Of a known length, so that nothing that is put there has to look where it ends.
        let Some(room) = self.bytes[self.len..].first_chunk_mut::<SHORT_BYTES_MAX>() else {
            unreachable!("there is room for short fields")
        };
        let mut front = [kind, cause, db, 0, 0, 0];
        for (at, field) in fields.iter().enumerate() {
            front[3 + at] = field.len() as u8;
        }
        room[..front.len()].copy_from_slice(&front);
        let mut at = 3 + N;
        if has_deadline {
            room[at..at + 8].copy_from_slice(&deadline_ms.to_le_bytes());
            at += 8;
        }
        for field in fields {
            put(&mut room[at..], field);
            at += field.len();
        }
        self.len += at;
    }

    /// The same for fields of any length, up to three. The kind says already whether there is a deadline.
    fn write_long(&mut self, head: [u8; 3], fields: &[&[u8]], deadline_ms: u64) {
        let mut front = [0; 3 + 3 * varint::LEN_MAX + 8];
        front[..3].copy_from_slice(&head);
        let mut end = 3;
        for field in fields {
            end += varint::write(field.len() as u64, &mut front[end..]);
        }
        if deadline_ms != NEVER {
            front[end..end + 8].copy_from_slice(&deadline_ms.to_le_bytes());
            end += 8;
        }
        self.bytes.truncate(self.len);
        self.bytes.extend_from_slice(&front[..end]);
        for field in fields {
            self.bytes.extend_from_slice(field);
        }
        self.len = self.bytes.len();
    }
}

/// Reads effects back, in order. Ends at the first byte that is no effect, with [`Damaged`].
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
}

/// Bytes that are no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

impl<'a> Decoder<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Decoder { bytes }
    }

    /// Bytes that were not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of each effect.
    pub fn each(bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut decoder = Decoder::new(bytes);
        std::iter::from_fn(move || {
            let from = decoder.bytes;
            decoder.next()?.ok()?;
            Some(&from[..from.len() - decoder.bytes.len()])
        })
    }

    fn effect(&mut self) -> Result<(Cause, Effect<'a>), Damaged> {
        let &[kind, cause, db] = self.take(3)? else { return Err(Damaged) };
        let cause = *Cause::ALL.get(cause as usize).ok_or(Damaged)?;
        let has_deadline = kind & HAS_DEADLINE != 0;
        let kind = kind & !HAS_DEADLINE;
        if has_deadline && !matches!(kind, PUT_PAIR | PAIR_DEADLINE | PUT_STRING | NAME_DEADLINE) {
            return Err(Damaged);
        }
        let effect = match kind {
            PUT_PAIR => {
                let (deadline_ms, [name, key, value]) = self.dated(has_deadline)?;
                Effect::PutPair { db, name, key, value, deadline_ms }
            }
            DELETE_PAIR | DELETE_LAST_PAIR => {
                let [name, key] = self.fields()?;
                Effect::DeletePair { db, name, key, is_last: kind == DELETE_LAST_PAIR }
            }
            PAIR_DEADLINE => {
                let (deadline_ms, [name, key]) = self.dated(has_deadline)?;
                Effect::PairDeadline { db, name, key, deadline_ms }
            }
            PUT_STRING => {
                let (deadline_ms, [name, value]) = self.dated(has_deadline)?;
                Effect::PutString { db, name, value, deadline_ms }
            }
            PATCH_STRING => {
                let [at, name, bytes] = self.fields()?;
                let at = u64::from_le_bytes(at.try_into().map_err(|_| Damaged)?);
                Effect::PatchString { db, name, at, bytes }
            }
            DROP_NAME => Effect::DropName { db, name: self.field()? },
            NAME_DEADLINE => {
                let (deadline_ms, [name]) = self.dated(has_deadline)?;
                Effect::NameDeadline { db, name, deadline_ms }
            }
            RENAME => {
                let [name, to] = self.fields()?;
                Effect::Rename { db, name, to }
            }
            COPY => {
                let [to_db, name, to] = self.fields()?;
                Effect::Copy { db, name, to_db: one_byte(to_db)?, to }
            }
            MOVE => {
                let [to_db, name] = self.fields()?;
                Effect::Move { db, name, to_db: one_byte(to_db)? }
            }
            SWAP_DB => Effect::SwapDb { a: db, b: one_byte(self.field()?)? },
            FLUSH => Effect::Flush { db },
            KEEP => Effect::Keep { db, name: self.field()? },
            LIBRARIES => Effect::Libraries { all: self.field()? },
            LIBRARY => {
                let [name, code] = self.fields()?;
                Effect::Library { name, code }
            }
            LIMIT => {
                let [name, limits] = self.fields()?;
                let (limits, []) = limits.as_chunks() else { return Err(Damaged) };
                let &[pairs, bytes] = limits else { return Err(Damaged) };
                let (pairs, bytes) = (u64::from_le_bytes(pairs), u64::from_le_bytes(bytes));
                Effect::Limit { db, name, pairs, bytes }
            }
            _ => return Err(Damaged),
        };
        Ok((cause, effect))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or(Damaged)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn fields<const N: usize>(&mut self) -> Result<[&'a [u8]; N], Damaged> {
        self.dated(false).map(|(_, fields)| fields)
    }

    /// The lengths of some fields, a deadline if there is one, the fields.
    #[inline]
    fn dated<const N: usize>(
        &mut self,
        has_deadline: bool,
    ) -> Result<(u64, [&'a [u8]; N]), Damaged> {
        let mut lens = [0; N];
        for len in &mut lens {
            let number = varint::read(&mut self.bytes).ok_or(Damaged)?;
            *len = usize::try_from(number).map_err(|_| Damaged)?;
        }
        let mut deadline_ms = NEVER;
        if has_deadline {
            let mut number = [0; 8];
            number.copy_from_slice(self.take(8)?);
            deadline_ms = u64::from_le_bytes(number);
        }
        let mut fields: [&[u8]; N] = [&[]; N];
        for (field, len) in fields.iter_mut().zip(lens) {
            *field = self.take(len)?;
        }
        Ok((deadline_ms, fields))
    }

    fn field(&mut self) -> Result<&'a [u8], Damaged> {
        self.fields().map(|[field]| field)
    }
}

fn one_byte(field: &[u8]) -> Result<u8, Damaged> {
    if let [byte] = field { Ok(*byte) } else { Err(Damaged) }
}

impl<'a> Iterator for Decoder<'a> {
    type Item = Result<(Cause, Effect<'a>), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let effect = self.effect();
        if effect.is_err() {
            self.bytes = &[];
        }
        Some(effect)
    }
}
