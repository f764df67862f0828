//! What would let a refused deployment serve: the least, and enough.

use catalog::Catalog;
use policies::{Deployment, Facts, Needs, Remedy, remedies};
use proptest::{prelude::*, sample::select};

use crate::world::{World, asks, hosted, local, research};

fn found(world: &World, facts: &Facts) -> Vec<Remedy> {
    remedies(facts, &world.snapshot(), &world.plan(facts))
}

#[track_caller]
fn only(world: &World, facts: &Facts) -> Vec<String> {
    let mut all = found(world, facts);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).changes
}

fn route(require: &str) -> String {
    format!("  - {{name: r, match: {{model: auto}}, require: {{{require}}}, candidates: [any]}}\n")
}

#[test]
fn each_rule_is_loosened_as_little_as_it_takes() {
    let known = Deployment {
        region: Some("us".to_owned()),
        retention: Some("30d".to_owned()),
        quantization_bits: Some(4.5),
        context_tokens: Some(32_768),
        ..hosted("together", "qwen3-32b", 2.5)
    };
    for (require, change) in [
        ("license: {allow: [mit]}", "add `apache-2.0` to `require.license.allow`"),
        ("license: {deny: [mit, apache-2.0]}", "take `apache-2.0` out of `require.license.deny`"),
        ("context_tokens: {min: 65536}", "lower `require.context_tokens.min` to 32768"),
        ("region: [eu, kr]", "add `us` to `require.region`"),
        ("retention: none", "add `30d` to `require.retention`"),
        ("quantization: {min_bits: 8}", "lower `require.quantization.min_bits` to 4.5"),
        ("price: {output_usd_per_million: {max: 1}}", "raise `require.price.output_usd_per_million.max` to 2.5"),
        ("price: {input_usd_per_million: {max: 1}}", "raise `require.price.input_usd_per_million.max` to 2.5"),
        ("capabilities: [audio]", "leave out `require.capabilities`"),
    ] {
        let world = World::new(&route(require), vec![known.clone()]);
        assert_eq!(only(&world, &asks("auto")), [change], "{require}");
    }
    let world = World::new(&route("license: {max_tier: 1}"), vec![local("qwen2.5-72b-instruct")]);
    assert_eq!(only(&world, &asks("auto")), ["raise `require.license.max_tier` to 2"]);
}

#[test]
fn what_is_not_known_of_a_deployment_is_to_be_stated() {
    let bare = || vec![Deployment { output_usd_per_million: None, ..hosted("deepinfra", "qwen3-32b", 1.0) }];
    for (require, change) in [
        ("region: [eu, kr]", "state `region: eu` of `deepinfra-qwen3-32b`, if so"),
        ("retention: none", "state `retention: none` of `deepinfra-qwen3-32b`, if so"),
        ("quantization: {min_bits: 8}", "state `quantization_bits: 8` of `deepinfra-qwen3-32b`, if so"),
        (
            "price: {output_usd_per_million: {max: 1}}",
            "state `price.output_usd_per_million: at most 1` of `deepinfra-qwen3-32b`, if so",
        ),
    ] {
        assert_eq!(only(&World::new(&route(require), bare()), &asks("auto")), [change], "{require}");
    }
}

#[test]
fn the_request_is_asked_for_less_where_it_asks_for_too_much() {
    let small = Deployment { context_tokens: Some(4_096), ..local("qwen3-32b") };
    let world = World::new(&route("license: {max_tier: 5}"), vec![small]);
    let long = Facts { prompt_tokens: 10_000, ..asks("auto") };
    assert_eq!(only(&world, &long), ["a prompt of at most 4095 tokens"]);
    let image = Facts { needs: Needs { image: true, ..Needs::default() }, ..asks("auto") };
    assert_eq!(only(&world, &image), ["a request that does not need `image`"]);
}

#[test]
fn a_licence_is_met_by_what_its_clauses_ask_for() {
    let catalog = Catalog::builtin();
    let routes = route("license: {max_tier: 5}");
    let mut world = World::new(&routes, vec![local("llama-3.3-70b-instruct")]);
    // The world's catalog answers for few users; the built-in one for nothing.
    world.catalog = catalog;
    let changes = only(&world, &asks("auto"));
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].starts_with("attest `") && changes[0].ends_with("` for acme"), "{changes:?}");
    let world = World::new(&routes, vec![local("exaone-3.5-32b")]);
    let changes = only(&world, &asks("auto"));
    assert!(changes[0].contains("a context of research use"), "{changes:?}");
}

#[test]
fn several_reasons_are_several_changes_in_the_order_in_which_they_refuse() {
    let world = World::new(
        &route("license: {max_tier: 2}, region: [kr], quantization: {min_bits: 8}"),
        vec![Deployment { quantization_bits: Some(4.0), ..hosted("together", "exaone-3.5-32b", 1.0) }],
    );
    let facts = Facts { use_: research().into(), ..asks("auto") };
    assert_eq!(
        only(&world, &facts),
        [
            "raise `require.license.max_tier` to 4",
            "state `region: kr` of `together-exaone-3.5-32b`, if so",
            "lower `require.quantization.min_bits` to 4",
        ]
    );
    let changes = only(&world, &asks("auto"));
    assert_eq!(changes.len(), 4, "and the licence: {changes:?}");
}

#[test]
fn a_candidate_that_nothing_serves_is_to_be_deployed() {
    let world = World::new(
        "  - {name: r, match: {model: auto}, require: {region: [eu]}, candidates: [qwen3-32b, phi-4]}\n",
        vec![Deployment { region: Some("eu".to_owned()), ..local("phi-4") }],
    );
    let changes = only(&world, &asks("auto"));
    assert_eq!(changes, ["deploy `qwen3-32b`", "add `local` to `require.region`"]);
}

#[test]
fn what_is_down_has_to_come_back() {
    let mut world = World::new(&route("license: {max_tier: 5}"), vec![local("qwen3-32b")]);
    world.live("qwen3-32b").healthy = false;
    assert_eq!(only(&world, &asks("auto")), ["`qwen3-32b` healthy again"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every rule that a remedy changes is one that refuses: none is loosened in vain.
    #[test]
    fn a_remedy_changes_no_rule_that_is_met(
        tier in 1u8..=5,
        bits in 2u8..=8,
        usd in 0u8..4,
        region in select(vec!["eu", "kr"]),
        model in select(vec!["qwen3-32b", "qwen2.5-72b-instruct", "exaone-3.5-32b"]),
        has_bits in 2.0f32..9.0,
        has_usd in 0.0..4.0f64,
        has_region in select(vec!["eu", "us"]),
    ) {
        let require = format!(
            "license: {{max_tier: {tier}}}, quantization: {{min_bits: {bits}}}, region: [{region}], \
             price: {{output_usd_per_million: {{max: {usd}}}}}"
        );
        let deployment = Deployment {
            region: Some(has_region.to_owned()),
            quantization_bits: Some(has_bits),
            ..hosted("together", model, has_usd)
        };
        let world = World::new(&route(&require), vec![deployment]);
        let facts = Facts { use_: research().into(), ..asks("auto") };
        let found = found(&world, &facts);
        let needed = [
            world.catalog.model(model).unwrap().tier.number() > tier,
            has_bits < f32::from(bits),
            has_region != region,
            has_usd as f32 > f32::from(usd),
        ];
        let needed = needed.iter().filter(|needed| **needed).count();
        prop_assert_eq!(found.iter().map(|remedy| remedy.changes.len()).sum::<usize>(), needed, "{:?}", found);
    }
}
