//! One row per way to train a model further, and per tool for it.
//!
//! What comes out of it is an artefact with licences of its own: an adapter is a derivative of its base, and what was
//! trained on a model's answers may be bound by that model's terms.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Differs;

/// A method of fine-tuning, or a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FineTuning {
    /// A short name.
    pub id: String,
    /// The name that people use.
    pub name: String,
    /// A method, a tool or a service.
    pub kind: FineTuningKind,
    /// What it does, in plain words.
    pub does: String,
    /// What comes out of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makes: Vec<Makes>,
    /// Rows of this list that it carries out (a tool) or builds on (a method).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<String>,
    /// The host that runs it, for a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What its result owes to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binds: Option<Binds>,
    /// Where the map of open models says something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a row of fine-tuning is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FineTuningKind {
    /// A way to train.
    Method,
    /// Software that trains.
    Tool,
    /// Somebody else's machines that train.
    Service,
    /// Makes the data to train on.
    DataSynthesis,
}

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Makes {
    /// A whole set of weights.
    Weights,
    /// A small set that is served on top of its base.
    Adapter,
    /// Data to train on.
    TrainingData,
}

/// Whose terms reach the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Binds {
    /// Those of the model that is trained: the result keeps its licence, its naming and display rules.
    Base,
    /// Those of the base, and of the model whose answers are trained on, where its licence binds answers.
    BaseAndTeacher,
}
