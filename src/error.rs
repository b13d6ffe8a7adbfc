//! Every error a client can be shown: its RESP code and text, and its HTTP status.
//!
//! Not for errors of starting and running the process; those are `anyhow` in [`crate::run`].
//! Texts are Redis's where Redis has one. A new variant does not compile until both doors know it.

use std::borrow::Cow;
use std::fmt;

/// What a command answers when it fails.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// How much of what a client sent is shown in an error.
const SHOWN_BYTES_MAX: usize = 128;

/// An error reply. `Display` gives the text after the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Anything that Redis reports with the plain `ERR` code; the text says what to do.
    Plain(Cow<'static, str>),
    /// The options of a command do not fit its syntax line.
    Syntax,
    /// An argument had to be a 64-bit signed integer.
    NotAnInteger,
    /// An argument or stored value had to be a float.
    NotAFloat,
    /// The name holds a value of the other type.
    WrongType,
    /// The string is no HyperLogLog.
    NotHyperLogLog,
    /// It was a HyperLogLog, and is damaged.
    CorruptHyperLogLog,
    /// The name exists, and the command needs it not to.
    BusyKey,
    /// The name does not exist, and the command needs it to.
    NoSuchKey,
    /// The namespace does not exist, not even an empty one.
    NoSuchNamespace,
    /// The expire time of the named command is zero, negative where that is refused, or overflows.
    InvalidExpire(&'static str),
    /// Not authenticated.
    NoAuth,
    /// HELLO without authentication.
    NoAuthHello,
    /// User name or password refused.
    WrongPass,
    /// The user may not do this.
    NoPerm(Cow<'static, str>),
    /// EXEC without effect, because a queued command was refused.
    ExecAbort(Cow<'static, str>),
    /// HELLO asked for a protocol that is not spoken here.
    NoProto,
    /// The store is still being loaded.
    Loading,
    /// The memory limit is reached and nothing may be evicted.
    OutOfMemory,
    /// The namespace would hold more than it may.
    LimitReached {
        /// Pairs or bytes.
        what: &'static str,
        /// So many it may hold.
        most: u64,
    },
    /// The journal cannot be written.
    Misconf(Cow<'static, str>),
    /// A text with its own code in front, as scripts make them.
    Coded(Box<str>),
}

impl Error {
    /// An error with the plain `ERR` code.
    pub fn plain(text: impl Into<Cow<'static, str>>) -> Error {
        Error::Plain(text.into())
    }

    /// An error whose text begins with its code.
    pub fn coded(text: impl Into<Box<str>>) -> Error {
        Error::Coded(text.into())
    }

    /// Wrong number of arguments for `command` (lower case, `a|b` for a subcommand).
    pub fn arity(command: &str) -> Error {
        Error::Plain(format!("wrong number of arguments for '{command}' command").into())
    }

    /// No command has the name that the first argument is.
    pub fn unknown_command<'a>(mut args: impl Iterator<Item = &'a [u8]>) -> Error {
        let shown =
            |arg: &[u8], most| String::from_utf8_lossy(&arg[..arg.len().min(most)]).into_owned();
        let name = shown(args.next().unwrap_or_default(), SHOWN_BYTES_MAX);
        let mut beginning = String::new();
        for arg in args {
            if beginning.len() >= SHOWN_BYTES_MAX {
                break;
            }
            let most = SHOWN_BYTES_MAX - beginning.len();
            beginning.push_str(&format!("'{}' ", shown(arg, most)));
        }
        let text = format!("unknown command '{name}', with args beginning with: {beginning}");
        Error::plain(text)
    }

    /// The container has no subcommand of this name.
    pub fn unknown_subcommand(container: &str, name: &[u8]) -> Error {
        let shown = String::from_utf8_lossy(&name[..name.len().min(SHOWN_BYTES_MAX)]);
        Error::plain(format!("unknown subcommand '{shown}'. Try {container} HELP."))
    }

    /// The first word of the RESP error.
    pub fn code(&self) -> &str {
        match self {
            Error::WrongType | Error::NotHyperLogLog => "WRONGTYPE",
            Error::CorruptHyperLogLog => "INVALIDOBJ",
            Error::BusyKey => "BUSYKEY",
            Error::NoAuth | Error::NoAuthHello => "NOAUTH",
            Error::WrongPass => "WRONGPASS",
            Error::NoPerm(_) => "NOPERM",
            Error::ExecAbort(_) => "EXECABORT",
            Error::NoProto => "NOPROTO",
            Error::Loading => "LOADING",
            Error::OutOfMemory => "OOM",
            Error::LimitReached { .. } => "LIMITREACHED",
            Error::Misconf(_) => "MISCONF",
            Error::Coded(text) => text.split_once(' ').map_or(text, |(code, _)| code),
            Error::Plain(_)
            | Error::Syntax
            | Error::NotAnInteger
            | Error::NotAFloat
            | Error::NoSuchKey
            | Error::NoSuchNamespace
            | Error::InvalidExpire(_) => "ERR",
        }
    }

    /// The HTTP status that says the same.
    pub fn http_status(&self) -> u16 {
        match self {
            Error::Coded(_) if matches!(self.code(), "BUSY" | "PAUSED") => 503,
            Error::Coded(_) if self.code() == "LIMITREACHED" => 507,
            Error::Plain(_)
            | Error::Syntax
            | Error::NotAnInteger
            | Error::NotAFloat
            | Error::BusyKey
            | Error::NoSuchKey
            | Error::NoSuchNamespace
            | Error::InvalidExpire(_)
            | Error::NoProto
            | Error::ExecAbort(_)
            | Error::Coded(_)
            | Error::WrongType
            | Error::NotHyperLogLog
            | Error::CorruptHyperLogLog => 400,
            Error::NoAuth | Error::NoAuthHello | Error::WrongPass => 401,
            Error::NoPerm(_) => 403,
            Error::Loading | Error::Misconf(_) => 503,
            Error::OutOfMemory | Error::LimitReached { .. } => 507,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Plain(text) | Error::NoPerm(text) | Error::Misconf(text) => text,
            Error::Coded(text) => text.split_once(' ').map_or("", |(_, text)| text),
            Error::Syntax => "syntax error",
            Error::NotAnInteger => "value is not an integer or out of range",
            Error::NotAFloat => "value is not a valid float",
            Error::WrongType => "Operation against a key holding the wrong kind of value",
            Error::NotHyperLogLog => "Key is not a valid HyperLogLog string value.",
            Error::CorruptHyperLogLog => "Corrupted HLL object detected",
            Error::BusyKey => "Target key name already exists.",
            Error::NoSuchKey => "no such key",
            Error::NoSuchNamespace => "no such namespace",
            Error::InvalidExpire(command) => {
                return write!(f, "invalid expire time in '{command}' command");
            }
            Error::NoAuth => "Authentication required.",
            Error::NoAuthHello => {
                "HELLO must be called with the client already authenticated, otherwise the HELLO \
                 <proto> AUTH <user> <pass> option can be used to authenticate the client and \
                 select the RESP protocol version at the same time"
            }
            Error::LimitReached { what, most } => {
                return write!(f, "the namespace has no room for this: {what}_max is {most}");
            }
            Error::WrongPass => "invalid username-password pair or user is disabled.",
            Error::ExecAbort(cause) => {
                return write!(f, "Transaction discarded because of{cause}");
            }
            Error::NoProto => "unsupported protocol version",
            Error::Loading => "Redis is loading the dataset in memory",
            Error::OutOfMemory => "command not allowed when used memory > 'maxmemory'.",
        })
    }
}

impl std::error::Error for Error {}
