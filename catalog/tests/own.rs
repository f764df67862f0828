//! What a company adds of its own: rules that hold back, clarifications of weights, and data that models were trained on.

use std::sync::Arc;

use catalog::{
    Catalog, Class, Date, Decision, Exposure, Outcome, Problem, Purpose, RuleSpoke, StepOutcome, Use, Weights, decide,
    explain,
};

const TODAY: &str = "2026-11-25";

fn date(text: &str) -> Date {
    text.parse().expect("a date")
}

fn load(file: &str) -> Result<Catalog, Vec<Problem>> {
    Catalog::builtin().with_overlays(&[("acme.yaml".to_owned(), file.to_owned())])
}

fn with(file: &str) -> Catalog {
    load(file).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn codes(file: &str) -> Vec<&'static str> {
    load(file).map(|_| Vec::new()).unwrap_or_else(|problems| problems.iter().map(|problem| problem.code).collect())
}

fn use_(purpose: Purpose) -> Use {
    Use {
        seat: Some("DE".to_owned()),
        entity: Some("acme".to_owned()),
        context: Some("bot".to_owned()),
        ..Use::new(purpose, Exposure::Internal)
    }
}

/// The decision, by every way to it.
fn comes_to(catalog: &Catalog, model: &str, use_: &Use) -> Decision {
    comes_to_on(catalog, model, use_, TODAY)
}

fn comes_to_on(catalog: &Catalog, model: &str, use_: &Use, day: &str) -> Decision {
    let row = catalog.model(model).expect("a row");
    let decision = decide(catalog, row, use_, date(day));
    assert_eq!(*class(catalog, use_, day).decision(catalog, row), decision, "looked up");
    assert_eq!(explain(catalog, row, use_, date(day)).decision, decision, "explained");
    decision
}

fn class(catalog: &Catalog, use_: &Use, day: &str) -> Arc<Class> {
    catalog.class(use_, date(day))
}

fn spoke(decision: &Decision) -> Vec<(&str, Outcome, bool)> {
    decision.company_rules.iter().map(|RuleSpoke { rule, outcome, enforced }| (&**rule, *outcome, *enforced)).collect()
}

// ---- Rules ---------------------------------------------------------------------------------------------------------

