//! Times: a TTL or an instant as a client writes it, and an instant as it is shown.
//!
//! All times are UTC. What is shown is `YYYY-MM-DD hh:mm:ss.fff`, which Qlik reads as a timestamp, with
//! the unix time in milliseconds beside it for everybody else.

use crate::store::PAIR_DEADLINE_MS_MAX;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The longest TTL: 316 years.
pub(super) const TTL_MS_MAX: u64 = 9_999_999_999_999;

/// What becomes of a pair's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// It has none.
    Forever,
    /// It keeps the one it has.
    Keep,
    /// It has this one, in unix ms.
    Until(u64),
}

/// A TTL: milliseconds, an ISO 8601 duration such as `PT1M30S`, `none` or `keep`. `None`: neither.
pub(super) fn ttl(text: &str, now_ms: u64) -> Option<Lifetime> {
    match text {
        "none" => return Some(Lifetime::Forever),
        "keep" => return Some(Lifetime::Keep),
        _ => {}
    }
    let ms = duration_ms(text)?;
    let is_ttl = (1..=TTL_MS_MAX).contains(&ms);
    let at_ms = now_ms.checked_add(ms).filter(|&at_ms| is_ttl && at_ms <= PAIR_DEADLINE_MS_MAX);
    at_ms.map(Lifetime::Until)
}

/// Milliseconds, or an ISO 8601 duration of weeks, days, hours, minutes and seconds.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let body = text.strip_prefix(['P', 'p'])?;
    let (days, times) = body.split_once(['T', 't']).map_or((body, None), |(d, t)| (d, Some(t)));
    let of_days = amounts_ms(days, &[('W', 7 * DAY_MS), ('D', DAY_MS)])?;
    let units = [('H', HOUR_MS), ('M', MINUTE_MS), ('S', SECOND_MS)];
    let of_times = times
        .map_or(Some(0), |times| if times.is_empty() { None } else { amounts_ms(times, &units) })?;
    if days.is_empty() && times.is_none() {
        return None;
    }
    of_days.checked_add(of_times)
}

/// Numbers with a unit each, in the order of `units`; a number may have a fraction.
fn amounts_ms(mut text: &str, mut units: &[(char, u64)]) -> Option<u64> {
    let mut sum = 0u64;
    while !text.is_empty() {
        let end = text.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, rest) = text.split_at(end);
        let unit = rest.chars().next()?.to_ascii_uppercase();
        let at = units.iter().position(|(letter, _)| *letter == unit)?;
        let ms = units[at].1;
        units = &units[at + 1..];
        text = &rest[1..];
        let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, ""));
        let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
            return None;
        }
        let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        let part_ms = part * ms / 10u64.pow(fraction.len() as u32);
        sum = whole.parse::<u64>().ok()?.checked_mul(ms)?.checked_add(part_ms)?.checked_add(sum)?;
    }
    Some(sum)
}

/// An instant: unix milliseconds, or a date and time as [`show`] writes it or ISO 8601 does, in UTC
/// unless it says `+hh:mm` or `-hh:mm`.
pub(super) fn instant_ms(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let ms = if is_number { text.parse().ok()? } else { date_time_ms(text)? };
    (ms <= PAIR_DEADLINE_MS_MAX).then_some(ms)
}

fn date_time_ms(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00:00"));
    let (time, offset_ms) = without_offset(time)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, fraction) = time.split_once(['.', ',']).unwrap_or((time, ""));
    let time = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
    let [hour, minute, second] = numbers(&time, ':', [2, 2, 2])?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let is_real = (1970..=9999).contains(&year)
        && (1..=days_of_month).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_real || !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.len() > 9 {
        return None;
    }
    let ms = format!("{fraction:0<3}")[..3].parse::<u64>().ok()?;
    let days = days_since_1970(year, month, day);
    let utc = days * DAY_MS + hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS + ms;
    u64::try_from(utc as i64 - offset_ms).ok()
}

