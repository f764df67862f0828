//! One row per way to store weights in fewer bits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A quantization: how many bits a weight takes, and which engines load it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// The name that deployments use, for example `q4_k_m`.
    pub id: String,
    /// The name that people use.
    pub name: String,
    /// The least and the greatest effective bits per weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_weight: Option<[f64; 2]>,
    /// Points lost on benchmarks, least and greatest, as the map states them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_loss_points: Option<[f64; 2]>,
    /// Engines that load it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
