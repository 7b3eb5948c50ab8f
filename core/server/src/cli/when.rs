//! Moments as people write them: `in 1 month`, `December 2025`, `2025-01-01`, unix seconds. Times are UTC.

use interim::{Dialect, parse_date_string};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// The text is no moment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no date; write for example `in 1 month`, `December 2025`, `2025-01-01 12:00`, unix seconds or `never`"
)]
pub(crate) struct NoMoment(String);

/// Reads when something ends: unix seconds, or none for never. What has no year is in the future.
///
/// # Errors
///
/// The text is no moment.
pub(crate) fn parse_expiry(text: &str, now: Timestamp) -> Result<Option<i64>, NoMoment> {
    match text.trim().to_lowercase().as_str() {
        "-1" | "false" | "never" | "none" => Ok(None),
        _ => parse_moment(text, now).map(Some),
    }
}

/// Reads a moment as unix seconds. What has no year is in the future.
///
/// # Errors
///
/// The text is no moment.
pub(crate) fn parse_moment(text: &str, now: Timestamp) -> Result<i64, NoMoment> {
    let refuse = || NoMoment(text.chars().take(60).collect());
    let trimmed = text.trim();
    if let Ok(seconds) = trimmed.parse::<i64>() {
        // A bare year is a year, not 33 minutes after the epoch.
        return match seconds {
            1970..=9999 => month_start(seconds, 1).ok_or_else(refuse),
            0.. => Timestamp::from_second(seconds).map(Timestamp::as_second).map_err(|_| refuse()),
            _ => Err(refuse()),
        };
    }
    let now = now.to_zoned(TimeZone::UTC);
    exact(trimmed).or_else(|| relative(trimmed, &now)).or_else(|| in_words(trimmed, &now)).ok_or_else(refuse)
}

/// `2025-01-01`, with a time or an offset if need be, and `2025-01`.
fn exact(text: &str) -> Option<i64> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_second());
    }
    if let Ok(local) = text.parse::<jiff::civil::DateTime>() {
        return local.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp().as_second());
    }
    let (year, month) = text.split_once('-')?;
    month_start(year.parse().ok()?, month.parse().ok()?)
}

/// `in 1 month`, `2 weeks and 3 days`, `an hour ago`.
fn relative(text: &str, now: &Zoned) -> Option<i64> {
    let lower = text.to_lowercase();
    let words = lower.strip_prefix("in ").unwrap_or(&lower);
    let words = words.strip_suffix(" from now").unwrap_or(words);
    let plain: Vec<&str> = words
        .split([' ', ','])
        .filter(|word| !word.is_empty() && *word != "and")
        .map(|word| if matches!(word, "a" | "an" | "one") { "1" } else { word })
        .collect();
    let span: jiff::Span = plain.join(" ").parse().ok()?;
    now.checked_add(span).ok().map(|at| at.timestamp().as_second())
}

/// `December 2025`, `1 April`, `next friday`, `tomorrow`: what a calendar in words says.
fn in_words(text: &str, now: &Zoned) -> Option<i64> {
    let lower = text.to_lowercase().replace(',', " ");
    let words: Vec<&str> = lower.split_whitespace().collect();
    if let [one, other] = words.as_slice() {
        let month_and_year = |month: &str, year: &str| Some((month_of(month)?, year.parse::<i64>().ok()?));
        if let Some((month, year)) = month_and_year(one, other).or_else(|| month_and_year(other, one))
            && (1970..=9999).contains(&year)
        {
            return month_start(year, month);
        }
    }
    // A date alone begins at midnight; `midnight` of the base makes it so.
    let midnight = now.start_of_day().ok()?;
    let at = parse_date_string(text, midnight, Dialect::Us).ok()?;
    let has_year = words.iter().any(|word| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit()));
    let names_the_past = words.iter().any(|word| matches!(*word, "last" | "ago" | "yesterday"));
    let today = words.first() == Some(&"today") || words.first() == Some(&"now");
    // Of a date without a year the next one is meant.
    let at = if at <= *now && !has_year && !names_the_past && !today { at.checked_add(1.year()).ok()? } else { at };
    Some(at.timestamp().as_second())
}

/// Returns the month of an English name, from 1.
fn month_of(name: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let name = name.trim_end_matches('.');
    let place = MONTHS.iter().position(|month| name.len() >= 3 && month.starts_with(name))?;
    i8::try_from(place + 1).ok()
}

/// Returns unix seconds of the first moment of a month.
fn month_start(year: i64, month: i8) -> Option<i64> {
    let first = Date::new(i16::try_from(year).ok()?, month, 1).ok()?;
    first.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp().as_second())
}

/// Shows unix seconds, `2025-12-01 00:00:00`.
pub(crate) fn shown(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Wednesday.
    const NOW: &str = "2025-10-15T10:30:00Z";

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let expected: Timestamp = expected.parse().unwrap();
        assert_eq!(parse_moment(text, NOW.parse().unwrap()).map(shown), Ok(shown(expected.as_second())), "{text}");
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        for (text, expected) in [
            ("in 1 month", "2025-11-15T10:30:00Z"),
            ("in a month", "2025-11-15T10:30:00Z"),
            ("in 2 weeks", "2025-10-29T10:30:00Z"),
            ("2 weeks and 3 days", "2025-11-01T10:30:00Z"),
            ("1 year", "2026-10-15T10:30:00Z"),
            ("30 days from now", "2025-11-14T10:30:00Z"),
            ("in 90 minutes", "2025-10-15T12:00:00Z"),
            ("12h", "2025-10-15T22:30:00Z"),
            ("1 day ago", "2025-10-14T10:30:00Z"),
            ("December 2025", "2025-12-01T00:00:00Z"),
            ("dec 2025", "2025-12-01T00:00:00Z"),
            ("2026 March", "2026-03-01T00:00:00Z"),
            ("December", "2025-12-01T00:00:00Z"),
            ("March", "2026-03-01T00:00:00Z"),
            ("1 April", "2026-04-01T00:00:00Z"),
            ("April 1, 2027", "2027-04-01T00:00:00Z"),
            ("31 December 2025", "2025-12-31T00:00:00Z"),
            ("2025-01-01", "2025-01-01T00:00:00Z"),
            ("2025-01", "2025-01-01T00:00:00Z"),
            ("2027", "2027-01-01T00:00:00Z"),
            ("2026-02-03 04:05", "2026-02-03T04:05:00Z"),
            ("2026-02-03T04:05:06", "2026-02-03T04:05:06Z"),
            ("2026-02-03T04:05:06+02:00", "2026-02-03T02:05:06Z"),
            ("1767225600", "2026-01-01T00:00:00Z"),
            ("tomorrow", "2025-10-16T00:00:00Z"),
            ("next friday", "2025-10-17T00:00:00Z"),
            ("friday", "2025-10-17T00:00:00Z"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn never_has_several_names() {
        for text in ["-1", "false", "never", "False"] {
            assert_eq!(parse_expiry(text, NOW.parse().unwrap()), Ok(None));
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "soon", "2025-13-01", "-5", "blue 2025", "in 3 parsecs"] {
            assert!(parse_expiry(text, NOW.parse().unwrap()).is_err(), "{text} was taken");
        }
    }
}
