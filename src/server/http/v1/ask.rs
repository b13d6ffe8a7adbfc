//! What is asked for: an operation's parameters, wherever they stand in the request.
//!
//! A parameter may be in the path, in the query, in a header (`X-KV-` and its name, `-` for `_`), or in
//! the body as a member of a JSON object or a field of a form: load scripts can not encode URLs, and a
//! connector may know no headers. The same value may come from several places, different ones may not.
//! Names and values that are no UTF-8 come as base64, under the parameter's name and `_base64`.

use std::borrow::Cow;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap};

use super::super::target;
use super::accept::{Accept, Accepts};
use super::code::{Code, Refusal};
use super::params::{OFF, ON, Param, Shape};
use super::rows::{self, Form, Row, Token};
use super::table::{Input, Operation};
use super::when::{self, Lifetime};
use crate::base64;

/// One request, read.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) operation: &'static Operation,
    /// The values, one for each parameter that is there.
    params: Vec<(&'static str, Vec<u8>)>,
    pub(super) body: Bytes,
    media: Media,
    /// In unix ms.
    pub(super) now_ms: u64,
    is_post: bool,
    accept: Accept,
}

/// A body's content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    None,
    Json,
    JsonLines,
    Csv,
    Form,
    /// `text/plain` or `application/octet-stream`.
    Raw,
}

impl Media {
    /// The content type of a body; none without a body.
    pub(super) fn of(headers: &HeaderMap, has_body: bool) -> Result<Media, Refusal> {
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        if has_body && codings.any(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let text = "Bodies are read as they are: no Content-Encoding but identity";
            return Err(Refusal::new(Code::UnsupportedMediaType, text));
        }
        let Some(declared) = headers.get(header::CONTENT_TYPE) else {
            let text = "A body needs a Content-Type: application/json, application/x-ndjson, text/csv, \
                        application/x-www-form-urlencoded, text/plain or application/octet-stream";
            let refusal = || Refusal::new(Code::UnsupportedMediaType, text);
            return if has_body { Err(refusal()) } else { Ok(Media::None) };
        };
        let declared = declared.to_str().unwrap_or_default().to_ascii_lowercase();
        let (media, parameters) = declared.split_once(';').unwrap_or((&declared, ""));
        let charset = parameters.split(';').find_map(|it| it.trim().strip_prefix("charset="));
        let charset = charset.map_or("utf-8", |charset| charset.trim_matches('"'));
        let media = match media.trim() {
            "application/json" => Some(Media::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                Some(Media::JsonLines)
            }
            "text/csv" => Some(Media::Csv),
            "application/x-www-form-urlencoded" => Some(Media::Form),
            "text/plain" | "application/octet-stream" => Some(Media::Raw),
            "" => Some(Media::None),
            _ => None,
        };
        let is_text = matches!(charset, "utf-8" | "utf8" | "us-ascii") || media == Some(Media::Raw);
        let refusal =
            || Refusal::new(Code::UnsupportedMediaType, "Bodies of this content type are not read");
        match media.filter(|_| is_text) {
            // Of nothing it says nothing.
            None if !has_body => Ok(Media::None),
            media => media.ok_or_else(refusal),
        }
    }
}

/// Where parameters come from, besides the body.
pub(super) struct Sources<'a> {
    /// Captured by the route.
    pub(super) path: Vec<(&'static str, &'a str)>,
    /// As it was sent.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// Before the override.
    pub(super) method: &'a Method,
}

