//! `pointsman audit obligations`: what products owe for the models that served them, and whether somebody saw it done.

use std::collections::BTreeMap;

use catalog::{Date, Duty, DutyState, Use};
use clap::Args;

use super::{
    Ask,
    document::{Cell, Document, Table},
    join::Told,
    recorded::Recorded,
    which::Which,
};
use crate::settle::replay;

/// List what products owe for the models that served them, why, and whether there is evidence that it is met
#[derive(Debug, Args)]
pub(super) struct Obligations {
    #[command(flatten)]
    which: Which,
    /// The day to look at it from [default: today]
    #[arg(long, value_name = "DATE")]
    on: Option<Date>,
}

/// False if a duty has no evidence, or evidence that is too old.
pub(super) fn run(args: &Obligations, ask: &Ask) -> anyhow::Result<(Document, bool)> {
    let mut recorded = Recorded::of(&ask.data_dir);
    let mut served: BTreeMap<(String, String), (std::sync::Arc<Use>, u64)> = BTreeMap::new();
    let mut unknown = 0_u64;
    for told in ask.told()? {
        let told = told?;
        recorded.take(&told);
        let Told::Request(entry) = told else { continue };
        let Some(licensed) = entry.licensed().filter(|_| entry.is_served() && args.which.fits(&entry)) else {
            continue;
        };
        let key = (entry.decision.context.to_string(), licensed.model.to_string());
        if let Some((_, requests)) = served.get_mut(&key) {
            *requests += 1;
            continue;
        }
        match replay::facts(&entry.decision) {
            Ok(facts) => {
                served.insert(key, (facts.use_, 1));
            }
            Err(_) => unknown += 1,
        }
    }
    let on = args.on.unwrap_or_else(crate::settle::today);
    let catalog = match recorded.newest() {
        // Nothing was served either.
        None => catalog::Catalog::builtin(),
        Some(catalog) => catalog.map_err(|why| anyhow::anyhow!("duties cannot be told: {why}"))?,
    };
    let mut table = Table::new(
        "obligations",
        "What is owed",
        &["context", "model", "license", "kind", "state", "text", "trigger", "evidence", "checked", "requests"],
    );
    let (mut missing, mut stale) = (0_u64, 0_u64);
    for ((context, model), (use_, requests)) in &served {
        let Some(row) = catalog.model(model) else {
            unknown += requests;
            continue;
        };
        for Duty { license, kind, text, trigger, state, .. } in catalog::duties(&catalog, row, use_, on) {
            let (state, evidence) = match state {
                DutyState::Met { evidence } => ("met", evidence),
                DutyState::Stale { evidence, .. } => {
                    stale += 1;
                    ("stale", evidence)
                }
                DutyState::Missing => {
                    missing += 1;
                    ("missing", Vec::new())
                }
            };
            let checked = catalog.evidence().filter(|row| evidence.contains(&row.id)).map(|row| row.checked).max();
            table.rows.push(vec![
                context.as_str().into(),
                model.as_str().into(),
                license.into(),
                kind.name().into(),
                state.into(),
                text.into(),
                trigger.into(),
                Cell::list(evidence),
                Cell::text(checked.map(|day| day.to_string())),
                (*requests).into(),
            ]);
        }
    }
    let mut document = ask.document("What products owe for the models that served them");
    document.facts.extend([
        ("on", Cell::from(on.to_string())),
        ("missing", missing.into()),
        ("stale", stale.into()),
        ("requests_that_could_not_be_told", unknown.into()),
    ]);
    document.tables = vec![table];
    Ok((document, missing + stale == 0))
}
