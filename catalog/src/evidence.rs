//! That a duty was seen to be met: somebody, or a check that runs by itself, looked at a product and found what a licence
//! asks for. Rows of a company's own catalog file.
//!
//! Each speaks of one context, one licence and one kind of duty, and only for a time: a page changes. Which duties there are
//! is not known here; [`crate::duties()`] holds them against these rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Date, Model, ObligationKind};

/// Somebody saw that a duty is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Its name, unique.
    pub id: String,
    /// The context whose product was looked at.
    pub context: String,
    /// The licence that asks for it.
    pub license: String,
    /// The kind of the duty; `other` for what takes the place of a condition, what training on answers brings about, and
    /// what an agreement asks for in the place of the licence.
    pub kind: ObligationKind,
    /// The models that it holds for; none means all under the licence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The text that was looked for, and found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find: Option<String>,
    /// Where it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// SHA-256 in hex of what was found there: a page, a picture of it, a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The day on which it was looked at.
    pub checked: Date,
    /// Who looked: a person, or the name of a check.
    pub checked_by: String,
    /// The last day on which it may be relied on.
    pub valid_until: Date,
}

impl Evidence {
    /// Whether it is about this duty, whenever it was looked at.
    pub(crate) fn is_about(&self, license: &str, kind: ObligationKind, model: &Model, context: &str) -> bool {
        self.license == license
            && self.kind == kind
            && self.context == context
            && (self.models.is_empty() || self.models.contains(&model.id))
    }
}
