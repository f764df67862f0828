//! What else a route does with a request: splits, mirroring, groups of attempts, waiting, presets, hardware.

use catalog::Guide;
use policies::{Deployment, Facts, FailureClass, HedgeAfter, Verdict, run_tests};

use crate::world::{World, asks, hosted, local, today};

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn split_world() -> World {
    World::new(
        "
  - name: r
    match: {model: auto}
    split: {by: key, arms: [{name: canary, weight: 10, candidates: [phi-4]}, {name: stable, weight: 90}]}
    candidates: [qwen3-8b, qwen3-32b]
",
        vec![local("qwen3-8b"), local("qwen3-32b"), local("phi-4")],
    )
}

#[test]
fn an_arm_asks_its_own_candidates_first_and_then_those_of_the_route() {
    let world = split_world();
    let on = |arm: &str| Facts { arm: text(arm), ..asks("auto") };
    assert_eq!(world.order(&on("canary")), ["phi-4", "qwen3-8b", "qwen3-32b"]);
    assert_eq!(world.order(&on("stable")), ["qwen3-8b", "qwen3-32b"]);
    assert_eq!(world.plan(&on("canary")).arm.as_deref(), Some("canary"));
    let shown = world.plan(&on("canary")).explain(&world.snapshot());
    assert!(shown.contains("arm      canary, 10.0000 % of the requests, split by key"), "{shown}");
}

#[test]
fn a_key_stays_on_its_arm_and_a_tenth_of_the_keys_is_on_the_canary() {
    let world = split_world();
    let arm = |key: usize, draw| {
        world.plan(&Facts { key: Some(format!("key-{key}")), draw, ..asks("auto") }).arm.expect("an arm")
    };
    let canaries = (0..2_000).filter(|key| &*arm(*key, 0) == "canary").count();
    assert!((150..250).contains(&canaries), "{canaries}");
    assert!((0..200).all(|key| arm(key, 0) == arm(key, 7) && arm(key, 7) == arm(key, u64::MAX)));
}

