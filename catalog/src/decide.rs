//! The licence decision: may this model serve this use, and what does that ask for?
//!
//! The strictest rule over all licences of the model wins, and what is not known is denied. Everything but the seat of
//! the licensee is worked out once, when a catalog is built; [`decide`] then looks it up.
//!
//! Knows nothing of routes, hosts or time. A contract that lifts a denial is not modelled here.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Applies, Availability, Catalog, Kind, License, Model, Tier, is_country};

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

/// The use that a request is part of. It comes from the registered context of a key, never from the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// What the model is used for.
    pub purpose: Purpose,
    /// Who sees what it writes.
    pub exposure: Exposure,
    /// ISO 3166 code of the country where the company has its seat, or the person their home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
    /// Countries of the people it is offered to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub end_users: Vec<String>,
}

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Go ahead.
    Allow,
    /// Go ahead; the obligations have to be met.
    AllowWithObligations,
    /// Do not.
    Deny,
}

impl Outcome {
    /// Whether the model may serve.
    pub fn allows(self) -> bool {
        self != Outcome::Deny
    }
}

/// A decision and its grounds. Cheap to clone: the texts are shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What came of it.
    pub outcome: Outcome,
    /// The rule that decided; a stable kebab-case name.
    pub rule: &'static str,
    /// The id of the licence that decided.
    pub license: Arc<str>,
    /// The strictest tier over the model's licences.
    pub tier: Tier,
    /// One sentence: model, licence, rule, and for a denial what would be accepted.
    pub reason: Arc<str>,
    /// What the use has to do in return.
    pub obligations: Arc<[Arc<str>]>,
}

/// Decides whether `model` may serve `use_`. Unknown is deny; the strictest of all the model's licences wins.
pub fn decide(catalog: &Catalog, model: &Model, use_: &Use) -> Decision {
    decision(catalog, model, use_).into_owned()
}

/// The same without a copy where the decision was worked out ahead: for a plan that looks at many candidates.
pub fn decision<'a>(catalog: &Catalog, model: &'a Model, use_: &Use) -> Cow<'a, Decision> {
    let verdicts = &model.verdicts;
    let (decision, may_deny_by_seat) = match verdicts.get(use_.purpose, use_.exposure) {
        Some(decision) => (Cow::Borrowed(decision), verdicts.territorial),
        // A model that was not read by a catalog has nothing worked out.
        None => (Cow::Owned(work_out(|id| catalog.license(id), model, use_.purpose, use_.exposure)), true),
    };
    if may_deny_by_seat && decision.outcome.allows() {
        return deny_by_seat(catalog, model, use_).map_or(decision, Cow::Owned);
    }
    decision
}

/// Every rule that a [`Decision`] can name, with its meaning. The names are stable: policies, ledgers and people keep them.
pub const RULES: [(&str, &str); 19] = [
    ("tier1-free", "every licence allows any use without condition"),
    ("tier2-conditional", "the licence allows the use on conditions"),
    ("tier3-allowed-purpose", "a research licence allows this purpose"),
    ("tier4-allowed-purpose", "a non-commercial licence allows this purpose"),
    ("license-purpose", "a licence of tier 1 or 2 does not allow this purpose"),
    ("tier3-commercial", "a research licence does not allow business use"),
    ("tier3-purpose", "a research licence does not allow this purpose"),
    ("tier4-commercial", "a non-commercial licence does not allow business use"),
    ("tier4-purpose", "a non-commercial licence does not allow this purpose"),
    ("tier5-closed", "nothing is allowed without a contract"),
    ("license-unknown", "no licence is known"),
    ("third-party-service", "offering the model to third parties needs a contract"),
    ("territory-seat", "the licence withholds rights from licensees of this seat"),
    ("territory-seat-unknown", "the licence withholds rights by seat, and the context states none that is a country"),
    ("model-does-not-exist", "there is no model of this name"),
    ("weights-not-released", "the weights were announced and never published"),
    ("api-retired", "the model was an API only, and that has ended"),
    ("not-a-model", "the name stands for a project, recipe, data set or family"),
    ("availability-unknown", "it is not known whether the model can be had"),
];

