//! One licence, clause by clause: what each says to one use on one day.
//!
//! A clause is looked at only where it concerns the use; the visitor gets each with its ruling. Sentences are written only
//! for those that somebody asks about: most decisions need none.

use crate::{
    Agreement, Attestation, Catalog, Condition, Date, Domain, Exposure, License, Model, Need, Purpose, Tier, Training,
    Use, Waiver,
    country::lies_in,
    is_country,
    standing::{Answered, Stated},
};

/// A licence of a model, a use, and a day.
pub(super) struct Rights<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) model: &'a Model,
    pub(super) license: &'a License,
    pub(super) use_: &'a Use,
    pub(super) today: Date,
    /// What the company has stated that speaks of the use.
    pub(super) stated: &'a Stated,
}

/// A clause that concerns the use.
pub(super) struct Clause<'a> {
    /// The rule that it decides by where it does not hold.
    pub(super) rule: &'static str,
    pub(super) about: About<'a>,
    pub(super) ruling: Ruling<'a>,
}

/// What a clause is about.
pub(super) enum About<'a> {
    Purpose,
    Service,
    Domain(Domain),
    Training,
    Territory(&'a crate::Territory),
    Condition(&'a Condition),
}

/// What a clause comes to.
pub(super) enum Ruling<'a> {
    /// It is met; `on` the word of an attestation, where it takes one.
    Holds { on: Option<&'a Attestation> },
    /// It is not met, and that costs a duty.
    Owes { duty: &'a str, on: Option<&'a Attestation> },
    /// Nobody answers for it.
    Lacking,
    /// It refuses.
    Refused,
}

const HOLDS: Ruling<'static> = Ruling::Holds { on: None };

impl<'a> Rights<'a> {
    /// The agreement that stands in for the licence; of several the one that lasts longest.
    pub(super) fn agreement(&self) -> Option<&'a Agreement> {
        let agreements = self.stated.agreements.iter().map(|at| self.catalog.agreement(*at));
        let stand_in = |agreement: &&Agreement| agreement.stands_in(&self.license.id, &self.model.id);
        agreements.filter(stand_in).max_by_key(|agreement| (agreement.valid_until, &agreement.id))
    }

    /// The waiver that lifts a rule.
    pub(super) fn waiver(&self, rule: &str) -> Option<&'a Waiver> {
        self.stated.waiver(self.catalog, rule, &self.model.id)
    }

    /// Shows `visit` every clause that concerns the use.
    pub(super) fn clauses(&self, mut visit: impl FnMut(Clause<'a>)) {
        let (license, use_) = (self.license, self.use_);
        let ruled = |holds: bool| if holds { HOLDS } else { Ruling::Refused };
        let purpose = license.allows.contains(&use_.purpose);
        visit(Clause { rule: self.purpose_rule(), about: About::Purpose, ruling: ruled(purpose) });
        if use_.exposure == Exposure::Public {
            let ruling = ruled(!license.hosted_service.needs_contract);
            visit(Clause { rule: "third-party-service", about: About::Service, ruling });
        }
        for domain in &use_.domains {
            let ruling = ruled(!license.prohibits.contains(domain));
            visit(Clause { rule: "prohibited-domain", about: About::Domain(*domain), ruling });
        }
        if use_.activity.trains() {
            let (rule, ruling) = match license.outputs.training {
                Training::Free => ("outputs-training", HOLDS),
                Training::Named => (
                    "outputs-training",
                    Ruling::Owes {
                        duty: "a model that is trained on answers takes on the licence's rules of naming",
                        on: None,
                    },
                ),
                Training::TermsFollow => (
                    "outputs-training",
                    Ruling::Owes { duty: "a model that is trained on answers takes this licence with it", on: None },
                ),
                Training::Prohibited => ("outputs-training", Ruling::Refused),
                Training::Unknown => ("outputs-unknown", Ruling::Refused),
            };
            visit(Clause { rule, about: About::Training, ruling });
        }
        for territory in &license.territories {
            if territory.multimodal_only && !self.model.is_multimodal() {
                continue;
            }
            let (rule, ruling) = match use_.seat.as_deref() {
                Some(seat) if denies(territory, seat) => ("territory-seat", Ruling::Refused),
                Some(seat) if is_country(&seat.to_ascii_uppercase()) => ("territory-seat", HOLDS),
                _ => ("territory-seat-unknown", Ruling::Refused),
            };
            visit(Clause { rule, about: About::Territory(territory), ruling });
        }
        for condition in license.conditions.iter().filter(|condition| super::applies_to(condition.applies, use_)) {
            let (rule, ruling) = self.condition(condition);
            visit(Clause { rule, about: About::Condition(condition), ruling });
        }
    }

    fn condition(&self, condition: &'a Condition) -> (&'static str, Ruling<'a>) {
        let answer = |attestation: &'a Attestation| {
            attestation.answers(&self.license.id, condition).map(|answered| (answered, attestation))
        };
        let answers = || self.stated.attestations.iter().map(|at| self.catalog.attestation(*at)).filter_map(answer);
        // One that says it is not met outweighs all that say it is; of equals the one that lasts longest counts.
        let not_met = answers().find(|(answered, _)| *answered == Answered::NotMet);
        let met = || answers().max_by_key(|(_, attestation)| (attestation.valid_until, &attestation.id));
        match (not_met.or_else(met), condition.else_owes.as_deref()) {
            (Some((Answered::Met, on)), _) => ("attestation-missing", Ruling::Holds { on: Some(on) }),
            (Some((Answered::NotMet, on)), Some(duty)) => ("condition-not-met", Ruling::Owes { duty, on: Some(on) }),
            (Some((Answered::NotMet, _)), None) => ("condition-not-met", Ruling::Refused),
            // Who does not know whether a duty is due owes it.
            (None, Some(duty)) => ("attestation-missing", Ruling::Owes { duty, on: None }),
            (None, None) => ("attestation-missing", Ruling::Lacking),
        }
    }

    fn purpose_rule(&self) -> &'static str {
        match (self.license.tier, self.use_.purpose.is_business()) {
            (Tier::Closed, _) => "tier5-closed",
            (Tier::Research, true) => "tier3-commercial",
            (Tier::Research, false) => "tier3-purpose",
            (Tier::NonCommercial, true) => "tier4-commercial",
            (Tier::NonCommercial, false) => "tier4-purpose",
            (Tier::Free | Tier::Conditional, _) => "license-purpose",
        }
    }

    /// What would have to be attested, where that is what a clause lacks.
    pub(super) fn need(&self, clause: &Clause<'_>) -> Option<Need> {
        let About::Condition(condition) = clause.about else { return None };
        Some(Need {
            license: self.license.id.as_str().into(),
            metric: condition.metric,
            scope: condition.scope,
            month: condition.month,
            at_most: condition.at_most,
            answer: condition.answer,
        })
    }

    /// Why a clause refuses, in one sentence that says what would be accepted.
    pub(super) fn reason(&self, clause: &Clause<'_>) -> String {
        let (id, use_) = (&self.model.id, self.use_);
        let License { id: license, name, tier, .. } = self.license;
        let licensor = self.license.licensor.as_deref().unwrap_or(&self.model.developer);
        let under = format!("`{id}` is under the {name} (`{license}`, {tier})");
        match &clause.about {
            About::Purpose if *tier == Tier::Closed => format!(
                "`{id}` is closed ({name}): {licensor} publishes no licence that allows any use without a contract"
            ),
            About::Purpose => format!(
                "{under}, which allows {}; {} use needs a contract with {licensor}, or a model of tier 1 or 2",
                purposes(self.license),
                use_.purpose.name(),
            ),
            About::Service => format!(
                "{under}, which lets nobody offer it to third parties without a contract with {licensor}; internal exposure \
                 would be accepted"
            ),
            About::Domain(domain) => format!(
                "{under}, which forbids the field `{}`; a use without it, or a model of another licence, would be accepted",
                domain.name()
            ),
            About::Training => match self.license.outputs.training {
                Training::Unknown => format!(
                    "{under}, of which nobody could tell whether other models may be trained on answers; unknown is denied, \
                     and any use but `{}` would be accepted",
                    use_.activity.name()
                ),
                _ => format!(
                    "{under}, which lets nobody train other models on answers; any use but `{}` would be accepted, or a \
                     contract with {licensor}",
                    use_.activity.name()
                ),
            },
            About::Territory(territory) => {
                let places = territory.denies_seats.join(", ");
                let what = match use_.seat.as_deref() {
                    None => format!("the context does not state its seat; state one outside {places}"),
                    Some(seat) if denies(territory, seat) => format!(
                        "the seat is `{seat}`; a seat outside {places} would be accepted, or a model of another licence"
                    ),
                    Some(seat) => format!(
                        "the seat `{}` is no country of ISO 3166; state one outside {places}",
                        seat.escape_debug()
                    ),
                };
                format!("{under}: {}, and {what}", territory.text)
            }
            About::Condition(condition) => {
                let what = match &clause.ruling {
                    Ruling::Refused => {
                        format!("that is attested not to be so; a contract with {licensor} would be accepted")
                    }
                    // The entity is not named: uses of all entities that nobody answers for share this decision.
                    _ => format!(
                        "nobody answers for it: attest `{}` for the entity that the context names",
                        wanted(condition)
                    ),
                };
                format!("{under}: {}, and {what}", condition.text)
            }
        }
    }
}

/// What has to be attested, as a catalog file would say it.
pub(super) fn wanted(condition: &Condition) -> String {
    let value = match (condition.at_most, condition.answer) {
        (Some(limit), _) => format!(", at_most: {limit}"),
        (None, Some(answer)) => format!(", answer: {}", answer.name()),
        (None, None) => String::new(),
    };
    let month = condition.month.map(|month| format!(", month: {month}")).unwrap_or_default();
    format!("metric: {}{month}{value}", condition.metric.name())
}

/// The purposes that a licence allows, in words.
pub(super) fn purposes(license: &License) -> String {
    match license.allows.as_slice() {
        [] => "no use".to_owned(),
        [only] => format!("{} use only", only.name()),
        all if all.len() == Purpose::ALL.len() => "any use".to_owned(),
        many => many.iter().map(|purpose| purpose.name()).collect::<Vec<_>>().join(" and ") + " use only",
    }
}

fn denies(territory: &crate::Territory, seat: &str) -> bool {
    territory.denies_seats.iter().any(|place| lies_in(seat, place))
}
