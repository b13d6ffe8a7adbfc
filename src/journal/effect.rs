//! Effects: what a command did, in absolute values and absolute deadlines, and their encoding.
//!
//! The list is closed; replaying effects in order into an empty store gives an equal store. An
//! effect never says "add" or "in ten seconds". Where effects are kept is [`super::Journal`]'s matter.

/// One change. Databases are numbered from 0; deadlines are unix ms, `u64::MAX` for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub enum Effect<'a> {
    /// A pair has this value and deadline.
    PutPair { db: u8, name: &'a [u8], key: &'a [u8], value: &'a [u8], deadline_ms: u64 },
    /// A pair is gone; its name too, if it was the last one and the name is not kept.
    DeletePair { db: u8, name: &'a [u8], key: &'a [u8] },
    /// A pair has this deadline.
    PairDeadline { db: u8, name: &'a [u8], key: &'a [u8], deadline_ms: u64 },
    /// The name holds this string and deadline.
    PutString { db: u8, name: &'a [u8], value: &'a [u8], deadline_ms: u64 },
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
}

/// Effects of one batch in their order, encoded.
#[derive(Debug, Default)]
pub struct Effects {
    bytes: Vec<u8>,
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

impl Effects {
    /// Appends one effect.
    pub fn push(&mut self, cause: Cause, effect: Effect<'_>) {
        let head = |kind: u8, db: u8| [kind, cause as u8, db];
        match effect {
            Effect::PutPair { db, name, key, value, deadline_ms } => {
                self.write(head(PUT_PAIR, db), [name, key, value], Some(deadline_ms));
            }
            Effect::DeletePair { db, name, key } => {
                self.write(head(DELETE_PAIR, db), [name, key], None);
            }
            Effect::PairDeadline { db, name, key, deadline_ms } => {
                self.write(head(PAIR_DEADLINE, db), [name, key], Some(deadline_ms));
            }
            Effect::PutString { db, name, value, deadline_ms } => {
                self.write(head(PUT_STRING, db), [name, value], Some(deadline_ms));
            }
            Effect::DropName { db, name } => self.write(head(DROP_NAME, db), [name], None),
            Effect::NameDeadline { db, name, deadline_ms } => {
                self.write(head(NAME_DEADLINE, db), [name], Some(deadline_ms));
            }
            Effect::Rename { db, name, to } => self.write(head(RENAME, db), [name, to], None),
            Effect::Copy { db, name, to_db, to } => {
                self.write(head(COPY, db), [&[to_db], name, to], None);
            }
            Effect::Move { db, name, to_db } => {
                self.write(head(MOVE, db), [&[to_db], name], None);
            }
            Effect::SwapDb { a, b } => self.write(head(SWAP_DB, a), [&[b]], None),
            Effect::Flush { db } => self.write(head(FLUSH, db), [], None),
            Effect::Keep { db, name } => self.write(head(KEEP, db), [name], None),
        }
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The encoding: a sequence of effects.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets all; keeps up to 64 KiB of room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(64 * 1024);
    }

    /// Head, deadline if there is one, the fields' lengths, the fields.
    #[inline]
    fn write<const N: usize>(
        &mut self,
        head: [u8; 3],
        fields: [&[u8]; N],
        deadline_ms: Option<u64>,
    ) {
        let mut front = [0; 3 + 8 + 4 * 3];
        front[..3].copy_from_slice(&head);
        let mut end = 3;
        if let Some(deadline_ms) = deadline_ms {
            front[3..11].copy_from_slice(&deadline_ms.to_le_bytes());
            end = 11;
        }
        for field in fields {
            front[end..end + 4].copy_from_slice(&(field.len() as u32).to_le_bytes());
            end += 4;
        }
        self.bytes.extend_from_slice(&front[..end]);
        for field in fields {
            self.bytes.extend_from_slice(field);
        }
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

    fn effect(&mut self) -> Result<(Cause, Effect<'a>), Damaged> {
        let &[kind, cause, db] = self.take(3)? else { return Err(Damaged) };
        let cause = *Cause::ALL.get(cause as usize).ok_or(Damaged)?;
        let effect = match kind {
            PUT_PAIR => {
                let deadline_ms = self.number()?;
                let [name, key, value] = self.fields()?;
                Effect::PutPair { db, name, key, value, deadline_ms }
            }
            DELETE_PAIR => {
                let [name, key] = self.fields()?;
                Effect::DeletePair { db, name, key }
            }
            PAIR_DEADLINE => {
                let deadline_ms = self.number()?;
                let [name, key] = self.fields()?;
                Effect::PairDeadline { db, name, key, deadline_ms }
            }
            PUT_STRING => {
                let deadline_ms = self.number()?;
                let [name, value] = self.fields()?;
                Effect::PutString { db, name, value, deadline_ms }
            }
            DROP_NAME => Effect::DropName { db, name: self.field()? },
            NAME_DEADLINE => {
                let deadline_ms = self.number()?;
                Effect::NameDeadline { db, name: self.field()?, deadline_ms }
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
            _ => return Err(Damaged),
        };
        Ok((cause, effect))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or(Damaged)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The lengths of some fields, then the fields.
    fn fields<const N: usize>(&mut self) -> Result<[&'a [u8]; N], Damaged> {
        let mut lens = [0; N];
        for len in &mut lens {
            let &[a, b, c, d] = self.take(4)? else { return Err(Damaged) };
            *len = u32::from_le_bytes([a, b, c, d]) as usize;
        }
        let mut fields: [&[u8]; N] = [&[]; N];
        for (field, len) in fields.iter_mut().zip(lens) {
            *field = self.take(len)?;
        }
        Ok(fields)
    }

    fn field(&mut self) -> Result<&'a [u8], Damaged> {
        self.fields().map(|[field]| field)
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = [0; 8];
        number.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(number))
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