impl Ask {
    /// Reads everything but the body.
    pub(super) fn new(
        operation: &'static Operation,
        from: &Sources<'_>,
        now_ms: u64,
    ) -> Result<Ask, Refusal> {
        let mut ask = Ask {
            operation,
            params: Vec::with_capacity(4),
            body: Bytes::new(),
            media: Media::None,
            now_ms,
            is_post: *from.method == Method::POST,
            accept: Accept::of(from.headers),
        };
        for (name, value) in &from.path {
            ask.add(name, value.as_bytes())?;
        }
        for part in from.query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            ask.add_encoded(name, value)?;
        }
        ask.add_headers(from.headers)?;
        Ok(ask)
    }

    /// Takes a body in.
    pub(super) fn take_body(&mut self, media: Media, body: Bytes) -> Result<(), Refusal> {
        self.media = media;
        self.body = body;
        let body = self.body.clone();
        match (self.operation.input, media) {
            (_, Media::None) => {}
            (Input::Rows | Input::Stream | Input::Commands, Media::Json) => {}
            (Input::Rows | Input::Stream, Media::JsonLines | Media::Csv) => {}
            (Input::Commands, Media::Raw) => self.media = Media::Json,
            (Input::Rows, Media::Raw) => self.media = Media::JsonLines,
            (_, Media::Json) => {
                if !body.trim_ascii().is_empty() {
                    for (name, value, token) in rows::members(&body)? {
                        // Anything may be a value, as it was written; nothing else is made of more.
                        if token == Token::Nested && !matches!(&*name, "value" | "default") {
                            return Err(invalid(&shortened(&name), "must be a text or a number"));
                        }
                        let param = self.operation.param(&name);
                        let is_number = token == Token::Word
                            && param.is_some_and(|param| param.shape.may_be_whole());
                        let value = if is_number { rows::whole(value) } else { value };
                        self.add(&name, &value)?;
                    }
                }
            }
            (_, Media::Form) => {
                let text = std::str::from_utf8(&body);
                let text =
                    text.map_err(|_| Refusal::new(Code::InvalidBody, "The form is not UTF-8"))?;
                for part in text.split('&').filter(|part| !part.is_empty()) {
                    let (name, value) = part.split_once('=').unwrap_or((part, ""));
                    self.add_encoded(name, value.trim_end_matches(['\r', '\n']))?;
                }
            }
            (Input::Value, Media::Raw) => self.add("value", &body)?,
            (_, Media::Raw) if body.is_empty() => {}
            _ => {
                let text = "This operation does not read bodies of this content type";
                return Err(Refusal::new(Code::UnsupportedMediaType, text));
            }
        }
        Ok(())
    }

    /// How rows stand in the body.
    pub(super) fn form(&self) -> Result<Form, Refusal> {
        match self.media {
            Media::Json => Ok(Form::Json),
            Media::JsonLines => Ok(Form::JsonLines),
            Media::Csv => Ok(Form::Csv),
            Media::None | Media::Form | Media::Raw => {
                Err(Refusal::new(Code::UnsupportedMediaType, "Rows come as JSON, NDJSON or CSV"))
            }
        }
    }

    /// The rows in the body, of which one more than `most` is enough.
    pub(super) fn rows(&self, most: usize) -> Result<Vec<Row<'_>>, Refusal> {
        rows::read(self.form()?, &self.body, most)
    }

    /// A parameter, if it is there.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.params.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_slice())
    }

    /// A parameter that must be there.
    pub(super) fn required(&self, name: &'static str) -> Result<&[u8], Refusal> {
        self.bytes(name).ok_or_else(|| {
            Refusal::new(Code::MissingParameter, format!("Required parameter '{name}' is missing"))
        })
    }

    /// A parameter that must not be empty.
    pub(super) fn name(&self, name: &'static str) -> Result<&[u8], Refusal> {
        let bytes = self.required(name)?;
        if bytes.is_empty() { Err(invalid(name, "must not be empty")) } else { Ok(bytes) }
    }

    /// A parameter as text; what is no UTF-8 is refused when it comes in.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.bytes(name).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// A number, from `min` to `max`.
    pub(super) fn number(
        &self,
        name: &'static str,
        min: u64,
        max: u64,
    ) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_number && (min..=max).contains(number));
        let wrong = || invalid(name, &format!("must be a number from {min} to {max}"));
        number.map(Some).ok_or_else(wrong)
    }

    /// A parameter that is on or off.
    pub(super) fn flag(&self, name: &'static str) -> bool {
        self.text(name).is_some_and(|text| ON.contains(&text))
    }

    /// Whether errors come with status 200.
    pub(super) fn is_soft(&self) -> bool {
        self.flag("soft")
    }

    /// Whether an operation without a result answers with a row, instead of 204.
    pub(super) fn wants_row(&self) -> bool {
        self.is_post || self.is_soft() || self.text("ack") == Some("json")
    }

    /// What `ttl` or `expires_at` say.
    pub(super) fn lifetime(&self) -> Result<Option<Lifetime>, Refusal> {
        match (self.text("ttl"), self.text("expires_at")) {
            (None, None) => Ok(None),
            (Some(text), None) => {
                let text = text.trim();
                let wrong = "must be milliseconds, an ISO 8601 duration, none or keep";
                when::ttl(text, self.now_ms).map(Some).ok_or_else(|| invalid("ttl", wrong))
            }
            (None, Some(text)) => {
                let wrong = "must be unix milliseconds or YYYY-MM-DD hh:mm:ss.fff in UTC";
                let at_ms = when::instant_ms(text.trim());
                at_ms
                    .map(|at_ms| Some(Lifetime::Until(at_ms)))
                    .ok_or_else(|| invalid("expires_at", wrong))
            }
            (Some(_), Some(_)) => Err(invalid("expires_at", "excludes ttl")),
        }
    }

    /// How the answer should look, of what there is: the parameter `format`, or else the header.
    pub(super) fn accepts(&self, offered: &[Accepts]) -> Accepts {
        let named = match self.text("format") {
            Some("json") => Accepts::Json,
            Some("ndjson") => Accepts::JsonLines,
            Some("csv") => Accepts::Csv,
            Some("text") => Accepts::Text,
            _ => return self.accept.choose(offered),
        };
        if offered.contains(&named) { named } else { offered[0] }
    }

    /// The value, decoded if it came as base64.
    pub(super) fn value(&self) -> Result<Cow<'_, [u8]>, Refusal> {
        let value = self.required("value")?;
        if !self.is_base64() {
            return Ok(Cow::Borrowed(value));
        }
        base64::decode(value).map(Cow::Owned).ok_or_else(|| invalid("value", "must be base64"))
    }

    /// Whether values come and go as base64.
    pub(super) fn is_base64(&self) -> bool {
        self.text("encoding") == Some("base64")
    }

    fn add_headers(&mut self, headers: &HeaderMap) -> Result<(), Refusal> {
        for (header, value) in headers {
            let header = header.as_str();
            if let Some(name) = header.strip_prefix("x-kv-") {
                let name = if name == "soft-errors" {
                    Cow::Borrowed("soft")
                } else {
                    name.replace('-', "_").into()
                };
                self.add(&name, value.as_bytes())?;
                continue;
            }
            let name = match header {
                "if-match" => "if_match",
                "if-none-match" => "if_none_match",
                "last-event-id" => "since",
                _ => continue,
            };
            // A browser that comes back sends the target it began with.
            if self.operation.param(name).is_some() {
                self.params.retain(|(known, _)| *known != "since" || name != "since");
                self.add(name, value.as_bytes())?;
            }
        }
        Ok(())
    }

    fn add_encoded(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let bad = |_| {
            Refusal::new(Code::BadRequest, "A percent escape in the query or form means no text")
        };
        let (name, value) =
            (target::decode_form(name).map_err(bad)?, target::decode_form(value).map_err(bad)?);
        // Browsers and proxies add this against caches.
        if name == "_" { Ok(()) } else { self.add(&name, value.as_bytes()) }
    }

    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        let plain = name.strip_suffix("_base64").filter(|plain| {
            self.operation.param(plain).is_some_and(|param| param.shape.is_bytes())
        });
        let Some(param) = self.operation.param(plain.unwrap_or(name)) else {
            let (shown, known) = (shortened(name), self.operation.param_names());
            let text = format!("This operation has no parameter '{shown}'; it has {known}");
            return Err(Refusal::new(Code::UnknownParameter, text));
        };
        let value = match plain {
            Some(_) => {
                base64::decode(value).ok_or_else(|| invalid(param.name, "must be base64"))?
            }
            None => value.to_vec(),
        };
        check(param, &value)?;
        match self.params.iter().find(|(known, _)| *known == param.name) {
            None => self.params.push((param.name, value)),
            Some((_, before)) if *before == value => {}
            Some(_) => {
                let text =
                    format!("Parameter '{}' is given twice, with different values", param.name);
                return Err(Refusal::new(Code::RepeatedParameter, text));
            }
        }
        Ok(())
    }
}

