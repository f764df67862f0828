//! `pointsman audit health`: models whose licence evidence is unknown, contradicted or old, and how many requests reached them.

use std::collections::BTreeMap;

use catalog::Date;
use clap::Args;

use super::{
    Ask,
    document::{Document, Table},
    join::Told,
    recorded::Recorded,
};

/// List models that were asked for and whose licence evidence somebody should look at, with their requests
#[derive(Debug, Args)]
pub(super) struct Health {
    /// Also models that nobody asked for
    #[arg(long)]
    all: bool,
    /// The day to look at it from [default: today]
    #[arg(long, value_name = "DATE")]
    on: Option<Date>,
}

pub(super) fn run(args: &Health, ask: &Ask) -> anyhow::Result<Document> {
    let mut recorded = Recorded::of(&ask.data_dir);
    let mut asked: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for told in ask.told()? {
        let told = told?;
        recorded.take(&told);
        let Told::Request(entry) = told else { continue };
        let Some(licensed) = entry.licensed() else { continue };
        let (served, refused) = asked.entry(licensed.model.to_string()).or_default();
        *if entry.is_served() { served } else { refused } += 1;
    }
    let on = args.on.unwrap_or_else(crate::settle::today);
    let catalog = match recorded.newest() {
        // Nothing was asked for either.
        None => catalog::Catalog::builtin(),
        Some(catalog) => catalog.map_err(|why| anyhow::anyhow!("the catalog cannot be told: {why}"))?,
    };
    let columns = ["model", "license", "finding", "text", "served", "refused"];
    let mut table = Table::new("findings", "Licence evidence to look at", &columns).drawing("served");
    for finding in catalog::health(&catalog, on) {
        let of = asked.get(&finding.model);
        if of.is_none() && !args.all {
            continue;
        }
        let (served, refused) = of.copied().unwrap_or_default();
        table.rows.push(vec![
            finding.model.into(),
            super::document::Cell::text(finding.license),
            finding.kind.name().into(),
            finding.text.into(),
            served.into(),
            refused.into(),
        ]);
    }
    for (model, (served, refused)) in asked.iter().filter(|(model, _)| catalog.model(model).is_none()) {
        table.rows.push(vec![
            model.as_str().into(),
            super::document::Cell::None,
            "not in the catalog".into(),
            "the newest catalog has no such model".into(),
            (*served).into(),
            (*refused).into(),
        ]);
    }
    let mut document = ask.document("Licence evidence of the models that were asked for");
    document.facts.push(("on", on.to_string().into()));
    document.tables = vec![table];
    Ok(document)
}
