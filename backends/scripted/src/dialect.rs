//! How hosts say that a rate limit is used up: their header families, and their bodies where those differ.
//!
//! Each family is as the host documents it, with a limit that is free again two seconds from now. They differ in more
//! than names: a reset may be seconds, a duration, a moment of RFC 3339, or Unix seconds or milliseconds.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::{answer, fault::UnknownFault};

/// Until the limit is free again.
const WAIT: Duration = Duration::from_secs(2);

/// The host whose way of refusing is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI: `x-ratelimit-*-requests` and `-tokens`; resets are durations such as `6m0s`.
    OpenAi,
    /// Azure OpenAI: `retry-after` and `retry-after-ms`, what is left without a reset.
    Azure,
    /// Anthropic: `anthropic-ratelimit-*`; resets are moments of RFC 3339. A body of its own.
    Anthropic,
    /// Groq: OpenAI's names and `retry-after`; requests are counted a day, tokens a minute.
    Groq,
    /// Together: `x-ratelimit-*` and `x-tokenlimit-*`; resets are seconds.
    Together,
    /// Fireworks: what is left, and `x-ratelimit-over-limit`; no word on when.
    Fireworks,
    /// OpenRouter: headers inside the body; resets are Unix milliseconds.
    OpenRouter,
    /// Cerebras: a family for each window; resets are seconds with a fraction.
    Cerebras,
    /// SambaNova: `x-ratelimit-*-requests` and `-requests-day`; resets are Unix seconds.
    SambaNova,
    /// Replicate: `ratelimit-*`, and a body with `detail`.
    Replicate,
}

impl Dialect {
    /// Every dialect with its name.
    pub const ALL: [(&str, Dialect); 10] = [
        ("openai", Self::OpenAi),
        ("azure", Self::Azure),
        ("anthropic", Self::Anthropic),
        ("groq", Self::Groq),
        ("together", Self::Together),
        ("fireworks", Self::Fireworks),
        ("openrouter", Self::OpenRouter),
        ("cerebras", Self::Cerebras),
        ("sambanova", Self::SambaNova),
        ("replicate", Self::Replicate),
    ];

    /// The headers of a refusal at a moment.
    pub(crate) fn headers(self, now: SystemTime) -> HeaderMap {
        let unix = (now + WAIT).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let moment = jiff::Timestamp::from_second(unix.as_secs() as i64).unwrap_or_default().to_string();
        let seconds = unix.as_secs().to_string();
        let rows: &[(&'static str, &str)] = match self {
            Self::OpenAi => &[
                ("x-ratelimit-limit-requests", "60"),
                ("x-ratelimit-limit-tokens", "150000"),
                ("x-ratelimit-remaining-requests", "59"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-reset-tokens", "2s"),
            ],
            Self::Azure => &[
                ("retry-after", "2"),
                ("retry-after-ms", "2000"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-remaining-tokens", "0"),
            ],
            Self::Anthropic => &[
                ("retry-after", "2"),
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", &moment),
                ("anthropic-ratelimit-tokens-limit", "40000"),
                ("anthropic-ratelimit-tokens-remaining", "39000"),
                ("anthropic-ratelimit-tokens-reset", &moment),
            ],
            Self::Groq => &[
                ("retry-after", "2"),
                ("x-ratelimit-limit-requests", "14400"),
                ("x-ratelimit-limit-tokens", "18000"),
                ("x-ratelimit-remaining-requests", "14370"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-requests", "2m59.56s"),
                ("x-ratelimit-reset-tokens", "2s"),
            ],
            Self::Together => &[
                ("x-ratelimit-limit", "10"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "2"),
                ("x-tokenlimit-limit", "3000"),
                ("x-tokenlimit-remaining", "2900"),
            ],
            Self::Fireworks => &[
                ("x-ratelimit-limit-requests", "600"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-over-limit", "yes"),
            ],
            Self::OpenRouter => &[],
            Self::Cerebras => &[
                ("x-ratelimit-limit-requests-day", "14400"),
                ("x-ratelimit-remaining-requests-day", "14370"),
                ("x-ratelimit-reset-requests-day", "33011.382867"),
                ("x-ratelimit-limit-tokens-minute", "60000"),
                ("x-ratelimit-remaining-tokens-minute", "0"),
                ("x-ratelimit-reset-tokens-minute", "2.0"),
            ],
            Self::SambaNova => &[
                ("x-ratelimit-limit-requests", "20"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", &seconds),
                ("x-ratelimit-limit-requests-day", "400"),
                ("x-ratelimit-remaining-requests-day", "380"),
                ("x-ratelimit-reset-requests-day", &seconds),
            ],
            Self::Replicate => &[("retry-after", "2"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "2")],
        };
        rows.iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?)))
            .collect()
    }

    /// The body of a refusal at a moment.
    pub(crate) fn body(self, status: u16, now: SystemTime) -> Value {
        let message = format!("scripted rate limit (status {status})");
        match self {
            Self::Anthropic => {
                json!({"type": "error", "error": {"type": "rate_limit_error", "message": message}})
            }
            Self::Fireworks => json!({"error": {"object": "error", "type": "rate_limit_error", "message": message}}),
            Self::OpenRouter => {
                let unix = (now + WAIT).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let headers = json!({
                    "X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0",
                    "X-RateLimit-Reset": unix.as_millis().to_string(),
                });
                json!({"error": {"code": status, "message": message, "metadata": {"headers": headers}}})
            }
            Self::Replicate => json!({"title": "Too many requests", "detail": message, "status": status}),
            _ => answer::error(&message, "tokens", "rate_limit_exceeded".into()),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, dialect)| dialect == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for Dialect {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, dialect)| *dialect).ok_or(UnknownFault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_that_are_moments_lie_two_seconds_ahead() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        assert_eq!(Dialect::SambaNova.headers(now)["x-ratelimit-reset-requests"], "1767225602");
        assert_eq!(Dialect::Anthropic.headers(now)["anthropic-ratelimit-tokens-reset"], "2026-01-01T00:00:02Z");
        let body = Dialect::OpenRouter.body(429, now);
        assert_eq!(body["error"]["metadata"]["headers"]["X-RateLimit-Reset"], "1767225602000");
    }
}
