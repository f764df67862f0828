//! Who serves a request, in which order, and why nobody does.

use std::sync::Arc;

use catalog::Outcome;
use policies::{Capability, Deployment, Facts, FailureClass, Live, Needs, Place, Spread, Verdict};

use crate::world::{World, asks, hosted, local, research};

#[test]
fn without_prefer_the_list_decides_and_any_stands_for_the_rest() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [qwen3-8b, any, llama-3.3-70b-instruct]}\n",
        ["llama-3.3-70b-instruct", "pointsman-demo", "phi-4", "qwen3-8b"].map(local).into(),
    );
    assert_eq!(world.order(&asks("auto")), ["qwen3-8b", "phi-4", "llama-3.3-70b-instruct", "pointsman-demo"]);
}

#[test]
fn deployments_of_one_entry_are_ordered_by_score() {
    let mut world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [qwen3-32b, phi-4]}\n",
        vec![hosted("together", "qwen3-32b", 2.0), hosted("deepinfra", "qwen3-32b", 0.2), local("phi-4")],
    );
    assert_eq!(world.order(&asks("auto")), ["deepinfra-qwen3-32b", "together-qwen3-32b", "phi-4"]);
    world.live("deepinfra-qwen3-32b").error_rate = 0.9;
    assert_eq!(world.order(&asks("auto")), ["together-qwen3-32b", "deepinfra-qwen3-32b", "phi-4"]);
}

#[test]
fn with_prefer_the_score_decides_and_the_list_breaks_ties() {
    let routes = "
  - {name: good, match: {model: good}, prefer: {quality: 1}, candidates: [qwen3-8b, llama-3.3-70b-instruct]}
  - {name: cheap, match: {model: cheap}, prefer: {cost: 1}, candidates: [llama-3.3-70b-instruct, qwen3-8b]}
  - {name: tie, match: {model: tie}, prefer: {cost: 1}, candidates: [phi-4, qwen3-14b]}
";
    let deployments = vec![
        hosted("together", "llama-3.3-70b-instruct", 0.9),
        hosted("together", "qwen3-8b", 0.2),
        local("qwen3-14b"),
        local("phi-4"),
    ];
    let world = World::new(routes, deployments);
    assert_eq!(world.order(&asks("good"))[0], "together-llama-3.3-70b-instruct");
    assert_eq!(world.order(&asks("cheap"))[0], "together-qwen3-8b");
    assert_eq!(world.order(&asks("tie")), ["phi-4", "qwen3-14b"]);
}

#[test]
fn a_value_that_is_not_known_counts_as_the_mean_of_the_known_ones() {
    let mut world = World::new(
        "  - {name: r, match: {model: auto}, prefer: {latency: 1}, candidates: [any]}\n",
        ["qwen3-8b", "phi-4", "qwen3-14b"].map(local).into(),
    );
    let before = world.plan(&asks("auto"));
    assert!(before.candidates.iter().all(|c| (c.score - 0.5).abs() < 1e-6), "nothing is known: all alike");
    for (id, ttft, tpot) in [("qwen3-8b", 50.0, 1.0), ("phi-4", 9_000.0, 10.0)] {
        *world.live(id) =
            Live { ttft: Some(Spread::always(ttft)), tpot: Some(Spread::always(tpot)), ..Live::default() };
    }
    assert_eq!(world.order(&asks("auto")), ["qwen3-8b", "qwen3-14b", "phi-4"]);
}

#[test]
fn the_demo_model_comes_last_wherever_a_wildcard_reaches_it() {
    let routes = "
  - {name: any, match: {model: a}, prefer: {cost: 1}, candidates: [any]}
  - {name: family, match: {model: f}, candidates: [\"family:pointsman\", qwen3-8b]}
";
    let world = World::new(routes, vec![local("pointsman-demo"), hosted("together", "qwen3-8b", 9.0)]);
    for name in ["a", "f"] {
        assert_eq!(world.order(&asks(name)), ["together-qwen3-8b", "pointsman-demo"], "{name}");
    }
}

#[test]
fn the_language_of_the_request_weighs_on_quality() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, prefer: {quality: 1}, candidates: [any]}\n",
        ["llama-3.1-8b-instruct", "kanana-1.5-8b"].map(local).into(),
    );
    let korean = Facts { language: Some("ko".to_owned()), ..asks("auto") };
    assert_eq!(world.order(&korean)[0], "kanana-1.5-8b");
}

