//! `GET /v1/whoami`: what a caller may use under its licence context, what it owes in return, and what it may not use and why.
//!
//! The same decisions that its requests get today, over the models that are deployed and that its key reaches.

use catalog::{Decision, Need};
use serde::Serialize;

use crate::{keys::Grant, runtime::Runtime, settle};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Whoami<'a> {
    object: &'static str,
    team: Option<&'a str>,
    key: Option<&'a str>,
    context: &'a str,
    r#use: &'a catalog::Use,
    /// Digest of the policies, as `x-pointsman-policy` says it.
    policy: &'a str,
    /// The day that was decided for.
    on: String,
    models: Vec<Usable<'a>>,
    refused: Vec<Refused<'a>>,
}

/// A model that may be used.
#[derive(Debug, Serialize)]
struct Usable<'a> {
    id: &'a str,
    license: String,
    tier: u8,
    decision: &'static str,
    /// What has to be done in return.
    obligations: Vec<String>,
    /// Texts that the product has to show.
    show: Vec<String>,
    /// What the permission rests on.
    rests_on: Vec<String>,
    /// The last day on which it may be relied on, where something that it rests on ends.
    valid_until: Option<String>,
}

/// A model that may not.
#[derive(Debug, Serialize)]
struct Refused<'a> {
    id: &'a str,
    license: String,
    tier: u8,
    rule: &'static str,
    reason: String,
    /// What somebody would have to attest.
    missing: Vec<Need>,
}

/// What a caller may use today.
pub fn of<'a>(runtime: &'a Runtime, caller: &'a Grant) -> Whoami<'a> {
    let (catalog, today) = (&runtime.config.catalog, settle::today());
    let use_ = &caller.context.use_;
    let class = catalog.class(use_, today);
    let (mut models, mut refused): (Vec<Usable<'_>>, Vec<Refused<'_>>) = (Vec::new(), Vec::new());
    let mut seen: Vec<&str> = Vec::new();
    for deployment in &runtime.facts {
        let id = deployment.model.as_str();
        if seen.contains(&id) {
            continue;
        }
        seen.push(id);
        let Some(model) = catalog.served_from(id, deployment.weights.as_ref()) else { continue };
        let decision = match &deployment.draft {
            Some(draft) => class.with_draft(catalog, model, draft),
            None => class.decision(catalog, model),
        };
        if decision.outcome.allows() {
            if runtime.reaches(caller, id) {
                models.push(usable(id, &decision));
            }
        } else {
            refused.push(Refused {
                id,
                license: decision.license.to_string(),
                tier: decision.tier.number(),
                rule: decision.rule,
                reason: decision.reason.to_string(),
                missing: decision.missing.to_vec(),
            });
        }
    }
    Whoami {
        object: "whoami",
        team: caller.team.as_deref(),
        key: caller.key.as_deref(),
        context: &caller.context.name,
        r#use: use_,
        policy: runtime.policy_header.to_str().unwrap_or_default(),
        on: today.to_string(),
        models,
        refused,
    }
}

fn usable<'a>(id: &'a str, decision: &Decision) -> Usable<'a> {
    let mut show: Vec<String> = Vec::new();
    for text in decision.obligations.iter().flat_map(|text| catalog::quoted(text).map(str::to_owned)) {
        // Several clauses ask for the same text.
        if !show.contains(&text) {
            show.push(text);
        }
    }
    Usable {
        id,
        license: decision.license.to_string(),
        tier: decision.tier.number(),
        decision: decision.outcome.name(),
        show,
        obligations: decision.obligations.iter().map(ToString::to_string).collect(),
        rests_on: decision.rests_on.iter().map(ToString::to_string).collect(),
        valid_until: decision.valid_until.map(|day| day.to_string()),
    }
}
