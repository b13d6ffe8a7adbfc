//! What values the directives have that are only kept: each is checked as Redis does and kept as the
//! text that CONFIG GET shows. Values that are used have formats with types of their own
//! ([`super::format`]).

use super::format::{self, Format as _, Reason, only, split};

/// The set of values a kept directive may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `yes` or `no`.
    YesNo,
    /// A whole number between two.
    Integer(i64, i64),
    /// So many whole numbers.
    Integers {
        /// How many.
        count: usize,
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A number of bytes between two.
    Memory(i64, i64),
    /// Anything.
    Text,
    /// Any words.
    Words,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Several of these, or the first alone.
    Flags(&'static [&'static str]),
    /// Pairs of seconds and changes; one empty text for none. In a file each line adds to them.
    Schedule,
}

impl Shape {
    /// What the value is, in one word.
    pub const fn hint(self) -> &'static str {
        match self {
            Shape::YesNo => "yes|no",
            Shape::Integer(..) => "NUMBER",
            Shape::Integers { .. } => "NUMBERS",
            Shape::Memory(..) => "BYTES",
            Shape::Text => "TEXT",
            Shape::Words | Shape::OneOf(_) => "WORD",
            Shape::Flags(_) => "WORDS",
            Shape::Schedule => "SCHEDULE",
        }
    }

    /// The value as it is shown.
    ///
    /// # Errors
    /// Redis's text.
    pub fn normal(self, words: &[&str]) -> Result<String, Reason> {
        match self {
            Shape::YesNo => format::YesNo.read(words).map(|value| format::YesNo.show(&value)),
            Shape::Integer(min, max) => integer(only(words)?, min, max),
            Shape::Integers { count, min, max } => integers(words, count, min, max),
            Shape::Memory(min, max) => {
                let memory = format::Memory { min, max };
                memory.read(words).map(|value: i64| value.to_string())
            }
            Shape::Text => only(words).map(str::to_owned),
            Shape::Words => Ok(split(words).collect::<Vec<_>>().join(" ")),
            Shape::OneOf(known) => find(only(words)?, known).map(str::to_owned),
            Shape::Flags(known) => flags(words, known),
            Shape::Schedule => schedule(words),
        }
    }
}

fn integer(word: &str, min: i64, max: i64) -> Result<String, Reason> {
    format::Integer { min, max }.read(&[word]).map(|value: i64| value.to_string())
}

fn integers(words: &[&str], count: usize, min: i64, max: i64) -> Result<String, Reason> {
    let values: Vec<String> =
        split(words).map(|word| integer(word, min, max)).collect::<Result<_, _>>()?;
    if values.len() == count {
        Ok(values.join(" "))
    } else {
        Err("wrong number of arguments".into())
    }
}

fn find(wanted: &str, known: &[&'static str]) -> Result<&'static str, Reason> {
    let found = known.iter().find(|word| word.eq_ignore_ascii_case(wanted));
    found.copied().ok_or_else(|| {
        format!("argument(s) must be one of the following: {}", known.join(", ")).into()
    })
}

/// In the order in which they are known.
fn flags(words: &[&str], known: &[&'static str]) -> Result<String, Reason> {
    let given: Vec<&str> = split(words).map(|word| find(word, known)).collect::<Result<_, _>>()?;
    if given.is_empty() {
        find("", known)?;
    }
    let set = known.iter().skip(1).filter(|word| given.contains(*word));
    let set: Vec<&str> = set.copied().collect();
    match (set.contains(&"save"), set.contains(&"nosave")) {
        (true, true) => Err("shutdown flags SAVE and NOSAVE can't be used together".into()),
        _ if set.is_empty() => Ok(known[0].to_owned()),
        _ => Ok(set.join(" ")),
    }
}

fn schedule(words: &[&str]) -> Result<String, Reason> {
    let numbers: Vec<&str> = split(words).collect();
    let is_number = |word: &&str, min| word.parse::<u32>().is_ok_and(|number| number >= min);
    let is_pair =
        |pair: &[&str]| pair.len() == 2 && is_number(&pair[0], 1) && is_number(&pair[1], 0);
    if !numbers.chunks(2).all(is_pair) {
        return Err("Invalid save parameters".into());
    }
    Ok(numbers.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_one_way() {
        let normal = |shape: Shape, words: &[&str]| shape.normal(words).unwrap();
        assert_eq!(normal(Shape::YesNo, &["YES"]), "yes");
        assert_eq!(normal(Shape::Memory(0, i64::MAX), &["1kb"]), "1024");
        assert_eq!(normal(Shape::Integer(-1, 9), &["-1"]), "-1");
        assert_eq!(normal(Shape::Words, &["a  b", "c"]), "a b c");
        assert_eq!(normal(Shape::Schedule, &["900 1", "300", "10"]), "900 1 300 10");
        assert_eq!(normal(Shape::Schedule, &[""]), "");
        let stop = Shape::Flags(&["default", "save", "nosave", "now", "force"]);
        assert_eq!(normal(stop, &["force", "NOSAVE now"]), "nosave now force");
        assert_eq!(normal(stop, &["default"]), "default");
        assert!(stop.normal(&["save nosave"]).is_err() && stop.normal(&[]).is_err());
        let three = Shape::Integers { count: 3, min: -2000, max: 2000 };
        assert_eq!(normal(three, &["0 200", "800"]), "0 200 800");
        assert!(three.normal(&["0", "1"]).is_err() && three.normal(&["0 1 2001"]).is_err());
        assert!(Shape::Schedule.normal(&["900"]).is_err());
        assert!(Shape::Schedule.normal(&["0 1"]).is_err());
        assert!(Shape::OneOf(&["a", "b"]).normal(&["c"]).is_err());
    }
}
