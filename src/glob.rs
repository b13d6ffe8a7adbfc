//! Redis's glob-style patterns over byte strings: KEYS, SCAN's MATCH, PSUBSCRIBE, CONFIG GET, ACL. Not the patterns of a
//! file system: nothing is special about a slash or a dot.
//!
//! Every token but `*` matches exactly one byte, so the pieces between the stars have fixed lengths: the first is
//! anchored at the start, the last at the end, and taking the leftmost place for each one between them never loses a
//! match. There is no recursion and no backtracking over stars.

use memchr::memmem;

/// How many `*` may stand before something else that has to match, as in Redis; with more nothing matches.
const STARS_MAX: usize = 1000;

/// What searching for the pieces between stars may cost in pattern bytes looked at: this much, and
/// [`WORK_PER_TEXT_BYTE`] for each byte of the text. Pieces without `?`, classes and escapes cost nothing unless `nocase`.
const WORK_BASE: usize = 1 << 21;
const WORK_PER_TEXT_BYTE: usize = 32;

/// Whether the whole text matches the pattern: `*`, `?`, `[abc]`, `[^a]`, `[a-z]`, and `\` to escape.
///
/// As in Redis: the end of the pattern closes a class, a range may be reversed, a `]` can be the end of a range, ranges
/// compare signed bytes, a `\` at the end stands for itself, `nocase` folds ASCII only and nothing that a `\` escapes in
/// a class, and no pattern but the empty one matches the empty text (commands that take `*` for "all" test that first).
///
/// The time is linear, except for pieces between two stars with `?`, classes or escapes (with `nocase` all pieces), which
/// cost up to their length for each byte of the text. That search is given up, as no match, after two million steps and
/// 32 more for each byte of the text; a text and a piece of a thousand bytes each cannot get there.
pub fn glob_match(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (head, mut rest) = Piece::split(pattern);
    if rest.is_empty() {
        return head.matches(text, nocase);
    }
    let Some((start, mut text)) = text.split_at_checked(head.tokens) else { return false };
    if !head.matches(start, nocase) {
        return false;
    }
    let mut work = WORK_PER_TEXT_BYTE.saturating_mul(text.len()).saturating_add(WORK_BASE);
    for stars in 1.. {
        while let [b'*', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return true;
        }
        let (piece, after) = Piece::split(rest);
        if stars > STARS_MAX || piece.tokens > text.len() {
            return false;
        }
        if after.is_empty() {
            return piece.matches(&text[text.len() - piece.tokens..], nocase);
        }
        let Some(at) = piece.find(text, nocase, &mut work) else { return false };
        text = &text[at + piece.tokens..];
        rest = after;
    }
    false
}

/// The only text that the pattern matches, when it has nothing special in it.
pub fn is_literal(pattern: &[u8]) -> Option<&[u8]> {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    (!pattern.iter().any(special)).then_some(pattern)
}

/// A part of a pattern without stars.
struct Piece<'a> {
    pattern: &'a [u8],
    /// How many bytes of text it matches.
    tokens: usize,
}

impl<'a> Piece<'a> {
    /// The piece that the pattern begins with, and the rest, which begins with a star or is empty.
    fn split(pattern: &'a [u8]) -> (Self, &'a [u8]) {
        let (mut tokens, mut end) = (0, 0);
        while end < pattern.len() && pattern[end] != b'*' {
            end += match_token(&pattern[end..], 0, false).1;
            tokens += 1;
        }
        (Piece { pattern: &pattern[..end], tokens }, &pattern[end..])
    }

    /// Whether it matches all of the text.
    fn matches(&self, text: &[u8], nocase: bool) -> bool {
        self.tokens == text.len() && self.matches_start(text, nocase).0
    }

    /// Where it matches first. `None` too when the work is used up.
    fn find(&self, text: &[u8], nocase: bool, work: &mut usize) -> Option<usize> {
        if let (Some(needle), false) = (is_literal(self.pattern), nocase) {
            return memmem::find(text, needle);
        }
        for at in 0..=text.len().checked_sub(self.tokens)? {
            let (matched, cost) = self.matches_start(&text[at..], nocase);
            if matched {
                return Some(at);
            }
            *work = work.checked_sub(cost)?;
        }
        None
    }

    /// Whether it matches what the text begins with, which must be long enough, and how much of it was looked at.
    fn matches_start(&self, text: &[u8], nocase: bool) -> (bool, usize) {
        let mut at = 0;
        for &byte in &text[..self.tokens] {
            let (matched, len) = match_token(&self.pattern[at..], byte, nocase);
            at += len;
            if !matched {
                return (false, at);
            }
        }
        (true, at)
    }
}

/// Whether the byte matches the token that the pattern begins with, and the token's length. The pattern must not be empty.
fn match_token(pattern: &[u8], byte: u8, nocase: bool) -> (bool, usize) {
    match pattern {
        [b'?', ..] => (true, 1),
        [b'[', ..] => match_class(pattern, byte, nocase),
        [b'\\', escaped, ..] => (fold(*escaped, nocase) == fold(byte, nocase), 2),
        [literal, ..] => (fold(*literal, nocase) == fold(byte, nocase), 1),
        [] => (false, 0),
    }
}

/// As [`match_token`], for a pattern that begins with `[`.
fn match_class(pattern: &[u8], byte: u8, nocase: bool) -> (bool, usize) {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = 1 + usize::from(negated);
    let mut found = false;
    loop {
        match pattern[at..] {
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [b']', ..] => return (found != negated, at + 1),
            [first, b'-', last, ..] => {
                found |= in_range(first, last, byte, nocase);
                at += 3;
            }
            [literal, ..] => {
                found |= fold(literal, nocase) == fold(byte, nocase);
                at += 1;
            }
            [] => return (found != negated, at),
        }
    }
}

/// A range is put in order before it is folded, so with `nocase` one like `Z-a` is empty.
fn in_range(first: u8, last: u8, byte: u8, nocase: bool) -> bool {
    let (first, last) = if first as i8 > last as i8 { (last, first) } else { (first, last) };
    let [first, last, byte] = [first, last, byte].map(|byte| fold(byte, nocase) as i8);
    (first..=last).contains(&byte)
}

fn fold(byte: u8, nocase: bool) -> u8 {
    if nocase { byte.to_ascii_lowercase() } else { byte }
}
