//! What a policy author sees: every problem at once, at its place, with a hint.
//!
//! `<<` and `>>` mark the span that a diagnostic must point at.

use catalog::Catalog;
use policies::{Code, Deployment, Diagnostic, Place, Report, Severity, Source, compile};

fn deployments() -> Vec<Deployment> {
    let local = || Place::Local { engine: "native".to_owned() };
    ["qwen3-32b", "kanana-1.5-8b", "llama-3.3-70b-instruct", "pointsman-demo"]
        .map(|model| Deployment::new(model, model, local()))
        .into()
}

fn problems(text: &str) -> Vec<Diagnostic> {
    let sources = [Source::new("config/policies/p.yaml", text)];
    match compile(&sources, &Catalog::builtin(), &deployments()) {
        Ok((_, Report { diagnostics })) | Err(Report { diagnostics }) => diagnostics,
    }
}

/// Checks a whole file whose marked spans must be exactly the ones reported with `code`, and nothing else.
#[track_caller]
fn check_file(marked: &str, code: Code) -> Vec<Diagnostic> {
    let (mut text, mut spans) = (String::new(), Vec::new());
    for (at, part) in marked.split("<<").enumerate() {
        match part.split_once(">>") {
            Some((inside, after)) if at > 0 => {
                spans.push(text.len()..text.len() + inside.len());
                text.push_str(inside);
                text.push_str(after);
            }
            _ => text.push_str(part),
        }
    }
    let found = problems(&text);
    let rendered: Vec<String> = found.iter().map(ToString::to_string).collect();
    let got: Vec<_> = found.iter().map(|d| (d.code, d.span.clone())).collect();
    let expected: Vec<_> = spans.into_iter().map(|span| (code.as_str(), span)).collect();
    assert_eq!(got, expected, "\n{}", rendered.join("\n\n"));
    found
}

/// Checks one key of a route; the route has a name, and candidates unless the key is `candidates`.
#[track_caller]
fn check(key: &str, code: Code) -> Vec<Diagnostic> {
    let candidates = if key.starts_with("candidates") { "" } else { "    candidates: [any]\n" };
    check_file(&format!("version: 1\nroutes:\n  - name: night-batch\n{candidates}    {key}\n"), code)
}

#[test]
fn an_unknown_model_is_shown_as_the_style_asks() {
    let found = check("candidates: [<<lama-3-8b>>]", Code::UnknownModel);
    assert_eq!(
        found[0].render(false),
        "\
error[unknown-model]: route `night-batch` names a model the catalog does not have
 --> config/policies/p.yaml:4:18
  |
4 |     candidates: [lama-3-8b]
  |                  ^^^^^^^^^ no model with this id
  |
  = hint: did you mean `llama-3-8b-instruct`? `pointsman catalog list` prints every id"
    );
}

#[test]
fn an_alias_is_answered_with_the_catalog_id() {
    let found = check("candidates: [<<meta-llama/Llama-3.3-70B-Instruct>>]", Code::UnknownModel);
    assert_eq!(found[0].hint.as_deref(), Some("the catalog id of that model is `llama-3.3-70b-instruct`"));
}

#[test]
fn names_of_hosts_families_and_licences_are_looked_up() {
    check("candidates: [any, <<\"host:grok\">>]", Code::UnknownHost);
    check("candidates: [any, <<\"family:qwen33\">>]", Code::UnknownFamily);
    let found = check("require: {license: {allow: [apache-2.0, <<apache2>>], deny: [<<mitt>>]}}", Code::UnknownLicense);
    assert!(found[0].hint.as_deref().is_some_and(|hint| hint.contains("`apache-2.0`")), "{found:?}");
}

#[test]
fn unknown_keys_are_refused_everywhere_with_the_nearest_key() {
    let found = check("<<prefers>>: {quality: 1}", Code::UnknownKey);
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `prefer`?"));
    check("match: {<<teem>>: a}", Code::UnknownKey);
    check("require: {<<licence>>: {max_tier: 2}}", Code::UnknownKey);
    check("require: {license: {<<tier>>: 2}}", Code::UnknownKey);
    check("require: {price: {output_usd_per_million: {max: 1, <<min>>: 0}}}", Code::UnknownKey);
    check("prefer: {quality: 1, <<speed>>: 2}", Code::UnknownKey);
    check("attempts: {<<retries>>: 2}", Code::UnknownKey);
    check("attempts: {deadlines: {<<read>>: 2s}}", Code::UnknownKey);
    check("tests: [{name: t, request: {model: auto, <<lang>>: ko}, expect: {}}]", Code::UnknownKey);
    check_file("version: 1\n<<rules>>: []\nroutes: [{name: a, candidates: [any]}]\n", Code::UnknownKey);
}

