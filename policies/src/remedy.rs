//! The least that would let a refused deployment serve: which rule of the route, fact of the deployment, or part of the
//! request would have to be another.
//!
//! Found step by step: what refuses it now is changed as little as it takes, the request is planned again by the function
//! that serves, and so on until the deployment is a candidate or only its licence is in the way. What would make the
//! licence allow it is said by the clauses that decided ([`catalog::explain`]); who attests or agrees is no rule of ours
//! to change. Everything counts as healthy after its own turn.

use std::sync::Arc;

use catalog::{StepOutcome, Tier};
use serde::Serialize;

use crate::{
    Capabilities, Cause, Deployment, Facts, Live, Needs, Place, Plan, Rejected, Snapshot,
    compile::bind,
    coverage::{beside, number, routes},
    parse::FileText,
    plan::plan_whole,
    read::Spanned,
    route::{Require, RouteText},
    rules::require_parts,
};

/// The most refused deployments that remedies are looked for.
pub const MAX_REMEDIES: usize = 32;
/// The most changes of one remedy; a deployment has no more kinds of reason to be refused.
const MAX_CHANGES: usize = 12;

/// What would let a refused deployment serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// The deployment, or the candidate that nothing serves.
    pub deployment: String,
    /// The catalog id of its model, or the candidate as the route names it.
    pub model: String,
    /// All that would have to change; empty where nothing that is known would do.
    pub changes: Vec<String>,
}

/// The least changes for each deployment that `plan` refuses, in the order of the plan; at most [`MAX_REMEDIES`].
pub fn remedies(facts: &Facts, snapshot: &Snapshot<'_>, plan: &Plan) -> Vec<Remedy> {
    let ids = |rejected: Rejected<'_>| match rejected.deployment {
        Some(at) => snapshot.deployments[at].id.clone(),
        None => rejected.model.to_string(),
    };
    let all = plan.rejected().take(MAX_REMEDIES);
    all.map(|rejected| Remedy {
        deployment: ids(rejected),
        model: rejected.model.to_string(),
        changes: World::of(facts, snapshot, plan).admit(&ids(rejected), rejected.cause, rejected.model),
    })
    .collect()
}

/// The world, changed so far.
struct World<'a> {
    before: &'a Snapshot<'a>,
    facts: Facts,
    routes: Vec<RouteText>,
    /// The number of the route that took the request; `None` for the implicit one.
    route: Option<usize>,
    deployments: Vec<Deployment>,
    live: Vec<Live>,
}

impl<'a> World<'a> {
    fn of(facts: &Facts, before: &'a Snapshot<'a>, plan: &Plan) -> Self {
        let routes = routes(&before.policies.texts);
        let route = number(plan.route.as_deref(), &routes);
        let live = |at| before.live.get(at).copied().unwrap_or(Live::UNMEASURED);
        Self {
            before,
            facts: facts.clone(),
            route,
            routes,
            deployments: before.deployments.to_vec(),
            live: (0..before.deployments.len()).map(live).collect(),
        }
    }

    /// The changes that let the deployment `id` serve; none where one of its reasons is past changing.
    fn admit(mut self, id: &str, cause: &Cause, model: &str) -> Vec<String> {
        let mut changes = Vec::new();
        let mut cause = Some(cause.clone());
        while let Some(now) = cause {
            if let Cause::License(_) = now {
                let Some(licence) = self.licence(model) else { return Vec::new() };
                changes.extend(licence);
                return changes;
            }
            match self.change(id, &now, model) {
                Some(change) if changes.len() < MAX_CHANGES => changes.push(change),
                _ => return Vec::new(),
            }
            cause = match self.refused(id) {
                // It is no candidate of the route that takes the request then: the change moved it elsewhere.
                Refused::Gone => return Vec::new(),
                Refused::By(cause) => Some(cause),
                Refused::Not => None,
            };
        }
        changes
    }

    /// Why the deployment is refused in the world as it is changed.
    fn refused(&self, id: &str) -> Refused {
        let texts: Arc<[FileText]> =
            [FileText { routes: self.routes.clone(), ..beside(&self.before.policies.texts) }].into();
        let policies = bind(texts, self.before.catalog, &self.deployments);
        let world = Snapshot {
            catalog: self.before.catalog,
            policies: &policies,
            deployments: &self.deployments,
            live: &self.live,
        };
        let plan = plan_whole(&self.facts, &world, usize::MAX);
        let is = |at: usize| self.deployments[at].id == id;
        if plan.candidates.iter().any(|candidate| is(candidate.deployment)) {
            return Refused::Not;
        }
        let cause = plan.rejected().find(|rejected| rejected.deployment.is_some_and(is)).map(|r| r.cause.clone());
        cause.map_or(Refused::Gone, Refused::By)
    }

