//! A time of the week in which a route takes requests.
//!
//! The window is read on the clock of the wall in its zone, from `from` up to but not including `to`; one that ends
//! before it begins goes on past midnight and belongs to the day on which it began. When clocks go forward, the hour that
//! is skipped never comes, so a window loses it; when they go back, the hour that comes twice counts both times.
//!
//! The moment comes in, and the time zones are those that are built in: nothing here reads a clock or a file.

use jiff::{Timestamp, ToSpan, civil, tz::TimeZone};

/// Minutes of a day.
pub(crate) const DAY: u16 = 24 * 60;

/// The days of the week, the first of them first.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Days and hours in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    /// One bit a day on which it may begin, Monday first.
    days: u8,
    /// Minutes after midnight at which it begins.
    from: u16,
    /// Minutes that it lasts; at most a day.
    length: u16,
    zone: TimeZone,
}

impl Window {
    /// From `from` to `to`, minutes after midnight, on `days`. `None` where it would be empty.
    pub(crate) fn new(days: u8, from: u16, to: u16, zone: TimeZone) -> Option<Self> {
        let length = if to > from { to - from } else { DAY - from + to };
        (days & 0x7F != 0 && from < DAY && to <= DAY && from != to).then_some(Self { days, from, length, zone })
    }

    /// Whether a moment, in seconds since 1970, lies in it.
    pub(crate) fn holds(&self, now: i64) -> bool {
        let Ok(now) = Timestamp::from_second(now) else { return false };
        let local = self.zone.to_datetime(now);
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let day = local.weekday().to_monday_zero_offset() as u8;
        let begins = |day: u8| self.days & 1 << day != 0;
        let end = self.from + self.length;
        begins(day) && (self.from..end).contains(&minute) || begins((day + 6) % 7) && minute + DAY < end
    }

    /// The first moments and the first after it, of a week from `today` on.
    pub(crate) fn edges(&self, today: catalog::Date) -> Vec<i64> {
        let day = |ahead: i64| today.to_string().parse::<civil::Date>().ok()?.checked_add(ahead.days()).ok();
        let at = |day: civil::Date, minute: u16| {
            let midnight = self.zone.to_timestamp(day.at(0, 0, 0, 0)).ok()?;
            Some(midnight.as_second() + i64::from(minute) * 60)
        };
        let ends = [self.from, self.from + self.length];
        // From the day before, whose window may reach over midnight.
        (-1..8).filter_map(day).flat_map(|day| ends.into_iter().filter_map(move |minute| at(day, minute))).collect()
    }

    /// Whether every moment of `other` lies in it, as far as days and hours of one zone tell.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let always = self.days == 0x7F && self.length == DAY;
        let within = self.from <= other.from && self.from + self.length >= other.from + other.length;
        always || self.zone == other.zone && self.days & other.days == other.days && within
    }
}

/// A moment as reports write it.
pub(crate) fn shown(now: i64) -> String {
    Timestamp::from_second(now).map_or_else(|_| now.to_string(), |now| now.to_string())
}

/// The time zone of an IANA name such as `Europe/Berlin`, or the known name that is most like it.
pub(crate) fn zone(name: &str) -> Result<TimeZone, Option<String>> {
    let zones = jiff::tz::db();
    zones.get(name).map_err(|_| {
        let known: Vec<String> = zones.available().map(|zone| zone.to_string()).collect();
        crate::diag::nearest(name, known.iter().map(String::as_str)).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn berlin(days: &[usize], from: u16, to: u16) -> Window {
        let days = days.iter().fold(0, |set, day| set | 1 << day);
        Window::new(days, from * 60, to * 60, zone("Europe/Berlin").unwrap()).unwrap()
    }

    #[test]
    fn a_window_begins_with_its_first_minute_and_ends_before_its_last() {
        // A Wednesday in winter: Berlin is an hour ahead of UTC.
        let office = berlin(&[0, 1, 2, 3, 4], 8, 18);
        assert!(!office.holds(at("2026-11-25T06:59:59Z")));
        assert!(office.holds(at("2026-11-25T07:00:00Z")));
        assert!(office.holds(at("2026-11-25T16:59:59Z")));
        assert!(!office.holds(at("2026-11-25T17:00:00Z")));
        assert!(!office.holds(at("2026-11-28T12:00:00Z")), "a Saturday");
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_began() {
        let night = berlin(&[4], 22, 6);
        assert!(night.holds(at("2026-11-27T21:00:00Z")), "Friday, 22:00");
        assert!(night.holds(at("2026-11-28T04:59:00Z")), "Saturday, 05:59");
        assert!(!night.holds(at("2026-11-28T05:00:00Z")));
        assert!(!night.holds(at("2026-11-28T21:00:00Z")), "Saturday, 22:00");
        assert!(!night.holds(at("2026-11-27T04:59:00Z")), "Friday, 05:59, of Thursday's night");
        let sunday = berlin(&[6], 22, 6);
        assert!(sunday.holds(at("2026-11-30T00:00:00Z")), "the week ends with it");
    }

    #[test]
    fn clocks_that_change_take_an_hour_away_and_give_one_twice() {
        let small_hours = berlin(&[6], 2, 3);
        // On 2026-03-29 Berlin goes from 01:59 to 03:00.
        let spring = at("2026-03-29T00:00:00Z")..at("2026-03-29T04:00:00Z");
        assert_eq!(spring.step_by(60).filter(|now| small_hours.holds(*now)).count(), 0);
        // On 2026-10-25 it has 02:00 to 02:59 twice.
        let autumn = at("2026-10-25T00:00:00Z")..at("2026-10-25T04:00:00Z");
        assert_eq!(autumn.step_by(60).filter(|now| small_hours.holds(*now)).count(), 120);
    }

    #[test]
    fn one_window_covers_another_only_where_every_moment_of_it_is_taken() {
        let all = Window::new(0x7F, 0, DAY, TimeZone::UTC).unwrap();
        assert!(all.covers(&berlin(&[2], 8, 18)) && !berlin(&[2], 8, 18).covers(&all));
        assert!(berlin(&[1, 2], 8, 18).covers(&berlin(&[2], 9, 18)));
        assert!(!berlin(&[1], 8, 18).covers(&berlin(&[2], 9, 18)));
        assert!(!berlin(&[2], 22, 6).covers(&berlin(&[2], 0, 6)), "these hours are Tuesday's night");
    }

    #[test]
    fn a_moment_that_no_calendar_has_is_in_no_window() {
        let all = Window::new(0x7F, 0, DAY, TimeZone::UTC).unwrap();
        assert!(!all.holds(i64::MAX) && !all.holds(i64::MIN) && all.holds(0));
    }

    #[test]
    fn an_unknown_zone_is_answered_with_the_nearest() {
        assert_eq!(zone("Europe/Berln").unwrap_err().as_deref(), Some("Europe/Berlin"));
    }
}
