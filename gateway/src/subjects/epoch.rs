//! Epochs: spans of whole days, counted from 1970 on, in which a subject keeps its pseudonym.
//!
//! All gateways agree on them. An epoch is called after its first and last day, so that its file says which records it is about,
//! whatever length epochs have by now.

use std::{fmt, str::FromStr};

use catalog::Date;

use crate::{config::Hold, settle::DAY_MS};

/// A span of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Days after 1970 began.
    first: u64,
    last: u64,
}

impl Epoch {
    /// That of a moment, where each has so many days; none where none has any.
    pub fn of(unix_ms: u64, days: u32) -> Option<Self> {
        let (day, days) = (unix_ms / DAY_MS, u64::from(days));
        let first = day.checked_div(days)? * days;
        Some(Self { first, last: first + days - 1 })
    }

    /// Its first moment, in Unix milliseconds.
    pub fn first_ms(self) -> u64 {
        self.first * DAY_MS
    }

    /// Its last moment, likewise.
    pub fn last_ms(self) -> u64 {
        self.last * DAY_MS + (DAY_MS - 1)
    }

    /// Whether a hold covers a part of it.
    pub fn is_held(self, hold: &Hold) -> bool {
        hold.first_ms() <= self.last_ms() && hold.last_ms().is_none_or(|last| self.first_ms() <= last)
    }

    /// The name of its file.
    pub(super) fn file(self) -> String {
        format!("{self}.jsonl")
    }

    /// The epoch of a file.
    pub(super) fn of_file(name: &str) -> Option<Self> {
        name.strip_suffix(".jsonl")?.parse().ok()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = |day: u64| Date::of_unix_ms(day.saturating_mul(DAY_MS));
        write!(f, "{}_{}", date(self.first), date(self.last))
    }
}

/// A text is no epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the first and the last day of an epoch, such as 2026-10-31_2026-11-29")]
pub struct NoEpoch;

impl FromStr for Epoch {
    type Err = NoEpoch;

    fn from_str(text: &str) -> Result<Self, NoEpoch> {
        let (first, last) = text.split_once('_').ok_or(NoEpoch)?;
        let day = |text: &str| text.parse::<Date>().map(|date| date.unix_ms() / DAY_MS).map_err(|_| NoEpoch);
        let (first, last) = (day(first)?, day(last)?);
        if first <= last { Ok(Self { first, last }) } else { Err(NoEpoch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_counted_from_1970_have_no_gaps_and_say_their_days() {
        // 2026-11-27, day 20,784.
        let now = 20_784 * DAY_MS + 7;
        let epoch = Epoch::of(now, 30).unwrap();
        assert_eq!(epoch.to_string(), "2026-11-03_2026-12-02");
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        assert_eq!(Epoch::of_file(&epoch.file()), Some(epoch));
        assert_eq!(Epoch::of(epoch.first_ms(), 30), Some(epoch));
        assert_eq!(Epoch::of(epoch.last_ms(), 30), Some(epoch));
        let next = Epoch::of(epoch.last_ms() + 1, 30).unwrap();
        assert_eq!(next.first_ms(), epoch.last_ms() + 1);
        assert_eq!(Epoch::of(now, 1).unwrap().to_string(), "2026-11-27_2026-11-27");
        assert_eq!(Epoch::of(now, 0), None);
        for strange in ["erased", "2026-11-08", "2026-12-07_2026-11-08", "2026-11-08_x"] {
            assert_eq!(strange.parse::<Epoch>(), Err(NoEpoch), "{strange}");
        }
    }

    #[test]
    fn a_hold_covers_an_epoch_of_which_it_has_a_day() {
        let epoch: Epoch = "2026-11-08_2026-12-07".parse().unwrap();
        let held = |from: &str, to: Option<&str>| {
            let day = |text: &str| text.parse().unwrap();
            epoch.is_held(&Hold { name: String::new(), from: day(from), to: to.map(day), reason: String::new() })
        };
        assert!(held("2026-12-07", None) && held("2026-01-01", Some("2026-11-08")));
        assert!(!held("2026-12-08", None) && !held("2026-01-01", Some("2026-11-07")));
    }
}
