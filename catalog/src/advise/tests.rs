use std::collections::{BTreeSet, HashSet};

use super::*;
use crate::{Exposure, Outcome, Purpose, Tier};

fn question(scenario: &str, purpose: Purpose) -> Question {
    let exposure = if purpose == Purpose::Revenue { Exposure::Public } else { Exposure::Internal };
    Question {
        scenario: Guide::builtin().scenario(scenario).unwrap_or_else(|| panic!("no scenario {scenario}")),
        use_: used(purpose, exposure, None),
        today: "2026-11-25".parse().expect("a date"),
        language: None,
        memory_bytes: None,
        context_tokens: None,
        fully_open: false,
    }
}

/// A use by the small company that advice assumes.
fn used(purpose: Purpose, exposure: Exposure, seat: Option<&str>) -> Use {
    let entity = Some(crate::ASSUMED_ENTITY.to_owned());
    Use { entity, seat: seat.map(str::to_owned), ..Use::new(purpose, exposure) }
}

fn on_gpu(scenario: &str, purpose: Purpose, gb: u64) -> Question {
    Question { memory_bytes: Some(gb * GB), ..question(scenario, purpose) }
}

fn chosen(question: &Question) -> Vec<String> {
    advise(&Catalog::with_assumptions(), question).choices.into_iter().map(|choice| choice.model).collect()
}

fn against(question: &Question, model: &str) -> Vec<Obstacle> {
    let advice = advise(&Catalog::with_assumptions(), question);
    let ruled_out = advice.ruled_out.into_iter().find(|ruled_out| ruled_out.model == model);
    ruled_out.unwrap_or_else(|| panic!("{model} is advised")).obstacles
}

fn troubles(question: &Question, model: &str) -> Vec<Trouble> {
    against(question, model).into_iter().map(|obstacle| obstacle.trouble).collect()
}

// --- the guide ---------------------------------------------------------------------------------------------------

#[test]
fn every_id_of_the_guide_is_one_of_the_catalog() {
    let (catalog, guide) = (Catalog::builtin(), Guide::builtin());
    let categories: HashSet<&str> = catalog.models().flat_map(|model| &model.categories).map(String::as_str).collect();
    let ids = guide.scenarios().iter().flat_map(|scenario| {
        assert!(scenario.categories.iter().all(|known| categories.contains(known.as_str())), "{}", scenario.id);
        assert!(scenario.hosts.iter().all(|host| catalog.host(host).is_some()), "{}", scenario.id);
        let quantizations = guide.quantizations(scenario);
        assert!(!quantizations.is_empty() && quantizations.iter().all(|id| catalog.quantization(id).is_some()));
        scenario.first.iter().chain(&scenario.second).chain(&scenario.fallbacks)
    });
    let answers = guide.questions().iter().flat_map(|fork| &fork.answers);
    let answers = answers.flat_map(|answer| {
        assert!(answer.scenario.as_ref().is_none_or(|id| guide.scenario(id).is_some()), "{}", answer.flags);
        assert!(answer.models.is_empty() || answer.scenario.is_some(), "{} names models for nothing", answer.flags);
        &answer.models
    });
    let missing: BTreeSet<&String> = ids.chain(answers).filter(|id| catalog.model(id).is_none()).collect();
    assert_eq!(missing, BTreeSet::new());
    let bases = catalog.models().filter(|model| guide.is_base(&model.id)).count();
    assert_eq!(bases, 10, "a base that the catalog does not have");
}

#[test]
fn the_matrix_has_its_17_rows_and_there_are_five_questions() {
    let guide = Guide::builtin();
    let rows: Vec<u8> = guide.scenarios().iter().map(|scenario| scenario.row).collect();
    assert_eq!(rows, (1..=17).collect::<Vec<_>>());
    let ids: HashSet<&str> = guide.scenarios().iter().map(|scenario| scenario.id.as_str()).collect();
    assert_eq!(ids.len(), 17);
    let questions: Vec<u8> = guide.questions().iter().map(|fork| fork.n).collect();
    assert_eq!(questions, [1, 2, 3, 4, 5]);
    assert!(guide.scenarios().iter().all(|scenario| !scenario.first.is_empty() && !scenario.second.is_empty()));
}

