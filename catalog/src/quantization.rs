//! One row per way to store weights in fewer bits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Differs;

/// A quantization: how many bits a weight takes, and which engines load it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// The name that deployments use, for example `q4_k_m`.
    pub id: String,
    /// The name that people use.
    pub name: String,
    /// The kind of file or packing: `gguf`, `gptq`, `awq` and so on.
    pub format: String,
    /// The least and the greatest effective bits per weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_weight: Option<[f64; 2]>,
    /// Points lost on benchmarks, least and greatest, as the map states them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_loss_points: Option<[f64; 2]>,
    /// Engines that load it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Hardware that computes with it: names as in the `hardware` of servers, or `all`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware: Vec<String>,
    /// Where the map of open models says something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
    /// Where the row was checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