#[test]
fn the_language_is_asked_for_where_it_can_make_a_difference() {
    let routes = "
  - {name: ko, match: {model: matched, language: ko}, candidates: [phi-4]}
  - {name: m, match: {model: matched}, candidates: [phi-4]}
  - {name: quality, match: {model: quality}, prefer: {quality: 1}, candidates: [phi-4, qwen3-8b]}
  - {name: cost, match: {model: cost}, prefer: {cost: 1}, candidates: [phi-4, qwen3-8b]}
  - {name: list, match: {model: list}, candidates: [phi-4, qwen3-8b]}
  - {name: any, match: {model: any}, candidates: [any]}
";
    let world = World::new(routes, vec![local("phi-4"), local("qwen3-8b")]);
    let asked = ["matched", "quality", "cost", "list", "any", "phi-4"];
    let asks = asked.map(|model| world.policies.asks_language(&world.catalog, model, None));
    assert_eq!(asks, [true, true, false, false, true, false]);
}

#[test]
fn the_first_route_that_takes_the_request_decides() {
    let routes = "
  - {name: tools, match: {model: auto, needs: [tools]}, candidates: [qwen3-8b]}
  - {name: support-ko, match: {team: [support, sales], language: [ko, ja], model: auto}, candidates: [qwen3-8b]}
  - {name: bot, match: {context: bot, stream: true}, candidates: [qwen3-8b]}
  - {name: long, match: {model: auto, prompt_tokens: {min: 1_000, max: 2_000}}, candidates: [qwen3-8b]}
  - {name: rest, match: {model: [auto, qwen3-14b]}, candidates: [qwen3-8b]}
";
    let world = World::new(routes, vec![local("qwen3-8b"), local("qwen3-14b"), local("phi-4")]);
    let auto = || asks("auto");
    let text = |text: &str| Some(text.to_owned());
    let route = |facts: Facts| world.plan(&facts).route.as_deref().unwrap_or("none").to_owned();
    assert_eq!(route(Facts { needs: Needs { tools: true, ..Needs::default() }, ..auto() }), "tools");
    assert_eq!(route(Facts { team: text("sales"), language: text("ja"), ..auto() }), "support-ko");
    assert_eq!(route(Facts { team: text("sales"), language: None, ..auto() }), "rest");
    assert_eq!(route(Facts { context: text("bot"), stream: true, ..asks("phi-4") }), "bot");
    assert_eq!(route(Facts { prompt_tokens: 2_000, ..auto() }), "long");
    assert_eq!(route(Facts { prompt_tokens: 2_001, ..auto() }), "rest");
    assert_eq!(route(asks("qwen3-14b")), "rest", "a route goes before the model's own name");
    assert_eq!(route(asks("Qwen/Qwen3-14B")), "rest", "an alias stands for the catalog id");
    assert_eq!(route(asks("phi-4")), "direct");
}

#[test]
fn a_model_or_deployment_asked_for_by_name_is_served_without_a_route() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [any]}\n",
        vec![hosted("together", "qwen3-32b", 1.0), hosted("deepinfra", "qwen3-32b", 0.5), local("phi-4")],
    );
    assert_eq!(world.order(&asks("qwen3-32b")), ["deepinfra-qwen3-32b", "together-qwen3-32b"]);
    assert_eq!(world.order(&asks("Qwen/Qwen3-32B")), ["deepinfra-qwen3-32b", "together-qwen3-32b"]);
    assert_eq!(world.order(&asks("together-qwen3-32b")), ["together-qwen3-32b"]);
}

