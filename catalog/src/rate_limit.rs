//! In which response headers a host tells how much of its limits is left. Names only: the numbers are the caller's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One limit of a host, as its response headers tell it.
///
/// The notation of a moment is not stated: seconds, durations (`2m59.56s`), moments of RFC 3339, HTTP dates and Unix
/// seconds or milliseconds cannot be taken for one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// What is counted.
    pub of: Limited,
    /// How it comes back.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub refills: Refill,
    /// The header that tells the whole limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The header that tells what is left of it.
    pub remaining: String,
    /// The header that tells when it is whole again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<String>,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Limited {
    /// Requests.
    Requests,
    /// Tokens, of the prompt, of the answer or of both.
    Tokens,
}

/// How a limit that is used up comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Refill {
    /// All of it at the moment of the reset.
    #[default]
    AtOnce,
    /// Little by little; the reset is when it is full, and requests pass long before.
    Gradually,
}
