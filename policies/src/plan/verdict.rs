//! Why a request has no candidate, in the order in which it helps the caller to know.

use std::{cmp::Reverse, sync::Arc};

use catalog::{Availability, Decision, Kind, Model};

use super::{Cause, Rejected, takes_more};
use crate::{
    DIRECT, Facts, Live, Scope, Snapshot, Suffix,
    diag::{LIKE_ENOUGH, likeness},
    eligible::{Allowed, decision},
    set::Route,
    table::Row,
};

/// Names that an answer suggests at most.
const MAX_NAMES: usize = 5;

/// Whether a request has a candidate, and else why not.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// There is a candidate.
    Serve,
    /// Nothing goes by the name that was asked for.
    UnknownModel {
        /// The names most like it, nearest first.
        nearest: Vec<String>,
    },
    /// Whoever could have served is under a licence that forbids the use.
    License {
        /// The model that the decision is about: the first of them.
        model: Arc<str>,
        /// The denial: licence, rule, reason.
        decision: Arc<Decision>,
        /// Models that are deployed and allowed for this use.
        alternatives: Vec<String>,
    },
    /// Somebody could serve it, but nobody who takes requests now, or nobody who is as fast and as reliable as the route
    /// asks.
    Unavailable {
        /// The models that are down, at a limit, slow or failing.
        models: Vec<Arc<str>>,
        /// When the first of those that are only at a limit of their own takes requests again by its own word,
        /// milliseconds.
        again_ms: Option<u32>,
    },
    /// Nobody can serve it: the request asks for too much, or the route requires it.
    NoneFits {
        /// The code of the reason that came closest to serving, as [`Rejected::code`] gives it.
        code: &'static str,
        /// In plain words.
        reason: String,
        /// Models that are deployed and allowed for this use.
        alternatives: Vec<String>,
    },
}

impl Verdict {
    /// A stable word for reports and policy tests.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::UnknownModel { .. } => "unknown_model",
            Self::License { .. } => "license",
            Self::Unavailable { .. } => "unavailable",
            Self::NoneFits { .. } => "none_fits",
        }
    }
}

/// No route takes the request, and no deployment goes by the name.
pub(super) fn without_route(asked: &str, facts: &Facts, snapshot: &Snapshot<'_>) -> Verdict {
    let Some(model) = snapshot.catalog.resolve(asked).filter(|model| exists(model)) else {
        return Verdict::UnknownModel { nearest: nearest(asked, snapshot) };
    };
    if facts.scope.as_ref().is_some_and(|scope| !scope.reaches(None, &model.id)) {
        return models_out_of_scope(&model.id, facts, snapshot);
    }
    let alternatives = alternatives(facts, snapshot);
    let decision = snapshot.catalog.class(&facts.use_, facts.today).decision(snapshot.catalog, model);
    if !decision.outcome.allows() {
        return Verdict::License { model: model.id.as_str().into(), decision, alternatives };
    }
    let reason = format!("`{}` is in the catalog, but no deployment serves it", model.id);
    Verdict::NoneFits { code: "not-deployed", reason, alternatives }
}

/// The route takes the request but not the suffix behind the name.
pub(super) fn suffix_refused(route: &Route, name: &str, suffix: Suffix) -> Verdict {
    let reason = format!("the route `{}` takes no suffix such as `{suffix}`", route.name);
    Verdict::NoneFits { code: "suffix-refused", reason, alternatives: vec![name.to_owned()] }
}

/// The route takes the request, but the caller's key may not use the route.
pub(super) fn route_out_of_scope(route: &Route, facts: &Facts, snapshot: &Snapshot<'_>) -> Verdict {
    let own = facts.scope.as_deref().map_or(&[][..], |scope| &scope.routes);
    let reason =
        format!("the route `{}` is not one that the caller's key may use; it may use {}", route.name, few(own));
    Verdict::NoneFits { code: Cause::OutOfScope.code(), reason, alternatives: alternatives(facts, snapshot) }
}

/// The caller's key may use none of those that could serve.
fn models_out_of_scope(first: &str, facts: &Facts, snapshot: &Snapshot<'_>) -> Verdict {
    let own = facts.scope.as_deref().map_or(&[][..], |scope| &scope.models);
    let reason = format!("`{first}` is not a model that the caller's key may use; it may use {}", few(own));
    Verdict::NoneFits { code: Cause::OutOfScope.code(), reason, alternatives: alternatives(facts, snapshot) }
}

