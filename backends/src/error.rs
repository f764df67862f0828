//! Why a backend could not finish a generation.

use std::time::Duration;

use bytes::Bytes;

/// Why a backend could not finish a generation, cut by what the gateway can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// No slot, queue full, or an upstream's 429 or 503 "overloaded".
    #[error("at capacity")]
    Overloaded {
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
    },
    /// Its model is not in memory yet.
    #[error("its model is {}", loading(*percent))]
    Loading {
        /// How much of the loading is done, in percent; `None` while it waits for room.
        percent: Option<u8>,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// The prompt does not fit.
    #[error("the prompt has {got} tokens and the context window holds {limit}")]
    PromptTooLong {
        /// Tokens of the prompt.
        got: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// A field of the request asks for what this backend cannot do.
    #[error("`{param}`: {reason}")]
    Unsupported {
        /// The request field.
        param: &'static str,
        /// What is wrong and what would be accepted.
        reason: String,
    },
    /// No connection.
    #[error("could not connect")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came within the deadline of a phase.
    #[error("timed out waiting for {phase}")]
    Timeout {
        /// What was waited for.
        phase: Phase,
    },
    /// The upstream answered with a status that is no success.
    #[error("answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its body, bounded, for an error that is the caller's own fault.
        body: Bytes,
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
    },
    /// The stream broke, was malformed, or ended without its terminal event.
    #[error("broken stream: {reason}")]
    BrokenStream {
        /// What was wrong with it.
        reason: String,
    },
    /// An error of the backend itself.
    #[error("failed: {reason}")]
    Internal {
        /// What failed.
        reason: String,
    },
}

/// A phase of an attempt with a deadline of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// TCP and TLS.
    Connect,
    /// Response headers.
    Headers,
    /// The first content.
    FirstToken,
    /// The next bytes.
    Idle,
    /// The whole answer.
    Total,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "a connection",
            Self::Headers => "response headers",
            Self::FirstToken => "the first token",
            Self::Idle => "the next bytes",
            Self::Total => "the whole answer",
        })
    }
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is wrong; it would fail elsewhere too, or needs another model.
    Caller,
    /// The backend failed.
    Backend,
    /// We failed.
    Us,
}

/// The failure classes that a policy's `attempts.on` speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `connect`
    Connect,
    /// `timeout`
    Timeout,
    /// `429`
    TooManyRequests,
    /// `5xx`
    ServerError,
    /// `bad_stream`
    BadStream,
    /// `auth`: the upstream refuses our credentials.
    Auth,
    /// `context_too_long`
    ContextTooLong,
    /// `content_filter`: a filter of the backend's turned the request away.
    ContentFilter,
    /// `caller`: the request itself is wrong.
    Caller,
}

