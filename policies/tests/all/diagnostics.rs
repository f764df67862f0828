//! What a policy author sees: every problem at once, at its place, with a hint.
//!
//! Each `diagnostics/NAME.yaml` is a bad policy file, and `NAME.txt` beside it is the report that it has to get, to the
//! letter: codes, messages, places, underlined text and hints. `UPDATE_SNAPSHOTS=1` writes the reports anew; then read
//! what changed. A file is named after the code that it is about.

use std::{collections::BTreeSet, fs, path::PathBuf};

use catalog::Catalog;
use policies::{Code, Declared, Deployment, Diagnostic, Place, Report, Severity, Source, compile, compile_declared};

/// What is deployed where these files are checked.
fn deployments() -> Vec<Deployment> {
    let local = || Place::Local { engine: "native".to_owned() };
    let mut deployments: Vec<Deployment> =
        ["qwen3-32b", "kanana-1.5-8b", "pointsman-demo"].map(|model| Deployment::new(model, model, local())).into();
    deployments.push(Deployment {
        region: Some("us".to_owned()),
        input_usd_per_million: Some(0.59),
        output_usd_per_million: Some(0.79),
        ..Deployment::new("groq-llama", "llama-3.3-70b-instruct", Place::Host("groq".to_owned()))
    });
    deployments
}

/// What the configuration of these files declares.
fn declared() -> Declared {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Declared {
        teams: Some(names(&["support", "sales"])),
        contexts: Some(names(&["bot", "lab"])),
        keys: Some(names(&["k_support", "k_sales"])),
        headers: names(&["x-customer-tier"]),
        metadata: names(&["project"]),
    }
}

fn report(name: &str, text: &str) -> Report {
    match compile_declared(&[Source::new(name, text)], &Catalog::builtin(), &deployments(), &declared()) {
        Ok((_, report)) | Err(report) => report,
    }
}

fn problems(text: &str) -> Vec<Diagnostic> {
    report("config/policies/p.yaml", text).diagnostics
}

/// The bad files: name without ending, and text.
fn bad_files() -> Vec<(PathBuf, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/all/diagnostics");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder of bad files")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("a text"))).collect()
}

#[test]
fn every_bad_file_gets_the_report_that_stands_beside_it() {
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut wrong = Vec::new();
    for (path, text) in bad_files() {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let found = report(&name, &text);
        let code = found.diagnostics.iter().map(|d| d.code).find(|code| name.starts_with(code));
        assert!(code.is_some(), "{name} is not named after a code that it gets:\n{found}");
        let (rendered, beside) = (format!("{found}\n"), path.with_extension("txt"));
        if update {
            fs::write(beside, rendered).expect("a file that can be written");
        } else if fs::read_to_string(&beside).unwrap_or_default() != rendered {
            wrong.push(format!("--- {name}\n{rendered}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_SNAPSHOTS=1 takes these reports over", wrong.join("\n"));
}

#[test]
fn there_is_a_bad_file_for_every_code() {
    let files = bad_files();
    assert!(files.len() >= 60, "{} bad files", files.len());
    let found: BTreeSet<&str> =
        files.iter().flat_map(|(_, text)| problems(text)).map(|diagnostic| diagnostic.code).collect();
    // A code of two files, and one that no small file gets, have tests of their own below.
    let rest: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).filter(|code| !found.contains(code)).collect();
    assert_eq!(rest, [Code::DuplicateAlias.as_str(), Code::TooManyProblems.as_str()]);
}

#[test]
fn every_problem_says_what_is_wrong_where_and_most_say_what_to_do() {
    let files = bad_files();
    let found: Vec<Diagnostic> = files.iter().flat_map(|(_, text)| problems(text)).collect();
    for diagnostic in &found {
        let shown = diagnostic.render(false);
        assert!(!diagnostic.message.is_empty() && !diagnostic.label.is_empty(), "{shown}");
        assert!(!diagnostic.message.ends_with('.') && !diagnostic.label.ends_with('.'), "{shown}");
    }
    let hinted = found.iter().filter(|diagnostic| diagnostic.hint.is_some()).count();
    assert!(hinted * 10 >= found.len() * 6, "{hinted} of {} have a hint", found.len());
}

#[test]
fn the_table_of_codes_in_the_documentation_is_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config/policies/README.md");
    let text = fs::read_to_string(&path).expect("the documentation of policies");
    let (before, rest) = text.split_once("<!-- codes -->\n").expect("the start of the table");
    let (_, after) = rest.split_once("<!-- end of codes -->").expect("the end of the table");
    let rows: String = Code::ALL.iter().map(|code| format!("| `{code}` | {} |\n", code.meaning())).collect();
    let table = format!("<!-- codes -->\n\n| code | meaning |\n| --- | --- |\n{rows}\n<!-- end of codes -->");
    let current = format!("{before}{table}{after}");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, current).expect("a file that can be written");
    } else {
        assert!(text == current, "UPDATE_SNAPSHOTS=1 writes the table anew");
    }
}

