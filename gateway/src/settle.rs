//! Writes down what was decided and what came of it.
//!
//! A [`Settlement`] goes with an answer to its end. Whoever finishes the answer says how; dropped without a word it
//! means that the caller went away, and is recorded so. An outcome that the ledger cannot take is logged: the
//! answer it belongs to has been given, and the log then refuses the decisions after it.

pub mod record;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use backends::{Api, BackendError, Usage};
use ledger::{Ledger, Ticket};
use policies::{Facts, Plan, Verdict};
use tokio::time::Instant;

use self::record::{CandidateRecord, Decision, MAX_CANDIDATES, Outcome, UseRecord};
use crate::{
    dispatch::{Exhausted, Tried, stats::Attempt},
    keys::Grant,
    observe,
    respond::error::ApiError,
    runtime::{Deployed, Runtime},
};

/// Appends the decision of a plan. The answer has to wait for the ticket.
///
/// # Errors
/// A 503 when the ledger takes no record: nothing is served that could not be proved later.
pub fn decide(
    ledger: &Ledger,
    runtime: &Runtime,
    api: Api,
    id: &str,
    caller: &Grant,
    facts: &Facts,
    plan: &Plan,
) -> Result<Ticket, ApiError> {
    let mut rejected = std::collections::BTreeMap::new();
    for candidate in plan.rejected() {
        *rejected.entry(candidate.code().to_owned()).or_insert(0) += 1;
    }
    let verdict = plan.verdict.as_str();
    let refused = match &plan.verdict {
        Verdict::License { model, decision, .. } => Some(candidate(None, model, decision)),
        _ => None,
    };
    observe::decided(verdict);
    let candidates = plan
        .candidates
        .iter()
        .take(MAX_CANDIDATES)
        .map(|chosen| candidate(Some(&runtime.deployed[chosen.deployment].facts.id), &chosen.model, &chosen.decision))
        .collect();
    let record = Decision {
        v: 1,
        kind: "decision".to_owned(),
        time: now_ms(),
        request: id.to_owned(),
        api: match api {
            Api::Chat => "chat",
            Api::Completions => "completions",
        }
        .to_owned(),
        team: caller.team.as_deref().map(str::to_owned),
        key: caller.key.as_deref().map(str::to_owned),
        context: caller.context.name.clone(),
        r#use: UseRecord {
            purpose: caller.context.use_.purpose.name().to_owned(),
            exposure: match caller.context.use_.exposure {
                catalog::Exposure::Internal => "internal",
                catalog::Exposure::Public => "public",
            }
            .to_owned(),
            seat: caller.context.use_.seat.clone(),
        },
        // Bounded: it is the one text here that the caller wrote.
        model: facts.model_asked.chars().take(200).collect(),
        language: facts.language.clone(),
        route: plan.route.as_deref().map(str::to_owned),
        config: runtime.config.digest.clone(),
        verdict: verdict.to_owned(),
        refused,
        candidates,
        rejected,
    };
    ledger.append(&record).map_err(|error| unprovable(&error))
}

/// The 503 of a ledger that cannot take or keep a decision.
pub fn unprovable(error: &ledger::AppendError) -> ApiError {
    tracing::error!(error = crate::dispatch::chain(error), "the ledger takes no record; requests are refused");
    ApiError::unavailable("ledger_unavailable", "the decision could not be recorded, so the request is not served")
        .hint("the operator has to look at the ledger's disk; `/ready` tells when it is well again")
}

fn candidate(deployment: Option<&str>, model: &str, decision: &catalog::Decision) -> CandidateRecord {
    CandidateRecord {
        deployment: deployment.map(str::to_owned),
        model: model.to_owned(),
        license: decision.license.to_string(),
        tier: decision.tier.number(),
        outcome: match decision.outcome {
            catalog::Outcome::Allow => "allow",
            catalog::Outcome::AllowWithObligations => "allow_with_obligations",
            catalog::Outcome::Deny => "deny",
        }
        .to_owned(),
        rule: decision.rule.to_string(),
    }
}

