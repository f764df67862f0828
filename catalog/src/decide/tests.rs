use super::*;

use crate::{Exposure, Purpose};

/// The day on which everything here is decided.
fn today() -> Date {
    "2026-11-25".parse().expect("a date")
}

/// The built-in catalog, and that `acme` answers for everything that licences ask of a small company.
fn attested() -> Arc<Catalog> {
    static CATALOG: std::sync::LazyLock<Arc<Catalog>> = std::sync::LazyLock::new(|| {
        let licenses: Vec<_> = Catalog::builtin().licenses().map(|license| license.id.clone()).collect();
        let text = format!(
            "attestations:
  - {{id: users, entity: acme, metric: monthly-users, at_most: 1000, signed_by: CFO, signed: 2026-01-01, valid_until: 2027-12-31}}
  - {{id: revenue, entity: acme, metric: yearly-revenue-usd, at_most: 1000, signed_by: CFO, signed: 2026-01-01, valid_until: 2027-12-31}}
  - {{id: month, entity: acme, metric: monthly-revenue-usd, at_most: 1000, signed_by: CFO, signed: 2026-01-01, valid_until: 2027-12-31}}
  - {{id: registered, entity: acme, metric: registered, licenses: {licenses:?}, answer: 'yes', signed_by: CFO, signed: 2026-01-01, valid_until: 2027-12-31}}
  - {{id: rival, entity: acme, metric: competes-with-licensor, licenses: {licenses:?}, answer: 'no', signed_by: CFO, signed: 2026-01-01, valid_until: 2027-12-31}}
"
        );
        Arc::new(
            Catalog::builtin()
                .with_overlays(&[("acme.yaml".to_owned(), text)])
                .unwrap_or_else(|problems| panic!("{problems:?}")),
        )
    });
    CATALOG.clone()
}

fn used(purpose: Purpose, exposure: Exposure, seat: Option<&str>) -> Use {
    Use { seat: seat.map(str::to_owned), entity: Some("acme".to_owned()), ..Use::new(purpose, exposure) }
}

fn decide(catalog: &Catalog, model: &Model, use_: &Use) -> Decision {
    super::decide(catalog, model, use_, today())
}

/// `use` is a purpose, `+` for public exposure, and a seat where it matters: `revenue+ US`.
fn parse(text: &str) -> Use {
    let (head, seat) = text.split_once(' ').map_or((text, None), |(head, seat)| (head, Some(seat)));
    let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.name() == head.trim_end_matches('+')).expect(text);
    used(purpose, if head.ends_with('+') { Exposure::Public } else { Exposure::Internal }, seat)
}

