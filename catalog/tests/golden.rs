//! The licence decision on cases that counsel would ask about, each by its facts: what the licence says, what the company
//! has stated, and what comes of it. The thresholds, the corrections to the map, its five tiers, and its traps.

use std::sync::Arc;

use catalog::{
    Activity, Catalog, Date, Decision, Domain, Exposure, Metric, Outcome, Purpose, Scope, Tier, Use, decide,
    decide_served, explain,
};

/// A case: what a company's file says, who uses what for what, and when.
struct Case {
    catalog: Arc<Catalog>,
    use_: Use,
    today: Date,
}

fn date(text: &str) -> Date {
    text.parse().expect("a date")
}

/// A use of the entity `acme` in the context `bot`, by purpose and `+` for public exposure.
fn case(use_: &str) -> Case {
    let (purpose, public) = (use_.trim_end_matches('+'), use_.ends_with('+'));
    let purpose = Purpose::ALL.into_iter().find(|known| known.name() == purpose).expect("a purpose");
    let exposure = if public { Exposure::Public } else { Exposure::Internal };
    let use_ = Use {
        seat: Some("US".to_owned()),
        entity: Some("acme".to_owned()),
        context: Some("bot".to_owned()),
        ..Use::new(purpose, exposure)
    };
    Case { catalog: Catalog::builtin(), use_, today: date("2026-11-25") }
}

impl Case {
    /// With a company's file over the catalog.
    fn with(mut self, file: &str) -> Case {
        let files = [("acme.yaml".to_owned(), file.to_owned())];
        self.catalog = Arc::new(self.catalog.with_overlays(&files).unwrap_or_else(|problems| panic!("{problems:?}")));
        self
    }

    /// With an attestation of a figure or an answer.
    fn attested(self, id: &str, says: &str) -> Case {
        self.with(&format!(
            "attestations: [{{id: {id}, entity: acme, {says}, signed_by: CFO, signed: 2026-02-01, valid_until: 2027-06-30}}]"
        ))
    }

    fn seat(mut self, seat: &str) -> Case {
        self.use_.seat = Some(seat.to_owned());
        self
    }

    fn users_in(mut self, country: &str) -> Case {
        self.use_.end_users = vec![country.to_owned()];
        self
    }

    fn doing(mut self, activity: Activity) -> Case {
        self.use_.activity = activity;
        self
    }

    fn on(mut self, day: &str) -> Case {
        self.today = date(day);
        self
    }

    fn decide(&self, model: &str) -> Decision {
        let row = self.catalog.model(model).unwrap_or_else(|| panic!("{model}"));
        let decision = decide(&self.catalog, row, &self.use_, self.today);
        assert_eq!(
            *self.catalog.class(&self.use_, self.today).decision(&self.catalog, row),
            decision,
            "looked up: {model}"
        );
        let explained = explain(&self.catalog, row, &self.use_, self.today);
        assert_eq!(explained.decision, decision, "explained: {model}");
        decision
    }

    /// The outcome and its rule.
    fn comes_to(&self, model: &str) -> (Outcome, &'static str) {
        let decision = self.decide(model);
        (decision.outcome, decision.rule)
    }
}

use Outcome::{Allow, AllowWithObligations as Obliged, Deny, RequireAttestation as Missing, Warn};

const FEW_USERS: &str = "metric: monthly-users, at_most: 5000000";

fn owes(decision: &Decision, words: &str) -> bool {
    decision.obligations.iter().any(|duty| duty.contains(words))
}

// ---- Thresholds and reach ------------------------------------------------------------------------------------------

