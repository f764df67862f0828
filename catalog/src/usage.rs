//! The use that a licence decision is about: who uses a model, for what, and who sees it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a model is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// In a product or service that earns money.
    Revenue,
    /// In the daily work of a business.
    Internal,
    /// For research that serves no business.
    Research,
    /// By a person, for themself.
    Personal,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Purpose; 4] = [Purpose::Revenue, Purpose::Internal, Purpose::Research, Purpose::Personal];

    /// Whether a business gains by it.
    pub fn is_business(self) -> bool {
        matches!(self, Purpose::Revenue | Purpose::Internal)
    }

    /// The purpose as configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Revenue => "revenue",
            Purpose::Internal => "internal",
            Purpose::Research => "research",
            Purpose::Personal => "personal",
        }
    }
}

/// Who sees what the model writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exposure {
    /// People of the company only.
    Internal,
    /// Others too.
    Public,
}

impl Exposure {
    /// Every exposure.
    pub const ALL: [Exposure; 2] = [Exposure::Internal, Exposure::Public];

    /// The exposure as configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Exposure::Internal => "internal",
            Exposure::Public => "public",
        }
    }
}

/// What becomes of what the model writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// People or programs use the answers.
    #[default]
    Inference,
    /// The answers are judged, to choose between models.
    Evaluation,
    /// A program acts on the answers.
    Agent,
    /// Another model learns to answer alike.
    Distillation,
    /// The answers go into data that models are trained on.
    TrainingData,
}

impl Activity {
    /// Every activity.
    pub const ALL: [Activity; 5] =
        [Activity::Inference, Activity::Evaluation, Activity::Agent, Activity::Distillation, Activity::TrainingData];

    /// Whether other models are trained on the answers.
    pub fn trains(self) -> bool {
        matches!(self, Activity::Distillation | Activity::TrainingData)
    }

    /// The activity as configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Activity::Inference => "inference",
            Activity::Evaluation => "evaluation",
            Activity::Agent => "agent",
            Activity::Distillation => "distillation",
            Activity::TrainingData => "training-data",
        }
    }
}

/// A field of use that some licences forbid by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// Military and warfare.
    Military,
    /// Weapons.
    Weapons,
    /// Surveillance of people.
    Surveillance,
    /// Telling people by their bodies.
    Biometrics,
    /// Critical infrastructure.
    CriticalInfrastructure,
    /// Medical advice.
    Medical,
    /// Advice that takes a licence to give, given without one.
    UnlicensedAdvice,
    /// Justice, law enforcement and migration.
    LawEnforcement,
    /// Decisions on people's rights that no person makes.
    AutomatedDecisions,
    /// Text that passes for a person's.
    UndisclosedGeneration,
}

impl Domain {
    /// Every domain.
    pub const ALL: [Domain; 10] = [
        Domain::Military,
        Domain::Weapons,
        Domain::Surveillance,
        Domain::Biometrics,
        Domain::CriticalInfrastructure,
        Domain::Medical,
        Domain::UnlicensedAdvice,
        Domain::LawEnforcement,
        Domain::AutomatedDecisions,
        Domain::UndisclosedGeneration,
    ];

    /// The domain as data files write it.
    pub fn name(self) -> &'static str {
        match self {
            Domain::Military => "military",
            Domain::Weapons => "weapons",
            Domain::Surveillance => "surveillance",
            Domain::Biometrics => "biometrics",
            Domain::CriticalInfrastructure => "critical-infrastructure",
            Domain::Medical => "medical",
            Domain::UnlicensedAdvice => "unlicensed-advice",
            Domain::LawEnforcement => "law-enforcement",
            Domain::AutomatedDecisions => "automated-decisions",
            Domain::UndisclosedGeneration => "undisclosed-generation",
        }
    }
}

/// The use that a request is part of. It comes from the registered context of a key, never from the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// What the model is used for.
    pub purpose: Purpose,
    /// Who sees what it writes.
    pub exposure: Exposure,
    /// What becomes of what it writes.
    #[serde(default)]
    pub activity: Activity,
    /// The fields of use that it is part of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<Domain>,
    /// ISO 3166 code of the country where the company has its seat, or the person their home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
    /// Countries of the people it is offered to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub end_users: Vec<String>,
    /// The legal entity, by which attestations and agreements are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The registered context, by which agreements and waivers are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

impl Use {
    /// A use of which nothing more is known.
    pub fn new(purpose: Purpose, exposure: Exposure) -> Use {
        Use {
            purpose,
            exposure,
            activity: Activity::default(),
            domains: Vec::new(),
            seat: None,
            end_users: Vec::new(),
            entity: None,
            context: None,
        }
    }
}
