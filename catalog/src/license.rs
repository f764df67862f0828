//! One row per licence: what it allows by purpose, and what it asks for in return.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Purpose, Tier};

/// A licence. `allows` and `territories` decide; `obligations` are what a user of the model has to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct License {
    /// The name that model rows use.
    pub id: String,
    /// The title of the text.
    pub name: String,
    /// SPDX identifier or `LicenseRef-...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spdx: Option<String>,
    /// Version, or the date of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The tier.
    pub tier: Tier,
    /// The purposes that the text itself allows, without a contract. An empty list allows none.
    pub allows: Vec<Purpose>,
    /// Who sells the rights that the text holds back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licensor: Option<String>,
    /// What a user has to do or to keep to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<Obligation>,
    /// Seats of the licensee for which rights are not granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub territories: Vec<Territory>,
    /// Offering the model to third parties needs a contract.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_third_party_service: bool,
    /// Outputs carry restrictions too (training other models, ownership, purpose).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binds_outputs: bool,
    /// Where the text stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How much of the text was read for this row.
    pub text: LicenseText,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The obligations as decisions show them: written out once, shared by every decision.
    #[serde(skip)]
    #[schemars(skip)]
    pub(crate) duties: Vec<(Applies, Arc<str>)>,
}

impl License {
    pub(crate) fn share_duties(&mut self) {
        let duty = |obligation: &Obligation| (obligation.applies, format!("{}: {}", self.name, obligation.text).into());
        self.duties = self.obligations.iter().map(duty).collect();
    }
}

/// Something that a licence asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Obligation {
    /// What sort of duty it is.
    pub kind: ObligationKind,
    /// When it binds.
    pub applies: Applies,
    /// The duty in plain words; a text to show stands in quotation marks.
    pub text: String,
}

/// The sort of a duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ObligationKind {
    /// Show a text to users.
    Display,
    /// Keep or ship notices and the licence.
    Notice,
    /// Keep to a use policy.
    UsePolicy,
    /// Pass the terms on.
    FlowDown,
    /// Name derivatives in a set way.
    Naming,
    /// Publish derivatives under the same terms.
    ShareAlike,
    /// Stay below a size, or ask the licensor.
    Threshold,
    /// Register with or apply to the licensor.
    Registration,
    /// Keep to limits on what outputs may be used for.
    Outputs,
    /// Keep to the purposes that the licence allows.
    Purpose,
}

/// The act that brings a duty about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Applies {
    /// Any use.
    Use,
    /// Business use, inside the company or for revenue.
    Business,
    /// Offering the model, or a product with it, to people outside the company.
    Service,
    /// Handing out weights or derivatives, which a gateway does not do.
    Distribution,
}

/// Rights that are not granted to licensees of some seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Territory {
    /// ISO 3166 country codes; `EU` stands for the member states of the European Union.
    pub denies_seats: Vec<String>,
    /// Only for models that take more than text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub multimodal_only: bool,
    /// The clause in plain words.
    pub text: String,
}

/// How much of a licence text was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LicenseText {
    /// All of it.
    Full,
    /// A part.
    Partial,
    /// A summary, card or list only.
    Secondary,
    /// None of it.
    No,
}
