//! A day of the calendar, in UTC: when a term begins or ends. No clock here; whoever asks says what day it is.

use std::fmt;

use jiff::civil;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A day, written as in ISO 8601: `2026-11-25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date(civil::Date);

/// A text is no day of the calendar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a date such as 2026-11-25, found `{0}`")]
pub struct NotADate(String);

impl Date {
    /// The day on which a moment falls that is so many milliseconds after 1970 began, in UTC. Moments past the last day
    /// that calendars know fall on it.
    pub fn of_unix_ms(ms: u64) -> Date {
        let days = i64::try_from(ms / 86_400_000).unwrap_or(i64::MAX);
        let since = jiff::Span::new().try_days(days).ok();
        let day = since.and_then(|since| civil::date(1970, 1, 1).checked_add(since).ok());
        Date(day.unwrap_or(civil::Date::MAX))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Date {
    type Err = NotADate;

    /// Strict: four, two and two digits, nothing around them.
    fn from_str(text: &str) -> Result<Date, NotADate> {
        let shape = text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        let date = (shape && text.len() == 10).then(|| text.parse().ok()).flatten();
        date.map(Date).ok_or_else(|| NotADate(crate::nearest::cut(text)))
    }
}

impl TryFrom<String> for Date {
    type Error = NotADate;

    fn try_from(text: String) -> Result<Date, NotADate> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> String {
        date.to_string()
    }
}

impl JsonSchema for Date {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Date".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date", "description": "A day, as in ISO 8601: 2026-11-25" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_strictly_and_printed_as_it_was_written() {
        let date: Date = "2024-02-29".parse().expect("a leap day");
        assert_eq!(date.to_string(), "2024-02-29");
        for text in ["2023-02-29", "2024-2-9", "2024-02-29T00:00", " 2024-02-29", "+002024-02-29", "", "2024-13-01"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_falls_on_its_day_in_utc() {
        assert_eq!(Date::of_unix_ms(0).to_string(), "1970-01-01");
        assert_eq!(Date::of_unix_ms(1_795_564_799_999).to_string(), "2026-11-24");
        assert_eq!(Date::of_unix_ms(1_795_564_800_000).to_string(), "2026-11-25");
        assert_eq!(Date::of_unix_ms(u64::MAX).to_string(), "9999-12-31");
    }
}
