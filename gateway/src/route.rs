//! Facts and snapshot -> plan -> refusal, if it is one.
//!
//! The plan itself is [`policies::plan`], a pure function; `explain` and policy tests call the same one. Here it
//! is only given what the process knows at this moment, and its verdict put into the caller's words.

#[cfg(test)]
mod affinity;
mod cached;
pub mod caps;
pub mod waiting;

use std::time::Duration;

use backends::{Prefix, Request};
pub use cached::Cached;
use policies::{Facts, Plan, Verdict};
use serde_json::json;

use crate::{
    dispatch::{self, Reserved, stats::Size},
    respond::error::{ApiError, clip},
    runtime::Runtime,
};

/// How often a plan is made anew where the place that it chose was taken meanwhile.
const TRIES: usize = 3;

/// A plan, and the place that it has at its first candidate.
#[derive(Debug)]
pub struct Planned {
    /// Who serves the request, and why.
    pub plan: Plan,
    /// None where nobody does.
    pub reserved: Option<Reserved>,
}

/// The plan for a request when it is its turn, with the place that it is given. `prefix` tells which places were sent its
/// prompt before; those in this process are asked what they have of it, where that decides. Where it has to wait, it holds the
/// leave that `may_wait` gives it, and waits for nothing without.
pub async fn planned<L>(
    runtime: &Runtime,
    facts: &mut Facts,
    request: &Request,
    prefix: Option<&Prefix>,
    may_wait: impl FnOnce() -> Option<L>,
) -> Planned {
    let mut cached = Cached::told(prefix);
    let mut plan = plan(runtime, facts, &cached);
    if cached.ask(runtime, &plan, request, facts.prompt_tokens).await {
        plan = plan_again(runtime, facts, &cached);
    }
    let first = match runtime.waiting.has_line(plan.route.as_deref()) {
        // What is free is for those that came before.
        true => Planned { plan, reserved: None },
        false => placed(runtime, facts, &cached, plan),
    };
    let team = facts.team.as_deref().unwrap_or_default();
    let again = || placed(runtime, facts, &cached, plan_again(runtime, facts, &cached));
    runtime.waiting.in_turn(first, team, may_wait, again).await
}

/// Takes the place that a plan chose, or what a new plan chooses if it is taken.
fn placed(runtime: &Runtime, facts: &Facts, cached: &Cached<'_>, mut plan: Plan) -> Planned {
    let mut again = 1..TRIES;
    loop {
        let reserved = dispatch::reserve(&plan, &runtime.places, Size::of(facts.prompt_tokens));
        if reserved.is_some() || plan.verdict != Verdict::Serve || again.next().is_none() {
            return Planned { plan, reserved };
        }
        plan = plan_again(runtime, facts, cached);
    }
}

/// The plan for a request, now. Completes its facts with what only a running gateway has: the usual length of answers
/// on its route, and a random number.
pub fn plan(runtime: &Runtime, facts: &mut Facts, cached: &Cached<'_>) -> Plan {
    let route = runtime.config.policies.route_name(&runtime.config.catalog, facts);
    facts.answer_tokens = route.and_then(|route| runtime.lengths.of(route)?.mean());
    // 53 bits, which every reader of a record reads alike; 0 would be none.
    facts.draw = (rand::random::<u64>() >> 11).max(1);
    plan_again(runtime, facts, cached)
}

/// The plan for facts that have all that, as things are now.
pub fn plan_again(runtime: &Runtime, facts: &Facts, cached: &Cached<'_>) -> Plan {
    let live = runtime.live(Size::of(facts.prompt_tokens), cached);
    policies::plan(facts, &runtime.snapshot(&live))
}

