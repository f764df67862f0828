//! One row per model: size and variant, never a family as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clarification::Concluded;
use crate::{Tier, Was};

/// A model of the catalog. `None` and an empty list mean "not known".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name that policies and deployments use.
    pub id: String,
    /// The name that people use.
    pub name: String,
    /// Other names people search by; not unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The line it belongs to, for example `qwen3`.
    pub family: String,
    /// Who made it.
    pub developer: String,
    /// A model, or something that is only named like one.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub kind: Kind,
    /// Whether it can be had at all.
    pub availability: Availability,
    /// `owner/name` of the weights on the model hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Parameters, in 1e9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_b: Option<f64>,
    /// Parameters used per token, in 1e9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_parameters_b: Option<f64>,
    /// `dense`, `moe`, `ssm` or `hybrid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The context window that the vendor states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// A longer window that needs another setting or checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_extended_tokens: Option<u64>,
    /// The most tokens of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// What goes in and what comes out.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub modalities: Modalities,
    /// ISO 639-1 codes (639-3 where there is none); `mul` is "many, no list given".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// The languages it is good at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strong_languages: Vec<String>,
    /// The licence of the weights: its id, or an expression of ids and SPDX identifiers with AND, OR and WITH.
    pub license: String,
    /// The branch that was taken of each OR of the expression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen_licenses: Vec<String>,
    /// Licences that hold beside it, for example that of the base model. All of them bind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_licenses: Vec<String>,
    /// The strictest tier over all licences.
    pub tier: Tier,
    /// What it is asked for; writing text unless it says otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
    /// `tools`, `json_schema`, `reasoning` and so on, as far as known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// What it is for: `flagship`, `code`, `korean`, `edge` and so on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Scores by benchmark.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub benchmarks: BTreeMap<String, f64>,
    /// The checkpoint that the scores belong to: `base`, `chat`, `instruct`. Do not compare across them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmarks_of: Option<String>,
    /// Who published the scores: `vendor`, `third_party` or `map`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmarks_by: Option<String>,
    /// `weights`, `weights+code`, `fully-open` or `closed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openness: Option<String>,
    /// The model it was made from, by a name that the catalog has no row for. Its licences stand in `also_licenses`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The models of the catalog that it was made from. Their licences bind as far as they reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// ISO date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_date: Option<String>,
    /// ISO date on which the vendor's API ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_date: Option<String>,
    /// The model to use instead, where this one cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// `high`, `medium` or `low`: how well the row could be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<String>,
    /// Where the row was checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Fields where the map of open models says something else than the vendor; the row holds the vendor's value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What the row said earlier, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub was: Vec<Was>,
    /// What was worked out when the catalog was built.
    #[serde(skip)]
    #[schemars(skip)]
    pub(crate) resolved: Resolved,
}

impl Model {
    /// Every licence that binds its user: that of the weights, those that hold beside it, and those that reach it from
    /// the models it was made from.
    pub fn licenses(&self) -> impl Iterator<Item = &str> {
        self.own_licenses().chain(self.resolved.inherited.iter().map(|id| &**id))
    }

    /// The licences that the row itself states.
    pub(crate) fn own_licenses(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.license.as_str()).chain(self.also_licenses.iter().map(String::as_str))
    }

    /// What it reads.
    pub fn input(&self) -> &[Modality] {
        &self.modalities.input
    }

    /// What it writes.
    pub fn output(&self) -> &[Modality] {
        &self.modalities.output
    }

    /// Whether it is asked for this.
    pub fn does(&self, task: Task) -> bool {
        if self.tasks.is_empty() { task == Task::Generation } else { self.tasks.contains(&task) }
    }

    /// The model that it adapts, where its row says that it is an adapter.
    pub fn adapts(&self) -> Option<&str> {
        self.parents.iter().find(|parent| parent.by == Derivation::Adapter).map(|parent| parent.of.as_str())
    }

    /// Whether it takes more than text.
    pub fn is_multimodal(&self) -> bool {
        self.modalities.input.iter().any(|modality| *modality != Modality::Text)
    }
}

/// What a model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Text that goes on from a prompt or a conversation.
    Generation,
    /// Vectors of texts.
    Embeddings,
    /// The order of documents by what a query asks.
    Rerank,
    /// Whether a text is harmful, by kind of harm.
    Moderations,
    /// Pictures from a text.
    Images,
    /// Sound from a text.
    Speech,
    /// Text from sound.
    Transcriptions,
}

/// A model that another was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// Its catalog id; `unknown` for one that nobody could name, whose licence is then not known either.
    pub of: String,
    /// How the model was made from it.
    pub by: Derivation,
}

/// How a model was made from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Derivation {
    /// Its weights were trained on.
    FineTune,
    /// Its weights were stored in fewer bits.
    Quantization,
    /// Its weights went into a mixture of several.
    Merge,
    /// It is loaded below; this is an adapter.
    Adapter,
    /// It was trained on what the other wrote.
    Distillation,
    /// It was trained on this data set, or on data that this model wrote a part of. No licence reaches it by that; a
    /// decision says what to look at.
    TrainedOn,
}

/// What a catalog works out for each of its models. A clone is no longer that row of the catalog: whoever clones a model
/// may change it, and decisions that were worked out must not outlive that.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// The number of the row; `None` for a model that is in no catalog.
    pub(crate) at: Option<usize>,
    /// The ids of the licences that reach it from its parents.
    pub(crate) inherited: Vec<Arc<str>>,
    /// Whose licence it states, where it stands for certain weights.
    pub(crate) concluded: Option<Concluded>,
}

impl Clone for Resolved {
    fn clone(&self) -> Resolved {
        Resolved { at: None, inherited: self.inherited.clone(), concluded: self.concluded.clone() }
    }
}

impl PartialEq for Resolved {
    /// It follows from the rows, so it tells no two of them apart.
    fn eq(&self, _: &Resolved) -> bool {
        true
    }
}

/// What goes in and what comes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Modalities {
    /// What it reads.
    pub input: Vec<Modality>,
    /// What it writes.
    pub output: Vec<Modality>,
}

impl Default for Modalities {
    fn default() -> Self {
        Modalities { input: vec![Modality::Text], output: vec![Modality::Text] }
    }
}

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Modality {
    /// Text.
    Text,
    /// Pictures.
    Image,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// Vectors.
    Embedding,
}

/// Whether a model can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Availability {
    /// The weights are published.
    Downloadable,
    /// Only through the vendor's API.
    ApiOnly,
    /// Was an API only, and that has ended.
    RetiredApi,
    /// Announced, never published.
    NotReleased,
    /// There is no such model.
    DoesNotExist,
    /// A project, recipe or data set, not a model.
    Project,
    /// Not known.
    Unknown,
}

/// What a row stands for. Only a `model` can serve a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One set of weights.
    #[default]
    Model,
    /// A line of models.
    Family,
    /// A group of organisations named without a model.
    OrganisationGroup,
    /// A label of a scenario.
    ScenarioLabel,
    /// A project.
    Project,
    /// A training recipe.
    Recipe,
    /// A data set.
    Dataset,
    /// A product built on models.
    Product,
}

/// One field where map and vendor say different things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Differs {
    /// The field.
    pub field: String,
    /// What the map says.
    pub map: String,
    /// What the vendor says.
    pub vendor: String,
    /// Where that was seen; left out where `sources` of the row say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// The licence tier in which the map's word would put a model, where that is not the tier of the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_tier: Option<Tier>,
}
