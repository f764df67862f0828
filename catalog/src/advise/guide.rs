//! The selection matrix, its five questions, the licences to look at first and the traps that need a word:
//! `data/advice.yaml`.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::{Differs, Modality, Purpose, Tier, builtin};

/// 1e9 bytes.
pub(super) const GB: u64 = 1_000_000_000;

/// What advice starts from. Read once; [`Guide::builtin`] is the only one there is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guide {
    /// Ways to store weights, by id, the best first.
    quantizations: Vec<String>,
    /// Checkpoints to tune, not to talk to.
    bases: Vec<String>,
    scenarios: Vec<Scenario>,
    questions: Vec<Fork>,
    licenses: Vec<LicenseFirst>,
    traps: Vec<Trap>,
}

/// A row of the matrix.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The name that a question uses.
    pub id: String,
    /// The row of the map's table, from 1.
    pub row: u8,
    /// What it is about.
    pub title: String,
    /// The language that a model must know, unless the question states another.
    #[serde(default)]
    pub language: Option<String>,
    /// What a model must read.
    #[serde(default)]
    pub reads: Vec<Modality>,
    /// The strictest tier.
    #[serde(default)]
    pub max_tier: Option<Tier>,
    /// Data and code must be open beside the weights.
    #[serde(default)]
    pub fully_open: bool,
    /// What a model that the row does not name must be for; any of them is enough, and none asks for nothing.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Hosts whose offers come first; a model that the row does not name needs one of them.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The memory that the row speaks of, in 1e9 bytes.
    #[serde(default)]
    pub memory_gb: Option<u64>,
    #[serde(default)]
    quantizations: Vec<String>,
    /// The order of models that the row does not name.
    #[serde(default)]
    pub order: Order,
    /// The row is about training: what serving takes says nothing.
    #[serde(default)]
    pub trains: bool,
    /// Where models of the questions go.
    #[serde(default)]
    pub(super) answers: Answers,
    /// The map's first choice; several where it names a line.
    pub first: Vec<String>,
    /// The map's second choice.
    pub second: Vec<String>,
    /// What to take where a licence rules the map's choices out for business.
    pub fallbacks: Vec<String>,
    /// Where the map and the vendors say different things of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
    /// What one should know, corrections by vendors among it.
    pub note: String,
}

/// The order of models that a row does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The newest year first, then the largest.
    #[default]
    Newest,
    /// The lowest price at a host first.
    Cheapest,
}

/// Where the models that the questions name go, beside a row's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answers {
    Before,
    #[default]
    After,
}

/// One of the five questions.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// Its number on the map.
    pub n: u8,
    /// The question.
    pub asks: String,
    /// What may be answered.
    pub answers: Vec<ForkAnswer>,
    /// Where the map and the vendors say different things of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
}

/// An answer to one of the five questions.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForkAnswer {
    /// What follows.
    pub says: String,
    /// How the command line says it.
    pub flags: String,
    /// The scenario that its models are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The memory that its models are for, in 1e9 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gb: Option<u64>,
    /// The models that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
}

/// Which tier to look at first, and when.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LicenseFirst {
    /// When.
    pub when: String,
    /// The purposes that it follows from; none where it is a matter of taste.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<Purpose>,
    /// The tier.
    pub tier: Tier,
    /// What to do.
    pub says: String,
}

/// A trap that the map warns of, where the vendors say otherwise or more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trap {
    /// Its number on the map.
    pub n: u8,
    /// What it is about.
    pub title: String,
    /// What the vendors say.
    pub differs: Vec<Differs>,
}

impl Guide {
    /// The guide that is built into the program.
    pub fn builtin() -> &'static Guide {
        static GUIDE: OnceLock<Guide> = OnceLock::new();
        GUIDE.get_or_init(|| builtin::read(builtin::ADVICE))
    }

    /// Every scenario, in the order of the matrix.
    pub fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    /// The scenario with this id.
    pub fn scenario(&self, id: &str) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.id == id)
    }

    /// The scenario of a question that names none: reproducible before a language, a language before a memory; general
    /// use where nothing is said. A language without a row of its own is general use in that language.
    pub fn scenario_for(&self, language: Option<&str>, fully_open: bool, has_memory: bool) -> &Scenario {
        let by = |pick: &dyn Fn(&Scenario) -> bool| self.scenarios.iter().find(|scenario| pick(scenario));
        let found = match (fully_open, language, has_memory) {
            (true, ..) => by(&|scenario| scenario.fully_open),
            (_, Some(language), _) => by(&|scenario| scenario.language.as_deref() == Some(language)),
            (_, None, true) => by(&|scenario| scenario.memory_gb.is_some()),
            (_, None, false) => None,
        };
        // The matrix starts with general use, and a test holds it to that.
        found.unwrap_or(&self.scenarios[0])
    }

    /// The five questions.
    pub fn questions(&self) -> &[Fork] {
        &self.questions
    }

    /// Which licences to look at first.
    pub fn licenses(&self) -> &[LicenseFirst] {
        &self.licenses
    }

    /// The traps of which the vendors say otherwise or more, by number.
    pub fn traps(&self) -> &[Trap] {
        &self.traps
    }

    /// Ways to store weights that a scenario looks at, by id, the best first.
    pub fn quantizations<'a>(&'a self, scenario: &'a Scenario) -> &'a [String] {
        if scenario.quantizations.is_empty() { &self.quantizations } else { &scenario.quantizations }
    }

    /// The questions whose answers name models for a scenario, each with the most particular of those answers: that of
    /// the largest memory which the question has.
    pub(super) fn answers(&'static self, scenario: &str, memory_bytes: Option<u64>) -> Vec<(u8, &'static ForkAnswer)> {
        let applies = |answer: &&ForkAnswer| {
            answer.scenario.as_deref() == Some(scenario)
                && answer.memory_gb.is_none_or(|gb| memory_bytes.is_some_and(|memory| gb * GB <= memory))
        };
        let best = |fork: &'static Fork| {
            let answer = fork.answers.iter().filter(applies).max_by_key(|answer| answer.memory_gb)?;
            Some((fork.n, answer))
        };
        self.questions.iter().filter_map(best).collect()
    }

    /// Whether a model is a checkpoint to tune, not to talk to.
    pub(super) fn is_base(&self, id: &str) -> bool {
        self.bases.iter().any(|base| base == id)
    }

    /// Which tier to look at first for a purpose.
    pub fn license_first(&self, purpose: Purpose) -> Option<&LicenseFirst> {
        self.licenses.iter().find(|first| first.purposes.contains(&purpose))
    }
}
