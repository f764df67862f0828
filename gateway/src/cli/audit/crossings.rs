//! `pointsman audit crossings`: requests that got something else than what was decided for them. There must be none.
//!
//! A fallback, a retry, a mirror, an answer that is given again: each serves something, and each of these things has a licence
//! decision of its own in the record. What is looked for is a record that says otherwise.

#[cfg(test)]
mod fuzzed;

use std::collections::HashMap;

use super::{
    Ask,
    document::{Cell, Document, Table},
    join::{Entry, Told},
};

/// What an answer of before was given for.
struct Given {
    team: Option<String>,
    context: String,
    model: Option<String>,
}

/// What is wrong with a request.
struct Finding {
    record: u64,
    time: u64,
    request: String,
    what: &'static str,
    detail: String,
}

/// False if there is one.
pub(super) fn run(ask: &Ask) -> anyhow::Result<(Document, bool)> {
    let mut findings = Vec::new();
    let mut given: HashMap<String, Given> = HashMap::new();
    let (mut served, mut again, mut retried, mut mirrored) = (0_u64, 0_u64, 0_u64, 0_u64);
    for told in ask.all()? {
        match told? {
            Told::Gateway(..) => {}
            Told::Stray(record, outcome) => findings.push(Finding {
                record,
                time: outcome.time,
                request: outcome.request.clone(),
                what: "no-decision",
                detail: format!("`{}` answered, and no decision comes before", outcome.deployment.unwrap_or_default()),
            }),
            Told::Request(entry) => {
                let Some(outcome) = &entry.outcome else { continue };
                served += u64::from(entry.is_served());
                again += u64::from(outcome.answer_of.is_some());
                retried += u64::from(outcome.tried.len() > 1);
                mirrored += u64::from(entry.decision.shadow_of.is_some());
                look(&entry, &given, |what, detail| {
                    let (time, request) = (entry.decision.time, entry.decision.request.to_string());
                    findings.push(Finding { record: entry.record, time, request, what, detail });
                });
                given.insert(
                    outcome.request.clone(),
                    Given {
                        team: entry.decision.team.as_deref().map(str::to_owned),
                        context: entry.decision.context.to_string(),
                        model: entry.licensed().map(|licensed| licensed.model.to_string()),
                    },
                );
            }
        }
    }
    let mut document = ask.document("What was served and not decided");
    document.facts.extend([
        ("crossings", Cell::Count(findings.len() as u64)),
        ("served", served.into()),
        ("answers_given_again", again.into()),
        ("tried_more_than_once", retried.into()),
        ("mirrored", mirrored.into()),
    ]);
    let mut table = Table::new("crossings", "Crossings", &["record", "time", "request", "what", "detail"]);
    let none = findings.is_empty();
    table.rows = findings
        .into_iter()
        .map(|finding| {
            vec![
                finding.record.into(),
                Cell::Time(finding.time),
                finding.request.into(),
                finding.what.into(),
                finding.detail.into(),
            ]
        })
        .collect();
    document.tables = vec![table];
    Ok((document, none))
}

/// Holds what a request got against what was decided for it.
fn look(entry: &Entry, given: &HashMap<String, Given>, mut finds: impl FnMut(&'static str, String)) {
    let Some(outcome) = &entry.outcome else { return };
    let decision = &entry.decision;
    let decided = |deployment: &str| {
        decision.candidates.iter().find(|candidate| candidate.deployment.as_deref() == Some(deployment))
    };
    if let Some(deployment) = &outcome.deployment {
        match decided(deployment) {
            None => finds("not-decided", format!("`{deployment}` served, and was decided for nobody")),
            Some(candidate) if !matches!(&*candidate.outcome, "allow" | "allow_with_obligations" | "warn") => {
                finds("not-allowed", format!("`{deployment}` served, and its decision was {}", candidate.outcome));
            }
            Some(_) => {}
        }
    }
    for tried in &outcome.tried {
        let deployment = tried["deployment"].as_str().unwrap_or_default();
        if decided(deployment).is_none() {
            finds("sent-elsewhere", format!("it was sent to `{deployment}`, which was not decided"));
        }
    }
    // One that ended before it was given what was decided got nothing.
    let got = outcome.answer_of.is_some() || entry.is_served();
    if got && outcome.answer_of.as_deref() != decision.answer_of.as_deref() {
        finds("answer-not-decided", "the answer it was given again is not the one that was decided".to_owned());
    }
    if let Some(of) = &outcome.answer_of {
        match given.get(of) {
            // It may be of another gateway of the fleet, whose record is elsewhere.
            None => {}
            Some(before) => {
                let same = before.team.as_deref() == decision.team.as_deref() && before.context == *decision.context;
                if !same {
                    finds("answer-of-others", format!("the answer of `{of}` was another team's or context's"));
                }
                let model = entry.licensed().map(|licensed| licensed.model.to_string());
                if before.model != model {
                    finds("answer-of-other-model", format!("the answer of `{of}` came of another model"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::join::tests::{decision, joined_all, outcome},
        *,
    };

    fn found(change: impl FnOnce(&mut serde_json::Value, &mut serde_json::Value)) -> Vec<&'static str> {
        let (mut decided, mut ended) = (decision("1", 1, "serve"), outcome("1", "completed"));
        change(&mut decided, &mut ended);
        let entries = joined_all(&[decided, ended]);
        let given = HashMap::from([(
            "0".to_owned(),
            Given { team: Some("support".to_owned()), context: "bot".to_owned(), model: Some("m".to_owned()) },
        )]);
        let mut found = Vec::new();
        look(&entries[0], &given, |what, _| found.push(what));
        found
    }

    #[test]
    fn what_was_decided_and_served_is_no_crossing_and_everything_else_is_one() {
        assert!(found(|_, _| ()).is_empty());
        assert_eq!(found(|_, ended| ended["deployment"] = "c".into()), ["not-decided"]);
        assert_eq!(found(|decided, _| decided["candidates"][1]["outcome"] = "deny".into()), ["not-allowed"]);
        assert_eq!(found(|_, ended| ended["tried"] = json!([{"deployment": "z", "ms": 1}])), ["sent-elsewhere"]);
        assert_eq!(found(|_, ended| ended["answer_of"] = "0".into()), ["answer-not-decided"]);
        let again = |decided: &mut serde_json::Value, ended: &mut serde_json::Value| {
            (decided["answer_of"], ended["answer_of"]) = ("0".into(), "0".into());
        };
        assert!(found(again).is_empty());
        assert_eq!(found(|decided, _| decided["answer_of"] = "0".into()), ["answer-not-decided"]);
        let left = |decided: &mut serde_json::Value, ended: &mut serde_json::Value| {
            decided["answer_of"] = "0".into();
            (ended["status"], ended["deployment"]) = ("cancelled".into(), json!(null));
        };
        assert!(found(left).is_empty());
        assert_eq!(
            found(|decided, ended| {
                again(decided, ended);
                decided["context"] = "lab".into();
                decided["candidates"][1]["model"] = "n".into();
            }),
            ["answer-of-others", "answer-of-other-model"]
        );
    }
}