#[test]
fn quantizations_stand_in_the_order_of_their_bits_and_none_is_below_four() {
    let (catalog, guide) = (Catalog::builtin(), Guide::builtin());
    for scenario in guide.scenarios() {
        let bits = guide.quantizations(scenario).iter().map(|id| {
            let [low, high] = catalog.quantization(id).and_then(|row| row.bits_per_weight).expect("known bits");
            assert_eq!(low, high, "{id} is a range");
            high
        });
        let bits: Vec<f64> = bits.collect();
        assert!(bits.is_sorted_by(|a, b| a >= b) && bits.iter().all(|bits| *bits > 4.0), "{}: {bits:?}", scenario.id);
    }
}

#[test]
fn a_question_without_a_scenario_gets_that_of_its_flags() {
    let guide = Guide::builtin();
    let of = |language, fully_open, memory| guide.scenario_for(language, fully_open, memory).id.as_str();
    assert_eq!(of(None, false, false), "english");
    assert_eq!(of(Some("ko"), false, true), "korean");
    assert_eq!(of(Some("ja"), false, false), "japanese");
    assert_eq!(of(Some("fr"), false, true), "english", "no row of its own: general use, in French");
    assert_eq!(of(None, false, true), "single-gpu");
    assert_eq!(of(Some("ko"), true, true), "reproducible");
}

// --- the examples of the issue -----------------------------------------------------------------------------------

#[test]
fn korean_for_revenue_on_24_gb_names_models_whose_licence_allows_it() {
    let question = on_gpu("korean", Purpose::Revenue, 24);
    let advice = advise(&Catalog::with_assumptions(), &question);
    let first = &advice.choices[0];
    assert_eq!((first.model.as_str(), first.place), ("kanana-1.5-8b", Place::First));
    assert!(advice.choices.iter().all(|choice| choice.decision.outcome.allows()));
    assert!(advice.choices.iter().all(|choice| !choice.model.contains("exaone") && !choice.model.starts_with("hcx")));
    // Naver's HCX, the other half of the map's first choice, is closed.
    assert_eq!(troubles(&question, "hcx-005")[0], Trouble::License);
}

#[test]
fn why_not_exaone_is_its_licence_and_research_would_change_it() {
    let found = against(&on_gpu("korean", Purpose::Revenue, 24), "exaone-3.5-7.8b");
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(only.trouble, Trouble::License);
    assert!(only.reason.contains("EXAONE AI Model License Agreement 1.1 NC"), "{}", only.reason);
    assert_eq!(only.change.as_deref(), Some("a use that the licence allows: research"));
}

#[test]
fn exaone_is_advised_for_korean_research() {
    let models = chosen(&on_gpu("korean", Purpose::Research, 24));
    assert!(models.contains(&"exaone-3.5-7.8b".to_owned()), "{models:?}");
    let models = chosen(&question("korean", Purpose::Research));
    assert_eq!(models[..3], ["kanana-1.5-8b", "qwen2.5-72b-instruct", "exaone-3.5-32b"]);
}

#[test]
fn one_gpu_of_24_gb_takes_what_the_map_answers() {
    let question = Question {
        use_: used(Purpose::Revenue, Exposure::Public, Some("US")),
        ..on_gpu("single-gpu", Purpose::Revenue, 24)
    };
    let expected =
        ["phi-4", "gemma-3-12b-it", "llama-3.2-3b-instruct", "llama-3.2-11b-vision-instruct", "llama-3.2-1b-instruct"];
    assert_eq!(chosen(&question)[..5], expected);
    // From the European Union the picture-reading one is out, and the text ones stay.
    let seat = Some("DE".to_owned());
    let from_germany = Question { use_: Use { seat, ..question.use_.clone() }, ..question };
    assert_eq!(chosen(&from_germany)[..4], [expected[0], expected[1], expected[2], expected[4]]);
}

