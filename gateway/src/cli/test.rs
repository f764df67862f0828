//! `pointsman test`: runs the tests of policies, and says what they leave out.
//!
//! Coverage: parts of the policies on which no test's plan depends. Mutation (`--mutate`): changes that no test notices.
//! Both are worked out by the function that serves.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use clap::Args;
use policies::{Coverage, Missed, Mutation, Spot, TestResult};
use serde_json::json;

use super::{
    ConfigFile,
    check::{counted, failed},
    columns::shown,
    print, print_json,
    world::World,
    wrapped::wrapped,
};

const EXAMPLES: &str = "\
Files with `routes` are tested in place of the configuration's own policies; `default` stands for
the built-in ones. Files with `tests` alone are probes: they are run against those policies.

Examples:
  pointsman test                                        the built-in policies and their tests
  pointsman test mine.yaml default                      one's own file before the built-in ones
  pointsman test --config pointsman.yaml probes/*.yaml  the configuration's policies, and probes
  pointsman test --mutate mine.yaml                     and which change no test would notice

Exit status: 0 every test holds, 1 one does not, 2 the command line itself is wrong.";

/// The most changes that the text lists; JSON has them all.
const LISTED: usize = 50;

/// Run the tests of policies, and tell what they leave out
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Test {
    /// Policy files and probe files; without any, the configuration's own
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Change each rule, one at a time, and tell which change no test notices
    #[arg(long)]
    mutate: bool,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// True if every test holds.
pub(super) fn run(args: &Test) -> anyhow::Result<bool> {
    let world = World::with_files(&args.config, &args.files)?;
    let results = world.run_tests();
    let good = results.iter().all(TestResult::passed);
    let coverage = policies::coverage(&world.sources, &world.snapshot(), world.today());
    let mutation = args.mutate.then(|| {
        let callers = world.configured();
        let shows = io::stderr().is_terminal();
        let mutation = policies::mutate(&world.sources, &world.snapshot(), &callers, world.today(), |done, of| {
            if shows {
                let _ = write!(io::stderr(), "\r{done} of {of} changes tried");
            }
        });
        if shows {
            let _ = write!(io::stderr(), "\r{:40}\r", "");
        }
        mutation
    });
    if args.json {
        print_json(&json!({ "ok": good, "tests": results, "coverage": coverage, "mutation": mutation }))?;
    } else {
        let mutated = mutation.as_ref().map(text_of_mutation).unwrap_or_default();
        print(&(text_of_results(&results) + &text_of_coverage(&coverage) + &mutated))?;
    }
    Ok(good)
}

fn text_of_results(results: &[TestResult]) -> String {
    let mut text: String = results
        .iter()
        .map(|result| match result.passed() {
            true => format!("ok      {}\n", shown(&result.name)),
            false => format!("FAILED  {}\n", shown(&result.name)),
        })
        .collect();
    let broken: Vec<_> = results.iter().filter(|result| !result.passed()).collect();
    text.extend(broken.iter().map(|result| format!("\n{}", failed(result))));
    text + &format!("\n{} of {} passed\n", results.len() - broken.len(), counted(results.len(), "policy test"))
}

fn text_of_coverage(coverage: &Coverage) -> String {
    let Coverage { routes, rules, candidates } = coverage;
    let mut text = format!(
        "exercised: {} of {}, {} of {} of `match` and `require`, {} of {}\n",
        routes.exercised,
        counted(routes.all, "route"),
        rules.exercised,
        counted(rules.all, "key"),
        candidates.exercised,
        counted(candidates.all, "candidate"),
    );
    let mut routes_missed: Vec<RouteMissed<'_>> = Vec::new();
    for (kind, missed) in [(0, &routes.missed), (1, &rules.missed), (2, &candidates.missed)] {
        for Missed { route, part, at } in missed {
            let known = routes_missed.iter().position(|missed| missed.route == route);
            let entry = known.unwrap_or_else(|| {
                routes_missed.push(RouteMissed {
                    route,
                    at,
                    rules: Vec::new(),
                    candidates: Vec::new(),
                    whole: kind == 0,
                });
                routes_missed.len() - 1
            });
            let entry = &mut routes_missed[entry];
            match part {
                Some(part) if kind == 1 => entry.rules.push(part),
                Some(part) => entry.candidates.push(part),
                None => {}
            }
        }
    }
    if !routes_missed.is_empty() {
        text.push_str("\nnot exercised:\n");
    }
    text.extend(routes_missed.iter().map(RouteMissed::text));
    text
}

/// What of one route no test exercises.
struct RouteMissed<'c> {
    route: &'c str,
    /// The first of its parts.
    at: &'c Spot,
    rules: Vec<&'c str>,
    candidates: Vec<&'c str>,
    whole: bool,
}

impl RouteMissed<'_> {
    fn text(&self) -> String {
        let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let what = match (self.whole, self.rules.as_slice(), self.candidates.as_slice()) {
            (true, ..) => "no test takes it".to_owned(),
            (_, rules, []) => quoted(rules),
            (_, [], candidates) => format!("candidates {}", quoted(candidates)),
            (_, rules, candidates) => format!("{}; candidates {}", quoted(rules), quoted(candidates)),
        };
        let Spot { file, line } = self.at;
        wrapped(&format!("  {file}:{line} "), &format!("route `{}`: {what}", self.route))
    }
}

fn text_of_mutation(mutation: &Mutation) -> String {
    let Mutation { tried, noticed, equivalent, score, unnoticed, left_off } = mutation;
    let mut text = format!(
        "\nmutation: {}, {noticed} noticed, {equivalent} that change no plan, {} not noticed",
        counted(*tried, "change"),
        unnoticed.len()
    );
    text.extend(score.map(|score| format!("; score {:.0} %", score * 100.0)));
    text.push('\n');
    if *left_off > 0 {
        text.push_str(&format!("{left_off} more were left off: test fewer files at a time\n"));
    }
    if !unnoticed.is_empty() {
        text.push_str("\nno test notices:\n");
    }
    for change in unnoticed.iter().take(LISTED) {
        let Spot { file, line } = &change.at;
        text.push_str(&wrapped(&format!("  {file}:{line} "), &change.what));
        if let Some(example) = &change.example {
            text.push_str(&wrapped("    moves, for example, ", &example.to_string()));
        }
    }
    if unnoticed.len() > LISTED {
        text.push_str(&format!("  and {} more; `--json` lists them all\n", unnoticed.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use policies::{Covered, Unnoticed};

    use super::*;

    fn missed(route: &str, part: Option<&str>, line: usize) -> Missed {
        let at = Spot { file: "p.yaml".to_owned(), line };
        Missed { route: route.to_owned(), part: part.map(str::to_owned), at }
    }

    #[test]
    fn what_is_not_exercised_is_told_route_by_route() {
        let of = |all, missed: Vec<Missed>| Covered { all, exercised: all - missed.len(), missed };
        let coverage = Coverage {
            routes: of(2, vec![missed("b", None, 9)]),
            rules: of(3, vec![missed("a", Some("match.team"), 4), missed("b", Some("match.model"), 10)]),
            candidates: of(4, vec![missed("a", Some("any"), 6)]),
        };
        assert_eq!(
            text_of_coverage(&coverage),
            "exercised: 1 of 2 routes, 1 of 3 keys of `match` and `require`, 3 of 4 candidates\n\nnot exercised:\n  \
             p.yaml:9 route `b`: no test takes it\n  p.yaml:4 route `a`: `match.team`; candidates `any`\n"
        );
    }

    #[test]
    fn a_change_that_no_test_notices_is_told_with_its_line_and_the_score() {
        let at = Spot { file: "p.yaml".to_owned(), line: 4 };
        let unnoticed = vec![Unnoticed { what: "route `a` left out".to_owned(), at, example: None }];
        let mutation = Mutation { tried: 5, noticed: 3, equivalent: 1, score: Some(0.75), unnoticed, left_off: 0 };
        assert_eq!(
            text_of_mutation(&mutation),
            "\nmutation: 5 changes, 3 noticed, 1 that change no plan, 1 not noticed; score 75 %\n\nno test notices:\n  \
             p.yaml:4 route `a` left out\n"
        );
    }
}
