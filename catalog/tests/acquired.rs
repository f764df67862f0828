//! What changes when another company joins an entity.

use catalog::{Affiliate, Catalog, Change, Date, Exposure, Metric, Outcome, Purpose, Use, acquired};
use proptest::prelude::*;

const LLAMA: &str = "llama-3.3-70b-instruct";

fn today() -> Date {
    "2026-11-25".parse().expect("a date")
}

fn with(file: &str) -> Catalog {
    let files = [("acme.yaml".to_owned(), file.to_owned())];
    Catalog::builtin().with_overlays(&files).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A company of 600 million users that uses models in a product of few.
fn acme(rest: &str) -> Catalog {
    with(&format!(
        "attestations:
  - {{id: users, entity: acme, metric: monthly-users, at_most: 600000000, signed_by: CFO, signed: 2026-01-01, valid_until: 2027-12-31}}
  - {{id: few, entity: acme, contexts: [bot], metric: monthly-users, at_most: 1000, signed_by: CFO, signed: 2026-01-01, valid_until: 2027-12-31}}
  - {{id: revenue, entity: acme, metric: yearly-revenue-usd, at_most: 999999, signed_by: CFO, signed: 2026-01-01, valid_until: 2027-12-31}}
{rest}"
    ))
}

fn bot() -> Use {
    Use {
        seat: Some("US".to_owned()),
        entity: Some("acme".to_owned()),
        context: Some("bot".to_owned()),
        ..Use::new(Purpose::Revenue, Exposure::Public)
    }
}

fn changes(catalog: &Catalog, figures: &[(Metric, u64)], seat: Option<&str>, models: &[&str]) -> Vec<Change> {
    let affiliate = Affiliate { entity: "acme", figures, seat };
    acquired(catalog, &[("bot", &bot())], &affiliate, today(), models.iter().copied())
}

#[test]
fn a_bound_that_the_affiliates_users_pass_no_longer_answers_for_the_group() {
    let catalog = acme("");
    assert_eq!(changes(&catalog, &[(Metric::MonthlyUsers, 100_000_000)], None, &[LLAMA]), [], "700 million are within");
    let found = changes(&catalog, &[(Metric::MonthlyUsers, 100_000_001)], None, &[LLAMA]);
    let [change] = &found[..] else { panic!("{found:?}") };
    assert_eq!((change.before, change.after), (Outcome::AllowWithObligations, Outcome::RequireAttestation));
    assert_eq!((&*change.context, &*change.model, &*change.license), ("bot", LLAMA, "llama-3.3-community"));
    assert!(change.condition.contains("700 million"), "{change:?}");
    assert!(
        change.reason.starts_with(
            "`users` of CFO answers for the entity alone, and with the affiliate monthly-users may be 700000001: \
             `llama-3.3-70b-instruct` is under"
        ),
        "{change:?}"
    );
}

#[test]
fn a_figure_that_nobody_states_of_the_affiliate_counts_as_not_given() {
    let found = changes(&acme(""), &[(Metric::YearlyRevenueUsd, 0)], None, &[LLAMA, "no-such-model", "qwen3-32b"]);
    let [change] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&*change.model, change.after), (LLAMA, Outcome::RequireAttestation));
    assert!(change.reason.contains("nobody states monthly-users of the affiliate"), "{change:?}");
}

#[test]
fn what_is_asked_of_the_product_or_of_the_licensee_alone_does_not_change() {
    let catalog = acme("");
    // Qwen asks the product, Kanana the licensee; only Stability asks the group for its revenue.
    let models = ["qwen2.5-72b-instruct", "kimi-k2-instruct", "kanana-1.5-15.7b-a3b"];
    assert_eq!(changes(&catalog, &[], None, &models), []);
    let other = Affiliate { entity: "other", figures: &[], seat: None };
    assert_eq!(acquired(&catalog, &[("bot", &bot())], &other, today(), [LLAMA]), [], "another entity");
}

