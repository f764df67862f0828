//! What a record of the ledger says in columns, for tables of them: the index and the Parquet files.
//!
//! A pure function of the record's bytes, so that whoever has the record can check a row. It knows the words of records, not their
//! version: what is absent, of another type or too large for its column is nothing, as is all of a record that is no JSON object. A
//! decision has the licence decision of its refusal, else of the candidate that comes first; who served in the end is in the
//! outcome's row.

use serde_json::Value;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What it is a record of: `decision`, `outcome`, `start` and others.
    pub kind: Option<String>,
    /// When it was made, in Unix milliseconds.
    pub time: Option<i64>,
    /// The request that it is about.
    pub request: Option<String>,
    /// Who asked.
    pub team: Option<String>,
    /// The public id of the key.
    pub key: Option<String>,
    /// The licence context.
    pub context: Option<String>,
    /// The route that matched.
    pub route: Option<String>,
    /// The model that was asked for.
    pub asked: Option<String>,
    /// What was decided: `serve`, or the reason of a refusal.
    pub verdict: Option<String>,
    /// Of a decision, who may serve it first; of an outcome, who served it.
    pub deployment: Option<String>,
    /// The catalog's model there.
    pub model: Option<String>,
    /// The licence that decided.
    pub license: Option<String>,
    /// Its tier.
    pub tier: Option<i16>,
    /// What it came to: `allow`, `deny` and others.
    pub outcome: Option<String>,
    /// By which rule.
    pub rule: Option<String>,
    /// The attestations, agreements and waivers that it rests on.
    pub rests_on: Vec<String>,
    /// How a request ended.
    pub status: Option<String>,
    /// Tokens of the prompt.
    pub prompt_tokens: Option<i64>,
    /// Tokens generated.
    pub completion_tokens: Option<i64>,
    /// What it cost.
    pub cost_usd: Option<f64>,
}

impl Row {
    /// The row of a record.
    pub fn of(record: &[u8]) -> Self {
        let Ok(record) = serde_json::from_slice::<Value>(record) else { return Self::default() };
        let kind = text(&record, "kind");
        let said = Self {
            time: count(&record, "time"),
            request: text(&record, "request"),
            team: text(&record, "team"),
            key: text(&record, "key"),
            context: text(&record, "context"),
            route: text(&record, "route"),
            verdict: text(&record, "verdict"),
            status: text(&record, "status"),
            prompt_tokens: count(&record, "prompt_tokens"),
            completion_tokens: count(&record, "completion_tokens"),
            cost_usd: record.get("cost_usd").and_then(Value::as_f64),
            ..Self::default()
        };
        match kind.as_deref() {
            Some("decision") => {
                let refused = record.get("refused").filter(|refused| refused.is_object());
                let licensed = refused.or_else(|| record.get("candidates")?.get(0)).unwrap_or(&Value::Null);
                let rests_on = licensed.get("rests_on").and_then(Value::as_array).into_iter().flatten();
                Self {
                    kind,
                    asked: text(&record, "model"),
                    deployment: text(licensed, "deployment"),
                    model: text(licensed, "model"),
                    license: text(licensed, "license"),
                    tier: count(licensed, "tier").and_then(|tier| i16::try_from(tier).ok()),
                    outcome: text(licensed, "outcome"),
                    rule: text(licensed, "rule"),
                    rests_on: rests_on.filter_map(|id| Some(id.as_str()?.to_owned())).collect(),
                    ..said
                }
            }
            _ => Self { kind, deployment: text(&record, "deployment"), model: text(&record, "model"), ..said },
        }
    }
}

fn text(of: &Value, name: &str) -> Option<String> {
    of.get(name)?.as_str().map(str::to_owned)
}

/// A number that a column of 64 bits with a sign holds.
fn count(of: &Value, name: &str) -> Option<i64> {
    of.get(name)?.as_u64()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(record: &Value) -> Row {
        Row::of(record.to_string().as_bytes())
    }

    fn candidate(deployment: Option<&str>, license: &str) -> Value {
        json!({"deployment": deployment, "model": "m", "license": license, "tier": 3, "outcome": "warn", "rule": "r", "rests_on": ["w"]})
    }

    #[test]
    fn a_decision_has_the_licence_of_its_refusal_or_of_who_comes_first() {
        let decision = |verdict: &str, refused: Value, candidates: &[Value]| {
            row(&json!({
                "v": 1, "kind": "decision", "time": 5, "request": "q", "team": "t", "key": "k", "context": "c", "route": "r",
                "model": "auto", "verdict": verdict, "refused": refused, "candidates": candidates,
            }))
        };
        let served = decision("serve", Value::Null, &[candidate(Some("a"), "one"), candidate(Some("b"), "two")]);
        let some = |text: &str| Some(text.to_owned());
        let expected = Row {
            kind: some("decision"),
            time: Some(5),
            request: some("q"),
            team: some("t"),
            key: some("k"),
            context: some("c"),
            route: some("r"),
            asked: some("auto"),
            verdict: some("serve"),
            deployment: some("a"),
            model: some("m"),
            license: some("one"),
            tier: Some(3),
            outcome: some("warn"),
            rule: some("r"),
            rests_on: vec!["w".to_owned()],
            ..Row::default()
        };
        assert_eq!(served, expected);
        let refused = decision("license", candidate(None, "three"), &[]);
        assert_eq!((refused.license, refused.deployment), (some("three"), None));
        let nobody = decision("none_fits", Value::Null, &[]);
        assert_eq!((nobody.asked, nobody.model, nobody.tier), (some("auto"), None, None));
    }

    #[test]
    fn an_outcome_says_who_served_and_what_it_took() {
        let outcome = row(&json!({
            "kind": "outcome", "time": 9, "request": "q", "status": "completed", "deployment": "b", "model": "m",
            "prompt_tokens": 7, "completion_tokens": null, "cost_usd": 0.25,
        }));
        assert_eq!((outcome.deployment.as_deref(), outcome.model.as_deref()), (Some("b"), Some("m")));
        assert_eq!((outcome.prompt_tokens, outcome.completion_tokens, outcome.cost_usd), (Some(7), None, Some(0.25)));
        assert_eq!((outcome.asked, outcome.license), (None, None));
    }

    #[test]
    fn what_is_of_another_type_or_too_large_is_nothing_and_so_is_all_of_what_is_no_object() {
        let odd = row(&json!({
            "kind": ["decision"], "time": u64::MAX, "request": 1, "prompt_tokens": -1, "completion_tokens": 1.5,
            "cost_usd": "1", "model": {"a": 1}, "candidates": {"0": 1},
        }));
        assert_eq!(odd, Row::default());
        let odd = row(
            &json!({"kind": "decision", "refused": 1, "candidates": [{"tier": 70_000, "rests_on": [1, "w", null]}]}),
        );
        assert_eq!(odd, Row { kind: Some("decision".to_owned()), rests_on: vec!["w".to_owned()], ..Row::default() });
        for none in [&b"[1]"[..], b"\"x\"", b"{", b"", b"\xff", br#"{"cost_usd":1e999}"#] {
            assert_eq!(Row::of(none), Row::default(), "{none:?}");
        }
        assert_eq!(Row::of("[".repeat(10_000).as_bytes()), Row::default());
    }
}
