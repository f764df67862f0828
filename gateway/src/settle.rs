//! Writes down what was decided and what came of it.
//!
//! A [`Settlement`] goes with a request from its decision to its end. Whoever ends it says how; dropped without a word
//! it means that the caller went away, and is recorded so. An outcome that the ledger cannot take is logged: the
//! answer it belongs to has been given.

mod named;
#[cfg(test)]
mod one_plan;
pub mod record;
pub mod replay;
pub mod row;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use backends::{BackendError, Usage};
use http::{HeaderMap, HeaderName, HeaderValue};
use ledger::{Ledger, Ticket};
use policies::{Capabilities, Facts, Plan, Verdict};
use tokio::time::Instant;

pub use self::named::Named;
use self::record::{AskedRecord, CandidateRecord, Decision, Outcome, RuleRecord, ScopeRecord, UseRecord};
use crate::{
    answers::Kept,
    config::Config,
    dispatch::{
        Tried,
        stats::{Attempt, Length},
    },
    keys::Grant,
    observe,
    quota::Pass,
    respond::error::ApiError,
    runtime::{Deployed, Runtime},
    subjects::Subjects,
    wire::ClientApi,
};

/// A request for which a plan was made.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The client API.
    pub api: ClientApi,
    /// Its id.
    pub id: &'a str,
    /// The id of the request that it mirrors.
    pub shadow_of: Option<&'a str>,
    /// The id of the request whose answer it gets.
    pub answer_of: Option<&'a str>,
    /// Who asks.
    pub caller: &'a Grant,
    /// What policies saw of it.
    pub facts: &'a Facts,
    /// How its record names who asks.
    pub named: &'a Named,
}

/// How the record of a request names who asks. Asked for before anything is recorded of it.
///
/// # Errors
/// A 503 when a pseudonym cannot be kept: nobody could tell later who it was.
pub async fn named(
    subjects: &Arc<Subjects>,
    config: &Config,
    caller: &Grant,
    facts: &Facts,
) -> Result<Named, ApiError> {
    Named::of(subjects, config, caller, facts).await.map_err(|error| {
        tracing::error!(error = crate::dispatch::chain(&error), "a caller has no pseudonym; the request is refused");
        ledger_unavailable()
    })
}

/// Appends the decision of a plan. The answer has to wait for the ticket.
///
/// # Errors
/// A 503 when the ledger takes no record: nothing is served that could not be proved later.
pub fn decide(ledger: &Ledger, runtime: &Runtime, asked: &Asked<'_>, plan: &Plan) -> Result<Ticket, ApiError> {
    observe::decided(plan.verdict.as_str());
    for alert in &plan.alerts {
        observe::policy_alert(&alert.route);
        tracing::warn!(request = asked.id, route = &*alert.route, error = %alert.error, "a route's `when` was an error");
    }
    ledger.append(&decision(runtime, asked, plan)).map_err(|error| unprovable(&error))
}

