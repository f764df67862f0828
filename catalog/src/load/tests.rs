use proptest::prelude::*;

use super::*;
use crate::builtin;

const ACME: &str = "
licenses:
  - id: acme-terms
    name: Acme Terms
    tier: 2
    allows: [revenue, internal, research, personal]
    text: full
models:
  - id: acme-1
    name: Acme One
    family: acme
    developer: Acme
    availability: downloadable
    license: acme-terms
    also_licenses: [mit]
    tier: 2
";

/// Loads `text`, in which the one wrong place is marked `<<so>>`, over the built-in catalog and compares the problem.
fn check(text: &str, code: &str, hint: &str) {
    let before = text.split("<<").next().expect("a first part");
    let line = before.matches('\n').count() as u64 + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
    let text = text.replace("<<", "").replace(">>", "");
    let problems = match crate::Catalog::builtin().with_overlays(&[("acme.yaml".to_owned(), text)]) {
        Ok(_) => panic!("expected {code}"),
        Err(problems) => problems,
    };
    let [problem] = problems.as_slice() else { panic!("expected one problem, found {problems:?}") };
    assert_eq!((problem.code, problem.line, problem.column), (code, line, column), "{problem}");
    assert_eq!(problem.hint.as_deref().unwrap_or_default(), hint, "{problem}");
    assert_eq!(problem.file, "acme.yaml");
}

#[test]
fn a_company_adds_its_own_licence_and_model() {
    let base = crate::Catalog::builtin();
    let catalog = base.with_overlays(&[("acme.yaml".to_owned(), ACME.to_owned())]).expect("a good file");
    let model = catalog.model("acme-1").expect("added");
    assert_eq!(model.licenses().collect::<Vec<_>>(), ["acme-terms", "mit"]);
    assert!(catalog.model("qwen3-32b").is_some() && base.model("acme-1").is_none());
    assert_ne!(catalog.digest(), base.digest());
    let empty = base.with_overlays(&[("empty.yaml".to_owned(), String::new())]).expect("an empty file adds nothing");
    assert_eq!(empty.models().count(), base.models().count());
}

#[test]
fn a_problem_points_at_the_value_and_says_what_to_do() {
    check(
        &ACME.replace("license: acme-terms", "license: <<acme-term>>"),
        "unknown-license",
        "did you mean `acme-terms`?",
    );
    check(&ACME.replace("[mit]", "[<<mot>>]"), "unknown-license", "did you mean `mit`?");
    let nc = ACME.replace("[mit]\n    tier: 2", "[cc-by-nc-4.0]\n    tier: <<2>>");
    check(&nc, "tier-too-free", "write `tier: 4`");
    check(
        &ACME.replace("id: acme-1", "id: <<qwen3-32b>>"),
        "duplicate-id",
        "rows are added, never replaced: choose another id",
    );
    check(
        &ACME.replace("id: acme-1", "id: <<Acme One>>"),
        "bad-id",
        "expected lower-case letters, digits, `-`, `.` and `_`, at most 200",
    );
    check(&format!("{ACME}    replacement: <<qwen3-33b>>"), "unknown-model", "did you mean `qwen3-32b`?");
    check(
        &ACME.replace("[revenue, internal,", "<<[internal,>>"),
        "tier-and-purposes-disagree",
        "tiers 1 and 2 allow revenue and internal use",
    );
    check(&ACME.replace("developer:", "<<developr>>:"), "unknown-key", "did you mean `developer`?");
    check(&ACME.replace("models:", "<<modles>>:"), "unknown-key", "did you mean `models`?");
    check(
        "prices:\n  - {host: <<grok>>, name: x, relation: exact, as_of: 2026-11, status: listed}",
        "unknown-host",
        "did you mean `groq`?",
    );
}

#[test]
fn every_problem_of_every_file_is_reported_at_once() {
    let one = ACME.replace("license: acme-terms", "license: acme-term").replace("[mit]", "[mot]");
    let two = "models: 7".to_owned();
    let problems = crate::Catalog::builtin().with_overlays(&[("one".to_owned(), one), ("two".to_owned(), two)]);
    let problems = problems.map(|_| ()).expect_err("three problems");
    let found: Vec<_> = problems.iter().map(|problem| (problem.file.as_str(), problem.code)).collect();
    assert_eq!(found, [("two", "catalog-syntax"), ("one", "unknown-license"), ("one", "unknown-license")]);
}

