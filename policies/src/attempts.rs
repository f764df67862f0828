//! How often and how long a plan is tried: attempts, groups of them, failure classes, deadlines, waiting.
//!
//! Numbers only; the gateway works through them.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Serialize, Serializer};

/// How often one deployment may be asked once more, at most.
pub(crate) const MOST_AGAIN: u64 = 5;

/// How a plan's candidates are worked through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempts {
    /// The most attempts for one request, the first included.
    pub max: u32,
    /// How often a deployment is asked once more where it failed in a way that may pass and nobody else is left to try.
    #[serde(skip_serializing_if = "is_zero")]
    pub again: u32,
    /// When the next candidate is asked beside one that has not begun to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge_after: Option<HedgeAfter>,
    /// The time from the start of the request in which a new attempt may begin.
    #[serde(serialize_with = "millis")]
    pub budget: Duration,
    /// The failures after which the next candidate is tried.
    pub on: FailureClasses,
    /// How long each phase of one attempt may take.
    pub deadlines: Deadlines,
    /// Candidates that other rules hold for; a candidate names its group by its place here.
    #[serde(skip_serializing_if = "<[Group]>::is_empty")]
    pub groups: Arc<[Group]>,
}

/// What holds for some candidates of a route. The budget and the most attempts of the route hold for all groups together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The failures that its candidates answer: they are tried after one of these, before all others, and else only where
    /// nobody else may serve. Empty: they have their place in the order.
    #[serde(skip_serializing_if = "FailureClasses::is_empty")]
    pub after: FailureClasses,
    /// The most attempts at them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// The failures of theirs after which the next candidate is tried.
    pub on: FailureClasses,
    /// How long each phase of an attempt at one of them may take.
    pub deadlines: Deadlines,
}

/// How long each phase of one attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deadlines {
    /// Until the connection stands.
    #[serde(serialize_with = "millis")]
    pub connect: Duration,
    /// From there until the response headers of a stream.
    #[serde(serialize_with = "millis")]
    pub headers: Duration,
    /// From the start until the first content of a stream.
    #[serde(serialize_with = "millis")]
    pub first_token: Duration,
    /// Between two pieces of a stream.
    #[serde(serialize_with = "millis")]
    pub idle: Duration,
    /// The whole answer, streamed or not.
    #[serde(serialize_with = "millis")]
    pub total: Duration,
}

/// When a request is hedged: sent to a second candidate beside the first, whichever begins to answer first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HedgeAfter {
    /// After the time to the first token that 95 of 100 requests of this size took at the deployment; never where that
    /// was not measured yet.
    P95,
    /// After this time.
    #[serde(serialize_with = "millis", rename = "ms")]
    Time(Duration),
}

/// How long a request may wait for a candidate that is not available now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// The longest that one waits.
    #[serde(serialize_with = "millis")]
    pub wait: Duration,
    /// The most requests of the route that wait at a time.
    pub max: u32,
}

/// How answers are given again to the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reuse {
    /// For how long.
    #[serde(serialize_with = "millis")]
    pub ttl: Duration,
    /// Also where the model draws its tokens, so that it would say something else.
    pub sampled: bool,
}

impl Attempts {
    /// What holds for a candidate of a group, or of none.
    pub fn of(&self, group: Option<u8>) -> (FailureClasses, &Deadlines) {
        match group.and_then(|group| self.groups.get(usize::from(group))) {
            Some(group) => (group.on, &group.deadlines),
            None => (self.on, &self.deadlines),
        }
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            max: 3,
            again: 0,
            hedge_after: None,
            budget: Duration::from_secs(30),
            on: FailureClasses::usual(),
            deadlines: Deadlines::default(),
            groups: Arc::default(),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            headers: Duration::from_secs(10),
            first_token: Duration::from_secs(15),
            idle: Duration::from_secs(20),
            total: Duration::from_secs(300),
        }
    }
}

