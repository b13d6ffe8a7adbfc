//! The numbers of RDB: opcodes, the types of values, and whose files they stand in.
//!
//! How a type's value looks is in [`super::reader`] (strings and hashes) and [`super::skip`] (all others).

use std::fmt;

use super::packed::Form;

/// Whose RDB it is. From version 12 on the two use the same numbers for different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Redis's, and Valkey's before 9.
    Redis,
    /// Valkey's from 9 on.
    Valkey,
}

/// What stands between names.
pub(super) mod opcode {
    /// Module data of a name, in Redis; the state of a slot's import, in Valkey.
    pub const KEY_META_OR_SLOT_IMPORT: u8 = 243;
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION2: u8 = 245;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZEDB: u8 = 251;
    pub const EXPIRETIME_MS: u8 = 252;
    pub const EXPIRETIME: u8 = 253;
    pub const SELECTDB: u8 = 254;
    pub const EOF: u8 = 255;
}

/// Types that are written.
pub(super) const STRING: u8 = 0;
pub(super) const HASH: u8 = 4;
pub(super) const HASH_METADATA: u8 = 24;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    String,
    Hash(HashForm),
    Other(OtherForm),
}

/// How a hash is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HashForm {
    /// Keys and values.
    Pairs,
    /// Deadlines, keys and values; deadlines count from the earliest, which stands first, or from 1970.
    Metadata { has_min: bool },
    /// Keys, values and deadlines, as Valkey writes them.
    ValkeyTriples,
    /// In one piece; with deadlines or without.
    Packed { form: Form, has_deadlines: bool, has_min: bool },
}

/// How a value of another type is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OtherForm {
    /// A string that holds it all.
    Blob(OtherKind),
    /// So many strings.
    Strings(OtherKind),
    /// So many strings with scores, which are text or eight bytes.
    Scores {
        is_text: bool,
    },
    /// So many nodes with their kind.
    Quicklist2,
    /// In four ways, each with more than the one before.
    Stream {
        way: u8,
    },
    Module,
}

/// The type of a name that can not be kept here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OtherKind {
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    Zset,
    /// A stream.
    Stream,
    /// A type that a module brought: the nine letters of its name.
    Module([u8; 9]),
}

impl OtherKind {
    /// The module whose name is packed into `id`, six bits a letter above ten bits of its version.
    pub(super) fn module(id: u64) -> OtherKind {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letter = |at: usize| LETTERS[(id >> (10 + 6 * (8 - at))) as usize & 63];
        OtherKind::Module(std::array::from_fn(letter))
    }
}

impl fmt::Display for OtherKind {
    /// As TYPE has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OtherKind::List => f.write_str("list"),
            OtherKind::Set => f.write_str("set"),
            OtherKind::Zset => f.write_str("zset"),
            OtherKind::Stream => f.write_str("stream"),
            OtherKind::Module(name) => {
                name.iter().try_for_each(|&letter| write!(f, "{}", letter as char))
            }
        }
    }
}

impl Type {
    /// What a number means; `None` if it can not be read.
    pub fn of(number: u8, dialect: Dialect) -> Option<Type> {
        use OtherForm::{Blob, Strings};
        use OtherKind::{List, Set, Zset};
        let packed = |form, has_deadlines, has_min| {
            Type::Hash(HashForm::Packed { form, has_deadlines, has_min })
        };
        Some(match number {
            STRING => Type::String,
            HASH => Type::Hash(HashForm::Pairs),
            9 => packed(Form::Zipmap, false, false),
            13 => packed(Form::Ziplist, false, false),
            16 => packed(Form::Listpack, false, false),
            22 if dialect == Dialect::Valkey => Type::Hash(HashForm::ValkeyTriples),
            _ if number >= 22 && dialect == Dialect::Valkey => return None,
            22 => Type::Hash(HashForm::Metadata { has_min: false }),
            23 => packed(Form::Listpack, true, false),
            HASH_METADATA => Type::Hash(HashForm::Metadata { has_min: true }),
            25 => packed(Form::Listpack, true, true),
            1 => Type::Other(Strings(List)),
            2 => Type::Other(Strings(Set)),
            3 => Type::Other(OtherForm::Scores { is_text: true }),
            5 => Type::Other(OtherForm::Scores { is_text: false }),
            7 => Type::Other(OtherForm::Module),
            10 => Type::Other(Blob(List)),
            11 | 20 => Type::Other(Blob(Set)),
            12 | 17 => Type::Other(Blob(Zset)),
            14 => Type::Other(Strings(List)),
            18 => Type::Other(OtherForm::Quicklist2),
            15 => Type::Other(OtherForm::Stream { way: 1 }),
            19 => Type::Other(OtherForm::Stream { way: 2 }),
            21 => Type::Other(OtherForm::Stream { way: 3 }),
            26 => Type::Other(OtherForm::Stream { way: 4 }),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::OtherKind;

    #[test]
    fn a_modules_name_is_in_its_id() {
        // "AAAAAAAAA" is all zeros; the version is not part of it.
        assert_eq!(OtherKind::module(0x3ff).to_string(), "AAAAAAAAA");
        assert_eq!(OtherKind::module(1 << 10).to_string(), "AAAAAAAAB");
        assert_eq!(OtherKind::module(63 << 58).to_string(), "_AAAAAAAA");
    }
}
