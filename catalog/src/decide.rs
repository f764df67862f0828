//! The licence decision: may this model serve this use, on whose word, and what does that ask for?
//!
//! Every licence that binds the model is asked, clause by clause ([`clauses`]). A clause holds, asks for something in
//! return, lacks an attestation, or refuses. The strictest wins, and what is not known is refused: a licence that nobody
//! knows, a seat that nobody stated, a figure that nobody answers for. An agreement stands in for the licence it names; a
//! waiver lifts the rules it names. After the licences the company's own rules are asked, which only hold back. Order: what
//! cannot be had or is not known, then refusals, then missing attestations, then the company's rules of `route`.
//!
//! A rule of `route` says where requests go instead. It does so for every refusal but one by a rule of the company's own
//! that denies: a model that a licence refuses is not served either way, and its caller is.
//!
//! Pure: the day comes in. [`Class`] keeps the decisions of one use, so that a request looks them up.

mod acquired;
mod class;
mod clauses;
mod due;
mod duties;
mod explain;
mod gathered;
mod owed;
mod rules;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clarification::{Concluded, other_weights};
use crate::standing::Stated;
use crate::{
    Answer, Applies, Availability, Catalog, Clarification, Date, Kind, License, Metric, Model, Month, RuleSpoke, Scope,
    Tier, Use,
};
use gathered::Gathered;

pub use acquired::{Affiliate, Change, acquired};
pub use class::Class;
pub(crate) use class::Classes;
pub(crate) use due::bound_to_purposes;
pub use duties::{Duty, DutyState, duties, duties_checked};
pub use explain::{Explanation, Step, StepOutcome, explain};
pub use owed::Owed;
pub use rules::{RULES, can_be_waived};

/// What came of a decision; a greater one holds back more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Go ahead.
    Allow,
    /// Go ahead; the obligations have to be met.
    AllowWithObligations,
    /// Go ahead, and look at the findings: it rests on an exception, or on something that ends soon.
    Warn,
    /// Do not, and ask the alternatives instead, each decided afresh.
    Route,
    /// Do not, until somebody answers for what is missing.
    RequireAttestation,
    /// Do not.
    Deny,
}

impl Outcome {
    /// Whether the model may serve.
    pub fn allows(self) -> bool {
        matches!(self, Outcome::Allow | Outcome::AllowWithObligations | Outcome::Warn)
    }

    /// The outcome as reports and the ledger write it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Allow => "allow",
            Outcome::AllowWithObligations => "allow_with_obligations",
            Outcome::Warn => "warn",
            Outcome::Route => "route",
            Outcome::RequireAttestation => "require_attestation",
            Outcome::Deny => "deny",
        }
    }
}

/// A decision and its grounds. Cheap to clone: the texts are shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Decision {
    /// What came of it.
    pub outcome: Outcome,
    /// The rule that decided; a stable kebab-case name of [`RULES`].
    pub rule: &'static str,
    /// The id of the licence that decided.
    pub license: Arc<str>,
    /// The strictest tier over the model's licences.
    pub tier: Tier,
    /// One sentence: model, licence, rule, and for a denial what would be accepted.
    pub reason: Arc<str>,
    /// What the use has to do in return.
    pub obligations: Arc<[Arc<str>]>,
    /// The kinds of these.
    #[serde(skip)]
    pub owed: Owed,
    /// What somebody should look at although it is allowed.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub findings: Arc<[Arc<str>]>,
    /// What somebody would have to answer for.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub missing: Arc<[Need]>,
    /// The attestations, agreements and waivers that an allowance rests on.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub rests_on: Arc<[Arc<str>]>,
    /// The models that the company's rules ask instead, where they turn the use away from this one.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub alternatives: Arc<[Arc<str>]>,
    /// What the company's own rules said, those in shadow included.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub company_rules: Arc<[RuleSpoke]>,
    /// The last day on which it may be relied on; `None` where nothing that it rests on ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Date>,
}

/// An attestation that a licence asks for and nobody has given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Need {
    /// The licence that asks.
    pub license: Arc<str>,
    /// What it asks.
    pub metric: Metric,
    /// Of whom.
    pub scope: Scope,
    /// The month that counts; `None` for all the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<Month>,
    /// The greatest figure that is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// The answer that is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// Decides whether `model` may serve `use_` on the day `today`. Unknown is deny; the strictest of all licences wins.
