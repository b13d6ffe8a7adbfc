//! JSON to Lua values.

use mlua::{Lua, Value};

use super::{DEPTH_MAX, Invalid, Options};
use crate::script::args::Arguments;
use crate::script::host::Unlimited;

/// The value of the JSON in the first argument.
pub fn decode(lua: &Lua, args: &Arguments<'_>, options: Options) -> mlua::Result<Value> {
    let text = args.bytes(1)?;
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(args.wrong("JSON parser does not support UTF-16 or UTF-32"));
    }
    let _unlimited = Unlimited::for_input(lua, text.len());
    let mut parser = Parser { lua, args, options, text: &text, at: 0, depth: 0 };
    let token = parser.token();
    let value = parser.value(token)?;
    match parser.token() {
        (Token::End, _) => Ok(value),
        other => Err(parser.expected("the end", &other)),
    }
}

enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Wrong(&'static str),
}

/// A token, and where it begins.
type Found = (Token, usize);

struct Parser<'p> {
    lua: &'p Lua,
    args: &'p Arguments<'p>,
    options: Options,
    text: &'p [u8],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn value(&mut self, found: Found) -> mlua::Result<Value> {
        match found.0 {
            Token::String(text) => self.lua.create_string(text).map(Value::String),
            Token::Number(number) => Ok(Value::Number(number)),
            Token::Boolean(yes) => Ok(Value::Boolean(yes)),
            Token::Null => Ok(Value::NULL),
            Token::ObjectBegin => self.nested(Parser::object),
            Token::ArrayBegin => self.nested(Parser::array),
            _ => Err(self.expected("value", &found)),
        }
    }

    fn nested(&mut self, parse: fn(&mut Self) -> mlua::Result<Value>) -> mlua::Result<Value> {
        self.depth += 1;
        if self.depth > self.options.decode_depth_max.min(DEPTH_MAX) {
            return Err(self.args.wrong(&format!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.at
            )));
        }
        let value = parse(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        let mut found = self.token();
        if matches!(found.0, Token::ObjectEnd) {
            return Ok(Value::Table(table));
        }
        loop {
            let key = match found {
                (Token::String(key), _) => self.lua.create_string(key)?,
                other => return Err(self.expected("object key string", &other)),
            };
            match self.token() {
                (Token::Colon, _) => {}
                other => return Err(self.expected("colon", &other)),
            }
            found = self.token();
            table.raw_set(key, self.value(found)?)?;
            match self.token() {
                (Token::ObjectEnd, _) => return Ok(Value::Table(table)),
                (Token::Comma, _) => found = self.token(),
                other => return Err(self.expected("comma or object end", &other)),
            }
        }
    }

    fn array(&mut self) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        let mut found = self.token();
        if matches!(found.0, Token::ArrayEnd) {
            return Ok(Value::Table(table));
        }
        for at in 1.. {
            table.raw_set(at, self.value(found)?)?;
            match self.token() {
                (Token::ArrayEnd, _) => break,
                (Token::Comma, _) => found = self.token(),
                other => return Err(self.expected("comma or array end", &other)),
            }
        }
        Ok(Value::Table(table))
    }

    fn expected(&self, what: &str, found: &Found) -> mlua::Error {
        let name = match found.0 {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Wrong(why) => why,
        };
        self.args.wrong(&format!("Expected {what} but found {name} at character {}", found.1 + 1))
    }

    fn token(&mut self) -> Found {
        let blanks = self.rest().iter().take_while(|byte| b" \t\n\r".contains(byte)).count();
        self.at += blanks;
        let begin = self.at;
        let rest = self.rest();
        let single = |token| (token, 1);
        let (token, len) = match rest.first() {
            // What is behind a zero is not looked at, as in C.
            None | Some(0) => (Token::End, 0),
            Some(b'{') => single(Token::ObjectBegin),
            Some(b'}') => single(Token::ObjectEnd),
            Some(b'[') => single(Token::ArrayBegin),
            Some(b']') => single(Token::ArrayEnd),
            Some(b':') => single(Token::Colon),
            Some(b',') => single(Token::Comma),
            Some(b'"') => string(rest),
            Some(b'-' | b'0'..=b'9') => self.number(rest),
            Some(b't') if rest.starts_with(b"true") => (Token::Boolean(true), 4),
            Some(b'f') if rest.starts_with(b"false") => (Token::Boolean(false), 5),
            Some(b'n') if rest.starts_with(b"null") => (Token::Null, 4),
            Some(b'+' | b'i' | b'I' | b'n' | b'N')
                if self.options.decode_invalid == Invalid::Allow && is_invalid(rest) =>
            {
                self.number(rest)
            }
            Some(_) => (Token::Wrong("invalid token"), 0),
        };
        self.at += len;
        // An error inside a string is where it stands.
        let begin = if let Token::Wrong(why) = token {
            if why == "invalid token" || why == "invalid number" { begin } else { self.at }
        } else {
            begin
        };
        (token, begin)
    }

    fn number(&self, rest: &[u8]) -> (Token, usize) {
        if self.options.decode_invalid != Invalid::Allow && is_invalid(rest) {
            return (Token::Wrong("invalid number"), 0);
        }
        match prefix_number(rest) {
            Some((number, len)) => (Token::Number(number), len),
            None => (Token::Wrong("invalid number"), 0),
        }
    }

    fn rest(&self) -> &[u8] {
        &self.text[self.at..]
    }
}

