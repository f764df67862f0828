//! What moves between two ways of deciding the same requests, counted.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    cli::{audit::join::Entry, check::counted, columns::columns},
    settle::replay::UnknownWord,
};

/// How one side decides a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Side {
    pub(super) verdict: String,
    pub(super) route: Option<String>,
    /// Who is asked first.
    pub(super) deployment: Option<String>,
    pub(super) model: Option<String>,
    pub(super) tier: Option<u8>,
}

impl Side {
    fn serves(&self) -> bool {
        self.deployment.is_some()
    }

    /// Its line in a table.
    fn shown(&self) -> String {
        match (&self.deployment, &self.model, self.tier) {
            (Some(deployment), Some(model), Some(tier)) => format!("{deployment} ({model}, tier {tier})"),
            _ => self.verdict.clone(),
        }
    }
}

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Tally {
    requests: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    /// At listed prices, requests whose price is known on both sides.
    usd_before: f64,
    usd_after: f64,
    /// Requests whose price is not known on one of the sides.
    unpriced: u64,
}

impl Tally {
    fn add(&mut self, prompt: u64, answer: u64, cost: (Option<f64>, Option<f64>)) {
        self.requests += 1;
        self.prompt_tokens += prompt;
        self.completion_tokens += answer;
        match cost {
            (Some(before), Some(after)) => {
                self.usd_before += before;
                self.usd_after += after;
            }
            _ => self.unpriced += 1,
        }
    }
}

/// A move that many requests make.
#[derive(Clone, Debug, Serialize)]
struct Move {
    before: Side,
    after: Side,
    #[serde(flatten)]
    tally: Tally,
    /// The id of one of them.
    example: String,
}

/// All that was replayed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    replayed: u64,
    /// Requests that another deployment is asked first for, that are refused, or that are no longer.
    moved: Tally,
    /// All requests.
    all: Tally,
    newly_refused: u64,
    newly_served: u64,
    /// Requests whose first candidate is of a stricter licence tier than before, and of a freer one.
    to_stricter_tier: u64,
    to_freer_tier: u64,
    /// Requests whose language was not recorded although the changed policies ask for it.
    language_not_recorded: u64,
    /// Records that this version cannot read, by reason.
    unreadable: BTreeMap<String, u64>,
    #[serde(serialize_with = "moves")]
    moves: BTreeMap<(Side, Side), Move>,
}

/// The weightiest first.
fn moves<S: serde::Serializer>(moves: &BTreeMap<(Side, Side), Move>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(sorted(moves))
}

fn sorted(moves: &BTreeMap<(Side, Side), Move>) -> Vec<&Move> {
    let mut sorted: Vec<_> = moves.values().collect();
    sorted.sort_by_key(|one| std::cmp::Reverse(one.tally.requests));
    sorted
}

/// Moves that are told apart at most; the rest is counted in the totals.
const MAX_MOVES: usize = 10_000;
/// Moves that a person is shown.
const SHOWN: usize = 40;

impl Report {
    /// Takes a request, how both sides decide it, and what it costs at a pair of deployments.
    pub(super) fn add(
        &mut self,
        entry: &Entry,
        before: Side,
        after: Side,
        language_untold: bool,
        cost: impl Fn((Option<&str>, Option<&str>), u64, u64) -> (Option<f64>, Option<f64>),
    ) {
        let outcome = entry.outcome.as_ref();
        let estimate = entry.decision.asked.as_ref().map_or(0, |asked| asked.prompt_tokens);
        let prompt = outcome.and_then(|outcome| outcome.prompt_tokens).filter(|tokens| *tokens > 0).unwrap_or(estimate);
        let answer = outcome.and_then(|outcome| outcome.completion_tokens).unwrap_or(0);
        let cost = cost((before.deployment.as_deref(), after.deployment.as_deref()), prompt, answer);
        self.replayed += 1;
        self.language_not_recorded += u64::from(language_untold);
        self.all.add(prompt, answer, cost);
        let same = (before.deployment == after.deployment) && (before.serves() || before.verdict == after.verdict);
        if same {
            return;
        }
        self.moved.add(prompt, answer, cost);
        self.newly_refused += u64::from(before.serves() && !after.serves());
        self.newly_served += u64::from(!before.serves() && after.serves());
        if let (Some(before), Some(after)) = (before.tier, after.tier) {
            self.to_stricter_tier += u64::from(after > before);
            self.to_freer_tier += u64::from(after < before);
        }
        let key = (before, after);
        if self.moves.len() < MAX_MOVES || self.moves.contains_key(&key) {
            let example = entry.decision.request.to_string();
            let one = self.moves.entry(key.clone()).or_insert_with(|| Move {
                before: key.0,
                after: key.1,
                tally: Tally::default(),
                example,
            });
            one.tally.add(prompt, answer, cost);
        }
    }