#[test]
fn the_last_resort_and_every_place_stay_in_a_plan_that_is_cut_short() {
    let hosts = ["groq", "together", "deepinfra", "fireworks"];
    // The cheaper a host, the more of its deployments come before those of the others.
    let many = hosts.iter().zip([0.01, 0.1, 1.0, 5.0]).flat_map(|(host, usd)| {
        (0..10).map(move |n| Deployment { id: format!("{host}/{n}"), ..hosted(host, "qwen3-32b", usd) })
    });
    let demo = Deployment { id: "demo".to_owned(), ..local("pointsman-demo") };
    let routes = "
  - {name: any, match: {model: wildcard}, prefer: {cost: 1}, candidates: [any]}
  - {name: listed, match: {model: listed}, candidates: [qwen3-32b, demo]}
";
    let world = World::new(routes, many.chain([demo]).collect());
    for name in ["wildcard", "listed"] {
        let plan = world.plan(&asks(name));
        assert_eq!((plan.candidates.len(), plan.more), (16, 25), "{name}");
        let order = world.order(&asks(name));
        assert_eq!(
            order[..10],
            (0..10).map(|n| format!("groq/{n}")).collect::<Vec<_>>(),
            "{name}: the best come first"
        );
        for host in hosts {
            assert!(order.iter().any(|id| id.starts_with(host)), "{name}: nobody at {host} in {order:?}");
        }
        assert_eq!(order[15], "demo", "{name}");
    }
}

#[test]
fn a_requirement_that_is_not_met_or_not_known_keeps_a_candidate_out_with_its_reason() {
    let full = |id: &str| Deployment {
        region: Some("eu".to_owned()),
        retention: Some("none".to_owned()),
        quantization_bits: Some(8.0),
        context_tokens: Some(32_768),
        capabilities: vec!["tools".to_owned()],
        ..Deployment { id: id.to_owned(), ..hosted("together", "qwen3-32b", 0.5) }
    };
    let deployments = vec![
        full("fits"),
        Deployment { region: Some("us".to_owned()), ..full("us") },
        Deployment { region: None, ..full("nowhere") },
        Deployment { retention: Some("30d".to_owned()), ..full("keeps") },
        Deployment { quantization_bits: Some(4.0), ..full("coarse") },
        Deployment { context_tokens: Some(8_192), ..full("short") },
        Deployment { capabilities: vec!["logprobs".to_owned()], ..full("toolless") },
        Deployment { output_usd_per_million: Some(1.5), ..full("dear") },
        Deployment { output_usd_per_million: None, ..full("unpriced") },
        Deployment { model: "llama-3.3-70b-instruct".to_owned(), ..full("llama") },
    ];
    let world = World::new(
        "
  - name: r
    match: {model: auto}
    require:
      license: {max_tier: 1}
      context_tokens: {min: 32768}
      capabilities: [tools]
      region: [kr, eu]
      retention: none
      quantization: {min_bits: 8}
      price: {input_usd_per_million: {max: 1}, output_usd_per_million: {max: 1.0}}
    candidates: [any]
",
        deployments,
    );
    let plan = world.plan(&asks("auto"));
    assert_eq!(world.order(&asks("auto")), ["fits"]);
    let out: Vec<_> =
        plan.rejected().filter_map(|r| Some((world.deployments[r.deployment?].id.as_str(), r.code()))).collect();
    assert_eq!(
        out,
        [
            ("us", "required-region"),
            ("nowhere", "required-region"),
            ("keeps", "required-retention"),
            ("coarse", "required-quantization"),
            ("short", "required-context"),
            ("toolless", "required-capability"),
            ("dear", "required-price"),
            ("unpriced", "required-price"),
            ("llama", "required-license"),
        ]
    );
    let reasons: Vec<String> = plan.rejected().map(|r| r.reason()).collect();
    assert_eq!(reasons[0], "its region is us; the route requires kr, eu");
    assert_eq!(reasons[1], "its region is not known; the route requires kr, eu");
}

#[test]
fn a_local_engine_is_local_keeps_nothing_and_costs_nothing() {
    let world = World::new(
        "
  - name: r
    match: {model: auto}
    require: {region: local, retention: none, price: {output_usd_per_million: {max: 0}}}
    candidates: [any]
",
        vec![local("qwen3-8b"), hosted("together", "qwen3-8b", 0.0)],
    );
    assert_eq!(world.order(&asks("auto")), ["qwen3-8b"]);
}

#[test]
fn licences_may_be_listed_by_id() {
    let routes = "
  - {name: a, match: {model: a}, require: {license: {allow: [apache-2.0]}}, candidates: [any]}
  - {name: d, match: {model: d}, require: {license: {deny: [apache-2.0]}}, candidates: [any]}
";
    let world = World::new(routes, vec![local("phi-4"), local("qwen3-8b")]);
    assert_eq!(world.order(&asks("a")), ["qwen3-8b"]);
    assert_eq!(world.order(&asks("d")), ["phi-4"]);
}

