//! What a score is made of: expected price and time, errors and load, ties, and who is tried anew.

use policies::{Deployment, Facts, Live, Spread};

use crate::world::{World, asks, hosted, local};

/// Measured a moment ago.
fn measured(ttft_ms: f32, tpot_ms: f32) -> Live {
    Live { fresh: true, ttft: Some(Spread::always(ttft_ms)), tpot: Some(Spread::always(tpot_ms)), ..Live::default() }
}

/// Deployments of one model at one price, `d0` and so on, on a route that goes by latency.
fn alike(count: usize) -> World {
    let deployments =
        (0..count).map(|at| Deployment { id: format!("d{at}"), ..hosted("together", "qwen3-32b", 0.5) }).collect();
    World::new("  - {name: r, match: {model: auto}, prefer: {latency: 1}, candidates: [any]}\n", deployments)
}

/// How often each of `alike` comes first over `draws` requests.
fn firsts(world: &World, draws: u64) -> Vec<u64> {
    let mut firsts = vec![0; world.deployments.len()];
    for draw in 1..=draws {
        // Numbers as a random generator gives them.
        let draw = draw.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let plan = world.plan(&Facts { draw, ..asks("auto") });
        firsts[plan.candidates[0].deployment] += 1;
    }
    firsts
}

#[test]
fn an_expected_price_counts_the_usual_answer_the_cached_share_and_failing_attempts() {
    let deployment = Deployment {
        cached_input_usd_per_million: Some(0.1),
        output_usd_per_million: Some(4.0),
        ..hosted("together", "qwen3-32b", 1.0)
    };
    let mut world = World::new("  - {name: r, match: {model: auto}, candidates: [any]}\n", vec![deployment]);
    let usd = |world: &World, answer_tokens, max_tokens| {
        let facts = Facts { prompt_tokens: 1_000, answer_tokens, max_tokens, ..asks("auto") };
        f64::from(world.plan(&facts).candidates[0].made_of.expected_usd.unwrap()) * 1e6
    };
    let near = |told: f64, expected: f64| assert!((told / expected - 1.0).abs() < 1e-4, "{told} is not {expected}");
    near(usd(&world, Some(50.0), None), 1_000.0 + 50.0 * 4.0);
    near(usd(&world, Some(50.0), Some(10)), 1_000.0 + 10.0 * 4.0);
    near(usd(&world, None, Some(10)), 1_000.0 + 10.0 * 4.0);
    let id = world.deployments[0].id.clone();
    world.live(&id).cached_share = 0.5;
    near(usd(&world, Some(50.0), None), 500.0 + 500.0 * 0.1 + 200.0);
    world.live(&id).cached_prefix_tokens = Some(0);
    near(usd(&world, Some(50.0), None), 1_000.0 + 200.0);
    world.live(&id).cached_prefix_tokens = Some(900);
    near(usd(&world, Some(50.0), None), 100.0 + 900.0 * 0.1 + 200.0);
    world.live(&id).error_rate = 0.2;
    near(usd(&world, Some(50.0), None), 390.0 / 0.8);
}

#[test]
fn an_expected_time_counts_every_token_of_the_usual_answer_the_queue_and_failing_attempts() {
    let mut world = alike(1);
    let ms = |world: &World, answer_tokens| {
        let facts = Facts { answer_tokens: Some(answer_tokens), ..asks("auto") };
        world.plan(&facts).candidates[0].made_of.expected_ms
    };
    *world.live("d0") = measured(200.0, 10.0);
    assert_eq!(ms(&world, 101.0), Some(1_200.0));
    assert_eq!(ms(&world, 1.0), Some(200.0));
    *world.live("d0") = Live { error_rate: 0.5, ..measured(200.0, 10.0) };
    assert_eq!(ms(&world, 101.0), Some(2_400.0));
    *world.live("d0") = Live { running: 4, queued: 8, ..measured(200.0, 10.0) };
    assert_eq!(ms(&world, 101.0), Some(1_200.0 * (1.0 + 2.0 + 4.0 / 64.0)));
    *world.live("d0") = Live { tpot: None, ..measured(200.0, 10.0) };
    assert_eq!(ms(&world, 101.0), None, "a time per token that is not known is not read as none");
    assert_eq!(ms(&world, 1.0), Some(200.0), "and an answer of one token has no need of it");
}

