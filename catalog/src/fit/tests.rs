use std::collections::HashSet;

use super::*;
use crate::Catalog;

const GB: u64 = 1_000_000_000;

fn need_of(model: &str, quantization: &str, context: u64) -> Need {
    let catalog = Catalog::builtin();
    let row = catalog.model(model).unwrap_or_else(|| panic!("no model {model}"));
    need(row, catalog.quantization(quantization).expect("a quantization"), context).expect("known")
}

fn gb(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

fn shapes() -> Vec<Shape> {
    builtin::read::<Shapes>(builtin::SHAPES).shapes
}

#[test]
fn every_shape_is_that_of_models_of_the_catalog_and_each_model_has_one_at_most() {
    let catalog = Catalog::builtin();
    let mut seen = HashSet::new();
    for shape in shapes() {
        assert!(!shape.models.is_empty());
        for id in &shape.models {
            assert!(catalog.model(id).is_some(), "no model {id}");
            assert!(seen.insert(id.clone()), "{id} stands twice");
        }
        assert!(shape.cache_bytes(1) > 0, "{:?} caches nothing", shape.models);
        let kinds = [!shape.attention.is_empty(), shape.latent.is_some(), shape.state.is_some()];
        assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{:?}", shape.models);
        for group in &shape.attention {
            assert!(group.layers > 0 && group.kv_heads > 0 && group.head_dim > 0, "{:?}", shape.models);
        }
    }
}

#[test]
fn a_counted_size_is_near_the_one_in_the_name() {
    let catalog = Catalog::builtin();
    for shape in shapes() {
        for id in &shape.models {
            let named = catalog.model(id).expect("a model").parameters_b;
            if let (Some(counted), Some(named)) = (shape.parameters_b, named) {
                // Falcon 3 1B has 1.67; names are rounded down, rarely up.
                assert!((0.95..=1.7).contains(&(counted / named)), "{id}: {counted} counted, {named} in the name");
            }
        }
    }
}

#[test]
fn seventy_billion_parameters_are_140_gb_at_16_bits_and_43_in_q4_k_m() {
    // The map says 140 GB; a Q4_K_M file of Llama 3 70B has 43.1 GB.
    let (full, four) = (need_of("llama-3.3-70b-instruct", "fp16", 0), need_of("llama-3.3-70b-instruct", "q4_k_m", 0));
    assert!((139.0..142.0).contains(&gb(full.weights_bytes)), "{full:?}");
    assert!((42.5..43.5).contains(&gb(four.weights_bytes)), "{four:?}");
}

#[test]
fn weights_agree_with_those_worked_out_for_the_reference() {
    // Model, bf16, q8_0, q4_k_m, in 1e9 bytes; of rows whose size the name gives exactly.
    let known = [
        ("llama-4-scout", 218.0, 115.8, 66.7),
        ("deepseek-v3", 1342.0, 713.0, 410.5),
        ("mixtral-8x7b-instruct", 93.4, 49.6, 28.6),
        ("exaone-3.5-7.8b", 15.6, 8.3, 4.8),
        ("kanana-1.5-8b", 16.0, 8.5, 4.9),
        ("llama-3.2-11b-vision-instruct", 21.2, 11.3, 6.5),
        ("olmo-2-32b-instruct", 64.0, 34.0, 19.6),
    ];
    for (id, bf16, q8, q4) in known {
        for (quantization, expected) in [("bf16", bf16), ("q8_0", q8), ("q4_k_m", q4)] {
            let got = gb(need_of(id, quantization, 0).weights_bytes);
            assert!((got / expected - 1.0).abs() < 0.02, "{id} {quantization}: {got}, expected {expected}");
        }
    }
}

#[test]
fn the_cache_of_a_token_is_what_the_published_shapes_give() {
    let per_token = |id: &str| need_of(id, "bf16", 1).cache_bytes;
    // 2 x 80 layers x 8 heads x 128 x 2 bytes, and so on.
    assert_eq!(per_token("llama-3.3-70b-instruct"), 327_680);
    assert_eq!(per_token("llama-3.1-8b-instruct"), 131_072);
    assert_eq!(per_token("qwen2.5-7b-instruct"), 57_344);
    assert_eq!(per_token("phi-4"), 204_800);
    // One latent vector of 576 in each of 61 layers: about an eightieth of what full heads would take.
    assert_eq!(per_token("deepseek-r1"), 61 * 576 * 2);
}

#[test]
fn layers_with_a_window_stop_growing_at_it_and_a_state_never_grows() {
    let cache = |id: &str, tokens| need_of(id, "bf16", tokens).cache_bytes;
    let (short, long) = (cache("gemma-3-27b-it", 1024), cache("gemma-3-27b-it", 131_072));
    assert_eq!(short, 62 * 16 * 128 * 4 * 1024);
    assert_eq!(long - short, 10 * 16 * 128 * 4 * (131_072 - 1024), "only the global layers grow");
    assert_eq!(cache("falcon-mamba-7b-instruct", 1), cache("falcon-mamba-7b-instruct", 1 << 20));
}

#[test]
fn an_unknown_shape_gets_more_than_any_known_model_of_its_size_takes() {
    let catalog = Catalog::builtin();
    for shape in shapes() {
        for id in &shape.models {
            let model = catalog.model(id).expect("a model");
            let known = shape.cache_bytes(1);
            // A state is paid once, not by the token.
            if shape.state.is_none() {
                let bound = bound(parameters(model, Some(&shape)).expect("parameters"), 1);
                assert!(known <= bound, "{id}: {known} bytes a token, the bound is {bound}");
            }
        }
    }
    let plamo = need_of("plamo-13b", "q4_k_m", 4096);
    assert!(plamo.cache_from == ShapeSource::Bound && plamo.cache_bytes > 0, "{plamo:?}");
}

#[test]
fn what_only_a_bound_keeps_out_is_unknown_and_what_the_weights_keep_out_does_not_fit() {
    let plamo = need_of("plamo-13b", "q4_k_m", 8192);
    assert_eq!(plamo.fit(24 * GB), Fit::Fits);
    assert_eq!(plamo.fit(12 * GB), Fit::Unknown);
    assert_eq!(plamo.fit(8 * GB), Fit::TooLarge);
    assert_eq!(need_of("phi-4", "bf16", 8192).fit(24 * GB), Fit::TooLarge);
}

#[test]
fn a_tenth_of_the_memory_stays_free() {
    let need = need_of("phi-4", "q4_k_m", 16_384);
    let used = need.weights_bytes + need.cache_bytes;
    assert_eq!(need.weights_bytes + need.cache_bytes + need.overhead_bytes, need.total_bytes);
    assert!(used <= need.total_bytes * 9 / 10 && used + 2 > need.total_bytes * 9 / 10, "{need:?}");
}

#[test]
fn one_gpu_holds_what_the_map_puts_on_it() {
    let catalog = Catalog::builtin();
    let fits = |id: &str, memory: u64| {
        let q4 = catalog.quantization("q4_k_m").expect("q4_k_m");
        longest_context(catalog.model(id).expect("a model"), q4, memory, 131_072).unwrap_or(0)
    };
    assert!(fits("phi-4", 24 * GB) >= 16_384);
    assert!(fits("gemma-3-12b-it", 24 * GB) >= 32_768);
    assert!(fits("gemma-3-27b-it", 24 * GB) >= 8_192);
    assert_eq!(fits("llama-3.3-70b-instruct", 24 * GB), 0);
    assert!(fits("llama-3.3-70b-instruct", 80 * GB) >= 65_536);
}

#[test]
fn the_longest_context_is_the_last_that_fits() {
    let catalog = Catalog::builtin();
    let (model, q4) = (catalog.model("qwen3-32b").expect("a model"), catalog.quantization("q4_k_m").expect("q4_k_m"));
    let longest = longest_context(model, q4, 24 * GB, 1 << 20).expect("fits");
    let fits = |tokens| need(model, q4, tokens).expect("known").fit(24 * GB);
    assert_eq!((fits(longest), fits(longest + 1)), (Fit::Fits, Fit::TooLarge));
    assert_eq!(longest_context(model, q4, 24 * GB, 100), Some(100), "no more than asked for");
    assert_eq!(longest_context(model, q4, 16 * GB, 1 << 20), None);
}

#[test]
fn the_best_quantization_is_the_first_of_the_list_that_fits() {
    let catalog = Catalog::builtin();
    let list = ["bf16", "q8_0", "q6_k", "q4_k_m"].map(|id| catalog.quantization(id).expect("a quantization"));
    let best = |id: &str, memory| {
        let model = catalog.model(id).expect("a model");
        first_that_fits(model, list, 8192, memory).map(|(quantization, _)| quantization.id.as_str())
    };
    assert_eq!(best("kanana-1.5-8b", 24 * GB), Some("bf16"));
    assert_eq!(best("phi-4", 24 * GB), Some("q8_0"));
    assert_eq!(best("gemma-3-27b-it", 24 * GB), Some("q4_k_m"));
    assert_eq!(best("llama-3.3-70b-instruct", 24 * GB), None);
}

#[test]
fn what_is_not_known_is_not_worked_out() {
    let catalog = Catalog::builtin();
    let (q4, q3) = (catalog.quantization("q4_k_m").expect("known"), catalog.quantization("q3_k_m").expect("known"));
    assert_eq!(need(catalog.model("gpt-4o").expect("a model"), q4, 1), None, "no parameters");
    assert_eq!(need(catalog.model("phi-4").expect("a model"), q3, 1), None, "no bits");
}

#[test]
fn numbers_without_sense_neither_panic_nor_fit() {
    let catalog = Catalog::builtin();
    let q4 = catalog.quantization("q4_k_m").expect("q4_k_m");
    let mut model = catalog.model("plamo-13b").expect("a model").clone();
    for parameters in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
        model.parameters_b = Some(parameters);
        assert_eq!(need(&model, q4, 8192), None, "{parameters}");
    }
    model.parameters_b = Some(1e200);
    assert_eq!(need(&model, q4, u64::MAX).expect("a number").fit(80 * GB), Fit::TooLarge);
    let known = need(catalog.model("phi-4").expect("a model"), q4, u64::MAX).expect("a number");
    assert_eq!(known.fit(80 * GB), Fit::TooLarge);
}
