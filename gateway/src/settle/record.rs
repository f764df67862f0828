//! What the ledger says of a request: one decision before it is served, one outcome after.
//!
//! Both are JSON, one object a record, told apart by `kind` and joined by `request`. Times are Unix milliseconds.
//! Never a prompt, an answer, a key or its hash; nor, unless the configuration has it so, the id of a key. A reader skips fields that it does not know; `v` changes when a
//! field changes its meaning.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::dispatch::Tried;

/// The decision: who asked for what, and which candidates may serve it under which licence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decision<'a> {
    /// Version of the shape, 1.
    pub v: u8,
    /// Always `decision`.
    pub kind: Cow<'a, str>,
    /// When, in Unix milliseconds.
    pub time: u64,
    /// The request's id, as in its `x-request-id`.
    pub request: Cow<'a, str>,
    /// The id of the request that this one mirrors; its answer is thrown away.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shadow_of: Option<Cow<'a, str>>,
    /// The id of the request whose answer it gets, where it gets one that was given before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer_of: Option<Cow<'a, str>>,
    /// The client API.
    pub api: Cow<'a, str>,
    /// Who asked; `None` where no key is needed.
    pub team: Option<Cow<'a, str>>,
    /// The pseudonym of whoever asked ([`crate::subjects`]); the public id of the key, or the subject of the token, where the
    /// configuration has it so, and in records of older versions.
    pub key: Option<Cow<'a, str>>,
    /// The licence context.
    pub context: Cow<'a, str>,
    /// What the licences were decided for.
    pub r#use: UseRecord<'a>,
    /// The model that was asked for.
    pub model: Cow<'a, str>,
    /// The language of the last user turn, where a route asked for it.
    pub language: Option<Cow<'a, str>>,
    /// The route that matched.
    pub route: Option<Cow<'a, str>>,
    /// The arm of the route's split.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub arm: Option<Cow<'a, str>>,
    /// What else policies saw of the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked: Option<AskedRecord<'a>>,
    /// Digest of the configuration, policies and catalog that decided.
    pub config: Cow<'a, str>,
    /// Digest of the policies alone, as `x-pointsman-policy` begins.
    #[serde(default)]
    pub policy: Cow<'a, str>,
    /// `serve`, or the reason of the refusal: `license`, `none_fits`, `unavailable`.
    pub verdict: Cow<'a, str>,
    /// Routes that did not take it because their expressions were errors for it, each with the error.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub alerts: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The refusal's licence decision.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<CandidateRecord<'a>>,
    /// Who may serve it, best first, at most [`policies::MAX_CANDIDATES`].
    pub candidates: Vec<CandidateRecord<'a>>,
    /// Deployments that were ruled out, by reason code.
    pub rejected: std::collections::BTreeMap<Cow<'a, str>, u32>,
}

/// What policies saw of a request beside who asked for which model in which language: enough to plan it again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskedRecord<'a> {
    /// Tokens of the prompt, an estimate.
    pub prompt_tokens: u64,
    /// The most tokens that the caller wanted back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_tokens: Option<u64>,
    /// Tokens of a usual answer on its route, as the plan took it; absent where that was not learnt.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer_tokens: Option<f32>,
    /// The request's random number, by which arms are drawn and ties broken; 0 where there was none.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub draw: u64,
    /// What it asked of a model, by the words of [`policies::Capability`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub needs: Vec<Cow<'a, str>>,
    /// Whether the answer was to be streamed.
    pub stream: bool,
    /// The script of the last user turn, where a route asked for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub script: Option<Cow<'a, str>>,
    /// The request headers that the configuration declares for policies, as far as the request had them; of those that it calls
    /// personal the pseudonyms of their values.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The entries of `metadata` that it declares, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// What the caller's key may reach, where it is bound.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<ScopeRecord<'a>>,
}