#[test]
fn a_long_prompt_is_expected_sooner_where_more_of_it_is_cached_than_usual_and_later_where_less_is() {
    let mut world = alike(1);
    let ms = |world: &World, prompt_tokens| {
        let facts = Facts { prompt_tokens, answer_tokens: Some(1.0), ..asks("auto") };
        world.plan(&facts).candidates[0].made_of.expected_ms.unwrap().round()
    };
    let mut with = |cached_share, cached_prefix_tokens, prompt_tokens| {
        *world.live("d0") = Live { cached_share, cached_prefix_tokens, ..measured(200.0, 10.0) };
        ms(&world, prompt_tokens)
    };
    // Half of the time of 4,000 tokens is their reading.
    assert_eq!(with(0.0, Some(4_000), 4_000), 100.0);
    assert_eq!(with(0.0, Some(0), 4_000), 200.0);
    assert_eq!(with(1.0, Some(0), 4_000), 400.0);
    assert_eq!(with(0.5, Some(2_000), 4_000), 200.0);
    assert_eq!(with(0.5, None, 4_000), 200.0, "nothing is known of this prompt: what was measured holds");
    assert_eq!(with(0.0, Some(10), 10), 200.0, "a short prompt is read in no time");
}

#[test]
fn of_places_that_are_alike_the_one_that_holds_the_prompt_is_first_whatever_is_usually_cached_elsewhere() {
    let mut world = alike(4);
    for id in ["d0", "d1", "d3"] {
        *world.live(id) = Live { cached_share: 0.9, cached_prefix_tokens: Some(0), ..measured(200.0, 10.0) };
    }
    *world.live("d2") = Live { cached_share: 0.1, cached_prefix_tokens: Some(3_000), ..measured(200.0, 10.0) };
    for draw in 1..50 {
        let plan = world.plan(&Facts { prompt_tokens: 4_000, draw, ..asks("auto") });
        assert_eq!(plan.candidates[0].deployment, 2);
    }
}

#[test]
fn the_last_tenth_of_a_quota_or_of_a_cache_costs_as_much_of_the_score_as_is_gone_of_it() {
    let mut world = alike(1);
    let mut load = |change: fn(&mut Live)| {
        *world.live("d0") = measured(200.0, 10.0);
        change(world.live("d0"));
        world.plan(&asks("auto")).candidates[0].made_of.load
    };
    let near = |load: f32, wanted: f32| assert!((load - wanted).abs() < 1e-5, "{load} for {wanted}");
    near(load(|live| live.quota_left = 0.1), 1.0);
    near(load(|live| live.quota_left = 0.05), 0.5);
    near(load(|live| live.quota_left = 0.0), 0.0);
    near(load(|live| live.cache_used = 0.9), 1.0);
    near(load(|live| live.cache_used = 0.98), 0.2);
    near(load(|live| (live.cache_used, live.quota_left) = (0.98, 0.01)), 0.1);
    near(load(|live| live.quota_left = f32::NAN), 0.0);
}

#[test]
fn a_model_that_has_to_be_loaded_first_takes_that_much_longer_and_the_report_says_so() {
    let mut world = alike(2);
    *world.live("d0") = Live { starts_ms: 3_000, ..measured(200.0, 10.0) };
    *world.live("d1") = measured(900.0, 20.0);
    let ask = Facts { answer_tokens: Some(101.0), ..asks("auto") };
    let plan = world.plan(&ask);
    let of = |id| plan.candidates.iter().find(|candidate| candidate.deployment == id).unwrap().made_of;
    assert_eq!((of(0).expected_ms, of(1).expected_ms), (Some(4_200.0), Some(2_900.0)));
    assert_eq!(world.order(&ask), ["d1", "d0"], "though it answers sooner once it is there");
    let explained = plan.explain(&world.snapshot());
    assert!(explained.contains("its model is loaded first, in about 3.0 s"), "{explained}");
    // Where nothing was measured: the usual time, after that of loading.
    *world.live("d0") = Live { starts_ms: 4_000, ..Live::UNMEASURED };
    *world.live("d1") = Live::UNMEASURED;
    let unmeasured = world.plan(&ask);
    let latency = |id| unmeasured.candidates.iter().find(|one| one.deployment == id).unwrap().made_of.latency;
    assert_eq!((latency(0).value, latency(1).value), (1.0 / 3.0, 0.5));
    assert!(!latency(0).known && world.order(&ask) == ["d1", "d0"]);
}