/// Whether a number is one that C reads and JSON does not have.
fn is_invalid(text: &[u8]) -> bool {
    if text.starts_with(b"+") {
        return true;
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0', next, ..] => next.eq_ignore_ascii_case(&b'x') || next.is_ascii_digit(),
        [b'0'..=b'9', ..] | [] => false,
        _ => {
            let word = digits.get(..3).unwrap_or_default();
            word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
        }
    }
}

/// The longest number that a text begins with, and its length.
fn prefix_number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let is_negative = text.first() == Some(&b'-');
    let signed = |number: f64| if is_negative { -number } else { number };
    let body = &text[sign..];
    for (word, number) in [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if body.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes())) {
            return Some((signed(number), sign + word.len()));
        }
    }
    if body.len() > 2 && body[..2].eq_ignore_ascii_case(b"0x") && body[2].is_ascii_hexdigit() {
        let digits = body[2..].iter().take_while(|byte| byte.is_ascii_hexdigit());
        let mut len = sign + 2;
        let number = digits.fold(0.0, |number, &digit| {
            len += 1;
            number * 16.0 + f64::from(char::from(digit).to_digit(16).unwrap_or(0))
        });
        return Some((signed(number), len));
    }
    let count = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut len = sign + count(sign);
    let mut digits = len - sign;
    if text.get(len) == Some(&b'.') {
        let fraction = count(len + 1);
        digits += fraction;
        len += 1 + fraction;
    }
    if digits == 0 {
        return None;
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'+' | b'-')));
        if text.len() > len + 1 + sign {
            let exponent = count(len + 1 + sign);
            len += if exponent > 0 { 1 + sign + exponent } else { 0 };
        }
    }
    let number = std::str::from_utf8(&text[..len]).ok()?.parse().ok()?;
    Some((number, len))
}

/// A string that begins with its quote, and its length; or what is wrong, and where.
fn string(text: &[u8]) -> (Token, usize) {
    let mut out = Vec::new();
    let mut at = 1;
    loop {
        match text.get(at) {
            None | Some(0) => return (Token::Wrong("unexpected end of string"), at),
            Some(b'"') => return (Token::String(out), at + 1),
            Some(b'\\') => match escape(&text[at + 1..], &mut out) {
                Ok(len) => at += 1 + len,
                Err(why) => return (Token::Wrong(why), at),
            },
            Some(&byte) => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// What stands behind a backslash; returns its length.
fn escape(text: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
    let byte = match text.first() {
        Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
        Some(b'b') => 8,
        Some(b't') => b'\t',
        Some(b'n') => b'\n',
        Some(b'f') => 12,
        Some(b'r') => b'\r',
        Some(b'u') => {
            let (code, len) = unicode(text).ok_or("invalid unicode escape code")?;
            let mut bytes = [0; 4];
            out.extend_from_slice(code.encode_utf8(&mut bytes).as_bytes());
            return Ok(len);
        }
        _ => return Err("invalid escape code"),
    };
    out.push(byte);
    Ok(1)
}

fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |from: usize| {
        let digits = std::str::from_utf8(text.get(from..from + 4)?).ok()?;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(1)?;
    if first & 0xf800 != 0xd800 {
        return Some((char::from_u32(first)?, 5));
    }
    let is_pair = first & 0x400 == 0 && text.get(5..7)? == b"\\u";
    let second = is_pair.then(|| unit(7)).flatten()?;
    let is_low = second & 0xfc00 == 0xdc00;
    let code = ((first & 0x3ff) << 10 | (second & 0x3ff)) + 0x1_0000;
    Some((is_low.then(|| char::from_u32(code)).flatten()?, 11))
}