/// Records that no candidate answered.
pub fn exhausted(ledger: &Ledger, id: &str, arrived: Instant, http: u16, exhausted: &Exhausted) {
    observe::ended("failed");
    write(
        ledger,
        &Outcome {
            v: 1,
            kind: "outcome",
            time: now_ms(),
            request: id,
            status: "failed",
            http,
            deployment: None,
            model: None,
            tried: &exhausted.tried,
            error: Some(exhausted.error.code()),
            finish: None,
            prompt_tokens: 0,
            completion_tokens: 0,
            cached_tokens: 0,
            cost_usd: None,
            first_token_ms: None,
            total_ms: arrived.elapsed().as_millis() as u64,
        },
    );
}

/// Goes with an answer to its end and records it.
#[derive(Debug)]
pub struct Settlement {
    ledger: Ledger,
    id: String,
    arrived: Instant,
    deployed: Arc<Deployed>,
    tried: Vec<Tried>,
    first_token: std::time::Duration,
    streamed: bool,
    usage: Usage,
    finish: Option<&'static str>,
    /// Taken when the answer ends; what is left at drop was cancelled.
    attempt: Option<Attempt>,
}

impl Settlement {
    /// For a committed attempt.
    pub fn new(
        ledger: Ledger,
        id: String,
        arrived: Instant,
        deployed: Arc<Deployed>,
        tried: Vec<Tried>,
        first_token: std::time::Duration,
        streamed: bool,
        attempt: Attempt,
    ) -> Self {
        Self {
            ledger,
            id,
            arrived,
            deployed,
            tried,
            first_token,
            streamed,
            usage: Usage::default(),
            finish: None,
            attempt: Some(attempt),
        }
    }

    /// The request's id.
    pub fn request_id(&self) -> &str {
        &self.id
    }

    /// Takes token counts; later ones replace earlier ones, as upstreams report running totals.
    pub fn usage(&mut self, usage: Usage) {
        self.usage = usage;
    }

    /// Takes a finish reason.
    pub fn finish(&mut self, reason: &'static str) {
        self.finish = Some(reason);
    }

    /// The answer is whole.
    pub fn completed(mut self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.succeeded(self.usage.completion_tokens, self.streamed);
            self.deployed.series.completed(self.usage, self.first_token, self.arrived.elapsed());
            self.record("completed", None);
        }
    }

    /// The answer broke off after its first byte.
    pub fn broken(mut self, error: &BackendError) {
        if let Some(attempt) = self.attempt.take() {
            observe::attempt_failed(&self.deployed.facts.id, error.code());
            attempt.failed(error);
            self.record("broken", Some(error.code()));
        }
    }

    fn record(&self, status: &'static str, error: Option<&'static str>) {
        observe::ended(status);
        write(
            &self.ledger,
            &Outcome {
                v: 1,
                kind: "outcome",
                time: now_ms(),
                request: &self.id,
                status,
                http: 200,
                deployment: Some(&self.deployed.facts.id),
                model: Some(&self.deployed.facts.model),
                tried: &self.tried,
                error,
                finish: self.finish,
                prompt_tokens: self.usage.prompt_tokens,
                completion_tokens: self.usage.completion_tokens,
                cached_tokens: self.usage.cached_tokens,
                cost_usd: cost(&self.deployed.facts, self.usage),
                first_token_ms: Some(self.first_token.as_millis() as u64),
                total_ms: self.arrived.elapsed().as_millis() as u64,
            },
        );
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            drop(attempt);
            self.record("cancelled", None);
        }
    }
}

/// What a request cost at the deployment's listed prices. Cached tokens count as fresh ones until a price for them
/// is known, so this is never too low.
fn cost(deployment: &policies::Deployment, usage: Usage) -> Option<f64> {
    let input = deployment.input_usd_per_million?;
    let output = deployment.output_usd_per_million?;
    Some((usage.prompt_tokens as f64 * input + usage.completion_tokens as f64 * output) / 1e6)
}

fn write(ledger: &Ledger, outcome: &Outcome<'_>) {
    // The ticket is not waited for: nobody can take the answer back.
    if let Err(error) = ledger.append(outcome) {
        tracing::error!(
            request = outcome.request,
            error = crate::dispatch::chain(&error),
            "the outcome could not be recorded"
        );
    }
}

/// Now, in Unix milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