#[test]
fn an_agreement_and_a_word_that_refuses_stand_with_an_affiliate_too() {
    let bought = "agreements: [{id: a, licenses: [llama-3.3-community], entity: acme, valid_from: 2026-01-01, valid_until: \
                  2027-12-31, document: d}]\n";
    assert_eq!(changes(&acme(bought), &[], None, &[LLAMA]), []);
    let large = with(
        "attestations: [{id: many, entity: acme, metric: monthly-users, more_than: 800000000, signed_by: CFO, signed: \
         2026-01-01, valid_until: 2027-12-31}]",
    );
    assert_eq!(changes(&large, &[], None, &[LLAMA]), [], "refused before, for the same reason after");
}

#[test]
fn a_question_of_the_group_that_was_answered_before_has_to_be_answered_again() {
    let catalog = with(
        "licenses:
  - {id: rivals, name: Rivals, tier: 2, allows: [revenue, internal, research, personal], text: full,
     conditions: [{metric: competes-with-licensor, scope: group, answer: 'no', applies: business, text: no rivals}]}
models:
  - {id: r-1, name: R, family: r, developer: R, availability: downloadable, license: rivals, tier: 2}
attestations:
  - {id: no-rival, entity: acme, metric: competes-with-licensor, licenses: [rivals], answer: 'no', signed_by: GC, signed: 2026-01-01, valid_until: 2027-12-31}
",
    );
    let found = changes(&catalog, &[(Metric::CompetesWithLicensor, 1)], None, &["r-1"]);
    let [change] = &found[..] else { panic!("{found:?}") };
    assert_eq!((change.before, change.after), (Outcome::Allow, Outcome::RequireAttestation));
    assert!(change.reason.contains("nobody answers for the affiliate"), "{change:?}");
}

#[test]
fn the_affiliates_own_use_is_decided_by_its_seat() {
    let catalog = acme("");
    let few = [(Metric::MonthlyUsers, 1)];
    let found = changes(&catalog, &few, Some("FR"), &["llama-4-scout", LLAMA]);
    let [change] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (change.seat.as_deref(), &*change.license, change.after),
        (Some("FR"), "llama-4-community", Outcome::Deny)
    );
    assert!(change.before.allows() && change.reason.contains("the seat is `FR`"), "{change:?}");
    assert_eq!(changes(&catalog, &few, Some("CA"), &["llama-4-scout", LLAMA]), []);
}

#[test]
fn a_duty_that_takes_the_place_of_a_condition_is_a_change_although_the_model_may_serve() {
    let catalog = with(
        "licenses:
  - {id: shown, name: Shown, tier: 2, allows: [revenue, internal, research, personal], text: full,
     conditions: [{metric: monthly-users, scope: group, at_most: 1000, applies: business, else_owes: show \"X\", text: few}]}
models:
  - {id: s-1, name: S, family: s, developer: S, availability: downloadable, license: shown, tier: 2}
attestations:
  - {id: few, entity: acme, metric: monthly-users, at_most: 999, signed_by: CFO, signed: 2026-01-01, valid_until: 2027-12-31}
",
    );
    let found = changes(&catalog, &[(Metric::MonthlyUsers, 2)], None, &["s-1"]);
    let [change] = &found[..] else { panic!("{found:?}") };
    assert_eq!((change.before, change.after), (Outcome::Allow, Outcome::AllowWithObligations));
    assert!(change.reason.ends_with("so the use owes: show \"X\""), "{change:?}");
}

proptest! {
    #[test]
    fn an_affiliate_never_makes_a_refused_use_an_allowed_one(
        bound in 1u64..2_000_000_000, figure in proptest::option::of(any::<u64>()), more in any::<bool>(),
    ) {
        let value = if more { "more_than" } else { "at_most" };
        let catalog = with(&format!(
            "attestations: [{{id: users, entity: acme, metric: monthly-users, {value}: {bound}, signed_by: CFO, signed: \
             2026-01-01, valid_until: 2027-12-31}}]"
        ));
        let figures: Vec<_> = figure.map(|figure| (Metric::MonthlyUsers, figure)).into_iter().collect();
        let models: Vec<_> = catalog.models().map(|model| model.id.as_str()).collect();
        for change in changes(&catalog, &figures, None, &models) {
            prop_assert!(change.before.allows() || !change.after.allows(), "{change:?}");
        }
    }
}
