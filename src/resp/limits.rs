//! What a request may cost, and what is said of bytes that are no request. The limits are enforced in `request`.

use std::fmt;

/// Redis calls an array length beyond this invalid, whoever sends it.
const ARRAY_LEN_MAX: i64 = i32::MAX as i64;

/// Limits that one request must keep. A request may need no more than these, and reaches them only by sending bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest argument, in bytes (`proto-max-bulk-len`).
    pub bulk_len_max_bytes: usize,
    /// The most arguments, the command's name included.
    pub args_max: usize,
    /// The longest inline command, in bytes, without its line end.
    pub inline_max_bytes: usize,
    /// The longest request as sent, in bytes, headers and line ends included. At most 4 GiB - 1, whatever stands here.
    pub request_max_bytes: usize,
    /// False: lengths over these limits are reported as due to missing authentication.
    pub authenticated: bool,
}

impl Limits {
    /// Redis's limits for a client that must authenticate first and has not.
    pub const UNAUTHENTICATED: Limits = Limits {
        bulk_len_max_bytes: 16 * 1024,
        args_max: 10,
        inline_max_bytes: 64 * 1024,
        request_max_bytes: 1024 * 1024,
        authenticated: false,
    };

    /// Redis's defaults, but 1,048,576 arguments.
    pub const AUTHENTICATED: Limits = Limits {
        bulk_len_max_bytes: 512 * 1024 * 1024,
        args_max: 1_048_576,
        inline_max_bytes: 64 * 1024,
        request_max_bytes: 1024 * 1024 * 1024,
        authenticated: true,
    };

    #[cold]
    pub(super) fn multibulk_error(&self, count: i64) -> ProtocolError {
        if self.authenticated || count > ARRAY_LEN_MAX {
            ProtocolError::InvalidMultibulkLength
        } else {
            ProtocolError::UnauthenticatedMultibulkLength
        }
    }

    #[cold]
    pub(super) fn bulk_error(&self, len: usize) -> ProtocolError {
        if self.authenticated || len > Limits::AUTHENTICATED.bulk_len_max_bytes {
            ProtocolError::InvalidBulkLength
        } else {
            ProtocolError::UnauthenticatedBulkLength
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::AUTHENTICATED
    }
}

/// Bytes that are no request. The connection cannot go on, since where the next request begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number after `*` is no number, or beyond `args_max`.
    InvalidMultibulkLength,
    /// The number after `$` is no number, negative, or beyond `bulk_len_max_bytes`.
    InvalidBulkLength,
    /// More than 64 KiB after `*` without CR.
    TooBigMbulkCount,
    /// More than 64 KiB after `$` without CR.
    TooBigBulkCount,
    /// An argument began with this byte.
    ExpectedBulk(u8),
    /// The bytes of an argument are not followed by CRLF.
    ExpectedBulkEnd,
    /// A line of more than `inline_max_bytes`.
    TooBigInline,
    /// An inline command with an open quote, or without a blank after a closing one.
    UnbalancedQuotes,
    /// More arguments than a client may send before it authenticates.
    UnauthenticatedMultibulkLength,
    /// A longer argument than a client may send before it authenticates.
    UnauthenticatedBulkLength,
    /// The request's bytes would pass `request_max_bytes`.
    TooBigRequest,
    /// A RESP3 aggregate of this type where a request must begin.
    ExpectedArray(u8),
    /// An HTTP request, perhaps one that a browser was tricked into.
    Http,
    /// A TLS handshake on a port without TLS.
    Tls,
}

impl ProtocolError {
    /// What to tell the client before the connection is closed, without `-ERR ` and CRLF; `None`: close it silently.
    /// The text holds printable ASCII only.
    pub fn reply(&self) -> Option<String> {
        match self {
            // As Redis does; who sends so much is not reading yet.
            ProtocolError::TooBigRequest => None,
            ProtocolError::Http | ProtocolError::Tls => None,
            _ => Some(self.to_string()),
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match *self {
            ProtocolError::InvalidMultibulkLength => "invalid multibulk length",
            ProtocolError::InvalidBulkLength => "invalid bulk length",
            ProtocolError::TooBigMbulkCount => "too big mbulk count string",
            ProtocolError::TooBigBulkCount => "too big bulk count string",
            ProtocolError::ExpectedBulk(got) => {
                return write!(f, "expected '$', got '{}'", Printable(got));
            }
            ProtocolError::ExpectedBulkEnd => "expected CRLF after bulk",
            ProtocolError::TooBigInline => "too big inline request",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            ProtocolError::UnauthenticatedBulkLength => "unauthenticated bulk length",
            ProtocolError::TooBigRequest => "too big request",
            ProtocolError::ExpectedArray(got) => {
                return write!(f, "expected '*', got '{}'", Printable(got));
            }
            ProtocolError::Http => "HTTP request on the Redis port",
            ProtocolError::Tls => "TLS handshake on a port without TLS",
        })
    }
}

impl std::error::Error for ProtocolError {}

/// A byte from the client inside an error line: CR and LF become a blank as in Redis, other unprintable bytes `\xHH`.
struct Printable(u8);

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\r' | b'\n' => f.write_str(" "),
            byte @ b' '..=b'~' => write!(f, "{}", byte as char),
            byte => write!(f, "\\x{byte:02x}"),
        }
    }
}
