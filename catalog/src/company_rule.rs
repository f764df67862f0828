//! A company's own rules about licences, as rows of its catalog file: what it forbids itself beyond what licences forbid.
//!
//! A rule only ever holds back. It names models by what they are and uses by what they are for; what it does not name it
//! does not ask after. In shadow it decides nothing and is recorded with what it would have decided.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::country::lies_in;
use crate::model::Derivation;
use crate::{Activity, Catalog, Domain, Exposure, Model, Outcome, Purpose, Tier, Use};

/// A rule that a company gives itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompanyRule {
    /// Its name, unique; decisions and waivers speak of it by this name.
    pub id: String,
    /// The models that it is about.
    #[serde(default, rename = "match", skip_serializing_if = "crate::is_default")]
    pub about: ModelsWhere,
    /// The uses that it is about.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub when: UsesWhere,
    /// Uses that it is not about, although `when` takes them in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<UsesWhere>,
    /// What comes of it.
    pub then: Then,
    /// With `then: route`: the models that are asked instead, each decided afresh.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Whether it decides, or is only recorded.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub mode: Mode,
    /// Why, in one sentence; it goes into the decision.
    pub reason: String,
}

/// What a rule comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// The model may serve, and somebody should look at it.
    Warn,
    /// The model may not serve; the models under `to` are asked instead.
    Route,
    /// The model may not serve.
    Deny,
}

impl Then {
    /// The outcome that it asks for.
    pub fn outcome(self) -> Outcome {
        match self {
            Then::Warn => Outcome::Warn,
            Then::Route => Outcome::Route,
            Then::Deny => Outcome::Deny,
        }
    }
}

/// Whether a rule decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It decides.
    #[default]
    Enforce,
    /// It is recorded with what it would have decided.
    Shadow,
}

/// Models by what they are. Each list that is not empty has to name the model; none at all takes every model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsWhere {
    /// Catalog ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Lines of models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<String>,
    /// Who made it, as the catalog writes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub developers: Vec<String>,
    /// Licences: one of those that bind the model, inherited ones included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// Licence tiers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// Data sets or models that it was trained on, itself or a model that it was made from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trained_on: Vec<String>,
    /// Whether it takes more than text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multimodal: Option<bool>,
}

/// Uses by what they are for. Each list that is not empty has to name something of the use; none at all takes every use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UsesWhere {
    /// What the model is used for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<Purpose>,
    /// Who sees what it writes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposures: Vec<Exposure>,
    /// What becomes of what it writes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub activities: Vec<Activity>,
    /// Fields of use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<Domain>,
    /// Seats: ISO 3166 codes, or `EU`. A use that states none is named by every list: nobody could tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seats: Vec<String>,
    /// Countries of the people that it is offered to, or `EU`. A use that states none is named by every list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub end_users: Vec<String>,
    /// Legal entities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<String>,
    /// Registered contexts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contexts: Vec<String>,
}

/// What a rule had to say of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RuleSpoke {
    /// The rule.
    pub rule: std::sync::Arc<str>,
    /// What it asked for.
    pub outcome: Outcome,
    /// Whether it was heeded: false in shadow, and where a waiver lifts it.
    pub enforced: bool,
}

impl CompanyRule {
    /// Whether it is about a use. In doubt it is: a country that is not stated may be any.
    pub(crate) fn is_about_use(&self, use_: &Use) -> bool {
        self.when.takes(use_, true) && !self.unless.as_ref().is_some_and(|unless| unless.takes(use_, false))
    }

    /// Whether it is about a model.
    pub(crate) fn is_about_model(&self, catalog: &Catalog, model: &Model) -> bool {
        let about = &self.about;
        named(&about.models, &model.id)
            && named(&about.families, &model.family)
            && named(&about.developers, &model.developer)
            && (about.tiers.is_empty() || about.tiers.contains(&model.tier))
            && about.multimodal.is_none_or(|multimodal| multimodal == model.is_multimodal())
            && (about.licenses.is_empty()
                || catalog.licenses_of(model).iter().any(|id| about.licenses.iter().any(|named| **named == **id)))
            && (about.trained_on.is_empty() || trained_on(catalog, model, &about.trained_on))
    }

    /// Whether it asks after the countries of the people that a use is offered to.
    pub(crate) fn asks_end_users(&self) -> bool {
        [Some(&self.when), self.unless.as_ref()].into_iter().flatten().any(|uses| !uses.end_users.is_empty())
    }

    /// Whether it asks after a name of an entity.
    pub(crate) fn asks_entity(&self, name: &str) -> bool {
        self.asks(|uses| uses.entities.iter().any(|entity| entity == name))
    }

    /// Whether it asks after a name of a context.
    pub(crate) fn asks_context(&self, name: &str) -> bool {
        self.asks(|uses| uses.contexts.iter().any(|context| context == name))
    }

    fn asks(&self, after: impl Fn(&UsesWhere) -> bool) -> bool {
        [Some(&self.when), self.unless.as_ref()].into_iter().flatten().any(after)
    }
}

impl UsesWhere {
    /// Whether every list names something of the use; `in_doubt` is the answer for a country that the use does not state.
    fn takes(&self, use_: &Use, in_doubt: bool) -> bool {
        fn holds<T: PartialEq>(list: &[T], value: &T) -> bool {
            list.is_empty() || list.contains(value)
        }
        let among = |list: &[String], name: &Option<String>| match name {
            Some(name) => named(list, name),
            None => list.is_empty(),
        };
        let lies = |places: &[String], country: &str| places.iter().any(|place| lies_in(country, place));
        holds(&self.purposes, &use_.purpose)
            && holds(&self.exposures, &use_.exposure)
            && holds(&self.activities, &use_.activity)
            && (self.domains.is_empty() || use_.domains.iter().any(|domain| self.domains.contains(domain)))
            && (self.seats.is_empty() || use_.seat.as_deref().map_or(in_doubt, |seat| lies(&self.seats, seat)))
            && match (self.end_users.as_slice(), use_.end_users.as_slice()) {
                ([], _) => true,
                (_, []) => in_doubt,
                // An exception has to hold for all of them, a rule for one.
                (places, users) if in_doubt => users.iter().any(|user| lies(places, user)),
                (places, users) => users.iter().all(|user| lies(places, user)),
            }
            && among(&self.entities, &use_.entity)
            && among(&self.contexts, &use_.context)
    }
}

fn named(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|known| known == name)
}

/// Whether a model, or one that it was made from, was trained on one of `data`.
fn trained_on(catalog: &Catalog, model: &Model, data: &[String]) -> bool {
    let mut open = vec![model];
    let mut met = std::collections::HashSet::new();
    while let Some(model) = open.pop() {
        for parent in &model.parents {
            if parent.by == Derivation::TrainedOn && data.contains(&parent.of) {
                return true;
            }
            if let Some(row) = catalog.model(&parent.of).filter(|row| met.insert(row.id.as_str())) {
                open.push(row);
            }
        }
    }
    false
}
