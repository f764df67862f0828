//! `pointsman prove`: holds claims such as "no revenue context reaches tier >= 4 without a waiver" against every request
//! that the routes tell apart and every candidate of each, and shows what speaks against them.

use std::path::PathBuf;

use clap::Args;
use policies::{Claim, Counterexample, GRAMMAR, Proof};
use serde_json::json;

use super::{
    ConfigFile,
    check::counted,
    print, print_json,
    world::{EVERYBODY, Part, World},
    wrapped::wrapped,
};

/// The most counterexamples of a claim that the text lists; JSON has more.
const LISTED: usize = 20;

/// Prove a claim about every request, or show the requests that speak against it
#[derive(Debug, Args)]
#[command(after_help = help())]
pub(super) struct Prove {
    /// Claims, each one argument
    #[arg(value_name = "CLAIM", required = true)]
    claims: Vec<Claim>,
    /// Policy files that stand in for those of the configuration; `default` is the built-in ones
    #[arg(long, value_name = "FILE")]
    policies: Vec<PathBuf>,
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

fn help() -> String {
    format!(
        "\
{GRAMMAR}

Looked at is every candidate of every kind of request, not only the first. `no` holds if no
request has a candidate that is the object; `every` if each has at least one, `every ... only` if
it has no other. A region that is not known speaks against a claim. A name that no model has is no
request for `every`.

Examples:
  pointsman prove 'no revenue context reaches tier >= 4 without a waiver' --config pointsman.yaml
  pointsman prove 'every team support reaches only region eu' --config pointsman.yaml
  pointsman prove --policies mine.yaml --model auto 'every request reaches tier <= 1'

Exit status: 0 every claim holds, 1 one does not or names what there is not, 2 it cannot be read."
    )
}

/// True if every claim holds.
pub(super) fn run(args: &Prove) -> anyhow::Result<bool> {
    let world = World::with_files(&args.config, &args.policies)?;
    let (snapshot, only) = (world.snapshot(), args.part.only());
    let callers = world.callers([&*world.policies], &only)?;
    let proofs = args
        .claims
        .iter()
        .map(|claim| {
            policies::prove(claim, &snapshot, &callers, world.today(), &only)
                .map_err(|error| anyhow::anyhow!("the claim `{claim}`: {error}"))
        })
        .collect::<anyhow::Result<Vec<Proof>>>()?;
    if args.json {
        print_json(&json!({ "proofs": proofs }))?;
    } else {
        let mut text: String = proofs.iter().map(text).collect();
        if world.is_open() {
            text.push_str(&format!("{EVERYBODY}\n"));
        }
        print(&text)?;
    }
    Ok(proofs.iter().all(|proof| proof.holds))
}

fn text(proof: &Proof) -> String {
    let looked_at = format!("{} of request, {}", counted(proof.cells, "kind"), counted(proof.candidates, "candidate"));
    let mut text = match proof.holds {
        true => format!("proved: {} ({looked_at})\n", proof.claim),
        false => format!("NOT SO: {} ({looked_at}; {} speak against it)\n", proof.claim, proof.against),
    };
    text.extend(proof.counterexamples.iter().take(LISTED).map(text_of));
    if proof.counterexamples.len() > LISTED {
        text.push_str(&format!("  and {} more; `--json` lists them\n", proof.counterexamples.len() - LISTED));
    }
    text.extend(proof.notes.iter().map(|note| format!("  note: {note}\n")));
    text
}

fn text_of(found: &Counterexample) -> String {
    let Counterexample { request, cells, route, candidate, why } = found;
    let alike = if *cells > 1 { format!(" (and {} alike)", cells - 1) } else { String::new() };
    let mut text = wrapped("  ", &format!("{request}{alike}"));
    let route = route.as_deref().unwrap_or("none");
    match candidate {
        Some(reached) => {
            let region = reached.region.as_deref().unwrap_or("not known");
            text.push_str(&wrapped(
                "    ",
                &format!(
                    "route `{route}`, candidate {}: `{}` at {}, region {region}; licence `{}`, tier {}, {}",
                    reached.rank,
                    reached.deployment,
                    reached.place,
                    reached.decision.license,
                    reached.decision.tier.number(),
                    reached.decision.outcome.name(),
                ),
            ));
        }
        None => text.push_str(&format!("    route `{route}`\n")),
    }
    text + &wrapped("    ", why)
}
