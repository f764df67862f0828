//! `pointsman audit obligations`: what products owe for the models that served them, and whether somebody saw it done: a person, as
//! a row of the catalog says, or the gateway itself, as its newest look at the page says.

use std::collections::BTreeMap;

use catalog::{Date, Duty, DutyState, Use, duties_checked};
use clap::Args;

use super::{
    Ask,
    document::{Cell, Document, Table},
    join::Told,
    looks::Looks,
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

/// False if a duty has no evidence, or evidence that is too old, or whose page does not show it any more.
pub(super) fn run(args: &Obligations, ask: &Ask) -> anyhow::Result<(Document, bool)> {
    let on = args.on.unwrap_or_else(crate::settle::today);
    let (mut recorded, mut looks) = (Recorded::of(&ask.data_dir), Looks::until(on));
    let mut served: BTreeMap<(String, String), (std::sync::Arc<Use>, u64)> = BTreeMap::new();
    let mut unknown = 0_u64;
    for told in ask.told()? {
        let told = told?;
        recorded.take(&told);
        looks.take(&told);
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
    let catalog = match recorded.newest() {
        // Nothing was served either.
        None => catalog::Catalog::builtin(),
        Some(catalog) => catalog.map_err(|why| anyhow::anyhow!("duties cannot be told: {why}"))?,
    };
    let mut table = Table::new(
        "obligations",
        "What is owed",
        &[
            "context",
            "model",
            "license",
            "kind",
            "state",
            "text",
            "trigger",
            "evidence",
            "checked",
            "last_found",
            "sha256",
            "requests",
        ],
    );
    let checks = looks.checks(&catalog);
    let (mut missing, mut stale, mut lost) = (0_u64, 0_u64, 0_u64);
    for ((context, model), (use_, requests)) in &served {
        let Some(row) = catalog.model(model) else {
            unknown += requests;
            continue;
        };
        for Duty { license, kind, text, trigger, state, .. } in duties_checked(&catalog, row, use_, on, &checks) {
            let (state, evidence, last_found) = match state {
                DutyState::Met { evidence } => ("met", evidence, None),
                DutyState::Stale { evidence, .. } => {
                    stale += 1;
                    ("stale", evidence, None)
                }
                DutyState::NotFound { evidence, last_found } => ("not found", evidence, Some(last_found)),
                DutyState::Changed { evidence, last_found } => ("changed", evidence, Some(last_found)),
                DutyState::Unreachable { evidence, last_found } => ("unreachable", evidence, Some(last_found)),
                DutyState::Missing => {
                    missing += 1;
                    ("missing", Vec::new(), None)
                }
            };
            lost += u64::from(last_found.is_some());
            let rows = catalog.evidence().filter(|row| evidence.contains(&row.id));
            let checked = rows.map(|row| checks.get(&row.id).map_or(row.checked, |check| check.on)).max();
            let seen = evidence.iter().filter(|id| checks.contains_key(*id)).filter_map(|id| looks.sha256(id));
            let seen = Cell::list(seen);
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
                Cell::text(last_found.map(|day| day.to_string())),
                seen,
                (*requests).into(),
            ]);
        }
    }
    let mut document = ask.document("What products owe for the models that served them");
    document.facts.extend([
        ("on", Cell::from(on.to_string())),
        ("missing", missing.into()),
        ("stale", stale.into()),
        ("not_seen_any_more", lost.into()),
        ("requests_that_could_not_be_told", unknown.into()),
    ]);
    document.tables = vec![table];
    Ok((document, missing + stale + lost == 0))
}
