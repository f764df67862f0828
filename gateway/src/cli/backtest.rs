//! `pointsman backtest`: what a changed configuration would have done with the requests that are in the ledger.
//!
//! Each recorded request is planned again, by the function that serves, under the configuration that is looked at. What the
//! deployments measured then is not in the ledger: every one counts as healthy, idle and not yet measured. So that a
//! difference is the policy's and not the moment's, `--against` plans both sides so; without it the record is the other side.

mod report;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use backends::Usage;
use clap::Args;
use policies::{Facts, Plan};

use self::report::{Report, Side};
use super::{ConfigFile, audit, print, print_json, world::World};
use crate::settle::{self, record::Decision, replay};

/// Replay the ledger's requests under a changed configuration: what would move, what it would cost, which tiers it crosses
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pointsman backtest --config new.yaml --since 30d
  pointsman backtest --config new.yaml --against pointsman.yaml --since 2026-11-01 --json

Exit status: 0 nothing moves, 1 something does.")]
pub(super) struct Backtest {
    #[command(flatten)]
    config: ConfigFile,
    /// The configuration to compare with; without it, what was recorded
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Folder of the ledger's data; default: that of the configuration
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Only requests from this time on: a day, a time in UTC, or as long ago as 30d
    #[arg(long, value_name = "TIME", value_parser = audit::time)]
    since: Option<SystemTime>,
    /// Only requests before this time
    #[arg(long, value_name = "TIME", value_parser = audit::time)]
    until: Option<SystemTime>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// True if nothing moves.
pub(super) fn run(args: &Backtest) -> anyhow::Result<bool> {
    let new = World::of(args.config.source().load()?.0);
    let against = |file: &PathBuf| ConfigFile::at(file).source().load();
    let old = args.against.as_ref().map(against).transpose()?.map(|(config, _)| World::of(config));
    let data_dir = args.data_dir.as_ref().unwrap_or(&new.config.data_dir);
    let mut report = Report::default();
    for entry in audit::read(data_dir)? {
        let entry = entry?;
        let time = UNIX_EPOCH + Duration::from_millis(entry.decision.time);
        if args.since.is_some_and(|since| time < since) || args.until.is_some_and(|until| time >= until) {
            continue;
        }
        // What is mirrored follows from the request that it mirrors.
        if entry.decision.shadow_of.is_some() {
            continue;
        }
        let facts = match replay::facts(&entry.decision) {
            Ok(facts) => facts,
            Err(unknown) => {
                report.unreadable(&unknown);
                continue;
            }
        };
        let untold = facts.language.is_none() && asks_language(&new, &facts);
        let before = match &old {
            Some(old) => side(old, &plan(old, &facts)),
            None => recorded(&entry.decision),
        };
        report.add(&entry, before, side(&new, &plan(&new, &facts)), untold, |deployment, prompt, answer| {
            let world = old.as_ref().unwrap_or(&new);
            (cost(world, deployment.0, prompt, answer), cost(&new, deployment.1, prompt, answer))
        });
    }
    match args.json {
        true => print_json(&report)?,
        false => print(&report.to_text())?,
    }
    Ok(report.moved() == 0)
}

fn plan(world: &World, facts: &Facts) -> Plan {
    policies::plan(facts, &world.snapshot())
}

fn asks_language(world: &World, facts: &Facts) -> bool {
    world.policies.asks_language(&world.config.catalog, &facts.model_asked, facts.team.as_deref())
}

fn side(world: &World, plan: &Plan) -> Side {
    let first = plan.candidates.first();
    Side {
        verdict: plan.verdict.as_str().to_owned(),
        route: plan.route.as_deref().map(str::to_owned),
        deployment: first.map(|first| world.deployments[first.deployment].id.clone()),
        model: first.map(|first| first.model().to_string()),
        tier: first.map(|first| first.decision().tier.number()),
    }
}

/// What an answer of these sizes costs at a deployment's listed prices; `None` where one is not known.
fn cost(world: &World, deployment: Option<&str>, prompt: u64, answer: u64) -> Option<f64> {
    let deployment = world.deployments.iter().find(|known| Some(known.id.as_str()) == deployment)?;
    // Nobody knows what another place would have had in its cache.
    settle::cost(deployment, &Usage { prompt_tokens: prompt, completion_tokens: answer, ..Usage::default() })
}

/// What the record says was planned first.
fn recorded(decision: &Decision<'_>) -> Side {
    let first = decision.candidates.first();
    Side {
        verdict: decision.verdict.to_string(),
        route: decision.route.as_deref().map(str::to_owned),
        deployment: first.and_then(|first| first.deployment.as_deref()).map(str::to_owned),
        model: first.map(|first| first.model.to_string()),
        tier: first.map(|first| first.tier),
    }
}