#[test]
fn values_outside_their_vocabulary_are_refused_at_the_value() {
    check("on_none: <<ignore>>", Code::WrongValue);
    check("attempts: {on: [connect, <<6xx>>]}", Code::WrongValue);
    check("attempts: {max: <<0>>}", Code::WrongValue);
    check("attempts: {budget: <<30>>}", Code::WrongValue);
    check("attempts: {budget: <<0s>>}", Code::WrongValue);
    check("attempts: {deadlines: {idle: <<99999999999999999999s>>}}", Code::WrongValue);
    check("require: {license: {max_tier: <<6>>}}", Code::WrongValue);
    check("require: {context_tokens: {min: <<-1>>}}", Code::WrongValue);
    check("require: {capabilities: [<<tool>>]}", Code::WrongValue);
    check("require: {price: {input_usd_per_million: {max: <<.nan>>}}}", Code::WrongValue);
    check("prefer: <<{quality: 0}>>", Code::WrongValue);
    check("match: {language: <<korean>>}", Code::WrongValue);
    check("match: {needs: [<<reasoning>>]}", Code::WrongValue);
    check("match: {stream: <<yes>>}", Code::WrongValue);
    check("candidates: <<[]>>", Code::WrongValue);
    check("match: {prompt_tokens: <<{min: 9, max: 3}>>}", Code::EmptyRange);
}

#[test]
fn values_of_another_shape_are_refused_at_the_value() {
    check("match: <<[team, a]>>", Code::WrongType);
    check("match: {team: [<<{a: b}>>]}", Code::WrongType);
    check("require: {license: <<2>>}", Code::WrongType);
    check("attempts: {max: <<\"3\">>}", Code::WrongType);
    check("prefer: <<latency>>", Code::WrongType);
    check_file("<<[]>>", Code::WrongType);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    check("match: {team: a, <<team>>: b}", Code::DuplicateKey);
}

#[test]
fn missing_keys_are_named() {
    let found = check_file("version: 1\nroutes: [<<{name: a}>>]\n", Code::MissingKey);
    assert!(found[0].message.contains("`candidates`"), "{}", found[0].message);
    assert_eq!(problems("").len(), 1);
    assert_eq!(problems("{}").iter().filter(|d| d.code == Code::MissingKey.as_str()).count(), 2);
}

#[test]
fn another_version_is_refused() {
    check_file("version: <<2>>\nroutes: [{name: a, candidates: [any]}]\n", Code::UnsupportedVersion);
}

#[test]
fn text_that_is_no_yaml_is_one_error_with_its_place() {
    let found = problems("version: 1\nroutes: [{name: a\n");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, Code::YamlSyntax.as_str());
    assert_eq!((found[0].file.as_str(), found[0].severity), ("config/policies/p.yaml", Severity::Error));
    assert!(found[0].line >= 2);
}

#[test]
fn two_routes_of_one_name_are_refused() {
    let text = "version: 1\nroutes:\n  - {name: a, match: {team: x}, candidates: [any]}\n  - {name: <<a>>, candidates: [any]}\n";
    let found = check_file(text, Code::DuplicateRoute);
    assert_eq!(found[0].hint.as_deref(), Some("the first one stands at config/policies/p.yaml:3"));
}

#[test]
fn the_name_of_the_implicit_route_is_taken() {
    check_file("version: 1\nroutes: [{name: <<direct>>, candidates: [any]}]\n", Code::WrongValue);
}

#[test]
fn a_route_that_an_earlier_one_hides_is_a_warning() {
    let text = "\
version: 1
routes:
  - {name: all, match: {model: [auto, chat]}, candidates: [any]}
  - {name: <<hidden>>, match: {model: auto, team: a, language: ko}, candidates: [any]}
  - {name: seen, match: {model: [auto, code]}, candidates: [any]}
";
    let found = check_file(text, Code::UnreachableRoute);
    assert_eq!(found[0].severity, Severity::Warning);
    assert!(found[0].hint.as_deref().is_some_and(|hint| hint.contains("`all` at config/policies/p.yaml:3")));
}

#[test]
fn a_candidate_that_nothing_serves_is_a_warning_and_one_named_twice_too() {
    let found = check("candidates: [<<mixtral-8x7b-instruct>>, qwen3-32b]", Code::NoDeployment);
    assert_eq!(found[0].severity, Severity::Warning);
    check("candidates: [qwen3-32b, any, <<qwen3-32b>>]", Code::DuplicateCandidate);
}

#[test]
fn a_file_that_ships_with_pointsman_gets_no_such_warnings() {
    let text = "version: 1\nroutes: [{name: a, candidates: [mixtral-8x7b-instruct]}, {name: b, candidates: [any]}]\n";
    let (_, report) = compile(&[Source::builtin("default.yaml", text)], &Catalog::builtin(), &deployments()).unwrap();
    assert!(report.is_empty(), "{report}");
}

#[test]
fn tests_are_checked_too() {
    check("tests: [{name: t, request: {model: auto}, expect: {first: <<qwen3-33b>>}}]", Code::UnknownModel);
    check("tests: [{name: t, request: {model: auto}, expect: {route: <<day-batch>>}}]", Code::UnknownRoute);
    check(
        "tests: [{name: t, request: {model: auto}, deployed: [{model: qwen3-8b, host: <<grok>>}], expect: {}}]",
        Code::UnknownHost,
    );
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
    assert!(!found[0].render(false).contains('\u{1b}'));
    assert!(found[0].render(true).contains('\u{1b}'));
}