#[test]
fn llama_asks_for_the_users_of_one_past_month_affiliates_included() {
    for (model, month) in [
        ("llama-2-70b-chat", "2023-06"),
        ("llama-3.1-70b-instruct", "2024-06"),
        ("llama-3.2-3b-instruct", "2024-08"),
        ("llama-3.3-70b-instruct", "2024-11"),
        ("llama-4-scout", "2025-03"),
    ] {
        let missing = case("revenue").decide(model);
        assert_eq!((missing.outcome, missing.rule), (Missing, "attestation-missing"), "{model}");
        let [need] = &*missing.missing else { panic!("{model}: one need") };
        assert_eq!((need.metric, need.scope), (Metric::MonthlyUsers, Scope::Group), "{model}");
        assert_eq!(
            (need.month.map(String::from).as_deref(), need.at_most),
            (Some(month), Some(700_000_000)),
            "{model}"
        );
        let of_month = |at_most: &str| {
            case("revenue").attested("a", &format!("metric: monthly-users, month: '{month}', {at_most}"))
        };
        assert_eq!(of_month("at_most: 600000000").comes_to(model), (Obliged, "tier2-conditional"), "{model}");
        assert_eq!(of_month("at_most: 700000000").comes_to(model), (Obliged, "tier2-conditional"), "{model}");
        assert_eq!(of_month("more_than: 700000000").comes_to(model), (Deny, "condition-not-met"), "{model}");
        // A bound above the limit proves neither.
        assert_eq!(of_month("at_most: 700000001").comes_to(model), (Missing, "attestation-missing"), "{model}");
        let other_month = case("revenue").attested("a", "metric: monthly-users, month: '2020-01', at_most: 1");
        assert_eq!(other_month.comes_to(model), (Missing, "attestation-missing"), "{model}");
        // What one product's users are says nothing of the group's.
        let product = case("revenue").attested("a", &format!("{FEW_USERS}, contexts: [bot]"));
        assert_eq!(product.comes_to(model), (Missing, "attestation-missing"), "{model}");
    }
}

#[test]
fn hyperclova_asks_for_users_then_and_for_competition_now() {
    let seed = "hyperclovax-seed-text-1.5b";
    assert_eq!(case("revenue+").decide(seed).missing.len(), 2);
    let users = case("revenue+").attested("a", FEW_USERS);
    assert_eq!(users.comes_to(seed), (Missing, "attestation-missing"));
    let answer =
        |answer: &str| format!("metric: competes-with-licensor, licenses: [hyperclova-x-seed], answer: '{answer}'");
    let fair = case("revenue+").attested("a", FEW_USERS).attested("b", &answer("no"));
    assert_eq!(fair.comes_to(seed), (Obliged, "tier2-conditional"));
    assert!(owes(&fair.decide(seed), "Powered by HyperCLOVA X"));
    let rival = case("revenue+").attested("a", FEW_USERS).attested("b", &answer("yes"));
    assert_eq!(rival.comes_to(seed), (Deny, "condition-not-met"));
}

#[test]
fn the_qwen_licence_asks_for_the_users_of_the_product_all_the_time() {
    let model = "qwen2.5-72b-instruct";
    assert_eq!(case("revenue+").comes_to(model), (Missing, "attestation-missing"));
    let product = case("revenue+").attested("a", &format!("{FEW_USERS}, contexts: [bot]"));
    assert_eq!(product.comes_to(model), (Allow, "tier2-conditional"));
    let other = case("revenue+").attested("a", &format!("{FEW_USERS}, contexts: [shop]"));
    assert_eq!(other.comes_to(model), (Missing, "attestation-missing"));
    // What held in one month does not go on to hold.
    let once = case("revenue+").attested("a", "metric: monthly-users, month: '2026-01', at_most: 5");
    assert_eq!(once.comes_to(model), (Missing, "attestation-missing"));
    assert_eq!(case("research").comes_to(model), (Allow, "tier2-conditional"), "not a business use");
}

#[test]
fn kimi_k2_costs_a_duty_above_its_thresholds_and_no_right() {
    let shows = |case: Case| {
        let decision = case.decide("kimi-k2-instruct");
        assert!(decision.outcome.allows(), "{decision:?}");
        owes(&decision, "show \"Kimi K2\"")
    };
    let small = || case("revenue+").attested("a", "metric: monthly-users, at_most: 1000");
    assert!(!shows(small().attested("b", "metric: monthly-revenue-usd, at_most: 1000")));
    assert!(shows(case("revenue+").attested("a", "metric: monthly-users, more_than: 120000000")));
    assert!(shows(small().attested("b", "metric: monthly-revenue-usd, more_than: 20000000")));
    assert!(shows(case("revenue+")), "who does not know owes it");
    assert!(!shows(case("revenue")), "nobody outside sees the product");
}

