//! The licence decision on cases that counsel would ask about, each by its facts: what the licence says, what the company
//! has stated, and what comes of it. The cases are data (`golden/*.yaml`); what is no decision stands here: rows, parents,
//! and the steps of an explanation.

#[path = "golden/case.rs"]
mod case;

use std::{collections::BTreeSet, sync::Arc};

use catalog::{Catalog, Date, Exposure, Purpose, Step, Tier, Use, decide_served, explain};
use serde_json::json;

/// The built-in catalog with a company's file over it.
fn with(file: &str) -> Arc<Catalog> {
    let files = [("acme.yaml".to_owned(), file.to_owned())];
    Arc::new(Catalog::builtin().with_overlays(&files).unwrap_or_else(|problems| panic!("{problems:?}")))
}

#[test]
fn every_golden_case_comes_to_what_counsel_expects_decided_looked_up_and_explained() {
    let cases = case::all();
    let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases of one name");
    println!("{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let (use_, today) = (&case.use_, case.day);
        let catalog = case.company.as_deref().map_or_else(Catalog::builtin, with);
        let model = catalog.model(&case.model).unwrap_or_else(|| panic!("{}: no `{}`", case.name, case.model));
        let adapters: Vec<&str> = case.adapters.iter().map(String::as_str).collect();
        let decision = decide_served(&catalog, model, &adapters, use_, today);
        if adapters.is_empty() {
            assert_eq!(*catalog.class(use_, today).decision(&catalog, model), decision, "looked up: {}", case.name);
            let explained = explain(&catalog, model, use_, today);
            assert_eq!(explained.decision, decision, "explained: {}", case.name);
            for duty in decision.obligations.iter() {
                let told = |step: &Step| step.then.as_deref().is_some_and(|then| duty.ends_with(then));
                assert!(explained.steps.iter().any(told), "{}: no step says `{duty}`", case.name);
            }
        }
        let differences = case.expect.differences(&json!(decision));
        if !differences.is_empty() {
            wrong.push(format!("{}:\n  {}", case.name, differences.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn gemma_counts_a_hosted_service_as_distribution_and_stability_has_two_conditions() {
    let catalog = Catalog::builtin();
    let hosted = catalog.license("gemma-terms").expect("a row").hosted_service.clone();
    assert_eq!((hosted.counts_as_distribution, hosted.passes_terms_on), (Some(true), Some(true)));
    assert!(catalog.license("stability-community").is_some_and(|license| license.conditions.len() == 2));
}

#[test]
fn terms_that_follow_reach_a_student_whatever_its_own_tag_says() {
    // Naming is a duty of the student, not a licence that it takes on; a free teacher leaves nothing.
    for (teacher, licenses) in [
        ("gemma-3-27b-it", 2),
        ("deepseek-v3", 2),
        ("bloom", 2),
        ("deepseek-r1", 1),
        ("llama-3.3-70b-instruct", 1),
        ("llama-3-70b-instruct", 2),
    ] {
        let catalog = with(&format!(
            "models: [{{id: student, name: Student, family: acme, developer: Acme, availability: downloadable, license: mit, \
             tier: 2, parents: [{{of: {teacher}, by: distillation}}]}}]"
        ));
        assert_eq!(catalog.model("student").expect("a row").licenses().count(), licenses, "{teacher}");
    }
}

#[test]
fn what_the_map_gets_wrong_is_decided_by_what_the_vendor_says() {
    let catalog = Catalog::builtin();
    for (model, tier, licenses) in [
        ("deepseek-v3", Tier::Conditional, "deepseek-model"),
        ("deepseek-r1", Tier::Free, "mit"),
        ("deepseek-r1-distill-llama-8b", Tier::Conditional, "llama-3.1-community mit"),
        ("deepseek-r1-distill-llama-70b", Tier::Conditional, "llama-3.3-community mit"),
        ("deepseek-r1-distill-qwen-32b", Tier::Free, "mit apache-2.0"),
        ("qwen2.5-72b-instruct", Tier::Conditional, "qwen-license"),
        ("qwen2.5-3b-instruct", Tier::Research, "qwen-research"),
        ("qwen2.5-32b-instruct", Tier::Free, "apache-2.0"),
        ("gemma-3-27b-it", Tier::Conditional, "gemma-terms"),
        ("falcon-3-10b-instruct", Tier::Conditional, "tii-falcon-llm-2.0"),
        ("exaone-3.5-7.8b", Tier::NonCommercial, "exaone-1.1-nc"),
        ("evollm-jp-v1-7b", Tier::NonCommercial, "microsoft-research"),
        ("evollm-jp-a-v1-7b", Tier::Free, "apache-2.0"),
        ("tulu-3-8b", Tier::Conditional, "llama-3.1-community"),
    ] {
        let row = catalog.model(model).unwrap_or_else(|| panic!("{model}"));
        assert_eq!(row.tier, tier, "{model}");
        let all = row.licenses().collect::<Vec<_>>();
        assert!(licenses.split(' ').all(|id| all.contains(&id)), "{model}: {all:?}");
    }
}

#[test]
fn the_parents_of_a_merge_are_its_own_and_a_tier_freer_than_theirs_is_refused() {
    let catalog = Catalog::builtin();
    let parents =
        |id: &str| catalog.model(id).expect(id).parents.iter().map(|parent| parent.of.clone()).collect::<Vec<_>>();
    assert_eq!(parents("evollm-jp-v1-7b"), ["wizardmath-7b-v1.1"]);
    assert_eq!(parents("evollm-jp-a-v1-7b"), ["arithmo2-mistral-7b"]);
    // A company's merge, tagged as if it were free.
    let merge = "models: [{id: our-merge, name: Our merge, family: acme, developer: Acme, availability: downloadable, \
                 license: mit, tier: 1, parents: [{of: qwen3-8b, by: merge}, {of: wizardmath-7b-v1.1, by: merge}]}]";
    let files = [("acme.yaml".to_owned(), merge.to_owned())];
    let problems = catalog.with_overlays(&files).map(|_| ()).expect_err("a tier that is too free");
    assert_eq!(problems[0].code, "tier-too-free");
}

#[test]
fn open_weights_are_not_fully_open() {
    let openness = |id: &str| Catalog::builtin().model(id).expect(id).openness.clone();
    assert_eq!(openness("olmo-2-13b-instruct").as_deref(), Some("fully-open"));
    assert_ne!(openness("llama-3.3-70b-instruct").as_deref(), Some("fully-open"));
}

#[test]
fn an_explanation_names_clause_fact_and_what_would_change_it() {
    let catalog = Catalog::builtin();
    let use_ = Use { seat: Some("FR".to_owned()), ..Use::new(Purpose::Revenue, Exposure::Public) };
    let model = catalog.model("llama-4-scout").expect("a row");
    let today: Date = "2026-11-25".parse().expect("a date");
    let steps = explain(&catalog, model, &use_, today).steps;
    let step = |rule: &str| steps.iter().find(|step| step.rule == rule).unwrap_or_else(|| panic!("{rule}"));
    assert_eq!(step("territory-seat").fact, "the seat is `FR`");
    assert_eq!(step("territory-seat").then.as_deref(), Some("a seat outside EU"));
    assert!(
        step("attestation-missing").then.as_ref().is_some_and(|then| then.starts_with("attest `metric: monthly-users"))
    );
}
