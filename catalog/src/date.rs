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
        // 9999-12-31 is so many days after 1970-01-01.
        const LAST: u64 = 2_932_896;
        let days = (ms / 86_400_000).min(LAST) as i64;
        Date(civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(days)))
    }

    /// Its first moment in UTC, in milliseconds after 1970 began; 0 for days before.
    pub fn unix_ms(self) -> u64 {
        u64::try_from(self.days_since(Date(civil::date(1970, 1, 1)))).unwrap_or(0) * 86_400_000
    }

    /// Days from another day to this one; fewer than none where it is before.
    pub fn days_since(self, other: Date) -> i64 {
        self.0.since(other.0).map_or(0, |span| i64::from(span.get_days()))
    }

    /// The day so many days later; the last day that calendars know, if that is sooner.
    pub fn plus_days(self, days: u16) -> Date {
        Date(self.0.saturating_add(jiff::Span::new().days(i64::from(days))))
    }

    /// The day before; itself, if calendars know none.
    pub fn day_before(self) -> Date {
        Date(self.0.yesterday().unwrap_or(self.0))
    }

    /// The last day of its month.
    pub fn end_of_month(self) -> Date {
        Date(self.0.last_of_month())
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

/// A month, written `2024-06`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month(Date);

/// A text is no month of the calendar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a month such as 2024-06, found `{0}`")]
pub struct NotAMonth(String);

impl Month {
    /// Its last day.
    pub fn last_day(self) -> Date {
        self.0.end_of_month()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string()[..7])
    }
}

impl TryFrom<String> for Month {
    type Error = NotAMonth;

    fn try_from(text: String) -> Result<Month, NotAMonth> {
        format!("{text}-01").parse().map(Month).map_err(|_| NotAMonth(crate::nearest::cut(&text)))
    }
}

impl From<Month> for String {
    fn from(month: Month) -> String {
        month.to_string()
    }
}

impl JsonSchema for Month {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Month".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^\\d{4}-\\d{2}$", "description": "A month: 2024-06" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_between_two_dates_are_counted_over_the_ends_of_months() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        assert_eq!(day("2027-01-31").days_since(day("2026-11-27")), 65);
        assert_eq!(day("2026-11-26").days_since(day("2026-11-27")), -1);
        assert_eq!((day("1970-01-02").unix_ms(), day("1960-01-01").unix_ms()), (86_400_000, 0));
        assert_eq!(Date::of_unix_ms(day("2026-11-27").unix_ms()), day("2026-11-27"));
    }

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

    #[test]
    fn a_month_knows_its_last_day() {
        let month = Month::try_from("2024-06".to_owned()).expect("a month");
        assert_eq!((month.to_string().as_str(), month.last_day().to_string().as_str()), ("2024-06", "2024-06-30"));
        assert!(Month::try_from("2024-13".to_owned()).is_err() && Month::try_from("2024-06-01".to_owned()).is_err());
    }
}
