//! `strftime_now`: today's date for templates that tell it to the model. UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// From the weekday of 1 January 1970.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// The present time in a `strftime` format.
pub(super) fn now(format: &str) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    at(seconds, format)
}

/// A time in seconds since 1970. A directive that is not known stays as it is.
fn at(seconds: u64, format: &str) -> String {
    let (day, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, date) = civil(day);
    let (weekday, month_name) = (DAYS[(day % 7) as usize], MONTHS[month as usize - 1]);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            out.push(char);
            continue;
        }
        match chars.next() {
            Some('Y') => out += &year.to_string(),
            Some('y') => out += &format!("{:02}", year % 100),
            Some('m') => out += &format!("{month:02}"),
            Some('d') => out += &format!("{date:02}"),
            Some('e') => out += &format!("{date:2}"),
            Some('B') => out += month_name,
            Some('b' | 'h') => out += &month_name[..3],
            Some('A') => out += weekday,
            Some('a') => out += &weekday[..3],
            Some('H') => out += &format!("{:02}", time / 3600),
            Some('M') => out += &format!("{:02}", time / 60 % 60),
            Some('S') => out += &format!("{:02}", time % 60),
            Some('F') => out += &format!("{year}-{month:02}-{date:02}"),
            Some('%') => out.push('%'),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out
}

/// Year, month and day of a day counted from 1 January 1970, in the Gregorian calendar.
fn civil(day: u64) -> (u64, u64, u64) {
    // Years that start in March put the leap day last; 400 of them have 146,097 days.
    let day = day + 719_468; // from 1 March of year 0
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year, month + 3);
    if month > 12 { (year + 1, month - 12, date) } else { (year, month, date) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "Thu 01 Jan 1970 00:00:00"),
            (951_782_399, "Mon 28 Feb 2000 23:59:59"),
            (951_782_400, "Tue 29 Feb 2000 00:00:00"),
            (4_107_542_400, "Mon 01 Mar 2100 00:00:00"),
            (1_795_305_600, "Sun 22 Nov 2026 00:00:00"),
        ] {
            assert_eq!(at(seconds, "%a %d %b %Y %H:%M:%S"), expected);
        }
        assert_eq!(at(1_795_305_600, "%A, %B %e, %F %y %% %Q %"), "Sunday, November 22, 2026-11-22 26 % %Q %");
    }
}
