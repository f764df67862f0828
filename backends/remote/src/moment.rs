//! Reads when something will be, in each notation that hosts use, as the time from now until then.
//!
//! | notation | example | who writes it so |
//! | --- | --- | --- |
//! | seconds | `2`, `33011.382867` | `retry-after`, Cerebras, Together, Replicate |
//! | a duration | `2m59.56s`, `120ms` | OpenAI, Groq |
//! | Unix seconds | `1767225600` | SambaNova |
//! | Unix milliseconds | `1767225600000` | OpenRouter |
//! | RFC 3339 | `2026-01-01T00:00:00Z` | Anthropic |
//! | an HTTP date | `Thu, 01 Jan 2026 00:00:00 GMT` | `retry-after` |
//!
//! None of them can be taken for another: nobody waits for thirty years, so a number that large counts from 1970.

use std::time::{Duration, SystemTime};

/// The longest that is believed; a longer one is cut to it.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// From here on a number is a Unix time in seconds (the year 2001), and from a hundred times that on in milliseconds.
const UNIX_SECONDS: f64 = 1e9;
const UNIX_MILLISECONDS: f64 = 1e11;

/// The time from `now` until the moment that a text names; zero if it has passed, `None` if it names none.
pub(crate) fn until(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(number) if number >= UNIX_MILLISECONDS => since_epoch(number / 1e3, now),
        Ok(number) if number >= UNIX_SECONDS => since_epoch(number, now),
        Ok(number) => seconds(number),
        Err(_) => duration(text).or_else(|| date(text, now)),
    }
}

/// A number of seconds as a duration, at most [`LONGEST`].
pub(crate) fn seconds(number: f64) -> Option<Duration> {
    if number.is_nan() {
        return None;
    }
    Duration::try_from_secs_f64(number.min(LONGEST.as_secs_f64())).ok()
}

fn since_epoch(unix: f64, now: SystemTime) -> Option<Duration> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    seconds((unix - now.as_secs_f64()).max(0.0))
}

fn date(text: &str, now: SystemTime) -> Option<Duration> {
    let then = match text.parse::<jiff::Timestamp>() {
        Ok(then) => SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(then.as_millisecond()).ok()?),
        Err(_) => httpdate::parse_http_date(text).ok()?,
    };
    // A moment that has passed means now.
    Some(then.duration_since(now).unwrap_or_default().min(LONGEST))
}

/// Numbers with units, one after the other, as Go prints them.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "d" => 86_400.0,
                "h" => 3_600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[end..];
    }
    if text.is_empty() { None } else { seconds(total) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1994-11-06 08:49:37 UTC
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    #[test]
    fn each_notation_is_read() {
        // Unix times are told by their size, so their `now` is one of this century.
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_000);
        for (text, wait) in
            [("1767225600", 600.0), ("1767225600000", 600.0), ("1767225600.5", 600.5), ("1767224000", 0.0)]
        {
            assert_eq!(until(text, later), Some(Duration::from_secs_f64(wait)), "{text}");
        }
        for (text, wait) in [
            ("2", 2.0),
            ("0.5", 0.5),
            (" 7 ", 7.0),
            ("2m59.56s", 179.56),
            ("7.66s", 7.66),
            ("120ms", 0.12),
            ("6m0s", 360.0),
            ("1h2m3s", 3723.0),
            ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
            ("1994-11-06T08:50:37Z", 60.0),
            ("1994-11-06T09:50:37.250+01:00", 60.25),
        ] {
            assert_eq!(until(text, now()), Some(Duration::from_secs_f64(wait)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_time_is_no_time_and_what_is_too_long_is_cut() {
        for nonsense in ["soon", "-1", "NaN", "", "s", "1", "1e400x", "5 minutes", "1m-2s", "3x", "12.3.4s", "."] {
            let wait = until(nonsense, now());
            assert_eq!(wait.is_some(), nonsense == "1", "{nonsense}: {wait:?}");
        }
        for long in ["1e300", "inf", "400h", "99999999999999999999999d"] {
            assert_eq!(until(long, now()), Some(LONGEST), "{long}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_believed_for_longer_than_a_day(text in "\\PC*") {
            prop_assert!(until(&text, now()).is_none_or(|wait| wait <= LONGEST));
        }

        #[test]
        fn a_duration_means_the_same_in_every_notation(ms in 0..86_400_000u64) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_000);
            let then = now + Duration::from_millis(ms);
            let unix = then.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let (hours, minutes, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
            for text in [
                format!("{}", ms as f64 / 1e3),
                format!("{ms}ms"),
                format!("{hours}h{minutes}m{}s", rest as f64 / 1e3),
                format!("{}", unix.as_millis()),
                format!("{:.3}", unix.as_secs_f64()),
                jiff::Timestamp::try_from(then).unwrap().to_string(),
            ] {
                let wait = until(&text, now).unwrap();
                prop_assert!(wait.abs_diff(Duration::from_millis(ms)) < Duration::from_millis(1), "{text}: {wait:?}");
            }
        }
    }
}
