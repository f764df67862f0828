//! The questions of a compliance officer, each answered by its command, on a ledger whose truth is known.

use serde_json::Value;
use tests::seeded::{self, Truth};

use crate::pointsman;

/// Records of the ledger.
const RECORDS: u64 = 1_000_000;

/// A report as JSON, and whether its command said that all is well.
fn asked(builder: &tests::Builder, arguments: &[&str]) -> (bool, Value) {
    let (code, report) = exited(builder, arguments);
    assert!((0..=1).contains(&code), "{arguments:?}: {code}");
    (code == 0, report)
}

/// The same, and the exit status.
fn exited(builder: &tests::Builder, arguments: &[&str]) -> (i32, Value) {
    let arguments = [&["audit"], arguments, &["--json", "--data-dir", "data"]].concat();
    let (code, out, error) = builder.command(&arguments);
    assert!(error.is_empty(), "{arguments:?}: {code} {error}");
    (code, serde_json::from_str(&out).unwrap_or_else(|why| panic!("{arguments:?}: {why}: {out}")))
}

fn rows<'a>(report: &'a Value, table: &str) -> &'a [Value] {
    report["tables"][table].as_array().unwrap_or_else(|| panic!("there is no table `{table}`: {report}"))
}

fn sum(rows: &[Value], column: &str, is: impl Fn(&Value) -> bool) -> u64 {
    rows.iter().filter(|row| is(row)).map(|row| row[column].as_u64().unwrap()).sum()
}

#[test]
fn every_question_is_answered_by_one_command_and_rightly() {
    let builder = pointsman();
    let truth = seeded::make(builder.folder(), RECORDS, 7);
    assert!(truth.records >= RECORDS && truth.served > 0 && !truth.public_tier_3.is_empty(), "{truth:?}");
    usage(&builder, &truth);
    exceptions(&builder, &truth);
    incident(&builder, &truth);
    let (_, report) = asked(&builder, &["impact", "mistral-trial"]);
    let carried = truth.waived["mistral-trial"];
    assert_eq!((&report["requests"], &report["requests_that_fall_without_it"]), (&carried.into(), &carried.into()));
    assert_eq!(report["stands_for_it"], "asked by Ann Lee, approved by John Doe and Jane Roe");
    let (met, report) = asked(&builder, &["obligations", "--context", "product", "--on", "2026-11-09"]);
    assert!(!met, "nobody has seen them met");
    let shown = |row: &&Value| row["model"] == "llama-3.3-70b-instruct" && row["kind"] == "display";
    let owed = rows(&report, "obligations").iter().find(shown).expect("Llama asks to be named");
    assert_eq!(
        (&owed["state"], owed["text"].as_str().unwrap().contains("Built with Llama")),
        (&"missing".into(), true)
    );
    let (_, report) = asked(&builder, &["health"]);
    let of_research = rows(&report, "findings").iter().filter(|row| row["model"] == "mistral-large-2");
    let served: Vec<_> = of_research.map(|row| row["served"].as_u64().unwrap()).collect();
    assert!(!served.is_empty() && served.iter().all(|served| *served >= carried), "{served:?}");
    let (clean, report) = asked(&builder, &["crossings"]);
    assert!(!clean);
    assert_eq!(report["crossings"], truth.crossings);
    history(&builder, &truth);
    let (code, report) = exited(&builder, &["replay"]);
    assert_eq!(code, 4);
    assert_eq!((&report["differences"], &report["not_made_again"]), (&truth.differences.into(), &0.into()));
    assert_eq!(rows(&report, "differences").len() as u64, truth.differences);
}

fn usage(builder: &tests::Builder, truth: &Truth) {
    let (_, report) =
        asked(builder, &["usage", "--tier", "3", "--exposure", "public", "--by", "team,verdict,rests_on", "--verify"]);
    assert_eq!(report["integrity"], "all that was signed is there as it was");
    assert_eq!(report["records_read"], truth.records);
    for ((team, verdict), count) in &truth.public_tier_3 {
        let found = sum(rows(&report, "usage"), "requests", |row| row["team"] == **team && row["verdict"] == **verdict);
        assert_eq!(found, *count, "{team} {verdict}");
    }
    let relied = rows(&report, "rests_on");
    assert_eq!(relied.len(), 1);
    assert_eq!(relied[0]["stands_for_it"], "asked by Ann Lee, approved by John Doe and Jane Roe");
    assert_eq!(relied[0]["requests"], truth.waived["mistral-trial"]);
    let (_, report) = asked(builder, &["usage", "--by", "team"]);
    assert_eq!(report["requests"], truth.requests);
    for (team, tokens) in &truth.answer_tokens {
        assert_eq!(sum(rows(&report, "usage"), "answer_tokens", |row| row["team"] == **team), *tokens);
    }
    let (_, report) = asked(
        builder,
        &[
            "usage",
            "--reach",
            "outputs",
            "--purpose",
            "distillation,training-data",
            "--verdict",
            "serve",
            "--by",
            "model,ended",
        ],
    );
    assert_eq!(sum(rows(&report, "usage"), "requests", |row| row["ended"] == "completed"), truth.reached);
}

fn exceptions(builder: &tests::Builder, truth: &Truth) {
    let (_, report) = asked(builder, &["exceptions", "--on", "2026-11-27"]);
    let waivers = rows(&report, "waivers");
    assert_eq!(waivers.len(), 2);
    let of = |id: &str| waivers.iter().find(|row| row["id"] == id).unwrap();
    let (used, unused) = (of("mistral-trial"), of("pixtral-trial"));
    let (carried, unended) = (truth.waived["mistral-trial"], truth.unended["mistral-trial"]);
    assert_eq!(
        (&used["state"], &used["requests"], &used["unended"]),
        (&"over".into(), &(carried + unended).into(), &unended.into())
    );
    assert_eq!(used["used_out_of_time"], truth.out_of_time);
    assert_eq!(
        (&unused["state"], &unused["requests"], &unused["days_left"]),
        (&"ends soon".into(), &0.into(), &18.into())
    );
    assert_eq!(report["requests_out_of_time"], truth.out_of_time);
}

fn incident(builder: &tests::Builder, truth: &Truth) {
    let (first, last, keys, uncovered) = truth.incident.as_ref().unwrap();
    let (_, report) = asked(builder, &["incident", "--license", "mistral-research", "--exposure", "public"]);
    let found: std::collections::BTreeSet<_> =
        rows(&report, "callers").iter().map(|row| row["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, *keys);
    assert_eq!(report["requests_that_nothing_covered"], *uncovered);
    let time = |millis: u64| {
        humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis)).to_string()
    };
    assert_eq!((&report["first"], &report["last"]), (&time(*first).into(), &time(*last).into()));
    assert_eq!(rows(&report, "places")[0]["deployment"], "at-mistral-large-2");
    assert_eq!(rows(&report, "covered_by")[0]["id"], "mistral-trial");
}

fn history(builder: &tests::Builder, truth: &Truth) {
    let (_, report) = asked(builder, &["history"]);
    let periods: Vec<_> = rows(&report, "history")
        .iter()
        .map(|row| (row["served"].as_u64().unwrap(), row["refused"].as_u64().unwrap()))
        .collect();
    assert_eq!(periods, truth.periods);
    let changed: Vec<_> = rows(&report, "history").iter().map(|row| row["changed"].as_str().unwrap()).collect();
    assert!(changed[1].contains("catalog.yaml (+20 -0 lines)"), "{changed:?}");
    assert!(changed[2].contains("policy.yaml (+1 -0 lines)"), "{changed:?}");
}
