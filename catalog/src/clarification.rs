//! What counsel concluded about the licence of certain weights, as rows of a company's catalog file.
//!
//! A clarification speaks of files, not of a name: it holds for weights whose digest it states, beside licence files whose
//! digests it states. Over weights that it does not speak of, the model that it names is not known: a name may have been
//! kept over a change of the weights or of the terms. A place that gives no digest, such as a host, is decided by the
//! catalog's own row. Knows no files: whoever serves them brings their digests.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Date, License, Model, Tier};

/// A concluded licence, and the files that it was concluded from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clarification {
    /// Its name, unique.
    pub id: String,
    /// The model that is served from the weights.
    pub model: String,
    /// The licences that bind the user of these weights; all of them do. They take the place of what the model's row says,
    /// and of what it inherits.
    pub licenses: Vec<String>,
    /// SHA-256 of the files of weights, in hex: any of them.
    pub weights: Vec<String>,
    /// SHA-256 of the files beside the weights that were read, by their names, such as `LICENSE`: all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What was concluded, and from what.
    pub reason: String,
    /// Who answers for it.
    pub signed_by: String,
    /// The day on which it was signed.
    pub signed: Date,
    /// The last day on which it may be relied on.
    pub valid_until: Date,
}

/// The weights that are served at a place, as far as the place can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Weights {
    /// SHA-256 of the file of weights, in hex.
    pub sha256: String,
    /// SHA-256 of files beside it, by name; those that are not there are left out.
    pub beside: BTreeMap<String, String>,
}

/// Whose licence a row of the catalog states, where it is not the row of a data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Concluded {
    /// That of the weights that the clarification of this number speaks of.
    By(usize),
    /// That of weights that no clarification of the model speaks of.
    Nobody,
}

impl Clarification {
    /// Whether it speaks of these weights.
    pub(crate) fn speaks_of(&self, weights: &Weights) -> bool {
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        self.weights.iter().any(|digest| same(digest, &weights.sha256))
            && self.files.iter().all(|(name, digest)| weights.beside.get(name).is_some_and(|is| same(is, digest)))
    }

    /// The row of its model with the licence that it concludes.
    pub(crate) fn row<'a>(&self, model: &Model, license: impl Fn(&str) -> Option<&'a License>) -> Model {
        let mut licenses = self.licenses.iter().cloned();
        let tier = self.licenses.iter().map(|id| license(id).map_or(Tier::Closed, |license| license.tier)).max();
        Model {
            license: licenses.next().unwrap_or_else(|| crate::decide::UNKNOWN.to_owned()),
            also_licenses: licenses.collect(),
            // What reaches the weights from elsewhere is part of what was concluded.
            parents: Vec::new(),
            tier: tier.unwrap_or(Tier::Closed),
            ..model.clone()
        }
    }
}

/// Why weights that no clarification speaks of are refused.
pub(crate) fn other_weights<'a>(model: &Model, clarifications: impl Iterator<Item = &'a str>) -> String {
    format!(
        "what is served as `{}` is not what {} speaks of; unknown is denied until somebody clarifies these weights and \
         signs for it",
        model.id,
        clarifications.map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" or ")
    )
}
