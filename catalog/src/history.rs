//! What the catalog said of a model's licences, and when: as of one day, as known on another.
//!
//! Two clocks. A `was` entry holds on the days of its terms (`valid_from` until the day before `valid_to`) as they were
//! known on the days of its record (`recorded` until the day before `corrected`); everywhere else the row itself holds.
//! So a change of terms has a `valid_to`, and a mistake has a day on which it was `corrected`.
//!
//! Pure: no clock; whoever asks says both days. Decides nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Date, Model};

/// What a model row said earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Was {
    /// The licence that it stated.
    pub license: String,
    /// The licences that it stated beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_licenses: Vec<String>,
    /// The first day on which these terms applied, as it was thought then.
    pub valid_from: Date,
    /// The first day on which they no longer did; left out where they were thought to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Date>,
    /// The first day on which this was said: in this row, or by the vendor where the row is younger.
    pub recorded: Date,
    /// The first day on which it was no longer said; left out where it is still thought right for its days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Date>,
    /// What changed, and where that was seen.
    pub why: String,
}

impl Was {
    /// Every licence that it stated.
    pub fn licenses(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.license.as_str()).chain(self.also_licenses.iter().map(String::as_str))
    }

    fn holds(&self, valid_at: Date, known_at: Date) -> bool {
        within(self.valid_from, self.valid_to, valid_at) && within(self.recorded, self.corrected, known_at)
    }

    /// Whether some pair of days falls under both entries, so that they would contradict each other.
    pub(crate) fn meets(&self, other: &Was) -> bool {
        let meet = |from: Date, to: Option<Date>, other_from: Date, other_to: Option<Date>| {
            to.is_none_or(|to| other_from < to) && other_to.is_none_or(|other_to| from < other_to)
        };
        meet(self.valid_from, self.valid_to, other.valid_from, other.valid_to)
            && meet(self.recorded, self.corrected, other.recorded, other.corrected)
    }
}

/// Whether `day` lies in a span that begins on `from` and ends before `to`.
fn within(from: Date, to: Option<Date>, day: Date) -> bool {
    from <= day && to.is_none_or(|to| day < to)
}

/// The licences of a model on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// The licence of the weights.
    pub license: &'a str,
    /// Licences that held beside it.
    pub also_licenses: &'a [String],
    /// The entry that says so; `None` where it is the row as it stands.
    pub was: Option<&'a Was>,
}

impl<'a> Terms<'a> {
    /// All of them.
    pub fn licenses(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        std::iter::once(self.license).chain(self.also_licenses.iter().map(String::as_str))
    }
}

/// The licences that held for `model` on the day `valid_at`, as they were known on the day `known_at`.
///
/// `None` where nothing is known: before the release, or before the first record. That is never "no restriction".
/// A row without history counts as known since its release.
pub fn as_of(model: &Model, valid_at: Date, known_at: Date) -> Option<Terms<'_>> {
    if let Some(was) = model.was.iter().find(|was| was.holds(valid_at, known_at)) {
        return Some(Terms { license: &was.license, also_licenses: &was.also_licenses, was: Some(was) });
    }
    let released = model.release_date.as_deref().and_then(|date| date.parse().ok());
    let first_valid = released.into_iter().chain(model.was.iter().map(|was| was.valid_from)).min();
    let first_known = model.was.iter().map(|was| was.recorded).min().or(released);
    let unknown =
        first_valid.is_some_and(|first| valid_at < first) || first_known.is_some_and(|first| known_at < first);
    (!unknown).then_some(Terms { license: &model.license, also_licenses: &model.also_licenses, was: None })
}

#[cfg(test)]
mod tests;
