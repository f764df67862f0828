//! `pointsman audit replay`: makes every licence decision of the ledger again, from the facts and the texts that it recorded.
//!
//! A decision depends on the use, the model with its weights and its draft, the day, and the catalog with the company's files over it. The
//! first three are in its record, the last by digest in the record of its configuration. What comes out has to be what was
//! recorded, word for word: outcome, licence, tier, rule, what it rests on, what the company's rules said. Where a request
//! goes depends on how places did at that moment, which no record holds, so that is not made again.

use std::collections::{BTreeMap, HashMap};

use catalog::{Catalog, Date, Weights};

use super::{
    Ask,
    document::{Cell, Document, Table},
    join::{Entry, Told},
    recorded::Recorded,
};
use crate::settle::{
    self,
    record::{CandidateRecord, Decision},
    replay,
};

/// The most differences that are listed; all are counted.
const MOST_LISTED: usize = 1_000;

/// A decision that has been made again, by what it depends on.
type Made = HashMap<(String, String), Option<CandidateRecord<'static>>>;

/// False if one comes out otherwise.
pub(super) fn run(ask: &Ask) -> anyhow::Result<(Document, bool)> {
    let mut recorded = Recorded::of(&ask.data_dir);
    let mut made = Made::new();
    let mut differs = Table::new(
        "differences",
        "Decisions that come out otherwise",
        &["record", "time", "request", "model", "recorded", "made_again"],
    );
    let (mut requests, mut decisions, mut different) = (0_u64, 0_u64, 0_u64);
    let mut not: BTreeMap<String, u64> = BTreeMap::new();
    for told in ask.told()? {
        let told = told?;
        recorded.take(&told);
        let Told::Request(entry) = told else { continue };
        requests += 1;
        let catalog = match recorded.catalog(&entry.decision.config) {
            Ok(catalog) => catalog,
            Err(why) => {
                *not.entry(why).or_default() += 1;
                continue;
            }
        };
        for candidate in entry.decision.candidates.iter().chain(&entry.decision.refused) {
            match again(&catalog, &entry.decision, candidate, &mut made) {
                Ok(Some(again)) if same(candidate, &again) => decisions += 1,
                Ok(again) => {
                    decisions += 1;
                    different += 1;
                    if differs.rows.len() < MOST_LISTED {
                        differs.rows.push(row(&entry, candidate, again.as_ref()));
                    }
                }
                Err(why) => *not.entry(why).or_default() += 1,
            }
        }
    }
    let mut document = ask.document("Licence decisions, made again");
    document.facts.extend([
        ("requests", Cell::Count(requests)),
        ("decisions_made_again", decisions.into()),
        ("differences", different.into()),
        ("not_made_again", not.values().sum::<u64>().into()),
    ]);
    let mut reasons = Table::new("not_made_again", "Decisions that could not be made again", &["reason", "count"]);
    reasons.rows = not.into_iter().map(|(why, count)| vec![why.into(), count.into()]).collect();
    document.tables = vec![differs, reasons];
    Ok((document, different == 0))
}

/// The decision for a candidate; `None` where its model is not in the catalog.
fn again(
    catalog: &Catalog,
    decision: &Decision<'_>,
    candidate: &CandidateRecord<'_>,
    made: &mut Made,
) -> Result<Option<CandidateRecord<'static>>, String> {
    let day = Date::of_unix_ms(decision.time);
    let use_ = serde_json::to_string(&decision.r#use).unwrap_or_default();
    let weights = candidate.weights.as_deref().unwrap_or_default();
    let draft = candidate.draft.as_deref();
    let with = draft.unwrap_or_default();
    let key = (
        decision.config.to_string(),
        format!("{use_} {} {} {weights} {with} {day}", decision.context, candidate.model),
    );
    if let Some(known) = made.get(&key) {
        return Ok(known.clone());
    }
    let use_ = replay::facts(decision).map_err(|unknown| unknown.why())?.use_;
    let again = match catalog.model(&candidate.model) {
        None => None,
        Some(model) => {
            let weights = candidate.weights.as_deref().map(|sha256| weights_of(catalog, candidate, sha256));
            let model = catalog.served_from(&model.id, weights.as_ref()).unwrap_or(model);
            let decided = catalog::decide_served(catalog, model, draft.as_slice(), &use_, day);
            let again = settle::candidate(None, &candidate.model, &decided, policies::Capabilities::default());
            let again = serde_json::to_value(again).and_then(serde_json::from_value);
            Some(again.map_err(|error| error.to_string())?)
        }
    };
    made.insert(key, again.clone());
    Ok(again)
}

/// The weights of a candidate. The files that lay beside them are in no record; those that a clarification speaks of were there if
/// the decision rested on it.
fn weights_of(catalog: &Catalog, candidate: &CandidateRecord<'_>, sha256: &str) -> Weights {
    let rested = catalog.clarifications().find(|row| candidate.rests_on.iter().any(|id| **id == *row.id));
    Weights { sha256: sha256.to_owned(), beside: rested.map(|row| row.files.clone()).unwrap_or_default() }
}

/// Whether a decision came out as it was recorded.
fn same(recorded: &CandidateRecord<'_>, again: &CandidateRecord<'_>) -> bool {
    (recorded.tier, &recorded.license, &recorded.outcome, &recorded.rule)
        == (again.tier, &again.license, &again.outcome, &again.rule)
        && recorded.rests_on == again.rests_on
        && recorded.rules == again.rules
}

fn row(entry: &Entry, recorded: &CandidateRecord<'_>, again: Option<&CandidateRecord<'_>>) -> Vec<Cell> {
    let said = |one: &CandidateRecord<'_>| {
        let rests_on = if one.rests_on.is_empty() { String::new() } else { format!(" on {}", one.rests_on.join(", ")) };
        format!("{} by {} of {} (tier {}){rests_on}", one.outcome, one.rule, one.license, one.tier)
    };
    vec![
        entry.record.into(),
        Cell::Time(entry.decision.time),
        entry.decision.request.as_ref().into(),
        recorded.model.as_ref().into(),
        said(recorded).into(),
        again.map_or_else(|| "the catalog has no such model".to_owned(), said).into(),
    ]
}
