//! What holds for every licence, every model and every use.

use std::sync::Arc;

use catalog::{Activity, Catalog, Date, Domain, Exposure, Model, Outcome, Purpose, Use, decide};
use proptest::{collection::vec, option, prelude::*, sample::select};

fn uses() -> impl Strategy<Value = Use> {
    let activity = select(vec![
        Activity::Inference,
        Activity::Evaluation,
        Activity::Agent,
        Activity::Distillation,
        Activity::TrainingData,
    ]);
    let domain = select(vec![Domain::Military, Domain::Medical, Domain::Biometrics, Domain::UndisclosedGeneration]);
    let word = |words: Vec<&'static str>| option::of(select(words).prop_map(str::to_owned));
    (
        select(Purpose::ALL.to_vec()),
        any::<bool>(),
        activity,
        vec(domain, 0..3),
        word(vec!["US", "FR", "KR", "nowhere"]),
        word(vec!["acme", "other"]),
        word(vec!["bot", "shop"]),
    )
        .prop_map(|(purpose, public, activity, domains, seat, entity, context)| {
            let exposure = if public { Exposure::Public } else { Exposure::Internal };
            Use { activity, domains, seat, entity, context, ..Use::new(purpose, exposure) }
        })
}

fn days() -> impl Strategy<Value = Date> {
    (1_700_000_000_000u64..1_900_000_000_000).prop_map(Date::of_unix_ms)
}

/// What a company may have stated, bought and excepted; all of it valid.
fn standing() -> impl Strategy<Value = String> {
    let attestation = (select(vec!["monthly-users", "yearly-revenue-usd", "monthly-revenue-usd"]), any::<bool>(), 1u64..2_000_000_000, select(vec!["", ", contexts: [bot]", ", month: '2024-06'"]))
        .prop_map(|(metric, most, figure, more)| {
            let value = if most { "at_most" } else { "more_than" };
            format!("entity: acme, metric: {metric}, {value}: {figure}{more}, signed_by: CFO, signed: 2026-01-01, valid_until: 2027-01-01")
        });
    let agreement = (select(vec!["mistral-research", "exaone-1.1-nc", "closed-api", "llama-3.3-community"]), any::<bool>())
        .prop_map(|(license, bot)| {
            let contexts = if bot { ", contexts: [bot]" } else { "" };
            format!("licenses: [{license}], entity: acme{contexts}, valid_from: 2026-01-01, valid_until: 2026-12-31, document: d")
        });
    (vec(attestation, 0..4), vec(agreement, 0..3)).prop_map(|(attestations, agreements)| {
        let rows = |rows: Vec<String>, letter: &str| {
            rows.iter().enumerate().map(|(n, row)| format!("  - {{id: {letter}{n}, {row}}}\n")).collect::<String>()
        };
        let (attestations, agreements) = (rows(attestations, "a"), rows(agreements, "b"));
        let list = |key: &str, rows: String| if rows.is_empty() { String::new() } else { format!("{key}:\n{rows}") };
        list("attestations", attestations) + &list("agreements", agreements)
    })
}

fn with(text: &str) -> Arc<Catalog> {
    Arc::new(
        Catalog::builtin()
            .with_overlays(&[("acme.yaml".to_owned(), text.to_owned())])
            .unwrap_or_else(|p| panic!("{p:?}\n{text}")),
    )
}

fn any_model() -> impl Strategy<Value = Model> {
    let models: Vec<Model> = Catalog::builtin().models().cloned().collect();
    select(models)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_further_licence_never_turns_a_refusal_into_an_allowance(
        text in standing(), model in any_model(), further in 0usize..1000, use_ in uses(), day in days(),
    ) {
        let catalog = with(&text);
        let licenses: Vec<_> = catalog.licenses().map(|license| license.id.clone()).collect();
        let before = decide(&catalog, &model, &use_, day);
        let mut stricter = model.clone();
        stricter.also_licenses.push(licenses[further % licenses.len()].clone());
        let after = decide(&catalog, &stricter, &use_, day);
        prop_assert!(before.outcome.allows() || !after.outcome.allows(), "{before:?}\n{after:?}");
        prop_assert!(after.outcome >= before.outcome || before.outcome == Outcome::Warn);
    }

    #[test]
    fn a_further_parent_never_turns_a_refusal_into_an_allowance(
        text in standing(), model in any_model(), parent in any_model(), use_ in uses(), day in days(),
    ) {
        let catalog = with(&text);
        let before = decide(&catalog, &model, &use_, day);
        let mut child = model.clone();
        child.parents.push(catalog::Parent { of: parent.id.clone(), by: catalog::Derivation::Merge });
        let after = decide(&catalog, &child, &use_, day);
        prop_assert!(before.outcome.allows() || !after.outcome.allows(), "{before:?}\n{after:?}");
    }

    #[test]
    fn what_is_not_known_never_allows(text in standing(), model in any_model(), use_ in uses(), day in days()) {
        let catalog = with(&text);
        let mut unknown = model.clone();
        unknown.also_licenses.push("a-licence-of-nobody".to_owned());
        prop_assert!(!decide(&catalog, &unknown, &use_, day).outcome.allows());
        let mut orphan = model;
        orphan.parents.push(catalog::Parent { of: "unknown".to_owned(), by: catalog::Derivation::Distillation });
        prop_assert!(!decide(&catalog, &orphan, &use_, day).outcome.allows());
    }

    #[test]
    fn the_order_of_licences_and_parents_changes_no_outcome(
        text in standing(), model in any_model(), others in vec(any_model(), 0..4), use_ in uses(), day in days(),
    ) {
        let catalog = with(&text);
        let mut forward = model;
        forward.parents = others.iter().map(|row| catalog::Parent { of: row.id.clone(), by: catalog::Derivation::FineTune }).collect();
        let mut backward = forward.clone();
        backward.parents.reverse();
        let mut all: Vec<_> = std::iter::once(forward.license.clone()).chain(forward.also_licenses.clone()).collect();
        all.reverse();
        backward.license = all.remove(0);
        backward.also_licenses = all;
        let (a, b) = (decide(&catalog, &forward, &use_, day), decide(&catalog, &backward, &use_, day));
        prop_assert_eq!((a.outcome, a.tier, a.valid_until), (b.outcome, b.tier, b.valid_until));
        let sorted = |duties: &[Arc<str>]| { let mut duties = duties.to_vec(); duties.sort(); duties };
        prop_assert_eq!(sorted(&a.obligations), sorted(&b.obligations));
    }

    #[test]
    fn what_is_looked_up_is_what_is_worked_out(text in standing(), uses in vec((uses(), days()), 1..6)) {
        let catalog = with(&text);
        for (use_, day) in &uses {
            let class = catalog.class(use_, *day);
            for model in catalog.models() {
                prop_assert_eq!(&*class.decision(&catalog, model), &decide(&catalog, model, use_, *day));
            }
        }
    }

    #[test]
    fn an_allowance_holds_until_the_day_it_names_and_rests_on_nothing_that_is_over(
        text in standing(), model in any_model(), use_ in uses(), day in days(),
    ) {
        let catalog = with(&text);
        let decision = decide(&catalog, &model, &use_, day);
        prop_assert_eq!(decision.rests_on.is_empty(), decision.valid_until.is_none());
        if let Some(until) = decision.valid_until {
            prop_assert!(until >= day && decision.outcome.allows());
            prop_assert!(decide(&catalog, &model, &use_, until).outcome.allows());
        }
        prop_assert_eq!(decision.missing.is_empty(), decision.outcome != Outcome::RequireAttestation);
    }
}
