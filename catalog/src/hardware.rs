//! One row per piece of hardware that models run on: memory, and what it computes without unpacking.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Differs;

/// A GPU, another chip, a computer or a link between chips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// A short name.
    pub id: String,
    /// The name that people use.
    pub name: String,
    /// What it is.
    pub kind: HardwareKind,
    /// Who makes it.
    pub vendor: String,
    /// Memory that weights and caches share, in 1e9 bytes, one figure per version. An empty list is "not known".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory_gb: Vec<f64>,
    /// The names that `hardware` of a server row has for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_hardware: Vec<String>,
    /// Quantizations in which it computes; others it unpacks first, if it can read them at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub computes: Vec<String>,
    /// The host that rents it out, where it is had in no other way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where the map of open models says something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a piece of hardware is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HardwareKind {
    /// A graphics card with memory of its own.
    Gpu,
    /// A chip made for models alone.
    Accelerator,
    /// A computer whose processor and graphics share one memory.
    UnifiedMemory,
    /// A small computer.
    Board,
    /// What joins chips, and bounds how fast several of them serve one model.
    Link,
}
