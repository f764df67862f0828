//! That a duty was seen to be met: somebody, or a check that runs by itself, looked at a product and found what a licence
//! asks for. Rows of a company's own catalog file.
//!
//! Each speaks of one context, one licence and one kind of duty, and only for a time: a page changes. A row that says how often
//! its page is to be looked at is held against the newest of those looks ([`PageCheck`]), which somebody else makes and tells.
//! Which duties there are is not known here; [`crate::duties()`] holds them against these rows.

use std::collections::BTreeMap;

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
    /// The last day on which it may be relied on. Once the gateway has looked at the page itself, that counts instead.
    pub valid_until: Date,
    /// The gateway looks at the page itself, so many days after the last time: 1 to 366. Needs `url`, and `find` or `sha256`
    /// or both. Default: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_days: Option<u16>,
}

/// The newest look at each page, by the id of its row.
pub type PageChecks = BTreeMap<String, PageCheck>;

/// A look at the page of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCheck {
    /// The day.
    pub on: Date,
    /// What came of it.
    pub result: PageResult,
    /// The last day on which what was looked for was found, if it was since somebody wrote the row.
    pub last_found: Option<Date>,
}

/// What came of a look at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageResult {
    /// It is as the row says.
    Found,
    /// The text is not there.
    NotFound,
    /// Its digest is another.
    Changed,
    /// It could not be had.
    Unreachable,
}

impl PageResult {
    /// As records and reports say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Changed => "changed",
            Self::Unreachable => "unreachable",
        }
    }
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