#[test]
fn the_preference_of_a_route_does_not_mix_an_arms_candidates_with_its_own() {
    let world = World::new(
        "
  - name: r
    match: {model: auto}
    prefer: {cost: 1}
    split: {arms: [{name: dear, weight: 1, candidates: [any]}, {name: rest, weight: 1}]}
    candidates: [\"host:groq\"]
",
        vec![hosted("groq", "qwen3-32b", 0.1), hosted("together", "qwen3-32b", 9.0)],
    );
    let on = |arm: &str| Facts { arm: text(arm), ..asks("auto") };
    assert_eq!(world.order(&on("dear")), ["groq-qwen3-32b", "together-qwen3-32b"]);
    assert_eq!(world.order(&on("rest")), ["groq-qwen3-32b"]);
}

#[test]
fn tests_of_a_policy_may_say_the_arm_and_expect_it() {
    let world = World::of(
        "
version: 1
routes:
  - name: r
    match: {model: auto}
    split: {by: team, arms: [{name: a, weight: 1, candidates: [phi-4]}, {name: b, weight: 0}]}
    shadow: {share: 0.01, candidates: [qwen3-32b]}
    candidates: [qwen3-8b]
tests:
  - {name: a, request: {model: auto, arm: a}, expect: {arm: a, first: phi-4, shadow: qwen3-32b}}
  - {name: drawn, request: {model: auto, team: x}, expect: {arm: a}}
  - {name: b, request: {model: auto, arm: b}, expect: {arm: b, order: [qwen3-8b]}}
  - {name: wrong arm, request: {model: auto, arm: b}, expect: {arm: a}}
  - {name: wrong shadow, request: {model: auto}, expect: {shadow: phi-4, never: qwen3-32b}}
",
        vec![local("qwen3-8b"), local("qwen3-32b"), local("phi-4")],
    );
    let failures: Vec<Vec<String>> =
        run_tests(&world.snapshot(), today()).into_iter().map(|result| result.failures).collect();
    assert_eq!(failures[..3], [vec![], vec![], Vec::<String>::new()]);
    assert_eq!(failures[3], ["expected the arm `a`, got `b`"]);
    let expected = ["expected the shadow `phi-4`, got `qwen3-32b`", "expected `qwen3-32b` never, got it as the shadow"];
    assert_eq!(failures[4], expected);
}

fn shadow_world(list: &str) -> World {
    World::new(
        &format!(
            "
  - name: r
    match: {{model: auto}}
    require: {{license: {{max_tier: 2}}}}
    candidates: [qwen3-8b]
    shadow: {{share: 0.1, candidates: {list}}}
"
        ),
        vec![local("qwen3-8b"), local("qwen3-32b"), local("mistral-large-2"), local("llama-3.3-70b-instruct")],
    )
}

#[test]
fn a_share_of_the_requests_is_mirrored_to_one_who_is_not_asked_first_anyway() {
    let world = shadow_world("[qwen3-8b, qwen3-32b, any]");
    let mirrored = |draw| world.plan(&Facts { draw, ..asks("auto") }).shadow;
    let shadow = mirrored(0).expect("what may be mirrored is shown");
    assert_eq!(shadow.candidates.len(), 1);
    assert_eq!((&**shadow.candidates[0].model(), shadow.attempts.max), ("qwen3-32b", 1));
    assert!(shadow.shadow.is_none() && shadow.verdict == Verdict::Serve);
    let many = (1..=5_000).filter(|draw| mirrored(*draw).is_some()).count();
    assert!((400..600).contains(&many), "{many}");
    let shown = world.plan(&asks("auto")).explain(&world.snapshot());
    assert!(shown.contains("mirrored to `qwen3-32b`, 10.0000 % of the requests"), "{shown}");
}

#[test]
fn nothing_is_mirrored_to_one_whom_licence_or_route_keep_out_or_where_nobody_serves() {
    let mut world = shadow_world("[mistral-large-2]");
    let shadow = world.plan(&asks("auto")).shadow.expect("looked at");
    assert!(shadow.candidates.is_empty() && shadow.verdict != Verdict::Serve, "{:?}", shadow.verdict);
    assert_eq!(shadow.rejected().map(|rejected| rejected.code()).collect::<Vec<_>>(), ["required-license"]);
    world.live("qwen3-8b").healthy = false;
    assert!(world.plan(&asks("auto")).shadow.is_none());
}

#[test]
fn a_group_holds_for_its_candidates_and_one_that_answers_a_failure_comes_last() {
    let world = World::new(
        "
  - name: r
    match: {model: auto}
    candidates: [phi-4, qwen3-8b, \"host:groq\"]
    attempts:
      again: 2
      hedge_after: p95
      max: 4
      deadlines: {total: 1m}
      groups:
        - {candidates: [phi-4], after: [context_too_long, timeout]}
        - {candidates: [\"host:groq\"], max: 1, on: [connect], deadlines: {first_token: 2s}}
",
        vec![local("phi-4"), local("qwen3-8b"), hosted("groq", "qwen3-32b", 0.1)],
    );
    let plan = world.plan(&asks("auto"));
    let groups: Vec<(&str, Option<u8>)> =
        plan.candidates.iter().map(|c| (world.deployments[c.deployment].id.as_str(), c.group)).collect();
    assert_eq!(groups, [("qwen3-8b", None), ("groq-qwen3-32b", Some(1)), ("phi-4", Some(0))]);
    assert_eq!(plan.candidates[2].reasons()[0].code, "held-back");
    assert_eq!((plan.attempts.again, plan.attempts.hedge_after), (2, Some(HedgeAfter::P95)));
    let (on, deadlines) = plan.attempts.of(Some(1));
    assert!(on.contains(FailureClass::Connect) && !on.contains(FailureClass::ServerError));
    assert_eq!((deadlines.first_token.as_secs(), deadlines.total.as_secs()), (2, 60));
    assert!(plan.attempts.groups[0].after.contains(FailureClass::TimeoutFirstToken));
    assert_eq!((plan.attempts.groups[1].max, plan.attempts.groups[0].max), (Some(1), None));
    assert!(plan.attempts.of(None).0.contains(FailureClass::ServerError));
}

#[test]
fn a_request_waits_only_where_somebody_may_serve_and_is_not_available() {
    let mut world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [qwen3-8b], on_none: {queue: {wait: 5s, max: 7}}}\n",
        vec![local("qwen3-8b")],
    );
    assert_eq!(world.plan(&asks("auto")).waits, None);
    let long = Facts { prompt_tokens: 10_000_000, ..asks("auto") };
    assert_eq!(world.plan(&long).waits, None);
    world.live("qwen3-8b").healthy = false;
    let waits = world.plan(&asks("auto")).waits.expect("it waits");
    assert_eq!((waits.wait.as_secs(), waits.max), (5, 7));
    let shown = world.plan(&asks("auto")).explain(&world.snapshot());
    assert!(shown.contains("waits    up to 5000 ms"), "{shown}");
}

#[test]
fn a_plan_says_whether_its_answer_may_be_given_again() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, candidates: [qwen3-8b], reuse: {ttl: 10m}}\n  \
         - {name: s, match: {model: chat}, candidates: [qwen3-8b], reuse: {ttl: 1h, sampled: true}}\n",
        vec![local("qwen3-8b")],
    );
    let reuse = |model: &str| world.plan(&asks(model)).reuse.map(|reuse| (reuse.ttl.as_secs(), reuse.sampled));
    assert_eq!((reuse("auto"), reuse("chat"), reuse("qwen3-8b")), (Some((600, false)), Some((3_600, true)), None));
    let shown = world.plan(&asks("auto")).explain(&world.snapshot());
    assert!(shown.contains("reuse    answers without a draw are given again for 600 s"), "{shown}");
}

