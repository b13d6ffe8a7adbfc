//! `Accept`: which form of an answer a client wants, by the rules of RFC 9110: the most exact range that names
//! a form says its quality, 0 excludes it, and the greatest quality counts.
//!
//! Of equal ones the first in the header counts. A client that wants none of what there is gets what everybody
//! gets: an answer in another form is of more use than an error.

use std::cmp::Reverse;

use hyper::header::{self, HeaderMap};

/// How an answer may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    Json,
    JsonLines,
    Csv,
    Text,
}

/// What the header says, as far as it is about what there is here.
#[derive(Debug, Default)]
pub(super) struct Accept(Vec<Range>);

#[derive(Debug)]
struct Range {
    names: Names,
    quality: Quality,
}

/// In thousandths.
type Quality = u16;

const QUALITY_MAX: Quality = 1000;

/// What a range names; the greater, the more exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Names {
    All,
    /// All of `text/` or, if not, of `application/`.
    Kind {
        is_text: bool,
    },
    One(&'static str),
}

/// The form that a content type is another name of.
const OTHER_NAMES: [(&str, &str); 2] = [
    ("application/ndjson", Accepts::JsonLines.content_type()),
    ("application/jsonl", Accepts::JsonLines.content_type()),
];

impl Accepts {
    const ALL: [Accepts; 4] = [Accepts::Json, Accepts::JsonLines, Accepts::Csv, Accepts::Text];

    const fn content_type(self) -> &'static str {
        match self {
            Accepts::Json => "application/json",
            Accepts::JsonLines => "application/x-ndjson",
            Accepts::Csv => "text/csv",
            Accepts::Text => "text/plain",
        }
    }

    fn is_among(self, names: Names) -> bool {
        let content_type = self.content_type();
        match names {
            Names::All => true,
            Names::Kind { is_text } => content_type.starts_with("text/") == is_text,
            Names::One(name) => content_type == name,
        }
    }
}

impl Accept {
    /// What the headers of a request say.
    pub(super) fn of(headers: &HeaderMap) -> Accept {
        if headers.get(header::ACCEPT).is_none_or(|line| line == "*/*") {
            return Accept::default();
        }
        let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        Accept(lines.flat_map(|line| line.split(',')).filter_map(range).collect())
    }

    /// The form that is wanted most, of those that there are; the first of them if nothing is said.
    pub(super) fn choose(&self, offered: &[Accepts]) -> Accepts {
        let wanted = offered.iter().filter_map(|&form| Some((self.wish_for(form)?, form)));
        let best = wanted.rev().max_by_key(|(wish, _)| *wish);
        best.map_or(offered[0], |(_, form)| form)
    }

    /// How much a form is wanted: its quality, and its place in the header.
    fn wish_for(&self, form: Accepts) -> Option<(Quality, Reverse<usize>)> {
        let ranges = self.0.iter().enumerate().filter(|(_, range)| form.is_among(range.names));
        let (at, range) = ranges.rev().max_by_key(|(_, range)| range.names)?;
        (range.quality > 0).then_some((range.quality, Reverse(at)))
    }
}

fn range(text: &str) -> Option<Range> {
    let mut parts = text.split(';').map(str::trim);
    let names = names(&parts.next()?.to_ascii_lowercase())?;
    let quality = parts.find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.eq_ignore_ascii_case("q").then(|| quality(value))
    });
    Some(Range { names, quality: quality.unwrap_or(QUALITY_MAX) })
}

fn names(name: &str) -> Option<Names> {
    let content_types = Accepts::ALL.map(|form| (form.content_type(), form.content_type()));
    let known = content_types.iter().chain(&OTHER_NAMES).find(|(known, _)| *known == name);
    match name {
        "*/*" => Some(Names::All),
        "text/*" => Some(Names::Kind { is_text: true }),
        "application/*" => Some(Names::Kind { is_text: false }),
        _ => known.map(|(_, content_type)| Names::One(content_type)),
    }
}

/// What is no number says nothing.
fn quality(text: &str) -> Quality {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
    number.map_or(QUALITY_MAX, |number| (number * f64::from(QUALITY_MAX)).round() as Quality)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const LISTS: [Accepts; 3] = [Accepts::Json, Accepts::JsonLines, Accepts::Csv];
    const VALUES: [Accepts; 2] = [Accepts::Json, Accepts::Text];

    fn choose(lines: &[&'static str], offered: &[Accepts]) -> Accepts {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT, HeaderValue::from_static(line));
        }
        Accept::of(&headers).choose(offered)
    }

    fn each_chooses(lines: &[(&'static str, Accepts)]) {
        for &(line, form) in lines {
            assert_eq!(choose(&[line], &LISTS), form, "{line}");
        }
    }

    #[test]
    fn the_greatest_quality_counts_then_the_order() {
        each_chooses(&[
            ("text/csv", Accepts::Csv),
            ("text/csv, application/json", Accepts::Csv),
            ("application/json, text/csv", Accepts::Json),
            ("text/csv;q=0.5, application/json", Accepts::Json),
            ("text/csv;q=0.5, application/json;q=0.4", Accepts::Csv),
            ("text/csv ; Q=0.5 , application/x-ndjson ; q=0.501", Accepts::JsonLines),
            ("TEXT/CSV;header=present;q=0.9, application/jsonl;q=0.8", Accepts::Csv),
            ("application/ndjson", Accepts::JsonLines),
        ]);
        assert_eq!(choose(&["application/json;q=0.1", "text/csv;q=0.2"], &LISTS), Accepts::Csv);
    }

    #[test]
    fn zero_excludes() {
        each_chooses(&[
            ("application/json;q=0, text/csv;q=0.001", Accepts::Csv),
            ("application/json;q=0, */*", Accepts::JsonLines),
            ("application/json;q=0.000, application/*, text/csv;q=0", Accepts::JsonLines),
            ("text/*;q=0, */*;q=0.1", Accepts::Json),
        ]);
        assert_eq!(choose(&["application/json;q=0, */*;q=0.1"], &VALUES), Accepts::Text);
    }

    #[test]
    fn the_most_exact_range_says_a_forms_quality() {
        each_chooses(&[
            ("*/*, text/csv;q=0.1", Accepts::Json),
            ("*/*;q=0.1, text/*;q=0.2, text/csv;q=0.05", Accepts::Json),
            ("*/*;q=0.1, text/*;q=0.2", Accepts::Csv),
            ("text/csv, */*", Accepts::Csv),
        ]);
    }

    #[test]
    fn who_wants_what_there_is_not_gets_what_everybody_gets() {
        for line in ["", "*/*", "text/html", "text/csv;q=0", "image/*, text/html;q=0.9", ",;,=;q"] {
            assert_eq!(choose(&[line], &LISTS), Accepts::Json, "{line}");
        }
        assert_eq!(choose(&[], &[Accepts::JsonLines, Accepts::Csv]), Accepts::JsonLines);
        assert_eq!(choose(&["text/csv, text/plain;q=0.1"], &VALUES), Accepts::Text);
        // What is no quality is none.
        for line in ["text/csv;q=2", "text/csv;q=x", "text/csv;q", "text/csv;q=-1, */*;q=0.9"] {
            assert_eq!(choose(&[line], &LISTS), Accepts::Csv, "{line}");
        }
    }
}