#[test]
fn a_file_that_ships_with_pointsman_gets_no_warnings() {
    let text = "version: 1\nroutes: [{name: a, candidates: [mixtral-8x7b-instruct]}, {name: b, candidates: [any]}]\n";
    let (_, report) = compile(&[Source::builtin("default.yaml", text)], &Catalog::builtin(), &deployments()).unwrap();
    assert!(report.is_empty(), "{report}");
}

#[test]
fn every_problem_of_every_file_comes_back_at_once() {
    let sources = [
        Source::new("a.yaml", "version: 1\nroutes:\n  - {name: a, candidates: [nope], prefr: {}}\n"),
        Source::new("b.yaml", "version: 1\nroutes:\n  - {candidates: [any], attempts: {max: many, budget: soon}}\n"),
    ];
    let report = compile(&sources, &Catalog::builtin(), &deployments()).unwrap_err();
    let found: Vec<_> = report.diagnostics.iter().map(|d| (d.file.as_str(), d.column, d.code)).collect();
    let expected = [
        ("a.yaml", 28, "unknown-model"),
        ("a.yaml", 35, "unknown-key"),
        ("b.yaml", 5, "missing-key"),
        ("b.yaml", 41, "wrong-value"),
        ("b.yaml", 55, "wrong-value"),
    ];
    assert_eq!(found, expected);
    let json = report.to_json();
    assert_eq!(json["diagnostics"].as_array().map(Vec::len), Some(5));
    assert_eq!(json["diagnostics"][0]["line"], 3);
}

#[test]
fn without_a_list_of_teams_any_team_may_be_matched() {
    let text = "version: 1\nroutes: [{name: a, match: {team: anyone, context: any}, candidates: [any]}]\n";
    let (_, report) = compile(&[Source::new("p.yaml", text)], &Catalog::builtin(), &deployments()).unwrap();
    assert!(report.is_empty(), "{report}");
}

#[test]
fn an_alias_of_another_file_is_known_and_two_files_may_not_give_one_name() {
    let first =
        "version: 1\naliases: {small: qwen3-32b}\nroutes: [{name: a, match: {model: auto}, candidates: [any]}]\n";
    let of = |aliases| {
        format!("version: 1\naliases: {aliases}\nroutes: [{{name: b, match: {{model: code}}, candidates: [any]}}]\n")
    };
    let both = |aliases| {
        let sources = [Source::new("a.yaml", first), Source::new("b.yaml", of(aliases))];
        match compile(&sources, &Catalog::builtin(), &deployments()) {
            Ok((_, report)) | Err(report) => report.diagnostics,
        }
    };
    assert_eq!(both("{tiny: small}"), []);
    let found = both("{small: kanana-1.5-8b}");
    assert_eq!((found[0].code, found[0].file.as_str()), ("duplicate-alias", "b.yaml"));
    assert_eq!(found[0].hint.as_deref(), Some("the first one stands at a.yaml:2"));
}

#[test]
fn a_report_is_bounded() {
    let routes: String = (0..5_000).map(|n| format!("  - {{name: r{n}, candidates: [nope-{n}]}}\n")).collect();
    let found = problems(&format!("version: 1\nroutes:\n{routes}"));
    assert_eq!(found.last().map(|d| d.code), Some(Code::TooManyProblems.as_str()));
    assert!(found.len() < 300);
}

#[test]
fn a_yaml_bomb_is_an_error() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (this, below) in ('b'..'m').zip('a'..) {
        text.push_str(&format!("{this}: &{this} [{}]\n", vec![format!("*{below}"); 10].join(", ")));
    }
    assert_eq!(problems(&text)[0].code, Code::YamlLimit.as_str());
    assert_eq!(problems(&"[".repeat(1_000_000))[0].code, Code::YamlLimit.as_str());
    assert_eq!(problems(&"#".repeat(5 << 20))[0].code, Code::YamlLimit.as_str());
}

#[test]
fn colour_is_added_on_request_only() {
    let found = problems("version: 3\nroutes: [{name: a, candidates: [any]}]\n");
    assert_eq!(found[0].severity, Severity::Error);
    assert!(!found[0].render(false).contains('\u{1b}'));
    assert!(found[0].render(true).contains('\u{1b}'));
}