/// The decisions of one model for every purpose and exposure.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdicts {
    decisions: Option<Box<[Decision; 8]>>,
    /// Some licence denies rights to this model by seat.
    territorial: bool,
}

/// A clone has nothing worked out: whoever clones a model may change its licence, and old decisions must not outlive that.
impl Clone for Verdicts {
    fn clone(&self) -> Verdicts {
        Verdicts::default()
    }
}

impl Verdicts {
    pub(crate) fn of<'a>(model: &Model, license: impl Fn(&str) -> Option<&'a License> + Copy) -> Verdicts {
        let decisions = std::array::from_fn(|slot| {
            let exposure = if slot % 2 == 0 { Exposure::Internal } else { Exposure::Public };
            work_out(license, model, Purpose::ALL[slot / 2], exposure)
        });
        let territorial = model.licenses().filter_map(license).any(|license| {
            license.territories.iter().any(|territory| !territory.multimodal_only || model.is_multimodal())
        });
        Verdicts { decisions: Some(Box::new(decisions)), territorial }
    }

    fn get(&self, purpose: Purpose, exposure: Exposure) -> Option<&Decision> {
        let slot = purpose as usize * 2 + exposure as usize;
        self.decisions.as_ref().map(|decisions| &decisions[slot])
    }
}

/// The decision without the seat of the licensee.
fn work_out<'a>(
    license: impl Fn(&str) -> Option<&'a License>,
    model: &Model,
    purpose: Purpose,
    exposure: Exposure,
) -> Decision {
    if let Some((rule, reason)) = unavailable(model) {
        return deny(model, rule, &model.license, reason);
    }
    let mut licenses = Vec::new();
    for id in model.licenses() {
        match license(id) {
            Some(license) => licenses.push(license),
            None => {
                let reason = format!(
                    "`{}` names the licence `{id}`, which the catalog does not know; unknown is denied",
                    model.id
                );
                return deny(model, "license-unknown", id, reason);
            }
        }
    }
    // The strictest speaks first, so that the reason names the licence that matters. The sort is stable.
    licenses.sort_by_key(|license| std::cmp::Reverse(license.tier));
    for license in &licenses {
        if let Some((rule, reason)) = forbidden(model, license, purpose, exposure) {
            return deny(model, rule, &license.id, reason);
        }
    }
    allow(model, &licenses, purpose, exposure)
}

