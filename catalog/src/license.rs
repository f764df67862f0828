//! One row per licence: what it allows by purpose, on which conditions, what it asks for in return, and how far it
//! reaches.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Differs, Domain, Month, Purpose, Tier};

/// A licence. `allows`, `conditions`, `territories`, `prohibits`, `outputs` and `hosted_service` decide; `obligations` are
/// what a user of the model has to do.
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
    /// What cards of a model hub call it, where that is neither its id nor its SPDX identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hub: Vec<String>,
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
    /// What has to be true of the licensee or the product.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Fields of use that its terms or its use policy forbid by name. Not the whole of a use policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prohibits: Vec<Domain>,
    /// What holds for a service that others use.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub hosted_service: HostedService,
    /// What holds for what the model writes.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub outputs: Outputs,
    /// What may be done with the weights; nothing is said where the list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// What ends the licence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends_when: Vec<String>,
    /// What the map of open models says otherwise; the row holds what the text says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
    /// Where the text stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How much of the text was read for this row.
    pub text: LicenseText,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The obligations as decisions show them, in their order: written out once, shared by every decision.
    #[serde(skip)]
    #[schemars(skip)]
    pub(crate) duties: Vec<Arc<str>>,
}

impl License {
    pub(crate) fn share_duties(&mut self) {
        let duty = |obligation: &Obligation| format!("{}: {}", self.name, obligation.text).into();
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
    /// None of these: what an agreement asks for, say.
    Other,
}

impl ObligationKind {
    /// The kind as data files write it.
    pub fn name(self) -> &'static str {
        match self {
            ObligationKind::Display => "display",
            ObligationKind::Notice => "notice",
            ObligationKind::UsePolicy => "use-policy",
            ObligationKind::FlowDown => "flow-down",
            ObligationKind::Naming => "naming",
            ObligationKind::ShareAlike => "share-alike",
            ObligationKind::Threshold => "threshold",
            ObligationKind::Registration => "registration",
            ObligationKind::Outputs => "outputs",
            ObligationKind::Purpose => "purpose",
            ObligationKind::Other => "other",
        }
    }
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

/// Something that has to be true before a right is there, or before a duty is not. Only an attestation tells: what
/// nobody attests is not true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// What is measured or asked.
    pub metric: Metric,
    /// Of whom.
    pub scope: Scope,
    /// A past month that alone counts; without one it has to be true all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<Month>,
    /// The most that a figure may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// The answer that a question has to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The uses that it is asked of.
    pub applies: Applies,
    /// The duty that takes the place of a refusal where it is not true: a text to show, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub else_owes: Option<String>,
    /// The clause in plain words.
    pub text: String,
}

/// What a condition measures or asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// People who use it in a month.
    MonthlyUsers,
    /// People who use it on a day.
    DailyUsers,
    /// Revenue of a month, in US dollars.
    MonthlyRevenueUsd,
    /// Revenue of a year, in US dollars.
    YearlyRevenueUsd,
    /// Whether the licensor has registered or approved the licensee.
    Registered,
    /// Whether a product competes with one of the licensor's.
    CompetesWithLicensor,
    /// Whether the licensee sells software or cloud services.
    SoftwareOrCloudProvider,
}

impl Metric {
    /// Whether it is a question with an answer of yes or no, asked for one licence, and not a figure.
    pub fn is_question(self) -> bool {
        matches!(self, Metric::Registered | Metric::CompetesWithLicensor | Metric::SoftwareOrCloudProvider)
    }

    /// The metric as data files write it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::MonthlyUsers => "monthly-users",
            Metric::DailyUsers => "daily-users",
            Metric::MonthlyRevenueUsd => "monthly-revenue-usd",
            Metric::YearlyRevenueUsd => "yearly-revenue-usd",
            Metric::Registered => "registered",
            Metric::CompetesWithLicensor => "competes-with-licensor",
            Metric::SoftwareOrCloudProvider => "software-or-cloud-provider",
        }
    }
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is so.
    Yes,
    /// It is not so.
    No,
}

impl Answer {
    /// The answer as data files write it.
    pub fn name(self) -> &'static str {
        match self {
            Answer::Yes => "yes",
            Answer::No => "no",
        }
    }
}

/// Of whom a condition speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The licensee and its affiliates, with all their products.
    Group,
    /// The licensee alone.
    Licensee,
    /// The product that the model is used in.
    Product,
}

/// What holds where the model is offered to others as a service. `None` is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostedService {
    /// Offering it counts as handing it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_as_distribution: Option<bool>,
    /// Terms have to be passed on to the users of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes_terms_on: Option<bool>,
    /// Whom the licence binds who only calls a service: `no`, `indirect` (through the host's terms or a use policy),
    /// `yes`, `contract`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binds_callers: Option<BindsCallers>,
    /// It takes a contract.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_contract: bool,
}

/// Whether a licence binds who only calls a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BindsCallers {
    /// It does not.
    No,
    /// Through the host's terms, or a use policy that whoever uses the model accepts.
    Indirect,
    /// It does.
    Yes,
    /// What a contract says.
    Contract,
}

/// What holds for what the model writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// Whether other models may be trained on it.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub training: Training,
    /// It may only be used for the purposes that the model may be used for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purpose_bound: bool,
}

/// Whether other models may be trained on what a model writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Training {
    /// Nobody could tell, so not.
    #[default]
    Unknown,
    /// They may.
    Free,
    /// They may, under a name or a notice that the licence sets.
    Named,
    /// They may, and the licence goes with them.
    TermsFollow,
    /// They may not, but for the model's own line.
    Prohibited,
}

/// What a licence lets people do with the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// Run them.
    Use,
    /// Change them and train on them.
    Modify,
    /// Pass them on.
    Distribute,
    /// Use patents of the licensor that they need.
    Patents,
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
