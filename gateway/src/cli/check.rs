//! `pointsman check`: every problem of a configuration and all that it names, and the tests of its policies.

use std::io::{self, IsTerminal};

use clap::Args;
use policies::{Live, Report, Snapshot, TestResult};
use serde_json::json;

use super::{ConfigFile, print, print_json};
use crate::config::Config;

/// Check a configuration, all that it names, and its policy tests
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// True if nothing stops the configuration from being served.
pub(super) fn run(args: &Check) -> anyhow::Result<bool> {
    let (report, config) = match args.config.source().load() {
        Ok((config, warnings)) => (warnings, Some(config)),
        Err(report) => (report, None),
    };
    let tests = config.as_ref().map(tests).unwrap_or_default();
    let good = config.is_some() && tests.iter().all(TestResult::passed);
    if args.json {
        let deployments = config.as_ref().map(|config| config.deployments.len());
        let diagnostics = &report.diagnostics;
        print_json(&json!({ "ok": good, "diagnostics": diagnostics, "tests": tests, "deployments": deployments }))?;
    } else {
        print(&text(&args.config.name(), &report, config.as_ref(), &tests))?;
    }
    Ok(good)
}

/// Runs the policies' own tests. They are about policies, so every deployment counts as healthy and idle.
fn tests(config: &Config) -> Vec<TestResult> {
    let deployments: Vec<_> = config.deployments.iter().map(|deployment| deployment.facts.clone()).collect();
    let live = vec![Live::default(); deployments.len()];
    policies::run_tests(
        &Snapshot { catalog: &config.catalog, policies: &config.policies, deployments: &deployments, live: &live },
        crate::settle::today(),
    )
}

fn text(name: &str, report: &Report, config: Option<&Config>, tests: &[TestResult]) -> String {
    let mut text = String::new();
    if !report.is_empty() {
        text.push_str(&report.render(io::stdout().is_terminal()));
        text.push_str("\n\n");
    }
    for test in tests.iter().filter(|test| !test.passed()) {
        text.push_str(&format!("policy test `{}` failed\n", test.name));
        text.extend(test.failures.iter().map(|failure| format!("  {failure}\n")));
        text.push('\n');
    }
    let errors = report.diagnostics.iter().filter(|problem| problem.severity == policies::Severity::Error).count();
    let warnings = report.diagnostics.len() - errors;
    let failed = tests.iter().filter(|test| !test.passed()).count();
    let summary = match config {
        Some(config) => format!(
            "{name}: {}, {}, {} of {} passed",
            counted(config.deployments.len(), "deployment"),
            counted(warnings, "warning"),
            tests.len() - failed,
            counted(tests.len(), "policy test"),
        ),
        None => format!("{name}: {}, {}", counted(errors, "error"), counted(warnings, "warning")),
    };
    text + &summary + "\n"
}

/// A number and what it counts.
pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests_of_text {
    use super::*;

    #[test]
    fn a_failed_policy_test_is_named_with_what_came_instead() {
        let failed = TestResult {
            name: "korean first".to_owned(),
            file: "p.yaml".to_owned(),
            line: 7,
            failures: vec!["expected a, got b".to_owned()],
        };
        let text = text("p.yaml", &Report::default(), None, &[failed]);
        assert!(text.starts_with("policy test `korean first` failed\n  expected a, got b\n"), "{text}");
        assert!(text.ends_with("p.yaml: 0 errors, 0 warnings\n"), "{text}");
    }
}