    /// Changes what one cause is about, and says how.
    fn change(&mut self, id: &str, cause: &Cause, model: &str) -> Option<String> {
        match cause {
            Cause::Required { .. } | Cause::Slow { .. } | Cause::Failing { .. } | Cause::Owes { .. } => self.relax(id),
            Cause::NotDeployed => {
                let place = Place::Local { engine: "explain".to_owned() };
                let model = &self.before.catalog.model(model)?.id;
                self.deployments.push(Deployment::new(id, model, place));
                self.live.push(Live::UNMEASURED);
                Some(format!("deploy `{model}`"))
            }
            Cause::ContextTooLong { limit, .. } => {
                self.facts.prompt_tokens = limit.checked_sub(1)?;
                Some(format!("a prompt of at most {} tokens", self.facts.prompt_tokens))
            }
            // A request for something else would be another one.
            Cause::Lacks(capability) if capability.is_task() => None,
            Cause::Lacks(capability) => {
                let needs = self.facts.needs.capabilities();
                self.facts.needs = Needs::from(needs.without([*capability].into_iter().collect::<Capabilities>()));
                Some(format!("a request that does not need `{capability}`"))
            }
            Cause::Unhealthy | Cause::Throttled { .. } | Cause::Full => {
                let at = self.deployments.iter().position(|deployment| deployment.id == id)?;
                self.live[at] = Live::UNMEASURED;
                let what = if *cause == Cause::Unhealthy { "healthy" } else { "below its limit" };
                Some(format!("`{id}` {what} again"))
            }
            // No policy widens a key.
            Cause::License(_) | Cause::OutOfScope => None,
        }
    }

    /// Loosens the one key of the route's `require` that keeps a deployment out, as little as it takes.
    fn relax(&mut self, id: &str) -> Option<String> {
        let route = self.route?;
        let before = self.refused(id);
        let whole = self.routes[route].require.clone();
        // The key that refuses is the one without which the reason is another.
        let key = require_parts(&whole).into_iter().find_map(|(key, without)| {
            self.routes[route].require = without;
            (self.refused(id) != before).then_some(key)
        })?;
        let at = self.deployments.iter().position(|deployment| deployment.id == id)?;
        let without = self.routes[route].require.clone();
        self.routes[route].require = whole.clone();
        let (change, require) = match self.loosened(key, whole, at) {
            Some(Loosened::Rule(change, require)) => (change, *require),
            Some(Loosened::Fact(change)) => return Some(change),
            None => (format!("leave out `require.{key}`"), without),
        };
        self.routes[route].require = require;
        Some(change)
    }

