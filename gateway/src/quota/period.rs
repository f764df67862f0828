//! The days, weeks and months of budgets, in UTC.

use jiff::{
    Span, Timestamp,
    civil::{Date, Time, Weekday},
    tz::Offset,
};

use crate::config::Every;

/// One period: from its first second to that of the next, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// When it begins.
    pub begins: i64,
    /// When the next one begins.
    pub ends: i64,
}

impl Period {
    /// The one that a moment is in; one without an end where no calendar has it.
    pub fn of(every: Every, now: i64) -> Self {
        Self::found(every, now).unwrap_or(Self { begins: 0, ends: i64::MAX })
    }

    fn found(every: Every, now: i64) -> Option<Self> {
        let day = Offset::UTC.to_datetime(Timestamp::from_second(now).ok()?).date();
        let (first, next) = match every {
            Every::Day => (day, day.tomorrow().ok()?),
            Every::Week => {
                let monday = day.tomorrow().ok()?.nth_weekday(-1, Weekday::Monday).ok()?;
                (monday, monday.checked_add(Span::new().days(7)).ok()?)
            }
            Every::Month => (day.first_of_month(), day.last_of_month().tomorrow().ok()?),
        };
        let second = |date: Date| Some(Offset::UTC.to_timestamp(date.to_datetime(Time::midnight())).ok()?.as_second());
        Some(Self { begins: second(first)?, ends: second(next)? })
    }

    /// The share of it that is over.
    pub fn share_over(self, now: i64) -> f64 {
        ((now - self.begins) as f64 / (self.ends - self.begins) as f64).clamp(0.0, 1.0)
    }
}

impl Every {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(every: Every, at: &str) -> [String; 2] {
        let Period { begins, ends } = Period::of(every, at.parse::<Timestamp>().unwrap().as_second());
        [begins, ends].map(|second| Timestamp::from_second(second).unwrap().to_string())
    }

    #[test]
    fn days_weeks_from_monday_and_months_are_those_of_utc() {
        for (every, at, begins, ends) in [
            (Every::Day, "2026-11-26T23:59:59Z", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"),
            (Every::Day, "2026-11-26T00:00:00Z", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"),
            (Every::Week, "2026-11-26T12:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
            (Every::Week, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
            (Every::Week, "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
            (Every::Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            (Every::Month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(told(every, at), [begins, ends], "{every:?} {at}");
        }
        // What no calendar has is no panic.
        Period::of(Every::Month, i64::MAX);
    }
}
