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
fn a_score_needs_a_benchmark_that_the_catalog_knows_and_a_number_on_its_scale() {
    let scores = |scores: &str| format!("{ACME}    benchmarks: {{{scores}}}\n");
    check(&scores("mmlu: 70, <<ifevel>>: 80, gsm8k: 9"), "unknown-benchmark", "did you mean `ifeval`?");
    check(&scores("mmlu: 1, <<gsm8k>>: 100.5"), "bad-score", "expected a number from 0 to 100");
    check(&scores("<<mt_bench>>: 11"), "bad-score", "expected a number from 0 to 10");
    check(&scores("<<arena_elo>>: -1"), "bad-score", "");
    check(&scores("<<opencompass>>: 50"), "no-score", "name the benchmark that it ran");
    let own = "benchmarks:\n  - {id: acme-exam, name: Exam, kind: test, measures: our questions, unit: percent}\n";
    let file = ("acme.yaml".to_owned(), scores("acme-exam: 70") + own);
    assert!(crate::Catalog::builtin().with_overlays(&[file]).is_ok(), "a company may have benchmarks of its own");
}

#[test]
fn rows_of_fine_tuning_hardware_and_benchmarks_are_checked_where_they_stand() {
    let fit = "expected `unit: percent`, `percentile`, `out-of-ten` or `elo`; or `kind: tool` alone";
    check("benchmarks:\n  - {id: <<x>>, name: X, kind: test, measures: y}", "unit-and-kind-disagree", fit);
    check(
        "fine_tuning:\n  - {id: x, name: X, kind: tool, does: y, uses: [lora, <<qlara>>]}",
        "unknown-fine-tuning",
        "did you mean `qlora`?",
    );
    check(
        "fine_tuning:\n  - {id: x, name: X, kind: service, does: y, host: <<grok>>}",
        "unknown-host",
        "did you mean `groq`?",
    );
    check(
        "hardware:\n  - {id: x, name: X, kind: gpu, vendor: Y, computes: [bf16, <<fp9>>]}",
        "unknown-quantization",
        "did you mean `fp8`?",
    );
    check(
        "hardware:\n  - {id: <<x>>, name: X, kind: gpu, vendor: Y, memory_gb: [80, 0]}",
        "bad-memory",
        "leave out what is not known",
    );
    check(
        "hardware:\n  - {id: <<h100>>, name: X, kind: gpu, vendor: Y}",
        "duplicate-id",
        "rows are added, never replaced: choose another id",
    );
}

#[test]
fn what_a_row_said_earlier_has_days_that_end_and_do_not_contradict_each_other() {
    let was = |entries: &str| format!("{ACME}    was:\n{entries}");
    let entry = |rest: &str| format!("      - <<{{>>license: mit, why: a test, {rest}}}\n");
    check(
        &was(&entry("valid_from: '2024-01-01', recorded: '2024-01-01'")),
        "endless-interval",
        "add `valid_to` if the terms changed, or `corrected` if the entry was a mistake",
    );
    check(
        &was(&entry("valid_from: '2024-01-01', valid_to: '2024-01-01', recorded: '2024-01-01'")),
        "bad-interval",
        "`valid_to` is the first day after them",
    );
    check(
        &was(&entry("valid_from: '2024-01-01', recorded: '2024-01-02', corrected: '2024-01-02'")),
        "bad-interval",
        "`corrected` is the first day on which it was no longer said",
    );
    let first = entry("valid_from: '2024-01-01', valid_to: '2024-06-01', recorded: '2024-01-01'");
    let first = first.replace("<<", "").replace(">>", "");
    let second = entry("valid_from: '2024-05-31', recorded: '2025-01-01', corrected: '2025-02-01'");
    check(
        &was(&(first.clone() + &second)),
        "overlapping-intervals",
        "give them days that do not overlap, or different records",
    );
    check(&was(&first.replace("license: mit", "license: <<mot>>")), "unknown-license", "did you mean `mit`?");
    check(
        &was(&first.replace("why:", "also_licenses: [gemma-terms, <<gemma-term>>], why:")),
        "unknown-license",
        "did you mean `gemma-terms`?",
    );
    check(&was(&first.replace("'2024-06-01'", "<<'2024-06-31'>>")), "catalog-syntax", "");
}

#[test]
fn a_waiver_is_taken_back_no_sooner_than_it_was_there_and_its_cap_leaves_room_for_a_request() {
    let waiver = |rest: &str| {
        format!(
            "waivers:\n  - {{id: w, rules: [outputs-training], models: [phi-4], contexts: [bot], reason: a trial, \
             requested_by: Ann, approved_by: [Bob], created: 2026-11-01, expires: 2026-12-31, {rest}}}"
        )
    };
    check(
        &waiver("revoked: <<2026-10-31>>"),
        "revoked-before-created",
        "write 2026-11-01 or later; from that day on it lifts nothing",
    );
    check(
        &waiver("at_most_requests: <<0>>"),
        "bad-cap",
        "write at least 1, leave it out for any number, or take the waiver back with `revoked`",
    );
    check(&waiver("ticket: <<' '>>"), "empty-text", "name the ticket, or leave the key out");
    check(&waiver("at_most_requests: <<-1>>"), "catalog-syntax", "");
    let good = waiver("revoked: 2026-11-01, at_most_requests: 1, ticket: LEGAL-7");
    let catalog = crate::Catalog::builtin().with_overlays(&[("acme.yaml".to_owned(), good)]).expect("a good file");
    let waiver = catalog.waivers().next().expect("one");
    assert_eq!((waiver.at_most_requests, waiver.ticket.as_deref()), (Some(1), Some("LEGAL-7")));
}

