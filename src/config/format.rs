//! How values of directives are written and read: numbers, memory sizes, yes and no, lists.
//!
//! Error texts are Redis's. Which directive has which format is the table's matter
//! ([`super::directive`]).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use super::Bind;

/// Why a value was refused.
pub type Reason = Cow<'static, str>;

/// Writes and reads values of type `T`.
pub trait Format<T> {
    /// As CONFIG GET shows it.
    fn show(&self, value: &T) -> String;

    /// From the words after a directive's name.
    ///
    /// # Errors
    /// Redis's text.
    fn read(&self, words: &[&str]) -> Result<T, Reason>;
}

/// `yes` or `no`.
pub struct YesNo;

/// A whole number from `min` to `max`.
pub struct Integer {
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
}

/// An octal number up to `max`.
pub struct Octal {
    /// The largest.
    pub max: u32,
}

/// A number of bytes from `min` to `max`: `100`, `1k` (1000), `1kb` (1024), `m`, `mb`, `g`, `gb`.
pub struct Memory {
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
}

/// A number of bytes, or per cent of `maxmemory`.
pub struct BytesOrPercent;

/// Any text of at most `max_bytes`.
pub struct Text {
    /// The longest.
    pub max_bytes: usize,
}

/// One of several words.
pub struct OneOf<T: 'static>(pub &'static [(&'static str, T)]);

/// A directory.
pub struct Directory;

/// IP addresses; `*` stands for all of IPv4, `::*` for all of IPv6. One behind `-` need not be there.
pub struct Addresses;

/// Words between blanks; one empty text for none.
pub struct Words;

/// Numbers from 0 to 100 between blanks; one empty text for none.
pub struct Percentiles;

impl Format<bool> for YesNo {
    fn show(&self, value: &bool) -> String {
        if *value { "yes" } else { "no" }.to_owned()
    }

    fn read(&self, words: &[&str]) -> Result<bool, Reason> {
        match only(words)? {
            word if word.eq_ignore_ascii_case("yes") => Ok(true),
            word if word.eq_ignore_ascii_case("no") => Ok(false),
            _ => Err("argument must be 'yes' or 'no'".into()),
        }
    }
}

impl<T: TryFrom<i64> + TryInto<i64> + Copy> Format<T> for Integer {
    fn show(&self, value: &T) -> String {
        show_number(*value)
    }

    fn read(&self, words: &[&str]) -> Result<T, Reason> {
        let number: i128 = only(words)?
            .parse()
            .map_err(|_| Reason::from("argument couldn't be parsed into an integer"))?;
        in_range(number, self.min, self.max)
    }
}

impl Format<u32> for Octal {
    fn show(&self, value: &u32) -> String {
        format!("{value:o}")
    }

    fn read(&self, words: &[&str]) -> Result<u32, Reason> {
        let number = i64::from_str_radix(only(words)?, 8)
            .map_err(|_| Reason::from("argument couldn't be parsed as an octal number"))?;
        let fits = u32::try_from(number).ok().filter(|&number| number <= self.max);
        fits.ok_or_else(|| {
            format!("argument must be between 0 and {:o} inclusive", self.max).into()
        })
    }
}

impl<T: TryFrom<i64> + TryInto<i64> + Copy> Format<T> for Memory {
    fn show(&self, value: &T) -> String {
        show_number(*value)
    }

    fn read(&self, words: &[&str]) -> Result<T, Reason> {
        let bytes = memory(only(words)?).ok_or("argument must be a memory value")?;
        in_range(bytes.into(), self.min, self.max)
    }
}

impl Format<super::BytesOrPercent> for BytesOrPercent {
    fn show(&self, value: &super::BytesOrPercent) -> String {
        match value {
            super::BytesOrPercent::Bytes(bytes) => bytes.to_string(),
            super::BytesOrPercent::Percent(percent) => format!("{percent}%"),
        }
    }

    fn read(&self, words: &[&str]) -> Result<super::BytesOrPercent, Reason> {
        const WRONG: &str = "argument must be a memory or percent value";
        let word = only(words)?;
        let Some(percent) = word.strip_suffix('%') else {
            let bytes = memory(word).filter(|&bytes| i64::try_from(bytes).is_ok()).ok_or(WRONG)?;
            return Ok(super::BytesOrPercent::Bytes(bytes));
        };
        match percent.parse::<u64>().map_err(|_| WRONG)? {
            percent @ 0..=100 => Ok(super::BytesOrPercent::Percent(percent as u8)),
            _ => Err("percentage argument must be less or equal to 100".into()),
        }
    }
}

impl Format<String> for Text {
    fn show(&self, value: &String) -> String {
        value.clone()
    }

    fn read(&self, words: &[&str]) -> Result<String, Reason> {
        let text = only(words)?;
        if text.len() > self.max_bytes {
            return Err(format!("argument must be at most {} bytes long", self.max_bytes).into());
        }
        Ok(text.to_owned())
    }
}

impl<T: Copy + PartialEq> Format<T> for OneOf<T> {
    fn show(&self, value: &T) -> String {
        self.0.iter().find(|(_, one)| one == value).map_or("", |(word, _)| word).to_owned()
    }

    fn read(&self, words: &[&str]) -> Result<T, Reason> {
        let wanted = only(words)?;
        let found = self.0.iter().find(|(word, _)| word.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let all: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
            format!("argument(s) must be one of the following: {}", all.join(", ")).into()
        })
    }
}

impl Format<PathBuf> for Directory {
    fn show(&self, value: &PathBuf) -> String {
        std::path::absolute(value).unwrap_or_else(|_| value.clone()).display().to_string()
    }

    fn read(&self, words: &[&str]) -> Result<PathBuf, Reason> {
        match only(words)? {
            "" => Err("argument must be a directory".into()),
            path => Ok(PathBuf::from(path)),
        }
    }
}

impl Format<Vec<Bind>> for Addresses {
    fn show(&self, value: &Vec<Bind>) -> String {
        value.iter().map(Bind::to_string).collect::<Vec<_>>().join(" ")
    }

    fn read(&self, words: &[&str]) -> Result<Vec<Bind>, Reason> {
        let address = |word: &str| {
            let (is_optional, word) = match word.strip_prefix('-') {
                Some(word) => (true, word),
                None => (false, word),
            };
            let address = match word {
                "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                _ => word
                    .parse()
                    .map_err(|_| Reason::from("Failed to bind to specified addresses."))?,
            };
            Ok(Bind { address, is_optional })
        };
        let addresses: Vec<Bind> = split(words).map(address).collect::<Result<_, Reason>>()?;
        if addresses.is_empty() {
            return Err("argument must be one or more IP addresses".into());
        }
        Ok(addresses)
    }
}

impl Format<Vec<String>> for Words {
    fn show(&self, value: &Vec<String>) -> String {
        value.join(" ")
    }

    fn read(&self, words: &[&str]) -> Result<Vec<String>, Reason> {
        Ok(split(words).map(str::to_owned).collect())
    }
}

impl Format<Vec<f64>> for Percentiles {
    fn show(&self, value: &Vec<f64>) -> String {
        value.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
    }

    fn read(&self, words: &[&str]) -> Result<Vec<f64>, Reason> {
        let percent = |word: &str| match word.parse() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
            Ok(_) => Err("percentiles must be between 0.0 and 100.0".into()),
            Err(_) => Err(format!("'{word}' is not a number").into()),
        };
        split(words).map(percent).collect()
    }
}

