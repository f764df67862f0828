//! Every golden case of the licence decision by the command line: what a company writes down, what somebody types, and
//! what a lawyer then reads.

#[path = "../../catalog/tests/golden/case.rs"]
mod case;

use catalog::{Catalog, Outcome};
use serde_json::{Value, json};

use crate::pointsman;
use case::Case;

/// The configuration that a case's use comes from. JSON is YAML.
fn config(case: &Case) -> String {
    let use_ = &case.use_;
    let name = use_.context.as_deref().expect("a context");
    let mut context = json!({
        "use": use_.purpose,
        "exposure": use_.exposure,
        "purpose": use_.activity,
        "domains": use_.domains,
        "end_users": use_.end_users,
    });
    let mut entities = json!({});
    match (&use_.entity, &use_.seat) {
        (Some(entity), Some(seat)) => {
            entities[entity] = json!({ "seat": seat });
            context["entity"] = json!(entity);
        }
        (None, Some(seat)) => context["seat"] = json!(seat),
        (None, None) => {}
        (Some(entity), None) => panic!("{}: entity `{entity}` has a seat", case.name),
    }
    json!({
        "catalog": case.company.iter().map(|_| "acme.yaml").collect::<Vec<_>>(),
        "entities": entities,
        "contexts": { name: context },
        "teams": { "all": { "contexts": [name] } },
        "keys": "keys.yaml",
    })
    .to_string()
}

/// What is wrong with what a person reads.
fn unreadable(case: &Case, license: &str, text: &str) -> Vec<String> {
    let outcome = case.expect.outcome;
    let mut wanted = vec![
        case.model.clone(),
        format!("`{license}`"),
        format!("{} (rule {},", outcome.name().replace('_', " "), case.expect.rule),
        case.day.to_string(),
    ];
    if case.expect.rule != "api-retired" {
        wanted.extend(Catalog::builtin().license(license).map(|license| license.name.clone()));
    }
    // What cannot be had is not allowed by any statement; another model is named instead.
    match (outcome.allows(), case.expect.rule.as_str()) {
        (true, _) => {}
        (false, "api-retired") => wanted.push("; use `".to_owned()),
        (false, _) => wanted.push("to allow it:".to_owned()),
    }
    wanted.extend(case.adapters.iter().cloned());
    wanted.extend(case.use_.domains.iter().map(|domain| domain.name().to_owned()));
    wanted.extend(case.use_.end_users.iter().cloned());
    // Names and sentences are broken to the width of the page.
    let read = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut wrong: Vec<_> = wanted
        .into_iter()
        .filter(|words| !read.contains(words.as_str()))
        .map(|words| format!("no `{words}`"))
        .collect();
    wrong.extend(text.lines().filter(|line| line.chars().count() > 118).map(|line| format!("too long: {line}")));
    // An open point is marked where the decision is open, and only there.
    let marked = |mark: &str| text.lines().any(|line| line.trim_start().starts_with(mark));
    if outcome == Outcome::RequireAttestation && !marked("MISSING") {
        wrong.push("nothing is marked as missing".to_owned());
    }
    if outcome.allows() && (marked("MISSING") || marked("REFUSES")) {
        wrong.push("a clause still refuses".to_owned());
    }
    wrong
}

#[test]
fn every_golden_case_is_explained_by_the_command_line_as_counsel_expects_it() {
    let cases = case::all();
    let mut wrong = Vec::new();
    for case in &cases {
        let mut builder = pointsman().config(&config(case)).file("keys.yaml", "keys: []");
        if let Some(company) = &case.company {
            builder = builder.file("acme.yaml", company);
        }
        let day = case.day.to_string();
        let context = case.use_.context.as_deref().expect("a context");
        let mut command = vec!["license", "explain", &case.model, "--config", "pointsman.yaml", "--context", context];
        command.extend(["--on", &day]);
        command.extend(case.adapters.iter().flat_map(|adapter| ["--adapter", adapter]));
        let (status, text, error) = builder.command(&command);
        command.push("--json");
        let (status_of_json, json, _) = builder.command(&command);
        let report: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{}: {json}{error}", case.name));
        let decision = &report["explanation"]["decision"];
        let mut found = case.expect.differences(decision);
        let expected = i32::from(!case.expect.outcome.allows());
        if (status, status_of_json) != (expected, expected) {
            found.push(format!("exit status: expected {expected}, found {status} and {status_of_json} with --json"));
        }
        if (&report["model"], &report["use"], &report["on"]) != (&json!(case.model), &json!(case.use_), &json!(day)) {
            found.push(format!("another question was answered: {report}"));
        }
        found.extend(unreadable(case, decision["license"].as_str().unwrap_or("none"), &text));
        if !found.is_empty() {
            wrong.push(format!("{}:\n  {}\n{text}{error}", case.name, found.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