#[test]
fn a_licence_that_forbids_the_use_is_refused_with_its_rule_and_alternatives() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [mistral-large-2, qwen3-8b]}\n",
        ["mistral-large-2", "qwen3-8b", "llama-3.3-70b-instruct", "pointsman-demo"].map(local).into(),
    );
    let Verdict::License { model, decision, alternatives } = world.plan(&asks("mistral-large-2")).verdict else {
        panic!("not refused by licence")
    };
    assert_eq!(
        (&*model, decision.rule, &*decision.license),
        ("mistral-large-2", "tier3-commercial", "mistral-research")
    );
    assert_eq!(decision.outcome, Outcome::Deny);
    assert_eq!(alternatives, ["llama-3.3-70b-instruct", "qwen3-8b", "pointsman-demo"]);

    let allowed = Facts { use_: research().into(), ..asks("mistral-large-2") };
    assert_eq!(world.order(&allowed), ["mistral-large-2"]);
    assert_eq!(world.order(&asks("auto")), ["qwen3-8b"], "on a route the next candidate serves");
}

#[test]
fn the_licence_of_a_draft_binds_as_the_models_own_does() {
    let with =
        |id: &str, draft: &str| Deployment { id: id.to_owned(), draft: Some(draft.to_owned()), ..local("qwen3-8b") };
    let routes = "  - {name: r, match: {model: auto}, candidates: [qwen3-8b]}\n";
    let deployed =
        vec![with("denied", "mistral-large-2"), with("free", "qwen3-0.6b"), with("unknown", "no-such-model")];
    let world = World::new(routes, deployed.clone());
    assert_eq!(world.order(&asks("auto")), ["free"]);
    let allowed = Facts { use_: research().into(), ..asks("auto") };
    let mut order = world.order(&allowed);
    order.sort_unstable();
    assert_eq!(order, ["denied", "free"], "what the catalog does not know serves nobody");
    // Only the draft is not to be used.
    let world = World::new(routes, deployed[..1].to_vec());
    let Verdict::License { model, decision, .. } = world.plan(&asks("qwen3-8b")).verdict else {
        panic!("not refused by licence")
    };
    assert_eq!((&*model, &*decision.license), ("qwen3-8b", "mistral-research"));
}

#[test]
fn a_model_that_is_not_deployed_still_gets_its_licence_verdict_first() {
    let world = World::new("  - {name: r, match: {model: auto}, candidates: [any]}\n", vec![local("qwen3-8b")]);
    assert_eq!(world.plan(&asks("mistral-large-2")).verdict.as_str(), "license");
    let plan = world.plan(&asks("phi-4"));
    let Verdict::NoneFits { code, alternatives, .. } = plan.verdict else { panic!("{:?}", plan.verdict) };
    assert_eq!((code, alternatives), ("not-deployed", vec!["qwen3-8b".to_owned()]));
}

#[test]
fn an_unknown_model_is_answered_with_the_nearest_names() {
    let world = World::new(
        "  - {name: r, match: {model: [auto, korean]}, candidates: [any]}\n",
        vec![Deployment::new("lab-vllm", "qwen3-32b", Place::Server("vllm".to_owned()))],
    );
    let nearest = |name: &str| match world.plan(&asks(name)).verdict {
        Verdict::UnknownModel { nearest } => nearest,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(nearest("auot")[0], "auto");
    assert_eq!(nearest("lab-vlm")[0], "lab-vllm");
    assert_eq!(nearest("lama-3.3-70b-instruct")[0], "llama-3.3-70b-instruct");
    assert_eq!(nearest("zzzzzz"), Vec::<String>::new());
    let replaced = nearest("qwen3-72b");
    assert_eq!(world.catalog.model("qwen3-72b").and_then(|m| m.replacement.clone()).as_ref(), replaced.first());
}

#[test]
fn a_prompt_that_is_too_long_is_told_in_tokens() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [any]}\n",
        vec![
            Deployment { context_tokens: Some(4_096), ..local("qwen3-8b") },
            Deployment { context_tokens: Some(8_192), ..local("phi-4") },
        ],
    );
    let at = |tokens| world.plan(&Facts { prompt_tokens: tokens, ..asks("auto") });
    assert_eq!(at(8_191).candidates.len(), 1);
    let Verdict::NoneFits { code, reason, .. } = at(8_192).verdict else { panic!("it fits") };
    assert_eq!(code, "context-too-long");
    assert!(reason.contains("8192 tokens") && reason.contains("holds 8192"), "{reason}");
    assert_eq!(at(u64::MAX).verdict.as_str(), "none_fits");
}