#[test]
fn the_catalog_decides_as_the_licences_say() {
    use Outcome::{Allow, AllowWithObligations as Obliged, Deny};
    let table = [
        // Tier 1 asks for nothing in return.
        ("pointsman-demo", "revenue+", Allow, "tier1-free", "apache-2.0"),
        ("qwen3-32b", "revenue+", Allow, "tier1-free", "apache-2.0"),
        ("deepseek-r1", "internal", Allow, "tier1-free", "mit"),
        ("phi-4", "personal", Allow, "tier1-free", "mit"),
        ("kanana-1.5-8b", "revenue+", Allow, "tier1-free", "apache-2.0"),
        // Tier 2 has a price in obligations.
        ("llama-3.3-70b-instruct", "revenue+", Obliged, "tier2-conditional", "llama-3.3-community"),
        ("llama-3.3-70b-instruct", "revenue+ DE", Obliged, "tier2-conditional", "llama-3.3-community"),
        ("qwen2.5-72b-instruct", "revenue+", Allow, "tier2-conditional", "qwen-license"),
        ("qwen2.5-72b-instruct", "research", Allow, "tier2-conditional", "qwen-license"),
        ("falcon-3-10b-instruct", "revenue+", Obliged, "tier2-conditional", "tii-falcon-llm-2.0"),
        ("gemma-3-27b-it", "internal", Obliged, "tier2-conditional", "gemma-terms"),
        ("deepseek-v3", "revenue+", Obliged, "tier2-conditional", "deepseek-model"),
        ("hyperclovax-seed-text-1.5b", "revenue+", Obliged, "tier2-conditional", "hyperclova-x-seed"),
        ("glm-4-9b-chat", "revenue", Allow, "tier2-conditional", "glm-4-9b"),
        ("bloom", "revenue", Obliged, "tier2-conditional", "bigscience-rail-1.0"),
        // The stricter of two licences speaks.
        ("deepseek-r1-distill-llama-8b", "revenue+", Obliged, "tier2-conditional", "llama-3.1-community"),
        ("deepseek-r1-distill-qwen-32b", "revenue+", Allow, "tier1-free", "mit"),
        ("internvl2.5-4b", "revenue+", Deny, "tier3-commercial", "qwen-research"),
        ("nvlm-d-72b", "internal", Deny, "tier4-commercial", "cc-by-nc-4.0"),
        // The seat of the licensee, for multimodal models only.
        ("llama-4-scout", "revenue+ FR", Deny, "territory-seat", "llama-4-community"),
        ("llama-4-scout", "research fr", Deny, "territory-seat", "llama-4-community"),
        ("llama-4-scout", "revenue+ EU", Deny, "territory-seat", "llama-4-community"),
        ("llama-4-scout", "revenue+", Deny, "territory-seat-unknown", "llama-4-community"),
        ("llama-4-scout", "revenue+ EL", Deny, "territory-seat-unknown", "llama-4-community"),
        ("llama-4-scout", "revenue+ UK", Deny, "territory-seat-unknown", "llama-4-community"),
        ("llama-4-scout", "revenue+ US", Obliged, "tier2-conditional", "llama-4-community"),
        ("llama-4-maverick", "internal GB", Obliged, "tier2-conditional", "llama-4-community"),
        ("llama-3.2-11b-vision-instruct", "internal IT", Deny, "territory-seat", "llama-3.2-community"),
        ("llama-3.2-3b-instruct", "internal IT", Obliged, "tier2-conditional", "llama-3.2-community"),
        // Offering it to others needs a contract.
        ("kanana-1.5-15.7b-a3b", "revenue+", Deny, "third-party-service", "kanana"),
        ("kanana-1.5-15.7b-a3b", "internal", Obliged, "tier2-conditional", "kanana"),
        // Tier 3 is for research.
        ("mistral-large-2", "revenue+", Deny, "tier3-commercial", "mistral-research"),
        ("mistral-large-2", "internal", Deny, "tier3-commercial", "mistral-research"),
        ("mistral-large-2", "personal", Deny, "tier3-purpose", "mistral-research"),
        ("mistral-large-2", "research", Obliged, "tier3-allowed-purpose", "mistral-research"),
        ("pixtral-large", "internal", Deny, "tier3-commercial", "mistral-research"),
        ("codestral-22b", "revenue", Deny, "tier3-commercial", "mistral-non-production"),
        ("codestral-22b", "personal", Obliged, "tier3-allowed-purpose", "mistral-non-production"),
        ("qwen2.5-3b-instruct", "internal", Deny, "tier3-commercial", "qwen-research"),
        ("baichuan2-13b-chat", "revenue", Deny, "tier3-commercial", "baichuan2-community"),
        // Tier 4 is not for business at all.
        ("command-r-plus", "internal", Deny, "tier4-commercial", "cc-by-nc-4.0"),
        ("command-r-plus", "personal", Obliged, "tier4-allowed-purpose", "cc-by-nc-4.0"),
        ("exaone-3.5-32b", "revenue+", Deny, "tier4-commercial", "exaone-1.1-nc"),
        ("exaone-3.5-32b", "personal", Deny, "tier4-purpose", "exaone-1.1-nc"),
        ("exaone-3.5-32b", "research", Obliged, "tier4-allowed-purpose", "exaone-1.1-nc"),
        ("evollm-jp-v1-7b", "internal", Deny, "tier4-commercial", "microsoft-research"),
        ("evollm-jp-a-v1-7b", "revenue+", Allow, "tier1-free", "apache-2.0"),
        // Tier 5 is a contract or nothing.
        ("gpt-4o", "revenue", Deny, "tier5-closed", "closed-api"),
        ("hcx-005", "research", Deny, "tier5-closed", "closed-api"),
        ("korani", "research", Deny, "license-unknown", "unknown"),
        // Names that nothing can serve.
        ("codestral-25.01", "research", Deny, "api-retired", "closed-api"),
        ("qwen3-72b", "revenue", Deny, "model-does-not-exist", "unknown"),
        ("llama-4-behemoth", "research", Deny, "weights-not-released", "llama-4-community"),
        ("tulu-3", "research", Deny, "not-a-model", "apache-2.0"),
        ("etri-models", "research", Deny, "availability-unknown", "unknown"),
    ];
    let catalog = attested();
    for (id, use_, outcome, rule, license) in table {
        let model = catalog.model(id).unwrap_or_else(|| panic!("{id}"));
        let decision = decide(&catalog, model, &parse(use_));
        assert_eq!((decision.outcome, decision.rule, &*decision.license), (outcome, rule, license), "{id} for {use_}");
        assert_eq!(decision.obligations.is_empty(), outcome != Obliged, "{id} for {use_}");
    }
}