/// The number of bytes that `text` says, if it is one.
pub fn memory(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A number of bytes with the largest unit that divides it.
pub fn short_memory(bytes: &str) -> String {
    let number: u64 = bytes.parse().unwrap_or(0);
    let units = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    match units.iter().find(|(size, _)| number >= *size && number.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", number / size),
        None => bytes.to_owned(),
    }
}

pub(super) fn only<'a>(words: &[&'a str]) -> Result<&'a str, Reason> {
    match words {
        [word] => Ok(word),
        _ => Err("wrong number of arguments".into()),
    }
}

pub(super) fn split<'a>(words: &[&'a str]) -> impl Iterator<Item = &'a str> {
    words.iter().flat_map(|word| word.split_whitespace())
}

fn show_number<T: TryInto<i64>>(number: T) -> String {
    number.try_into().unwrap_or(i64::MAX).to_string()
}

fn in_range<T: TryFrom<i64>>(number: i128, min: i64, max: i64) -> Result<T, Reason> {
    let fits = i64::try_from(number).ok().filter(|number| (min..=max).contains(number));
    fits.and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("argument must be between {min} and {max} inclusive").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_units_of_1000_and_of_1024() {
        let sizes =
            [("0", 0), ("12", 12), ("3b", 3), ("1k", 1000), ("1kb", 1024), ("2M", 2_000_000)];
        for (text, bytes) in sizes {
            assert_eq!(memory(text), Some(bytes), "{text}");
        }
        assert_eq!(memory("1gb"), Some(1 << 30));
        assert_eq!(memory("1Gb"), memory("1GB"));
        for text in ["", "k", "-1", "1.5mb", "1 mb", "1tb", "99999999999gb"] {
            assert_eq!(memory(text), None, "{text}");
        }
    }

    #[test]
    fn short_memory_says_the_same() {
        for (bytes, short) in
            [("1073741824", "1gb"), ("1048576", "1mb"), ("64", "64"), ("1500", "1500")]
        {
            assert_eq!(short_memory(bytes), short);
            assert_eq!(memory(short), bytes.parse().ok());
        }
        assert_eq!(short_memory("3145728"), "3mb");
    }

    #[test]
    fn integers_keep_their_range() {
        let format = Integer { min: 1, max: 65_535 };
        let read = |text| Format::<u16>::read(&format, &[text]);
        assert_eq!(read("65535"), Ok(65_535));
        for text in ["0", "65536", "-1", "99999999999999999999"] {
            assert_eq!(read(text), Err("argument must be between 1 and 65535 inclusive".into()));
        }
        assert_eq!(read("1x"), Err("argument couldn't be parsed into an integer".into()));
    }

    #[test]
    fn addresses_may_be_several_or_all() {
        let read = |words: &[&str]| Addresses.read(words).map(|list| Addresses.show(&list));
        assert_eq!(read(&["127.0.0.1", "::1"]), Ok("127.0.0.1 ::1".to_owned()));
        assert_eq!(read(&["* ::*"]), Ok("0.0.0.0 ::".to_owned()));
        assert_eq!(read(&["127.0.0.1 -::1"]), Ok("127.0.0.1 -::1".to_owned()));
        assert!(read(&[]).is_err() && read(&[""]).is_err() && read(&["localhost"]).is_err());
    }
}