#[test]
fn a_candidate_with_room_for_the_whole_answer_comes_first() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [qwen3-8b, phi-4]}\n",
        vec![
            Deployment { context_tokens: Some(1_000), ..local("qwen3-8b") },
            Deployment { context_tokens: Some(9_000), ..local("phi-4") },
        ],
    );
    let facts = |max_tokens| Facts { prompt_tokens: 500, max_tokens, ..asks("auto") };
    assert_eq!(world.order(&facts(Some(500))), ["qwen3-8b", "phi-4"]);
    assert_eq!(world.order(&facts(Some(501))), ["phi-4", "qwen3-8b"]);
    assert_eq!(world.order(&facts(Some(u64::MAX))), ["qwen3-8b", "phi-4"], "where none has room the list decides");
}

#[test]
fn what_the_request_needs_keeps_out_those_that_lack_it() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [any]}\n",
        vec![
            local("qwen3-8b"),
            Deployment { capabilities: vec!["logprobs".to_owned()], ..local("phi-4") },
            local("qwen2.5-vl-7b-instruct"),
        ],
    );
    let with = |needs| world.order(&Facts { needs, ..asks("auto") }).join(" ");
    assert_eq!(with(Needs { image: true, ..Needs::default() }), "qwen2.5-vl-7b-instruct");
    assert!(!with(Needs { tools: true, ..Needs::default() }).contains("phi-4"), "its own list has no tools");
    assert!(with(Needs { logprobs: true, ..Needs::default() }).contains("qwen3-8b"), "not known is not a no");
}

#[test]
fn a_route_that_says_so_sends_a_request_without_what_a_place_lacks_and_tells_of_it() {
    let world = World::new(
        "
  - {name: r, match: {model: auto}, leave_out: [seed, penalties], candidates: [qwen3-32b, any]}
  - {name: s, match: {model: strict}, candidates: [qwen3-32b, any]}
",
        vec![
            Deployment {
                lacks: ["seed", "penalties", "logit_bias"].map(str::to_owned).to_vec(),
                ..hosted("groq", "qwen3-32b", 0.1)
            },
            local("qwen3-8b"),
        ],
    );
    let asks = |model: &str, needs: Needs| world.plan(&Facts { needs, ..asks(model) });
    let seed = Needs { seed: true, ..Needs::default() };
    let plan = asks("auto", seed);
    let [first, second] = &plan.candidates[..] else { panic!("{plan:?}") };
    assert_eq!(first.leaves_out, [Capability::Seed].into_iter().collect());
    assert!(first.reasons().iter().any(|reason| reason.code == "leaves-out" && reason.text.contains("seed")));
    assert!(second.leaves_out.is_empty(), "it has all that is asked");
    assert!(asks("auto", Needs::default()).candidates[0].leaves_out.is_empty(), "nothing of that is asked");
    for plan in [asks("strict", seed), asks("auto", Needs { logit_bias: true, ..seed })] {
        assert_eq!(plan.candidates.len(), 1, "{plan:?}");
        assert_eq!(plan.rejected().map(|rejected| rejected.code()).collect::<Vec<_>>(), ["lacks-capability"]);
    }
}