#[test]
fn stability_ends_at_a_million_of_yearly_revenue() {
    let models: Vec<_> = Catalog::builtin()
        .models()
        .filter(|model| model.licenses().any(|id| id == "stability-community"))
        .map(|model| model.id.clone())
        .collect();
    let registered = "metric: registered, licenses: [stability-community], answer: 'yes'";
    for model in models {
        let with = |revenue: &str| {
            case("revenue").attested("a", registered).attested("b", &format!("metric: yearly-revenue-usd, {revenue}"))
        };
        assert_eq!(with("at_most: 999999").comes_to(&model), (Obliged, "tier2-conditional"), "{model}");
        assert_eq!(with("more_than: 999999").comes_to(&model), (Deny, "condition-not-met"), "{model}");
        assert_eq!(case("revenue").comes_to(&model), (Missing, "attestation-missing"), "{model}");
    }
    assert!(Catalog::builtin().license("stability-community").is_some_and(|license| license.conditions.len() == 2));
}

#[test]
fn the_european_clause_of_llama_is_about_the_licensees_seat_and_multimodal_models() {
    let asked = || case("revenue+").attested("a", FEW_USERS);
    assert_eq!(asked().seat("FR").comes_to("llama-4-scout"), (Deny, "territory-seat"));
    assert_eq!(asked().seat("FR").users_in("US").comes_to("llama-4-scout"), (Deny, "territory-seat"));
    assert_eq!(asked().seat("US").users_in("DE").comes_to("llama-4-scout"), (Obliged, "tier2-conditional"));
    assert_eq!(asked().seat("FR").comes_to("llama-3.2-11b-vision-instruct"), (Deny, "territory-seat"));
    assert_eq!(asked().seat("FR").comes_to("llama-3.2-3b-instruct"), (Obliged, "tier2-conditional"));
}

#[test]
fn gemma_counts_a_hosted_service_as_distribution() {
    let license = Catalog::builtin().license("gemma-terms").expect("a row").hosted_service.clone();
    assert_eq!((license.counts_as_distribution, license.passes_terms_on), (Some(true), Some(true)));
    assert!(owes(&case("revenue+").decide("gemma-3-27b-it"), "pass the use restrictions on"));
    assert!(!owes(&case("internal").decide("gemma-3-27b-it"), "pass the use restrictions on"));
}

#[test]
fn terms_of_gemma_deepseek_and_rail_follow_into_what_is_trained_on_answers() {
    for model in ["gemma-3-27b-it", "deepseek-v3", "bloom"] {
        let decision = case("internal").doing(Activity::Distillation).decide(model);
        assert_eq!(decision.outcome, Obliged, "{model}");
        assert!(owes(&decision, "takes this licence with it"), "{model}");
        let student = format!(
            "models: [{{id: student, name: Student, family: acme, developer: Acme, availability: downloadable, license: mit, \
             tier: 2, parents: [{{of: {model}, by: distillation}}]}}]"
        );
        let catalog = case("internal").with(&student).catalog;
        let own = catalog.model("student").expect("a row");
        assert_eq!(own.licenses().count(), 2, "{model}: the student's own tag takes nothing away");
    }
    // Naming is a duty of the student, not a licence that it takes on; the map of a free teacher leaves nothing.
    for (teacher, licenses) in [("deepseek-r1", 1), ("llama-3.3-70b-instruct", 1), ("llama-3-70b-instruct", 2)] {
        let student = format!(
            "models: [{{id: student, name: Student, family: acme, developer: Acme, availability: downloadable, license: mit, \
             tier: 2, parents: [{{of: {teacher}, by: distillation}}]}}]"
        );
        let catalog = case("internal").with(&student).catalog;
        assert_eq!(catalog.model("student").expect("a row").licenses().count(), licenses, "{teacher}");
    }
}