/// A name that no request can be served by, whatever its licence.
fn unavailable(model: &Model) -> Option<(&'static str, String)> {
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

fn forbidden(model: &Model, license: &License, purpose: Purpose, exposure: Exposure) -> Option<(&'static str, String)> {
    let (id, name, license_id, tier) = (&model.id, &license.name, &license.id, license.tier);
    let licensor = license.licensor.as_deref().unwrap_or(&model.developer);
    if !license.allows.contains(&purpose) {
        if tier == Tier::Closed {
            return Some(if license_id == UNKNOWN {
                let reason =
                    format!("the licence of `{id}` is not known; unknown is denied until a licence is on record");
                ("license-unknown", reason)
            } else {
                let reason = format!(
                    "`{id}` is closed ({name}): {licensor} publishes no licence that allows any use without a contract"
                );
                ("tier5-closed", reason)
            });
        }
        let rule = match (tier, purpose.is_business()) {
            (Tier::Research, true) => "tier3-commercial",
            (Tier::Research, false) => "tier3-purpose",
            (Tier::NonCommercial, true) => "tier4-commercial",
            (Tier::NonCommercial, false) => "tier4-purpose",
            _ => "license-purpose",
        };
        let allowed = purposes(license);
        let reason = format!(
            "`{id}` is under the {name} (`{license_id}`, {tier}), which allows {allowed}; {} use needs a contract with {licensor}, or a model of tier 1 or 2",
            purpose.name(),
        );
        return Some((rule, reason));
    }
    if license.no_third_party_service && exposure == Exposure::Public {
        let reason = format!(
            "`{id}` is under the {name} (`{license_id}`, {tier}), which lets nobody offer it to third parties without a contract with {licensor}; internal exposure would be accepted",
        );
        return Some(("third-party-service", reason));
    }
    None
}

fn allow(model: &Model, licenses: &[&License], purpose: Purpose, exposure: Exposure) -> Decision {
    let mut obligations: Vec<Arc<str>> = Vec::new();
    for license in licenses {
        if license.tier >= Tier::Research {
            let outputs = if license.binds_outputs { ", nor of what it writes" } else { "" };
            obligations
                .push(format!("{}: {}; no other use of the model{outputs}", license.name, purposes(license)).into());
        }
        let due = license.duties.iter().filter(|(applies, _)| match applies {
            Applies::Use => true,
            Applies::Business => purpose.is_business(),
            Applies::Service => exposure == Exposure::Public,
            Applies::Distribution => false,
        });
        obligations.extend(due.map(|(_, duty)| Arc::clone(duty)));
    }
    // `licenses` is sorted and never empty: `Model::licenses` always yields the licence of the weights.
    let strictest = licenses[0];
    let rule = match strictest.tier {
        Tier::Free => "tier1-free",
        Tier::Conditional => "tier2-conditional",
        Tier::Research => "tier3-allowed-purpose",
        // A licence of tier 5 allows nothing (`crate::check`), so it never gets here.
        Tier::NonCommercial | Tier::Closed => "tier4-allowed-purpose",
    };
    let outcome = if obligations.is_empty() { Outcome::Allow } else { Outcome::AllowWithObligations };
    let under = match obligations.len() {
        0 => String::new(),
        1 => " under 1 obligation".to_owned(),
        n => format!(" under {n} obligations"),
    };
    let reason = format!(
        "`{}` is under the {} (`{}`, {}), which allows {} use{under}",
        model.id,
        strictest.name,
        strictest.id,
        strictest.tier,
        purpose.name(),
    );
    Decision {
        outcome,
        rule,
        license: strictest.id.as_str().into(),
        tier: strictest.tier,
        reason: reason.into(),
        obligations: obligations.into(),
    }
}

/// A clause that withholds rights from licensees of some seat. A seat that is not stated, or is no country, is taken as
/// withheld.
fn deny_by_seat(catalog: &Catalog, model: &Model, use_: &Use) -> Option<Decision> {
    for license in model.licenses().filter_map(|id| catalog.license(id)) {
        for territory in &license.territories {
            if territory.multimodal_only && !model.is_multimodal() {
                continue;
            }
            let places = territory.denies_seats.join(", ");
            let (rule, what) = match use_.seat.as_deref() {
                None => (
                    "territory-seat-unknown",
                    format!("the context does not state its seat; state one outside {places}"),
                ),
                Some(seat) if territory.denies_seats.iter().any(|place| covers(place, seat)) => (
                    "territory-seat",
                    format!(
                        "the seat is `{seat}`; a seat outside {places} would be accepted, or a model of another licence"
                    ),
                ),
                Some(seat) if !is_country(&seat.to_ascii_uppercase()) => (
                    "territory-seat-unknown",
                    format!("the seat `{}` is no country of ISO 3166; state one outside {places}", seat.escape_debug()),
                ),
                Some(_) => continue,
            };
            let reason = format!(
                "`{}` is under the {} (`{}`, {}): {}, and {what}",
                model.id, license.name, license.id, license.tier, territory.text,
            );
            return Some(deny(model, rule, &license.id, reason));
        }
    }
    None
}

fn covers(place: &str, seat: &str) -> bool {
    place.eq_ignore_ascii_case(seat) || place == "EU" && EU.iter().any(|member| member.eq_ignore_ascii_case(seat))
}

fn deny(model: &Model, rule: &'static str, license: &str, reason: String) -> Decision {
    Decision {
        outcome: Outcome::Deny,
        rule,
        license: license.into(),
        tier: model.tier,
        reason: reason.into(),
        obligations: Arc::new([]),
    }
}

fn purposes(license: &License) -> String {
    match license.allows.as_slice() {
        [] => "no use".to_owned(),
        [only] => format!("{} use only", only.name()),
        many => many.iter().map(|purpose| purpose.name()).collect::<Vec<_>>().join(" and ") + " use only",
    }
}

/// The catalog's row for "nobody could tell".
const UNKNOWN: &str = "unknown";

/// The member states of the European Union.
pub(crate) const EU: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

#[cfg(test)]
mod tests;