/// The first of some names.
fn few(names: &[String]) -> String {
    let told = names.iter().take(MAX_NAMES).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// A route takes the request, but none of its candidates may serve.
pub(super) fn without_candidate<'r>(
    facts: &Facts,
    snapshot: &Snapshot<'_>,
    ruled_out: impl Iterator<Item = Rejected<'r>> + Clone,
    never: impl Iterator<Item = Rejected<'r>> + Clone,
) -> Verdict {
    let mut down: Vec<Arc<str>> = Vec::new();
    let mut again_ms: Option<u32> = None;
    for rejected in ruled_out.clone() {
        match rejected.cause {
            Cause::Throttled { ms } => again_ms = Some(again_ms.map_or(*ms, |known| known.min(*ms))),
            Cause::Unhealthy | Cause::Full | Cause::Slow { .. } | Cause::Failing { .. } => {}
            _ => continue,
        }
        if down.iter().all(|model| **model != *rejected.model) {
            down.push(rejected.model.into());
        }
    }
    if !down.is_empty() {
        return Verdict::Unavailable { models: down, again_ms };
    }
    let alternatives = alternatives(facts, snapshot);
    for rejected in ruled_out.clone() {
        if let Cause::License(decision) = rejected.cause {
            return Verdict::License { model: rejected.model.into(), decision: decision.clone(), alternatives };
        }
    }
    let longest = ruled_out.clone().filter_map(|r| match r.cause {
        Cause::ContextTooLong { limit, .. } => Some(*limit),
        _ => None,
    });
    if let Some(limit) = longest.max() {
        let tokens = facts.prompt_tokens;
        let reason = format!(
            "the prompt has about {tokens} tokens, and the longest context window among the candidates holds {limit}"
        );
        return Verdict::NoneFits { code: "context-too-long", reason, alternatives };
    }
    let deployed = never.clone().filter(|r| *r.cause != Cause::NotDeployed);
    let closest = ruled_out.clone().chain(deployed).chain(never.clone());
    let first = closest.clone().next();
    // What the caller may not reach does not explain why the rest does not serve.
    let id =
        |deployment| snapshot.deployments.get(deployment).map(|deployment: &crate::Deployment| deployment.id.as_str());
    let reached = |rejected: &Rejected<'_>| {
        let of = |scope: &Arc<Scope>| scope.reaches(rejected.deployment.and_then(id), rejected.model);
        facts.scope.as_ref().is_none_or(of)
    };
    let closest = { closest }.find(reached);
    match (closest, first) {
        (Some(rejected), _) => {
            let others = ruled_out.count() + never.count() - 1;
            let others = match others {
                0 => String::new(),
                1 => "; 1 other candidate is out as well".to_owned(),
                n => format!("; {n} other candidates are out as well"),
            };
            let reason = format!("`{}`: {}{others}", rejected.model, rejected.reason());
            Verdict::NoneFits { code: rejected.code(), reason, alternatives }
        }
        (None, Some(first)) => models_out_of_scope(first.model, facts, snapshot),
        (None, None) => Verdict::NoneFits {
            code: "not-deployed",
            reason: "no deployment serves any candidate of the route".to_owned(),
            alternatives,
        },
    }
}

/// Whether there is such a model at all, so that its licence is worth talking about.
fn exists(model: &Model) -> bool {
    model.kind == Kind::Model && !matches!(model.availability, Availability::DoesNotExist | Availability::Project)
}

/// The names most like `asked`: of routes, deployments and the catalog, and what the catalog says to use instead.
fn nearest(asked: &str, snapshot: &Snapshot<'_>) -> Vec<String> {
    let instead = snapshot.catalog.resolve(asked).and_then(|model| model.replacement.as_deref());
    let ours = snapshot.policies.virtual_models().chain(snapshot.deployments.iter().map(|d| d.id.as_str()));
    let mut ours: Vec<(f64, &str)> = ours.map(|name| (likeness(asked, name), name)).collect();
    ours.retain(|(likeness, _)| *likeness >= LIKE_ENOUGH);
    ours.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let names = ours.into_iter().map(|(_, name)| name).chain(snapshot.catalog.nearest(asked, MAX_NAMES));
    let mut nearest: Vec<String> = Vec::new();
    for name in instead.into_iter().chain(names) {
        if nearest.len() < MAX_NAMES && nearest.iter().all(|n| n != name) {
            nearest.push(name.to_owned());
        }
    }
    nearest
}

/// Models that are deployed, healthy, able and allowed for this use, best first; the demo model last.
fn alternatives(facts: &Facts, snapshot: &Snapshot<'_>) -> Vec<String> {
    let table = &snapshot.policies.table;
    let needs = facts.needs.required();
    let qualities = table.qualities(facts.language.as_deref(), None);
    let allowed = Allowed::new(facts, snapshot);
    let scope = facts.scope.as_deref();
    // Whoever may not ask for a model by its own name has no use for names.
    if scope.is_some_and(|scope| !scope.takes(DIRECT)) {
        return Vec::new();
    }
    let reached = |row: &Row| {
        let id = snapshot.deployments.get(row.deployment).map(|deployment| deployment.id.as_str());
        scope.is_none_or(|scope| scope.reaches(id, &table.served(row).id))
    };
    let mut able: Vec<_> = table
        .rows
        .iter()
        .zip(qualities)
        .filter(|(row, _)| {
            let live = snapshot.live.get(row.deployment).unwrap_or(&Live::UNMEASURED);
            let short = row.context_tokens.is_none_or(|limit| facts.prompt_tokens < limit);
            short && takes_more(live) && reached(row) && decision(needs, row, &allowed).is_ok()
        })
        .collect();
    able.sort_by_key(|(row, quality)| {
        // Thousandths, so that the order is total; what is not known comes last.
        let quality = (!quality.is_nan()).then_some((**quality * 1000.0) as u32);
        (table.served(row).demo, Reverse(quality), row.deployment)
    });
    let mut names: Vec<String> = Vec::new();
    for (row, _) in able {
        let id = &table.served(row).id;
        if names.len() < MAX_NAMES && names.iter().all(|name| **name != **id) {
            names.push(id.to_string());
        }
    }
    names
}