#[test]
fn llama_3_1_lets_others_be_trained_under_its_name_and_llama_3_does_not() {
    let training = || case("internal").attested("a", FEW_USERS).doing(Activity::TrainingData);
    assert_eq!(training().comes_to("llama-3.1-70b-instruct"), (Obliged, "tier2-conditional"));
    assert!(owes(&training().decide("llama-3.1-70b-instruct"), "rules of naming"));
    assert_eq!(training().comes_to("llama-3-70b-instruct"), (Deny, "outputs-training"));
    assert_eq!(training().comes_to("qwen3-32b"), (Allow, "tier1-free"));
    // Nobody read what this text says of outputs.
    assert_eq!(training().comes_to("falcon-mamba-7b-instruct"), (Deny, "outputs-unknown"));
}

#[test]
fn exaone_is_for_research_and_trains_no_other_model() {
    let model = "exaone-3.5-32b";
    for use_ in ["revenue", "revenue+", "internal", "internal+"] {
        assert_eq!(case(use_).comes_to(model), (Deny, "tier4-commercial"), "{use_}");
    }
    assert_eq!(case("research").comes_to(model), (Obliged, "tier4-allowed-purpose"));
    assert_eq!(case("research").doing(Activity::Distillation).comes_to(model), (Deny, "outputs-training"));
    assert!(owes(&case("research").decide(model), "nor of what it writes"));
}

#[test]
fn the_mistral_research_licence_leaves_out_daily_work_and_any_service() {
    for use_ in ["internal", "internal+", "revenue", "revenue+"] {
        assert_eq!(case(use_).comes_to("mistral-large-2"), (Deny, "tier3-commercial"), "{use_}");
    }
    assert_eq!(case("research").comes_to("mistral-large-2"), (Obliged, "tier3-allowed-purpose"));
}

#[test]
fn a_non_commercial_creative_commons_licence_is_denied_to_companies() {
    assert_eq!(case("internal").comes_to("command-r-plus"), (Deny, "tier4-commercial"));
    assert_eq!(case("research+").comes_to("command-r-plus"), (Obliged, "tier4-allowed-purpose"));
}

// ---- Corrections to the map ----------------------------------------------------------------------------------------

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
fn one_parent_flips_the_tier_of_a_merge() {
    let catalog = Catalog::builtin();
    let parents =
        |id: &str| catalog.model(id).expect(id).parents.iter().map(|parent| parent.of.clone()).collect::<Vec<_>>();
    assert_eq!(parents("evollm-jp-v1-7b"), ["wizardmath-7b-v1.1"]);
    assert_eq!(parents("evollm-jp-a-v1-7b"), ["arithmo2-mistral-7b"]);
    assert_eq!(case("internal").comes_to("evollm-jp-v1-7b"), (Deny, "tier4-commercial"));
    assert_eq!(case("internal").comes_to("evollm-jp-a-v1-7b"), (Allow, "tier1-free"));
    // The same merge by a company, tagged as if it were free.
    let merge = |tier: u8, parent: &str| {
        format!(
            "models: [{{id: our-merge, name: Our merge, family: acme, developer: Acme, availability: downloadable, \
             license: mit, tier: {tier}, parents: [{{of: qwen3-8b, by: merge}}, {{of: {parent}, by: merge}}]}}]"
        )
    };
    assert_eq!(case("internal").with(&merge(1, "arithmo2-mistral-7b")).comes_to("our-merge"), (Allow, "tier1-free"));
    assert_eq!(
        case("internal").with(&merge(4, "wizardmath-7b-v1.1")).comes_to("our-merge"),
        (Deny, "tier4-commercial")
    );
    let files = [("acme.yaml".to_owned(), merge(1, "wizardmath-7b-v1.1"))];
    let problems = Catalog::builtin().with_overlays(&files).map(|_| ()).expect_err("a tier that is too free");
    assert_eq!(problems[0].code, "tier-too-free");
    // Nobody knows what it was merged with.
    assert_eq!(case("internal").with(&merge(5, "unknown")).comes_to("our-merge"), (Deny, "license-unknown"));
}

// ---- The golden examples of enforcement ----------------------------------------------------------------------------