#[test]
fn a_thousand_problems_are_cut_to_what_a_person_reads() {
    let rows: String = (0..2_000)
        .map(|n| format!("  - {{host: h{n}, name: x, relation: exact, as_of: a, status: listed}}\n"))
        .collect();
    let problems = crate::Catalog::builtin().with_overlays(&[("many".to_owned(), format!("prices:\n{rows}"))]);
    assert_eq!(problems.map(|_| ()).expect_err("unknown hosts").len(), 100);
}

#[test]
fn a_text_over_two_lines_is_quoted_on_one_and_kept_out_of_reasons() {
    // A name that goes on after a blank line, as a property test found it: the message was broken in two.
    let text = "models:\n  - {id: a, family: a, name: \"A\\nB\", developer: x, license: \"m\\nit\", tier: 1, availability: downloadable}\n";
    let problems = crate::Catalog::builtin().with_overlays(&[("any".to_owned(), text.to_owned())]);
    let problems = problems.map(|_| ()).expect_err("neither the name nor the licence can stand");
    let told: Vec<_> = problems.iter().map(|problem| (problem.code, problem.message.as_str())).collect();
    assert_eq!(
        told,
        [
            ("control-character", r"the name `A\nB` holds a line break or another control character"),
            ("unknown-license", r"there is no licence `m\nit` in the catalog"),
        ]
    );
}

#[test]
fn a_yaml_bomb_is_refused_with_its_name() {
    let code = |text: String| match load(None, &[("bomb", &text)]) {
        Ok(_) => "loaded",
        Err(problems) => problems[0].code,
    };
    let model = |aliases: String| format!("models: [{{id: &a x, aliases: [{aliases}]}}]");
    assert_eq!(code(model("*a,".repeat(100))), "catalog-too-complex");
    assert_eq!(code(model("a,".repeat(200_000))), "catalog-too-complex");
    assert_eq!(code(format!("models: {}", "[".repeat(50_000))), "catalog-syntax");
    assert_eq!(code("models: &m [*m, *m]".to_owned()), "catalog-syntax");
    assert_eq!(code("#".repeat(MAX_BYTES + 1)), "catalog-too-large");
}

#[test]
fn built_in_rows_survive_being_written_and_read_again() {
    for (name, text) in builtin::FILES {
        let rows = parse(name, text).expect("a built-in file");
        let written = serde_saphyr::to_string(&rows).expect("rows can be written");
        assert_eq!(parse(name, &written).expect("what was written reads"), rows, "{name}");
    }
}

#[test]
fn the_schema_describes_the_keys_of_a_company_file_and_no_others() {
    let schema = serde_json::to_value(overlay_schema()).expect("a schema is JSON");
    assert_eq!(schema["additionalProperties"], serde_json::Value::Bool(false));
    let model = &schema["$defs"]["Model"];
    assert!(model["properties"]["also_licenses"].is_object() && model["properties"]["verdicts"].is_null());
    assert!(model["required"].as_array().expect("required keys").iter().any(|key| key == "license"));
}

proptest! {
    #[test]
    fn no_text_makes_loading_panic(text in any::<String>()) {
        let _ = crate::Catalog::builtin().with_overlays(&[("any".to_owned(), text)]);
    }

    #[test]
    fn no_change_to_a_good_file_makes_loading_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, "[ -~\n\u{e9}]{0,6}"), 1..6),
    ) {
        let mut text: Vec<char> = ACME.chars().collect();
        for (at, remove, insert) in cuts {
            let at = at.index(text.len().max(1)).min(text.len());
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = crate::Catalog::builtin().with_overlays(&[("any".to_owned(), text.clone())]) {
            for problem in problems {
                prop_assert!(problem.line as usize <= text.lines().count() + 1, "{}", problem);
                prop_assert!(!problem.message.contains('\n'), "{}", problem);
            }
        }
    }
}