/// What the ledger says of a plan: enough to make it again.
fn decision<'a>(runtime: &'a Runtime, asked: &Asked<'a>, plan: &'a Plan) -> Decision<'a> {
    let Asked { api, id, shadow_of, answer_of, caller, facts, named } = *asked;
    let mut rejected = std::collections::BTreeMap::new();
    for candidate in plan.rejected() {
        *rejected.entry(candidate.code().into()).or_insert(0) += 1;
    }
    let verdict = plan.verdict.as_str();
    let refused = match &plan.verdict {
        Verdict::License { model, decision, .. } => Some(candidate(None, model, decision, Capabilities::default())),
        _ => None,
    };
    let candidates = plan
        .candidates
        .iter()
        .map(|chosen| {
            let facts = &runtime.deployed[chosen.deployment].facts;
            candidate(Some(facts), chosen.model(), chosen.decision(), chosen.leaves_out)
        })
        .collect();
    let use_ = &caller.context.use_;
    Decision {
        v: 1,
        kind: "decision".into(),
        time: decided_ms(facts),
        request: id.into(),
        shadow_of: shadow_of.map(Into::into),
        answer_of: answer_of.map(Into::into),
        api: api.as_str().into(),
        team: caller.team.as_deref().map(Into::into),
        key: named.key().map(Into::into),
        context: caller.context.name.as_str().into(),
        r#use: UseRecord {
            purpose: use_.purpose.name().into(),
            exposure: use_.exposure.name().into(),
            activity: use_.activity.name().into(),
            seat: use_.seat.as_deref().map(Into::into),
            domains: use_.domains.iter().map(|domain| domain.name().into()).collect(),
            end_users: use_.end_users.iter().map(|country| country.as_str().into()).collect(),
            entity: use_.entity.as_deref().map(Into::into),
        },
        // Whole, as a policy may match it; decoding has bounded it.
        model: facts.model_asked.as_str().into(),
        language: facts.language.as_deref().map(Into::into),
        route: plan.route.as_deref().map(Into::into),
        arm: plan.arm.as_deref().map(Into::into),
        asked: Some(AskedRecord {
            prompt_tokens: facts.prompt_tokens,
            max_tokens: facts.max_tokens,
            answer_tokens: facts.answer_tokens,
            draw: facts.draw,
            needs: facts.needs.capabilities().iter().map(|need| need.as_str().into()).collect(),
            stream: facts.stream,
            script: facts.script.as_deref().map(Into::into),
            headers: pairs(&facts.headers, named.headers()),
            metadata: pairs(&facts.metadata, named.metadata()),
            scope: facts.scope.as_deref().map(|scope| ScopeRecord {
                models: scope.models.iter().map(|name| name.as_str().into()).collect(),
                routes: scope.routes.iter().map(|name| name.as_str().into()).collect(),
            }),
        }),
        config: runtime.config.digest.as_str().into(),
        policy: runtime.config.policy_digest.as_str().into(),
        verdict: verdict.into(),
        alerts: plan
            .alerts
            .iter()
            .map(|alert| (alert.route.to_string().into(), alert.error.to_string().into()))
            .collect(),
        refused,
        candidates,
        rejected,
    }
}

/// The moment that is recorded: now, but within the second that the plan was made for, as time windows and the day that
/// licences are decided on were told from that.
fn decided_ms(facts: &Facts) -> u64 {
    let Some(second) = facts.now.and_then(|second| u64::try_from(second).ok()) else { return now_ms() };
    let begins = second.saturating_mul(1000);
    now_ms().clamp(begins, begins.saturating_add(999))
}

/// Names and values, with the pseudonyms of those values that have one.
fn pairs<'a>(pairs: &'a [(String, String)], named: &'a [Option<Arc<str>>]) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let value = |at: usize, plain: &'a str| named.get(at).and_then(Option::as_deref).unwrap_or(plain);
    pairs.iter().enumerate().map(|(at, (name, plain))| (name.as_str().into(), value(at, plain).into())).collect()
}

/// How long an answer waits for its decision to be on disk.
const DURABLE: Duration = Duration::from_secs(10);

/// The log and the number of a decision that is on disk: whoever keeps it can tell later whether the decision is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt<'a> {
    log: &'a str,
    sequence: u64,
}

impl Receipt<'_> {
    /// The header that carries it.
    pub const NAME: HeaderName = HeaderName::from_static("x-pointsman-receipt");

    /// As a header's value; `None` where the log has no name, as it is not signed.
    pub fn header(self) -> Option<HeaderValue> {
        let Self { log, sequence } = self;
        if log.is_empty() { None } else { HeaderValue::try_from(format!("{log} {sequence}")).ok() }
    }

    /// Puts it with the headers of an answer.
    pub fn tell(self, headers: &mut HeaderMap) {
        headers.extend(self.header().map(|value| (Self::NAME, value)));
    }

    /// The same for an answer that is an error.
    #[must_use]
    pub fn tell_in(self, error: ApiError) -> ApiError {
        match self.header() {
            Some(value) => error.header(Self::NAME, value),
            None => error,
        }
    }
}