#[test]
fn a_distilled_llama_is_under_both_licences_and_needs_the_month_before_llama_3_1() {
    let model = "deepseek-r1-distill-llama-8b";
    let with =
        case("revenue+").attested("m", "metric: monthly-users, month: '2024-06', at_most: 3000000").decide(model);
    assert_eq!(with.outcome, Obliged);
    assert!(owes(&with, "show \"Built with Llama\"") && !with.rests_on.is_empty());
    assert_eq!(with.valid_until.map(String::from).as_deref(), Some("2027-06-30"));
    let without = case("revenue+").decide(model);
    assert_eq!((without.outcome, &*without.license), (Missing, "llama-3.1-community"));
    assert!(without.reason.contains("metric: monthly-users, month: 2024-06, at_most: 700000000"), "{}", without.reason);
}

#[test]
fn an_agreement_allows_what_it_covers_and_nothing_else() {
    let bought = "agreements: [{id: m-17, licenses: [mistral-research], models: [mistral-large-2], entity: acme, contexts: [bot], \
                  valid_from: 2026-01-01, valid_until: 2026-12-31, obligations: [report seats each quarter], document: 'sha256:00'}]";
    let with = || case("internal").with(bought);
    let decision = with().on("2026-12-10").decide("mistral-large-2");
    assert_eq!((decision.outcome, decision.rule), (Warn, "agreement"), "it ends soon");
    assert!(owes(&decision, "report seats each quarter") && &*decision.rests_on[0] == "m-17");
    assert_eq!(with().on("2026-06-01").comes_to("mistral-large-2"), (Obliged, "agreement"));
    assert_eq!(with().comes_to("pixtral-large"), (Deny, "tier3-commercial"), "another model");
    assert_eq!(with().on("2027-01-01").comes_to("mistral-large-2"), (Deny, "tier3-commercial"), "it is over");
    assert_eq!(with().on("2025-12-31").comes_to("mistral-large-2"), (Deny, "tier3-commercial"), "it has not begun");
    let mut other = with();
    other.use_.context = Some("shop".to_owned());
    assert_eq!(other.comes_to("mistral-large-2"), (Deny, "tier3-commercial"), "another product");
    let mut stranger = with();
    stranger.use_.entity = Some("other".to_owned());
    assert_eq!(stranger.comes_to("mistral-large-2"), (Deny, "tier3-commercial"), "another entity");
}

#[test]
fn an_adapter_that_nobody_registered_is_denied_over_any_base() {
    let case = case("internal");
    let base = case.catalog.model("qwen3-32b").expect("a row");
    let served = |adapters: &[&str]| decide_served(&case.catalog, base, adapters, &case.use_, case.today);
    assert_eq!(served(&[]).outcome, Allow);
    let decision = served(&["support-lora-v2"]);
    assert_eq!((decision.outcome, decision.rule), (Deny, "adapter-unknown"));
    assert!(decision.reason.contains("`support-lora-v2`"));
    // One that is registered binds with its own licence.
    assert_eq!(served(&["command-r-plus"]).rule, "tier4-commercial");
}

#[test]
fn a_waiver_lifts_the_rules_it_names_for_its_time_and_is_seen() {
    let waived = "waivers: [{id: w-1, rules: [tier3-commercial], models: [mistral-large-2], contexts: [bot], reason: trial before \
                  purchase, requested_by: Ann, approved_by: [Bob, Cy], created: 2026-11-01, expires: 2026-12-31}]";
    let with = || case("internal").with(waived);
    let decision = with().decide("mistral-large-2");
    assert_eq!(decision.outcome, Warn);
    assert!(
        decision.findings.iter().any(|text| text.contains("waived by Bob and Cy until 2026-12-31")),
        "{decision:?}"
    );
    assert_eq!(decision.valid_until.map(String::from).as_deref(), Some("2026-12-31"));
    assert_eq!(with().on("2027-01-01").comes_to("mistral-large-2"), (Deny, "tier3-commercial"));
    assert_eq!(with().comes_to("pixtral-large"), (Deny, "tier3-commercial"));
    let mut training = with().doing(Activity::Distillation);
    training.use_.purpose = Purpose::Revenue;
    assert_eq!(training.comes_to("exaone-3.5-32b"), (Deny, "tier4-commercial"));
}