#[test]
fn what_a_place_is_said_to_lack_keeps_it_out_whatever_its_model_can_do() {
    let lacks = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let world = World::new(
        "
  - {name: r, match: {model: auto}, candidates: [any]}
  - {name: t, match: {model: tools}, require: {capabilities: [tools]}, candidates: [any]}
",
        vec![
            Deployment {
                lacks: lacks(&["completions", "choices", "logit_bias", "seed", "penalties", "tools"]),
                ..hosted("groq", "qwen3-32b", 0.1)
            },
            // A list of capabilities says nothing of what every place has unless it lacks it.
            Deployment { capabilities: vec!["tools".to_owned()], ..local("qwen3-8b") },
        ],
    );
    let none = Needs::default();
    assert_eq!(world.order(&asks("auto")), ["qwen3-8b", "groq-qwen3-32b"]);
    for needs in [
        Needs { completions: true, ..none },
        Needs { choices: true, ..none },
        Needs { logit_bias: true, ..none },
        Needs { seed: true, ..none },
        Needs { penalties: true, ..none },
        Needs { tools: true, ..none },
    ] {
        let facts = Facts { needs, ..asks("auto") };
        assert_eq!(world.order(&facts), ["qwen3-8b"], "{needs:?}");
        let plan = world.plan(&facts);
        let [rejected] = plan.rejected().collect::<Vec<_>>()[..] else { panic!("{needs:?}") };
        assert_eq!(rejected.code(), "lacks-capability", "{needs:?}");
        assert_eq!(Needs::from(needs.capabilities()), needs);
    }
    assert_eq!(world.order(&asks("tools")), ["qwen3-8b"]);
}

#[test]
fn nobody_healthy_is_another_verdict_than_nobody_able() {
    let mut world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [qwen3-8b, mistral-large-2]}\n",
        vec![local("qwen3-8b"), local("mistral-large-2"), local("phi-4")],
    );
    world.live("qwen3-8b").healthy = false;
    let Verdict::Unavailable { models, again_ms } = world.plan(&asks("auto")).verdict else { panic!("available") };
    assert_eq!((models.iter().map(|m| &**m).collect::<Vec<_>>(), again_ms), (vec!["qwen3-8b"], None));
}

#[test]
fn one_that_is_at_a_limit_is_left_alone_until_then_and_the_callers_are_told_when() {
    let mut world =
        World::new("  - {name: r, match: {model: auto}, candidates: [any]}\n", vec![local("qwen3-8b"), local("phi-4")]);
    world.live("qwen3-8b").throttled_ms = 7_000;
    assert_eq!(world.order(&asks("auto")), ["phi-4"]);
    world.live("phi-4").full = true;
    let plan = world.plan(&asks("auto"));
    assert!(matches!(&plan.verdict, Verdict::Unavailable { again_ms: Some(7_000), .. }), "{:?}", plan.verdict);
    let mut out: Vec<_> = plan.rejected().map(|out| (out.code(), out.reason())).collect();
    out.sort_unstable();
    assert_eq!(
        out,
        [
            ("full", "as many requests run there as it may be given".to_owned()),
            ("throttled", "a limit of its own is used up; it says to come back in 7 s".to_owned()),
        ]
    );
    world.live("phi-4").throttled_ms = 3_000;
    let verdict = world.plan(&asks("auto")).verdict;
    assert!(matches!(verdict, Verdict::Unavailable { again_ms: Some(3_000), .. }), "the first of them: {verdict:?}");
}

#[test]
fn attempts_are_those_of_the_route() {
    let world = World::new(
        "
  - name: r
    match: {model: auto}
    candidates: [any]
    attempts: {max: 5, budget: 500ms, on: [connect, \"429\", 5xx], deadlines: {total: 2m}}
",
        vec![local("qwen3-8b")],
    );
    let attempts = world.plan(&asks("auto")).attempts;
    assert_eq!((attempts.max, attempts.budget.as_millis()), (5, 500));
    assert_eq!(attempts.deadlines.total.as_secs(), 120);
    assert_eq!(attempts.deadlines.idle.as_secs(), 20, "what is left out keeps its default");
    assert!(attempts.on.contains(FailureClass::TooManyRequests) && !attempts.on.contains(FailureClass::TimeoutTotal));
    assert!(world.plan(&asks("qwen3-8b")).attempts.on.contains(FailureClass::Auth), "by default");
}

#[test]
fn the_table_and_the_json_say_what_the_plan_says() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [kanana-1.5-8b, mistral-large-2, mixtral-8x7b-instruct]}\n",
        vec![local("kanana-1.5-8b"), local("mistral-large-2")],
    );
    let plan = world.plan(&asks("auto"));
    let text = plan.explain(&world.snapshot());
    for part in ["route    r", "kanana-1.5-8b", "apache-2.0 (tier 1)", "not-deployed", "mistral-research"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let report = plan.report(&world.snapshot());
    assert_eq!(report.candidates[0].deployment, "kanana-1.5-8b");
    assert_eq!(report.rejected.iter().map(|r| r.code).collect::<Vec<_>>(), ["license", "not-deployed"]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["verdict"], "serve");
    assert_eq!(json["attempts"]["deadlines"]["connect"], 2000);
    assert_eq!(json["attempts"]["on"][2], "429");
}