    /// Takes a record that cannot be replayed.
    pub(super) fn unreadable(&mut self, unknown: &UnknownWord) {
        *self.unreadable.entry(unknown.why()).or_default() += 1;
    }

    /// How many requests move.
    pub(super) fn moved(&self) -> u64 {
        self.moved.requests
    }

    pub(super) fn to_text(&self) -> String {
        let requests = |count: u64| counted(count as usize, "request");
        let mut text = format!(
            "{} replayed, {} move{}\n",
            requests(self.replayed),
            self.moved.requests,
            if self.moved.requests == 1 { "s" } else { "" }
        );
        for (count, what) in [
            (self.newly_refused, "would be refused that were served"),
            (self.newly_served, "would be served that were refused"),
            (self.to_stricter_tier, "would go to a stricter licence tier"),
            (self.to_freer_tier, "would go to a freer licence tier"),
            (self.language_not_recorded, "had no language recorded, which the changed policies ask for"),
        ] {
            if count > 0 {
                text.push_str(&format!("  {} {what}\n", requests(count)));
            }
        }
        for (why, count) in &self.unreadable {
            text.push_str(&format!("  {} left out: {why}\n", requests(*count)));
        }
        let Tally { usd_before, usd_after, unpriced, .. } = self.all;
        text.push_str(&format!("  spend at listed prices: {usd_before:.4} USD before, {usd_after:.4} USD after"));
        match unpriced {
            0 => text.push('\n'),
            n => text.push_str(&format!(" ({} without a known price left out)\n", requests(n))),
        }
        if self.moves.is_empty() {
            return text;
        }
        let sorted = sorted(&self.moves);
        let rows: Vec<_> = sorted
            .iter()
            .take(SHOWN)
            .map(|Move { before, after, tally, example }| {
                [
                    tally.requests.to_string(),
                    before.shown(),
                    after.shown(),
                    format!("{}", tally.prompt_tokens + tally.completion_tokens),
                    format!("{:+.4}", tally.usd_after - tally.usd_before),
                    example.clone(),
                ]
            })
            .collect();
        text.push_str(&format!(
            "\n{}",
            columns(["REQUESTS", "BEFORE", "AFTER", "TOKENS", "USD", "FOR EXAMPLE"], &rows)
        ));
        if sorted.len() > SHOWN {
            text.push_str(&format!("and {} more; --json lists them\n", sorted.len() - SHOWN));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::audit::join;

    fn side(deployment: Option<&str>, tier: Option<u8>) -> Side {
        Side {
            verdict: if deployment.is_some() { "serve" } else { "license" }.to_owned(),
            route: None,
            deployment: deployment.map(str::to_owned),
            model: deployment.map(str::to_owned),
            tier,
        }
    }

    fn entry() -> Entry {
        let decision = serde_json::from_value(join::tests::decision("req-1", 1, "serve")).unwrap();
        Entry { record: 0, decision, outcome: None }
    }

    #[test]
    fn what_moves_is_counted_once_with_its_tiers_and_its_price() {
        let mut report = Report::default();
        let cost = |_: (Option<&str>, Option<&str>), _, _| (Some(1.0), Some(0.25));
        report.add(&entry(), side(Some("a"), Some(2)), side(Some("a"), Some(2)), false, cost);
        report.add(&entry(), side(Some("a"), Some(2)), side(Some("b"), Some(1)), false, cost);
        report.add(&entry(), side(Some("a"), Some(2)), side(Some("b"), Some(1)), true, cost);
        report.add(&entry(), side(Some("a"), Some(2)), side(None, None), false, |_, _, _| (Some(1.0), None));
        report.add(&entry(), side(None, None), side(None, None), false, |_, _, _| (None, None));
        assert_eq!((report.replayed, report.moved(), report.newly_refused, report.to_freer_tier), (5, 3, 1, 2));
        assert_eq!((report.all.usd_before, report.all.usd_after, report.all.unpriced), (3.0, 0.75, 2));
        let text = report.to_text();
        assert!(text.starts_with("5 requests replayed, 3 move\n"), "{text}");
        assert!(text.contains("a (a, tier 2)") && text.contains("b (b, tier 1)") && text.contains("-1.5000"), "{text}");
    }
}
