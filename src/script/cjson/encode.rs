//! Lua values to JSON.

use mlua::{Table, Value};

use super::{DEPTH_MAX, Invalid, Options};
use crate::script::api::not_enough_memory;
use crate::script::args::{Arguments, type_name};

/// The JSON of the first argument, if it is not longer than `bytes_max` by more than one value.
pub fn encode(args: &Arguments<'_>, options: Options, bytes_max: usize) -> mlua::Result<Vec<u8>> {
    let mut encoder = Encoder { args, options, bytes_max, out: Vec::new() };
    encoder.value(args.get(1), 0)?;
    Ok(encoder.out)
}

struct Encoder<'a> {
    args: &'a Arguments<'a>,
    options: Options,
    /// A table may stand in others many times, so what is written has a limit of its own.
    bytes_max: usize,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        if self.out.len() > self.bytes_max {
            return Err(not_enough_memory());
        }
        match value {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(number) => return self.number(*number as f64),
            Value::Number(number) => return self.number(*number),
            Value::Boolean(yes) => self.out.extend(if *yes { &b"true"[..] } else { b"false" }),
            Value::Nil => self.out.extend(b"null"),
            value if *value == Value::NULL => self.out.extend(b"null"),
            Value::Table(table) => return self.table(table, depth + 1),
            other => return Err(self.cannot(other, "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        if depth > self.options.encode_depth_max.min(DEPTH_MAX) {
            let text = format!("Cannot serialise, excessive nesting ({depth})");
            return Err(self.args.wrong(&text));
        }
        match self.array_len(table)? {
            Some(len) => self.array(table, len, depth),
            None => self.object(table, depth),
        }
    }

    /// The largest index, if all keys are positive integers and there are some.
    fn array_len(&self, table: &Table) -> mlua::Result<Option<usize>> {
        let (mut largest, mut items) = (0, 0usize);
        for pair in table.pairs::<Value, Value>() {
            let number = match pair?.0 {
                Value::Integer(number) => number as f64,
                Value::Number(number) => number,
                _ => return Ok(None),
            };
            if number < 1.0 || number != number.floor() {
                return Ok(None);
            }
            largest = largest.max(number as usize);
            items += 1;
        }
        let Options { sparse_ratio, sparse_safe, sparse_convert, .. } = self.options;
        let is_sparse = sparse_ratio > 0
            && largest > items.saturating_mul(sparse_ratio)
            && largest > sparse_safe;
        match (is_sparse, sparse_convert) {
            (true, true) => Ok(None),
            (true, false) => {
                let table = Value::Table(table.clone());
                Err(self.cannot(&table, "excessively sparse array"))
            }
            (false, _) => Ok(Some(largest).filter(|&len| len > 0)),
        }
    }

    fn array(&mut self, table: &Table, len: usize, depth: usize) -> mlua::Result<()> {
        self.out.push(b'[');
        for at in 1..=len {
            if at > 1 {
                self.out.push(b',');
            }
            self.value(&table.raw_get(at)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        self.out.push(b'{');
        for (at, pair) in table.pairs::<Value, Value>().enumerate() {
            let (key, value) = pair?;
            if at > 0 {
                self.out.push(b',');
            }
            match &key {
                Value::String(text) => self.string(&text.as_bytes()),
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.value(&key, depth)?;
                    self.out.push(b'"');
                }
                other => return Err(self.cannot(other, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn number(&mut self, number: f64) -> mlua::Result<()> {
        match (number.is_finite(), self.options.encode_invalid) {
            (false, Invalid::Refuse) => {
                Err(self.cannot(&Value::Number(number), "must not be NaN or Inf"))
            }
            (false, Invalid::Null) => {
                self.out.extend(b"null");
                Ok(())
            }
            _ => {
                self.out.extend(format_g(number, self.options.precision).bytes());
                Ok(())
            }
        }
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for &byte in text {
            let short = match byte {
                b'"' | b'\\' | b'/' => byte,
                8 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                12 => b'f',
                b'\r' => b'r',
                0..=31 | 127 => {
                    self.out.extend(format!("\\u{byte:04x}").bytes());
                    continue;
                }
                _ => {
                    self.out.push(byte);
                    continue;
                }
            };
            self.out.extend([b'\\', short]);
        }
        self.out.push(b'"');
    }

    fn cannot(&self, value: &Value, why: &str) -> mlua::Error {
        self.args.wrong(&format!("Cannot serialise {}: {why}", type_name(value)))
    }
}

/// A number as C's `%.*g` prints it.
fn format_g(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        return match (number.is_nan(), number > 0.0) {
            (true, _) => "nan".to_owned(),
            (false, true) => "inf".to_owned(),
            (false, false) => "-inf".to_owned(),
        };
    }
    let rounded = format!("{number:.*e}", precision - 1);
    let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let without_zeros = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(digits), exponent.abs());
    }
    without_zeros(&format!("{number:.*}", (precision as i32 - 1 - exponent).max(0) as usize))
}

#[cfg(test)]
mod tests {
    use super::format_g;

    #[test]
    fn numbers_look_as_c_prints_them() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e14, "1e+14"),
            (1e13, "10000000000000"),
            (123456789.0123456, "123456789.01235"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1e100, "1e+100"),
            (-2.5, "-2.5"),
            (99999999999999.9, "1e+14"),
        ] {
            assert_eq!(format_g(number, 14), text);
        }
        assert_eq!(format_g(1234.5678, 3), "1.23e+03");
    }
}