#[test]
fn a_rule_of_the_company_asks_other_models_instead_within_what_the_route_requires() {
    let rules = "rules:
  - {id: no-llama, match: {developers: [Meta]}, when: {purposes: [revenue]}, then: route, to: [phi-4, mistral-large-2, qwen3-32b],
     reason: not reviewed}
";
    let files = [("acme.yaml".to_owned(), rules.to_owned())];
    let catalog = Arc::new(catalog::Catalog::builtin().with_overlays(&files).expect("rules in order"));
    let routes = "
  - {name: small, match: {model: small}, require: {context_tokens: {min: 20000}}, candidates: [llama-3.3-70b-instruct]}
  - {name: pair, match: {model: pair}, candidates: [llama-3.3-70b-instruct, qwen3-32b]}
  - {name: without, match: {model: without}, candidates: [qwen3-32b]}
";
    let deployed = ["llama-3.3-70b-instruct", "phi-4", "mistral-large-2", "qwen3-32b"].map(local).to_vec();
    let world = World::over(catalog, routes, deployed);
    // Asked for by name: the rule's order, without the one that its licence keeps out.
    assert_eq!(world.order(&asks("llama-3.3-70b-instruct")), ["phi-4", "qwen3-32b"]);
    let plan = world.plan(&asks("llama-3.3-70b-instruct"));
    let out: Vec<_> = plan.rejected().map(|rejected| (rejected.model, rejected.code())).collect();
    assert_eq!(out, [("llama-3.3-70b-instruct", "license"), ("mistral-large-2", "license")]);
    assert!(plan.candidates[0].reasons().iter().any(|reason| reason.code == "instead"));
    // Phi's window is too small for what the route requires.
    assert_eq!(world.order(&asks("small")), ["qwen3-32b"]);
    // What the route names comes first; nothing is asked instead where nothing was turned away.
    assert_eq!(world.order(&asks("pair")), ["qwen3-32b", "phi-4"]);
    assert_eq!(world.order(&asks("without")), ["qwen3-32b"]);
    // Another use is not turned away.
    let research = Facts { use_: Arc::new(research()), ..asks("llama-3.3-70b-instruct") };
    assert_eq!(world.order(&research), ["llama-3.3-70b-instruct"]);
}

#[test]
fn others_are_asked_only_where_no_candidate_may_serve_and_within_the_same_rules() {
    let routes = "
  - name: r
    match: {model: auto}
    require: {context_tokens: {min: 20000}}
    candidates: [llama-3.3-70b-instruct]
    on_none: {degrade_to: [phi-4, mistral-large-2, qwen3-32b, llama-3.3-70b-instruct]}
";
    let deployed = ["llama-3.3-70b-instruct", "phi-4", "mistral-large-2", "qwen3-32b"].map(local).to_vec();
    let mut world = World::new(routes, deployed);
    assert_eq!(world.order(&asks("auto")), ["llama-3.3-70b-instruct"]);
    assert_eq!(world.plan(&asks("auto")).rejected().count(), 0, "nobody else was asked");
    world.live("llama-3.3-70b-instruct").healthy = false;
    // Phi's window is smaller than what the route requires, and the licence of Mistral Large 2 forbids the use.
    assert_eq!(world.order(&asks("auto")), ["qwen3-32b"]);
    let plan = world.plan(&asks("auto"));
    let mut out: Vec<_> = plan.rejected().map(|rejected| (rejected.model, rejected.code())).collect();
    out.sort_unstable();
    let expected =
        [("llama-3.3-70b-instruct", "unhealthy"), ("mistral-large-2", "license"), ("phi-4", "required-context")];
    assert_eq!(out, expected);
    let reason = plan.candidates[0].reasons().into_iter().find(|reason| reason.code == "degraded").expect("a reason");
    assert_eq!(reason.text, "asked because no candidate of the route may serve");
    assert!(plan.explain(&world.snapshot()).contains(&reason.text));
    // They are asked by health too.
    world.live("qwen3-32b").healthy = false;
    assert!(matches!(world.plan(&asks("auto")).verdict, Verdict::Unavailable { .. }));
}