/// Waits until a decision is on disk in `log`.
///
/// # Errors
/// A 503 when it cannot be written, or not in time.
pub async fn durable(log: &str, ticket: Ticket) -> Result<Receipt<'_>, ApiError> {
    match tokio::time::timeout(DURABLE, ticket).await {
        Ok(Ok(at)) => Ok(Receipt { log, sequence: at.sequence }),
        Ok(Err(error)) => Err(unprovable(&error)),
        Err(_) => {
            tracing::error!("the ledger's disk did not take a decision within {} s", DURABLE.as_secs());
            Err(ledger_unavailable())
        }
    }
}

/// The 503 of a ledger that cannot take or keep a decision.
fn unprovable(error: &ledger::AppendError) -> ApiError {
    tracing::error!(error = crate::dispatch::chain(error), "the ledger takes no record; requests are refused");
    ledger_unavailable()
}

fn ledger_unavailable() -> ApiError {
    let error =
        ApiError::unavailable("ledger_unavailable", "the decision could not be recorded, so the request is not served")
            .hint("the operator has to look at the ledger's disk; `/ready` tells when it is well again");
    ApiError { should_retry: Some(false), ..error }
}

/// A licence decision as a record has it.
pub fn candidate<'a>(
    deployment: Option<&'a policies::Deployment>,
    model: &'a str,
    decision: &'a catalog::Decision,
    leaves_out: Capabilities,
) -> CandidateRecord<'a> {
    let weights = deployment.and_then(|deployment| deployment.weights.as_ref());
    let rule = |spoke: &'a catalog::RuleSpoke| RuleRecord {
        rule: (&*spoke.rule).into(),
        outcome: spoke.outcome.name().into(),
        enforced: spoke.enforced,
    };
    CandidateRecord {
        deployment: deployment.map(|deployment| deployment.id.as_str().into()),
        model: model.into(),
        license: (&*decision.license).into(),
        tier: decision.tier.number(),
        outcome: decision.outcome.name().into(),
        rule: decision.rule.into(),
        rests_on: decision.rests_on.iter().map(|id| (&**id).into()).collect(),
        weights: weights.map(|weights| weights.sha256.as_str().into()),
        draft: deployment.and_then(|deployment| deployment.draft.as_deref()).map(std::borrow::Cow::from),
        leaves_out: leaves_out.iter().map(|capability| capability.as_str().into()).collect(),
        rules: decision.company_rules.iter().map(rule).collect(),
    }
}

/// Goes with a request from its decision to its end and records the outcome, exactly one.
#[derive(Debug)]
pub struct Settlement {
    ledger: Ledger,
    id: String,
    arrived: Instant,
    /// What was tried so far.
    pub tried: Vec<Tried>,
    served: Option<Served>,
    usage: Option<Usage>,
    /// Tokens of the prompt and of the answer so far, for an answer whose tokens nobody counts.
    estimate: Usage,
    finish: Option<&'static str>,
    /// The request whose answer it got.
    answer_of: Option<Box<str>>,
    recorded: bool,
    /// What it took of its quotas, until the answer ends.
    pass: Pass,
}

/// The attempt that answers.
#[derive(Debug)]
struct Served {
    deployed: Arc<Deployed>,
    first_token: Duration,
    streamed: bool,
    /// Taken when the answer ends.
    attempt: Option<Attempt>,
    /// Of the answers of its route.
    length: Option<Arc<Length>>,
}

impl Settlement {
    /// For a request whose decision is in the ledger, and whose prompt has about so many tokens.
    pub fn new(ledger: Ledger, id: String, arrived: Instant, prompt_tokens: u64) -> Self {
        Self {
            ledger,
            id,
            arrived,
            tried: Vec::new(),
            served: None,
            usage: None,
            estimate: Usage { prompt_tokens, ..Usage::default() },
            finish: None,
            answer_of: None,
            recorded: false,
            pass: Pass::default(),
        }
    }

    /// The same, which keeps what the request took of its quotas until the answer ends, and puts it right then.
    #[must_use]
    pub fn holding(mut self, pass: Pass) -> Self {
        self.pass = pass;
        self
    }