/// A kind of failure, as `attempts.on` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// `connect`: no connection.
    Connect,
    /// `timeout_headers`: no response headers in time.
    TimeoutHeaders,
    /// `timeout_first_token`: no first content in time.
    TimeoutFirstToken,
    /// `timeout_total`: no whole answer in time, or the backend says that it took too long.
    TimeoutTotal,
    /// `429`: at capacity, or a rate limit.
    TooManyRequests,
    /// `5xx`: the backend failed.
    ServerError,
    /// `bad_stream`: the answer broke before its first content.
    BadStream,
    /// `context_too_long`: the prompt does not fit after all.
    ContextTooLong,
    /// `auth`: the backend refuses our credentials.
    Auth,
    /// `content_filter`: a filter of the backend's turned the request away.
    ContentFilter,
}

impl FailureClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [FailureClass; 10] = [
        Self::Connect,
        Self::TimeoutHeaders,
        Self::TimeoutFirstToken,
        Self::TimeoutTotal,
        Self::TooManyRequests,
        Self::ServerError,
        Self::BadStream,
        Self::ContextTooLong,
        Self::Auth,
        Self::ContentFilter,
    ];

    /// The word of the policy language for one class.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::TimeoutHeaders => "timeout_headers",
            Self::TimeoutFirstToken => "timeout_first_token",
            Self::TimeoutTotal => "timeout_total",
            Self::TooManyRequests => "429",
            Self::ServerError => "5xx",
            Self::BadStream => "bad_stream",
            Self::ContextTooLong => "context_too_long",
            Self::Auth => "auth",
            Self::ContentFilter => "content_filter",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of failure classes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureClasses(u16);

impl FailureClasses {
    const TIMEOUT: [FailureClass; 3] =
        [FailureClass::TimeoutHeaders, FailureClass::TimeoutFirstToken, FailureClass::TimeoutTotal];

    /// The words of the policy language: one for each class, and `timeout` for each that is one.
    pub(crate) fn words() -> Vec<(&'static str, FailureClasses)> {
        let one = |class: FailureClass| (class.as_str(), Self::from_iter([class]));
        let mut words: Vec<_> = FailureClass::ALL.into_iter().map(one).collect();
        words.insert(1, ("timeout", Self::TIMEOUT.into_iter().collect()));
        words
    }

    /// After which failures the next candidate is tried unless the policy says otherwise: all but a content filter's, whose
    /// word another host is not to be asked against unless somebody wants it so.
    pub fn usual() -> Self {
        FailureClass::ALL.into_iter().filter(|class| *class != FailureClass::ContentFilter).collect()
    }

    /// Whether `class` is in the set.
    pub fn contains(self, class: FailureClass) -> bool {
        self.0 & (1 << class as u16) != 0
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// The classes of either set.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The classes of the set.
    pub fn iter(self) -> impl Iterator<Item = FailureClass> {
        FailureClass::ALL.into_iter().filter(move |class| self.contains(*class))
    }

    /// The words that say the same, the fewest.
    pub fn as_words(self) -> impl Iterator<Item = &'static str> {
        let all = Self::TIMEOUT.into_iter().all(|class| self.contains(class));
        let timeout = move |class: &FailureClass| all && Self::TIMEOUT.contains(class);
        self.iter()
            .filter(move |class| !timeout(class) || *class == Self::TIMEOUT[0])
            .map(move |class| if timeout(&class) { "timeout" } else { class.as_str() })
    }
}

impl FromIterator<FailureClass> for FailureClasses {
    fn from_iter<I: IntoIterator<Item = FailureClass>>(classes: I) -> Self {
        Self(classes.into_iter().fold(0, |set, class| set | 1 << class as u16))
    }
}

impl fmt::Debug for FailureClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for FailureClasses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.as_words())
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Durations are milliseconds in reports.
fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_stands_for_its_three_phases_both_ways() {
        let words = FailureClasses::words();
        let named = |name: &str| words.iter().find(|(word, _)| *word == name).expect("a word").1;
        assert_eq!(named("timeout").iter().count(), 3);
        assert_eq!(named("timeout").and(named("connect")).as_words().collect::<Vec<_>>(), ["connect", "timeout"]);
        assert_eq!(named("timeout_total").as_words().collect::<Vec<_>>(), ["timeout_total"]);
        assert!(!FailureClasses::usual().contains(FailureClass::ContentFilter));
    }
}