#[test]
fn evidence_names_a_duty_that_there_is_and_says_where_and_until_when_it_was_seen() {
    let row = |rest: &str| {
        format!(
            "evidence:\n  - {{id: e, context: bot, checked: 2026-10-01, checked_by: a check, {rest}, valid_until: 2026-12-31}}"
        )
    };
    let llama = "license: llama-3.3-community, kind: display";
    check(
        &row("license: <<llama-3.3-comunity>>, kind: display"),
        "unknown-license",
        "did you mean `llama-3.3-community`?",
    );
    check(
        &row("license: exaone-1.1-nc, kind: <<display>>"),
        "no-such-duty",
        "expected one of: use-policy, outputs, notice, naming, purpose",
    );
    check(&row("license: mit, kind: <<other>>"), "no-such-duty", "expected one of: notice");
    check(
        &row(&format!("{llama}, url: <<ftp://acme.example>>")),
        "bad-url",
        "expected one that begins with https:// or http://",
    );
    check(
        &row(&format!("{llama}, url: <<'https://'>>")),
        "bad-url",
        "expected one that begins with https:// or http://",
    );
    check(
        &row(&format!("{llama}, sha256: <<abc>>")),
        "bad-digest",
        "expected 64 hexadecimal digits, as `sha256sum FILE` prints them",
    );
    check(&row(&format!("{llama}, models: [<<qwen3-33b>>]")), "unknown-model", "did you mean `qwen3-32b`?");
    let page = "url: 'https://acme.example/about', find: Built with Llama";
    check(&row(&format!("{llama}, {page}, check_days: <<0>>")), "bad-check-days", "expected 1 to 366");
    check(&row(&format!("{llama}, {page}, check_days: <<367>>")), "bad-check-days", "expected 1 to 366");
    for what in ["", ", find: Built with Llama", ", url: 'https://acme.example/about'"] {
        check(
            &row(&format!("{llama}{what}, check_days: <<7>>")),
            "check-of-nothing",
            "write `url`, and `find`, `sha256` or both; `pointsman license check-evidence ID` tells the digest",
        );
    }
    check(
        &row(&format!("{llama}, url: 'https://acme.example', find: <<' '>>, check_days: 7")),
        "empty-text",
        "write the text that the page shows, or leave the key out",
    );
    check(
        &row(&format!("{llama}, url: <<'https://me:secret@acme.example/'>>, find: x, check_days: 7")),
        "bad-url",
        "give the address alone; pages behind a log-in are looked at by people",
    );
    let late = row(llama).replace("2026-10-01", "2027-01-01").replace("2026-12-31", "<<2026-12-31>>");
    check(&late, "ends-before-it-begins", "");
    let agreed = "\nagreements: [{id: a, licenses: [mit], entity: acme, obligations: [x], valid_from: 2026-01-01, \
                  valid_until: 2026-12-31, document: d}]";
    let files = [("acme.yaml".to_owned(), row("license: mit, kind: other") + agreed)];
    let read = crate::Catalog::builtin().with_overlays(&files);
    assert!(read.is_ok(), "an agreement asks for something in its place: {:?}", read.err());
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
fn a_licence_expression_becomes_the_licences_that_bind_and_an_open_choice_is_refused() {
    let with = |license: &str| ACME.replace("license: acme-terms", license);
    let bound = |license: &str| {
        let files = [("acme.yaml".to_owned(), with(license).replace("    also_licenses: [mit]\n", ""))];
        let catalog = crate::Catalog::builtin().with_overlays(&files).unwrap_or_else(|problems| panic!("{problems:?}"));
        catalog.model("acme-1").expect("added").licenses().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(bound("license: acme-terms AND Apache-2.0"), "acme-terms apache-2.0");
    assert_eq!(bound("license: acme-terms OR MIT\n    chosen_licenses: [mit]"), "mit");
    assert_eq!(bound("license: (LicenseRef-Qwen OR MIT) AND acme-terms\n    chosen_licenses: [mit]"), "mit acme-terms");
    check(
        &with("license: <<acme-terms OR mit>>"),
        "license-undecided",
        "say which was taken: `chosen_licenses: [...]`",
    );
    let choice = "name licences of one branch in `chosen_licenses`";
    check(&with("license: <<acme-terms OR mit>>\n    chosen_licenses: [apache-2.0]"), "license-choice", choice);
    check(&with("license: <<acme-term AND mit>>"), "unknown-license", "did you mean `acme-terms`?");
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
    assert!(model["properties"]["also_licenses"].is_object() && model["properties"]["resolved"].is_null());
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
