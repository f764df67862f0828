//! Where the answers of a host or a server count tokens and cost, beside the names of OpenAI's APIs, which are read
//! everywhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Paths of keys with dots between them; the first that holds a number is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsagePaths {
    /// Prompt tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompt: Vec<String>,
    /// Generated tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completion: Vec<String>,
    /// Prompt tokens read from a cache. Named too where the name is OpenAI's, as not everyone reports them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cached: Vec<String>,
    /// Prompt tokens written to a cache.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_write: Vec<String>,
    /// Generated tokens that were reasoning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasoning: Vec<String>,
    /// What the request cost, in US dollars.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cost_usd: Vec<String>,
    /// True where that cost is a fee alone, as the request was paid with a key of the customer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_only: Option<String>,
}