#[test]
fn a_preset_stands_for_the_models_of_its_row_in_the_rows_order() {
    let row = Guide::builtin().scenario("korean").expect("a row of the matrix");
    let mut models: Vec<&str> = Vec::new();
    for model in row.first.iter().chain(&row.second).chain(&row.fallbacks).map(String::as_str) {
        if !models.contains(&model) {
            models.push(model);
        }
    }
    assert!(models.len() > 2, "{models:?}");
    // Deployed in another order, and everything may be asked for research.
    let mut deployments: Vec<Deployment> = models.iter().rev().map(|model| local(model)).collect();
    deployments.push(local("phi-4"));
    let world = World::new("  - {name: r, match: {model: auto}, candidates: [\"preset:korean\", any]}\n", deployments);
    let order = world.order(&Facts { use_: crate::world::research().into(), ..asks("auto") });
    let expected: Vec<&str> = models.into_iter().filter(|model| order.contains(model)).chain(["phi-4"]).collect();
    assert!(expected.len() > 2, "{expected:?}");
    assert_eq!(order, expected);
}

#[test]
fn hardware_is_required_by_the_catalogs_names_and_what_is_not_known_is_out() {
    let on = |id: &str, hardware: Option<&str>| Deployment {
        id: id.to_owned(),
        hardware: hardware.map(str::to_owned),
        ..local("qwen3-8b")
    };
    let world = World::new(
        "  - {name: r, match: {model: auto}, require: {hardware: [h100, h200]}, candidates: [any]}\n",
        vec![on("a", Some("a100")), on("b", Some("h200")), on("c", None)],
    );
    assert_eq!(world.order(&asks("auto")), ["b"]);
    let plan = world.plan(&asks("auto"));
    let reasons: Vec<(&str, String)> = plan.rejected().map(|it| (it.code(), it.reason())).collect();
    let expected = [
        ("required-hardware", "its hardware is a100; the route requires h100, h200".to_owned()),
        ("required-hardware", "its hardware is not known; the route requires h100, h200".to_owned()),
    ];
    assert_eq!(reasons, expected);
}