#[test]
fn a_field_of_use_that_the_terms_forbid_is_denied() {
    let mut military = case("internal");
    military.use_.domains = vec![Domain::Military];
    assert_eq!(military.comes_to("deepseek-v3"), (Deny, "prohibited-domain"));
    assert_eq!(military.comes_to("qwen3-32b"), (Allow, "tier1-free"));
}

#[test]
fn an_attestation_that_is_over_or_anothers_is_none() {
    let model = "llama-3.3-70b-instruct";
    let with = || case("internal").attested("a", FEW_USERS);
    assert_eq!(with().comes_to(model), (Obliged, "tier2-conditional"));
    assert_eq!(with().on("2027-07-01").comes_to(model), (Missing, "attestation-missing"));
    assert_eq!(with().on("2026-01-31").comes_to(model), (Missing, "attestation-missing"), "not signed yet");
    let mut other = with();
    other.use_.entity = Some("other".to_owned());
    assert_eq!(other.comes_to(model), (Missing, "attestation-missing"));
    let mut nobody = with();
    nobody.use_.entity = None;
    let decision = nobody.decide(model);
    assert!(decision.reason.contains("for the entity that the context names"), "{}", decision.reason);
    // One that says more outweighs one that says less.
    let both = with().attested("b", "metric: monthly-users, more_than: 700000000");
    assert_eq!(both.comes_to(model), (Deny, "condition-not-met"));
}

// ---- The five tiers of the map, and its traps about licences -------------------------------------------------------

#[test]
fn each_tier_of_the_map_comes_to_what_the_map_says_of_it() {
    for (model, revenue, research) in [
        ("qwen3-32b", (Allow, "tier1-free"), (Allow, "tier1-free")),
        ("llama-3.3-70b-instruct", (Missing, "attestation-missing"), (Obliged, "tier2-conditional")),
        ("gemma-3-27b-it", (Obliged, "tier2-conditional"), (Obliged, "tier2-conditional")),
        ("mistral-large-2", (Deny, "tier3-commercial"), (Obliged, "tier3-allowed-purpose")),
        ("command-r-plus", (Deny, "tier4-commercial"), (Obliged, "tier4-allowed-purpose")),
        ("gpt-4o", (Deny, "tier5-closed"), (Deny, "tier5-closed")),
    ] {
        assert_eq!(case("revenue").comes_to(model), revenue, "{model}");
        assert_eq!(case("research").comes_to(model), research, "{model}");
    }
    // Trap 1 and 10: open weights are not fully open.
    let openness = |id: &str| Catalog::builtin().model(id).expect(id).openness.clone();
    assert_eq!(openness("olmo-2-13b-instruct").as_deref(), Some("fully-open"));
    assert_ne!(openness("llama-3.3-70b-instruct").as_deref(), Some("fully-open"));
    // Trap 2: three licences that are called open come to three different things for the same product.
    let outcomes: Vec<_> =
        ["qwen3-32b", "llama-3.3-70b-instruct", "mistral-large-2"].map(|id| case("revenue+").comes_to(id).0).into();
    assert_eq!(outcomes, [Allow, Missing, Deny]);
}

#[test]
fn an_explanation_names_clause_fact_and_what_would_change_it() {
    let case = case("revenue+").seat("FR");
    let model = case.catalog.model("llama-4-scout").expect("a row");
    let steps = explain(&case.catalog, model, &case.use_, case.today).steps;
    let step = |rule: &str| steps.iter().find(|step| step.rule == rule).unwrap_or_else(|| panic!("{rule}"));
    assert_eq!(step("territory-seat").fact, "the seat is `FR`");
    assert_eq!(step("territory-seat").then.as_deref(), Some("a seat outside EU"));
    assert!(
        step("attestation-missing").then.as_ref().is_some_and(|then| then.starts_with("attest `metric: monthly-users"))
    );
}
