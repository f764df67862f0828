//! One row per model name at a host: what a price list said, and when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A published price. A row says that a price was published; not that the host serves the model today.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The host.
    pub host: String,
    /// The model's name at the host.
    pub name: String,
    /// The catalog model, where the row could be tied to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How the checkpoint served relates to the catalog model.
    pub relation: Relation,
    /// USD per million prompt tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_usd_per_million: Option<f64>,
    /// USD per million output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_usd_per_million: Option<f64>,
    /// USD per million prompt tokens read from the host's cache. `None` is unknown, not free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_usd_per_million: Option<f64>,
    /// The context window at this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// The most tokens of one answer at this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// `tools`, `json_schema`, `reasoning` and so on, as the price list has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// The month of the newest price list that has the row.
    pub as_of: String,
    /// Whether the row still stands.
    pub status: ListingStatus,
    /// ISO date after which the host stops serving it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// Figures that look like placeholders in the source: `price`, `context`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspect: Vec<String>,
}

impl Price {
    /// Whether the newest price list still offered it.
    pub fn is_offered(&self) -> bool {
        matches!(self.status, ListingStatus::Listed | ListingStatus::Ending)
    }
}

/// Whether a price row still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListingStatus {
    /// In the newest list.
    Listed,
    /// In the newest list with an end date to come.
    Ending,
    /// In the newest list with an end date that has passed.
    Ended,
    /// Gone from the newest list.
    Dropped,
}

/// How a checkpoint at a host relates to the catalog model. Ordered, the closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The same weights.
    Exact,
    /// The same model, quantized or with another context window.
    Variant,
    /// The checkpoint before instruction tuning.
    BaseCheckpoint,
    /// Another checkpoint of the same line.
    Family,
}