#[test]
fn one_that_tells_how_long_a_request_waits_is_judged_by_that_and_not_by_how_many_wait() {
    let mut world = alike(2);
    *world.live("d0") = Live { running: 4, queued: 8, wait_ms: Some(500), ..measured(200.0, 10.0) };
    *world.live("d1") = Live { running: 4, queued: 1, ..measured(200.0, 10.0) };
    let ask = Facts { answer_tokens: Some(101.0), ..asks("auto") };
    let plan = world.plan(&ask);
    let of = |id| plan.candidates.iter().find(|candidate| candidate.deployment == id).unwrap().made_of;
    assert_eq!(of(0).expected_ms, Some(1_200.0 * (1.0 + 4.0 / 64.0) + 500.0));
    assert_eq!(of(1).expected_ms, Some(1_200.0 * (1.0 + 0.25 + 4.0 / 64.0)));
    assert_eq!(
        (of(0).load, of(1).load),
        (4_000.0 / 4_500.0, 8.0 / 9.0),
        "halved by four seconds, or by eight that wait"
    );
    assert_eq!(of(0).wait_ms, Some(500));
    let explained = plan.explain(&world.snapshot());
    assert!(explained.contains("it begins in about 0.5 s, behind others"), "{explained}");
    // Also where it was never measured how long it takes.
    *world.live("d0") = Live { wait_ms: Some(60_000), ..Live::UNMEASURED };
    *world.live("d1") = Live { queued: 1, ..Live::UNMEASURED };
    assert_eq!(world.order(&ask), ["d1", "d0"]);
    *world.live("d0") = Live { queued: 9, wait_ms: Some(0), ..Live::UNMEASURED };
    assert_eq!(world.order(&ask), ["d0", "d1"]);
}

#[test]
fn nobody_is_tried_anew_whose_model_would_have_to_be_loaded_for_it() {
    let mut world = alike(2);
    *world.live("d0") = measured(100.0, 5.0);
    *world.live("d1") = Live { fresh: false, starts_ms: 1, ..measured(900.0, 30.0) };
    assert_eq!(firsts(&world, 5_000)[1], 0);
}

#[test]
fn a_backend_that_fails_fast_comes_after_a_slow_one_that_works() {
    let mut world = alike(2);
    *world.live("d0") = Live { error_rate: 0.6, ..measured(20.0, 1.0) };
    *world.live("d1") = measured(2_000.0, 20.0);
    assert_eq!(world.order(&asks("auto")), ["d1", "d0"]);
}

#[test]
fn one_that_serves_much_gives_way_to_its_equal() {
    let mut world = alike(2);
    *world.live("d0") = Live { running: 30, ..measured(300.0, 10.0) };
    *world.live("d1") = measured(330.0, 10.0);
    assert_eq!(world.order(&asks("auto")), ["d1", "d0"]);
}

#[test]
fn equals_are_drawn_by_lot_and_without_a_draw_the_configuration_decides() {
    let mut world = alike(5);
    (0..5).for_each(|at| *world.live(&format!("d{at}")) = measured(300.0, 10.0));
    assert_eq!(world.order(&asks("auto")), ["d0", "d1", "d2", "d3", "d4"]);
    let firsts = firsts(&world, 10_000);
    assert!(firsts.iter().all(|count| (1_800..=2_200).contains(count)), "{firsts:?}");
}

