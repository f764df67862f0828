//! A decision as a person reads it: which licence, which clause, which fact, and what would change it.
//!
//! The steps come from the same clauses as the decision ([`super::clauses`]), so the two cannot differ.

use serde::Serialize;

use super::clauses::{About, Clause, Rights, Ruling, purposes, wanted};
use super::due::Why;
use super::{Decision, decide_as_stated};
use crate::company_rule::{CompanyRule, Mode, Then};
use crate::standing::Stated;
use crate::{Catalog, Date, License, Model, Scope, Training, Use};

/// A decision with the clauses that it came from.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The clauses, licence by licence, as far as they concern the use. Empty where no licence was asked.
    pub steps: Vec<Step>,
}

/// A clause of a licence, and what it says to the use.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The licence; `company` for a rule of the company's own.
    pub license: String,
    /// Where the licence comes from: the model's own, or one that it was made from.
    pub from: String,
    /// What the clause says.
    pub clause: String,
    /// What is known of the use.
    pub fact: String,
    /// What it comes to.
    pub outcome: StepOutcome,
    /// The rule that it decides by.
    pub rule: &'static str,
    /// What would change the outcome, or what is owed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
}

/// What a clause comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// It is met.
    Holds,
    /// It is met, and asks for something in return.
    Owes,
    /// Nobody answers for it.
    Missing,
    /// It refuses.
    Refuses,
    /// It would refuse, and a waiver or an agreement lifts it.
    Lifted,
    /// It would decide, and is only recorded.
    Shadow,
}

/// What stands in place of a licence in the steps of the company's own rules.
const COMPANY: &str = "company";

/// Decides, and says clause by clause why.
pub fn explain(catalog: &Catalog, model: &Model, use_: &Use, today: Date) -> Explanation {
    let stated = &Stated::of(catalog, use_, today);
    let decision = decide_as_stated(catalog, model, use_, today, stated);
    let mut steps = Vec::new();
    if super::unavailable(model).is_some() {
        return Explanation { decision, steps };
    }
    for id in catalog.licenses_of(model) {
        let Some(license) = catalog.license(&id) else { continue };
        let rights = Rights { catalog, model, license, use_, today, stated };
        let own = model.own_licenses().any(|own| own == license.id);
        let from = if own { "the model itself" } else { "a model that it was made from" };
        let agreement = rights.agreement();
        if let Some(agreement) = agreement {
            steps.push(Step {
                license: license.id.clone(),
                from: from.to_owned(),
                clause: format!("the terms of the {}", license.name),
                fact: format!("the agreement `{}` stands in for them until {}", agreement.id, agreement.valid_until),
                outcome: StepOutcome::Lifted,
                rule: "agreement",
                then: None,
            });
            rights.agreed(agreement, |due| steps.push(owed(license, from, "an obligation of it", &due.text)));
            continue;
        }
        rights.clauses(|clause| steps.push(step(&rights, &clause, from)));
        rights.standing(|due| match due.why {
            // Said of a use within them only.
            Why::Purposes if !decision.outcome.allows() => {}
            Why::Purposes => steps.push(owed(license, from, "its purposes", &due.text)),
            _ => steps.push(owed(license, from, "an obligation", &due.text)),
        });
    }
    for rule in stated.rules.iter().map(|at| catalog.company_rule(*at)) {
        if rule.is_about_model(catalog, model) {
            steps.push(own_rule(catalog, model, stated, rule));
        }
    }
    Explanation { decision, steps }
}

/// What a rule of the company's own says.
fn own_rule(catalog: &Catalog, model: &Model, stated: &Stated, rule: &CompanyRule) -> Step {
    let waiver = stated.waiver(catalog, &rule.id, &model.id);
    let instead = || rule.to.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let (outcome, then) = match (rule.mode, rule.then, waiver) {
        (Mode::Shadow, then, _) => (
            StepOutcome::Shadow,
            Some(format!("it would decide `{}`; it is in shadow and decides nothing", then.outcome().name())),
        ),
        (_, Then::Warn, _) => (StepOutcome::Owes, Some(format!("look at this: {}", rule.reason))),
        (_, _, Some(waiver)) => (
            StepOutcome::Lifted,
            Some(format!("waived by `{}` until {}: {}", waiver.id, waiver.last_day(), waiver.reason)),
        ),
        (_, Then::Route, None) => {
            (StepOutcome::Refuses, Some(format!("a waiver of `{}`; {} is asked instead", rule.id, instead())))
        }
        (_, Then::Deny, None) => (StepOutcome::Refuses, Some(format!("a waiver of `{}`", rule.id))),
    };
    Step {
        license: COMPANY.to_owned(),
        from: "the company itself".to_owned(),
        clause: format!("the rule `{}`", rule.id),
        fact: rule.reason.clone(),
        outcome,
        rule: "company-rule",
        then,
    }
}

