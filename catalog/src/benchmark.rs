//! One row per benchmark: what a score in a model row means, and how far to trust it.
//!
//! A score compares only with another of the same benchmark and the same kind of checkpoint; across sources it moves by
//! points with the prompt, the shots and the code that counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Differs;

/// A benchmark, or a tool that runs them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// The key under which model rows keep its scores, for example `gpqa_diamond`.
    pub id: String,
    /// The name that people use.
    pub name: String,
    /// How a score comes about.
    pub kind: BenchmarkKind,
    /// What it asks of a model, in plain words.
    pub measures: String,
    /// The language of its questions, as in ISO 639-1; `mul` is "many".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// What a score counts. A tool has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// How many questions it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub questions: Option<u32>,
    /// Subjects, disciplines or levels, where it is cut into such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<u32>,
    /// What the best models reach, as the map states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_score: Option<f64>,
    /// The best models are so close to the end of the scale that it no longer tells them apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub saturated: bool,
    /// Its tasks in lm-evaluation-harness, to measure a model of one's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub harness_tasks: Vec<String>,
    /// Where the map of open models says something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a score comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BenchmarkKind {
    /// Answers are compared with known ones, or code is run.
    Test,
    /// Another model judges.
    JudgedByModel,
    /// People judge.
    JudgedByPeople,
    /// Runs benchmarks; has no score of its own.
    Tool,
}

/// What a score counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Right answers in a hundred.
    Percent,
    /// Contestants left behind in a hundred.
    Percentile,
    /// Points of 10.
    OutOfTen,
    /// A rating without an end; it drifts, so it needs its date.
    Elo,
}

impl Unit {
    /// The greatest score.
    pub(crate) fn most(self) -> Option<f64> {
        match self {
            Unit::Percent | Unit::Percentile => Some(100.0),
            Unit::OutOfTen => Some(10.0),
            Unit::Elo => None,
        }
    }
}
