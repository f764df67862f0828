//! `pointsman check`: every problem of a configuration and all that it names, and the tests of its policies.
//!
//! For people, as JSON, as SARIF for code scanning ([`sarif`]), or as commands that GitHub shows beside the lines of a pull
//! request ([`github`]): the same problems in each.

mod github;
mod sarif;

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use policies::{Report, Severity, TestResult};
use serde_json::json;

use super::{ConfigFile, print, print_json, world::World};

const EXAMPLES: &str = "\
Examples:
  pointsman check --config pointsman.yaml                   every problem, with its line and a hint
  pointsman check --config pointsman.yaml --format github   beside the lines of a pull request
  pointsman check --config pointsman.yaml --format sarif    for code scanning

Exit status: 0 it can be served and its policy tests hold, 1 it cannot or one does not, 2 the
command line itself is wrong.";

/// Check a configuration, all that it names, and its policy tests
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// How to write the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// One JSON object instead of text: short for `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// GitHub workflow commands
    Github,
}

/// True if nothing stops the configuration from being served.
pub(super) fn run(args: &Check) -> anyhow::Result<bool> {
    let (report, world) = match args.config.source().load() {
        Ok((config, warnings)) => (warnings, Some(World::of(config))),
        Err(report) => (report, None),
    };
    let tests = world.as_ref().map(World::run_tests).unwrap_or_default();
    let good = world.is_some() && tests.iter().all(TestResult::passed);
    let deployments = world.as_ref().map(|world| world.deployments.len());
    match if args.json { Format::Json } else { args.format } {
        Format::Json => {
            let diagnostics = &report.diagnostics;
            print_json(&json!({ "ok": good, "diagnostics": diagnostics, "tests": tests, "deployments": deployments }))?;
        }
        Format::Sarif => print_json(&sarif::log(&findings(&report, &tests)))?,
        Format::Github => {
            let commands: String = findings(&report, &tests).iter().map(github::command).collect();
            print(&(commands + &summary(&args.config.name(), &report, deployments, &tests)))?;
        }
        Format::Text => print(&text(&args.config.name(), &report, deployments, &tests))?,
    }
    Ok(good)
}

/// A problem or a failed test, for programs that show either beside its line.
struct Finding {
    code: String,
    severity: Severity,
    message: String,
    /// Absent for what stands in no file: a variable of the environment, an argument.
    file: Option<String>,
    line: usize,
    /// In characters, from 1; absent where the whole line is meant.
    column: Option<usize>,
}

/// The code of a policy test that does not hold.
const FAILED_TEST: &str = "policy-test-failed";

fn findings(report: &Report, tests: &[TestResult]) -> Vec<Finding> {
    let problems = report.diagnostics.iter().map(|problem| {
        let label = Some(&problem.label).filter(|label| !label.is_empty());
        let hint = problem.hint.as_ref().map(|hint| format!("\nhint: {hint}"));
        let message = format!(
            "{}{}{}",
            problem.message,
            label.map(|label| format!(": {label}")).unwrap_or_default(),
            hint.unwrap_or_default()
        );
        let in_a_file = problem.file != "environment" && !problem.file.starts_with("--");
        Finding {
            code: problem.code.to_owned(),
            severity: problem.severity,
            message,
            file: in_a_file.then(|| problem.file.clone()),
            line: problem.line,
            column: Some(problem.column),
        }
    });
    let failed = tests.iter().filter(|test| !test.passed()).map(|test| Finding {
        code: FAILED_TEST.to_owned(),
        severity: Severity::Error,
        message: format!("policy test `{}` failed: {}", test.name, test.failures.join("; ")),
        file: Some(test.file.clone()),
        line: test.line,
        column: None,
    });
    problems.chain(failed).collect()
}

fn text(name: &str, report: &Report, deployments: Option<usize>, tests: &[TestResult]) -> String {
    let mut text = String::new();
    if !report.is_empty() {
        text.push_str(&report.render(io::stdout().is_terminal()));
        text.push_str("\n\n");
    }
    for test in tests.iter().filter(|test| !test.passed()) {
        text.push_str(&failed(test));
        text.push('\n');
    }
    text + &summary(name, report, deployments, tests)
}

/// A test that does not hold, and what came instead.
pub(super) fn failed(test: &TestResult) -> String {
    let failures: String = test.failures.iter().map(|failure| format!("  {failure}\n")).collect();
    format!("policy test `{}` failed ({}:{})\n{failures}", test.name, test.file, test.line)
}

fn summary(name: &str, report: &Report, deployments: Option<usize>, tests: &[TestResult]) -> String {
    let errors = report.diagnostics.iter().filter(|problem| problem.severity == Severity::Error).count();
    let warnings = report.diagnostics.len() - errors;
    let failed = tests.iter().filter(|test| !test.passed()).count();
    match deployments {
        Some(deployments) => format!(
            "{name}: {}, {}, {} of {} passed\n",
            counted(deployments, "deployment"),
            counted(warnings, "warning"),
            tests.len() - failed,
            counted(tests.len(), "policy test"),
        ),
        None => format!("{name}: {}, {}\n", counted(errors, "error"), counted(warnings, "warning")),
    }
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

    fn failed_test() -> TestResult {
        TestResult {
            name: "korean first".to_owned(),
            file: "p.yaml".to_owned(),
            line: 7,
            failures: vec!["expected a, got b".to_owned()],
        }
    }

    #[test]
    fn a_failed_policy_test_is_named_with_what_came_instead() {
        let text = text("p.yaml", &Report::default(), None, &[failed_test()]);
        assert!(text.starts_with("policy test `korean first` failed (p.yaml:7)\n  expected a, got b\n"), "{text}");
        assert!(text.ends_with("p.yaml: 0 errors, 0 warnings\n"), "{text}");
    }

    #[test]
    fn a_failed_policy_test_is_a_finding_at_its_line() {
        let findings = findings(&Report::default(), &[failed_test()]);
        assert_eq!((findings[0].code.as_str(), findings[0].line, findings[0].column), (FAILED_TEST, 7, None));
        assert_eq!(findings[0].file.as_deref(), Some("p.yaml"));
    }
}