pub fn decide(catalog: &Catalog, model: &Model, use_: &Use, today: Date) -> Decision {
    decide_as_stated(catalog, model, use_, today, &Stated::of(catalog, use_, today))
}

/// The same where it is known what the company has stated of the use on that day.
fn decide_as_stated(catalog: &Catalog, model: &Model, use_: &Use, today: Date, stated: &Stated) -> Decision {
    if let Some((rule, reason)) = unavailable(model) {
        return deny(model.tier, rule, &model.license, reason);
    }
    let clarification = match clarified(catalog, model, today) {
        Ok(clarification) => clarification,
        Err((rule, reason)) => return deny(model.tier, rule, UNKNOWN, reason),
    };
    let licenses = match licenses_that_bind(catalog, model) {
        Ok(licenses) => licenses,
        Err((id, reason)) => return deny(model.tier, "license-unknown", &id, reason),
    };
    let mut gathered = Gathered::default();
    if let Some(clarification) = clarification {
        gathered.clarified(catalog, model, clarification, today);
    }
    for license in &licenses {
        let rights = clauses::Rights { catalog, model, license, use_, today, stated };
        match rights.agreement() {
            Some(agreement) => {
                gathered.rests_on(&agreement.id, agreement.valid_until, today);
                rights.agreed(agreement, |due| gathered.owe(due));
                gathered.by_agreement.get_or_insert(agreement.id.as_str());
            }
            None => {
                rights.clauses(|clause| gathered.take(&rights, clause));
                rights.standing(|due| gathered.owe(due));
            }
        }
    }
    gathered.look_at_data(catalog, model, use_);
    gathered.heed(catalog, model, stated, today);
    gathered.decision(model, &licenses, use_)
}

/// The licences of a model, the strictest first, so that reasons name the one that matters; else the id of the first that
/// is not known, and what that means.
fn licenses_that_bind<'a>(catalog: &'a Catalog, model: &Model) -> Result<Vec<&'a License>, (Arc<str>, String)> {
    let ids = catalog.licenses_of(model);
    let mut licenses = Vec::with_capacity(ids.len());
    for id in ids {
        match catalog.license(&id) {
            Some(license) if license.id != UNKNOWN => licenses.push(license),
            known => {
                let reason = unknown_license(model, &id, known.is_some());
                return Err((id, reason));
            }
        }
    }
    // Stable: licences of one tier speak in the order of the row.
    licenses.sort_by_key(|license| std::cmp::Reverse(license.tier));
    Ok(licenses)
}

/// The clarification that a model's licence rests on, if it stands for certain weights; else why it cannot rest on one.
fn clarified<'a>(
    catalog: &'a Catalog,
    model: &Model,
    today: Date,
) -> Result<Option<&'a Clarification>, (&'static str, String)> {
    let by = match &model.resolved.concluded {
        None => return Ok(None),
        Some(Concluded::By(at)) => catalog.clarifications().nth(*at),
        Some(Concluded::Nobody) => None,
    };
    match by {
        Some(row) if (row.signed..=row.valid_until).contains(&today) => Ok(Some(row)),
        Some(row) => Err((
            "clarification-over",
            format!(
                "what `{}` concluded of these weights of `{}` holds from {} to {}; unknown is denied until it is signed again",
                row.id, model.id, row.signed, row.valid_until
            ),
        )),
        None => {
            let of_model = catalog.clarifications().filter(|row| row.model == model.id);
            Err(("weights-not-clarified", other_weights(model, of_model.map(|row| row.id.as_str()))))
        }
    }
}

/// Decides for what is served together: a model and what is loaded with it, the adapters over it and the draft beside it, each
/// by a name of the catalog. All of them bind, and a name that the catalog does not know is refused, whatever it is loaded with.
pub fn decide_served(catalog: &Catalog, model: &Model, with: &[&str], use_: &Use, today: Date) -> Decision {
    let mut served = decide(catalog, model, use_, today);
    for name in with {
        let Some(other) = catalog.resolve(name) else {
            let shown = crate::nearest::cut(name);
            let reason = format!(
                "`{}` would be served with `{shown}`, which the catalog does not know; unknown is denied until \
                 a catalog file describes it",
                model.id
            );
            return deny(served.tier, "adapter-unknown", UNKNOWN, reason);
        };
        served = stricter(served, decide(catalog, other, use_, today));
    }
    served
}