#[test]
fn equals_of_different_entries_keep_the_order_of_the_list() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, prefer: {cost: 1}, candidates: [phi-4, qwen3-8b]}\n",
        vec![local("qwen3-8b"), local("phi-4")],
    );
    for draw in 0..200 {
        assert_eq!(world.order(&Facts { draw, ..asks("auto") }), ["phi-4", "qwen3-8b"]);
    }
}

#[test]
fn one_request_in_fifty_goes_to_those_that_nothing_was_heard_of_lately_and_the_report_says_so() {
    let mut world = alike(4);
    *world.live("d0") = measured(100.0, 5.0);
    *world.live("d1") = Live { fresh: false, ..measured(900.0, 30.0) };
    *world.live("d2") = Live { fresh: false, ..measured(900.0, 30.0) };
    *world.live("d3") = measured(900.0, 30.0);
    let firsts = firsts(&world, 50_000);
    assert_eq!(firsts[3], 0, "its numbers are new: there is nothing to learn");
    let anew = firsts[1] + firsts[2];
    assert!((850..=1_150).contains(&anew), "{firsts:?}");
    assert!(firsts[1].abs_diff(firsts[2]) < anew / 5, "each has the same chance: {firsts:?}");
    let explores = Facts { draw: 1, ..asks("auto") };
    let plan = world.plan(&explores);
    assert!(plan.candidates[0].made_of.explored && plan.candidates[1..].iter().all(|c| !c.made_of.explored));
    assert!(plan.explain(&world.snapshot()).contains("tried anew"));
    assert_eq!(world.order(&asks("auto"))[0], "d0", "without a draw nobody is tried anew");
}

#[test]
fn nobody_is_tried_anew_who_is_ruled_out_or_where_the_order_of_the_list_decides_or_out_of_turn() {
    let routes = "
  - {name: ruled, match: {model: ruled}, require: {license: {max_tier: 1}}, prefer: {latency: 1}, candidates: [any]}
  - {name: list, match: {model: list}, candidates: [qwen3-8b, phi-4]}
  - {name: stages, match: {model: stages}, prefer: {latency: 1}, candidates: [qwen3-8b, any]}
  - {name: cost, match: {model: cost}, prefer: {cost: 1}, candidates: [any]}
";
    let deployments = vec![
        hosted("together", "qwen3-8b", 0.1),
        hosted("together", "phi-4", 0.2),
        hosted("together", "mistral-large-2", 0.1),
        hosted("together", "llama-3.3-70b-instruct", 0.1),
    ];
    let mut world = World::new(routes, deployments);
    *world.live("together-qwen3-8b") = measured(900.0, 30.0);
    let explores = |model| Facts { draw: 1, ..asks(model) };
    assert_eq!(world.order(&explores("ruled")), ["together-phi-4", "together-qwen3-8b"], "the only other one left");
    assert_eq!(world.order(&explores("list"))[0], "together-qwen3-8b");
    assert_eq!(world.order(&explores("stages"))[0], "together-qwen3-8b");
    let cost = world.plan(&explores("cost"));
    let nobody = cost.candidates.iter().all(|candidate| !candidate.made_of.explored);
    assert!(nobody, "how fast one is makes none the cheapest");
    world.live("together-phi-4").healthy = false;
    assert_eq!(world.order(&explores("ruled")), ["together-qwen3-8b"]);
}

#[test]
fn a_report_says_what_a_request_is_expected_to_cost_and_how_long_to_take() {
    let mut world = World::new(
        "  - {name: r, match: {model: auto}, prefer: {cost: 1, latency: 1}, candidates: [any]}\n",
        vec![hosted("together", "qwen3-32b", 1.0)],
    );
    *world.live("together-qwen3-32b") = measured(200.0, 10.0);
    let facts = Facts { prompt_tokens: 900, answer_tokens: Some(101.0), ..asks("auto") };
    let text = world.plan(&facts).explain(&world.snapshot());
    assert!(text.contains("($0.001001)") && text.contains("(1200 ms)"), "{text}");
}
