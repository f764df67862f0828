//! What a use owes, what brings it about, and whether somebody has seen it met.

use std::sync::Arc;

use catalog::{
    Activity, Applies, Catalog, Date, Duty, DutyState, Exposure, ObligationKind, PageCheck, PageChecks, PageResult,
    Problem, Purpose, Use, decide, duties, duties_checked,
};

const TODAY: &str = "2026-11-25";

fn date(text: &str) -> Date {
    text.parse().expect("a date")
}

fn load(file: &str) -> Result<Catalog, Vec<Problem>> {
    Catalog::builtin().with_overlays(&[("acme.yaml".to_owned(), file.to_owned())])
}

/// The catalog of a company that answers for its figures, with these rows besides.
fn with(file: &str) -> Catalog {
    let figures = ["monthly-users", "yearly-revenue-usd"].map(|metric| {
        format!(
            "  - {{id: {metric}, entity: acme, metric: {metric}, at_most: 1000, signed_by: CFO, signed: 2026-01-01, \
             valid_until: 2027-12-31}}\n"
        )
    });
    load(&format!("attestations:\n{}{file}", figures.concat())).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn public() -> Use {
    Use {
        seat: Some("US".to_owned()),
        entity: Some("acme".to_owned()),
        context: Some("bot".to_owned()),
        ..Use::new(Purpose::Revenue, Exposure::Public)
    }
}

fn of(catalog: &Catalog, model: &str, use_: &Use, day: &str) -> Vec<Duty> {
    duties(catalog, catalog.model(model).expect("a row"), use_, date(day))
}

fn evidence(rest: &str) -> String {
    format!(
        "evidence:\n  - {{id: e-1, context: bot, license: llama-3.3-community, kind: display, checked: 2026-10-01, \
         checked_by: a check, valid_until: 2026-12-31{rest}}}\n"
    )
}

fn display(duties: &[Duty]) -> &DutyState {
    &duties.iter().find(|duty| duty.kind == ObligationKind::Display).expect("a text to show").state
}

#[test]
fn the_duties_of_a_use_are_those_that_its_decision_lists_for_every_model_and_use() {
    let agreement = "agreements: [{id: m-17, licenses: [mistral-research, llama-3.3-community], entity: acme, valid_from: \
                     2026-01-01, valid_until: 2027-12-31, document: d, obligations: [report seats, show our name]}]\n";
    for catalog in [Arc::new(with("")), Arc::new(with(agreement)), Catalog::with_assumptions()] {
        let uses = Purpose::ALL.into_iter().flat_map(|purpose| Exposure::ALL.map(|exposure| (purpose, exposure)));
        let uses: Vec<_> = uses
            .flat_map(|(purpose, exposure)| {
                Activity::ALL.map(|activity| Use { purpose, exposure, activity, ..public() })
            })
            .collect();
        let mut listed = 0;
        for (use_, model) in uses.iter().flat_map(|use_| catalog.models().map(move |model| (use_, model))) {
            let decision = decide(&catalog, model, use_, date(TODAY));
            let duties = duties(&catalog, model, use_, date(TODAY));
            let texts: Vec<_> = duties.iter().map(|duty| Arc::clone(&duty.obligation)).collect();
            assert_eq!(texts, *decision.obligations, "{} {use_:?}", model.id);
            assert!(duties.iter().all(|duty| duty.obligation.ends_with(&duty.text) && !duty.trigger.is_empty()));
            listed += texts.len();
        }
        assert!(listed > 1_000);
    }
}

#[test]
fn a_duty_says_what_brings_it_about() {
    let catalog = with("");
    let llama = of(&catalog, "llama-3.3-70b-instruct", &public(), TODAY);
    let shown = llama.iter().find(|duty| duty.kind == ObligationKind::Display).expect("a text to show");
    assert_eq!((shown.applies, &*shown.license), (Applies::Service, "llama-3.3-community"));
    assert_eq!(shown.trigger, "people outside the company see what the model writes");
    // The users are attested and the revenue of a month is not, so the duty of that condition is owed.
    let kimi = of(&catalog, "kimi-k2-instruct", &public(), TODAY);
    let owed: Vec<_> = kimi.iter().filter(|duty| duty.kind == ObligationKind::Other).collect();
    let [owed] = owed[..] else { panic!("{kimi:?}") };
    assert!(owed.text.contains("\"Kimi K2\"") && owed.trigger.ends_with("; nobody answers for it"), "{owed:?}");
    let trained = Use { activity: Activity::Distillation, ..public() };
    let llama = of(&catalog, "llama-3.3-70b-instruct", &trained, TODAY);
    assert!(llama.iter().any(|duty| duty.trigger.ends_with("the activity is distillation")), "{llama:?}");
    let bought = with(
        "agreements: [{id: m-17, licenses: [mistral-research], entity: acme, valid_from: 2026-01-01, valid_until: \
         2027-12-31, document: d, obligations: [report seats]}]",
    );
    let duties = of(&bought, "mistral-large-2", &public(), TODAY);
    let [duty] = &duties[..] else { panic!("{duties:?}") };
    assert_eq!(
        (duty.agreement.as_deref(), &*duty.license, &*duty.text),
        (Some("m-17"), "mistral-research", "report seats")
    );
    assert!(of(&with(""), "mistral-large-2", &public(), TODAY).is_empty(), "what is refused owes nothing");
}

#[test]
fn evidence_meets_a_duty_of_its_context_licence_and_models_for_its_time() {
    let llama = "llama-3.3-70b-instruct";
    let catalog = with(&evidence(""));
    let on = |catalog: &Catalog, day: &str| display(&of(catalog, llama, &public(), day)).clone();
    let met = DutyState::Met { evidence: vec!["e-1".to_owned()] };
    assert_eq!(on(&catalog, "2026-10-01"), met, "on the day of the check");
    assert_eq!(on(&catalog, "2026-12-31"), met, "on its last day");
    assert_eq!(
        on(&catalog, "2027-01-01"),
        DutyState::Stale { evidence: vec!["e-1".to_owned()], since: date("2027-01-01") }
    );
    assert_eq!(on(&catalog, "2026-09-30"), DutyState::Missing, "what was not looked at yet");
    let elsewhere = Use { context: Some("shop".to_owned()), ..public() };
    assert_eq!(*display(&of(&catalog, llama, &elsewhere, TODAY)), DutyState::Missing);
    let nowhere = Use { context: None, ..public() };
    assert_eq!(*display(&of(&catalog, llama, &nowhere, TODAY)), DutyState::Missing);
    assert_eq!(on(&with(&evidence(", models: [llama-3.1-8b-instruct]")), TODAY), DutyState::Missing);
    assert_eq!(on(&with(&evidence(&format!(", models: [{llama}]"))), TODAY), met);
    // Other duties of the licence are not met by it.
    let others = of(&catalog, llama, &public(), TODAY);
    assert!(
        others.iter().filter(|duty| duty.kind != ObligationKind::Display).all(|duty| duty.state == DutyState::Missing)
    );
    assert_eq!(
        decide(&catalog, catalog.model(llama).expect("a row"), &public(), date(TODAY)),
        decide(&with(""), with("").model(llama).expect("a row"), &public(), date(TODAY)),
        "evidence decides nothing"
    );
}

#[test]
fn a_newer_check_takes_over_from_one_that_is_over() {
    let both = evidence("")
        + "  - {id: e-2, context: bot, license: llama-3.3-community, kind: display, checked: 2026-12-30, checked_by: a \
           check, valid_until: 2027-03-31}\n";
    let catalog = with(&both);
    let on = |day: &str| display(&of(&catalog, "llama-3.3-70b-instruct", &public(), day)).clone();
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(on("2026-12-31"), DutyState::Met { evidence: ids(&["e-1", "e-2"]) });
    assert_eq!(on("2027-01-01"), DutyState::Met { evidence: ids(&["e-2"]) });
    assert_eq!(on("2027-04-01"), DutyState::Stale { evidence: ids(&["e-1", "e-2"]), since: date("2027-04-01") });
}

#[test]
fn what_was_seen_on_a_page_counts_before_what_its_row_says() {
    let page = ", url: 'https://acme.example/about', find: Built with Llama, check_days: 7";
    let catalog = with(&evidence(page));
    let llama = catalog.model("llama-3.3-70b-instruct").expect("a row");
    let told = |on: &str, result: PageResult, last_found: Option<&str>, day: &str| {
        let check = PageCheck { on: date(on), result, last_found: last_found.map(date) };
        let checks = PageChecks::from([("e-1".to_owned(), check)]);
        display(&duties_checked(&catalog, llama, &public(), date(day), &checks)).clone()
    };
    let ids = || vec!["e-1".to_owned()];
    let met = DutyState::Met { evidence: ids() };
    assert_eq!(told("2027-02-01", PageResult::Found, None, "2027-02-01"), met, "also after the row's own last day");
    assert_eq!(told("2027-02-01", PageResult::Found, None, "2027-02-10"), met, "a week, and two days of grace");
    let stale = DutyState::Stale { evidence: ids(), since: date("2026-11-11") };
    assert_eq!(told("2026-11-01", PageResult::Found, None, TODAY), stale, "also before the row's own last day");
    let (row, last) = (date("2026-10-01"), date("2026-11-17"));
    assert_eq!(
        told("2026-11-24", PageResult::NotFound, Some("2026-11-17"), TODAY),
        DutyState::NotFound { evidence: ids(), last_found: last }
    );
    assert_eq!(
        told("2026-11-24", PageResult::Changed, None, TODAY),
        DutyState::Changed { evidence: ids(), last_found: row },
        "only the person who wrote the row had seen it"
    );
    assert_eq!(
        told("2026-11-24", PageResult::Unreachable, Some("2026-11-17"), TODAY),
        DutyState::Unreachable { evidence: ids(), last_found: last }
    );
    assert_eq!(told("2026-11-26", PageResult::NotFound, None, TODAY), met, "on a day before that look the row counts");
    // A look at the page of a row that asks for none, as it no longer does, says nothing.
    let check = PageCheck { on: date("2026-11-24"), result: PageResult::NotFound, last_found: None };
    let checks = PageChecks::from([("e-1".to_owned(), check)]);
    let unasked = with(&evidence(""));
    let duties = duties_checked(
        &unasked,
        unasked.model("llama-3.3-70b-instruct").expect("a row"),
        &public(),
        date(TODAY),
        &checks,
    );
    assert_eq!(*display(&duties), met);
}

#[test]
fn one_page_that_shows_a_duty_is_enough_and_what_is_gone_is_told_before_what_is_old() {
    let row = |id: &str| {
        format!(
            "  - {{id: {id}, context: bot, license: llama-3.3-community, kind: display, checked: 2026-10-01, checked_by: a \
             check, valid_until: 2026-10-31, url: 'https://acme.example/{id}', find: x, check_days: 30}}\n"
        )
    };
    let catalog = with(&format!("evidence:\n{}{}{}", row("a"), row("b"), row("c")));
    let state = |checks: &[(&str, PageResult)]| {
        let check = |result| PageCheck { on: date("2026-11-20"), result, last_found: None };
        let checks = checks.iter().map(|(id, result)| ((*id).to_owned(), check(*result))).collect();
        let llama = catalog.model("llama-3.3-70b-instruct").expect("a row");
        display(&duties_checked(&catalog, llama, &public(), date(TODAY), &checks)).clone()
    };
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    use PageResult::{Found, NotFound, Unreachable};
    assert_eq!(state(&[("a", NotFound), ("b", Found)]), DutyState::Met { evidence: ids(&["b"]) });
    let last_found = date("2026-10-01");
    assert_eq!(
        state(&[("a", Unreachable), ("b", NotFound)]),
        DutyState::NotFound { evidence: ids(&["b"]), last_found }
    );
    assert_eq!(state(&[("a", Unreachable)]), DutyState::Unreachable { evidence: ids(&["a"]), last_found });
    assert_eq!(state(&[]), DutyState::Stale { evidence: ids(&["a", "b", "c"]), since: date("2026-11-01") });
}

#[test]
fn a_duty_is_written_with_its_state() {
    let catalog = with(&evidence(""));
    let duties = of(&catalog, "llama-3.3-70b-instruct", &public(), TODAY);
    let shown = duties.iter().find(|duty| duty.kind == ObligationKind::Display).expect("a text to show");
    let json = serde_json::to_value(shown).expect("JSON");
    assert_eq!(
        (&json["state"], &json["evidence"][0], &json["kind"]),
        (&"met".into(), &"e-1".into(), &"display".into())
    );
}