    /// The key of `require` with the value that just lets a deployment in; where a fact of the deployment is not known, the
    /// deployment with that fact.
    fn loosened(&mut self, key: &str, require: Require, at: usize) -> Option<Loosened> {
        let deployment = &mut self.deployments[at];
        let model = self.before.catalog.model(&deployment.model)?;
        let local = matches!(deployment.place, Place::Local { .. });
        let id = deployment.id.clone();
        let rule = |change: String, require| Some(Loosened::Rule(change, Box::new(require)));
        let state =
            |what: &str, value: String| Some(Loosened::Fact(format!("state `{what}: {value}` of `{id}`, if so")));
        let spanned = |value: &str| Spanned { value: value.to_owned(), at: 0..0 };
        match key {
            "license.max_tier" => {
                let tier = model.tier;
                rule(
                    raise(key, u64::from(tier.number())),
                    Require {
                        max_tier: Some(tier).filter(below_all).map(|value| Spanned { value, at: 0..0 }),
                        ..require
                    },
                )
            }
            "license.allow" => {
                let mut allow = require.allow_licenses.clone().unwrap_or_default();
                let known = |allow: &[Spanned<String>], id: &str| allow.iter().any(|allowed| allowed.value == id);
                let new: Vec<&str> = model.licenses().filter(|id| !known(&allow, id)).collect();
                allow.extend(new.iter().map(|id| spanned(id)));
                rule(add(&new, key), Require { allow_licenses: Some(allow), ..require })
            }
            "license.deny" => {
                let denied = |id: &Spanned<String>| model.licenses().any(|own| own == id.value);
                let names: Vec<&str> =
                    require.deny_licenses.iter().filter(|id| denied(id)).map(|id| id.value.as_str()).collect();
                let change = format!("take {} out of `require.{key}`", quoted(&names));
                let rest = require.deny_licenses.iter().filter(|id| !denied(id)).cloned().collect();
                rule(change, Require { deny_licenses: rest, ..require })
            }
            "context_tokens" => match deployment.context_tokens.or(model.context_tokens) {
                Some(tokens) => {
                    rule(lower("context_tokens.min", tokens), Require { min_context_tokens: Some(tokens), ..require })
                }
                None => {
                    deployment.context_tokens = require.min_context_tokens;
                    state("context", require.min_context_tokens?.to_string())
                }
            },
            "region" => match deployment.region.as_deref().or(local.then_some("local")) {
                Some(region) => {
                    let all = require.region.iter().flatten().cloned().chain([region.to_owned()]).collect();
                    rule(add(&[region], key), Require { region: Some(all), ..require })
                }
                None => {
                    deployment.region = require.region.as_ref()?.first().cloned();
                    state("region", deployment.region.clone()?)
                }
            },
            "retention" => match deployment.retention.as_deref().or(local.then_some("none")) {
                Some(retention) => {
                    let all = require.retention.iter().flatten().cloned().chain([retention.to_owned()]).collect();
                    rule(add(&[retention], key), Require { retention: Some(all), ..require })
                }
                None => {
                    deployment.retention = require.retention.as_ref()?.first().cloned();
                    state("retention", deployment.retention.clone()?)
                }
            },
            "quantization" => match deployment.quantization_bits {
                Some(bits) => {
                    let bits = f64::from(bits);
                    rule(lower("quantization.min_bits", bits), Require { min_bits: Some(bits), ..require })
                }
                None => {
                    deployment.quantization_bits = require.min_bits.map(|bits| bits as f32);
                    state("quantization_bits", require.min_bits?.to_string())
                }
            },
            "price.input_usd_per_million" => match deployment.input_usd_per_million {
                Some(usd) => {
                    rule(raise("price.input_usd_per_million.max", usd), Require { max_input_usd: Some(usd), ..require })
                }
                None => {
                    deployment.input_usd_per_million = require.max_input_usd;
                    state("price.input_usd_per_million", format!("at most {}", require.max_input_usd?))
                }
            },
            "price.output_usd_per_million" => match deployment.output_usd_per_million {
                Some(usd) => rule(
                    raise("price.output_usd_per_million.max", usd),
                    Require { max_output_usd: Some(usd), ..require },
                ),
                None => {
                    deployment.output_usd_per_million = require.max_output_usd;
                    state("price.output_usd_per_million", format!("at most {}", require.max_output_usd?))
                }
            },
            _ => None,
        }
    }

    /// What would make the licences of a model allow the use: one thing for each clause that is in the way.
    fn licence(&self, model: &str) -> Option<Vec<String>> {
        let catalog = self.before.catalog;
        let model = catalog.model(model)?;
        let explanation = catalog::explain(catalog, model, &self.facts.use_, self.facts.today);
        let mut changes: Vec<String> = Vec::new();
        for step in explanation.steps {
            if matches!(step.outcome, StepOutcome::Missing | StepOutcome::Refuses) {
                let then = step.then?;
                if !changes.contains(&then) {
                    changes.push(then);
                }
            }
        }
        // A licence or a model that is not known at all has no clause to meet.
        (!changes.is_empty()).then_some(changes)
    }
}

#[derive(PartialEq)]
enum Refused {
    /// It serves.
    Not,
    By(Cause),
    /// It is not among those that are considered.
    Gone,
}

enum Loosened {
    Rule(String, Box<Require>),
    /// The deployment was changed.
    Fact(String),
}

/// The strictest tier is no limit at all.
fn below_all(tier: &Tier) -> bool {
    *tier < Tier::Closed
}

fn raise(key: &str, to: impl std::fmt::Display) -> String {
    format!("raise `require.{key}` to {to}")
}

fn lower(key: &str, to: impl std::fmt::Display) -> String {
    format!("lower `require.{key}` to {to}")
}

fn add(names: &[&str], key: &str) -> String {
    format!("add {} to `require.{key}`", quoted(names))
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}