#[test]
fn one_gpu_of_80_gb_takes_llama_3_3_70b() {
    let question = on_gpu("single-gpu", Purpose::Revenue, 80);
    let choice = advise(&Catalog::with_assumptions(), &question).choices.swap_remove(0);
    assert_eq!((choice.model.as_str(), choice.place), ("llama-3.3-70b-instruct", Place::Answer(2)));
    let q4 = choice.rungs.iter().find(|rung| rung.quantization == "q4_k_m").expect("looked at");
    assert_eq!(q4.fit, Some(Fit::Fits));
    assert!(q4.longest_context.is_some_and(|tokens| tokens > 65_536), "{q4:?}");
    assert_eq!(troubles(&on_gpu("single-gpu", Purpose::Revenue, 24), "llama-3.3-70b-instruct"), [Trouble::Memory]);
}

#[test]
fn reproducible_is_olmo_2_and_nothing_with_weights_only() {
    let question = question("reproducible", Purpose::Research);
    assert_eq!(chosen(&question)[..2], ["olmo-2-13b-instruct", "olmo-2-7b-instruct"]);
    let catalog = Catalog::builtin();
    let open = |id: &String| catalog.model(id).expect("a model").openness.as_deref() == Some("fully-open");
    assert!(chosen(&question).iter().all(open));
    assert_eq!(troubles(&question, "tulu-3-70b"), [Trouble::Openness]);
}

// --- vendors' corrections ----------------------------------------------------------------------------------------

#[test]
fn a_choice_that_is_gone_falls_through_to_the_next() {
    // Codestral 25.01 has no weights and no API.
    assert_eq!(
        chosen(&question("code", Purpose::Revenue))[..2],
        ["qwen2.5-coder-32b-instruct", "qwen2.5-coder-14b-instruct"]
    );
    assert_eq!(troubles(&question("code", Purpose::Revenue), "codestral-25.01")[0], Trouble::Unavailable);
    // "Llama 4 full" is no model.
    assert_eq!(chosen(&question("pretrain", Purpose::Research))[0], "olmo-2-13b-instruct");
    // Mistral Large 2 is for research.
    let models = chosen(&question("english-cheap", Purpose::Internal));
    assert_eq!(models[..2], ["llama-3.3-70b-instruct", "phi-4"]);
    assert_eq!(chosen(&question("english-cheap", Purpose::Research))[1], "mistral-large-2");
}

#[test]
fn fast_means_hosts_with_chips_of_their_own_that_still_offer_the_model() {
    let advice = advise(&Catalog::with_assumptions(), &question("fast", Purpose::Revenue));
    let hosts: Vec<_> = advice.choices.iter().filter_map(|choice| choice.offer.as_ref()).collect();
    assert_eq!(hosts.len(), advice.choices.len());
    assert!(hosts.iter().all(|offer| offer.named_host), "{hosts:?}");
    // The map's Groq and Cerebras are gone from the row's model; SambaNova is left.
    assert_eq!((advice.choices[0].model.as_str(), hosts[0].host.as_str()), ("llama-3.3-70b-instruct", "sambanova"));
}

#[test]
fn an_offer_is_the_cheapest_that_is_believable_and_long_enough() {
    let catalog = Catalog::builtin();
    let offer =
        |question: &Question, id: &str| offer::cheapest(&catalog, question, catalog.model(id).expect("a model"));
    let asked = question("english", Purpose::Revenue);
    // Fireworks lists it for 0.1, which is a placeholder.
    let large = offer(&asked, "llama-3.1-405b-instruct").expect("an offer");
    assert!(large.input_usd_per_million > 1.0, "{large:?}");
    for id in ["llama-3.3-70b-instruct", "deepseek-v3", "qwen3-32b"] {
        let best = offer(&asked, id).expect("an offer");
        for host in catalog.hosts() {
            for price in catalog.offers(&host.id, id).iter().filter(|price| price.suspect.is_empty()) {
                if let (Some(input), Some(output)) = (price.input_usd_per_million, price.output_usd_per_million)
                    && price.relation <= crate::Relation::Variant
                {
                    assert!(best.blended() <= (3.0 * input + output) / 4.0, "{id} at {}", host.id);
                }
            }
        }
    }
    let long = Question { context_tokens: Some(1 << 40), ..asked };
    assert!(offer(&long, "qwen3-32b").is_none());
}