const MRL: &str = "rules:
  - {id: mrl-no-business-use, match: {licenses: [mistral-research]}, unless: {purposes: [research]}, then: route,
     to: [qwen3-32b, phi-4], reason: employees' daily tasks are no research}
";

#[test]
fn a_rule_of_route_turns_a_refusal_into_the_models_to_ask_instead() {
    let catalog = with(MRL);
    let decision = comes_to(&catalog, "mistral-large-2", &use_(Purpose::Internal));
    assert_eq!(
        (decision.outcome, decision.rule),
        (Outcome::Route, "tier3-commercial"),
        "the licence refuses by itself"
    );
    assert!(!decision.outcome.allows());
    assert_eq!(decision.alternatives.iter().map(|id| &**id).collect::<Vec<_>>(), ["qwen3-32b", "phi-4"]);
    assert!(decision.reason.ends_with("the company's rules ask `qwen3-32b`, `phi-4` instead"));
    let research = comes_to(&catalog, "mistral-large-2", &use_(Purpose::Research));
    assert_eq!((research.outcome, research.company_rules.len()), (Outcome::AllowWithObligations, 0));
    // An agreement stands in for the licence and not for what the company forbids itself.
    let bought = with(&format!(
        "{MRL}agreements: [{{id: m-17, licenses: [mistral-research], entity: acme, valid_from: 2026-01-01, valid_until: \
         2027-12-31, document: d}}]"
    ));
    let decision = comes_to(&bought, "mistral-large-2", &use_(Purpose::Internal));
    assert_eq!((decision.outcome, decision.rule), (Outcome::Route, "company-rule"));
}

#[test]
fn a_rule_that_denies_outweighs_one_that_routes_and_no_rule_allows_anything() {
    let file = format!(
        "{MRL}  - {{id: no-mistral, match: {{developers: [Mistral AI]}}, when: {{seats: [EU]}}, then: deny, reason: no}}\n"
    );
    let catalog = with(&file);
    let decision = comes_to(&catalog, "mistral-large-2", &use_(Purpose::Internal));
    assert_eq!((decision.outcome, decision.rule), (Outcome::Deny, "tier3-commercial"));
    assert!(decision.alternatives.is_empty());
    let research = comes_to(&catalog, "mistral-large-2", &use_(Purpose::Research));
    assert_eq!((research.outcome, research.rule), (Outcome::Deny, "company-rule"));
    assert!(
        research.reason.contains("the company's rule `no-mistral` forbids `mistral-large-2`"),
        "{}",
        research.reason
    );
    let abroad = Use { seat: Some("US".to_owned()), ..use_(Purpose::Research) };
    assert!(comes_to(&catalog, "mistral-large-2", &abroad).outcome.allows());
    let nowhere = Use { seat: None, ..use_(Purpose::Research) };
    assert_eq!(comes_to(&catalog, "mistral-large-2", &nowhere).outcome, Outcome::Deny, "nobody could tell the seat");
    // Whatever a rule says, a decision is no freer than without it.
    let today = date(TODAY);
    for then in ["warn", "route, to: [phi-4]", "deny"] {
        for mode in ["enforce", "shadow"] {
            let ruled = with(&format!("rules: [{{id: all, then: {then}, mode: {mode}, reason: r}}]"));
            for purpose in Purpose::ALL {
                let use_ = use_(purpose);
                for model in Catalog::builtin().models() {
                    let before = decide(&Catalog::builtin(), model, &use_, today);
                    let after = decide(&ruled, ruled.model(&model.id).expect("a row"), &use_, today);
                    assert!(!after.outcome.allows() || before.outcome.allows(), "{then} {mode} {}", model.id);
                    if mode == "shadow" {
                        assert_eq!((after.outcome, after.rule), (before.outcome, before.rule), "{}", model.id);
                    }
                }
            }
        }
    }
}

#[test]
fn a_rule_in_shadow_decides_nothing_and_both_verdicts_are_there() {
    let catalog =
        with("rules: [{id: trial, match: {families: [qwen3]}, then: deny, mode: shadow, reason: to see who is hit}]");
    let decision = comes_to(&catalog, "qwen3-32b", &use_(Purpose::Revenue));
    assert_eq!((decision.outcome, decision.rule), (Outcome::Allow, "tier1-free"));
    assert_eq!(spoke(&decision), [("trial", Outcome::Deny, false)]);
    let steps =
        explain(&catalog, catalog.model("qwen3-32b").expect("a row"), &use_(Purpose::Revenue), date(TODAY)).steps;
    let step = steps.iter().find(|step| step.rule == "company-rule").expect("a step");
    assert_eq!(step.outcome, StepOutcome::Shadow);
}

#[test]
fn a_waiver_lifts_the_companys_own_rule_and_is_seen() {
    let catalog = with(
        "rules: [{id: no-public-phi, match: {models: [phi-4]}, then: deny, reason: not reviewed}]
waivers: [{id: w-1, rules: [no-public-phi], models: [phi-4], contexts: [bot], reason: a trial, requested_by: Ann,
           approved_by: [Bob], created: 2026-11-01, expires: 2026-12-31}]",
    );
    let decision = comes_to(&catalog, "phi-4", &use_(Purpose::Revenue));
    assert_eq!(decision.outcome, Outcome::Warn);
    assert_eq!(spoke(&decision), [("no-public-phi", Outcome::Deny, false)]);
    assert_eq!(decision.rests_on.iter().map(|id| &**id).collect::<Vec<_>>(), ["w-1"]);
    let over = comes_to_on(&catalog, "phi-4", &use_(Purpose::Revenue), "2027-01-01");
    assert_eq!((over.outcome, over.rule), (Outcome::Deny, "company-rule"));
    let other = Use { context: Some("shop".to_owned()), ..use_(Purpose::Revenue) };
    assert_eq!(comes_to(&catalog, "phi-4", &other).outcome, Outcome::Deny);
}

#[test]
fn a_waiver_that_is_taken_back_lifts_nothing_from_that_day_on() {
    let waived = |rest: &str| {
        with(&format!(
            "waivers: [{{id: w-1, rules: [tier3-commercial], models: [mistral-large-2], contexts: [bot], reason: a trial, \
             requested_by: Ann, approved_by: [Bob, Cy], created: 2026-11-01, expires: 2026-12-31{rest}}}]"
        ))
    };
    let catalog = waived(", revoked: 2026-12-10");
    let on = |catalog: &Catalog, day: &str| comes_to_on(catalog, "mistral-large-2", &use_(Purpose::Internal), day);
    let last = on(&catalog, "2026-12-09");
    assert_eq!(
        (last.outcome, last.valid_until),
        (Outcome::Warn, Some(date("2026-12-09"))),
        "it ends when it was taken back"
    );
    assert!(last.findings.iter().any(|text| text.contains("waived by Bob and Cy until 2026-12-09")));
    assert_eq!(on(&catalog, "2026-12-10").rule, "tier3-commercial");
    // Taken back on its first day, it never lifted anything; after its last, it changes nothing.
    assert_eq!(on(&waived(", revoked: 2026-11-01"), "2026-11-01").rule, "tier3-commercial");
    assert_eq!(on(&waived(", revoked: 2027-02-01"), "2026-12-31"), on(&waived(""), "2026-12-31"));
}

#[test]
fn a_rule_about_the_people_that_a_use_is_offered_to_tells_uses_apart() {
    let catalog = with("rules: [{id: not-there, when: {end_users: [CN]}, then: deny, reason: export control}]");
    let offered = |countries: &[&str]| {
        let end_users = countries.iter().map(|country| (*country).to_owned()).collect();
        comes_to(&catalog, "qwen3-32b", &Use { end_users, ..use_(Purpose::Revenue) }).outcome
    };
    assert_eq!(offered(&["DE", "FR"]), Outcome::Allow);
    assert_eq!(offered(&["DE", "CN"]), Outcome::Deny);
    assert_eq!(offered(&[]), Outcome::Deny, "nobody said where");
    let unless = with("rules: [{id: eu-only, unless: {end_users: [EU]}, then: deny, reason: residency}]");
    let offered = |countries: &[&str]| {
        let end_users = countries.iter().map(|country| (*country).to_owned()).collect();
        comes_to(&unless, "qwen3-32b", &Use { end_users, ..use_(Purpose::Revenue) }).outcome
    };
    assert_eq!(
        [offered(&["DE", "FR"]), offered(&["DE", "US"]), offered(&[])],
        [Outcome::Allow, Outcome::Deny, Outcome::Deny]
    );
}

#[test]
fn what_is_wrong_with_a_rule_is_said() {
    let rule = |rest: &str| codes(&format!("rules: [{{id: r, reason: why, {rest}}}]"));
    assert!(rule("match: {models: [phi-4]}, then: deny").is_empty());
    assert_eq!(rule("match: {models: [phi-44]}, then: deny"), ["unknown-model"]);
    assert_eq!(rule("match: {licenses: [mitt]}, then: deny"), ["unknown-license"]);
    assert_eq!(rule("match: {families: [qwen33]}, then: deny"), ["unknown-name"]);
    assert_eq!(rule("then: route"), ["missing-key"]);
    assert_eq!(rule("then: route, to: [phi-44]"), ["unknown-model"]);
    assert_eq!(rule("then: deny, to: [phi-4]"), ["misplaced-key"]);
    assert_eq!(rule("then: deny, when: {seats: [UK]}"), ["bad-country"]);
    assert_eq!(rule("then: deny, unless: {}"), ["empty-list"]);
    assert_eq!(rule("then: allow"), ["catalog-syntax"]);
    assert_eq!(codes("rules: [{id: tier1-free, then: deny, reason: why}]"), ["duplicate-id"]);
    assert_eq!(codes("rules: [{id: a, then: deny, reason: ''}]"), ["empty-text"]);
}

// ---- Clarifications ------------------------------------------------------------------------------------------------

const WEIGHTS: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const LICENSE: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn clarified(license: &str) -> String {
    format!(
        "models: [{{id: odd-7b, name: Odd, family: odd, developer: Odd, availability: downloadable, license: unknown, tier: 5}}]
clarifications: [{{id: cl-7, model: odd-7b, licenses: [{license}], weights: ['{WEIGHTS}'], files: {{LICENSE: '{LICENSE}'}},
                 reason: the LICENSE file of the release is the text of MIT, signed_by: Jane Roe, signed: 2026-02-01,
                 valid_until: 2027-06-30}}]"
    )
}

fn weights(sha256: &str, license: Option<&str>) -> Weights {
    let beside = license.map(|digest| ("LICENSE".to_owned(), digest.to_owned())).into_iter().collect();
    Weights { sha256: sha256.to_owned(), beside }
}

#[test]
fn a_clarification_holds_for_the_weights_and_files_that_it_speaks_of_and_for_its_time() {
    let catalog = with(&clarified("mit"));
    let use_ = use_(Purpose::Revenue);
    let from = |weights: Option<&Weights>, day: &str| {
        let row = catalog.served_from("odd-7b", weights).expect("a row");
        let decision = decide(&catalog, row, &use_, date(day));
        assert_eq!(*class(&catalog, &use_, day).decision(&catalog, row), decision, "looked up");
        decision
    };
    let right = weights(WEIGHTS, Some(LICENSE));
    let decision = from(Some(&right), TODAY);
    assert_eq!((decision.outcome, &*decision.license), (Outcome::Allow, "mit"));
    assert_eq!(decision.rests_on.iter().map(|id| &**id).collect::<Vec<_>>(), ["cl-7"]);
    assert_eq!(decision.valid_until, Some(date("2027-06-30")));
    for (other, why) in [
        (weights(LICENSE, Some(LICENSE)), "other weights"),
        (weights(WEIGHTS, Some(WEIGHTS)), "another text of the licence"),
        (weights(WEIGHTS, None), "no text of the licence"),
    ] {
        let decision = from(Some(&other), TODAY);
        assert_eq!((decision.outcome, decision.rule), (Outcome::Deny, "weights-not-clarified"), "{why}");
        assert!(decision.reason.contains("`cl-7`"), "{}", decision.reason);
    }
    assert_eq!(from(Some(&right), "2027-07-01").rule, "clarification-over");
    assert_eq!(from(Some(&right), "2026-01-31").rule, "clarification-over");
    // A host tells no digest, so the catalog's row decides.
    assert_eq!(from(None, TODAY).rule, "license-unknown");
    assert_eq!(catalog.looks_at_weights("odd-7b"), Some(vec!["LICENSE"]));
    assert_eq!(catalog.looks_at_weights("phi-4"), None);
}

#[test]
fn a_clarification_takes_the_place_of_what_a_row_says_and_a_contradiction_is_a_finding() {
    let file = |license: &str| {
        clarified(license).replace("model: odd-7b", "model: qwen3-8b").replace(", files: {LICENSE", ", files: {COPYING")
    };
    let decision = |license: &str| {
        let catalog = with(&file(license));
        let looked_at =
            Weights { sha256: WEIGHTS.to_uppercase(), beside: [("COPYING".to_owned(), LICENSE.to_owned())].into() };
        let row = catalog.served_from("qwen3-8b", Some(&looked_at)).expect("a row");
        decide(&catalog, row, &use_(Purpose::Revenue), date(TODAY))
    };
    assert_eq!(decision("mit").outcome, Outcome::Allow);
    let strict = decision("cc-by-nc-4.0");
    assert_eq!((strict.outcome, strict.rule), (Outcome::Deny, "tier4-commercial"));
    let other = decision("gemma-terms");
    assert_eq!(other.outcome, Outcome::Warn);
    assert!(other.findings[0].contains("`cl-7` of Jane Roe puts these weights in tier 2"), "{:?}", other.findings);
}

#[test]
fn what_is_wrong_with_a_clarification_is_said() {
    let of = |from: &str, to: &str| codes(&clarified("mit").replace(from, to));
    assert!(of("", "").is_empty());
    assert_eq!(of("model: odd-7b", "model: odd-7c"), ["unknown-model"]);
    assert_eq!(of("licenses: [mit]", "licenses: [mitt]"), ["unknown-license"]);
    assert_eq!(of("licenses: [mit]", "licenses: []"), ["empty-list"]);
    assert_eq!(of(&format!("weights: ['{WEIGHTS}']"), "weights: ['sha256:00']"), ["bad-digest"]);
    assert_eq!(of("{LICENSE: ", "{../LICENSE: "), ["bad-file-name"]);
    assert_eq!(of("signed_by: Jane Roe", "signed_by: ''"), ["empty-text"]);
    assert_eq!(of("valid_until: 2027-06-30", "valid_until: 2025-06-30"), ["ends-before-it-begins"]);
}

// ---- Data ----------------------------------------------------------------------------------------------------------

fn trained_on(license: &str, tier: u8) -> String {
    format!(
        "models:
  - {{id: chats, name: Chats, family: chats, developer: Odd, kind: dataset, availability: project, license: {license}, tier: {tier}}}
  - {{id: ours, name: Ours, family: ours, developer: Acme, availability: downloadable, license: apache-2.0, tier: 1,
     parents: [{{of: qwen3-8b, by: fine-tune}}, {{of: chats, by: trained-on}}]}}
  - {{id: ours-2, name: Ours 2, family: ours, developer: Acme, availability: downloadable, license: apache-2.0, tier: 1,
     parents: [{{of: ours, by: fine-tune}}]}}
"
    )
}

#[test]
fn data_that_a_model_was_trained_on_binds_nobody_and_is_a_finding_where_it_would_not_allow_the_use() {
    let found = |license: &str, tier: u8, purpose: Purpose| {
        let decision = comes_to(&with(&trained_on(license, tier)), "ours", &use_(purpose));
        (decision.outcome, decision.findings.first().map(|text| text.to_string()).unwrap_or_default())
    };
    assert_eq!(found("apache-2.0", 1, Purpose::Revenue).0, Outcome::Allow);
    let (outcome, finding) = found("cc-by-nc-4.0", 4, Purpose::Revenue);
    assert_eq!(outcome, Outcome::Warn);
    assert!(finding.starts_with("`ours` was trained on `chats`, which is under the"), "{finding}");
    assert_eq!(found("cc-by-nc-4.0", 4, Purpose::Research).0, Outcome::Allow);
    let (outcome, finding) = found("unknown", 5, Purpose::Revenue);
    assert_eq!(
        (outcome, finding.as_str()),
        (Outcome::Warn, "`ours` was trained on `chats`, whose licence is not known")
    );
}

#[test]
fn a_rule_may_block_what_was_trained_on_some_data_through_all_that_was_made_from_it() {
    let rule = "rules: [{id: no-chats, match: {trained_on: [chats]}, then: deny, reason: people did not agree}]\n";
    let catalog = with(&(trained_on("cc-by-nc-4.0", 4) + rule));
    for model in ["ours", "ours-2"] {
        assert_eq!(comes_to(&catalog, model, &use_(Purpose::Research)).rule, "company-rule", "{model}");
    }
    assert!(comes_to(&catalog, "qwen3-8b", &use_(Purpose::Research)).outcome.allows());
}