impl BackendError {
    /// The failure class.
    pub fn class(&self) -> Class {
        match self {
            Self::Overloaded { .. } | Self::Loading { .. } => Class::TooManyRequests,
            Self::PromptTooLong { .. } => Class::ContextTooLong,
            Self::Unsupported { .. } => Class::Caller,
            Self::Connect(_) | Self::Timeout { phase: Phase::Connect } => Class::Connect,
            Self::Timeout { .. } => Class::Timeout,
            Self::Status { status, body, .. } => match status {
                401..=403 => Class::Auth,
                408 => Class::Timeout,
                // The caller chose neither the address, nor the model's name there, nor how it is asked: the deployment is
                // out of date.
                404 | 405 | 406 | 410 | 411 | 415 | 421 => Class::ServerError,
                // Its state, which another does not share.
                409 | 423 | 425 => Class::ServerError,
                429 => Class::TooManyRequests,
                400..=499 => refusal(body).unwrap_or(Class::Caller),
                _ => Class::ServerError,
            },
            Self::BrokenStream { .. } => Class::BadStream,
            Self::Internal { .. } => Class::ServerError,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self.class() {
            Class::ContextTooLong | Class::ContentFilter | Class::Caller => Fault::Caller,
            _ => Fault::Backend,
        }
    }

    /// Whether another candidate may succeed where this one failed.
    ///
    /// A request that is wrong in itself fails everywhere; one that is too long, that a filter turned away or that asks
    /// for something which this backend lacks may be served elsewhere.
    pub fn try_next(&self) -> bool {
        !matches!(self, Self::Status { .. } if self.class() == Class::Caller)
    }

    /// A stable code for clients, metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Overloaded { .. } => "backend.overloaded",
            Self::Loading { .. } => "backend.loading",
            Self::PromptTooLong { .. } => "context_length_exceeded",
            Self::Unsupported { .. } => "backend.unsupported",
            Self::Connect(_) => "backend.connect",
            Self::Timeout { .. } => "backend.timeout",
            Self::Status { .. } => match self.class() {
                Class::Auth => "backend.auth",
                Class::TooManyRequests => "backend.overloaded",
                Class::Timeout => "backend.timeout",
                Class::Caller => "backend.refused",
                Class::ContextTooLong => "context_length_exceeded",
                Class::ContentFilter => "backend.content_filter",
                _ => "backend.failed",
            },
            Self::BrokenStream { .. } => "backend.broken_stream",
            Self::Internal { .. } => "backend.internal",
        }
    }

    /// When to come back, if the backend said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after } | Self::Loading { retry_after, .. } | Self::Status { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }
}

/// How far the loading of a model is.
fn loading(percent: Option<u8>) -> String {
    match percent {
        Some(percent) => format!("being loaded, {percent} % done"),
        None => "to be loaded, and waits for room in memory".to_owned(),
    }
}

/// What the code of a refusal says, where it is one that another backend may not give. The words are those of OpenAI,
/// Azure OpenAI, the hosts that follow them, and llama.cpp.
fn refusal(body: &[u8]) -> Option<Class> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let report = body.get("error").filter(|error| error.is_object()).unwrap_or(&body);
    let is =
        |words: &[&str]| ["code", "type"].iter().any(|key| report[*key].as_str().is_some_and(|w| words.contains(&w)));
    if is(&["context_length_exceeded", "exceed_context_size_error"]) {
        return Some(Class::ContextTooLong);
    }
    is(&["content_filter", "content_policy_violation", "moderation_blocked"]).then_some(Class::ContentFilter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_another_backend_may_not_give_is_no_mistake_of_the_caller() {
        let refused = |body: &'static str| BackendError::Status {
            status: 400,
            body: Bytes::from_static(body.as_bytes()),
            retry_after: None,
        };
        for (body, class, next) in [
            (r#"{"error": {"code": "content_filter", "message": "no"}}"#, Class::ContentFilter, true),
            (r#"{"error": {"type": "content_policy_violation"}}"#, Class::ContentFilter, true),
            (r#"{"code": "context_length_exceeded"}"#, Class::ContextTooLong, true),
            (r#"{"error": {"code": 400, "type": "exceed_context_size_error"}}"#, Class::ContextTooLong, true),
            (r#"{"error": {"code": "invalid_value"}}"#, Class::Caller, false),
            (r#"{"error": "content_filter"}"#, Class::Caller, false),
            ("content_filter", Class::Caller, false),
        ] {
            let error = refused(body);
            assert_eq!((error.class(), error.try_next(), error.fault()), (class, next, Fault::Caller), "{body}");
        }
    }

    #[test]
    fn a_status_tells_whose_fault_it_is_and_whether_to_go_on() {
        let at = |status| BackendError::Status { status, body: Bytes::new(), retry_after: None };
        for (status, class, next) in [
            (400, Class::Caller, false),
            (401, Class::Auth, true),
            (404, Class::ServerError, true),
            (408, Class::Timeout, true),
            (409, Class::ServerError, true),
            (415, Class::ServerError, true),
            (422, Class::Caller, false),
            (429, Class::TooManyRequests, true),
            (500, Class::ServerError, true),
            (529, Class::ServerError, true),
        ] {
            assert_eq!((at(status).class(), at(status).try_next()), (class, next), "{status}");
        }
    }
}