/// Why a plan serves nobody, as the caller is told; `None` for one that serves.
pub fn refusal(plan: &Plan, facts: &Facts) -> Option<ApiError> {
    let asked = &facts.model_asked;
    match &plan.verdict {
        Verdict::Serve => None,
        Verdict::UnknownModel { nearest } => Some(unknown_model(asked, nearest)),
        Verdict::License { model, decision, alternatives } => {
            let hint = match alternatives.as_slice() {
                [] => "no deployed model is allowed for this use; ask your platform team".to_owned(),
                names => format!("allowed for this use: {}", listed(names, ", ")),
            };
            let code = match decision.outcome {
                catalog::Outcome::RequireAttestation => "license_needs_attestation",
                _ => "license_forbids_use",
            };
            Some(ApiError::forbidden(code, decision.reason.to_string()).hint(hint).details(
                "license",
                json!({
                    "model": model,
                    "id": &*decision.license,
                    "tier": decision.tier.number(),
                    "rule": decision.rule,
                    "context": facts.context,
                    "purpose": facts.use_.purpose.name(),
                    "missing": decision.missing,
                    "alternatives": alternatives,
                }),
            ))
        }
        Verdict::NoneFits { code, reason, alternatives } => Some(unfit(asked, code, reason, alternatives)),
        Verdict::Unavailable { models, again_ms } => {
            let names = models.iter().map(|model| format!("`{model}`")).collect::<Vec<_>>().join(", ");
            let again = again_ms.map(|ms| Duration::from_millis(ms.into()));
            Some(ApiError::no_healthy_backend(asked, &format!(" ({names})"), again))
        }
    }
}

/// Why nothing deployed can serve a request as it is: 404 where the model is not deployed, 403 where policy keeps its
/// licence out or the caller's key is not for it, else 400.
fn unfit(asked: &str, code: &str, reason: &str, alternatives: &[String]) -> ApiError {
    let message = format!("nothing that may serve `{asked}` fits this request: {reason}");
    let error = match code {
        "context-too-long" => {
            ApiError { code: "context_length_exceeded".into(), ..ApiError::invalid("messages".to_owned(), message) }
        }
        "suffix-refused" => {
            let error =
                ApiError { code: "suffix_refused".into(), ..ApiError::invalid("model".to_owned(), reason.to_owned()) };
            return error.hint(format!("ask for {}", listed(alternatives, " or ")));
        }
        "out-of-scope" => {
            let error = ApiError::forbidden(crate::admit::OUT_OF_SCOPE, reason.to_owned());
            return match alternatives {
                [] => error.hint("ask your platform team for a key that reaches it"),
                names => {
                    error.hint(format!("ask for {}, or your platform team for another key", listed(names, " or ")))
                }
            };
        }
        caps::USED_UP => {
            let error = ApiError::forbidden("license_forbids_use", message);
            return error.hint(
                "whoever approves waivers may raise its `at_most_requests`, or a model that needs none be asked",
            );
        }
        "required-license" | "required-obligations" => ApiError::forbidden("policy_forbids_license", message),
        "not-deployed" => {
            ApiError { param: Some("model".into()), ..ApiError::not_found("model_not_deployed", message) }
        }
        _ => ApiError { code: "no_model_fits".into(), ..ApiError::invalid("model".to_owned(), message) },
    };
    match alternatives {
        [] => error.hint("ask for less, or ask your platform team for a model that can do it"),
        names => error.hint(format!("allowed for this use: {}", listed(names, ", "))),
    }
}

/// 404 for a model that is known and that this caller cannot ask for here.
pub fn not_offered(model: &str) -> ApiError {
    let message = format!("`{model}` is known, and nothing deployed serves it for this use");
    ApiError { param: Some("model".into()), ..ApiError::not_found("model_not_deployed", message) }
        .hint("GET /v1/models lists what you can ask for")
}

/// Names in backticks.
fn listed(names: &[String], between: &str) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(between)
}

/// 404 for a name that nobody knows, with those near to it.
pub fn unknown_model(asked: &str, nearest: &[String]) -> ApiError {
    let asked = clip(asked, 200);
    let error = ApiError {
        param: Some("model".into()),
        ..ApiError::not_found("model_not_found", format!("no model is called `{asked}`"))
    };
    match nearest {
        [] => error.hint("GET /v1/models lists what you can ask for"),
        names => {
            error.hint(format!("did you mean {}? GET /v1/models lists what you can ask for", listed(names, " or ")))
        }
    }
}
