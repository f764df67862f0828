//! `pointsman audit impact`: what rests on an attestation, agreement, waiver or clarification, and which decisions fall without it.

use std::collections::{BTreeMap, HashMap};

use catalog::{Catalog, Date, Outcome};
use clap::Args;

use super::{
    Ask,
    document::{Cell, Document, Table},
    join::Told,
    recorded::Recorded,
    standing,
};
use crate::settle::replay;

/// Tell which requests rested on an attestation, agreement, waiver or clarification, and decide them again without it
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pointsman audit impact users-2026 --from 2026-10-01")]
pub(super) struct Impact {
    /// Its id
    id: String,
}

/// Requests that rested on it: context, model, licence, what they come to without it, by which rule.
type Rested = BTreeMap<[String; 5], u64>;

pub(super) fn run(args: &Impact, ask: &Ask) -> anyhow::Result<Document> {
    let mut recorded = Recorded::of(&ask.data_dir);
    let mut without: HashMap<String, Option<Catalog>> = HashMap::new();
    let mut decided: HashMap<(String, String, String, Date), (Outcome, String)> = HashMap::new();
    let mut rested = Rested::new();
    let (mut requests, mut fall, mut unknown) = (0_u64, 0_u64, 0_u64);
    for told in ask.told()? {
        let told = told?;
        recorded.take(&told);
        let Told::Request(entry) = told else { continue };
        let Some(licensed) = entry.licensed().filter(|licensed| licensed.rests_on.iter().any(|id| **id == *args.id))
        else {
            continue;
        };
        requests += 1;
        let decision = &entry.decision;
        let catalog = without
            .entry(decision.config.to_string())
            .or_insert_with(|| recorded.catalog(&decision.config).ok().and_then(|catalog| catalog.without(&args.id)));
        let day = Date::of_unix_ms(decision.time);
        let served = format!("{} {}", licensed.model, licensed.draft.as_deref().unwrap_or_default());
        let key = (decision.config.to_string(), decision.context.to_string(), served, day);
        let again = match (decided.get(&key), catalog) {
            (Some(known), _) => Some(known.clone()),
            (None, Some(catalog)) => replay::facts(decision).ok().and_then(|facts| {
                let (model, draft) = (catalog.model(&licensed.model)?, licensed.draft.as_deref());
                let again = catalog::decide_served(catalog, model, draft.as_slice(), &facts.use_, day);
                let again = (again.outcome, again.rule.to_owned());
                decided.insert(key, again.clone());
                Some(again)
            }),
            (None, None) => None,
        };
        unknown += u64::from(again.is_none());
        fall += u64::from(again.as_ref().is_some_and(|(outcome, _)| !outcome.allows()));
        let (outcome, rule) = match again {
            Some((outcome, rule)) => (outcome.name().to_owned(), rule),
            None => ("cannot be told".to_owned(), String::new()),
        };
        let row =
            [decision.context.to_string(), licensed.model.to_string(), licensed.license.to_string(), outcome, rule];
        *rested.entry(row).or_default() += 1;
    }
    let mut document = ask.document(&format!("What rests on `{}`", args.id.escape_debug()));
    let names = ["kind", "stands_for_it", "reason", "since", "until"];
    document.facts.extend(names.into_iter().zip(standing::cells(&recorded, &args.id)));
    document.facts.extend([
        ("requests", Cell::Count(requests)),
        ("requests_that_fall_without_it", fall.into()),
        ("requests_that_could_not_be_told", unknown.into()),
    ]);
    let columns = ["context", "model", "license", "without_it", "by_rule", "requests"];
    let mut table = Table::new("rests_on_it", "Requests that rested on it, and what they come to without it", &columns);
    table.rows = rested
        .into_iter()
        .map(|(words, count)| words.into_iter().map(Cell::from).chain([count.into()]).collect())
        .collect();
    document.tables = vec![table.drawing("requests")];
    Ok(document)
}