/// What the caller's key was bound to; an absent list is no bound.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ScopeRecord<'a> {
    /// Models, or deployments.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub models: Vec<Cow<'a, str>>,
    /// Routes.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub routes: Vec<Cow<'a, str>>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The use, as the licence decision read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UseRecord<'a> {
    /// `revenue`, `internal`, `research` or `personal`.
    pub purpose: Cow<'a, str>,
    /// `internal` or `public`.
    pub exposure: Cow<'a, str>,
    /// What becomes of the answers: `inference`, `evaluation`, `agent`, `distillation` or `training-data`.
    #[serde(default)]
    pub activity: Cow<'a, str>,
    /// Where the licensee sits.
    pub seat: Option<Cow<'a, str>>,
    /// The fields of use that it is part of.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub domains: Vec<Cow<'a, str>>,
    /// The countries that it is offered to.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub end_users: Vec<Cow<'a, str>>,
    /// The legal entity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entity: Option<Cow<'a, str>>,
}

/// A candidate with its licence decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CandidateRecord<'a> {
    /// The deployment; `None` for a model that is deployed nowhere.
    pub deployment: Option<Cow<'a, str>>,
    /// The catalog's model.
    pub model: Cow<'a, str>,
    /// The licence that decided.
    pub license: Cow<'a, str>,
    /// Its tier.
    pub tier: u8,
    /// `allow`, `allow_with_obligations`, `warn`, `route`, `require_attestation` or `deny`.
    pub outcome: Cow<'a, str>,
    /// The rule that decided.
    pub rule: Cow<'a, str>,
    /// The attestations, agreements and waivers that an allowance rests on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rests_on: Vec<Cow<'a, str>>,
    /// SHA-256 of the file of weights, where the licence was decided by it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub weights: Option<Cow<'a, str>>,
    /// The catalog's model that guesses for it, whose licence binds too.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub draft: Option<Cow<'a, str>>,
    /// What the request asks, it lacks, and the request would be sent without: words of [`policies::Capability`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub leaves_out: Vec<Cow<'a, str>>,
    /// What the company's own rules said.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rules: Vec<RuleRecord<'a>>,
}

/// What a rule of the company's own said of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRecord<'a> {
    /// The rule.
    pub rule: Cow<'a, str>,
    /// What it asked for.
    pub outcome: Cow<'a, str>,
    /// Whether it was heeded; false in shadow, and where a waiver lifts it.
    pub enforced: bool,
}

/// The outcome: who served it, what it took, how it ended.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome<'a> {
    /// Version of the shape, 1.
    pub v: u8,
    /// Always `outcome`.
    pub kind: &'static str,
    /// When it ended, in Unix milliseconds.
    pub time: u64,
    /// The request's id.
    pub request: &'a str,
    /// `completed`, `failed` (before the first byte), `broken` (after it) or `cancelled` (the caller went away).
    pub status: &'static str,
    /// The HTTP status that the caller saw.
    pub http: u16,
    /// Who served it.
    pub deployment: Option<&'a str>,
    /// The model that served it.
    pub model: Option<&'a str>,
    /// The request that the answer was given to first, where it was given before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_of: Option<&'a str>,
    /// The attempts, in order.
    pub tried: &'a [Tried],
    /// The error's code, if it did not end well.
    pub error: Option<&'a str>,
    /// The last finish reason, where the gateway knows it.
    pub finish: Option<&'a str>,
    /// Tokens of the prompt; `None` where nobody counted them.
    pub prompt_tokens: Option<u64>,
    /// Tokens generated, likewise.
    pub completion_tokens: Option<u64>,
    /// Prompt tokens from a cache, likewise.
    pub cached_tokens: Option<u64>,
    /// Whose count that is: `backend`, or `estimate` where the one that answered counted nothing, or broke off before;
    /// `cache` where it is that of an answer that was given before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_by: Option<&'static str>,
    /// What it cost; `None` where neither the host says it nor a price and the tokens are known.
    pub cost_usd: Option<f64>,
    /// Whose word that is: `host`; `price` for the deployment's listed prices; `estimate` for these and estimated tokens;
    /// `cache` for nothing, as nobody was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_by: Option<&'static str>,
    /// Milliseconds to the first content of a streamed answer.
    pub first_token_ms: Option<u64>,
    /// Milliseconds in all.
    pub total_ms: u64,
}