/// What is owed whatever is known of the use.
fn owed(license: &License, from: &str, clause: &str, duty: &str) -> Step {
    Step {
        license: license.id.clone(),
        from: from.to_owned(),
        clause: clause.to_owned(),
        fact: "it binds this use".to_owned(),
        outcome: StepOutcome::Owes,
        rule: "obligation",
        then: Some(duty.to_owned()),
    }
}

fn step(rights: &Rights<'_>, clause: &Clause<'_>, from: &str) -> Step {
    let (license, use_) = (rights.license, rights.use_);
    let (text, mut fact) = match &clause.about {
        About::Purpose => (format!("allows {}", purposes(license)), format!("the purpose is {}", use_.purpose.name())),
        About::Service => (
            match license.hosted_service.needs_contract {
                true => "offering it to third parties takes a contract".to_owned(),
                false => "offering it to third parties takes no contract".to_owned(),
            },
            "people outside the company see what it writes".to_owned(),
        ),
        About::Domain(domain) => (
            match license.prohibits.contains(domain) {
                true => format!("forbids the field `{}`", domain.name()),
                false => format!("does not forbid the field `{}` by name", domain.name()),
            },
            format!("the use is part of the field `{}`", domain.name()),
        ),
        About::Training => (
            match license.outputs.training {
                Training::Free => "other models may be trained on answers",
                Training::Named => "other models may be trained on answers, under its rules of naming",
                Training::TermsFollow => "a model that is trained on answers takes the licence with it",
                Training::Prohibited => "no other models may be trained on answers",
                Training::Unknown => "whether other models may be trained on answers is not known",
            }
            .to_owned(),
            format!("answers are used for {}", use_.activity.name()),
        ),
        About::Territory(territory) => (
            territory.text.clone(),
            match &use_.seat {
                Some(seat) => format!("the seat is `{}`", seat.escape_debug()),
                None => "the context states no seat".to_owned(),
            },
        ),
        About::Condition(condition) => {
            let whom = match condition.scope {
                Scope::Group => "the licensee with its affiliates",
                Scope::Licensee => "the licensee",
                Scope::Product => "the product",
            };
            let fact = match (&clause.ruling, &use_.entity) {
                (Ruling::Refused, _) => "it is attested not to be so".to_owned(),
                (_, Some(entity)) => format!("{entity} has stated nothing that answers for it"),
                (_, None) => "the context names no entity that could answer for it".to_owned(),
            };
            (condition.text.clone(), format!("asked of {whom}; {fact}"))
        }
    };
    let (mut outcome, mut then) = match &clause.ruling {
        Ruling::Holds { on: None } => (StepOutcome::Holds, None),
        Ruling::Holds { on: Some(attestation) } => {
            fact = format!(
                "{} answers for it in `{}`, signed on {} and valid until {}",
                attestation.signed_by, attestation.id, attestation.signed, attestation.valid_until
            );
            (StepOutcome::Holds, None)
        }
        Ruling::Owes { duty, on } => {
            if let Some(attestation) = on {
                fact = format!("`{}` of {} says that it is not so", attestation.id, attestation.signed_by);
            }
            (StepOutcome::Owes, Some((*duty).to_owned()))
        }
        Ruling::Lacking => {
            let entity = use_.entity.as_deref().unwrap_or("the entity that the context would name");
            let wanted = match &clause.about {
                About::Condition(condition) => wanted(condition),
                _ => clause.rule.to_owned(),
            };
            (StepOutcome::Missing, Some(format!("attest `{wanted}` for {entity}")))
        }
        Ruling::Refused => (StepOutcome::Refuses, Some(change(rights, clause))),
    };
    if matches!(outcome, StepOutcome::Missing | StepOutcome::Refuses)
        && let Some(waiver) = rights.waiver(clause.rule)
    {
        outcome = StepOutcome::Lifted;
        then = Some(format!("waived by `{}` until {}: {}", waiver.id, waiver.last_day(), waiver.reason));
    }
    Step { license: license.id.clone(), from: from.to_owned(), clause: text, fact, outcome, rule: clause.rule, then }
}

/// The least that would make a clause hold.
fn change(rights: &Rights<'_>, clause: &Clause<'_>) -> String {
    let license = rights.license;
    let licensor = license.licensor.as_deref().unwrap_or(&rights.model.developer);
    let contract = format!("an agreement with {licensor}");
    match &clause.about {
        // What nobody knows is refused before any agreement is looked at.
        About::Purpose if license.id == super::UNKNOWN => {
            "the licence on record, in a catalog file of the company".to_owned()
        }
        About::Purpose if license.allows.is_empty() => contract,
        About::Purpose => {
            let purposes: Vec<_> = license.allows.iter().map(|purpose| purpose.name()).collect();
            format!("a context of {} use, or {contract}", purposes.join(" or "))
        }
        About::Service => format!("internal exposure, or {contract}"),
        About::Domain(domain) => format!("a use outside the field `{}`", domain.name()),
        About::Training => format!("an activity that trains no model, or {contract}"),
        About::Territory(territory) => format!("a seat outside {}", territory.denies_seats.join(", ")),
        About::Condition(_) => contract,
    }
}
