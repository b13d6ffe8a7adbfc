//! The request target: path segments and query parameters, decoded once and only once.
//!
//! A `/` that was sent as `%2F` is part of a name and never separates segments. `+` is a blank in the
//! query and a plus in the path. Nothing is normalised: `.`, `..` and `//` mean what they say.

use std::borrow::Cow;

/// Room for the segments of most paths.
const USUAL_SEGMENTS: usize = 8;

/// An escape that is not `%` and two hexadecimal digits, or bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadEscape;

/// The segments of `path`, which begins with `/`.
pub(super) fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, BadEscape> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut segments = Vec::with_capacity(USUAL_SEGMENTS);
    let mut rest = Some(path);
    while let Some(text) = rest {
        let (segment, more) = split_at(text, b'/');
        segments.push(decode(segment)?);
        rest = more;
    }
    Ok(segments)
}

/// What a query says about one parameter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parameter<'a> {
    Missing,
    Once(Cow<'a, str>),
    Repeated,
}

/// Looks `name` up in `query`. Escapes of other parameters are not looked at.
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Result<Parameter<'a>, BadEscape> {
    let mut found = Parameter::Missing;
    let mut rest = Some(query);
    while let Some(text) = rest {
        let (part, more) = split_at(text, b'&');
        rest = more;
        let (key, value) = split_at(part, b'=');
        let value = value.unwrap_or_default();
        if key != name && decode_form(key).as_deref() != Ok(name) {
            continue;
        }
        found = match found {
            Parameter::Missing => Parameter::Once(decode_form(value)?),
            _ => return Ok(Parameter::Repeated),
        };
    }
    Ok(found)
}

/// A name or value in a query or form: `+` is a blank.
pub(super) fn decode_form(text: &str) -> Result<Cow<'_, str>, BadEscape> {
    if has_any(text, b'+') {
        return Ok(Cow::Owned(decode(&text.replace('+', " "))?.into_owned()));
    }
    decode(text)
}

fn decode(text: &str) -> Result<Cow<'_, str>, BadEscape> {
    if !has_any(text, b'%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let [high, low, tail @ ..] = tail else { return Err(BadEscape) };
        bytes.push(hex(*high)? << 4 | hex(*low)?);
        rest = tail;
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| BadEscape)
}

/// What stands before the first `mark`, and what behind it, if there is one. `mark` is ASCII. Texts in
/// targets are short: looking at each byte takes less than what looks at many at once takes to begin.
fn split_at(text: &str, mark: u8) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == mark) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// Looks at all bytes, without a branch for each.
fn has_any(text: &str, mark: u8) -> bool {
    text.bytes().fold(false, |any, byte| any | (byte == mark))
}

fn hex(digit: u8) -> Result<u8, BadEscape> {
    (digit as char).to_digit(16).map(|digit| digit as u8).ok_or(BadEscape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_keep_what_was_escaped() {
        assert_eq!(segments("/v4/a%2Fb/100%25/a+b/").unwrap(), ["v4", "a/b", "100%", "a+b", ""]);
        assert_eq!(segments("/a%252Fb").unwrap(), ["a%2Fb"]);
        assert_eq!(segments("//../%2e%2e").unwrap(), ["", "..", ".."]);
        assert_eq!(segments("/%C3%A5%00").unwrap(), ["å\0"]);
    }

    #[test]
    fn bad_escapes_are_refused() {
        for path in ["/%", "/%2", "/%zz", "/%+1", "/%FF", "/%C0%AF", "/%ED%A0%80", "/a/%E4%B8/b"] {
            assert_eq!(segments(path), Err(BadEscape), "{path}");
        }
    }

    #[test]
    fn a_parameter_is_found_once() {
        let once = |text| Ok(Parameter::Once(Cow::Borrowed(text)));
        assert_eq!(parameter("a=1&key=k&b=2", "key"), once("k"));
        assert_eq!(parameter("k%65y=a+b%2Bc", "key"), once("a b+c"));
        assert_eq!(parameter("key=a=b", "key"), once("a=b"));
        assert_eq!(parameter("key", "key"), once(""));
        assert_eq!(parameter("x=%zz&key=k", "key"), once("k"));
        assert_eq!(parameter("Key=k&key[]=k&+key=k", "key"), Ok(Parameter::Missing));
        assert_eq!(parameter("key=a&key=b", "key"), Ok(Parameter::Repeated));
        assert_eq!(parameter("key=%zz", "key"), Err(BadEscape));
    }

    proptest::proptest! {
        #[test]
        fn escapes_are_decoded_once(name in ".*") {
            let escaped: String = name.bytes().map(|b| format!("%{b:02x}")).collect();
            let path = format!("/a/{escaped}");
            let wanted = vec![Cow::Borrowed("a"), Cow::Borrowed(&*name)];
            proptest::prop_assert_eq!(segments(&path), Ok(wanted));
            let query = format!("x=1&key={escaped}&y");
            proptest::prop_assert_eq!(parameter(&query, "key"), Ok(Parameter::Once(name.as_str().into())));
        }
    }
}
