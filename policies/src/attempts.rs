//! How often and how long a plan is tried: attempts, failure classes, deadlines.
//!
//! Numbers only; the gateway works through them.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

/// How a plan's candidates are worked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attempts {
    /// The most attempts for one request, the first included.
    pub max: u32,
    /// The time from the start of the request in which a new attempt may begin.
    #[serde(serialize_with = "millis")]
    pub budget: Duration,
    /// The failures after which the next candidate is tried.
    pub on: FailureClasses,
    /// How long each phase of one attempt may take.
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

impl Default for Attempts {
    fn default() -> Self {
        Self { max: 3, budget: Duration::from_secs(30), on: FailureClasses::all(), deadlines: Deadlines::default() }
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
    /// `timeout`: a deadline passed.
    Timeout,
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
}

impl FailureClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [FailureClass; 7] = [
        Self::Connect,
        Self::Timeout,
        Self::TooManyRequests,
        Self::ServerError,
        Self::BadStream,
        Self::ContextTooLong,
        Self::Auth,
    ];

    /// The word of the policy language.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::TooManyRequests => "429",
            Self::ServerError => "5xx",
            Self::BadStream => "bad_stream",
            Self::ContextTooLong => "context_too_long",
            Self::Auth => "auth",
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
pub struct FailureClasses(u8);

impl FailureClasses {
    /// Every class.
    pub fn all() -> Self {
        FailureClass::ALL.into_iter().collect()
    }

    /// Whether `class` is in the set.
    pub fn contains(self, class: FailureClass) -> bool {
        self.0 & (1 << class as u8) != 0
    }

    /// The classes of the set.
    pub fn iter(self) -> impl Iterator<Item = FailureClass> {
        FailureClass::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

impl FromIterator<FailureClass> for FailureClasses {
    fn from_iter<I: IntoIterator<Item = FailureClass>>(classes: I) -> Self {
        Self(classes.into_iter().fold(0, |set, class| set | 1 << class as u8))
    }
}

impl fmt::Debug for FailureClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for FailureClasses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(FailureClass::as_str))
    }
}

/// Durations are milliseconds in reports.
fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