// --- what rules a model out --------------------------------------------------------------------------------------

#[test]
fn every_model_of_the_catalog_is_chosen_or_ruled_out_with_a_reason() {
    let catalog = Catalog::builtin();
    for scenario in Guide::builtin().scenarios() {
        let advice = advise(&catalog, &question(&scenario.id, Purpose::Revenue));
        let chosen = advice.choices.iter().map(|choice| choice.model.as_str());
        let ids: Vec<&str> = chosen.chain(advice.ruled_out.iter().map(|ruled_out| ruled_out.model.as_str())).collect();
        let unique: HashSet<&str> = ids.iter().copied().collect();
        assert_eq!((ids.len(), unique.len()), (catalog.models().count(), ids.len()), "{}", scenario.id);
        for ruled_out in &advice.ruled_out {
            assert!(!ruled_out.obstacles.is_empty(), "{}", ruled_out.model);
            assert!(ruled_out.obstacles.iter().all(|obstacle| !obstacle.reason.is_empty()), "{}", ruled_out.model);
        }
    }
}

#[test]
fn each_obstacle_says_what_would_change_it() {
    let long = Question { context_tokens: Some(65_536), ..on_gpu("korean", Purpose::Revenue, 24) };
    let found = against(&long, "qwen3-32b");
    let changes: Vec<_> = found.iter().map(|obstacle| (obstacle.trouble, obstacle.change.as_deref())).collect();
    assert_eq!(
        changes,
        [
            (Trouble::Context, Some("a context of at most 32768 tokens; another setting or checkpoint has 131072")),
            (Trouble::Memory, Some("42 GB of memory, or a context of at most 5941 tokens")),
        ]
    );
    let seat = &against(&question("english", Purpose::Revenue), "llama-4-maverick")[0];
    assert_eq!(seat.change.as_deref(), Some("a stated seat that the licence does not exclude"));
    assert_eq!(troubles(&question("korean", Purpose::Revenue), "phi-4"), [Trouble::Language]);
    assert_eq!(troubles(&question("free-license", Purpose::Revenue), "gemma-3-27b-it"), [Trouble::Tier]);
    assert_eq!(troubles(&question("vision", Purpose::Revenue), "phi-4"), [Trouble::Input, Trouble::Category]);
}

#[test]
fn what_would_change_the_memory_does_change_it() {
    let asked = on_gpu("single-gpu", Purpose::Revenue, 24);
    assert_eq!(troubles(&asked, "qwen3-32b"), [Trouble::Memory]);
    assert!(chosen(&on_gpu("single-gpu", Purpose::Revenue, 25)).contains(&"qwen3-32b".to_owned()));
    let shorter = Question { context_tokens: Some(5_941), ..asked };
    assert!(chosen(&shorter).contains(&"qwen3-32b".to_owned()));
}

#[test]
fn a_fit_that_is_not_known_is_no_fit() {
    let found = against(&on_gpu("chinese", Purpose::Revenue, 4), "minicpm3-4b");
    assert_eq!(found.iter().map(|obstacle| obstacle.trouble).collect::<Vec<_>>(), [Trouble::Memory]);
    assert!(found[0].reason.starts_with("the shape of `minicpm3-4b` is not known"), "{}", found[0].reason);
    assert!(chosen(&on_gpu("chinese", Purpose::Revenue, 24)).contains(&"minicpm3-4b".to_owned()));
}

#[test]
fn a_checkpoint_to_tune_is_not_advised_for_talking() {
    assert_eq!(troubles(&question("korean", Purpose::Revenue), "luxia-8b"), [Trouble::Category]);
}

// --- properties --------------------------------------------------------------------------------------------------

/// Every scenario with every purpose, exposure and a few seats.
fn every_question() -> impl Iterator<Item = Question> {
    let seats = [None, Some("DE"), Some("KR"), Some("US")];
    Guide::builtin().scenarios().iter().flat_map(move |scenario| {
        Purpose::ALL.into_iter().flat_map(move |purpose| {
            [Exposure::Internal, Exposure::Public].into_iter().flat_map(move |exposure| {
                seats.into_iter().map(move |seat| Question {
                    use_: used(purpose, exposure, seat),
                    ..question(&scenario.id, purpose)
                })
            })
        })
    })
}

