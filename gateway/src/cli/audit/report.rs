//! Requests counted along every line that a compliance officer asks about.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Entry, columns, written};

/// The counts.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// When the first and the last of the requests were decided.
    first: Option<String>,
    last: Option<String>,
    total: Tally,
    by: BTreeMap<&'static str, BTreeMap<String, Tally>>,
}

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Tally {
    requests: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    /// As far as prices are known.
    cost_usd: f64,
}

impl Report {
    pub(super) fn add(&mut self, entry: &Entry) {
        let decision = &entry.decision;
        let time = written(decision.time);
        let licensed = entry.licensed();
        let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
        let lines = [
            ("day", time[..10].to_owned()),
            ("team", or_none(decision.team.as_deref())),
            ("key", or_none(decision.key.as_deref())),
            ("context", decision.context.to_string()),
            ("use", decision.r#use.purpose.to_string()),
            ("api", decision.api.to_string()),
            ("route", or_none(decision.route.as_deref())),
            ("decision", decision.verdict.to_string()),
            ("outcome", entry.ended().to_owned()),
            ("model", or_none(licensed.map(|candidate| &*candidate.model))),
            ("license", or_none(licensed.map(|candidate| &*candidate.license))),
            ("tier", or_none(licensed.map(|candidate| candidate.tier.to_string()).as_deref())),
            ("deployment", or_none(entry.deployment())),
            ("counted by", or_none(entry.counted_by())),
        ];
        self.total.add(entry);
        for (line, value) in lines {
            self.by.entry(line).or_default().entry(value).or_default().add(entry);
        }
        // RFC 3339 in one zone sorts as time does.
        if self.first.as_ref().is_none_or(|first| time < *first) {
            self.first = Some(time.clone());
        }
        if self.last.as_ref().is_none_or(|last| time > *last) {
            self.last = Some(time);
        }
    }

    pub(super) fn to_text(&self) -> String {
        let (Some(first), Some(last)) = (&self.first, &self.last) else { return "no requests\n".to_owned() };
        let mut text = format!("{first} to {last}\n");
        let headings = |line: &'static str| [line, "REQUESTS", "PROMPT TOKENS", "ANSWER TOKENS", "COST USD"];
        let total = [self.total.row("all".to_owned())];
        text.push_str(&format!("\n{}", columns(headings("TOTAL"), &total)));
        for (line, values) in &self.by {
            let mut rows: Vec<_> = values.iter().collect();
            // Days in their order, everything else by weight.
            if *line != "day" {
                rows.sort_by(|a, b| b.1.requests.cmp(&a.1.requests).then(a.0.cmp(b.0)));
            }
            let rows: Vec<_> = rows.into_iter().map(|(value, tally)| tally.row(value.clone())).collect();
            text.push_str(&format!("\n{}", columns(headings(heading(line)), &rows)));
        }
        text
    }
}

fn heading(line: &str) -> &'static str {
    match line {
        "api" => "API",
        "context" => "CONTEXT",
        "counted by" => "TOKENS COUNTED BY",
        "day" => "DAY",
        "decision" => "DECISION",
        "deployment" => "DEPLOYMENT",
        "key" => "KEY",
        "license" => "LICENCE",
        "model" => "MODEL",
        "outcome" => "OUTCOME",
        "route" => "ROUTE",
        "team" => "TEAM",
        "tier" => "TIER",
        _ => "USE",
    }
}

impl Tally {
    fn add(&mut self, entry: &Entry) {
        self.requests += 1;
        if let Some(outcome) = &entry.outcome {
            self.prompt_tokens += outcome.prompt_tokens.unwrap_or(0);
            self.completion_tokens += outcome.completion_tokens.unwrap_or(0);
            self.cost_usd += outcome.cost_usd.unwrap_or(0.0);
        }
    }

    fn row(&self, value: String) -> [String; 5] {
        [
            value,
            self.requests.to_string(),
            self.prompt_tokens.to_string(),
            self.completion_tokens.to_string(),
            format!("{:.6}", self.cost_usd),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::join::tests::{decision, joined_all, outcome},
        *,
    };
    use crate::settle::DAY_MS;

    #[test]
    fn a_report_counts_along_every_line() {
        let mut report = Report::default();
        let records = [
            decision("1", DAY_MS, "serve"),
            outcome("1", "completed"),
            decision("2", 2 * DAY_MS, "license"),
            decision("3", 2 * DAY_MS, "serve"),
        ];
        joined_all(&records).iter().for_each(|entry| report.add(entry));
        assert_eq!(report.total, Tally { requests: 3, prompt_tokens: 7, completion_tokens: 3, cost_usd: 0.5 });
        let counts = |line: &str| -> Vec<_> {
            report.by[line].iter().map(|(value, tally)| (value.as_str(), tally.requests)).collect()
        };
        assert_eq!(counts("day"), [("1970-01-02", 1), ("1970-01-03", 2)]);
        assert_eq!(counts("decision"), [("license", 1), ("serve", 2)]);
        assert_eq!(counts("outcome"), [("completed", 1), ("license", 1), ("open", 1)]);
        assert_eq!(counts("deployment"), [("b", 1), ("none", 2)]);
        assert_eq!(counts("tier"), [("1", 2), ("none", 1)]);
        assert_eq!(
            (counts("key"), counts("route"), counts("api")),
            (vec![("k1", 3)], vec![("r", 3)], vec![("chat", 3)])
        );
        assert_eq!(counts("counted by"), [("backend", 1), ("none", 2)], "estimates are told apart");
        assert!(report.to_text().starts_with("1970-01-02T00:00:00.000Z to 1970-01-03T00:00:00.000Z\n"));
    }

    #[test]
    fn an_empty_ledger_is_said_to_be_empty() {
        assert_eq!(Report::default().to_text(), "no requests\n");
    }
}