    /// The request's id.
    pub fn request_id(&self) -> &str {
        &self.id
    }

    /// An attempt committed: it answers from here on. A whole answer counts in `length`.
    pub fn serves(
        &mut self,
        deployed: Arc<Deployed>,
        attempt: Attempt,
        first_token: Duration,
        streamed: bool,
        length: Option<Arc<Length>>,
    ) {
        self.served = Some(Served { deployed, first_token, streamed, attempt: Some(attempt), length });
    }

    /// Takes token counts; later ones replace earlier ones, as upstreams report running totals.
    pub fn usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// Takes the tokens of a piece of the answer, an estimate.
    pub fn text(&mut self, tokens: u64) {
        self.estimate.completion_tokens = self.estimate.completion_tokens.saturating_add(tokens);
    }

    /// The tokens as somebody counted them, else as they are estimated; `None` where nobody answered.
    fn tokens(&self) -> Option<(Usage, &'static str)> {
        let estimated = || self.served.is_some().then_some((self.estimate, "estimate"));
        self.usage.map(|usage| (usage, "backend")).or_else(estimated)
    }

    /// What the answer took so far, as somebody counted or as it is estimated.
    pub fn counted(&self) -> Option<Usage> {
        self.tokens().map(|(usage, _)| usage)
    }

    /// Takes a finish reason.
    pub fn finish(&mut self, reason: &'static str) {
        self.finish = Some(reason);
    }

    /// The answer is whole.
    pub fn completed(mut self) {
        let usage = self.tokens().map_or_else(Usage::default, |(usage, _)| usage);
        if let Some(served) = &mut self.served {
            if let Some(attempt) = served.attempt.take() {
                attempt.succeeded(usage, served.streamed);
            }
            if let Some(length) = &served.length {
                length.add(usage.completion_tokens);
            }
            let first_token = served.streamed.then_some(served.first_token);
            served.deployed.series.completed(usage, first_token, self.arrived.elapsed());
        }
        self.record("completed", 200, None);
    }

    /// It gets an answer that a deployment has given to another request.
    pub fn again(mut self, deployed: Arc<Deployed>, kept: &Kept) {
        self.served =
            Some(Served { deployed, first_token: Duration::ZERO, streamed: false, attempt: None, length: None });
        (self.usage, self.finish, self.answer_of) = (kept.usage, kept.finish, Some(kept.request.clone()));
        self.record("completed", 200, None);
    }

    /// The last finish reason, where it is known.
    pub fn finished(&self) -> Option<&'static str> {
        self.finish
    }

    /// The answer broke off after its first byte.
    pub fn broken(mut self, error: &BackendError) {
        if let Some(served) = &mut self.served {
            observe::attempt_failed(&served.deployed.facts.id, error.code());
            if let Some(attempt) = served.attempt.take() {
                attempt.failed(error);
            }
        }
        self.record("broken", 200, Some(error.code()));
    }

    /// The caller got an error instead of an answer.
    pub fn failed(mut self, http: u16, code: &str) {
        self.record("failed", http, Some(code));
    }

    fn record(&mut self, status: &'static str, http: u16, error: Option<&str>) {
        self.recorded = true;
        observe::ended(status);
        let served = self.served.as_ref();
        let facts = served.map(|served| &served.deployed.facts);
        let again = self.answer_of.is_some();
        let tokens = self.tokens().map(|(usage, by)| (usage, if again { "cache" } else { by }));
        // What the host asks for is what is paid, whatever its price list says.
        let cost = facts.zip(tokens).and_then(|(facts, (usage, by))| {
            let listed = || Some((cost(facts, &usage)?, if by == "estimate" { by } else { "price" }));
            usage.cost_usd.map(|usd| (usd, "host")).or_else(listed)
        });
        // Nobody was asked for it.
        let cost = if again { Some((0.0, "cache")) } else { cost };
        let usage = tokens.map(|(usage, _)| usage);
        let taken = usage.filter(|_| !again);
        self.pass.settle(taken.as_ref(), cost.map(|(usd, _)| usd), facts.map(|facts| facts.model.as_str()));
        let outcome = Outcome {
            v: 1,
            kind: "outcome",
            time: now_ms(),
            request: &self.id,
            status,
            http,
            deployment: facts.map(|facts| facts.id.as_str()),
            model: facts.map(|facts| facts.model.as_str()),
            answer_of: self.answer_of.as_deref(),
            tried: &self.tried,
            error,
            finish: self.finish,
            prompt_tokens: usage.map(|usage| usage.prompt_tokens),
            completion_tokens: usage.map(|usage| usage.completion_tokens),
            cached_tokens: usage.map(|usage| usage.cached_tokens),
            tokens_by: tokens.map(|(_, by)| by),
            cost_usd: cost.map(|(usd, _)| usd),
            cost_by: cost.map(|(_, by)| by),
            first_token_ms: served.filter(|served| served.streamed).map(|served| served.first_token.as_millis() as u64),
            total_ms: self.arrived.elapsed().as_millis() as u64,
        };
        // The ticket is not waited for: nobody can take the answer back.
        if let Err(error) = self.ledger.append(&outcome) {
            tracing::error!(
                request = self.id,
                error = crate::dispatch::chain(&error),
                "the outcome could not be recorded"
            );
        }
    }
}