/// Refuses what the table says that a value can not be, whether or not the operation would look at it.
fn check(param: &Param, value: &[u8]) -> Result<(), Refusal> {
    if matches!(param.shape, Shape::Name | Shape::Label) && value.is_empty() {
        return Err(invalid(param.name, "must not be empty"));
    }
    if param.shape.is_bytes() {
        return Ok(());
    }
    let text = std::str::from_utf8(value).map_err(|_| invalid(param.name, "must be UTF-8"))?;
    match param.shape {
        Shape::Flag if !OFF.contains(&text) && !ON.contains(&text) => {
            Err(invalid(param.name, "must be 1 or 0"))
        }
        Shape::OneOf(words) if !words.contains(&text) => {
            Err(invalid(param.name, &format!("must be {}", words.join(" or "))))
        }
        Shape::Tag if tag(text).is_none() => {
            Err(invalid(param.name, "must be one strong ETag, or *"))
        }
        _ => Ok(()),
    }
}

/// An ETag without its quotes.
pub(super) fn tag(text: &str) -> Option<&str> {
    let text = text.trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    Some(bare).filter(|bare| !bare.is_empty() && !bare.contains([',', '"', '/']))
}

/// A parameter that has no such value.
pub(super) fn invalid(name: &str, why: &str) -> Refusal {
    Refusal::new(Code::InvalidParameter, format!("Parameter '{name}' {why}"))
}

/// A name that a client made up, for an error.
fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Whether soft errors are wanted, before anything else of the request is known.
pub(in super::super) fn asks_softly(query: &str, headers: &HeaderMap) -> bool {
    let is_on = |value: &str| ON.contains(&value);
    let by_query = query.split('&').any(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        name == "soft" && is_on(value)
    });
    let mut values = ["x-kv-soft", "x-kv-soft-errors"].iter().filter_map(|name| headers.get(*name));
    by_query || values.any(|value| value.to_str().is_ok_and(is_on))
}
