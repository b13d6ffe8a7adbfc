//! Numbers as Redis reads them from byte strings and writes them back: integers, doubles, and the 80-bit arithmetic of
//! INCRBYFLOAT and HINCRBYFLOAT. Pure functions over bytes; they know no command, no key and no reply. Formatting an
//! integer is `itoa`'s work and is not here.

mod bigint;
mod double;
mod integer;
mod literal;
mod long_double;
mod rounding;

pub use double::{format_double, parse_f64};
pub use integer::{parse_i64, parse_u64};
pub use long_double::{FloatError, LONG_DOUBLE_TEXT_LEN_MAX_BYTES, LongDouble, incr_by_float};
