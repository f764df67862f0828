//! `pointsman diff`: what a change of policies or of a configuration does to requests, before it is merged.
//!
//! Every kind of request that the routes of either side tell apart is planned under both, by the function that serves.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use policies::{Change, Diff, Serves, What, pairs};
use serde_json::json;

use super::{
    ConfigFile,
    check::counted,
    print, print_json,
    world::{EVERYBODY, Part, World},
    wrapped::wrapped,
};

const EXAMPLES: &str = "\
OLD and NEW are configurations, or policy files that stand in for the policies of --config;
`default` is the built-in ones. Looked at are caller x model asked x language x needs x prompt size
x streaming, as far as some route tells them apart; all deployments count as healthy. A context
that only one side has is named and not compared.

Examples:
  pointsman diff old.yaml new.yaml --config pointsman.yaml    two policy files under one configuration
  pointsman diff before/pointsman.yaml pointsman.yaml         two configurations
  pointsman diff default mine.yaml --team support             what one's own file changes for a team

Exit status: 0 nothing changes, 1 something does, 2 the command line itself is wrong.";

/// The most changes that the text lists, and names of each kind in one; JSON has them all.
const LISTED: usize = 40;
const NAMED: usize = 8;

/// Tell which requests are planned otherwise after a change of policies or configuration
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DiffArgs {
    /// Before: a policy file or a configuration
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// After
    #[arg(value_name = "NEW")]
    new: PathBuf,
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// True if nothing changes.
pub(super) fn run(args: &DiffArgs) -> anyhow::Result<bool> {
    let (old, new) = (World::side(&args.old, &args.config)?, World::side(&args.new, &args.config)?);
    let both = || [&*old.policies, &*new.policies];
    let only = args.part.only();
    let (pairs, gone, come) = pairs(&old.callers(both(), &only)?, &new.callers(both(), &only)?);
    let diff = policies::diff(&old.snapshot(), &new.snapshot(), &pairs, new.today(), &only)?;
    if args.json {
        let callers = json!({ "only_old": gone, "only_new": come });
        print_json(&json!({ "diff": diff, "callers": callers }))?;
    } else {
        let mut text = text(&diff);
        for (what, callers) in [("only before", &gone), ("only after", &come)] {
            if !callers.is_empty() {
                text.push_str(&wrapped(&format!("{what}: "), &callers.join("; ")));
            }
        }
        if old.is_open() || new.is_open() {
            text.push_str(&format!("{EVERYBODY}\n"));
        }
        print(&text)?;
    }
    Ok(diff.changed == 0 && gone.is_empty() && come.is_empty())
}

fn text(diff: &Diff) -> String {
    let mut text: String = diff.changes.iter().take(LISTED).map(|change| text_of(change) + "\n").collect();
    if diff.changes.len() > LISTED {
        text.push_str(&format!("and {} more; `--json` lists them\n\n", diff.changes.len() - LISTED));
    }
    if diff.left_off > 0 {
        text.push_str(&format!("and {} of request that change in yet other ways\n\n", counted(diff.left_off, "kind")));
    }
    let kinds = counted(diff.cells, "kind");
    match diff.changed {
        0 => text + &format!("{kinds} of request, all planned as before\n"),
        changed => {
            text + &format!(
                "{kinds} of request, {changed} planned otherwise in {}\n",
                counted(diff.changes.len(), "way")
            )
        }
    }
}

fn text_of(change: &Change) -> String {
    let What { strictest_tier, verdict, route, first, added, removed, reordered, shadow } = &change.what;
    let kinds = format!("{} of request", counted(change.cells, "kind"));
    let mut text = match strictest_tier {
        Some((old, new)) => format!("LICENCE TIER {} -> {} at the strictest: {kinds}\n", tier(*old), tier(*new)),
        None => format!("{kinds}\n"),
    };
    let mut row = |name: &str, value: String| text.push_str(&wrapped(&format!("  {name:<9} "), &value));
    row("models", names(&change.models));
    row("callers", names(&change.callers));
    row("languages", names(&change.languages));
    if let Some((old, new)) = verdict {
        row("verdict", format!("{old} -> {new}"));
    }
    if let Some((old, new)) = route {
        let name = |route: &Option<String>| route.clone().unwrap_or_else(|| "none".to_owned());
        row("route", format!("{} -> {}", name(old), name(new)));
    }
    let name = |who: &Option<Serves>| who.as_ref().map_or_else(|| "nobody".to_owned(), serves);
    for (what, changed) in [("first", first), ("shadow", shadow)] {
        if let Some((old, new)) = changed {
            row(what, format!("{} -> {}", name(old), name(new)));
        }
    }
    let listed = |all: &[Serves]| all.iter().map(serves).collect::<BTreeSet<_>>();
    if !added.is_empty() {
        row("added", names(&listed(added)));
    }
    if !removed.is_empty() {
        row("removed", names(&listed(removed)));
    }
    if *reordered {
        row("order", "those that stay come in another order".to_owned());
    }
    row("example", change.example.to_string());
    text
}

fn tier(tier: u8) -> String {
    match tier {
        0 => "none".to_owned(),
        tier => tier.to_string(),
    }
}

fn serves(serves: &Serves) -> String {
    format!("{} (tier {})", serves.deployment, serves.tier)
}

/// Some of the names, and how many more there are.
fn names(all: &BTreeSet<String>) -> String {
    let mut text = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > NAMED {
        text.push_str(&format!("; and {} more", all.len() - NAMED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::world::World;
    use crate::config::{Environment, Overrides, zero};

    #[test]
    fn a_world_is_planned_as_itself() {
        let world = || World::of(zero(&Overrides::default(), &Environment::default()).unwrap().0);
        let (old, new) = (world(), world());
        let callers = old.callers([&*old.policies], &policies::Only::default()).unwrap();
        let (pairs, gone, come) = pairs(&callers, &callers);
        assert!(gone.is_empty() && come.is_empty() && !pairs.is_empty());
        let diff =
            policies::diff(&old.snapshot(), &new.snapshot(), &pairs, old.today(), &policies::Only::default()).unwrap();
        assert!(text(&diff).ends_with("kinds of request, all planned as before\n"), "{}", text(&diff));
    }

    #[test]
    fn long_lists_are_cut_with_the_number_of_the_rest() {
        let all: BTreeSet<String> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(names(&all), "0; 1; 2; 3; 4; 5; 6; 7; and 2 more");
        assert_eq!(tier(0), "none");
    }
}
