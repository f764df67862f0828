//! Records -> requests: each decision with its outcome; and what the gateway said of itself between them.
//!
//! A decision that refuses has no outcome. One that serves has, as soon as its answer has ended; a request that is still
//! running, or whose gateway was killed, comes last and without one. A record of a kind or shape that this version does
//! not know is passed over: a newer gateway may have written it.

use std::{borrow::Cow, collections::HashMap};

use serde::{Deserialize, Serialize};

use crate::{
    instance::InstanceRecord,
    settle::record::{CandidateRecord, Decision},
};

/// What a ledger tells.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Told {
    /// A request, when it has ended.
    Request(Box<Entry>),
    /// Something of the gateway itself, with the number of its record.
    Gateway(u64, Box<InstanceRecord>),
    /// An outcome that no decision comes before, with the number of its record.
    Stray(u64, Box<Outcome>),
}

/// One request.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct Entry {
    /// The number of its decision in the log.
    pub(in crate::cli) record: u64,
    pub(in crate::cli) decision: Decision<'static>,
    pub(in crate::cli) outcome: Option<Outcome>,
}

/// How a request ended, as far as it is reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Outcome {
    pub(super) request: String,
    pub(super) time: u64,
    pub(super) status: String,
    #[serde(default)]
    http: Option<u16>,
    #[serde(default)]
    pub(super) deployment: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    pub(super) answer_of: Option<String>,
    #[serde(default)]
    pub(super) tried: Vec<serde_json::Value>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    finish: Option<String>,
    /// `None` where nobody counted them, as in an answer that was cancelled.
    #[serde(default)]
    pub(in crate::cli) prompt_tokens: Option<u64>,
    #[serde(default)]
    pub(in crate::cli) completion_tokens: Option<u64>,
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    tokens_by: Option<String>,
    #[serde(default)]
    pub(in crate::cli) cost_usd: Option<f64>,
    #[serde(default)]
    first_token_ms: Option<u64>,
    #[serde(default)]
    total_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

impl Entry {
    /// Who counted its tokens: `backend`, or `estimate`.
    pub(super) fn counted_by(&self) -> Option<&str> {
        self.outcome.as_ref()?.tokens_by.as_deref()
    }

    /// Who served it.
    pub(in crate::cli) fn deployment(&self) -> Option<&str> {
        self.outcome.as_ref()?.deployment.as_deref()
    }

    /// The licence decision that counted: of the candidate that served, or of the refusal.
    pub(super) fn licensed(&self) -> Option<&CandidateRecord<'static>> {
        let served = self.deployment();
        let candidate = self.decision.candidates.iter().find(|c| served.is_some() && c.deployment.as_deref() == served);
        candidate.or(self.decision.refused.as_ref())
    }

    /// The licence decisions that it may rest on: the one that counted, or those of all its candidates where nothing tells
    /// how it ended.
    pub(super) fn may_rest_on(&self) -> impl Iterator<Item = &CandidateRecord<'static>> {
        let any = if self.is_open() { &self.decision.candidates[..] } else { &[] };
        self.licensed().into_iter().chain(any)
    }

    /// Whether a candidate was to serve it and nothing tells how it ended: it runs, or its gateway was killed.
    pub(super) fn is_open(&self) -> bool {
        self.outcome.is_none() && self.decision.verdict == "serve"
    }

    /// Whether a model answered.
    pub(super) fn is_served(&self) -> bool {
        self.deployment().is_some()
    }

    /// How it ended, in one word; for a refusal its reason.
    pub(in crate::cli) fn ended(&self) -> &str {
        match &self.outcome {
            Some(outcome) => &outcome.status,
            None if self.is_open() => "open",
            None => &self.decision.verdict,
        }
    }
}

/// What a ledger's records tell, requests as they end; those that did not end come last.
pub(super) fn told(
    records: impl Iterator<Item = anyhow::Result<(u64, Vec<u8>)>>,
) -> impl Iterator<Item = anyhow::Result<Told>> {
    let mut open: HashMap<String, Entry> = HashMap::new();
    let mut records = Some(records);
    let mut unended = Vec::new().into_iter();
    std::iter::from_fn(move || {
        while let Some(next) = records.as_mut().map(Iterator::next) {
            match next {
                Some(Ok((number, record))) => {
                    if let Some(told) = joined(number, &record, &mut open) {
                        return Some(Ok(told));
                    }
                }
                Some(Err(error)) => {
                    records = None;
                    return Some(Err(error));
                }
                None => {
                    records = None;
                    let mut rest: Vec<_> = std::mem::take(&mut open).into_values().collect();
                    rest.sort_by_key(|entry| entry.record);
                    unended = rest.into_iter();
                }
            }
        }
        unended.next().map(|entry| Ok(Told::Request(Box::new(entry))))
    })
}

/// Takes one record; what it tells or ends, if it does.
fn joined(number: u64, record: &[u8], open: &mut HashMap<String, Entry>) -> Option<Told> {
    match &*kind(record)? {
        "decision" => {
            let decision: Decision<'static> = serde_json::from_slice(record).ok()?;
            let entry = Entry { record: number, decision, outcome: None };
            if entry.decision.verdict != "serve" {
                return Some(Told::Request(Box::new(entry)));
            }
            open.insert(entry.decision.request.to_string(), entry);
            None
        }
        "outcome" => {
            let outcome: Outcome = serde_json::from_slice(record).ok()?;
            Some(match open.remove(&outcome.request) {
                Some(entry) => Told::Request(Box::new(Entry { outcome: Some(outcome), ..entry })),
                None => Told::Stray(number, Box::new(outcome)),
            })
        }
        _ => Some(Told::Gateway(number, serde_json::from_slice(record).ok()?)),
    }
}