/// Both decisions as one: the stricter outcome, all that either asks for.
fn stricter(a: Decision, b: Decision) -> Decision {
    let (strict, other) = if b.outcome > a.outcome { (b, a) } else { (a, b) };
    let union = |a: &Arc<[Arc<str>]>, b: &Arc<[Arc<str>]>| {
        a.iter().chain(b.iter().filter(|text| !a.contains(text))).cloned().collect::<Arc<[_]>>()
    };
    Decision {
        tier: strict.tier.max(other.tier),
        obligations: union(&strict.obligations, &other.obligations),
        owed: strict.owed.and(other.owed),
        findings: union(&strict.findings, &other.findings),
        missing: strict.missing.iter().chain(other.missing.iter()).cloned().collect(),
        rests_on: union(&strict.rests_on, &other.rests_on),
        company_rules: strict.company_rules.iter().chain(other.company_rules.iter()).cloned().collect(),
        valid_until: [strict.valid_until, other.valid_until].into_iter().flatten().min(),
        ..strict
    }
}

/// Whether a duty or condition binds a use. A gateway hands out no weights.
fn applies_to(applies: Applies, use_: &Use) -> bool {
    match applies {
        Applies::Use => true,
        Applies::Business => use_.purpose.is_business(),
        Applies::Service => use_.exposure == crate::Exposure::Public,
        Applies::Distribution => false,
    }
}

fn unknown_license(model: &Model, id: &str, has_row: bool) -> String {
    match (has_row, model.own_licenses().any(|own| own == id)) {
        (false, _) => {
            format!("`{}` names the licence `{id}`, which the catalog does not know; unknown is denied", model.id)
        }
        (true, true) => {
            format!("the licence of `{}` is not known; unknown is denied until a licence is on record", model.id)
        }
        (true, false) => format!(
            "`{}` was made from a model whose licence is not known; unknown is denied until it is on record",
            model.id
        ),
    }
}

/// A name that no request can be served by, whatever its licence.
pub(crate) fn unavailable(model: &Model) -> Option<(&'static str, String)> {
    let instead = match &model.replacement {
        Some(id) => format!("; use `{id}`"),
        None => String::new(),
    };
    let id = &model.id;
    match model.availability {
        Availability::DoesNotExist => Some(("model-does-not-exist", format!("there is no model `{id}`{instead}"))),
        Availability::NotReleased => {
            Some(("weights-not-released", format!("the weights of `{id}` were never published{instead}")))
        }
        Availability::RetiredApi => Some((
            "api-retired",
            format!("`{id}` was offered as an API only, and {} has ended it{instead}", model.developer),
        )),
        Availability::Project => Some(("not-a-model", format!("`{id}` is not a model that can serve{instead}"))),
        Availability::Unknown => Some((
            "availability-unknown",
            format!("it is not known whether `{id}` can be had; unknown is denied{instead}"),
        )),
        Availability::Downloadable | Availability::ApiOnly if model.kind != Kind::Model => {
            Some(("not-a-model", format!("`{id}` is not a model that can serve{instead}")))
        }
        Availability::Downloadable | Availability::ApiOnly => None,
    }
}

fn deny(tier: Tier, rule: &'static str, license: &str, reason: String) -> Decision {
    Decision {
        outcome: Outcome::Deny,
        rule,
        license: license.into(),
        tier,
        reason: reason.into(),
        obligations: Arc::new([]),
        owed: Owed::default(),
        findings: Arc::new([]),
        missing: Arc::new([]),
        rests_on: Arc::new([]),
        alternatives: Arc::new([]),
        company_rules: Arc::new([]),
        valid_until: None,
    }
}

/// The catalog's row for "nobody could tell".
pub(crate) const UNKNOWN: &str = "unknown";

#[cfg(test)]
mod tests;