impl Drop for Settlement {
    /// Nobody said how it ended: the caller went away.
    fn drop(&mut self) {
        if !self.recorded {
            let begun = self.served.as_ref().is_some_and(|served| served.streamed);
            self.record("cancelled", if begun { 200 } else { 499 }, None);
        }
    }
}

/// What a request cost at the deployment's listed prices. Tokens from a cache count as fresh ones where no price of
/// theirs is known, so a known cost is never too low.
pub fn cost(deployment: &policies::Deployment, usage: &Usage) -> Option<f64> {
    let input = deployment.input_usd_per_million?;
    let output = deployment.output_usd_per_million?;
    let cached = usage.cached_tokens.min(usage.prompt_tokens);
    let fresh = usage.prompt_tokens - cached;
    let prompt = fresh as f64 * input + cached as f64 * deployment.cached_input_usd_per_million.unwrap_or(input);
    Some((prompt + usage.completion_tokens as f64 * output) / 1e6)
}

/// The day that it is now, in UTC.
pub fn today() -> catalog::Date {
    catalog::Date::of_unix_ms(now_ms())
}

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// The last millisecond of the year 9999, in Unix milliseconds: no calendar that times are written by goes further.
pub const LAST_MS: u64 = 253_402_300_799_999;

/// Now, in Unix milliseconds.
pub fn now_ms() -> u64 {
    unix_ms(SystemTime::now())
}

/// A moment in Unix milliseconds; 0 for one before 1970.
pub fn unix_ms(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use policies::{Deployment, Place};

    use super::*;

    #[test]
    fn cached_tokens_cost_their_own_price_where_it_is_known_and_the_full_one_where_it_is_not() {
        let priced = |cached| Deployment {
            input_usd_per_million: Some(2.0),
            output_usd_per_million: Some(10.0),
            cached_input_usd_per_million: cached,
            ..Deployment::new("d", "m", Place::Server("vllm".to_owned()))
        };
        let usage = |cached_tokens| Usage {
            prompt_tokens: 1_000_000,
            completion_tokens: 100_000,
            cached_tokens,
            ..Usage::default()
        };
        let cents =
            |deployment: &Deployment, usage| (cost(deployment, &usage).expect("a price") * 100.0).round() as u64;
        assert_eq!(cents(&priced(None), usage(400_000)), 300);
        assert_eq!(cents(&priced(Some(0.5)), usage(400_000)), 240);
        assert_eq!(cents(&priced(Some(0.5)), usage(9_000_000)), 150, "no more than the prompt has");
        assert_eq!(cost(&Deployment::new("d", "m", Place::Server("vllm".to_owned())), &usage(0)), None);
    }
}