/// The kind of a record. It stands at the beginning of those that a gateway writes, so that they need not be read twice.
fn kind(record: &[u8]) -> Option<Cow<'_, str>> {
    let at_begin = record.strip_prefix(br#"{"v":1,"kind":""#).and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        std::str::from_utf8(&rest[..end]).ok()
    });
    match at_begin {
        Some(kind) => Some(kind.into()),
        None => Some(serde_json::from_slice::<Kind>(record).ok()?.kind.into()),
    }
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::settle;

    pub(in crate::cli) fn decision(request: &str, time: u64, verdict: &str) -> Value {
        let candidate = |deployment: Option<&str>, outcome: &str| json!({"deployment": deployment, "model": "m", "license": "apache-2.0", "tier": 1, "outcome": outcome, "rule": "r"});
        let serve = verdict == "serve";
        json!({
            "v": 1, "kind": "decision", "time": time, "request": request, "api": "chat", "team": "support", "key": "k1",
            "context": "bot", "use": {"purpose": "revenue", "exposure": "public", "seat": "DE"}, "model": "auto",
            "language": null, "route": "r", "config": "c", "verdict": verdict,
            "refused": (!serve).then(|| candidate(None, "deny")),
            "candidates": if serve { vec![candidate(Some("a"), "allow"), candidate(Some("b"), "allow")] } else { vec![] },
            "rejected": {}
        })
    }

    pub(in crate::cli) fn outcome(request: &str, status: &str) -> Value {
        json!({
            "v": 1, "kind": "outcome", "time": 9, "request": request, "status": status, "http": 200, "deployment": "b",
            "model": "m", "tried": [], "prompt_tokens": 7, "completion_tokens": 3, "tokens_by": "backend", "cost_usd": 0.5
        })
    }

    pub(in crate::cli) fn joined_all(records: &[Value]) -> Vec<Entry> {
        let records: Vec<_> =
            (0..).zip(records).map(|(at, record)| Ok((at, record.to_string().into_bytes()))).collect();
        let requests = told(records.into_iter()).filter_map(|told| match told.unwrap() {
            Told::Request(entry) => Some(*entry),
            Told::Gateway(..) | Told::Stray(..) => None,
        });
        requests.collect()
    }

    /// What failed or was cancelled before anybody had counted its tokens was listed as open once.
    #[test]
    fn an_outcome_that_nobody_counted_tokens_for_ends_its_request_as_any_other() {
        let written = settle::record::Outcome {
            v: 1,
            kind: "outcome",
            time: 9,
            request: "1",
            status: "cancelled",
            http: 200,
            deployment: Some("b"),
            model: Some("m"),
            answer_of: None,
            tried: &[],
            error: None,
            finish: None,
            prompt_tokens: None,
            completion_tokens: None,
            cached_tokens: None,
            tokens_by: None,
            cost_usd: None,
            cost_by: None,
            first_token_ms: None,
            total_ms: 3,
        };
        let entries = joined_all(&[decision("1", 1, "serve"), serde_json::to_value(written).unwrap()]);
        assert_eq!((entries[0].ended(), entries[0].deployment()), ("cancelled", Some("b")));
    }

    #[test]
    fn a_decision_meets_its_outcome_and_a_refusal_needs_none() {
        let entries = joined_all(&[
            decision("1", 1, "serve"),
            decision("2", 2, "license"),
            decision("3", 3, "serve"),
            outcome("1", "completed"),
        ]);
        let ended: Vec<_> = entries.iter().map(|entry| (&*entry.decision.request, entry.ended())).collect();
        assert_eq!(ended, [("2", "license"), ("1", "completed"), ("3", "open")]);
        assert_eq!(entries[1].deployment(), Some("b"));
        assert_eq!(entries[1].licensed().unwrap().deployment.as_deref(), Some("b"));
        assert_eq!(entries[0].licensed().unwrap().outcome, "deny");
        // Nothing tells who served the last one.
        let may_rest_on = |entry: &Entry| entry.may_rest_on().map(|of| of.deployment.clone()).collect::<Vec<_>>();
        assert_eq!(may_rest_on(&entries[1]), [Some("b".into())]);
        assert_eq!(may_rest_on(&entries[2]), [Some("a".into()), Some("b".into())]);
    }

    #[test]
    fn records_of_other_kinds_and_shapes_are_passed_over() {
        let strange =
            [json!({"kind": "reload"}), json!([1]), json!({"kind": "decision", "v": 9}), outcome("none", "completed")];
        assert!(joined_all(&strange).is_empty());
    }

    #[test]
    fn a_ledger_that_cannot_be_read_further_says_so_once() {
        let mut entries = told([Err(anyhow::anyhow!("damaged"))].into_iter());
        assert!(entries.next().unwrap().is_err());
        assert!(entries.next().is_none());
    }
}