/// The time without its zone, and how far that is ahead of UTC.
fn without_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (time, offset) = time.split_at(at);
    let [hours, minutes] = numbers(&offset[1..], ':', [2, 2])?;
    let ms = (hours * HOUR_MS + minutes * MINUTE_MS) as i64;
    (hours < 24 && minutes < 60).then_some((time, if offset.starts_with('-') { -ms } else { ms }))
}

fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(between);
    let mut all = [0; N];
    for (number, digits) in all.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(all)
}

/// Days in years that begin in March, so that a leap day comes last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + leap_days + day_of_year - 719_468
}

/// Appends `YYYY-MM-DD hh:mm:ss.fff`.
pub(super) fn show(out: &mut Vec<u8>, at_ms: u64) {
    let days = at_ms / DAY_MS + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (at_ms / HOUR_MS % 24, at_ms / MINUTE_MS % 60);
    let (second, ms) = (at_ms / SECOND_MS % 60, at_ms % SECOND_MS);
    let mut shown = *b"0000-00-00 00:00:00.000";
    for (at, number) in [(5, month), (8, day), (11, hour), (14, minute), (17, second)] {
        digits::<2>(&mut shown[at..], number);
    }
    digits::<4>(&mut shown, year);
    digits::<3>(&mut shown[20..], ms);
    if year > 9999 {
        out.extend_from_slice(itoa::Buffer::new().format(year / 10_000).as_bytes());
    }
    out.extend_from_slice(&shown);
}

/// The last `N` digits of a number.
#[inline]
fn digits<const N: usize>(to: &mut [u8], mut number: u64) {
    for place in to[..N].iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn ttls() {
        let until = |ms| Some(Lifetime::Until(NOW_MS + ms));
        for (text, wanted) in [
            ("5000", until(5000)),
            ("PT5S", until(5000)),
            ("PT1M30S", until(90_000)),
            ("P1DT2H", until(26 * HOUR_MS)),
            ("P2W", until(14 * DAY_MS)),
            ("9999999999999", until(TTL_MS_MAX)),
            ("pt0.5s", until(500)),
            ("none", Some(Lifetime::Forever)),
            ("keep", Some(Lifetime::Keep)),
        ] {
            assert_eq!(ttl(text, NOW_MS), wanted, "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "1e9",
            "NaN",
            "9223372036854775808",
            "5s",
            "P",
            "PT",
            "P1",
            "PT1",
            "P1Y",
            "PT1S1M",
            "PT-5S",
            "PT.5S",
            "P1.D1",
            "PT0S",
            " 5",
            "5000.0",
            "10000000000000",
            "99999999999999999",
        ] {
            assert_eq!(ttl(text, NOW_MS), None, "{text}");
        }
    }

    #[test]
    fn instants() {
        for (text, ms) in [
            ("1700000000123", 1_700_000_000_123),
            ("2023-11-14 22:13:20.123", 1_700_000_000_123),
            ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
            ("2023-11-14T23:13:20+01:00", NOW_MS),
            ("2023-11-14T17:13:20.1-05:00", NOW_MS + 100),
            ("2024-02-29", 1_709_164_800_000),
            ("2024-02-29 00:00", 1_709_164_800_000),
        ] {
            assert_eq!(instant_ms(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "now",
            "2023-02-29",
            "2023-13-01",
            "2023-11-14T24:00:00",
            "2023-11-14 1:00:00",
            "2023-11-14T00:00:00.x",
            "1969-12-31",
            "2023-11-14T00:00:00+1:00",
            "20231114T000000Z",
        ] {
            assert_eq!(instant_ms(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_is_read_again(at_ms in 0..=253_402_300_799_999u64) {
            let mut text = Vec::new();
            show(&mut text, at_ms);
            let text = String::from_utf8(text).unwrap();
            proptest::prop_assert_eq!(instant_ms(&text), Some(at_ms).filter(|&ms| ms <= PAIR_DEADLINE_MS_MAX));
        }
    }
}
