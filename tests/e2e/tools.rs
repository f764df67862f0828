//! The offline tools, as a platform engineer runs them: no gateway, no network.

use serde_json::Value;
use tests::Builder;

use crate::pointsman;

const CONFIG: &str = "\
policies: [routes.yaml]
deployments:
  - {id: general, model: qwen3-32b, server: vllm, base_url: \"http://127.0.0.1:9/v1\", region: eu, retention: none}
  - {id: korean, model: kanana-1.5-8b, server: vllm, base_url: \"http://127.0.0.1:9/v1\", region: kr}
  - {id: study, model: exaone-3.5-32b, server: vllm, base_url: \"http://127.0.0.1:9/v1\", region: kr}
contexts: {bot: {use: revenue, exposure: public, seat: KR}, lab: {use: research, exposure: internal, seat: KR}}
teams: {desk: {contexts: [bot]}, science: {contexts: [lab]}}
keys: keys.yaml
";

const ROUTES: &str = "\
version: 1
routes:
  - name: desk
    match: {team: desk, model: [auto]}
    require: {region: [eu]}
    candidates: [any]
  - name: rest
    match: {model: auto}
    candidates: [korean, any]
tests:
  - name: the desk stays in the EU
    request: {team: desk, context: bot, model: auto}
    expect: {route: desk, first: general}
";

fn builder() -> Builder {
    pointsman().config(CONFIG).file("routes.yaml", ROUTES).file("keys.yaml", "keys: []\n")
}

/// Exit status and standard output of a command with the configuration.
#[track_caller]
fn run(builder: &Builder, arguments: &[&str]) -> (i32, String) {
    let (code, out, error) = builder.command(&[arguments, &["--config", "pointsman.yaml"]].concat());
    assert!(!error.contains("panicked"), "{error}");
    (code, format!("{out}{error}"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn check_writes_the_same_problems_for_code_scanning_and_for_pull_requests() {
    let good = builder();
    let (code, out) = run(&good, &["check", "--format", "sarif"]);
    assert_eq!((code, &json(&out)["runs"][0]["results"]), (0, &serde_json::json!([])), "{out}");

    let bad = builder().file("routes.yaml", &ROUTES.replace("[korean, any]", "[korian, any]"));
    let (code, out) = run(&bad, &["check", "--format", "sarif"]);
    let result = json(&out)["runs"][0]["results"][0].take();
    assert_eq!((code, &result["ruleId"], &result["level"]), (1, &"unknown-model".into(), &"error".into()), "{out}");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "routes.yaml");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&9.into(), &18.into()));
    let (code, out) = run(&bad, &["check", "--format", "github"]);
    assert_eq!(code, 1);
    assert!(out.starts_with("::error title=unknown-model,file=routes.yaml,line=9,col=18::"), "{out}");
}

#[test]
fn test_runs_tests_and_probes_and_tells_what_they_leave_out() {
    let probe = "version: 1\ntests:\n  - name: the lab\n    request: {team: science, context: lab, model: auto, use: {purpose: research, exposure: internal}}\n    expect: {route: rest, first: korean}\n";
    let good = builder().file("probes.yaml", probe);
    let (code, out) = run(&good, &["test", "probes.yaml", "--json", "--mutate"]);
    let report = json(&out);
    assert_eq!((code, report["tests"].as_array().map(Vec::len)), (0, Some(2)), "{out}");
    assert_eq!(report["coverage"]["routes"]["missed"], serde_json::json!([]));
    let unnoticed = report["mutation"]["unnoticed"].as_array().unwrap();
    let what = "route `rest`: the candidate `any` left out";
    assert!(unnoticed.iter().any(|change| change["what"] == what && change["line"] == 9), "{out}");
    let noticed = "route `desk`: `require.region` left out";
    assert!(report["mutation"]["score"].as_f64() > Some(0.0));
    assert!(unnoticed.iter().all(|change| change["what"] != "route `desk` left out"), "{noticed}: {out}");

    let bad = builder().file("probes.yaml", &probe.replace("first: korean", "first: general"));
    let (code, out) = run(&bad, &["test", "probes.yaml"]);
    assert_eq!(code, 1);
    for part in ["FAILED  the lab", "probes.yaml:3", "expected `general` first, got `kanana-1.5-8b`", "1 of 2 policy"] {
        assert!(out.contains(part), "no `{part}` in:\n{out}");
    }
}

#[test]
fn diff_tells_which_requests_move_and_marks_a_licence_tier() {
    let moved = ROUTES.replace("[korean, any]", "[korean]");
    let builder = builder().file("new.yaml", &moved).file("same.yaml", ROUTES);
    let (code, out) = run(&builder, &["diff", "routes.yaml", "same.yaml"]);
    assert_eq!(code, 0, "{out}");
    let (code, out) = run(&builder, &["diff", "new.yaml", "routes.yaml"]);
    assert_eq!(code, 1);
    for part in ["LICENCE TIER 1 -> 4 at the strictest", "study (tier 4)", "team science, context lab", "model auto"] {
        assert!(out.contains(part), "no `{part}` in:\n{out}");
    }
    assert!(!out.contains("context bot"), "the desk does not move:\n{out}");
    // A configuration on one side, with another use for a context.
    let builder = builder.file("lab.yaml", &CONFIG.replace("use: research", "use: revenue"));
    let (code, out) = run(&builder, &["diff", "pointsman.yaml", "lab.yaml", "--json"]);
    let diff = json(&out);
    assert_eq!(code, 1);
    let changes = diff["diff"]["changes"].as_array().unwrap();
    assert!(changes.iter().any(|change| change["strictest_tier"] == serde_json::json!([4, 1])), "{out}");
}

#[test]
fn prove_holds_a_claim_against_every_request_or_shows_one_against_it() {
    let builder = builder();
    let claim = "no revenue context reaches tier >= 4 without a waiver";
    let (code, out) = run(&builder, &["prove", claim, "every team desk reaches only region eu", "--model", "auto"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(out.matches("proved: ").count(), 2, "{out}");
    let (code, out) = run(&builder, &["prove", "no research context reaches tier >= 4"]);
    assert_eq!(code, 1);
    for part in ["NOT SO", "context lab (research)", "`study`", "exaone-1.1-nc", "tier 4"] {
        assert!(out.contains(part), "no `{part}` in:\n{out}");
    }
    let (code, out) = run(&builder, &["prove", "no request goes to tier >= 4"]);
    assert_eq!(code, 2);
    assert!(out.contains("expected `reaches`, found `goes`"), "{out}");
}

#[test]
fn explain_takes_a_curl_command_line_and_says_what_would_let_a_refused_candidate_serve() {
    let curl = "curl http://localhost:8080/v1/chat/completions \\\n  -H 'authorization: Bearer secret' \\\n  -d '{\"model\": \"auto\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n";
    let builder = builder().file("pasted.txt", curl).file("empty.txt", "curl http://localhost:8080\n");
    let (code, out) = run(&builder, &["explain", "--request", "pasted.txt", "--team", "desk"]);
    assert_eq!(code, 0, "{out}");
    for part in [
        "route    desk",
        "korean: add `kr` to `require.region`",
        "study: add `kr` to `require.region`; and a context of research use",
    ] {
        assert!(out.contains(part), "no `{part}` in:\n{out}");
    }
    assert!(!out.contains("secret"), "{out}");
    let (code, out) = run(&builder, &["explain", "--request", "empty.txt", "--team", "desk"]);
    assert_eq!(code, 1);
    assert!(out.contains("sends no body"), "{out}");
}

#[test]
fn fmt_lays_files_out_keeps_comments_and_leaves_alone_what_it_cannot() {
    let loose = ROUTES.replace("    match: {team: desk, model: [auto]}\n", "").replace(
        "    candidates: [any]\n",
        "    candidates: [any] # whoever is there\n    match: {team: desk, model: [auto]}\n",
    );
    let builder = builder().file("loose.yaml", &loose).file("broken.yaml", "version: [1\n");
    let fmt = |arguments: &[&str]| {
        let (code, out, error) = builder.command(&[&["fmt"], arguments].concat());
        (code, format!("{out}{error}"))
    };
    let read = |name: &str| std::fs::read_to_string(builder.folder().join(name)).unwrap();
    let (code, out) = fmt(&["--check", "loose.yaml"]);
    assert_eq!(code, 1);
    assert!(out.contains("loose.yaml: would be laid out otherwise"), "{out}");
    assert_eq!(read("loose.yaml"), loose, "`--check` writes nothing");
    assert_eq!(fmt(&["loose.yaml"]).0, 0);
    let laid_out = ROUTES.replace("[any]\n  - name: rest", "[any] # whoever is there\n\n  - name: rest");
    assert_eq!(read("loose.yaml"), laid_out);
    assert_eq!(fmt(&["--check", "loose.yaml"]).0, 0);
    let (code, out) = fmt(&["broken.yaml"]);
    assert_eq!((code, read("broken.yaml").as_str()), (1, "version: [1\n"));
    assert!(out.contains("broken.yaml: left alone: line"), "{out}");
}

#[test]
fn the_help_of_the_mock_host_lists_every_fault() {
    let (code, help, _) = pointsman().command(&["mock", "--help"]);
    assert_eq!(code, 0);
    let names = scripted::Fault::TABLE.iter().map(|(name, _)| *name);
    for name in names.chain(scripted::Door::TABLE.map(|(_, name, _)| name)) {
        assert!(help.contains(&format!("  {name} ")), "{name}:\n{help}");
    }
    let (code, _, error) = pointsman().command(&["mock", "--door", "window"]);
    assert!(code != 0 && error.contains("expired-certificate"), "{error}");
}