#[test]
fn no_advised_model_is_denied_and_no_allowed_one_is_ruled_out_by_licence() {
    let catalog = Catalog::with_assumptions();
    let mut seen = 0;
    for question in every_question() {
        let advice = advise(&catalog, &question);
        for choice in &advice.choices {
            let decision =
                decide(&catalog, catalog.model(&choice.model).expect("a model"), &question.use_, question.today);
            assert!(decision.outcome.allows(), "{} for {:?}", choice.model, question.use_);
            assert_ne!(choice.decision.outcome, Outcome::Deny);
            assert_eq!(choice.decision, decision);
            seen += 1;
        }
        for ruled_out in &advice.ruled_out {
            let decision =
                decide(&catalog, catalog.model(&ruled_out.model).expect("a model"), &question.use_, question.today);
            let by_license =
                ruled_out.obstacles.iter().any(|o| matches!(o.trouble, Trouble::License | Trouble::Unavailable));
            assert_eq!(by_license, !decision.outcome.allows(), "{} for {:?}", ruled_out.model, question.use_);
        }
    }
    assert!(seen > 10_000, "{seen} choices in all questions");
}

#[test]
fn every_choice_fits_into_the_memory_that_counts() {
    for gb in [8, 24, 80, 192] {
        for scenario in Guide::builtin().scenarios().iter().filter(|scenario| !scenario.trains) {
            for choice in advise(&Catalog::with_assumptions(), &on_gpu(&scenario.id, Purpose::Revenue, gb)).choices {
                let rung = choice.rung().unwrap_or_else(|| panic!("{} has no quantization", choice.model));
                assert!(rung.need.total_bytes <= gb * GB, "{} on {gb} GB: {rung:?}", choice.model);
            }
        }
    }
}

#[test]
fn the_order_does_not_depend_on_the_order_of_rows_or_maps() {
    let mut files = crate::builtin::FILES.to_vec();
    files.reverse();
    let reversed = Catalog::from_files(&files).expect("the same rows");
    let ids = |catalog: &Catalog, question: &Question| {
        let advice = advise(catalog, question);
        let chosen = advice.choices.into_iter().map(|choice| choice.model);
        chosen.chain(advice.ruled_out.into_iter().map(|ruled_out| ruled_out.model)).collect::<Vec<_>>()
    };
    for scenario in Guide::builtin().scenarios() {
        let question = on_gpu(&scenario.id, Purpose::Revenue, 24);
        assert_eq!(ids(&Catalog::builtin(), &question), ids(&reversed, &question), "{}", scenario.id);
    }
}

#[test]
fn for_revenue_free_licences_come_first_among_what_the_map_does_not_name() {
    let advice = advise(&Catalog::with_assumptions(), &question("vision", Purpose::Revenue));
    let others = advice.choices.iter().filter(|choice| choice.place == Place::Other);
    let free: Vec<bool> = others.map(|choice| choice.decision.tier == Tier::Free).collect();
    assert!(free.is_sorted_by(|a, b| a >= b) && free.contains(&true) && free.contains(&false), "{free:?}");
}

#[test]
fn a_companys_own_model_is_advised_where_its_row_allows() {
    let row = "\
models:
  - {id: acme-ko, name: Acme Ko, family: acme, developer: Acme, availability: downloadable, parameters_b: 8,
     languages: [ko], strong_languages: [ko], license: apache-2.0, tier: 1, release_date: '2026-01-01'}
";
    let catalog = Catalog::builtin().with_overlays(&[("acme".to_owned(), row.to_owned())]).expect("a catalog");
    let advice = advise(&catalog, &on_gpu("korean", Purpose::Revenue, 48));
    let choice = advice.choices.iter().find(|choice| choice.model == "acme-ko").expect("advised");
    assert_eq!(choice.why, "for such work too: strong in ko, released in 2026");
    // Its shape is nobody's to know, so its cache is bounded from above.
    assert_eq!(choice.rung().expect("fits").need.cache_from, fit::ShapeSource::Bound);
}