#[test]
fn a_denial_names_model_licence_and_what_would_be_accepted() {
    let catalog = Catalog::builtin();
    let reason = |id: &str, use_: &str| decide(&catalog, catalog.model(id).expect(id), &parse(use_)).reason.to_string();
    assert_eq!(
        reason("mistral-large-2", "revenue+"),
        "`mistral-large-2` is under the Mistral AI Research License (`mistral-research`, tier 3), which allows research \
         use only; revenue use needs a contract with Mistral AI, or a model of tier 1 or 2"
    );
    assert_eq!(reason("qwen3-72b", "revenue"), "there is no model `qwen3-72b`; use `qwen3-32b`");
    let seat = reason("llama-4-scout", "revenue+");
    assert!(seat.contains("does not state its seat; state one outside EU"), "{seat}");
}

#[test]
fn a_public_use_is_shown_the_text_it_has_to_display_and_an_internal_one_is_not() {
    let catalog = attested();
    let llama = catalog.model("llama-3.3-70b-instruct").expect("in the catalog");
    let shows = |use_: &str| {
        decide(&catalog, llama, &parse(use_)).obligations.iter().any(|duty| duty.contains("\"Built with Llama\""))
    };
    assert!(shows("revenue+") && !shows("internal"));
}

#[test]
fn research_with_a_research_model_is_told_that_answers_are_bound_too() {
    let catalog = attested();
    let model = catalog.model("mistral-large-2").expect("in the catalog");
    let decision = decide(&catalog, model, &parse("research"));
    assert_eq!(
        decision.obligations.first().map(|duty| &**duty),
        Some("Mistral AI Research License: research use only; no other use of the model, nor of what it writes")
    );
}

#[test]
fn a_model_of_tier_3_or_more_never_serves_a_business() {
    let catalog = attested();
    for model in catalog.models().filter(|model| model.tier >= Tier::Research) {
        for use_ in ["revenue US", "revenue+ US", "internal US", "internal+ US"] {
            let decision = decide(&catalog, model, &parse(use_));
            assert_eq!(decision.outcome, Outcome::Deny, "{} for {use_}", model.id);
        }
    }
}

#[test]
fn what_was_worked_out_ahead_equals_what_is_worked_out_afresh() {
    let catalog = attested();
    for model in catalog.models() {
        let bare = model.clone();
        for purpose in Purpose::ALL {
            for exposure in [Exposure::Internal, Exposure::Public] {
                for seat in [None, Some("US"), Some("DE")] {
                    let use_ = used(purpose, exposure, seat);
                    assert_eq!(decide(&catalog, model, &use_), decide(&catalog, &bare, &use_), "{}", model.id);
                }
            }
        }
    }
}

#[test]
fn a_changed_clone_is_decided_by_its_own_licence_and_an_unknown_one_is_denied() {
    let catalog = attested();
    let mut model = catalog.model("qwen3-32b").expect("in the catalog").clone();
    model.license = "acme-license".to_owned();
    let decision = decide(&catalog, &model, &parse("research"));
    assert_eq!(
        (decision.outcome, decision.rule, &*decision.license),
        (Outcome::Deny, "license-unknown", "acme-license")
    );
}

#[test]
fn no_reason_holds_a_line_break_or_ends_with_a_full_stop() {
    let catalog = attested();
    for model in catalog.models() {
        for use_ in ["revenue+", "internal DE", "research US", "personal"] {
            let decision = decide(&catalog, model, &parse(use_));
            for text in decision.obligations.iter().chain([&decision.reason]) {
                assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
            }
        }
    }
}

#[test]
fn every_rule_that_decides_is_in_the_table_once() {
    let catalog = attested();
    let names: std::collections::BTreeSet<&str> = RULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), RULES.len());
    for model in catalog.models() {
        for use_ in ["revenue+", "revenue+ FR", "internal US", "research US", "personal US"] {
            let rule = decide(&catalog, model, &parse(use_)).rule;
            assert!(names.contains(rule), "{rule}");
        }
    }
}
