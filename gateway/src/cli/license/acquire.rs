//! `pointsman license acquire`: what changes for the contexts of an entity once another company joins it.

use anyhow::bail;
use catalog::{Affiliate, Metric, acquired};
use clap::Args;

use crate::{
    cli::{ConfigFile, columns::columns, print, print_json},
    settle,
};

/// Tell which licence decisions change once another company joins an entity: `the licensee or its affiliates` then means it too
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pointsman license acquire acme-gmbh --config pointsman.yaml --figure monthly-users=650000000 --seat US

Exit status: 0 nothing changes, 1 something does.")]
pub(super) struct Acquire {
    /// The entity of the configuration that it joins
    entity: String,
    /// A figure of the company that joins, as METRIC=NUMBER; may be repeated. What is not said is not known
    #[arg(long = "figure", value_name = "METRIC=NUMBER", value_parser = figure)]
    figures: Vec<(Metric, u64)>,
    /// Country of its seat, as two capital letters
    #[arg(long, value_name = "COUNTRY")]
    seat: Option<String>,
    /// Only models that are deployed, and not all of the catalog
    #[arg(long)]
    deployed: bool,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON array instead of text
    #[arg(long)]
    json: bool,
}

/// True if nothing changes.
pub(super) fn acquire(args: &Acquire) -> anyhow::Result<bool> {
    let config = args.config.source().load()?.0;
    super::super::catalog::seat(args.seat.as_ref())?;
    let uses: Vec<_> = config.contexts.values().map(|context| (context.name.as_str(), &*context.use_)).collect();
    if !uses.iter().any(|(_, use_)| use_.entity.as_deref() == Some(&args.entity)) {
        bail!("no context of {} is of the entity `{}`", args.config.name(), args.entity.escape_debug());
    }
    let affiliate = Affiliate { entity: &args.entity, figures: &args.figures, seat: args.seat.as_deref() };
    let all: Vec<&str> = config.catalog.models().map(|model| model.id.as_str()).collect();
    let mut deployed: Vec<&str> = config.deployments.iter().map(|deployment| deployment.facts.model.as_str()).collect();
    deployed.sort_unstable();
    deployed.dedup();
    let models = if args.deployed { deployed } else { all };
    let changes = acquired(&config.catalog, &uses, &affiliate, settle::today(), models);
    if args.json {
        print_json(&changes)?;
        return Ok(changes.is_empty());
    }
    if changes.is_empty() {
        print("nothing changes\n")?;
        return Ok(true);
    }
    let rows: Vec<_> = changes
        .iter()
        .map(|change| {
            [
                change.context.clone(),
                change.model.clone(),
                change.seat.clone().unwrap_or_default(),
                change.before.name().to_owned(),
                change.after.name().to_owned(),
                change.license.clone(),
                change.reason.clone(),
            ]
        })
        .collect();
    print(&columns(["CONTEXT", "MODEL", "SEAT", "NOW", "THEN", "LICENCE", "REASON"], &rows))?;
    Ok(false)
}

fn figure(text: &str) -> Result<(Metric, u64), String> {
    let expected = || "expected METRIC=NUMBER, such as monthly-users=650000000".to_owned();
    let (metric, number) = text.split_once('=').ok_or_else(expected)?;
    let metric = serde_json::from_value(metric.into()).map_err(|_| expected())?;
    Ok((metric, number.replace('_', "").parse().map_err(|_| expected())?))
}
